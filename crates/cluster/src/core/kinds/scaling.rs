//! HorizontalPodAutoscaler, and the subresource `scale` of workloads.
//!
//! After `pkg/apis/autoscaling` and the scale storage of `pkg/registry/{apps,core}`.

use serde_json::{Value, json};

use super::labels;
use super::meta::{self, Finalizers, MetaRules};
use super::names::{self, NameRule};
use super::place::Place;
use super::pod::containers::{nonnegative, nonnegative_field};
use super::pod::spec::fault_list;
use super::resources;
use super::strategy::Context;
use super::value::{
    at, default_to, ensure, entries, get, get_mut, indexed, integer, items, keep, map_of, number, present, put, remove,
    same_field, text,
};
use crate::core::field::{ErrorList, FieldError};

/// Defaults of an autoscaler.
pub fn defaults(object: &mut Value) {
    let Some(spec) = ensure(object, "spec") else { return };
    default_to(spec, "minReplicas", 1);
    if items(spec, "metrics").is_empty() {
        let cpu = json!([{
            "type": "Resource",
            "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
        }]);
        put(spec, "metrics", cpu);
    }
    let Some(behavior) = get_mut(spec, "behavior") else { return };
    let up = json!({
        "stabilizationWindowSeconds": 0,
        "selectPolicy": "Max",
        "policies": [
            {"type": "Pods", "value": 4, "periodSeconds": 15},
            {"type": "Percent", "value": 100, "periodSeconds": 15},
        ],
    });
    let down = json!({
        "selectPolicy": "Max",
        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
    });
    for (key, rules) in [("scaleUp", up), ("scaleDown", down)] {
        let Some(given) = ensure(behavior, key) else { continue };
        for (name, value) in map_of(&rules) {
            default_to(given, name, value.clone());
        }
    }
}

/// Clears the status and drops tolerances, a feature that is off.
pub fn prepare(object: &mut Value, _: &Context) {
    put(object, "status", json!({"currentMetrics": null, "desiredReplicas": 0}));
    drop_tolerance(object, &Value::Null);
}

/// Keeps the status and drops tolerances.
pub fn prepare_update(new: &mut Value, old: &Value, _: &Context) {
    keep(new, old, "status");
    drop_tolerance(new, old);
}

fn drop_tolerance(object: &mut Value, old: &Value) {
    let used = ["scaleUp", "scaleDown"].iter().any(|key| present(at(old, &["spec", "behavior", key]), "tolerance"));
    for key in ["scaleUp", "scaleDown"] {
        if let Some(rules) = super::value::at_mut(object, &["spec", "behavior", key]).filter(|_| !used) {
            remove(rules, "tolerance");
        }
    }
}

/// Checks a new autoscaler.
pub fn validate(object: &Value, errors: &mut ErrorList) {
    validate_spec(object, None, errors);
}

/// Checks a changed autoscaler.
pub fn validate_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    validate_spec(new, Some(get(old, "spec")), errors);
}

fn validate_spec(object: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    let (spec, place) = (get(object, "spec"), Place::root("spec"));
    let (min, max) = (number(spec, "minReplicas"), integer(spec, "maxReplicas"));
    let lower = if old.is_some_and(|old| number(old, "minReplicas") == Some(0)) { 0 } else { 1 };
    if let Some(min) = min.filter(|min| *min < lower) {
        let detail = format!("must be greater than or equal to {lower}");
        errors.push(FieldError::invalid(place.child("minReplicas"), min, detail));
    }
    if max < 1 {
        errors.push(FieldError::invalid(place.child("maxReplicas"), max, "must be greater than 0"));
    }
    if min.is_some_and(|min| max < min) {
        let detail = "must be greater than or equal to `minReplicas`";
        errors.push(FieldError::invalid(place.child("maxReplicas"), max, detail));
    }
    let target = get(spec, "scaleTargetRef");
    let known = |old: &Value| {
        let before = get(old, "scaleTargetRef");
        same_field(target, before, "apiVersion") && same_field(target, before, "kind")
    };
    let rule = match text(target, "kind") {
        _ if old.is_some_and(known) => GroupRule::Unchecked,
        "ReplicationController" => GroupRule::MayBeEmpty,
        _ => GroupRule::Required,
    };
    reference(target, rule, &place.child("scaleTargetRef"), errors);
    metrics(spec, &place.child("metrics"), errors);
    let behavior = place.child("behavior");
    for key in ["scaleUp", "scaleDown"] {
        scaling_rules(get(get(spec, "behavior"), key), &behavior.child(key), errors);
    }
}

