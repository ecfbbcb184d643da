//! The Deployment controller: gathers a deployment's replica sets, has the plan made, carries it out.

use std::sync::Arc;

use ferroflow_platform::clock::SharedClock;
use ferroflow_platform::controller::{Caches, Controller, Error, Key, Next, Reconciler};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;

use super::execute::{Workshop, conclude, write_status};
use crate::core::workload::claim::controller_of;
use crate::core::workload::deployment::{Observed, creation_failed, plan};
use crate::core::workload::{pods, selector};

/// Deployments that are brought up to date at the same time.
const WORKERS: usize = 4;

struct Deployments {
    shop: Workshop,
}

/// Starts the controller.
pub fn register(caches: &Caches, clock: &SharedClock) {
    let shop = Workshop::new(caches, clock, "deployment-controller");
    let (by_set, by_pod) = (shop.clone(), shop.clone());
    Controller::new("deployment", clock.clone())
        .workers(WORKERS)
        .watch(&shop.deployments)
        .watch_owned(&shop.sets, "Deployment")
        .watch_mapped(&shop.sets, move |set: &ReplicaSet| wanting(&by_set, set))
        .watch_mapped(&shop.pods, move |pod: &Pod| recreating(&by_pod, pod))
        .run(&caches.group(), Deployments { shop });
}

/// The deployments that may adopt an orphaned set.
fn wanting(shop: &Workshop, set: &ReplicaSet) -> Vec<Key> {
    if controller_of(&set.metadata).is_some() {
        return Vec::new();
    }
    let namespace = set.metadata.namespace.clone().unwrap_or_default();
    let wants = |deployment: &Arc<Deployment>| {
        let selector = deployment.spec.as_ref().map(|spec| &spec.selector);
        selector::matches_some(selector, set.metadata.labels.as_ref())
    };
    let wanting = shop.deployments.list_in(&namespace).into_iter().filter(wants);
    wanting.map(|deployment| Key::new(namespace.clone(), pods::name(&deployment.metadata))).collect()
}

/// The deployment that waits until the pods of its old sets are gone.
fn recreating(shop: &Workshop, pod: &Pod) -> Vec<Key> {
    let namespace = pod.metadata.namespace.clone().unwrap_or_default();
    let set = controller_of(&pod.metadata).filter(|owner| owner.kind == "ReplicaSet");
    let set = set.and_then(|owner| shop.sets.get(&Key::new(namespace.clone(), owner.name.clone())));
    let name = set.and_then(|set| controller_of(&set.metadata).map(|owner| owner.name.clone()));
    let key = name.map(|name| Key::new(namespace, name));
    let recreates = |deployment: &Deployment| {
        let strategy = deployment.spec.as_ref().and_then(|spec| spec.strategy.as_ref());
        strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate")
    };
    key.filter(|key| shop.deployments.get(key).is_some_and(|one| recreates(&one))).into_iter().collect()
}

impl Reconciler for Deployments {
    async fn reconcile(&self, key: Key, now: Timestamp) -> Result<Next, Error> {
        let Some(deployment) = self.shop.deployments.get(&key) else { return Ok(Next::Done) };
        let owned = self.shop.sets.owned_by(pods::uid(&deployment.metadata));
        let pods = owned.iter().flat_map(|set| self.shop.pods.owned_by(pods::uid(&set.metadata))).collect();
        let observed = Observed { sets: self.shop.sets.list_in(&key.namespace), pods };
        let mut decision = plan(&deployment, &observed, now);
        let outcome = self.shop.carry_out(deployment.as_ref(), &decision.plan).await;
        if let (Err(failure), Some(set)) = (&outcome, &decision.creates) {
            if failure.namespace_ends {
                return Ok(Next::Done);
            }
            let standing = deployment.status.clone().unwrap_or_default();
            decision.status = Some(creation_failed(&deployment, standing, set, &failure.message, now));
        }
        let old = deployment.status.as_ref();
        write_status(&self.shop.deployments, &key, old, decision.status.as_ref()).await?;
        conclude(&decision.plan, outcome)
    }
}
