//! Deployment, ReplicaSet, ReplicationController, ControllerRevision, and what all workloads share.
//!
//! After `pkg/apis/apps` and `pkg/registry/apps`. What the controllers then do is `core::workload`.

pub mod daemon_set;
pub mod stateful_set;
pub mod status;

use serde_json::{Value, json};

use super::labels::{self, Values};
use super::meta::{self, immutable};
use super::place::Place;
use super::pod::containers::{nonnegative, nonnegative_field};
use super::pod::spec::validate_template;
use super::pod::{defaults, warnings as pod_warnings};
use super::strategy::Context;
use super::value::{
    at, default_text, default_to, ensure, entries, get, get_mut, integer, keep, map_of, number, present, put, remove,
    same_field, text,
};
use super::{names, strategy};
use crate::core::field::{ErrorList, FieldError};

/// What `spec.template` gets in every kind that has one.
pub fn default_template(spec: &mut Value) {
    if let Some(template) = ensure(spec, "template") {
        defaults::template(template);
    }
}

/// Drops fields of the template whose features are off.
pub fn drop_template_fields(object: &mut Value, old: &Value, path: &[&str]) {
    if let Some(spec) = super::value::at_mut(object, path) {
        defaults::drop_disabled(spec, at(old, path));
    }
}

const TEMPLATE_SPEC: [&str; 3] = ["spec", "template", "spec"];

/// Defaults of a Deployment.
pub fn default_deployment(object: &mut Value) {
    let Some(spec) = ensure(object, "spec") else { return };
    default_to(spec, "replicas", 1);
    if let Some(strategy) = ensure(spec, "strategy") {
        default_text(strategy, "type", "RollingUpdate");
        if text(strategy, "type") == "RollingUpdate"
            && let Some(rolling) = ensure(strategy, "rollingUpdate")
        {
            default_to(rolling, "maxUnavailable", "25%");
            default_to(rolling, "maxSurge", "25%");
        }
    }
    default_to(spec, "revisionHistoryLimit", 10);
    default_to(spec, "progressDeadlineSeconds", 600);
    default_template(spec);
}

/// Defaults of a ReplicaSet.
pub fn default_replica_set(object: &mut Value) {
    let Some(spec) = ensure(object, "spec") else { return };
    default_to(spec, "replicas", 1);
    default_template(spec);
}

/// Defaults of a ReplicationController: the selector and the labels are those of its pods.
pub fn default_replication_controller(object: &mut Value) {
    let labels = at(object, &["spec", "template", "metadata", "labels"]).clone();
    if let Some(spec) = ensure(object, "spec") {
        default_to(spec, "replicas", 1);
        if present(spec, "template") {
            default_template(spec);
        }
        if labels.is_object() && entries(spec, "selector").is_empty() {
            put(spec, "selector", labels.clone());
        }
    }
    if labels.is_object()
        && meta::labels_of(object).is_empty()
        && let Some(meta) = ensure(object, "metadata")
    {
        put(meta, "labels", labels);
    }
}

/// Drops what is switched off in a new object's template.
pub fn prepare_create(object: &mut Value, _: &Context) {
    drop_template_fields(object, &Value::Null, &TEMPLATE_SPEC);
}

/// Keeps the status and drops what is switched off in the template.
pub fn prepare_update(new: &mut Value, old: &Value, _: &Context) {
    keep(new, old, "status");
    drop_template_fields(new, old, &TEMPLATE_SPEC);
}

/// As [`prepare_update`]; a change of annotations counts as a change too.
pub fn prepare_deployment_update(new: &mut Value, old: &Value, ctx: &Context) {
    prepare_update(new, old, ctx);
    let annotations = |object: &'_ Value| get(get(object, "metadata"), "annotations").clone();
    let equal = |left: Value, right: Value| map_of(&left) == map_of(&right);
    if !same_field(new, old, "spec") || !equal(annotations(new), annotations(old)) {
        meta::set_generation(new, meta::generation(old).saturating_add(1));
    }
}

/// Keeps the specification, and the labels, of a Deployment.
pub fn prepare_deployment_status(new: &mut Value, old: &Value, _: &Context) {
    keep(new, old, "spec");
    if let Some(meta) = ensure(new, "metadata") {
        keep(meta, get(old, "metadata"), "labels");
    }
    drop_terminating(new, old);
}

/// Keeps the specification of a ReplicaSet.
pub fn prepare_replica_set_status(new: &mut Value, old: &Value, _: &Context) {
    keep(new, old, "spec");
    drop_terminating(new, old);
}

fn drop_terminating(new: &mut Value, old: &Value) {
    if !present(get(old, "status"), "terminatingReplicas")
        && let Some(status) = get_mut(new, "status")
    {
        remove(status, "terminatingReplicas");
    }
}

