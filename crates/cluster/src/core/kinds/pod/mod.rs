//! Pods and pod templates: what is decided when one is created, changed or reported on.
//!
//! The parts: defaults, the specification (containers, volumes, security, scheduling), updates,
//! status, warnings, and the subresources `binding` and `eviction`.

pub mod binding;
pub mod containers;
pub mod defaults;
pub mod env;
pub mod eviction;
pub mod probes;
pub mod profiles;
pub mod scheduling;
pub mod security;
pub mod spec;
pub mod status;
pub mod update;
pub mod volumes;
pub mod warnings;

use serde_json::{Value, json};

use super::place::Place;
use super::strategy::Context;
use super::value::{entries, get, get_mut, indexed, is_empty, items, items_mut, present, put, text};
use super::{meta, resources};
use crate::core::field::{ErrorList, FieldError};
use crate::core::quantity::Quantity;

/// Rules of a pod's metadata.
pub const META: meta::MetaRules = meta::MetaRules {
    namespaced: true,
    name: super::names::NameRule::Subdomain,
    finalizers: meta::Finalizers::StandardOrQualified,
};

/// What a new pod starts with.
pub fn prepare_create(pod: &mut Value, ctx: &Context) {
    meta::set_generation(pod, 1);
    let class = quality_class(get(pod, "spec"));
    let mut status = json!({"phase": "Pending", "qosClass": class});
    if let Some(spec) = get_mut(pod, "spec") {
        defaults::drop_disabled(spec, &Value::Null);
        if !items(spec, "schedulingGates").is_empty() {
            let gated = json!([{
                "type": "PodScheduled",
                "status": "False",
                "reason": "SchedulingGated",
                "message": "Scheduling is blocked due to non-empty scheduling gates",
                "lastProbeTime": null,
                "lastTransitionTime": ctx.now_text(),
            }]);
            put(&mut status, "conditions", gated);
        }
    }
    put(pod, "status", status);
    merge_label_keys(pod);
    profiles::take_app_armor(pod);
}

/// `matchLabelKeys` become requirements of the selector beside them, with the pod's own labels.
fn merge_label_keys(pod: &mut Value) {
    let labels = meta::labels_of(pod).clone();
    let Some(spec) = get_mut(pod, "spec") else { return };
    for constraint in items_mut(spec, "topologySpreadConstraints") {
        merge_keys(constraint, &labels);
    }
    let Some(affinity) = get_mut(spec, "affinity") else { return };
    for key in ["podAffinity", "podAntiAffinity"] {
        let Some(pods) = get_mut(affinity, key) else { continue };
        for term in items_mut(pods, "requiredDuringSchedulingIgnoredDuringExecution") {
            merge_keys(term, &labels);
        }
        for weighted in items_mut(pods, "preferredDuringSchedulingIgnoredDuringExecution") {
            if let Some(term) = get_mut(weighted, "podAffinityTerm") {
                merge_keys(term, &labels);
            }
        }
    }
}

fn merge_keys(term: &mut Value, labels: &serde_json::Map<String, Value>) {
    let mut added = Vec::new();
    for (list, operator) in [("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")] {
        for key in items(term, list) {
            if let Some(value) = key.as_str().and_then(|key| labels.get(key)) {
                added.push(json!({"key": key, "operator": operator, "values": [value]}));
            }
        }
    }
    if added.is_empty() {
        return;
    }
    let Some(selector) = get_mut(term, "labelSelector") else { return };
    let mut expressions = items(selector, "matchExpressions").to_vec();
    expressions.append(&mut added);
    put(selector, "matchExpressions", expressions);
}

/// The quality-of-service class that follows from requests and limits.
pub fn quality_class(spec: &Value) -> &'static str {
    let mut total = Totals::default();
    let pod = get(spec, "resources");
    if pod.is_null() {
        for list in ["containers", "initContainers"] {
            for container in items(spec, list) {
                total.add(get(container, "resources"));
            }
        }
    } else {
        total.add_pod(pod);
    }
    total.class()
}

#[derive(Default)]
struct Totals {
    requests: std::collections::BTreeMap<String, Quantity>,
    limits: std::collections::BTreeMap<String, Quantity>,
    unlimited: bool,
}

impl Totals {
    fn add(&mut self, requirements: &Value) {
        add_compute(&mut self.requests, requirements, "requests");
        self.unlimited |= add_compute(&mut self.limits, requirements, "limits") < 2;
    }

