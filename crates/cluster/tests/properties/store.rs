//! The store against a map.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use ferroflow_cluster::store::{
    ChangeKind, Durability, Entry, Expected, ListRange, ObjectKey, Store, Unavailable, Write, WriteError,
};
use jiff::Timestamp;
use proptest::{collection::vec, prelude::*};
use serde_json::json;
use tempfile::tempdir;

use super::{runner, runtime};

const RESOURCE: &str = "things";

/// What a writer believes, rightly or not.
#[derive(Clone, Copy, Debug)]
enum Belief {
    Right,
    Absent,
    Older,
    Newer,
}

#[derive(Clone, Debug)]
enum Op {
    Put {
        key: usize,
        belief: Belief,
        value: u8,
    },
    Delete {
        key: usize,
        belief: Belief,
    },
    /// Remember the view of now, for a watch and for pages later.
    Look,
    /// Close the store and open it again.
    Reopen,
}

fn op() -> impl Strategy<Value = Op> {
    let key = || 0..6_usize;
    let belief = || prop_oneof![6 => Just(Belief::Right), 1 => Just(Belief::Absent), 1 => Just(Belief::Older), 1 => Just(Belief::Newer)];
    prop_oneof![
        6 => (key(), belief(), any::<u8>()).prop_map(|(key, belief, value)| Op::Put { key, belief, value }),
        3 => (key(), belief()).prop_map(|(key, belief)| Op::Delete { key, belief }),
        2 => Just(Op::Look),
        1 => Just(Op::Reopen),
    ]
}

fn key_of(key: usize) -> ObjectKey {
    ObjectKey::new(["a", "b"][key % 2], ["x", "y", "z"][key / 2])
}

type View = BTreeMap<ObjectKey, (u64, Bytes)>;

fn view(entries: &[Arc<Entry>]) -> View {
    entries.iter().map(|entry| (entry.key.clone(), (entry.revision, entry.json.clone()))).collect()
}

fn open(directory: &Path) -> Store {
    let failed = Box::new(|error| panic!("the disk refused a write: {error}"));
    Store::open(directory, Timestamp::from_second(1_700_000_000).unwrap(), failed).unwrap()
}

fn body(value: u8, revision: u64) -> Bytes {
    json!({"metadata": {"labels": {"value": value.to_string()}, "resourceVersion": revision.to_string()}})
        .to_string()
        .into()
}

struct Model {
    live: View,
    newest: u64,
    /// Views that were looked at since the store was opened.
    looks: Vec<(u64, View)>,
}

impl Model {
    fn expected(&self, key: &ObjectKey, belief: Belief) -> Expected {
        let current = self.live.get(key).map(|(revision, _)| *revision);
        match (belief, current) {
            (Belief::Absent, _) | (Belief::Right, None) => Expected::Absent,
            (Belief::Right, Some(revision)) => Expected::At(revision),
            (Belief::Older, revision) => Expected::At(revision.unwrap_or(self.newest) - 1),
            (Belief::Newer, revision) => Expected::At(revision.unwrap_or(self.newest) + 1),
        }
    }

    fn allows(&self, key: &ObjectKey, expected: Expected) -> bool {
        match (expected, self.live.get(key)) {
            (Expected::Absent, None) => true,
            (Expected::At(wanted), Some((revision, _))) => wanted == *revision,
            _ => false,
        }
    }
}

async fn write(
    store: &Store,
    model: &mut Model,
    key: ObjectKey,
    expected: Expected,
    value: Option<u8>,
) -> Result<(), TestCaseError> {
    let allowed = model.allows(&key, expected) && (value.is_some() || model.live.contains_key(&key));
    let act = match value {
        Some(value) => Write::Put(Box::new(move |revision| body(value, revision))),
        None => Write::Delete(Box::new(move |revision| body(0, revision))),
    };
    match store.write(RESOURCE, key.clone(), expected, act, Durability::Synced).await {
        Ok(entry) => {
            prop_assert!(allowed, "a write of {key:?} that expects {expected:?} won");
            prop_assert!(entry.revision > model.newest, "{} after {}", entry.revision, model.newest);
            prop_assert_eq!(store.revision(), entry.revision, "what is acknowledged is visible");
            model.newest = entry.revision;
            match value {
                Some(_) => model.live.insert(key, (entry.revision, entry.json.clone())),
                None => model.live.remove(&key),
            };
        }
        Err(WriteError::Stale) => {
            prop_assert!(!allowed, "a write of {key:?} that expects {expected:?} lost");
            prop_assert_eq!(store.revision(), model.newest, "a refused write has no revision");
        }
        Err(WriteError::Disk(error)) => return Err(TestCaseError::fail(error.to_string())),
    }
    Ok(())
}

