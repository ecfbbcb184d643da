//! Tests of the scheduler's decisions.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::core::workload::testing::{at, merged, node, object, pod};

fn asking(name: &str, requests: Value) -> Arc<Pod> {
    wanting(name, json!({ "containers": [{ "name": "c", "resources": { "requests": requests } }] }))
}

fn wanting(name: &str, spec: Value) -> Arc<Pod> {
    pod(name, json!({ "metadata": { "labels": { "app": name } }, "spec": spec }))
}

fn bound(pod: &Arc<Pod>, node: &str) -> Arc<Pod> {
    Arc::new(merged(pod.as_ref(), &json!({ "spec": { "nodeName": node }, "status": { "phase": "Running" } })))
}

fn message(decision: &Decision) -> String {
    match decision {
        Decision::Unschedulable { message, .. } => message.clone(),
        other => panic!("it can be scheduled: {other:?}"),
    }
}

fn node_of(decision: &Decision) -> &str {
    match decision {
        Decision::Bind { node } => node,
        other => panic!("it is not bound: {other:?}"),
    }
}

const NO_HELP: &str = "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.";
const NO_VICTIMS: &str = "preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.";

#[test]
fn the_text_of_a_refusal_is_that_of_kubernetes() {
    let blue = json!({ "spec": { "taints": [{ "key": "color", "value": "blue", "effect": "NoSchedule" }] } });
    let rows: [(Value, Arc<Pod>, String); 7] = [
        (json!({}), asking("p", json!({ "nvidia.com/gpu": "1" })), format!("1 Insufficient nvidia.com/gpu. {NO_HELP}")),
        (
            json!({}),
            asking("p", json!({ "cpu": "5", "memory": "9Gi" })),
            format!("1 Insufficient cpu, 1 Insufficient memory. {NO_HELP}"),
        ),
        (
            json!({ "spec": { "unschedulable": true } }),
            asking("p", json!({})),
            format!("1 node(s) were unschedulable. {NO_HELP}"),
        ),
        (blue, asking("p", json!({})), format!("1 node(s) had untolerated taint(s). {NO_HELP}")),
        (
            json!({}),
            wanting("p", json!({ "nodeSelector": { "a": "b" } })),
            format!("1 node(s) didn't match Pod's node affinity/selector. {NO_HELP}"),
        ),
        (
            json!({ "status": { "allocatable": { "pods": "0" } } }),
            asking("p", json!({})),
            format!("1 Too many pods. {NO_VICTIMS}"),
        ),
        (
            json!({}),
            wanting(
                "p",
                json!({ "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution":
            { "nodeSelectorTerms": [{ "matchFields": [{ "key": "metadata.name", "operator": "In", "values": ["other"] }] }] } } } }),
            ),
            format!("1 node(s) didn't satisfy plugin(s) [NodeAffinity]. {NO_HELP}"),
        ),
    ];
    for (patch, pod, expected) in rows {
        let snapshot = Snapshot::new(&[node("n", patch)], &[]);
        assert_eq!(message(&schedule(&pod, &snapshot)), format!("0/1 nodes are available: {expected}"));
    }
}

#[test]
fn a_device_that_is_taken_leaves_the_next_pod_waiting() {
    let gpu = node("n", json!({ "status": { "allocatable": { "nvidia.com/gpu": "1" } } }));
    let first = asking("first", json!({ "nvidia.com/gpu": "1" }));
    let mut snapshot = Snapshot::new(&[gpu], &[]);
    assert_eq!(node_of(&schedule(&first, &snapshot)), "n");
    snapshot.assume(&first, "n");
    let second = schedule(&asking("second", json!({ "nvidia.com/gpu": "1" })), &snapshot);
    assert_eq!(message(&second), format!("0/1 nodes are available: 1 Insufficient nvidia.com/gpu. {NO_VICTIMS}"));
}

#[test]
fn without_nodes_nothing_can_be_scheduled() {
    assert_eq!(
        message(&schedule(&asking("p", json!({})), &Snapshot::default())),
        "no nodes available to schedule pods"
    );
}

