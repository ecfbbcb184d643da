//! Places for pods: how many steps have one at the same time, in all and in each namespace. First come, first served.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::inbox::{Inbox, Message};
use crate::core::engine::{Event, NodeId};

type Who = (String, NodeId);

struct Waiter {
    ticket: u64,
    node: NodeId,
    inbox: Arc<Inbox>,
}

#[derive(Default)]
struct State {
    held: HashMap<String, HashSet<Who>>,
    count: usize,
    waiting: BTreeMap<String, VecDeque<Waiter>>,
    /// Who still waits, and with which ticket.
    wanted: HashMap<Who, u64>,
    next: u64,
}

/// All places.
pub(super) struct Places {
    state: Mutex<State>,
    all: usize,
    per_namespace: usize,
}

impl Places {
    pub(super) fn new(all: usize, per_namespace: usize) -> Self {
        Self { state: Mutex::default(), all: all.max(1), per_namespace: per_namespace.max(1) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place where there is one; else the node waits, and its run is told when it has one.
    pub(super) fn want(&self, namespace: &str, node: NodeId, inbox: &Arc<Inbox>) -> bool {
        let mut state = self.lock();
        let who = (inbox.run.clone(), node);
        let nobody_waits = state.waiting.get(namespace).is_none_or(VecDeque::is_empty);
        if nobody_waits && self.is_free(&state, namespace) {
            state.hold(namespace, who);
            return true;
        }
        let ticket = state.next;
        state.next += 1;
        state.wanted.insert(who, ticket);
        let waiter = Waiter { ticket, node, inbox: inbox.clone() };
        state.waiting.entry(namespace.to_owned()).or_default().push_back(waiter);
        false
    }

    /// Takes a place whether there is one or not: the pod exists.
    pub(super) fn take(&self, namespace: &str, run: &str, node: NodeId) {
        self.lock().hold(namespace, (run.to_owned(), node));
    }

    /// Forgets that a node waits.
    pub(super) fn unwant(&self, run: &str, node: NodeId) {
        self.lock().wanted.remove(&(run.to_owned(), node));
    }

    /// Gives a place back; a node that has none has nothing to give.
    pub(super) fn free(&self, namespace: &str, run: &str, node: NodeId) {
        let mut state = self.lock();
        if state.release(namespace, &(run.to_owned(), node)) {
            self.hand_out(&mut state);
        }
    }

    /// Gives back and forgets everything of a run.
    pub(super) fn leave(&self, run: &str) {
        let mut state = self.lock();
        state.wanted.retain(|(of, _), _| of != run);
        for held in state.held.values_mut() {
            held.retain(|(of, _)| of != run);
        }
        state.count = state.held.values().map(HashSet::len).sum();
        self.hand_out(&mut state);
    }

    fn is_free(&self, state: &State, namespace: &str) -> bool {
        let here = state.held.get(namespace).map_or(0, HashSet::len);
        state.count < self.all && here < self.per_namespace
    }

    fn hand_out(&self, state: &mut State) {
        while let Some(namespace) = self.next_namespace(state) {
            let Some(waiter) = state.waiting.get_mut(&namespace).and_then(VecDeque::pop_front) else { return };
            let who = (waiter.inbox.run.clone(), waiter.node);
            state.wanted.remove(&who);
            state.hold(&namespace, who);
            waiter.inbox.push(Message::Event(Event::Placed { node: waiter.node }));
        }
    }

    /// The namespace of the oldest ticket that there is a place for.
    fn next_namespace(&self, state: &mut State) -> Option<String> {
        let State { waiting, wanted, .. } = state;
        for queue in waiting.values_mut() {
            while queue
                .front()
                .is_some_and(|waiter| wanted.get(&(waiter.inbox.run.clone(), waiter.node)) != Some(&waiter.ticket))
            {
                queue.pop_front();
            }
        }
        waiting.retain(|_, queue| !queue.is_empty());
        let heads = state.waiting.iter().filter(|(namespace, _)| self.is_free(state, namespace));
        let first = heads.min_by_key(|(_, queue)| queue.front().map(|waiter| waiter.ticket));
        first.map(|(namespace, _)| namespace.clone())
    }
}

impl State {
    fn hold(&mut self, namespace: &str, who: Who) {
        if self.held.entry(namespace.to_owned()).or_default().insert(who) {
            self.count += 1;
        }
    }

    fn release(&mut self, namespace: &str, who: &Who) -> bool {
        let is_held = self.held.get_mut(namespace).is_some_and(|held| held.remove(who));
        if is_held {
            self.count -= 1;
        }
        is_held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(inbox: &Inbox) -> Vec<u64> {
        let told = inbox.take().0.into_iter().filter_map(|message| match message {
            Message::Event(Event::Placed { node }) => Some(node.0),
            _ => None,
        });
        told.collect()
    }

    #[test]
    fn places_go_to_the_first_that_may_have_one_and_never_beyond_a_bound() {
        let places = Places::new(2, 1);
        let inbox = Arc::new(Inbox::new("r".to_owned()));
        let wanted: Vec<bool> = [("a", 1), ("a", 2), ("b", 3), ("c", 4)]
            .map(|(namespace, node)| places.want(namespace, NodeId(node), &inbox))
            .to_vec();
        assert_eq!(wanted, [true, false, true, false]);
        places.free("b", "r", NodeId(3));
        assert_eq!(placed(&inbox), [4], "the second of namespace a may not have one");
        places.free("a", "r", NodeId(1));
        assert_eq!(placed(&inbox), [2]);
        places.free("a", "r", NodeId(1));
        assert_eq!(placed(&inbox), [] as [u64; 0], "what was given back is given once");
    }

    #[test]
    fn who_no_longer_wants_a_place_gets_none() {
        let places = Places::new(1, 1);
        let inbox = Arc::new(Inbox::new("r".to_owned()));
        for node in 1..=3 {
            places.want("a", NodeId(node), &inbox);
        }
        places.unwant("r", NodeId(2));
        places.free("a", "r", NodeId(1));
        assert_eq!(placed(&inbox), [3]);
    }
}
