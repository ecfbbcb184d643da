//! Sets of completion indexes in the compressed form of `status.completedIndexes` (`0,2-5`).
//!
//! Parsing ignores what it cannot read, as a controller must not fail on a status that somebody
//! else wrote; it never reports errors.

use std::fmt;

/// An ascending list of disjoint, non-adjacent closed ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Indexes {
    ranges: Vec<(usize, usize)>,
}

impl Indexes {
    /// Reads `0,2-5`, dropping whatever is not below `completions`.
    pub fn parse(text: &str, completions: usize) -> Self {
        let mut found = Vec::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse::<usize>()) else { continue };
            if first < completions && first <= last {
                found.push((first, last.min(completions - 1)));
            }
        }
        Self::from_ranges(found)
    }

    /// The set of the given indexes.
    pub fn of(indexes: impl IntoIterator<Item = usize>) -> Self {
        Self::from_ranges(indexes.into_iter().map(|index| (index, index)).collect())
    }

    fn from_ranges(mut ranges: Vec<(usize, usize)>) -> Self {
        ranges.sort_unstable();
        let mut merged: Vec<(usize, usize)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some(previous) if first <= previous.1 + 1 => previous.1 = previous.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        Self { ranges: merged }
    }

    /// Both sets together.
    pub fn union(&self, other: &Self) -> Self {
        Self::from_ranges(self.ranges.iter().chain(&other.ranges).copied().collect())
    }

    /// How many indexes the set holds.
    pub fn total(&self) -> usize {
        self.ranges.iter().map(|(first, last)| last - first + 1).sum()
    }

    /// Whether the set holds `index`.
    pub fn has(&self, index: usize) -> bool {
        let at = self.ranges.partition_point(|(_, last)| *last < index);
        self.ranges.get(at).is_some_and(|(first, _)| *first <= index)
    }

    /// Whether the set holds nothing.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many indexes both sets hold.
    pub fn overlap(&self, other: &Self) -> usize {
        let (mut left, mut right, mut count) = (0, 0, 0);
        while let (Some(a), Some(b)) = (self.ranges.get(left), other.ranges.get(right)) {
            let (first, last) = (a.0.max(b.0), a.1.min(b.1));
            if first <= last {
                count += last - first + 1;
            }
            if a.1 < b.1 { left += 1 } else { right += 1 }
        }
        count
    }

    /// The first `count` indexes below `completions` that the set does not hold.
    pub fn missing(&self, count: usize, completions: usize) -> Vec<usize> {
        let mut result = Vec::with_capacity(count.min(completions));
        let mut next = 0;
        for (first, last) in self.ranges.iter().copied().chain([(completions, completions)]) {
            while next < first.min(completions) && result.len() < count {
                result.push(next);
                next += 1;
            }
            next = next.max(last + 1);
        }
        result
    }
}

impl fmt::Display for Indexes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (first, last)) in self.ranges.iter().enumerate() {
            let comma = if position == 0 { "" } else { "," };
            match last - first {
                0 => write!(f, "{comma}{first}")?,
                1 => write!(f, "{comma}{first},{last}")?,
                _ => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, completions: usize, expect: &str) {
        assert_eq!(Indexes::parse(text, completions).to_string(), expect, "{text} below {completions}");
    }

    #[test]
    fn three_neighbours_make_a_range_and_two_do_not() {
        check("1,3,4,5,7", 10, "1,3-5,7");
        check("0,1", 2, "0,1");
        check("0-2", 2, "0,1");
    }

    #[test]
    fn what_cannot_be_read_or_lies_outside_is_dropped() {
        check("x,2,-,5-y,9", 5, "2");
        check("", 5, "");
        check("4-1", 5, "");
    }

    #[test]
    fn missing_indexes_come_in_order_and_stay_below_the_completions() {
        assert_eq!(Indexes::parse("0,2-3", 6).missing(9, 6), [1, 4, 5]);
        assert_eq!(Indexes::default().missing(2, 6), [0, 1]);
        assert_eq!(Indexes::parse("0-5", 6).missing(2, 6), [] as [usize; 0]);
    }

    #[test]
    fn overlap_counts_what_both_hold() {
        let left = Indexes::parse("0-3,7,9-12", 20);
        let right = Indexes::parse("2-10", 20);
        assert_eq!(left.overlap(&right), 5);
        assert_eq!(right.overlap(&left), 5);
        assert!(left.has(7) && !left.has(8));
    }
}
