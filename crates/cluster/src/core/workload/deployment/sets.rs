//! A deployment's replica sets while a pass is being decided: which is new, which are old, and what changes on each.
//!
//! Changes are made on copies; the difference to what was observed becomes one patch for each replica set.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{DeploymentStatus, ReplicaSet, ReplicaSetSpec, ReplicaSetStatus};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Map, Value, json};

use super::Subject;
use crate::core::workload::act::{Act, Change, Kind, New, Note};
use crate::core::workload::claim::Owner;
use crate::core::workload::revision::{POD_TEMPLATE_HASH, same_template, template_hash};
use crate::core::workload::{condition, pods};

/// The revision's number.
pub const REVISION: &str = "deployment.kubernetes.io/revision";
/// The numbers that a replica set had before rollbacks brought it back.
const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// The number of replicas that the deployment wanted when the set was sized.
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
/// That number and the surge.
const MAXIMUM: &str = "deployment.kubernetes.io/max-replicas";
/// Annotations of a deployment that its replica sets do not copy.
const NOT_COPIED: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    DESIRED,
    MAXIMUM,
    "deprecated.deployment.rollback.to",
];
/// Characters of history that a replica set carries at most.
const HISTORY_MAX: usize = 2000;
/// The longest name of an object.
const NAME_MAX: usize = 253;

/// The size that a replica set is asked to have.
pub fn size(set: &ReplicaSet) -> i32 {
    set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

/// Its available pods.
pub fn available(set: &ReplicaSet) -> i32 {
    set.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0)
}

/// Its status.
pub fn status(set: &ReplicaSet) -> ReplicaSetStatus {
    set.status.clone().unwrap_or_default()
}

/// The number of replicas that the deployment wanted when the set was sized.
pub fn desired(set: &ReplicaSet) -> Option<i32> {
    count_annotation(set, DESIRED)
}

/// That number and the surge.
pub fn maximum(set: &ReplicaSet) -> Option<i32> {
    count_annotation(set, MAXIMUM)
}

fn annotation<'a>(set: &'a ReplicaSet, key: &str) -> Option<&'a str> {
    set.metadata.annotations.as_ref().and_then(|all| all.get(key)).map(String::as_str)
}

fn count_annotation(set: &ReplicaSet, key: &str) -> Option<i32> {
    annotation(set, key).and_then(|text| text.parse().ok()).filter(|count| *count >= 0)
}

