//! Job and CronJob.
//!
//! After `pkg/apis/batch` and `pkg/registry/batch`. What the controllers then do is `core::job`.

use serde_json::{Value, json};

use super::labels::{self, Values};
use super::meta::{self, immutable};
use super::place::Place;
use super::pod::containers::{nonnegative, nonnegative_field};
use super::pod::spec::{fault_list, validate_template};
use super::pod::warnings as pod_warnings;
use super::strategy::{self, Context};
use super::value::{
    at, at_mut, default_text, default_to, ensure, entries, flag, get, indexed, integer, items, items_mut, keep, map_of,
    maybe_text, number, present, put, remove, same, same_field, text,
};
use super::{apps, cron, names};
use crate::core::field::{ErrorList, FieldError};

const CONTROLLER_UID: &str = "batch.kubernetes.io/controller-uid";
const JOB_NAME: &str = "batch.kubernetes.io/job-name";
const LEGACY_CONTROLLER_UID: &str = "controller-uid";
const LEGACY_JOB_NAME: &str = "job-name";
const TEMPLATE_SPEC: [&str; 3] = ["spec", "template", "spec"];

/// Defaults of a Job.
pub fn default_job(object: &mut Value) {
    let Some(spec) = ensure(object, "spec") else { return };
    if !present(spec, "completions") && !present(spec, "parallelism") {
        put(spec, "completions", 1);
    }
    default_to(spec, "parallelism", 1);
    let limit = if present(spec, "backoffLimitPerIndex") { i64::from(i32::MAX) } else { 6 };
    default_to(spec, "backoffLimit", limit);
    default_to(spec, "completionMode", "NonIndexed");
    default_to(spec, "suspend", false);
    let replacement = if present(spec, "podFailurePolicy") { "Failed" } else { "TerminatingOrFailed" };
    default_to(spec, "podReplacementPolicy", replacement);
    default_to(spec, "manualSelector", false);
    default_job_spec(spec);
}

/// A Job without labels has those of its pods, the generated ones included.
fn label_as_pods(object: &mut Value) {
    let labels = at(object, &["spec", "template", "metadata", "labels"]).clone();
    if labels.is_object() && meta::labels_of(object).is_empty() {
        if let Some(meta) = ensure(object, "metadata") {
            put(meta, "labels", labels);
        }
    }
}

/// Keeps the status and drops what is switched off in the template.
pub fn prepare_job_update(new: &mut Value, old: &Value, _: &Context) {
    keep(new, old, "status");
    label_as_pods(new);
    apps::drop_template_fields(new, old, &TEMPLATE_SPEC);
}

/// What a job gets alone and inside a CronJob.
fn default_job_spec(spec: &mut Value) {
    apps::default_template(spec);
    let Some(policy) = super::value::get_mut(spec, "podFailurePolicy") else { return };
    for rule in items_mut(policy, "rules") {
        for pattern in items_mut(rule, "onPodConditions") {
            default_text(pattern, "status", "True");
        }
    }
}

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

/// A new Job gets labels that name it, and a selector for them, unless it selects by hand.
pub fn prepare_job(object: &mut Value, _: &Context) {
    let (name, uid) = {
        let meta = get(object, "metadata");
        (text(meta, "name").to_owned(), text(meta, "uid").to_owned())
    };
    if !flag(get(object, "spec"), "manualSelector") {
        generate_selector(object, &name, &uid);
    }
    label_as_pods(object);
    apps::drop_template_fields(object, &Value::Null, &TEMPLATE_SPEC);
}

