//! Rows of addresses and where they lead.

use super::*;

const OWN: Ipv4Addr = Ipv4Addr::new(10, 244, 1, 7);

fn socket(text: &str) -> SocketAddrV4 {
    text.parse().unwrap()
}

fn target(backends: &[&str]) -> Target {
    let backends = backends.iter().map(|text| (*socket(text).ip(), socket(text).port())).collect();
    Target { backends, affinity_s: None }
}

fn table() -> Table {
    Table {
        version: 1,
        block: 40,
        dns_port: 5300,
        first_port: 1024,
        services: BTreeMap::from([
            ("10.96.0.1:443/TCP".to_owned(), target(&["127.0.0.1:6443"])),
            ("10.96.0.20:80/TCP".to_owned(), target(&["10.244.1.8:8080", "10.244.1.9:80"])),
            ("10.96.0.20:80/UDP".to_owned(), target(&["10.244.1.8:9000"])),
            ("10.96.0.21:80/TCP".to_owned(), target(&[])),
            ("10.96.0.22:80/TCP".to_owned(), target(&["10.200.0.1:9100", "192.0.2.9:80"])),
        ]),
        node: BTreeMap::from([("10.200.0.1:30080/TCP".to_owned(), target(&["10.244.1.8:8080"]))]),
    }
}

fn connect(own: Option<Ipv4Addr>, to: &str, protocol: Protocol, turn: u64) -> Destination {
    decide_connect(&table(), own, socket(to), protocol, turn)
}

fn cluster(text: &str) -> Destination {
    Destination::Cluster(socket(text))
}

#[test]
fn a_connection_goes_where_the_cluster_says() {
    use Destination::{Outside, Refused, Unreachable};
    let rows = [
        ("127.0.0.1:8080", cluster("127.40.1.7:8080")),
        ("127.0.0.1:80", cluster("127.40.1.7:64592")),
        ("127.0.0.53:53", cluster("127.40.1.7:64565")),
        ("0.0.0.0:6443", cluster("127.40.1.7:6443")),
        ("127.41.0.2:8080", cluster("127.40.1.7:8080")),
        ("10.244.1.7:8080", cluster("127.40.1.7:8080")),
        ("10.244.3.4:22", cluster("127.40.3.4:64534")),
        ("127.40.3.4:8080", cluster("127.40.3.4:8080")),
        ("127.40.254.1:80", cluster("127.40.254.1:80")),
        ("10.244.254.1:80", Unreachable),
        ("10.96.0.10:53", cluster("127.40.255.10:5300")),
        ("127.40.255.10:53", cluster("127.40.255.10:5300")),
        ("10.96.0.1:443", cluster("127.0.0.1:6443")),
        ("10.96.0.20:80", cluster("127.40.1.8:8080")),
        ("10.96.0.20:81", Refused),
        ("10.96.0.21:80", Refused),
        ("10.96.0.2:80", Unreachable),
        ("10.96.0.22:80", cluster("127.0.0.1:9100")),
        ("10.200.0.1:30080", cluster("127.40.1.8:8080")),
        ("10.200.0.1:9100", cluster("127.0.0.1:9100")),
        ("10.200.0.1:22", Refused),
        ("192.0.2.1:443", Outside),
    ];
    for (to, expected) in rows {
        assert_eq!(connect(Some(OWN), to, Protocol::Tcp, 0), expected, "{to}");
    }
}

#[test]
fn a_pod_of_the_hosts_network_keeps_the_hosts_loopback() {
    assert_eq!(connect(None, "127.0.0.1:22", Protocol::Tcp, 0), Destination::Outside);
    assert_eq!(connect(None, "10.96.0.20:80", Protocol::Udp, 0), cluster("127.40.1.8:9000"));
}

#[test]
fn backends_take_turns_and_ports_that_need_root_are_moved() {
    assert_eq!(connect(Some(OWN), "10.96.0.20:80", Protocol::Tcp, 1), cluster("127.40.1.9:64592"));
    assert_eq!(connect(Some(OWN), "10.96.0.20:80", Protocol::Tcp, 2), cluster("127.40.1.8:8080"));
    assert_eq!(connect(Some(OWN), "10.96.0.22:80", Protocol::Tcp, 1), cluster("192.0.2.9:80"));
}

