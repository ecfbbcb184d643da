//! The cluster's network as the sockets of pods see it: which address of the host stands for which address
//! of the cluster, and where a `bind` or a `connect` really goes.
//!
//! Pods share the host's network. A pod that objects show as 10.244.a.b has its sockets on 127.X.a.b, where X
//! is the cluster's block. The pod's supervisor carries out these decisions; nothing here touches a socket.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddrV4},
};

use serde::{Deserialize, Serialize};

/// The blocks that a cluster may choose: 127.0 to 127.15 are left to the host's own uses of loopback.
pub const BLOCKS: std::ops::RangeInclusive<u8> = 16..=250;
/// The node's address as objects show it.
pub const NODE: Ipv4Addr = Ipv4Addr::new(10, 200, 0, 1);
/// The cluster address of the DNS service.
pub const DNS: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);
/// Where services are asked for names.
pub const DNS_PORT: u16 = 53;
/// 127.X.254.0/24: addresses of LoadBalancer services, reached from the host.
pub const BALANCER_RANGE: u8 = 254;
/// 127.X.255.0/24: the cluster's own servers; `.10` answers DNS.
pub const SERVER_RANGE: u8 = 255;
/// Ports that the node's user may not open are opened here: 64512 + p for p < 1024, above the range from
/// which Linux chooses ports (32768 to 60999).
const MOVED_PORTS: u16 = 64512;

/// A port that another program of the host has at all addresses is opened here instead: 61000 + p mod 3512, above
/// the range from which Linux chooses and below the ports that are moved.
const ASIDE_PORTS: (u16, u16) = (61000, 3512);

/// What the supervisors of pods know of the network. Stored as `<data>/network/table.json`, replaced whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Table {
    /// That of the stored form: 1.
    pub version: u32,
    /// The second byte of the cluster's addresses on the host.
    pub block: u8,
    /// Where DNS listens on 127.X.255.10; 0 while it does not.
    pub dns_port: u16,
    /// The first port that the node's user may open; those below are moved. 0 as root.
    #[serde(default)]
    pub first_port: u16,
    /// Services by address, port and protocol: see [`key`].
    pub services: BTreeMap<String, Target>,
    /// Ports of the node's address: node ports, host ports, what pods of the host's network serve.
    #[serde(default)]
    pub node: BTreeMap<String, Target>,
}

/// Who answers at a service's port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Addresses as objects show them, with the real port; 127.0.0.1 for a server of the host.
    pub backends: Vec<(Ipv4Addr, u16)>,
    /// A client stays with its backend until it has not come for so many seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity_s: Option<u32>,
}

/// The protocols that services have here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    Tcp,
    Udp,
}

impl Protocol {
    /// As objects spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }
}

/// The name of an address, port and protocol in a [`Table`]: `10.96.0.1:443/TCP`.
pub fn key(address: SocketAddrV4, protocol: Protocol) -> String {
    format!("{address}/{}", protocol.as_str())
}

/// Where a `connect`, or a datagram, goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Not the cluster's: as the program asked.
    Outside,
    /// To this address of the host, or of a backend outside.
    Cluster(SocketAddrV4),
    /// `ECONNREFUSED`: nobody answers there.
    Refused,
    /// `EHOSTUNREACH`: no such address in the cluster.
    Unreachable,
}

/// What a `bind` becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// A pod of the host's network binds as it asked.
    AsAsked,
    To(SocketAddrV4),
    /// `EADDRNOTAVAIL`: not an address of the pod.
    NotAvailable,
    /// `EADDRINUSE`: the port stands for another one.
    InUse,
}

/// The host's address for one that objects show. What is not the cluster's stays.
pub fn host_address(block: u8, shown: Ipv4Addr) -> Ipv4Addr {
    match shown.octets() {
        [10, 244, a, b] => Ipv4Addr::new(127, block, a, b),
        _ if shown == DNS => dns_address(block),
        _ if shown == NODE => Ipv4Addr::LOCALHOST,
        _ => shown,
    }
}

/// The address that objects show for one of the host. LoadBalancer addresses are shown as they are.
pub fn shown_address(block: u8, host: Ipv4Addr) -> Ipv4Addr {
    match host.octets() {
        [127, x, a, b] if x == block && a < BALANCER_RANGE => Ipv4Addr::new(10, 244, a, b),
        _ if host == dns_address(block) => DNS,
        _ if host == node_address(block) => NODE,
        _ => host,
    }
}

