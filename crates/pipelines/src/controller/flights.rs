//! Identical steps that run: the first runs, those that come later wait for it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::inbox::{Inbox, Message};
use crate::{
    core::engine::{Event, NodeId},
    store::cache::CacheKey,
};

struct Flight {
    run: String,
    node: NodeId,
    waiting: Vec<(NodeId, Arc<Inbox>)>,
}

/// Steps under way by what they stand for in the cache; bounded by the steps that are under way.
#[derive(Default)]
pub(super) struct Flights {
    by_key: Mutex<HashMap<CacheKey, Flight>>,
}

impl Flights {
    fn lock(&self) -> MutexGuard<'_, HashMap<CacheKey, Flight>> {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the node the first of its kind, or lets it wait for the one that is.
    pub(super) fn join(&self, key: &CacheKey, node: NodeId, inbox: &Arc<Inbox>) -> bool {
        let mut flights = self.lock();
        match flights.get_mut(key) {
            Some(flight) if flight.run == inbox.run && flight.node == node => true,
            Some(flight) => {
                flight.waiting.push((node, inbox.clone()));
                false
            }
            None => {
                flights.insert(key.clone(), Flight { run: inbox.run.clone(), node, waiting: Vec::new() });
                true
            }
        }
    }

    /// Ends the flight of a node, and tells those that wait for it; or lets the node no longer wait.
    pub(super) fn land(&self, key: &CacheKey, run: &str, node: NodeId) {
        let mut flights = self.lock();
        let Some(flight) = flights.get_mut(key) else { return };
        if flight.run == run && flight.node == node {
            let waiting = flights.remove(key).map(|flight| flight.waiting);
            drop(flights);
            tell(waiting.into_iter().flatten());
        } else {
            flight.waiting.retain(|(waits, inbox)| *waits != node || inbox.run != run);
        }
    }

    /// Forgets everything of a run.
    pub(super) fn leave(&self, run: &str) {
        let mut flights = self.lock();
        let mut told = Vec::new();
        flights.retain(|_, flight| {
            flight.waiting.retain(|(_, inbox)| inbox.run != run);
            if flight.run == run {
                told.append(&mut flight.waiting);
            }
            flight.run != run
        });
        drop(flights);
        tell(told.into_iter());
    }
}

fn tell(waiting: impl Iterator<Item = (NodeId, Arc<Inbox>)>) {
    for (node, inbox) in waiting {
        inbox.push(Message::Event(Event::Landed { node }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_runs_and_the_others_are_told_when_it_has_ended() {
        let flights = Flights::default();
        let key = CacheKey { namespace: "n".into(), pipeline_name: "p".into(), fingerprint: "f".into() };
        let inboxes = ["a", "b"].map(|run| Arc::new(Inbox::new(run.to_owned())));
        assert!(flights.join(&key, NodeId(1), &inboxes[0]));
        assert!(!flights.join(&key, NodeId(1), &inboxes[1]));
        assert!(!flights.join(&key, NodeId(2), &inboxes[1]));
        flights.land(&key, "b", NodeId(2));
        flights.land(&key, "a", NodeId(1));
        assert_eq!(inboxes[1].take().0.len(), 1, "the second of run b no longer waits");
        assert!(flights.join(&key, NodeId(1), &inboxes[1]));
        flights.leave("b");
        assert!(flights.join(&key, NodeId(7), &inboxes[0]));
    }
}
