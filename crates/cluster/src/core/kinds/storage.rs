//! StorageClass, VolumeAttachment, VolumeAttributesClass and the CSI kinds. After `pkg/apis/storage`.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::labels::{self, Values};
use super::meta::{self, immutable};
use super::persistent_volume::{VolumeSpec, validate_volume_spec};
use super::place::Place;
use super::pod::containers::nonnegative_field;
use super::pod::spec::fault_list;
use super::pod::warnings::deprecated_node_label;
use super::strategy::Context;
use super::value::{
    default_to, ensure, entries, get, get_mut, indexed, items, keep, maybe_text, number, present, put, remove, same,
    same_field, strings, text,
};
use super::volumes::sources::{supported, validate_csi_driver_name};
use super::{names, resources};
use crate::core::field::{ErrorList, FieldError};

const IMMUTABLE: &str = "field is immutable";

/// Defaults of a StorageClass.
pub fn default_class(object: &mut Value) {
    default_to(object, "reclaimPolicy", "Delete");
    default_to(object, "volumeBindingMode", "Immediate");
}

fn driver_name(name: &str, place: &Place, errors: &mut ErrorList) {
    if name.is_empty() {
        errors.push(FieldError::required(place, ""));
        return;
    }
    let lower = name.to_lowercase();
    fault_list(names::qualified_name(&lower), &lower, place, errors);
}

/// Whether a list of parameters may be empty.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Parameters {
    Optional,
    Needed,
}

fn parameters(object: &Value, rule: Parameters, errors: &mut ErrorList) {
    let place = Place::root("parameters");
    let given = entries(object, "parameters");
    if given.len() > 512 {
        errors.push(FieldError::too_long(place, 512));
        return;
    }
    let mut bytes = 0;
    for (key, value) in given {
        if key.is_empty() {
            errors.push(FieldError::invalid(place, "", "field can not be empty."));
        }
        bytes += key.len() + value.as_str().map_or(0, str::len);
    }
    if bytes > 256 * 1024 {
        errors.push(FieldError::too_long(place, 256 * 1024));
    }
    if rule == Parameters::Needed && given.is_empty() {
        errors.push(FieldError::required(place, "must contain at least one key/value pair"));
    }
}

/// Checks a StorageClass.
pub fn validate_class(object: &Value, errors: &mut ErrorList) {
    driver_name(text(object, "provisioner"), &Place::root("provisioner"), errors);
    parameters(object, Parameters::Optional, errors);
    if !text(object, "reclaimPolicy").is_empty() {
        supported(object, "reclaimPolicy", &["Delete", "Retain"], &Place::OBJECT, errors);
    }
    if present(object, "volumeBindingMode") {
        let modes = ["Immediate", "WaitForFirstConsumer"];
        supported(object, "volumeBindingMode", &modes, &Place::OBJECT, errors);
    } else {
        errors.push(FieldError::required(Place::root("volumeBindingMode"), ""));
    }
    topologies(object, errors);
}

fn topologies(object: &Value, errors: &mut ErrorList) {
    let list = Place::root("allowedTopologies");
    let terms = items(object, "allowedTopologies");
    for (index, term) in terms.iter().enumerate() {
        let place = list.index(index);
        let expressions = place.child("matchLabelExpressions");
        let mut keys = HashSet::new();
        for (index, requirement) in indexed(term, "matchLabelExpressions") {
            let place = expressions.index(index);
            let key = text(requirement, "key");
            let values = place.child("values");
            if items(requirement, "values").is_empty() {
                errors.push(FieldError::required(values, ""));
            }
            let mut seen = HashSet::new();
            for (index, value) in strings(requirement, "values").enumerate() {
                if !seen.insert(value) {
                    errors.push(FieldError::duplicate(values.index(index), value));
                }
            }
            labels::validate_key(key, &place.child("key"), errors);
            if !keys.insert(key) {
                errors.push(FieldError::duplicate(place.child("key"), key));
            }
        }
        for _ in terms[..index].iter().filter(|other| same(other, term)) {
            errors.push(FieldError::duplicate(expressions, ""));
        }
    }
}