#[test]
fn reasons_are_counted_over_nodes_and_sorted() {
    let cordoned = json!({ "spec": { "unschedulable": true } });
    let nodes = [
        node("a", cordoned.clone()),
        node("b", cordoned),
        node("c", json!({ "status": { "allocatable": { "cpu": "1" } } })),
    ];
    let decision = schedule(&asking("p", json!({ "cpu": "2" })), &Snapshot::new(&nodes, &[]));
    assert_eq!(
        message(&decision),
        "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable. preemption: 0/3 nodes are \
         available: 3 Preemption is not helpful for scheduling."
    );
}

#[test]
fn requests_count_init_containers_sidecars_and_overhead() {
    let spec = json!({
        "overhead": { "cpu": "100m" },
        "initContainers": [
            { "name": "side", "restartPolicy": "Always", "resources": { "requests": { "cpu": "500m" } } },
            { "name": "init", "resources": { "requests": { "cpu": "3", "memory": "1Gi" } } },
        ],
        "containers": [{ "name": "c", "resources": { "requests": { "cpu": "1" } } }],
    });
    let requests = resources::requests(&wanting("p", spec));
    assert_eq!(requests["cpu"], 3600);
    assert_eq!(requests["memory"], 1 << 30);
}

#[test]
fn gates_hold_a_pod_back_and_other_schedulers_pods_are_not_ours() {
    let gated = wanting("p", json!({ "schedulingGates": [{ "name": "wait" }] }));
    assert_eq!(schedule(&gated, &Snapshot::new(&[node("n", json!({}))], &[])), Decision::Gated);
    assert!(is_pending(&gated));
    assert!(!is_pending(&wanting("q", json!({ "schedulerName": "own" }))));
    assert!(!is_pending(&bound(&gated, "n")));
}

#[test]
fn host_ports_must_be_free() {
    let port = |name: &str, ip: &str, protocol: &str| {
        let port = json!({ "containerPort": 80, "hostPort": 80, "hostIP": ip, "protocol": protocol });
        wanting(name, json!({ "containers": [{ "name": "c", "ports": [port] }] }))
    };
    let snapshot = Snapshot::new(&[node("n", json!({}))], &[bound(&port("a", "127.0.0.1", "TCP"), "n")]);
    for (ip, protocol) in [("127.0.0.2", "TCP"), ("127.0.0.1", "UDP"), ("", "UDP")] {
        assert_eq!(node_of(&schedule(&port("b", ip, protocol), &snapshot)), "n", "{ip} {protocol}");
    }
    for ip in ["127.0.0.1", "", "0.0.0.0"] {
        let refused = message(&schedule(&port("c", ip, "TCP"), &snapshot));
        assert!(
            refused
                .starts_with("0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports."),
            "{ip}: {refused}"
        );
    }
    let everywhere = Snapshot::new(&[node("n", json!({}))], &[bound(&port("a", "", "TCP"), "n")]);
    assert!(message(&schedule(&port("b", "127.0.0.2", "TCP"), &everywhere)).contains("free ports"));
}

#[test]
fn claims_must_exist_and_be_bound() {
    let pod = wanting("p", json!({ "volumes": [{ "name": "v", "persistentVolumeClaim": { "claimName": "data" } }] }));
    let mut snapshot = Snapshot::new(&[node("n", json!({}))], &[]);
    let head = "0/1 nodes are available:";
    assert_eq!(
        message(&schedule(&pod, &snapshot)),
        format!("{head} persistentvolumeclaim \"data\" not found. {NO_HELP}")
    );
    let claim = |spec: Value| -> Arc<PersistentVolumeClaim> {
        Arc::new(object(json!({ "metadata": { "name": "data" }, "spec": spec })))
    };
    let key = ("ns".to_owned(), "data".to_owned());
    snapshot.claims.insert(key.clone(), claim(json!({ "storageClassName": "late" })));
    assert_eq!(
        message(&schedule(&pod, &snapshot)),
        format!("{head} pod has unbound immediate PersistentVolumeClaims. {NO_HELP}")
    );
    snapshot.late_classes.push("late".to_owned());
    let late = schedule(&pod, &snapshot);
    assert_eq!(late, Decision::Provision { node: "n".to_owned(), claims: vec!["data".to_owned()] });
    snapshot.claims.insert(key, claim(json!({ "volumeName": "pv" })));
    assert_eq!(node_of(&schedule(&pod, &snapshot)), "n");
}

