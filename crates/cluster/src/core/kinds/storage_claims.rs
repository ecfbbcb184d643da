//! Persistent volume claims.
//!
//! After `pkg/apis/core/validation` and `pkg/registry/core/persistentvolumeclaim`.

use serde_json::{Value, json};

use super::meta::{self, immutable};
use super::place::Place;
use super::pod::spec::fault_list;
use super::strategy::Context;
use super::value::{
    at, default_text, default_to, ensure, entries, get, get_mut, items, keep, maybe_text, present, put, remove, same,
    same_field, strings, text,
};
use super::{labels, names, resources};
use crate::core::field::{ErrorList, FieldError};

const ACCESS_MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
pub(super) const VOLUME_MODES: [&str; 2] = ["Block", "Filesystem"];
pub(super) const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

/// Defaults of a claim.
pub fn default_claim(claim: &mut Value) {
    if let Some(spec) = ensure(claim, "spec") {
        default_to(spec, "volumeMode", "Filesystem");
        default_to(spec, "resources", json!({}));
    }
    if let Some(status) = ensure(claim, "status") {
        default_text(status, "phase", "Pending");
    }
}

/// Clears the status and completes the data sources.
pub fn prepare_claim(claim: &mut Value, _: &Context) {
    put(claim, "status", json!({"phase": "Pending"}));
    if let Some(spec) = get_mut(claim, "spec") {
        complete_sources(spec, &Value::Null);
    }
}

/// Keeps the status and completes the data sources.
pub fn prepare_claim_update(new: &mut Value, old: &Value, _: &Context) {
    keep(new, old, "status");
    if let Some(spec) = get_mut(new, "spec") {
        complete_sources(spec, get(old, "spec"));
    }
}

/// `dataSource` and `dataSourceRef` say the same unless a namespace is named.
fn complete_sources(spec: &mut Value, old: &Value) {
    let used = present(old, "dataSource") || present(old, "dataSourceRef");
    if let Some(reference) = get_mut(spec, "dataSourceRef") {
        // The feature that takes claims from other namespaces is off.
        if !present(get(old, "dataSourceRef"), "namespace") {
            remove(reference, "namespace");
        }
    }
    if !used && !present(spec, "dataSourceRef") && !is_claim_or_snapshot(get(spec, "dataSource")) {
        remove(spec, "dataSource");
    }
    match (present(spec, "dataSource"), present(spec, "dataSourceRef")) {
        (true, false) => {
            let source = get(spec, "dataSource").clone();
            put(spec, "dataSourceRef", source);
        }
        (false, true) if text(get(spec, "dataSourceRef"), "namespace").is_empty() => {
            let mut source = get(spec, "dataSourceRef").clone();
            remove(&mut source, "namespace");
            put(spec, "dataSource", source);
        }
        _ => {}
    }
    for key in ["dataSource", "dataSourceRef"] {
        if let Some(source) = get_mut(spec, key).filter(|source| source.get("apiGroup").is_none()) {
            put(source, "apiGroup", Value::Null);
        }
    }
}

fn is_claim_or_snapshot(source: &Value) -> bool {
    matches!(
        (text(source, "apiGroup"), text(source, "kind")),
        ("", "PersistentVolumeClaim") | ("snapshot.storage.k8s.io", "VolumeSnapshot")
    )
}

pub(super) fn access_modes(spec: &Value, place: &Place, errors: &mut ErrorList) {
    let place = place.child("accessModes");
    let (mut once_pod, mut other) = (false, false);
    for mode in strings(spec, "accessModes") {
        let known = ACCESS_MODES.contains(&mode);
        if !known {
            errors.push(FieldError::not_supported(place, mode, &ACCESS_MODES));
        }
        once_pod |= mode == "ReadWriteOncePod";
        other |= known && mode != "ReadWriteOncePod";
    }
    if once_pod && other {
        errors.push(FieldError::forbidden(place, "may not use ReadWriteOncePod with other access modes"));
    }
}

