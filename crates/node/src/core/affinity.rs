//! Which endpoint a client stays with, at a service with `sessionAffinity: ClientIP`.
//!
//! As kube-proxy has it: for as long as the client comes back within the time that the service says, each connection
//! begins that time anew; whoever comes later, or whose endpoint has left the service, is given another.

use std::{
    collections::HashMap,
    hash::Hash,
    net::Ipv4Addr,
    time::{Duration, Instant},
};

/// An endpoint's address and port.
pub type Backend = (Ipv4Addr, u16);

/// What is remembered of clients, or of services where there is one client.
#[derive(Debug)]
pub struct Kept<K> {
    rows: HashMap<K, (Backend, Instant)>,
    limit: usize,
}

impl<K: Eq + Hash> Kept<K> {
    /// Remembers so many at the most; those beyond are given any endpoint.
    pub fn new(limit: usize) -> Self {
        Self { rows: HashMap::new(), limit }
    }

    /// The place of the endpoint in `backends` that `key` stays with, where its time of so many seconds is not over.
    pub fn place(&self, key: &K, backends: &[Backend], seconds: u32, now: Instant) -> Option<usize> {
        let (backend, used) = self.rows.get(key)?;
        let is_fresh = now.saturating_duration_since(*used) < Duration::from_secs(seconds.into());
        backends.iter().position(|one| is_fresh && one == backend)
    }

    /// Remembers that `key` has been led to an endpoint. Those whose time is over make room.
    pub fn keep(&mut self, key: K, backend: Backend, seconds: u32, now: Instant) {
        if self.rows.len() >= self.limit && !self.rows.contains_key(&key) {
            let time = Duration::from_secs(seconds.into());
            self.rows.retain(|_, (_, used)| now.saturating_duration_since(*used) < time);
        }
        if self.rows.len() < self.limit || self.rows.contains_key(&key) {
            self.rows.insert(key, (backend, now));
        }
    }

    /// Whether `key` is remembered, also where its time is over.
    pub fn knows(&self, key: &K) -> bool {
        self.rows.contains_key(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Backend = (Ipv4Addr::new(10, 244, 0, 1), 80);
    const TWO: Backend = (Ipv4Addr::new(10, 244, 0, 2), 80);

    #[test]
    fn a_client_stays_as_long_as_it_comes_back_in_time_and_its_endpoint_is_there() {
        let begin = Instant::now();
        let at = |seconds: u64| begin + Duration::from_secs(seconds);
        let mut kept = Kept::new(8);
        assert_eq!(kept.place(&"a", &[ONE, TWO], 10, at(0)), None);
        kept.keep("a", TWO, 10, at(0));
        assert_eq!(kept.place(&"a", &[ONE, TWO], 10, at(9)), Some(1));
        assert_eq!(kept.place(&"b", &[ONE, TWO], 10, at(9)), None, "another client");
        kept.keep("a", TWO, 10, at(9));
        assert_eq!(kept.place(&"a", &[ONE, TWO], 10, at(18)), Some(1), "the time begins anew");
        assert_eq!(kept.place(&"a", &[ONE, TWO], 10, at(19)), None, "the time is over");
        assert!(kept.knows(&"a"));
        assert_eq!(kept.place(&"a", &[ONE], 10, at(10)), None, "the endpoint is gone");
    }

    #[test]
    fn so_many_clients_are_remembered_and_no_more() {
        let begin = Instant::now();
        let mut kept = Kept::new(2);
        for key in 0..3 {
            kept.keep(key, ONE, 10, begin);
        }
        assert!(kept.knows(&0) && kept.knows(&1) && !kept.knows(&2));
        let later = begin + Duration::from_secs(10);
        kept.keep(3, ONE, 10, later);
        assert!(kept.knows(&3) && !kept.knows(&0), "those whose time is over make room");
    }
}
