//! Tests of the plan of replica sets and replication controllers.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::core::workload::testing::{NOW, World, at, lines, object, pod, ready};

fn set(replicas: i32) -> ReplicaSet {
    object(json!({
        "metadata": { "name": "web", "namespace": "ns", "uid": "set", "generation": 3 },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "app": "web" } },
            "template": {
                "metadata": { "labels": { "app": "web", "tier": "front" }, "finalizers": ["x/y"] },
                "spec": { "containers": [{ "name": "main", "image": "app" }] },
            },
        },
    }))
}

fn owned() -> serde_json::Value {
    json!([{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "set", "controller": true }])
}

fn mine(name: &str, status: serde_json::Value) -> Arc<Pod> {
    pod(name, json!({ "metadata": { "labels": { "app": "web" }, "ownerReferences": owned() }, "status": status }))
}

fn plan_for(replicas: i32, pods: &[Arc<Pod>]) -> Plan {
    Replicas::of_set(&set(replicas)).unwrap().plan(pods, pods, NOW).plan
}

#[test]
fn missing_pods_are_created_from_the_template_in_slow_start_batches() {
    let plan = plan_for(2, &[]);
    assert_eq!(plan.stages[0].pace, Pace::SlowStart);
    assert_eq!(lines(&plan), ["create Pod web-", "create Pod web-"]);
    let Change::Create(New::Pod(new)) = &plan.stages[0].acts[0].change else { panic!("not a pod") };
    let owner = &new.metadata.owner_references.as_ref().unwrap()[0];
    assert_eq!(
        (owner.controller, owner.block_owner_deletion, owner.kind.as_str()),
        (Some(true), Some(true), "ReplicaSet")
    );
    assert_eq!(new.metadata.finalizers, Some(vec!["x/y".to_owned()]));
    assert_eq!(new.metadata.labels.as_ref().unwrap()["tier"], "front");
}

#[test]
fn an_orphan_that_matches_is_adopted_and_counts() {
    let orphan = pod("lost", json!({ "metadata": { "labels": { "app": "web" } } }));
    let plan = plan_for(1, &[orphan]);
    assert_eq!(lines(&plan), ["change Pod lost"]);
    let Change::Merge { patch, .. } = plan.changes().next().unwrap() else { panic!("not a patch") };
    assert_eq!(patch["metadata"]["ownerReferences"][0]["uid"], "set");
    assert_eq!(patch["metadata"]["resourceVersion"], "1");
}

#[test]
fn a_pod_that_no_longer_matches_is_released_and_replaced() {
    let stray = pod("stray", json!({ "metadata": { "labels": { "app": "other" }, "ownerReferences": owned() } }));
    let plan = plan_for(1, &[stray]);
    assert_eq!(lines(&plan), ["change Pod stray", "create Pod web-"]);
}

#[test]
fn finished_and_terminating_pods_do_not_count() {
    let failed = mine("failed", json!({ "phase": "Failed" }));
    let leaving = pod(
        "leaving",
        json!({
            "metadata": { "labels": { "app": "web" }, "ownerReferences": owned(), "deletionTimestamp": NOW.to_string() },
        }),
    );
    assert_eq!(lines(&plan_for(1, &[failed, leaving])), ["create Pod web-"]);
}

#[test]
fn a_set_that_is_being_deleted_neither_creates_nor_adopts() {
    let mut set = set(1);
    set.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(NOW));
    let orphan = pod("lost", json!({ "metadata": { "labels": { "app": "web" } } }));
    assert!(Replicas::of_set(&set).unwrap().plan(&[orphan], &[], NOW).plan.is_empty());
}

