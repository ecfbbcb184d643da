//! Admission webhooks, conversion webhooks and policies, with a webhook of ours on a loopback address: a TLS server
//! whose certificate only the configuration vouches for.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod admission;
mod conversion;
mod policy;
mod server;
