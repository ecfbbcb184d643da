//! Persistent volumes, and the volumes that attachments carry inline.
//!
//! After `pkg/apis/core/validation` and `pkg/registry/core/persistentvolume`.

use super::meta::{self, immutable};
use super::place::Place;
use super::pod::scheduling;
use super::resources;
use super::storage_claims::{BETA_CLASS, VOLUME_MODES, access_modes, class_name, differences};
use super::strategy::Context;
use super::value::{
    at, default_text, default_to, ensure, entries, get, get_mut, items, keep, maybe_text, present, put, remove, same,
    same_field, text,
};
use super::volumes::{Owner, PERSISTENT_SOURCES, default_sources, validate_sources};
use crate::core::field::{ErrorList, FieldError};
use serde_json::{Value, json};

/// Defaults of a volume.
pub fn default_volume(volume: &mut Value) {
    if let Some(spec) = ensure(volume, "spec") {
        default_text(spec, "persistentVolumeReclaimPolicy", "Retain");
        default_to(spec, "volumeMode", "Filesystem");
        default_sources(spec);
    }
    if let Some(status) = ensure(volume, "status") {
        default_text(status, "phase", "Pending");
    }
}

/// A new volume is pending.
pub fn prepare_volume(volume: &mut Value, ctx: &Context) {
    put(volume, "status", json!({"phase": "Pending", "lastPhaseTransitionTime": ctx.now_text()}));
}

/// Notes when the phase changed.
pub fn prepare_volume_status(new: &mut Value, old: &Value, ctx: &Context) {
    keep(new, old, "spec");
    let before = get(old, "status");
    let Some(status) = ensure(new, "status") else { return };
    let time = "lastPhaseTransitionTime";
    let moved = text(status, "phase") != text(before, "phase");
    if !moved && !present(status, time) {
        keep(status, before, time);
    } else if moved && (!present(status, time) || same_field(status, before, time)) {
        put(status, time, ctx.now_text());
    }
}

/// Whether a volume's specification stands on its own or inside an attachment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VolumeSpec {
    Whole,
    Inline,
}

/// Checks a persistent volume.
pub fn validate_volume(volume: &Value, errors: &mut ErrorList) {
    const MOUNT_OPTIONS: &str = "volume.beta.kubernetes.io/mount-options";
    const MOUNTABLE: [&str; 13] = [
        "gcePersistentDisk",
        "awsElasticBlockStore",
        "glusterfs",
        "nfs",
        "rbd",
        "quobyte",
        "iscsi",
        "cinder",
        "cephfs",
        "azureFile",
        "vsphereVolume",
        "azureDisk",
        "photonPersistentDisk",
    ];
    let spec = get(volume, "spec");
    validate_volume_spec(spec, VolumeSpec::Whole, &Place::root("spec"), errors);
    if meta::annotation(volume, MOUNT_OPTIONS).is_some() && !MOUNTABLE.iter().any(|key| present(spec, key)) {
        let place = Place::root("metadata");
        let place = place.child("annotations");
        let detail = "may not specify mount options for this volume type";
        errors.push(FieldError::forbidden(place.child(MOUNT_OPTIONS), detail));
    }
}

