//! Tests of the stateful set's plan.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::core::workload::testing::{NOW, World, at, lines, merged, object, patch_in, pod, said};

struct Stage {
    set: StatefulSet,
    world: World,
}

impl Stage {
    fn new(spec: Value) -> Stage {
        let plain: StatefulSet = object(json!({
            "metadata": { "name": "db", "namespace": "ns", "uid": "s", "generation": 1 },
            "spec": {
                "replicas": 3, "serviceName": "db", "revisionHistoryLimit": 10, "podManagementPolicy": "OrderedReady",
                "selector": { "matchLabels": { "app": "db" } },
                "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "partition": 0 } },
                "template": { "metadata": { "labels": { "app": "db" } },
                    "spec": { "containers": [{ "name": "main", "image": "one" }] } },
            },
        }));
        let set = merged(&plain, &json!({ "spec": spec }));
        Stage { set, world: World { now: NOW, ..World::default() } }
    }

    fn change(&mut self, spec: Value) {
        let generation = self.set.metadata.generation.unwrap() + 1;
        self.set = merged(&self.set, &json!({ "metadata": { "generation": generation }, "spec": spec }));
    }

    fn image(&mut self, image: &str) {
        self.change(json!({ "template": { "spec": { "containers": [{ "name": "main", "image": image }] } } }));
    }

    fn decide(&self) -> Decision {
        let observed = Observed {
            pods: self.world.all_pods(),
            revisions: self.world.revisions.values().cloned().collect(),
            claims: self.world.claims.clone(),
        };
        plan(&self.set, &observed, NOW)
    }

    fn pass(&mut self) -> Decision {
        let decision = self.decide();
        self.world.apply(&decision.plan);
        if let Some(status) = &decision.status {
            self.set.status = Some(status.clone());
        }
        decision
    }

    fn ready(&mut self, name: &str) {
        self.world.make_ready(name, at(-100));
    }

    /// Passes until nothing changes, with pods ready at once.
    fn run(&mut self) {
        for _ in 0..80 {
            let before = (self.set.clone(), self.world.pods.clone());
            self.pass();
            let names: Vec<String> = self.world.pods.keys().cloned().collect();
            for name in names {
                self.ready(&name);
            }
            if before == (self.set.clone(), self.world.pods.clone()) {
                return;
            }
        }
        panic!("no rest");
    }

    fn images(&self) -> Vec<String> {
        let image = |pod: &Pod| pod.spec.as_ref().unwrap().containers[0].image.clone().unwrap();
        self.world.pods.iter().map(|(name, pod)| format!("{name} {}", image(pod))).collect()
    }

    fn names(&self) -> Vec<&str> {
        self.world.pods.keys().map(String::as_str).collect()
    }
}

const CLAIM: &str = "data";

fn with_claims(policy: Value) -> Value {
    json!({ "persistentVolumeClaimRetentionPolicy": policy,
        "volumeClaimTemplates": [{ "metadata": { "name": CLAIM }, "spec": { "accessModes": ["ReadWriteOnce"] } }] })
}

#[test]
fn an_ordered_set_creates_one_pod_after_the_other() {
    let mut stage = Stage::new(json!({}));
    let first = stage.pass();
    assert_eq!(lines(&first.plan), ["create Revision 1", "create Pod db-0"]);
    assert_eq!(said(&first.plan), ["SuccessfulCreate create Pod db-0 in StatefulSet db successful"]);
    assert_eq!(lines(&stage.pass().plan), Vec::<String>::new());
    stage.ready("db-0");
    assert_eq!(lines(&stage.pass().plan), ["create Pod db-1"]);
    stage.run();
    assert_eq!(stage.names(), ["db-0", "db-1", "db-2"]);
    let status = stage.set.status.clone().unwrap();
    assert_eq!((status.replicas, status.ready_replicas, status.current_replicas), (3, Some(3), Some(3)));
    assert_eq!(status.current_revision, status.update_revision);
}

#[test]
fn a_pod_bears_its_name_its_index_and_its_revision() {
    let mut stage = Stage::new(json!({ "ordinals": { "start": 5 }, "replicas": 1 }));
    stage.pass();
    let pod = &stage.world.pods["db-5"];
    let labels = pod.metadata.labels.as_ref().unwrap();
    assert_eq!(labels["statefulset.kubernetes.io/pod-name"], "db-5");
    assert_eq!(labels["apps.kubernetes.io/pod-index"], "5");
    assert_eq!(labels["controller-revision-hash"], stage.set.status.as_ref().unwrap().update_revision.clone().unwrap());
    let spec = pod.spec.as_ref().unwrap();
    assert_eq!((spec.hostname.as_deref(), spec.subdomain.as_deref()), (Some("db-5"), Some("db")));
}