/// From where the host's own programs speak with pods: answers to 127.0.0.1 would end in the pod itself.
pub fn node_address(block: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, block, SERVER_RANGE, 1)
}

/// An address at which nobody ever listens.
pub fn nowhere_address(block: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, block, SERVER_RANGE, 2)
}

/// Where the cluster's DNS server listens.
pub fn dns_address(block: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, block, SERVER_RANGE, 10)
}

/// The port that is really opened for a pod's `port`, by a user whose first port is `first_port`.
pub fn host_port(first_port: u16, port: u16) -> u16 {
    if port != 0 && port < first_port.min(1024) { MOVED_PORTS + port } else { port }
}

/// The pod's port for one that is really open: the inverse of [`host_port`].
pub fn shown_port(first_port: u16, port: u16) -> u16 {
    match port.checked_sub(MOVED_PORTS) {
        Some(moved) if moved != 0 && moved < first_port.min(1024) => moved,
        _ => port,
    }
}

/// The port that a pod has in place of one that a program of the host has at all addresses. Whoever dials a pod
/// looks here when nobody of the cluster is at the port itself.
pub fn aside(port: u16) -> u16 {
    ASIDE_PORTS.0 + port % ASIDE_PORTS.1
}

/// Where a port of a pod is really open; for everyone who dials one, on the host as in pods.
pub fn host_socket(table: &Table, shown: SocketAddrV4) -> SocketAddrV4 {
    let address = host_address(table.block, *shown.ip());
    let is_pod = matches!(shown.ip().octets(), [10, 244, ..]);
    let port = if is_pod { host_port(table.first_port, shown.port()) } else { shown.port() };
    SocketAddrV4::new(address, port)
}

/// What programs are shown of a socket of the host: the inverse of [`host_socket`].
pub fn shown_socket(table: &Table, host: SocketAddrV4) -> SocketAddrV4 {
    let shown = shown_address(table.block, *host.ip());
    match shown.octets() {
        [10, 244, ..] => SocketAddrV4::new(shown, shown_port(table.first_port, host.port())),
        _ if shown == DNS && host.port() == table.dns_port => SocketAddrV4::new(shown, DNS_PORT),
        _ => SocketAddrV4::new(shown, host.port()),
    }
}

/// The service that is at an address, by its name in the table.
pub fn named(table: &Table, to: SocketAddrV4, protocol: Protocol) -> Option<(String, &Target)> {
    let name = key(to, protocol);
    let rows = if *to.ip() == NODE { &table.node } else { &table.services };
    let target = rows.get(&name)?;
    Some((name, target))
}

/// Where a connection of a pod goes. `own` is the pod's shown address, `None` for a pod of the host's network;
/// `turn` is a number that grows by one with each call, by which backends take turns, or the place of the one that the
/// client stays with.
pub fn decide_connect(
    table: &Table,
    own: Option<Ipv4Addr>,
    to: SocketAddrV4,
    protocol: Protocol,
    turn: u64,
) -> Destination {
    let named = || table.services.get(&key(to, protocol));
    match to.ip().octets() {
        _ if is_dns(table.block, to) => match table.dns_port {
            0 => Destination::Refused,
            port => Destination::Cluster(SocketAddrV4::new(dns_address(table.block), port)),
        },
        // A name server of the host, where pods have the host's settings.
        _ if to.port() == DNS_PORT && named().is_some() => {
            named().map_or(Destination::Outside, |target| choose(table, target, turn))
        }
        [127, block, ..] if block == table.block => {
            let port = if is_pod_host(to) { host_port(table.first_port, to.port()) } else { to.port() };
            Destination::Cluster(SocketAddrV4::new(*to.ip(), port))
        }
        // A pod's loopback is its own: what listens on the host's does not exist for it.
        [127, ..] | [0, 0, 0, 0] => own.map_or(Destination::Outside, |own| {
            Destination::Cluster(host_socket(table, SocketAddrV4::new(own, to.port())))
        }),
        [10, 244, a, _] if a >= BALANCER_RANGE => Destination::Unreachable,
        [10, 244, ..] => Destination::Cluster(host_socket(table, to)),
        [10, 96, ..] => match named() {
            Some(target) => choose(table, target, turn),
            None if has_address(table, *to.ip()) => Destination::Refused,
            None => Destination::Unreachable,
        },
        _ if *to.ip() == NODE => match table.node.get(&key(to, protocol)) {
            Some(target) => choose(table, target, turn),
            // A pod of the host's network that a service names is reached by its own address too.
            None if is_backend(table, to, protocol) => Destination::Cluster(host_socket(table, to)),
            None => Destination::Refused,
        },
        // An `externalIPs` of a service.
        _ => named().map_or(Destination::Outside, |target| choose(table, target, turn)),
    }
}

