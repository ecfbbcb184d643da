//! EndpointSlice.

use super::labels::{self};
use super::meta::{self, immutable};
use super::place::Place;
use super::pod::spec::fault_list;
use super::strategy::Context;
use super::value::{
    default_to, ensure, entries, get, indexed, items, items_mut, maybe_text, present, remove, same_field, strings, text,
};
use super::{address, names};
use crate::core::field::{ErrorList, FieldError};
use serde_json::Value;
use std::collections::HashSet;

/// Defaults of an EndpointSlice.
pub fn default_endpoint_slice(object: &mut Value) {
    for port in items_mut(object, "ports") {
        default_to(port, "name", "");
        default_to(port, "protocol", "TCP");
    }
    for endpoint in items_mut(object, "endpoints") {
        ensure(endpoint, "conditions");
    }
}

/// Drops the old form of topology.
pub fn prepare_endpoint_slice(object: &mut Value, _: &Context) {
    for endpoint in items_mut(object, "endpoints") {
        remove(endpoint, "deprecatedTopology");
    }
}

/// Counts a change of anything but metadata, and of labels.
pub fn prepare_endpoint_slice_update(new: &mut Value, old: &Value, ctx: &Context) {
    let changed = ["addressType", "endpoints", "ports"].iter().any(|key| !same_field(new, old, key))
        || meta::labels_of(new) != meta::labels_of(old);
    if changed {
        meta::set_generation(new, meta::generation(old).saturating_add(1));
    }
    if !same_field(new, old, "endpoints") {
        prepare_endpoint_slice(new, ctx);
    }
}

/// Checks an EndpointSlice.
pub fn validate_endpoint_slice(object: &Value, errors: &mut ErrorList) {
    slice_type_and_ports(object, errors);
    slice_endpoints(object, errors);
}

/// Checks a changed EndpointSlice; endpoints that did not change are taken as they are.
pub fn validate_endpoint_slice_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    slice_type_and_ports(new, errors);
    if !same_field(new, old, "endpoints") {
        slice_endpoints(new, errors);
    }
    immutable(get(new, "addressType"), get(old, "addressType"), &Place::root("addressType"), errors);
}

fn slice_type_and_ports(object: &Value, errors: &mut ErrorList) {
    match text(object, "addressType") {
        "" => errors.push(FieldError::required(Place::root("addressType"), "")),
        "IPv4" | "IPv6" | "FQDN" => {}
        other => {
            let kinds = ["FQDN", "IPv4", "IPv6"];
            errors.push(FieldError::not_supported(Place::root("addressType"), other, &kinds));
        }
    }
    let list = Place::root("ports");
    let ports = items(object, "ports");
    if ports.len() > 20_000 {
        errors.push(FieldError::too_many(list, ports.len(), 20_000));
        return;
    }
    let mut seen = HashSet::new();
    for (index, port) in ports.iter().enumerate() {
        let place = list.index(index);
        let name = text(port, "name");
        if !name.is_empty() {
            fault_list(names::dns_label(name), name, &place.child("name"), errors);
        }
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(place.child("name"), name));
        }
        if present(port, "protocol") {
            super::volumes::sources::supported(port, "protocol", &["SCTP", "TCP", "UDP"], &place, errors);
        } else {
            errors.push(FieldError::required(place.child("protocol"), ""));
        }
        if let Some(application) = maybe_text(port, "appProtocol") {
            labels::validate_key(application, &place.child("appProtocol"), errors);
        }
    }
}