fn near(key: &str, app: &str, required: bool, anti: bool) -> Value {
    let term = json!({ "topologyKey": key, "labelSelector": { "matchLabels": { "app": app } } });
    let terms = if required {
        json!({ "requiredDuringSchedulingIgnoredDuringExecution": [term] })
    } else {
        json!({ "preferredDuringSchedulingIgnoredDuringExecution": [{ "weight": 10, "podAffinityTerm": term }] })
    };
    let kind = if anti { "podAntiAffinity" } else { "podAffinity" };
    json!({ "affinity": { kind: terms } })
}

const HOST: &str = "kubernetes.io/hostname";

#[test]
fn pods_that_want_company_get_it_and_pods_that_do_not_are_alone() {
    let nodes = [node("a", json!({})), node("b", json!({}))];
    let snapshot = Snapshot::new(&nodes, &[bound(&wanting("db", json!({})), "b")]);
    for required in [true, false] {
        assert_eq!(node_of(&schedule(&wanting("p", near(HOST, "db", required, false)), &snapshot)), "b");
        assert_eq!(node_of(&schedule(&wanting("p", near(HOST, "db", required, true)), &snapshot)), "a");
    }
    let lonely = message(&schedule(&wanting("p", near(HOST, "nobody", true, false)), &snapshot));
    assert!(lonely.starts_with("0/2 nodes are available: 2 node(s) didn't match pod affinity rules."), "{lonely}");
    assert_eq!(node_of(&schedule(&wanting("p", near(HOST, "p", true, false)), &snapshot)), "a", "the first of a group");
    let hermit = Snapshot::new(&nodes[..1], &[bound(&wanting("hermit", near(HOST, "p", true, true)), "a")]);
    let shunned = message(&schedule(&wanting("p", json!({})), &hermit));
    assert!(shunned.contains("1 node(s) didn't satisfy existing pods anti-affinity rules."), "{shunned}");
}

#[test]
fn pods_are_spread_evenly() {
    let zone = |name: &str, zone: &str| node(name, json!({ "metadata": { "labels": { "zone": zone } } }));
    let nodes = [zone("a", "x"), zone("b", "y"), node("c", json!({}))];
    let spread = |when: &str| {
        wanting(
            "web",
            json!({ "topologySpreadConstraints": [{ "maxSkew": 1, "topologyKey": "zone",
            "whenUnsatisfiable": when, "labelSelector": { "matchLabels": { "app": "web" } } }] }),
        )
    };
    let there = [bound(&pod("one", json!({ "metadata": { "labels": { "app": "web" } } })), "a")];
    let snapshot = Snapshot::new(&nodes, &there);
    assert_eq!(node_of(&schedule(&spread("DoNotSchedule"), &snapshot)), "b");
    assert_eq!(node_of(&schedule(&spread("ScheduleAnyway"), &Snapshot::new(&nodes[..2], &there))), "b");
    let only = [
        nodes[0].clone(),
        node("c", json!({})),
        Arc::new(merged(nodes[1].as_ref(), &json!({ "spec": { "unschedulable": true } }))),
    ];
    assert_eq!(
        message(&schedule(&spread("DoNotSchedule"), &Snapshot::new(&only, &there))),
        "0/3 nodes are available: 1 node(s) didn't match pod topology spread constraints, 1 node(s) didn't match pod \
         topology spread constraints (missing required label), 1 node(s) were unschedulable. preemption: 0/3 nodes are \
         available: 1 No preemption victims found for incoming pod, 2 Preemption is not helpful for scheduling."
    );
}

#[test]
fn the_preferred_node_wins_and_an_empty_one_is_better_than_a_full_one() {
    let nodes = [node("a", json!({})), node("b", json!({ "metadata": { "labels": { "disk": "ssd" } } }))];
    let busy = bound(&asking("busy", json!({ "cpu": "2", "memory": "4Gi" })), "a");
    assert_eq!(node_of(&schedule(&asking("p", json!({ "cpu": "1" })), &Snapshot::new(&nodes, &[busy]))), "b");
    let prefers = wanting(
        "p",
        json!({ "affinity": { "nodeAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [
        { "weight": 1, "preference": { "matchExpressions": [{ "key": "disk", "operator": "In", "values": ["ssd"] }] } }] } } }),
    );
    assert_eq!(node_of(&schedule(&prefers, &Snapshot::new(&nodes, &[]))), "b");
}

