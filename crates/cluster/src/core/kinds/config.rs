//! ConfigMap, Secret, Namespace, Node, ServiceAccount, Endpoints, ResourceQuota, LimitRange.
//!
//! After `pkg/apis/core/validation` and `pkg/registry/core`.

use std::collections::{BTreeMap, HashSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::labels;
use super::meta::{self, immutable, kube_finalizer};
use super::place::Place;
use super::pod::containers::{port_number, protocol};
use super::pod::scheduling::{positive, validate_effect};
use super::pod::spec::fault_list;
use super::strategy::Context;
use super::value::{
    default_text, default_to, ensure, entries, flag, get, get_mut, indexed, integer, items, items_mut, keep,
    maybe_text, number, present, put, remove, same, same_field, strings, text,
};
use super::{address, names, resources};
use crate::core::field::{ErrorKind, ErrorList, FieldError};
use crate::core::quantity::Quantity;

/// Bytes of all data of a ConfigMap or Secret.
const MAX_DATA_BYTES: usize = 1024 * 1024;
const FIXED: &str = "field is immutable when `immutable` is set";

/// Checks a ConfigMap.
pub fn validate_config_map(object: &Value, errors: &mut ErrorList) {
    let binary = entries(object, "binaryData");
    let place = Place::root("data");
    let mut bytes = 0;
    for (key, value) in entries(object, "data") {
        fault_list(names::config_map_key(key), key, &place.key(key), errors);
        if binary.contains_key(key) {
            let detail = "duplicate of key present in binaryData";
            errors.push(FieldError::invalid(place.key(key), key.as_str(), detail));
        }
        bytes += value.as_str().map_or(0, str::len);
    }
    let place = Place::root("binaryData");
    for (key, value) in binary {
        fault_list(names::config_map_key(key), key, &place.key(key), errors);
        bytes += decoded_length(value);
    }
    if bytes > MAX_DATA_BYTES {
        errors.push(FieldError::too_long(Place::WHOLE, MAX_DATA_BYTES));
    }
}

/// The length of what base64 stands for.
fn decoded_length(value: &Value) -> usize {
    let text = value.as_str().unwrap_or("");
    let padding = text.bytes().rev().take_while(|byte| *byte == b'=').count();
    (text.len() / 4 * 3).saturating_sub(padding)
}

/// Checks what an update changes in a ConfigMap.
pub fn validate_config_map_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    fixed_data(new, old, &["data", "binaryData"], errors);
}

