//! The loop that runs a reconciler for each key.

use std::{future::Future, sync::Arc};

use futures::future::join_all;
use jiff::Timestamp;
use kube::ResourceExt;

use super::{Cache, CacheError, Key, Next, Queue, cache::Object};
use crate::{
    clock::{BoxFuture, SharedClock},
    task::{Group, Kind as TaskKind},
};

/// Why a pass failed; the key is tried again after a back-off.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Kube(#[from] kube::Error),
    #[error(transparent)]
    Cache(#[from] CacheError),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// Anything else, in words that a user understands.
    #[error("{0}")]
    Other(String),
}

impl Error {
    /// Whether another writer was faster, which is ordinary and not worth a warning.
    fn is_race(&self) -> bool {
        matches!(self, Self::Kube(kube::Error::Api(status)) if status.code == 409 || status.code == 404)
    }
}

/// Brings one object's world to what the object says.
pub trait Reconciler: Send + Sync + 'static {
    /// Looks at everything, decides, and does it. `now` is the time of the pass.
    ///
    /// # Errors
    /// Whatever failed; the key is tried again after a back-off.
    fn reconcile(&self, key: Key, now: Timestamp) -> impl Future<Output = Result<Next, Error>> + Send;
}

type Current = Box<dyn Fn() -> BoxFuture<'static, Result<(), CacheError>> + Send + Sync>;

/// A reconciler's loop while it is put together.
pub struct Controller {
    name: &'static str,
    queue: Queue,
    clock: SharedClock,
    caches: Vec<Current>,
    workers: usize,
}

impl Controller {
    /// A controller with one worker and nothing that wakes it.
    pub fn new(name: &'static str, clock: SharedClock) -> Self {
        Self { name, queue: Queue::new(clock.clone()), clock, caches: Vec::new(), workers: 1 }
    }

    /// Lets up to `workers` keys be reconciled at the same time.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Wakes the key of each object that changes.
    #[must_use]
    pub fn watch<K: Object>(self, cache: &Cache<K>) -> Self {
        self.watch_mapped(cache, |object: &K| vec![Key::new(object.namespace().unwrap_or_default(), object.name_any())])
    }

    /// Wakes the controlling owner, of kind `kind`, of each object that changes.
    #[must_use]
    pub fn watch_owned<K: Object>(self, cache: &Cache<K>, kind: &'static str) -> Self {
        self.watch_mapped(cache, move |object: &K| {
            let owners = object.owner_references().iter();
            let controllers = owners.filter(|owner| owner.controller == Some(true) && owner.kind == kind);
            controllers.map(|owner| Key::new(object.namespace().unwrap_or_default(), owner.name.clone())).collect()
        })
    }

    /// Wakes the keys that `map` names for each object that changes, for its old and its new state.
    #[must_use]
    pub fn watch_mapped<K: Object>(
        self,
        cache: &Cache<K>,
        map: impl Fn(&K) -> Vec<Key> + Send + Sync + 'static,
    ) -> Self {
        let queue = self.queue.clone();
        cache.on_change(move |old, new| {
            for object in old.into_iter().chain(new) {
                for key in map(object) {
                    queue.add(key);
                }
            }
        });
        self.reads(cache)
    }

    /// Says that the reconciler reads `cache` without being woken by it: a pass waits until it is current.
    #[must_use]
    pub fn reads<K: Object>(mut self, cache: &Cache<K>) -> Self {
        let cache = cache.clone();
        self.caches.push(Box::new(move || {
            let cache = cache.clone();
            Box::pin(async move { cache.current().await })
        }));
        self
    }

    /// The queue, for what wakes a key beside caches.
    pub fn queue(&self) -> Queue {
        self.queue.clone()
    }

    /// Starts the workers as essential tasks of `group`.
    pub fn run(self, group: &Group, reconciler: impl Reconciler) {
        let reconciler = Arc::new(reconciler);
        let caches = Arc::new(self.caches);
        for worker in 0..self.workers {
            let pass = Pass {
                name: self.name,
                queue: self.queue.clone(),
                clock: self.clock.clone(),
                caches: caches.clone(),
                reconciler: reconciler.clone(),
            };
            group.spawn(format!("controller {} {worker}", self.name), TaskKind::Essential, async move {
                loop {
                    pass.once().await;
                }
                #[expect(unreachable_code, reason = "gives the loop its result type")]
                Ok::<(), std::convert::Infallible>(())
            });
        }
    }
}

struct Pass<R> {
    name: &'static str,
    queue: Queue,
    clock: SharedClock,
    caches: Arc<Vec<Current>>,
    reconciler: Arc<R>,
}

impl<R: Reconciler> Pass<R> {
    async fn once(&self) {
        let key = self.queue.next().await;
        for current in join_all(self.caches.iter().map(|current| current())).await {
            if let Err(error) = current {
                tracing::warn!(controller = self.name, %error, "cache is late");
            }
        }
        match self.reconciler.reconcile(key.clone(), self.clock.now()).await {
            Ok(next) => {
                self.queue.succeeded(&key);
                self.queue.done(&key);
                if let Next::After(delay) = next {
                    self.queue.add_after(key, delay);
                }
            }
            Err(error) => {
                self.queue.done(&key);
                let delay = self.queue.add_failed(key.clone());
                if error.is_race() {
                    tracing::debug!(controller = self.name, %key, %error, ?delay, "raced");
                } else {
                    tracing::warn!(controller = self.name, %key, %error, ?delay, "reconcile failed");
                }
            }
        }
    }
}