async fn play(ops: Vec<Op>, page: usize) -> Result<(), TestCaseError> {
    let directory = tempdir().unwrap();
    let mut store = open(directory.path());
    let mut model = Model { live: View::new(), newest: store.revision(), looks: Vec::new() };
    model.looks.push((model.newest, View::new()));
    for op in ops {
        match op {
            Op::Put { key, belief, value } => {
                let key = key_of(key);
                let expected = model.expected(&key, belief);
                write(&store, &mut model, key, expected, Some(value)).await?;
            }
            Op::Delete { key, belief } => {
                let key = key_of(key);
                // A delete of what is not there is decided before the store is asked.
                if model.live.contains_key(&key) {
                    let expected = model.expected(&key, belief);
                    write(&store, &mut model, key, expected, None).await?;
                }
            }
            Op::Look => {
                let snapshot = store.list(RESOURCE, &ListRange::default()).unwrap();
                prop_assert_eq!(view(&snapshot.entries), model.live.clone());
                model.looks.push((snapshot.revision, model.live.clone()));
            }
            Op::Reopen => {
                drop(store);
                store = open(directory.path());
                prop_assert_eq!(store.revision(), model.newest, "the revision survives");
                for (revision, _) in model.looks.drain(..) {
                    let refused = store.watch(RESOURCE, revision).err();
                    let expired = matches!(refused, Some(Unavailable::Expired { .. }));
                    prop_assert!(expired || revision == model.newest, "a watch over a restart");
                }
                model.looks.push((model.newest, model.live.clone()));
            }
        }
        prop_assert_eq!(store.count(RESOURCE), model.live.len());
    }
    for (revision, looked) in &model.looks {
        check_old_view(&store, *revision, looked, page)?;
        check_watch(&store, *revision, looked, &model.live)?;
    }
    store.compact(model.newest);
    for (revision, looked) in &model.looks {
        let range = ListRange { at: Some(*revision), ..ListRange::default() };
        let is_given = store.list(RESOURCE, &range).is_ok();
        prop_assert_eq!(is_given, *revision == model.newest, "views older than the compaction are gone");
        check_watch(&store, *revision, looked, &model.live)?;
    }
    Ok(())
}

/// A list at an old revision, whole and in pages, is what was seen then.
fn check_old_view(store: &Store, revision: u64, looked: &View, page: usize) -> Result<(), TestCaseError> {
    let range = ListRange { at: Some(revision), ..ListRange::default() };
    prop_assert_eq!(&view(&store.list(RESOURCE, &range).unwrap().entries), looked, "the view at {}", revision);
    let mut joined = View::new();
    let mut after = None;
    loop {
        let range = ListRange { at: Some(revision), limit: Some(page), after, ..ListRange::default() };
        let snapshot = store.list(RESOURCE, &range).unwrap();
        prop_assert!(snapshot.entries.len() <= page);
        prop_assert_eq!(snapshot.revision, revision);
        joined.extend(view(&snapshot.entries));
        prop_assert_eq!(joined.len() + snapshot.remaining, looked.len(), "what remains is counted");
        if snapshot.remaining == 0 {
            break;
        }
        after = snapshot.entries.last().map(|entry| entry.key.clone());
    }
    prop_assert_eq!(&joined, looked, "the pages at {}", revision);
    let inside = ListRange { at: Some(revision), namespace: Some("a"), ..ListRange::default() };
    let expect: View = looked.clone().into_iter().filter(|(key, _)| &*key.namespace == "a").collect();
    prop_assert_eq!(view(&store.list(RESOURCE, &inside).unwrap().entries), expect);
    Ok(())
}

