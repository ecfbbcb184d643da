//! Services: defaults, validation, and which fields a change of type takes along.
//!
//! After `pkg/apis/core/validation` and `pkg/registry/core/service`. Addresses and node ports are
//! given out in [`allocation`].

pub mod allocation;
pub mod pool;
pub mod rules;

use std::collections::HashSet;

use serde_json::{Value, json};

use super::meta;
use super::place::Place;
use super::pod::containers::{port_number, port_number_or_name, protocol};
use super::pod::spec::fault_list;
use super::strategy::Context;
use super::value::{
    default_text, default_to, ensure, get, get_mut, indexed, integer, items, items_mut, keep, maybe_flag, maybe_text,
    number, present, put, remove, same_field, strings, text,
};
use super::{address, labels, names};
use crate::core::field::{ErrorList, FieldError};
use rules::{external_ips, load_balancer_class, node_ports, source_ranges, traffic, validate_cluster_ips};

const EXTERNAL_NAME: &str = "ExternalName";
const LOAD_BALANCER: &str = "LoadBalancer";
const SOURCE_RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";
const HINTS: &str = "service.kubernetes.io/topology-aware-hints";
const MODE: &str = "service.kubernetes.io/topology-mode";

fn kind(service: &Value) -> &str {
    text(get(service, "spec"), "type")
}

fn has_node_ports(service: &Value) -> bool {
    matches!(kind(service), "NodePort" | LOAD_BALANCER)
}

/// Whether traffic comes from outside the cluster.
fn externally_accessible(service: &Value) -> bool {
    has_node_ports(service) || (kind(service) == "ClusterIP" && !items(get(service, "spec"), "externalIPs").is_empty())
}

/// Whether the service has a port that load balancers ask for its health.
fn needs_health_check(service: &Value) -> bool {
    kind(service) == LOAD_BALANCER && text(get(service, "spec"), "externalTrafficPolicy") == "Local"
}

fn is_headless(service: &Value) -> bool {
    let addresses = items(get(service, "spec"), "clusterIPs");
    addresses.len() == 1 && addresses[0] == "None"
}

/// Defaults of a Service.
pub fn defaults(service: &mut Value) {
    if let Some(spec) = ensure(service, "spec") {
        default_text(spec, "sessionAffinity", "None");
        session_affinity(spec);
        default_text(spec, "type", "ClusterIP");
        for port in items_mut(spec, "ports") {
            default_text(port, "protocol", "TCP");
            let target = get(port, "targetPort");
            if target.is_null() || target == &json!(0) || target == &json!("") {
                let number = get(port, "port").clone();
                put(port, "targetPort", if number.is_null() { json!(0) } else { number });
            }
        }
    }
    let external = externally_accessible(service);
    let kind = kind(service).to_owned();
    if let Some(spec) = get_mut(service, "spec") {
        if external {
            default_text(spec, "externalTrafficPolicy", "Cluster");
        }
        if matches!(kind.as_str(), "NodePort" | LOAD_BALANCER | "ClusterIP") {
            default_to(spec, "internalTrafficPolicy", "Cluster");
        }
        if kind == LOAD_BALANCER {
            default_to(spec, "allocateLoadBalancerNodePorts", true);
        }
    }
    if let Some(balancer) = ensure(service, "status").and_then(|status| ensure(status, "loadBalancer"))
        && kind == LOAD_BALANCER
    {
        for ingress in items_mut(balancer, "ingress") {
            if !text(ingress, "ip").is_empty() {
                default_to(ingress, "ipMode", "VIP");
            }
        }
    }
}

fn session_affinity(spec: &mut Value) {
    match text(spec, "sessionAffinity") {
        "None" => remove(spec, "sessionAffinityConfig"),
        "ClientIP" if !present(get(get(spec, "sessionAffinityConfig"), "clientIP"), "timeoutSeconds") => {
            put(spec, "sessionAffinityConfig", json!({"clientIP": {"timeoutSeconds": 10800}}));
        }
        _ => {}
    }
}

/// Clears the status.
pub fn prepare_create(service: &mut Value, _: &Context) {
    put(service, "status", json!({"loadBalancer": {}}));
}

/// Keeps the status and drops what only the old type had.
pub fn prepare_update(new: &mut Value, old: &Value, _: &Context) {
    keep(new, old, "status");
    drop_dependent(new, old);
    // Upstream stores it and does not show it.
    if kind(new) == EXTERNAL_NAME
        && let Some(spec) = get_mut(new, "spec")
    {
        remove(spec, "internalTrafficPolicy");
    }
}

