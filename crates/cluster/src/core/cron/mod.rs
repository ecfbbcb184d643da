//! What to do about a CronJob: the job to start now, the old jobs to delete, and when to look again.
//!
//! Behaves as `pkg/controller/cronjob` of Kubernetes 1.34. Time and time zone are arguments. The name
//! of a job is made of the minute it is due at, so that no crash can start one twice.

#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, CronJobStatus, Job};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};

use super::job::{Event, is_finished, true_condition};
use ferroflow_platform::cron::Schedule;

/// The annotation that says when a job was due.
pub const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";
/// With more missed times than this, something is wrong with the clock or the deadline.
const MANY_MISSED: i64 = 100;
/// A wake-up comes so much after the due time, that the clock has certainly passed it.
const WAKE_DELAY: Duration = Duration::from_millis(100);

/// The time zone of a schedule.
#[derive(Clone, Debug)]
pub enum Zone {
    /// `spec.timeZone`, or UTC where there is none.
    Known(TimeZone),
    /// `spec.timeZone` is not in the data base; the text says why.
    Unknown(String),
}

/// A job to start.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    pub job: Job,
    pub due: Timestamp,
}

/// What to do, in this order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Names and UIDs of jobs to delete, in the background. A job that cannot be deleted ends the pass.
    pub delete: Vec<(String, String)>,
    pub start: Option<Start>,
    /// The status, as it is if nothing is started; see [`started`].
    pub status: CronJobStatus,
    pub events: Vec<Event>,
    pub again: Option<Duration>,
}

/// Decides about one CronJob; `jobs` are those that it controls.
pub fn plan(cron: &CronJob, jobs: &[&Job], zone: &Zone, now: Timestamp) -> Plan {
    let mut plan = Plan { status: cron.status.clone().unwrap_or_default(), ..Plan::default() };
    settle(jobs, &mut plan);
    if let Some(spec) = cron.spec.as_ref().filter(|_| cron.metadata.deletion_timestamp.is_none()) {
        schedule(cron, spec, zone, now, &mut plan);
    }
    if let Some(spec) = &cron.spec {
        trim_history(spec, jobs, &mut plan);
    }
    plan
}

/// Takes finished and missing jobs off the list of active ones.
fn settle(jobs: &[&Job], plan: &mut Plan) {
    for job in jobs {
        let listed = is_active(&plan.status, uid(job));
        match (is_finished(job), listed) {
            (false, false) => {
                let note = format!("Saw a job that the controller did not create or forgot: {}", name(job));
                plan.events.push(Event::warning("UnexpectedJob", note));
            }
            (true, true) => {
                remove_active(&mut plan.status, uid(job));
                let condition = if true_condition(job, "Complete").is_some() { "Complete" } else { "Failed" };
                let note = format!("Saw completed job: {}, condition: {condition}", name(job));
                plan.events.push(Event::normal("SawCompletedJob", note));
            }
            _ => {}
        }
        let finished = true_condition(job, "Complete").and(job.status.as_ref());
        let completed = finished.and_then(|status| status.completion_time.clone());
        let completed = completed.filter(|time| plan.status.last_successful_time.as_ref() < Some(time));
        if completed.is_some() {
            plan.status.last_successful_time = completed;
        }
    }
    let missing = |reference: &&ObjectReference| !jobs.iter().any(|job| Some(uid(job)) == reference.uid.as_deref());
    let lost: Vec<ObjectReference> = plan.status.active.iter().flatten().filter(missing).cloned().collect();
    for reference in lost {
        let note = format!("Active job went missing: {}", reference.name.clone().unwrap_or_default());
        plan.events.push(Event::normal("MissingJob", note));
        remove_active(&mut plan.status, reference.uid.as_deref().unwrap_or_default());
    }
}

