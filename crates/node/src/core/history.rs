//! What a container has used over the last while: points of processor time and memory in a bounded ring.

use std::{collections::VecDeque, time::Duration};

use jiff::Timestamp;

/// Points that are kept: half an hour, one every ten seconds.
pub const POINTS: usize = 180;

/// What was used at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    pub at: Timestamp,
    /// Processor time since the container started.
    pub cpu_nanoseconds: u64,
    pub memory_bytes: u64,
}

/// Use over a window of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    pub at: Timestamp,
    pub window: Duration,
    /// Billionths of a processor.
    pub cpu_nanocores: u64,
    pub memory_bytes: u64,
}

/// The points of one container, oldest first.
#[derive(Clone, Debug, Default)]
pub struct History {
    points: VecDeque<Point>,
}

impl History {
    /// Adds a point. Processor time that went back belongs to a new run, of which nothing earlier is told.
    pub fn add(&mut self, point: Point) {
        if self.points.back().is_some_and(|last| last.cpu_nanoseconds > point.cpu_nanoseconds) {
            self.points.clear();
        }
        if self.points.back().is_some_and(|last| last.at >= point.at) {
            return;
        }
        if self.points.len() == POINTS {
            self.points.pop_front();
        }
        self.points.push_back(point);
    }

    /// The points.
    pub fn points(&self) -> impl Iterator<Item = &Point> {
        self.points.iter()
    }

    /// What is used now: between the last two points; `None` while there is one alone.
    pub fn now(&self) -> Option<Use> {
        let mut newest = self.points.iter().rev();
        let (last, before) = (newest.next()?, newest.next()?);
        let window = Duration::try_from(last.at.duration_since(before.at)).ok().filter(|window| !window.is_zero())?;
        let used = u128::from(last.cpu_nanoseconds - before.cpu_nanoseconds);
        let cores = used * 1_000_000_000 / window.as_nanos();
        Some(Use {
            at: last.at,
            window,
            cpu_nanocores: u64::try_from(cores).unwrap_or(u64::MAX),
            memory_bytes: last.memory_bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(seconds: i64, cpu_ms: u64, memory_bytes: u64) -> Point {
        let at = Timestamp::from_second(1_700_000_000 + seconds).unwrap();
        Point { at, cpu_nanoseconds: cpu_ms * 1_000_000, memory_bytes }
    }

    #[test]
    fn a_rate_needs_two_points() {
        let mut history = History::default();
        assert_eq!(history.now(), None);
        history.add(point(0, 1000, 5));
        assert_eq!(history.now(), None);
        history.add(point(10, 3500, 7));
        let now = history.now().unwrap();
        assert_eq!((now.cpu_nanocores, now.memory_bytes, now.window), (250_000_000, 7, Duration::from_secs(10)));
        // The same moment again says nothing new.
        history.add(point(10, 3600, 8));
        assert_eq!(history.now().unwrap().memory_bytes, 7);
    }

    #[test]
    fn a_new_run_begins_a_new_history() {
        let mut history = History::default();
        history.add(point(0, 1000, 5));
        history.add(point(10, 2000, 5));
        history.add(point(20, 10, 1));
        assert_eq!((history.now(), history.points().count()), (None, 1));
    }

    #[test]
    fn a_history_is_bounded() {
        let mut history = History::default();
        (0..500).for_each(|index| history.add(point(index, 0, 0)));
        assert_eq!(history.points().count(), POINTS);
        assert_eq!(history.points().next().unwrap().at, point(320, 0, 0).at);
    }
}
