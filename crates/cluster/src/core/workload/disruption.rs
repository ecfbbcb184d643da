//! PodDisruptionBudget: how many of the selected pods may be evicted now.
//!
//! Decides the status only; evictions themselves are allowed or refused by the API server, which takes from the
//! status what is left. Source: upstream `pkg/controller/disruption`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, OwnerReference, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::act::{Note, Plan};
use super::claim::controller_of;
use super::condition::seconds;
use super::pods::{self, Round, scaled};
use super::selector;

/// An eviction that was granted counts as done for this long; then the pod counts again.
const DELETION_TIMEOUT: SignedDuration = SignedDuration::from_mins(2);

/// The pods that a budget selects, with what is known of their controllers.
pub struct Observed {
    /// The pods of the budget's namespace.
    pub pods: Vec<Arc<Pod>>,
    /// For the uid of a pod's controller, the uid and the wanted number of pods of what scales it (the deployment of a
    /// replica set). Absent when it is not known or cannot be scaled.
    pub scales: BTreeMap<String, (String, i32)>,
}

/// What a pass over a budget comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// Events and the next look.
    pub plan: Plan,
    /// The status to write, when it differs.
    pub status: Option<PodDisruptionBudgetStatus>,
}

struct Expected {
    count: i32,
    healthy: i32,
    unmanaged: bool,
}

/// The pods that a budget selects.
pub fn selected(budget: &PodDisruptionBudget, all: &[Arc<Pod>]) -> Vec<Arc<Pod>> {
    let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    let matches = |pod: &&Arc<Pod>| selector::matches_some(selector, pod.metadata.labels.as_ref());
    all.iter().filter(matches).cloned().collect()
}

/// Decides one pass over `budget`.
pub fn plan(budget: &PodDisruptionBudget, observed: &Observed, now: Timestamp) -> Decision {
    let mut plan = Plan::default();
    let spec = budget.spec.clone().unwrap_or_default();
    let selected = selected(budget, &observed.pods);
    if selected.is_empty() {
        plan.notes.push(Note::normal("NoPods", "No matching pods found"));
    }
    let expected = match expected(&spec, &selected, &observed.scales) {
        Ok(expected) => expected,
        Err(error) => {
            let message = format!("Failed to calculate the number of expected pods: {error}");
            plan.notes.push(Note::warning("CalculateExpectedPodCountFailed", message));
            return Decision { status: changed(budget, failed(budget, &error, now)), plan };
        }
    };
    if expected.unmanaged {
        plan.notes.push(unmanaged_note(&spec));
    }
    let disrupted = still_disrupted(budget, &selected, now, &mut plan);
    let counts = |pod: &&Arc<Pod>| {
        !pods::is_terminating(pod) && !disrupted.contains_key(pods::name(&pod.metadata)) && pods::is_ready(pod)
    };
    let healthy = i32::try_from(selected.iter().filter(counts).count()).unwrap_or(i32::MAX);
    let allowed = if expected.count <= 0 { 0 } else { (healthy - expected.healthy).max(0) };
    let mut status = PodDisruptionBudgetStatus {
        current_healthy: healthy,
        desired_healthy: expected.healthy,
        expected_pods: expected.count,
        disruptions_allowed: allowed,
        disrupted_pods: (!disrupted.is_empty()).then_some(disrupted),
        observed_generation: budget.metadata.generation,
        conditions: budget.status.as_ref().and_then(|status| status.conditions.clone()),
    };
    let (value, reason) = if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
    set_condition(&mut status, value, reason, "", now);
    Decision { status: changed(budget, status), plan }
}

fn changed(budget: &PodDisruptionBudget, new: PodDisruptionBudgetStatus) -> Option<PodDisruptionBudgetStatus> {
    (budget.status.as_ref() != Some(&new)).then_some(new)
}

fn failed(budget: &PodDisruptionBudget, error: &str, now: Timestamp) -> PodDisruptionBudgetStatus {
    let mut status = budget.status.clone().unwrap_or_default();
    status.disruptions_allowed = 0;
    set_condition(&mut status, "False", "SyncFailed", error, now);
    status
}

fn set_condition(status: &mut PodDisruptionBudgetStatus, value: &str, reason: &str, message: &str, now: Timestamp) {
    let generation = status.observed_generation;
    let conditions = status.conditions.get_or_insert_default();
    let old = conditions.iter().find(|one| one.type_ == "DisruptionAllowed");
    let since = old.filter(|old| old.status == value).map(|old| old.last_transition_time.clone());
    let condition = Condition {
        type_: "DisruptionAllowed".to_owned(),
        status: value.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        observed_generation: generation,
        last_transition_time: since.unwrap_or_else(|| seconds(now)),
    };
    match conditions.iter_mut().find(|one| one.type_ == "DisruptionAllowed") {
        Some(old) => *old = condition,
        None => conditions.push(condition),
    }
}

