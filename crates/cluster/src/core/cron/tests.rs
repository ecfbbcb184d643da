use jiff::Timestamp;
use jiff::tz::TimeZone;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use serde_json::{Value, json};

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn cron(spec: Value) -> CronJob {
    let mut spec = spec;
    spec["jobTemplate"] =
        json!({"metadata": {"labels": {"a": "b"}}, "spec": {"template": {"spec": {"containers": [{"name": "c"}]}}}});
    let object = json!({"metadata": {"name": "c", "namespace": "ns", "uid": "cron-uid", "creationTimestamp": "2030-01-01T00:00:30Z"}, "spec": spec});
    serde_json::from_value(object).unwrap()
}

fn job(name: &str, condition: Option<&str>, started: &str) -> Job {
    let conditions: Vec<Value> = condition.iter().map(|type_| json!({"type": type_, "status": "True"})).collect();
    serde_json::from_value(json!({"metadata": {"name": name, "namespace": "ns", "uid": name},
        "status": {"conditions": conditions, "startTime": started, "completionTime": started}}))
    .unwrap()
}

fn decide(cron: &CronJob, jobs: &[Job], now: &str) -> Plan {
    let jobs: Vec<&Job> = jobs.iter().collect();
    plan(cron, &jobs, &Zone::Known(TimeZone::UTC), at(now))
}

fn reasons(plan: &Plan) -> Vec<&str> {
    plan.events.iter().map(|event| event.reason.as_str()).collect()
}

/// The cron job after a plan was carried out.
fn carried_out(mut cron: CronJob, plan: &Plan) -> (CronJob, Option<Job>) {
    let mut status = plan.status.clone();
    let job = plan.start.as_ref().map(|start| {
        let mut job = start.job.clone();
        job.metadata.uid = job.metadata.name.clone();
        started(&mut status, &job, start.due);
        job
    });
    cron.status = Some(status);
    (cron, job)
}

#[test]
fn a_job_starts_when_it_is_due_and_not_twice() {
    let cron = cron(json!({"schedule": "* * * * *"}));
    let early = decide(&cron, &[], "2030-01-01T00:00:45Z");
    assert_eq!(early.start, None);
    assert_eq!(early.again, Some(Duration::from_millis(15_100)));
    let plan = decide(&cron, &[], "2030-01-01T00:01:00.2Z");
    let job = plan.start.clone().unwrap().job;
    assert_eq!(job.metadata.name.as_deref(), Some("c-31557601"));
    assert_eq!(job.metadata.annotations.as_ref().unwrap()[SCHEDULED], "2030-01-01T00:01:00Z");
    assert_eq!(plan.again, Some(Duration::from_millis(59_900)));
    let (cron, job) = carried_out(cron, &plan);
    let again = decide(&cron, &[job.unwrap()], "2030-01-01T00:01:00.3Z");
    assert_eq!((again.start, again.status), (None, cron.status.unwrap()));
}

#[test]
fn of_missed_times_only_the_last_is_made_up_for() {
    let late = cron(json!({"schedule": "* * * * *"}));
    let plan = decide(&late, &[], "2030-01-01T00:05:30Z");
    assert_eq!(plan.start.as_ref().unwrap().due, at("2030-01-01T00:05:00Z"));
    assert!(plan.events.is_empty());
    let plan = decide(&late, &[], "2030-01-01T05:00:30Z");
    assert_eq!(reasons(&plan), ["TooManyMissedTimes"]);
    assert_eq!(plan.start.as_ref().unwrap().due, at("2030-01-01T05:00:00Z"));
    let hourly = cron(json!({"schedule": "0 * * * *", "startingDeadlineSeconds": 60}));
    let plan = decide(&hourly, &[], "2030-01-01T05:10:00Z");
    assert_eq!((plan.start, plan.events), (None, vec![]));
}

#[test]
fn the_concurrency_policy_decides_about_a_job_that_still_runs() {
    let running = |policy: &str| {
        let cron = cron(json!({"schedule": "* * * * *", "concurrencyPolicy": policy}));
        let plan = decide(&cron, &[], "2030-01-01T00:01:00Z");
        let (cron, job) = carried_out(cron, &plan);
        decide(&cron, &[job.unwrap()], "2030-01-01T00:02:00Z")
    };
    assert!(running("Allow").start.is_some());
    let forbid = running("Forbid");
    assert_eq!((forbid.start.is_some(), reasons(&forbid)), (false, vec!["JobAlreadyActive"]));
    let replace = running("Replace");
    assert!(replace.start.is_some());
    assert_eq!(replace.delete, [("c-31557601".to_owned(), "c-31557601".to_owned())]);
    assert_eq!(replace.status.active, None);
}

#[test]
fn finished_jobs_leave_the_active_list_and_old_ones_go() {
    let mut cron = cron(json!({"schedule": "0 0 1 1 *", "successfulJobsHistoryLimit": 1, "failedJobsHistoryLimit": 0}));
    let jobs = [
        job("a", Some("Complete"), "2030-01-01T01:00:00Z"),
        job("b", Some("Complete"), "2030-01-01T02:00:00Z"),
        job("f", Some("Failed"), "2030-01-01T03:00:00Z"),
    ];
    let status = cron.status.get_or_insert_default();
    jobs.iter().for_each(|job| started(status, job, at("2030-01-01T00:00:00Z")));
    let plan = decide(&cron, &jobs, "2030-01-01T04:00:00Z");
    assert_eq!(plan.status.active, None);
    assert_eq!(plan.status.last_successful_time, Some(Time(at("2030-01-01T02:00:00Z"))));
    let deleted: Vec<&str> = plan.delete.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(deleted, ["a", "f"]);
    assert_eq!(plan.events[0].note, "Saw completed job: a, condition: Complete");
}

#[test]
fn lost_and_unexpected_jobs_are_told_about() {
    let mut cron = cron(json!({"schedule": "0 0 1 1 *"}));
    started(
        cron.status.get_or_insert_default(),
        &job("gone", None, "2030-01-01T01:00:00Z"),
        at("2030-01-01T00:00:00Z"),
    );
    let plan = decide(&cron, &[job("stranger", None, "2030-01-01T01:00:00Z")], "2030-01-01T04:00:00Z");
    assert_eq!(reasons(&plan), ["UnexpectedJob", "MissingJob"]);
    assert_eq!(plan.status.active, None);
}

#[test]
fn suspended_deleted_and_unreadable_ones_start_nothing() {
    for spec in [json!({"schedule": "* * * * *", "suspend": true}), json!({"schedule": "x"})] {
        assert_eq!(decide(&cron(spec), &[], "2030-01-01T00:05:00Z").start, None);
    }
    let zoned = cron(json!({"schedule": "* * * * *", "timeZone": "Moon/Sea"}));
    let plan = plan(&zoned, &[], &Zone::Unknown("unknown time zone Moon/Sea".into()), at("2030-01-01T00:05:00Z"));
    assert_eq!(plan.events[0].note, "invalid timeZone: \"Moon/Sea\": unknown time zone Moon/Sea");
}

#[test]
fn a_missed_deadline_is_told_with_its_time() {
    let cron = cron(json!({"schedule": "* * * * *", "startingDeadlineSeconds": 0}));
    let plan = decide(&cron, &[], "2030-01-01T00:02:00.5Z");
    assert_eq!((plan.start, plan.events), (None, vec![]));
}
