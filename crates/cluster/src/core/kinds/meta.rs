//! Rules of `metadata` that hold for every kind, built in or custom.
//!
//! After `k8s.io/apimachinery/pkg/api/validation/objectmeta.go` and
//! `k8s.io/apiserver/pkg/registry/rest/{create,update}.go`. Nothing here reads `spec` or `status`.

use serde_json::Value;

use super::labels;
use super::names::{self, NameRule};
use super::place::Place;
use super::value::{
    elements, entries, flag, get, indexed, integer, items, keep, number, present, put, same, strings, text,
};
use crate::core::field::{ErrorList, FieldError};

/// Bytes of all keys and values of annotations together.
pub const ANNOTATIONS_MAX_BYTES: usize = 256 * 1024;

const IMMUTABLE: &str = "field is immutable";

/// Whether the finalizers must be standard names or carry a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finalizers {
    /// Kinds of Kubernetes itself.
    StandardOrQualified,
    /// Custom kinds and webhook configurations.
    Qualified,
}

/// What the metadata of a kind must satisfy.
#[derive(Clone, Copy, Debug)]
pub struct MetaRules {
    pub namespaced: bool,
    pub name: NameRule,
    pub finalizers: Finalizers,
}

/// Drops owners that stand twice; the warning that the writer gets, if there were any.
pub fn drop_double_owners(object: &mut Value) -> Option<String> {
    let owners = object.get_mut("metadata")?.get_mut("ownerReferences")?.as_array_mut()?;
    let (mut kept, mut doubles): (Vec<Value>, Vec<String>) = (Vec::new(), Vec::new());
    for owner in owners.drain(..) {
        if kept.iter().any(|other| same(other, &owner)) {
            doubles.push(text(&owner, "uid").to_owned());
        } else {
            kept.push(owner);
        }
    }
    *owners = kept;
    (!doubles.is_empty()).then(|| {
        format!(
            ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, \
             and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {}",
            doubles.join(", ")
        )
    })
}

/// Checks the metadata of a new object.
pub fn validate(object: &Value, rules: MetaRules, errors: &mut ErrorList) {
    let meta = get(object, "metadata");
    let place = Place::root("metadata");
    validate_names(meta, rules, &place, errors);
    if integer(meta, "generation") < 0 {
        let place = place.child("generation");
        errors.push(FieldError::invalid(place, integer(meta, "generation"), "must be greater than or equal to 0"));
    }
    labels::validate(get(meta, "labels"), &place.child("labels"), errors);
    validate_annotations(get(meta, "annotations"), &place.child("annotations"), errors);
    validate_owners(get(meta, "ownerReferences"), &place.child("ownerReferences"), errors);
    validate_finalizers(get(meta, "finalizers"), &place.child("finalizers"), errors);
    validate_managed_fields(get(meta, "managedFields"), &place.child("managedFields"), errors);
    if rules.finalizers == Finalizers::StandardOrQualified {
        validate_kube_finalizers(meta, &place, errors);
    }
}

fn validate_names(meta: &Value, rules: MetaRules, place: &Place, errors: &mut ErrorList) {
    let generate_name = text(meta, "generateName");
    if !generate_name.is_empty() {
        for fault in rules.name.check_prefix(generate_name) {
            errors.push(FieldError::invalid(place.child("generateName"), generate_name, fault));
        }
    }
    let name = text(meta, "name");
    if name.is_empty() {
        errors.push(FieldError::required(place.child("name"), "name or generateName is required"));
    } else {
        for fault in rules.name.check(name) {
            errors.push(FieldError::invalid(place.child("name"), name, fault));
        }
    }
    let namespace = text(meta, "namespace");
    match (rules.namespaced, namespace.is_empty()) {
        (true, true) => errors.push(FieldError::required(place.child("namespace"), "")),
        (true, false) => {
            for fault in names::dns_label(namespace) {
                errors.push(FieldError::invalid(place.child("namespace"), namespace, fault));
            }
        }
        (false, false) => errors.push(FieldError::forbidden(place.child("namespace"), "not allowed on this type")),
        (false, true) => {}
    }
}