/// Where a socket of a pod is bound, whose shown address is `own`.
///
/// Each address that a pod can call its own is one address here. So two sockets of a pod on the same port, one
/// on 127.0.0.1 and one on the pod's address, are in each other's way, which they are not in a real pod.
pub fn decide_bind(table: &Table, own: Option<Ipv4Addr>, wanted: SocketAddrV4) -> Binding {
    let ip = *wanted.ip();
    let Some(own) = own else {
        // The host has no such address: what objects call the node's is its loopback.
        let here = SocketAddrV4::new(Ipv4Addr::LOCALHOST, wanted.port());
        return if ip == NODE { Binding::To(here) } else { Binding::AsAsked };
    };
    let host = host_address(table.block, own);
    let is_foreign_pod = matches!(ip.octets(), [127, block, ..] if block == table.block) && ip != host;
    if is_foreign_pod || !(ip.is_unspecified() || ip.is_loopback() || ip == own) {
        return Binding::NotAvailable;
    }
    if shown_port(table.first_port, wanted.port()) != wanted.port() {
        return Binding::InUse;
    }
    Binding::To(SocketAddrV4::new(host, host_port(table.first_port, wanted.port())))
}

fn is_dns(block: u8, to: SocketAddrV4) -> bool {
    to.port() == DNS_PORT && (*to.ip() == DNS || *to.ip() == dns_address(block))
}

fn is_pod_host(to: SocketAddrV4) -> bool {
    to.ip().octets()[2] < BALANCER_RANGE
}

/// Whether some service has this address, whatever its ports.
pub fn has_address(table: &Table, address: Ipv4Addr) -> bool {
    let prefix = format!("{address}:");
    table.services.range(prefix.clone()..).next().is_some_and(|(key, _)| key.starts_with(&prefix))
}

fn is_backend(table: &Table, to: SocketAddrV4, protocol: Protocol) -> bool {
    let suffix = protocol.as_str();
    let mut targets = table.services.iter().filter(|(key, _)| key.ends_with(suffix));
    targets.any(|(_, target)| target.backends.contains(&(*to.ip(), to.port())))
}

fn choose(table: &Table, target: &Target, turn: u64) -> Destination {
    pick(target, turn).map_or(Destination::Refused, |(address, port)| {
        Destination::Cluster(host_socket(table, SocketAddrV4::new(address, port)))
    })
}

/// The backend that a client's connection goes to, as objects show it; `None` where there is none. `turn` is that of
/// [`decide_connect`].
pub fn pick(target: &Target, turn: u64) -> Option<(Ipv4Addr, u16)> {
    let count = u64::try_from(target.backends.len()).unwrap_or(u64::MAX).max(1);
    usize::try_from(turn % count).ok().and_then(|index| target.backends.get(index)).copied()
}

/// The place of the backend that a client is led to first, where it is to stay with it. The supervisors of several pods
/// know nothing of each other; so those in the host's network, which are one client, are led to the same one.
pub fn first_place(target: &Target, own: Option<Ipv4Addr>) -> usize {
    let client = own.unwrap_or(NODE);
    let places = target.backends.iter().enumerate();
    places.max_by_key(|(_, backend)| weight(client, **backend)).map_or(0, |(place, _)| place)
}

/// Rendezvous hashing (FNV-1a): a client keeps its backend while others come and go.
fn weight(client: Ipv4Addr, (address, port): (Ipv4Addr, u16)) -> u64 {
    let bytes = client.octets().into_iter().chain(address.octets()).chain(port.to_be_bytes());
    let hash = bytes
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    // The last bytes reach only the low bits: spread them before hashes are compared.
    (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
#[path = "network_tests.rs"]
mod tests;
