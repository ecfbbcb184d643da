//! Tests of the deployment's plan: a deployment is driven through a small world in which replica sets follow.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::DeploymentCondition;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::core::workload::testing::{NOW, World, at, lines, merged, object, patch_in, said};

/// A deployment in a world where time passes and replica sets do, or do not do, what they are asked.
struct Stage {
    deployment: Deployment,
    world: World,
    seconds: i64,
}

impl Stage {
    fn new(spec: Value) -> Stage {
        let plain: Deployment = object(json!({
            "metadata": { "name": "web", "namespace": "ns", "uid": "d", "generation": 1 },
            "spec": {
                "replicas": 3,
                "selector": { "matchLabels": { "app": "web" } },
                "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": "25%", "maxUnavailable": "25%" } },
                "progressDeadlineSeconds": 600,
                "revisionHistoryLimit": 10,
                "template": {
                    "metadata": { "labels": { "app": "web" } },
                    "spec": { "containers": [{ "name": "main", "image": "one" }] },
                },
            },
        }));
        let deployment = merged(&plain, &json!({ "spec": spec }));
        Stage { deployment, world: World { now: NOW, ..World::default() }, seconds: 0 }
    }

    fn change(&mut self, spec: Value) {
        let generation = self.deployment.metadata.generation.unwrap() + 1;
        let patch = json!({ "metadata": { "generation": generation }, "spec": spec });
        self.deployment = merged(&self.deployment, &patch);
    }

    fn image(&mut self, image: &str) {
        self.change(json!({ "template": { "spec": { "containers": [{ "name": "main", "image": image }] } } }));
    }

    fn observed(&self) -> Observed {
        Observed { sets: self.world.sets.values().cloned().collect(), pods: self.world.all_pods() }
    }

    /// One pass, applied.
    fn pass(&mut self) -> Decision {
        self.seconds += 1;
        let now = at(self.seconds);
        self.world.now = now;
        let decision = plan(&self.deployment, &self.observed(), now);
        self.world.apply(&decision.plan);
        for change in decision.plan.changes() {
            if let Change::Merge { kind: Kind::Deployment, patch, .. } = change {
                self.deployment = merged(&self.deployment, patch);
            }
        }
        if let Some(status) = &decision.status {
            self.deployment.status = Some(status.clone());
        }
        decision
    }

    /// Lets a set do what it is asked, with so many of its pods available.
    fn settle(&mut self, name: &str, available: i32) {
        let set = &self.world.sets[name];
        let status = json!({ "status": {
            "replicas": sets::size(set), "readyReplicas": available, "availableReplicas": available,
            "observedGeneration": set.metadata.generation, "conditions": null,
        }});
        patch_in(&mut self.world.sets, name, &status);
    }

    fn settle_all(&mut self) {
        let sizes: Vec<(String, i32)> =
            self.world.sets.iter().map(|(name, set)| (name.clone(), sets::size(set))).collect();
        for (name, size) in sizes {
            self.settle(&name, size);
        }
    }

    /// Passes until nothing changes while sets follow at once.
    fn run(&mut self) {
        for _ in 0..60 {
            let before = (self.deployment.clone(), self.sizes());
            self.settle_all();
            self.pass();
            if before == (self.deployment.clone(), self.sizes()) {
                return;
            }
        }
        panic!("no rest: {:?}", self.sizes());
    }

    fn sizes(&self) -> BTreeMap<String, i32> {
        let image =
            |set: &ReplicaSet| set.spec.as_ref()?.template.as_ref()?.spec.as_ref()?.containers.first()?.image.clone();
        self.world.sets.values().map(|set| (image(set).unwrap(), sets::size(set))).collect()
    }

    fn named(&self, image: &str) -> String {
        let is = |set: &ReplicaSet| {
            let template = set.spec.as_ref().and_then(|spec| spec.template.as_ref());
            template
                .and_then(|one| one.spec.as_ref())
                .is_some_and(|spec| spec.containers[0].image.as_deref() == Some(image))
        };
        self.world.sets.iter().find(|(_, set)| is(set)).unwrap().0.clone()
    }

    fn condition(&self, type_: &str) -> Option<DeploymentCondition> {
        let conditions = self.deployment.status.as_ref()?.conditions.clone()?;
        conditions.into_iter().find(|one| one.type_ == type_)
    }

    fn reason(&self, type_: &str) -> String {
        self.condition(type_).map(|one| format!("{} {}", one.status, one.reason.unwrap())).unwrap_or_default()
    }
}