/// Checks keys and the total size of annotations.
pub fn validate_annotations(annotations: &Value, place: &Place, errors: &mut ErrorList) {
    let mut bytes = 0;
    for (key, value) in super::value::map_of(annotations) {
        for fault in names::qualified_name(&key.to_lowercase()) {
            errors.push(FieldError::invalid(place, key.as_str(), fault));
        }
        bytes += key.len() + value.as_str().map_or(0, str::len);
    }
    if bytes > ANNOTATIONS_MAX_BYTES {
        errors.push(FieldError::too_long(place, ANNOTATIONS_MAX_BYTES));
    }
}

fn validate_owners(owners: &Value, place: &Place, errors: &mut ErrorList) {
    let mut controller: Option<String> = None;
    for owner in elements(owners) {
        // Upstream names the list, not the item.
        validate_owner(owner, place, errors);
        if !flag(owner, "controller") {
            continue;
        }
        let name = format!("{}/{}", text(owner, "kind"), text(owner, "name"));
        match &controller {
            Some(first) => errors.push(FieldError::invalid(
                place,
                owners.clone(),
                format!(
                    "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {name}"
                ),
            )),
            None => controller = Some(name),
        }
    }
}

fn validate_owner(owner: &Value, place: &Place, errors: &mut ErrorList) {
    let api_version = text(owner, "apiVersion");
    let version = api_version.rsplit('/').next().unwrap_or("");
    if version.is_empty() || api_version.matches('/').count() > 1 {
        errors.push(FieldError::invalid(place.child("apiVersion"), api_version, "version must not be empty"));
    }
    for key in ["kind", "name", "uid"] {
        if text(owner, key).is_empty() {
            errors.push(FieldError::invalid(place.child(key), text(owner, key), "must not be empty"));
        }
    }
    if api_version == "v1" && text(owner, "kind") == "Event" {
        errors.push(FieldError::invalid(place, owner.clone(), "/v1, Kind=Event is disallowed from being an owner"));
    }
}

fn validate_finalizers(finalizers: &Value, place: &Place, errors: &mut ErrorList) {
    let (mut orphan, mut foreground) = (false, false);
    for finalizer in elements(finalizers) {
        let finalizer = finalizer.as_str().unwrap_or("");
        for fault in names::qualified_name(finalizer) {
            errors.push(FieldError::invalid(place, finalizer, fault));
        }
        orphan |= finalizer == "orphan";
        foreground |= finalizer == "foregroundDeletion";
    }
    if orphan && foreground {
        errors.push(FieldError::invalid(
            place,
            finalizers.clone(),
            "finalizer orphan and foregroundDeletion cannot be both set",
        ));
    }
}

fn validate_kube_finalizers(meta: &Value, place: &Place, errors: &mut ErrorList) {
    for (index, finalizer) in indexed(meta, "finalizers") {
        let finalizers = place.child("finalizers");
        kube_finalizer(finalizer.as_str().unwrap_or(""), &finalizers.index(index), errors);
    }
}

/// Refuses a finalizer without a domain that is not one of the standard ones.
pub fn kube_finalizer(finalizer: &str, place: &Place, errors: &mut ErrorList) {
    if !finalizer.contains('/') && !matches!(finalizer, "kubernetes" | "orphan" | "foregroundDeletion") {
        errors.push(FieldError::invalid(
            place,
            finalizer,
            "name is neither a standard finalizer name nor is it fully qualified",
        ));
    }
}

