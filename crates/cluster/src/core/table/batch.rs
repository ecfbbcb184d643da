//! Kinds of the group `batch`.

use serde_json::Value;

use super::column::{AGE, CONTAINERS, IMAGES, NAME, Printer, SELECTOR, boolean, integer, text};
use super::duration;
use super::view::View;

pub(super) const PRINTERS: &[Printer] = &[
    Printer::new(
        "batch",
        "Job",
        &[
            NAME,
            text("Status", "Whether the job runs, waits or has ended"),
            text("Completions", "Pods that succeeded, of those that should"),
            text("Duration", "Time from the job's start to its completion, or to now"),
            AGE,
            CONTAINERS,
            IMAGES,
            SELECTOR,
        ],
        job,
    ),
    Printer::new(
        "batch",
        "CronJob",
        &[
            NAME,
            text("Schedule", "When jobs start, in cron's form"),
            text("Timezone", "Time zone of the schedule"),
            boolean("Suspend", "Whether no further jobs start"),
            integer("Active", "Jobs that run"),
            text("Last Schedule", "Time since a job started last"),
            AGE,
            CONTAINERS,
            IMAGES,
            SELECTOR,
        ],
        cron_job,
    ),
];

/// Conditions that give a job its status, the first that is true counts; deletion comes after two.
const ENDED: [(&str, &str); 2] = [("Complete", "Complete"), ("Failed", "Failed")];
const GOING: [(&str, &str); 3] =
    [("Suspended", "Suspended"), ("FailureTarget", "FailureTarget"), ("SuccessCriteriaMet", "SuccessCriteriaMet")];

fn job(job: &View<'_>) -> Vec<Value> {
    let mut cells = vec![
        job.name(),
        Value::from(status(job)),
        Value::from(completions(job)),
        Value::from(run_time(job)),
        job.age(),
    ];
    cells.extend(job.containers("/spec/template/spec/containers"));
    cells.push(Value::from(job.selector("/spec/selector")));
    cells
}

fn status(job: &View<'_>) -> &'static str {
    let holds = |(kind, _): &&(&str, &str)| {
        job.condition("/status/conditions", kind).is_some_and(|condition| condition.text("/status") == "True")
    };
    if let Some((_, status)) = ENDED.iter().find(holds) {
        return status;
    }
    if job.deleted() {
        return "Terminating";
    }
    GOING.iter().find(holds).map_or("Running", |(_, status)| status)
}

fn completions(job: &View<'_>) -> String {
    let succeeded = job.integer("/status/succeeded");
    if job.has("/spec/completions") {
        return format!("{succeeded}/{}", job.integer("/spec/completions"));
    }
    match job.integer("/spec/parallelism") {
        parallelism @ 2.. => format!("{succeeded}/1 of {parallelism}"),
        _ => format!("{succeeded}/1"),
    }
}

fn run_time(job: &View<'_>) -> String {
    let Some(start) = job.time("/status/startTime") else { return String::new() };
    let end = job.time("/status/completionTime").unwrap_or(job.now);
    duration::human(duration::between(start, end))
}

fn cron_job(cron_job: &View<'_>) -> Vec<Value> {
    let suspend = match cron_job.get("/spec/suspend").and_then(Value::as_bool) {
        Some(true) => "True",
        Some(false) => "False",
        None => "<unset>",
    };
    let last_schedule = match cron_job.has("/status/lastScheduleTime") {
        true => cron_job.since("/status/lastScheduleTime"),
        false => "<none>".to_owned(),
    };
    let mut cells = vec![
        cron_job.name(),
        Value::from(cron_job.text("/spec/schedule")),
        Value::from(cron_job.optional_text("/spec/timeZone", "<none>")),
        Value::from(suspend),
        Value::from(cron_job.count("/status/active")),
        Value::from(last_schedule),
        cron_job.age(),
    ];
    cells.extend(cron_job.containers("/spec/jobTemplate/spec/template/spec/containers"));
    cells.push(Value::from(cron_job.selector("/spec/jobTemplate/spec/selector")));
    cells
}
