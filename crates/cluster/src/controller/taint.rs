//! Node lifecycle and taint eviction: notices silent nodes, taints nodes by their state, evicts the pods that do not
//! tolerate it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ferroflow_platform::clock::SharedClock;
use ferroflow_platform::controller::{Cache, Caches, Controller, Error, EventKind, Key, Next, Reconciler, Recorder};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod, PodStatus, Taint};
use kube::api::{DeleteParams, Preconditions};
use serde_json::json;

use super::execute::is_code;
use crate::core::workload::condition::seconds;
use crate::core::workload::taint::{
    Fate, Pulse, eviction_condition, fate, must_lose_readiness, node_condition, node_taints, pulse,
};
use crate::core::workload::{patch, pods};

/// The namespace of the leases that nodes renew.
const LEASES: &str = "kube-node-lease";

/// The last sign of life of a node: what its lease said and when that was first seen here. Clocks of nodes are not
/// compared with ours.
struct Heard {
    renewed: Option<Timestamp>,
    at: Timestamp,
}

struct Lifecycle {
    nodes: Cache<Node>,
    pods: Cache<Pod>,
    leases: Cache<Lease>,
    recorder: Recorder,
    /// By node name; bounded by the nodes.
    heard: Mutex<HashMap<String, Heard>>,
}

struct Eviction {
    nodes: Cache<Node>,
    pods: Cache<Pod>,
    recorder: Recorder,
    /// Since when a pod has been under the taints of its node, by uid; bounded by the pods on tainted nodes.
    since: Mutex<HashMap<String, Timestamp>>,
}

/// Starts the controllers.
pub fn register(caches: &Caches, clock: &SharedClock) {
    register_lifecycle(caches, clock);
    register_eviction(caches, clock);
}

fn register_lifecycle(caches: &Caches, clock: &SharedClock) {
    let (nodes, pods, leases): (Cache<Node>, Cache<Pod>, Cache<Lease>) = (caches.of(), caches.of(), caches.of());
    let recorder = Recorder::start(caches.client(), clock.clone(), &caches.group(), "node-controller");
    let of_lease = |lease: &Lease| match lease.metadata.namespace.as_deref() {
        Some(LEASES) => vec![Key::new("", pods::name(&lease.metadata))],
        _ => Vec::new(),
    };
    Controller::new("node lifecycle", clock.clone())
        .watch(&nodes)
        .watch_mapped(&leases, of_lease)
        .reads(&pods)
        .run(&caches.group(), Lifecycle { nodes, pods, leases, recorder, heard: Mutex::default() });
}

fn register_eviction(caches: &Caches, clock: &SharedClock) {
    let (nodes, all): (Cache<Node>, Cache<Pod>) = (caches.of(), caches.of());
    let recorder = Recorder::start(caches.client(), clock.clone(), &caches.group(), "taint-eviction-controller");
    let of_pod =
        |pod: &Pod| vec![Key::new(pod.metadata.namespace.clone().unwrap_or_default(), pods::name(&pod.metadata))];
    let controller = Controller::new("taint eviction", clock.clone()).watch_mapped(&all, of_pod).reads(&nodes);
    let (queue, on_nodes) = (controller.queue(), all.clone());
    nodes.on_change(move |old, new| {
        let taints = |node: &Arc<Node>| executing(node);
        if old.map(taints).unwrap_or_default() == new.map(taints).unwrap_or_default() {
            return;
        }
        let Some(node) = new.or(old) else { return };
        for pod in on_nodes.list() {
            if pods::node_name(&pod) == pods::name(&node.metadata) {
                queue.add(Key::new(pod.metadata.namespace.clone().unwrap_or_default(), pods::name(&pod.metadata)));
            }
        }
    });
    controller.run(&caches.group(), Eviction { nodes, pods: all, recorder, since: Mutex::default() });
}

/// The taints of a node that drive pods away.
fn executing(node: &Node) -> Vec<Taint> {
    let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    taints.filter(|taint| taint.effect == "NoExecute").cloned().collect()
}

impl Lifecycle {
    /// When the node was last heard of: its lease was renewed, it reported its state, or it came.
    fn heard(&self, node: &Node, now: Timestamp) -> Timestamp {
        let name = pods::name(&node.metadata);
        let lease = self.leases.get(&Key::new(LEASES, name));
        let renewed = lease.and_then(|lease| lease.spec.as_ref()?.renew_time.as_ref().map(|time| time.0));
        let reported = node_condition(node, "Ready").and_then(|ready| ready.last_heartbeat_time.as_ref());
        let renewed = renewed.max(reported.map(|time| time.0));
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let known = heard.entry(name.to_owned()).or_insert(Heard { renewed, at: now });
        if known.renewed != renewed {
            *known = Heard { renewed, at: now };
        }
        known.at
    }

    async fn take_readiness(&self, node: &Node, now: Timestamp) -> Result<(), Error> {
        for pod in self.pods.list() {
            if pods::node_name(&pod) != pods::name(&node.metadata) || !must_lose_readiness(&pod, node) {
                continue;
            }
            let mut status = pod.status.clone().unwrap_or_default();
            for condition in status.conditions.iter_mut().flatten().filter(|one| one.type_ == "Ready") {
                condition.status = "False".to_owned();
                condition.last_transition_time = Some(seconds(now));
            }
            write(&self.pods, &pod, &status).await?;
            self.recorder.event(pod.as_ref(), EventKind::Warning, "NodeNotReady", "Node is not ready");
        }
        Ok(())
    }
}

