//! Which webhooks are asked a second time about one request.

use std::collections::BTreeSet;

use serde_json::Value;

/// What is kept between the two rounds in which webhooks complete an object.
///
/// A webhook that asks for it (`IfNeeded`) is asked again where another has changed the object after it.
#[derive(Debug, Default)]
pub struct Rounds {
    is_second: bool,
    /// Those asked since the last change that want to know of changes.
    waiting: BTreeSet<String>,
    /// Those to be asked in the second round.
    due: BTreeSet<String>,
    /// What the first round has left.
    left: Option<Value>,
}

impl Rounds {
    /// Begins the second round.
    pub fn again(&mut self) {
        self.is_second = true;
    }

    /// Begins a pass over all webhooks: in the second round the server's own plugins may have changed the object.
    pub(super) fn begin(&mut self, object: Option<&Value>) {
        if self.is_second && self.left.as_ref() != object {
            self.changed();
        }
    }

    /// Ends a pass. What it has left matters only to webhooks that want to be asked again.
    pub(super) fn end(&mut self, object: Option<&Value>) {
        let matters = !self.is_second && !self.waiting.is_empty();
        self.left = if matters { object.cloned() } else { None };
    }

    /// Whether a webhook is asked in this round.
    pub(super) fn asks(&self, hook: &str) -> bool {
        !self.is_second || self.due.contains(hook)
    }

    /// The object is another now.
    pub(super) fn changed(&mut self) {
        self.due.append(&mut self.waiting);
    }

    /// A webhook that wants to be asked again has been asked.
    pub(super) fn asked(&mut self, hook: &str) {
        self.waiting.insert(hook.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn those_before_a_change_are_asked_again_and_no_others() {
        let mut rounds = Rounds::default();
        let (before, after) = (json!({"a": 1}), json!({"a": 2}));
        rounds.begin(Some(&before));
        assert!(rounds.asks("first") && rounds.asks("changes"));
        rounds.asked("first");
        rounds.changed();
        rounds.asked("changes");
        rounds.end(Some(&after));
        rounds.again();
        rounds.begin(Some(&after));
        assert!(rounds.asks("first") && !rounds.asks("changes") && !rounds.asks("other"));
    }

    #[test]
    fn a_change_by_the_server_itself_counts_for_all_that_were_asked() {
        let mut rounds = Rounds::default();
        rounds.begin(Some(&json!(1)));
        rounds.asked("first");
        rounds.end(Some(&json!(1)));
        rounds.again();
        rounds.begin(Some(&json!(2)));
        assert!(rounds.asks("first"));
    }
}