/// What the API version of a referred object must have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum GroupRule {
    Required,
    MayBeEmpty,
    Unchecked,
}

fn reference(reference: &Value, rule: GroupRule, place: &Place, errors: &mut ErrorList) {
    for key in ["kind", "name"] {
        segment(reference, key, "", place, errors);
    }
    let version = text(reference, "apiVersion");
    let fault = match version.matches('/').count() {
        0 | 1 => {
            let group = version.split_once('/').map_or("", |(group, _)| group);
            (rule == GroupRule::Required && group.is_empty()).then(|| "apiVersion must specify API group".to_owned())
        }
        _ => Some(format!("unexpected GroupVersion string: {version}")),
    };
    if let Some(fault) = fault.filter(|_| rule != GroupRule::Unchecked) {
        errors.push(FieldError::invalid(place.child("apiVersion"), version, fault));
    }
}

fn segment(object: &Value, key: &str, missing: &str, place: &Place, errors: &mut ErrorList) {
    let value = text(object, key);
    if value.is_empty() {
        errors.push(FieldError::required(place.child(key), missing));
    } else {
        fault_list(names::path_segment(value), value, &place.child(key), errors);
    }
}

fn scaling_rules(rules: &Value, place: &Place, errors: &mut ErrorList) {
    if rules.is_null() {
        return;
    }
    let window_place = place.child("stabilizationWindowSeconds");
    match number(rules, "stabilizationWindowSeconds") {
        Some(window) if window < 0 => {
            errors.push(FieldError::invalid(window_place, window, "must be greater than or equal to zero"));
        }
        Some(window) if window > 3600 => {
            errors.push(FieldError::invalid(window_place, window, "must be less than or equal to 3600"));
        }
        _ => {}
    }
    super::volumes::sources::supported(rules, "selectPolicy", &["Disabled", "Max", "Min"], place, errors);
    let list = place.child("policies");
    if items(rules, "policies").is_empty() {
        errors.push(FieldError::required(list, "must specify at least one Policy"));
    }
    for (index, policy) in indexed(rules, "policies") {
        let place = list.index(index);
        let kind = text(policy, "type");
        if !matches!(kind, "Pods" | "Percent") {
            errors.push(FieldError::not_supported(place.child("type"), kind, &["Percent", "Pods"]));
        }
        for key in ["value", "periodSeconds"] {
            let value = integer(policy, key);
            if value <= 0 {
                errors.push(FieldError::invalid(place.child(key), value, "must be greater than zero"));
            }
        }
        let period = integer(policy, "periodSeconds");
        if period > 1800 {
            let detail = "must be less than or equal to 1800";
            errors.push(FieldError::invalid(place.child("periodSeconds"), period, detail));
        }
    }
    if present(rules, "tolerance") {
        let tolerance = resources::amount(get(rules, "tolerance"));
        resources::validate_nonnegative(&tolerance, &place.child("tolerance"), errors);
    }
}

/// Kinds of metrics: their type, their field, as upstream looks at them.
const METRICS: [(&str, &str); 5] = [
    ("Object", "object"),
    ("External", "external"),
    ("Pods", "pods"),
    ("Resource", "resource"),
    ("ContainerResource", "containerResource"),
];

fn metrics(spec: &Value, list: &Place, errors: &mut ErrorList) {
    let mut wakes = false;
    for (index, metric) in indexed(spec, "metrics") {
        validate_metric(metric, &list.index(index), errors);
        wakes |= matches!(text(metric, "type"), "Object" | "External");
    }
    if number(spec, "minReplicas") == Some(0) && !wakes {
        let detail = "must specify at least one Object or External metric to support scaling to zero replicas";
        errors.push(FieldError::forbidden(list, detail));
    }
}