#[test]
fn pods_of_one_controller_and_pods_that_ask_for_nothing_are_spread_over_nodes() {
    let nodes = [node("a", json!({})), node("b", json!({}))];
    let of_set = |name: &str| {
        let owner =
            json!([{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "s", "uid": "s", "controller": true }]);
        pod(name, json!({ "metadata": { "ownerReferences": owner } }))
    };
    for make in [of_set, |name: &str| asking(name, json!({}))] {
        let mut snapshot = Snapshot::new(&nodes, &[]);
        for (name, expected) in [("one", "a"), ("two", "b"), ("three", "a")] {
            let next = make(name);
            assert_eq!(node_of(&schedule(&next, &snapshot)), expected);
            snapshot.assume(&next, expected);
        }
    }
}

#[test]
fn node_affinity_knows_all_operators() {
    let labelled = node("n", json!({ "metadata": { "labels": { "size": "8", "disk": "ssd" } } }));
    let rows = [
        ("size", "Gt", json!(["7"]), true),
        ("size", "Gt", json!(["8"]), false),
        ("size", "Lt", json!(["9"]), true),
        ("disk", "In", json!(["hdd", "ssd"]), true),
        ("disk", "NotIn", json!(["ssd"]), false),
        ("none", "NotIn", json!(["x"]), true),
        ("none", "DoesNotExist", json!([]), true),
        ("disk", "Exists", json!([]), true),
        ("disk", "Gt", json!(["1"]), false),
    ];
    for (key, operator, values, expected) in rows {
        let pod = wanting(
            "p",
            json!({ "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution":
            { "nodeSelectorTerms": [{ "matchExpressions": [{ "key": key, "operator": operator, "values": values }] }] } } } }),
        );
        assert_eq!(
            node::matches_required(pod.spec.as_ref().unwrap(), &labelled),
            expected,
            "{key} {operator} {values}"
        );
    }
}

fn important(name: &str, priority: i32, cpu: &str) -> Arc<Pod> {
    let plain = asking(name, json!({ "cpu": cpu }));
    Arc::new(merged(plain.as_ref(), &json!({ "spec": { "priority": priority } })))
}

fn victims(decision: &Decision) -> Vec<String> {
    match decision {
        Decision::Unschedulable { preemption: Some(preemption), .. } => {
            preemption.victims.iter().map(|pod| pods::name(&pod.metadata).to_owned()).collect()
        }
        other => panic!("nobody goes: {other:?}"),
    }
}

#[test]
fn the_fewest_and_least_important_pods_make_room() {
    let there = [
        bound(&important("low", 1, "2"), "n"),
        bound(&important("middle", 5, "1"), "n"),
        bound(&important("high", 100, "1"), "n"),
    ];
    let snapshot = Snapshot::new(&[node("n", json!({}))], &there);
    let decision = schedule(&important("p", 50, "2"), &snapshot);
    assert_eq!(victims(&decision), ["low"]);
    assert_eq!(message(&decision), "0/1 nodes are available: 1 Insufficient cpu.");
    assert_eq!(victims(&schedule(&important("p", 50, "3"), &snapshot)), ["middle", "low"]);
    let equal = message(&schedule(&important("p", 1, "2"), &snapshot));
    assert_eq!(equal, format!("0/1 nodes are available: 1 Insufficient cpu. {NO_VICTIMS}"));
    let never = merged(important("p", 50, "2").as_ref(), &json!({ "spec": { "preemptionPolicy": "Never" } }));
    assert_eq!(
        message(&schedule(&Arc::new(never), &snapshot)),
        "0/1 nodes are available: 1 Insufficient cpu. preemption: not eligible due to preemptionPolicy=Never."
    );
}

