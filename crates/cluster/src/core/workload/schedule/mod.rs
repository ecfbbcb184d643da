//! On which node does a pod go?
//!
//! [`schedule`] takes a pod and a snapshot of the cluster and says: this node; or none, for these reasons, and whether
//! evicting pods of lower priority would help. The order of the checks, the reasons and the text follow upstream
//! `pkg/scheduler`, so that what users read is what they know.

pub mod affinity;
mod filter;
pub mod node;
mod preempt;
pub mod resources;
mod score;
mod spread;
mod volumes;

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, PersistentVolumeClaim, Pod, Taint};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;

use self::resources::Amounts;
use super::pods;
use super::selector::Labels;

/// The name that a pod asks for when it asks for this scheduler.
pub const SCHEDULER_NAME: &str = "default-scheduler";

/// A node with what is on it.
#[derive(Clone, Debug)]
pub struct NodeState {
    /// The node.
    pub node: Arc<Node>,
    /// The pods that are bound to it and have not ended.
    pub pods: Vec<Arc<Pod>>,
    allocatable: Amounts,
    requested: Amounts,
}

impl NodeState {
    /// A node without pods.
    pub fn new(node: Arc<Node>) -> NodeState {
        let allocatable = resources::allocatable(&node);
        NodeState { node, pods: Vec::new(), allocatable, requested: Amounts::new() }
    }

    /// The node's name.
    pub fn name(&self) -> &str {
        pods::name(&self.node.metadata)
    }

    /// Counts a pod as being on the node.
    pub fn add(&mut self, pod: Arc<Pod>) {
        resources::add(&mut self.requested, &resources::requests(&pod));
        self.pods.push(pod);
    }

    /// Counts a pod no longer.
    pub fn remove(&mut self, pod: &Pod) {
        let uid = pods::uid(&pod.metadata);
        if let Some(index) = self.pods.iter().position(|one| pods::uid(&one.metadata) == uid) {
            let gone = self.pods.remove(index);
            resources::subtract(&mut self.requested, &resources::requests(&gone));
        }
    }

    fn taints(&self) -> &[Taint] {
        self.node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default()
    }

    fn label(&self, key: &str) -> Option<&str> {
        self.node.metadata.labels.as_ref().and_then(|labels| labels.get(key)).map(String::as_str)
    }
}

/// The cluster as a scheduling decision sees it.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The nodes, by name.
    pub nodes: BTreeMap<String, NodeState>,
    /// The labels of the namespaces.
    pub namespaces: BTreeMap<String, Labels>,
    /// The claims, by namespace and name.
    pub claims: BTreeMap<(String, String), Arc<PersistentVolumeClaim>>,
    /// The storage classes whose volumes wait for their first consumer.
    pub late_classes: Vec<String>,
    /// The disruption budgets, which preemption respects where it can.
    pub budgets: Vec<Arc<PodDisruptionBudget>>,
    /// Pods that wait for a node that was cleared for them.
    pub nominated: Vec<Arc<Pod>>,
}

impl Snapshot {
    /// A snapshot of nodes and pods; claims and the rest are set by the caller.
    pub fn new(nodes: &[Arc<Node>], all: &[Arc<Pod>]) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for node in nodes {
            let state = NodeState::new(node.clone());
            snapshot.nodes.insert(state.name().to_owned(), state);
        }
        for pod in all {
            if !pods::is_finished(pod) {
                snapshot.place(pod);
            }
        }
        snapshot
    }

    fn place(&mut self, pod: &Arc<Pod>) {
        let bound = pods::node_name(pod);
        let nominated = pod.status.as_ref().and_then(|status| status.nominated_node_name.as_deref());
        if let Some(node) = self.nodes.get_mut(bound) {
            node.add(pod.clone());
        } else if bound.is_empty() && nominated.is_some_and(|node| !node.is_empty()) {
            self.nominated.push(pod.clone());
        }
    }

    /// Counts a pod as bound to a node, so that the next decision sees it.
    pub fn assume(&mut self, pod: &Arc<Pod>, node: &str) {
        let uid = pods::uid(&pod.metadata).to_owned();
        self.nominated.retain(|one| pods::uid(&one.metadata) != uid);
        if let Some(state) = self.nodes.get_mut(node) {
            let mut bound = pod.as_ref().clone();
            bound.spec.get_or_insert_default().node_name = Some(node.to_owned());
            state.add(Arc::new(bound));
        }
    }
}

/// Why a pod does not fit a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// The reasons, in Kubernetes' words.
    pub reasons: Vec<String>,
    /// Whether it could fit if other pods were gone.
    pub resolvable: bool,
}

impl Misfit {
    fn lasting(reason: &str) -> Misfit {
        Misfit { reasons: vec![reason.to_owned()], resolvable: false }
    }

    fn passing(reason: &str) -> Misfit {
        Misfit { reasons: vec![reason.to_owned()], resolvable: true }
    }
}

/// Pods to evict so that a pod of higher priority can come.
#[derive(Clone, Debug, PartialEq)]
pub struct Preemption {
    /// The node that is cleared.
    pub node: String,
    /// The pods that go.
    pub victims: Vec<Arc<Pod>>,
}

