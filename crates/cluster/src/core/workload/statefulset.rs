//! StatefulSet: pods with names that stay, one after the other, each with its own volumes.
//!
//! Decides which pods to create, replace and delete in which order, which claims they need, which revision each gets
//! and what the status says. The rules are those of upstream `pkg/controller/statefulset`.

pub mod claims;
pub mod identity;
mod order;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet, StatefulSetSpec, StatefulSetStatus};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, PodTemplateSpec};

use self::identity::ordinal;
use super::act::{Kind, Note, Pace, Plan};
use super::claim::{Owner, claim};
use super::revision::{self, History, Keeper, REVISION_LABEL, Wanted};
use super::{pods, selector};

/// What the caches say about a stateful set.
pub struct Observed {
    /// The pods of its namespace that it owns or that nobody owns.
    pub pods: Vec<Arc<Pod>>,
    /// The controller revisions of its namespace.
    pub revisions: Vec<Arc<ControllerRevision>>,
    /// The claims of its namespace, by name.
    pub claims: BTreeMap<String, Arc<PersistentVolumeClaim>>,
}

/// What a pass over a stateful set comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// What to do.
    pub plan: Plan,
    /// The status to write, when it differs.
    pub status: Option<StatefulSetStatus>,
}

/// A stateful set with its two revisions.
pub(crate) struct Subject<'a> {
    pub(crate) set: &'a StatefulSet,
    pub(crate) spec: &'a StatefulSetSpec,
    pub(crate) owner: Owner,
    /// The revision that a rolling update comes from.
    pub(crate) current: String,
    /// Its template, where it differs from the wanted one.
    pub(crate) current_template: Option<PodTemplateSpec>,
    /// The revision that a rolling update goes to.
    pub(crate) update: String,
    pub(crate) now: Timestamp,
}

impl Subject<'_> {
    pub(crate) fn namespace(&self) -> &str {
        self.set.metadata.namespace.as_deref().unwrap_or_default()
    }

    pub(crate) fn name(&self) -> &str {
        pods::name(&self.set.metadata)
    }

    pub(crate) fn start(&self) -> i32 {
        self.spec.ordinals.as_ref().and_then(|ordinals| ordinals.start).unwrap_or(0)
    }

    pub(crate) fn replicas(&self) -> i32 {
        self.spec.replicas.unwrap_or(1)
    }

    pub(crate) fn holds_ordinal(&self, ordinal: i32) -> bool {
        ordinal >= self.start() && ordinal < self.start().saturating_add(self.replicas())
    }

    pub(crate) fn is_parallel(&self) -> bool {
        self.spec.pod_management_policy.as_deref() == Some("Parallel")
    }

    pub(crate) fn is_rolling(&self) -> bool {
        let strategy = self.spec.update_strategy.as_ref();
        strategy.and_then(|strategy| strategy.type_.as_deref()) != Some("OnDelete")
    }

    /// Ordinals below this keep the current revision, counted from the first; `None` without a rolling update's
    /// settings.
    pub(crate) fn partition(&self) -> Option<i32> {
        let rolling = self.spec.update_strategy.as_ref()?.rolling_update.as_ref()?;
        Some(rolling.partition.unwrap_or(0))
    }

    pub(crate) fn is_available(&self, pod: &Pod) -> bool {
        pods::is_available(pod, self.spec.min_ready_seconds.unwrap_or(0), self.now)
    }

    pub(crate) fn is_unavailable(&self, pod: &Pod) -> bool {
        !self.is_available(pod) || pods::is_terminating(pod)
    }
}