async fn write(cache: &Cache<Pod>, pod: &Pod, status: &PodStatus) -> Result<(), Error> {
    let Some(patch) = patch::of_status(pod.status.as_ref(), status)? else { return Ok(()) };
    let key = Key::new(pod.metadata.namespace.clone().unwrap_or_default(), pods::name(&pod.metadata));
    match cache.merge_status(&key, &patch).await {
        Err(error) if !is_code(&error, 404) => Err(error.into()),
        _ => Ok(()),
    }
}

impl Reconciler for Lifecycle {
    async fn reconcile(&self, key: Key, now: Timestamp) -> Result<Next, Error> {
        let Some(node) = self.nodes.get(&key) else {
            self.heard.lock().unwrap_or_else(PoisonError::into_inner).remove(&key.name);
            return Ok(Next::Done);
        };
        let pulse = pulse(&node, self.heard(&node, now), now);
        if let Pulse::Silent(conditions) = &pulse {
            let mut status = node.status.clone().unwrap_or_default();
            status.conditions = Some(conditions.clone());
            if let Some(patch) = patch::of_status(node.status.as_ref(), &status)? {
                self.nodes.merge_status(&key, &patch).await?;
            }
            let message = format!("Node {} status is now: NodeNotReady", key.name);
            self.recorder.event(node.as_ref(), EventKind::Normal, "NodeNotReady", message);
            // The change wakes the node again; its taints follow then.
            return Ok(Next::Done);
        }
        if let Some(taints) = node_taints(&node, now) {
            // Taints are one list: another writer's change must not be lost.
            let patch = json!({
                "metadata": { "resourceVersion": node.metadata.resource_version },
                "spec": { "taints": taints },
            });
            self.nodes.merge(&key, &patch).await?;
        }
        self.take_readiness(&node, now).await?;
        Ok(match pulse {
            Pulse::Alive(left) => Next::After(left + Duration::from_millis(10)),
            Pulse::Lost | Pulse::Silent(_) => Next::Done,
        })
    }
}

impl Eviction {
    /// Since when the pod has been under its node's taints; `None` forgets it, and says whether it was known.
    fn remember(&self, uid: &str, now: Option<Timestamp>) -> Option<Timestamp> {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        match now {
            Some(now) => Some(*since.entry(uid.to_owned()).or_insert(now)),
            None => since.remove(uid),
        }
    }

    /// Forgets pods that are gone.
    fn sweep(&self) {
        if self.since.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
            return;
        }
        let alive: HashSet<String> = self.pods.list().iter().map(|pod| pods::uid(&pod.metadata).to_owned()).collect();
        self.since.lock().unwrap_or_else(PoisonError::into_inner).retain(|uid, _| alive.contains(uid));
    }

    async fn evict(&self, pod: &Pod, key: &Key, now: Timestamp) -> Result<(), Error> {
        let message = format!("Marking for deletion Pod {key}");
        self.recorder.event(pod, EventKind::Normal, "TaintManagerEviction", message);
        let mut status = pod.status.clone().unwrap_or_default();
        let conditions = status.conditions.get_or_insert_default();
        if !conditions.iter().any(|one| one.type_ == "DisruptionTarget" && one.status == "True") {
            conditions.retain(|one| one.type_ != "DisruptionTarget");
            conditions.push(eviction_condition(pod, now));
        }
        write(&self.pods, pod, &status).await?;
        let preconditions = Preconditions { uid: pod.metadata.uid.clone(), resource_version: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        match self.pods.delete_object(key, &params).await {
            Err(error) if !is_code(&error, 409) => Err(error.into()),
            _ => Ok(()),
        }
    }
}

impl Reconciler for Eviction {
    async fn reconcile(&self, key: Key, now: Timestamp) -> Result<Next, Error> {
        let Some(pod) = self.pods.get(&key) else {
            self.sweep();
            return Ok(Next::Done);
        };
        let uid = pods::uid(&pod.metadata);
        let node = self.nodes.get(&Key::new("", pods::node_name(&pod)));
        let taints = node.map(|node| executing(&node)).unwrap_or_default();
        if taints.is_empty() || pods::is_terminating(&pod) {
            let pending = self.remember(uid, None).is_some() && !pods::is_terminating(&pod);
            if pending && fate(&pod, &taints, now, now) == Fate::Stays {
                let message = format!("Cancelling deletion of Pod {key}");
                self.recorder.event(pod.as_ref(), EventKind::Normal, "TaintManagerEviction", message);
            }
            return Ok(Next::Done);
        }
        let since = self.remember(uid, Some(now)).unwrap_or(now);
        match fate(&pod, &taints, since, now) {
            Fate::Stays => {
                self.remember(uid, None);
                Ok(Next::Done)
            }
            Fate::StaysFor(left) => Ok(Next::After(left)),
            Fate::Goes => {
                self.evict(&pod, &key, now).await?;
                Ok(Next::Done)
            }
        }
    }
}
