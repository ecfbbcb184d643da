//! When a job is over, and how its conditions say so: SuccessCriteriaMet, FailureTarget, Complete,
//! Failed and Suspended, with the reasons and messages of upstream.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobCondition, JobStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::counting::Limit;
use super::policy::{self, FailureAction};
use super::snapshot::Snapshot;
use super::{Event, Plan, pods};

/// Whether and why a job is coming to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It goes on; `deadline` is the time left to it.
    Open {
        deadline: Option<Duration>,
    },
    Succeeding {
        reason: String,
        message: String,
    },
    Failing {
        reason: String,
        message: String,
    },
}

impl Verdict {
    /// Whether the end is decided.
    pub fn is_over(&self) -> bool {
        !matches!(self, Self::Open { .. })
    }

    fn failing(reason: &str, message: impl Into<String>) -> Self {
        Self::Failing { reason: reason.to_owned(), message: message.into() }
    }
}

/// Whether the job is Complete or Failed.
pub fn is_finished(job: &Job) -> bool {
    let status = job.status.as_ref();
    status.is_some_and(|status| find(status, "Complete").is_some() || find(status, "Failed").is_some())
}

/// The true condition of one type.
pub fn find<'a>(status: &'a JobStatus, type_: &str) -> Option<&'a JobCondition> {
    let mut conditions = status.conditions.iter().flatten();
    conditions.find(|condition| condition.type_ == type_ && condition.status == "True")
}

/// What was decided in an earlier pass, else the first reason to end the job that holds now.
pub(super) fn verdict(snapshot: &Snapshot, status: &JobStatus, now: Timestamp) -> Verdict {
    let earlier = |condition: &JobCondition| {
        (condition.reason.clone().unwrap_or_default(), condition.message.clone().unwrap_or_default())
    };
    if let Some(condition) = find(status, "SuccessCriteriaMet") {
        let (reason, message) = earlier(condition);
        return Verdict::Succeeding { reason, message };
    }
    if let Some(condition) = find(status, "FailureTarget") {
        let (reason, message) = earlier(condition);
        return Verdict::Failing { reason, message };
    }
    if let Some(failing) = failed_by_pods(snapshot).or_else(|| failed_by_time(snapshot, status, now)) {
        return failing;
    }
    if let Some(verdict) = decided_by_indexes(snapshot) {
        return verdict;
    }
    Verdict::Open { deadline: time_left(snapshot, status, now) }
}

fn failed_by_pods(snapshot: &Snapshot) -> Option<Verdict> {
    let message = snapshot.pods.iter().filter(|view| view.failed).find_map(|view| match snapshot.action(view.pod) {
        FailureAction::FailJob(message) => Some(message),
        _ => None,
    });
    if let Some(message) = message {
        return Some(Verdict::failing("PodFailurePolicy", message));
    }
    let exceeded = snapshot.failed > snapshot.backoff_limit() || restarted_too_often(snapshot);
    exceeded.then(|| Verdict::failing("BackoffLimitExceeded", "Job has reached the specified backoff limit"))
}

/// Of jobs whose containers are restarted in place, the restarts count towards the limit.
fn restarted_too_often(snapshot: &Snapshot) -> bool {
    let template = snapshot.spec.template.spec.as_ref();
    if template.and_then(|spec| spec.restart_policy.as_deref()) != Some("OnFailure") {
        return false;
    }
    let alive = snapshot.pods.iter().filter(|view| matches!(pods::phase(view.pod), "Running" | "Pending"));
    let restarts: i64 =
        alive.flat_map(|view| pods::container_statuses(view.pod)).map(|status| i64::from(status.restart_count)).sum();
    restarts >= i64::from(snapshot.backoff_limit().max(1))
}

fn failed_by_time(snapshot: &Snapshot, status: &JobStatus, now: Timestamp) -> Option<Verdict> {
    let left = time_left(snapshot, status, now)?;
    let message = "Job was active longer than specified deadline";
    left.is_zero().then(|| Verdict::failing("DeadlineExceeded", message))
}

/// The time until `spec.activeDeadlineSeconds` is over; none where the job has no running deadline.
fn time_left(snapshot: &Snapshot, status: &JobStatus, now: Timestamp) -> Option<Duration> {
    if snapshot.suspended() {
        return None;
    }
    let deadline = Duration::from_secs(u64::try_from(snapshot.spec.active_deadline_seconds?).ok()?);
    let elapsed = Duration::try_from(now.duration_since(status.start_time.as_ref()?.0)).unwrap_or(Duration::ZERO);
    Some(deadline.saturating_sub(elapsed))
}