fn validate_metric(metric: &Value, place: &Place, errors: &mut ErrorList) {
    const KINDS: [&str; 5] = ["ContainerResource", "External", "Object", "Pods", "Resource"];
    let kind = text(metric, "type");
    let known = METRICS.iter().find(|(name, _)| *name == kind);
    if kind.is_empty() {
        errors.push(FieldError::required(place.child("type"), "must specify a metric source type"));
    }
    if known.is_none() {
        errors.push(FieldError::not_supported(place.child("type"), kind, &KINDS));
    }
    let given: Vec<&str> = METRICS.iter().map(|(_, field)| *field).filter(|field| present(metric, field)).collect();
    if let Some(first) = given.first() {
        metric_source(first, get(metric, first), &place.child(first), errors);
    }
    match known {
        Some((_, field)) if !present(metric, field) => {
            let detail = "must populate information for the given metric source";
            errors.push(FieldError::required(place.child(field), detail));
        }
        Some(_) => {}
        None => errors.push(FieldError::not_supported(place.child("type"), kind, &KINDS)),
    }
    if given.len() != 1 {
        let mut others: Vec<&str> =
            given.into_iter().filter(|field| known.is_none_or(|(_, expected)| expected != field)).collect();
        others.sort_unstable();
        for field in others {
            errors.push(FieldError::forbidden(place.child(field), "must populate the given metric source only"));
        }
    }
}

fn metric_source(kind: &str, source: &Value, place: &Place, errors: &mut ErrorList) {
    match kind {
        "object" => {
            let described = place.child("describedObject");
            reference(get(source, "describedObject"), GroupRule::MayBeEmpty, &described, errors);
            identifier(source, place, errors);
        }
        "external" | "pods" => identifier(source, place, errors),
        "resource" => {
            if text(source, "name").is_empty() {
                errors.push(FieldError::required(place.child("name"), "must specify a resource name"));
            }
        }
        _ => container_resource(source, place, errors),
    }
    let target = get(source, "target");
    let place = place.child("target");
    metric_target(target, &place, errors);
    let has = |key: &str| present(target, key);
    let average = place.child("averageValue");
    match kind {
        "object" if !has("value") && !has("averageValue") => {
            errors.push(FieldError::required(average, "must set either a target value or averageValue"));
        }
        "external" if !has("value") && !has("averageValue") => {
            let detail = "must set either a target value for metric or a per-pod target";
            errors.push(FieldError::required(average, detail));
        }
        "external" if has("value") && has("averageValue") => {
            let detail = "may not set both a target value for metric and a per-pod target";
            errors.push(FieldError::forbidden(place.child("value"), detail));
        }
        "pods" if !has("averageValue") => {
            errors.push(FieldError::required(average, "must specify a positive target averageValue"));
        }
        "resource" | "containerResource" if !has("averageUtilization") && !has("averageValue") => {
            let detail = "must set either a target raw value or a target utilization";
            errors.push(FieldError::required(place.child("averageUtilization"), detail));
        }
        "resource" | "containerResource" if has("averageUtilization") && has("averageValue") => {
            let detail = "may not set both a target raw value and a target utilization";
            errors.push(FieldError::forbidden(average, detail));
        }
        _ => {}
    }
}

fn container_resource(source: &Value, place: &Place, errors: &mut ErrorList) {
    let (name, container) = (text(source, "name"), text(source, "container"));
    if name.is_empty() {
        errors.push(FieldError::required(place.child("name"), "must specify a resource name"));
    } else {
        resources::validate_container_name(name, &place.child("name"), errors);
    }
    if container.is_empty() {
        errors.push(FieldError::required(place.child("container"), "must specify a container"));
    } else {
        fault_list(names::dns_label(container), container, &place.child("container"), errors);
    }
}

fn identifier(source: &Value, place: &Place, errors: &mut ErrorList) {
    segment(get(source, "metric"), "name", "must specify a metric name", &place.child("metric"), errors);
}

fn metric_target(target: &Value, place: &Place, errors: &mut ErrorList) {
    let kind = text(target, "type");
    if kind.is_empty() {
        errors.push(FieldError::required(place.child("type"), "must specify a metric target type"));
    }
    if !matches!(kind, "Utilization" | "Value" | "AverageValue") {
        let detail = "must be either Utilization, Value, or AverageValue";
        errors.push(FieldError::invalid(place.child("type"), kind, detail));
    }
    for key in ["value", "averageValue"] {
        if present(target, key) {
            let amount = resources::amount(get(target, key));
            if amount.sign() != 1 {
                errors.push(FieldError::invalid(place.child(key), amount.to_string(), "must be positive"));
            }
        }
    }
    if let Some(utilization) = number(target, "averageUtilization").filter(|value| *value < 1) {
        let place = place.child("averageUtilization");
        errors.push(FieldError::invalid(place, utilization, "must be greater than 0"));
    }
}

