//! Sources of volumes, as pods and persistent volumes name them: defaults and validation.
//!
//! One row a source; the sources that only pods have (projections, ephemeral claims, images) are in
//! `pod::volumes`. After `pkg/apis/core/validation`.

pub mod sources;

use serde_json::{Value, json};

use super::place::Place;
use super::value::{default_text, default_to, get, get_mut, indexed, items_mut, number, present, text};
use crate::core::field::{ErrorList, FieldError};
use sources::{
    aws_disk, azure_disk, azure_file, cephfs, cinder, claim, config_map, csi, fibre_channel, flex, flocker, gce_disk,
    git_repo, glusterfs, host_path, iscsi, local, nfs, photon, portworx, quobyte, rbd, scale_io, secret, storage_os,
    vsphere,
};

/// Who names the source: persistent volumes have other secret references.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    Pod,
    PersistentVolume,
}

type Check = fn(&Value, Owner, &Place, &mut ErrorList);

/// One kind of source.
pub struct Source {
    pub field: &'static str,
    /// The field as an error prints it when a second source is given.
    refused_at: &'static str,
    /// The field as an error of the source itself prints it.
    checked_at: &'static str,
    check: Check,
}

const fn source(field: &'static str, check: Check) -> Source {
    Source { field, refused_at: field, checked_at: field, check }
}

const fn named(field: &'static str, refused_at: &'static str, checked_at: &'static str, check: Check) -> Source {
    Source { field, refused_at, checked_at, check }
}

/// Sources of pods that are checked here, in upstream's order.
pub const POD_SOURCES: &[Source] = &[
    source("hostPath", host_path),
    source("gitRepo", git_repo),
    named("gcePersistentDisk", "gcePersistentDisk", "persistentDisk", gce_disk),
    source("awsElasticBlockStore", aws_disk),
    source("secret", secret),
    source("nfs", nfs),
    source("iscsi", iscsi),
    source("glusterfs", glusterfs),
    source("flocker", flocker),
    source("persistentVolumeClaim", claim),
    source("rbd", rbd),
    source("cinder", cinder),
    named("cephfs", "cephFS", "cephfs", cephfs),
    source("quobyte", quobyte),
    named("downwardAPI", "downwarAPI", "downwardAPI", super::pod::volumes::downward_api),
    source("fc", fibre_channel),
    source("flexVolume", flex),
    source("configMap", config_map),
    source("azureFile", azure_file),
    source("vsphereVolume", vsphere),
    source("photonPersistentDisk", photon),
    source("portworxVolume", portworx),
    source("azureDisk", azure_disk),
    source("storageos", storage_os),
    source("projected", super::pod::volumes::projected),
    source("scaleIO", scale_io),
    source("csi", csi),
    source("ephemeral", super::pod::volumes::ephemeral),
    source("image", super::pod::volumes::image),
];

/// Sources of persistent volumes, in upstream's order.
pub const PERSISTENT_SOURCES: &[Source] = &[
    source("hostPath", host_path),
    named("gcePersistentDisk", "gcePersistentDisk", "persistentDisk", gce_disk),
    source("awsElasticBlockStore", aws_disk),
    source("glusterfs", glusterfs),
    source("flocker", flocker),
    source("nfs", nfs),
    source("rbd", rbd),
    source("quobyte", quobyte),
    named("cephfs", "cephFS", "cephfs", cephfs),
    source("iscsi", iscsi),
    source("cinder", cinder),
    source("fc", fibre_channel),
    source("flexVolume", flex),
    source("azureFile", azure_file),
    source("vsphereVolume", vsphere),
    source("photonPersistentDisk", photon),
    source("portworxVolume", portworx),
    source("azureDisk", azure_disk),
    source("scaleIO", scale_io),
    source("local", local),
    source("storageos", storage_os),
    source("csi", csi),
];

/// Checks that exactly one source is given, and that one.
pub fn validate_sources(
    volume: &Value,
    sources: &[Source],
    owner: Owner,
    mut count: usize,
    place: &Place,
    errors: &mut ErrorList,
) {
    for source in sources {
        if !present(volume, source.field) {
            continue;
        }
        if count > 0 {
            errors
                .push(FieldError::forbidden(place.child(source.refused_at), "may not specify more than 1 volume type"));
        } else {
            (source.check)(get(volume, source.field), owner, &place.child(source.checked_at), errors);
        }
        count += 1;
    }
    if count == 0 {
        errors.push(FieldError::required(place, "must specify a volume type"));
    }
}

