//! The namespace controller: empties a namespace that is being deleted, tells what is left in its
//! status, and finalizes it when nothing is.

use std::sync::Arc;
use std::time::Duration;

use ferroflow_platform::clock::SharedClock;
use ferroflow_platform::controller::{Cache, Caches, Controller, Error, Key, Next, Reconciler};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::Client;
use kube::api::{DeleteParams, ListParams, PostParams};

use super::execute::{is_code, message, write_status};
use super::feed::Resources;
use super::garbage::api;
use crate::core::garbage::ResourceId;
use crate::core::garbage::namespace::{Outcome, Remains, conditions, pods_grace_seconds};

/// The finalizer in `spec` that this controller takes away.
const FINALIZER: &str = "kubernetes";
/// How long objects that are held by finalizers are given between two looks, at least and at most; it
/// grows with the time that the namespace takes. Pods wake the controller.
const PATIENCE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

struct Namespaces {
    client: Client,
    namespaces: Cache<Namespace>,
    pods: Cache<Pod>,
    resources: Arc<dyn Resources>,
}

/// Starts the controller.
pub fn register(caches: &Caches, clock: &SharedClock, resources: Arc<dyn Resources>) {
    let namespaces: Cache<Namespace> = caches.of();
    let pods: Cache<Pod> = caches.of();
    let going = namespaces.clone();
    Controller::new("namespace", clock.clone())
        .workers(2)
        .watch(&namespaces)
        .watch_mapped(&pods, move |pod: &Pod| {
            let key = Key::new("", pod.metadata.namespace.clone().unwrap_or_default());
            let namespace = going.get(&key).filter(|one| one.metadata.deletion_timestamp.is_some());
            namespace.map(|_| key).into_iter().collect()
        })
        .run(&caches.group(), Namespaces { client: caches.client(), namespaces, pods, resources });
}

impl Reconciler for Namespaces {
    async fn reconcile(&self, key: Key, now: Timestamp) -> Result<Next, Error> {
        let Some(namespace) = self.namespaces.get(&key) else { return Ok(Next::Done) };
        let Some(deleted) = namespace.metadata.deletion_timestamp.as_ref() else { return Ok(Next::Done) };
        let finalizers = namespace.spec.as_ref().and_then(|spec| spec.finalizers.as_ref());
        if !finalizers.is_some_and(|all| all.iter().any(|one| one == FINALIZER)) {
            return Ok(Next::Done);
        }
        let outcome = self.empty(&key.name, deleted.0, now).await;
        let mut status = namespace.status.clone().unwrap_or_default();
        status.phase = Some("Terminating".to_owned());
        if let Some(new) = conditions(&key.name, status.conditions.as_deref().unwrap_or_default(), &outcome, now) {
            status.conditions = Some(new);
        }
        if !outcome.is_done() {
            write_status(&self.namespaces, &key, namespace.status.as_ref(), Some(&status)).await?;
            let taken = Duration::try_from(now.duration_since(deleted.0)).unwrap_or_default();
            return Ok(Next::After((taken / 4).clamp(PATIENCE.0, PATIENCE.1)));
        }
        self.finalize(&namespace).await?;
        Ok(Next::Done)
    }
}

impl Namespaces {
    /// Deletes everything, pods before all else, and reports what is left.
    async fn empty(&self, namespace: &str, deleted: Timestamp, now: Timestamp) -> Outcome {
        let stored = self.resources.stored();
        let resources: Vec<Arc<ResourceId>> =
            stored.into_iter().map(|(_, resource)| resource).filter(|resource| resource.namespaced).collect();
        let is_pods = |resource: &&Arc<ResourceId>| resource.group.is_empty() && resource.plural == "pods";
        let mut outcome = Outcome::default();
        for resource in resources.iter().filter(is_pods) {
            let pods = self.pods.list_in(namespace);
            let grace = pods_grace_seconds(pods.iter().map(|pod| &**pod), deleted, now);
            outcome.remains.push(self.delete_all(resource, namespace, grace).await);
        }
        if outcome.is_done() {
            for resource in resources.iter().filter(|resource| !is_pods(resource)) {
                outcome.remains.push(self.delete_all(resource, namespace, 0).await);
            }
        }
        outcome
    }

    async fn delete_all(&self, resource: &Arc<ResourceId>, namespace: &str, grace_seconds: i64) -> Remains {
        let mut remains = Remains { resource: (**resource).clone(), objects: Vec::new(), grace_seconds, error: None };
        let api = api(&self.client, resource, namespace);
        let all = ListParams::default();
        let standing = api.list_metadata(&all).await;
        if matches!(&standing, Ok(list) if list.items.is_empty()) {
            return remains;
        }
        if let Err(error) = api.delete_collection(&DeleteParams::default(), &all).await
            && !is_code(&error, 404)
        {
            remains.error = Some(message(&error));
        }
        match api.list_metadata(&all).await {
            Ok(list) => {
                let finalizers = list.items.into_iter().map(|object| object.metadata.finalizers.unwrap_or_default());
                remains.objects = finalizers.collect();
            }
            // A resource that is served no longer holds nothing.
            Err(error) if is_code(&error, 404) => {}
            Err(error) => remains.error = Some(message(&error)),
        }
        remains
    }

    async fn finalize(&self, namespace: &Namespace) -> Result<(), Error> {
        let mut freed = namespace.clone();
        if let Some(finalizers) = freed.spec.as_mut().and_then(|spec| spec.finalizers.as_mut()) {
            finalizers.retain(|finalizer| finalizer != FINALIZER);
        }
        let name = namespace.metadata.name.clone().unwrap_or_default();
        let api = self.namespaces.api("");
        let written = api.replace_subresource("finalize", &name, &PostParams::default(), &freed).await;
        match written {
            Ok(_) => Ok(()),
            Err(error) if is_code(&error, 404) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