#[test]
fn the_least_useful_pods_go_first() {
    let on_node = |name: &str, status: serde_json::Value, cost: Option<&str>| {
        let annotations = cost.map(|cost| json!({ "controller.kubernetes.io/pod-deletion-cost": cost }));
        pod(
            name,
            json!({
                "metadata": { "labels": { "app": "web" }, "ownerReferences": owned(), "annotations": annotations,
                    "creationTimestamp": at(-1000).to_string() },
                "spec": { "nodeName": "n" }, "status": status,
            }),
        )
    };
    let pods = [
        on_node("old", ready(at(-900)), None),
        on_node("cheap", ready(at(-900)), Some("-1")),
        on_node("young", ready(at(-1)), None),
        on_node("unready", json!({ "phase": "Running" }), Some("100")),
        on_node("pending", json!({ "phase": "Pending" }), None),
        mine("unassigned", json!({ "phase": "Pending" })),
    ];
    let expect = ["unassigned", "pending", "unready", "cheap", "young"];
    for count in 1..=expect.len() {
        let plan = plan_for(i32::try_from(pods.len() - count).unwrap(), &pods);
        let expected: Vec<String> = expect[..count].iter().map(|name| format!("delete Pod {name}")).collect();
        assert_eq!(lines(&plan), expected);
    }
}

#[test]
fn the_status_counts_and_is_not_written_twice() {
    let mut set = set(3);
    set.spec.as_mut().unwrap().min_ready_seconds = Some(10);
    let shared = Replicas::of_set(&set).unwrap();
    let pods = [mine("a", ready(at(-20))), mine("b", ready(at(-5))), mine("c", json!({ "phase": "Running" }))];
    let decided = shared.plan(&pods, &[], NOW);
    assert_eq!(decided.plan.next, Some(std::time::Duration::from_secs(5)));
    let status = set_status(&set, &shared, &decided.mine, None, NOW).unwrap();
    assert_eq!((status.replicas, status.ready_replicas, status.available_replicas), (3, Some(2), Some(1)));
    assert_eq!((status.fully_labeled_replicas, status.observed_generation), (None, Some(3)));
    set.status = Some(status);
    assert_eq!(set_status(&set, &shared, &decided.mine, None, NOW), None);
}

#[test]
fn a_refused_creation_is_a_condition_until_it_succeeds() {
    let mut set = set(1);
    let shared = Replicas::of_set(&set).unwrap();
    let status = set_status(&set, &shared, &[], Some("exceeded quota"), NOW).unwrap();
    let failure = &status.conditions.as_ref().unwrap()[0];
    assert_eq!((failure.type_.as_str(), failure.reason.as_deref()), ("ReplicaFailure", Some("FailedCreate")));
    assert_eq!(failure.message.as_deref(), Some("exceeded quota"));
    set.status = Some(status);
    assert_eq!(set_status(&set, &shared, &[], Some("exceeded quota again"), at(9)), None);
    let healed = set_status(&set, &shared, &[mine("a", json!({}))], None, at(10)).unwrap();
    assert_eq!(healed.conditions, None);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_applied_plan_leaves_nothing_to_do(
        wanted in 0..8_i32,
        kinds in prop::collection::vec((0..4_u8, any::<bool>(), -50..0_i64), 0..12),
    ) {
        let mut world = World { now: NOW, ..World::default() };
        for (index, (kind, is_ready, age)) in kinds.into_iter().enumerate() {
            let name = format!("p{index}");
            let status = if is_ready { ready(at(age)) } else { json!({ "phase": "Pending" }) };
            let made = match kind {
                0 => mine(&name, status),
                1 => pod(&name, json!({ "metadata": { "labels": { "app": "web" } }, "status": status })),
                2 => pod(&name, json!({ "metadata": { "ownerReferences": owned() }, "status": status })),
                _ => mine(&name, json!({ "phase": "Succeeded" })),
            };
            world.pods.insert(name, made);
        }
        let shared = Replicas::of_set(&set(wanted)).unwrap();
        world.apply(&shared.plan(&world.all_pods(), &[], NOW).plan);
        let again = shared.plan(&world.all_pods(), &[], NOW);
        prop_assert!(again.plan.is_empty(), "{:?}", lines(&again.plan));
        prop_assert_eq!(again.mine.len(), usize::try_from(wanted).unwrap());
    }
}