fn decided_by_indexes(snapshot: &Snapshot) -> Option<Verdict> {
    if !snapshot.indexed {
        return None;
    }
    let completions = snapshot.completions();
    if let Some(failed) = snapshot.failed_indexes.as_ref().map(|failed| failed.total()) {
        if snapshot.spec.max_failed_indexes.is_some_and(|limit| failed as i64 > i64::from(limit)) {
            let message = "Job has exceeded the specified maximal number of failed indexes";
            return Some(Verdict::failing("MaxFailedIndexesExceeded", message));
        }
        if failed > 0 && failed + snapshot.completed.total() >= completions {
            return Some(Verdict::failing("FailedIndexes", "Job has failed indexes"));
        }
    }
    let message = policy::success_message(snapshot.spec.success_policy.as_ref(), completions, &snapshot.completed)?;
    Some(Verdict::Succeeding { reason: "SuccessPolicy".to_owned(), message })
}

/// Whether enough pods succeeded and none is active any more.
pub(super) fn reached_completions(snapshot: &Snapshot, active: i32) -> bool {
    let enough = match snapshot.spec.completions {
        None => snapshot.succeeded > 0,
        Some(completions) => snapshot.succeeded >= completions,
    };
    enough && active == 0
}

/// The verdict on a job whose completions are reached.
pub(super) fn completions_reached() -> Verdict {
    let message = "Reached expected number of succeeded pods".to_owned();
    Verdict::Succeeding { reason: "CompletionsReached".to_owned(), message }
}

/// Keeps the Suspended condition.
pub(super) fn note_suspension(snapshot: &Snapshot, status: &mut JobStatus, now: Timestamp, plan: &mut Plan) {
    let (value, reason, message, event) = if snapshot.suspended() {
        ("True", "JobSuspended", "Job suspended", "Suspended")
    } else {
        ("False", "JobResumed", "Job resumed", "Resumed")
    };
    if set(status, "Suspended", value, reason, message, now) {
        plan.events.push(Event::normal(event, message));
    }
}

/// Writes the interim condition of a verdict at once, and the final one when every pod is counted and
/// gone.
pub(super) fn conclude(
    snapshot: &Snapshot,
    verdict: &Verdict,
    limit: Limit,
    status: &mut JobStatus,
    now: Timestamp,
    plan: &mut Plan,
) {
    let (interim, last, reason, message) = match verdict {
        Verdict::Open { .. } => return,
        Verdict::Succeeding { reason, message } => ("SuccessCriteriaMet", "Complete", reason, message),
        Verdict::Failing { reason, message } => ("FailureTarget", "Failed", reason, message),
    };
    if find(status, interim).is_none() {
        set(status, interim, "True", reason, message, now);
    }
    let uncounted = status.uncounted_terminated_pods.as_ref();
    let waiting = uncounted.is_some_and(|pods| pods.succeeded.is_some() || pods.failed.is_some());
    if limit == Limit::Reached || waiting || status.terminating.unwrap_or(0) > 0 {
        return;
    }
    set(status, last, "True", reason, message, now);
    if last == "Failed" {
        plan.events.push(Event::warning(reason, message.as_str()));
        return;
    }
    status.completion_time = Some(Time(now));
    let succeeded = status.succeeded.unwrap_or(0);
    if snapshot.spec.completions.is_some_and(|completions| succeeded > completions) {
        let note = "Too many succeeded pods running after completion count reached";
        plan.events.push(Event::warning("TooManySucceededPods", note));
    }
    plan.events.push(Event::normal("Completed", "Job completed"));
}

/// Sets a condition; says whether that changed anything. A condition that is absent is not added as
/// false.
fn set(status: &mut JobStatus, type_: &str, value: &str, reason: &str, message: &str, now: Timestamp) -> bool {
    let new = JobCondition {
        type_: type_.to_owned(),
        status: value.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_probe_time: Some(Time(now)),
        last_transition_time: Some(Time(now)),
    };
    let conditions = status.conditions.get_or_insert_default();
    if let Some(old) = conditions.iter_mut().find(|condition| condition.type_ == type_) {
        let same = old.status == new.status && old.reason == new.reason && old.message == new.message;
        if !same {
            *old = new;
        }
        return !same;
    }
    if value == "False" {
        if conditions.is_empty() {
            status.conditions = None;
        }
        return false;
    }
    conditions.push(new);
    true
}
