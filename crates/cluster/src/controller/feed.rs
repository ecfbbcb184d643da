//! Every change of every object, of all resources together and in the order of revisions.
//!
//! The collector of garbage and the counters of quotas need the whole picture: an owner must never be
//! missed because its change is read after its dependent's. The feed reads the watches of all resources
//! up to a revision that is visible for all of them, and only then hands out what it has read. It
//! decides nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::core::garbage::{Kinds, Meta, OwnerRef, ResourceId};
use crate::store::{ChangeKind, Entry, ListRange, Store, Unavailable, Watch};

use serde::Deserialize;

/// Changes that are read from one watch at a time.
const BATCH: usize = 1024;

/// What is served, for controllers that concern objects of every kind.
pub trait Resources: Kinds + Send + Sync + 'static {
    /// Grows with each change of what is served.
    fn generation(&self) -> u64;
    /// The resources whose objects are stored and can be deleted, one version of each, with the key
    /// prefix under which they are stored.
    fn stored(&self) -> Vec<(String, Arc<ResourceId>)>;
}

/// One object that is there at the start, or one change of one.
#[derive(Clone)]
pub struct Seen {
    pub resource: Arc<ResourceId>,
    pub kind: ChangeKind,
    pub entry: Arc<Entry>,
}

/// The feed cannot go on: it was too slow for the history that the store keeps.
#[derive(Debug)]
pub struct Lost;

impl From<Unavailable> for Lost {
    fn from(_: Unavailable) -> Self {
        Self
    }
}

struct Source {
    resource: Arc<ResourceId>,
    watch: Watch,
}

/// A position in the changes of all resources.
pub struct Feed {
    store: Store,
    resources: Arc<dyn Resources>,
    generation: u64,
    sources: HashMap<String, Source>,
    /// Read, but newer than what is visible for every resource.
    pending: BTreeMap<u64, Seen>,
    reached: u64,
}

impl Feed {
    /// Starts at the newest revision; returns all objects as they are at it.
    ///
    /// # Errors
    /// [`Lost`] when the store moves on too fast; start again.
    pub fn start(store: Store, resources: Arc<dyn Resources>) -> Result<(Self, Vec<Seen>), Lost> {
        let reached = store.revision();
        let generation = resources.generation();
        let (sources, pending) = (HashMap::new(), BTreeMap::new());
        let mut feed = Self { store, resources, generation, sources, pending, reached };
        let mut all = Vec::new();
        for (storage, resource) in feed.resources.stored() {
            let range = ListRange { at: Some(reached), ..ListRange::default() };
            let snapshot = feed.store.list(&storage, &range)?;
            let seen = |entry| Seen { resource: resource.clone(), kind: ChangeKind::Put, entry };
            all.extend(snapshot.entries.into_iter().map(seen));
            let watch = feed.store.watch(&storage, reached)?;
            feed.sources.insert(storage, Source { resource, watch });
        }
        Ok((feed, all))
    }

    /// Waits for changes and returns them in order.
    ///
    /// # Errors
    /// [`Lost`] when changes were missed; start again.
    pub async fn next(&mut self) -> Result<Vec<Seen>, Lost> {
        loop {
            self.store.reached(self.reached + 1).await;
            let visible = self.store.revision();
            for source in self.sources.values_mut() {
                read(source, &mut self.pending)?;
            }
            self.follow_resources()?;
            self.reached = visible;
            let later = self.pending.split_off(&(visible + 1));
            let ready = std::mem::replace(&mut self.pending, later);
            if !ready.is_empty() {
                return Ok(ready.into_values().collect());
            }
        }
    }

    /// Begins with resources that are served now, and leaves those that are no longer.
    fn follow_resources(&mut self) -> Result<(), Lost> {
        let generation = self.resources.generation();
        if generation == self.generation {
            return Ok(());
        }
        let stored = self.resources.stored();
        self.sources.retain(|storage, _| stored.iter().any(|(other, _)| other == storage));
        for (storage, resource) in stored {
            if self.sources.contains_key(&storage) {
                continue;
            }
            let snapshot = self.store.list(&storage, &ListRange::default())?;
            for entry in snapshot.entries {
                let seen = Seen { resource: resource.clone(), kind: ChangeKind::Put, entry };
                self.pending.insert(seen.entry.revision, seen);
            }
            let watch = self.store.watch(&storage, snapshot.revision)?;
            self.sources.insert(storage, Source { resource, watch });
        }
        self.generation = generation;
        Ok(())
    }
}

fn read(source: &mut Source, pending: &mut BTreeMap<u64, Seen>) -> Result<(), Lost> {
    loop {
        let changes = source.watch.take(BATCH)?;
        for change in &changes {
            let (resource, entry) = (source.resource.clone(), change.entry.clone());
            pending.insert(entry.revision, Seen { resource, kind: change.kind, entry });
        }
        if changes.len() < BATCH {
            return Ok(());
        }
    }
}

#[derive(Deserialize)]
struct Partial {
    metadata: PartialMeta,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PartialMeta {
    uid: String,
    #[serde(default)]
    owner_references: Option<Vec<PartialOwner>>,
    #[serde(default)]
    finalizers: Option<Vec<String>>,
    #[serde(default)]
    deletion_timestamp: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PartialOwner {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    uid: String,
    #[serde(default)]
    controller: Option<bool>,
    #[serde(default)]
    block_owner_deletion: Option<bool>,
}

/// What the graph of owners keeps of an object; nothing where it has no UID.
pub fn meta_of(seen: &Seen) -> Option<Meta> {
    let Partial { metadata } = serde_json::from_slice(&seen.entry.json).ok()?;
    let owner = |one: PartialOwner| OwnerRef {
        api_version: one.api_version,
        kind: one.kind,
        name: one.name,
        uid: one.uid.into(),
        controller: one.controller,
        block_owner_deletion: one.block_owner_deletion,
    };
    Some(Meta {
        resource: seen.resource.clone(),
        namespace: seen.entry.key.namespace.clone(),
        name: seen.entry.key.name.clone(),
        uid: metadata.uid.into(),
        resource_version: seen.entry.revision,
        owners: metadata.owner_references.unwrap_or_default().into_iter().map(owner).collect(),
        finalizers: metadata.finalizers.unwrap_or_default().into(),
        deleting: metadata.deletion_timestamp.is_some(),
    })
}
