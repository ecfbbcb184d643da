//! All live objects in memory, every acknowledged write on disk, every change in a ring for watches.
//!
//! * A write is checked and numbered under one lock ([`Store::write`]), queued to the group-commit
//!   writer, and becomes visible, and acknowledged, when its group is on disk.
//! * Reads and watches see only what is on disk; they never touch it.
//! * Each write has a revision of its own. A new store starts at a revision that is higher than any
//!   an older one can have reached, so that a client of the older one is told to list anew.
//!
//! The store knows objects as bytes with a name, labels and a revision. It decides nothing else.

mod bulletin;
mod disk;
mod draft;
mod entry;
mod history;

use std::{
    collections::{BTreeMap, HashMap},
    future::poll_fn,
    ops::Bound,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use ferroflow_platform::sql;
use jiff::Timestamp;
use tokio::sync::{oneshot, watch};

use bulletin::{Bulletin, Reader};
pub use disk::Error;
use disk::{Act, Row};
pub use draft::Draft;
pub use entry::{Change, ChangeKind, Entry, ObjectKey, frame, write_object};
use history::History;

/// Why a write was not made.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The object is not in the state that the writer expects; read again and decide again.
    #[error("the object has changed")]
    Stale,
    #[error(transparent)]
    Disk(#[from] sql::Error),
}

/// What a writer believes of the object it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    Absent,
    /// It stands at this revision.
    At(u64),
}

/// Whether the caller waits for the disk (see [`sql::Act::durable`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    Synced,
    /// For Events and heartbeats: the next synced write carries it along.
    Relaxed,
}

/// What becomes of the object; the closure gets the revision and returns the object's JSON with it.
pub enum Write {
    Put(Box<dyn FnOnce(u64) -> Bytes + Send>),
    /// The closure returns the last state, which watchers are shown.
    Delete(Box<dyn FnOnce(u64) -> Bytes + Send>),
}

/// A consistent view of one resource's objects.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub revision: u64,
    pub entries: Vec<Arc<Entry>>,
    /// Objects after the last one of `entries` in the same view.
    pub remaining: usize,
}

/// A requested revision is not to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// Older than what the ring holds: list anew.
    Expired { oldest: u64 },
    /// Newer than the newest.
    Future { current: u64 },
}

/// What a list reads.
#[derive(Clone, Debug, Default)]
pub struct ListRange<'a> {
    /// Only objects of this namespace.
    pub namespace: Option<&'a str>,
    /// Only objects after this one.
    pub after: Option<ObjectKey>,
    /// At most so many; all when `None`.
    pub limit: Option<usize>,
    /// The view as it was at this revision; the newest when `None`.
    pub at: Option<u64>,
}

#[derive(Default)]
struct Objects {
    entries: BTreeMap<ObjectKey, Arc<Entry>>,
    history: History,
}

struct Resource {
    name: Arc<str>,
    objects: RwLock<Objects>,
    /// Where watchers of this resource are told of its newest change.
    changed: Arc<Bulletin>,
}

struct Pending {
    /// The revision that the last queued write has.
    revision: u64,
    /// Queued writes that are not visible yet: revision, and whether the object exists after it.
    overlay: HashMap<(Arc<str>, ObjectKey), (u64, bool)>,
}

struct Inner {
    resources: RwLock<HashMap<Arc<str>, Arc<Resource>>>,
    pending: Mutex<Pending>,
    /// The newest revision on disk.
    visible: watch::Sender<u64>,
    /// No change at or below this revision is known any more.
    start: u64,
    /// No view older than this revision is given any more.
    compacted: AtomicU64,
}

/// The store. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
    writer: sql::Writer<Act>,
}

impl Store {
    /// Opens or makes the store in `directory`. `failed` is called when a write to the disk fails,
    /// after which nothing is acknowledged any more; the binary ends the process.
    ///
    /// # Errors
    /// When the database cannot be opened or read, or another process holds it.
    pub fn open(directory: &Path, now: Timestamp, failed: Box<dyn FnOnce(sql::Error) + Send>) -> Result<Self, Error> {
        let (connection, revision, rows) = disk::open(directory, now)?;
        let inner = Arc::new(Inner {
            resources: RwLock::default(),
            pending: Mutex::new(Pending { revision, overlay: HashMap::new() }),
            visible: watch::Sender::new(revision),
            start: revision,
            compacted: AtomicU64::new(0),
        });
        for Row { resource, key, revision, json } in rows {
            let entry = Arc::new(Entry::new(key.clone(), revision, json));
            write(&inner.resource(&resource).objects).entries.insert(key, entry);
        }
        let publisher = inner.clone();
        let (writer, _thread) = sql::Writer::start(connection, Box::new(move |acts| publisher.publish(acts)), failed)?;
        Ok(Self { inner, writer })
    }

    /// The newest revision that is on disk.
    pub fn revision(&self) -> u64 {
        *self.inner.visible.borrow()
    }

    /// Completes when `revision` is on disk.
    pub async fn reached(&self, revision: u64) {
        // The sender lives as long as the store, so that waiting ends only with the revision.
        let _ = self.inner.visible.subscribe().wait_for(|visible| *visible >= revision).await;
    }

