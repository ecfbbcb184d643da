//! When a finished job with `ttlSecondsAfterFinished` is to be deleted. Deleting is the caller's.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;

use super::conditions;

/// What the time to live says about a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// It has none, or is not finished, or goes already.
    Never,
    /// It has this long to live.
    In(Duration),
    /// Delete it, with foreground propagation.
    Now,
}

/// Reads a job's expiry.
pub fn expiry(job: &Job, now: Timestamp) -> Expiry {
    let ttl = job.spec.as_ref().and_then(|spec| spec.ttl_seconds_after_finished);
    let Some(ttl) = ttl.filter(|_| job.metadata.deletion_timestamp.is_none()) else { return Expiry::Never };
    let Some(status) = &job.status else { return Expiry::Never };
    let finished = conditions::find(status, "Complete").or_else(|| conditions::find(status, "Failed"));
    let Some(finished) = finished.and_then(|condition| condition.last_transition_time.as_ref()) else {
        return Expiry::Never;
    };
    let Ok(end) = finished.0.checked_add(SignedDuration::from_secs(i64::from(ttl))) else { return Expiry::Never };
    match Duration::try_from(end.duration_since(now)) {
        Ok(left) if !left.is_zero() => Expiry::In(left),
        _ => Expiry::Now,
    }
}