fn slice_endpoints(object: &Value, errors: &mut ErrorList) {
    let list = Place::root("endpoints");
    let endpoints = items(object, "endpoints");
    if endpoints.len() > 1000 {
        errors.push(FieldError::too_many(list, endpoints.len(), 1000));
        return;
    }
    let kind = text(object, "addressType");
    for (index, endpoint) in endpoints.iter().enumerate() {
        let place = list.index(index);
        slice_addresses(endpoint, kind, &place.child("addresses"), errors);
        if let Some(node) = maybe_text(endpoint, "nodeName") {
            fault_list(names::dns_subdomain(node), node, &place.child("nodeName"), errors);
        }
        let topology = place.child("deprecatedTopology");
        let count = entries(endpoint, "deprecatedTopology").len();
        if count > 16 {
            errors.push(FieldError::too_many(topology, count, 16));
        }
        labels::validate(get(endpoint, "deprecatedTopology"), &topology, errors);
        if let Some(host) = maybe_text(endpoint, "hostname") {
            fault_list(names::dns_label(host), host, &place.child("hostname"), errors);
        }
        let hints = place.child("hints");
        hint_names(get(endpoint, "hints"), "forZones", names::label_value, &hints, errors);
        hint_names(get(endpoint, "hints"), "forNodes", names::dns_subdomain, &hints, errors);
    }
}

fn slice_addresses(endpoint: &Value, kind: &str, list: &Place, errors: &mut ErrorList) {
    let count = items(endpoint, "addresses").len();
    if count == 0 {
        errors.push(FieldError::required(list, "must contain at least 1 address"));
    } else if count > 100 {
        errors.push(FieldError::too_many(list, count, 100));
    }
    for (index, text_of) in strings(endpoint, "addresses").enumerate() {
        let place = list.index(index);
        let before = errors.len();
        match kind {
            "IPv4" => address::validate_legacy(text_of, &place, errors),
            "IPv6" => address::validate_canonical(text_of, &place, errors),
            "FQDN" => {
                fully_qualified(text_of, &place, errors);
                continue;
            }
            _ => continue,
        }
        if errors.len() > before {
            continue;
        }
        if address::is_ipv6(text_of) != (kind == "IPv6") {
            errors.push(FieldError::invalid(list, text_of, format!("must be an {kind} address")));
        }
        address::validate_endpoint(text_of, &place, errors);
    }
}

fn fully_qualified(name: &str, place: &Place, errors: &mut ErrorList) {
    if name.is_empty() {
        errors.push(FieldError::required(place, ""));
        return;
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let faults = names::dns_subdomain(name);
    if !faults.is_empty() {
        errors.push(FieldError::invalid(place, name, faults.join(",")));
        return;
    }
    if !name.contains('.') {
        let detail = "should be a domain with at least two segments separated by dots";
        errors.push(FieldError::invalid(place, name, detail));
        return;
    }
    if let Some(label) = name.split('.').find(|label| !names::dns_label(label).is_empty()) {
        errors.push(FieldError::invalid(place, label, names::dns_label(label).join(",")));
    }
}

fn hint_names(hints: &Value, key: &str, rule: fn(&str) -> names::Faults, place: &Place, errors: &mut ErrorList) {
    let list = place.child(key);
    let given = items(hints, key);
    if given.len() > 8 {
        errors.push(FieldError::too_many(list, given.len(), 8));
        return;
    }
    let mut seen = HashSet::new();
    for (index, hint) in given.iter().enumerate() {
        let item = list.index(index);
        let place = item.child("name");
        let name = text(hint, "name");
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(place, name));
        }
        fault_list(rule(name), name, &place, errors);
    }
}

/// Warnings about an EndpointSlice.
pub fn warn_endpoint_slice(object: &Value, old: Option<&Value>, warnings: &mut Vec<String>) {
    if old.is_none() && text(object, "addressType") == "FQDN" {
        warnings.push("spec.addressType: FQDN endpoints are deprecated".to_owned());
    }
    let manager = meta::labels_of(object).get("endpointslice.kubernetes.io/managed-by").and_then(Value::as_str);
    let controllers = ["endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io"];
    if manager.is_some_and(|manager| controllers.contains(&manager)) {
        return;
    }
    let list = Place::root("endpoints");
    for (index, endpoint) in indexed(object, "endpoints") {
        let place = list.index(index);
        let list = place.child("addresses");
        for (index, text_of) in strings(endpoint, "addresses").enumerate() {
            address::warn(text_of, &list.index(index), warnings);
        }
    }
}
