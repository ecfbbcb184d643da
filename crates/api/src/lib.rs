//! The vocabulary of Ferroflow: names, labels and configuration, without I/O and without decisions.

pub mod names;
pub mod pipelines;
