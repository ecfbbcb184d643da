//! The network in which each pod has a namespace of its own: its addresses, and where connections go there.
//!
//! Pods have their real addresses, so most connections go as they were asked for. What is left to decide is which
//! endpoint stands for a service, and what leads out of the cluster, where no packet goes: that is carried by the hub.
//! Nothing here touches a socket.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::network::{self, BALANCER_RANGE, DNS, DNS_PORT, NODE, Protocol, SERVER_RANGE, Table, Target};

/// From where the host's programs speak with pods, and the next hop of every pod.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 1);
/// The cluster address of the API server's service.
pub const API: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);
/// Bits of the pods' network: programs that look for their neighbours by it take all pods for such, as they are.
pub const PREFIX: u8 = 16;

/// Where a connection, or a datagram, goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// As the program asked: the kernel leads it.
    AsAsked,
    /// To this address in the network of pods.
    Pod(SocketAddrV4),
    /// To this address as the host sees it.
    Host(SocketAddrV4),
    /// `ECONNREFUSED`: nobody answers there.
    Refused,
    /// `EHOSTUNREACH`: no such address in the cluster.
    Unreachable,
}

/// The hardware address of a pod's interface, as other networks of clusters make it from the pod's address.
pub fn hardware(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x0a, 0x58, a, b, c, d]
}

/// Where a connection goes. `own` is the pod's address, `None` for a pod of the host's network; `turn` is a number that
/// grows by one with each call, by which backends take turns.
pub fn decide(table: &Table, own: Option<Ipv4Addr>, to: SocketAddrV4, protocol: Protocol, turn: u64) -> Way {
    let named = || table.services.get(&network::key(to, protocol)).map(|target| choose(table, target, own, turn));
    let on_host = own.is_none();
    match to.ip().octets() {
        _ if is_dns(*to.ip()) && to.port() == DNS_PORT => dns(table, own, to),
        // A load balancer's address is the host's loopback, and no pod's.
        [127, block, BALANCER_RANGE, _] if block == table.block => named().unwrap_or(Way::Host(to)),
        [127, ..] | [0, 0, 0, 0] => Way::AsAsked,
        [10, 244, ..] if on_host => Way::Pod(to),
        [10, 244, ..] => Way::AsAsked,
        [10, 96, ..] => named().unwrap_or(match network::has_address(table, *to.ip()) {
            true => Way::Refused,
            false => Way::Unreachable,
        }),
        _ if *to.ip() == NODE => {
            let target = table.node.get(&network::key(to, protocol));
            let host = Way::Host(SocketAddrV4::new(Ipv4Addr::LOCALHOST, to.port()));
            target.map_or(host, |target| choose(table, target, own, turn))
        }
        // An `externalIPs` of a service.
        _ => named().unwrap_or(if on_host { Way::AsAsked } else { Way::Host(to) }),
    }
}

/// Whether an address is that of the cluster's DNS server, as a service or as its endpoint.
fn is_dns(address: Ipv4Addr) -> bool {
    address == DNS || address == Ipv4Addr::new(10, 244, SERVER_RANGE, 10)
}

fn dns(table: &Table, own: Option<Ipv4Addr>, to: SocketAddrV4) -> Way {
    match (own, table.dns_port) {
        (None, 0) => Way::Refused,
        (None, port) => Way::Host(SocketAddrV4::new(network::dns_address(table.block), port)),
        (Some(_), _) if *to.ip() == DNS => Way::AsAsked,
        (Some(_), _) => Way::Pod(SocketAddrV4::new(DNS, DNS_PORT)),
    }
}

