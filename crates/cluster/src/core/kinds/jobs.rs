//! Job: its selector and labels, its rules, and what of it an update may change.
//!
//! After `pkg/apis/batch` and `pkg/registry/batch`. What the controllers then do is `core::job`.

pub mod cron_job;
pub mod policies;
pub mod status;

use serde_json::{Value, json};

use super::labels::{self, Values};
use super::meta::{self, immutable};
use super::place::Place;
use super::pod::containers::nonnegative_field;
use super::pod::spec::{fault_list, validate_template};
use super::pod::warnings as pod_warnings;
use super::strategy::{self, Context};
use super::value::{
    at, at_mut, default_text, default_to, ensure, entries, flag, get, integer, items, items_mut, keep, map_of,
    maybe_text, number, present, put, remove, same, text,
};
use super::{apps, names};
use crate::core::field::{ErrorList, FieldError};
use policies::{pod_failure_policy, success_policy};

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

/// A Job without labels has those of its pods, the generated ones included. A client owns those that it gave the pods.
pub fn label_as_pods(object: &mut Value) {
    let labels = at(object, &["spec", "template", "metadata", "labels"]).clone();
    if labels.is_object()
        && meta::labels_of(object).is_empty()
        && let Some(meta) = ensure(object, "metadata")
    {
        put(meta, "labels", labels);
    }
}

/// Keeps the status and drops what is switched off in the template.
pub fn prepare_job_update(new: &mut Value, old: &Value, _: &Context) {
    keep(new, old, "status");
    label_as_pods(new);
    apps::drop_template_fields(new, old, &TEMPLATE_SPEC);
}

/// Keeps the specification.
pub fn prepare_job_status(new: &mut Value, old: &Value, ctx: &Context) {
    strategy::keep_spec(new, old, ctx);
    label_as_pods(new);
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
