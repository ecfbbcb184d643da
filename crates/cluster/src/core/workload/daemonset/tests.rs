//! Tests of the daemon set's plan.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::core::workload::testing::{NOW, World, at, lines, merged, node, object, patch_in, said};

struct Stage {
    set: DaemonSet,
    world: World,
    nodes: Vec<Arc<Node>>,
    resting: BTreeMap<String, Duration>,
}

impl Stage {
    fn new(nodes: &[&str], spec: Value) -> Stage {
        let plain: DaemonSet = object(json!({
            "metadata": { "name": "agent", "namespace": "ns", "uid": "d", "generation": 1 },
            "spec": {
                "revisionHistoryLimit": 10, "selector": { "matchLabels": { "app": "agent" } },
                "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 1, "maxSurge": 0 } },
                "template": { "metadata": { "labels": { "app": "agent" } },
                    "spec": { "containers": [{ "name": "main", "image": "one" }] } },
            },
        }));
        Stage {
            set: merged(&plain, &json!({ "spec": spec })),
            world: World { now: NOW, ..World::default() },
            nodes: nodes.iter().map(|name| node(name, json!({}))).collect(),
            resting: BTreeMap::new(),
        }
    }

    fn image(&mut self, image: &str) {
        let template = json!({ "spec": { "containers": [{ "name": "main", "image": image }] } });
        self.set = merged(&self.set, &json!({ "spec": { "template": template } }));
    }

    fn pass(&mut self) -> Decision {
        let observed = Observed {
            pods: self.world.all_pods(),
            nodes: self.nodes.clone(),
            revisions: self.world.revisions.values().cloned().collect(),
            resting: self.resting.clone(),
        };
        let decision = plan(&self.set, &observed, NOW);
        self.world.apply(&decision.plan);
        if let Some(status) = &decision.status {
            self.set.status = Some(status.clone());
        }
        decision
    }

    /// Lets the scheduler and the nodes do their work.
    fn start_pods(&mut self) {
        let targets: Vec<(String, String)> = self
            .world
            .pods
            .iter()
            .filter_map(|(name, pod)| Some((name.clone(), fit::target_node(pod)?.to_owned())))
            .collect();
        for (name, node) in targets {
            patch_in(&mut self.world.pods, &name, &json!({ "spec": { "nodeName": node } }));
            self.world.make_ready(&name, at(-100));
        }
    }

    fn run(&mut self) {
        for _ in 0..60 {
            self.start_pods();
            let before = (self.set.clone(), self.world.pods.clone());
            self.pass();
            if before == (self.set.clone(), self.world.pods.clone()) {
                return;
            }
        }
        panic!("no rest");
    }

    fn images(&self) -> Vec<String> {
        let mut images: Vec<String> = self
            .world
            .pods
            .values()
            .map(|pod| {
                let image = pod.spec.as_ref().unwrap().containers[0].image.clone().unwrap();
                format!("{} {image}", fit::target_node(pod).unwrap())
            })
            .collect();
        images.sort();
        images
    }
}

#[test]
fn every_node_gets_a_pod_bound_by_affinity_with_the_tolerations_of_daemons() {
    let mut stage = Stage::new(&["a", "b"], json!({}));
    let first = stage.pass();
    assert_eq!(lines(&first.plan), ["create Revision 1", "create Pod agent-", "create Pod agent-"]);
    assert_eq!(stage.images(), ["a one", "b one"]);
    let pod = stage.world.pods.values().next().unwrap();
    let tolerations = pod.spec.as_ref().unwrap().tolerations.as_ref().unwrap();
    assert_eq!(tolerations.len(), 6);
    assert_eq!(pods::node_name(pod), "");
    stage.run();
    let status = stage.set.status.clone().unwrap();
    assert_eq!((status.desired_number_scheduled, status.current_number_scheduled, status.number_ready), (2, 2, 2));
    assert_eq!((status.updated_number_scheduled, status.number_available), (Some(2), Some(2)));
    assert_eq!((status.number_unavailable, status.observed_generation), (None, Some(1)));
}

#[test]
fn a_node_that_is_cordoned_keeps_its_daemon_and_one_that_is_tainted_does_not() {
    let mut stage = Stage::new(&["a", "b"], json!({}));
    stage.run();
    stage.nodes[0] = node(
        "a",
        json!({ "spec": { "unschedulable": true,
        "taints": [{ "key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule" }] } }),
    );
    stage.nodes[1] = node("b", json!({ "spec": { "taints": [{ "key": "own", "effect": "NoSchedule" }] } }));
    stage.run();
    assert_eq!(stage.images(), ["a one", "b one"]);
    assert_eq!(stage.set.status.as_ref().unwrap().number_misscheduled, 1);
    stage.nodes[1] = node("b", json!({ "spec": { "taints": [{ "key": "own", "effect": "NoExecute" }] } }));
    stage.run();
    assert_eq!(stage.images(), ["a one"]);
}

#[test]
fn a_node_selector_chooses_nodes() {
    let selector = json!({ "template": { "spec": { "nodeSelector": { "color": "blue" } } } });
    let mut stage = Stage::new(&["a", "b"], selector);
    stage.run();
    assert_eq!(stage.images(), Vec::<String>::new());
    stage.nodes[0] = node("a", json!({ "metadata": { "labels": { "color": "blue" } } }));
    stage.run();
    assert_eq!(stage.images(), ["a one"]);
}