#[test]
fn a_parallel_set_does_not_wait() {
    let mut stage = Stage::new(json!({ "podManagementPolicy": "Parallel" }));
    stage.pass();
    assert_eq!(stage.names(), ["db-0", "db-1", "db-2"]);
    stage.change(json!({ "replicas": 1 }));
    stage.pass();
    assert_eq!(stage.names(), ["db-0"]);
}

#[test]
fn an_ordered_set_shrinks_from_the_top_and_waits_for_a_pod_that_is_not_well() {
    let mut stage = Stage::new(json!({}));
    stage.run();
    stage.change(json!({ "replicas": 1 }));
    assert_eq!(lines(&stage.pass().plan), ["delete Pod db-2"]);
    patch_in(&mut stage.world.pods, "db-0", &json!({ "status": { "conditions": null } }));
    assert_eq!(lines(&stage.pass().plan), Vec::<String>::new());
    stage.ready("db-0");
    assert_eq!(lines(&stage.pass().plan), ["delete Pod db-1"]);
}

#[test]
fn a_failed_pod_is_replaced() {
    let mut stage = Stage::new(json!({}));
    stage.run();
    patch_in(&mut stage.world.pods, "db-1", &json!({ "status": { "phase": "Failed" } }));
    assert_eq!(lines(&stage.pass().plan), ["delete Pod db-1"]);
    assert_eq!(lines(&stage.pass().plan), ["create Pod db-1"]);
}

#[test]
fn an_update_goes_from_the_top_one_pod_at_a_time() {
    let mut stage = Stage::new(json!({}));
    stage.run();
    let old = stage.set.status.clone().unwrap().current_revision;
    stage.image("two");
    assert_eq!(lines(&stage.pass().plan), ["create Revision 2", "delete Pod db-2"]);
    assert_eq!(lines(&stage.pass().plan), ["create Pod db-2"]);
    assert_eq!(lines(&stage.pass().plan), Vec::<String>::new());
    let status = stage.set.status.clone().unwrap();
    assert_eq!((status.current_revision, status.updated_replicas), (old.clone(), Some(1)));
    stage.ready("db-2");
    assert_eq!(lines(&stage.pass().plan), ["delete Pod db-1"]);
    stage.run();
    assert_eq!(stage.images(), ["db-0 two", "db-1 two", "db-2 two"]);
    assert_ne!(stage.set.status.clone().unwrap().current_revision, old);
}

#[test]
fn pods_below_the_partition_keep_and_get_back_the_old_revision() {
    let mut stage = Stage::new(json!({}));
    stage.run();
    stage.change(json!({ "updateStrategy": { "rollingUpdate": { "partition": 2 } } }));
    stage.image("two");
    stage.run();
    assert_eq!(stage.images(), ["db-0 one", "db-1 one", "db-2 two"]);
    stage.world.pods.clear();
    stage.run();
    assert_eq!(stage.images(), ["db-0 one", "db-1 one", "db-2 two"]);
    stage.change(json!({ "updateStrategy": { "rollingUpdate": { "partition": 0 } } }));
    stage.run();
    assert_eq!(stage.images(), ["db-0 two", "db-1 two", "db-2 two"]);
}

#[test]
fn on_delete_updates_only_what_is_deleted() {
    let mut stage = Stage::new(json!({ "updateStrategy": { "type": "OnDelete", "rollingUpdate": null } }));
    stage.run();
    stage.image("two");
    stage.run();
    assert_eq!(stage.images(), ["db-0 one", "db-1 one", "db-2 one"]);
    stage.world.pods.remove("db-1");
    stage.run();
    assert_eq!(stage.images(), ["db-0 one", "db-1 two", "db-2 one"]);
}

#[test]
fn claims_come_before_their_pod_and_are_mounted() {
    let mut stage = Stage::new(with_claims(json!(null)));
    let first = stage.pass();
    assert_eq!(lines(&first.plan), ["create Revision 1", "create Claim data-db-0", "create Pod db-0"]);
    assert_eq!(said(&first.plan)[0], "SuccessfulCreate create Claim data-db-0 Pod db-0 in StatefulSet db success");
    let volumes = stage.world.pods["db-0"].spec.as_ref().unwrap().volumes.clone().unwrap();
    assert_eq!(volumes[0].persistent_volume_claim.as_ref().unwrap().claim_name, "data-db-0");
    let claim = &stage.world.claims["data-db-0"];
    assert_eq!(claim.metadata.labels.as_ref().unwrap()["app"], "db");
    assert_eq!(claim.metadata.owner_references, None);
    stage.run();
    stage.world.pods.remove("db-1");
    stage.run();
    assert_eq!(stage.world.claims.len(), 3);
}

