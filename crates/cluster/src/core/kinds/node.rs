//! Nodes: capacity, taints, pod networks.

use super::labels;
use super::place::Place;
use super::pod::scheduling::{positive, validate_effect};
use super::strategy::Context;
use super::value::{
    default_to, ensure, entries, get, get_mut, indexed, items, keep, number, present, put, remove, same, strings, text,
};
use super::{address, names, resources};
use crate::core::field::{ErrorKind, ErrorList, FieldError};
use serde_json::{Value, json};
use std::collections::HashSet;

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
    if !present(get(old, "spec"), "configSource")
        && let Some(spec) = get_mut(new, "spec")
    {
        remove(spec, "configSource");
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
        let dual = networks.iter().any(&v6) && networks.iter().any(|network| !v6(network));
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
