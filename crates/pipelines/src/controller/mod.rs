//! Runs that are under way: their pods, timers and schedules.
//!
//! * [`Engine`]: what others ask of it; [`Steps`]: what launchers ask.
//! * [`schedule`]: what triggers recurring runs.
//! * [`EngineConfig`]: what it is started with.
//!
//! Each run that is under way has an actor (`actor`), which `carry` begins and brings back. What has come for it waits
//! in its `inbox`. Runs share `places` for pods, `flights` of identical steps, and one watch of `pods`; `hands` reach
//! the cluster for them. What they may name and read of the store `reach` says.

mod actor;
pub mod api;
mod carry;
mod commit;
pub mod config;
mod counts;
mod engine;
mod expiry;
mod flights;
mod hands;
mod inbox;
mod load;
mod logs;
mod lookup;
mod places;
pub mod pods;
mod reach;
mod removal;
pub mod schedule;
mod seen;
mod shared;

#[cfg(test)]
mod tests;

pub use api::{EngineError, LogStream, StepError, Steps};
pub use config::{EngineConfig, ImageDigests, LauncherSource};
pub use engine::{Engine, Follow};