/// Checks the specification of a persistent volume.
pub fn validate_volume_spec(spec: &Value, whose: VolumeSpec, place: &Place, errors: &mut ErrorList) {
    let inline = whose == VolumeSpec::Inline;
    if inline {
        inline_only(spec, place, errors);
    }
    if items(spec, "accessModes").is_empty() {
        errors.push(FieldError::required(place.child("accessModes"), ""));
    }
    access_modes(spec, place, errors);
    if !inline {
        capacity(spec, &place.child("capacity"), errors);
    }
    reclaim_policy(spec, whose, &place.child("persistentVolumeReclaimPolicy"), errors);
    let affinity = get(spec, "nodeAffinity");
    let affinity_place = place.child("nodeAffinity");
    if !affinity.is_null() && inline {
        let detail = "may not be specified in the context of inline volumes";
        errors.push(FieldError::forbidden(affinity_place, detail));
    } else if !affinity.is_null() {
        let required = affinity_place.child("required");
        if present(affinity, "required") {
            scheduling::validate_node_selector(get(affinity, "required"), &required, errors);
        } else {
            errors.push(FieldError::required(required, "must specify required node constraints"));
        }
    }
    validate_sources(spec, PERSISTENT_SOURCES, Owner::PersistentVolume, 0, place, errors);
    if present(spec, "local") && (affinity.is_null() || inline) {
        errors.push(FieldError::required(affinity_place, "Local volume requires node affinity"));
    }
    let root = text(get(spec, "hostPath"), "path");
    let is_root =
        !root.is_empty() && root.split('/').all(|part| part.is_empty() || part == ".") && root.starts_with('/');
    if is_root && text(spec, "persistentVolumeReclaimPolicy") == "Recycle" {
        let detail = "may not be 'recycle' for a hostPath mount of '/'";
        errors.push(FieldError::forbidden(place.child("persistentVolumeReclaimPolicy"), detail));
    }
    classes_and_mode(spec, whose, place, errors);
}

fn inline_only(spec: &Value, place: &Place, errors: &mut ErrorList) {
    let detail = "may not be specified in the context of inline volumes";
    if present(spec, "claimRef") {
        errors.push(FieldError::forbidden(place.child("claimRef"), detail));
    }
    if !entries(spec, "capacity").is_empty() {
        errors.push(FieldError::forbidden(place.child("capacity"), detail));
    }
    if !present(spec, "csi") {
        errors.push(FieldError::required(place.child("csi"), "has to be specified in the context of inline volumes"));
    }
}

fn capacity(spec: &Value, place: &Place, errors: &mut ErrorList) {
    let list = entries(spec, "capacity");
    if list.is_empty() {
        errors.push(FieldError::required(place, ""));
    }
    if !list.contains_key("storage") || list.len() > 1 {
        let given = get(spec, "capacity").clone();
        errors.push(FieldError::not_supported(place, given, &["storage"]));
    }
    for (name, value) in list {
        let (amount, place) = (resources::amount(value), place.key(name));
        if amount.value() < 0 {
            errors.push(FieldError::invalid(place, amount.value(), "must be a valid resource quantity"));
        }
        if amount.sign() <= 0 {
            errors.push(FieldError::invalid(place, amount.to_string(), "must be greater than zero"));
        }
    }
}

fn reclaim_policy(spec: &Value, whose: VolumeSpec, place: &Place, errors: &mut ErrorList) {
    let policy = text(spec, "persistentVolumeReclaimPolicy");
    if policy.is_empty() {
        return;
    }
    if whose == VolumeSpec::Inline {
        if policy != "Retain" {
            errors.push(FieldError::forbidden(place, "may only be Retain in the context of inline volumes"));
        }
    } else if !matches!(policy, "Delete" | "Recycle" | "Retain") {
        errors.push(FieldError::not_supported(place, policy, &["Delete", "Recycle", "Retain"]));
    }
}

fn classes_and_mode(spec: &Value, whose: VolumeSpec, place: &Place, errors: &mut ErrorList) {
    if whose == VolumeSpec::Inline {
        if !text(spec, "storageClassName").is_empty() {
            let detail = "may not be specified in the context of inline volumes";
            errors.push(FieldError::forbidden(place.child("storageClassName"), detail));
        }
        if maybe_text(spec, "volumeMode").is_some_and(|mode| mode != "Filesystem") {
            let detail = "may not specify volumeMode other than Filesystem in the context of inline volumes";
            errors.push(FieldError::forbidden(place.child("volumeMode"), detail));
        }
        return;
    }
    class_name(spec, "storageClassName", place, errors);
    super::volumes::sources::supported(spec, "volumeMode", &VOLUME_MODES, place, errors);
    if present(spec, "volumeAttributesClassName") {
        if text(spec, "volumeAttributesClassName").is_empty() {
            let place = place.child("volumeAttributesClassName");
            errors.push(FieldError::required(place, "an empty string is disallowed"));
        }
        class_name(spec, "volumeAttributesClassName", place, errors);
        if !present(spec, "csi") {
            let detail = "has to be specified when using volumeAttributesClassName";
            errors.push(FieldError::required(place.child("csi"), detail));
        }
    }
}

