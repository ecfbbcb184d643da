//! Topology spread: pods of a kind are spread evenly over zones, nodes or what else labels name.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, TopologySpreadConstraint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

use super::{Misfit, NodeState, Snapshot, node};
use crate::core::workload::selector;
use crate::core::workload::taint::first_untolerated;
use crate::core::workload::{claim, pods};

const MISMATCH: &str = "node(s) didn't match pod topology spread constraints";
const NO_LABEL: &str = "node(s) didn't match pod topology spread constraints (missing required label)";

fn constraints<'a>(pod: &'a Pod, when: &'a str) -> impl Iterator<Item = &'a TopologySpreadConstraint> + Clone {
    let all = pod.spec.as_ref().and_then(|spec| spec.topology_spread_constraints.as_deref()).unwrap_or_default();
    all.iter().filter(move |constraint| constraint.when_unsatisfiable == when)
}

/// The constraint's selector, with the pod's own values of `matchLabelKeys`.
fn selector_of(constraint: &TopologySpreadConstraint, pod: &Pod) -> Option<LabelSelector> {
    let mut selector = constraint.label_selector.clone()?;
    for key in constraint.match_label_keys.iter().flatten() {
        let Some(value) = pod.metadata.labels.as_ref().and_then(|labels| labels.get(key)) else { continue };
        let values = Some(vec![value.clone()]);
        let requirement = LabelSelectorRequirement { key: key.clone(), operator: "In".to_owned(), values };
        selector.match_expressions.get_or_insert_default().push(requirement);
    }
    Some(selector)
}

/// Whether a node counts as a place for the constraint.
fn counts(constraint: &TopologySpreadConstraint, pod: &Pod, state: &NodeState) -> bool {
    let Some(spec) = pod.spec.as_ref() else { return true };
    let by_affinity = constraint.node_affinity_policy.as_deref() != Some("Ignore");
    let by_taints = constraint.node_taints_policy.as_deref() == Some("Honor");
    let tolerations = spec.tolerations.as_deref().unwrap_or_default();
    (!by_affinity || node::matches_required(spec, &state.node))
        && (!by_taints || first_untolerated(state.taints(), tolerations, &["NoSchedule", "NoExecute"]).is_none())
}

/// How many pods of the kind each place has.
fn places(
    constraint: &TopologySpreadConstraint,
    pod: &Pod,
    state: &NodeState,
    snapshot: &Snapshot,
    keys: &[&str],
) -> BTreeMap<String, i32> {
    let selector = selector_of(constraint, pod);
    let mut places = BTreeMap::new();
    for other in snapshot.nodes.values() {
        let other = if other.name() == state.name() { state } else { other };
        let labelled = keys.iter().all(|key| other.label(key).is_some());
        let Some(place) = other.label(&constraint.topology_key).filter(|_| labelled) else { continue };
        if !counts(constraint, pod, other) {
            continue;
        }
        let alike = |one: &&std::sync::Arc<Pod>| {
            !pods::is_terminating(one)
                && one.metadata.namespace == pod.metadata.namespace
                && selector::matches_some(selector.as_ref(), one.metadata.labels.as_ref())
        };
        let found = i32::try_from(other.pods.iter().filter(alike).count()).unwrap_or(i32::MAX);
        *places.entry(place.to_owned()).or_insert(0) += found;
    }
    places
}

/// Whether the pod may come to the node without skewing the spread too much. `None` when it may.
pub fn filter(pod: &Pod, state: &NodeState, snapshot: &Snapshot) -> Option<Misfit> {
    let hard = constraints(pod, "DoNotSchedule");
    let keys: Vec<&str> = hard.clone().map(|constraint| constraint.topology_key.as_str()).collect();
    for constraint in hard {
        let Some(place) = state.label(&constraint.topology_key) else {
            return Some(Misfit::lasting(NO_LABEL));
        };
        let places = places(constraint, pod, state, snapshot, &keys);
        let enough = i32::try_from(places.len()).unwrap_or(i32::MAX) >= constraint.min_domains.unwrap_or(1);
        let fewest = if enough { places.values().copied().min().unwrap_or(0) } else { 0 };
        let own = selector::matches_some(selector_of(constraint, pod).as_ref(), pod.metadata.labels.as_ref());
        let here = places.get(place).copied().unwrap_or(0) + i32::from(own);
        if here - fewest > constraint.max_skew {
            return Some(Misfit::passing(MISMATCH));
        }
    }
    None
}

/// How many pods of the kind share the node's places, by the constraints that are wishes; fewer is better. A pod without
/// constraints would rather not share its node with pods of the same controller.
pub fn crowding(pod: &Pod, state: &NodeState, snapshot: &Snapshot) -> i64 {
    if pod.spec.as_ref().is_none_or(|spec| spec.topology_spread_constraints.as_ref().is_none_or(Vec::is_empty)) {
        return siblings(pod, state);
    }
    let soft = constraints(pod, "ScheduleAnyway");
    let crowd = |constraint: &TopologySpreadConstraint| {
        let places = places(constraint, pod, state, snapshot, &[]);
        state.label(&constraint.topology_key).and_then(|place| places.get(place).copied()).unwrap_or(i32::MAX)
    };
    soft.map(|constraint| i64::from(crowd(constraint))).sum()
}

fn siblings(pod: &Pod, state: &NodeState) -> i64 {
    let Some(owner) = claim::controller_of(&pod.metadata) else { return 0 };
    let count = state.pods.iter().filter(|other| claim::is_controlled_by(&other.metadata, &owner.uid)).count();
    i64::try_from(count).unwrap_or(i64::MAX)
}
