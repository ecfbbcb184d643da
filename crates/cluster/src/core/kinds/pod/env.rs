//! Environment variables of a container and what they refer to.

use serde_json::Value;

use super::super::names;
use super::super::place::Place;
use super::super::resources;
use super::super::value::{get, indexed, present, text};
use super::super::volumes::no_backsteps;
use crate::core::field::{ErrorList, FieldError};

/// Whether a reference to a container's resources must name the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// Files of volumes.
    Named,
    /// Variables, where the container is their own.
    Own,
}

const ENV_FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
const RESOURCES: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];

/// Checks `env`.
pub fn validate(container: &Value, place: &Place, errors: &mut ErrorList) {
    let place = place.child("env");
    for (index, variable) in indexed(container, "env") {
        let place = place.index(index);
        let name = text(variable, "name");
        if name.is_empty() {
            errors.push(FieldError::required(place.child("name"), ""));
        } else {
            for fault in names::env_var_name(name) {
                errors.push(FieldError::invalid(place.child("name"), name, fault));
            }
        }
        if present(variable, "valueFrom") {
            validate_source(variable, &place.child("valueFrom"), errors);
        }
    }
}

fn validate_source(variable: &Value, place: &Place, errors: &mut ErrorList) {
    let source = get(variable, "valueFrom");
    let mut count = 0;
    if present(source, "fieldRef") {
        count += 1;
        validate_field_reference(get(source, "fieldRef"), &ENV_FIELDS, &place.child("fieldRef"), errors);
    }
    if present(source, "resourceFieldRef") {
        count += 1;
        let place = place.child("resourceFieldRef");
        validate_resource_reference(get(source, "resourceFieldRef"), Container::Own, &place, errors);
    }
    for key in ["configMapKeyRef", "secretKeyRef"] {
        if present(source, key) {
            count += 1;
            validate_key_reference(get(source, key), &place.child(key), errors);
        }
    }
    if present(source, "fileKeyRef") {
        count += 1;
        validate_file_reference(get(source, "fileKeyRef"), &place.child("fileKeyRef"), errors);
    }
    if count == 0 {
        let detail = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`";
        errors.push(FieldError::invalid(place, "", detail));
    } else if !text(variable, "value").is_empty() {
        errors.push(FieldError::invalid(place, "", "may not be specified when `value` is not empty"));
    } else if count > 1 {
        errors.push(FieldError::invalid(place, "", "may not have more than one field specified at a time"));
    }
}

fn validate_key_reference(reference: &Value, place: &Place, errors: &mut ErrorList) {
    let (name, key) = (text(reference, "name"), text(reference, "key"));
    for fault in names::dns_subdomain(name) {
        errors.push(FieldError::invalid(place.child("name"), name, fault));
    }
    if key.is_empty() {
        errors.push(FieldError::required(place.child("key"), ""));
        return;
    }
    for fault in names::config_map_key(key) {
        errors.push(FieldError::invalid(place.child("key"), key, fault));
    }
}

fn validate_file_reference(reference: &Value, place: &Place, errors: &mut ErrorList) {
    for key in ["key", "volumeName", "path"] {
        let value = text(reference, key);
        if value.is_empty() {
            errors.push(FieldError::required(place.child(key), ""));
            continue;
        }
        let faults = match key {
            "key" => names::env_var_name(value),
            "volumeName" => names::dns_label(value),
            _ => {
                no_backsteps(value, &place.child(key), errors);
                Vec::new()
            }
        };
        errors.extend(faults.into_iter().map(|fault| FieldError::invalid(place.child(key), value, fault)));
    }
}

/// Splits `metadata.labels['key']`.
fn subscripted(path: &str) -> Option<(&str, &str)> {
    let (path, key) = path.strip_suffix("']")?.split_once("['")?;
    (!path.is_empty()).then_some((path, key))
}

/// Whether the downward API knows a field at all.
fn convert_label(version: &str, label: &str) -> Result<(), String> {
    const KNOWN: [&str; 15] = [
        "metadata.annotations",
        "metadata.labels",
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.serviceAccountName",
        "spec.schedulerName",
        "status.phase",
        "status.hostIP",
        "status.hostIPs",
        "status.podIP",
        "status.podIPs",
        "spec.host",
    ];
    if version != "v1" {
        return Err(format!("unsupported pod version: {version}"));
    }
    match subscripted(label) {
        Some(("metadata.annotations" | "metadata.labels", _)) => Ok(()),
        Some(_) => Err(format!("field label does not support subscript: {label}")),
        None if KNOWN.contains(&label) => Ok(()),
        None => Err(format!("field label not supported: {label}")),
    }
}

/// Checks `fieldRef` against the fields that may be referred to, sorted.
pub fn validate_field_reference(reference: &Value, fields: &[&str], place: &Place, errors: &mut ErrorList) {
    let (version, path) = (text(reference, "apiVersion"), text(reference, "fieldPath"));
    if version.is_empty() {
        errors.push(FieldError::required(place.child("apiVersion"), ""));
        return;
    }
    if path.is_empty() {
        errors.push(FieldError::required(place.child("fieldPath"), ""));
        return;
    }
    if let Err(fault) = convert_label(version, path) {
        let detail = format!("error converting fieldPath: {fault}");
        errors.push(FieldError::invalid(place.child("fieldPath"), path, detail));
        return;
    }
    let faults = match subscripted(path) {
        Some(("metadata.annotations", key)) => names::qualified_name(&key.to_lowercase()),
        Some((_, key)) => names::qualified_name(key),
        None => {
            let path = if path == "spec.host" { "spec.nodeName" } else { path };
            if !fields.contains(&path) {
                errors.push(FieldError::not_supported(place.child("fieldPath"), path, fields));
            }
            return;
        }
    };
    let key = subscripted(path).map_or("", |(_, key)| key);
    let shown = if path.starts_with("metadata.annotations") { key.to_lowercase() } else { key.to_owned() };
    errors.extend(faults.into_iter().map(|fault| FieldError::invalid(place, shown.as_str(), fault)));
}

/// Checks `resourceFieldRef`.
pub fn validate_resource_reference(reference: &Value, container: Container, place: &Place, errors: &mut ErrorList) {
    let resource = text(reference, "resource");
    let huge = resource.starts_with("requests.hugepages-") || resource.starts_with("limits.hugepages-");
    if container == Container::Named && text(reference, "containerName").is_empty() {
        errors.push(FieldError::required(place.child("containerName"), ""));
    } else if resource.is_empty() {
        errors.push(FieldError::required(place.child("resource"), ""));
    } else if !RESOURCES.contains(&resource) && !huge {
        errors.push(FieldError::not_supported(place.child("resource"), resource, &RESOURCES));
    }
    validate_divisor(resource, get(reference, "divisor"), huge, &place.child("divisor"), errors);
}

fn validate_divisor(resource: &str, divisor: &Value, huge: bool, place: &Place, errors: &mut ErrorList) {
    const BYTES: [&str; 13] = ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];
    let divisor = resources::amount(divisor);
    if divisor.is_zero() {
        return;
    }
    let printed = divisor.to_string();
    let kind = match resource {
        "limits.cpu" | "requests.cpu" => {
            if !matches!(printed.as_str(), "1m" | "1") {
                let detail = "only divisor's values 1m and 1 are supported with the cpu resource";
                errors.push(FieldError::invalid(place, resource, detail));
            }
            return;
        }
        "limits.memory" | "requests.memory" => "memory",
        "limits.ephemeral-storage" | "requests.ephemeral-storage" => "local ephemeral storage",
        _ if huge => "hugepages",
        _ => return,
    };
    if !BYTES.contains(&printed.as_str()) {
        let detail = format!("only divisor's values {} are supported with the {kind} resource", BYTES.join(", "));
        errors.push(FieldError::invalid(place, resource, detail));
    }
}

/// Checks `envFrom`.
pub fn validate_from(container: &Value, place: &Place, errors: &mut ErrorList) {
    let list = place.child("envFrom");
    for (index, source) in indexed(container, "envFrom") {
        let place = list.index(index);
        let prefix = text(source, "prefix");
        if !prefix.is_empty() {
            for fault in names::env_var_name(prefix) {
                errors.push(FieldError::invalid(place.child("prefix"), prefix, fault));
            }
        }
        let mut count = 0;
        for key in ["configMapRef", "secretRef"] {
            if present(source, key) {
                count += 1;
                validate_object_reference(get(source, key), &place.child(key), errors);
            }
        }
        // Upstream names the list, not the item.
        if count == 0 {
            errors.push(FieldError::invalid(list, "", "must specify one of: `configMapRef` or `secretRef`"));
        } else if count > 1 {
            errors.push(FieldError::invalid(list, "", "may not have more than one field specified at a time"));
        }
    }
}

fn validate_object_reference(reference: &Value, place: &Place, errors: &mut ErrorList) {
    let name = text(reference, "name");
    if name.is_empty() {
        errors.push(FieldError::required(place.child("name"), ""));
        return;
    }
    for fault in names::NameRule::Subdomain.check_prefix(name) {
        errors.push(FieldError::invalid(place.child("name"), name, fault));
    }
}
