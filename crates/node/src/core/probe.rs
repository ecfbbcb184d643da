//! When a probe's results change what is thought of a container.

/// Counts results of one kind in a row.
#[derive(Clone, Debug)]
pub struct Counter {
    success_threshold: u32,
    failure_threshold: u32,
    last: Option<bool>,
    in_a_row: u32,
}

impl Counter {
    /// A counter with a probe's thresholds; 0 means 1.
    pub fn new(success_threshold: u32, failure_threshold: u32) -> Self {
        Self {
            success_threshold: success_threshold.max(1),
            failure_threshold: failure_threshold.max(1),
            last: None,
            in_a_row: 0,
        }
    }

    /// Takes a result; `Some` when it is now held to be true.
    pub fn observe(&mut self, succeeded: bool) -> Option<bool> {
        if self.last != Some(succeeded) {
            self.last = Some(succeeded);
            self.in_a_row = 0;
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
        let threshold = if succeeded { self.success_threshold } else { self.failure_threshold };
        (self.in_a_row >= threshold).then_some(succeeded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_needs_its_threshold_in_a_row() {
        let mut counter = Counter::new(2, 3);
        let seen = [false, false, true, false, false, false, true, true];
        let verdicts: Vec<Option<bool>> = seen.iter().map(|one| counter.observe(*one)).collect();
        assert_eq!(verdicts, [None, None, None, None, None, Some(false), None, Some(true)]);
    }
}
