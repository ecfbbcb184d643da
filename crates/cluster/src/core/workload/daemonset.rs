//! DaemonSet: one pod on every node that it fits.
//!
//! Decides on which nodes a pod is missing, superfluous or outdated, how an update goes through the nodes, which
//! revision is current and what the status says. The rules are those of upstream `pkg/controller/daemon`.

pub mod fit;
mod manage;
mod update;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, DaemonSetSpec, DaemonSetStatus};
use k8s_openapi::api::core::v1::{Node, Pod, PodTemplateSpec};
use serde_json::json;

use super::act::{Act, Change, Kind, Note, Pace, Plan};
use super::claim::{Owner, claim};
use super::revision::{self, History, Keeper, REVISION_LABEL};
use super::{pods, selector};

/// The annotation and label of the time before revisions; a pod that bears the set's number counts as updated.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";
const POD_TEMPLATE_GENERATION: &str = "pod-template-generation";

/// What the caches say about a daemon set.
pub struct Observed {
    /// The pods of its namespace that it owns or that nobody owns.
    pub pods: Vec<Arc<Pod>>,
    /// All nodes.
    pub nodes: Vec<Arc<Node>>,
    /// The controller revisions of its namespace.
    pub revisions: Vec<Arc<ControllerRevision>>,
    /// Nodes on which a failed pod was deleted not long ago, with the time until the next may be.
    pub resting: BTreeMap<String, Duration>,
}

/// What a pass over a daemon set comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// What to do.
    pub plan: Plan,
    /// The status to write, when it differs.
    pub status: Option<DaemonSetStatus>,
    /// Nodes on which the plan deletes a failed pod, for the caller to let rest.
    pub failed_on: Vec<String>,
}

/// A daemon set with its pods by node.
pub(crate) struct Subject<'a> {
    pub(crate) set: &'a DaemonSet,
    pub(crate) spec: &'a DaemonSetSpec,
    pub(crate) owner: Owner,
    pub(crate) nodes: &'a [Arc<Node>],
    pub(crate) by_node: BTreeMap<String, Vec<Arc<Pod>>>,
    pub(crate) hash: String,
    pub(crate) generation: Option<String>,
    pub(crate) now: Timestamp,
}

impl Subject<'_> {
    pub(crate) fn is_updated(&self, pod: &Pod) -> bool {
        let by_generation = self
            .generation
            .as_deref()
            .is_some_and(|generation| pods::label(&pod.metadata, POD_TEMPLATE_GENERATION) == generation);
        by_generation || !self.hash.is_empty() && pods::label(&pod.metadata, REVISION_LABEL) == self.hash
    }

    pub(crate) fn is_available(&self, pod: &Pod) -> bool {
        pods::is_available(pod, self.spec.min_ready_seconds.unwrap_or(0), self.now)
    }

    pub(crate) fn is_rolling(&self) -> bool {
        let strategy = self.spec.update_strategy.as_ref();
        strategy.and_then(|strategy| strategy.type_.as_deref()) != Some("OnDelete")
    }

    pub(crate) fn pods_on(&self, node: &str) -> &[Arc<Pod>] {
        self.by_node.get(node).map(Vec::as_slice).unwrap_or_default()
    }
}

