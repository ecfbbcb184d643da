//! All objects of one kind in memory, kept current by one watch.

use std::{
    any::{Any, TypeId},
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt::Debug,
    future::Future,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::StreamExt;
use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope, SubResourceScope};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
    runtime::watcher::{self, Event},
};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Key;
use crate::task::{Group, Kind as TaskKind};

/// A kind that can be cached.
pub trait Object:
    kube::Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + serde::Serialize + Send + Sync + 'static
{
    /// The API for one namespace, or for the cluster where the kind has no namespace.
    fn api(client: Client, namespace: &str) -> Api<Self>;
}

/// How a scope turns a namespace into an [`Api`].
pub trait ScopedApi<K> {
    #[doc(hidden)]
    fn api(client: Client, namespace: &str) -> Api<K>;
}

impl<K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>> ScopedApi<K> for NamespaceResourceScope {
    fn api(client: Client, namespace: &str) -> Api<K> {
        Api::namespaced(client, namespace)
    }
}

impl<K: kube::Resource<DynamicType = (), Scope = ClusterResourceScope>> ScopedApi<K> for ClusterResourceScope {
    fn api(client: Client, _namespace: &str) -> Api<K> {
        Api::all(client)
    }
}

impl<K: kube::Resource<DynamicType = (), Scope = SubResourceScope>> ScopedApi<K> for SubResourceScope {
    fn api(client: Client, _namespace: &str) -> Api<K> {
        Api::all(client)
    }
}

impl<K> Object for K
where
    K: kube::Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + serde::Serialize + Send + Sync + 'static,
    K::Scope: ScopedApi<K>,
{
    fn api(client: Client, namespace: &str) -> Api<Self> {
        <K::Scope as ScopedApi<K>>::api(client, namespace)
    }
}

/// A cache that does not become current.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    #[error("the cache of {kind} did not reach resourceVersion {wanted} within {patience:?} (it is at {reached})")]
    Behind { kind: String, wanted: u64, reached: u64, patience: Duration },
}

/// A cache has this long to show a write; an in-process watch needs well under a millisecond.
const PATIENCE: Duration = Duration::from_secs(10);

type Told<K> = Box<dyn Fn(Option<&Arc<K>>, Option<&Arc<K>>) + Send + Sync>;

/// Who is told of changes, until its group stops.
struct Listener<K> {
    told: Told<K>,
    until: CancellationToken,
}

struct Objects<K> {
    by_key: BTreeMap<Key, Arc<K>>,
    by_owner: HashMap<String, BTreeSet<Key>>,
}

struct Inner<K> {
    objects: RwLock<Objects<K>>,
    listeners: Mutex<Vec<Listener<K>>>,
    /// The newest resourceVersion seen; 0 until the first list is complete.
    reached: watch::Sender<u64>,
    /// The newest resourceVersion written through this cache.
    written: AtomicU64,
}

/// All objects of one kind. Cheap to clone.
pub struct Cache<K> {
    inner: Arc<Inner<K>>,
    /// Whose writes go through it.
    client: Client,
    /// Listeners are told nothing any more once this is cancelled.
    until: CancellationToken,
}

impl<K> Clone for Cache<K> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), client: self.client.clone(), until: self.until.clone() }
    }
}

/// One cache a kind, made when it is first asked for.
#[derive(Clone)]
pub struct Caches {
    client: Client,
    group: Group,
    watches: Arc<Watches>,
}

/// The watches behind caches, whoever uses them.
struct Watches {
    client: Client,
    group: Group,
    by_type: Mutex<HashMap<TypeId, Box<dyn Any + Send>>>,
}

impl Caches {
    /// Caches whose watches run in `group`.
    pub fn new(client: Client, group: Group) -> Self {
        let by_type = Mutex::default();
        let watches = Arc::new(Watches { client: client.clone(), group: group.clone(), by_type });
        Self { client, group, watches }
    }

    /// The same caches for another component of this process, so that each change is read once: it writes by its own
    /// client, and is told of changes until its own group stops.
    #[must_use]
    pub fn shared_with(&self, client: Client, group: Group) -> Self {
        Self { client, group, watches: self.watches.clone() }
    }

    /// The client that writes go through.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The group of those who use the caches.
    pub fn group(&self) -> Group {
        self.group.clone()
    }

    /// The cache of a kind; the first call starts its watch.
    pub fn of<K: Object>(&self) -> Cache<K> {
        let Watches { client, group, by_type } = &*self.watches;
        let mut by_type = by_type.lock().unwrap_or_else(PoisonError::into_inner);
        let known = by_type.get(&TypeId::of::<K>()).and_then(|any| any.downcast_ref::<Arc<Inner<K>>>());
        let inner = known.cloned().unwrap_or_else(|| {
            let inner = Arc::<Inner<K>>::default();
            let watching = Cache { inner: inner.clone(), client: client.clone(), until: group.stopping() };
            watching.start(group);
            by_type.insert(TypeId::of::<K>(), Box::new(inner.clone()));
            inner
        });
        Cache { inner, client: self.client.clone(), until: self.group.stopping() }
    }
}

