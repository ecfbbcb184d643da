//! The table that the supervisors of pods decide connections by.

use std::net::{Ipv4Addr, SocketAddrV4};

use k8s_openapi::api::{
    core::v1::{Pod, Service, ServicePort},
    discovery::v1::{Endpoint, EndpointSlice},
};

use super::{Slices, affinity_s, cluster_addresses, is_ready, is_serving_last, port_number, protocol, reach};
use crate::core::network::{DNS, DNS_PORT, NODE, Protocol, Table, Target, key};

/// The form of the table that is written.
const VERSION: u32 = 1;

/// What the table follows from beside objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The second octet of the cluster's loopback addresses.
    pub block: u8,
    /// Where the DNS server really listens.
    pub dns_port: u16,
    /// The first port that the node's user may open; 0 as root.
    pub first_port: u16,
    /// Where the API server really listens.
    pub api: SocketAddrV4,
    /// The name servers of the host that the cluster's own stands in for: pods that have the host's
    /// `/etc/resolv.conf` ask these.
    pub name_servers: Vec<Ipv4Addr>,
}

/// Makes the table.
pub fn plan<'a>(
    facts: &Facts,
    services: impl IntoIterator<Item = &'a Service>,
    slices: &Slices<'_>,
    pods: impl IntoIterator<Item = &'a Pod>,
) -> Table {
    let mut table = Table {
        version: VERSION,
        block: facts.block,
        dns_port: facts.dns_port,
        first_port: facts.first_port,
        ..Table::default()
    };
    for (server, protocol) in
        facts.name_servers.iter().flat_map(|server| [(server, Protocol::Tcp), (server, Protocol::Udp)])
    {
        let target = Target { backends: vec![(DNS, facts.dns_port)], affinity_s: None };
        table.services.insert(key(SocketAddrV4::new(*server, DNS_PORT), protocol), target);
    }
    for service in services {
        add_service(&mut table, facts, service, slices.of(service));
    }
    for pod in pods {
        for port in reach::host_ports(pod).filter(|port| port.on_node) {
            let target = Target { backends: vec![(port.address, port.target)], affinity_s: None };
            table.node.entry(key(SocketAddrV4::new(NODE, port.number), port.protocol)).or_insert(target);
        }
    }
    let target = Target { backends: vec![(*facts.api.ip(), facts.api.port())], affinity_s: None };
    table.node.insert(key(SocketAddrV4::new(NODE, facts.api.port()), Protocol::Tcp), target);
    table
}

fn add_service(table: &mut Table, facts: &Facts, service: &Service, slices: &[&EndpointSlice]) {
    let Some(spec) = &service.spec else { return };
    if spec.type_.as_deref() == Some("ExternalName") {
        return;
    }
    let mut addresses: Vec<Ipv4Addr> = cluster_addresses(spec).into_iter().filter_map(four).collect();
    addresses.extend(spec.external_ips.iter().flatten().filter_map(|address| address.parse::<Ipv4Addr>().ok()));
    addresses.extend(balanced_addresses(service));
    for port in spec.ports.iter().flatten() {
        let Some(protocol) = socket_protocol(protocol(port)) else { continue };
        let backends = backends(port, slices).into_iter().map(|backend| real(facts, backend)).collect();
        let target = Target { backends, affinity_s: affinity_s(spec) };
        if let Some(number) = port_number(port.port) {
            for address in &addresses {
                table.services.insert(key(SocketAddrV4::new(*address, number), protocol), target.clone());
            }
        }
        if let Some(number) = port.node_port.and_then(port_number) {
            table.node.insert(key(SocketAddrV4::new(NODE, number), protocol), target);
        }
    }
}

fn four(address: std::net::IpAddr) -> Option<Ipv4Addr> {
    match address {
        std::net::IpAddr::V4(address) => Some(address),
        std::net::IpAddr::V6(_) => None,
    }
}

/// The protocols that are served here; SCTP is none of them.
pub fn socket_protocol(text: &str) -> Option<Protocol> {
    [Protocol::Tcp, Protocol::Udp].into_iter().find(|protocol| protocol.as_str() == text)
}

/// The addresses that a load balancer has given a service, where connections to them from inside go straight
/// to the endpoints.
fn balanced_addresses(service: &Service) -> Vec<Ipv4Addr> {
    let status = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let rows = status.iter().flat_map(|status| status.ingress.iter().flatten());
    let direct = rows.filter(|row| row.ip_mode.as_deref() != Some("Proxy"));
    direct.filter_map(|row| row.ip.as_ref()?.parse().ok()).collect()
}

/// The API server listens elsewhere than objects say.
fn real(facts: &Facts, (address, port): (Ipv4Addr, u16)) -> (Ipv4Addr, u16) {
    let is_api = (address, port) == (NODE, facts.api.port());
    if is_api { (*facts.api.ip(), port) } else { (address, port) }
}

/// The endpoints of one port of a service, sorted: those that are ready, else those that end and still serve.
pub fn backends(port: &ServicePort, slices: &[&EndpointSlice]) -> Vec<(Ipv4Addr, u16)> {
    let ready = gather(port, slices, is_ready);
    if ready.is_empty() { gather(port, slices, is_serving_last) } else { ready }
}

fn gather(port: &ServicePort, slices: &[&EndpointSlice], wanted: fn(&Endpoint) -> bool) -> Vec<(Ipv4Addr, u16)> {
    let name = port.name.as_deref().unwrap_or_default();
    let mut found = Vec::new();
    for slice in slices.iter().filter(|slice| slice.address_type == "IPv4") {
        let numbers: Vec<u16> = slice
            .ports
            .iter()
            .flatten()
            .filter(|own| {
                own.name.as_deref().unwrap_or_default() == name
                    && own.protocol.as_deref().unwrap_or("TCP") == protocol(port)
            })
            .filter_map(|own| own.port.and_then(port_number))
            .collect();
        for endpoint in slice.endpoints.iter().filter(|endpoint| wanted(endpoint)) {
            // Only the first address of an endpoint is one to connect to: the others are the same program's.
            let Some(address) = endpoint.addresses.first().and_then(|text| text.parse().ok()) else { continue };
            found.extend(numbers.iter().map(|number| (address, *number)));
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}
