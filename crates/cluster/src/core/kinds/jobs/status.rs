//! Writes of a Job's status: conditions, times, counts and indexes, and which of them may change.

use super::super::place::Place;
use super::super::pod::containers::nonnegative_field;
use super::super::value::{flag, get, indexed, integer, items, maybe_text, number, present, same, same_field, text};
use super::faulty;
use super::policies::{count_indexes, interval};
use crate::core::field::{ErrorList, FieldError};
use serde_json::{Value, json};

fn condition(object: &Value, kind: &str, status: &str) -> bool {
    items(get(object, "status"), "conditions")
        .iter()
        .any(|condition| text(condition, "type") == kind && text(condition, "status") == status)
}

fn is_true(object: &Value, kind: &str) -> bool {
    condition(object, kind, "True")
}

/// Checks a write of a Job's status.
pub fn validate_job_status(new: &Value, old: &Value, errors: &mut ErrorList) {
    let (status, place) = (get(new, "status"), Place::root("status"));
    for key in ["active", "succeeded", "failed", "ready", "terminating"] {
        nonnegative_field(status, key, &place, errors);
    }
    uncounted(get(status, "uncountedTerminatedPods"), &place.child("uncountedTerminatedPods"), errors);
    status_conditions(new, old, &place, errors);
    status_times(new, old, &place, errors);
    status_finished(new, old, &place, errors);
    status_indexes(new, old, &place, errors);
    status_transitions(new, old, &place, errors);
}

fn uncounted(pods: &Value, place: &Place, errors: &mut ErrorList) {
    let mut seen: Vec<&str> = Vec::new();
    for list in ["succeeded", "failed"] {
        let place = place.child(list);
        for (index, uid) in indexed(pods, list) {
            let uid = uid.as_str().unwrap_or("");
            if uid.is_empty() {
                errors.push(FieldError::invalid(place.index(index), "", "must not be empty"));
            } else if seen.contains(&uid) {
                errors.push(FieldError::duplicate(place.index(index), uid));
            } else {
                seen.push(uid);
            }
        }
    }
}

fn changed(new: &Value, old: &Value, kind: &str) -> bool {
    is_true(new, kind) != is_true(old, kind)
}

fn status_changed(new: &Value, old: &Value, key: &str) -> bool {
    !same_field(get(new, "status"), get(old, "status"), key)
}

/// Pairs of conditions that cannot both be true, and a condition that another needs.
fn status_conditions(new: &Value, old: &Value, place: &Place, errors: &mut ErrorList) {
    let place = place.child("conditions");
    let both = |left: &str, right: &str| is_true(new, left) && is_true(new, right);
    if (changed(new, old, "Complete") || changed(new, old, "Failed")) && both("Complete", "Failed") {
        errors.push(faulty(&place, "cannot set Complete=True and Failed=true conditions"));
    }
    if (changed(new, old, "Complete") || changed(new, old, "FailureTarget")) && both("Complete", "FailureTarget") {
        errors.push(faulty(&place, "cannot set Complete=True and FailureTarget=true conditions"));
    }
    let failed_indexes = status_changed(new, old, "failedIndexes");
    if (changed(new, old, "Failed") || failed_indexes) && is_true(new, "Failed") && !is_true(new, "FailureTarget") {
        errors.push(faulty(&place, "cannot set Failed=True condition without the FailureTarget=true condition"));
    }
    let met = "SuccessCriteriaMet";
    if (changed(new, old, "Complete") || changed(new, old, met)) && is_true(new, "Complete") && !is_true(new, met) {
        errors.push(faulty(&place, "cannot set Complete=True condition without the SuccessCriteriaMet=true condition"));
    }
    if both(met, "Failed") {
        errors.push(faulty(&place, "cannot set SuccessCriteriaMet=True and Failed=true conditions"));
    }
    if both(met, "FailureTarget") {
        errors.push(faulty(&place, "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions"));
    }
    if present(get(new, "spec"), "successPolicy") && !is_true(new, met) && is_true(new, "Complete") {
        let detail = "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True";
        errors.push(faulty(&place, detail));
    }
}

