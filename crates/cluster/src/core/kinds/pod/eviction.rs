//! The subresource `eviction`: whether the budgets of a pod let it go.
//!
//! After `pkg/registry/core/pod/storage/eviction.go`. Deleting the pod, and writing the budget first,
//! is the caller's part.

use serde_json::{Value, json};

use super::super::value::{ensure, entries, get, integer, items, present, put, text};
use super::super::{labels, meta};

const MAX_DISRUPTED_PODS: usize = 2000;
const REFUSED: &str = "Cannot evict pod as it would violate the pod's disruption budget.";

/// What to do with an eviction.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Delete the pod.
    Allow,
    /// Delete the pod provided that it has not changed since it was read.
    AllowUnchanged,
    /// Write this status of the budget first, then delete the pod. Without an observed change of the
    /// budget's resource version; a conflict means to decide again.
    AllowAfter { budget: Value },
    /// 429; `cause` goes into `details.causes` with the reason `DisruptionBudget`.
    Refuse { message: String, cause: String, retry_after_seconds: u32 },
    /// 403 on `poddisruptionbudget.policy`.
    Forbid { budget: String, message: String },
    /// 500.
    Fail { message: String },
}

/// Decides on the eviction of a pod. `budgets` are those of its namespace; `now` is RFC 3339.
pub fn decide(pod: &Value, budgets: &[Value], now: &str) -> Verdict {
    let deleted = present(get(pod, "metadata"), "deletionTimestamp");
    match text(get(pod, "status"), "phase") {
        "Succeeded" | "Failed" => return Verdict::Allow,
        _ if deleted => return Verdict::Allow,
        "Pending" => return Verdict::AllowUnchanged,
        _ => {}
    }
    let matching: Vec<&Value> = budgets
        .iter()
        .filter(|budget| labels::matches(get(get(budget, "spec"), "selector"), meta::labels_of(pod)))
        .collect();
    match matching.as_slice() {
        [] => Verdict::Allow,
        [budget] => by_budget(pod, budget, now),
        _ => Verdict::Fail {
            message: "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
                .to_owned(),
        },
    }
}

/// Says in a pod's status that it is evicted: a job's failure policy may then not count it.
pub fn mark(pod: &mut Value, now: &str) {
    let condition = json!({
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting",
        "lastTransitionTime": now,
    });
    super::set_condition(pod, condition);
}

fn by_budget(pod: &Value, budget: &Value, now: &str) -> Verdict {
    let status = get(budget, "status");
    let (healthy, desired) = (integer(status, "currentHealthy"), integer(status, "desiredHealthy"));
    if !super::condition_is_true(pod, "Ready") {
        let always = text(get(budget, "spec"), "unhealthyPodEvictionPolicy") == "AlwaysAllow";
        if always || (healthy >= desired && desired > 0) {
            return Verdict::AllowUnchanged;
        }
    }
    let name = text(get(budget, "metadata"), "name").to_owned();
    if integer(status, "observedGeneration") < meta::generation(budget) {
        let cause = format!("The disruption budget {name} is still being processed by the server.");
        return Verdict::Refuse { message: REFUSED.to_owned(), cause, retry_after_seconds: 10 };
    }
    let allowed = integer(status, "disruptionsAllowed");
    if allowed < 0 {
        return Verdict::Forbid { budget: name, message: "pdb disruptions allowed is negative".to_owned() };
    }
    if entries(status, "disruptedPods").len() > MAX_DISRUPTED_PODS {
        let message = "DisruptedPods map too big - too many evictions not confirmed by PDB controller".to_owned();
        return Verdict::Forbid { budget: name, message };
    }
    if allowed == 0 {
        let cause = format!("The disruption budget {name} needs {desired} healthy pods and has {healthy} currently");
        return Verdict::Refuse { message: REFUSED.to_owned(), cause, retry_after_seconds: 0 };
    }
    Verdict::AllowAfter { budget: taken(pod, budget, allowed - 1, now) }
}

/// The budget with one disruption less and the pod noted as going.
fn taken(pod: &Value, budget: &Value, allowed: i64, now: &str) -> Value {
    let mut budget = budget.clone();
    let generation = meta::generation(&budget);
    let Some(status) = ensure(&mut budget, "status") else { return budget };
    put(status, "disruptionsAllowed", allowed);
    if let Some(pods) = ensure(status, "disruptedPods") {
        put(pods, text(get(pod, "metadata"), "name"), now);
    }
    if allowed == 0 {
        let mut conditions = items(status, "conditions").to_vec();
        conditions.retain(|condition| text(condition, "type") != "DisruptionAllowed");
        conditions.push(json!({
            "type": "DisruptionAllowed",
            "status": "False",
            "reason": "InsufficientPods",
            "message": "",
            "observedGeneration": generation,
            "lastTransitionTime": now,
        }));
        put(status, "conditions", conditions);
    }
    budget
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(allowed: i64) -> Value {
        json!({
            "metadata": {"name": "b", "generation": 1},
            "spec": {"selector": {"matchLabels": {"app": "a"}}},
            "status": {"observedGeneration": 1, "disruptionsAllowed": allowed, "desiredHealthy": 2, "currentHealthy": 2},
        })
    }

    fn pod(phase: &str) -> Value {
        json!({
            "metadata": {"name": "p", "labels": {"app": "a"}},
            "status": {"phase": phase, "conditions": [{"type": "Ready", "status": "True"}]},
        })
    }

    #[test]
    fn a_budget_with_room_is_charged() {
        let Verdict::AllowAfter { budget } = decide(&pod("Running"), &[budget(1)], "2026-01-01T00:00:00Z") else {
            panic!("not allowed")
        };
        assert_eq!(budget["status"]["disruptionsAllowed"], 0);
        assert_eq!(budget["status"]["disruptedPods"]["p"], "2026-01-01T00:00:00Z");
    }

    #[test]
    fn an_evicted_pod_says_that_it_is_one_and_keeps_its_other_conditions() {
        let mut pod = pod("Running");
        mark(&mut pod, "2026-01-01T00:00:00Z");
        let conditions = pod["status"]["conditions"].as_array().unwrap();
        assert_eq!(conditions.len(), 2);
        assert_eq!(conditions[1]["reason"], "EvictionByEvictionAPI");
        assert_eq!(conditions[1]["lastTransitionTime"], "2026-01-01T00:00:00Z");
    }

    #[test]
    fn a_budget_without_room_refuses() {
        let Verdict::Refuse { cause, .. } = decide(&pod("Running"), &[budget(0)], "") else { panic!("allowed") };
        assert_eq!(cause, "The disruption budget b needs 2 healthy pods and has 2 currently");
    }

    #[test]
    fn a_pod_that_has_ended_needs_no_budget() {
        assert_eq!(decide(&pod("Failed"), &[budget(0)], ""), Verdict::Allow);
        assert_eq!(decide(&pod("Pending"), &[budget(0)], ""), Verdict::AllowUnchanged);
        assert!(matches!(decide(&pod("Running"), &[budget(1), budget(1)], ""), Verdict::Fail { .. }));
    }
}