/// How many pods there should be, and how many of them healthy.
fn expected(
    spec: &PodDisruptionBudgetSpec,
    selected: &[Arc<Pod>],
    scales: &BTreeMap<String, (String, i32)>,
) -> Result<Expected, String> {
    if let Some(most) = &spec.max_unavailable {
        let (count, unmanaged) = scale(selected, scales)?;
        let healthy = (count - scaled(Some(most), count, Round::Up)).max(0);
        return Ok(Expected { count, healthy, unmanaged });
    }
    match &spec.min_available {
        Some(IntOrString::Int(least)) => {
            let count = i32::try_from(selected.len()).unwrap_or(i32::MAX);
            Ok(Expected { count, healthy: *least, unmanaged: false })
        }
        Some(share) => {
            let (count, unmanaged) = scale(selected, scales)?;
            Ok(Expected { count, healthy: scaled(Some(share), count, Round::Up), unmanaged })
        }
        None => Ok(Expected { count: 0, healthy: 0, unmanaged: false }),
    }
}

/// The wanted numbers of all controllers of the pods together, and whether there are pods without one.
fn scale(selected: &[Arc<Pod>], scales: &BTreeMap<String, (String, i32)>) -> Result<(i32, bool), String> {
    let mut by_scaler: BTreeMap<&str, i32> = BTreeMap::new();
    let mut unmanaged = false;
    for pod in selected {
        let Some(OwnerReference { uid, .. }) = controller_of(&pod.metadata) else {
            unmanaged = true;
            continue;
        };
        let Some((scaler, count)) = scales.get(uid) else {
            return Err(format!("found no controllers for pod {:?}", pods::name(&pod.metadata)));
        };
        by_scaler.insert(scaler, *count);
    }
    Ok((by_scaler.values().sum(), unmanaged))
}

fn unmanaged_note(spec: &PodDisruptionBudgetSpec) -> Note {
    let pairs = spec.selector.iter().flat_map(|selector| selector.match_labels.iter().flatten());
    let text = pairs.map(|(key, value)| format!("{key}:{value}")).collect::<Vec<_>>().join(" ");
    let selector = format!("&LabelSelector{{MatchLabels:map[string]string{{{text},}},}}");
    let message = format!(
        "Pods selected by this PodDisruptionBudget (selector: {selector}) were found to be unmanaged. As a result, the \
         status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for these \
         pods please set \".spec.minAvailable\" field of the PDB to an integer value."
    );
    Note::warning("UnmanagedPods", message)
}

/// Granted evictions whose pods are not gone yet; the plan looks again when the first of them expires.
fn still_disrupted(
    budget: &PodDisruptionBudget,
    selected: &[Arc<Pod>],
    now: Timestamp,
    plan: &mut Plan,
) -> BTreeMap<String, Time> {
    let granted = budget.status.as_ref().and_then(|status| status.disrupted_pods.clone()).unwrap_or_default();
    let mut left = BTreeMap::new();
    for pod in selected.iter().filter(|pod| !pods::is_terminating(pod)) {
        let name = pods::name(&pod.metadata);
        let Some(time) = granted.get(name) else { continue };
        let wait = DELETION_TIMEOUT - now.duration_since(time.0);
        if let Some(wait) = Duration::try_from(wait).ok().filter(|wait| !wait.is_zero()) {
            plan.look_again(Some(wait));
            left.insert(name.to_owned(), time.clone());
        }
    }
    left
}

/// How long a pod may carry `DisruptionTarget` without being deleted; then the condition is taken back.
const STALE_DISRUPTION: SignedDuration = SignedDuration::from_mins(2);

/// Until a pod's `DisruptionTarget` is stale: zero when it is, `None` when there is none to take back.
pub fn stale_disruption(pod: &Pod, now: Timestamp) -> Option<Duration> {
    let condition = pods::condition(pod, "DisruptionTarget").filter(|one| one.status == "True")?;
    let by_node = condition.reason.as_deref() == Some("TerminationByKubelet");
    if by_node || pods::is_terminating(pod) || pods::is_finished(pod) {
        return None;
    }
    let since = condition.last_transition_time.as_ref().map(|time| time.0).unwrap_or_default();
    Some(Duration::try_from(STALE_DISRUPTION - now.duration_since(since)).unwrap_or_default())
}

#[cfg(test)]
mod tests;