fn fixed_data(new: &Value, old: &Value, keys: &[&'static str], errors: &mut ErrorList) {
    if !flag(old, "immutable") {
        return;
    }
    if !flag(new, "immutable") {
        errors.push(FieldError::forbidden(Place::root("immutable"), FIXED));
    }
    for key in keys {
        if entries(new, key) != entries(old, key) {
            errors.push(FieldError::forbidden(Place::root(key), FIXED));
        }
    }
}

/// Defaults of a Secret; plain texts become data.
pub fn default_secret(object: &mut Value) {
    default_text(object, "type", "Opaque");
    let plain = entries(object, "stringData").clone();
    if !plain.is_empty() {
        if let Some(data) = ensure(object, "data") {
            for (key, value) in plain {
                put(data, &key, STANDARD.encode(value.as_str().unwrap_or("")));
            }
        }
    }
    remove(object, "stringData");
}

/// The type of a Secret stays where the new object names none.
pub fn prepare_secret_update(new: &mut Value, old: &Value, _: &Context) {
    if text(new, "type").is_empty() {
        keep(new, old, "type");
    }
}

/// Checks a Secret and the keys that its type asks for.
pub fn validate_secret(object: &Value, errors: &mut ErrorList) {
    let data = entries(object, "data");
    let place = Place::root("data");
    let mut bytes = 0;
    for (key, value) in data {
        fault_list(names::config_map_key(key), key, &place.key(key), errors);
        bytes += decoded_length(value);
    }
    if bytes > MAX_DATA_BYTES {
        errors.push(FieldError::too_long(place, MAX_DATA_BYTES));
    }
    let missing = |key: &str| !data.contains_key(key);
    let mut need = |key: &str| errors.push(FieldError::required(place.key(key), ""));
    match text(object, "type") {
        "kubernetes.io/service-account-token" => {
            const NAME: &str = "kubernetes.io/service-account.name";
            if meta::annotation(object, NAME).is_none_or(str::is_empty) {
                let place = Place::root("metadata");
                let place = place.child("annotations");
                errors.push(FieldError::required(place.key(NAME), ""));
            }
        }
        "kubernetes.io/dockercfg" => docker_config(data, ".dockercfg", &place, errors),
        "kubernetes.io/dockerconfigjson" => docker_config(data, ".dockerconfigjson", &place, errors),
        "kubernetes.io/basic-auth" if missing("username") && missing("password") => {
            need("username");
            need("password");
        }
        "kubernetes.io/ssh-auth" if data.get("ssh-privatekey").is_none_or(|key| decoded_length(key) == 0) => {
            need("ssh-privatekey");
        }
        "kubernetes.io/tls" => {
            for key in ["tls.crt", "tls.key"] {
                if missing(key) {
                    need(key);
                }
            }
        }
        _ => {}
    }
}

fn docker_config(data: &Map<String, Value>, key: &str, place: &Place, errors: &mut ErrorList) {
    let Some(value) = data.get(key) else {
        errors.push(FieldError::required(place.key(key), ""));
        return;
    };
    let bytes = STANDARD.decode(value.as_str().unwrap_or("")).unwrap_or_default();
    if let Err(fault) = go_json_object(&bytes) {
        errors.push(FieldError::invalid(place.key(key), "<secret contents redacted>", fault));
    }
}

/// Whether bytes are a JSON object, with the message that Go's decoder gives for the common faults.
fn go_json_object(bytes: &[u8]) -> Result<(), String> {
    match serde_json::from_slice::<Value>(bytes) {
        Ok(Value::Object(_) | Value::Null) => Ok(()),
        Ok(other) => {
            let kind = match other {
                Value::Array(_) => "array",
                Value::String(_) => "string",
                Value::Bool(_) => "bool",
                _ => "number",
            };
            Err(format!("json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"))
        }
        Err(fault) if fault.is_eof() => Err("unexpected end of JSON input".to_owned()),
        Err(_) => {
            let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace()).copied().unwrap_or(b' ');
            Err(format!("invalid character '{}' looking for beginning of value", char::from(first)))
        }
    }
}

/// Checks what an update changes in a Secret.
pub fn validate_secret_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    immutable(get(new, "type"), get(old, "type"), &Place::root("type"), errors);
    fixed_data(new, old, &["data"], errors);
}

const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// Defaults of a Namespace: a label with its name.
pub fn default_namespace(object: &mut Value) {
    label_with_name(object);
    ensure(object, "spec");
    if let Some(status) = ensure(object, "status") {
        default_text(status, "phase", "Active");
    }
}

fn label_with_name(object: &mut Value) {
    let name = text(get(object, "metadata"), "name").to_owned();
    if name.is_empty() {
        return;
    }
    if let Some(labels) = ensure(object, "metadata").and_then(|meta| ensure(meta, "labels")) {
        put(labels, NAMESPACE_NAME, name);
    }
}

/// A new Namespace is active and is finalized by Kubernetes.
pub fn prepare_namespace(object: &mut Value, _: &Context) {
    put(object, "status", json!({"phase": "Active"}));
    label_with_name(object);
    let Some(spec) = ensure(object, "spec") else { return };
    let mut finalizers = items(spec, "finalizers").to_vec();
    if !finalizers.iter().any(|name| name == "kubernetes") {
        finalizers.push(json!("kubernetes"));
    }
    put(spec, "finalizers", finalizers);
}

/// Finalizers and status of a Namespace change through subresources only.
pub fn prepare_namespace_update(new: &mut Value, old: &Value, _: &Context) {
    if let Some(spec) = ensure(new, "spec") {
        keep(spec, get(old, "spec"), "finalizers");
    }
    keep(new, old, "status");
    label_with_name(new);
}