fn drop_dependent(new: &mut Value, old: &Value) {
    let before = get(old, "spec");
    let to_external = kind(old) != EXTERNAL_NAME && kind(new) == EXTERNAL_NAME;
    let loses_ports = has_node_ports(old) && !has_node_ports(new);
    let loses_health = needs_health_check(old) && !needs_health_check(new);
    let loses_balancer = kind(old) == LOAD_BALANCER && kind(new) != LOAD_BALANCER;
    let loses_external = externally_accessible(old) && !externally_accessible(new);
    let balanced = kind(new) == LOAD_BALANCER;
    let Some(spec) = get_mut(new, "spec") else { return };
    if to_external {
        if same_field(spec, before, "clusterIP") && same_field(spec, before, "clusterIPs") {
            remove(spec, "clusterIP");
            remove(spec, "clusterIPs");
        }
        for key in ["ipFamilies", "ipFamilyPolicy"] {
            drop_unchanged(spec, before, key);
        }
    }
    if loses_ports {
        let known: HashSet<i64> = items(before, "ports").iter().map(|port| integer(port, "nodePort")).collect();
        let asked = |port: &Value| integer(port, "nodePort") != 0 && !known.contains(&integer(port, "nodePort"));
        if !items(spec, "ports").iter().any(asked) {
            for port in items_mut(spec, "ports") {
                remove(port, "nodePort");
            }
        }
    }
    if loses_health {
        drop_unchanged(spec, before, "healthCheckNodePort");
    }
    if loses_balancer {
        drop_unchanged(spec, before, "allocateLoadBalancerNodePorts");
        drop_unchanged(spec, before, "loadBalancerClass");
    }
    if loses_external {
        drop_unchanged(spec, before, "externalTrafficPolicy");
    }
    if !balanced {
        put(new, "status", json!({"loadBalancer": {}}));
        let conditions = get(get(old, "status"), "conditions").clone();
        if let Some(status) = get_mut(new, "status").filter(|_| !conditions.is_null()) {
            put(status, "conditions", conditions);
        }
    }
}

fn drop_unchanged(spec: &mut Value, before: &Value, key: &str) {
    if same_field(spec, before, key) {
        remove(spec, key);
    }
}

/// Checks a new Service.
pub fn validate_create(service: &Value, errors: &mut ErrorList) {
    validate(service, None, errors);
}

/// Checks a changed Service.
pub fn validate_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    if kind(new) != EXTERNAL_NAME && kind(old) != EXTERNAL_NAME {
        cluster_ips_kept(new, old, errors);
        families_kept(new, old, errors);
    }
    load_balancer_class(new, Some(old), errors);
    if needs_health_check(old) && needs_health_check(new) {
        let port = |service: &Value| integer(get(service, "spec"), "healthCheckNodePort");
        if port(new) != port(old) {
            let place = Place::root("spec");
            errors.push(FieldError::forbidden(place.child("healthCheckNodePort"), "field is immutable"));
        }
    }
    validate(new, Some(old), errors);
}

fn cluster_ips_kept(new: &Value, old: &Value, errors: &mut ErrorList) {
    if is_headless(new) && is_headless(old) {
        return;
    }
    kept(new, old, "clusterIPs", "primary clusterIP can not be unset", "secondary clusterIP", errors);
}

fn families_kept(new: &Value, old: &Value, errors: &mut ErrorList) {
    if is_headless(new) || is_headless(old) {
        return;
    }
    kept(new, old, "ipFamilies", "primary ipFamily can not be unset", "secondary ipFamily", errors);
}

/// The first of a list stays; a second may come, and go with the policy `SingleStack`.
fn kept(new: &Value, old: &Value, key: &str, unset: &str, second: &str, errors: &mut ErrorList) {
    let (spec, before) = (get(new, "spec"), get(old, "spec"));
    let (after, before) = (items(spec, key), items(before, key));
    let place = Place::root("spec");
    let list = place.child(key);
    let shown = Value::from(after.to_vec());
    let changed = |index: usize| FieldError::invalid(list.index(index), shown.clone(), "may not change once set");
    if after.len() == before.len() {
        for (index, _) in before.iter().enumerate().filter(|(index, value)| after[*index] != **value) {
            errors.push(changed(if key == "ipFamilies" { 0 } else { index }));
        }
        return;
    }
    if after.is_empty() {
        errors.push(FieldError::invalid(list.index(0), shown.clone(), unset));
        return;
    }
    if !before.is_empty() && after[0] != before[0] {
        errors.push(changed(0));
    }
    if after.len() == 1 && maybe_text(spec, "ipFamilyPolicy") != Some("SingleStack") {
        let detail = format!("must be set to 'SingleStack' when releasing the {second}");
        errors.push(FieldError::invalid(place.child("ipFamilyPolicy"), get(spec, "ipFamilyPolicy").clone(), detail));
    }
}

