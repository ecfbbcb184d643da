//! Logs: fields on standard error, filtered by `FERROFLOW_LOG`.
//!
//! Libraries only emit `tracing` events; the binary decides where they go by handing in a filter.

/// The environment variable that the binary reads its log filter from.
pub const LOG_VARIABLE: &str = "FERROFLOW_LOG";

/// What is logged when nothing is said: changes that a user would want told.
pub const DEFAULT_FILTER: &str = "warn,ferroflow=info";
