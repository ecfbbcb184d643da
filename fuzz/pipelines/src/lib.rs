//! Bytes that people and their programs send to pipelines, as functions that must not panic.
//!
//! The sources of `crates/pipelines` are taken in as they are, so that they alone are instrumented.

// What they take from other crates lies here too.
extern crate self as ferroflow_api;
extern crate self as ferroflow_platform;

#[allow(dead_code)]
#[path = "../../../crates/api/src/names.rs"]
pub mod names;

#[path = "../../../crates/platform/src/cron.rs"]
pub mod cron;

/// The part of the pipelines' core that reads.
#[allow(dead_code, clippy::all)]
#[path = "../../../crates/pipelines/src/core"]
pub mod core {
    pub mod condition;
    pub mod fault;
    pub mod ir;
    pub mod macros;
    pub mod package;
    pub mod placeholder;
    pub mod preamble;
    pub mod query;
    pub mod runtime;
    pub mod schedule;
    pub mod value;
    pub mod wire;
}

pub mod seeds;
pub mod targets;
