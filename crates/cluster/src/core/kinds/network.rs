//! NetworkPolicy, IPAddress, ServiceCIDR.
//!
//! After `pkg/apis/networking` and `pkg/apis/discovery`.

use serde_json::{Value, json};

use super::ingress::path_segment;
use super::labels::{self, Values};
use super::meta::{self, immutable};
use super::place::Place;
use super::pod::containers::port_number;
use super::pod::spec::fault_list;
use super::strategy::Context;
use super::value::{default_to, ensure, get, indexed, items, items_mut, keep, number, present, put, strings, text};
use super::{address, names};
use crate::core::field::{ErrorList, FieldError};

/// Defaults of a NetworkPolicy.
pub fn default_network_policy(object: &mut Value) {
    let Some(spec) = ensure(object, "spec") else { return };
    ensure(spec, "podSelector");
    for direction in ["ingress", "egress"] {
        for rule in items_mut(spec, direction) {
            for port in items_mut(rule, "ports") {
                default_to(port, "protocol", "TCP");
            }
        }
    }
    if items(spec, "policyTypes").is_empty() {
        let both = !items(spec, "egress").is_empty();
        put(spec, "policyTypes", if both { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) });
    }
}

/// Checks a NetworkPolicy.
pub fn validate_network_policy(object: &Value, errors: &mut ErrorList) {
    let (spec, place) = (get(object, "spec"), Place::root("spec"));
    labels::validate_selector(get(spec, "podSelector"), Values::Checked, &place.child("podSelector"), errors);
    for (direction, side) in [("ingress", "from"), ("egress", "to")] {
        let list = place.child(direction);
        for (index, rule) in indexed(spec, direction) {
            let place = list.index(index);
            let ports = place.child("ports");
            for (index, port) in indexed(rule, "ports") {
                policy_port(port, &ports.index(index), errors);
            }
            let peers = place.child(side);
            for (index, peer) in indexed(rule, side) {
                policy_peer(peer, &peers.index(index), errors);
            }
        }
    }
    let types = items(spec, "policyTypes");
    let list = place.child("policyTypes");
    if types.len() > 2 {
        let detail = "may not specify more than two policyTypes";
        errors.push(FieldError::invalid(list, types.to_vec(), detail));
        return;
    }
    for (index, kind) in strings(spec, "policyTypes").enumerate() {
        if !matches!(kind, "Ingress" | "Egress") {
            errors.push(FieldError::not_supported(list.index(index), kind, &["Ingress", "Egress"]));
        }
    }
}

fn policy_port(port: &Value, place: &Place, errors: &mut ErrorList) {
    super::volumes::sources::supported(port, "protocol", &["TCP", "UDP", "SCTP"], place, errors);
    let end = number(port, "endPort");
    let end_place = place.child("endPort");
    match get(port, "port") {
        Value::Null => {
            if let Some(end) = end {
                errors.push(FieldError::invalid(end_place, end, "may not be specified when `port` is not specified"));
            }
        }
        Value::String(name) => {
            if let Some(end) = end {
                errors.push(FieldError::invalid(end_place, end, "may not be specified when `port` is non-numeric"));
            }
            fault_list(names::port_name(name), name, &place.child("port"), errors);
        }
        value => {
            let start = value.as_i64().unwrap_or(0);
            port_number(start, &place.child("port"), errors);
            if let Some(end) = end {
                if end < start {
                    let detail = "must be greater than or equal to `port`";
                    errors.push(FieldError::invalid(end_place, start, detail));
                }
                port_number(end, &end_place, errors);
            }
        }
    }
}

fn policy_peer(peer: &Value, place: &Place, errors: &mut ErrorList) {
    let mut count = 0;
    for key in ["podSelector", "namespaceSelector"] {
        if present(peer, key) {
            count += 1;
            labels::validate_selector(get(peer, key), Values::Checked, &place.child(key), errors);
        }
    }
    let block = get(peer, "ipBlock");
    if !block.is_null() {
        count += 1;
        ip_block(block, &place.child("ipBlock"), errors);
    }
    if count == 0 {
        errors.push(FieldError::required(place, "must specify a peer"));
    } else if count > 1 && !block.is_null() {
        errors.push(FieldError::forbidden(place, "may not specify both ipBlock and another peer"));
    }
}