fn sizes<const N: usize>(pairs: [(&str, i32); N]) -> BTreeMap<String, i32> {
    pairs.into_iter().map(|(image, size)| (image.to_owned(), size)).collect()
}

#[test]
fn a_new_deployment_creates_its_set_and_becomes_complete() {
    let mut stage = Stage::new(json!({}));
    let first = stage.pass();
    let name = first.creates.clone().unwrap();
    assert!(name.starts_with("web-"));
    assert_eq!(said(&first.plan), [format!("ScalingReplicaSet Scaled up replica set {name} from 0 to 3")]);
    assert_eq!(stage.reason("Progressing"), "True NewReplicaSetCreated");
    assert_eq!(stage.reason("Available"), "False MinimumReplicasUnavailable");
    let set = &stage.world.sets[&name];
    let hash = name.strip_prefix("web-").unwrap();
    assert_eq!(set.metadata.labels.as_ref().unwrap()["pod-template-hash"], hash);
    let spec = set.spec.as_ref().unwrap();
    assert_eq!(spec.selector.match_labels.as_ref().unwrap()["pod-template-hash"], hash);
    assert_eq!(stage.deployment.metadata.annotations.as_ref().unwrap()["deployment.kubernetes.io/revision"], "1");
    stage.run();
    assert_eq!(stage.reason("Progressing"), "True NewReplicaSetAvailable");
    let message = stage.condition("Progressing").unwrap().message.unwrap();
    assert_eq!(message, format!("ReplicaSet \"{name}\" has successfully progressed."));
    let status = stage.deployment.status.clone().unwrap();
    assert_eq!((status.replicas, status.updated_replicas, status.available_replicas), (Some(3), Some(3), Some(3)));
    assert_eq!((status.unavailable_replicas, status.observed_generation), (None, Some(1)));
}

#[test]
fn a_rolling_update_surges_then_shrinks_and_stays_within_its_fence() {
    let mut stage =
        Stage::new(json!({ "replicas": 4, "strategy": { "rollingUpdate": { "maxSurge": 1, "maxUnavailable": 1 } } }));
    stage.run();
    stage.image("two");
    stage.pass();
    assert_eq!(stage.sizes(), sizes([("one", 3), ("two", 1)]));
    stage.settle(&stage.named("two"), 0);
    stage.pass();
    assert_eq!(stage.sizes(), sizes([("one", 3), ("two", 2)]));
    stage.settle(&stage.named("one"), 3);
    assert!(stage.pass().plan.is_empty(), "nothing may go before a new pod is available");
    stage.run();
    assert_eq!(stage.sizes(), sizes([("one", 0), ("two", 4)]));
    assert_eq!(stage.deployment.metadata.annotations.as_ref().unwrap()["deployment.kubernetes.io/revision"], "2");
}

#[test]
fn unavailable_pods_of_old_sets_go_first() {
    let mut stage =
        Stage::new(json!({ "replicas": 10, "strategy": { "rollingUpdate": { "maxSurge": 3, "maxUnavailable": 2 } } }));
    stage.run();
    stage.settle(&stage.named("one"), 8);
    stage.image("two");
    stage.pass();
    assert_eq!(stage.sizes(), sizes([("one", 8), ("two", 3)]));
}

#[test]
fn a_status_that_lags_behind_costs_no_available_pod() {
    let mut stage =
        Stage::new(json!({ "replicas": 2, "strategy": { "rollingUpdate": { "maxSurge": 0, "maxUnavailable": 1 } } }));
    stage.run();
    stage.image("two");
    for _ in 0..2 {
        stage.pass();
    }
    // "one" was asked to go down to one pod and still reports two.
    stage.image("three");
    for _ in 0..3 {
        stage.pass();
    }
    assert_eq!(stage.sizes()["one"], 1);
}