/// Checks a selector that must select something, and returns whether it can be used.
fn selector(spec: &Value, kind: &str, place: &Place, errors: &mut ErrorList) {
    let (selector, place) = (get(spec, "selector"), place.child("selector"));
    if selector.is_null() {
        errors.push(FieldError::required(place, ""));
        return;
    }
    labels::validate_selector(selector, Values::Checked, &place, errors);
    if labels::is_empty_selector(selector) {
        let detail = format!("empty selector is invalid for {kind}");
        errors.push(FieldError::invalid(place, selector.clone(), detail));
    }
}

/// Checks that a selector selects the pods of the template beside it.
fn selects_template(spec: &Value, place: &Place, errors: &mut ErrorList) {
    let selector = get(spec, "selector");
    let template_labels = at(spec, &["template", "metadata", "labels"]);
    let chooses = selector.is_null() || !labels::is_empty_selector(selector);
    if chooses && (selector.is_null() || !labels::matches(selector, map_of(template_labels))) {
        mismatch(template_labels, place, errors);
    }
}

fn mismatch(template_labels: &Value, place: &Place, errors: &mut ErrorList) {
    let place = place.child("template");
    let place = place.child("metadata");
    let detail = "`selector` does not match template `labels`";
    errors.push(FieldError::invalid(place.child("labels"), template_labels.clone(), detail));
}

/// A template whose pods always run.
fn always_running(spec: &Value, kind: &str, place: &Place, errors: &mut ErrorList) {
    let pod = at(spec, &["template", "spec"]);
    let place = place.child("template");
    let place = place.child("spec");
    let policy = text(pod, "restartPolicy");
    if policy != "Always" {
        errors.push(FieldError::not_supported(place.child("restartPolicy"), policy, &["Always"]));
    }
    if present(pod, "activeDeadlineSeconds") {
        let detail = format!("activeDeadlineSeconds in {kind} is not Supported");
        errors.push(FieldError::forbidden(place.child("activeDeadlineSeconds"), detail));
    }
}

fn replica_set_template(spec: &Value, place: &Place, errors: &mut ErrorList) {
    if !labels::is_convertible(get(spec, "selector")) {
        let given = get(spec, "selector").clone();
        errors.push(FieldError::invalid(place.child("selector"), given, "invalid label selector"));
        return;
    }
    selects_template(spec, place, errors);
    validate_template(get(spec, "template"), &place.child("template"), errors);
    always_running(spec, "ReplicaSet", place, errors);
}

/// Checks a Deployment.
pub fn validate_deployment(object: &Value, errors: &mut ErrorList) {
    let (spec, place) = (get(object, "spec"), Place::root("spec"));
    nonnegative_field(spec, "replicas", &place, errors);
    selector(spec, "deployment", &place, errors);
    replica_set_template(spec, &place, errors);
    deployment_strategy(get(spec, "strategy"), &place.child("strategy"), errors);
    nonnegative_field(spec, "minReadySeconds", &place, errors);
    nonnegative_field(spec, "revisionHistoryLimit", &place, errors);
    nonnegative_field(spec, "progressDeadlineSeconds", &place, errors);
    if let Some(deadline) = number(spec, "progressDeadlineSeconds")
        && deadline <= integer(spec, "minReadySeconds")
    {
        let place = place.child("progressDeadlineSeconds");
        errors.push(FieldError::invalid(place, deadline, "must be greater than minReadySeconds"));
    }
}

fn deployment_strategy(strategy: &Value, place: &Place, errors: &mut ErrorList) {
    let rolling = get(strategy, "rollingUpdate");
    let rolling_place = place.child("rollingUpdate");
    match text(strategy, "type") {
        "Recreate" => {
            if !rolling.is_null() {
                let detail = "may not be specified when strategy `type` is 'Recreate'";
                errors.push(FieldError::forbidden(rolling_place, detail));
            }
        }
        "RollingUpdate" => {
            if rolling.is_null() {
                errors.push(FieldError::required(rolling_place, "this should be defaulted and never be nil"));
                return;
            }
            let (unavailable, surge) = (get(rolling, "maxUnavailable"), get(rolling, "maxSurge"));
            let unavailable_place = rolling_place.child("maxUnavailable");
            count_or_percent(unavailable, &unavailable_place, errors);
            count_or_percent(surge, &rolling_place.child("maxSurge"), errors);
            if amount(unavailable) == 0 && amount(surge) == 0 {
                let detail = "may not be 0 when `maxSurge` is 0";
                errors.push(FieldError::invalid(unavailable_place, unavailable.clone(), detail));
            }
            at_most_all(unavailable, &unavailable_place, errors);
        }
        other => {
            let shown = json!({"Type": other, "RollingUpdate": get(strategy, "rollingUpdate")});
            errors.push(FieldError::not_supported(place, shown, &["Recreate", "RollingUpdate"]));
        }
    }
}

