//! The volume controllers: binds claims to volumes, makes directories for claims of our class, and
//! removes them with their claims.

use std::sync::Arc;

use ferroflow_platform::clock::{BoxFuture, SharedClock};
use ferroflow_platform::controller::{Cache, Caches, Controller, Error, EventKind, Key, Next, Reconciler, Recorder};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{DeleteParams, Preconditions};
use serde_json::{Value, json};

use super::execute::{is_code, write_status};
use crate::core::job::Event;
use crate::core::volume::attributes::VolumeAttributesClass;
use crate::core::volume::claim::{Observed, VolumeWrite, uses};
use crate::core::volume::{attributes, claim, class_of_claim, volume};

/// Where the directories of volumes are, and how they are removed.
pub trait Directories: Send + Sync + 'static {
    /// The directory for a claim's volume.
    fn path(&self, namespace: &str, claim: &str, uid: &str) -> String;
    /// Removes a directory that [`path`](Self::path) once named; one that is gone already is no error, one
    /// outside the root is.
    fn remove(&self, path: String) -> BoxFuture<'static, Result<(), String>>;
}

/// The default class, made when the server starts with none.
pub fn default_class() -> Value {
    json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
        "metadata": {"name": "standard", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": crate::core::volume::PROVISIONER, "reclaimPolicy": "Delete", "volumeBindingMode": "Immediate",
        "allowVolumeExpansion": true})
}

#[derive(Clone)]
struct Shared {
    claims: Cache<PersistentVolumeClaim>,
    volumes: Cache<PersistentVolume>,
    classes: Cache<StorageClass>,
    attributes: Cache<VolumeAttributesClass>,
    pods: Cache<Pod>,
    recorder: Recorder,
    directories: Arc<dyn Directories>,
}

/// Starts the controllers.
pub fn register(caches: &Caches, clock: &SharedClock, directories: Arc<dyn Directories>) {
    let recorder = Recorder::start(caches.client(), clock.clone(), &caches.group(), "persistentvolume-controller");
    let shared = Shared {
        claims: caches.of(),
        volumes: caches.of(),
        classes: caches.of(),
        attributes: caches.of(),
        pods: caches.of(),
        recorder,
        directories,
    };
    let (by_volume, by_class, by_pod) = (shared.claims.clone(), shared.claims.clone(), shared.claims.clone());
    Controller::new("persistentvolumeclaim", clock.clone())
        .watch(&shared.claims)
        .watch_mapped(&shared.volumes, move |volume: &PersistentVolume| match claim_key(volume) {
            Some(key) => vec![key],
            None => pending(&by_volume, |_| true),
        })
        .watch_mapped(&shared.classes, move |class: &StorageClass| {
            pending(&by_class, |claim| class.metadata.name.as_deref() == Some(&class_of_claim(claim)))
        })
        .watch_mapped(&shared.pods, move |pod: &Pod| {
            let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
            let all = by_pod.list_in(namespace).into_iter();
            all.filter(|claim| uses(pod, claim) && needs_pods(claim)).map(|claim| key_of(&claim)).collect()
        })
        .run(&caches.group(), Claims { shared: shared.clone() });
    Controller::new("persistentvolume", clock.clone())
        .watch(&shared.volumes)
        .watch_mapped(&shared.claims, |claim: &PersistentVolumeClaim| {
            let named = claim.spec.as_ref().and_then(|spec| spec.volume_name.clone());
            named.filter(|name| !name.is_empty()).map(|name| Key::new("", name)).into_iter().collect()
        })
        .run(&caches.group(), Volumes { shared: shared.clone() });
    Controller::new("volumeattributesclass", clock.clone())
        .watch(&shared.attributes)
        .watch_mapped(&shared.claims, |claim: &PersistentVolumeClaim| {
            attributes::of_claim(claim).map(|name| Key::new("", name)).collect()
        })
        .watch_mapped(&shared.volumes, |volume: &PersistentVolume| {
            attributes::of_volume(volume).map(|name| Key::new("", name)).into_iter().collect()
        })
        .run(&caches.group(), Attributes { shared });
}

