//! When a Job's pods fail or succeed it: `podFailurePolicy`, `successPolicy`, and index lists such as `0,2-5`.

use super::super::labels::{self};
use super::super::place::Place;
use super::super::pod::containers::nonnegative;
use super::super::value::{at, get, integer, items, maybe_text, number, present, text};
use super::{faulty, valid_values};
use crate::core::field::{ErrorList, FieldError};
use serde_json::Value;

pub(super) fn pod_failure_policy(spec: &Value, place: &Place, errors: &mut ErrorList) {
    const ACTIONS: [&str; 4] = ["Count", "FailIndex", "FailJob", "Ignore"];
    let rules = items(get(spec, "podFailurePolicy"), "rules");
    let list = place.child("rules");
    if rules.len() > 20 {
        errors.push(FieldError::too_many(list, rules.len(), 20));
    }
    for (index, rule) in rules.iter().enumerate() {
        let place = list.index(index);
        let action = text(rule, "action");
        match action {
            "" => errors.push(FieldError::required(place.child("action"), valid_values(&ACTIONS))),
            "FailIndex" if !present(spec, "backoffLimitPerIndex") => {
                let detail = "requires the backoffLimitPerIndex to be set";
                errors.push(FieldError::invalid(place.child("action"), action, detail));
            }
            _ if ACTIONS.contains(&action) => {}
            _ => errors.push(FieldError::not_supported(place.child("action"), action, &ACTIONS)),
        }
        let (codes, conditions) = (get(rule, "onExitCodes"), items(rule, "onPodConditions"));
        if !codes.is_null() {
            exit_codes(codes, spec, &place.child("onExitCodes"), errors);
        }
        pod_conditions(conditions, &place.child("onPodConditions"), errors);
        match (codes.is_null(), conditions.is_empty()) {
            (false, false) => {
                errors.push(faulty(&place, "specifying both OnExitCodes and OnPodConditions is not supported"));
            }
            (true, true) => {
                errors.push(faulty(&place, "specifying one of OnExitCodes and OnPodConditions is required"));
            }
            _ => {}
        }
    }
}

fn exit_codes(codes: &Value, spec: &Value, place: &Place, errors: &mut ErrorList) {
    const OPERATORS: [&str; 2] = ["In", "NotIn"];
    let operator = text(codes, "operator");
    match operator {
        "" => errors.push(FieldError::required(place.child("operator"), valid_values(&OPERATORS))),
        _ if OPERATORS.contains(&operator) => {}
        _ => errors.push(FieldError::not_supported(place.child("operator"), operator, &OPERATORS)),
    }
    if let Some(name) = maybe_text(codes, "containerName") {
        let pod = at(spec, &["template", "spec"]);
        let known = ["containers", "initContainers"].iter().flat_map(|list| items(pod, list));
        if !known.into_iter().any(|container| text(container, "name") == name) {
            let detail = "must be one of the container or initContainer names in the pod template";
            errors.push(FieldError::invalid(place.child("containerName"), name, detail));
        }
    }
    let values: Vec<i64> = items(codes, "values").iter().filter_map(Value::as_i64).collect();
    let list = place.child("values");
    let shown = get(codes, "values");
    if values.is_empty() {
        errors.push(FieldError::invalid(list, shown.clone(), "at least one value is required"));
    } else if values.len() > 255 {
        errors.push(FieldError::too_many(list, values.len(), 255));
    }
    for (index, value) in values.iter().enumerate() {
        let place = list.index(index);
        if operator == "In" && *value == 0 {
            errors.push(FieldError::invalid(place, 0, "must not be 0 for the In operator"));
        }
        if values[..index].contains(value) {
            errors.push(FieldError::duplicate(place, *value));
        }
    }
    if !values.is_sorted() {
        errors.push(FieldError::invalid(list, shown.clone(), "must be ordered"));
    }
}

