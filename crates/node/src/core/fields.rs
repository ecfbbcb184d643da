//! The downward API: fields of a pod and resources of a container as text.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Container, Pod, ResourceFieldSelector},
    apimachinery::pkg::api::resource::Quantity,
};

use super::quantity;

/// What a node knows of a pod that its object may not say yet.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub pod_address: String,
    pub host_address: String,
    /// The node's allocatable resources: limits of containers that set none.
    pub allocatable: BTreeMap<String, Quantity>,
}

/// The value of a field of the pod.
///
/// # Errors
/// When the downward API offers no such field.
pub fn pod_field(pod: &Pod, path: &str, facts: &Facts) -> Result<String, String> {
    let meta = &pod.metadata;
    let spec = pod.spec.as_ref();
    if let Some((field, key)) = split_subscript(path) {
        let list = match field {
            "metadata.annotations" => meta.annotations.as_ref(),
            "metadata.labels" => meta.labels.as_ref(),
            _ => return Err(format!("fieldPath {path:?} does not support subscript")),
        };
        return Ok(list.and_then(|list| list.get(key)).cloned().unwrap_or_default());
    }
    let text = |value: Option<&String>| value.cloned().unwrap_or_default();
    match path {
        "metadata.name" => Ok(text(meta.name.as_ref())),
        "metadata.namespace" => Ok(text(meta.namespace.as_ref())),
        "metadata.uid" => Ok(text(meta.uid.as_ref())),
        "metadata.labels" => Ok(format_map(meta.labels.as_ref())),
        "metadata.annotations" => Ok(format_map(meta.annotations.as_ref())),
        "spec.nodeName" => Ok(text(spec.and_then(|spec| spec.node_name.as_ref()))),
        "spec.serviceAccountName" => Ok(text(spec.and_then(|spec| spec.service_account_name.as_ref()))),
        "status.hostIP" | "status.hostIPs" => Ok(facts.host_address.clone()),
        "status.podIP" | "status.podIPs" => Ok(facts.pod_address.clone()),
        _ => Err(format!("unsupported fieldPath: {path}")),
    }
}

/// Splits `metadata.labels['key']` into the field and the key.
fn split_subscript(path: &str) -> Option<(&str, &str)> {
    let (field, key) = path.strip_suffix("']")?.split_once("['")?;
    (!field.is_empty()).then_some((field, key))
}

/// `key="value"` lines, sorted.
fn format_map(map: Option<&BTreeMap<String, String>>) -> String {
    let lines = map.into_iter().flatten().map(|(key, value)| format!("{key}={}", quote(value)));
    lines.collect::<Vec<_>>().join("\n")
}

/// A Go-quoted string: JSON's escapes, and `\x` ones for other control characters.
fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{b}' => quoted.push_str("\\v"),
            '\u{c}' => quoted.push_str("\\f"),
            control if control.is_ascii_control() => quoted.push_str(&format!("\\x{:02x}", control as u32)),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

/// The value of a resource of a container, in units of the divisor, rounded up.
///
/// # Errors
/// When there is no such resource in the downward API.
pub fn resource_field(
    selector: &ResourceFieldSelector,
    container: &Container,
    facts: &Facts,
) -> Result<String, String> {
    let unsupported = || format!("unsupported container resource : {}", selector.resource);
    let (kind, resource) = selector.resource.split_once('.').ok_or_else(unsupported)?;
    if !matches!(resource, "cpu" | "memory" | "ephemeral-storage") && !resource.starts_with("hugepages-") {
        return Err(unsupported());
    }
    let resources = container.resources.as_ref();
    let limit = quantity::milli_of(resources.and_then(|all| all.limits.as_ref()), resource);
    let milli = match kind {
        "limits" => limit.or_else(|| quantity::milli_of(Some(&facts.allocatable), resource)),
        "requests" => quantity::milli_of(resources.and_then(|all| all.requests.as_ref()), resource),
        _ => return Err(unsupported()),
    };
    let divisor = selector.divisor.as_ref().and_then(|divisor| quantity::milli(&divisor.0)).filter(|value| *value > 0);
    let divisor = divisor.unwrap_or(1000);
    let milli = milli.unwrap_or(0);
    Ok((milli.div_euclid(divisor) + i128::from(milli.rem_euclid(divisor) > 0)).to_string())
}