/// Checks a Namespace.
pub fn validate_namespace(object: &Value, errors: &mut ErrorList) {
    let place = Place::root("spec");
    let place = place.child("finalizers");
    for finalizer in strings(get(object, "spec"), "finalizers") {
        fault_list(names::qualified_name(finalizer), finalizer, &place, errors);
        kube_finalizer(finalizer, &place, errors);
    }
}

/// Checks a write of `finalize`.
pub fn validate_namespace_finalize(new: &Value, _: &Value, errors: &mut ErrorList) {
    let place = Place::root("spec");
    let place = place.child("finalizers");
    for (index, finalizer) in strings(get(new, "spec"), "finalizers").enumerate() {
        let place = place.index(index);
        fault_list(names::qualified_name(finalizer), finalizer, &place, errors);
        kube_finalizer(finalizer, &place, errors);
    }
}

/// Checks a write of a Namespace's status.
pub fn validate_namespace_status(new: &Value, _: &Value, errors: &mut ErrorList) {
    let phase = text(get(new, "status"), "phase");
    let place = Place::root("status");
    let place = place.child("Phase");
    let deleted = present(get(new, "metadata"), "deletionTimestamp");
    if !deleted && phase != "Active" {
        errors.push(FieldError::invalid(place, phase, "may only be 'Active' if `deletionTimestamp` is empty"));
    }
    if deleted && phase != "Terminating" {
        let detail = "may only be 'Terminating' if `deletionTimestamp` is not empty";
        errors.push(FieldError::invalid(place, phase, detail));
    }
}

/// Defaults of a Node: what can be allocated is what is there; one pod network is both fields.
pub fn default_node(object: &mut Value) {
    if let Some(spec) = ensure(object, "spec") {
        let single = text(spec, "podCIDR").to_owned();
        let first = strings(spec, "podCIDRs").next().map(str::to_owned);
        match first {
            None if !single.is_empty() => put(spec, "podCIDRs", json!([single])),
            Some(first) if single.is_empty() => put(spec, "podCIDR", first),
            Some(first) if first != single => put(spec, "podCIDRs", json!([single])),
            _ => {}
        }
    }
    let Some(status) = ensure(object, "status") else { return };
    if present(status, "capacity") && !present(status, "allocatable") {
        let capacity = get(status, "capacity").clone();
        put(status, "allocatable", capacity);
    }
    if let Some(endpoint) = ensure(status, "daemonEndpoints").and_then(|ends| ensure(ends, "kubeletEndpoint")) {
        default_to(endpoint, "Port", 0);
    }
    if let Some(info) = ensure(status, "nodeInfo") {
        for key in NODE_INFO {
            default_to(info, key, "");
        }
    }
}

const NODE_INFO: [&str; 10] = [
    "architecture",
    "bootID",
    "containerRuntimeVersion",
    "kernelVersion",
    "kubeProxyVersion",
    "kubeletVersion",
    "machineID",
    "operatingSystem",
    "osImage",
    "systemUUID",
];

/// Drops the configuration source, a feature that is gone.
pub fn prepare_node(object: &mut Value, _: &Context) {
    if let Some(spec) = get_mut(object, "spec") {
        remove(spec, "configSource");
    }
    if let Some(status) = get_mut(object, "status") {
        remove(status, "config");
    }
}

/// Keeps the status.
pub fn prepare_node_update(new: &mut Value, old: &Value, _: &Context) {
    keep(new, old, "status");
    if !present(get(old, "spec"), "configSource") {
        if let Some(spec) = get_mut(new, "spec") {
            remove(spec, "configSource");
        }
    }
}

