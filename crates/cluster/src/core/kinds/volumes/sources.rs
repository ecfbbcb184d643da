//! What each kind of volume source needs.

use super::super::names;
use super::super::place::Place;
use super::super::value::{entries, flag, get, integer, items, maybe_text, number, present, text};
use super::{Owner, local_descending_path, no_backsteps, required, validate_key_to_path, validate_mode};
use crate::core::field::{ErrorList, FieldError};
use serde_json::Value;

pub(super) fn host_path(source: &Value, _: Owner, place: &Place, errors: &mut ErrorList) {
    const TYPES: [&str; 8] =
        ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
    let path = text(source, "path");
    if path.is_empty() {
        errors.push(FieldError::required(place.child("path"), ""));
        return;
    }
    no_backsteps(path, &place.child("path"), errors);
    if let Some(kind) = maybe_text(source, "type")
        && !TYPES.contains(&kind)
    {
        errors.push(FieldError::not_supported(place.child("type"), kind, &TYPES));
    }
}

pub(super) fn git_repo(source: &Value, _: Owner, place: &Place, errors: &mut ErrorList) {
    required(source, &["repository"], place, errors);
    local_descending_path(text(source, "directory"), &place.child("directory"), errors);
}

fn partition(source: &Value, place: &Place, errors: &mut ErrorList) {
    let partition = integer(source, "partition");
    if !(0..=255).contains(&partition) {
        errors.push(FieldError::invalid(place.child("partition"), partition, names::range(1, 255)));
    }
}

pub(super) fn gce_disk(source: &Value, _: Owner, place: &Place, errors: &mut ErrorList) {
    required(source, &["pdName"], place, errors);
    partition(source, place, errors);
}

pub(super) fn aws_disk(source: &Value, _: Owner, place: &Place, errors: &mut ErrorList) {
    required(source, &["volumeID"], place, errors);
    partition(source, place, errors);
}

pub(super) fn secret(source: &Value, _: Owner, place: &Place, errors: &mut ErrorList) {
    required(source, &["secretName"], place, errors);
    validate_mode(source, "defaultMode", place, errors);
    validate_key_to_path(source, place, errors);
}

pub(super) fn config_map(source: &Value, _: Owner, place: &Place, errors: &mut ErrorList) {
    required(source, &["name"], place, errors);
    validate_mode(source, "defaultMode", place, errors);
    validate_key_to_path(source, place, errors);
}

pub(super) fn nfs(source: &Value, _: Owner, place: &Place, errors: &mut ErrorList) {
    required(source, &["server", "path"], place, errors);
    let path = text(source, "path");
    if !path.starts_with('/') {
        errors.push(FieldError::invalid(place.child("path"), path, "must be an absolute path"));
    }
}

/// The three forms of an iSCSI name.
fn iscsi_name_shape(name: &str) -> bool {
    let alnum = |text: &str, length: usize| {
        text.len() == length + 1 && text.bytes().skip(1).all(|byte| byte.is_ascii_alphanumeric())
    };
    if let Some(rest) = name.strip_prefix("iqn.") {
        let bytes = rest.as_bytes();
        let digits =
            |range: std::ops::Range<usize>| bytes.get(range).is_some_and(|part| part.iter().all(u8::is_ascii_digit));
        let dated = digits(0..4) && bytes.get(4) == Some(&b'-') && digits(5..7) && bytes.get(7) == Some(&b'.');
        let Some((authority, own)) = rest.get(8..).and_then(|rest| rest.split_once(':')) else { return false };
        let authority_valid = !authority.is_empty()
            && authority.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
        let own_valid =
            !own.is_empty() && !own.chars().any(|letter| ",;*&$|".contains(letter) || letter.is_whitespace());
        return dated && authority_valid && own_valid;
    }
    name.strip_prefix("eui").is_some_and(|rest| rest.is_ascii() && alnum(rest, 16))
        || name.strip_prefix("naa").is_some_and(|rest| rest.is_ascii() && alnum(rest, 32))
}

