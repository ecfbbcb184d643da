//! CronJob: schedule, time zone, and the template of its Jobs.

use super::super::meta::{self};
use super::super::place::Place;
use super::super::pod::containers::nonnegative_field;
use super::super::strategy::{self, Context};
use super::super::value::{
    at, default_text, default_to, ensure, flag, get, keep, maybe_text, present, same_field, text,
};
use super::super::{apps, cron};
use super::{default_job_spec, job_spec, warn_job_spec};
use crate::core::field::{ErrorList, FieldError};
use serde_json::Value;

/// Defaults of a CronJob.
pub fn default_cron_job(object: &mut Value) {
    let Some(spec) = ensure(object, "spec") else { return };
    default_text(spec, "concurrencyPolicy", "Allow");
    default_to(spec, "suspend", false);
    default_to(spec, "successfulJobsHistoryLimit", 3);
    default_to(spec, "failedJobsHistoryLimit", 1);
    if let Some(template) = ensure(spec, "jobTemplate") {
        ensure(template, "metadata");
        if let Some(job) = ensure(template, "spec") {
            default_job_spec(job);
        }
    }
}

/// Keeps the status and drops what is switched off in the template.
pub fn prepare_cron_job(object: &mut Value, _: &Context) {
    let path = ["spec", "jobTemplate", "spec", "template", "spec"];
    apps::drop_template_fields(object, &Value::Null, &path);
}

/// Keeps the status and drops what is switched off in the template.
pub fn prepare_cron_job_update(new: &mut Value, old: &Value, _: &Context) {
    keep(new, old, "status");
    apps::drop_template_fields(new, old, &["spec", "jobTemplate", "spec", "template", "spec"]);
}

/// Checks a CronJob, and that the names of its jobs fit.
pub fn validate_cron_job(object: &Value, errors: &mut ErrorList) {
    cron_job_spec(object, None, errors);
    let name = text(get(object, "metadata"), "name");
    if name.len() > 52 {
        let place = Place::root("metadata");
        errors.push(FieldError::invalid(place.child("name"), name, "must be no more than 52 characters"));
    }
}

/// Checks an update of a CronJob.
pub fn validate_cron_job_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    cron_job_spec(new, Some(get(old, "spec")), errors);
}

fn cron_job_spec(object: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    let (spec, place) = (get(object, "spec"), Place::root("spec"));
    let schedule = text(spec, "schedule");
    if schedule.is_empty() {
        errors.push(FieldError::required(place.child("schedule"), ""));
    } else {
        let tolerated = old.is_some_and(|old| text(old, "schedule").contains("TZ"));
        schedule_format(schedule, tolerated, present(spec, "timeZone"), &place.child("schedule"), errors);
    }
    nonnegative_field(spec, "startingDeadlineSeconds", &place, errors);
    if old.is_none_or(|old| !same_field(old, spec, "timeZone"))
        && let Some(zone) = maybe_text(spec, "timeZone")
    {
        time_zone(zone, &place.child("timeZone"), errors);
    }
    match text(spec, "concurrencyPolicy") {
        "Allow" | "Forbid" | "Replace" => {}
        "" => errors.push(FieldError::required(place.child("concurrencyPolicy"), "")),
        other => {
            let policies = ["Allow", "Forbid", "Replace"];
            errors.push(FieldError::not_supported(place.child("concurrencyPolicy"), other, &policies));
        }
    }
    let template = place.child("jobTemplate");
    let job_place = template.child("spec");
    let job = at(spec, &["jobTemplate", "spec"]);
    job_spec(job, &job_place, errors);
    if present(job, "selector") {
        let given = get(job, "selector").clone();
        errors.push(FieldError::invalid(job_place.child("selector"), given, "`selector` will be auto-generated"));
    }
    if flag(job, "manualSelector") {
        errors.push(FieldError::not_supported(job_place.child("manualSelector"), true, &["nil", "false"]));
    }
    nonnegative_field(spec, "successfulJobsHistoryLimit", &place, errors);
    nonnegative_field(spec, "failedJobsHistoryLimit", &place, errors);
}

fn schedule_format(schedule: &str, tolerated: bool, zone: bool, place: &Place, errors: &mut ErrorList) {
    if let Err(fault) = cron::check(schedule) {
        errors.push(FieldError::invalid(place, schedule, fault));
    }
    if !schedule.contains("TZ") {
        return;
    }
    if tolerated && zone {
        let detail = "cannot use both timeZone field and TZ or CRON_TZ in schedule";
        errors.push(FieldError::invalid(place, schedule, detail));
    } else if !tolerated {
        let detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
        errors.push(FieldError::invalid(place, schedule, detail));
    }
}

fn time_zone(zone: &str, place: &Place, errors: &mut ErrorList) {
    if zone.is_empty() {
        errors.push(FieldError::invalid(place, zone, "timeZone must be nil or non-empty string"));
        return;
    }
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b".-_+".contains(&byte);
    let shape = |part: &str| {
        !part.is_empty()
            && part.len() <= 14
            && part != "."
            && part != ".."
            && !part.starts_with('-')
            && part.bytes().all(letter)
    };
    if !zone.split('/').all(shape) {
        errors.push(FieldError::invalid(place, zone, format!("unknown time zone {zone}")));
        return;
    }
    if zone.eq_ignore_ascii_case("Local") {
        let detail = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        errors.push(FieldError::invalid(place, zone, detail));
    }
    if !cron::is_time_zone(zone) {
        errors.push(FieldError::invalid(place, zone, format!("unknown time zone {zone}")));
    }
}

/// Warnings about a CronJob.
pub fn warn_cron_job(object: &Value, old: Option<&Value>, warnings: &mut Vec<String>) {
    let place = Place::root("spec");
    let place = place.child("jobTemplate");
    let place = place.child("spec");
    let job = at(object, &["spec", "jobTemplate", "spec"]);
    match old {
        None => strategy::warn_host_name(object, "Pod names and hostnames", warnings),
        Some(old) => {
            if meta::generation(object) != meta::generation(old) {
                warn_job_spec(job, &place, warnings);
            }
            if text(get(object, "spec"), "schedule").contains("TZ") {
                warnings.push("cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details".to_owned());
            }
            return;
        }
    }
    warn_job_spec(job, &place, warnings);
}
