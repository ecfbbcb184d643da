//! The controller runtime: the queue by a simulated clock, caches and the loop on a cluster.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "controller/cache.rs"]
mod cache;
#[path = "controller/queue.rs"]
mod queue;
