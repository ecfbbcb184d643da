//! Addresses and node ports of services, given out from what is free.
//!
//! The caller hands in what other services hold and a random number; the answer is a function of
//! both. Upstream does this before it validates (`pkg/registry/core/service/storage`).

use std::collections::HashSet;

use serde_json::{Value, json};

use super::super::address::is_ipv6;
use super::super::place::Place;
use super::super::value::{
    get, get_mut, indexed, integer, items, items_mut, keep, maybe_flag, number, present, put, remove, same_field,
    strings, text,
};
pub use super::pool::{Held, Refused};
use super::pool::{Pool, ports_of};
use super::{EXTERNAL_NAME, LOAD_BALANCER, has_node_ports, kind, needs_health_check, validate_cluster_ips};
use crate::core::field::{ErrorList, FieldError};

/// Completes a new service: families, cluster address, node ports. To be called after defaults and
/// before [`super::prepare_create`] and validation.
///
/// # Errors
/// [`Refused::Invalid`] when what was asked for cannot be had, [`Refused::Exhausted`] when nothing is left.
pub fn create(service: &mut Value, held: &Held, random: u64) -> Result<(), Refused> {
    if let Some(spec) = get_mut(service, "spec") {
        let single = text(spec, "clusterIP").to_owned();
        if !single.is_empty() && items(spec, "clusterIPs").is_empty() {
            put(spec, "clusterIPs", json!([single]));
        }
    }
    families(service, None)?;
    let mut pool = Pool { held, taken: Held::default(), random };
    addresses(service, &mut pool)?;
    if has_node_ports(service) {
        new_ports(service, &mut pool)?;
    }
    health_port(service, &mut pool)
}

/// Completes a changed service: what the new object leaves open stays as it was. To be called after
/// defaults and before [`super::prepare_update`] and validation. `held` excludes the service itself.
///
/// # Errors
/// As [`create`].
pub fn update(new: &mut Value, old: &Value, held: &Held, random: u64) -> Result<(), Refused> {
    keep_allocated(new, old);
    normalize(new, old);
    families(new, Some(old))?;
    let mut pool = Pool { held, taken: Held::default(), random };
    if kind(old) == EXTERNAL_NAME && kind(new) != EXTERNAL_NAME {
        addresses(new, &mut pool)?;
    }
    if has_node_ports(new) {
        changed_ports(new, old, &mut pool)?;
    }
    if needs_health_check(new) && !needs_health_check(old) {
        health_port(new, &mut pool)?;
    }
    Ok(())
}

fn allocates_ports(service: &Value) -> bool {
    kind(service) == "NodePort"
        || (kind(service) == LOAD_BALANCER
            && maybe_flag(get(service, "spec"), "allocateLoadBalancerNodePorts") != Some(false))
}

fn keep_allocated(new: &mut Value, old: &Value) {
    let before = get(old, "spec");
    let ports = allocates_ports(old) && allocates_ports(new);
    let health = needs_health_check(old) && needs_health_check(new);
    let addresses = kind(old) != EXTERNAL_NAME && kind(new) != EXTERNAL_NAME;
    let held: HashSet<i64> = ports_of(old);
    let used: HashSet<i64> = ports_of(new).intersection(&held).copied().collect();
    let Some(spec) = get_mut(new, "spec") else { return };
    if addresses {
        if text(spec, "clusterIP").is_empty() {
            keep(spec, before, "clusterIP");
        }
        if items(spec, "clusterIPs").is_empty() {
            keep(spec, before, "clusterIPs");
        }
    }
    if ports {
        for port in items_mut(spec, "ports") {
            if integer(port, "nodePort") != 0 {
                continue;
            }
            let known = items(before, "ports").iter().rev().find(|old| text(old, "name") == text(port, "name"));
            let value = known.map_or(0, |old| integer(old, "nodePort"));
            if value != 0 && !used.contains(&value) {
                put(port, "nodePort", value);
            }
        }
    }
    if health && integer(spec, "healthCheckNodePort") == 0 {
        keep(spec, before, "healthCheckNodePort");
    }
}