fn required(source: &Value, keys: &[&str], place: &Place, errors: &mut ErrorList) {
    for key in keys {
        if super::value::is_empty(get(source, key)) {
            errors.push(FieldError::required(place.child(key), ""));
        }
    }
}

/// Refuses a mode outside `0` to `0777`.
pub fn validate_mode(source: &Value, key: &str, place: &Place, errors: &mut ErrorList) {
    if let Some(mode) = number(source, key)
        && !(0..=0o777).contains(&mode)
    {
        let detail = "must be a number between 0 and 0777 (octal), both inclusive";
        errors.push(FieldError::invalid(place.child(key), mode, detail));
    }
}

/// Checks `items` of secret and configMap volumes.
pub fn validate_key_to_path(source: &Value, place: &Place, errors: &mut ErrorList) {
    let items_place = place.child("items");
    for (index, item) in indexed(source, "items") {
        let place = items_place.index(index);
        required(item, &["key", "path"], &place, errors);
        local_non_reserved_path(text(item, "path"), &place.child("path"), errors);
        validate_mode(item, "mode", &place, errors);
    }
}

/// Refuses `..` among a path's parts.
pub fn no_backsteps(path: &str, place: &Place, errors: &mut ErrorList) {
    if path.split('/').any(|part| part == "..") {
        errors.push(FieldError::invalid(place, path, "must not contain '..'"));
    }
}

/// Refuses absolute paths and `..`.
pub fn local_descending_path(path: &str, place: &Place, errors: &mut ErrorList) {
    if path.starts_with('/') {
        errors.push(FieldError::invalid(place, path, "must be a relative path"));
    }
    no_backsteps(path, place, errors);
}

/// As [`local_descending_path`], and no name that starts with `..`.
pub fn local_non_reserved_path(path: &str, place: &Place, errors: &mut ErrorList) {
    local_descending_path(path, place, errors);
    if path.starts_with("..") && !path.starts_with("../") {
        errors.push(FieldError::invalid(place, path, "must not start with '..'"));
    }
}

const MODE: i64 = 0o644;

/// Defaults of one volume of a pod.
pub fn default_pod_volume(volume: &mut Value) {
    let without_source =
        volume.as_object().is_some_and(|fields| fields.iter().all(|(key, value)| key == "name" || value.is_null()));
    if without_source {
        default_to(volume, "emptyDir", json!({}));
    }
    for field in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(source) = get_mut(volume, field) {
            default_to(source, "defaultMode", MODE);
        }
    }
    if let Some(source) = get_mut(volume, "downwardAPI") {
        default_field_references(source);
    }
    if let Some(projected) = get_mut(volume, "projected") {
        for source in items_mut(projected, "sources") {
            if let Some(files) = get_mut(source, "downwardAPI") {
                default_field_references(files);
            }
            if let Some(token) = get_mut(source, "serviceAccountToken") {
                default_to(token, "expirationSeconds", 3600);
            }
        }
    }
    if let Some(template) = super::value::at_mut(volume, &["ephemeral", "volumeClaimTemplate"]) {
        super::value::ensure(template, "metadata");
        if let Some(spec) = super::value::ensure(template, "spec") {
            default_to(spec, "volumeMode", "Filesystem");
            default_to(spec, "resources", json!({}));
        }
    }
    default_sources(volume);
}

fn default_field_references(files: &mut Value) {
    for item in items_mut(files, "items") {
        if let Some(reference) = get_mut(item, "fieldRef") {
            default_text(reference, "apiVersion", "v1");
        }
        if let Some(reference) = get_mut(item, "resourceFieldRef") {
            default_to(reference, "divisor", "0");
        }
    }
}

/// Defaults of sources that pods and persistent volumes share.
pub fn default_sources(volume: &mut Value) {
    if let Some(source) = get_mut(volume, "hostPath") {
        default_to(source, "type", "");
    }
    if let Some(source) = get_mut(volume, "iscsi") {
        default_text(source, "iscsiInterface", "default");
    }
    if let Some(source) = get_mut(volume, "rbd") {
        default_text(source, "pool", "rbd");
        default_text(source, "user", "admin");
        default_text(source, "keyring", "/etc/ceph/keyring");
    }
    if let Some(source) = get_mut(volume, "azureDisk") {
        default_to(source, "cachingMode", "ReadWrite");
        default_to(source, "fsType", "ext4");
        default_to(source, "readOnly", false);
        default_to(source, "kind", "Shared");
    }
    if let Some(source) = get_mut(volume, "scaleIO") {
        default_text(source, "storageMode", "ThinProvisioned");
        default_text(source, "fsType", "xfs");
    }
}