fn iscsi_name(name: &str, owner: Owner, place: &Place, errors: &mut ErrorList) {
    let prefixed = ["iqn", "eui", "naa"].iter().any(|prefix| name.starts_with(prefix));
    if !prefixed && owner == Owner::Pod {
        errors.push(FieldError::invalid(place, name, "must be valid format starting with iqn, eui, or naa"));
    } else if !prefixed || !iscsi_name_shape(name) {
        errors.push(FieldError::invalid(place, name, "must be valid format"));
    }
}

pub(super) fn iscsi(source: &Value, owner: Owner, place: &Place, errors: &mut ErrorList) {
    required(source, &["targetPortal"], place, errors);
    let name = text(source, "iqn");
    if name.is_empty() {
        errors.push(FieldError::required(place.child("iqn"), ""));
    } else {
        iscsi_name(name, owner, &place.child("iqn"), errors);
    }
    let lun = integer(source, "lun");
    if !(0..=255).contains(&lun) {
        errors.push(FieldError::invalid(place.child("lun"), lun, names::range(0, 255)));
    }
    if (flag(source, "chapAuthDiscovery") || flag(source, "chapAuthSession")) && !present(source, "secretRef") {
        errors.push(FieldError::required(place.child("secretRef"), ""));
    }
    if owner == Owner::PersistentVolume {
        secret_name(source, &["name"], place, errors);
    }
    if let Some(initiator) = maybe_text(source, "initiatorName") {
        iscsi_name(initiator, owner, &place.child("initiatorname"), errors);
    }
}

fn secret_name(source: &Value, keys: &[&str], place: &Place, errors: &mut ErrorList) {
    let reference = get(source, "secretRef");
    if !reference.is_null() {
        required(reference, keys, &place.child("secretRef"), errors);
    }
}

fn owner_secret(source: &Value, owner: Owner, place: &Place, errors: &mut ErrorList) {
    let keys: &[&str] = if owner == Owner::Pod { &["name"] } else { &["name", "namespace"] };
    secret_name(source, keys, place, errors);
}

pub(super) fn glusterfs(source: &Value, owner: Owner, place: &Place, errors: &mut ErrorList) {
    required(source, &["endpoints", "path"], place, errors);
    if owner == Owner::Pod {
        return;
    }
    if let Some(namespace) = maybe_text(source, "endpointsNamespace") {
        let place = place.child("endpointsNamespace");
        if namespace.is_empty() {
            let detail = "if the endpointnamespace is set, it must be a valid namespace name";
            errors.push(FieldError::invalid(place, namespace, detail));
        } else {
            errors.extend(
                names::dns_label(namespace).into_iter().map(|fault| FieldError::invalid(place, namespace, fault)),
            );
        }
    }
}

pub(super) fn flocker(source: &Value, _: Owner, place: &Place, errors: &mut ErrorList) {
    let (name, uuid) = (text(source, "datasetName"), text(source, "datasetUUID"));
    if name.is_empty() && uuid.is_empty() {
        errors.push(FieldError::required(place, "one of datasetName and datasetUUID is required"));
    }
    if !name.is_empty() && !uuid.is_empty() {
        let detail = "datasetName and datasetUUID can not be specified simultaneously";
        errors.push(FieldError::invalid(place, "resource", detail));
    }
    if name.contains('/') {
        errors.push(FieldError::invalid(place.child("datasetName"), name, "must not contain '/'"));
    }
}

pub(super) fn claim(source: &Value, _: Owner, place: &Place, errors: &mut ErrorList) {
    required(source, &["claimName"], place, errors);
}

pub(super) fn rbd(source: &Value, _: Owner, place: &Place, errors: &mut ErrorList) {
    required(source, &["monitors", "image"], place, errors);
}

pub(super) fn cinder(source: &Value, owner: Owner, place: &Place, errors: &mut ErrorList) {
    required(source, &["volumeID"], place, errors);
    owner_secret(source, owner, place, errors);
}