/// Checks the specification of a claim or of a claim template.
pub fn validate_spec(spec: &Value, place: &Place, errors: &mut ErrorList) {
    if items(spec, "accessModes").is_empty() {
        errors.push(FieldError::required(place.child("accessModes"), "at least 1 access mode is required"));
    }
    let selector = get(spec, "selector");
    labels::validate_selector(selector, labels::Values::Checked, &place.child("selector"), errors);
    access_modes(spec, place, errors);
    let resources_place = place.child("resources");
    let storage = resources_place.key("storage");
    match resources::amount_of(entries(get(spec, "resources"), "requests"), "storage") {
        None => errors.push(FieldError::required(storage, "")),
        Some(amount) if amount.sign() <= 0 => {
            errors.push(FieldError::invalid(storage, amount.to_string(), "must be greater than zero"));
        }
        Some(amount) => resources::validate_amount("storage", &amount, &storage, errors),
    }
    class_name(spec, "storageClassName", place, errors);
    super::volumes::sources::supported(spec, "volumeMode", &VOLUME_MODES, place, errors);
    for key in ["dataSource", "dataSourceRef"] {
        if present(spec, key) {
            data_source(get(spec, key), &place.child(key), errors);
        }
    }
    data_sources_agree(spec, place, errors);
    class_name(spec, "volumeAttributesClassName", place, errors);
}

pub(super) fn class_name(spec: &Value, key: &str, place: &Place, errors: &mut ErrorList) {
    let class = text(spec, key);
    if !class.is_empty() {
        fault_list(names::dns_subdomain(class), class, &place.child(key), errors);
    }
}

fn data_source(source: &Value, place: &Place, errors: &mut ErrorList) {
    for key in ["name", "kind"] {
        if text(source, key).is_empty() {
            errors.push(FieldError::required(place.child(key), ""));
        }
    }
    let (group, kind) = (text(source, "apiGroup"), text(source, "kind"));
    if group.is_empty() && kind != "PersistentVolumeClaim" {
        let detail = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
        errors.push(FieldError::invalid(place, kind, detail));
    }
    if !group.is_empty() {
        fault_list(names::dns_subdomain(group), group, &place.child("apiGroup"), errors);
    }
    let namespace = text(source, "namespace");
    if !namespace.is_empty() {
        fault_list(names::dns_label(namespace), namespace, &place.child("namespace"), errors);
    }
}

fn data_sources_agree(spec: &Value, place: &Place, errors: &mut ErrorList) {
    let (source, reference) = (get(spec, "dataSource"), get(spec, "dataSourceRef"));
    if source.is_null() || reference.is_null() {
        return;
    }
    // Upstream prints the path where the value belongs, a pointer that marshals to an empty object.
    if !text(reference, "namespace").is_empty() {
        let detail = "may not be specified when dataSourceRef.namespace is specified";
        errors.push(FieldError::invalid(place, json!({}), detail));
    } else if !["apiGroup", "kind", "name"].iter().all(|key| same_field(source, reference, key)) {
        errors.push(FieldError::invalid(place, json!({}), "must match dataSourceRef"));
    }
}

/// Checks a claim.
pub fn validate_claim(claim: &Value, errors: &mut ErrorList) {
    validate_spec(get(claim, "spec"), &Place::root("spec"), errors);
}

/// Checks what an update changes in a claim.
pub fn validate_claim_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    let place = Place::root("spec");
    let (new_spec, old_spec) = (get(new, "spec"), get(old, "spec"));
    let mut masked = new_spec.clone();
    if text(old_spec, "volumeName").is_empty() {
        remove(&mut masked, "volumeName");
    }
    let annotated = meta::annotation(old, BETA_CLASS);
    let class = maybe_text(new_spec, "storageClassName");
    if !present(old_spec, "storageClassName") && class.is_some() && annotated.is_none_or(|old| class == Some(old)) {
        remove(&mut masked, "storageClassName");
    } else if meta::annotation(new, BETA_CLASS) != annotated {
        let place = Place::root("metadata");
        let place = place.child("annotations");
        let given = meta::annotation(new, BETA_CLASS).unwrap_or("");
        errors.push(FieldError::invalid(place.child(BETA_CLASS), given, "field is immutable"));
    }
    let storage = |spec: &Value| at(spec, &["resources", "requests", "storage"]).clone();
    if text(get(new, "status"), "phase") == "Bound" {
        if let Some(requests) = super::value::at_mut(&mut masked, &["resources", "requests"]) {
            put(requests, "storage", storage(old_spec));
        }
        keep(&mut masked, old_spec, "volumeAttributesClassName");
    }
    if !same(&masked, old_spec) {
        let detail = format!(
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n{}",
            differences(&masked, old_spec)
        );
        errors.push(FieldError::forbidden(place, detail));
    }
    let (after, before) = (resources::amount(&storage(new_spec)), resources::amount(&storage(old_spec)));
    let known = resources::amount(at(old, &["status", "capacity", "storage"]));
    if after < before && after <= known {
        let place = Place::root("spec.resources.requests.storage");
        errors.push(FieldError::forbidden(place, "field can not be less than status.capacity"));
    }
    immutable(get(new_spec, "volumeMode"), get(old_spec, "volumeMode"), &Place::root("volumeMode"), errors);
    let attributes = "volumeAttributesClassName";
    if !same_field(new_spec, old_spec, attributes)
        && present(get(old, "status"), "currentVolumeAttributesClassName")
        && text(new_spec, attributes).is_empty()
    {
        let what = if present(new_spec, attributes) { "empty string" } else { "nil" };
        let detail = format!("update to {what} is forbidden when status.currentVolumeAttributesClassName is not nil");
        errors.push(FieldError::forbidden(place.child(attributes), detail));
    }
}

