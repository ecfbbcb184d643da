//! The rules of single fields of a Service: addresses, families, node ports, load balancers, traffic policies.

use super::super::meta;
use super::super::place::Place;
use super::super::pod::containers::port_number;
use super::super::value::{get, indexed, integer, items, maybe_text, present, same_field, strings, text};
use super::super::{address, labels};
use super::{
    EXTERNAL_NAME, LOAD_BALANCER, SOURCE_RANGES, externally_accessible, is_headless, kind, needs_health_check,
};
use crate::core::field::{ErrorList, FieldError};
use serde_json::{Value, json};
use std::collections::HashSet;

/// Checks cluster addresses, families and their policy against each other.
pub fn validate_cluster_ips(service: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    if kind(service) == EXTERNAL_NAME {
        return;
    }
    let (spec, place) = (get(service, "spec"), Place::root("spec"));
    let list = place.child("clusterIPs");
    let given: Vec<&str> = strings(spec, "clusterIPs").collect();
    let shown = || get(spec, "clusterIPs").clone();
    match (text(spec, "clusterIP"), given.first()) {
        ("", Some(_)) => {
            let detail = "must be empty when `clusterIP` is not specified";
            errors.push(FieldError::invalid(list, shown(), detail));
        }
        ("", None) => {}
        (_, None) => errors.push(FieldError::required(list, "")),
        (single, Some(first)) if *first != single => {
            errors.push(FieldError::invalid(list, shown(), "first value must match `clusterIP`"));
        }
        _ => {}
    }
    families(spec, &place, errors);
    let known: Vec<&str> = old.map(|old| strings(get(old, "spec"), "clusterIPs").collect()).unwrap_or_default();
    let mut invalid = false;
    for (index, ip) in given.iter().enumerate() {
        if index == 0 && *ip == "None" {
            if given.len() > 1 {
                invalid = true;
                errors.push(FieldError::invalid(list, shown(), "'None' must be the first and only value"));
            }
        } else if !known.contains(ip) {
            let before = errors.len();
            address::validate_legacy(ip, &list.index(index), errors);
            invalid |= errors.len() > before;
        }
    }
    if given.len() > 2 {
        errors.push(FieldError::invalid(list, shown(), "may only hold up to 2 values"));
    }
    if invalid {
        return;
    }
    if given.len() > 1 && !address::is_dual_stack(&given) {
        let detail = "may specify no more than one IP for each IP family";
        errors.push(FieldError::invalid(list, shown(), detail));
    }
    if is_headless(service) {
        return;
    }
    for (index, (ip, family)) in given.iter().zip(strings(spec, "ipFamilies")).enumerate() {
        let v6 = address::is_ipv6(ip);
        if (family == "IPv4" && v6) || (family == "IPv6" && !v6) {
            let detail = format!("expected an {family} value as indicated by `ipFamilies[{index}]`");
            errors.push(FieldError::invalid(list.index(index), *ip, detail));
        }
    }
}

fn families(spec: &Value, place: &Place, errors: &mut ErrorList) {
    let list = place.child("ipFamilies");
    let mut seen = HashSet::new();
    for (index, family) in strings(spec, "ipFamilies").enumerate() {
        if !matches!(family, "IPv4" | "IPv6") {
            errors.push(FieldError::not_supported(list.index(index), family, &["IPv4", "IPv6"]));
        }
        if !seen.insert(family) {
            errors.push(FieldError::duplicate(list.index(index), family));
        }
    }
    let policies = ["PreferDualStack", "RequireDualStack", "SingleStack"];
    super::super::volumes::sources::supported(spec, "ipFamilyPolicy", &policies, place, errors);
}

pub(super) fn external_ips(spec: &Value, old: Option<&Value>, list: &Place, errors: &mut ErrorList) {
    let known: Vec<&str> = old.map(|old| strings(get(old, "spec"), "externalIPs").collect()).unwrap_or_default();
    for (index, ip) in strings(spec, "externalIPs").enumerate() {
        let place = list.index(index);
        if known.contains(&ip) || address::parse_sloppy(ip).is_some() {
            address::validate_endpoint(ip, &place, errors);
        } else {
            address::validate_legacy(ip, &place, errors);
        }
    }
}