fn validate_managed_fields(managed: &Value, place: &Place, errors: &mut ErrorList) {
    for (index, entry) in elements(managed).iter().enumerate() {
        let place = place.index(index);
        let operation = text(entry, "operation");
        if !matches!(operation, "Apply" | "Update") {
            errors.push(FieldError::invalid(place.child("operation"), operation, "must be `Apply` or `Update`"));
        }
        let fields_type = text(entry, "fieldsType");
        if !matches!(fields_type, "" | "FieldsV1") {
            errors.push(FieldError::invalid(place.child("fieldsType"), fields_type, "must be `FieldsV1`"));
        }
        validate_field_manager(text(entry, "manager"), &place.child("manager"), errors);
        if text(entry, "subresource").len() > 256 {
            errors.push(FieldError::too_long(place.child("subresource"), 256));
        }
    }
}

/// Checks the name of a field manager, in an object or in a query.
pub fn validate_field_manager(manager: &str, place: &Place, errors: &mut ErrorList) {
    if manager.len() > 128 {
        errors.push(FieldError::too_long(place, 128));
    }
    for (position, letter) in manager.char_indices() {
        if letter.is_control() {
            errors.push(FieldError::invalid(
                place,
                manager,
                format!("invalid character U+{:04X} (at position {position})", u32::from(letter)),
            ));
        }
    }
}

/// Checks what an update may not change in metadata, and the new metadata's own form.
pub fn validate_update(new: &Value, old: &Value, finalizers: Option<Finalizers>, errors: &mut ErrorList) {
    let (meta, old) = (get(new, "metadata"), get(old, "metadata"));
    let place = Place::root("metadata");
    if present(old, "deletionTimestamp") {
        validate_no_new_finalizers(meta, old, &place, errors);
    }
    if text(meta, "resourceVersion").is_empty() {
        errors.push(FieldError::invalid(place.child("resourceVersion"), "", "must be specified for an update"));
    }
    if integer(meta, "generation") < integer(old, "generation") {
        let place = place.child("generation");
        errors.push(FieldError::invalid(place, integer(meta, "generation"), "must not be decremented"));
    }
    for key in ["name", "namespace", "uid"] {
        if text(meta, key) != text(old, key) {
            errors.push(FieldError::invalid(place.child(key), text(meta, key), IMMUTABLE));
        }
    }
    for key in ["creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        immutable(get(meta, key), get(old, key), &place.child(key), errors);
    }
    labels::validate(get(meta, "labels"), &place.child("labels"), errors);
    validate_annotations(get(meta, "annotations"), &place.child("annotations"), errors);
    validate_owners(get(meta, "ownerReferences"), &place.child("ownerReferences"), errors);
    validate_managed_fields(get(meta, "managedFields"), &place.child("managedFields"), errors);
    if finalizers == Some(Finalizers::StandardOrQualified) {
        validate_kube_finalizers(meta, &place, errors);
    }
}

fn validate_no_new_finalizers(meta: &Value, old: &Value, place: &Place, errors: &mut ErrorList) {
    let known: Vec<&str> = strings(old, "finalizers").collect();
    let mut added: Vec<&str> = strings(meta, "finalizers").filter(|name| !known.contains(name)).collect();
    if added.is_empty() {
        return;
    }
    added.sort_unstable();
    added.dedup();
    let quoted: Vec<String> = added.iter().map(|name| format!("{name:?}")).collect();
    errors.push(FieldError::forbidden(
        place.child("finalizers"),
        format!(
            "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
            quoted.join(", ")
        ),
    ));
}

/// Refuses a change.
pub fn immutable(new: &Value, old: &Value, place: &Place, errors: &mut ErrorList) {
    if !same(new, old) {
        errors.push(FieldError::invalid(place, new.clone(), IMMUTABLE));
    }
}

