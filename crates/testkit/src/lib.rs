//! What tests stand on: a cluster in this process, record stores on each engine, a clock that only
//! moves when told, objects in their shortest form, waits that watch instead of sleeping, and a
//! connection that speaks HTTP as badly as a test wants.
//!
//! It is linked into tests only, so it fails as a test does: by panicking, with a sentence.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

pub mod clock;
pub mod cluster;
pub mod ledger;
pub mod objects;
pub mod postgres;
pub mod raw;
pub mod records;
pub mod wait;

pub use clock::SimulatedClock;
pub use cluster::{Setup, TestCluster};