pub(super) fn node_ports(service: &Value, list: &Place, errors: &mut ErrorList) {
    let spec = get(service, "spec");
    let (mut node_ports, mut ports) = (HashSet::new(), HashSet::new());
    if kind(service) == "ClusterIP" {
        for (index, port) in indexed(spec, "ports") {
            if integer(port, "nodePort") != 0 {
                let place = list.index(index);
                let detail = "may not be used when `type` is 'ClusterIP'";
                errors.push(FieldError::forbidden(place.child("nodePort"), detail));
            }
        }
    }
    for (index, port) in indexed(spec, "ports") {
        let (protocol, number) = (text(port, "protocol"), integer(port, "nodePort"));
        if number != 0 && !node_ports.insert((protocol, number)) {
            let place = list.index(index);
            errors.push(FieldError::duplicate(place.child("nodePort"), number));
        }
    }
    for (index, port) in indexed(spec, "ports") {
        let (protocol, number) = (text(port, "protocol"), integer(port, "port"));
        if !ports.insert((protocol, number)) {
            let shown = json!({
                "Name": "", "Protocol": protocol, "AppProtocol": null, "Port": number, "TargetPort": 0, "NodePort": 0,
            });
            errors.push(FieldError::duplicate(list.index(index), shown));
        }
    }
}

pub(super) fn source_ranges(service: &Value, old: Option<&Value>, place: &Place, errors: &mut ErrorList) {
    let spec = get(service, "spec");
    let detail = "may only be used when `type` is 'LoadBalancer'";
    let balanced = kind(service) == LOAD_BALANCER;
    if !items(spec, "loadBalancerSourceRanges").is_empty() {
        let list = place.child("LoadBalancerSourceRanges");
        if !balanced {
            errors.push(FieldError::forbidden(list, detail));
        }
        for (index, range) in strings(spec, "loadBalancerSourceRanges").enumerate() {
            address::validate_legacy_cidr(range.trim(), &list.index(index), errors);
        }
        return;
    }
    let Some(ranges) = meta::annotation(service, SOURCE_RANGES) else { return };
    let place = Place::root("metadata");
    let place = place.child("annotations");
    let place = place.key(SOURCE_RANGES);
    if !balanced {
        errors.push(FieldError::forbidden(place, detail));
    }
    let unchanged = old.is_some_and(|old| meta::annotation(old, SOURCE_RANGES) == Some(ranges));
    if !unchanged && !ranges.trim().is_empty() {
        for range in ranges.trim().split(',') {
            address::validate_legacy_cidr(range.trim(), &place, errors);
        }
    }
}

pub(super) fn load_balancer_class(service: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    let spec = get(service, "spec");
    let place = Place::root("spec");
    let place = place.child("loadBalancerClass");
    let class = maybe_text(spec, "loadBalancerClass");
    let balanced = kind(service) == LOAD_BALANCER;
    if let Some(old) = old.filter(|old| balanced && kind(old) == LOAD_BALANCER)
        && !same_field(get(old, "spec"), spec, "loadBalancerClass")
    {
        let given = get(spec, "loadBalancerClass").clone();
        errors.push(FieldError::invalid(place, given, "may not change once set"));
    }
    match class {
        Some(class) if balanced => labels::validate_key(class, &place, errors),
        Some(_) => errors.push(FieldError::forbidden(place, "may only be used when `type` is 'LoadBalancer'")),
        None => {}
    }
}

pub(super) fn traffic(service: &Value, place: &Place, errors: &mut ErrorList) {
    let spec = get(service, "spec");
    let policy = text(spec, "externalTrafficPolicy");
    let policy_place = place.child("externalTrafficPolicy");
    match (externally_accessible(service), policy) {
        (false, "") | (true, "Cluster" | "Local") => {}
        (false, _) => {
            let detail = "may only be set for externally-accessible services";
            errors.push(FieldError::invalid(policy_place, policy, detail));
        }
        (true, "") => errors.push(FieldError::required(policy_place, "")),
        (true, _) => errors.push(FieldError::not_supported(policy_place, policy, &["Cluster", "Local"])),
    }
    let health = integer(spec, "healthCheckNodePort");
    let health_place = place.child("healthCheckNodePort");
    match (needs_health_check(service), health) {
        (false, 0) => {}
        (false, _) => {
            let detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
            errors.push(FieldError::invalid(health_place, health, detail));
        }
        (true, 0) => errors.push(FieldError::required(health_place, "")),
        (true, _) => port_number(health, &health_place, errors),
    }
    let known = matches!(kind(service), "NodePort" | LOAD_BALANCER | "ClusterIP");
    if known && !present(spec, "internalTrafficPolicy") {
        errors.push(FieldError::required(place.child("internalTrafficPolicy"), ""));
    }
    super::super::volumes::sources::supported(spec, "internalTrafficPolicy", &["Cluster", "Local"], place, errors);
    let spread = ["PreferClose", "PreferSameZone", "PreferSameNode"];
    super::super::volumes::sources::supported(spec, "trafficDistribution", &spread, place, errors);
}
