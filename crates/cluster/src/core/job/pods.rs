//! What a controller asks of a pod: is it active, ready, terminating, failed; when did it finish;
//! which of two is the better one to delete. Answers are read from the pod alone.

use std::cmp::Ordering;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

/// The finalizer that keeps a pod until its job has counted it.
pub const TRACKING_FINALIZER: &str = "batch.kubernetes.io/job-tracking";
/// Annotation and label that carry the completion index of a pod of an Indexed job.
pub const COMPLETION_INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// Annotation that carries how often the index of a pod failed before.
pub const INDEX_FAILURE_COUNT: &str = "batch.kubernetes.io/job-index-failure-count";
/// Annotation that carries how often the index of a pod failed in ways that are not counted.
pub const INDEX_IGNORED_FAILURE_COUNT: &str = "batch.kubernetes.io/job-index-ignored-failure-count";

/// The pod's phase; empty before one is reported.
pub fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// Whether the pod ended in phase Succeeded or Failed.
pub fn is_terminal(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

/// Whether the pod neither ended nor is being deleted.
pub fn is_active(pod: &Pod) -> bool {
    !is_terminal(pod) && pod.metadata.deletion_timestamp.is_none()
}

/// Whether the pod is being deleted and has not ended yet.
pub fn is_terminating(pod: &Pod) -> bool {
    !is_terminal(pod) && pod.metadata.deletion_timestamp.is_some()
}

/// The pod's condition of one type.
pub fn condition<'a>(pod: &'a Pod, type_: &str) -> Option<&'a PodCondition> {
    pod.status.as_ref()?.conditions.as_ref()?.iter().find(|condition| condition.type_ == type_)
}

/// Whether the pod's Ready condition is true.
pub fn is_ready(pod: &Pod) -> bool {
    condition(pod, "Ready").is_some_and(|condition| condition.status == "True")
}

/// The owner that controls the object with these references.
pub fn controller(owners: &Option<Vec<OwnerReference>>) -> Option<&OwnerReference> {
    owners.as_ref()?.iter().find(|owner| owner.controller == Some(true))
}

/// Whether the pod still carries the job tracking finalizer.
pub fn is_tracked(pod: &Pod) -> bool {
    pod.metadata.finalizers.as_ref().is_some_and(|all| all.iter().any(|name| name == TRACKING_FINALIZER))
}

/// The completion index that the pod was made for.
pub fn completion_index(pod: &Pod) -> Option<usize> {
    pod.metadata.annotations.as_ref()?.get(COMPLETION_INDEX)?.parse().ok()
}

/// A count kept in an annotation; 0 where it is absent or not a count.
pub fn annotated_count(pod: &Pod, annotation: &str) -> i32 {
    let text = pod.metadata.annotations.as_ref().and_then(|all| all.get(annotation));
    text.and_then(|text| text.parse().ok()).filter(|count: &i32| *count >= 0).unwrap_or(0)
}

/// How often the pod's index failed before, counted or not.
pub fn absolute_failures(pod: &Pod) -> i32 {
    annotated_count(pod, INDEX_FAILURE_COUNT).saturating_add(annotated_count(pod, INDEX_IGNORED_FAILURE_COUNT))
}

/// Whether the job replaces a pod only once it has failed, not already while it terminates.
pub fn replaces_failed_only(job: &Job) -> bool {
    job.spec.as_ref().is_some_and(|spec| {
        spec.pod_failure_policy.is_some() || spec.pod_replacement_policy.as_deref() == Some("Failed")
    })
}

/// Whether the job counts the pod as failed: it did fail, or it is going away unfinished and the job
/// does not wait for it.
pub fn is_failed(pod: &Pod, job: &Job) -> bool {
    match phase(pod) {
        "Failed" => true,
        "Succeeded" => false,
        _ => pod.metadata.deletion_timestamp.is_some() && !replaces_failed_only(job),
    }
}

/// When the pod finished: the end of its last container, else when it stopped being ready, else when
/// it was asked to go, else its creation.
pub fn finished_at(pod: &Pod) -> Option<Timestamp> {
    containers_finished_at(pod)
        .or_else(|| {
            let ready = condition(pod, "Ready").filter(|ready| ready.status == "False")?;
            ready.last_transition_time.as_ref().map(|time| time.0)
        })
        .or_else(|| {
            let deleted = pod.metadata.deletion_timestamp.as_ref()?.0;
            let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
            deleted.checked_sub(jiff::SignedDuration::from_secs(grace)).ok()
        })
        .or_else(|| pod.metadata.creation_timestamp.as_ref().map(|time| time.0))
}

fn containers_finished_at(pod: &Pod) -> Option<Timestamp> {
    let status = pod.status.as_ref()?;
    let spec = pod.spec.as_ref()?;
    let is_sidecar = |name: &str| {
        let mut all = spec.init_containers.iter().flatten();
        all.any(|container| container.name == name && container.restart_policy.as_deref() == Some("Always"))
    };
    let sidecars = status.init_container_statuses.iter().flatten().filter(|status| is_sidecar(&status.name));
    let mut latest = None;
    for container in status.container_statuses.iter().flatten().chain(sidecars) {
        let finished = container.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref()?.0;
        latest = latest.max(Some(finished));
    }
    latest
}

/// Orders pods so that the better ones to delete come first: unscheduled, then pending, then not
/// ready, then ready for less time, then restarted more, then younger.
pub fn deletion_order(left: &Pod, right: &Pod) -> Ordering {
    let scheduled = |pod: &Pod| {
        pod.spec.as_ref().is_some_and(|spec| spec.node_name.as_deref().is_some_and(|name| !name.is_empty()))
    };
    let rank = |pod: &Pod| match phase(pod) {
        "Pending" | "" => 0,
        "Running" => 2,
        _ => 1,
    };
    let ready_since = |pod: &Pod| {
        let ready = condition(pod, "Ready").filter(|ready| ready.status == "True")?;
        ready.last_transition_time.as_ref().map(|time| time.0)
    };
    let created = |pod: &Pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
    scheduled(left)
        .cmp(&scheduled(right))
        .then_with(|| rank(left).cmp(&rank(right)))
        .then_with(|| is_ready(left).cmp(&is_ready(right)))
        .then_with(|| ready_since(right).cmp(&ready_since(left)))
        .then_with(|| max_restarts(right).cmp(&max_restarts(left)))
        .then_with(|| created(right).cmp(&created(left)))
        .then_with(|| left.metadata.name.cmp(&right.metadata.name))
}

fn max_restarts(pod: &Pod) -> i32 {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    statuses.into_iter().flatten().map(|status| status.restart_count).max().unwrap_or(0)
}

/// All container statuses of a pod: regular containers, then init containers.
pub fn container_statuses(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.as_ref();
    let regular = status.and_then(|status| status.container_statuses.as_ref()).into_iter().flatten();
    regular.chain(status.and_then(|status| status.init_container_statuses.as_ref()).into_iter().flatten())
}
