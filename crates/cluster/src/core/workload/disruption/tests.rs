//! Tests of the disruption budget's status.

use serde_json::{Value, json};

use super::*;
use crate::core::workload::testing::{NOW, at, merged, object, pod, ready, said};

fn budget(spec: Value) -> PodDisruptionBudget {
    let plain: PodDisruptionBudget = object(json!({
        "metadata": { "name": "b", "namespace": "ns", "generation": 2 },
        "spec": { "selector": { "matchLabels": { "app": "web" } } },
    }));
    merged(&plain, &json!({ "spec": spec }))
}

fn web(name: &str, is_ready: bool, owner: Option<&str>) -> Arc<Pod> {
    let owner = owner.map(
        |uid| json!([{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": uid, "controller": true }]),
    );
    let status = if is_ready { ready(at(-60)) } else { json!({ "phase": "Running" }) };
    pod(name, json!({ "metadata": { "labels": { "app": "web" }, "ownerReferences": owner }, "status": status }))
}

/// current, desired, expected, allowed.
type Row = (i32, i32, i32, i32);

fn row(spec: Value, pods: Vec<Arc<Pod>>, scale: Option<i32>) -> Row {
    let scales = scale.map(|count| ("rs".to_owned(), ("rs".to_owned(), count))).into_iter().collect();
    let status = plan(&budget(spec), &Observed { pods, scales }, NOW).status.unwrap();
    (status.current_healthy, status.desired_healthy, status.expected_pods, status.disruptions_allowed)
}

#[test]
fn the_counts_follow_the_budget() {
    let three = || vec![web("a", true, Some("rs")), web("b", true, Some("rs")), web("c", false, Some("rs"))];
    let rows: [(Value, Option<i32>, Row); 6] = [
        (json!({ "minAvailable": 1 }), None, (2, 1, 3, 1)),
        (json!({ "minAvailable": 3 }), None, (2, 3, 3, 0)),
        (json!({ "minAvailable": "50%" }), Some(3), (2, 2, 3, 0)),
        (json!({ "maxUnavailable": 2 }), Some(3), (2, 1, 3, 1)),
        (json!({ "maxUnavailable": "34%" }), Some(3), (2, 1, 3, 1)),
        (json!({ "maxUnavailable": 5 }), Some(3), (2, 0, 3, 2)),
    ];
    for (spec, scale, expected) in rows {
        assert_eq!(row(spec.clone(), three(), scale), expected, "{spec}");
    }
    assert_eq!(row(json!({ "minAvailable": 0 }), Vec::new(), None), (0, 0, 0, 0));
}

#[test]
fn a_status_that_stands_is_not_written_again() {
    let mut budget = budget(json!({ "minAvailable": 1 }));
    let observed = Observed { pods: vec![web("a", true, None), web("b", true, None)], scales: BTreeMap::new() };
    let status = plan(&budget, &observed, NOW).status.unwrap();
    let condition = &status.conditions.as_ref().unwrap()[0];
    assert_eq!((condition.status.as_str(), condition.reason.as_str()), ("True", "SufficientPods"));
    assert_eq!(condition.observed_generation, Some(2));
    budget.status = Some(status);
    assert_eq!(plan(&budget, &observed, at(60)).status, None);
}

#[test]
fn an_unknown_controller_fails_safe() {
    let mut budget = budget(json!({ "maxUnavailable": 1 }));
    budget.status = Some(PodDisruptionBudgetStatus { disruptions_allowed: 1, ..Default::default() });
    let observed = Observed { pods: vec![web("a", true, Some("who"))], scales: BTreeMap::new() };
    let decision = plan(&budget, &observed, NOW);
    let status = decision.status.unwrap();
    assert_eq!(status.disruptions_allowed, 0);
    let condition = &status.conditions.unwrap()[0];
    assert_eq!(
        (condition.reason.as_str(), condition.message.as_str()),
        ("SyncFailed", "found no controllers for pod \"a\"")
    );
    assert!(said(&decision.plan)[0].starts_with("CalculateExpectedPodCountFailed"));
}

#[test]
fn a_granted_eviction_counts_as_done_for_two_minutes() {
    let mut budget = budget(json!({ "minAvailable": 1 }));
    let granted =
        [("a".to_owned(), Time(at(-60))), ("gone".to_owned(), Time(at(-10))), ("b".to_owned(), Time(at(-121)))];
    budget.status = Some(PodDisruptionBudgetStatus { disrupted_pods: Some(granted.into()), ..Default::default() });
    let pods = vec![web("a", true, None), web("b", true, None), web("c", true, None)];
    let decision = plan(&budget, &Observed { pods, scales: BTreeMap::new() }, NOW);
    let status = decision.status.unwrap();
    assert_eq!((status.current_healthy, status.disruptions_allowed), (2, 1));
    assert_eq!(status.disrupted_pods.unwrap().keys().collect::<Vec<_>>(), ["a"]);
    assert_eq!(decision.plan.next, Some(Duration::from_secs(60)));
}

#[test]
fn a_disruption_that_never_came_is_taken_back_after_two_minutes() {
    let target = |since: i64| {
        pod(
            "a",
            json!({ "status": { "conditions": [{ "type": "DisruptionTarget", "status": "True",
            "lastTransitionTime": at(since).to_string() }] } }),
        )
    };
    assert_eq!(stale_disruption(&target(-30), NOW), Some(Duration::from_secs(90)));
    assert_eq!(stale_disruption(&target(-300), NOW), Some(Duration::ZERO));
    assert_eq!(stale_disruption(&pod("b", json!({})), NOW), None);
}