fn key_of(claim: &PersistentVolumeClaim) -> Key {
    let metadata = &claim.metadata;
    Key::new(metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
}

fn claim_key(volume: &PersistentVolume) -> Option<Key> {
    let reference = volume.spec.as_ref()?.claim_ref.as_ref()?;
    Some(Key::new(reference.namespace.clone().unwrap_or_default(), reference.name.clone().unwrap_or_default()))
}

/// Whether a claim waits for pods to come or to go.
fn needs_pods(claim: &PersistentVolumeClaim) -> bool {
    claim.metadata.deletion_timestamp.is_some() || !is_bound(claim)
}

fn is_bound(claim: &PersistentVolumeClaim) -> bool {
    claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound")
}

fn pending(claims: &Cache<PersistentVolumeClaim>, wanted: impl Fn(&PersistentVolumeClaim) -> bool) -> Vec<Key> {
    let all = claims.list().into_iter().filter(|claim| !is_bound(claim) && wanted(claim));
    all.map(|claim| key_of(&claim)).collect()
}

fn kind(event: &Event) -> EventKind {
    if event.warning { EventKind::Warning } else { EventKind::Normal }
}

struct Claims {
    shared: Shared,
}

impl Reconciler for Claims {
    async fn reconcile(&self, key: Key, _now: Timestamp) -> Result<Next, Error> {
        let Shared { claims, volumes, classes, pods, recorder, directories, .. } = &self.shared;
        let Some(claim) = claims.get(&key) else { return Ok(Next::Done) };
        let all = volumes.list();
        let all: Vec<&PersistentVolume> = all.iter().map(|volume| &**volume).collect();
        let class = classes.get(&Key::new("", class_of_claim(&claim)));
        let neighbours = pods.list_in(&key.namespace);
        let neighbours: Vec<&Pod> = neighbours.iter().map(|pod| &**pod).collect();
        let uid = claim.metadata.uid.as_deref().unwrap_or_default();
        let directory = directories.path(&key.namespace, &key.name, uid);
        let observed = Observed { volumes: &all, class: class.as_deref(), pods: &neighbours, directory: &directory };
        let plan = claim::plan(&claim, &observed);
        match &plan.volume {
            // The volume was made before the server ended.
            Some(VolumeWrite::Create(volume)) => match volumes.create(volume).await {
                Err(error) if is_code(&error, 409) => {}
                other => drop(other?),
            },
            Some(VolumeWrite::Replace(volume)) => drop(volumes.replace(volume).await?),
            None => {}
        }
        if let Some(changed) = &plan.claim {
            match claims.replace(changed).await {
                Err(error) if is_code(&error, 404) => return Ok(Next::Done),
                other => drop(other?),
            }
        }
        write_status(claims, &key, claim.status.as_ref(), plan.status.as_ref()).await?;
        plan.events.iter().for_each(|event| recorder.event(&*claim, kind(event), &event.reason, event.note.clone()));
        Ok(Next::Done)
    }
}

struct Attributes {
    shared: Shared,
}

impl Reconciler for Attributes {
    async fn reconcile(&self, key: Key, _now: Timestamp) -> Result<Next, Error> {
        let Shared { attributes, claims, volumes, .. } = &self.shared;
        let Some(class) = attributes.get(&key) else { return Ok(Next::Done) };
        let (claims, volumes) = (claims.list(), volumes.list());
        let freed = attributes::freed(&class, claims.iter().map(|one| &**one), volumes.iter().map(|one| &**one));
        if let Some(freed) = freed {
            match attributes.replace(&freed).await {
                Err(error) if is_code(&error, 404) => {}
                other => drop(other?),
            }
        }
        Ok(Next::Done)
    }
}

struct Volumes {
    shared: Shared,
}

impl Reconciler for Volumes {
    async fn reconcile(&self, key: Key, now: Timestamp) -> Result<Next, Error> {
        let Shared { claims, volumes, recorder, directories, .. } = &self.shared;
        let Some(volume) = volumes.get(&key) else { return Ok(Next::Done) };
        let claim = claim_key(&volume).and_then(|key| claims.get(&key));
        let plan = volume::plan(&volume, claim.as_deref(), now);
        write_status(volumes, &key, volume.status.as_ref(), plan.status.as_ref()).await?;
        plan.events.iter().for_each(|event| recorder.event(&*volume, kind(event), &event.reason, event.note.clone()));
        if let Some(path) = plan.reclaim {
            if let Err(error) = directories.remove(path).await {
                recorder.event(&*volume, EventKind::Warning, "VolumeFailedDelete", error.clone());
                return Err(Error::Other(error));
            }
            let preconditions = Some(Preconditions { uid: volume.metadata.uid.clone(), resource_version: None });
            volumes.delete_object(&key, &DeleteParams { preconditions, ..DeleteParams::default() }).await?;
        }
        if let Some(freed) = &plan.freed {
            match volumes.replace(freed).await {
                Err(error) if is_code(&error, 404) => {}
                other => drop(other?),
            }
        }
        Ok(Next::Done)
    }
}