fn validate(service: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    let (spec, place) = (get(service, "spec"), Place::root("spec"));
    topology_annotations(service, errors);
    if items(spec, "ports").is_empty() && !is_headless(service) && kind(service) != EXTERNAL_NAME {
        errors.push(FieldError::required(place.child("ports"), ""));
    }
    by_type(service, &place, errors);
    ports(spec, &place.child("ports"), errors);
    labels::validate(get(spec, "selector"), &place.child("selector"), errors);
    affinity(spec, &place, errors);
    validate_cluster_ips(service, old, errors);
    external_ips(spec, old, &place.child("externalIPs"), errors);
    match kind(service) {
        "" => errors.push(FieldError::required(place.child("type"), "")),
        "ClusterIP" | EXTERNAL_NAME | LOAD_BALANCER | "NodePort" => {}
        other => {
            let kinds = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
            errors.push(FieldError::not_supported(place.child("type"), other, &kinds));
        }
    }
    node_ports(service, &place.child("ports"), errors);
    source_ranges(service, old, &place, errors);
    let allocate = maybe_flag(spec, "allocateLoadBalancerNodePorts");
    if allocate.is_some() && kind(service) != LOAD_BALANCER {
        let place = place.child("allocateLoadBalancerNodePorts");
        errors.push(FieldError::forbidden(place, "may only be used when `type` is 'LoadBalancer'"));
    }
    if allocate.is_none() && kind(service) == LOAD_BALANCER {
        errors.push(FieldError::required(Place::root("allocateLoadBalancerNodePorts"), ""));
    }
    load_balancer_class(service, None, errors);
    traffic(service, &place, errors);
}

fn topology_annotations(service: &Value, errors: &mut ErrorList) {
    let (hints, mode) = (meta::annotation(service, HINTS), meta::annotation(service, MODE));
    if let (Some(hints), Some(mode)) = (hints, mode)
        && hints != mode
    {
        let place = Place::root("metadata");
        let place = place.child("annotations");
        let detail = format!("must match annotations[{HINTS}] when both are specified");
        errors.push(FieldError::invalid(place.key(MODE), mode, detail));
    }
}

fn by_type(service: &Value, place: &Place, errors: &mut ErrorList) {
    let spec = get(service, "spec");
    match kind(service) {
        kind @ (LOAD_BALANCER | "NodePort") if is_headless(service) => {
            let detail = format!("may not be set to 'None' for {kind} services");
            let list = place.child("clusterIPs");
            errors.push(FieldError::invalid(list.index(0), "None", detail));
        }
        EXTERNAL_NAME => {
            let detail = "may not be set for ExternalName services";
            for key in ["clusterIPs", "ipFamilies"] {
                if !items(spec, key).is_empty() {
                    errors.push(FieldError::forbidden(place.child(key), detail));
                }
            }
            if present(spec, "ipFamilyPolicy") {
                errors.push(FieldError::forbidden(place.child("ipFamilyPolicy"), detail));
            }
            let name = text(spec, "externalName");
            let name = name.strip_suffix('.').unwrap_or(name);
            let place = place.child("externalName");
            if name.is_empty() {
                errors.push(FieldError::required(place, ""));
            } else {
                fault_list(names::dns_subdomain(name), name, &place, errors);
            }
        }
        _ => {}
    }
}

fn ports(spec: &Value, list: &Place, errors: &mut ErrorList) {
    let mut seen = HashSet::new();
    let named = items(spec, "ports").len() > 1;
    for (index, port) in indexed(spec, "ports") {
        let place = list.index(index);
        let name = text(port, "name");
        if name.is_empty() {
            if named {
                errors.push(FieldError::required(place.child("name"), ""));
            }
        } else {
            fault_list(names::dns_label(name), name, &place.child("name"), errors);
            if !seen.insert(name) {
                errors.push(FieldError::duplicate(place.child("name"), name));
            }
        }
        port_number(integer(port, "port"), &place.child("port"), errors);
        protocol(port, &place, errors);
        port_number_or_name(get(port, "targetPort"), &place.child("targetPort"), errors);
        if let Some(application) = maybe_text(port, "appProtocol") {
            labels::validate_key(application, &place.child("appProtocol"), errors);
        }
    }
}

fn affinity(spec: &Value, place: &Place, errors: &mut ErrorList) {
    let config = get(spec, "sessionAffinityConfig");
    let config_place = place.child("sessionAffinityConfig");
    match text(spec, "sessionAffinity") {
        "" => errors.push(FieldError::required(place.child("sessionAffinity"), "")),
        "None" => {
            if !config.is_null() {
                let detail = "must not be set when session affinity is None";
                errors.push(FieldError::forbidden(config_place, detail));
            }
        }
        "ClientIP" => {
            let client_place = config_place.child("clientIP");
            let timeout_place = client_place.child("timeoutSeconds");
            let detail = "when session affinity type is ClientIP";
            if config.is_null() {
                errors.push(FieldError::required(config_place, detail));
            } else if !present(config, "clientIP") {
                errors.push(FieldError::required(client_place, detail));
            } else {
                match number(get(config, "clientIP"), "timeoutSeconds") {
                    None => errors.push(FieldError::required(timeout_place, detail)),
                    Some(seconds) if !(1..=86400).contains(&seconds) => {
                        let detail = "must be greater than 0 and less than 86400";
                        errors.push(FieldError::invalid(timeout_place, seconds, detail));
                    }
                    Some(_) => {}
                }
            }
        }
        other => {
            let kinds = ["ClientIP", "None"];
            errors.push(FieldError::not_supported(place.child("sessionAffinity"), other, &kinds));
        }
    }
}