/// Metadata that an update cannot set: generation, uid and timestamps come from the old object.
pub fn prepare_update(new: &mut Value, old: &Value) {
    let old = get(old, "metadata");
    let Some(meta) = new.get_mut("metadata") else { return };
    if text(meta, "uid").is_empty() {
        keep(meta, old, "uid");
    }
    keep(meta, old, "creationTimestamp");
    if present(old, "deletionTimestamp") {
        keep(meta, old, "deletionTimestamp");
    }
    if present(old, "deletionGracePeriodSeconds") && !present(meta, "deletionGracePeriodSeconds") {
        keep(meta, old, "deletionGracePeriodSeconds");
    }
}

/// Sets the generation to that of the old object.
pub fn keep_generation(new: &mut Value, old: &Value) {
    if let Some(meta) = new.get_mut("metadata") {
        keep(meta, get(old, "metadata"), "generation");
    }
}

/// Sets `metadata.generation`.
pub fn set_generation(object: &mut Value, generation: i64) {
    if let Some(meta) = super::value::ensure(object, "metadata") {
        put(meta, "generation", generation);
    }
}

/// The generation of an object, zero for kinds without.
pub fn generation(object: &Value) -> i64 {
    number(get(object, "metadata"), "generation").unwrap_or(0)
}

/// Keeps all metadata but managed fields as it was, as status writes of some kinds do.
pub fn reset_for_status(new: &mut Value, old: &Value) {
    const KEPT: [&str; 10] = [
        "deletionTimestamp",
        "generation",
        "selfLink",
        "labels",
        "annotations",
        "finalizers",
        "ownerReferences",
        "deletionGracePeriodSeconds",
        "creationTimestamp",
        "generateName",
    ];
    if let Some(meta) = new.get_mut("metadata") {
        for key in KEPT {
            keep(meta, get(old, "metadata"), key);
        }
    }
}

/// The labels of an object.
pub fn labels_of(object: &Value) -> &serde_json::Map<String, Value> {
    entries(get(object, "metadata"), "labels")
}

/// An annotation of an object.
pub fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    entries(get(object, "metadata"), "annotations").get(key).and_then(Value::as_str)
}

/// Checks `metav1.Condition` lists.
pub fn validate_conditions(conditions: &Value, place: &Place, errors: &mut ErrorList) {
    let mut seen: Vec<&str> = Vec::new();
    for (index, condition) in elements(conditions).iter().enumerate() {
        let place = place.index(index);
        let kind = text(condition, "type");
        if seen.contains(&kind) {
            errors.push(FieldError::duplicate(place.child("type"), kind));
        }
        seen.push(kind);
        labels::validate_key(kind, &place.child("type"), errors);
        let status = text(condition, "status");
        if !matches!(status, "True" | "False" | "Unknown") {
            errors.push(FieldError::not_supported(place.child("status"), status, &["False", "True", "Unknown"]));
        }
        if integer(condition, "observedGeneration") < 0 {
            errors.push(FieldError::invalid(
                place.child("observedGeneration"),
                integer(condition, "observedGeneration"),
                "must be greater than or equal to zero",
            ));
        }
        if text(condition, "lastTransitionTime").is_empty() {
            errors.push(FieldError::required(place.child("lastTransitionTime"), ""));
        }
        validate_condition_texts(condition, &place, errors);
    }
}

fn validate_condition_texts(condition: &Value, place: &Place, errors: &mut ErrorList) {
    let reason = text(condition, "reason");
    if reason.is_empty() {
        errors.push(FieldError::required(place.child("reason"), ""));
    } else {
        for fault in names::condition_reason(reason) {
            errors.push(FieldError::invalid(place.child("reason"), reason, fault));
        }
        if reason.len() > 1024 {
            errors.push(FieldError::too_long(place.child("reason"), 1024));
        }
    }
    if text(condition, "message").len() > 32 * 1024 {
        errors.push(FieldError::too_long(place.child("message"), 32 * 1024));
    }
}

/// Whether a list of finalizers holds a name.
pub fn has_finalizer(object: &Value, finalizer: &str) -> bool {
    items(get(object, "metadata"), "finalizers").iter().any(|name| name == finalizer)
}