pub(super) fn cephfs(source: &Value, _: Owner, place: &Place, errors: &mut ErrorList) {
    required(source, &["monitors"], place, errors);
}

pub(super) fn quobyte(source: &Value, _: Owner, place: &Place, errors: &mut ErrorList) {
    let registry = text(source, "registry");
    let detail = "must be a host:port pair or multiple pairs separated by commas";
    if registry.is_empty() {
        errors.push(FieldError::required(place.child("registry"), detail));
    } else if text(source, "tenant").len() >= 65 {
        let detail = "must be a UUID and may not exceed a length of 64 characters";
        errors.push(FieldError::required(place.child("tenant"), detail));
    } else {
        for pair in registry.split(',') {
            if pair.matches(':').count() != 1 && !pair.starts_with('[') {
                errors.push(FieldError::invalid(place.child("registry"), registry, detail));
            }
        }
    }
    required(source, &["volume"], place, errors);
}

pub(super) fn fibre_channel(source: &Value, _: Owner, place: &Place, errors: &mut ErrorList) {
    let (targets, ids) = (items(source, "targetWWNs"), items(source, "wwids"));
    if targets.is_empty() && ids.is_empty() {
        let detail = "must specify either targetWWNs or wwids, but not both";
        errors.push(FieldError::required(place.child("targetWWNs"), detail));
    }
    if !targets.is_empty() && !ids.is_empty() {
        let detail = "targetWWNs and wwids can not be specified simultaneously";
        errors.push(FieldError::invalid(place.child("targetWWNs"), targets.to_vec(), detail));
    }
    if !targets.is_empty() {
        match number(source, "lun") {
            None => errors.push(FieldError::required(place.child("lun"), "lun is required if targetWWNs is specified")),
            Some(lun) if !(0..=255).contains(&lun) => {
                errors.push(FieldError::invalid(place.child("lun"), lun, names::range(0, 255)));
            }
            Some(_) => {}
        }
    }
}

pub(super) fn flex(source: &Value, _: Owner, place: &Place, errors: &mut ErrorList) {
    required(source, &["driver"], place, errors);
    let options = place.child("options");
    for key in entries(source, "options").keys() {
        let domain = format!(".{}", key.split('/').next().unwrap_or("").to_lowercase());
        if domain.ends_with(".kubernetes.io") || domain.ends_with(".k8s.io") {
            let detail = "kubernetes.io and k8s.io namespaces are reserved";
            errors.push(FieldError::invalid(options.key(key), key.as_str(), detail));
        }
    }
}

pub(super) fn azure_file(source: &Value, owner: Owner, place: &Place, errors: &mut ErrorList) {
    required(source, &["secretName", "shareName"], place, errors);
    if owner == Owner::PersistentVolume && maybe_text(source, "secretNamespace") == Some("") {
        errors.push(FieldError::required(place.child("secretNamespace"), ""));
    }
}

pub(super) fn vsphere(source: &Value, _: Owner, place: &Place, errors: &mut ErrorList) {
    required(source, &["volumePath"], place, errors);
}

pub(super) fn photon(source: &Value, _: Owner, place: &Place, errors: &mut ErrorList) {
    required(source, &["pdID"], place, errors);
}

pub(super) fn portworx(source: &Value, _: Owner, place: &Place, errors: &mut ErrorList) {
    required(source, &["volumeID"], place, errors);
}

pub(super) fn azure_disk(source: &Value, _: Owner, place: &Place, errors: &mut ErrorList) {
    const MANAGED: &str =
        "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}";
    const BLOB: &str = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd";
    required(source, &["diskName", "diskURI"], place, errors);
    let uri = text(source, "diskURI");
    supported(source, "cachingMode", &["None", "ReadOnly", "ReadWrite"], place, errors);
    supported(source, "kind", &["Dedicated", "Managed", "Shared"], place, errors);
    match maybe_text(source, "kind") {
        Some("Managed") if !uri.starts_with("/subscriptions/") => {
            errors.push(FieldError::not_supported(place.child("diskURI"), uri, &[MANAGED]));
        }
        Some(kind) if kind != "Managed" && !uri.starts_with("https://") => {
            errors.push(FieldError::not_supported(place.child("diskURI"), uri, &[BLOB]));
        }
        _ => {}
    }
}