impl<K> Default for Inner<K> {
    fn default() -> Self {
        Self {
            objects: RwLock::new(Objects { by_key: BTreeMap::new(), by_owner: HashMap::new() }),
            listeners: Mutex::default(),
            reached: watch::Sender::new(0),
            written: AtomicU64::new(0),
        }
    }
}

impl<K: Object> Cache<K> {
    fn start(self, group: &Group) {
        group.spawn(format!("cache of {}", K::kind(&())), TaskKind::Essential, async move {
            self.watch().await;
            Ok::<(), std::convert::Infallible>(())
        });
    }

    async fn watch(&self) {
        let api = K::api(self.client.clone(), "");
        let api = if api.resource_url().contains("/namespaces/") { Api::all(self.client.clone()) } else { api };
        let mut events = Box::pin(kube::runtime::watcher(api, watcher::Config::default()));
        let mut initial: Vec<K> = Vec::new();
        let mut written_before = 0;
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Init) => {
                    initial.clear();
                    written_before = self.inner.written.load(Ordering::Acquire);
                }
                Ok(Event::InitApply(object)) => initial.push(object),
                // What was written before the list began is in the list, or gone already.
                Ok(Event::InitDone) => self.restart(std::mem::take(&mut initial), written_before.max(1)),
                Ok(Event::Apply(object)) => self.apply(object),
                Ok(Event::Delete(object)) => self.delete(&object),
                Err(error) => {
                    tracing::debug!(kind = %K::kind(&()), %error, "watch interrupted");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        }
    }

    fn restart(&self, objects: Vec<K>, reached: u64) {
        let fresh: BTreeSet<Key> = objects.iter().map(key_of).collect();
        let gone: Vec<Arc<K>> = {
            let current = self.inner.objects.read().unwrap_or_else(PoisonError::into_inner);
            let gone = current.by_key.iter().filter(|(key, _)| !fresh.contains(key));
            gone.map(|(_, object)| object.clone()).collect()
        };
        for object in gone {
            self.remove(&key_of(object.as_ref()));
        }
        for object in objects {
            self.insert(object);
        }
        self.reach(reached);
    }

    fn apply(&self, object: K) {
        let version = version_of(&object);
        self.insert(object);
        self.reach(version);
    }

    fn delete(&self, object: &K) {
        self.remove(&key_of(object));
        self.reach(version_of(object));
    }

    fn insert(&self, object: K) {
        let key = key_of(&object);
        let object = Arc::new(object);
        let old = {
            let mut objects = self.inner.objects.write().unwrap_or_else(PoisonError::into_inner);
            let old = objects.by_key.insert(key.clone(), object.clone());
            if let Some(old) = &old {
                disown(&mut objects.by_owner, &key, old.as_ref());
            }
            for owner in object.owner_references() {
                objects.by_owner.entry(owner.uid.clone()).or_default().insert(key.clone());
            }
            old
        };
        self.tell(old.as_ref(), Some(&object));
    }

    fn remove(&self, key: &Key) {
        let old = {
            let mut objects = self.inner.objects.write().unwrap_or_else(PoisonError::into_inner);
            let old = objects.by_key.remove(key);
            if let Some(old) = &old {
                disown(&mut objects.by_owner, key, old.as_ref());
            }
            old
        };
        if let Some(old) = old {
            self.tell(Some(&old), None);
        }
    }

    fn tell(&self, old: Option<&Arc<K>>, new: Option<&Arc<K>>) {
        let mut listeners = self.inner.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|listener| !listener.until.is_cancelled());
        listeners.iter().for_each(|listener| (listener.told)(old, new));
    }

    fn reach(&self, version: u64) {
        self.inner.reached.send_if_modified(|reached| {
            let newer = version > *reached;
            if newer {
                *reached = version;
            }
            newer
        });
    }

    /// Calls `listener` with the old and the new object of each change, and once for each object that
    /// is here already. It runs on the watch's task and must not block.
    pub fn on_change(&self, listener: impl Fn(Option<&Arc<K>>, Option<&Arc<K>>) + Send + Sync + 'static) {
        let mut listeners = self.inner.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        for object in self.list() {
            listener(None, Some(&object));
        }
        listeners.push(Listener { told: Box::new(listener), until: self.until.clone() });
    }

    /// Completes when the first list is in and everything written through this cache shows in it.
    ///
    /// # Errors
    /// [`CacheError::Behind`] after ten seconds.
    pub async fn current(&self) -> Result<(), CacheError> {
        let wanted = self.inner.written.load(Ordering::Acquire).max(1);
        let mut reached = self.inner.reached.subscribe();
        let waited = tokio::time::timeout(PATIENCE, reached.wait_for(|reached| *reached >= wanted)).await;
        if waited.is_ok() {
            return Ok(());
        }
        let at = *self.inner.reached.borrow();
        // The write that never showed (its object is gone in a way that no event tells) is waited for once.
        self.reach(wanted);
        Err(CacheError::Behind { kind: K::kind(&()).into_owned(), wanted, reached: at, patience: PATIENCE })
    }

    /// The object of a key.
    pub fn get(&self, key: &Key) -> Option<Arc<K>> {
        self.inner.objects.read().unwrap_or_else(PoisonError::into_inner).by_key.get(key).cloned()
    }

    /// All objects, by namespace and name.
    pub fn list(&self) -> Vec<Arc<K>> {
        self.inner.objects.read().unwrap_or_else(PoisonError::into_inner).by_key.values().cloned().collect()
    }

    /// The objects of one namespace, by name.
    pub fn list_in(&self, namespace: &str) -> Vec<Arc<K>> {
        let objects = self.inner.objects.read().unwrap_or_else(PoisonError::into_inner);
        let from = objects.by_key.range(Key::new(namespace, "")..);
        from.take_while(|(key, _)| key.namespace == namespace).map(|(_, object)| object.clone()).collect()
    }

    /// The objects that name the owner's uid in their owner references, as controller or not.
    pub fn owned_by(&self, uid: &str) -> Vec<Arc<K>> {
        let objects = self.inner.objects.read().unwrap_or_else(PoisonError::into_inner);
        let keys = objects.by_owner.get(uid).into_iter().flatten();
        keys.filter_map(|key| objects.by_key.get(key).cloned()).collect()
    }

    /// The API of the kind in a namespace, for writes that the methods below do not cover; pass their
    /// result to [`note`](Self::note).
    pub fn api(&self, namespace: &str) -> Api<K> {
        K::api(self.client.clone(), namespace)
    }

    /// Remembers that a write has returned `object`.
    pub fn note(&self, object: &K) {
        self.inner.written.fetch_max(version_of(object), Ordering::AcqRel);
    }

    async fn noted(&self, write: impl Future<Output = kube::Result<K>>) -> kube::Result<K> {
        let object = write.await?;
        self.note(&object);
        Ok(object)
    }

    /// Creates an object in its own namespace.
    ///
    /// # Errors
    /// What the API server answers.
    pub async fn create(&self, object: &K) -> kube::Result<K> {
        let namespace = object.namespace().unwrap_or_default();
        self.noted(self.api(&namespace).create(&PostParams::default(), object)).await
    }

    /// Replaces an object, guarded by the resourceVersion it carries.
    ///
    /// # Errors
    /// What the API server answers; 409 when the object has changed.
    pub async fn replace(&self, object: &K) -> kube::Result<K> {
        let key = key_of(object);
        self.noted(self.api(&key.namespace).replace(&key.name, &PostParams::default(), object)).await
    }

    /// Replaces an object's status, guarded by the resourceVersion it carries.
    ///
    /// # Errors
    /// What the API server answers; 409 when the object has changed.
    pub async fn replace_status(&self, object: &K) -> kube::Result<K> {
        let key = key_of(object);
        self.noted(self.api(&key.namespace).replace_status(&key.name, &PostParams::default(), object)).await
    }

    /// Sends a JSON merge patch.
    ///
    /// # Errors
    /// What the API server answers.
    pub async fn merge(&self, key: &Key, patch: &serde_json::Value) -> kube::Result<K> {
        let params = PatchParams::default();
        self.noted(self.api(&key.namespace).patch(&key.name, &params, &Patch::Merge(patch))).await
    }

    /// Sends a JSON merge patch to the status subresource.
    ///
    /// # Errors
    /// What the API server answers.
    pub async fn merge_status(&self, key: &Key, patch: &serde_json::Value) -> kube::Result<K> {
        let params = PatchParams::default();
        self.noted(self.api(&key.namespace).patch_status(&key.name, &params, &Patch::Merge(patch))).await
    }

    /// Deletes an object; one that is gone already counts as deleted.
    ///
    /// # Errors
    /// What the API server answers, other than 404.
    pub async fn delete_object(&self, key: &Key, params: &DeleteParams) -> kube::Result<()> {
        match self.api(&key.namespace).delete(&key.name, params).await {
            Ok(either) => {
                if let Some(object) = either.left() {
                    self.note_deletion(&object);
                }
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// A deletion that waits (finalizers, grace) shows as an update; one that is done shows as an
    /// event with a version that the answer does not carry.
    fn note_deletion(&self, object: &K) {
        if object.meta().deletion_timestamp.is_some() {
            self.note(object);
        }
    }
}

fn disown<K: Object>(by_owner: &mut HashMap<String, BTreeSet<Key>>, key: &Key, object: &K) {
    for owner in object.owner_references() {
        if let Some(keys) = by_owner.get_mut(&owner.uid) {
            keys.remove(key);
            if keys.is_empty() {
                by_owner.remove(&owner.uid);
            }
        }
    }
}

fn key_of<K: Object>(object: &K) -> Key {
    Key::new(object.namespace().unwrap_or_default(), object.name_any())
}

/// Resource versions are decimal and grow; clients may compare them since Kubernetes 1.35, and the
/// embedded server and etcd have always made them so.
fn version_of<K: Object>(object: &K) -> u64 {
    object.resource_version().and_then(|version| version.parse().ok()).unwrap_or(0)
}