/// The changes after a revision, applied to the view at it, give the view of now.
fn check_watch(store: &Store, revision: u64, looked: &View, live: &View) -> Result<(), TestCaseError> {
    let mut watch = store.watch(RESOURCE, revision).unwrap();
    let mut state = looked.clone();
    let mut last = revision;
    loop {
        let changes = watch.take(3).unwrap();
        if changes.is_empty() {
            break;
        }
        for change in changes {
            prop_assert!(change.entry.revision > last, "events come in order of revision");
            last = change.entry.revision;
            let key = change.entry.key.clone();
            let before = state.get(&key).map(|(revision, _)| *revision);
            prop_assert_eq!(change.previous.as_ref().map(|entry| entry.revision), before, "the state before");
            let known = match change.event_type() {
                "ADDED" => before.is_none(),
                _ => before.is_some(),
            };
            prop_assert!(known, "{} of {key:?}", change.event_type());
            match change.kind {
                ChangeKind::Put => state.insert(key, (change.entry.revision, change.entry.json.clone())),
                ChangeKind::Delete => state.remove(&key),
            };
        }
    }
    prop_assert_eq!(&state, live);
    Ok(())
}

#[test]
fn any_history_of_the_store_is_that_of_a_map() {
    let runtime = runtime();
    let strategy = (vec(op(), 1..50), 1..4_usize);
    let played = runner(64).run(&strategy, |(ops, page)| runtime.block_on(play(ops, page)));
    played.unwrap();
}

#[test]
fn of_writers_that_race_one_wins_each_revision() {
    const WRITERS: u64 = 8;
    const WINS: u64 = 25;
    let directory = tempdir().unwrap();
    let store = open(directory.path());
    let first = store.revision();
    let won = Arc::new(AtomicU64::new(0));
    runtime().block_on(async {
        let key = ObjectKey::new("a", "counter");
        let write = Write::Put(Box::new(|_| Bytes::from_static(b"0")));
        store.write(RESOURCE, key.clone(), Expected::Absent, write, Durability::Synced).await.unwrap();
        let mut writers = tokio::task::JoinSet::new();
        for _ in 0..WRITERS {
            let (store, key, won) = (store.clone(), key.clone(), won.clone());
            writers.spawn(async move {
                for _ in 0..WINS {
                    increment(&store, &key).await;
                    won.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        writers.join_all().await;
        let counter = store.get(RESOURCE, &key).unwrap();
        assert_eq!(counter.json, (WRITERS * WINS).to_string().as_bytes(), "no increment is lost");
    });
    assert_eq!(won.load(Ordering::Relaxed), WRITERS * WINS);
    assert_eq!(store.revision(), first + 1 + WRITERS * WINS, "a write that lost has no revision");
}

async fn increment(store: &Store, key: &ObjectKey) {
    loop {
        let now = store.get(RESOURCE, key).unwrap();
        let count: u64 = std::str::from_utf8(&now.json).unwrap().parse().unwrap();
        let act = Write::Put(Box::new(move |_| (count + 1).to_string().into()));
        match store.write(RESOURCE, key.clone(), Expected::At(now.revision), act, Durability::Synced).await {
            Ok(_) => return,
            Err(WriteError::Stale) => {}
            Err(WriteError::Disk(error)) => panic!("{error}"),
        }
    }
}

/// Who reads several watches up to one revision relies on this.
#[test]
fn what_a_revision_has_changed_is_in_the_watch_once_the_revision_is_reached() {
    const WRITES: u64 = 3_000;
    let directory = tempdir().unwrap();
    runtime().block_on(async {
        let store = open(directory.path());
        let mut watch = store.watch(RESOURCE, store.revision()).unwrap();
        let last = store.revision() + WRITES;
        let reader = store.clone();
        let reading = tokio::spawn(async move {
            let mut reached = reader.revision();
            while reached < last {
                reader.reached(reached + 1).await;
                let visible = reader.revision();
                let taken = watch.take(usize::MAX).unwrap().last().map(|change| change.entry.revision);
                reached = taken.unwrap_or(reached);
                assert!(reached >= visible, "{visible} was reached, and the watch ends at {reached}");
            }
        });
        for number in 0..WRITES {
            let build = move |revision| body(u8::try_from(number % 256).unwrap(), revision);
            let key = ObjectKey::new("a", format!("{number}").as_str());
            let put = Write::Put(Box::new(build));
            store.write(RESOURCE, key, Expected::Absent, put, Durability::Relaxed).await.unwrap();
        }
        reading.await.unwrap();
    });
}
