//! Pulls of a node: one for all who want the same image, so many at once, and none that nobody waits for.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ferroflow_images::{
    core::{digest::Digest, record::NameRecord, reference::Reference},
    pull::{Progress, Step},
};
use ferroflow_platform::clock::{BoxFuture, SharedClock};
use futures::{
    FutureExt,
    future::{Shared, WeakShared},
};
use tokio::{sync::Semaphore, time::Instant};

/// Images that are pulled at once; each fetches three layers at a time.
const AT_ONCE: usize = 4;
/// A pull that goes on says so this often.
const TELL: Duration = Duration::from_secs(10);

/// An image that was pulled.
#[derive(Clone, Debug)]
pub struct Pulled {
    pub record: NameRecord,
    /// Without the wait for other pulls.
    pub took: Duration,
}

/// Who pulls what: pods with other logins do not share a pull.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub image: Reference,
    pub logins: Digest,
}

type Outcome = Result<Arc<Pulled>, String>;
type Pulling = Shared<BoxFuture<'static, Outcome>>;

/// The pulls that are under way.
pub struct Pulls {
    slots: Arc<Semaphore>,
    // Those who wait hold the pull; when the last of them goes, it ends.
    running: Mutex<HashMap<Key, WeakShared<BoxFuture<'static, Outcome>>>>,
}

impl Default for Pulls {
    fn default() -> Self {
        Self { slots: Arc::new(Semaphore::new(AT_ONCE)), running: Mutex::default() }
    }
}

impl Pulls {
    /// Joins the pull of this key, or begins it.
    ///
    /// # Errors
    /// Why the image cannot be had.
    pub async fn join(
        &self,
        key: Key,
        clock: SharedClock,
        pull: impl Future<Output = Result<NameRecord, String>> + Send + 'static,
    ) -> Outcome {
        let pulling = self.pulling(key, clock, pull);
        pulling.await
    }

    fn pulling(
        &self,
        key: Key,
        clock: SharedClock,
        pull: impl Future<Output = Result<NameRecord, String>> + Send + 'static,
    ) -> Pulling {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let current = running.get(&key).and_then(WeakShared::upgrade);
        if let Some(current) = current.filter(|current| current.peek().is_none()) {
            return current;
        }
        running.retain(|_, pulling| pulling.upgrade().is_some());
        let slots = self.slots.clone();
        let pulling = async move {
            let _slot = slots.acquire_owned().await.map_err(|error| error.to_string())?;
            let begun = clock.instant();
            let record = pull.await?;
            Ok(Arc::new(Pulled { record, took: clock.instant() - begun }))
        };
        let pulling = pulling.boxed().shared();
        running.extend(pulling.downgrade().map(|weak| (key, weak)));
        pulling
    }

    #[cfg(test)]
    fn count(&self) -> usize {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.values().filter(|pulling| pulling.upgrade().is_some()).count()
    }
}

/// Tells the log how far a pull is.
pub struct Telling {
    image: String,
    clock: SharedClock,
    state: Mutex<State>,
}

struct State {
    told: Instant,
    /// Bytes of each layer, and how many it has.
    layers: HashMap<Digest, (u64, u64)>,
}

impl Telling {
    /// Tells of the pull of an image from now on.
    pub fn new(image: &Reference, clock: SharedClock) -> Self {
        let state = Mutex::new(State { told: clock.instant(), layers: HashMap::new() });
        Self { image: image.to_string(), clock, state }
    }
}

impl Progress for Telling {
    fn step(&self, layer: &Digest, step: Step) {
        let Step::Downloaded { bytes, of_bytes } = step else {
            tracing::debug!(image = self.image, %layer, ?step, "a layer");
            return;
        };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.layers.insert(layer.clone(), (bytes, of_bytes));
        let now = self.clock.instant();
        if now.duration_since(state.told) >= TELL {
            state.told = now;
            let (bytes, of_bytes) =
                state.layers.values().fold((0, 0), |(bytes, of), (more, of_more)| (bytes + more, of + of_more));
            tracing::info!(image = self.image, bytes, of_bytes, "an image is being pulled");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use ferroflow_platform::clock::SystemClock;
    use futures::future::{join_all, pending};
    use tokio::sync::oneshot;

    use super::*;

    fn key(image: &str) -> Key {
        Key { image: image.parse().unwrap(), logins: Digest::of(b"") }
    }

    fn record(image: &str) -> NameRecord {
        let digest = Digest::of(image.as_bytes());
        NameRecord {
            version: 1,
            name: image.to_owned(),
            manifest: digest.clone(),
            target: digest.clone(),
            config: digest,
            platform: "linux/amd64".parse().unwrap(),
            layers: Vec::new(),
            pulled_s: 0,
            used_s: 0,
        }
    }

    #[tokio::test]
    async fn two_who_want_one_image_wait_for_one_pull() {
        let pulls = Pulls::default();
        let count = Arc::new(AtomicUsize::new(0));
        let (end, ended) = oneshot::channel::<()>();
        let pull = {
            let count = count.clone();
            async move {
                count.fetch_add(1, Ordering::Relaxed);
                ended.await.map_err(|error| error.to_string())?;
                Ok(record("a"))
            }
        };
        let mut first = pin!(pulls.join(key("a"), SystemClock::shared(), pull));
        assert!(futures::poll!(first.as_mut()).is_pending());
        let mut second = pin!(pulls.join(key("a"), SystemClock::shared(), async { panic!("a second pull") }));
        assert!(futures::poll!(second.as_mut()).is_pending());
        end.send(()).unwrap();
        let (first, second) = futures::join!(first, second);
        assert_eq!((first.unwrap().record.name.as_str(), second.unwrap().record.name.as_str()), ("a", "a"));
        assert_eq!(count.load(Ordering::Relaxed), 1);
        let third = pulls.join(key("a"), SystemClock::shared(), async { Err("gone".to_owned()) }).await;
        assert_eq!(third.unwrap_err(), "gone", "what is done is not joined");
    }

    #[tokio::test]
    async fn a_pull_ends_when_nobody_waits_for_it() {
        let pulls = Pulls::default();
        struct Told(Option<oneshot::Sender<()>>);
        impl Drop for Told {
            fn drop(&mut self) {
                let _ = self.0.take().unwrap().send(());
            }
        }
        let (sender, mut dropped) = oneshot::channel();
        let told = Told(Some(sender));
        let pull = async move {
            let _told = told;
            pending().await
        };
        let mut first = Box::pin(pulls.join(key("a"), SystemClock::shared(), pull));
        assert!(futures::poll!(first.as_mut()).is_pending());
        let mut second = Box::pin(pulls.join(key("a"), SystemClock::shared(), pending()));
        assert!(futures::poll!(second.as_mut()).is_pending());
        drop(first);
        assert!(dropped.try_recv().is_err(), "the other still waits");
        drop(second);
        dropped.await.unwrap();
        assert_eq!(pulls.count(), 0);
    }

    #[tokio::test]
    async fn so_many_images_are_pulled_at_once_and_no_more() {
        let pulls = Pulls::default();
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let all = (0..20).map(|number| {
            let (now, most) = (now.clone(), most.clone());
            pulls.join(key(&format!("a{number}")), SystemClock::shared(), async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                now.fetch_sub(1, Ordering::SeqCst);
                Ok(record("a"))
            })
        });
        assert!(join_all(all).await.iter().all(Result::is_ok));
        assert_eq!(most.load(Ordering::SeqCst), AT_ONCE);
    }
}
