//! What was measured in the rounds of a work, and the units that people read.

use std::time::Duration;

const MEGABYTE: f64 = 1e6;

/// The samples of both sides.
#[derive(Default)]
pub struct Samples {
    pub ours: Vec<f64>,
    pub peer: Vec<f64>,
}

impl Samples {
    /// One list for each side, ours first.
    pub fn both(&mut self) -> [&mut Vec<f64>; 2] {
        [&mut self.ours, &mut self.peer]
    }
}

/// Of so many in a time: how many a second.
pub fn rate(count: u64, took: Duration) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / took.as_secs_f64()
}

/// A time in milliseconds.
pub fn milliseconds(took: Duration) -> f64 {
    took.as_secs_f64() * 1e3
}

/// Bytes in megabytes.
///
/// # Errors
/// When it is more than 4 TiB.
pub fn megabytes(bytes: u64) -> anyhow::Result<f64> {
    Ok(f64::from(u32::try_from(bytes >> 10)?) * 1024.0 / MEGABYTE)
}
