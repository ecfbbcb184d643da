//! Containers of a pod: images, ports, mounts. Their probes and hooks are checked in `probes`.
//!
//! After the container part of `pkg/apis/core/validation/validation.go`.

use std::collections::HashSet;

use serde_json::Value;

use super::super::place::Place;
use super::super::value::{flag, get, indexed, integer, is_empty, items, maybe_text, number, present, same, text};
use super::super::volumes::local_descending_path;
use super::super::{names, resources};
use super::spec::Scope;
use super::volumes::Volumes;
use super::{env, probes, security};
use crate::core::field::{ErrorList, FieldError};

const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];

/// Checks `spec.containers`.
pub fn validate(scope: &Scope, place: &Place, errors: &mut ErrorList) {
    let place = place.child("containers");
    if items(scope.spec, "containers").is_empty() {
        errors.push(FieldError::required(place, ""));
        return;
    }
    let mut seen = HashSet::new();
    for (index, container) in indexed(scope.spec, "containers") {
        let place = place.index(index);
        common(container, scope, &place, errors);
        let name = text(container, "name");
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(place.child("name"), name));
        }
        probes::validate(container, scope, &place, errors);
        if present(container, "restartPolicy") {
            errors.push(FieldError::forbidden(place.child("restartPolicy"), "may not be set for non-init containers"));
        }
    }
    host_port_conflicts(indexed(scope.spec, "containers"), &place, errors);
}

/// Checks `spec.initContainers`.
pub fn validate_init(scope: &Scope, place: &Place, errors: &mut ErrorList) {
    let place = place.child("initContainers");
    let mut seen: HashSet<&str> = items(scope.spec, "containers").iter().map(|other| text(other, "name")).collect();
    for (index, container) in indexed(scope.spec, "initContainers") {
        let own = place.index(index);
        common(container, scope, &own, errors);
        let policy = maybe_text(container, "restartPolicy");
        if let Some(other) = policy.filter(|policy| *policy != "Always") {
            errors.push(FieldError::not_supported(own.child("restartPolicy"), other, &["Always"]));
        }
        let name = text(container, "name");
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(own.child("name"), name));
        }
        // Upstream checks each init container on its own, under the list's path.
        host_port_conflicts(std::iter::once((0, container)), &place, errors);
        if policy == Some("Always") {
            probes::validate(container, scope, &own, errors);
            continue;
        }
        for key in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
            if present(container, key) {
                let detail = "may not be set for init containers without restartPolicy=Always";
                errors.push(FieldError::forbidden(own.child(key), detail));
            }
        }
    }
}

/// Checks `spec.ephemeralContainers`.
pub fn validate_ephemeral(scope: &Scope, place: &Place, errors: &mut ErrorList) {
    const REFUSED: [&str; 9] = [
        "ports",
        "resources",
        "resizePolicy",
        "restartPolicy",
        "restartPolicyRules",
        "livenessProbe",
        "readinessProbe",
        "startupProbe",
        "lifecycle",
    ];
    let place = place.child("ephemeralContainers");
    let others: HashSet<&str> = ["containers", "initContainers"]
        .iter()
        .flat_map(|list| items(scope.spec, list))
        .map(|other| text(other, "name"))
        .collect();
    let mut seen = others.clone();
    for (index, container) in indexed(scope.spec, "ephemeralContainers") {
        let place = place.index(index);
        common(container, scope, &place, errors);
        validate_image_spaces(container, &place, errors);
        let (name, target) = (text(container, "name"), text(container, "targetContainerName"));
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(place.child("name"), name));
        }
        if !target.is_empty() && !others.contains(target) {
            errors.push(FieldError::not_found(place.child("targetContainerName"), target));
        }
        for key in REFUSED {
            if !is_empty(get(container, key)) {
                errors.push(FieldError::forbidden(place.child(key), "cannot be set for an Ephemeral Container"));
            }
        }
        let mounts = place.child("volumeMounts");
        for (index, mount) in indexed(container, "volumeMounts") {
            for key in ["subPath", "subPathExpr"] {
                if !text(mount, key).is_empty() {
                    let place = mounts.index(index);
                    errors.push(FieldError::forbidden(place.child(key), "cannot be set for an Ephemeral Container"));
                }
            }
        }
    }
}

