//! The network of a cluster on this host: names, the table, and ports of the host. Nothing leaves loopback.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod bed;
mod names;
mod reach;
mod table;