/// Checks what an update changes in a StorageClass: nothing that volumes were made by.
pub fn validate_class_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    for key in ["parameters", "provisioner", "reclaimPolicy"] {
        if !same_field(new, old, key) {
            errors.push(FieldError::forbidden(Place::root(key), format!("updates to {key} are forbidden.")));
        }
    }
    let mode = "volumeBindingMode";
    immutable(get(new, mode), get(old, mode), &Place::root(mode), errors);
}

/// Warnings about a StorageClass.
pub fn warn_class(object: &Value, _: Option<&Value>, warnings: &mut Vec<String>) {
    let list = Place::root("allowedTopologies");
    for (index, term) in indexed(object, "allowedTopologies") {
        let place = list.index(index);
        let list = place.child("matchLabelExpressions");
        for (index, requirement) in indexed(term, "matchLabelExpressions") {
            if let Some(message) = deprecated_node_label(text(requirement, "key")) {
                let place = list.index(index);
                warnings.push(format!("{}: {message}", place.child("key")));
            }
        }
    }
}

/// Checks a VolumeAttributesClass.
pub fn validate_attributes(object: &Value, errors: &mut ErrorList) {
    driver_name(text(object, "driverName"), &Place::root("driverName"), errors);
    parameters(object, Parameters::Needed, errors);
}

/// Nothing of a VolumeAttributesClass changes.
pub fn validate_attributes_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    for key in ["driverName", "parameters"] {
        if !same_field(new, old, key) {
            errors.push(FieldError::forbidden(Place::root(key), format!("updates to {key} are forbidden.")));
        }
    }
}

/// Clears the status of a VolumeAttachment.
pub fn prepare_attachment(object: &mut Value, _: &Context) {
    put(object, "status", json!({"attached": false}));
}

/// Keeps everything but the status of a VolumeAttachment.
pub fn prepare_attachment_status(new: &mut Value, old: &Value, _: &Context) {
    keep(new, old, "spec");
    meta::reset_for_status(new, old);
    let before = get(old, "status");
    let Some(status) = get_mut(new, "status") else { return };
    for key in ["attachError", "detachError"] {
        if let Some(error) = get_mut(status, key).filter(|_| !present(get(before, key), "errorCode")) {
            remove(error, "errorCode");
        }
    }
}

/// Checks a VolumeAttachment.
pub fn validate_attachment(object: &Value, errors: &mut ErrorList) {
    let (spec, place) = (get(object, "spec"), Place::root("spec"));
    if text(spec, "attacher").is_empty() {
        errors.push(FieldError::required(place.child("attacher"), ""));
    }
    let source = get(spec, "source");
    let source_place = place.child("source");
    let one = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
    match (present(source, "inlineVolumeSpec"), maybe_text(source, "persistentVolumeName")) {
        (false, None) => errors.push(FieldError::required(source_place, one)),
        (true, Some(_)) => errors.push(FieldError::forbidden(source_place, one)),
        (false, Some("")) => {
            let detail = "must specify non empty persistentVolumeName";
            errors.push(FieldError::required(source_place.child("persistentVolumeName"), detail));
        }
        (false, Some(_)) => {}
        (true, None) => {
            let place = source_place.child("inlineVolumeSpec");
            validate_volume_spec(get(source, "inlineVolumeSpec"), VolumeSpec::Inline, &place, errors);
        }
    }
    let node = text(spec, "nodeName");
    fault_list(names::dns_subdomain(node), node, &place.child("nodeName"), errors);
    attachment_status(get(object, "status"), errors);
}

/// Checks what only holds for new attachments in this version.
pub fn validate_attachment_create(object: &Value, errors: &mut ErrorList) {
    validate_attachment(object, errors);
    let spec = get(object, "spec");
    validate_csi_driver_name(text(spec, "attacher"), &Place::root("spec.attacher"), errors);
    if let Some(volume) = maybe_text(get(spec, "source"), "persistentVolumeName") {
        fault_list(names::dns_subdomain(volume), volume, &Place::root("spec.source.persistentVolumeName"), errors);
    }
}