fn schedule(cron: &CronJob, spec: &CronJobSpec, zone: &Zone, now: Timestamp, plan: &mut Plan) {
    let zone = match zone {
        Zone::Known(zone) => zone,
        Zone::Unknown(why) => {
            let name = spec.time_zone.as_deref().unwrap_or_default();
            plan.events.push(Event::warning("UnknownTimeZone", format!("invalid timeZone: \"{name}\": {why}")));
            return;
        }
    };
    if spec.suspend == Some(true) {
        return;
    }
    let text = spec.schedule.as_str();
    let schedule = match Schedule::parse(text) {
        Ok(schedule) => schedule,
        Err(error) => {
            let note = format!("unparseable schedule: \"{text}\" : {error}");
            plan.events.push(Event::warning("UnparseableSchedule", note));
            return;
        }
    };
    let timing = Timing { cron, spec, schedule: &schedule, zone, now };
    let recent = timing.most_recent(Deadline::Heeded);
    let Some(due) = recent.due.filter(|due| *due <= now) else {
        plan.again = timing.wait();
        return;
    };
    if recent.missed > MANY_MISSED {
        let note = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
        plan.events.push(Event::warning("TooManyMissedTimes", note));
    }
    plan.again = timing.wait();
    start(&timing, due, plan);
    if plan.start.is_some() {
        let mut later = cron.clone();
        later.status.get_or_insert_default().last_schedule_time = Some(Time(due));
        plan.again = Timing { cron: &later, ..timing }.wait();
    }
}

fn start(timing: &Timing, due: Timestamp, plan: &mut Plan) {
    let Timing { cron, spec, now, .. } = timing;
    let late =
        spec.starting_deadline_seconds.and_then(|seconds| due.checked_add(SignedDuration::from_secs(seconds)).ok());
    if late.is_some_and(|latest| latest < *now) {
        let when = due.strftime("%a, %d %b %Y %H:%M:%S +0000");
        plan.events.push(Event::warning("MissSchedule", format!("Missed scheduled time to start a job: {when}")));
        return;
    }
    let name = job_name(cron, due);
    let listed = plan.status.active.iter().flatten().any(|reference| reference.name.as_deref() == Some(&name));
    if listed || plan.status.last_schedule_time.as_ref().is_some_and(|last| last.0 == due) {
        return;
    }
    let active: Vec<ObjectReference> = plan.status.active.iter().flatten().cloned().collect();
    match spec.concurrency_policy.as_deref() {
        Some("Forbid") if !active.is_empty() => {
            let note = "Not starting job because prior execution is running and concurrency policy is Forbid";
            plan.events.push(Event::normal("JobAlreadyActive", note));
            return;
        }
        Some("Replace") => {
            for reference in active {
                delete(reference.name.unwrap_or_default(), reference.uid.unwrap_or_default(), plan);
            }
        }
        _ => {}
    }
    plan.start = Some(Start { job: job(cron, spec, name, timing.zone, due), due });
}

/// Of finished jobs, keeps the newest as the limits say.
fn trim_history(spec: &CronJobSpec, jobs: &[&Job], plan: &mut Plan) {
    let limits = [("Complete", spec.successful_jobs_history_limit), ("Failed", spec.failed_jobs_history_limit)];
    for (condition, limit) in limits {
        let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()) else { continue };
        let mut finished: Vec<&&Job> = jobs.iter().filter(|job| true_condition(job, condition).is_some()).collect();
        finished.sort_by_key(|job| {
            let started = job.status.as_ref().and_then(|status| status.start_time.as_ref()).map(|time| time.0);
            (started.is_none(), started, name(job))
        });
        let surplus = finished.len().saturating_sub(limit);
        for job in finished.into_iter().take(surplus) {
            delete(name(job).to_owned(), uid(job).to_owned(), plan);
        }
    }
}

fn delete(name: String, uid: String, plan: &mut Plan) {
    remove_active(&mut plan.status, &uid);
    plan.delete.push((name, uid));
}

/// Takes a started job into the status.
pub fn started(status: &mut CronJobStatus, job: &Job, due: Timestamp) {
    let reference = ObjectReference {
        api_version: Some("batch/v1".to_owned()),
        kind: Some("Job".to_owned()),
        name: job.metadata.name.clone(),
        namespace: job.metadata.namespace.clone(),
        uid: job.metadata.uid.clone(),
        resource_version: job.metadata.resource_version.clone(),
        field_path: None,
    };
    status.active.get_or_insert_default().push(reference);
    status.last_schedule_time = Some(Time(due));
}

/// Whether the start time of a schedule may be moved forward by `startingDeadlineSeconds`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Deadline {
    Heeded,
    Ignored,
}