/// Checks a write of the status.
pub fn validate_status(new: &Value, _: &Value, errors: &mut ErrorList) {
    let place = Place::root("status");
    for key in ["currentReplicas", "desiredReplicas"] {
        nonnegative_field(get(new, "status"), key, &place, errors);
    }
}

/// The `autoscaling/v1` Scale of a Deployment, ReplicaSet, StatefulSet or ReplicationController.
pub fn to_scale(object: &Value) -> Value {
    let (meta, spec) = (get(object, "metadata"), get(object, "spec"));
    let mut shown = json!({});
    for key in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        keep(&mut shown, meta, key);
    }
    let selector = get(spec, "selector");
    let typed = present(selector, "matchLabels") || present(selector, "matchExpressions");
    let query = if typed {
        labels::to_query(selector)
    } else {
        let pairs: Vec<String> = entries(spec, "selector")
            .iter()
            .filter_map(|(key, value)| value.as_str().map(|value| format!("{key}={value}")))
            .collect();
        pairs.join(",")
    };
    let mut status = json!({"replicas": integer(get(object, "status"), "replicas")});
    if !query.is_empty() {
        put(&mut status, "selector", query);
    }
    let mut desired = json!({});
    if integer(spec, "replicas") != 0 {
        put(&mut desired, "replicas", integer(spec, "replicas"));
    }
    json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": shown, "spec": desired, "status": status})
}

/// Why a Scale was not taken.
#[derive(Clone, Debug, PartialEq)]
pub enum ScaleRefused {
    /// 422 on `Scale.autoscaling`.
    Invalid(ErrorList),
    /// 409 on the subresource.
    Conflict(String),
}

/// Writes a Scale into its object: the number of replicas, and the resource version to compare.
///
/// # Errors
/// [`ScaleRefused::Invalid`] when the Scale breaks a rule, [`ScaleRefused::Conflict`] when it names
/// the uid of another object.
pub fn apply_scale(object: &mut Value, scale: &Value) -> Result<(), ScaleRefused> {
    let mut errors = ErrorList::new();
    let finalizers = Finalizers::StandardOrQualified;
    meta::validate(scale, MetaRules { namespaced: true, name: NameRule::Subdomain, finalizers }, &mut errors);
    let replicas = integer(get(scale, "spec"), "replicas");
    let place = Place::root("spec");
    nonnegative(replicas, &place.child("replicas"), &mut errors);
    if !errors.is_empty() {
        return Err(ScaleRefused::Invalid(errors));
    }
    let (asked, own) = (text(get(scale, "metadata"), "uid"), text(get(object, "metadata"), "uid"));
    if !asked.is_empty() && asked != own {
        let detail = format!("Precondition failed: UID in precondition: {asked}, UID in object meta: {own}");
        return Err(ScaleRefused::Conflict(detail));
    }
    if let Some(spec) = ensure(object, "spec") {
        put(spec, "replicas", replicas);
    }
    if let Some(meta) = ensure(object, "metadata") {
        keep(meta, get(scale, "metadata"), "resourceVersion");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_shows_and_sets_the_replicas() {
        let mut deployment = json!({
            "metadata": {"name": "d", "namespace": "n", "uid": "u", "resourceVersion": "5"},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "a"}}},
            "status": {"replicas": 1},
        });
        let mut scale = to_scale(&deployment);
        assert_eq!(scale["spec"]["replicas"], 2);
        assert_eq!(scale["status"], json!({"replicas": 1, "selector": "app=a"}));
        scale["spec"]["replicas"] = json!(3);
        assert_eq!(apply_scale(&mut deployment, &scale), Ok(()));
        assert_eq!(deployment["spec"]["replicas"], 3);
        scale["spec"]["replicas"] = json!(-1);
        assert!(matches!(apply_scale(&mut deployment, &scale), Err(ScaleRefused::Invalid(_))));
    }
}
