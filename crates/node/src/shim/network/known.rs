//! What programs were told about their sockets, where the kernel would tell otherwise.
//!
//! A bounded memory: what is forgotten is answered with the address of the pod, which is true too.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
};

/// Sockets that are remembered; one takes about 150 bytes.
const LIMIT: usize = 2048;

/// What is known of one socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The address that the program asked to be bound to, where that is "any" or one of IPv6 alone. One of
    /// loopback shows as the pod's: programs tell others where they listen, and others have a loopback of their own.
    pub local: Option<SocketAddr>,
    /// The program may think that it is bound to a port of the system's choice, and it is bound to nothing yet:
    /// a socket that then connects to the world must not have an address of loopback.
    pub is_deferred: bool,
    /// The address that the program asked to be connected to.
    pub peer: Option<SocketAddr>,
}

/// Facts by the cookies of sockets.
#[derive(Default)]
pub struct Known {
    facts: HashMap<u64, Facts>,
    /// Oldest first.
    order: VecDeque<u64>,
}

impl Known {
    /// What is known of a socket.
    pub fn get(&self, cookie: u64) -> Facts {
        self.facts.get(&cookie).copied().unwrap_or_default()
    }

    /// Changes what is known of a socket. What is known of the oldest one is forgotten where there are too many.
    pub fn change(&mut self, cookie: u64, change: impl FnOnce(&mut Facts)) {
        let mut facts = self.get(cookie);
        change(&mut facts);
        if facts == Facts::default() && !self.facts.contains_key(&cookie) {
            return;
        }
        if self.facts.insert(cookie, facts).is_none() {
            self.order.push_back(cookie);
        }
        while self.order.len() > LIMIT {
            if let Some(oldest) = self.order.pop_front() {
                self.facts.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_socket_is_forgotten() {
        let mut known = Known::default();
        let count = u64::try_from(LIMIT).unwrap() + 1;
        for cookie in 1..=count {
            known.change(cookie, |facts| facts.is_deferred = true);
        }
        assert_eq!(known.get(1), Facts::default());
        assert!(known.get(2).is_deferred && known.get(count).is_deferred);
        assert_eq!(known.facts.len(), LIMIT);
    }

    #[test]
    fn nothing_is_kept_of_a_socket_of_which_nothing_is_known() {
        let mut known = Known::default();
        known.change(7, |facts| facts.peer = None);
        assert!(known.facts.is_empty() && known.order.is_empty());
    }
}