    fn add_pod(&mut self, requirements: &Value) {
        add_compute(&mut self.requests, requirements, "requests");
        let found = add_compute(&mut self.limits, requirements, "limits");
        self.unlimited |= !entries(requirements, "limits").is_empty() && found < 2;
    }

    fn class(&self) -> &'static str {
        if self.requests.is_empty() && self.limits.is_empty() {
            return "BestEffort";
        }
        let equal = self.requests.iter().all(|(name, request)| self.limits.get(name) == Some(request));
        if !self.unlimited && equal && self.requests.len() == self.limits.len() { "Guaranteed" } else { "Burstable" }
    }
}

/// Adds cpu and memory and returns how many of the two were there.
fn add_compute(sum: &mut std::collections::BTreeMap<String, Quantity>, requirements: &Value, which: &str) -> usize {
    let mut found = 0;
    for name in ["cpu", "memory"] {
        let amount = resources::amount_of(entries(requirements, which), name);
        if let Some(amount) = amount.filter(|amount| amount.sign() > 0) {
            sum.entry(name.to_owned()).or_default().add(&amount);
            found += 1;
        }
    }
    found
}

/// Checks everything of a pod but what only holds on create.
fn validate_whole(pod: &Value, errors: &mut ErrorList) {
    let (metadata, pod_spec) = (get(pod, "metadata"), get(pod, "spec"));
    let place = Place::root("spec");
    spec::validate_annotations(metadata, pod_spec, &Place::root("metadata"), errors);
    spec::validate(pod_spec, metadata, spec::Whose::Pod, &place, errors);
    if text(pod_spec, "serviceAccountName").is_empty() {
        refuse_tokens(pod_spec, &place, errors);
    }
    for list in ["containers", "initContainers"] {
        let place = place.child(list);
        for (index, container) in indexed(pod_spec, list) {
            containers::validate_image_spaces(container, &place.index(index), errors);
        }
    }
}

fn refuse_tokens(pod_spec: &Value, place: &Place, errors: &mut ErrorList) {
    let volumes = place.child("volumes");
    for (index, volume) in indexed(pod_spec, "volumes") {
        let place = volumes.index(index);
        let place = place.child("projected");
        let sources = place.child("sources");
        for (index, source) in indexed(get(volume, "projected"), "sources") {
            if present(source, "serviceAccountToken") {
                let place = sources.index(index);
                let detail = "must not be specified when serviceAccountName is not set";
                errors.push(FieldError::forbidden(place.child("serviceAccountToken"), detail));
            }
        }
    }
}

/// Checks a new pod.
pub fn validate_create(pod: &Value, errors: &mut ErrorList) {
    validate_whole(pod, errors);
    let (pod_spec, place) = (get(pod, "spec"), Place::root("spec"));
    if !items(pod_spec, "ephemeralContainers").is_empty() {
        errors.push(FieldError::forbidden(place.child("ephemeralContainers"), "cannot be set on create"));
    }
    if !text(pod_spec, "nodeName").is_empty() && !items(pod_spec, "schedulingGates").is_empty() {
        let detail = "cannot be set until all schedulingGates have been cleared";
        errors.push(FieldError::forbidden(place.child("nodeName"), detail));
    }
}

/// Checks a `PodTemplate`.
pub fn validate_pod_template(object: &Value, errors: &mut ErrorList) {
    spec::validate_template(get(object, "template"), &Place::root("template"), errors);
}

/// Defaults of a `PodTemplate`.
pub fn default_pod_template(object: &mut Value) {
    if let Some(template) = super::value::ensure(object, "template") {
        defaults::template(template);
    }
}

/// Whether a pod's list of conditions holds a true one of a type.
pub fn condition_is_true(pod: &Value, kind: &str) -> bool {
    items(get(pod, "status"), "conditions")
        .iter()
        .any(|condition| text(condition, "type") == kind && text(condition, "status") == "True")
}

/// Sets a condition of the pod's status; the transition time moves when the status does.
pub fn set_condition(pod: &mut Value, condition: Value) {
    let Some(status) = super::value::ensure(pod, "status") else { return };
    let mut conditions = items(status, "conditions").to_vec();
    let mut condition = condition;
    match conditions.iter_mut().find(|old| text(old, "type") == text(&condition, "type")) {
        Some(old) => {
            if text(old, "status") == text(&condition, "status") && !is_empty(get(old, "lastTransitionTime")) {
                put(&mut condition, "lastTransitionTime", get(old, "lastTransitionTime").clone());
            }
            *old = condition;
        }
        None => conditions.push(condition),
    }
    put(status, "conditions", conditions);
}
