//! The sources of the pure part of pipelines as they are, with a switch for what is planted in them.

#![allow(dead_code, reason = "what is public there is used elsewhere")]

// What the sources take from other crates lies here too.
extern crate self as ferroflow_api;
extern crate self as ferroflow_platform;

#[path = "../../../crates/pipelines/src/core/mod.rs"]
pub mod core;
#[path = "../../../crates/platform/src/cron.rs"]
pub mod cron;
#[path = "../../../crates/api/src/names.rs"]
pub mod names;

/// Whether this is the fault that a run of the tests is about. All are built at once.
pub fn is_planted(fault: &str) -> bool {
    std::env::var("FERROFLOW_FAULT").is_ok_and(|name| name == fault)
}
