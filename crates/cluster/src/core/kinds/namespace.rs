//! Namespaces: their name as a label, their finalizers.

use super::meta::kube_finalizer;
use super::names;
use super::place::Place;
use super::pod::spec::fault_list;
use super::strategy::Context;
use super::value::{default_text, ensure, get, items, keep, present, put, strings, text};
use crate::core::field::{ErrorList, FieldError};
use serde_json::{Value, json};

const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// Defaults of a Namespace: a label with its name.
pub fn default_namespace(object: &mut Value) {
    label_with_name(object);
    ensure(object, "spec");
    if let Some(status) = ensure(object, "status") {
        default_text(status, "phase", "Active");
    }
}

fn label_with_name(object: &mut Value) {
    let name = text(get(object, "metadata"), "name").to_owned();
    if name.is_empty() {
        return;
    }
    if let Some(labels) = ensure(object, "metadata").and_then(|meta| ensure(meta, "labels")) {
        put(labels, NAMESPACE_NAME, name);
    }
}

/// A new Namespace is active and is finalized by Kubernetes.
pub fn prepare_namespace(object: &mut Value, _: &Context) {
    put(object, "status", json!({"phase": "Active"}));
    label_with_name(object);
    let Some(spec) = ensure(object, "spec") else { return };
    let mut finalizers = items(spec, "finalizers").to_vec();
    if !finalizers.iter().any(|name| name == "kubernetes") {
        finalizers.push(json!("kubernetes"));
    }
    put(spec, "finalizers", finalizers);
}

/// Finalizers and status of a Namespace change through subresources only.
pub fn prepare_namespace_update(new: &mut Value, old: &Value, _: &Context) {
    if let Some(spec) = ensure(new, "spec") {
        keep(spec, get(old, "spec"), "finalizers");
    }
    keep(new, old, "status");
    label_with_name(new);
}

/// Checks a Namespace.
pub fn validate_namespace(object: &Value, errors: &mut ErrorList) {
    let place = Place::root("spec");
    let place = place.child("finalizers");
    for finalizer in strings(get(object, "spec"), "finalizers") {
        fault_list(names::qualified_name(finalizer), finalizer, &place, errors);
        kube_finalizer(finalizer, &place, errors);
    }
}

/// Checks a write of `finalize`.
pub fn validate_namespace_finalize(new: &Value, _: &Value, errors: &mut ErrorList) {
    let place = Place::root("spec");
    let place = place.child("finalizers");
    for (index, finalizer) in strings(get(new, "spec"), "finalizers").enumerate() {
        let place = place.index(index);
        fault_list(names::qualified_name(finalizer), finalizer, &place, errors);
        kube_finalizer(finalizer, &place, errors);
    }
}

/// Checks a write of a Namespace's status.
pub fn validate_namespace_status(new: &Value, _: &Value, errors: &mut ErrorList) {
    let phase = text(get(new, "status"), "phase");
    let place = Place::root("status");
    let place = place.child("Phase");
    let deleted = present(get(new, "metadata"), "deletionTimestamp");
    if !deleted && phase != "Active" {
        errors.push(FieldError::invalid(place, phase, "may only be 'Active' if `deletionTimestamp` is empty"));
    }
    if deleted && phase != "Terminating" {
        let detail = "may only be 'Terminating' if `deletionTimestamp` is not empty";
        errors.push(FieldError::invalid(place, phase, detail));
    }
}
