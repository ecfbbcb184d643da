//! Tests of taints, tolerations and the pulse of nodes.

use serde_json::{Value, json};

use super::*;
use crate::core::workload::testing::{NOW, at, node, object, pod, ready};

fn taint(key: &str, value: &str, effect: &str) -> Taint {
    object(json!({ "key": key, "value": value, "effect": effect }))
}

#[test]
fn a_toleration_tolerates_by_key_value_and_effect() {
    let taint = taint("k", "v", "NoExecute");
    let rows: [(Value, bool); 9] = [
        (json!({ "key": "k", "operator": "Exists" }), true),
        (json!({ "key": "k", "operator": "Exists", "effect": "NoSchedule" }), false),
        (json!({ "key": "k", "value": "v" }), true),
        (json!({ "key": "k", "operator": "Equal", "value": "v", "effect": "NoExecute" }), true),
        (json!({ "key": "k", "value": "w" }), false),
        (json!({ "key": "k" }), false),
        (json!({ "operator": "Exists" }), true),
        (json!({ "key": "other", "operator": "Exists" }), false),
        (json!({ "key": "k", "operator": "Near", "value": "v" }), false),
    ];
    for (toleration, expected) in rows {
        assert_eq!(tolerates(&object(toleration.clone()), &taint), expected, "{toleration}");
    }
}

#[test]
fn a_pod_goes_at_once_later_or_never() {
    let taints = [taint("k", "", "NoExecute"), taint("soft", "", "NoSchedule")];
    let with = |tolerations: Value| pod("a", json!({ "spec": { "tolerations": tolerations } }));
    let fate_of = |tolerations: Value| fate(&with(tolerations), &taints, at(-10), NOW);
    assert_eq!(fate_of(json!([])), Fate::Goes);
    assert_eq!(fate_of(json!([{ "key": "k", "operator": "Exists" }])), Fate::Stays);
    let limited = json!([{ "key": "k", "operator": "Exists", "tolerationSeconds": 30 }]);
    assert_eq!(fate_of(limited), Fate::StaysFor(Duration::from_secs(20)));
    assert_eq!(fate_of(json!([{ "key": "k", "operator": "Exists", "tolerationSeconds": 0 }])), Fate::Goes);
    assert_eq!(fate(&with(json!([])), &taints[1..], NOW, NOW), Fate::Stays);
}

#[test]
fn a_node_is_tainted_by_its_state_and_keeps_its_own_taints() {
    let own = json!([{ "key": "own", "effect": "NoSchedule" }]);
    let in_state = |ready: &str, unschedulable: bool| {
        node(
            "n",
            json!({ "spec": { "taints": own, "unschedulable": unschedulable },
            "status": { "conditions": [{ "type": "Ready", "status": ready }] } }),
        )
    };
    let keys = |taints: Vec<Taint>| -> Vec<String> {
        taints.into_iter().map(|taint| format!("{}:{}", taint.key, taint.effect)).collect()
    };
    assert_eq!(node_taints(&in_state("True", false), NOW), None);
    assert_eq!(
        keys(node_taints(&in_state("Unknown", true), NOW).unwrap()),
        [
            "own:NoSchedule",
            "node.kubernetes.io/unreachable:NoSchedule",
            "node.kubernetes.io/unreachable:NoExecute",
            "node.kubernetes.io/unschedulable:NoSchedule"
        ]
    );
    let mut lost = in_state("False", false).as_ref().clone();
    lost.spec.as_mut().unwrap().taints = node_taints(&lost, NOW);
    assert_eq!(node_taints(&lost, at(5)), None, "taints that stand are left alone");
    lost.status.as_mut().unwrap().conditions.as_mut().unwrap()[0].status = "True".to_owned();
    assert_eq!(keys(node_taints(&lost, NOW).unwrap()), ["own:NoSchedule"]);
}

#[test]
fn a_silent_node_is_unknown_once() {
    let alive = node("n", json!({ "status": { "conditions": [{ "type": "Ready", "status": "True" }] } }));
    assert_eq!(pulse(&alive, at(-20), NOW), Pulse::Alive(Duration::from_secs(30)));
    let Pulse::Silent(conditions) = pulse(&alive, at(-60), NOW) else { panic!("not silent") };
    assert_eq!(conditions.len(), 4);
    assert!(conditions.iter().all(|one| one.status == "Unknown"));
    let mut silent = alive.as_ref().clone();
    silent.status.as_mut().unwrap().conditions = Some(conditions);
    assert_eq!(pulse(&silent, at(-60), NOW), Pulse::Lost);
    assert!(must_lose_readiness(&pod("a", json!({ "status": ready(NOW) })), &silent));
    assert!(!must_lose_readiness(&pod("a", json!({ "status": ready(NOW) })), &alive));
}
