//! Decisions about pipelines, pure.
//!
//! * [`ir`]: a compiled pipeline, read strictly.
//! * [`value`]: parameters and artifacts as they pass between tasks.
//! * [`run`]: what a run is, beside its tasks.
//! * [`id`]: names that follow from what they name.
//! * [`task`]: tasks of a run as they are recorded.
//! * [`step`]: what a step's launcher and the control plane say to each other.
//! * [`token`]: what lets a launcher in.
//! * [`uri`]: parts of URIs.
//! * [`fault`]: what is wrong with something that a user wrote, and where.

pub mod fault;
pub mod id;
pub mod ir;
pub mod run;
pub mod step;
pub mod task;
pub mod token;
pub mod uri;
pub mod value;