/// Decides one pass over `set`.
pub fn plan(set: &StatefulSet, observed: &Observed, now: Timestamp) -> Decision {
    let mut decision = Decision { plan: Plan::default(), status: None };
    let Some(spec) = set.spec.as_ref() else { return decision };
    if selector::is_empty(&spec.selector) {
        let message = "This stateful set is selecting all pods. A non-empty selector is required.";
        decision.plan.notes.push(Note::warning("SelectingAll", message));
        return decision;
    }
    let owner = Owner::of(set);
    let name = pods::name(&set.metadata);
    let is_member = |pod: &Pod| identity::parent(pod) == name;
    let selected = |pod: &Pod| is_member(pod) && selector::matches(&spec.selector, pod.metadata.labels.as_ref());
    let mine = claim(&owner, Kind::Pod, &observed.pods, selected);
    let labelled = |one: &ControllerRevision| selector::matches(&spec.selector, one.metadata.labels.as_ref());
    let mut history = claim(&owner, Kind::Revision, &observed.revisions, labelled);
    decision.plan.stage(Pace::AtOnce, mine.acts);
    decision.plan.stage(Pace::AtOnce, history.acts);
    revision::sort(&mut history.mine);
    let taken = |one: &Arc<ControllerRevision>| (pods::name(&one.metadata).to_owned(), one.clone());
    let taken = observed.revisions.iter().map(taken).collect();
    let kept = History {
        keeper: Keeper::StatefulSet,
        owner: &owner,
        meta: &set.metadata,
        template: &spec.template,
        revisions: &history.mine,
        taken: &taken,
        collisions: set.status.as_ref().and_then(|status| status.collision_count).unwrap_or(0),
    };
    let wanted = kept.wanted();
    let subject = subject(set, spec, &owner, &wanted, &history.mine, now);
    let live = live_revisions(&subject, &mine.mine);
    let surplus = kept.surplus(spec.revision_history_limit, &live);
    decision.plan.stage(Pace::InOrder, wanted.act.clone().into_iter().collect());
    let replicas = order::replicas(&subject, &mine.mine);
    if !owner.deleting {
        order::decide(&subject, &replicas, &observed.claims, &mut decision.plan);
    }
    decision.plan.stage(Pace::InOrder, surplus);
    let soon = pods::next_available(mine.mine.iter().map(Arc::as_ref), spec.min_ready_seconds.unwrap_or(0), now);
    decision.plan.look_again(soon);
    decision.status = status(&subject, &mine.mine, wanted.collisions);
    decision
}

fn subject<'a>(
    set: &'a StatefulSet,
    spec: &'a StatefulSetSpec,
    owner: &Owner,
    wanted: &Wanted,
    revisions: &[Arc<ControllerRevision>],
    now: Timestamp,
) -> Subject<'a> {
    let recorded = set.status.as_ref().and_then(|status| status.current_revision.as_deref()).unwrap_or_default();
    let current = revisions.iter().find(|one| pods::name(&one.metadata) == recorded);
    let template = current.filter(|_| recorded != wanted.name).and_then(|one| revision::template(one));
    Subject {
        set,
        spec,
        owner: owner.clone(),
        current: current.map_or_else(|| wanted.name.clone(), |_| recorded.to_owned()),
        current_template: template,
        update: wanted.name.clone(),
        now,
    }
}

fn live_revisions(subject: &Subject, mine: &[Arc<Pod>]) -> BTreeSet<String> {
    let of_pods = mine.iter().map(|pod| pods::label(&pod.metadata, REVISION_LABEL).to_owned());
    of_pods.chain([subject.current.clone(), subject.update.clone()]).collect()
}

fn status(subject: &Subject, mine: &[Arc<Pod>], collisions: i32) -> Option<StatefulSetStatus> {
    let old = subject.set.status.clone().unwrap_or_default();
    let counted: Vec<&Pod> = mine.iter().map(Arc::as_ref).filter(|pod| ordinal(pod).is_some()).collect();
    let created = |pod: &&&Pod| !pods::phase(pod).is_empty();
    let ready = |pod: &&&Pod| pods::phase(pod) == "Running" && pods::is_ready(pod);
    let count = |pods: usize| i32::try_from(pods).unwrap_or(i32::MAX);
    let of_revision = |name: &str| {
        let of = |pod: &&&Pod| !pods::is_terminating(pod) && pods::label(&pod.metadata, REVISION_LABEL) == name;
        count(counted.iter().filter(created).filter(of).count())
    };
    let available = counted.iter().filter(ready).filter(|pod| subject.is_available(pod)).count();
    let mut new = StatefulSetStatus {
        observed_generation: subject.set.metadata.generation,
        replicas: count(counted.iter().filter(created).count()),
        ready_replicas: pods::nonzero(count(counted.iter().filter(ready).count())),
        available_replicas: Some(count(available)),
        current_replicas: pods::nonzero(of_revision(&subject.current)),
        updated_replicas: pods::nonzero(of_revision(&subject.update)),
        current_revision: Some(subject.current.clone()),
        update_revision: Some(subject.update.clone()),
        collision_count: Some(collisions),
        conditions: old.conditions.clone(),
    };
    let full = [new.updated_replicas, new.ready_replicas, Some(new.replicas)];
    if subject.is_rolling() && full.iter().all(|count| count.unwrap_or(0) == subject.replicas()) {
        new.current_replicas = new.updated_replicas;
        new.current_revision.clone_from(&new.update_revision);
    }
    (new != old).then_some(new)
}

#[cfg(test)]
mod tests;