/// The single address and the list follow each other where only one was changed.
fn normalize(new: &mut Value, old: &Value) {
    let before = get(old, "spec");
    let Some(spec) = get_mut(new, "spec") else { return };
    let (single, old_single) = (text(spec, "clusterIP").to_owned(), text(before, "clusterIP"));
    let same_list = same_field(spec, before, "clusterIPs");
    if items(spec, "clusterIPs").is_empty() && single == old_single {
        keep(spec, before, "clusterIPs");
    }
    if single == old_single || !same_list {
        return;
    }
    if single.is_empty() {
        remove(spec, "clusterIPs");
    } else {
        put(spec, "clusterIPs", json!([single]));
    }
}

fn refuse(key: &str, value: Value, detail: &str) -> FieldError {
    let place = Place::root("spec");
    FieldError::invalid(place.child(key), value, detail)
}

/// Fills in `ipFamilyPolicy` and `ipFamilies`; the cluster has one family, IPv4.
fn families(service: &mut Value, old: Option<&Value>) -> Result<(), Refused> {
    if kind(service) == EXTERNAL_NAME {
        return Ok(());
    }
    let spec = get(service, "spec");
    let selectorless = super::super::value::is_empty(get(spec, "selector"));
    let headless_alone = text(spec, "clusterIP") == "None" && selectorless;
    let policy = match old.map(|old| text(get(old, "spec"), "ipFamilyPolicy")).filter(|policy| !policy.is_empty()) {
        _ if present(spec, "ipFamilyPolicy") => text(spec, "ipFamilyPolicy").to_owned(),
        Some(policy) => policy.to_owned(),
        None if headless_alone => "RequireDualStack".to_owned(),
        None => "SingleStack".to_owned(),
    };
    if let Some(spec) = get_mut(service, "spec") {
        put(spec, "ipFamilyPolicy", policy.as_str());
    }
    let mut errors = ErrorList::new();
    validate_cluster_ips(service, old, &mut errors);
    if !errors.is_empty() {
        return Err(Refused::Invalid(errors));
    }
    let single = policy == "SingleStack";
    let Some(spec) = get_mut(service, "spec") else { return Ok(()) };
    if let Some(old) = old.filter(|_| single) {
        shorten(spec, get(old, "spec"));
    }
    if single {
        let detail = "must be 'RequireDualStack' or 'PreferDualStack' when multiple cluster IPs are specified";
        if items(spec, "clusterIPs").len() == 2 {
            errors.push(refuse("ipFamilyPolicy", json!(policy), detail));
        }
        let detail = "must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified";
        if items(spec, "ipFamilies").len() == 2 {
            errors.push(refuse("ipFamilyPolicy", json!(policy), detail));
        }
    }
    let mut families: Vec<String> = strings(spec, "ipFamilies").map(str::to_owned).collect();
    for (index, ip) in strings(spec, "clusterIPs").enumerate().skip(families.len()).filter(|(_, ip)| *ip != "None") {
        if is_ipv6(ip) {
            let place = Place::root("spec");
            let place = place.child("clusterIPs");
            let given = get(spec, "clusterIPs").clone();
            errors.push(FieldError::invalid(place.index(index), given, "IPv6 is not configured on this cluster"));
        } else {
            families.push("IPv4".to_owned());
        }
    }
    if !errors.is_empty() {
        return Err(Refused::Invalid(errors));
    }
    complete_families(spec, families, &policy, headless_alone)
}

fn complete_families(
    spec: &mut Value,
    mut families: Vec<String>,
    policy: &str,
    headless_alone: bool,
) -> Result<(), Refused> {
    let mut errors = ErrorList::new();
    if families.is_empty() {
        families.push("IPv4".to_owned());
    }
    if headless_alone {
        if families.len() < 2 && policy != "SingleStack" {
            let other = if families[0] == "IPv4" { "IPv6" } else { "IPv4" };
            families.push(other.to_owned());
        }
    } else {
        if policy == "RequireDualStack" {
            errors.push(refuse(
                "ipFamilyPolicy",
                json!(policy),
                "this cluster is not configured for dual-stack services",
            ));
        }
        for (index, family) in families.iter().enumerate().filter(|(_, family)| *family != "IPv4") {
            let place = Place::root("spec");
            let place = place.child("ipFamilies");
            let detail = "not configured on this cluster";
            errors.push(FieldError::invalid(place.index(index), family.as_str(), detail));
        }
    }
    if !errors.is_empty() {
        return Err(Refused::Invalid(errors));
    }
    put(spec, "ipFamilies", families);
    Ok(())
}

