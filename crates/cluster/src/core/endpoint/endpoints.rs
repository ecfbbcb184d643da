//! The Endpoints object of one service: addresses with the same ports stand together, ready ones apart
//! from those that are not.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints, Pod, Service, ServiceSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{
    HEADLESS, Labels, Terminating, addresses, hostname, is_headless, may_serve, node_name, protocol, reference,
    target_port,
};
use crate::core::job::pods::is_ready;

/// Names the controller of an Endpoints object.
pub const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
/// The value of [`MANAGED_BY`].
pub const CONTROLLER: &str = "endpoint-controller";
/// Says that addresses were left out.
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
/// The most addresses in one object.
const MAX_ADDRESSES: usize = 1000;

/// Name, number, protocol, application protocol.
type Port = (String, i32, String, Option<String>);

/// One address and the ports that it serves.
struct Served {
    address: EndpointAddress,
    ready: bool,
    ports: BTreeSet<Port>,
}

/// The object to create or replace, where it differs from `standing`.
pub fn plan(service: &Service, pods: &[&Pod], standing: Option<&Endpoints>) -> Option<Endpoints> {
    let spec = service.spec.as_ref()?;
    let mut served = served(service, spec, pods);
    served.sort_by_key(|one| (!one.ready, one.address.ip.clone()));
    let truncated = served.len() > MAX_ADDRESSES;
    served.truncate(MAX_ADDRESSES);
    let mut new = standing.cloned().unwrap_or_else(|| Endpoints {
        metadata: ObjectMeta {
            name: service.metadata.name.clone(),
            namespace: service.metadata.namespace.clone(),
            ..ObjectMeta::default()
        },
        subsets: None,
    });
    let subsets = pack(served);
    new.subsets = (!subsets.is_empty()).then_some(subsets);
    new.metadata.labels = Some(labels(service, spec));
    let annotations = new.metadata.annotations.get_or_insert_default();
    if truncated {
        annotations.insert(OVER_CAPACITY.to_owned(), "truncated".to_owned());
    } else {
        annotations.remove(OVER_CAPACITY);
    }
    if annotations.is_empty() {
        new.metadata.annotations = None;
    }
    (standing != Some(&new)).then_some(new)
}

fn served(service: &Service, spec: &ServiceSpec, pods: &[&Pod]) -> Vec<Served> {
    let publishes = spec.publish_not_ready_addresses == Some(true);
    let terminating = if publishes { Terminating::Included } else { Terminating::Left };
    let six = spec.ip_families.iter().flatten().next().map(|family| family == "IPv6");
    let by_cluster_ip =
        || spec.cluster_ip.as_deref().and_then(|ip| ip.parse().ok()).is_some_and(|ip: IpAddr| ip.is_ipv6());
    let six = six.unwrap_or_else(by_cluster_ip);
    let mut all = Vec::new();
    for pod in pods.iter().filter(|pod| may_serve(pod, terminating)) {
        let Some(ip) = addresses(pod).find(|ip| ip.is_ipv6() == six) else { continue };
        let ports: BTreeSet<Port> = spec
            .ports
            .iter()
            .flatten()
            .filter_map(|port| {
                let number = target_port(pod, port)?;
                Some((port.name.clone().unwrap_or_default(), number, protocol(port), port.app_protocol.clone()))
            })
            .collect();
        let portless = spec.ports.as_ref().is_none_or(Vec::is_empty) && is_headless(spec);
        if ports.is_empty() && !portless {
            continue;
        }
        let address = EndpointAddress {
            ip: ip.to_string(),
            hostname: hostname(pod, service).cloned(),
            node_name: node_name(pod),
            target_ref: Some(reference(pod)),
        };
        all.push(Served { address, ready: publishes || is_ready(pod), ports });
    }
    all
}

fn pack(served: Vec<Served>) -> Vec<EndpointSubset> {
    let mut by_ports: BTreeMap<BTreeSet<Port>, EndpointSubset> = BTreeMap::new();
    for Served { address, ready, ports } in served {
        let subset = by_ports.entry(ports).or_default();
        let list = if ready { &mut subset.addresses } else { &mut subset.not_ready_addresses };
        list.get_or_insert_default().push(address);
    }
    let packed = by_ports.into_iter().map(|(ports, subset)| {
        let ports: Vec<EndpointPort> = ports
            .into_iter()
            .map(|(name, port, protocol, app_protocol)| EndpointPort {
                name: Some(name).filter(|name| !name.is_empty()),
                port,
                protocol: Some(protocol),
                app_protocol,
            })
            .collect();
        EndpointSubset { ports: (!ports.is_empty()).then_some(ports), ..subset }
    });
    packed.collect()
}

fn labels(service: &Service, spec: &ServiceSpec) -> Labels {
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.remove(HEADLESS);
    if is_headless(spec) {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    labels.insert(MANAGED_BY.to_owned(), CONTROLLER.to_owned());
    labels
}
