//! Decisions about pipelines, pure.
//!
//! * [`ir`]: a compiled pipeline, read strictly.
//! * [`condition`]: the language of conditions and selectors.
//! * [`value`]: parameters and artifacts as they pass between tasks.
//! * [`task`]: tasks of a run as they are recorded.
//! * [`step`]: what a step's launcher and the control plane say to each other.
//! * [`fault`]: what is wrong with something that a user wrote, and where.

pub mod condition;
pub mod fault;
pub mod ir;
pub mod step;
pub mod task;
pub mod value;