#[test]
fn a_rollback_gives_the_old_set_a_new_number_and_a_history() {
    let mut stage = Stage::new(json!({}));
    stage.run();
    stage.image("two");
    stage.run();
    stage.image("one");
    stage.run();
    assert_eq!(stage.sizes(), sizes([("one", 3), ("two", 0)]));
    let annotations = stage.world.sets[&stage.named("one")].metadata.annotations.clone().unwrap();
    assert_eq!(annotations["deployment.kubernetes.io/revision"], "3");
    assert_eq!(annotations["deployment.kubernetes.io/revision-history"], "1");
    assert_eq!(stage.deployment.metadata.annotations.as_ref().unwrap()["deployment.kubernetes.io/revision"], "3");
}

#[test]
fn old_sets_beyond_the_limit_are_deleted_when_the_rollout_is_complete() {
    let mut stage = Stage::new(json!({ "revisionHistoryLimit": 1 }));
    for image in ["one", "two", "three", "four"] {
        stage.image(image);
        stage.run();
    }
    assert_eq!(stage.sizes(), sizes([("three", 0), ("four", 3)]));
}

#[test]
fn recreate_waits_until_the_last_old_pod_is_gone() {
    let mut stage = Stage::new(json!({ "strategy": { "type": "Recreate", "rollingUpdate": null } }));
    stage.run();
    let one = stage.named("one");
    let uid = stage.world.sets[&one].metadata.uid.clone().unwrap();
    let old = crate::core::workload::testing::pod(
        "old",
        json!({ "metadata": { "ownerReferences": [
        { "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": one, "uid": uid, "controller": true }] } }),
    );
    stage.world.pods.insert("old".to_owned(), old);
    stage.image("two");
    stage.pass();
    assert_eq!(stage.sizes(), sizes([("one", 0)]));
    stage.settle(&one, 0);
    assert_eq!(lines(&stage.pass().plan), Vec::<String>::new());
    stage.world.pods.clear();
    stage.run();
    assert_eq!(stage.sizes(), sizes([("one", 0), ("two", 3)]));
}

#[test]
fn a_paused_deployment_scales_but_does_not_roll() {
    let mut stage = Stage::new(json!({}));
    stage.run();
    stage.change(json!({ "paused": true }));
    stage.image("two");
    stage.run();
    assert_eq!(stage.sizes(), sizes([("one", 3)]));
    assert_eq!(stage.reason("Progressing"), "Unknown DeploymentPaused");
    stage.change(json!({ "replicas": 5 }));
    stage.run();
    assert_eq!(stage.sizes(), sizes([("one", 5)]));
    stage.change(json!({ "paused": false }));
    stage.pass();
    assert_eq!(stage.condition("Progressing").unwrap().reason.as_deref(), Some("NewReplicaSetCreated"));
    stage.run();
    assert_eq!(stage.sizes(), sizes([("one", 0), ("two", 5)]));
}

#[test]
fn scaling_in_the_middle_of_a_rollout_keeps_proportions() {
    // The example of upstream's documentation: 10 replicas, surge 3, unavailable 2, stuck at 8 and 5, scaled to 15.
    let mut stage =
        Stage::new(json!({ "replicas": 10, "strategy": { "rollingUpdate": { "maxSurge": 3, "maxUnavailable": 2 } } }));
    stage.run();
    stage.image("two");
    for _ in 0..6 {
        stage.pass();
        stage.settle(&stage.named("one"), sets::size(&stage.world.sets[&stage.named("one")]));
        if stage.world.sets.len() > 1 {
            stage.settle(&stage.named("two"), 0);
        }
    }
    assert_eq!(stage.sizes(), sizes([("one", 8), ("two", 5)]));
    stage.change(json!({ "replicas": 15 }));
    stage.pass();
    assert_eq!(stage.sizes(), sizes([("one", 11), ("two", 7)]));
}

#[test]
fn a_rollout_that_does_not_move_times_out_and_says_when_to_look() {
    let mut stage = Stage::new(json!({ "progressDeadlineSeconds": 5 }));
    stage.pass();
    let waiting = stage.pass();
    assert!(waiting.plan.next.unwrap() <= std::time::Duration::from_secs(6));
    stage.seconds += 10;
    stage.pass();
    assert_eq!(stage.reason("Progressing"), "False ProgressDeadlineExceeded");
    let name = stage.named("one");
    assert_eq!(
        stage.condition("Progressing").unwrap().message.unwrap(),
        format!("ReplicaSet \"{name}\" has timed out progressing.")
    );
    stage.run();
    assert_eq!(stage.reason("Progressing"), "True NewReplicaSetAvailable");
}