    /// The object of a key.
    pub fn get(&self, resource: &str, key: &ObjectKey) -> Option<Arc<Entry>> {
        read(&self.inner.resource(resource).objects).entries.get(key).cloned()
    }

    /// How many objects of a resource there are.
    pub fn count(&self, resource: &str) -> usize {
        read(&self.inner.resource(resource).objects).entries.len()
    }

    /// Lists objects in key order.
    ///
    /// # Errors
    /// [`Unavailable`] when `range.at` is not to be had.
    pub fn list(&self, resource: &str, range: &ListRange<'_>) -> Result<Snapshot, Unavailable> {
        let resource = self.inner.resource(resource);
        let objects = read(&resource.objects);
        let current = self.current(&objects);
        let Some(at) = range.at.filter(|at| *at != current) else {
            return Ok(page(&objects.entries, range, current));
        };
        self.available(&objects, at, current)?;
        let compacted = self.inner.compacted.load(Ordering::Relaxed);
        if at < compacted {
            return Err(Unavailable::Expired { oldest: compacted });
        }
        let undone = objects.history.undone(at);
        if undone.is_empty() {
            return Ok(page(&objects.entries, range, at));
        }
        let mut entries = objects.entries.clone();
        for (key, entry) in undone {
            match entry {
                Some(entry) => entries.insert(key, entry),
                None => entries.remove(&key),
            };
        }
        Ok(page(&entries, range, at))
    }

    /// Gives up the views older than `revision`: lists of them are refused. Watches are not concerned.
    pub fn compact(&self, revision: u64) {
        self.inner.compacted.fetch_max(revision, Ordering::Relaxed);
    }

    /// The revision of what `objects` shows: a group becomes visible resource by resource, so that one
    /// may be ahead of the store's own revision for a moment.
    fn current(&self, objects: &Objects) -> u64 {
        self.revision().max(objects.history.newest())
    }

    fn available(&self, objects: &Objects, at: u64, current: u64) -> Result<(), Unavailable> {
        let oldest = objects.history.forgotten().max(self.inner.start);
        if at < oldest {
            Err(Unavailable::Expired { oldest })
        } else if at > current {
            Err(Unavailable::Future { current })
        } else {
            Ok(())
        }
    }

    /// Starts a watch of the changes after `after`.
    ///
    /// # Errors
    /// [`Unavailable`] when `after` is too old or has not been reached.
    pub fn watch(&self, resource: &str, after: u64) -> Result<Watch, Unavailable> {
        let resource = self.inner.resource(resource);
        {
            let objects = read(&resource.objects);
            self.available(&objects, after, self.current(&objects))?;
        }
        let changed = resource.changed.subscribe();
        Ok(Watch { store: self.clone(), resource, changed, position: after })
    }

    /// Checks, numbers and queues a write, and completes when it is on disk and visible.
    ///
    /// # Errors
    /// [`WriteError::Stale`] when the object is not as expected, once what made it so is visible;
    /// [`WriteError::Disk`] when the writer has failed.
    pub async fn write(
        &self,
        resource: &str,
        key: ObjectKey,
        expected: Expected,
        act: Write,
        durability: Durability,
    ) -> Result<Arc<Entry>, WriteError> {
        let place = self.writer.place().await?;
        match self.queue(resource, key, expected, act, durability, place)? {
            Queued::Waiting(done) => done.await.map_err(|_| sql::Error::Stopped.into()),
            Queued::Stale(revision) => {
                self.reached(revision).await;
                Err(WriteError::Stale)
            }
        }
    }

    fn queue(
        &self,
        resource: &str,
        key: ObjectKey,
        expected: Expected,
        act: Write,
        durability: Durability,
        place: sql::Place,
    ) -> Result<Queued, sql::Error> {
        let resource = self.inner.resource(resource);
        let overlay_key = (resource.name.clone(), key.clone());
        let mut pending = lock(&self.inner.pending);
        let (revision, exists) = match pending.overlay.get(&overlay_key) {
            Some((revision, exists)) => (*revision, *exists),
            None => {
                let objects = read(&resource.objects);
                let entry = objects.entries.get(&key);
                (entry.map_or(0, |entry| entry.revision), entry.is_some())
            }
        };
        let fits = match expected {
            Expected::Absent => !exists,
            Expected::At(expected) => exists && expected == revision,
        };
        if !fits {
            return Ok(Queued::Stale(revision));
        }
        pending.revision += 1;
        let revision = pending.revision;
        let (kind, json) = match act {
            Write::Put(build) => (ChangeKind::Put, build(revision)),
            Write::Delete(build) => (ChangeKind::Delete, build(revision)),
        };
        pending.overlay.insert(overlay_key, (revision, kind == ChangeKind::Put));
        let (sender, done) = oneshot::channel();
        let entry = Arc::new(Entry::new(key, revision, json));
        // Sent under the lock: the order on disk is the order of revisions.
        let durable = durability == Durability::Synced;
        let act = Act { resource: resource.name.clone(), kind, entry, durable, done: Some(sender) };
        self.writer.send(act, place)?;
        Ok(Queued::Waiting(done))
    }
}