/// Checks what an update changes in a volume: its source stays.
pub fn validate_volume_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    let (new_spec, old_spec) = (get(new, "spec"), get(old, "spec"));
    let sources = |spec: &Value| -> Value {
        PERSISTENT_SOURCES.iter().map(|source| (source.field.to_owned(), get(spec, source.field).clone())).collect()
    };
    let (mut given, before) = (sources(new_spec), sources(old_spec));
    if present(&before, "csi")
        && !present(get(&before, "csi"), "controllerExpandSecretRef")
        && let Some(csi) = get_mut(&mut given, "csi")
    {
        remove(csi, "controllerExpandSecretRef");
    }
    let place = Place::root("spec");
    if !same(&given, &before) {
        let detail =
            format!("spec.persistentvolumesource is immutable after creation\n{}", differences(&given, &before));
        errors.push(FieldError::forbidden(place.child("persistentvolumesource"), detail));
    }
    immutable(get(new_spec, "volumeMode"), get(old_spec, "volumeMode"), &Place::root("volumeMode"), errors);
    if present(old_spec, "nodeAffinity") && !same_field(new_spec, old_spec, "nodeAffinity") {
        let detail = "field is immutable, except for updating from beta label to GA";
        let given = get(new_spec, "nodeAffinity").clone();
        errors.push(FieldError::invalid(Place::root("nodeAffinity"), given, detail));
    }
    let class = "volumeAttributesClassName";
    if present(old_spec, class) && !present(new_spec, class) {
        errors.push(FieldError::forbidden(place.child(class), "update from non-nil value to nil is forbidden"));
    }
}

/// Checks a write of a volume's status.
pub fn validate_volume_status(new: &Value, _: &Value, errors: &mut ErrorList) {
    if text(get(new, "metadata"), "resourceVersion").is_empty() {
        errors.push(FieldError::required(Place::root("resourceVersion"), ""));
    }
}

/// Warnings about a volume.
pub fn warn_volume(volume: &Value, _: Option<&Value>, warnings: &mut Vec<String>) {
    const ANNOTATIONS: [(&str, &str); 2] = [
        (BETA_CLASS, "deprecated since v1.8; use \"storageClassName\" attribute instead"),
        ("volume.beta.kubernetes.io/mount-options", "deprecated since v1.31; use \"mountOptions\" attribute instead"),
    ];
    const SOURCES: [(&str, &str, &str); 6] = [
        ("cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"),
        ("photonPersistentDisk", "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
        ("scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
        ("storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"),
        ("glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
        ("rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"),
    ];
    let spec = get(volume, "spec");
    let place = Place::root("metadata");
    let place = place.child("annotations");
    for (key, message) in ANNOTATIONS {
        if meta::annotation(volume, key).is_some() {
            warnings.push(format!("{}: {message}", place.key(key)));
        }
    }
    let place = Place::root("spec");
    if text(spec, "persistentVolumeReclaimPolicy") == "Recycle" {
        warnings.push(format!(
            "{}: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.",
            place.child("persistentVolumeReclaimPolicy")
        ));
    }
    let terms = place.child("nodeAffinity");
    let terms = terms.child("required");
    let terms = terms.child("nodeSelectorTerms");
    for (index, term) in super::value::indexed(at(spec, &["nodeAffinity", "required"]), "nodeSelectorTerms") {
        let kind = super::pod::warnings::TermKind::Required;
        super::pod::warnings::of_node_term(term, kind, &terms.index(index), warnings);
    }
    for (field, shown, message) in SOURCES {
        if present(spec, field) {
            warnings.push(format!("{}: {message}", place.child(shown)));
        }
    }
}
