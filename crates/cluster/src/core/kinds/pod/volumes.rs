//! Volumes of a pod: names, and the sources that only pods have.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::super::place::Place;
use super::super::value::{elements, get, indexed, integer, maybe_text, present, text};
use super::super::volumes::{
    Owner, POD_SOURCES, local_non_reserved_path, validate_key_to_path, validate_mode, validate_sources,
};
use super::super::{names, resources, storage_claims};
use super::env;
use crate::core::field::{ErrorList, FieldError};

/// The valid volumes of a pod by name.
pub type Volumes<'a> = HashMap<&'a str, &'a Value>;

/// Checks `spec.volumes` and returns those that containers may mount.
pub fn validate<'a>(spec: &'a Value, meta: &Value, place: &Place, errors: &mut ErrorList) -> Volumes<'a> {
    let mut known = Volumes::new();
    let pod = text(meta, "name");
    let created: HashSet<String> = super::super::value::items(spec, "volumes")
        .iter()
        .filter(|volume| !pod.is_empty() && present(volume, "ephemeral"))
        .map(|volume| format!("{pod}-{}", text(volume, "name")))
        .collect();
    let place = place.child("volumes");
    for (index, volume) in indexed(spec, "volumes") {
        let place = place.index(index);
        let name = text(volume, "name");
        let mut own = ErrorList::new();
        validate_source(volume, pod, &place, &mut own);
        if name.is_empty() {
            own.push(FieldError::required(place.child("name"), ""));
        } else {
            for fault in names::dns_label(name) {
                own.push(FieldError::invalid(place.child("name"), name, fault));
            }
        }
        if known.contains_key(name) {
            own.push(FieldError::duplicate(place.child("name"), name));
        }
        if own.is_empty() {
            known.insert(name, volume);
        }
        errors.append(&mut own);
        let claim = text(get(volume, "persistentVolumeClaim"), "claimName");
        if created.contains(claim) {
            let place = place.child("persistentVolumeClaim");
            let detail = "must not reference a PVC that gets created for an ephemeral volume";
            errors.push(FieldError::invalid(place.child("claimName"), claim, detail));
        }
    }
    known
}

fn validate_source(volume: &Value, pod: &str, place: &Place, errors: &mut ErrorList) {
    let mut count = 0;
    let name = text(volume, "name");
    if present(volume, "emptyDir") {
        count += 1;
        let limit = get(get(volume, "emptyDir"), "sizeLimit");
        if !limit.is_null() && resources::amount(limit).sign() < 0 {
            let place = place.child("emptyDir");
            let detail = "SizeLimit field must be a valid resource quantity";
            errors.push(FieldError::forbidden(place.child("sizeLimit"), detail));
        }
    }
    validate_sources(volume, POD_SOURCES, Owner::Pod, count, place, errors);
    let iscsi = get(volume, "iscsi");
    if present(iscsi, "initiatorName") && name.len() + 1 + text(iscsi, "targetPortal").len() > 64 {
        let detail = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.";
        errors.push(FieldError::invalid(place.child("name"), name, detail));
    }
    if present(volume, "ephemeral") && !pod.is_empty() && !name.is_empty() {
        let claim = format!("{pod}-{name}");
        for fault in names::dns_subdomain(&claim) {
            errors.push(FieldError::invalid(place.child("name"), name, format!("PVC name {claim:?}: {fault}")));
        }
    }
}

/// Checks a volume of downward API files.
pub fn downward_api(source: &Value, _: Owner, place: &Place, errors: &mut ErrorList) {
    validate_mode(source, "defaultMode", place, errors);
    for item in elements(get(source, "items")) {
        downward_file(item, place, errors);
    }
}

const VOLUME_FIELDS: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];

fn downward_file(file: &Value, place: &Place, errors: &mut ErrorList) {
    if text(file, "path").is_empty() {
        errors.push(FieldError::required(place.child("path"), ""));
    }
    local_non_reserved_path(text(file, "path"), &place.child("path"), errors);
    if present(file, "fieldRef") {
        env::validate_field_reference(get(file, "fieldRef"), &VOLUME_FIELDS, &place.child("fieldRef"), errors);
        if present(file, "resourceFieldRef") {
            let detail = "fieldRef and resourceFieldRef can not be specified simultaneously";
            errors.push(FieldError::invalid(place, "resource", detail));
        }
    } else if present(file, "resourceFieldRef") {
        let place = place.child("resourceFieldRef");
        env::validate_resource_reference(get(file, "resourceFieldRef"), env::Container::Named, &place, errors);
    } else {
        errors.push(FieldError::required(place, "one of fieldRef and resourceFieldRef is required"));
    }
    validate_mode(file, "mode", place, errors);
}