/// Refuses a value outside a set, where one is given.
pub fn supported(source: &Value, key: &str, values: &[&str], place: &Place, errors: &mut ErrorList) {
    if let Some(value) = maybe_text(source, key)
        && !values.contains(&value)
    {
        errors.push(FieldError::not_supported(place.child(key), value, values));
    }
}

pub(super) fn storage_os(source: &Value, owner: Owner, place: &Place, errors: &mut ErrorList) {
    let name = text(source, "volumeName");
    if name.is_empty() {
        errors.push(FieldError::required(place.child("volumeName"), ""));
    } else {
        for fault in names::dns_label(name) {
            errors.push(FieldError::invalid(place.child("volumeName"), name, fault));
        }
    }
    let namespace = text(source, "volumeNamespace");
    if !namespace.is_empty() {
        for fault in names::dns_label(namespace) {
            errors.push(FieldError::invalid(place.child("volumeNamespace"), namespace, fault));
        }
    }
    owner_secret(source, owner, place, errors);
}

pub(super) fn scale_io(source: &Value, _: Owner, place: &Place, errors: &mut ErrorList) {
    required(source, &["gateway", "system", "volumeName"], place, errors);
}

pub(super) fn local(source: &Value, _: Owner, place: &Place, errors: &mut ErrorList) {
    let path = text(source, "path");
    if path.is_empty() {
        errors.push(FieldError::required(place.child("path"), ""));
        return;
    }
    no_backsteps(path, &place.child("path"), errors);
}

/// Checks the name of a CSI driver.
pub fn validate_csi_driver_name(name: &str, place: &Place, errors: &mut ErrorList) {
    if name.is_empty() {
        errors.push(FieldError::required(place, ""));
    }
    if name.len() > 63 {
        errors.push(FieldError::too_long(place, 63));
    }
    for fault in names::dns_subdomain(&name.to_lowercase()) {
        errors.push(FieldError::invalid(place, name, fault));
    }
}

pub(super) fn csi(source: &Value, owner: Owner, place: &Place, errors: &mut ErrorList) {
    const SECRETS: [&str; 4] =
        ["controllerPublishSecretRef", "controllerExpandSecretRef", "nodePublishSecretRef", "nodeExpandSecretRef"];
    validate_csi_driver_name(text(source, "driver"), &place.child("driver"), errors);
    if owner == Owner::Pod {
        let reference = get(source, "nodePublishSecretRef");
        let name = text(reference, "name");
        if present(source, "nodePublishSecretRef") && name.is_empty() {
            errors.push(FieldError::required(place.child("nodePublishSecretRef").child("name"), ""));
        } else if present(source, "nodePublishSecretRef") {
            for fault in names::dns_subdomain(name) {
                errors.push(FieldError::invalid(place.child("name"), name, fault));
            }
        }
        return;
    }
    required(source, &["volumeHandle"], place, errors);
    for key in SECRETS {
        if present(source, key) {
            persistent_secret(get(source, key), &place.child(key), errors);
        }
    }
}

fn persistent_secret(reference: &Value, place: &Place, errors: &mut ErrorList) {
    let (name, namespace) = (text(reference, "name"), text(reference, "namespace"));
    if name.is_empty() {
        errors.push(FieldError::required(place.child("name"), ""));
    } else {
        for fault in names::dns_subdomain(name) {
            errors.push(FieldError::invalid(place.child("name"), name, fault));
        }
    }
    if namespace.is_empty() {
        errors.push(FieldError::required(place.child("namespace"), ""));
    } else {
        for fault in names::dns_label(namespace) {
            errors.push(FieldError::invalid(place.child("namespace"), namespace, fault));
        }
    }
}
