//! Deployment: replica sets by revision, and how pods move from the old ones to the new one.
//!
//! Decides the size of every replica set (rolling update, recreate, proportional scaling), the revisions, the clean-up
//! of old ones and the status with its conditions. Never touches pods: that is the replica set's business. The
//! arithmetic follows upstream `pkg/controller/deployment`.

mod progress;
mod rollout;
mod sets;

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStatus, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use self::sets::{REVISION, Sets};
use super::act::{Act, Change, Kind, Note, Pace, Plan};
use super::claim::{Owner, claim};
use super::condition;
use super::pods::{self, Round, scaled};
use super::selector;

/// What the caches say about a deployment.
pub struct Observed {
    /// The replica sets of its namespace that it owns or that nobody owns, and any that bears the name of the next.
    pub sets: Vec<Arc<ReplicaSet>>,
    /// The pods of its replica sets; asked only by `Recreate`.
    pub pods: Vec<Arc<Pod>>,
}

/// What a pass over a deployment comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// What to do.
    pub plan: Plan,
    /// The status to write, when it differs.
    pub status: Option<DeploymentStatus>,
    /// The replica set that the plan creates.
    pub creates: Option<String>,
}

/// The deployment with the defaults of its spec applied.
pub(crate) struct Subject<'a> {
    deployment: &'a Deployment,
    spec: &'a DeploymentSpec,
    replicas: i32,
    now: Timestamp,
}

impl Subject<'_> {
    fn name(&self) -> &str {
        pods::name(&self.deployment.metadata)
    }

    fn is_rolling(&self) -> bool {
        let strategy = self.spec.strategy.as_ref();
        strategy.and_then(|strategy| strategy.type_.as_deref()) != Some("Recreate")
    }

    /// How many pods above the wanted number, and how many below, a rolling update may go.
    fn fenceposts(&self) -> (i32, i32) {
        if !self.is_rolling() {
            return (0, 0);
        }
        let rolling = self.spec.strategy.as_ref().and_then(|strategy| strategy.rolling_update.as_ref());
        let surge = scaled(rolling.and_then(|rolling| rolling.max_surge.as_ref()), self.replicas, Round::Up);
        let unavailable = rolling.and_then(|rolling| rolling.max_unavailable.as_ref());
        match (surge, scaled(unavailable, self.replicas, Round::Down)) {
            (0, 0) => (0, 1),
            posts => posts,
        }
    }

    fn max_surge(&self) -> i32 {
        self.fenceposts().0
    }

    fn max_unavailable(&self) -> i32 {
        if self.replicas == 0 { 0 } else { self.fenceposts().1.min(self.replicas) }
    }

    fn has_deadline(&self) -> bool {
        self.spec.progress_deadline_seconds.is_some_and(|seconds| seconds != i32::MAX)
    }

    fn is_paused(&self) -> bool {
        self.spec.paused == Some(true)
    }
}

/// Decides one pass over `deployment`.
pub fn plan(deployment: &Deployment, observed: &Observed, now: Timestamp) -> Decision {
    let mut decision = Decision { plan: Plan::default(), status: None, creates: None };
    let Some(spec) = deployment.spec.as_ref() else {
        return decision;
    };
    let subject = Subject { deployment, spec, replicas: spec.replicas.unwrap_or(1), now };
    if selector::is_empty(&spec.selector) {
        return selects_all(&subject);
    }
    let owner = Owner::of(deployment);
    let matches = |set: &ReplicaSet| selector::matches(&spec.selector, set.metadata.labels.as_ref());
    let claimed = claim(&owner, Kind::ReplicaSet, &observed.sets, matches);
    decision.plan.stage(Pace::AtOnce, claimed.acts);
    let mut draft = deployment.status.clone().unwrap_or_default();
    let mut sets = Sets::new(claimed.mine, &spec.template);
    if owner.deleting {
        decision.status = progress::plain_status(&subject, &sets, draft);
        return decision;
    }
    note_pause(&subject, &mut draft);
    let rolls = !subject.is_paused() && !is_scaling(&subject, &sets);
    let may_create = rolls && (subject.is_rolling() || rollout::recreate_is_clear(&sets, &observed.pods));
    if let Some(taken) = sets.settle_revision(&subject, &owner, &observed.sets, &mut draft, may_create) {
        decision.status = Some(collided(draft, taken));
        return decision;
    }
    if rolls {
        rollout::roll(&subject, &mut sets, &observed.pods);
    } else {
        rollout::scale(&subject, &mut sets);
    }
    decision.creates = sets.created_name();
    let complete = progress::is_complete(&subject, &deployment.status.clone().unwrap_or_default());
    let clean = if rolls { complete } else { subject.is_paused() };
    let doomed = if clean { sets.surplus(spec.revision_history_limit) } else { Vec::new() };
    let revision = sets.revision();
    decision.plan.stage(Pace::InOrder, sets.acts());
    decision.plan.stage(Pace::InOrder, doomed);
    decision.plan.stage(Pace::InOrder, label_revision(deployment, revision).into_iter().collect());
    decision.status = if rolls {
        progress::rollout_status(&subject, &sets, draft, &mut decision.plan)
    } else {
        progress::plain_status(&subject, &sets, draft)
    };
    decision
}

