//! The history of templates: ControllerRevisions, their names, their numbers and how many are kept; and the hash that
//! names a template in a deployment's replica set.
//!
//! A revision's data is the strategic merge patch `{"spec":{"template":{…,"$patch":"replace"}}}`, which is what
//! `kubectl rollout undo` sends back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use serde_json::{Map, Value, json};

use super::act::{Act, Change, Kind, New};
use super::claim::Owner;
use super::pods;

/// The label of a deployment's replica sets and their pods.
pub const POD_TEMPLATE_HASH: &str = "pod-template-hash";
/// The label of the pods of stateful sets and daemon sets, and of a daemon set's revisions.
pub const REVISION_LABEL: &str = "controller-revision-hash";
/// The label of a stateful set's revisions.
const HASH_LABEL: &str = "controller.kubernetes.io/hash";
/// An owner's name is cut to this length in a revision's name, which leaves room for the hash within 253.
const PREFIX_MAX: usize = 223;
/// A hash that is taken by another template is tried again with a counter; more than this many in a row means that
/// something else is wrong.
const PROBES_MAX: i32 = 64;

/// The 32-bit FNV-1a hash of `bytes`, then of `probe`, in letters that make no words.
pub fn hash(bytes: &[u8], probe: Option<i32>) -> String {
    const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    let probe = probe.map(|probe| probe.to_string()).unwrap_or_default();
    let mix = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    let sum = bytes.iter().chain(probe.as_bytes()).fold(0x811c_9dc5, mix);
    let letter = |digit: u8| LETTERS.get(usize::from(digit) % LETTERS.len()).copied().map_or('b', char::from);
    sum.to_string().bytes().map(letter).collect()
}

/// The hash of a template.
pub fn template_hash(template: &PodTemplateSpec, probe: Option<i32>) -> String {
    hash(template_value(template).to_string().as_bytes(), probe)
}

/// A template as JSON, without what says nothing: nulls, empty maps and lists.
pub fn template_value(template: &PodTemplateSpec) -> Value {
    let mut value = serde_json::to_value(template).unwrap_or_default();
    prune(&mut value);
    value
}

/// Whether two templates are the same but for the hash label that a deployment adds.
pub fn same_template(one: &PodTemplateSpec, other: &PodTemplateSpec) -> bool {
    let plain = |template: &PodTemplateSpec| {
        let mut value = template_value(template);
        if let Some(labels) = value.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
            labels.remove(POD_TEMPLATE_HASH);
        }
        prune(&mut value);
        value
    };
    one == other || plain(one) == plain(other)
}

/// Removes nulls, and the empty maps and lists that Go cannot tell from absent ones. `emptyDir: {}` and its like are
/// present where they are written, so maps below a list's elements stay.
fn prune(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for child in map.values_mut() {
                prune(child);
            }
            map.retain(|key, child| match child {
                Value::Null => false,
                Value::Array(items) => !items.is_empty(),
                Value::Object(fields) => {
                    !fields.is_empty() || !matches!(key.as_str(), "metadata" | "labels" | "annotations" | "resources")
                }
                _ => true,
            });
        }
        Value::Array(items) => items.iter_mut().for_each(prune),
        _ => {}
    }
}

/// The data of the revision that holds a template. Clients compare it byte by byte with what Go makes of the template
/// that they read (`daemon.Match` upstream), so structs that Go always writes are there even when they are empty.
pub fn data(template: &PodTemplateSpec) -> Value {
    let mut template = serde_json::to_value(template).unwrap_or_default();
    write_empty_structs(&mut template);
    if let Some(map) = template.as_object_mut() {
        map.insert("$patch".to_owned(), "replace".into());
    }
    json!({ "spec": { "template": template } })
}

/// Containers have `resources` and claim templates `metadata` and `resources`, written even when empty.
fn write_empty_structs(template: &mut Value) {
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        for container in elements(template, list) {
            container.entry("resources").or_insert_with(|| json!({}));
        }
    }
    for volume in elements(template, "volumes") {
        let claim = volume.get_mut("ephemeral").and_then(|source| source.get_mut("volumeClaimTemplate"));
        let Some(claim) = claim.and_then(Value::as_object_mut) else { continue };
        claim.entry("metadata").or_insert_with(|| json!({}));
        if let Some(spec) = claim.get_mut("spec").and_then(Value::as_object_mut) {
            spec.entry("resources").or_insert_with(|| json!({}));
        }
    }
}

fn elements<'a>(template: &'a mut Value, list: &str) -> impl Iterator<Item = &'a mut Map<String, Value>> {
    let list = template.get_mut("spec").and_then(|spec| spec.get_mut(list)).and_then(Value::as_array_mut);
    list.into_iter().flatten().filter_map(Value::as_object_mut)
}

/// The template that a revision holds.
pub fn template(revision: &ControllerRevision) -> Option<PodTemplateSpec> {
    let mut template = revision.data.as_ref()?.0.pointer("/spec/template")?.clone();
    template.as_object_mut()?.remove("$patch");
    serde_json::from_value(template).ok()
}

