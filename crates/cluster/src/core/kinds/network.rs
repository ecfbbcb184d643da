//! Ingress, IngressClass, NetworkPolicy, IPAddress, ServiceCIDR, EndpointSlice.
//!
//! After `pkg/apis/networking` and `pkg/apis/discovery`.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::jobs::domain_prefixed_path;
use super::labels::{self, Values};
use super::meta::{self, immutable};
use super::place::Place;
use super::pod::containers::port_number;
use super::pod::spec::fault_list;
use super::service::ingress_host;
use super::strategy::Context;
use super::value::{
    default_to, elements, ensure, entries, get, get_mut, indexed, integer, items, items_mut, keep, maybe_text, number,
    present, put, remove, same_field, strings, text,
};
use super::{address, names};
use crate::core::field::{ErrorList, FieldError};

/// Clears the status of an Ingress.
pub fn prepare_ingress(object: &mut Value, _: &Context) {
    put(object, "status", json!({"loadBalancer": {}}));
}

/// Defaults of an Ingress: the parts that are always shown.
pub fn default_ingress(object: &mut Value) {
    ensure(object, "spec");
    ensure(object, "status").and_then(|status| ensure(status, "loadBalancer"));
}

const INGRESS_CLASS: &str = "kubernetes.io/ingress.class";

/// Checks an Ingress.
pub fn validate_ingress(object: &Value, errors: &mut ErrorList) {
    let (spec, place) = (get(object, "spec"), Place::root("spec"));
    let backend = get(spec, "defaultBackend");
    if items(spec, "rules").is_empty() && backend.is_null() {
        let given = get(spec, "rules").clone();
        let detail = "either `defaultBackend` or `rules` must be specified";
        errors.push(FieldError::invalid(place, given, detail));
    }
    if !backend.is_null() {
        ingress_backend(backend, &place.child("defaultBackend"), errors);
    }
    let list = place.child("rules");
    for (index, rule) in indexed(spec, "rules") {
        ingress_rule(rule, &list.index(index), errors);
    }
    let list = place.child("tls");
    for (index, tls) in indexed(spec, "tls") {
        let place = list.index(index);
        let hosts = place.child("hosts");
        for (index, host) in strings(tls, "hosts").enumerate() {
            fault_list(host_faults(host), host, &hosts.index(index), errors);
        }
        let secret = text(tls, "secretName");
        if !secret.is_empty() {
            fault_list(names::dns_subdomain(secret), secret, &place.child("secretName"), errors);
        }
    }
    if let Some(class) = maybe_text(spec, "ingressClassName") {
        fault_list(names::dns_subdomain(class), class, &place.child("ingressClassName"), errors);
    }
}

/// Checks what only holds for a new Ingress.
pub fn validate_ingress_create(object: &Value, errors: &mut ErrorList) {
    validate_ingress(object, errors);
    let class = maybe_text(get(object, "spec"), "ingressClassName");
    if let (Some(annotated), Some(class)) = (meta::annotation(object, INGRESS_CLASS), class) {
        if annotated != class {
            let place = Place::root("annotations");
            let detail = "must match `ingressClassName` when both are specified";
            errors.push(FieldError::invalid(place.child(INGRESS_CLASS), annotated, detail));
        }
    }
}

fn host_faults(host: &str) -> names::Faults {
    if host.contains('*') { names::wildcard_subdomain(host) } else { names::dns_subdomain(host) }
}

fn ingress_rule(rule: &Value, place: &Place, errors: &mut ErrorList) {
    let host = text(rule, "host");
    if !host.is_empty() {
        if address::parse_sloppy(host).is_some() {
            errors.push(FieldError::invalid(place.child("host"), host, "must be a DNS name, not an IP address"));
        }
        fault_list(host_faults(host), host, &place.child("host"), errors);
    }
    let http = get(rule, "http");
    if http.is_null() {
        return;
    }
    let place = place.child("http");
    let list = place.child("paths");
    if items(http, "paths").is_empty() {
        errors.push(FieldError::required(list, ""));
    }
    for (index, path) in indexed(http, "paths") {
        ingress_path(path, &list.index(index), errors);
    }
}

fn ingress_path(path: &Value, place: &Place, errors: &mut ErrorList) {
    let Some(kind) = maybe_text(path, "pathType") else {
        errors.push(FieldError::required(place.child("pathType"), "pathType must be specified"));
        return;
    };
    let value = text(path, "path");
    let path_place = place.child("path");
    let absolute = "must be an absolute path";
    match kind {
        "Exact" | "Prefix" => {
            if !value.starts_with('/') {
                errors.push(FieldError::invalid(path_place, value, absolute));
            }
            for part in ["//", "/./", "/../", "%2f", "%2F"].iter().filter(|part| value.contains(*part)) {
                errors.push(FieldError::invalid(path_place, value, format!("must not contain '{part}'")));
            }
            for end in ["/..", "/."].iter().filter(|end| value.ends_with(*end)) {
                errors.push(FieldError::invalid(path_place, value, format!("cannot end with '{end}'")));
            }
        }
        "ImplementationSpecific" => {
            if !value.is_empty() && !value.starts_with('/') {
                errors.push(FieldError::invalid(path_place, value, absolute));
            }
        }
        _ => {
            let kinds = ["Exact", "ImplementationSpecific", "Prefix"];
            errors.push(FieldError::not_supported(place.child("pathType"), kind, &kinds));
        }
    }
    ingress_backend(get(path, "backend"), &place.child("backend"), errors);
}