fn attachment_status(status: &Value, errors: &mut ErrorList) {
    let place = Place::root("status");
    let bytes: usize = entries(status, "attachmentMetadata")
        .iter()
        .map(|(key, value)| key.len() + value.as_str().map_or(0, str::len))
        .sum();
    if bytes > 256 * 1024 {
        errors.push(FieldError::too_long(place.child("attachmentMetadata"), 256 * 1024));
    }
    for key in ["attachError", "detachError"] {
        let error = get(status, key);
        let place = place.child(key);
        if text(error, "message").len() > 1024 {
            // Upstream names another limit than the one that it checks.
            errors.push(FieldError::too_long(place.child("message"), 256 * 1024));
        }
        if let Some(code) = number(error, "errorCode").filter(|code| *code < 0) {
            errors.push(FieldError::invalid(place.child("errorCode"), code, names::range(0, i64::from(i32::MAX))));
        }
    }
}

/// The specification of a VolumeAttachment stays.
pub fn validate_attachment_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    if !same_field(new, old, "spec") {
        errors.push(FieldError::invalid(Place::root("spec"), get(new, "spec").clone(), IMMUTABLE));
    }
}

/// Defaults of a CSIDriver.
pub fn default_driver(object: &mut Value) {
    let Some(spec) = ensure(object, "spec") else { return };
    default_to(spec, "attachRequired", true);
    default_to(spec, "podInfoOnMount", false);
    default_to(spec, "storageCapacity", false);
    default_to(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
    if items(spec, "volumeLifecycleModes").is_empty() {
        put(spec, "volumeLifecycleModes", json!(["Persistent"]));
    }
    default_to(spec, "requiresRepublish", false);
    default_to(spec, "seLinuxMount", false);
}

/// Drops how often a node's capacity is read again, a feature that is off.
pub fn prepare_driver(object: &mut Value, _: &Context) {
    if let Some(spec) = get_mut(object, "spec") {
        remove(spec, "nodeAllocatableUpdatePeriodSeconds");
    }
}

/// As [`prepare_driver`], unless the old object has it.
pub fn prepare_driver_update(new: &mut Value, old: &Value, ctx: &Context) {
    if !present(get(old, "spec"), "nodeAllocatableUpdatePeriodSeconds") {
        prepare_driver(new, ctx);
    }
}

/// Checks a CSIDriver.
pub fn validate_driver(object: &Value, errors: &mut ErrorList) {
    let (spec, place) = (get(object, "spec"), Place::root("spec"));
    for (key, shown) in [
        ("attachRequired", "attachedRequired"),
        ("podInfoOnMount", "podInfoOnMount"),
        ("storageCapacity", "storageCapacity"),
    ] {
        if !present(spec, key) {
            errors.push(FieldError::required(place.child(shown), ""));
        }
    }
    supported(spec, "fsGroupPolicy", &["File", "None", "ReadWriteOnceWithFSType"], &place, errors);
    let list = place.child("tokenRequests");
    let mut audiences = HashSet::new();
    for (index, request) in indexed(spec, "tokenRequests") {
        let place = list.index(index);
        let audience = text(request, "audience");
        if !audiences.insert(audience) {
            errors.push(FieldError::duplicate(place.child("audience"), audience));
            continue;
        }
        let seconds_place = place.child("expirationSeconds");
        match number(request, "expirationSeconds") {
            Some(seconds) if seconds < 600 => {
                let detail = "may not specify a duration less than 10 minutes";
                errors.push(FieldError::invalid(seconds_place, seconds, detail));
            }
            Some(seconds) if seconds > 1 << 32 => {
                let detail = "may not specify a duration larger than 2^32 seconds";
                errors.push(FieldError::invalid(seconds_place, seconds, detail));
            }
            _ => {}
        }
    }
    for mode in strings(spec, "volumeLifecycleModes").filter(|mode| !matches!(*mode, "Persistent" | "Ephemeral")) {
        let place = place.child("volumeLifecycleModes");
        errors.push(FieldError::not_supported(place, mode, &["Persistent", "Ephemeral"]));
    }
    if !present(spec, "seLinuxMount") {
        errors.push(FieldError::required(place.child("seLinuxMount"), ""));
    }
    if let Some(period) = number(spec, "nodeAllocatableUpdatePeriodSeconds").filter(|period| *period < 10) {
        let place = place.child("nodeAllocatableUpdatePeriodSeconds");
        errors.push(FieldError::invalid(place, period, "must be greater than or equal to 10 seconds"));
    }
}

/// Checks what an update changes in a CSIDriver.
pub fn validate_driver_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    let (spec, before, place) = (get(new, "spec"), get(old, "spec"), Place::root("spec"));
    for (key, shown) in [("attachRequired", "attachedRequired"), ("volumeLifecycleModes", "volumeLifecycleModes")] {
        immutable(get(spec, key), get(before, key), &place.child(shown), errors);
    }
}