/// Refuses spaces around an image, in pods only.
pub fn validate_image_spaces(container: &Value, place: &Place, errors: &mut ErrorList) {
    let image = text(container, "image");
    if image.trim().len() != image.len() {
        errors.push(FieldError::invalid(place.child("image"), image, "must not have leading or trailing whitespace"));
    }
}

fn common(container: &Value, scope: &Scope, place: &Place, errors: &mut ErrorList) {
    let name = text(container, "name");
    if name.is_empty() {
        errors.push(FieldError::required(place.child("name"), ""));
    } else {
        for fault in names::dns_label(name) {
            errors.push(FieldError::invalid(place.child("name"), name, fault));
        }
    }
    if text(container, "image").is_empty() {
        errors.push(FieldError::required(place.child("image"), ""));
    }
    let policy = text(container, "terminationMessagePolicy");
    let policy_place = place.child("terminationMessagePolicy");
    match policy {
        "File" | "FallbackToLogsOnError" => {}
        "" => errors.push(FieldError::required(policy_place, "")),
        _ => errors.push(FieldError::not_supported(policy_place, policy, &["File", "FallbackToLogsOnError"])),
    }
    ports(container, place, errors);
    env::validate(container, place, errors);
    env::validate_from(container, place, errors);
    mounts(container, &scope.volumes, place, errors);
    devices(container, &scope.volumes, place, errors);
    validate_pull_policy(text(container, "imagePullPolicy"), &place.child("imagePullPolicy"), errors);
    let resources_place = place.child("resources");
    let requirements = get(container, "resources");
    let level = resources::Level::Container;
    resources::validate_requirements(requirements, &scope.claims, level, &resources_place, errors);
    resize_policy(container, scope, &place.child("resizePolicy"), errors);
    security::validate_container(get(container, "securityContext"), scope, &place.child("securityContext"), errors);
}

fn ports(container: &Value, place: &Place, errors: &mut ErrorList) {
    let place = place.child("ports");
    let mut seen = HashSet::new();
    for (index, port) in indexed(container, "ports") {
        let place = place.index(index);
        let name = text(port, "name");
        if !name.is_empty() {
            let faults = names::port_name(name);
            if faults.is_empty() && !seen.insert(name) {
                errors.push(FieldError::duplicate(place.child("name"), name));
            }
            errors.extend(faults.into_iter().map(|fault| FieldError::invalid(place.child("name"), name, fault)));
        }
        let number = integer(port, "containerPort");
        if number == 0 {
            errors.push(FieldError::required(place.child("containerPort"), ""));
        } else {
            port_number(number, &place.child("containerPort"), errors);
        }
        let host = integer(port, "hostPort");
        if host != 0 {
            port_number(host, &place.child("hostPort"), errors);
        }
        protocol(port, &place, errors);
    }
}

/// Checks a port's protocol.
pub fn protocol(port: &Value, place: &Place, errors: &mut ErrorList) {
    let protocol = text(port, "protocol");
    if protocol.is_empty() {
        errors.push(FieldError::required(place.child("protocol"), ""));
    } else if !PROTOCOLS.contains(&protocol) {
        errors.push(FieldError::not_supported(place.child("protocol"), protocol, &PROTOCOLS));
    }
}

/// Checks the number of a port.
pub fn port_number(number: i64, place: &Place, errors: &mut ErrorList) {
    errors.extend(names::port_number(number).into_iter().map(|fault| FieldError::invalid(place, number, fault)));
}

/// Checks a port that is a number or a name.
pub fn port_number_or_name(port: &Value, place: &Place, errors: &mut ErrorList) {
    match port {
        Value::String(name) => {
            let faults = names::port_name(name);
            errors.extend(faults.into_iter().map(|fault| FieldError::invalid(place, name.as_str(), fault)));
        }
        other => port_number(other.as_i64().unwrap_or(0), place, errors),
    }
}

