//! How long a job waits before it replaces failed pods: 10 s after the first failure since the last
//! success, doubling to ten minutes. The record is handed in and handed back; nothing is kept here.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use super::pods;

/// The wait after one failure.
const FIRST: Duration = Duration::from_secs(10);
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(600);

/// The failures of a job since its last success.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    pub failures: u32,
    pub last_failure: Option<Timestamp>,
}

impl Backoff {
    /// The record after some pods were newly seen to succeed or fail.
    pub fn after(self, succeeded: &[&Pod], failed: &[&Pod]) -> Self {
        let last_success = succeeded.iter().filter_map(|pod| pods::finished_at(pod)).max();
        let mut next = if succeeded.is_empty() { self } else { Self::default() };
        for finished in failed.iter().map(|pod| pods::finished_at(pod)) {
            if last_success.is_none() || finished > last_success {
                next.failures = next.failures.saturating_add(1);
                next.last_failure = next.last_failure.max(finished);
            }
        }
        next
    }

    /// The time that is left before failed pods are replaced; zero when they may be.
    pub fn remaining(self, now: Timestamp) -> Duration {
        let Some(last) = self.last_failure else { return Duration::ZERO };
        if self.failures == 0 {
            return Duration::ZERO;
        }
        let doublings = (self.failures - 1).min(16);
        let wait = FIRST.saturating_mul(1 << doublings).min(LONGEST);
        // A failure time ahead of our clock counts as now: the wait is never longer than the wait.
        let elapsed = Duration::try_from(now.duration_since(last)).unwrap_or(Duration::ZERO);
        wait.saturating_sub(elapsed)
    }

    /// The wait of one index, whose last failed pod carries the count of earlier failures.
    pub fn of_index(last_failed: Option<&Pod>) -> Self {
        let Some(pod) = last_failed else { return Self::default() };
        let failures = u32::try_from(pods::absolute_failures(pod)).unwrap_or(0).saturating_add(1);
        Self { failures, last_failure: pods::finished_at(pod) }
    }
}