#[test]
fn a_claim_that_is_being_deleted_holds_its_pod_up() {
    let mut stage = Stage::new(with_claims(json!(null)));
    stage.pass();
    stage.world.pods.clear();
    patch_in(&mut stage.world.claims, "data-db-0", &json!({ "metadata": { "deletionTimestamp": NOW.to_string() } }));
    let decision = stage.pass();
    assert_eq!(decision.plan.obstacle.as_deref(), Some("pvc data-db-0 is being deleted"));
    assert!(decision.plan.is_empty());
}

#[test]
fn the_retention_policy_decides_who_owns_a_claim() {
    let mut stage = Stage::new(with_claims(json!({ "whenDeleted": "Delete", "whenScaled": "Delete" })));
    stage.run();
    let owners = |stage: &Stage, name: &str| -> Vec<String> {
        let owners = stage.world.claims[name].metadata.owner_references.clone().unwrap_or_default();
        owners.into_iter().map(|owner| owner.kind).collect()
    };
    assert_eq!(owners(&stage, "data-db-2"), ["StatefulSet"]);
    stage.change(json!({ "replicas": 2 }));
    assert_eq!(lines(&stage.pass().plan), ["change Claim data-db-2", "delete Pod db-2"]);
    assert_eq!(owners(&stage, "data-db-2"), ["Pod"]);
    stage.change(json!({ "replicas": 3 }));
    assert!(stage.pass().plan.is_empty(), "the claim of the pod that is gone goes first");
    stage.change(json!({ "replicas": 2, "persistentVolumeClaimRetentionPolicy": { "whenDeleted": "Retain", "whenScaled": "Retain" } }));
    stage.run();
    assert_eq!(owners(&stage, "data-db-1"), Vec::<String>::new());
}

#[test]
fn old_revisions_beyond_the_limit_go() {
    let mut stage = Stage::new(json!({ "revisionHistoryLimit": 1 }));
    for image in ["one", "two", "three", "four"] {
        stage.image(image);
        stage.run();
    }
    let numbers: Vec<i64> = stage.world.revisions.values().map(|one| one.revision).collect();
    assert_eq!(numbers.len(), 2, "{numbers:?}");
    assert!(numbers.contains(&4) && numbers.contains(&3));
}

#[test]
fn a_matching_orphan_of_the_sets_name_is_adopted_and_others_are_left_alone() {
    let mut stage = Stage::new(json!({ "replicas": 1 }));
    let orphan = |name: &str| pod(name, json!({ "metadata": { "labels": { "app": "db" } } }));
    stage.world.pods.insert("db-0".to_owned(), orphan("db-0"));
    stage.world.pods.insert("other".to_owned(), orphan("other"));
    let plan = stage.pass().plan;
    assert_eq!(lines(&plan)[0], "change Pod db-0");
    assert!(!lines(&plan).iter().any(|line| line.ends_with(" other")));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Through any changes, an ordered set never has two pods that are not ready because of it, and comes to rest.
    #[test]
    fn a_set_comes_to_rest_with_the_wanted_pods(
        parallel in any::<bool>(),
        steps in prop::collection::vec((0..5_u8, 0..5_i32), 1..25),
    ) {
        let policy = if parallel { "Parallel" } else { "OrderedReady" };
        let mut stage = Stage::new(json!({ "podManagementPolicy": policy }));
        for (action, number) in steps {
            match action {
                0 => stage.change(json!({ "replicas": number })),
                1 => stage.image(["one", "two", "three"][usize::try_from(number).unwrap() % 3]),
                2 => stage.ready(&format!("db-{number}")),
                3 => patch_in(&mut stage.world.pods, &format!("db-{number}"), &json!({ "status": { "phase": "Failed" } })),
                _ => {
                    let before = stage.world.pods.len();
                    stage.pass();
                    prop_assert!(parallel || stage.world.pods.len() <= before + 1);
                }
            }
        }
        stage.run();
        let wanted = stage.set.spec.as_ref().unwrap().replicas.unwrap();
        let names: Vec<String> = (0..wanted).map(|ordinal| format!("db-{ordinal}")).collect();
        prop_assert_eq!(stage.names(), names);
        let update = stage.set.status.clone().unwrap().update_revision.unwrap();
        for pod in stage.world.pods.values() {
            prop_assert_eq!(pods::label(&pod.metadata, REVISION_LABEL), update.as_str());
        }
        let again = stage.pass();
        prop_assert!(again.plan.is_empty());
        prop_assert_eq!(again.status, None);
    }
}