/// Checks a projected volume.
pub fn projected(source: &Value, _: Owner, place: &Place, errors: &mut ErrorList) {
    validate_mode(source, "defaultMode", place, errors);
    let mut paths: HashSet<&str> = HashSet::new();
    let sources = place.child("sources");
    for (index, part) in indexed(source, "sources") {
        let own = sources.index(index);
        let mut count = 0;
        for kind in ["secret", "configMap"] {
            if present(part, kind) {
                count += 1;
                projected_keys(get(part, kind), kind, place, &own, &mut paths, errors);
            }
        }
        if present(part, "downwardAPI") {
            count += 1;
            for file in elements(get(get(part, "downwardAPI"), "items")) {
                downward_file(file, &own.child("downwardAPI"), errors);
                let path = text(file, "path");
                if !path.is_empty() && !paths.insert(path) {
                    errors.push(FieldError::invalid(place, path, "conflicting duplicate paths"));
                }
            }
        }
        if present(part, "serviceAccountToken") {
            count += 1;
            service_account_token(get(part, "serviceAccountToken"), place, &own, errors);
        }
        if count > 1 {
            errors.push(FieldError::forbidden(own, "may not specify more than 1 volume type per source"));
        }
    }
}

fn projected_keys<'a>(
    source: &'a Value,
    kind: &str,
    volume: &Place,
    own: &Place,
    paths: &mut HashSet<&'a str>,
    errors: &mut ErrorList,
) {
    let place = own.child(kind);
    let name = text(source, "name");
    if name.is_empty() {
        errors.push(FieldError::required(place.child("name"), ""));
    }
    validate_key_to_path(source, &place, errors);
    for item in elements(get(source, "items")) {
        let path = text(item, "path");
        if !path.is_empty() && !paths.insert(path) {
            errors.push(FieldError::invalid(volume, name, "conflicting duplicate paths"));
        }
    }
}

fn service_account_token(token: &Value, volume: &Place, own: &Place, errors: &mut ErrorList) {
    let place = own.child("serviceAccountToken");
    let seconds = integer(token, "expirationSeconds");
    if seconds < 600 {
        let detail = "may not specify a duration less than 10 minutes";
        errors.push(FieldError::invalid(place.child("expirationSeconds"), seconds, detail));
    }
    if seconds > 1 << 32 {
        let detail = "may not specify a duration larger than 2^32 seconds";
        errors.push(FieldError::invalid(place.child("expirationSeconds"), seconds, detail));
    }
    match text(token, "path") {
        "" => errors.push(FieldError::required(volume.child("path"), "")),
        path => local_non_reserved_path(path, &volume.child("path"), errors),
    }
}

/// Checks a volume that brings its own claim.
pub fn ephemeral(source: &Value, _: Owner, place: &Place, errors: &mut ErrorList) {
    let template = get(source, "volumeClaimTemplate");
    let place = place.child("volumeClaimTemplate");
    if template.is_null() {
        errors.push(FieldError::required(place, ""));
        return;
    }
    let meta_place = place.child("metadata");
    let meta = get(template, "metadata");
    super::super::meta::validate_annotations(get(meta, "annotations"), &meta_place.child("annotations"), errors);
    super::super::labels::validate(get(meta, "labels"), &meta_place.child("labels"), errors);
    for (key, value) in super::super::value::map_of(meta) {
        if !matches!(key.as_str(), "annotations" | "labels") && !super::super::value::is_empty(value) {
            errors.push(FieldError::forbidden(meta_place.child(key), "cannot be set"));
        }
    }
    storage_claims::validate_spec(get(template, "spec"), &place.child("spec"), errors);
}

/// Checks a volume made of an image.
pub fn image(source: &Value, _: Owner, place: &Place, errors: &mut ErrorList) {
    if maybe_text(source, "reference").is_none_or(str::is_empty) {
        errors.push(FieldError::required(place.child("reference"), ""));
    }
    super::containers::validate_pull_policy(text(source, "pullPolicy"), &place.child("pullPolicy"), errors);
}
