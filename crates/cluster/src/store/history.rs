//! The ring of a resource's last changes: what watches replay, and what old views are made from.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use super::{Change, Entry, ObjectKey};

/// Changes kept of one resource; a watcher that is further behind lists anew.
const CHANGES: usize = 20_000;
/// Bytes of objects kept only for history of one resource: an object that is written often does not
/// fill the memory.
const BYTES: usize = 32 << 20;

/// Changes from the end on that keep their line of a watch, which is as long as the object: nearly all watchers are no
/// further behind, and one that is has it made once more.
const FRAMED: usize = 256;
/// Changes from the end on at which it is looked before the ring is searched.
const NEAR: usize = 4;

/// The last changes of one resource, oldest first.
#[derive(Default)]
pub struct History {
    changes: VecDeque<Arc<Change>>,
    bytes: usize,
    forgotten: u64,
}

impl History {
    /// Adds the newest change and forgets the oldest ones that do not fit.
    pub fn push(&mut self, change: Change) {
        self.bytes += weight(&change);
        self.changes.push_back(Arc::new(change));
        let last = self.changes.len().checked_sub(FRAMED + 1).and_then(|number| self.changes.get_mut(number));
        if let Some(last) = last {
            *last = Arc::new(last.without_frame());
        }
        while self.changes.len() > CHANGES || self.bytes > BYTES {
            let Some(oldest) = self.changes.pop_front() else { break };
            self.bytes -= weight(&oldest);
            self.forgotten = oldest.entry.revision;
        }
    }

    /// The revision of the newest change that is no longer known; 0 when all are.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// The revision of the newest change.
    pub fn newest(&self) -> u64 {
        self.changes.back().map_or(self.forgotten, |change| change.entry.revision)
    }

    /// The changes after a revision, at most `limit`.
    pub fn after(&self, revision: u64, limit: usize) -> Vec<Arc<Change>> {
        let is_known = |change: &Arc<Change>| change.entry.revision <= revision;
        // Most readers are a change or two behind.
        let near = self.changes.iter().rev().take(NEAR).position(is_known);
        let from = near.map_or_else(|| self.changes.partition_point(is_known), |behind| self.changes.len() - behind);
        self.changes.range(from..).take(limit).cloned().collect()
    }

    /// What must be put back to see the objects as they were at a revision: `None` for one that did
    /// not exist then.
    pub fn undone(&self, revision: u64) -> BTreeMap<ObjectKey, Option<Arc<Entry>>> {
        let from = self.changes.partition_point(|change| change.entry.revision <= revision);
        let mut undone = BTreeMap::new();
        for change in self.changes.range(from..) {
            undone.entry(change.entry.key.clone()).or_insert_with(|| change.previous.clone());
        }
        undone
    }
}

/// A change keeps its previous state alive; the new one lives anyhow until it is replaced.
fn weight(change: &Change) -> usize {
    change.previous.as_ref().map_or(0, |previous| previous.json.len()) + 64
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::store::ChangeKind;

    #[test]
    fn old_changes_keep_no_line_of_a_watch_and_give_the_same_one_again() {
        let mut history = History::default();
        let mut lines = Vec::new();
        for revision in 1..=(FRAMED as u64 + 3) {
            let json = Bytes::from(format!("{{\"metadata\":{{\"resourceVersion\":\"{revision}\"}}}}"));
            let entry = Arc::new(Entry::new(ObjectKey::new("a", "b"), revision, json));
            history.push(Change::new(ChangeKind::Put, entry, None));
            lines.push(history.after(revision - 1, 1)[0].frame());
        }
        let changes = history.after(0, usize::MAX);
        let kept = changes.iter().filter(|change| change.is_framed()).count();
        assert_eq!((changes.len(), kept), (FRAMED + 3, FRAMED));
        assert_eq!(changes.iter().map(|change| change.frame()).collect::<Vec<_>>(), lines);
    }
}
