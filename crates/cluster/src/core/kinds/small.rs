//! Lease, PriorityClass, RuntimeClass and Event.
//!
//! After `pkg/apis/{coordination,scheduling,node}` and `pkg/apis/core/validation/events.go`.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::labels;
use super::meta::{self, Finalizers, MetaRules, immutable};
use super::names::{self, NameRule};
use super::place::Place;
use super::pod::scheduling::validate_tolerations;
use super::pod::spec::{fault_list, validate_overhead};
use super::pod::warnings::deprecated_node_label;
use super::strategy::Context;
use super::value::{
    default_to, ensure, entries, flag, get, get_mut, indexed, integer, is_empty, maybe_text, number, present, put,
    remove, same_field, text,
};
use crate::core::field::{ErrorList, FieldError};

/// Drops coordinated election, a feature that is off.
pub fn prepare_lease(object: &mut Value, _: &Context) {
    if let Some(spec) = get_mut(object, "spec") {
        remove(spec, "strategy");
        remove(spec, "preferredHolder");
    }
}

/// As [`prepare_lease`], unless the old object has it.
pub fn prepare_lease_update(new: &mut Value, old: &Value, _: &Context) {
    for key in ["strategy", "preferredHolder"] {
        if let Some(spec) = get_mut(new, "spec").filter(|_| !present(get(old, "spec"), key)) {
            remove(spec, key);
        }
    }
}

/// Checks a Lease.
pub fn validate_lease(object: &Value, errors: &mut ErrorList) {
    let (spec, place) = (get(object, "spec"), Place::root("spec"));
    if let Some(seconds) = number(spec, "leaseDurationSeconds").filter(|seconds| *seconds <= 0) {
        errors.push(FieldError::invalid(place.child("leaseDurationSeconds"), seconds, "must be greater than 0"));
    }
    if let Some(count) = number(spec, "leaseTransitions").filter(|count| *count < 0) {
        let detail = "must be greater than or equal to 0";
        errors.push(FieldError::invalid(place.child("leaseTransitions"), count, detail));
    }
}

/// Defaults of a PriorityClass.
pub fn default_priority_class(object: &mut Value) {
    default_to(object, "preemptionPolicy", "PreemptLowerPriority");
    default_to(object, "value", 0);
}

/// Checks a PriorityClass.
pub fn validate_priority_class(object: &Value, errors: &mut ErrorList) {
    const HIGHEST: i64 = 1_000_000_000;
    const SYSTEM: [(&str, i64); 2] =
        [("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];
    let (name, value) = (text(get(object, "metadata"), "name"), integer(object, "value"));
    if name.starts_with("system-") {
        let fault = match SYSTEM.iter().find(|(known, _)| *known == name) {
            None => Some(format!("{name} is not a known system priority class")),
            Some((_, expected)) if *expected != value => {
                Some(format!("value of {name} PriorityClass must be {expected}"))
            }
            Some(_) if flag(object, "globalDefault") => {
                Some(format!("globalDefault of {name} PriorityClass must be false"))
            }
            Some(_) => None,
        };
        if let Some(fault) = fault {
            let place = Place::root("metadata");
            let detail =
                format!("priority class names with 'system-' prefix are reserved for system use only. error: {fault}");
            errors.push(FieldError::forbidden(place.child("name"), detail));
        }
    } else if value > HIGHEST {
        let detail = format!("maximum allowed value of a user defined priority is {HIGHEST}");
        errors.push(FieldError::forbidden(Place::root("value"), detail));
    }
    if let Some(policy) = maybe_text(object, "preemptionPolicy") {
        let place = Place::root("preemptionPolicy");
        match policy {
            "PreemptLowerPriority" | "Never" => {}
            "" => errors.push(FieldError::required(place, "")),
            _ => errors.push(FieldError::not_supported(place, policy, &["PreemptLowerPriority", "Never"])),
        }
    }
}

/// The value of a PriorityClass stays.
pub fn validate_priority_class_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    if integer(new, "value") != integer(old, "value") {
        errors.push(FieldError::forbidden(Place::root("value"), "may not be changed in an update."));
    }
    let policy = "preemptionPolicy";
    immutable(get(new, policy), get(old, policy), &Place::root(policy), errors);
}

/// Checks a RuntimeClass.
pub fn validate_runtime_class(object: &Value, errors: &mut ErrorList) {
    let handler = text(object, "handler");
    fault_list(names::dns_label(handler), handler, &Place::root("handler"), errors);
    let overhead = get(get(object, "overhead"), "podFixed");
    validate_overhead(overhead, &Place::root("overhead"), errors);
    let scheduling = get(object, "scheduling");
    let place = Place::root("scheduling");
    labels::validate(get(scheduling, "nodeSelector"), &place.child("nodeSelector"), errors);
    let list = place.child("tolerations");
    // Upstream names the list twice.
    validate_tolerations(get(scheduling, "tolerations"), &list.child("tolerations"), errors);
    let mut seen = HashSet::new();
    for (index, toleration) in indexed(scheduling, "tolerations") {
        let key: Vec<&str> = ["key", "operator", "value", "effect"].iter().map(|key| text(toleration, key)).collect();
        if !seen.insert(key) {
            errors.push(FieldError::duplicate(list.index(index), toleration.clone()));
        }
    }
}

/// The handler of a RuntimeClass stays.
pub fn validate_runtime_class_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    immutable(get(new, "handler"), get(old, "handler"), &Place::root("handler"), errors);
}