/// Checks a write of a Service's status.
pub fn validate_status(new: &Value, old: &Value, errors: &mut ErrorList) {
    let ingress = |service: &'_ Value| get(get(get(service, "status"), "loadBalancer"), "ingress").clone();
    let (given, before) = (ingress(new), ingress(old));
    let place = Place::root("status");
    let place = place.child("loadBalancer");
    let list = place.child("ingress");
    let given = super::value::elements(&given);
    if kind(new) != LOAD_BALANCER && !given.is_empty() {
        errors.push(FieldError::forbidden(list, "may only be used when `spec.type` is 'LoadBalancer'"));
        return;
    }
    for (index, point) in given.iter().enumerate() {
        let place = list.index(index);
        let (ip, mode) = (text(point, "ip"), maybe_text(point, "ipMode"));
        let known = super::value::elements(&before).iter().any(|old| text(old, "ip") == ip);
        if !ip.is_empty() && !known {
            address::validate_legacy(ip, &place.child("ip"), errors);
        }
        let mode_place = place.child("ipMode");
        match mode {
            None if !ip.is_empty() => {
                errors.push(FieldError::required(mode_place, "must be specified when `ip` is set"));
            }
            Some(_) if ip.is_empty() => {
                errors.push(FieldError::forbidden(mode_place, "may not be specified when `ip` is not set"));
            }
            Some(mode) if !matches!(mode, "VIP" | "Proxy") => {
                errors.push(FieldError::not_supported(mode_place, mode, &["Proxy", "VIP"]));
            }
            _ => {}
        }
        ingress_host(text(point, "hostname"), &place.child("hostname"), errors);
    }
}

/// Checks the host name of a load balancer.
pub fn ingress_host(host: &str, place: &Place, errors: &mut ErrorList) {
    if host.is_empty() {
        return;
    }
    fault_list(names::dns_subdomain(host), host, place, errors);
    if address::parse_sloppy(host).is_some() {
        errors.push(FieldError::invalid(place, host, "must be a DNS name, not an IP address"));
    }
}

/// Warnings about a Service.
pub fn warn(service: &Value, _: Option<&Value>, warnings: &mut Vec<String>) {
    let (spec, place) = (get(service, "spec"), Place::root("spec"));
    if meta::annotation(service, HINTS).is_some() {
        warnings.push(format!("annotation {HINTS} is deprecated, please use {MODE} instead"));
    }
    let (ip, kind) = (text(spec, "clusterIP"), kind(service));
    if !matches!(ip, "" | "None") {
        let list = place.child("clusterIPs");
        for (index, ip) in strings(spec, "clusterIPs").enumerate() {
            address::warn(ip, &list.index(index), warnings);
        }
    }
    let balancer = text(spec, "loadBalancerIP");
    if kind == "ClusterIP" && ip == "None" {
        if !balancer.is_empty() {
            warnings.push("spec.loadBalancerIP is ignored for headless services".to_owned());
        }
        if !items(spec, "externalIPs").is_empty() {
            warnings.push("spec.externalIPs is ignored for headless services".to_owned());
        }
        if text(spec, "sessionAffinity") != "None" {
            warnings.push("spec.SessionAffinity is ignored for headless services".to_owned());
        }
    }
    let list = place.child("externalIPs");
    for (index, ip) in strings(spec, "externalIPs").enumerate() {
        address::warn(ip, &list.index(index), warnings);
    }
    address::warn(balancer, &place.child("loadBalancerIP"), warnings);
    let list = place.child("loadBalancerSourceRanges");
    for (index, range) in strings(spec, "loadBalancerSourceRanges").enumerate() {
        address::warn_cidr(range, &list.index(index), warnings);
    }
    if kind == EXTERNAL_NAME && !items(spec, "externalIPs").is_empty() {
        warnings.push("spec.externalIPs is ignored when spec.type is \"ExternalName\"".to_owned());
    }
    if kind != EXTERNAL_NAME && !text(spec, "externalName").is_empty() {
        warnings.push("spec.externalName is ignored when spec.type is not \"ExternalName\"".to_owned());
    }
}