fn ip_block(block: &Value, place: &Place, errors: &mut ErrorList) {
    let text_of = text(block, "cidr");
    if text_of.is_empty() {
        errors.push(FieldError::required(place.child("cidr"), ""));
        return;
    }
    address::validate_legacy_cidr(text_of, &place.child("cidr"), errors);
    let Some(cidr) = address::Cidr::parse_sloppy(text_of) else { return };
    let list = place.child("except");
    for (index, text_of) in strings(block, "except").enumerate() {
        let place = list.index(index);
        address::validate_legacy_cidr(text_of, &place, errors);
        let Some(except) = address::Cidr::parse_sloppy(text_of) else { continue };
        if !cidr.contains(except.network().address) || cidr.prefix >= except.prefix {
            errors.push(FieldError::invalid(place, text_of, "must be a strict subset of `cidr`"));
        }
    }
}

/// Warnings about a NetworkPolicy.
pub fn warn_network_policy(object: &Value, _: Option<&Value>, warnings: &mut Vec<String>) {
    let place = Place::root("spec");
    for (direction, side) in [("ingress", "from"), ("egress", "to")] {
        let list = place.child(direction);
        for (index, rule) in indexed(get(object, "spec"), direction) {
            let place = list.index(index);
            let list = place.child(side);
            for (index, peer) in indexed(rule, side) {
                let place = list.index(index);
                let place = place.child("ipBlock");
                let block = get(peer, "ipBlock");
                address::warn_cidr(text(block, "cidr"), &place.child("cidr"), warnings);
                let list = place.child("except");
                for (index, except) in strings(block, "except").enumerate() {
                    address::warn_cidr(except, &list.index(index), warnings);
                }
            }
        }
    }
}

/// Checks an IPAddress.
pub fn validate_ip_address(object: &Value, errors: &mut ErrorList) {
    let place = Place::root("spec");
    let place = place.child("parentRef");
    let parent = get(get(object, "spec"), "parentRef");
    if parent.is_null() {
        errors.push(FieldError::required(place, ""));
        return;
    }
    let group = text(parent, "group");
    if !group.is_empty() {
        fault_list(names::dns_subdomain(group), group, &place.child("group"), errors);
    }
    path_segment(parent, "resource", &place, errors);
    path_segment(parent, "name", &place, errors);
    let namespace = text(parent, "namespace");
    fault_list(names::path_segment(namespace), namespace, &place.child("namespace"), errors);
}

/// The parent of an IPAddress stays.
pub fn validate_ip_address_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    let place = Place::root("spec");
    let of = |object: &'_ Value| get(get(object, "spec"), "parentRef").clone();
    immutable(&of(new), &of(old), &place.child("parentRef"), errors);
}

/// Checks a ServiceCIDR.
pub fn validate_service_cidr(object: &Value, errors: &mut ErrorList) {
    let spec = get(object, "spec");
    let place = Place::root("spec");
    let list = place.child("cidrs");
    let cidrs: Vec<&str> = strings(spec, "cidrs").collect();
    if cidrs.is_empty() {
        errors.push(FieldError::required(list, "at least one CIDR required"));
        return;
    }
    if cidrs.len() > 2 {
        let shown = json!({ "CIDRs": cidrs });
        errors.push(FieldError::invalid(list, shown, "may only hold up to 2 values"));
        return;
    }
    for (index, cidr) in cidrs.iter().enumerate() {
        address::validate_canonical_cidr(cidr, &list.index(index), errors);
    }
    let family = |cidr: &str| address::Cidr::parse_sloppy(cidr).map(|cidr| cidr.address.is_ipv6());
    if cidrs.len() == 2 && family(cidrs[0]).is_some() && family(cidrs[0]) == family(cidrs[1]) {
        let detail = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
        errors.push(FieldError::invalid(list, json!(cidrs), detail));
    }
}

/// The networks of a ServiceCIDR stay; a second may come.
pub fn validate_service_cidr_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    let (after, before) = (items(get(new, "spec"), "cidrs"), items(get(old, "spec"), "cidrs"));
    let place = Place::root("spec");
    let list = place.child("cidrs");
    let detail = "field is immutable";
    if after.len() == before.len() || (before.len() == 1 && after.len() == 2) {
        for (index, value) in after.iter().enumerate().take(before.len()).filter(|(i, value)| before[*i] != **value) {
            errors.push(FieldError::invalid(list.index(index), value.clone(), detail));
        }
        if after.len() != before.len() {
            validate_service_cidr(new, errors);
        }
    } else {
        errors.push(FieldError::invalid(list, after.to_vec(), detail));
    }
}

/// Keeps everything but the status of a ServiceCIDR.
pub fn prepare_service_cidr_status(new: &mut Value, old: &Value, _: &Context) {
    keep(new, old, "spec");
    meta::reset_for_status(new, old);
}
