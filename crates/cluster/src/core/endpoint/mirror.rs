//! Slices that mirror the Endpoints which somebody made by hand for a service without a selector.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{EndpointAddress, Endpoints, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::slices::Plan;
use super::{MANAGED_BY, SERVICE_NAME};

/// The name under which mirroring slices are managed.
pub const CONTROLLER: &str = "endpointslicemirroring-controller.k8s.io";
const SKIP: &str = "endpointslice.kubernetes.io/skip-mirror";
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
const LAST_CHANGE: &str = "endpoints.kubernetes.io/last-change-trigger-time";
/// The most addresses of one subset that are mirrored.
const MAX_MIRRORED: usize = 1000;

/// Family and ports.
type Key = (&'static str, Vec<(String, i32, String, Option<String>)>);

/// Decides about the mirroring slices of an Endpoints object; `standing` are those that exist.
pub fn plan(endpoints: Option<&Endpoints>, service: Option<&Service>, standing: &[&EndpointSlice]) -> Plan {
    let mut plan = Plan::default();
    let mirrored = endpoints.filter(|endpoints| is_mirrored(endpoints, service));
    let mut desired = mirrored.map(wanted).unwrap_or_default();
    for slice in standing {
        let new = endpoints.and_then(|endpoints| Some((endpoints, desired.remove(&key_of(slice)?)?)));
        match new {
            None => plan.delete.extend(slice.metadata.name.clone()),
            Some((endpoints, members)) => {
                let mut new = EndpointSlice { endpoints: members, ..(*slice).clone() };
                let made = metadata(endpoints);
                (new.metadata.labels, new.metadata.annotations) = (made.labels, made.annotations);
                if new != **slice {
                    plan.replace.push(new);
                }
            }
        }
    }
    for ((family, ports), members) in desired {
        let Some(endpoints) = endpoints else { continue };
        let port = |(name, port, protocol, app_protocol)| EndpointPort {
            name: Some(name),
            port: Some(port),
            protocol: Some(protocol),
            app_protocol,
        };
        plan.create.push(EndpointSlice {
            metadata: metadata(endpoints),
            address_type: family.to_owned(),
            endpoints: members,
            ports: Some(ports.into_iter().map(port).collect()),
        });
    }
    plan
}

fn is_mirrored(endpoints: &Endpoints, service: Option<&Service>) -> bool {
    let skips =
        endpoints.metadata.labels.as_ref().is_some_and(|labels| labels.get(SKIP).is_some_and(|skip| skip == "true"));
    let elects = endpoints.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(LEADER));
    let by_hand = service.and_then(|service| service.spec.as_ref()).is_some_and(|spec| spec.selector.is_none());
    !skips && !elects && by_hand && endpoints.metadata.deletion_timestamp.is_none()
}

fn wanted(endpoints: &Endpoints) -> BTreeMap<Key, Vec<Endpoint>> {
    let mut wanted: BTreeMap<Key, Vec<Endpoint>> = BTreeMap::new();
    for subset in endpoints.subsets.iter().flatten() {
        let ports = subset.ports.iter().flatten().map(|port| {
            let name = port.name.clone().unwrap_or_default();
            let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
            (name, port.port, protocol, port.app_protocol.clone())
        });
        let ports: Vec<_> = ports.collect();
        let ready = subset.addresses.iter().flatten().map(|address| (address, true));
        let not_ready = subset.not_ready_addresses.iter().flatten().map(|address| (address, false));
        for (address, ready) in ready.chain(not_ready).take(MAX_MIRRORED) {
            let Ok(ip) = address.ip.parse::<IpAddr>() else { continue };
            let family = if ip.is_ipv6() { "IPv6" } else { "IPv4" };
            wanted.entry((family, ports.clone())).or_default().push(endpoint(address, ip, ready));
        }
    }
    wanted
}

fn endpoint(address: &EndpointAddress, ip: IpAddr, ready: bool) -> Endpoint {
    Endpoint {
        addresses: vec![ip.to_string()],
        conditions: Some(EndpointConditions { ready: Some(ready), ..EndpointConditions::default() }),
        hostname: address.hostname.clone().filter(|hostname| !hostname.is_empty()),
        node_name: address.node_name.clone(),
        target_ref: address.target_ref.clone(),
        ..Endpoint::default()
    }
}

fn key_of(slice: &EndpointSlice) -> Option<Key> {
    let family = match slice.address_type.as_str() {
        "IPv4" => "IPv4",
        "IPv6" => "IPv6",
        _ => return None,
    };
    let ports = slice.ports.iter().flatten().map(|port| {
        let name = port.name.clone().unwrap_or_default();
        let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
        (name, port.port.unwrap_or(0), protocol, port.app_protocol.clone())
    });
    Some((family, ports.collect()))
}

fn metadata(endpoints: &Endpoints) -> ObjectMeta {
    let name = endpoints.metadata.name.clone().unwrap_or_default();
    let mut labels = endpoints.metadata.labels.clone().unwrap_or_default();
    labels.insert(SERVICE_NAME.to_owned(), name.clone());
    labels.insert(MANAGED_BY.to_owned(), CONTROLLER.to_owned());
    let mut annotations = endpoints.metadata.annotations.clone().unwrap_or_default();
    annotations.retain(|key, _| key != LAST_APPLIED && key != LAST_CHANGE);
    let owner = OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Endpoints".to_owned(),
        name: name.clone(),
        uid: endpoints.metadata.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    };
    ObjectMeta {
        generate_name: Some(format!("{name}-")),
        namespace: endpoints.metadata.namespace.clone(),
        labels: Some(labels),
        annotations: (!annotations.is_empty()).then_some(annotations),
        owner_references: Some(vec![owner]),
        ..ObjectMeta::default()
    }
}
