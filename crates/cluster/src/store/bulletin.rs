//! Tells the tasks that wait for the changes of a resource.
//!
//! A thousand watchers are told of each change. So a reader registers once and not for each change, and whoever posts
//! only looks at one waker a reader.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
};

/// The revision of the newest change, and who waits for a newer one.
#[derive(Default)]
pub struct Bulletin {
    newest: AtomicU64,
    next_number: AtomicU64,
    readers: Mutex<HashMap<u64, Arc<Bell>>>,
}

/// What wakes a reader, once it has waited.
type Bell = Mutex<Option<Waker>>;

impl Bulletin {
    /// Posts a revision and wakes all readers.
    pub fn post(&self, revision: u64) {
        self.newest.store(revision, Ordering::Release);
        for bell in lock(&self.readers).values() {
            if let Some(waker) = &*lock(bell) {
                waker.wake_by_ref();
            }
        }
    }

    /// A reader to whom everything that has been posted is old.
    pub fn subscribe(self: &Arc<Self>) -> Reader {
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        let bell = Arc::new(Mutex::new(None));
        lock(&self.readers).insert(number, bell.clone());
        let seen = self.newest.load(Ordering::Acquire);
        Reader { bulletin: self.clone(), number, bell, seen }
    }
}

/// One who waits for what is posted.
pub struct Reader {
    bulletin: Arc<Bulletin>,
    number: u64,
    bell: Arc<Bell>,
    seen: u64,
}

impl Reader {
    /// The newest revision, which is old from now on.
    pub fn read(&mut self) -> u64 {
        self.seen = self.bulletin.newest.load(Ordering::Acquire);
        self.seen
    }

    /// Ready when something has been posted since the last [`read`](Self::read).
    pub fn poll_new(&self, ctx: &Context<'_>) -> Poll<()> {
        let replaced = {
            let mut waker = lock(&self.bell);
            let is_known = waker.as_ref().is_some_and(|waker| waker.will_wake(ctx.waker()));
            if is_known { None } else { waker.replace(ctx.waker().clone()) }
        };
        // Not while the bell is held: what ends with a waker may be a reader, which takes the readers' lock.
        drop(replaced);
        // In this order: a post that comes between the two is seen here, a later one finds the waker.
        if self.bulletin.newest.load(Ordering::Acquire) > self.seen { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        lock(&self.bulletin.readers).remove(&self.number);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, time::Duration};

    use super::*;

    async fn read(reader: &mut Reader) -> u64 {
        let new = poll_fn(|ctx| reader.poll_new(ctx));
        tokio::time::timeout(Duration::from_secs(20), new).await.expect("something is posted");
        reader.read()
    }

    #[tokio::test]
    async fn a_reader_sees_what_is_posted_after_it_came() {
        let bulletin = Arc::new(Bulletin::default());
        bulletin.post(1);
        let mut reader = bulletin.subscribe();
        assert!(poll_fn(|ctx| Poll::Ready(reader.poll_new(ctx).is_pending())).await);
        bulletin.post(2);
        assert_eq!(read(&mut reader).await, 2);
        drop(reader);
        assert!(lock(&bulletin.readers).is_empty());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn no_reader_misses_the_last_post() {
        const LAST: u64 = 20_000;
        let bulletin = Arc::new(Bulletin::default());
        let readers: Vec<_> = (0..8)
            .map(|_| {
                let mut reader = bulletin.subscribe();
                tokio::spawn(async move { while read(&mut reader).await < LAST {} })
            })
            .collect();
        let poster = std::thread::spawn(move || (1..=LAST).for_each(|revision| bulletin.post(revision)));
        for reader in readers {
            reader.await.unwrap();
        }
        poster.join().unwrap();
    }
}