#[test]
fn a_client_with_affinity_stays_and_clients_are_spread() {
    let table = table();
    let (name, both) = named(&table, socket("10.96.0.20:80"), Protocol::Tcp).unwrap();
    assert_eq!(name, "10.96.0.20:80/TCP");
    let clients: Vec<_> = (0..100).map(|last| Some(Ipv4Addr::new(10, 244, 2, last))).collect();
    let first = clients.iter().filter(|client| first_place(both, **client) == 0).count();
    assert!((20..=80).contains(&first), "{first} of 100 clients go to the first of two backends");
    // Another backend takes clients from both, and none goes from one of them to the other.
    let mut three = both.clone();
    three.backends.insert(0, (Ipv4Addr::new(10, 244, 1, 1), 80));
    for client in clients {
        let place = first_place(&three, client);
        assert!(place == 0 || place - 1 == first_place(both, client), "{client:?}");
    }
    assert_eq!(first_place(&target(&[]), None), 0);
    let node = named(&table, socket("10.200.0.1:30080"), Protocol::Tcp).map(|(name, _)| name);
    assert_eq!(node.as_deref(), Some("10.200.0.1:30080/TCP"));
}

#[test]
fn a_pod_binds_its_own_address_alone() {
    let rows = [
        ("0.0.0.0:8080", Binding::To(socket("127.40.1.7:8080"))),
        ("127.0.0.1:8080", Binding::To(socket("127.40.1.7:8080"))),
        ("10.244.1.7:0", Binding::To(socket("127.40.1.7:0"))),
        ("127.40.1.7:80", Binding::To(socket("127.40.1.7:64592"))),
        ("127.40.1.8:80", Binding::NotAvailable),
        ("10.244.1.8:80", Binding::NotAvailable),
        ("192.0.2.1:80", Binding::NotAvailable),
        ("0.0.0.0:64592", Binding::InUse),
    ];
    for (wanted, expected) in rows {
        assert_eq!(decide_bind(&table(), Some(OWN), socket(wanted)), expected, "{wanted}");
    }
    assert_eq!(decide_bind(&table(), None, socket("0.0.0.0:80")), Binding::AsAsked);
    assert_eq!(decide_bind(&table(), None, socket("10.200.0.1:80")), Binding::To(socket("127.0.0.1:80")));
}

#[test]
fn what_is_shown_is_the_inverse_of_what_is_opened() {
    let rows = [
        ("10.244.1.8:80", "127.40.1.8:64592"),
        ("10.244.1.8:8080", "127.40.1.8:8080"),
        ("10.96.0.10:53", "127.40.255.10:5300"),
        ("127.40.254.3:80", "127.40.254.3:80"),
        ("192.0.2.1:64592", "192.0.2.1:64592"),
    ];
    for (shown, host) in rows {
        assert_eq!(shown_socket(&table(), socket(host)), socket(shown), "{host}");
    }
    for port in [0, 1, 80, 1023, 1024, 8080, 64511] {
        for first in [0, 81, 1024] {
            assert_eq!(shown_port(first, host_port(first, port)), port);
        }
    }
    assert_eq!(host_port(0, 80), 80);
}

#[test]
fn ports_aside_are_none_that_linux_or_a_moved_port_takes() {
    for port in 0..=u16::MAX {
        assert!((61000..64512).contains(&aside(port)), "{port}");
    }
    assert_ne!(aside(80), aside(8080));
}

#[test]
fn a_stored_table_is_read() {
    let text = r#"{"version":1,"block":40,"dnsPort":53,"services":
        {"10.96.0.1:443/TCP":{"backends":[["127.0.0.1",6443]],"affinityS":10800}}}"#;
    let read: Table = serde_json::from_str(text).unwrap();
    assert_eq!(read.services["10.96.0.1:443/TCP"].backends, [(Ipv4Addr::LOCALHOST, 6443)]);
    assert_eq!(serde_json::from_str::<Table>(&serde_json::to_string(&read).unwrap()).unwrap(), read);
}
