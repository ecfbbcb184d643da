//! Defaults of pods and of pod templates.
//!
//! After `pkg/apis/core/v1/defaults.go` and its generated companion. Values that were given stay.

use serde_json::{Value, json};

use super::super::value::{
    at_mut, default_number, default_text, default_to, ensure, entries, flag, get, get_mut, integer, items, items_mut,
    keep, present, put, remove, text,
};
use super::super::{resources, volumes};

const CONTAINER_LISTS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];

/// What a pod of its own gets beyond what a template gets.
pub fn pod(object: &mut Value) {
    if let Some(spec) = ensure(object, "spec") {
        pod_spec(spec);
        for list in ["containers", "initContainers"] {
            for container in items_mut(spec, list) {
                requests_from_limits(container);
            }
        }
        pod_level_resources(spec);
        default_to(spec, "enableServiceLinks", true);
        // Conversion does so upstream.
        if integer(spec, "terminationGracePeriodSeconds") < 0 {
            put(spec, "terminationGracePeriodSeconds", 1);
        }
        if flag(spec, "hostNetwork") {
            host_ports(spec);
        }
    }
    status_addresses(object);
}

/// Defaults of a `PodTemplateSpec`.
pub fn template(template: &mut Value) {
    ensure(template, "metadata");
    if let Some(spec) = ensure(template, "spec") {
        pod_spec(spec);
    }
}

fn pod_spec(spec: &mut Value) {
    default_text(spec, "dnsPolicy", "ClusterFirst");
    default_text(spec, "restartPolicy", "Always");
    default_to(spec, "securityContext", json!({}));
    default_to(spec, "terminationGracePeriodSeconds", 30);
    default_text(spec, "schedulerName", "default-scheduler");
    service_account_alias(spec);
    for list in CONTAINER_LISTS {
        for container in items_mut(spec, list) {
            self::container(container);
        }
    }
    for volume in items_mut(spec, "volumes") {
        volumes::default_pod_volume(volume);
    }
}

/// `serviceAccount` is an old name of `serviceAccountName`; both are always shown.
fn service_account_alias(spec: &mut Value) {
    let name = match text(spec, "serviceAccountName") {
        "" => text(spec, "serviceAccount").to_owned(),
        name => name.to_owned(),
    };
    if name.is_empty() {
        remove(spec, "serviceAccount");
        remove(spec, "serviceAccountName");
    } else {
        put(spec, "serviceAccount", name.as_str());
        put(spec, "serviceAccountName", name);
    }
}

fn container(container: &mut Value) {
    if text(container, "imagePullPolicy").is_empty() {
        let policy = pull_policy(text(container, "image"));
        put(container, "imagePullPolicy", policy);
    }
    default_text(container, "terminationMessagePath", "/dev/termination-log");
    default_text(container, "terminationMessagePolicy", "File");
    default_to(container, "resources", json!({}));
    for port in items_mut(container, "ports") {
        default_text(port, "protocol", "TCP");
    }
    for variable in items_mut(container, "env") {
        if let Some(reference) = at_mut(variable, &["valueFrom", "fieldRef"]) {
            default_text(reference, "apiVersion", "v1");
        }
        if let Some(reference) = at_mut(variable, &["valueFrom", "resourceFieldRef"]) {
            default_to(reference, "divisor", "0");
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = get_mut(container, name) {
            default_number(probe, "timeoutSeconds", 1);
            default_number(probe, "periodSeconds", 10);
            default_number(probe, "successThreshold", 1);
            default_number(probe, "failureThreshold", 3);
            handler(probe);
        }
    }
    for hook in ["postStart", "preStop"] {
        if let Some(hook) = at_mut(container, &["lifecycle", hook]) {
            handler(hook);
        }
    }
}

fn handler(handler: &mut Value) {
    if let Some(http) = get_mut(handler, "httpGet") {
        default_text(http, "path", "/");
        default_text(http, "scheme", "HTTP");
    }
    if let Some(grpc) = get_mut(handler, "grpc") {
        default_to(grpc, "service", "");
    }
}

/// The pull policy of an image that names none: `Always` for the tag `latest`, given or implied.
pub fn pull_policy(image: &str) -> &'static str {
    if tag_is_latest(image) { "Always" } else { "IfNotPresent" }
}

fn tag_is_latest(image: &str) -> bool {
    let (name, digest) = match image.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (image, None),
    };
    let path_start = name.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match name[path_start..].rfind(':') {
        Some(colon) => (&name[..path_start + colon], Some(&name[path_start + colon + 1..])),
        None => (name, None),
    };
    if !is_image_name(name) {
        return false;
    }
    match (tag, digest) {
        (Some(tag), _) => tag == "latest",
        (None, Some(_)) => false,
        (None, None) => true,
    }
}

/// Whether an image's name, without tag and digest, is well formed.
fn is_image_name(name: &str) -> bool {
    let (domain, path) = match name.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" || first.to_lowercase() != first => {
            (Some(first), rest)
        }
        _ => (None, name),
    };
    let domain_valid =
        domain.is_none_or(|domain| domain.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte)));
    let hexadecimal = name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    domain_valid && !hexadecimal && path.split('/').all(is_path_component)
}

fn is_path_component(part: &str) -> bool {
    let bytes = part.as_bytes();
    let alnum = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    bytes.first().is_some_and(alnum)
        && bytes.last().is_some_and(alnum)
        && bytes.iter().all(|byte| alnum(byte) || b"._-".contains(byte))
        && !part.contains("..")
        && !part.contains("___")
        && !["._", "_.", ".-", "-.", "_-", "-_"].iter().any(|pair| part.contains(pair))
}