fn generate_selector(object: &mut Value, name: &str, uid: &str) {
    let Some(spec) = ensure(object, "spec") else { return };
    let template = ensure(spec, "template").and_then(|template| ensure(template, "metadata"));
    if let Some(labels) = template.and_then(|meta| ensure(meta, "labels")) {
        for (key, value) in
            [(LEGACY_JOB_NAME, name), (JOB_NAME, name), (LEGACY_CONTROLLER_UID, uid), (CONTROLLER_UID, uid)]
        {
            default_to(labels, key, value);
        }
    }
    if let Some(labels) = ensure(spec, "selector").and_then(|selector| ensure(selector, "matchLabels")) {
        default_to(labels, CONTROLLER_UID, uid);
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

/// Checks a Job.
pub fn validate_job(object: &Value, errors: &mut ErrorList) {
    generated_selector(object, Labels::Prefixed, errors);
    validate_spec(object, errors);
    let spec = get(object, "spec");
    let completions = integer(spec, "completions");
    if text(spec, "completionMode") == "Indexed" && completions > 0 {
        let name = text(get(object, "metadata"), "name");
        let last = format!("{name}-{}", completions.saturating_sub(1));
        if !names::dns_label(&last).is_empty() {
            let place = Place::root("metadata");
            let detail = format!("will not able to create pod with invalid DNS label: {last}");
            errors.push(FieldError::invalid(place.child("name"), name, detail));
        }
    }
}

/// Which of the labels of a job's pods are asked for; jobs of old have none with a prefix.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Labels {
    Prefixed,
    Legacy,
}

fn generated_selector(object: &Value, which: Labels, errors: &mut ErrorList) {
    let (meta, spec) = (get(object, "metadata"), get(object, "spec"));
    if flag(spec, "manualSelector") || !present(spec, "selector") {
        return;
    }
    let (name, uid) = (text(meta, "name"), text(meta, "uid"));
    if uid.is_empty() {
        errors.push(FieldError::required(Place::root("metadata").child("uid"), ""));
    }
    let mut expected = vec![(LEGACY_CONTROLLER_UID, uid), (LEGACY_JOB_NAME, name)];
    if which == Labels::Prefixed {
        expected.extend([(CONTROLLER_UID, uid), (JOB_NAME, name)]);
    }
    let template_labels = at(spec, &["template", "metadata", "labels"]);
    let place = Place::root("spec");
    let labels_place = place.child("template");
    let labels_place = labels_place.child("metadata");
    let labels_place = labels_place.child("labels");
    for (key, value) in &expected {
        let detail = format!("must be '{value}'");
        match map_of(template_labels).get(*key) {
            None => errors.push(FieldError::required(labels_place.key(key), detail)),
            Some(found) if found != value => {
                errors.push(FieldError::invalid(labels_place.key(key), template_labels.clone(), detail));
            }
            Some(_) => {}
        }
    }
    let selector = get(spec, "selector");
    let own: Value = expected.iter().map(|(key, value)| ((*key).to_owned(), Value::from(*value))).collect();
    if labels::is_convertible(selector) && !labels::matches(selector, map_of(&own)) {
        errors.push(FieldError::invalid(place.child("selector"), selector.clone(), "`selector` not auto-generated"));
    }
}

/// Checks the specification of a job of its own.
fn validate_spec(object: &Value, errors: &mut ErrorList) {
    let (spec, place) = (get(object, "spec"), Place::root("spec"));
    job_spec(spec, &place, errors);
    let selector = get(spec, "selector");
    if selector.is_null() {
        errors.push(FieldError::required(place.child("selector"), ""));
    }
    labels::validate_selector(selector, Values::Checked, &place.child("selector"), errors);
    let template_labels = at(spec, &["template", "metadata", "labels"]);
    if labels::is_convertible(selector) && !labels::matches(selector, map_of(template_labels)) {
        let place = place.child("template");
        let place = place.child("metadata");
        let detail = "`selector` does not match template `labels`";
        errors.push(FieldError::invalid(place.child("labels"), template_labels.clone(), detail));
    }
}

fn job_spec(spec: &Value, place: &Place, errors: &mut ErrorList) {
    const COUNTS: [&str; 7] = [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ];
    for key in COUNTS {
        nonnegative_field(spec, key, place, errors);
    }
    if present(spec, "maxFailedIndexes") && !present(spec, "backoffLimitPerIndex") {
        let detail = "when maxFailedIndexes is specified";
        errors.push(FieldError::required(place.child("backoffLimitPerIndex"), detail));
    }
    if let Some(manager) = maybe_text(spec, "managedBy") {
        let place = place.child("managedBy");
        domain_prefixed_path(manager, &place, errors);
        if manager.len() > 63 {
            errors.push(FieldError::too_long(place, 63));
        }
    }
    completion_mode(spec, place, errors);
    if present(spec, "podFailurePolicy") {
        pod_failure_policy(spec, &place.child("podFailurePolicy"), errors);
    }
    if present(spec, "successPolicy") {
        let place = place.child("successPolicy");
        if text(spec, "completionMode") == "Indexed" {
            success_policy(spec, &place, errors);
        } else {
            let rules: Vec<Value> = items(get(spec, "successPolicy"), "rules")
                .iter()
                .map(|rule| {
                    json!({"SucceededIndexes": get(rule, "succeededIndexes"), "SucceededCount": get(rule, "succeededCount")})
                })
                .collect();
            errors.push(FieldError::invalid(place, json!({ "Rules": rules }), "requires indexed completion mode"));
        }
    }
    replacement_policy(spec, &place.child("podReplacementPolicy"), errors);
    validate_template(get(spec, "template"), &place.child("template"), errors);
    restart_policy(spec, place, errors);
}

/// Checks `domain/path`.
pub fn domain_prefixed_path(value: &str, place: &Place, errors: &mut ErrorList) {
    if value.is_empty() {
        errors.push(FieldError::required(place, ""));
        return;
    }
    let Some((host, path)) = value.split_once('/').filter(|(host, path)| !host.is_empty() && !path.is_empty()) else {
        let detail = "must be a domain-prefixed path (such as \"acme.io/foo\")";
        errors.push(FieldError::invalid(place, value, detail));
        return;
    };
    fault_list(names::dns_subdomain(host), host, place, errors);
    if !names::http_path_shape(path) {
        errors.push(FieldError::invalid(place, path, names::http_path_fault()));
    }
}

fn completion_mode(spec: &Value, place: &Place, errors: &mut ErrorList) {
    let mode = maybe_text(spec, "completionMode");
    if let Some(other) = mode.filter(|mode| !matches!(*mode, "NonIndexed" | "Indexed")) {
        let modes = ["NonIndexed", "Indexed"];
        errors.push(FieldError::not_supported(place.child("completionMode"), other, &modes));
    }
    if mode == Some("Indexed") {
        indexed_mode(spec, place, errors);
    }
    if matches!(mode, None | Some("NonIndexed")) {
        for key in ["backoffLimitPerIndex", "maxFailedIndexes"] {
            if let Some(value) = number(spec, key) {
                errors.push(FieldError::invalid(place.child(key), value, "requires indexed completion mode"));
            }
        }
    }
}

fn indexed_mode(spec: &Value, place: &Place, errors: &mut ErrorList) {
    const MAX_PARALLELISM: i64 = 100_000;
    const MANY_COMPLETIONS: i64 = 100_000;
    const MAX_OF_MANY: i64 = 10_000;
    let parallelism = number(spec, "parallelism");
    let (completions, failed) = (number(spec, "completions"), number(spec, "maxFailedIndexes"));
    let parallelism_place = place.child("parallelism");
    let failed_place = place.child("maxFailedIndexes");
    let Some(completions) = completions else {
        errors.push(FieldError::required(place.child("completions"), "when completion mode is Indexed"));
        return;
    };
    if let Some(value) = parallelism.filter(|value| *value > MAX_PARALLELISM) {
        let detail = format!("must be less than or equal to {MAX_PARALLELISM} when completion mode is Indexed");
        errors.push(FieldError::invalid(parallelism_place, value, detail));
    }
    if let Some(value) = failed.filter(|value| *value > completions) {
        errors.push(FieldError::invalid(failed_place, value, "must be less than or equal to completions"));
    }
    if let Some(value) = failed.filter(|value| *value > MAX_PARALLELISM) {
        let detail = format!("must be less than or equal to {MAX_PARALLELISM}");
        errors.push(FieldError::invalid(failed_place, value, detail));
    }
    if completions <= MANY_COMPLETIONS || !present(spec, "backoffLimitPerIndex") {
        return;
    }
    let detail = format!(
        "must be less than or equal to {MAX_OF_MANY} when completions are above {MANY_COMPLETIONS} and used with backoff limit per index"
    );
    if failed.is_none() {
        let detail = format!("must be specified when completions is above {MANY_COMPLETIONS}");
        errors.push(FieldError::required(failed_place, detail));
    }
    if let Some(value) = parallelism.filter(|value| *value > MAX_OF_MANY) {
        errors.push(FieldError::invalid(parallelism_place, value, detail.as_str()));
    }
    if let Some(value) = failed.filter(|value| *value > MAX_OF_MANY) {
        errors.push(FieldError::invalid(failed_place, value, detail.as_str()));
    }
}

fn replacement_policy(spec: &Value, place: &Place, errors: &mut ErrorList) {
    let Some(policy) = maybe_text(spec, "podReplacementPolicy") else { return };
    let supported: &[&str] =
        if present(spec, "podFailurePolicy") { &["Failed"] } else { &["Failed", "TerminatingOrFailed"] };
    if !supported.contains(&policy) {
        errors.push(FieldError::not_supported(place, policy, supported));
    }
}

fn restart_policy(spec: &Value, place: &Place, errors: &mut ErrorList) {
    let policy = text(at(spec, &["template", "spec"]), "restartPolicy");
    let place = place.child("template");
    let place = place.child("spec");
    let place = place.child("restartPolicy");
    match policy {
        "Always" | "" => {
            errors.push(FieldError::required(place, "valid values: \"OnFailure\", \"Never\""));
        }
        "OnFailure" if present(spec, "podFailurePolicy") => {
            let detail = "only \"Never\" is supported when podFailurePolicy is specified";
            errors.push(FieldError::invalid(place, policy, detail));
        }
        "OnFailure" | "Never" => {}
        _ => errors.push(FieldError::not_supported(place, policy, &["OnFailure", "Never"])),
    }
}

fn valid_values(values: &[&str]) -> String {
    let quoted: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
    format!("valid values: [{}]", quoted.join(" "))
}

/// An invalid value whose own text is left out.
fn faulty(place: &Place, detail: impl Into<String>) -> FieldError {
    let mut error = FieldError::invalid(place, Value::Null, detail);
    error.bad_value = None;
    error
}

fn pod_failure_policy(spec: &Value, place: &Place, errors: &mut ErrorList) {
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

fn success_policy(spec: &Value, place: &Place, errors: &mut ErrorList) {
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
fn count_indexes(text: &str, completions: i64) -> Result<i64, String> {
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

fn interval(text: &str, completions: i64) -> Result<(i64, i64), String> {
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

/// Checks an update of a Job: little but parallelism, suspension and deadlines may change.
pub fn validate_job_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    validate_spec(new, errors);
    let (new_spec, old_spec, place) = (get(new, "spec"), get(old, "spec"), Place::root("spec"));
    completions_update(new_spec, old_spec, &place.child("completions"), errors);
    immutable(get(new_spec, "selector"), get(old_spec, "selector"), &place.child("selector"), errors);
    template_update(new, old, &place.child("template"), errors);
    for key in ["completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"] {
        immutable(get(new_spec, key), get(old_spec, key), &place.child(key), errors);
    }
}

/// Checks a Job on update, where jobs of old may lack the labels with a prefix.
pub fn validate_job_on_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    let before = entries(at(old, &["spec", "template", "metadata"]), "labels");
    if before.contains_key(JOB_NAME) && before.contains_key(CONTROLLER_UID) {
        validate_job(new, errors);
    } else {
        generated_selector(new, Labels::Legacy, errors);
        validate_spec(new, errors);
    }
}

fn completions_update(new: &Value, old: &Value, place: &Place, errors: &mut ErrorList) {
    let (after, before) = (get(new, "completions"), get(old, "completions"));
    if text(new, "completionMode") != "Indexed" {
        immutable(after, before, place, errors);
    } else if after != before && !after.is_null() && after != get(new, "parallelism") {
        // Upstream names the root of the path.
        let detail = "can only be modified in tandem with spec.parallelism";
        errors.push(FieldError::invalid(place, after.clone(), detail));
    }
}

/// The template stays, but for where its pods run while the job is suspended and has not started.
fn template_update(new: &Value, old: &Value, place: &Place, errors: &mut ErrorList) {
    let template = at(new, &["spec", "template"]);
    let mut allowed = at(old, &["spec", "template"]).clone();
    let unstarted = flag(get(old, "spec"), "suspend") && !present(get(old, "status"), "startTime");
    if unstarted {
        if let Some(meta) = ensure(&mut allowed, "metadata") {
            keep(meta, get(template, "metadata"), "annotations");
            keep(meta, get(template, "metadata"), "labels");
        }
        if let Some(pod) = ensure(&mut allowed, "spec") {
            for key in ["nodeSelector", "tolerations", "schedulingGates"] {
                keep(pod, get(template, "spec"), key);
            }
            allow_node_affinity(pod, get(template, "spec"));
        }
    }
    if !same(template, &allowed) {
        errors.push(FieldError::invalid(place, template.clone(), "field is immutable"));
    }
}

fn allow_node_affinity(pod: &mut Value, new: &Value) {
    let given = get(new, "affinity");
    match (given.is_null(), present(pod, "affinity")) {
        (true, false) => {}
        (true, true) => {
            if let Some(affinity) = at_mut(pod, &["affinity"]) {
                remove(affinity, "nodeAffinity");
                if map_of(affinity).is_empty() {
                    remove(pod, "affinity");
                }
            }
        }
        (false, _) => {
            if let Some(affinity) = ensure(pod, "affinity") {
                keep(affinity, given, "nodeAffinity");
            }
        }
    }
}

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
        if let (Some(start), Some(end)) = (start, end) {
            if end < start {
                errors.push(FieldError::invalid(place_of_end, end, "must be equal to or after `startTime`"));
            }
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
    if let (Some(count), Some(failed), true, true) = (completions, failed, failed_changed, per_index) {
        if let Err(fault) = count_indexes(failed, count) {
            let detail = format!("error parsing failedIndexes: {fault}");
            errors.push(FieldError::invalid(failed_place, failed, detail));
        }
    }
    if completed_changed && !completed.is_empty() && text(spec, "completionMode") != "Indexed" {
        let detail = "cannot set non-empty completedIndexes when non-indexed completion mode";
        errors.push(FieldError::invalid(completed_place, completed, detail));
    }
    if let Some(failed) = failed.filter(|_| failed_changed && !per_index) {
        let detail = "cannot set non-null failedIndexes when backoffLimitPerIndex is null";
        errors.push(FieldError::invalid(failed_place, failed, detail));
    }
    if let (Some(count), Some(failed), true) = (completions, failed, failed_changed || completed_changed) {
        if let Some(index) = overlap(completed, failed, count) {
            let detail = format!("failedIndexes and completedIndexes overlap at index: {index}");
            errors.push(FieldError::invalid(failed_place, failed, detail));
        }
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
    if old.is_none_or(|old| !same_field(old, spec, "timeZone")) {
        if let Some(zone) = maybe_text(spec, "timeZone") {
            time_zone(zone, &place.child("timeZone"), errors);
        }
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

/// Warnings about a Job.
pub fn warn_job(object: &Value, old: Option<&Value>, warnings: &mut Vec<String>) {
    match old {
        None => strategy::warn_host_name(object, "Pod names and hostnames", warnings),
        Some(old) if meta::generation(object) == meta::generation(old) => return,
        Some(_) => {}
    }
    warn_job_spec(get(object, "spec"), &Place::root("spec"), warnings);
}

fn warn_job_spec(spec: &Value, place: &Place, warnings: &mut Vec<String>) {
    let large = integer(spec, "completions") > 100_000 && integer(spec, "parallelism") > 10_000;
    if text(spec, "completionMode") == "Indexed" && large {
        warnings.push(format!(
            "{place}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
        ));
    }
    pod_warnings::of_template(get(spec, "template"), &place.child("template"), warnings);
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