/// The status after the plan's replica set could not be created.
pub fn creation_failed(
    deployment: &Deployment,
    mut status: DeploymentStatus,
    set: &str,
    error: &str,
    now: Timestamp,
) -> DeploymentStatus {
    let deadline = deployment.spec.as_ref().and_then(|spec| spec.progress_deadline_seconds);
    if deadline.is_some_and(|seconds| seconds != i32::MAX) {
        let message = format!("Failed to create new replica set {set:?}: {error}");
        let failed = condition::of_deployment("Progressing", "False", "ReplicaSetCreateError", message, now);
        let mut conditions = status.conditions.take().unwrap_or_default();
        condition::set(&mut conditions, failed);
        status.conditions = Some(conditions);
    }
    status
}

fn selects_all(subject: &Subject) -> Decision {
    let mut plan = Plan::default();
    let message = "This deployment is selecting all pods. A non-empty selector is required.";
    plan.notes.push(Note::warning("SelectingAll", message));
    let old = subject.deployment.status.clone().unwrap_or_default();
    let generation = subject.deployment.metadata.generation;
    let status =
        (old.observed_generation < generation).then_some(DeploymentStatus { observed_generation: generation, ..old });
    Decision { plan, status, creates: None }
}

/// A hash that another replica set bears already: the next pass tries with a higher count.
fn collided(draft: DeploymentStatus, taken: i32) -> DeploymentStatus {
    DeploymentStatus { collision_count: Some(taken + 1), ..draft }
}

/// While paused, progress is unknown, so that a deadline does not expire on resumption.
fn note_pause(subject: &Subject, draft: &mut DeploymentStatus) {
    if !subject.has_deadline() {
        return;
    }
    let mut conditions = draft.conditions.take().unwrap_or_default();
    let reason = condition::find(&conditions, "Progressing").and_then(|one| one.reason.clone()).unwrap_or_default();
    let paused = reason == "DeploymentPaused";
    let change = match (subject.is_paused(), paused, reason.as_str()) {
        (_, _, "ProgressDeadlineExceeded") => None,
        (true, false, _) => Some(("DeploymentPaused", "Deployment is paused")),
        (false, true, _) => Some(("DeploymentResumed", "Deployment is resumed")),
        _ => None,
    };
    if let Some((reason, message)) = change {
        let unknown = condition::of_deployment("Progressing", "Unknown", reason, message, subject.now);
        condition::set(&mut conditions, unknown);
    }
    draft.conditions = (!conditions.is_empty()).then_some(conditions);
}

/// Whether a replica set that has pods was sized for another number of replicas.
fn is_scaling(subject: &Subject, sets: &Sets) -> bool {
    sets.all().any(|set| sets::size(set) > 0 && sets::desired(set).is_some_and(|desired| desired != subject.replicas))
}

/// The deployment carries the number of its newest replica set.
fn label_revision(deployment: &Deployment, revision: Option<String>) -> Option<Act> {
    let revision = revision?;
    let current = deployment.metadata.annotations.as_ref().and_then(|all| all.get(REVISION));
    (current != Some(&revision)).then(|| {
        let patch = json!({ "metadata": { "annotations": { REVISION: revision } } });
        Act::quiet(Change::Merge { kind: Kind::Deployment, name: pods::name(&deployment.metadata).to_owned(), patch })
    })
}

#[cfg(test)]
mod tests;