enum Queued {
    Waiting(oneshot::Receiver<Arc<Entry>>),
    Stale(u64),
}

impl Inner {
    fn resource(&self, name: &str) -> Arc<Resource> {
        if let Some(resource) = read(&self.resources).get(name) {
            return resource.clone();
        }
        let name: Arc<str> = name.into();
        let mut resources = write(&self.resources);
        let make = || Arc::new(Resource { name: name.clone(), objects: RwLock::default(), changed: Arc::default() });
        resources.entry(name.clone()).or_insert_with(make).clone()
    }

    /// Makes a group that is on disk visible; runs on the writer's thread.
    fn publish(&self, acts: Vec<Act>) {
        let Some(newest) = acts.iter().map(|act| act.entry.revision).max() else { return };
        let mut acknowledged = Vec::with_capacity(acts.len());
        let mut touched: Vec<Arc<Resource>> = Vec::new();
        let mut settled = Vec::with_capacity(acts.len());
        for act in acts {
            let resource = self.resource(&act.resource);
            settled.push(((act.resource, act.entry.key.clone()), act.entry.revision));
            write(&resource.objects).change(act.kind, &act.entry);
            if !touched.iter().any(|known| Arc::ptr_eq(known, &resource)) {
                touched.push(resource);
            }
            acknowledged.push((act.done, act.entry));
        }
        {
            let mut pending = lock(&self.pending);
            for (key, revision) in settled {
                if pending.overlay.get(&key).is_some_and(|(newest, _)| *newest == revision) {
                    pending.overlay.remove(&key);
                }
            }
        }
        // In this order: who has waited for a revision finds it in every watch.
        for resource in touched {
            resource.changed.post(newest);
        }
        self.visible.send_replace(newest);
        for (done, entry) in acknowledged {
            if let Some(done) = done {
                // A caller that has gone away no longer asks.
                let _ = done.send(entry);
            }
        }
    }
}

impl Objects {
    fn change(&mut self, kind: ChangeKind, entry: &Arc<Entry>) {
        let previous = match kind {
            ChangeKind::Put => self.entries.insert(entry.key.clone(), entry.clone()),
            ChangeKind::Delete => self.entries.remove(&entry.key),
        };
        self.history.push(Change::new(kind, entry.clone(), previous));
    }
}

/// A position in the changes of one resource. It holds no queue: what a slow reader has not read is
/// in the ring, or forgotten.
pub struct Watch {
    store: Store,
    resource: Arc<Resource>,
    changed: Reader,
    position: u64,
}

impl Watch {
    /// The changes since the last call, in order, at most `limit`; empty when there are none yet.
    ///
    /// # Errors
    /// [`Unavailable::Expired`] when the reader was too slow.
    pub fn take(&mut self, limit: usize) -> Result<Vec<Arc<Change>>, Unavailable> {
        let newest = self.changed.read();
        if newest <= self.position {
            return Ok(Vec::new());
        }
        let objects = read(&self.resource.objects);
        if self.position < objects.history.forgotten() {
            return Err(Unavailable::Expired { oldest: objects.history.forgotten() });
        }
        let changes = objects.history.after(self.position, limit);
        if let Some(last) = changes.last() {
            self.position = last.entry.revision;
        }
        Ok(changes)
    }

    /// Completes when [`take`](Self::take) may have something new.
    pub async fn changed(&mut self) {
        poll_fn(|ctx| self.poll_changed(ctx)).await;
    }

    /// Ready when [`take`](Self::take) may have something new.
    pub fn poll_changed(&self, ctx: &Context<'_>) -> Poll<()> {
        self.changed.poll_new(ctx)
    }

    /// The revision up to which everything has been taken, for bookmarks: the store's own when the
    /// reader has caught up.
    pub fn progress(&mut self) -> u64 {
        let current = self.store.revision();
        let objects = read(&self.resource.objects);
        if objects.history.newest() <= self.position && current > self.position {
            self.position = current;
        }
        self.position
    }
}

fn page(entries: &BTreeMap<ObjectKey, Arc<Entry>>, range: &ListRange<'_>, revision: u64) -> Snapshot {
    let first = ObjectKey::new(range.namespace.unwrap_or_default(), "");
    let from = match &range.after {
        Some(after) if *after >= first => Bound::Excluded(after.clone()),
        _ => Bound::Included(first),
    };
    let inside = entries.range((from, Bound::Unbounded));
    let inside = inside.take_while(|(key, _)| range.namespace.is_none_or(|namespace| &*key.namespace == namespace));
    let mut inside = inside.map(|(_, entry)| entry.clone());
    match range.limit {
        None => Snapshot { revision, entries: inside.collect(), remaining: 0 },
        Some(limit) => {
            let entries: Vec<_> = inside.by_ref().take(limit).collect();
            Snapshot { revision, entries, remaining: inside.count() }
        }
    }
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
