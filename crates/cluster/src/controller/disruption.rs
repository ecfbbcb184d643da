//! The disruption controller: keeps the status of PodDisruptionBudgets, and takes back evictions that never happened.

use std::collections::BTreeMap;

use ferroflow_platform::clock::SharedClock;
use ferroflow_platform::controller::{Cache, Caches, Controller, Error, Key, Next, Reconciler};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Pod, ReplicationController};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use super::execute::{Workshop, conclude, is_code, write_status};
use crate::core::workload::claim::controller_of;
use crate::core::workload::condition::seconds;
use crate::core::workload::disruption::{Observed, plan, selected, stale_disruption};
use crate::core::workload::{patch, pods, selector};

struct Budgets {
    shop: Workshop,
    budgets: Cache<PodDisruptionBudget>,
    controllers: Cache<ReplicationController>,
    stateful: Cache<StatefulSet>,
}

struct StaleDisruptions {
    pods: Cache<Pod>,
}

/// Starts the controllers.
pub fn register(caches: &Caches, clock: &SharedClock) {
    let shop = Workshop::new(caches, clock, "controllermanager");
    let budgets: Cache<PodDisruptionBudget> = caches.of();
    let all = budgets.clone();
    let of_pod = move |pod: &Pod| -> Vec<Key> {
        let namespace = pod.metadata.namespace.clone().unwrap_or_default();
        let mut budgets = all.list_in(&namespace);
        budgets.retain(|budget| {
            let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
            selector::matches_some(selector, pod.metadata.labels.as_ref())
        });
        budgets.iter().map(|budget| Key::new(namespace.clone(), pods::name(&budget.metadata))).collect()
    };
    let (controllers, stateful) = (caches.of(), caches.of());
    Controller::new("disruption", clock.clone())
        .watch(&budgets)
        .watch_mapped(&shop.pods, of_pod)
        .reads(&shop.sets)
        .reads(&shop.deployments)
        .reads(&controllers)
        .reads(&stateful)
        .run(&caches.group(), Budgets { shop: shop.clone(), budgets, controllers, stateful });
    let marked = |pod: &Pod| match pods::condition(pod, "DisruptionTarget") {
        Some(_) => vec![Key::new(pod.metadata.namespace.clone().unwrap_or_default(), pods::name(&pod.metadata))],
        None => Vec::new(),
    };
    Controller::new("stale disruption", clock.clone())
        .watch_mapped(&shop.pods, marked)
        .run(&caches.group(), StaleDisruptions { pods: shop.pods });
}

impl Budgets {
    /// The uid and the wanted number of pods of what scales a pod's controller.
    fn scale(&self, namespace: &str, owner: &OwnerReference) -> Option<(String, i32)> {
        let key = Key::new(namespace, owner.name.clone());
        match owner.kind.as_str() {
            "ReplicaSet" => {
                let set = self.shop.sets.get(&key).filter(|set| pods::uid(&set.metadata) == owner.uid)?;
                let deployment = controller_of(&set.metadata).filter(|one| one.kind == "Deployment");
                match deployment {
                    Some(one) => {
                        let found = self.shop.deployments.get(&Key::new(namespace, one.name.clone()))?;
                        Some((one.uid.clone(), found.spec.as_ref()?.replicas.unwrap_or(1)))
                    }
                    None => Some((owner.uid.clone(), set.spec.as_ref()?.replicas.unwrap_or(1))),
                }
            }
            "ReplicationController" => {
                Some((owner.uid.clone(), self.controllers.get(&key)?.spec.as_ref()?.replicas.unwrap_or(1)))
            }
            "StatefulSet" => Some((owner.uid.clone(), self.stateful.get(&key)?.spec.as_ref()?.replicas.unwrap_or(1))),
            _ => None,
        }
    }
}

impl Reconciler for Budgets {
    async fn reconcile(&self, key: Key, now: Timestamp) -> Result<Next, Error> {
        let Some(budget) = self.budgets.get(&key) else { return Ok(Next::Done) };
        let pods = selected(&budget, &self.shop.pods.list_in(&key.namespace));
        let owners: BTreeMap<String, OwnerReference> = pods
            .iter()
            .filter_map(|pod| controller_of(&pod.metadata))
            .map(|owner| (owner.uid.clone(), owner.clone()))
            .collect();
        let scales = owners.iter().filter_map(|(uid, owner)| Some((uid.clone(), self.scale(&key.namespace, owner)?)));
        let observed = Observed { scales: scales.collect(), pods };
        let mut decision = plan(&budget, &observed, now);
        if decision.status.is_none() {
            // Nothing new, so nothing is said again.
            decision.plan.notes.clear();
        }
        let outcome = self.shop.carry_out(budget.as_ref(), &decision.plan).await;
        write_status(&self.budgets, &key, budget.status.as_ref(), decision.status.as_ref()).await?;
        conclude(&decision.plan, outcome)
    }
}

impl Reconciler for StaleDisruptions {
    async fn reconcile(&self, key: Key, now: Timestamp) -> Result<Next, Error> {
        let Some(pod) = self.pods.get(&key) else { return Ok(Next::Done) };
        match stale_disruption(&pod, now) {
            None => return Ok(Next::Done),
            Some(wait) if !wait.is_zero() => return Ok(Next::After(wait)),
            Some(_) => {}
        }
        let mut status = pod.status.clone().unwrap_or_default();
        for condition in status.conditions.iter_mut().flatten().filter(|one| one.type_ == "DisruptionTarget") {
            condition.status = "False".to_owned();
            condition.reason = None;
            condition.message = None;
            condition.last_transition_time = Some(seconds(now));
            condition.observed_generation = pod.metadata.generation;
        }
        if let Some(patch) = patch::of_status(pod.status.as_ref(), &status)? {
            match self.pods.merge_status(&key, &patch).await {
                Err(error) if !is_code(&error, 404) => return Err(error.into()),
                _ => {}
            }
        }
        Ok(Next::Done)
    }
}
