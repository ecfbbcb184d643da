//! The garbage collector: feeds the graph of owners and carries out what it asks for.

use std::sync::Arc;
use std::time::Duration;

use ferroflow_platform::clock::SharedClock;
use ferroflow_platform::controller::{Caches, EventKind, Recorder};
use ferroflow_platform::task::Kind as TaskKind;
use futures::future::join_all;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions, PropagationPolicy};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::execute::is_code;
use super::feed::{Feed, Lost, Resources, Seen, meta_of};
use crate::core::garbage::{Action, Change, Graph, OwnerRef, Propagation, ResourceId, Target};
use crate::store::{ChangeKind, Store};

/// Actions that may be under way at the same time.
const AT_ONCE: usize = 64;
/// How long a failed action waits, unless a change decides about its object before.
const RETRY: Duration = Duration::from_secs(2);

/// Is shown every change, beside the collector.
pub type Tap = Box<dyn Fn(&Seen) + Send + Sync>;

struct Collector {
    client: Client,
    clock: SharedClock,
    recorder: Recorder,
    store: Store,
    resources: Arc<dyn Resources>,
    taps: Vec<Tap>,
}

/// Starts the collector.
pub fn register(caches: &Caches, clock: &SharedClock, store: Store, resources: Arc<dyn Resources>, taps: Vec<Tap>) {
    let client = caches.client();
    let recorder = Recorder::start(client.clone(), clock.clone(), &caches.group(), "garbage-collector-controller");
    let collector = Collector { client, clock: clock.clone(), recorder, store, resources, taps };
    caches.group().spawn("controller garbage", TaskKind::Essential, async move {
        loop {
            let Lost = collector.run().await;
            tracing::debug!("the feed of changes was lost; the graph of owners is built anew");
        }
        #[expect(unreachable_code, reason = "gives the loop its result type")]
        Ok::<(), std::convert::Infallible>(())
    });
}

impl Collector {
    /// Works until the feed is lost.
    async fn run(&self) -> Lost {
        let (mut feed, all) = match Feed::start(self.store.clone(), self.resources.clone()) {
            Ok(started) => started,
            Err(lost) => return lost,
        };
        let kinds = &*self.resources;
        let mut graph = Graph::default();
        let mut generation = kinds.generation();
        all.iter().filter_map(meta_of).for_each(|meta| graph.load(meta));
        drop(all);
        let mut failed = self.execute(graph.loaded(kinds)).await;
        loop {
            let changes = tokio::select! {
                changes = feed.next() => changes,
                () = self.clock.sleep(RETRY), if !failed.is_empty() => Ok(Vec::new()),
            };
            let Ok(changes) = changes else { return Lost };
            let mut actions = Vec::new();
            if changes.is_empty() {
                for uid in std::mem::take(&mut failed) {
                    actions.extend(graph.again(&uid, kinds));
                }
            }
            for seen in &changes {
                self.taps.iter().for_each(|tap| tap(seen));
                let Some(meta) = meta_of(seen) else { continue };
                let change = match seen.kind {
                    ChangeKind::Put => Change::Upsert(meta),
                    ChangeKind::Delete => Change::Delete { uid: meta.uid },
                };
                actions.extend(graph.observe(change, kinds));
            }
            if kinds.generation() != generation {
                generation = kinds.generation();
                actions.extend(graph.kinds_changed(kinds));
            }
            failed.extend(self.execute(actions).await);
        }
    }

    /// Carries actions out; returns the UIDs of those that no change will decide anew.
    async fn execute(&self, actions: Vec<Action>) -> Vec<Arc<str>> {
        let mut failed = Vec::new();
        for batch in actions.chunks(AT_ONCE) {
            failed.extend(join_all(batch.iter().map(|action| self.act(action))).await.into_iter().flatten());
        }
        failed
    }

    async fn act(&self, action: &Action) -> Option<Arc<str>> {
        let (target, result) = match action {
            Action::Delete { target, propagation } => (target, self.delete(target, *propagation).await),
            Action::SetOwners { target, owners } => {
                let owners: Vec<Value> = owners.iter().map(owner_json).collect();
                (target, self.patch(target, "ownerReferences", json!(owners)).await)
            }
            Action::SetFinalizers { target, finalizers } => {
                (target, self.patch(target, "finalizers", json!(finalizers)).await)
            }
            Action::Warn { target, reason, note } => {
                self.recorder.event_for(reference(target), EventKind::Warning, reason, note.clone());
                return None;
            }
        };
        match result {
            Ok(()) => None,
            Err(error) if is_code(&error, 404) || is_code(&error, 409) => None,
            Err(error) => {
                let Target { namespace, name, resource, .. } = target;
                tracing::warn!(kind = %resource.kind, %namespace, %name, %error, "an object could not be collected");
                Some(target.uid.clone())
            }
        }
    }

    async fn delete(&self, target: &Target, propagation: Propagation) -> kube::Result<()> {
        let policy = match propagation {
            Propagation::Background => PropagationPolicy::Background,
            Propagation::Foreground => PropagationPolicy::Foreground,
            Propagation::Orphan => PropagationPolicy::Orphan,
        };
        let version = target.resource_version.to_string();
        let preconditions = Preconditions { uid: Some(target.uid.to_string()), resource_version: Some(version) };
        let params = DeleteParams {
            propagation_policy: Some(policy),
            preconditions: Some(preconditions),
            ..DeleteParams::default()
        };
        api(&self.client, &target.resource, &target.namespace).delete(&target.name, &params).await.map(drop)
    }

    async fn patch(&self, target: &Target, field: &str, value: Value) -> kube::Result<()> {
        let version = target.resource_version.to_string();
        let patch = json!({"metadata": {"uid": &*target.uid, "resourceVersion": version, field: value}});
        let api = api(&self.client, &target.resource, &target.namespace);
        api.patch(&target.name, &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)
    }
}

/// The API of a resource in a namespace, or in the cluster where it has none.
pub fn api(client: &Client, resource: &ResourceId, namespace: &str) -> Api<DynamicObject> {
    let described = ApiResource {
        group: resource.group.clone(),
        version: resource.version.clone(),
        api_version: resource.api_version(),
        kind: resource.kind.clone(),
        plural: resource.plural.clone(),
    };
    if resource.namespaced {
        Api::namespaced_with(client.clone(), namespace, &described)
    } else {
        Api::all_with(client.clone(), &described)
    }
}

fn owner_json(owner: &OwnerRef) -> Value {
    let mut json = json!({"apiVersion": owner.api_version, "kind": owner.kind, "name": owner.name, "uid": &*owner.uid});
    for (field, value) in [("controller", owner.controller), ("blockOwnerDeletion", owner.block_owner_deletion)] {
        if let Some(value) = value {
            json[field] = json!(value);
        }
    }
    json
}

fn reference(target: &Target) -> ObjectReference {
    ObjectReference {
        api_version: Some(target.resource.api_version()),
        kind: Some(target.resource.kind.clone()),
        name: Some(target.name.to_string()),
        namespace: Some(target.namespace.to_string()).filter(|namespace| !namespace.is_empty()),
        uid: Some(target.uid.to_string()),
        resource_version: Some(target.resource_version.to_string()),
        field_path: None,
    }
}