fn shorten(spec: &mut Value, before: &Value) {
    for key in ["clusterIPs", "ipFamilies"] {
        if same_field(spec, before, key) && items(spec, key).len() > 1 {
            let first = items(spec, key)[0].clone();
            put(spec, key, json!([first]));
        }
    }
}

fn addresses(service: &mut Value, pool: &mut Pool) -> Result<(), Refused> {
    let spec = get(service, "spec");
    if kind(service) == EXTERNAL_NAME || strings(spec, "clusterIPs").next() == Some("None") {
        return Ok(());
    }
    let all = get(spec, "clusterIPs").clone();
    let address = match strings(spec, "clusterIPs").next().filter(|ip| !ip.is_empty()) {
        Some(ip) => {
            pool.take_address(ip, &all)?;
            ip.to_owned()
        }
        None => pool.next_address()?,
    };
    if let Some(spec) = get_mut(service, "spec") {
        put(spec, "clusterIP", address.as_str());
        put(spec, "clusterIPs", json!([address]));
    }
    Ok(())
}

/// One number serves all protocols of a port.
fn new_ports(service: &mut Value, pool: &mut Pool) -> Result<(), Refused> {
    let allocates = allocates_ports(service);
    let given = items(get(service, "spec"), "ports").to_vec();
    let mut by_port: Vec<(i64, i64)> = Vec::new();
    let mut chosen = Vec::new();
    let place = Place::root("spec");
    let list = place.child("ports");
    for (index, port) in given.iter().enumerate() {
        let (own, asked) = (integer(port, "port"), integer(port, "nodePort"));
        let item = list.index(index);
        let place = item.child("nodePort");
        if asked == 0 && !allocates {
            chosen.push(0);
            continue;
        }
        let known = by_port.iter().find(|(port, _)| *port == own).map(|(_, number)| *number);
        let number = match known {
            Some(number) if asked == 0 || asked == number => number,
            Some(_) => {
                pool.take_port(asked, &place)?;
                asked
            }
            None => {
                let requested = given[index..].iter().filter(|other| integer(other, "port") == own);
                match requested.map(|other| integer(other, "nodePort")).find(|number| *number != 0) {
                    Some(number) => {
                        pool.take_port(number, &place)?;
                        by_port.push((own, number));
                        number
                    }
                    None => {
                        let number = pool.next_port()?;
                        by_port.push((own, number));
                        number
                    }
                }
            }
        };
        chosen.push(number);
    }
    set_ports(service, &chosen);
    Ok(())
}

fn changed_ports(new: &mut Value, old: &Value, pool: &mut Pool) -> Result<(), Refused> {
    let allocates = allocates_ports(new);
    let before = ports_of(old);
    let place = Place::root("spec");
    let list = place.child("ports");
    let mut chosen = Vec::new();
    // The service keeps its own ports, whoever asks.
    pool.taken.ports.extend(&before);
    for (index, port) in indexed(get(new, "spec"), "ports") {
        let asked = integer(port, "nodePort");
        if asked == 0 {
            chosen.push(if allocates { pool.next_port()? } else { 0 });
            continue;
        }
        if !before.contains(&asked) && !chosen.contains(&asked) {
            let item = list.index(index);
            pool.take_port(asked, &item.child("nodePort"))?;
        }
        chosen.push(asked);
    }
    set_ports(new, &chosen);
    Ok(())
}

fn set_ports(service: &mut Value, chosen: &[i64]) {
    let Some(spec) = get_mut(service, "spec") else { return };
    for (port, number) in items_mut(spec, "ports").iter_mut().zip(chosen).filter(|(_, number)| **number != 0) {
        put(port, "nodePort", *number);
    }
}

