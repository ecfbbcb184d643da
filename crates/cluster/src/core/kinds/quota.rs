//! ResourceQuota and LimitRange: their form. What they allow is decided at admission.

use super::place::Place;
use super::pod::spec::fault_list;
use super::strategy::Context;
use super::value::{default_to, ensure, entries, get, indexed, items, items_mut, present, put, remove, strings, text};
use super::{names, resources};
use crate::core::field::{ErrorList, FieldError};
use crate::core::quantity::Quantity;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashSet};

/// Clears the status.
pub fn prepare_quota(object: &mut Value, _: &Context) {
    put(object, "status", json!({}));
}

const SCOPES: [&str; 7] = [
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "VolumeAttributesClass",
    "CrossNamespacePodAffinity",
];

fn scope_fits(scope: &str, resource: &str) -> bool {
    const COMPUTE: [&str; 6] = ["cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"];
    match scope {
        "Terminating" | "NotTerminating" | "NotBestEffort" | "PriorityClass" | "CrossNamespacePodAffinity" => {
            resource == "pods" || COMPUTE.contains(&resource)
        }
        "BestEffort" => resource == "pods",
        "VolumeAttributesClass" => matches!(resource, "persistentvolumeclaims" | "requests.storage"),
        _ => true,
    }
}

fn quota_amounts(list: &Map<String, Value>, place: &Place, errors: &mut ErrorList) {
    for (name, value) in list {
        let place = place.key(name);
        resources::validate_quota_name(name, &place, errors);
        resources::validate_amount(name, &resources::amount(value), &place, errors);
    }
}

fn conflicts(scopes: &HashSet<&str>) -> usize {
    [("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating")]
        .iter()
        .filter(|(left, right)| scopes.contains(left) && scopes.contains(right))
        .count()
}

/// Checks the specification of a ResourceQuota.
pub fn validate_quota(object: &Value, errors: &mut ErrorList) {
    let (spec, place) = (get(object, "spec"), Place::root("spec"));
    let hard = entries(spec, "hard");
    quota_amounts(hard, &place.child("hard"), errors);
    let standard: Vec<&String> = hard.keys().filter(|name| resources::is_standard_for_quota(name)).collect();
    let scopes_place = place.child("scopes");
    let shown = || get(spec, "scopes").clone();
    let mut scopes = HashSet::new();
    for scope in strings(spec, "scopes") {
        if !SCOPES.contains(&scope) {
            errors.push(FieldError::invalid(scopes_place, shown(), "unsupported scope"));
        }
        for _ in standard.iter().filter(|name| !scope_fits(scope, name)) {
            errors.push(FieldError::invalid(scopes_place, shown(), "unsupported scope applied to resource"));
        }
        scopes.insert(scope);
    }
    for _ in 0..conflicts(&scopes) {
        errors.push(FieldError::invalid(scopes_place, shown(), "conflicting scopes"));
    }
    if present(spec, "scopeSelector") {
        scope_selector(spec, &standard, &place.child("scopeSelector"), errors);
    }
}

