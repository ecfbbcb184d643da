//! The ReplicationController controller: gathers a controller's pods, has the plan made, carries it out.

use std::sync::Arc;

use ferroflow_platform::clock::SharedClock;
use ferroflow_platform::controller::{Cache, Caches, Controller, Error, Key, Next, Reconciler};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, ReplicationController};

use super::execute::{Failure, Workshop, conclude, own_and_orphans, write_status};
use crate::core::workload::claim::controller_of;
use crate::core::workload::replicas::{self, Replicas};
use crate::core::workload::{pods, selector};

/// Controllers that are brought up to date at the same time.
const WORKERS: usize = 2;

struct ReplicationControllers {
    shop: Workshop,
    controllers: Cache<ReplicationController>,
}

/// Starts the controller.
pub fn register(caches: &Caches, clock: &SharedClock) {
    let shop = Workshop::new(caches, clock, "replication-controller");
    let controllers: Cache<ReplicationController> = caches.of();
    let all = controllers.clone();
    let orphan = move |pod: &Pod| -> Vec<Key> {
        if controller_of(&pod.metadata).is_some() {
            return Vec::new();
        }
        let wants = |one: &Arc<ReplicationController>| {
            let selector = one.spec.as_ref().and_then(|spec| spec.selector.as_ref());
            selector.is_some() && selector::contains(pod.metadata.labels.as_ref(), selector)
        };
        let namespace = pod.metadata.namespace.clone().unwrap_or_default();
        let wanting = all.list_in(&namespace).into_iter().filter(wants);
        wanting.map(|one| Key::new(namespace.clone(), pods::name(&one.metadata))).collect()
    };
    Controller::new("replicationcontroller", clock.clone())
        .workers(WORKERS)
        .watch(&controllers)
        .watch_owned(&shop.pods, "ReplicationController")
        .watch_mapped(&shop.pods, orphan)
        .run(&caches.group(), ReplicationControllers { shop, controllers });
}

impl Reconciler for ReplicationControllers {
    async fn reconcile(&self, key: Key, now: Timestamp) -> Result<Next, Error> {
        let Some(controller) = self.controllers.get(&key) else { return Ok(Next::Done) };
        let Some(shared) = Replicas::of_controller(&controller) else { return Ok(Next::Done) };
        let uid = pods::uid(&controller.metadata);
        let candidates = own_and_orphans(&self.shop.pods, &key.namespace, uid);
        let decision = shared.plan(&candidates, &self.shop.pods.owned_by(uid), now);
        let outcome = self.shop.carry_out(controller.as_ref(), &decision.plan).await;
        let failure = outcome.as_ref().err().and_then(Failure::of_replicas);
        let status = replicas::controller_status(&controller, &shared, &decision.mine, failure, now);
        write_status(&self.controllers, &key, controller.status.as_ref(), status.as_ref()).await?;
        conclude(&decision.plan, outcome)
    }
}