fn taints(spec: &Value, place: &Place, errors: &mut ErrorList) {
    let mut seen: HashSet<(&str, &str)> = HashSet::new();
    for (index, taint) in indexed(spec, "taints") {
        let place = place.index(index);
        let (key, value, effect) = (text(taint, "key"), text(taint, "value"), text(taint, "effect"));
        labels::validate_key(key, &place.child("key"), errors);
        let faults = names::label_value(value);
        if !faults.is_empty() {
            errors.push(FieldError::invalid(place.child("value"), value, faults.join(";")));
        }
        if effect.is_empty() {
            errors.push(FieldError::required(place.child("effect"), ""));
        } else {
            validate_effect(effect, &place.child("effect"), errors);
        }
        if !seen.insert((effect, key)) {
            let shown = json!({"Key": key, "Value": value, "Effect": effect, "TimeAdded": get(taint, "timeAdded")});
            let mut error = FieldError::duplicate(place, shown);
            error.detail = "taints must be unique by key and effect pair".to_owned();
            errors.push(error);
        }
    }
}

fn node_resources(object: &Value, errors: &mut ErrorList) {
    let place = Place::root("status");
    for which in ["capacity", "allocatable"] {
        let place = place.child(which);
        for (name, value) in entries(get(object, "status"), which) {
            resources::validate_amount(name, &resources::amount(value), &place.child(name), errors);
        }
    }
}

/// Checks a Node.
pub fn validate_node(object: &Value, errors: &mut ErrorList) {
    let spec = get(object, "spec");
    let metadata = Place::root("metadata");
    // Upstream names the metadata.
    taints(spec, &metadata.child("taints"), errors);
    node_resources(object, errors);
    if let Some(capacity) = number(get(get(get(object, "status"), "nodeInfo"), "swap"), "capacity") {
        let place = metadata.child("nodeSwapStatus");
        positive(capacity, &place.child("capacity"), errors);
    }
    let place = Place::root("spec");
    let place = place.child("podCIDRs");
    let networks: Vec<&str> = strings(spec, "podCIDRs").collect();
    for (index, network) in networks.iter().enumerate() {
        address::validate_legacy_cidr(network, &place.index(index), errors);
    }
    let broken = networks.iter().enumerate().find(|(_, network)| address::Cidr::parse_sloppy(network).is_none());
    if let Some((index, network)) = broken.filter(|_| networks.len() > 1) {
        let detail = format!(
            "invalid PodCIDRs. failed to check with dual stack with error:\
             invalid CIDR[{index}]: <nil> (invalid CIDR address: {network})"
        );
        errors.push(FieldError { kind: ErrorKind::Internal, field: place.to_string(), bad_value: None, detail });
    }
    if networks.len() > 1 {
        let v6 = |network: &&str| address::Cidr::parse_sloppy(network).is_some_and(|cidr| cidr.address.is_ipv6());
        let dual = networks.iter().any(|network| v6(network)) && networks.iter().any(|network| !v6(network));
        if !dual || networks.len() > 2 {
            let detail = "may specify no more than one CIDR for each IP family";
            errors.push(FieldError::invalid(place, get(spec, "podCIDRs").clone(), detail));
        }
    }
}

/// Checks what an update, or a write of the status, changes in a Node.
pub fn validate_node_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    node_resources(new, errors);
    let (spec, before) = (get(new, "spec"), get(old, "spec"));
    let addresses = items(get(new, "status"), "addresses");
    let status = Place::root("status");
    let list = status.child("addresses");
    for (index, address) in addresses.iter().enumerate() {
        if addresses[..index].iter().any(|other| same(other, address)) {
            let shown = json!({"Type": text(address, "type"), "Address": text(address, "address")});
            errors.push(FieldError::duplicate(list.index(index), shown));
        }
    }
    let place = Place::root("spec");
    let known = items(before, "podCIDRs");
    let detail = "node updates may not change podCIDR except from \"\" to valid";
    if !known.is_empty() && known.len() != items(spec, "podCIDRs").len() {
        errors.push(FieldError::forbidden(place.child("podCIDRs"), detail));
    } else {
        for _ in known.iter().zip(items(spec, "podCIDRs")).filter(|(old, new)| old != new) {
            errors.push(FieldError::forbidden(place.child("podCIDRs"), detail));
        }
    }
    let provider = text(before, "providerID");
    if !provider.is_empty() && provider != text(spec, "providerID") {
        let detail = "node updates may not change providerID except from \"\" to valid";
        errors.push(FieldError::forbidden(place.child("providerID"), detail));
    }
    let metadata = Place::root("metadata");
    taints(spec, &metadata.child("taints"), errors);
    if text(spec, "externalID") != text(before, "externalID") {
        errors.push(FieldError::forbidden(place.child("externalID"), "may not be updated"));
    }
}

