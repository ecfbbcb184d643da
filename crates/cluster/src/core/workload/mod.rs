//! What the workload controllers decide: for an object and what is known around it, which objects to create, change
//! and delete, which status to write, what to say in events and when to look again.
//!
//! Everything here is pure: the time is an argument, nothing is read and nothing is written. The shell that gathers
//! the arguments and carries out the plans is `crate::controller`.

pub mod act;
pub mod claim;
pub mod condition;
pub mod daemonset;
pub mod deployment;
pub mod disruption;
pub mod patch;
pub mod pods;
pub mod replicas;
pub mod revision;
pub mod schedule;
pub mod selector;
pub mod statefulset;
pub mod taint;

#[cfg(test)]
pub mod testing;
