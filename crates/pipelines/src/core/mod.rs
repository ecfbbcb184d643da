//! Decisions about pipelines, pure.
//!
//! * [`ir`]: a compiled pipeline, read strictly.
//! * [`condition`]: the language of conditions and selectors.
//! * [`placeholder`]: `{{$…}}` in text.
//! * [`resolve`]: what goes into a task, and what a DAG or a loop hands out.
//! * [`runtime`]: what a run is created with.
//! * [`value`]: parameters and artifacts as they pass between tasks.
//! * [`run`]: what a run is, beside its tasks.
//! * [`id`]: names that follow from what they name.
//! * [`engine`]: what happens next in a run.
//! * [`task`]: tasks of a run as they are recorded.
//! * [`step`]: what a step's launcher and the control plane say to each other.
//! * [`token`]: what lets a launcher in.
//! * [`uri`]: URIs of artifacts.
//! * [`fault`]: what is wrong with something that a user wrote, and where.

pub mod condition;
pub mod engine;
pub mod fault;
pub mod id;
pub mod ir;
pub mod placeholder;
pub mod preamble;
pub mod resolve;
pub mod run;
pub mod runtime;
pub mod step;
pub mod task;
pub mod token;
pub mod uri;
pub mod value;