fn host_port_conflicts<'a>(
    containers: impl Iterator<Item = (usize, &'a Value)>,
    place: &Place,
    errors: &mut ErrorList,
) {
    let mut seen = HashSet::new();
    for (index, container) in containers {
        let place = place.index(index);
        let ports = place.child("ports");
        for (index, port) in indexed(container, "ports") {
            let number = integer(port, "hostPort");
            if number == 0 {
                continue;
            }
            let key = format!("{}/{}/{number}", text(port, "protocol"), text(port, "hostIP"));
            if seen.contains(&key) {
                let place = ports.index(index);
                errors.push(FieldError::duplicate(place.child("hostPort"), key));
            } else {
                seen.insert(key);
            }
        }
    }
}

fn mounts(container: &Value, volumes: &Volumes, place: &Place, errors: &mut ErrorList) {
    let list = place.child("volumeMounts");
    let devices = items(container, "volumeDevices");
    let mut seen = HashSet::new();
    for (index, mount) in indexed(container, "volumeMounts") {
        let place = list.index(index);
        let (name, path) = (text(mount, "name"), text(mount, "mountPath"));
        if name.is_empty() {
            errors.push(FieldError::required(place.child("name"), ""));
        }
        if !volumes.contains_key(name) {
            errors.push(FieldError::not_found(place.child("name"), name));
        }
        if path.is_empty() {
            errors.push(FieldError::required(place.child("mountPath"), ""));
        }
        if !seen.insert(path) {
            errors.push(FieldError::invalid(place.child("mountPath"), path, "must be unique"));
        }
        if devices.iter().any(|device| text(device, "name") == name) {
            errors.push(FieldError::invalid(place.child("name"), name, "must not already exist in volumeDevices"));
        }
        if devices.iter().any(|device| text(device, "devicePath") == path) {
            let detail = "must not already exist as a path in volumeDevices";
            errors.push(FieldError::invalid(place.child("mountPath"), path, detail));
        }
        mount_paths(mount, &list, &place, errors);
        mount_modes(mount, container, &list, errors);
    }
}

fn mount_paths(mount: &Value, list: &Place, place: &Place, errors: &mut ErrorList) {
    let (path, expression) = (text(mount, "subPath"), text(mount, "subPathExpr"));
    if !path.is_empty() {
        local_descending_path(path, &list.child("subPath"), errors);
    }
    if !expression.is_empty() {
        if !path.is_empty() {
            let detail = "subPathExpr and subPath are mutually exclusive";
            errors.push(FieldError::invalid(place.child("subPathExpr"), expression, detail));
        }
        local_descending_path(expression, &list.child("subPathExpr"), errors);
    }
}

fn mount_modes(mount: &Value, container: &Value, list: &Place, errors: &mut ErrorList) {
    const PROPAGATION: [&str; 3] = ["Bidirectional", "HostToContainer", "None"];
    let propagation = maybe_text(mount, "mountPropagation");
    if let Some(mode) = propagation {
        let place = list.child("mountPropagation");
        if !PROPAGATION.contains(&mode) {
            errors.push(FieldError::not_supported(place, mode, &PROPAGATION));
        }
        if mode == "Bidirectional" && !flag(get(container, "securityContext"), "privileged") {
            let detail = "Bidirectional mount propagation is available only to privileged containers";
            errors.push(FieldError::forbidden(place, detail));
        }
    }
    let place = list.child("recursiveReadOnly");
    match maybe_text(mount, "recursiveReadOnly") {
        None | Some("Disabled") => {}
        Some("Enabled" | "IfPossible") => {
            if !flag(mount, "readOnly") {
                errors.push(FieldError::forbidden(place, "may only be specified when readOnly is true"));
            }
            if propagation.is_some_and(|mode| mode != "None") {
                let detail = "may only be specified when mountPropagation is None or not specified";
                errors.push(FieldError::forbidden(place, detail));
            }
        }
        Some(other) => errors.push(FieldError::not_supported(place, other, &["Disabled", "Enabled", "IfPossible"])),
    }
}

