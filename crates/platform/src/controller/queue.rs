//! A queue of keys: each is in it once, is never handed out twice at a time, and may wait for a time.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::Key;
use crate::clock::SharedClock;

/// The first wait after a failure; it doubles with each further one.
const FIRST_BACK_OFF: Duration = Duration::from_millis(5);
/// The longest wait after a failure: what is broken for long is looked at twice a minute.
const LAST_BACK_OFF: Duration = Duration::from_secs(30);

#[derive(Default)]
struct State {
    ready: VecDeque<Key>,
    queued: HashSet<Key>,
    running: HashSet<Key>,
    /// Keys that changed while they ran.
    dirty: HashSet<Key>,
    later: BTreeSet<(Instant, Key)>,
    due: HashMap<Key, Instant>,
    failures: BTreeMap<Key, u32>,
}

/// The queue. Cheap to clone; bounded by the number of keys that exist.
#[derive(Clone)]
pub struct Queue {
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
    clock: SharedClock,
}

impl Queue {
    /// An empty queue.
    pub fn new(clock: SharedClock) -> Self {
        Self { state: Arc::default(), changed: Arc::default(), clock }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a key now.
    pub fn add(&self, key: Key) {
        let mut state = self.lock();
        if let Some(at) = state.due.remove(&key) {
            state.later.remove(&(at, key.clone()));
        }
        state.enqueue(key);
        drop(state);
        self.changed.notify_one();
    }

    /// Queues a key after `delay`, unless it is queued earlier anyhow.
    pub fn add_after(&self, key: Key, delay: Duration) {
        let at = self.clock.instant() + delay;
        let mut state = self.lock();
        if state.queued.contains(&key) || state.due.get(&key).is_some_and(|earlier| *earlier <= at) {
            return;
        }
        if let Some(old) = state.due.insert(key.clone(), at) {
            state.later.remove(&(old, key.clone()));
        }
        state.later.insert((at, key));
        drop(state);
        self.changed.notify_one();
    }

    /// Queues a key after its back-off.
    pub fn add_failed(&self, key: Key) -> Duration {
        let failures = {
            let mut state = self.lock();
            let failures = state.failures.entry(key.clone()).or_insert(0);
            *failures = failures.saturating_add(1);
            *failures
        };
        let delay = FIRST_BACK_OFF.saturating_mul(1 << (failures - 1).min(13)).min(LAST_BACK_OFF);
        self.add_after(key, delay);
        delay
    }

    /// Forgets a key's failures.
    pub fn succeeded(&self, key: &Key) {
        self.lock().failures.remove(key);
    }

    /// Hands out the next key; it is not handed out again before [`done`](Self::done).
    pub async fn next(&self) -> Key {
        loop {
            let notified = self.changed.notified();
            let due = {
                let mut state = self.lock();
                state.wake(self.clock.instant());
                if let Some(key) = state.ready.pop_front() {
                    state.queued.remove(&key);
                    state.running.insert(key.clone());
                    if !state.ready.is_empty() {
                        self.changed.notify_one();
                    }
                    return key;
                }
                state.later.first().map(|(at, _)| *at)
            };
            match due {
                None => notified.await,
                Some(at) => tokio::select! {
                    () = notified => {}
                    () = self.clock.sleep_until(at) => {}
                },
            }
        }
    }

    /// Says that a key's run has ended; it is queued again if it changed meanwhile.
    pub fn done(&self, key: &Key) {
        let mut state = self.lock();
        state.running.remove(key);
        if state.dirty.remove(key) {
            state.enqueue(key.clone());
            drop(state);
            self.changed.notify_one();
        }
    }
}

impl State {
    fn enqueue(&mut self, key: Key) {
        if self.running.contains(&key) {
            self.dirty.insert(key);
        } else if self.queued.insert(key.clone()) {
            self.ready.push_back(key);
        }
    }

    fn wake(&mut self, now: Instant) {
        while self.later.first().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, key)) = self.later.pop_first() {
                self.due.remove(&key);
                self.enqueue(key);
            }
        }
    }
}
