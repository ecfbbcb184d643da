//! When a request is made again, and after how long.

use std::time::Duration;

/// How often something is tried: with the waits between, about 8 seconds.
pub const ATTEMPTS: u32 = 5;
/// The wait after the first failure; it doubles each time.
const FIRST: Duration = Duration::from_millis(500);
/// The longest wait, also where a registry asks for more.
const LONGEST: Duration = Duration::from_secs(60);

/// Whether a registry that answers this may answer otherwise in a moment.
pub fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504)
}

/// How long to wait after a failure, the first being 1; `asked` is what the registry said in `Retry-After`.
pub fn wait(failures: u32, asked: Option<Duration>) -> Duration {
    let own = FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16));
    asked.unwrap_or_default().max(own).min(LONGEST)
}

/// How long a kubelet waits until it pulls again, after so many failures: 10 s, doubling to 300 s.
pub fn pull_wait(failures: u32) -> Duration {
    let seconds = 10_u64.saturating_mul(1 << failures.saturating_sub(1).min(16));
    Duration::from_secs(seconds.min(300))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_a_bound() {
        let waits: Vec<u128> = (1..=4).map(|failures| wait(failures, None).as_millis()).collect();
        assert_eq!(waits, [500, 1000, 2000, 4000]);
        assert_eq!(wait(u32::MAX, None), LONGEST);
        assert_eq!(wait(1, Some(Duration::from_secs(7))), Duration::from_secs(7));
        assert_eq!(wait(1, Some(Duration::from_secs(7000))), LONGEST);
        let waits: Vec<u64> = (1..=7).map(|failures| pull_wait(failures).as_secs()).collect();
        assert_eq!(waits, [10, 20, 40, 80, 160, 300, 300]);
    }

    #[test]
    fn what_a_registry_says_for_good_is_not_asked_again() {
        for status in [400, 401, 403, 404, 501] {
            assert!(!is_passing(status));
        }
    }
}
