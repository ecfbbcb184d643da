//! Affinity and anti-affinity between pods: which pods want to be near each other, and which do not.

use k8s_openapi::api::core::v1::{Pod, PodAffinityTerm, WeightedPodAffinityTerm};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

use super::{Misfit, NodeState, Snapshot};
use crate::core::workload::selector;

fn namespace(pod: &Pod) -> &str {
    pod.metadata.namespace.as_deref().unwrap_or_default()
}

/// The required terms of a pod: of affinity, and of anti-affinity.
fn required(pod: &Pod) -> (&[PodAffinityTerm], &[PodAffinityTerm]) {
    let affinity = pod.spec.as_ref().and_then(|spec| spec.affinity.as_ref());
    let near = affinity.and_then(|affinity| affinity.pod_affinity.as_ref());
    let far = affinity.and_then(|affinity| affinity.pod_anti_affinity.as_ref());
    (
        near.and_then(|near| near.required_during_scheduling_ignored_during_execution.as_deref()).unwrap_or_default(),
        far.and_then(|far| far.required_during_scheduling_ignored_during_execution.as_deref()).unwrap_or_default(),
    )
}

/// The preferred terms of a pod: of affinity, and of anti-affinity.
fn preferred(pod: &Pod) -> (&[WeightedPodAffinityTerm], &[WeightedPodAffinityTerm]) {
    let affinity = pod.spec.as_ref().and_then(|spec| spec.affinity.as_ref());
    let near = affinity.and_then(|affinity| affinity.pod_affinity.as_ref());
    let far = affinity.and_then(|affinity| affinity.pod_anti_affinity.as_ref());
    (
        near.and_then(|near| near.preferred_during_scheduling_ignored_during_execution.as_deref()).unwrap_or_default(),
        far.and_then(|far| far.preferred_during_scheduling_ignored_during_execution.as_deref()).unwrap_or_default(),
    )
}

/// Whether a term of `holder` selects `other`.
fn selects(term: &PodAffinityTerm, holder: &Pod, other: &Pod, snapshot: &Snapshot) -> bool {
    let listed = term.namespaces.as_deref().unwrap_or_default();
    let theirs = namespace(other);
    let in_namespace = match &term.namespace_selector {
        None if listed.is_empty() => theirs == namespace(holder),
        None => listed.iter().any(|name| name == theirs),
        Some(by_labels) => {
            listed.iter().any(|name| name == theirs) || selector::matches(by_labels, snapshot.namespaces.get(theirs))
        }
    };
    in_namespace && selector::matches_some(merged(term, holder).as_ref(), other.metadata.labels.as_ref())
}

/// The term's selector with the holder's own values of `matchLabelKeys` and `mismatchLabelKeys`.
fn merged(term: &PodAffinityTerm, holder: &Pod) -> Option<LabelSelector> {
    let mut selector = term.label_selector.clone()?;
    let own = |key: &String| holder.metadata.labels.as_ref().and_then(|labels| labels.get(key)).cloned();
    let keys = [("In", &term.match_label_keys), ("NotIn", &term.mismatch_label_keys)];
    for (operator, keys) in keys {
        for key in keys.iter().flatten() {
            let Some(value) = own(key) else { continue };
            let values = Some(vec![value]);
            let requirement = LabelSelectorRequirement { key: key.clone(), operator: operator.to_owned(), values };
            let expressions = selector.match_expressions.get_or_insert_default();
            if !expressions.contains(&requirement) {
                expressions.push(requirement);
            }
        }
    }
    Some(selector)
}

/// Whether the node lies in the same topology as `other`.
fn is_near(key: &str, state: &NodeState, other: &NodeState) -> bool {
    state.label(key).is_some() && state.label(key) == other.label(key)
}

/// All nodes of the snapshot, with `state` in the place of its namesake.
fn nodes<'a>(state: &'a NodeState, snapshot: &'a Snapshot) -> impl Iterator<Item = &'a NodeState> {
    snapshot.nodes.values().map(move |other| if other.name() == state.name() { state } else { other })
}

/// Whether the pod fits the node as far as other pods are concerned. `None` when it does.
pub fn filter(pod: &Pod, state: &NodeState, snapshot: &Snapshot) -> Option<Misfit> {
    let (near, far) = required(pod);
    if !near.is_empty() && !finds_company(pod, near, state, snapshot) {
        return Some(Misfit::lasting("node(s) didn't match pod affinity rules"));
    }
    let meets = |term: &PodAffinityTerm| {
        nodes(state, snapshot).any(|other| {
            is_near(&term.topology_key, state, other) && other.pods.iter().any(|one| selects(term, pod, one, snapshot))
        })
    };
    if far.iter().any(meets) {
        return Some(Misfit::passing("node(s) didn't match pod anti-affinity rules"));
    }
    let shunned = nodes(state, snapshot).any(|other| {
        other.pods.iter().any(|one| {
            let far = required(one).1;
            far.iter().any(|term| is_near(&term.topology_key, state, other) && selects(term, one, pod, snapshot))
        })
    });
    shunned.then(|| Misfit::passing("node(s) didn't satisfy existing pods anti-affinity rules"))
}

/// Whether every term of affinity is met; or the pod is the first of a group that selects itself.
fn finds_company(pod: &Pod, near: &[PodAffinityTerm], state: &NodeState, snapshot: &Snapshot) -> bool {
    if near.iter().any(|term| state.label(&term.topology_key).is_none()) {
        return false;
    }
    let all = |other: &Pod| near.iter().all(|term| selects(term, pod, other, snapshot));
    let matching = |one: &&NodeState, term: &PodAffinityTerm| {
        is_near(&term.topology_key, state, one) && one.pods.iter().any(|other| all(other))
    };
    if near.iter().all(|term| nodes(state, snapshot).any(|one| matching(&one, term))) {
        return true;
    }
    let alone = !nodes(state, snapshot).any(|one| one.pods.iter().any(|other| all(other)));
    alone && all(pod)
}

/// How much the pod, and the pods that are there, would like it to come: the weights of the matching preferred terms.
pub fn preference(pod: &Pod, state: &NodeState, snapshot: &Snapshot) -> i64 {
    let (near, far) = preferred(pod);
    let mut score = 0;
    for other in snapshot.nodes.values() {
        for one in &other.pods {
            let weigh = |terms: &[WeightedPodAffinityTerm], holder: &Pod, target: &Pod| -> i64 {
                let met = terms.iter().filter(|weighted| {
                    let term = &weighted.pod_affinity_term;
                    is_near(&term.topology_key, state, other) && selects(term, holder, target, snapshot)
                });
                met.map(|weighted| i64::from(weighted.weight)).sum()
            };
            let (their_near, their_far) = preferred(one);
            score += weigh(near, pod, one) - weigh(far, pod, one);
            score += weigh(their_near, one, pod) - weigh(their_far, one, pod);
        }
    }
    score
}
