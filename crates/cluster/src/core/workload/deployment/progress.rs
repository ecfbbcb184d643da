//! A deployment's status: counts, and the conditions Available, Progressing and ReplicaFailure.

use std::time::Duration;

use jiff::SignedDuration;
use k8s_openapi::api::apps::v1::{DeploymentCondition, DeploymentStatus, ReplicaSet};

use super::Subject;
use super::sets::{Sets, available, size, status};
use crate::core::workload::act::Plan;
use crate::core::workload::condition::{self, find, of_deployment, remove, set};
use crate::core::workload::pods::{self, nonzero};

/// Whether every pod is of the new revision and available.
pub fn is_complete(subject: &Subject, status: &DeploymentStatus) -> bool {
    let wanted = subject.replicas;
    let reached = [status.updated_replicas, status.replicas, status.available_replicas];
    reached.iter().all(|count| count.unwrap_or(0) == wanted)
        && status.observed_generation >= subject.deployment.metadata.generation
}

/// The status of a pass that does not roll; `None` when it stands already.
pub fn plain_status(subject: &Subject, sets: &Sets, draft: DeploymentStatus) -> Option<DeploymentStatus> {
    changed(subject, counted(subject, sets, draft))
}

/// The status of a pass that rolls; `None` when it stands already, and then the plan says when the deadline is due.
pub fn rollout_status(
    subject: &Subject,
    sets: &Sets,
    draft: DeploymentStatus,
    plan: &mut Plan,
) -> Option<DeploymentStatus> {
    let draft_conditions = draft.conditions.clone().unwrap_or_default();
    let current = find(&draft_conditions, "Progressing").cloned();
    let mut new = counted(subject, sets, draft);
    let mut conditions = new.conditions.take().unwrap_or_default();
    if !subject.has_deadline() {
        remove(&mut conditions, "Progressing");
    } else if !was_complete(&new, current.as_ref()) {
        judge_progress(subject, sets, &new, current, &mut conditions);
    }
    match replica_failure(sets) {
        Some(failure) => set(&mut conditions, failure),
        None => remove(&mut conditions, "ReplicaFailure"),
    }
    new.conditions = (!conditions.is_empty()).then_some(conditions);
    let status = changed(subject, new);
    let standing = status.as_ref().or(subject.deployment.status.as_ref());
    plan.look_again(standing.and_then(|standing| until_deadline(subject, standing)));
    status
}

fn changed(subject: &Subject, new: DeploymentStatus) -> Option<DeploymentStatus> {
    (subject.deployment.status.as_ref() != Some(&new)).then_some(new)
}

fn counted(subject: &Subject, sets: &Sets, draft: DeploymentStatus) -> DeploymentStatus {
    let sum = |count: fn(&ReplicaSet) -> i32| sets.all().map(count).sum::<i32>();
    let available = sum(available);
    let mut conditions = draft.conditions.unwrap_or_default();
    let enough = available >= subject.replicas - subject.max_unavailable();
    let (status_, reason, message) = if enough {
        ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    } else {
        ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    };
    set(&mut conditions, of_deployment("Available", status_, reason, message, subject.now));
    DeploymentStatus {
        observed_generation: subject.deployment.metadata.generation,
        replicas: nonzero(sum(|set| status(set).replicas)),
        updated_replicas: nonzero(sets.new_set().map_or(0, |set| status(set).replicas)),
        ready_replicas: nonzero(sum(|set| status(set).ready_replicas.unwrap_or(0))),
        available_replicas: nonzero(available),
        unavailable_replicas: nonzero((sum(size) - available).max(0)),
        collision_count: draft.collision_count,
        conditions: Some(conditions),
        terminating_replicas: None,
    }
}

/// Whether the rollout had ended before: then the number of pods may differ for other reasons, such as scaling.
fn was_complete(new: &DeploymentStatus, current: Option<&DeploymentCondition>) -> bool {
    let reason = current.and_then(|one| one.reason.as_deref());
    new.replicas == new.updated_replicas && reason == Some("NewReplicaSetAvailable")
}

fn judge_progress(
    subject: &Subject,
    sets: &Sets,
    new: &DeploymentStatus,
    current: Option<DeploymentCondition>,
    conditions: &mut Vec<DeploymentCondition>,
) {
    let subject_name = match sets.new_set() {
        Some(set) => format!("ReplicaSet {:?}", pods::name(&set.metadata)),
        None => format!("Deployment {:?}", subject.name()),
    };
    let progressing = |status: &str, reason: &str, what: &str| {
        of_deployment("Progressing", status, reason, format!("{subject_name} {what}."), subject.now)
    };
    if is_complete(subject, new) {
        set(conditions, progressing("True", "NewReplicaSetAvailable", "has successfully progressed"));
    } else if has_moved(subject, new) {
        let mut moved = progressing("True", "ReplicaSetUpdated", "is progressing");
        if let Some(current) = current {
            if current.status == "True" {
                moved.last_transition_time = current.last_transition_time;
            }
            remove(conditions, "Progressing");
        }
        set(conditions, moved);
    } else if is_timed_out(subject, conditions) {
        set(conditions, progressing("False", "ProgressDeadlineExceeded", "has timed out progressing"));
    }
}

/// Whether the rollout came closer to its end since the last status.
fn has_moved(subject: &Subject, new: &DeploymentStatus) -> bool {
    let old = subject.deployment.status.clone().unwrap_or_default();
    let of_old_sets = |status: &DeploymentStatus| status.replicas.unwrap_or(0) - status.updated_replicas.unwrap_or(0);
    new.updated_replicas.unwrap_or(0) > old.updated_replicas.unwrap_or(0)
        || of_old_sets(new) < of_old_sets(&old)
        || new.ready_replicas.unwrap_or(0) > old.ready_replicas.unwrap_or(0)
        || new.available_replicas.unwrap_or(0) > old.available_replicas.unwrap_or(0)
}

fn deadline(subject: &Subject) -> SignedDuration {
    SignedDuration::from_secs(subject.spec.progress_deadline_seconds.unwrap_or(600).into())
}

fn is_timed_out(subject: &Subject, conditions: &[DeploymentCondition]) -> bool {
    let Some(current) = find(conditions, "Progressing") else { return false };
    match current.reason.as_deref() {
        Some("NewReplicaSetAvailable") => false,
        Some("ProgressDeadlineExceeded") => true,
        _ => {
            let since = current.last_update_time.as_ref().map(|time| time.0).unwrap_or_default();
            subject.now.duration_since(since) > deadline(subject)
        }
    }
}

/// Until the deadline is certainly over; conditions carry whole seconds, so one more.
fn until_deadline(subject: &Subject, status: &DeploymentStatus) -> Option<Duration> {
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let current = find(conditions, "Progressing")?;
    let over = current.reason.as_deref() == Some("ProgressDeadlineExceeded");
    if !subject.has_deadline() || over || is_complete(subject, status) {
        return None;
    }
    let since = current.last_update_time.as_ref().map(|time| time.0)?;
    let left = deadline(subject) - subject.now.duration_since(since);
    Some(Duration::try_from(left).unwrap_or_default() + Duration::from_secs(1))
}

/// The first `ReplicaFailure` of the new set, or else of any.
fn replica_failure(sets: &Sets) -> Option<DeploymentCondition> {
    let failure = |set: &ReplicaSet| {
        let conditions = set.status.iter().flat_map(|status| status.conditions.iter().flatten());
        conditions.into_iter().find(|one| one.type_ == "ReplicaFailure").map(condition::repeated)
    };
    sets.new_set().and_then(failure).or_else(|| sets.all().find_map(failure))
}
