//! The EndpointSlices of one service: per address family and set of ports, slices of at most a hundred
//! endpoints. Endpoints stay in the slice that they are in; room is filled before new slices are made.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Pod, Service, ServiceSpec};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::{
    HEADLESS, Labels, MANAGED_BY, SERVICE_NAME, Terminating, addresses, hostname, is_headless, may_serve, node_name,
    protocol, reference, target_port,
};
use crate::core::job::pods::is_ready;

/// The name under which slices are managed.
pub const CONTROLLER: &str = "endpointslice-controller.k8s.io";
/// The most endpoints in one slice.
pub const MAX_ENDPOINTS: usize = 100;

/// What to do with slices.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    pub create: Vec<EndpointSlice>,
    /// Whole objects with the resourceVersion that they were read with.
    pub replace: Vec<EndpointSlice>,
    /// Names.
    pub delete: Vec<String>,
}

/// The ports of a slice, in comparable form.
type PortKey = Vec<(String, i32, String, Option<String>)>;

/// Decides about the slices of a service; `standing` are those that this controller manages.
pub fn plan(
    service: &Service,
    pods: &[&Pod],
    zones: &dyn Fn(&str) -> Option<String>,
    standing: &[&EndpointSlice],
) -> Plan {
    let mut plan = Plan::default();
    let Some(spec) = &service.spec else { return plan };
    let families = families(spec);
    let uid = service.metadata.uid.as_deref();
    let is_ours = |slice: &EndpointSlice| {
        let mut owners = slice.metadata.owner_references.iter().flatten();
        families.contains(&slice.address_type.as_str()) && owners.any(|owner| Some(owner.uid.as_str()) == uid)
    };
    for family in &families {
        let ours: Vec<&EndpointSlice> =
            standing.iter().copied().filter(|slice| is_ours(slice) && slice.address_type == *family).collect();
        plan_family(service, spec, &desired(service, spec, pods, zones, family), family, &ours, &mut plan);
    }
    let strangers = standing.iter().filter(|slice| !is_ours(slice));
    plan.delete.extend(strangers.filter_map(|slice| slice.metadata.name.clone()));
    plan
}

fn families(spec: &ServiceSpec) -> Vec<&'static str> {
    let mut families: Vec<&str> = Vec::new();
    for family in spec.ip_families.iter().flatten() {
        match family.as_str() {
            "IPv4" => families.push("IPv4"),
            "IPv6" => families.push("IPv6"),
            _ => {}
        }
    }
    if families.is_empty() {
        let six = spec.cluster_ip.as_deref().and_then(|ip| ip.parse().ok()).is_some_and(|ip: IpAddr| ip.is_ipv6());
        families.push(if six { "IPv6" } else { "IPv4" });
    }
    families
}

/// The endpoints that should be, by ports.
fn desired(
    service: &Service,
    spec: &ServiceSpec,
    pods: &[&Pod],
    zones: &dyn Fn(&str) -> Option<String>,
    family: &str,
) -> BTreeMap<PortKey, Vec<Endpoint>> {
    let mut desired: BTreeMap<PortKey, Vec<Endpoint>> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| may_serve(pod, Terminating::Included)) {
        let of_family = addresses(pod).filter(|ip| ip.is_ipv6() == (family == "IPv6"));
        let ips: Vec<String> = of_family.map(|ip| ip.to_string()).collect();
        let endpoints = desired.entry(port_key(&ports(spec, pod))).or_default();
        if !ips.is_empty() {
            endpoints.push(endpoint(service, spec, pod, ips, zones));
        }
    }
    desired.values_mut().for_each(|endpoints| endpoints.sort_by_key(identity));
    desired
}