fn health_port(service: &mut Value, pool: &mut Pool) -> Result<(), Refused> {
    if !needs_health_check(service) {
        return Ok(());
    }
    let asked = number(get(service, "spec"), "healthCheckNodePort").unwrap_or(0);
    let port = if asked == 0 {
        pool.next_port()?
    } else {
        let place = Place::root("spec");
        pool.take_port(asked, &place.child("healthCheckNodePort"))?;
        asked
    };
    if let Some(spec) = get_mut(service, "spec") {
        put(spec, "healthCheckNodePort", port);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(spec: Value) -> Value {
        let mut service = json!({"metadata": {"name": "s", "namespace": "n"}, "spec": spec});
        super::super::defaults(&mut service);
        service
    }

    #[test]
    fn a_new_service_gets_a_free_address() {
        let mut first = service(json!({"ports": [{"port": 80}], "selector": {"a": "b"}}));
        assert_eq!(create(&mut first, &Held::default(), 7), Ok(()));
        let ip = first["spec"]["clusterIP"].as_str().unwrap().to_owned();
        assert!(ip.starts_with("10.96."));
        assert_eq!(first["spec"]["clusterIPs"], json!([ip]));
        assert_eq!(first["spec"]["ipFamilies"], json!(["IPv4"]));
        let mut held = Held::default();
        held.add(&first);
        let mut second = service(json!({"ports": [{"port": 80}]}));
        assert_eq!(create(&mut second, &held, 7), Ok(()));
        assert_ne!(second["spec"]["clusterIP"], first["spec"]["clusterIP"]);
    }

    #[test]
    fn a_taken_address_is_refused() {
        let held = Held { addresses: HashSet::from(["10.96.0.10".to_owned()]), ports: HashSet::from([30001]) };
        let mut asked = service(json!({"clusterIP": "10.96.0.10", "ports": [{"port": 80}]}));
        let Err(Refused::Invalid(errors)) = create(&mut asked, &held, 1) else { panic!("not refused") };
        assert_eq!(
            errors[0].to_string(),
            "spec.clusterIPs: Invalid value: [\"10.96.0.10\"]: failed to allocate IP 10.96.0.10: provided IP is already allocated"
        );
        let mut asked = service(json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30001}]}));
        let Err(Refused::Invalid(errors)) = create(&mut asked, &held, 1) else { panic!("not refused") };
        assert_eq!(
            errors[0].to_string(),
            "spec.ports[0].nodePort: Invalid value: 30001: provided port is already allocated"
        );
    }

    #[test]
    fn an_update_keeps_what_it_leaves_open() {
        let mut old = service(json!({"type": "NodePort", "ports": [{"port": 80}]}));
        assert_eq!(create(&mut old, &Held::default(), 3), Ok(()));
        let mut new = service(json!({"type": "NodePort", "ports": [{"port": 81}]}));
        assert_eq!(update(&mut new, &old, &Held::default(), 4), Ok(()));
        assert_eq!(new["spec"]["clusterIP"], old["spec"]["clusterIP"]);
        assert_eq!(new["spec"]["ports"][0]["nodePort"], old["spec"]["ports"][0]["nodePort"]);
    }

    #[test]
    fn both_protocols_of_a_port_share_a_node_port() {
        let ports = json!([{"name": "a", "port": 53}, {"name": "b", "port": 53, "protocol": "UDP"}]);
        let mut dns = service(json!({"type": "NodePort", "ports": ports}));
        assert_eq!(create(&mut dns, &Held::default(), 3), Ok(()));
        assert_eq!(dns["spec"]["ports"][0]["nodePort"], dns["spec"]["ports"][1]["nodePort"]);
    }

    #[test]
    fn a_service_that_leaves_external_name_gets_an_address() {
        let old = service(json!({"type": "ExternalName", "externalName": "example.com"}));
        let mut new = service(json!({"type": "ClusterIP", "ports": [{"port": 80}]}));
        assert_eq!(update(&mut new, &old, &Held::default(), 4), Ok(()));
        assert!(new["spec"]["clusterIP"].as_str().is_some());
    }
}
