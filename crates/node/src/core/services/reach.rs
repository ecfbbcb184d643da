//! Which ports of the host lead to services and pods.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use k8s_openapi::api::core::v1::{Pod, Service, ServiceSpec};

use super::{Slices, affinity_s, name_of, port_number, protocol, table};
use crate::core::{
    network::{BALANCER_RANGE, NODE, Protocol},
    spec,
};

/// A `hostPort` of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    pub number: u16,
    pub protocol: Protocol,
    /// The pod's address, and its own port.
    pub address: Ipv4Addr,
    pub target: u16,
    /// Whether the node's own address leads there.
    pub on_node: bool,
    /// The address of the host's loopback that leads there: 127.0.0.1 where the pod says nothing, else the one it names.
    pub on_loopback: Option<Ipv4Addr>,
}

/// The host ports of a pod that has an address and has not ended. Pods on the host's network have none: their
/// ports are the host's already.
pub fn host_ports(pod: &Pod) -> impl Iterator<Item = HostPort> + '_ {
    let ended = spec::has_ended(pod);
    let spec = pod.spec.as_ref().filter(|spec| spec.host_network != Some(true));
    let status = pod.status.as_ref();
    let address = status.and_then(|status| status.pod_ip.as_ref()?.parse().ok()).filter(|_| !ended);
    let init = spec.into_iter().flat_map(|spec| spec.init_containers.iter().flatten());
    let containers = init.chain(spec.into_iter().flat_map(|spec| spec.containers.iter()));
    containers.flat_map(|container| container.ports.iter().flatten()).filter_map(move |port| {
        let host = port.host_ip.as_deref().unwrap_or_default();
        let everywhere = host.is_empty() || host == "0.0.0.0";
        Some(HostPort {
            number: port.host_port.and_then(port_number)?,
            protocol: table::socket_protocol(port.protocol.as_deref().unwrap_or("TCP"))?,
            address: address?,
            target: port_number(port.container_port)?,
            on_node: everywhere || host == NODE.to_string(),
            on_loopback: if everywhere {
                Some(Ipv4Addr::LOCALHOST)
            } else {
                host.parse().ok().filter(Ipv4Addr::is_loopback)
            },
        })
    })
}

/// A socket of the host that leads into the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Door {
    pub address: Ipv4Addr,
    pub port: u16,
    pub protocol: Protocol,
}

/// Whose a door is: an object that events can be about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    Service { namespace: String, name: String },
    Pod { namespace: String, name: String },
}

/// What is behind a door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behind {
    pub owner: Owner,
    /// What the port is called in a message: `node port 30080`.
    pub what: String,
    pub backends: Vec<(Ipv4Addr, u16)>,
    pub affinity_s: Option<u32>,
}

/// The doors that should be open. Where two want the same one, the first keeps it: services before pods, by name.
pub fn doors<'a>(
    block: u8,
    services: impl IntoIterator<Item = &'a Service>,
    slices: &Slices<'_>,
    pods: impl IntoIterator<Item = &'a Pod>,
) -> BTreeMap<Door, Behind> {
    let mut doors = BTreeMap::new();
    for service in services {
        add_service(&mut doors, block, service, slices);
    }
    for pod in pods {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let owner = Owner::Pod { namespace: text(&pod.metadata.namespace), name: text(&pod.metadata.name) };
        for port in host_ports(pod) {
            // The cluster's own addresses are those of pods and services.
            let Some(address) = port.on_loopback.filter(|address| address.octets()[1] != block) else { continue };
            let door = Door { address, port: port.number, protocol: port.protocol };
            let what = format!("host port {}", port.number);
            let backends = vec![(port.address, port.target)];
            doors.entry(door).or_insert(Behind { owner: owner.clone(), what, backends, affinity_s: None });
        }
    }
    doors
}

fn add_service(doors: &mut BTreeMap<Door, Behind>, block: u8, service: &Service, slices: &Slices<'_>) {
    let Some(spec) = &service.spec else { return };
    let (namespace, name) = name_of(service);
    let owner = Owner::Service { namespace: namespace.to_owned(), name: name.to_owned() };
    let address = balancer_address(service, block);
    for port in spec.ports.iter().flatten() {
        let Some(protocol) = table::socket_protocol(protocol(port)) else { continue };
        let behind = |what: String| Behind {
            owner: owner.clone(),
            what,
            backends: table::backends(port, slices.of(service)),
            affinity_s: affinity_s(spec),
        };
        if let Some(number) = port.node_port.and_then(port_number) {
            let door = Door { address: Ipv4Addr::LOCALHOST, port: number, protocol };
            doors.entry(door).or_insert_with(|| behind(format!("node port {number}")));
        }
        if let (Some(address), Some(number)) = (address, port_number(port.port)) {
            let door = Door { address, port: number, protocol };
            doors.entry(door).or_insert_with(|| behind(format!("load balancer port {number}")));
        }
    }
}

/// Whether our load balancer serves a service: those of another class are another's.
pub fn is_balanced(service: &Service) -> bool {
    let Some(spec) = &service.spec else { return false };
    spec.type_.as_deref() == Some("LoadBalancer")
        && spec.load_balancer_class.is_none()
        && admits_host(spec)
        && service.metadata.deletion_timestamp.is_none()
}

/// Whether clients on this host are among those that a service admits through its load balancer: there are no
/// others.
pub fn admits_host(spec: &ServiceSpec) -> bool {
    let ranges = spec.load_balancer_source_ranges.as_deref().unwrap_or_default();
    ranges.is_empty() || ranges.iter().any(|range| holds_loopback(range.trim()))
}

fn holds_loopback(range: &str) -> bool {
    let Some((network, bits)) = range.split_once('/') else { return false };
    let (Ok(network), Ok(bits)) = (network.parse::<Ipv4Addr>(), bits.parse::<u32>()) else { return false };
    let Some(rest) = 32u32.checked_sub(bits) else { return false };
    let mask = u32::MAX.checked_shl(rest).unwrap_or(0);
    u32::from(network) & mask == u32::from(Ipv4Addr::LOCALHOST) & mask
}

/// The address of our load balancer that stands in a service's status.
pub fn balancer_address(service: &Service, block: u8) -> Option<Ipv4Addr> {
    let status = service.status.as_ref()?.load_balancer.as_ref()?;
    let own = status.ingress.iter().flatten().filter_map(|row| row.ip.as_ref()?.parse().ok());
    own.filter(|_| is_balanced(service)).find(|address| is_balancer(*address, block))
}

/// Whether an address is one of our load balancer.
pub fn is_balancer(address: Ipv4Addr, block: u8) -> bool {
    let [first, second, third, last] = address.octets();
    (first, second, third) == (127, block, BALANCER_RANGE) && (1..=254).contains(&last)
}

/// An address for a load balancer: the one that the service asks for if it is free, else the lowest free one.
pub fn next_balancer(service: &Service, block: u8, used: &BTreeSet<Ipv4Addr>) -> Option<Ipv4Addr> {
    let asked = service.spec.as_ref().and_then(|spec| spec.load_balancer_ip.as_ref()?.parse().ok());
    let asked = asked.filter(|address| is_balancer(*address, block) && !used.contains(address));
    let mut all = (1..=254).map(|last| Ipv4Addr::new(127, block, BALANCER_RANGE, last));
    asked.or_else(|| all.find(|address| !used.contains(address)))
}
