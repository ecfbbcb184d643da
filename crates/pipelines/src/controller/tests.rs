//! Runs against the in-process cluster.