/// Warnings about a RuntimeClass.
pub fn warn_runtime_class(object: &Value, _: Option<&Value>, warnings: &mut Vec<String>) {
    let place = Place::root("scheduling");
    let place = place.child("nodeSelector");
    for key in entries(get(object, "scheduling"), "nodeSelector").keys() {
        if let Some(message) = deprecated_node_label(key) {
            warnings.push(format!("{place}: {message}"));
        }
    }
}

/// Defaults of an Event: the parts that are always shown.
pub fn default_event(object: &mut Value) {
    ensure(object, "involvedObject");
    ensure(object, "source");
    for key in ["reportingComponent", "reportingInstance"] {
        default_to(object, key, "");
    }
    for key in ["firstTimestamp", "lastTimestamp", "eventTime"] {
        if !present(object, key) {
            put(object, key, Value::Null);
        }
    }
}

/// Fields of `events.k8s.io/v1` Events and what they are called in `v1`.
const EVENT_FIELDS: [(&str, &str); 7] = [
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
];

/// Turns an `events.k8s.io/v1` Event into the stored form, that of `v1`.
pub fn event_to_core(event: &Value) -> Value {
    rename(event, "v1", |(from, to)| (from, to))
}

/// Turns a stored Event into one of `events.k8s.io/v1`.
pub fn event_from_core(event: &Value) -> Value {
    let mut event = rename(event, "events.k8s.io/v1", |(to, from)| (from, to));
    // The core group writes these also where they are empty.
    for field in ["reportingController", "reportingInstance"] {
        if text(&event, field).is_empty() {
            remove(&mut event, field);
        }
    }
    event
}

fn rename(
    event: &Value,
    version: &str,
    order: fn((&'static str, &'static str)) -> (&'static str, &'static str),
) -> Value {
    let mut renamed = event.clone();
    let Some(fields) = renamed.as_object_mut() else { return renamed };
    for pair in EVENT_FIELDS {
        let (from, to) = order(pair);
        if let Some(value) = fields.remove(from) {
            fields.insert(to.to_owned(), value);
        }
    }
    fields.insert("apiVersion".to_owned(), json!(version));
    renamed
}

/// In which version an Event is written; the newer one has stricter rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventVersion {
    Core,
    Events,
}

/// Rules of an Event's metadata.
const EVENT_META: MetaRules =
    MetaRules { namespaced: true, name: NameRule::Subdomain, finalizers: Finalizers::StandardOrQualified };

/// Checks a new Event in its stored form.
pub fn validate_event(event: &Value, version: EventVersion, errors: &mut ErrorList) {
    legacy_event(event, version, errors);
    if version == EventVersion::Core {
        return;
    }
    meta::validate(event, EVENT_META, errors);
    event_series(event, errors);
    if !present(event, "eventTime") {
        errors.push(FieldError::required(Place::root("eventTime"), ""));
    }
    let kind = text(event, "type");
    if !matches!(kind, "Normal" | "Warning") {
        errors.push(FieldError::invalid(Place::root("type"), "", format!("has invalid value: {kind}")));
    }
    for key in ["firstTimestamp", "lastTimestamp"] {
        if present(event, key) {
            errors.push(FieldError::invalid(Place::root(key), "", "needs to be unset"));
        }
    }
    if integer(event, "count") != 0 {
        errors.push(FieldError::invalid(Place::root("count"), "", "needs to be unset"));
    }
    let source = get(event, "source");
    if !text(source, "component").is_empty() || !text(source, "host").is_empty() {
        errors.push(FieldError::invalid(Place::root("source"), "", "needs to be unset"));
    }
}