fn pod_conditions(conditions: &[Value], list: &Place, errors: &mut ErrorList) {
    const STATUSES: [&str; 3] = ["False", "True", "Unknown"];
    if conditions.len() > 20 {
        errors.push(FieldError::too_many(list, conditions.len(), 20));
    }
    for (index, pattern) in conditions.iter().enumerate() {
        let place = list.index(index);
        labels::validate_key(text(pattern, "type"), &place.child("type"), errors);
        match text(pattern, "status") {
            "" => errors.push(FieldError::required(place.child("status"), valid_values(&STATUSES))),
            status if STATUSES.contains(&status) => {}
            status => errors.push(FieldError::not_supported(place.child("status"), status, &STATUSES)),
        }
    }
}

pub(super) fn success_policy(spec: &Value, place: &Place, errors: &mut ErrorList) {
    let rules = items(get(spec, "successPolicy"), "rules");
    let list = place.child("rules");
    if rules.is_empty() {
        let detail = "at least one rules must be specified when the successPolicy is specified";
        errors.push(FieldError::required(list, detail));
    }
    if rules.len() > 20 {
        errors.push(FieldError::too_many(list, rules.len(), 20));
    }
    let completions = integer(spec, "completions");
    for (index, rule) in rules.iter().enumerate() {
        success_rule(rule, completions, &list.index(index), errors);
    }
}

fn success_rule(rule: &Value, completions: i64, place: &Place, errors: &mut ErrorList) {
    let (count, indexes) = (number(rule, "succeededCount"), maybe_text(rule, "succeededIndexes"));
    if count.is_none() && indexes.is_none() {
        let detail = "at least one of succeededCount or succeededIndexes must be specified";
        errors.push(FieldError::required(place, detail));
    }
    let mut total = 0;
    if let Some(indexes) = indexes {
        let place = place.child("succeededIndexes");
        if indexes.len() > 64 * 1024 {
            errors.push(FieldError::too_long(place, 64 * 1024));
        }
        match count_indexes(indexes, completions) {
            Ok(found) => total = found,
            Err(fault) => {
                let detail = format!("error parsing succeededIndexes: {fault}");
                errors.push(FieldError::invalid(place, indexes, detail));
            }
        }
    }
    let Some(count) = count else { return };
    let place = place.child("succeededCount");
    nonnegative(count, &place, errors);
    if count > completions {
        let detail = format!("must be less than or equal to {completions} (the number of specified completions)");
        errors.push(FieldError::invalid(place, count, detail));
    }
    if indexes.is_some() && count > total {
        let detail = format!(
            "must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
        );
        errors.push(FieldError::invalid(place, count, detail));
    }
}

/// Counts the indexes of `0,2-5`.
pub(super) fn count_indexes(text: &str, completions: i64) -> Result<i64, String> {
    if text.is_empty() {
        return Ok(0);
    }
    let (mut total, mut last) = (0_i64, None);
    for part in text.split(',') {
        let (first, end) = interval(part, completions)?;
        if let Some(last) = last.filter(|last| *last >= first) {
            return Err(format!("non-increasing order, previous: {last}, current: {first}"));
        }
        total = total.saturating_add(end.saturating_sub(first).saturating_add(1));
        last = Some(end);
    }
    Ok(total)
}

pub(super) fn interval(text: &str, completions: i64) -> Result<(i64, i64), String> {
    let parts: Vec<&str> = text.split('-').collect();
    if parts.len() > 2 {
        return Err(format!(
            "the fragment {text:?} violates the requirement that an index interval can have at most two parts separated by '-'"
        ));
    }
    let index = |part: &str| {
        let value: i64 = part.parse().map_err(|_| format!("cannot convert string to integer for index: {part:?}"))?;
        if value >= completions { Err(format!("too large index: {part:?}")) } else { Ok(value) }
    };
    let first = index(parts[0])?;
    let Some(end) = parts.get(1) else { return Ok((first, first)) };
    let end = index(end)?;
    if first >= end {
        return Err(format!("non-increasing order, previous: {first}, current: {end}"));
    }
    Ok((first, end))
}