/// What becomes of a pod.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// It is bound to this node.
    Bind {
        /// The node's name.
        node: String,
    },
    /// It will be bound to this node once these claims have volumes there.
    Provision {
        /// The node's name.
        node: String,
        /// The names of the claims that wait for a consumer.
        claims: Vec<String>,
    },
    /// It is held back by scheduling gates.
    Gated,
    /// It fits nowhere now.
    Unschedulable {
        /// The text of the condition and the event.
        message: String,
        /// What would make room.
        preemption: Option<Preemption>,
        /// Whether a node that was cleared for it earlier is given up.
        gives_up_nomination: bool,
    },
}

/// A pod's priority.
pub fn priority(pod: &Pod) -> i32 {
    pod.spec.as_ref().and_then(|spec| spec.priority).unwrap_or(0)
}

/// Whether this scheduler is to find a node for the pod.
pub fn is_pending(pod: &Pod) -> bool {
    let asked = pod.spec.as_ref().and_then(|spec| spec.scheduler_name.as_deref()).unwrap_or(SCHEDULER_NAME);
    pods::node_name(pod).is_empty() && pods::is_active(pod) && asked == SCHEDULER_NAME
}

/// The order in which pods get their turn: higher priority first, then older first.
pub fn turn(pod: &Pod) -> (std::cmp::Reverse<i32>, Option<jiff::Timestamp>, String, String) {
    let meta = &pod.metadata;
    let created = meta.creation_timestamp.as_ref().map(|time| time.0);
    let namespace = meta.namespace.clone().unwrap_or_default();
    (std::cmp::Reverse(priority(pod)), created, namespace, pods::name(meta).to_owned())
}

/// Decides for one pod.
pub fn schedule(pod: &Arc<Pod>, snapshot: &Snapshot) -> Decision {
    let gates = pod.spec.as_ref().and_then(|spec| spec.scheduling_gates.as_ref());
    if gates.is_some_and(|gates| !gates.is_empty()) {
        return Decision::Gated;
    }
    if snapshot.nodes.is_empty() {
        let message = "no nodes available to schedule pods".to_owned();
        return Decision::Unschedulable { message, preemption: None, gives_up_nomination: false };
    }
    let late = match volumes::check(pod, snapshot) {
        Ok(late) => late,
        Err(reason) => return refused_outright(pod, snapshot, &reason),
    };
    let mut misfits = BTreeMap::new();
    let mut fitting = Vec::new();
    for (name, state) in &snapshot.nodes {
        match filter::filter_with_nominated(pod, state, snapshot) {
            None => fitting.push(name.as_str()),
            Some(misfit) => {
                misfits.insert(name.clone(), misfit);
            }
        }
    }
    match score::best(pod, &fitting, snapshot) {
        Some(node) if late.is_empty() => Decision::Bind { node },
        Some(node) => Decision::Provision { node, claims: late },
        None => fits_nowhere(pod, snapshot, &misfits),
    }
}

fn refused_outright(pod: &Arc<Pod>, snapshot: &Snapshot, reason: &str) -> Decision {
    let head = format!("0/{} nodes are available: {reason}.", snapshot.nodes.len());
    unschedulable(pod, head, preempt::preempt(pod, snapshot, &BTreeMap::new()))
}

fn fits_nowhere(pod: &Arc<Pod>, snapshot: &Snapshot, misfits: &BTreeMap<String, Misfit>) -> Decision {
    let head = histogram(snapshot.nodes.len(), misfits.values());
    unschedulable(pod, head, preempt::preempt(pod, snapshot, misfits))
}

fn unschedulable(pod: &Pod, head: String, outcome: preempt::Outcome) -> Decision {
    let nominated = pod.status.as_ref().and_then(|status| status.nominated_node_name.as_deref());
    let has_nomination = nominated.is_some_and(|node| !node.is_empty());
    match outcome {
        preempt::Outcome::Evict(preemption) => {
            Decision::Unschedulable { message: head, preemption: Some(preemption), gives_up_nomination: false }
        }
        preempt::Outcome::Ineligible(why) => Decision::Unschedulable {
            message: format!("{head} preemption: {why}"),
            preemption: None,
            gives_up_nomination: false,
        },
        preempt::Outcome::Useless(why) => Decision::Unschedulable {
            message: format!("{head} preemption: {why}"),
            preemption: None,
            gives_up_nomination: has_nomination,
        },
    }
}

/// `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable.`
fn histogram<'a>(nodes: usize, misfits: impl Iterator<Item = &'a Misfit>) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for reason in misfits.flat_map(|misfit| &misfit.reasons) {
        *counts.entry(reason).or_default() += 1;
    }
    let mut parts: Vec<String> = counts.into_iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    parts.sort();
    if parts.is_empty() {
        return format!("0/{nodes} nodes are available:");
    }
    format!("0/{nodes} nodes are available: {}.", parts.join(", "))
}

#[cfg(test)]
mod tests;