#[test]
fn a_failed_pod_is_replaced_when_its_node_has_rested() {
    let mut stage = Stage::new(&["a"], json!({}));
    stage.run();
    let name = stage.world.pods.keys().next().unwrap().clone();
    patch_in(&mut stage.world.pods, &name, &json!({ "status": { "phase": "Failed" } }));
    stage.resting.insert("a".to_owned(), Duration::from_secs(3));
    let resting = stage.pass();
    assert!(resting.plan.is_empty());
    assert_eq!(resting.plan.next, Some(Duration::from_secs(3)));
    stage.resting.clear();
    let killing = stage.pass();
    assert_eq!(killing.failed_on, ["a"]);
    assert_eq!(
        said(&killing.plan)[0],
        format!("FailedDaemonPod Found failed daemon pod ns/{name} on node a, will try to kill it")
    );
    stage.run();
    assert_eq!(stage.images(), ["a one"]);
}

#[test]
fn an_update_takes_one_node_after_the_other() {
    let mut stage = Stage::new(&["a", "b", "c"], json!({}));
    stage.run();
    stage.image("two");
    assert_eq!(lines(&stage.pass().plan).len(), 2);
    assert_eq!(stage.images(), ["b one", "c one"]);
    stage.pass();
    assert_eq!(stage.images(), ["a two", "b one", "c one"]);
    stage.pass();
    assert_eq!(stage.images(), ["a two", "b one", "c one"]);
    stage.run();
    assert_eq!(stage.images(), ["a two", "b two", "c two"]);
}

#[test]
fn an_update_that_surges_starts_the_new_pod_first() {
    let strategy = json!({ "updateStrategy": { "rollingUpdate": { "maxUnavailable": 0, "maxSurge": 1 } } });
    let mut stage = Stage::new(&["a", "b"], strategy);
    stage.run();
    stage.image("two");
    stage.pass();
    assert_eq!(stage.images(), ["a one", "a two", "b one"]);
    stage.pass();
    assert_eq!(stage.images(), ["a one", "a two", "b one"]);
    stage.run();
    assert_eq!(stage.images(), ["a two", "b two"]);
}

#[test]
fn on_delete_updates_only_what_is_deleted_and_a_rollback_restarts_nothing_that_is_old() {
    let mut stage = Stage::new(&["a", "b"], json!({ "updateStrategy": { "type": "OnDelete", "rollingUpdate": null } }));
    stage.run();
    stage.image("two");
    stage.run();
    let on_a = stage.world.pods.iter().find(|(_, pod)| fit::target_node(pod) == Some("a")).unwrap().0.clone();
    stage.world.pods.remove(&on_a);
    stage.run();
    assert_eq!(stage.images(), ["a two", "b one"]);
    stage.image("one");
    let back = stage.pass();
    assert_eq!(lines(&back.plan).len(), 1, "the revision gets a new number, no pod is touched");
    assert_eq!(stage.set.status.as_ref().unwrap().updated_number_scheduled, Some(1));
}

#[test]
fn a_revision_that_was_deleted_comes_back() {
    let mut stage = Stage::new(&["a"], json!({}));
    stage.run();
    let before = stage.world.revisions.keys().next().unwrap().clone();
    stage.world.revisions.clear();
    assert_eq!(lines(&stage.pass().plan), ["create Revision 1"]);
    assert_eq!(stage.world.revisions.keys().next(), Some(&before));
}

#[test]
fn old_revisions_beyond_the_limit_go() {
    let mut stage = Stage::new(&["a"], json!({ "revisionHistoryLimit": 1 }));
    for image in ["one", "two", "three", "four"] {
        stage.image(image);
        stage.run();
    }
    let numbers: Vec<i64> = stage.world.revisions.values().map(|one| one.revision).collect();
    assert_eq!(numbers.len(), 2);
    assert!(numbers.contains(&3) && numbers.contains(&4));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens to nodes and templates, the set comes to rest with one new pod on every node.
    #[test]
    fn a_set_comes_to_rest_with_one_pod_a_node(
        surge in 0..3_i32,
        unavailable in 0..3_i32,
        steps in prop::collection::vec((0..4_u8, 0..6_usize), 1..25),
    ) {
        let strategy = json!({ "rollingUpdate": { "maxSurge": surge, "maxUnavailable": unavailable } });
        let mut stage = Stage::new(&["a", "b", "c", "d"], json!({ "updateStrategy": strategy }));
        for (action, number) in steps {
            match action {
                0 => stage.image(["one", "two", "three"][number % 3]),
                1 => {
                    let taint = json!({ "spec": { "taints": [{ "key": "x", "effect": "NoExecute" }] } });
                    let name = ["a", "b", "c", "d"][number % 4];
                    stage.nodes[number % 4] = node(name, if number < 4 { taint } else { json!({}) });
                }
                2 => stage.start_pods(),
                _ => drop(stage.pass()),
            }
        }
        stage.run();
        let image = stage.set.spec.as_ref().unwrap().template.spec.as_ref().unwrap().containers[0].image.clone().unwrap();
        let free = stage.nodes.iter().filter(|node| node.spec.is_none() || node.spec == Some(Default::default()));
        let expected: Vec<String> = free.map(|node| format!("{} {image}", pods::name(&node.metadata))).collect();
        prop_assert_eq!(stage.images(), expected);
        let again = stage.pass();
        prop_assert!(again.plan.is_empty());
        prop_assert_eq!(again.status, None);
    }
}