/// Warnings about a Node.
pub fn warn_node(object: &Value, _: Option<&Value>, warnings: &mut Vec<String>) {
    let spec = get(object, "spec");
    if present(spec, "configSource") {
        warnings.push("spec.configSource: the feature is removed".to_owned());
    }
    if !text(spec, "externalID").is_empty() {
        warnings.push("spec.externalID: this field is deprecated, and is unused by Kubernetes".to_owned());
    }
    let place = Place::root("spec");
    let place = place.child("podCIDRs");
    for (index, network) in strings(spec, "podCIDRs").enumerate() {
        address::warn_cidr(network, &place.index(index), warnings);
    }
}

/// References to secrets keep only their name.
pub fn prepare_service_account(object: &mut Value, _: &Context) {
    for secret in items_mut(object, "secrets") {
        let name = text(secret, "name").to_owned();
        *secret = json!({ "name": name });
    }
}

/// As [`prepare_service_account`].
pub fn prepare_service_account_update(new: &mut Value, _: &Value, ctx: &Context) {
    prepare_service_account(new, ctx);
}

/// Warnings about a ServiceAccount.
pub fn warn_service_account(object: &Value, old: Option<&Value>, warnings: &mut Vec<String>) {
    const ENFORCE: &str = "kubernetes.io/enforce-mountable-secrets";
    let known = old.is_some_and(|old| meta::annotation(old, ENFORCE).is_some());
    if !known && meta::annotation(object, ENFORCE).is_some() {
        warnings.push(format!(
            "metadata.annotations[{ENFORCE}]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"
        ));
    }
}

/// Defaults of Endpoints.
pub fn default_endpoints(object: &mut Value) {
    for subset in items_mut(object, "subsets") {
        for port in items_mut(subset, "ports") {
            default_text(port, "protocol", "TCP");
        }
    }
}

/// Checks Endpoints.
pub fn validate_endpoints(object: &Value, errors: &mut ErrorList) {
    let list = Place::root("subsets");
    for (index, subset) in indexed(object, "subsets") {
        let place = list.index(index);
        if items(subset, "addresses").is_empty() && items(subset, "notReadyAddresses").is_empty() {
            errors.push(FieldError::required(place, "must specify `addresses` or `notReadyAddresses`"));
        }
        for key in ["addresses", "notReadyAddresses"] {
            let list = place.child(key);
            for (index, address) in indexed(subset, key) {
                endpoint_address(address, &list.index(index), errors);
            }
        }
        let ports = items(subset, "ports");
        let list = place.child("ports");
        for (index, port) in ports.iter().enumerate() {
            let place = list.index(index);
            let name = text(port, "name");
            if name.is_empty() {
                if ports.len() > 1 {
                    errors.push(FieldError::required(place.child("name"), ""));
                }
            } else {
                fault_list(names::dns_label(name), name, &place.child("name"), errors);
            }
            port_number(integer(port, "port"), &place.child("port"), errors);
            protocol(port, &place, errors);
            if let Some(application) = maybe_text(port, "appProtocol") {
                labels::validate_key(application, &place.child("appProtocol"), errors);
            }
        }
    }
}

fn endpoint_address(endpoint: &Value, place: &Place, errors: &mut ErrorList) {
    let (ip, host) = (text(endpoint, "ip"), text(endpoint, "hostname"));
    address::validate_legacy(ip, &place.child("ip"), errors);
    if !host.is_empty() {
        fault_list(names::dns_label(host), host, &place.child("hostname"), errors);
    }
    if let Some(node) = maybe_text(endpoint, "nodeName") {
        fault_list(names::dns_subdomain(node), node, &place.child("nodeName"), errors);
    }
    address::validate_endpoint(ip, &place.child("ip"), errors);
}

