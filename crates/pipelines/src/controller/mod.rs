//! Runs that are under way: their pods, timers and schedules.
//!
//! * [`Engine`]: what others ask of it; [`Steps`]: what launchers ask.
//! * [`config`]: what it is started with.

pub mod api;
pub mod config;
mod engine;

pub use api::{EngineError, LogStream, StepError, Steps};
pub use config::{EngineConfig, LauncherSource};
pub use engine::{Engine, Follow};