/// Checks a number that is a count or a percentage, not negative.
pub fn count_or_percent(value: &Value, place: &Place, errors: &mut ErrorList) {
    match value {
        Value::String(text) => {
            for fault in names::percent(text) {
                errors.push(FieldError::invalid(place, text.as_str(), fault));
            }
        }
        other => nonnegative(other.as_i64().unwrap_or(0), place, errors),
    }
}

/// Refuses more than 100 %.
pub fn at_most_all(value: &Value, place: &Place, errors: &mut ErrorList) {
    if percentage(value).is_some_and(|percent| percent > 100) {
        errors.push(FieldError::invalid(place, value.clone(), "must not be greater than 100%"));
    }
}

fn percentage(value: &Value) -> Option<i64> {
    let text = value.as_str().filter(|text| names::percent(text).is_empty())?;
    text.strip_suffix('%').and_then(|digits| digits.parse().ok())
}

fn amount(value: &Value) -> i64 {
    percentage(value)
        .or_else(|| value.as_i64())
        .or_else(|| value.as_str().and_then(|text| text.parse().ok()))
        .unwrap_or(0)
}

/// Checks a ReplicaSet.
pub fn validate_replica_set(object: &Value, errors: &mut ErrorList) {
    let (spec, place) = (get(object, "spec"), Place::root("spec"));
    nonnegative_field(spec, "replicas", &place, errors);
    nonnegative_field(spec, "minReadySeconds", &place, errors);
    // Upstream names the wrong kind.
    selector(spec, "deployment", &place, errors);
    replica_set_template(spec, &place, errors);
}

/// Checks a ReplicationController.
pub fn validate_replication_controller(object: &Value, errors: &mut ErrorList) {
    let (spec, place) = (get(object, "spec"), Place::root("spec"));
    nonnegative_field(spec, "minReadySeconds", &place, errors);
    let selector = entries(spec, "selector");
    if selector.is_empty() {
        errors.push(FieldError::required(place.child("selector"), ""));
    }
    match number(spec, "replicas") {
        None => errors.push(FieldError::required(place.child("replicas"), "")),
        Some(replicas) => nonnegative(replicas, &place.child("replicas"), errors),
    }
    let template = get(spec, "template");
    let template_place = place.child("template");
    if template.is_null() {
        errors.push(FieldError::required(template_place, ""));
        return;
    }
    let template_labels = at(template, &["metadata", "labels"]);
    let own = map_of(template_labels);
    if selector.iter().any(|(key, value)| own.get(key) != Some(value)) {
        mismatch(template_labels, &place, errors);
    }
    validate_template(template, &template_place, errors);
    always_running(spec, "ReplicationController", &place, errors);
}

/// The selector of these kinds stays as it was created.
pub fn selector_is_immutable(new: &Value, old: &Value, errors: &mut ErrorList) {
    let place = Place::root("spec");
    let path = ["spec", "selector"];
    immutable(at(new, &path), at(old, &path), &place.child("selector"), errors);
}

/// Checks a ControllerRevision; its data must be an object.
pub fn validate_controller_revision(object: &Value, errors: &mut ErrorList) {
    nonnegative(integer(object, "revision"), &Place::root("revision"), errors);
    let place = Place::root("data");
    match get(object, "data") {
        Value::Object(_) => {}
        Value::Null => errors.push(FieldError::required(place, "data is mandatory")),
        _ => errors.push(FieldError::required(place, "data must be a valid JSON object")),
    }
}

/// Checks an update of a ControllerRevision.
pub fn validate_controller_revision_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    nonnegative(integer(new, "revision"), &Place::root("revision"), errors);
    immutable(get(new, "data"), get(old, "data"), &Place::root("data"), errors);
}

/// Warnings about the template, and about a name that pods cannot carry on.
pub fn warn(object: &Value, old: Option<&Value>, warnings: &mut Vec<String>) {
    match old {
        None => strategy::warn_host_name(object, "Pod names and hostnames", warnings),
        Some(old) if meta::generation(object) == meta::generation(old) => return,
        Some(_) => {}
    }
    warn_template(object, warnings);
}

/// Warnings about the template alone.
pub fn warn_template_only(object: &Value, old: Option<&Value>, warnings: &mut Vec<String>) {
    if old.is_none_or(|old| meta::generation(object) != meta::generation(old)) {
        warn_template(object, warnings);
    }
}

fn warn_template(object: &Value, warnings: &mut Vec<String>) {
    let place = Place::root("spec");
    pod_warnings::of_template(at(object, &["spec", "template"]), &place.child("template"), warnings);
}