fn requests_from_limits(container: &mut Value) {
    let Some(resources) = get_mut(container, "resources") else { return };
    let limits = entries(resources, "limits").clone();
    if !present(resources, "limits") {
        return;
    }
    let Some(requests) = ensure(resources, "requests") else { return };
    for (name, limit) in limits {
        default_to(requests, &name, limit);
    }
    if entries(resources, "requests").is_empty() {
        remove(resources, "requests");
    }
}

/// Pod-level requests and huge page limits follow from those of the containers.
fn pod_level_resources(spec: &mut Value) {
    if entries(get(spec, "resources"), "limits").is_empty() && entries(get(spec, "resources"), "requests").is_empty() {
        return;
    }
    let aggregate_limits = resources::aggregate(spec, "limits");
    let aggregate_requests = resources::aggregate(spec, "requests");
    let Some(pod) = get_mut(spec, "resources") else { return };
    for (name, limit) in aggregate_limits {
        if resources::is_huge_page(&name)
            && !present(get(pod, "requests"), &name)
            && let Some(limits) = ensure(pod, "limits")
        {
            default_to(limits, &name, limit.to_json());
        }
    }
    let limits = entries(pod, "limits").clone();
    if limits.is_empty() {
        return;
    }
    for (name, request) in aggregate_requests {
        if resources::is_supported_at_pod_level(&name)
            && resources::is_overcommit_allowed(&name)
            && let Some(requests) = ensure(pod, "requests")
        {
            default_to(requests, &name, request.to_json());
        }
    }
    for (name, limit) in limits {
        if resources::is_supported_at_pod_level(&name)
            && let Some(requests) = ensure(pod, "requests")
        {
            default_to(requests, &name, limit);
        }
    }
}

fn host_ports(spec: &mut Value) {
    for list in ["containers", "initContainers"] {
        for container in items_mut(spec, list) {
            for port in items_mut(container, "ports") {
                if integer(port, "hostPort") == 0 {
                    let number = get(port, "containerPort").clone();
                    if !number.is_null() {
                        put(port, "hostPort", number);
                    }
                }
            }
        }
    }
}

/// `podIP` is the first of `podIPs`.
fn status_addresses(object: &mut Value) {
    let Some(status) = get_mut(object, "status") else { return };
    let single = text(status, "podIP").to_owned();
    let first = items(status, "podIPs").first().map(|address| text(address, "ip").to_owned());
    match first {
        None if !single.is_empty() => put(status, "podIPs", json!([{ "ip": single }])),
        Some(first) if single.is_empty() => put(status, "podIP", first),
        Some(first) if first != single => put(status, "podIPs", json!([{ "ip": single }])),
        _ => {}
    }
}

/// Features that 1.34 has switched off: their fields are dropped on a write unless the old object
/// used them.
pub fn drop_disabled(spec: &mut Value, old: &Value) {
    if !present(old, "hostnameOverride") {
        remove(spec, "hostnameOverride");
    }
    drop_image_volumes(spec, old);
    drop_projections(spec);
    for list in CONTAINER_LISTS {
        let sidecars = list == "initContainers";
        for container in items_mut(spec, list) {
            if !(sidecars && text(container, "restartPolicy") == "Always") {
                remove(container, "restartPolicy");
            }
            remove(container, "restartPolicyRules");
            for variable in items_mut(container, "env") {
                if let Some(source) = get_mut(variable, "valueFrom") {
                    remove(source, "fileKeyRef");
                }
            }
            if let Some(lifecycle) = get_mut(container, "lifecycle")
                && present(lifecycle, "stopSignal")
            {
                remove(lifecycle, "stopSignal");
                if lifecycle.as_object().is_some_and(serde_json::Map::is_empty) {
                    remove(container, "lifecycle");
                }
            }
        }
    }
}

fn drop_image_volumes(spec: &mut Value, old: &Value) {
    if items(old, "volumes").iter().any(|volume| present(volume, "image")) {
        return;
    }
    let dropped: Vec<String> = items(spec, "volumes")
        .iter()
        .filter(|volume| present(volume, "image"))
        .map(|volume| text(volume, "name").to_owned())
        .collect();
    if dropped.is_empty() {
        return;
    }
    if let Some(Value::Array(volumes)) = spec.get_mut("volumes") {
        volumes.retain(|volume| !present(volume, "image"));
    }
    for list in CONTAINER_LISTS {
        for container in items_mut(spec, list) {
            if let Some(Value::Array(mounts)) = container.get_mut("volumeMounts") {
                mounts.retain(|mount| !dropped.iter().any(|name| name == text(mount, "name")));
            }
        }
    }
}

fn drop_projections(spec: &mut Value) {
    for volume in items_mut(spec, "volumes") {
        if let Some(projected) = get_mut(volume, "projected") {
            for source in items_mut(projected, "sources") {
                remove(source, "clusterTrustBundle");
                remove(source, "podCertificate");
            }
        }
    }
}

/// Keeps the pod's status as it was.
pub fn keep_status(new: &mut Value, old: &Value) {
    keep(new, old, "status");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pull_policy_follows_the_tag() {
        let rows = [
            ("nginx", "Always"),
            ("nginx:latest", "Always"),
            ("nginx:1.27", "IfNotPresent"),
            ("localhost:5000/a/b", "Always"),
            ("localhost:5000/a/b:v1", "IfNotPresent"),
            ("nginx@sha256:0123", "IfNotPresent"),
            ("NGINX", "IfNotPresent"),
            ("", "IfNotPresent"),
        ];
        for (image, policy) in rows {
            assert_eq!(pull_policy(image), policy, "{image}");
        }
    }
}