fn status_times(new: &Value, old: &Value, place: &Place, errors: &mut ErrorList) {
    let status = get(new, "status");
    let (start, end) = (maybe_text(status, "startTime"), maybe_text(status, "completionTime"));
    let place_of_end = place.child("completionTime");
    let end_matters = changed(new, old, "Complete") || status_changed(new, old, "completionTime");
    let complete = is_true(new, "Complete");
    if end_matters {
        if let Some(end) = end.filter(|_| !complete) {
            let detail = "cannot set completionTime when there is no Complete=True condition";
            errors.push(FieldError::invalid(place_of_end, end, detail));
        }
        if end.is_none() && complete {
            errors.push(FieldError::required(place_of_end, "completionTime is required for Complete jobs"));
        }
    }
    if status_changed(new, old, "startTime") || status_changed(new, old, "completionTime") {
        // RFC 3339 in UTC, so that the order of texts is the order of times.
        if let (Some(start), Some(end)) = (start, end)
            && end < start
        {
            errors.push(FieldError::invalid(place_of_end, end, "must be equal to or after `startTime`"));
        }
    }
    let before = get(old, "status");
    if end.is_some() && present(before, "completionTime") && status_changed(new, old, "completionTime") {
        errors.push(FieldError::invalid(place_of_end, end.unwrap_or(""), "field is immutable"));
    }
    let resuming = is_true(old, "Suspended") && condition(new, "Suspended", "False");
    let moved = status_changed(new, old, "startTime") && !resuming;
    if moved && present(before, "startTime") && !flag(get(new, "spec"), "suspend") {
        let detail = "startTime cannot be removed for unsuspended job";
        errors.push(FieldError::required(place.child("startTime"), detail));
    }
}

fn status_finished(new: &Value, old: &Value, place: &Place, errors: &mut ErrorList) {
    let (status, spec) = (get(new, "status"), get(new, "spec"));
    let finished = |object: &Value| is_true(object, "Complete") || is_true(object, "Failed");
    let ends = finished(new) != finished(old);
    let active = integer(status, "active");
    if (ends || status_changed(new, old, "active")) && active > 0 && finished(new) {
        errors.push(FieldError::invalid(place.child("active"), active, "active>0 is invalid for finished job"));
    }
    let idle = flag(spec, "suspend") && number(spec, "completions") == Some(0);
    let start_matters = (ends || status_changed(new, old, "startTime")) && !idle;
    if start_matters && finished(new) && !present(status, "startTime") {
        errors.push(FieldError::required(place.child("startTime"), "startTime is required for finished job"));
    }
    let uncounted = get(status, "uncountedTerminatedPods");
    let some = !items(uncounted, "succeeded").is_empty() || !items(uncounted, "failed").is_empty();
    if (ends || status_changed(new, old, "uncountedTerminatedPods")) && finished(new) && some {
        let shown = json!({"Succeeded": get(uncounted, "succeeded"), "Failed": get(uncounted, "failed")});
        let place = place.child("uncountedTerminatedPods");
        errors.push(FieldError::invalid(place, shown, "must be empty for finished job"));
    }
    let terminating = integer(status, "terminating");
    if (ends || status_changed(new, old, "terminating")) && terminating > 0 && finished(new) {
        let detail = "terminating>0 is invalid for finished job";
        errors.push(FieldError::invalid(place.child("terminating"), terminating, detail));
    }
    let ready = integer(status, "ready");
    if (status_changed(new, old, "ready") || status_changed(new, old, "active")) && ready > active {
        errors.push(FieldError::invalid(place.child("ready"), ready, "cannot set more ready pods than active"));
    }
}