fn scope_selector(spec: &Value, standard: &[&String], place: &Place, errors: &mut ErrorList) {
    const EXISTS_ONLY: &str = "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
    let selector = get(spec, "scopeSelector");
    let place = place.child("matchExpressions");
    let mut scopes = HashSet::new();
    for requirement in items(selector, "matchExpressions") {
        let (scope, operator) = (text(requirement, "scopeName"), text(requirement, "operator"));
        let values = items(requirement, "values");
        if !SCOPES.contains(&scope) {
            errors.push(FieldError::invalid(place.child("scopeName"), scope, "unsupported scope"));
        }
        for _ in standard.iter().filter(|name| !scope_fits(scope, name)) {
            let shown = internal_selector(selector);
            errors.push(FieldError::invalid(place, shown, "unsupported scope applied to resource"));
        }
        let exists_only = SCOPES.contains(&scope) && !matches!(scope, "PriorityClass" | "VolumeAttributesClass");
        if exists_only && operator != "Exists" {
            errors.push(FieldError::invalid(place.child("operator"), operator, EXISTS_ONLY));
        }
        match operator {
            "In" | "NotIn" if values.is_empty() => {
                let detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
                errors.push(FieldError::required(place.child("values"), detail));
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
                errors.push(FieldError::invalid(place.child("values"), values.to_vec(), detail));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            _ => errors.push(FieldError::invalid(place.child("operator"), operator, "not a valid selector operator")),
        }
        scopes.insert(scope);
    }
    for _ in 0..conflicts(&scopes) {
        errors.push(FieldError::invalid(place, get(spec, "scopes").clone(), "conflicting scopes"));
    }
}

fn internal_selector(selector: &Value) -> Value {
    let expressions: Vec<Value> = items(selector, "matchExpressions")
        .iter()
        .map(|one| {
            json!({"ScopeName": text(one, "scopeName"), "Operator": text(one, "operator"), "Values": get(one, "values")})
        })
        .collect();
    json!({ "MatchExpressions": expressions })
}

/// Checks what an update changes in a ResourceQuota: its scopes stay.
pub fn validate_quota_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    let scopes =
        |quota: &'_ Value| -> HashSet<String> { strings(get(quota, "spec"), "scopes").map(str::to_owned).collect() };
    if scopes(new) != scopes(old) {
        let place = Place::root("spec");
        let given = get(get(new, "spec"), "scopes").clone();
        errors.push(FieldError::invalid(place.child("scopes"), given, "field is immutable"));
    }
}

/// Checks a write of a ResourceQuota's status.
pub fn validate_quota_status(new: &Value, _: &Value, errors: &mut ErrorList) {
    if text(get(new, "metadata"), "resourceVersion").is_empty() {
        errors.push(FieldError::required(Place::root("resourceVersion"), ""));
    }
    let place = Place::root("status");
    for which in ["hard", "used"] {
        quota_amounts(entries(get(new, "status"), which), &place.child(which), errors);
    }
}

/// Defaults of a LimitRange: a container's limits follow from the most that it may have.
pub fn default_limit_range(object: &mut Value) {
    let Some(spec) = ensure(object, "spec") else { return };
    for limit in items_mut(spec, "limits") {
        if text(limit, "type") != "Container" {
            continue;
        }
        let (max, min) = (entries(limit, "max").clone(), entries(limit, "min").clone());
        if let Some(default) = ensure(limit, "default") {
            max.into_iter().for_each(|(name, value)| default_to(default, &name, value));
        }
        let default = entries(limit, "default").clone();
        if let Some(request) = ensure(limit, "defaultRequest") {
            default.into_iter().chain(min).for_each(|(name, value)| default_to(request, &name, value));
        }
        for key in ["default", "defaultRequest"] {
            if entries(limit, key).is_empty() {
                remove(limit, key);
            }
        }
    }
}

/// Checks a LimitRange.
pub fn validate_limit_range(object: &Value, errors: &mut ErrorList) {
    let place = Place::root("spec");
    let list = place.child("limits");
    let mut seen = HashSet::new();
    for (index, limit) in indexed(get(object, "spec"), "limits") {
        let place = list.index(index);
        let kind = text(limit, "type");
        limit_type(kind, &place.child("type"), errors);
        if !seen.insert(kind) {
            errors.push(FieldError::duplicate(place.child("type"), kind));
        }
        limit_item(limit, kind, &place, errors);
    }
}

fn limit_type(kind: &str, place: &Place, errors: &mut ErrorList) {
    let faults = names::qualified_name(kind);
    let standard = matches!(kind, "Pod" | "Container" | "PersistentVolumeClaim");
    if faults.is_empty() && !kind.contains('/') && !standard {
        errors.push(FieldError::invalid(place, kind, "must be a standard limit type or fully qualified"));
    }
    fault_list(faults, kind, place, errors);
}

