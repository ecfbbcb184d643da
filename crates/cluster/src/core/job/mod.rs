//! What to do about a Job: which pods to adopt, create, delete and count, and its next status.
//!
//! Behaves as `pkg/controller/job` of Kubernetes 1.34. A terminated pod is counted in three steps,
//! one write each, so that a crash between any two never loses or doubles a count: its UID goes into
//! `status.uncountedTerminatedPods`; its finalizer is removed; its UID moves into a counter. Succeeded
//! pods of Indexed jobs need no UID: the set of completed indexes cannot count one twice. The plan
//! never talks to a server; its parts are carried out in the order in which [`Plan`] lists them.

pub mod backoff;
pub mod build;
mod conditions;
mod counting;
pub mod intervals;
mod manage;
pub mod pods;
pub mod policy;
mod snapshot;
pub mod ttl;

#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobCondition, JobSpec, JobStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use self::backoff::Backoff;
use self::conditions::Verdict;
use self::snapshot::Snapshot;
use crate::core::workload::selector;

/// At most this many pods are created or deleted in one pass, so that a large job starves no other.
pub const MAX_POD_CHANGES: usize = 500;
/// At most this many UIDs wait in the status to be counted: 20 KB of them.
pub const MAX_UNCOUNTED: usize = 500;
/// The value of `spec.managedBy` that means this controller.
pub const CONTROLLER_NAME: &str = "kubernetes.io/job-controller";

/// Something to tell the user about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub warning: bool,
    pub reason: String,
    pub note: String,
}

impl Event {
    /// A `Normal` event.
    pub fn normal(reason: &str, note: impl Into<String>) -> Self {
        Self { warning: false, reason: reason.to_owned(), note: note.into() }
    }

    /// A `Warning` event.
    pub fn warning(reason: &str, note: impl Into<String>) -> Self {
        Self { warning: true, reason: reason.to_owned(), note: note.into() }
    }
}

/// A pod by name, and by UID so that no namesake is meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodRef {
    pub name: String,
    pub uid: String,
}

impl PodRef {
    /// The reference to a pod.
    pub fn of(pod: &Pod) -> Self {
        let metadata = &pod.metadata;
        Self { name: metadata.name.clone().unwrap_or_default(), uid: metadata.uid.clone().unwrap_or_default() }
    }
}

/// A change of ownership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Add the job's controller reference and the tracking finalizer.
    Adopt(PodRef),
    /// Remove the job's reference and the tracking finalizer.
    Release(PodRef),
}

/// A pod to delete; `untrack` says to remove the tracking finalizer first, as the pod is not counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deletion {
    pub pod: PodRef,
    pub untrack: bool,
}

/// What is known when a job is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    /// The pods of the job's namespace that it controls, or that nobody controls.
    pub pods: &'a [&'a Pod],
    /// The record that the previous plan returned; none at first sight of the job.
    pub backoff: Option<Backoff>,
}

/// What to do, in this order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    pub claims: Vec<Claim>,
    pub delete: Vec<Deletion>,
    /// Pods to create. Each that could not be created is to be taken off `status.active`.
    pub create: Vec<Pod>,
    /// The status to write, where it differs from the one that stands.
    pub status: Option<JobStatus>,
    /// Pods whose tracking finalizer is to be removed once the status is written.
    pub untrack: Vec<PodRef>,
    pub events: Vec<Event>,
    /// To be handed back at the next pass, once the status is written.
    pub backoff: Backoff,
    /// Look again after this long even if nothing changes.
    pub again: Option<Duration>,
}

/// Whether the job is Complete or Failed.
pub fn is_finished(job: &Job) -> bool {
    conditions::is_finished(job)
}

/// The job's condition of one type, where it is true.
pub fn true_condition<'a>(job: &'a Job, type_: &str) -> Option<&'a JobCondition> {
    job.status.as_ref().and_then(|status| conditions::find(status, type_))
}

/// Decides about one job. A job that somebody else manages, or one whose spec is not readable, gets
/// an empty plan.
pub fn plan(job: &Job, observed: &Observed, now: Timestamp) -> Plan {
    let Some(spec) = &job.spec else { return Plan::default() };
    if spec.managed_by.as_deref().is_some_and(|manager| manager != CONTROLLER_NAME) {
        return Plan::default();
    }
    if conditions::is_finished(job) {
        return finished_plan(job, observed);
    }
    if !matches!(spec.completion_mode.as_deref(), None | Some("NonIndexed" | "Indexed")) {
        let note = "Skipped Job sync because completion mode is unknown";
        return Plan { events: vec![Event::warning("UnknownCompletionMode", note)], ..Plan::default() };
    }
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let mut plan = Plan::default();
    let (claims, pods) = claim(job, spec, observed.pods);
    plan.claims = claims;
    let snapshot = Snapshot::new(job, spec, &pods, observed.backoff);
    decide(&snapshot, now, &mut plan);
    plan
}