/// Checks changed Endpoints; subsets that did not change are taken as they are.
pub fn validate_endpoints_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    if !same_field(new, old, "subsets") {
        validate_endpoints(new, errors);
    }
}

/// Warnings about Endpoints.
pub fn warn_endpoints(object: &Value, _: Option<&Value>, warnings: &mut Vec<String>) {
    if meta::labels_of(object).get("endpoints.kubernetes.io/managed-by").is_some_and(|by| by == "endpoint-controller") {
        return;
    }
    let list = Place::root("subsets");
    for (index, subset) in indexed(object, "subsets") {
        let place = list.index(index);
        for key in ["addresses", "notReadyAddresses"] {
            let list = place.child(key);
            for (index, endpoint) in indexed(subset, key) {
                let place = list.index(index);
                address::warn(text(endpoint, "ip"), &place.child("ip"), warnings);
            }
        }
    }
}

/// Clears the status.
pub fn prepare_quota(object: &mut Value, _: &Context) {
    put(object, "status", json!({}));
}

const SCOPES: [&str; 7] = [
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "VolumeAttributesClass",
    "CrossNamespacePodAffinity",
];

fn scope_fits(scope: &str, resource: &str) -> bool {
    const COMPUTE: [&str; 6] = ["cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"];
    match scope {
        "Terminating" | "NotTerminating" | "NotBestEffort" | "PriorityClass" | "CrossNamespacePodAffinity" => {
            resource == "pods" || COMPUTE.contains(&resource)
        }
        "BestEffort" => resource == "pods",
        "VolumeAttributesClass" => matches!(resource, "persistentvolumeclaims" | "requests.storage"),
        _ => true,
    }
}

fn quota_amounts(list: &Map<String, Value>, place: &Place, errors: &mut ErrorList) {
    for (name, value) in list {
        let place = place.key(name);
        resources::validate_quota_name(name, &place, errors);
        resources::validate_amount(name, &resources::amount(value), &place, errors);
    }
}

fn conflicts(scopes: &HashSet<&str>) -> usize {
    [("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating")]
        .iter()
        .filter(|(left, right)| scopes.contains(left) && scopes.contains(right))
        .count()
}

/// Checks the specification of a ResourceQuota.
pub fn validate_quota(object: &Value, errors: &mut ErrorList) {
    let (spec, place) = (get(object, "spec"), Place::root("spec"));
    let hard = entries(spec, "hard");
    quota_amounts(hard, &place.child("hard"), errors);
    let standard: Vec<&String> = hard.keys().filter(|name| resources::is_standard_for_quota(name)).collect();
    let scopes_place = place.child("scopes");
    let shown = || get(spec, "scopes").clone();
    let mut scopes = HashSet::new();
    for scope in strings(spec, "scopes") {
        if !SCOPES.contains(&scope) {
            errors.push(FieldError::invalid(scopes_place, shown(), "unsupported scope"));
        }
        for _ in standard.iter().filter(|name| !scope_fits(scope, name)) {
            errors.push(FieldError::invalid(scopes_place, shown(), "unsupported scope applied to resource"));
        }
        scopes.insert(scope);
    }
    for _ in 0..conflicts(&scopes) {
        errors.push(FieldError::invalid(scopes_place, shown(), "conflicting scopes"));
    }
    if present(spec, "scopeSelector") {
        scope_selector(spec, &standard, &place.child("scopeSelector"), errors);
    }
}

