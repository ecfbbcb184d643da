//! Waiting for something to become true, with a bound.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::bail;

/// How often is looked. Everything waited for takes ten times as long or more.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Asks `look` until it answers, for at most `limit`.
///
/// # Errors
/// What `look` answers as an error, at once; or that `what` took longer than `limit`.
pub fn until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
    let began = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if began.elapsed() > limit {
            bail!("{what} took longer than {} s", limit.as_secs());
        }
        thread::sleep(LOOK_EVERY);
    }
}