/// The heart of a pass: the verdict, then pods to make or remove, then the counting, then the status.
fn decide(snapshot: &Snapshot, now: Timestamp, plan: &mut Plan) {
    let job = snapshot.job;
    let before = job.status.clone().unwrap_or_default();
    let mut status = before.clone();
    let suspended = snapshot.suspended();
    // The clock of a job that is being resumed starts anew, before its deadline is looked at.
    let resumed = conditions::find(&status, "Suspended").is_some();
    if (status.start_time.is_none() || resumed) && !suspended {
        status.start_time = Some(Time(now));
    }
    plan.backoff = snapshot.backoff;
    let mut verdict = conditions::verdict(snapshot, &status, now);
    let mut tally = snapshot.tally;
    match verdict {
        Verdict::Open { deadline } => {
            plan.again = deadline;
            if job.metadata.deletion_timestamp.is_none() {
                manage::manage(snapshot, now, &mut tally, plan);
            }
            if conditions::reached_completions(snapshot, tally.active) {
                verdict = conditions::completions_reached();
            } else if job.metadata.deletion_timestamp.is_none() {
                conditions::note_suspension(snapshot, &mut status, now, plan);
            }
        }
        Verdict::Succeeding { .. } | Verdict::Failing { .. } => {
            for pod in snapshot.pods.iter().filter(|view| view.active) {
                plan.delete.push(Deletion { pod: PodRef::of(pod.pod), untrack: false });
            }
            tally.terminating += tally.active;
            tally.active = 0;
            tally.ready = 0;
        }
    }
    let at_limit = counting::count(snapshot, &verdict, &mut status, plan);
    status.active = (tally.active > 0).then_some(tally.active);
    status.ready = Some(tally.ready);
    status.terminating = Some(tally.terminating);
    conditions::conclude(snapshot, &verdict, at_limit, &mut status, now, plan);
    if status != before {
        plan.status = Some(status);
    }
}

/// A finished job only lets go of pods that it still holds.
fn finished_plan(job: &Job, observed: &Observed) -> Plan {
    let uid = job.metadata.uid.as_deref().unwrap_or_default();
    let held = observed.pods.iter().filter(|pod| {
        let owned = pods::controller(&pod.metadata.owner_references).is_some_and(|owner| owner.uid == uid);
        owned && pods::is_tracked(pod)
    });
    Plan { untrack: held.map(|pod| PodRef::of(pod)).collect(), ..Plan::default() }
}

/// The pods among `pods` that carry the tracking finalizer although no job will ever count them: they
/// have no controller, or it is a job that is not among `live_jobs` (UIDs of unfinished jobs).
pub fn abandoned(pods: &[&Pod], live_jobs: &dyn Fn(&str) -> bool) -> Vec<PodRef> {
    let lost = pods.iter().filter(|pod| match pods::controller(&pod.metadata.owner_references) {
        None => true,
        Some(owner) => owner.kind == "Job" && owner.api_version == "batch/v1" && !live_jobs(&owner.uid),
    });
    lost.filter(|pod| pods::is_tracked(pod)).map(|pod| PodRef::of(pod)).collect()
}

/// Splits pods into those that belong to the job, with the claims that make it so, and the rest.
fn claim<'a>(job: &Job, spec: &JobSpec, all: &[&'a Pod]) -> (Vec<Claim>, Vec<(&'a Pod, bool)>) {
    let uid = job.metadata.uid.as_deref().unwrap_or_default();
    let deleting = job.metadata.deletion_timestamp.is_some();
    let (mut claims, mut mine) = (Vec::new(), Vec::new());
    for pod in all {
        let matches = selector::matches_some(spec.selector.as_ref(), pod.metadata.labels.as_ref());
        match pods::controller(&pod.metadata.owner_references) {
            Some(owner) if owner.uid != uid => {}
            Some(_) if matches => mine.push((*pod, false)),
            Some(_) if deleting => {}
            Some(_) => claims.push(Claim::Release(PodRef::of(pod))),
            None if matches && !deleting && pod.metadata.deletion_timestamp.is_none() => {
                claims.push(Claim::Adopt(PodRef::of(pod)));
                mine.push((*pod, true));
            }
            None => {}
        }
    }
    (claims, mine)
}