/// Checks a CSINode.
pub fn validate_node(object: &Value, errors: &mut ErrorList) {
    let place = Place::root("spec");
    let list = place.child("drivers");
    let mut seen = HashSet::new();
    for (index, driver) in indexed(get(object, "spec"), "drivers") {
        let place = list.index(index);
        let (name, node) = (text(driver, "name"), text(driver, "nodeID"));
        validate_csi_driver_name(name, &place.child("name"), errors);
        if node.is_empty() {
            errors.push(FieldError::required(place.child("nodeID"), ""));
        }
        if node.len() > 256 {
            errors.push(FieldError::invalid(place.child("nodeID"), node, "must be 256 characters or less"));
        }
        nonnegative_field(get(driver, "allocatable"), "count", &place.child("allocatable"), errors);
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(place.child("name"), name));
        }
        let mut keys = HashSet::new();
        for key in strings(driver, "topologyKeys") {
            if key.is_empty() {
                errors.push(FieldError::required(place, ""));
            }
            if !keys.insert(key) {
                errors.push(FieldError::duplicate(place, key));
            }
            labels::validate_key(key, &place, errors);
        }
    }
}

/// A driver of a CSINode stays as it was registered.
pub fn validate_node_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    let place = Place::root("spec");
    for driver in items(get(new, "spec"), "drivers") {
        let before = items(get(old, "spec"), "drivers").iter().find(|old| text(old, "name") == text(driver, "name"));
        if before.is_some_and(|before| !same(before, driver)) {
            let allocatable = match number(get(driver, "allocatable"), "count") {
                Some(count) => json!({ "Count": count }),
                None => Value::Null,
            };
            let shown = json!({
                "Name": text(driver, "name"),
                "NodeID": text(driver, "nodeID"),
                "TopologyKeys": get(driver, "topologyKeys"),
                "Allocatable": allocatable,
            });
            errors.push(FieldError::invalid(place.child("drivers"), shown, IMMUTABLE));
        }
    }
}

/// Checks a CSIStorageCapacity.
pub fn validate_capacity(object: &Value, errors: &mut ErrorList) {
    labels::validate_selector(get(object, "nodeTopology"), Values::Checked, &Place::root("nodeTopology"), errors);
    let class = text(object, "storageClassName");
    fault_list(names::dns_subdomain(class), class, &Place::root("storageClassName"), errors);
    if present(object, "capacity") {
        let capacity = resources::amount(get(object, "capacity"));
        resources::validate_nonnegative(&capacity, &Place::root("capacity"), errors);
    }
}

/// Topology and class of a CSIStorageCapacity stay.
pub fn validate_capacity_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    for key in ["nodeTopology", "storageClassName"] {
        if !same_field(new, old, key) {
            errors.push(FieldError::invalid(Place::root(key), get(new, key).clone(), IMMUTABLE));
        }
    }
}

/// Warnings about a CSIStorageCapacity.
pub fn warn_capacity(object: &Value, _: Option<&Value>, warnings: &mut Vec<String>) {
    let topology = get(object, "nodeTopology");
    let place = Place::root("nodeTopology");
    let list = place.child("matchLabels");
    for key in entries(topology, "matchLabels").keys() {
        if let Some(message) = deprecated_node_label(key) {
            warnings.push(format!("{}: {message}", list.child(key)));
        }
    }
    let list = place.child("matchExpressions");
    for (index, expression) in indexed(topology, "matchExpressions") {
        if let Some(message) = deprecated_node_label(text(expression, "key")) {
            warnings.push(format!("{}: {message}", list.index(index).child("key")));
        }
    }
}