fn endpoint(
    service: &Service,
    spec: &ServiceSpec,
    pod: &Pod,
    ips: Vec<String>,
    zones: &dyn Fn(&str) -> Option<String>,
) -> Endpoint {
    let serving = is_ready(pod);
    let terminating = pod.metadata.deletion_timestamp.is_some();
    let ready = spec.publish_not_ready_addresses == Some(true) || (serving && !terminating);
    let node_name = node_name(pod);
    Endpoint {
        addresses: ips,
        conditions: Some(EndpointConditions {
            ready: Some(ready),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        hostname: hostname(pod, service).cloned(),
        zone: node_name.as_deref().and_then(zones),
        node_name,
        target_ref: Some(reference(pod)),
        ..Endpoint::default()
    }
}

fn ports(spec: &ServiceSpec, pod: &Pod) -> Vec<EndpointPort> {
    let all = spec.ports.iter().flatten();
    let found = all.filter_map(|port| {
        Some(EndpointPort {
            name: Some(port.name.clone().unwrap_or_default()),
            port: Some(target_port(pod, port)?),
            protocol: Some(protocol(port)),
            app_protocol: port.app_protocol.clone(),
        })
    });
    found.collect()
}

fn port_key(ports: &[EndpointPort]) -> PortKey {
    let mut key: PortKey = ports
        .iter()
        .map(|port| {
            let name = port.name.clone().unwrap_or_default();
            let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
            (name, port.port.unwrap_or(0), protocol, port.app_protocol.clone())
        })
        .collect();
    key.sort();
    key
}

fn ports_of(key: &PortKey) -> Vec<EndpointPort> {
    let one = |(name, port, protocol, app): &(String, i32, String, Option<String>)| EndpointPort {
        name: Some(name.clone()),
        port: Some(*port),
        protocol: Some(protocol.clone()),
        app_protocol: app.clone(),
    };
    key.iter().map(one).collect()
}

/// What makes an endpoint the same one after a change: its pod and addresses.
fn identity(endpoint: &Endpoint) -> (String, String) {
    let uid = endpoint.target_ref.as_ref().and_then(|target| target.uid.clone()).unwrap_or_default();
    let name = endpoint.target_ref.as_ref().and_then(|target| target.name.clone()).unwrap_or_default();
    (format!("{name} {uid}"), endpoint.addresses.join(","))
}

fn plan_family(
    service: &Service,
    spec: &ServiceSpec,
    desired: &BTreeMap<PortKey, Vec<Endpoint>>,
    family: &str,
    standing: &[&EndpointSlice],
    plan: &mut Plan,
) {
    let labels = labels(service, spec);
    let mut kept = 0;
    let mut spare: Vec<&EndpointSlice> = Vec::new();
    let mut fresh: Vec<EndpointSlice> = Vec::new();
    for (key, endpoints) in desired {
        let (mine, missing) = assign(key, endpoints, standing);
        for (old, members) in mine {
            if members.is_empty() {
                spare.push(old);
                continue;
            }
            kept += 1;
            let new = EndpointSlice { endpoints: members, ..with_labels(old, &labels) };
            if new != *old {
                plan.replace.push(new);
            }
        }
        fresh.extend(missing.chunks(MAX_ENDPOINTS).map(|part| slice(service, &labels, family, key, part)));
    }
    spare.extend(
        standing.iter().filter(|slice| !desired.contains_key(&port_key(slice.ports.as_deref().unwrap_or_default()))),
    );
    if kept == 0 && fresh.is_empty() {
        // A service without endpoints keeps one empty slice.
        fresh.push(slice(service, &labels, family, &Vec::new(), &[]));
    }
    for new in fresh {
        // A slice that is no longer needed becomes one that is.
        match spare.pop() {
            None => plan.create.push(new),
            Some(old) => {
                let ports = Some(new.ports.unwrap_or_default());
                let new = EndpointSlice { endpoints: new.endpoints, ports, ..with_labels(old, &labels) };
                let same = new.endpoints == old.endpoints
                    && new.metadata.labels == old.metadata.labels
                    && port_key(new.ports.as_deref().unwrap_or_default())
                        == port_key(old.ports.as_deref().unwrap_or_default());
                if !same {
                    plan.replace.push(new);
                }
            }
        }
    }
    plan.delete.extend(spare.iter().filter_map(|slice| slice.metadata.name.clone()));
}

/// Slices with their endpoints, and endpoints without a slice.
type Assigned<'a> = (Vec<(&'a EndpointSlice, Vec<Endpoint>)>, Vec<Endpoint>);

/// Puts endpoints into the slices that hold them already, the others where there is room.
fn assign<'a>(key: &PortKey, endpoints: &[Endpoint], standing: &[&'a EndpointSlice]) -> Assigned<'a> {
    let mut left: BTreeMap<(String, String), &Endpoint> = endpoints.iter().map(|one| (identity(one), one)).collect();
    let same_ports = standing.iter().filter(|slice| port_key(slice.ports.as_deref().unwrap_or_default()) == *key);
    let mut slices: Vec<(&EndpointSlice, Vec<Endpoint>)> = same_ports
        .map(|slice| {
            let members = slice.endpoints.iter().filter_map(|one| left.remove(&identity(one)).cloned());
            (*slice, members.take(MAX_ENDPOINTS).collect())
        })
        .collect();
    let mut missing: Vec<Endpoint> = left.into_values().cloned().collect();
    // The fullest slices first, so that few slices change.
    let mut order: Vec<usize> = (0..slices.len()).filter(|position| !slices[*position].1.is_empty()).collect();
    order.sort_by_key(|position| std::cmp::Reverse(slices[*position].1.len()));
    for position in order {
        let room = MAX_ENDPOINTS - slices[position].1.len();
        let rest = missing.split_off(room.min(missing.len()));
        slices[position].1.append(&mut missing);
        missing = rest;
    }
    (slices, missing)
}

fn with_labels(slice: &EndpointSlice, labels: &Labels) -> EndpointSlice {
    let mut slice = slice.clone();
    slice.metadata.labels = Some(labels.clone());
    slice
}

fn labels(service: &Service, spec: &ServiceSpec) -> Labels {
    let reserved = |key: &str| matches!(key, SERVICE_NAME | MANAGED_BY | HEADLESS);
    let own = service.metadata.labels.iter().flatten().filter(|(key, _)| !reserved(key));
    let mut labels: Labels = own.map(|(key, value)| (key.clone(), value.clone())).collect();
    if is_headless(spec) {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    labels.insert(SERVICE_NAME.to_owned(), service.metadata.name.clone().unwrap_or_default());
    labels.insert(MANAGED_BY.to_owned(), CONTROLLER.to_owned());
    labels
}

fn slice(service: &Service, labels: &Labels, family: &str, key: &PortKey, endpoints: &[Endpoint]) -> EndpointSlice {
    let name = service.metadata.name.clone().unwrap_or_default();
    let owner = OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Service".to_owned(),
        name: name.clone(),
        uid: service.metadata.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    };
    EndpointSlice {
        metadata: ObjectMeta {
            generate_name: Some(format!("{name}-")),
            namespace: service.metadata.namespace.clone(),
            labels: Some(labels.clone()),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        address_type: family.to_owned(),
        endpoints: endpoints.to_vec(),
        ports: Some(ports_of(key)),
    }
}