/// Checks a changed Event in its stored form.
pub fn validate_event_update(new: &Value, old: &Value, version: EventVersion, errors: &mut ErrorList) {
    const FIXED: [(&str, &str); 13] = [
        ("involvedObject", "involvedObject"),
        ("reason", "reason"),
        ("message", "message"),
        ("source", "source"),
        ("firstTimestamp", "firstTimestamp"),
        ("lastTimestamp", "lastTimestamp"),
        ("count", "count"),
        ("reason", "reason"),
        ("type", "type"),
        ("eventTime", "eventTime"),
        ("action", "action"),
        ("related", "related"),
        ("reportingComponent", "reportingController"),
    ];
    legacy_event(new, version, errors);
    if version == EventVersion::Core {
        return;
    }
    meta::validate_update(new, old, Some(Finalizers::StandardOrQualified), errors);
    if !same_field(new, old, "series") {
        event_series(new, errors);
    }
    for (key, shown) in FIXED.iter().chain(&[("reportingInstance", "reportingInstance")]) {
        let (after, before) = (get(new, key), get(old, key));
        if !(is_empty(after) && is_empty(before)) {
            immutable(after, before, &Place::root(shown), errors);
        }
    }
}

fn event_series(event: &Value, errors: &mut ErrorList) {
    let series = get(event, "series");
    if series.is_null() {
        return;
    }
    if integer(series, "count") < 2 {
        errors.push(FieldError::invalid(Place::root("series.count"), "", "should be at least 2"));
    }
    if !present(series, "lastObservedTime") {
        errors.push(FieldError::required(Place::root("series.lastObservedTime"), ""));
    }
}

fn legacy_event(event: &Value, version: EventVersion, errors: &mut ErrorList) {
    let namespace = text(get(event, "metadata"), "namespace");
    let involved = text(get(event, "involvedObject"), "namespace");
    let timed = present(event, "eventTime");
    let fits = match (involved.is_empty(), timed) {
        (true, false) => matches!(namespace, "" | "default"),
        (true, true) => matches!(namespace, "default" | "kube-system"),
        (false, false) => namespace == involved,
        (false, true) => true,
    };
    if !fits {
        let place = Place::root("involvedObject");
        errors.push(FieldError::invalid(place.child("namespace"), involved, "does not match event.namespace"));
    }
    if timed {
        timed_event(event, version, errors);
    }
    fault_list(names::dns_subdomain(namespace), namespace, &Place::root("namespace"), errors);
}

fn timed_event(event: &Value, version: EventVersion, errors: &mut ErrorList) {
    let controller = text(event, "reportingComponent");
    let name = if version == EventVersion::Core { "reportingComponent" } else { "reportingController" };
    let place = Place::root(name);
    if controller.is_empty() {
        errors.push(FieldError::required(place, ""));
    }
    labels::validate_key(controller, &place, errors);
    for (key, most) in [("reportingInstance", 128), ("action", 128), ("reason", 128)] {
        let value = text(event, key);
        if value.is_empty() {
            errors.push(FieldError::required(Place::root(key), ""));
        }
        if value.len() > most {
            let detail = format!("can have at most {most} characters");
            errors.push(FieldError::invalid(Place::root(key), "", detail));
        }
    }
    if text(event, "message").len() > 1024 {
        errors.push(FieldError::invalid(Place::root("message"), "", "can have at most 1024 characters"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_keeps_its_content_in_both_versions() {
        let newer = json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e"},
            "regarding": {"kind": "Pod"}, "note": "hello", "reportingController": "c", "reason": "r",
        });
        let stored = event_to_core(&newer);
        assert_eq!(stored["involvedObject"]["kind"], "Pod");
        assert_eq!(stored["message"], "hello");
        assert_eq!(stored["apiVersion"], "v1");
        assert_eq!(event_from_core(&stored), newer);
    }
}