/// Whether a revision holds this data.
pub fn holds(revision: &ControllerRevision, data: &Value) -> bool {
    revision.data.as_ref().is_some_and(|raw| {
        let (mut stored, mut wanted) = (raw.0.clone(), data.clone());
        prune(&mut stored);
        prune(&mut wanted);
        stored == wanted
    })
}

/// Oldest first: by number, then age, then name.
pub fn sort(revisions: &mut [Arc<ControllerRevision>]) {
    revisions.sort_by(|one, other| {
        let created = |revision: &ControllerRevision| revision.metadata.creation_timestamp.clone().map(|time| time.0);
        one.revision
            .cmp(&other.revision)
            .then_with(|| created(one).cmp(&created(other)))
            .then_with(|| one.metadata.name.cmp(&other.metadata.name))
    });
}

/// Which kind keeps the history; their revisions are labelled differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeper {
    /// A stateful set.
    StatefulSet,
    /// A daemon set.
    DaemonSet,
}

/// What is known about an object's history.
pub struct History<'a> {
    /// Who keeps it.
    pub keeper: Keeper,
    /// The object.
    pub owner: &'a Owner,
    /// Its metadata: namespace and annotations are copied.
    pub meta: &'a ObjectMeta,
    /// The template that is wanted now.
    pub template: &'a PodTemplateSpec,
    /// Its revisions, oldest first.
    pub revisions: &'a [Arc<ControllerRevision>],
    /// All revisions of the namespace by name, to see which names are taken.
    pub taken: &'a BTreeMap<String, Arc<ControllerRevision>>,
    /// How often a hash was found taken.
    pub collisions: i32,
}

/// The revision of the wanted template.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// Its hash.
    pub hash: String,
    /// How often a hash was found taken, this time included.
    pub collisions: i32,
    /// What makes it so: it is created, or gets the highest number again after a rollback.
    pub act: Option<Act>,
}

impl History<'_> {
    /// The revision for the wanted template: the newest that holds it, renumbered if it is not the newest of all, or a
    /// new one.
    pub fn wanted(&self) -> Wanted {
        let data = data(self.template);
        let newest = self.revisions.last().map_or(0, |revision| revision.revision);
        let Some(found) = self.revisions.iter().rev().find(|revision| holds(revision, &data)) else {
            return self.create(data, newest + 1);
        };
        let act = (found.revision < newest).then(|| {
            let name = pods::name(&found.metadata).to_owned();
            Act::quiet(Change::Merge { kind: Kind::Revision, name, patch: json!({ "revision": newest + 1 }) })
        });
        Wanted {
            name: pods::name(&found.metadata).to_owned(),
            hash: self.hash_of(found),
            collisions: self.collisions,
            act,
        }
    }

    fn hash_of(&self, revision: &ControllerRevision) -> String {
        let label = match self.keeper {
            Keeper::StatefulSet => HASH_LABEL,
            Keeper::DaemonSet => REVISION_LABEL,
        };
        pods::label(&revision.metadata, label).to_owned()
    }

    fn create(&self, data: Value, number: i64) -> Wanted {
        let text = data.to_string();
        let mut collisions = self.collisions;
        let (hash, name) = loop {
            let hash = hash(text.as_bytes(), Some(collisions));
            let prefix: String = self.owner.name.chars().take(PREFIX_MAX).collect();
            let name = format!("{prefix}-{hash}");
            let free = self.taken.get(&name).is_none_or(|other| holds(other, &data));
            if free || collisions - self.collisions >= PROBES_MAX {
                break (hash, name);
            }
            collisions += 1;
        };
        let label = match self.keeper {
            Keeper::StatefulSet => HASH_LABEL,
            Keeper::DaemonSet => REVISION_LABEL,
        };
        let mut labels = self.template.metadata.clone().unwrap_or_default().labels.unwrap_or_default();
        labels.insert(label.to_owned(), hash.clone());
        let revision = ControllerRevision {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                namespace: self.meta.namespace.clone(),
                labels: Some(labels),
                annotations: self.meta.annotations.clone(),
                owner_references: Some(vec![self.owner.reference()]),
                ..ObjectMeta::default()
            },
            data: Some(RawExtension(data)),
            revision: number,
        };
        let act = Some(Act::quiet(Change::Create(New::Revision(Box::new(revision)))));
        Wanted { name, hash, collisions, act }
    }

    /// The oldest revisions beyond `limit`, those that `live` names aside.
    pub fn surplus(&self, limit: Option<i32>, live: &BTreeSet<String>) -> Vec<Act> {
        let limit = usize::try_from(limit.unwrap_or(10)).unwrap_or(0);
        let dead: Vec<_> = self.revisions.iter().filter(|one| !live.contains(pods::name(&one.metadata))).collect();
        let surplus = dead.len().saturating_sub(limit);
        dead.into_iter().take(surplus).map(|revision| delete(revision)).collect()
    }
}

/// Deletes a revision.
pub fn delete(revision: &ControllerRevision) -> Act {
    Act::quiet(Change::Delete {
        kind: Kind::Revision,
        name: pods::name(&revision.metadata).to_owned(),
        uid: pods::uid(&revision.metadata).to_owned(),
    })
}

#[cfg(test)]
mod tests;