fn scope_selector(spec: &Value, standard: &[&String], place: &Place, errors: &mut ErrorList) {
    const EXISTS_ONLY: &str = "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
    let selector = get(spec, "scopeSelector");
    let place = place.child("matchExpressions");
    let mut scopes = HashSet::new();
    for requirement in items(selector, "matchExpressions") {
        let (scope, operator) = (text(requirement, "scopeName"), text(requirement, "operator"));
        let values = items(requirement, "values");
        if !SCOPES.contains(&scope) {
            errors.push(FieldError::invalid(place.child("scopeName"), scope, "unsupported scope"));
        }
        for _ in standard.iter().filter(|name| !scope_fits(scope, name)) {
            let shown = internal_selector(selector);
            errors.push(FieldError::invalid(place, shown, "unsupported scope applied to resource"));
        }
        let exists_only = SCOPES.contains(&scope) && !matches!(scope, "PriorityClass" | "VolumeAttributesClass");
        if exists_only && operator != "Exists" {
            errors.push(FieldError::invalid(place.child("operator"), operator, EXISTS_ONLY));
        }
        match operator {
            "In" | "NotIn" if values.is_empty() => {
                let detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
                errors.push(FieldError::required(place.child("values"), detail));
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
                errors.push(FieldError::invalid(place.child("values"), values.to_vec(), detail));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            _ => errors.push(FieldError::invalid(place.child("operator"), operator, "not a valid selector operator")),
        }
        scopes.insert(scope);
    }
    for _ in 0..conflicts(&scopes) {
        errors.push(FieldError::invalid(place, get(spec, "scopes").clone(), "conflicting scopes"));
    }
}

fn internal_selector(selector: &Value) -> Value {
    let expressions: Vec<Value> = items(selector, "matchExpressions")
        .iter()
        .map(|one| {
            json!({"ScopeName": text(one, "scopeName"), "Operator": text(one, "operator"), "Values": get(one, "values")})
        })
        .collect();
    json!({ "MatchExpressions": expressions })
}

/// Checks what an update changes in a ResourceQuota: its scopes stay.
pub fn validate_quota_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    let scopes =
        |quota: &'_ Value| -> HashSet<String> { strings(get(quota, "spec"), "scopes").map(str::to_owned).collect() };
    if scopes(new) != scopes(old) {
        let place = Place::root("spec");
        let given = get(get(new, "spec"), "scopes").clone();
        errors.push(FieldError::invalid(place.child("scopes"), given, "field is immutable"));
    }
}

/// Checks a write of a ResourceQuota's status.
pub fn validate_quota_status(new: &Value, _: &Value, errors: &mut ErrorList) {
    if text(get(new, "metadata"), "resourceVersion").is_empty() {
        errors.push(FieldError::required(Place::root("resourceVersion"), ""));
    }
    let place = Place::root("status");
    for which in ["hard", "used"] {
        quota_amounts(entries(get(new, "status"), which), &place.child(which), errors);
    }
}

/// Defaults of a LimitRange: a container's limits follow from the most that it may have.
pub fn default_limit_range(object: &mut Value) {
    let Some(spec) = ensure(object, "spec") else { return };
    for limit in items_mut(spec, "limits") {
        if text(limit, "type") != "Container" {
            continue;
        }
        let (max, min) = (entries(limit, "max").clone(), entries(limit, "min").clone());
        if let Some(default) = ensure(limit, "default") {
            max.into_iter().for_each(|(name, value)| default_to(default, &name, value));
        }
        let default = entries(limit, "default").clone();
        if let Some(request) = ensure(limit, "defaultRequest") {
            default.into_iter().chain(min).for_each(|(name, value)| default_to(request, &name, value));
        }
        for key in ["default", "defaultRequest"] {
            if entries(limit, key).is_empty() {
                remove(limit, key);
            }
        }
    }
}

/// Checks a LimitRange.
pub fn validate_limit_range(object: &Value, errors: &mut ErrorList) {
    let place = Place::root("spec");
    let list = place.child("limits");
    let mut seen = HashSet::new();
    for (index, limit) in indexed(get(object, "spec"), "limits") {
        let place = list.index(index);
        let kind = text(limit, "type");
        limit_type(kind, &place.child("type"), errors);
        if !seen.insert(kind) {
            errors.push(FieldError::duplicate(place.child("type"), kind));
        }
        limit_item(limit, kind, &place, errors);
    }
}

fn limit_type(kind: &str, place: &Place, errors: &mut ErrorList) {
    let faults = names::qualified_name(kind);
    let standard = matches!(kind, "Pod" | "Container" | "PersistentVolumeClaim");
    if faults.is_empty() && !kind.contains('/') && !standard {
        errors.push(FieldError::invalid(place, kind, "must be a standard limit type or fully qualified"));
    }
    fault_list(faults, kind, place, errors);
}

