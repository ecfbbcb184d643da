//! What a writer was promised, to be compared with what a crash has left.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The states of one key in the order in which they were written; `None` is absence.
#[derive(Clone, Debug)]
struct Column {
    states: Vec<Option<u64>>,
    /// The last of `states` that was acknowledged.
    acknowledged: usize,
}

#[derive(Clone, Debug, Default)]
struct Book {
    columns: BTreeMap<String, Column>,
    revision: u64,
    count: usize,
}

/// What was written and what of it was acknowledged. A key has one writer, which waits for an answer
/// before it writes again.
#[derive(Debug, Default)]
pub struct Ledger {
    book: Mutex<Book>,
}

/// What had been acknowledged at one moment.
#[derive(Clone, Debug)]
pub struct Promise {
    columns: BTreeMap<String, usize>,
    /// The newest acknowledged revision.
    pub revision: u64,
}

impl Ledger {
    /// A ledger of keys that hold these states already.
    pub fn starting_with(states: impl IntoIterator<Item = (String, u64)>, revision: u64) -> Self {
        let columns = states.into_iter();
        let columns = columns.map(|(key, state)| (key, Column { states: vec![Some(state)], acknowledged: 0 }));
        Self { book: Mutex::new(Book { columns: columns.collect(), revision, count: 0 }) }
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a write that is about to be sent.
    pub fn intend(&self, key: &str, state: Option<u64>) {
        let mut book = self.lock();
        let column = book.columns.entry(key.to_owned());
        column.or_insert_with(|| Column { states: vec![None], acknowledged: 0 }).states.push(state);
    }

    /// Notes that the last write of a key was acknowledged, and says how many were.
    pub fn acknowledge(&self, key: &str, revision: u64) -> usize {
        let mut book = self.lock();
        if let Some(column) = book.columns.get_mut(key) {
            column.acknowledged = column.states.len() - 1;
        }
        book.revision = book.revision.max(revision);
        book.count += 1;
        book.count
    }

    /// The last state that was written to a key, acknowledged or not.
    pub fn last(&self, key: &str) -> Option<u64> {
        self.lock().columns.get(key).and_then(|column| column.states.last().copied().flatten())
    }

    /// What is acknowledged now.
    pub fn promise(&self) -> Promise {
        let book = self.lock();
        let columns = book.columns.iter().map(|(key, column)| (key.clone(), column.acknowledged)).collect();
        Promise { columns, revision: book.revision }
    }

    /// What of a promise is broken: a key must hold the state that was acknowledged, or one that was
    /// written after it.
    pub fn broken(&self, promise: &Promise, found: &BTreeMap<String, u64>) -> Vec<String> {
        let book = self.lock();
        let mut broken = Vec::new();
        for (key, column) in &book.columns {
            let from = promise.columns.get(key).copied().unwrap_or(0);
            let allowed = &column.states[from..];
            let state = found.get(key).copied();
            if !allowed.contains(&state) {
                broken.push(format!("{key} holds {state:?}, and should hold one of {allowed:?}"));
            }
        }
        let unknown = found.keys().filter(|key| !book.columns.contains_key(*key));
        broken.extend(unknown.map(|key| format!("{key} was never written")));
        broken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_holds_what_was_acknowledged_or_what_came_after() {
        let ledger = Ledger::default();
        ledger.intend("a", Some(1));
        ledger.acknowledge("a", 10);
        let promise = ledger.promise();
        ledger.intend("a", Some(2));
        let check = |state: Option<u64>| {
            ledger.broken(&promise, &state.into_iter().map(|state| ("a".to_owned(), state)).collect()).is_empty()
        };
        assert!(check(Some(1)) && check(Some(2)));
        assert!(!check(None) && !check(Some(3)));
        assert_eq!(promise.revision, 10);
    }
}