fn choose(table: &Table, target: &Target, own: Option<Ipv4Addr>, turn: u64) -> Way {
    let Some((address, port)) = network::pick(target, turn) else { return Way::Refused };
    let to = SocketAddrV4::new(address, port);
    match address.octets() {
        _ if is_dns(address) => dns(table, own, SocketAddrV4::new(address, DNS_PORT)),
        [10, 244, ..] => Way::Pod(to),
        _ if address == NODE => Way::Host(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)),
        _ => Way::Host(to),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table { version: 1, block: 40, dns_port: 4053, ..Table::default() };
        let mut add = |node: bool, at: &str, backends: &[&str]| {
            let backends = backends.iter().map(|text| text.parse::<SocketAddrV4>().unwrap());
            let backends = backends.map(|backend| (*backend.ip(), backend.port())).collect();
            let target = Target { backends, affinity_s: None };
            let map = if node { &mut table.node } else { &mut table.services };
            map.insert(network::key(at.parse().unwrap(), Protocol::Tcp), target);
        };
        add(false, "10.96.0.1:443", &["127.0.0.1:6443"]);
        add(false, "10.96.0.10:53", &["10.244.255.10:53"]);
        add(false, "10.96.0.20:80", &["10.244.0.7:8080"]);
        add(false, "10.96.0.21:80", &[]);
        add(false, "10.96.0.22:80", &["10.200.0.1:9000"]);
        add(false, "10.96.0.23:80", &["192.0.2.7:80"]);
        add(false, "127.40.254.3:80", &["10.244.0.7:8080"]);
        add(false, "192.0.2.10:80", &["10.244.0.7:8080"]);
        add(true, "10.200.0.1:30080", &["10.244.0.7:8080"]);
        table
    }

    #[test]
    fn a_pod_reaches_others_as_it_asks_services_by_an_endpoint_and_the_world_by_the_host() {
        let pod = |text: &str| Way::Pod(text.parse().unwrap());
        let host = |text: &str| Way::Host(text.parse().unwrap());
        let rows = [
            ("10.244.0.7:8080", Way::AsAsked),
            ("127.0.0.1:8080", Way::AsAsked),
            ("0.0.0.0:8080", Way::AsAsked),
            ("10.96.0.1:443", host("127.0.0.1:6443")),
            ("10.96.0.10:53", Way::AsAsked),
            ("10.244.255.10:53", pod("10.96.0.10:53")),
            ("10.96.0.20:80", pod("10.244.0.7:8080")),
            ("10.96.0.20:81", Way::Refused),
            ("10.96.0.21:80", Way::Refused),
            ("10.96.0.99:80", Way::Unreachable),
            ("10.96.0.22:80", host("127.0.0.1:9000")),
            ("10.96.0.23:80", host("192.0.2.7:80")),
            ("10.200.0.1:30080", pod("10.244.0.7:8080")),
            ("10.200.0.1:5432", host("127.0.0.1:5432")),
            ("127.40.254.3:80", pod("10.244.0.7:8080")),
            ("127.40.254.4:80", host("127.40.254.4:80")),
            ("192.0.2.10:80", pod("10.244.0.7:8080")),
            ("192.0.2.11:80", host("192.0.2.11:80")),
        ];
        let own = Some(Ipv4Addr::new(10, 244, 0, 9));
        for (to, expected) in rows {
            assert_eq!(decide(&table(), own, to.parse().unwrap(), Protocol::Tcp, 0), expected, "{to}");
        }
    }

    #[test]
    fn a_pod_of_the_hosts_network_reaches_pods_by_the_hub() {
        let rows = [
            ("10.244.0.7:8080", Way::Pod("10.244.0.7:8080".parse().unwrap())),
            ("10.96.0.20:80", Way::Pod("10.244.0.7:8080".parse().unwrap())),
            ("10.96.0.10:53", Way::Host("127.40.255.10:4053".parse().unwrap())),
            ("10.200.0.1:5432", Way::Host("127.0.0.1:5432".parse().unwrap())),
            ("127.0.0.1:80", Way::AsAsked),
            ("192.0.2.11:80", Way::AsAsked),
        ];
        for (to, expected) in rows {
            assert_eq!(decide(&table(), None, to.parse().unwrap(), Protocol::Tcp, 0), expected, "{to}");
        }
    }
}
