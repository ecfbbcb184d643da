//! Durations as people read them: `5m`, `3d4h`, as `k8s.io/apimachinery/pkg/util/duration` prints them.

use jiff::Timestamp;

/// A span of time in nanoseconds; wide enough for any two timestamps.
pub type Nanoseconds = i128;

/// One second.
pub const SECOND: Nanoseconds = 1_000_000_000;
const MINUTE: Nanoseconds = 60 * SECOND;
const HOUR: Nanoseconds = 60 * MINUTE;

/// The span from one time to another.
pub fn between(earlier: Timestamp, later: Timestamp) -> Nanoseconds {
    later.as_nanosecond() - earlier.as_nanosecond()
}

/// Two or three significant figures: `119s`, `2m`, `9m59s`, `7h30m`, `2d`, `2y10d`.
///
/// Up to two seconds in the future count as now; more is `<invalid>`.
pub fn human(duration: Nanoseconds) -> String {
    let seconds = duration / SECOND;
    let (minutes, hours) = (duration / MINUTE, duration / HOUR);
    match (seconds, minutes, hours) {
        (..-1, ..) => "<invalid>".to_owned(),
        (..0, ..) => "0s".to_owned(),
        (..120, ..) => format!("{seconds}s"),
        (_, ..10, _) => pair(minutes, "m", seconds % 60, "s"),
        (_, ..180, _) => format!("{minutes}m"),
        (_, _, ..8) => pair(hours, "h", minutes % 60, "m"),
        (_, _, ..48) => format!("{hours}h"),
        (_, _, ..192) => pair(hours / 24, "d", hours % 24, "h"),
        (_, _, ..17_520) => format!("{}d", hours / 24),
        (_, _, ..70_080) => pair(hours / 24 / 365, "y", hours / 24 % 365, "d"),
        _ => format!("{}y", hours / 24 / 365),
    }
}

/// One figure: `59s`, `3m`, `23h`, `364d`, `1y`.
pub fn short_human(duration: Nanoseconds) -> String {
    let seconds = duration / SECOND;
    let (minutes, hours) = (duration / MINUTE, duration / HOUR);
    match (seconds, minutes, hours) {
        (..-1, ..) => "<invalid>".to_owned(),
        (..0, ..) => "0s".to_owned(),
        (..60, ..) => format!("{seconds}s"),
        (_, ..60, _) => format!("{minutes}m"),
        (_, _, ..24) => format!("{hours}h"),
        (_, _, ..8_760) => format!("{}d", hours / 24),
        _ => format!("{}y", hours / 24 / 365),
    }
}

fn pair(large: Nanoseconds, large_unit: &str, small: Nanoseconds, small_unit: &str) -> String {
    if small == 0 { format!("{large}{large_unit}") } else { format!("{large}{large_unit}{small}{small_unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_upstreams() {
        let day = 24 * HOUR;
        for (duration, long, short) in [
            (-2 * SECOND, "<invalid>", "<invalid>"),
            (-SECOND, "0s", "0s"),
            (0, "0s", "0s"),
            (59 * SECOND + SECOND / 2, "59s", "59s"),
            (119 * SECOND, "119s", "1m"),
            (120 * SECOND, "2m", "2m"),
            (599 * SECOND, "9m59s", "9m"),
            (10 * MINUTE + SECOND, "10m", "10m"),
            (179 * MINUTE, "179m", "2h"),
            (3 * HOUR, "3h", "3h"),
            (7 * HOUR + 30 * MINUTE, "7h30m", "7h"),
            (47 * HOUR, "47h", "1d"),
            (2 * day, "2d", "2d"),
            (7 * day + 23 * HOUR, "7d23h", "7d"),
            (8 * day, "8d", "8d"),
            (729 * day, "729d", "1y"),
            (2 * 365 * day + 10 * day, "2y10d", "2y"),
            (3 * 365 * day, "3y", "3y"),
            (8 * 365 * day + day, "8y", "8y"),
        ] {
            assert_eq!((human(duration).as_str(), short_human(duration).as_str()), (long, short));
        }
    }
}