/// Decides one pass over `set`.
pub fn plan(set: &DaemonSet, observed: &Observed, now: Timestamp) -> Decision {
    let mut decision = Decision { plan: Plan::default(), status: None, failed_on: Vec::new() };
    let Some(spec) = set.spec.as_ref() else { return decision };
    if selector::is_empty(&spec.selector) {
        let message = "This daemon set is selecting all pods. A non-empty selector is required.";
        decision.plan.notes.push(Note::warning("SelectingAll", message));
        return decision;
    }
    let owner = Owner::of(set);
    if owner.deleting {
        return decision;
    }
    let selected = |pod: &Pod| selector::matches(&spec.selector, pod.metadata.labels.as_ref());
    let claimed = claim(&owner, Kind::Pod, &observed.pods, selected);
    let labelled = |one: &ControllerRevision| selector::matches(&spec.selector, one.metadata.labels.as_ref());
    let mut history = claim(&owner, Kind::Revision, &observed.revisions, labelled);
    decision.plan.stage(Pace::AtOnce, claimed.acts);
    decision.plan.stage(Pace::AtOnce, history.acts);
    revision::sort(&mut history.mine);
    let kept = merge_duplicates(spec, &history.mine, &claimed.mine, &mut decision.plan);
    let taken = observed.revisions.iter().map(|one| (pods::name(&one.metadata).to_owned(), one.clone())).collect();
    let history = History {
        keeper: Keeper::DaemonSet,
        owner: &owner,
        meta: &set.metadata,
        template: &spec.template,
        revisions: &kept,
        taken: &taken,
        collisions: set.status.as_ref().and_then(|status| status.collision_count).unwrap_or(0),
    };
    let wanted = history.wanted();
    decision.plan.stage(Pace::InOrder, wanted.act.clone().into_iter().collect());
    let subject = Subject {
        set,
        spec,
        owner: owner.clone(),
        nodes: &observed.nodes,
        by_node: by_node(&claimed.mine),
        hash: wanted.hash.clone(),
        generation: set.metadata.annotations.as_ref().and_then(|all| all.get(TEMPLATE_GENERATION)).cloned(),
        now,
    };
    decision.failed_on = manage::manage(&subject, &observed.resting, &mut decision.plan);
    // As upstream does, an update waits until nothing else is under way.
    let busy = decision.plan.changes().any(is_about_pods);
    if subject.is_rolling() && !busy {
        update::update(&subject, &mut decision.plan);
    }
    decision.plan.stage(Pace::InOrder, surplus(&history, spec.revision_history_limit, &wanted.name, &claimed.mine));
    let soon = pods::next_available(claimed.mine.iter().map(Arc::as_ref), spec.min_ready_seconds.unwrap_or(0), now);
    decision.plan.look_again(soon);
    decision.status = status(&subject, wanted.collisions);
    decision
}

fn is_about_pods(change: &Change) -> bool {
    matches!(change, Change::Create(super::act::New::Pod(_)) | Change::Delete { kind: Kind::Pod, .. })
}

/// Pods by the node that they are on or bound for.
fn by_node(mine: &[Arc<Pod>]) -> BTreeMap<String, Vec<Arc<Pod>>> {
    let mut by_node: BTreeMap<String, Vec<Arc<Pod>>> = BTreeMap::new();
    for pod in mine.iter().filter(|pod| !(pods::is_finished(pod) && pods::is_terminating(pod))) {
        if let Some(node) = fit::target_node(pod) {
            by_node.entry(node.to_owned()).or_default().push(pod.clone());
        }
    }
    for pods in by_node.values_mut() {
        pods.sort_by(|one, other| {
            let key = |pod: &Pod| {
                let created = pod.metadata.creation_timestamp.clone().map(|time| time.0);
                (pods::node_name(pod).is_empty(), created, pods::name(&pod.metadata).to_owned())
            };
            key(one).cmp(&key(other))
        });
    }
    by_node
}

