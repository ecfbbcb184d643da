//! What the tests of the plans share: objects from JSON, and a small world that plans are applied to.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, ReplicaSet};
use k8s_openapi::api::core::v1::{Node, PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::act::{Change, Kind, New, Plan};

/// The time at which tests begin.
pub const NOW: Timestamp = Timestamp::constant(1_700_000_000, 0);

/// So many seconds after the beginning.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(NOW.as_second() + seconds).unwrap()
}

/// An object from JSON.
pub fn object<K: DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

/// An object with the merge patch applied.
pub fn merged<K: DeserializeOwned + Serialize>(object: &K, patch: &Value) -> K {
    let mut value = serde_json::to_value(object).unwrap();
    merge(&mut value, patch);
    serde_json::from_value(value).unwrap()
}

fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let map = target.as_object_mut().unwrap();
    for (key, value) in fields {
        if value.is_null() {
            map.remove(key);
        } else {
            merge(map.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

/// A pod from the parts that tests vary.
pub fn pod(name: &str, patch: Value) -> Arc<Pod> {
    let plain: Pod = object(json!({
        "metadata": { "name": name, "namespace": "ns", "uid": format!("uid-{name}"), "resourceVersion": "1" },
        "spec": { "containers": [{ "name": "main", "image": "app" }] },
        "status": { "phase": "Pending" },
    }));
    Arc::new(merged(&plain, &patch))
}

/// The status of a pod that has been ready since `since`.
pub fn ready(since: Timestamp) -> Value {
    json!({ "phase": "Running", "conditions": [
        { "type": "Ready", "status": "True", "lastTransitionTime": since.to_string() },
    ]})
}

/// A node that offers 4 cores, 8 GiB and 110 pods, patched.
pub fn node(name: &str, patch: Value) -> Arc<Node> {
    let plain: Node = object(json!({
        "metadata": { "name": name, "labels": { "kubernetes.io/hostname": name } },
        "status": { "allocatable": { "cpu": "4", "memory": "8Gi", "pods": "110" } },
    }));
    Arc::new(merged(&plain, &patch))
}

/// The objects that plans are applied to.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// The pods.
    pub pods: BTreeMap<String, Arc<Pod>>,
    /// The replica sets.
    pub sets: BTreeMap<String, Arc<ReplicaSet>>,
    /// The controller revisions.
    pub revisions: BTreeMap<String, Arc<ControllerRevision>>,
    /// The claims.
    pub claims: BTreeMap<String, Arc<PersistentVolumeClaim>>,
    /// Objects made so far, for names and uids.
    pub made: usize,
    /// The time that new objects are made at.
    pub now: Timestamp,
}

impl World {
    /// Applies every change of a plan.
    pub fn apply(&mut self, plan: &Plan) {
        for change in plan.changes() {
            self.change(change);
        }
    }

    fn stamp(&mut self, meta: &mut ObjectMeta) -> String {
        self.made += 1;
        let generated = format!("{}{}", meta.generate_name.clone().unwrap_or_default(), self.made);
        let name = meta.name.clone().unwrap_or(generated);
        meta.name = Some(name.clone());
        meta.uid = Some(format!("uid-{}", self.made));
        meta.creation_timestamp = Some(Time(self.now));
        name
    }

    fn change(&mut self, change: &Change) {
        match change {
            Change::Create(New::Pod(new)) => {
                let mut new = new.as_ref().clone();
                let name = self.stamp(&mut new.metadata);
                new.status = Some(object(json!({ "phase": "Pending" })));
                assert!(self.pods.insert(name, Arc::new(new)).is_none(), "the name was taken");
            }
            Change::Create(New::ReplicaSet(new)) => {
                let mut new = new.as_ref().clone();
                let name = self.stamp(&mut new.metadata);
                assert!(self.sets.insert(name, Arc::new(new)).is_none(), "the name was taken");
            }
            Change::Create(New::Revision(new)) => {
                let mut new = new.as_ref().clone();
                let name = self.stamp(&mut new.metadata);
                assert!(self.revisions.insert(name, Arc::new(new)).is_none(), "the name was taken");
            }
            Change::Create(New::Claim(new)) => {
                let mut new = new.as_ref().clone();
                let name = self.stamp(&mut new.metadata);
                assert!(self.claims.insert(name, Arc::new(new)).is_none(), "the name was taken");
            }
            Change::Delete { kind, name, .. } => match kind {
                Kind::Pod => drop(self.pods.remove(name)),
                Kind::ReplicaSet => drop(self.sets.remove(name)),
                Kind::Revision => drop(self.revisions.remove(name)),
                Kind::Claim => drop(self.claims.remove(name)),
                Kind::Deployment => panic!("nobody deletes deployments"),
            },
            Change::Merge { kind, name, patch } => match kind {
                Kind::Pod => patch_in(&mut self.pods, name, patch),
                Kind::ReplicaSet => patch_in(&mut self.sets, name, patch),
                Kind::Revision => patch_in(&mut self.revisions, name, patch),
                Kind::Claim => patch_in(&mut self.claims, name, patch),
                Kind::Deployment => {}
            },
        }
    }

    /// The pods.
    pub fn all_pods(&self) -> Vec<Arc<Pod>> {
        self.pods.values().cloned().collect()
    }

    /// Makes a pod run and be ready.
    pub fn make_ready(&mut self, name: &str, since: Timestamp) {
        patch_in(&mut self.pods, name, &json!({ "status": ready(since) }));
    }
}

/// Patches an object in place.
pub fn patch_in<K: DeserializeOwned + Serialize>(all: &mut BTreeMap<String, Arc<K>>, name: &str, patch: &Value) {
    if let Some(object) = all.get_mut(name) {
        *object = Arc::new(merged(object.as_ref(), patch));
    }
}

/// The texts of all events of a plan, in order, those for success included.
pub fn said(plan: &Plan) -> Vec<String> {
    let done = plan.stages.iter().flat_map(|stage| stage.acts.iter().flat_map(|act| &act.done));
    plan.notes.iter().chain(done).map(|note| format!("{} {}", note.reason, note.message)).collect()
}

/// What a plan does, a line a change.
pub fn lines(plan: &Plan) -> Vec<String> {
    plan.changes().map(line).collect()
}

fn line(change: &Change) -> String {
    let named = |meta: &ObjectMeta| meta.name.clone().or(meta.generate_name.clone()).unwrap_or_default();
    match change {
        Change::Create(New::Pod(new)) => format!("create Pod {}", named(&new.metadata)),
        Change::Create(New::ReplicaSet(new)) => format!("create ReplicaSet {}", named(&new.metadata)),
        Change::Create(New::Revision(new)) => format!("create Revision {}", new.revision),
        Change::Create(New::Claim(new)) => format!("create Claim {}", named(&new.metadata)),
        Change::Delete { kind, name, .. } => format!("delete {kind:?} {name}"),
        Change::Merge { kind, name, .. } => format!("change {kind:?} {name}"),
    }
}