#[test]
fn a_budget_is_respected_where_it_can_be() {
    let there = [bound(&important("guarded", 1, "2"), "n"), bound(&important("free", 2, "2"), "n")];
    let mut snapshot = Snapshot::new(&[node("n", json!({}))], &there);
    let budget = json!({ "metadata": { "namespace": "ns" }, "spec": { "selector": { "matchLabels": { "app": "guarded" } } },
        "status": { "disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1 } });
    snapshot.budgets.push(Arc::new(object(budget)));
    assert_eq!(victims(&schedule(&important("p", 9, "2"), &snapshot)), ["free"]);
}

#[test]
fn a_node_that_was_cleared_is_kept_for_the_pod_it_was_cleared_for() {
    let waiting = merged(important("waiting", 10, "3").as_ref(), &json!({ "status": { "nominatedNodeName": "n" } }));
    let waiting = Arc::new(waiting);
    let leaving = merged(
        bound(&important("leaving", 1, "3"), "n").as_ref(),
        &json!({
            "metadata": { "deletionTimestamp": at(0).to_string() },
            "status": { "conditions": [{ "type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler" }] },
        }),
    );
    let nodes = [node("n", json!({}))];
    let snapshot = Snapshot::new(&nodes, &[waiting.clone(), Arc::new(leaving)]);
    assert_eq!(
        message(&schedule(&waiting, &snapshot)),
        "0/1 nodes are available: 1 Insufficient cpu. preemption: not eligible due to a terminating pod on the nominated node."
    );
    let later = Snapshot::new(&nodes, std::slice::from_ref(&waiting));
    assert!(matches!(schedule(&important("small", 5, "2"), &later), Decision::Unschedulable { .. }));
    assert_eq!(node_of(&schedule(&important("vital", 50, "2"), &later)), "n");
    assert_eq!(node_of(&schedule(&waiting, &later)), "n");
}

#[test]
fn higher_priority_gets_its_turn_first_then_age() {
    let aged = |name: &str, priority: i32, created: i64| {
        merged(
            important(name, priority, "1").as_ref(),
            &json!({ "metadata": { "creationTimestamp": at(created).to_string() } }),
        )
    };
    let mut pods = [aged("young", 0, 5), aged("old", 0, 1), aged("vital", 9, 9)];
    pods.sort_by_cached_key(turn);
    assert_eq!(pods.map(|pod| pod.metadata.name.unwrap()), ["vital", "old", "young"]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// No sequence of decisions overcommits a node, and victims always make enough room.
    #[test]
    fn no_node_is_ever_overcommitted(
        nodes in prop::collection::vec(1..8_i64, 1..4),
        wanted in prop::collection::vec((1..5_i64, 0..4_i32), 1..20),
    ) {
        let named = |index: usize, cpu: i64| {
            node(&format!("n{index}"), json!({ "status": { "allocatable": { "cpu": cpu.to_string() } } }))
        };
        let nodes: Vec<_> = nodes.into_iter().enumerate().map(|(index, cpu)| named(index, cpu)).collect();
        let mut snapshot = Snapshot::new(&nodes, &[]);
        for (index, (cpu, priority)) in wanted.into_iter().enumerate() {
            let pod = important(&format!("p{index}"), priority, &cpu.to_string());
            match schedule(&pod, &snapshot) {
                Decision::Bind { node } => snapshot.assume(&pod, &node),
                Decision::Unschedulable { preemption: Some(preemption), .. } => {
                    let state = snapshot.nodes.get_mut(&preemption.node).unwrap();
                    for victim in &preemption.victims {
                        prop_assert!(super::priority(victim) < priority);
                        state.remove(victim);
                    }
                    prop_assert_eq!(schedule(&pod, &snapshot), Decision::Bind { node: preemption.node });
                    snapshot.assume(&pod, node_of(&schedule(&pod, &snapshot)).to_owned().as_str());
                }
                _ => {}
            }
            for state in snapshot.nodes.values() {
                let used: i64 = state.pods.iter().map(|pod| resources::requests(pod)["cpu"]).sum();
                prop_assert!(used <= state.allocatable["cpu"]);
                prop_assert_eq!(used, state.requested.get("cpu").copied().unwrap_or(0));
            }
        }
    }
}
