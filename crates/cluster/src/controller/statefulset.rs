//! The StatefulSet controller: gathers a set's pods, revisions and claims, has the plan made, carries it out.

use std::sync::Arc;

use ferroflow_platform::clock::SharedClock;
use ferroflow_platform::controller::{Cache, Caches, Controller, Error, Key, Next, Reconciler};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;

use super::execute::{Workshop, conclude, own_and_orphans, write_status};
use crate::core::workload::claim::controller_of;
use crate::core::workload::statefulset::{Observed, plan};
use crate::core::workload::{pods, selector};

/// Sets that are brought up to date at the same time.
const WORKERS: usize = 4;

struct StatefulSets {
    shop: Workshop,
    sets: Cache<StatefulSet>,
}

/// Starts the controller.
pub fn register(caches: &Caches, clock: &SharedClock) {
    let shop = Workshop::new(caches, clock, "statefulset-controller");
    let sets: Cache<StatefulSet> = caches.of();
    let all = sets.clone();
    let orphan = move |pod: &Pod| -> Vec<Key> {
        if controller_of(&pod.metadata).is_some() {
            return Vec::new();
        }
        let wants = |set: &Arc<StatefulSet>| {
            let selector = set.spec.as_ref().map(|spec| &spec.selector);
            selector::matches_some(selector, pod.metadata.labels.as_ref())
        };
        let namespace = pod.metadata.namespace.clone().unwrap_or_default();
        let wanting = all.list_in(&namespace).into_iter().filter(wants);
        wanting.map(|set| Key::new(namespace.clone(), pods::name(&set.metadata))).collect()
    };
    Controller::new("statefulset", clock.clone())
        .workers(WORKERS)
        .watch(&sets)
        .watch_owned(&shop.pods, "StatefulSet")
        // As upstream, no revision wakes a set.
        .reads(&shop.revisions)
        .watch_mapped(&shop.pods, orphan)
        .reads(&shop.claims)
        .run(&caches.group(), StatefulSets { shop, sets });
}

impl Reconciler for StatefulSets {
    async fn reconcile(&self, key: Key, now: Timestamp) -> Result<Next, Error> {
        let Some(set) = self.sets.get(&key) else { return Ok(Next::Done) };
        let claims = self.shop.claims.list_in(&key.namespace).into_iter();
        let observed = Observed {
            pods: own_and_orphans(&self.shop.pods, &key.namespace, pods::uid(&set.metadata)),
            revisions: self.shop.revisions.list_in(&key.namespace),
            claims: claims.map(|claim| (pods::name(&claim.metadata).to_owned(), claim)).collect(),
        };
        let decision = plan(&set, &observed, now);
        let outcome = self.shop.carry_out(set.as_ref(), &decision.plan).await;
        write_status(&self.sets, &key, set.status.as_ref(), decision.status.as_ref()).await?;
        conclude(&decision.plan, outcome)
    }
}