fn number(set: &ReplicaSet) -> i64 {
    annotation(set, REVISION).and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn age_key(set: &ReplicaSet) -> (Option<jiff::Timestamp>, &str) {
    (set.metadata.creation_timestamp.as_ref().map(|time| time.0), pods::name(&set.metadata))
}

/// One replica set: as observed, and as it shall be.
struct Row {
    before: Option<Arc<ReplicaSet>>,
    after: Arc<ReplicaSet>,
    said: Vec<Note>,
}

/// A deployment's replica sets, oldest first; the new one may be among them.
pub struct Sets {
    rows: Vec<Row>,
    new: Option<usize>,
}

impl Sets {
    /// Sorts the observed sets; the new one is the oldest whose template is the deployment's.
    pub fn new(mut sets: Vec<Arc<ReplicaSet>>, template: &PodTemplateSpec) -> Sets {
        sets.sort_by(|one, other| age_key(one).cmp(&age_key(other)));
        let same = |set: &Arc<ReplicaSet>| {
            set.spec.as_ref().and_then(|spec| spec.template.as_ref()).is_some_and(|one| same_template(one, template))
        };
        let new = sets.iter().position(same);
        let row = |set: Arc<ReplicaSet>| Row { before: Some(set.clone()), after: set, said: Vec::new() };
        Sets { rows: sets.into_iter().map(row).collect(), new }
    }

    /// All sets, oldest first.
    pub fn all(&self) -> impl Iterator<Item = &ReplicaSet> {
        self.rows.iter().map(|row| row.after.as_ref())
    }

    /// The new set's position.
    pub fn new_index(&self) -> Option<usize> {
        self.new
    }

    /// The new set.
    pub fn new_set(&self) -> Option<&ReplicaSet> {
        self.new.and_then(|index| self.get(index))
    }

    /// The set at a position.
    pub fn get(&self, index: usize) -> Option<&ReplicaSet> {
        self.rows.get(index).map(|row| row.after.as_ref())
    }

    /// The positions of the old sets, oldest first.
    pub fn old(&self) -> Vec<usize> {
        (0..self.rows.len()).filter(|index| Some(*index) != self.new).collect()
    }

    /// The old sets, oldest first.
    pub fn old_sets(&self) -> impl Iterator<Item = &ReplicaSet> {
        self.rows.iter().enumerate().filter(|(index, _)| Some(*index) != self.new).map(|(_, row)| row.after.as_ref())
    }

    /// The positions of all sets that are asked to have pods.
    pub fn active(&self) -> Vec<usize> {
        (0..self.rows.len()).filter(|index| self.get(*index).is_some_and(|set| size(set) > 0)).collect()
    }

    /// The sizes of all sets together.
    pub fn total(&self) -> i32 {
        self.all().map(size).sum()
    }

    /// The name of the set that the pass creates.
    pub fn created_name(&self) -> Option<String> {
        let created = self.rows.iter().find(|row| row.before.is_none())?;
        created.after.metadata.name.clone()
    }

    /// The number of the new set, for the deployment to carry.
    pub fn revision(&self) -> Option<String> {
        self.new_set().and_then(|set| annotation(set, REVISION)).map(str::to_owned)
    }

    /// Gives the new set its number and the deployment's annotations, and creates it if it is missing and `may_create`.
    /// Returns the collision count when the name it would get is taken.
    pub fn settle_revision(
        &mut self,
        subject: &Subject,
        owner: &Owner,
        namesakes: &[Arc<ReplicaSet>],
        draft: &mut DeploymentStatus,
        may_create: bool,
    ) -> Option<i32> {
        let next = self.old_sets().map(number).max().unwrap_or(0) + 1;
        if let Some(index) = self.new {
            self.renumber(index, subject, next);
            self.note_found(subject, draft);
            return None;
        }
        if !may_create {
            return None;
        }
        let collisions = draft.collision_count;
        let set = self.build(subject, owner, next, collisions);
        if namesakes.iter().any(|other| other.metadata.name == set.metadata.name) {
            return Some(collisions.unwrap_or(0));
        }
        let name = pods::name(&set.metadata).to_owned();
        let said = match size(&set) {
            0 => Vec::new(),
            count => vec![Note::normal("ScalingReplicaSet", format!("Scaled up replica set {name} from 0 to {count}"))],
        };
        self.new = Some(self.rows.len());
        self.rows.push(Row { before: None, after: Arc::new(set), said });
        note_progress(subject, draft, "NewReplicaSetCreated", format!("Created new replica set {name:?}"));
        None
    }

    fn note_found(&self, subject: &Subject, draft: &mut DeploymentStatus) {
        let known = draft.conditions.as_deref().is_some_and(|all| condition::find(all, "Progressing").is_some());
        if let (false, Some(set)) = (known, self.new_set()) {
            let message = format!("Found new replica set {:?}", pods::name(&set.metadata));
            note_progress(subject, draft, "FoundNewReplicaSet", message);
        }
    }

    fn renumber(&mut self, index: usize, subject: &Subject, next: i64) {
        let Some(row) = self.rows.get_mut(index) else { return };
        let mut annotations = row.after.metadata.annotations.clone().unwrap_or_default();
        copy_annotations(subject, &mut annotations);
        raise_number(&mut annotations, next);
        let wanted = subject.spec.min_ready_seconds.unwrap_or(0);
        let current = row.after.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or(0);
        let changed = row.after.metadata.annotations.clone().unwrap_or_default() != annotations;
        if changed || wanted != current {
            let set = Arc::make_mut(&mut row.after);
            set.metadata.annotations = Some(annotations);
            if let Some(spec) = set.spec.as_mut() {
                spec.min_ready_seconds = pods::nonzero(wanted);
            }
        }
    }

    fn build(&self, subject: &Subject, owner: &Owner, number: i64, collisions: Option<i32>) -> ReplicaSet {
        let hash = template_hash(&subject.spec.template, collisions);
        let mut template = subject.spec.template.clone();
        let labels = template.metadata.get_or_insert_default().labels.get_or_insert_default();
        labels.insert(POD_TEMPLATE_HASH.to_owned(), hash.clone());
        let labels = labels.clone();
        let mut selector = subject.spec.selector.clone();
        selector.match_labels.get_or_insert_default().insert(POD_TEMPLATE_HASH.to_owned(), hash.clone());
        let mut annotations = BTreeMap::new();
        copy_annotations(subject, &mut annotations);
        annotations.insert(REVISION.to_owned(), number.to_string());
        annotations.insert(DESIRED.to_owned(), subject.replicas.to_string());
        annotations.insert(MAXIMUM.to_owned(), (subject.replicas + subject.max_surge()).to_string());
        let prefix: String = owner.name.chars().take(NAME_MAX - 1 - hash.len()).collect();
        ReplicaSet {
            metadata: ObjectMeta {
                name: Some(format!("{prefix}-{hash}")),
                namespace: subject.deployment.metadata.namespace.clone(),
                labels: Some(labels),
                annotations: Some(annotations),
                owner_references: Some(vec![owner.reference()]),
                ..ObjectMeta::default()
            },
            spec: Some(ReplicaSetSpec {
                replicas: Some(grown(subject, self.total(), 0)),
                min_ready_seconds: subject.spec.min_ready_seconds,
                selector,
                template: Some(template),
            }),
            status: None,
        }
    }

    /// Asks a set for another size, which is said on the deployment.
    pub fn resize(&mut self, subject: &Subject, index: usize, count: i32) -> bool {
        self.set_size(subject, index, count, Voice::OnChange)
    }

    /// Asks a set for a size and brings its size annotations up to date even when the size stays.
    pub fn resize_and_mark(&mut self, subject: &Subject, index: usize, count: i32) {
        self.set_size(subject, index, count, Voice::Always);
    }

    fn set_size(&mut self, subject: &Subject, index: usize, count: i32, voice: Voice) -> bool {
        let Some(row) = self.rows.get_mut(index) else { return false };
        let old = size(&row.after);
        if old == count && voice == Voice::OnChange {
            return false;
        }
        let maximum = subject.replicas + subject.max_surge();
        let marks = [(DESIRED, subject.replicas.to_string()), (MAXIMUM, maximum.to_string())];
        let marked = marks.iter().all(|(key, value)| annotation(&row.after, key) == Some(value));
        if old == count && marked {
            return false;
        }
        let set = Arc::make_mut(&mut row.after);
        set.metadata.annotations.get_or_insert_default().extend(marks.map(|(key, value)| (key.to_owned(), value)));
        if let Some(spec) = set.spec.as_mut() {
            spec.replicas = Some(count);
        }
        if old != count {
            let direction = if old < count { "up" } else { "down" };
            let name = pods::name(&row.after.metadata);
            let message = format!("Scaled {direction} replica set {name} from {old} to {count}");
            row.said.push(Note::normal("ScalingReplicaSet", message));
        }
        old != count
    }

    /// Old sets beyond the history's limit that have no pods, lowest number first.
    pub fn surplus(&self, limit: Option<i32>) -> Vec<Act> {
        let Some(limit) = limit.filter(|limit| *limit != i32::MAX).and_then(|limit| usize::try_from(limit).ok()) else {
            return Vec::new();
        };
        let mut old: Vec<&ReplicaSet> =
            self.old_sets().filter(|set| set.metadata.deletion_timestamp.is_none()).collect();
        old.sort_by_key(|set| (number(set), age_key(set)));
        let count = old.len().saturating_sub(limit);
        old.into_iter().take(count).filter(|set| is_spent(set)).map(delete).collect()
    }

    /// One act for each set that is created or changes.
    pub fn acts(&mut self) -> Vec<Act> {
        self.rows.iter_mut().filter_map(Row::act).collect()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Voice {
    OnChange,
    Always,
}

impl Row {
    fn act(&mut self) -> Option<Act> {
        let done = std::mem::take(&mut self.said);
        let Some(before) = self.before.as_ref() else {
            let name = pods::name(&self.after.metadata);
            let message = format!("Failed to create new replica set {name:?}: ");
            let failed = Some(Note::warning("ReplicaSetCreateError", message).with_error());
            let set = Box::new(self.after.as_ref().clone());
            return Some(Act { change: Change::Create(New::ReplicaSet(set)), adopts: false, done, failed });
        };
        if Arc::ptr_eq(before, &self.after) {
            return None;
        }
        let name = pods::name(&before.metadata).to_owned();
        let patch = difference(before, &self.after);
        Some(Act { change: Change::Merge { kind: Kind::ReplicaSet, name, patch }, adopts: false, done, failed: None })
    }
}

/// The merge patch from one state of a set to another: annotations, size and readiness are all that changes.
fn difference(before: &ReplicaSet, after: &ReplicaSet) -> Value {
    let old = before.metadata.annotations.clone().unwrap_or_default();
    let new = after.metadata.annotations.iter().flatten();
    let changed: Map<String, Value> = new
        .filter(|(key, value)| old.get(*key) != Some(value))
        .map(|(key, value)| (key.clone(), value.clone().into()))
        .collect();
    let mut patch = json!({ "metadata": { "uid": before.metadata.uid, "annotations": changed } });
    let ready = |set: &ReplicaSet| set.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or(0);
    if size(before) != size(after) {
        patch["spec"]["replicas"] = size(after).into();
    }
    if ready(before) != ready(after) {
        patch["spec"]["minReadySeconds"] = ready(after).into();
    }
    patch
}

/// The size that the new set may have in a rolling update, given the sizes of all sets together.
pub fn grown(subject: &Subject, total: i32, current: i32) -> i32 {
    if !subject.is_rolling() {
        return subject.replicas;
    }
    let rolling = subject.spec.strategy.as_ref().and_then(|strategy| strategy.rolling_update.as_ref());
    let surge = rolling.and_then(|rolling| rolling.max_surge.as_ref());
    let most = subject.replicas + pods::scaled(surge, subject.replicas, pods::Round::Up);
    if total >= most {
        return current;
    }
    current + (most - total).min(subject.replicas - current)
}

fn note_progress(subject: &Subject, draft: &mut DeploymentStatus, reason: &str, message: String) {
    if subject.has_deadline() {
        let conditions = draft.conditions.get_or_insert_default();
        condition::set(conditions, condition::of_deployment("Progressing", "True", reason, message, subject.now));
    }
}

fn copy_annotations(subject: &Subject, into: &mut BTreeMap<String, String>) {
    for (key, value) in subject.deployment.metadata.annotations.iter().flatten() {
        if !NOT_COPIED.contains(&key.as_str()) {
            into.insert(key.clone(), value.clone());
        }
    }
}

/// A set that becomes the newest again gets the next number; the one it had joins its history.
fn raise_number(annotations: &mut BTreeMap<String, String>, next: i64) {
    let old = annotations.get(REVISION).cloned().unwrap_or_default();
    let Some(old_number) = (if old.is_empty() { Some(0) } else { old.parse::<i64>().ok() }) else { return };
    if old_number >= next {
        return;
    }
    annotations.insert(REVISION.to_owned(), next.to_string());
    if old.is_empty() {
        return;
    }
    let history = annotations.get(REVISION_HISTORY).cloned().unwrap_or_default();
    let mut numbers: Vec<&str> = history.split(',').filter(|number| !number.is_empty()).collect();
    numbers.push(&old);
    while numbers.len() > 1 && numbers.iter().map(|number| number.len() + 1).sum::<usize>() - 1 > HISTORY_MAX {
        numbers.remove(0);
    }
    let joined = numbers.join(",");
    annotations.insert(REVISION_HISTORY.to_owned(), joined);
}

fn is_spent(set: &ReplicaSet) -> bool {
    let status = status(set);
    status.replicas == 0 && size(set) == 0 && set.metadata.generation <= status.observed_generation
}

fn delete(set: &ReplicaSet) -> Act {
    Act::quiet(Change::Delete {
        kind: Kind::ReplicaSet,
        name: pods::name(&set.metadata).to_owned(),
        uid: pods::uid(&set.metadata).to_owned(),
    })
}