/// The amounts of one resource in a limit.
#[derive(Default)]
struct Bounds {
    min: Option<Quantity>,
    max: Option<Quantity>,
    default: Option<Quantity>,
    request: Option<Quantity>,
    ratio: Option<Quantity>,
}

fn limit_item(limit: &Value, kind: &str, place: &Place, errors: &mut ErrorList) {
    let mut bounds: BTreeMap<&str, Bounds> = BTreeMap::new();
    for which in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
        let place = place.child(which);
        let list = entries(limit, which);
        if kind == "Pod" && matches!(which, "default" | "defaultRequest") {
            if !list.is_empty() {
                errors.push(FieldError::forbidden(place, "may not be specified when `type` is 'Pod'"));
            }
            continue;
        }
        for (name, value) in list {
            let own = place.key(name);
            if matches!(kind, "Pod" | "Container") {
                resources::validate_container_name(name, &own, errors);
            } else {
                resources::validate_name(name, &own, errors);
            }
            let entry = bounds.entry(name).or_default();
            let slot = match which {
                "max" => &mut entry.max,
                "min" => &mut entry.min,
                "default" => &mut entry.default,
                "defaultRequest" => &mut entry.request,
                _ => &mut entry.ratio,
            };
            *slot = Some(resources::amount(value));
        }
    }
    let storage = |which: &str| entries(limit, which).contains_key("storage");
    if kind == "PersistentVolumeClaim" && !storage("min") && !storage("max") {
        let detail = "either minimum or maximum storage value is required, but neither was provided";
        errors.push(FieldError::required(place.child("limits"), detail));
    }
    for (name, bounds) in &bounds {
        compare_bounds(name, bounds, place, errors);
    }
}

fn compare_bounds(name: &str, bounds: &Bounds, place: &Place, errors: &mut ErrorList) {
    let Bounds { min, max, default, request, ratio } = bounds;
    // Left above right: where, what is shown, and in which words.
    let rows = [
        (min, max, "min", min, "min value", "max value"),
        (min, request, "defaultRequest", request, "min value", "default request value"),
        (request, max, "defaultRequest", request, "default request value", "max value"),
        (request, default, "defaultRequest", request, "default request value", "default limit value"),
        (min, default, "default", min, "min value", "default value"),
        (default, max, "default", max, "default value", "max value"),
    ];
    for (left, right, field, shown, left_words, right_words) in rows {
        if let (Some(left), Some(right), Some(shown)) = (left, right, shown)
            && left > right
        {
            let detail = format!("{left_words} {left} is greater than {right_words} {right}");
            let place = place.child(field);
            errors.push(FieldError::invalid(place.key(name), shown.to_string(), detail));
        }
    }
    if let Some(ratio) = ratio {
        compare_ratio(name, ratio, min.as_ref(), max.as_ref(), &place.child("maxLimitRequestRatio"), errors);
    }
    if let (Some(default), Some(request), false) = (default, request, resources::is_overcommit_allowed(name))
        && default != request
    {
        let detail = format!("default value {default} must equal to defaultRequest value {request} in {name}");
        let place = place.child("defaultRequest");
        errors.push(FieldError::invalid(place.key(name), request.to_string(), detail));
    }
}

fn compare_ratio(
    name: &str,
    ratio: &Quantity,
    min: Option<&Quantity>,
    max: Option<&Quantity>,
    place: &Place,
    errors: &mut ErrorList,
) {
    if ratio.milli_value() < 1000 {
        let detail = format!("ratio {ratio} is less than 1");
        errors.push(FieldError::invalid(place.key(name), ratio.to_string(), detail));
    }
    if let (Some(min), Some(max)) = (min, max) {
        let limit = max.as_f64() / min.as_f64();
        if ratio.as_f64() > limit {
            let detail = format!("ratio {ratio} is greater than max/min = {limit:.6}");
            errors.push(FieldError::invalid(place.key(name), ratio.to_string(), detail));
        }
    }
}