#[test]
fn a_name_that_is_taken_raises_the_collision_count_first() {
    let mut stage = Stage::new(json!({}));
    let name = {
        let mut other = Stage::new(json!({}));
        other.pass().creates.unwrap()
    };
    let foreign: ReplicaSet = object(json!({ "metadata": { "name": name, "namespace": "ns", "uid": "x" },
        "spec": { "selector": {}, "replicas": 0 } }));
    stage.world.sets.insert(name.clone(), Arc::new(foreign));
    assert!(stage.pass().plan.is_empty());
    assert_eq!(stage.deployment.status.as_ref().unwrap().collision_count, Some(1));
    let second = stage.pass().creates.unwrap();
    assert_ne!(second, name);
}

#[test]
fn a_failure_of_the_new_set_is_repeated() {
    let mut stage = Stage::new(json!({}));
    stage.pass();
    let name = stage.named("one");
    let failure = json!({ "status": { "replicas": 0, "conditions": [
        { "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota" }] } });
    patch_in(&mut stage.world.sets, &name, &failure);
    stage.pass();
    assert_eq!(stage.reason("ReplicaFailure"), "True FailedCreate");
    stage.run();
    assert_eq!(stage.reason("ReplicaFailure"), "");
}

#[test]
fn an_orphaned_set_is_adopted_and_a_stray_one_released() {
    let mut stage = Stage::new(json!({}));
    stage.run();
    let name = stage.named("one");
    patch_in(&mut stage.world.sets, &name, &json!({ "metadata": { "ownerReferences": null } }));
    assert_eq!(lines(&stage.pass().plan), [format!("change ReplicaSet {name}")]);
    patch_in(&mut stage.world.sets, &name, &json!({ "metadata": { "labels": { "app": "other" } } }));
    let plan = plan(&stage.deployment, &stage.observed(), NOW).plan;
    assert_eq!(lines(&plan)[0], format!("change ReplicaSet {name}"));
}

#[test]
fn a_creation_that_is_refused_is_a_condition() {
    let stage = Stage::new(json!({}));
    let status = creation_failed(&stage.deployment, DeploymentStatus::default(), "web-x", "no", NOW);
    let condition = &status.conditions.unwrap()[0];
    assert_eq!(condition.reason.as_deref(), Some("ReplicaSetCreateError"));
    assert_eq!(condition.message.as_deref(), Some("Failed to create new replica set \"web-x\": no"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever users change and however slowly pods come, a rolling update never has more pods than the surge allows,
    /// never takes an available pod that it needs, and comes to rest.
    #[test]
    fn a_rolling_update_keeps_its_promises(
        surge in 0..4_i32,
        unavailable in 0..4_i32,
        replicas in 0..12_i32,
        steps in prop::collection::vec((0..5_u8, 0..12_i32), 1..30),
    ) {
        let spec = json!({ "replicas": replicas,
            "strategy": { "rollingUpdate": { "maxSurge": surge, "maxUnavailable": unavailable } } });
        let mut stage = Stage::new(spec);
        stage.run();
        for (action, number) in steps {
            match action {
                0 => stage.image(["one", "two", "three"][usize::try_from(number).unwrap() % 3]),
                1 => {
                    let names: Vec<String> = stage.world.sets.keys().cloned().collect();
                    for (index, name) in names.iter().enumerate() {
                        let size = sets::size(&stage.world.sets[name]);
                        stage.settle(name, size.min(number + i32::try_from(index).unwrap()));
                    }
                }
                _ => {
                    let (before, available) = (stage.sizes().values().sum::<i32>(), usable(&stage));
                    stage.pass();
                    let total = stage.sizes().values().sum::<i32>();
                    prop_assert!(total <= (replicas + surge).max(before), "{total} pods");
                    let fence = if surge == 0 && unavailable == 0 { 1 } else { unavailable };
                    prop_assert!(usable(&stage) >= available.min(replicas - fence.min(replicas)));
                }
            }
        }
        stage.run();
        prop_assert_eq!(stage.sizes().values().sum::<i32>(), replicas);
        prop_assert!(stage.pass().plan.is_empty());
        prop_assert_eq!(stage.pass().status, None);
    }
}

/// Available pods that are not asked to go.
fn usable(stage: &Stage) -> i32 {
    stage.world.sets.values().map(|set| sets::available(set).min(sets::size(set))).sum()
}
