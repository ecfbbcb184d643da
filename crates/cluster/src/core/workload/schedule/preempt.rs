//! Which pods of lower priority could go so that a pod fits?

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;

use super::filter::filter_with_nominated;
use super::{Misfit, NodeState, Preemption, Snapshot, histogram, priority};
use crate::core::workload::{pods, selector};

const NO_VICTIMS: &str = "No preemption victims found for incoming pod";
const NOT_HELPFUL: &str = "Preemption is not helpful for scheduling";

/// What preemption comes to.
pub enum Outcome {
    /// These pods go.
    Evict(Preemption),
    /// The pod may not preempt, or waits for an earlier preemption.
    Ineligible(String),
    /// No eviction helps.
    Useless(String),
}

struct Candidate {
    node: String,
    victims: Vec<Arc<Pod>>,
    violations: usize,
}

/// Decides whether to preempt. `misfits` says why the pod fits no node; nodes that are missing cannot be helped.
pub fn preempt(pod: &Arc<Pod>, snapshot: &Snapshot, misfits: &BTreeMap<String, Misfit>) -> Outcome {
    if let Some(why) = ineligible(pod, snapshot, misfits) {
        return Outcome::Ineligible(why);
    }
    let mut candidates = Vec::new();
    let mut hopeless: Vec<Misfit> = Vec::new();
    for (name, state) in &snapshot.nodes {
        if !misfits.get(name).is_some_and(|misfit| misfit.resolvable) {
            hopeless.push(Misfit::lasting(NOT_HELPFUL));
            continue;
        }
        match victims(pod, state, snapshot) {
            Ok(candidate) => candidates.push(candidate),
            Err(misfit) => hopeless.push(misfit),
        }
    }
    match candidates.into_iter().min_by_key(cost) {
        Some(best) => Outcome::Evict(Preemption { node: best.node, victims: best.victims }),
        None => Outcome::Useless(histogram(snapshot.nodes.len(), hopeless.iter())),
    }
}

/// Cheapest first: fewest budgets violated, lowest highest priority, lowest sum, fewest pods, youngest.
fn cost(candidate: &Candidate) -> (usize, i32, i64, usize, Reverse<Option<jiff::Timestamp>>) {
    let priorities = || candidate.victims.iter().map(|pod| priority(pod));
    let highest = priorities().max().unwrap_or(i32::MIN);
    let sum = priorities().map(|one| i64::from(one) + i64::from(i32::MAX) + 1).sum();
    let of_highest = candidate.victims.iter().filter(|pod| priority(pod) == highest);
    let earliest = of_highest.filter_map(|pod| started(pod)).min();
    (candidate.violations, highest, sum, candidate.victims.len(), Reverse(earliest))
}

fn started(pod: &Pod) -> Option<jiff::Timestamp> {
    pod.status.as_ref().and_then(|status| status.start_time.as_ref()).map(|time| time.0)
}

fn ineligible(pod: &Pod, snapshot: &Snapshot, misfits: &BTreeMap<String, Misfit>) -> Option<String> {
    if pod.spec.as_ref().and_then(|spec| spec.preemption_policy.as_deref()) == Some("Never") {
        return Some("not eligible due to preemptionPolicy=Never.".to_owned());
    }
    let nominated = pod.status.as_ref().and_then(|status| status.nominated_node_name.as_deref())?;
    if misfits.get(nominated).is_some_and(|misfit| !misfit.resolvable) {
        return None;
    }
    let state = snapshot.nodes.get(nominated)?;
    let leaving = |one: &&Arc<Pod>| priority(one) < priority(pod) && is_leaving(one);
    let waits = state.pods.iter().any(|one| leaving(&one));
    waits.then(|| "not eligible due to a terminating pod on the nominated node.".to_owned())
}

fn is_leaving(pod: &Pod) -> bool {
    let condition = pods::condition(pod, "DisruptionTarget");
    pods::is_terminating(pod)
        && condition.is_some_and(|one| one.status == "True" && one.reason.as_deref() == Some("PreemptionByScheduler"))
}

/// More important first: higher priority, then longer running.
fn importance(pod: &Pod) -> (Reverse<i32>, Option<jiff::Timestamp>) {
    (Reverse(priority(pod)), started(pod).or(Some(jiff::Timestamp::MAX)))
}

/// The fewest pods whose going lets the pod fit: all of lower priority go, then as many as possible are let back, those
/// that a budget protects first.
fn victims(pod: &Arc<Pod>, state: &NodeState, snapshot: &Snapshot) -> Result<Candidate, Misfit> {
    let mut state = state.clone();
    let mut lower: Vec<Arc<Pod>> = state.pods.iter().filter(|one| priority(one) < priority(pod)).cloned().collect();
    if lower.is_empty() {
        return Err(Misfit::lasting(NO_VICTIMS));
    }
    for one in &lower {
        state.remove(one);
    }
    if let Some(misfit) = filter_with_nominated(pod, &state, snapshot) {
        return Err(misfit);
    }
    lower.sort_by_key(|one| importance(one));
    let (violating, others) = by_budget(lower, &snapshot.budgets);
    let mut victims = Vec::new();
    let mut violations = 0;
    let protected = violating.len();
    for (index, one) in violating.into_iter().chain(others).enumerate() {
        state.add(one.clone());
        if filter_with_nominated(pod, &state, snapshot).is_some() {
            state.remove(&one);
            violations += usize::from(index < protected);
            victims.push(one);
        }
    }
    victims.sort_by_key(|one| importance(one));
    Ok(Candidate { node: state.name().to_owned(), victims, violations })
}

/// Sorts pods into those whose eviction would violate a budget and the others.
fn by_budget(lower: Vec<Arc<Pod>>, budgets: &[Arc<PodDisruptionBudget>]) -> (Vec<Arc<Pod>>, Vec<Arc<Pod>>) {
    let mut left: Vec<i32> =
        budgets.iter().map(|one| one.status.as_ref().map_or(0, |status| status.disruptions_allowed)).collect();
    lower.into_iter().partition(|pod| {
        let mut violated = false;
        for (budget, left) in budgets.iter().zip(&mut left) {
            if protects(budget, pod) {
                *left -= 1;
                violated |= *left < 0;
            }
        }
        violated
    })
}

fn protects(budget: &PodDisruptionBudget, pod: &Pod) -> bool {
    let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    let granted = budget.status.iter().flat_map(|status| status.disrupted_pods.iter().flatten());
    budget.metadata.namespace == pod.metadata.namespace
        && pod.metadata.labels.as_ref().is_some_and(|labels| !labels.is_empty())
        && selector.is_some_and(|selector| {
            !selector::is_empty(selector) && selector::matches(selector, pod.metadata.labels.as_ref())
        })
        && !granted.into_iter().any(|(name, _)| name == pods::name(&pod.metadata))
}
