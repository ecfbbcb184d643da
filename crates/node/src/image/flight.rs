//! One making of a thing for all who wait for it, which ends when nobody waits any more.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use ferroflow_platform::clock::BoxFuture;
use futures::{
    FutureExt,
    future::{Shared, WeakShared},
};

type Making<T> = WeakShared<BoxFuture<'static, T>>;

/// What is being made, by its name.
pub struct Flights<T: Clone> {
    running: Mutex<HashMap<String, Making<T>>>,
}

impl<T: Clone> Default for Flights<T> {
    fn default() -> Self {
        Self { running: Mutex::default() }
    }
}

impl<T: Clone + Send + Sync + 'static> Flights<T> {
    /// Joins the making of this name, or begins it. What is done is not joined.
    pub fn join(&self, name: &str, make: impl Future<Output = T> + Send + 'static) -> Shared<BoxFuture<'static, T>> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let current = running.get(name).and_then(WeakShared::upgrade);
        if let Some(current) = current.filter(|current| current.peek().is_none()) {
            return current;
        }
        running.retain(|_, making| making.upgrade().is_some());
        let making = make.boxed().shared();
        running.extend(making.downgrade().map(|weak| (name.to_owned(), weak)));
        making
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test]
    async fn those_who_want_the_same_wait_for_one_making() {
        let flights = Flights::default();
        let (end, ended) = tokio::sync::oneshot::channel::<u32>();
        let first = flights.join("a", async move { ended.await.unwrap_or_default() });
        let second = flights.join("a", async { 2 });
        let other = flights.join("b", async { 3 });
        end.send(1).unwrap();
        assert_eq!((second.await, first.await, other.await), (1, 1, 3));
        assert_eq!(flights.join("a", async { 4 }).await, 4, "what is done is not joined");
    }

    #[tokio::test]
    async fn a_making_that_nobody_waits_for_is_dropped() {
        let flights = Flights::<u32>::default();
        let (held, mut dropped) = tokio::sync::oneshot::channel::<()>();
        let making = flights.join("a", async move {
            let _held = held;
            pending().await
        });
        assert!(dropped.try_recv().is_err_and(|error| error == tokio::sync::oneshot::error::TryRecvError::Empty));
        drop(making);
        assert!(dropped.await.is_err(), "it is gone with all that it held");
    }
}