pub(super) fn differences(new: &Value, old: &Value) -> String {
    let mut lines = String::new();
    let mut keys: Vec<&String> = super::value::map_of(new).keys().chain(super::value::map_of(old).keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    for key in keys.into_iter().filter(|key| !same_field(new, old, key)) {
        lines.push_str(&format!("- {key}: {}\n+ {key}: {}\n", get(old, key), get(new, key)));
    }
    lines
}

/// Checks a write of a claim's status.
pub fn validate_claim_status(new: &Value, _: &Value, errors: &mut ErrorList) {
    const RESIZE: [&str; 5] = [
        "ControllerResizeInProgress",
        "ControllerResizeInfeasible",
        "NodeResizePending",
        "NodeResizeInProgress",
        "NodeResizeInfeasible",
    ];
    if text(get(new, "metadata"), "resourceVersion").is_empty() {
        errors.push(FieldError::required(Place::root("resourceVersion"), ""));
    }
    if items(get(new, "spec"), "accessModes").is_empty() {
        errors.push(FieldError::required(Place::root("Spec").child("accessModes"), ""));
    }
    let status = get(new, "status");
    let place = Place::root("status");
    basic_amounts(entries(status, "capacity"), &place.child("capacity"), errors);
    let statuses = place.child("allocatedResourceStatuses");
    for (name, value) in entries(status, "allocatedResourceStatuses") {
        claim_resource(name, &statuses, errors);
        if !value.as_str().is_some_and(|value| RESIZE.contains(&value)) {
            let mut sorted = RESIZE;
            sorted.sort_unstable();
            errors.push(FieldError::not_supported(statuses, name.as_str(), &sorted));
        }
    }
    let allocated = place.child("allocatedResources");
    for name in entries(status, "allocatedResources").keys() {
        claim_resource(name, &allocated, errors);
    }
    basic_amounts(entries(status, "allocatedResources"), &allocated, errors);
}

fn claim_resource(name: &str, place: &Place, errors: &mut ErrorList) {
    let faults = names::qualified_name(name);
    if faults.is_empty() && resources::is_native(name) && name != "storage" {
        errors.push(FieldError::not_supported(place, name, &["storage"]));
    }
    fault_list(faults, name, place, errors);
}

fn basic_amounts(list: &serde_json::Map<String, Value>, place: &Place, errors: &mut ErrorList) {
    for (name, value) in list {
        let amount = resources::amount(value).value();
        if amount < 0 {
            errors.push(FieldError::invalid(place.key(name), amount, "must be a valid resource quantity"));
        }
    }
}

/// Warnings about a claim.
pub fn warn_claim(claim: &Value, _: Option<&Value>, warnings: &mut Vec<String>) {
    if meta::annotation(claim, BETA_CLASS).is_some() {
        let place = Place::root("metadata");
        let place = place.child("annotations");
        warnings.push(format!(
            "{}: deprecated since v1.8; use \"storageClassName\" attribute instead",
            place.key(BETA_CLASS)
        ));
    }
    warn_spec(get(claim, "spec"), &Place::root("spec"), warnings);
}

/// Warnings about the specification of a claim.
pub fn warn_spec(spec: &Value, place: &Place, warnings: &mut Vec<String>) {
    let place = place.child("resources");
    for which in ["requests", "limits"] {
        let amount = resources::amount_of(entries(get(spec, "resources"), which), "storage");
        if let Some(amount) = amount.filter(resources::is_fractional) {
            warnings.push(format!(
                "{}: fractional byte value \"{amount}\" is invalid, must be an integer",
                place.child(which).key("storage")
            ));
        }
    }
}
