//! Kubeflow Pipelines v2: compiled pipelines run as pods, one for each executed step and none for anything else.
//!
//! * [`core`]: what a pipeline is, and what happens next in a run; pure.
//! * [`controller`]: runs that are under way: their pods, timers and schedules.
//! * [`http`]: the REST API v2beta1, and what a step's launcher asks for.
//! * [`store`]: what is recorded of pipelines, runs, tasks, artifacts and the cache.

pub mod controller;
pub mod core;
pub mod http;
pub mod store;

mod register;

pub use register::{Error, Options, reader, register};