fn status_indexes(new: &Value, old: &Value, place: &Place, errors: &mut ErrorList) {
    let (status, spec) = (get(new, "status"), get(new, "spec"));
    let (completed, failed) = (text(status, "completedIndexes"), maybe_text(status, "failedIndexes"));
    let completed_changed = status_changed(new, old, "completedIndexes");
    let failed_changed = status_changed(new, old, "failedIndexes");
    let completed_place = place.child("completedIndexes");
    let failed_place = place.child("failedIndexes");
    let completions = number(spec, "completions");
    if let Some(Err(fault)) = completions.filter(|_| completed_changed).map(|count| count_indexes(completed, count)) {
        let detail = format!("error parsing completedIndexes: {fault}");
        errors.push(FieldError::invalid(completed_place, completed, detail));
    }
    let per_index = present(spec, "backoffLimitPerIndex");
    if let (Some(count), Some(failed), true, true) = (completions, failed, failed_changed, per_index)
        && let Err(fault) = count_indexes(failed, count)
    {
        let detail = format!("error parsing failedIndexes: {fault}");
        errors.push(FieldError::invalid(failed_place, failed, detail));
    }
    if completed_changed && !completed.is_empty() && text(spec, "completionMode") != "Indexed" {
        let detail = "cannot set non-empty completedIndexes when non-indexed completion mode";
        errors.push(FieldError::invalid(completed_place, completed, detail));
    }
    if let Some(failed) = failed.filter(|_| failed_changed && !per_index) {
        let detail = "cannot set non-null failedIndexes when backoffLimitPerIndex is null";
        errors.push(FieldError::invalid(failed_place, failed, detail));
    }
    if let (Some(count), Some(failed), true) = (completions, failed, failed_changed || completed_changed)
        && let Some(index) = overlap(completed, failed, count)
    {
        let detail = format!("failedIndexes and completedIndexes overlap at index: {index}");
        errors.push(FieldError::invalid(failed_place, failed, detail));
    }
}

fn overlap(completed: &str, failed: &str, completions: i64) -> Option<i64> {
    let intervals = |text: &str| -> Vec<(i64, i64)> {
        text.split(',').filter_map(|part| interval(part, completions).ok()).collect()
    };
    let (completed, failed) = (intervals(completed), intervals(failed));
    let (mut completed, mut failed) = (completed.as_slice(), failed.as_slice());
    // Both lists are taken as sorted; one that is not has been refused above.
    while let ([done, later @ ..], [lost, rest @ ..]) = (completed, failed) {
        if done.0 <= lost.1 && lost.0 <= done.1 {
            return Some(done.0.max(lost.0));
        }
        if done.0 <= lost.0 {
            completed = later;
        } else {
            failed = rest;
        }
    }
    None
}

fn status_transitions(new: &Value, old: &Value, place: &Place, errors: &mut ErrorList) {
    let (status, before, spec) = (get(new, "status"), get(old, "status"), get(new, "spec"));
    let conditions = place.child("conditions");
    for kind in ["Failed", "Complete", "FailureTarget"] {
        if is_true(old, kind) && !is_true(new, kind) {
            errors.push(faulty(&conditions, format!("cannot disable the terminal {kind}=True condition")));
        }
    }
    let elastic = text(spec, "completionMode") == "Indexed" && same(get(spec, "completions"), get(spec, "parallelism"));
    for (key, checked) in [("failed", true), ("succeeded", !elastic)] {
        if checked && integer(status, key) < integer(before, key) {
            let detail = format!("cannot decrease the {key} counter");
            errors.push(FieldError::invalid(place.child(key), integer(status, key), detail));
        }
    }
    let met = "SuccessCriteriaMet";
    if is_true(old, met) && !is_true(new, met) {
        errors.push(faulty(&conditions, "cannot disable the SuccessCriteriaMet=True condition"));
    }
    if is_true(old, "Complete") && !is_true(old, met) && is_true(new, met) {
        let detail = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions";
        errors.push(faulty(&conditions, detail));
    }
}
