//! The REST API v2beta1, and what a step's launcher asks for.
//!
//! * [`launcher`]: routes of launchers, below `launcher/v1/`.

pub mod launcher;