struct Timing<'a> {
    cron: &'a CronJob,
    spec: &'a CronJobSpec,
    schedule: &'a Schedule,
    zone: &'a TimeZone,
    now: Timestamp,
}

/// The newest due time that is not handled.
struct Recent {
    earliest: Timestamp,
    due: Option<Timestamp>,
    missed: i64,
}

impl Timing<'_> {
    fn next(&self, after: Timestamp) -> Option<Timestamp> {
        self.schedule.next(after, self.zone)
    }

    fn most_recent(&self, deadline: Deadline) -> Recent {
        let status = self.cron.status.as_ref();
        let last = status.and_then(|status| status.last_schedule_time.as_ref());
        let created = self.cron.metadata.creation_timestamp.as_ref();
        let mut earliest = last.or(created).map_or(self.now, |time| time.0);
        if let Some(seconds) = self.spec.starting_deadline_seconds.filter(|_| deadline == Deadline::Heeded) {
            let start = self.now.checked_sub(SignedDuration::from_secs(seconds)).unwrap_or(earliest);
            earliest = earliest.max(start);
        }
        let none = Recent { earliest, due: None, missed: 0 };
        let Some(first) = self.next(earliest).filter(|first| *first <= self.now) else { return none };
        let second = match self.next(first) {
            Some(second) if second <= self.now => second,
            _ => return Recent { due: Some(first), ..none },
        };
        let between = second.duration_since(first).as_secs();
        if between < 1 {
            return none;
        }
        let missed = self.now.duration_since(first).as_secs() / between + 1;
        // From one period before the last estimated time on, so that few steps remain.
        let skipped = (missed - 2).max(0).saturating_mul(between);
        let mut due = first.checked_add(SignedDuration::from_secs(skipped)).unwrap_or(first);
        let mut found = None;
        while let Some(next) = self.next(due).filter(|next| *next <= self.now) {
            found = Some(next);
            due = next;
        }
        Recent { earliest, due: found, missed }
    }

    /// The time until the next due one.
    fn wait(&self) -> Option<Duration> {
        let recent = self.most_recent(Deadline::Ignored);
        let from = recent.due.unwrap_or(if recent.missed == 0 { recent.earliest } else { self.now });
        let next = self.next(from)?;
        let wait = Duration::try_from(next.duration_since(self.now)).unwrap_or(Duration::ZERO);
        Some(wait + WAKE_DELAY)
    }
}

fn job_name(cron: &CronJob, due: Timestamp) -> String {
    format!("{}-{}", cron.metadata.name.as_deref().unwrap_or_default(), due.as_second().div_euclid(60))
}

fn job(cron: &CronJob, spec: &CronJobSpec, name: String, zone: &TimeZone, due: Timestamp) -> Job {
    let template = spec.job_template.clone();
    let metadata = template.metadata.unwrap_or_default();
    let mut annotations = metadata.annotations.unwrap_or_default();
    let local = due.to_zoned(zone.clone());
    let stamp = if local.offset().is_zero() {
        local.strftime("%Y-%m-%dT%H:%M:%SZ")
    } else {
        local.strftime("%Y-%m-%dT%H:%M:%S%:z")
    };
    annotations.insert(SCHEDULED.to_owned(), stamp.to_string());
    let owner = OwnerReference {
        api_version: "batch/v1".to_owned(),
        kind: "CronJob".to_owned(),
        name: cron.metadata.name.clone().unwrap_or_default(),
        uid: cron.metadata.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    };
    Job {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: cron.metadata.namespace.clone(),
            labels: metadata.labels,
            annotations: Some(annotations),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        spec: template.spec,
        status: None,
    }
}

fn is_active(status: &CronJobStatus, uid: &str) -> bool {
    status.active.iter().flatten().any(|reference| reference.uid.as_deref() == Some(uid))
}

fn remove_active(status: &mut CronJobStatus, uid: &str) {
    let Some(active) = &mut status.active else { return };
    active.retain(|reference| reference.uid.as_deref() != Some(uid));
    if active.is_empty() {
        status.active = None;
    }
}

fn name(job: &Job) -> &str {
    job.metadata.name.as_deref().unwrap_or_default()
}

fn uid(job: &Job) -> &str {
    job.metadata.uid.as_deref().unwrap_or_default()
}