fn devices(container: &Value, volumes: &Volumes, place: &Place, errors: &mut ErrorList) {
    let place = place.child("volumeDevices");
    let mounts = items(container, "volumeMounts");
    let (mut paths, mut seen) = (HashSet::new(), HashSet::new());
    for (index, device) in indexed(container, "volumeDevices") {
        let place = place.index(index);
        let (name, path) = (text(device, "name"), text(device, "devicePath"));
        if name.is_empty() {
            errors.push(FieldError::required(place.child("name"), ""));
        }
        if seen.contains(name) {
            errors.push(FieldError::invalid(place.child("name"), name, "must be unique"));
        }
        match volumes.get(name) {
            None => errors.push(FieldError::not_found(place.child("name"), name)),
            Some(volume) if !present(volume, "persistentVolumeClaim") && !present(volume, "ephemeral") => {
                let detail = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                errors.push(FieldError::invalid(place.child("name"), name, detail));
            }
            Some(_) => {}
        }
        device_path(path, &mut paths, &place, errors);
        if mounts.iter().any(|mount| text(mount, "name") == name) {
            errors.push(FieldError::invalid(place.child("name"), name, "must not already exist in volumeMounts"));
        }
        if mounts.iter().any(|mount| text(mount, "mountPath") == path) {
            let detail = "must not already exist as a path in volumeMounts";
            errors.push(FieldError::invalid(place.child("devicePath"), path, detail));
        }
        if !name.is_empty() {
            seen.insert(name);
        }
    }
}

fn device_path<'a>(path: &'a str, seen: &mut HashSet<&'a str>, place: &Place, errors: &mut ErrorList) {
    let place = place.child("devicePath");
    if path.is_empty() {
        errors.push(FieldError::required(place, ""));
    }
    if seen.contains(path) {
        errors.push(FieldError::invalid(place, path, "must be unique"));
    }
    if path.split('/').any(|part| part == "..") {
        errors.push(FieldError::invalid(place, path, "can not contain backsteps ('..')"));
    } else {
        seen.insert(path);
    }
}

/// Checks `imagePullPolicy`.
pub fn validate_pull_policy(policy: &str, place: &Place, errors: &mut ErrorList) {
    match policy {
        "Always" | "IfNotPresent" | "Never" => {}
        "" => errors.push(FieldError::required(place, "")),
        _ => errors.push(FieldError::not_supported(place, policy, &["Always", "IfNotPresent", "Never"])),
    }
}

fn resize_policy(container: &Value, scope: &Scope, place: &Place, errors: &mut ErrorList) {
    let mut seen = HashSet::new();
    for (index, rule) in indexed(container, "resizePolicy") {
        let (resource, policy) = (text(rule, "resourceName"), text(rule, "restartPolicy"));
        if !seen.insert(resource) {
            errors.push(FieldError::duplicate(place.index(index), resource));
        }
        match resource {
            "cpu" | "memory" => {}
            "" => errors.push(FieldError::required(place, "")),
            _ => errors.push(FieldError::not_supported(place, resource, &["cpu", "memory"])),
        }
        match policy {
            "NotRequired" | "RestartContainer" => {}
            "" => errors.push(FieldError::required(place, "")),
            _ => errors.push(FieldError::not_supported(place, policy, &["NotRequired", "RestartContainer"])),
        }
        if text(scope.spec, "restartPolicy") == "Never" && policy != "NotRequired" {
            let detail = "must be 'NotRequired' when `restartPolicy` is 'Never'";
            errors.push(FieldError::invalid(place, policy, detail));
        }
    }
}

/// Refuses a negative number.
pub fn nonnegative(value: i64, place: &Place, errors: &mut ErrorList) {
    if value < 0 {
        errors.push(FieldError::invalid(place, value, "must be greater than or equal to 0"));
    }
}

/// Refuses a negative number where one is given.
pub fn nonnegative_field(object: &Value, key: &str, place: &Place, errors: &mut ErrorList) {
    if let Some(value) = number(object, key) {
        nonnegative(value, &place.child(key), errors);
    }
}

/// What a resize, or an update, may not do to the list of containers.
pub fn same_names(new: &Value, old: &Value, list: &str) -> bool {
    let (new, old) = (items(new, list), items(old, list));
    new.len() == old.len() && new.iter().zip(old).all(|(new, old)| same(get(new, "name"), get(old, "name")))
}

/// Whether a container runs beside the others although it is an init container.
pub fn is_sidecar(container: &Value) -> bool {
    text(container, "restartPolicy") == "Always"
}