fn ingress_backend(backend: &Value, place: &Place, errors: &mut ErrorList) {
    let (resource, service) = (get(backend, "resource"), get(backend, "service"));
    match (resource.is_null(), service.is_null()) {
        (false, false) => {
            errors.push(FieldError::invalid(place, "", "cannot set both resource and service backends"));
        }
        (false, true) => typed_reference(resource, &place.child("resource"), errors),
        (true, false) => service_backend(service, place, errors),
        (true, true) => errors.push(FieldError::invalid(place, "", "resource or service backend is required")),
    }
}

fn service_backend(service: &Value, place: &Place, errors: &mut ErrorList) {
    let own = place.child("service");
    let name = text(service, "name");
    if name.is_empty() {
        errors.push(FieldError::required(own.child("name"), ""));
    } else {
        fault_list(names::dns1035_label(name), name, &own.child("name"), errors);
    }
    let port = get(service, "port");
    let port_place = own.child("port");
    match (text(port, "name"), integer(port, "number")) {
        ("", 0) => errors.push(FieldError::required(place, "port name or number is required")),
        ("", number) => port_number(number, &port_place.child("number"), errors),
        (name, 0) => fault_list(names::port_name(name), name, &port_place.child("name"), errors),
        _ => errors.push(FieldError::invalid(place, "", "cannot set both port name & port number")),
    }
}

fn typed_reference(reference: &Value, place: &Place, errors: &mut ErrorList) {
    if let Some(group) = maybe_text(reference, "apiGroup") {
        fault_list(names::dns_subdomain(group), group, &place.child("apiGroup"), errors);
    }
    for key in ["kind", "name"] {
        path_segment(reference, key, place, errors);
    }
}

fn path_segment(reference: &Value, key: &str, place: &Place, errors: &mut ErrorList) {
    let value = text(reference, key);
    if value.is_empty() {
        errors.push(FieldError::required(place.child(key), ""));
    } else {
        fault_list(names::path_segment(value), value, &place.child(key), errors);
    }
}

/// Checks a write of an Ingress's status.
pub fn validate_ingress_status(new: &Value, old: &Value, errors: &mut ErrorList) {
    let points = |object: &'_ Value| get(get(get(object, "status"), "loadBalancer"), "ingress").clone();
    let (given, before) = (points(new), points(old));
    let place = Place::root("status");
    let place = place.child("loadBalancer");
    let list = place.child("ingress");
    for (index, point) in elements(&given).iter().enumerate() {
        let place = list.index(index);
        let ip = text(point, "ip");
        if !ip.is_empty() && !elements(&before).iter().any(|old| text(old, "ip") == ip) {
            address::validate_legacy(ip, &place.child("ip"), errors);
        }
        ingress_host(text(point, "hostname"), &place.child("hostname"), errors);
    }
}

/// Warnings about a new Ingress.
pub fn warn_ingress(object: &Value, old: Option<&Value>, warnings: &mut Vec<String>) {
    let annotated = meta::annotation(object, INGRESS_CLASS).is_some();
    if old.is_none() && annotated && !present(get(object, "spec"), "ingressClassName") {
        warnings
            .push(format!("annotation {INGRESS_CLASS:?} is deprecated, please use 'spec.ingressClassName' instead"));
    }
}

/// Defaults of an IngressClass.
pub fn default_ingress_class(object: &mut Value) {
    if let Some(parameters) = ensure(object, "spec").and_then(|spec| get_mut(spec, "parameters")) {
        default_to(parameters, "scope", "Cluster");
    }
}

/// Checks an IngressClass.
pub fn validate_ingress_class(object: &Value, errors: &mut ErrorList) {
    let (spec, place) = (get(object, "spec"), Place::root("spec"));
    let controller = text(spec, "controller");
    if controller.len() > 250 {
        errors.push(FieldError::too_long(place.child("controller"), 250));
    }
    domain_prefixed_path(controller, &place.child("controller"), errors);
    let parameters = get(spec, "parameters");
    if parameters.is_null() {
        return;
    }
    let place = place.child("parameters");
    typed_reference(parameters, &place, errors);
    let namespace = maybe_text(parameters, "namespace");
    let namespace_place = place.child("namespace");
    match (maybe_text(parameters, "scope"), namespace) {
        (None, _) => errors.push(FieldError::required(place.child("scope"), "")),
        (Some("Namespace"), None) => {
            errors.push(FieldError::required(namespace_place, "`parameters.scope` is set to 'Namespace'"));
        }
        (Some("Namespace"), Some(namespace)) => {
            fault_list(names::dns_label(namespace), namespace, &namespace_place, errors);
        }
        (Some("Cluster"), Some(_)) => {
            errors.push(FieldError::forbidden(namespace_place, "`parameters.scope` is set to 'Cluster'"));
        }
        (Some("Cluster"), None) => {}
        (Some(other), _) => {
            errors.push(FieldError::not_supported(place.child("scope"), other, &["Cluster", "Namespace"]));
        }
    }
}

/// The controller of an IngressClass stays.
pub fn validate_ingress_class_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    let place = Place::root("spec");
    let of = |object: &'_ Value| get(get(object, "spec"), "controller").clone();
    immutable(&of(new), &of(old), &place.child("controller"), errors);
}

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
    super::volumes::supported(port, "protocol", &["TCP", "UDP", "SCTP"], place, errors);
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
            super::volumes::supported(port, "protocol", &["SCTP", "TCP", "UDP"], &place, errors);
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