/// Of several revisions with the wanted template the newest stays; pods of the others are relabelled.
fn merge_duplicates(
    spec: &DaemonSetSpec,
    revisions: &[Arc<ControllerRevision>],
    mine: &[Arc<Pod>],
    plan: &mut Plan,
) -> Vec<Arc<ControllerRevision>> {
    let data = revision::data(&spec.template);
    let same: Vec<&Arc<ControllerRevision>> = revisions.iter().filter(|one| revision::holds(one, &data)).collect();
    let Some((keep, others)) = same.split_last().filter(|(_, others)| !others.is_empty()) else {
        return revisions.to_vec();
    };
    let hash = pods::label(&keep.metadata, REVISION_LABEL);
    let stale = |pod: &&Arc<Pod>| {
        let label = pods::label(&pod.metadata, REVISION_LABEL);
        label != hash && others.iter().any(|one| pods::label(&one.metadata, REVISION_LABEL) == label)
    };
    let relabel = |pod: &Arc<Pod>| {
        let patch = json!({ "metadata": { "labels": { REVISION_LABEL: hash } } });
        Act::quiet(Change::Merge { kind: Kind::Pod, name: pods::name(&pod.metadata).to_owned(), patch })
    };
    plan.stage(Pace::InOrder, mine.iter().filter(stale).map(relabel).collect());
    plan.stage(Pace::InOrder, others.iter().map(|one| revision::delete(one)).collect());
    let gone = |one: &Arc<ControllerRevision>| others.iter().any(|other| other.metadata.name == one.metadata.name);
    revisions.iter().filter(|one| !gone(one)).cloned().collect()
}

/// Old revisions beyond the limit that no pod is of. Unlike a stateful set's, revisions in use count towards the limit.
fn surplus(history: &History, limit: Option<i32>, wanted: &str, mine: &[Arc<Pod>]) -> Vec<Act> {
    let old = history.revisions.iter().filter(|one| pods::name(&one.metadata) != wanted);
    let old: Vec<&Arc<ControllerRevision>> = old.collect();
    let keep = usize::try_from(limit.unwrap_or(10)).unwrap_or(0);
    let in_use = |one: &&Arc<ControllerRevision>| {
        let hash = pods::label(&one.metadata, REVISION_LABEL);
        mine.iter().any(|pod| pods::label(&pod.metadata, REVISION_LABEL) == hash)
    };
    let count = old.len().saturating_sub(keep);
    old.into_iter().filter(|one| !in_use(one)).take(count).map(|one| revision::delete(one)).collect()
}

/// The template of the set's pods: its own, with the tolerations of daemons and the labels of its revision.
pub(crate) fn pod_template(subject: &Subject) -> PodTemplateSpec {
    let mut template = subject.spec.template.clone();
    let labels = template.metadata.get_or_insert_default().labels.get_or_insert_default();
    labels.insert(REVISION_LABEL.to_owned(), subject.hash.clone());
    if let Some(generation) = &subject.generation {
        labels.insert(POD_TEMPLATE_GENERATION.to_owned(), generation.clone());
    }
    fit::add_tolerations(template.spec.get_or_insert_default());
    template
}

fn status(subject: &Subject, collisions: i32) -> Option<DaemonSetStatus> {
    let old = subject.set.status.clone().unwrap_or_default();
    let (mut desired, mut current, mut misscheduled, mut ready, mut updated, mut available) = (0, 0, 0, 0, 0, 0);
    for node in subject.nodes {
        let fits = fit::fit(&subject.spec.template, node).should_run;
        let first = subject.pods_on(pods::name(&node.metadata)).first();
        desired += i32::from(fits);
        let Some(pod) = first else { continue };
        if !fits {
            misscheduled += 1;
            continue;
        }
        current += 1;
        ready += i32::from(pods::is_ready(pod));
        available += i32::from(subject.is_available(pod));
        updated += i32::from(subject.is_updated(pod));
    }
    let new = DaemonSetStatus {
        observed_generation: subject.set.metadata.generation,
        desired_number_scheduled: desired,
        current_number_scheduled: current,
        number_misscheduled: misscheduled,
        number_ready: ready,
        updated_number_scheduled: pods::nonzero(updated),
        number_available: pods::nonzero(available),
        number_unavailable: pods::nonzero(desired - available),
        collision_count: pods::nonzero(collisions).or(old.collision_count),
        conditions: old.conditions.clone(),
    };
    (new != old || subject.set.status.is_none()).then_some(new)
}

#[cfg(test)]
mod tests;
