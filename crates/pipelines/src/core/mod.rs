//! Decisions about pipelines, pure.
//!
//! * [`ir`]: a compiled pipeline, read strictly.
//! * [`condition`]: the language of conditions and selectors.
//! * [`placeholder`]: `{{$…}}` in text.
//! * [`resolve`]: what goes into a task, and what a DAG or a loop hands out.
//! * [`runtime`]: what a run is created with.
//! * [`executor`]: what a step is handed.
//! * [`place`]: URIs of the store as paths, and back.
//! * [`reach`]: whose a place of the store is.
//! * [`output`]: what a step has made.
//! * [`fingerprint`]: what a step stands for in the cache.
//! * [`pod`]: the pod of a step.
//! * [`macros`]: `[[CurrentTime]]` in a run's parameters.
//! * [`value`]: parameters and artifacts as they pass between tasks.
//! * [`run`]: what a run is, beside its tasks.
//! * [`id`]: names that follow from what they name.
//! * [`engine`]: what happens next in a run.
//! * [`task`]: tasks of a run as they are recorded.
//! * [`step`]: what a step's launcher and the control plane say to each other.
//! * [`preamble`]: what a command installs before it begins.
//! * [`token`]: what lets a launcher in.
//! * [`wire`]: objects of requests, read strictly.
//! * [`package`]: the file that a pipeline is uploaded as.
//! * [`query`]: what a list is asked for.
//! * [`schedule`]: when a recurring run is due.
//! * [`moving`]: what goes from one store to another.
//! * [`uri`]: URIs of artifacts.
//! * [`fault`]: what is wrong with something that a user wrote, and where.

pub mod condition;
pub mod engine;
pub mod executor;
pub mod fault;
pub mod fingerprint;
pub mod id;
pub mod ir;
pub mod macros;
pub mod moving;
pub mod output;
pub mod package;
pub mod place;
pub mod placeholder;
pub mod pod;
pub mod preamble;
pub mod query;
pub mod reach;
pub mod resolve;
pub mod run;
pub mod runtime;
pub mod schedule;
pub mod step;
pub mod task;
pub mod token;
pub mod uri;
pub mod value;
pub mod wire;
