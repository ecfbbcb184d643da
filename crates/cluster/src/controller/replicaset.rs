//! The ReplicaSet controller: gathers a set's pods, has the plan made, carries it out.

use std::sync::Arc;

use ferroflow_platform::clock::SharedClock;
use ferroflow_platform::controller::{Caches, Controller, Error, Key, Next, Reconciler};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;

use super::execute::{Failure, Workshop, conclude, own_and_orphans, write_status};
use crate::core::workload::claim::controller_of;
use crate::core::workload::replicas::{self, Replicas};
use crate::core::workload::{pods, selector};

/// Sets that are brought up to date at the same time.
const WORKERS: usize = 4;

struct ReplicaSets {
    shop: Workshop,
}

/// Starts the controller.
pub fn register(caches: &Caches, clock: &SharedClock) {
    let shop = Workshop::new(caches, clock, "replicaset-controller");
    let sets = shop.sets.clone();
    let orphan = move |pod: &Pod| -> Vec<Key> {
        if controller_of(&pod.metadata).is_some() {
            return Vec::new();
        }
        let wants = |set: &Arc<ReplicaSet>| {
            let selector = set.spec.as_ref().map(|spec| &spec.selector);
            selector::matches_some(selector, pod.metadata.labels.as_ref())
        };
        let namespace = pod.metadata.namespace.clone().unwrap_or_default();
        let wanting = sets.list_in(&namespace).into_iter().filter(wants);
        wanting.map(|set| Key::new(namespace.clone(), pods::name(&set.metadata))).collect()
    };
    Controller::new("replicaset", clock.clone())
        .workers(WORKERS)
        .watch(&shop.sets)
        .watch_owned(&shop.pods, "ReplicaSet")
        .watch_mapped(&shop.pods, orphan)
        .run(&caches.group(), ReplicaSets { shop });
}

impl ReplicaSets {
    /// The pods of the sets that the same deployment owns; they say how crowded a node is.
    fn related(&self, set: &ReplicaSet) -> Vec<Arc<Pod>> {
        let Some(owner) = controller_of(&set.metadata) else {
            return self.shop.pods.owned_by(pods::uid(&set.metadata));
        };
        let siblings = self.shop.sets.owned_by(&owner.uid);
        siblings.iter().flat_map(|sibling| self.shop.pods.owned_by(pods::uid(&sibling.metadata))).collect()
    }
}

impl Reconciler for ReplicaSets {
    async fn reconcile(&self, key: Key, now: Timestamp) -> Result<Next, Error> {
        let Some(set) = self.shop.sets.get(&key) else { return Ok(Next::Done) };
        let Some(shared) = Replicas::of_set(&set) else { return Ok(Next::Done) };
        let candidates = own_and_orphans(&self.shop.pods, &key.namespace, pods::uid(&set.metadata));
        let decision = shared.plan(&candidates, &self.related(&set), now);
        let outcome = self.shop.carry_out(set.as_ref(), &decision.plan).await;
        let failure = outcome.as_ref().err().and_then(Failure::of_replicas);
        let status = replicas::set_status(&set, &shared, &decision.mine, failure, now);
        write_status(&self.shop.sets, &key, set.status.as_ref(), status.as_ref()).await?;
        conclude(&decision.plan, outcome)
    }
}