/// The amounts of one resource in a limit.
#[derive(Default)]
struct Bounds {
    min: Option<Quantity>,
    max: Option<Quantity>,
    default: Option<Quantity>,
    request: Option<Quantity>,
    ratio: Option<Quantity>,
}

fn limit_item(limit: &Value, kind: &str, place: &Place, errors: &mut ErrorList) {
    let mut bounds: BTreeMap<&str, Bounds> = BTreeMap::new();
    for which in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
        let place = place.child(which);
        let list = entries(limit, which);
        if kind == "Pod" && matches!(which, "default" | "defaultRequest") {
            if !list.is_empty() {
                errors.push(FieldError::forbidden(place, "may not be specified when `type` is 'Pod'"));
            }
            continue;
        }
        for (name, value) in list {
            let own = place.key(name);
            if matches!(kind, "Pod" | "Container") {
                resources::validate_container_name(name, &own, errors);
            } else {
                resources::validate_name(name, &own, errors);
            }
            let entry = bounds.entry(name).or_default();
            let slot = match which {
                "max" => &mut entry.max,
                "min" => &mut entry.min,
                "default" => &mut entry.default,
                "defaultRequest" => &mut entry.request,
                _ => &mut entry.ratio,
            };
            *slot = Some(resources::amount(value));
        }
    }
    let storage = |which: &str| entries(limit, which).contains_key("storage");
    if kind == "PersistentVolumeClaim" && !storage("min") && !storage("max") {
        let detail = "either minimum or maximum storage value is required, but neither was provided";
        errors.push(FieldError::required(place.child("limits"), detail));
    }
    for (name, bounds) in &bounds {
        compare_bounds(name, bounds, place, errors);
    }
}

fn compare_bounds(name: &str, bounds: &Bounds, place: &Place, errors: &mut ErrorList) {
    let Bounds { min, max, default, request, ratio } = bounds;
    // Left above right: where, what is shown, and in which words.
    let rows = [
        (min, max, "min", min, "min value", "max value"),
        (min, request, "defaultRequest", request, "min value", "default request value"),
        (request, max, "defaultRequest", request, "default request value", "max value"),
        (request, default, "defaultRequest", request, "default request value", "default limit value"),
        (min, default, "default", min, "min value", "default value"),
        (default, max, "default", max, "default value", "max value"),
    ];
    for (left, right, field, shown, left_words, right_words) in rows {
        if let (Some(left), Some(right), Some(shown)) = (left, right, shown) {
            if left > right {
                let detail = format!("{left_words} {left} is greater than {right_words} {right}");
                let place = place.child(field);
                errors.push(FieldError::invalid(place.key(name), shown.to_string(), detail));
            }
        }
    }
    if let Some(ratio) = ratio {
        compare_ratio(name, ratio, min.as_ref(), max.as_ref(), &place.child("maxLimitRequestRatio"), errors);
    }
    if let (Some(default), Some(request), false) = (default, request, resources::is_overcommit_allowed(name)) {
        if default != request {
            let detail = format!("default value {default} must equal to defaultRequest value {request} in {name}");
            let place = place.child("defaultRequest");
            errors.push(FieldError::invalid(place.key(name), request.to_string(), detail));
        }
    }
}

fn compare_ratio(
    name: &str,
    ratio: &Quantity,
    min: Option<&Quantity>,
    max: Option<&Quantity>,
    place: &Place,
    errors: &mut ErrorList,
) {
    if ratio.milli_value() < 1000 {
        let detail = format!("ratio {ratio} is less than 1");
        errors.push(FieldError::invalid(place.key(name), ratio.to_string(), detail));
    }
    if let (Some(min), Some(max)) = (min, max) {
        let limit = max.as_f64() / min.as_f64();
        if ratio.as_f64() > limit {
            let detail = format!("ratio {ratio} is greater than max/min = {limit:.6}");
            errors.push(FieldError::invalid(place.key(name), ratio.to_string(), detail));
        }
    }
}
