//! Endpoints, the older form of EndpointSlice.

use super::labels;
use super::meta::{self};
use super::place::Place;
use super::pod::containers::{port_number, protocol};
use super::pod::spec::fault_list;
use super::value::{default_text, indexed, integer, items, items_mut, maybe_text, same_field, text};
use super::{address, names};
use crate::core::field::{ErrorList, FieldError};
use serde_json::Value;

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
