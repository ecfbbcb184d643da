use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use serde_json::{Value, json};

use super::{
    message::{Data, Record, Reply},
    zone::{Answer, Zone},
    *,
};
use crate::core::services::Slices;

fn service(name: &str, spec: Value) -> Service {
    serde_json::from_value(json!({"metadata": {"name": name, "namespace": "testns"}, "spec": spec})).unwrap()
}

fn slice(service: &str, kind: &str, ports: Value, endpoints: Value) -> EndpointSlice {
    serde_json::from_value(json!({
        "metadata": {"name": format!("{service}-{kind}"), "namespace": "testns",
            "labels": {"kubernetes.io/service-name": service}},
        "addressType": kind, "ports": ports, "endpoints": endpoints,
    }))
    .unwrap()
}

/// The services of the tests of CoreDNS's plugin, and some more.
fn zone() -> Zone {
    let http = json!([{"name": "http", "port": 80, "protocol": "TCP"}]);
    let services = [
        service("svc1", json!({"clusterIP": "10.0.0.1", "ports": http})),
        service("svc6", json!({"clusterIP": "1234:abcd::1", "ports": http})),
        service("dual", json!({"clusterIP": "10.0.0.3", "clusterIPs": ["10.0.0.3", "10::3"], "ports": http})),
        service(
            "two",
            json!({"clusterIP": "10.96.0.7", "ports": [
            {"name": "http", "port": 80}, {"name": "dns", "port": 53, "protocol": "UDP"}]}),
        ),
        service("hdls1", json!({"clusterIP": "None", "ports": http})),
        service("hdlsprtls", json!({"clusterIP": "None"})),
        service("hdlsempty", json!({"clusterIP": "None", "ports": http})),
        service("external", json!({"type": "ExternalName", "externalName": "ext.interwebs.test"})),
        service(
            "external-to-service",
            json!({"type": "ExternalName",
            "externalName": "svc1.testns.svc.cluster.local."}),
        ),
        service("loop", json!({"type": "ExternalName", "externalName": "loop.testns.svc.cluster.local"})),
        service("numeric", json!({"type": "ExternalName", "externalName": "192.0.2.1"})),
    ];
    let slices = [
        slice("svc1", "IPv4", http.clone(), json!([{"addresses": ["172.0.0.1"]}])),
        slice(
            "hdls1",
            "IPv4",
            http.clone(),
            json!([
            {"addresses": ["172.0.0.2"]}, {"addresses": ["172.0.0.3"], "conditions": {"ready": true}},
            {"addresses": ["172.0.0.4"], "hostname": "dup-name"}, {"addresses": ["172.0.0.5"], "hostname": "dup-name"},
            {"addresses": ["172.0.0.9"], "conditions": {"ready": false}}]),
        ),
        slice("hdls1", "IPv6", http, json!([{"addresses": ["5678:abcd::1"]}, {"addresses": ["5678:abcd::2"]}])),
        slice("hdlsprtls", "IPv4", json!([]), json!([{"addresses": ["172.0.0.20"]}])),
    ];
    Zone::new(&services, &Slices::new(&slices), ["testns".to_owned(), "empty".to_owned()], 1)
}

/// An answer in a few words: code, answers, number of additional records.
fn shown(answer: Answer) -> String {
    let data = |record: &Record| match &record.data {
        Data::A(address) => address.to_string(),
        Data::Aaaa(address) => address.to_string(),
        Data::Cname(name) => format!("CNAME {name}"),
        Data::Ns(name) => format!("NS {name}"),
        Data::Ptr(name) => name.to_string(),
        Data::Txt(text) => text.clone(),
        Data::Srv { priority, weight, port, target } => format!("{priority} {weight} {port} {target}"),
        Data::Soa { server, .. } => format!("SOA {} {server}", record.name),
    };
    let answers = |reply: &Reply| reply.answers.iter().map(data).collect::<Vec<_>>().join(", ");
    match answer {
        Answer::Elsewhere => "elsewhere".to_owned(),
        Answer::Follow(reply, name) => format!("{} -> {name}", answers(&reply)),
        Answer::Whole(reply) if reply.answers.is_empty() => {
            let zone = reply.authority[0].name.to_string();
            let what = if reply.code == code::NO_SUCH_NAME { "no name" } else { "no data" };
            format!("{what} {zone}")
        }
        Answer::Whole(reply) => match reply.additional.len() {
            0 => answers(&reply),
            more => format!("{}, +{more}", answers(&reply)),
        },
    }
}

fn check(rows: &[(&str, u16, &str)]) {
    let zone = zone();
    for (text, kind, expected) in rows {
        let name = Name::parse(text).unwrap();
        assert_eq!(shown(zone.answer(&name, *kind)), *expected, "{text} {kind}");
    }
}

const NO_NAME: &str = "no name cluster.local.";
const NO_DATA: &str = "no data cluster.local.";

#[test]
fn services_have_the_names_that_coredns_gives_them() {
    let srv = "0 100 80 svc1.testns.svc.cluster.local., +1";
    check(&[
        ("svc1.testns.svc.cluster.local", kind::A, "10.0.0.1"),
        ("SVC1.TestNS.svc.Cluster.Local", kind::A, "10.0.0.1"),
        ("svc1.testns.svc.cluster.local", kind::SRV, srv),
        ("_http._tcp.svc1.testns.svc.cluster.local", kind::SRV, srv),
        ("_http._tcp.svc1.testns.svc.cluster.local", kind::A, "10.0.0.1"),
        ("_http._udp.svc1.testns.svc.cluster.local", kind::SRV, NO_NAME),
        ("_https._tcp.svc1.testns.svc.cluster.local", kind::SRV, NO_NAME),
        ("svc1.testns.svc.cluster.local", kind::AAAA, NO_DATA),
        ("svc1.testns.svc.cluster.local", kind::SOA, NO_DATA),
        ("svc1.testns.svc.cluster.local", kind::TXT, NO_DATA),
        ("svc0.testns.svc.cluster.local", kind::A, NO_NAME),
        ("svc0.testns.svc.cluster.local", kind::AAAA, NO_NAME),
        ("svc1.other.svc.cluster.local", kind::A, NO_NAME),
        ("svc6.testns.svc.cluster.local", kind::AAAA, "1234:abcd::1"),
        ("svc6.testns.svc.cluster.local", kind::SRV, "0 100 80 svc6.testns.svc.cluster.local., +1"),
        ("dual.testns.svc.cluster.local", kind::A, "10.0.0.3"),
        ("dual.testns.svc.cluster.local", kind::AAAA, "10::3"),
        ("dual.testns.svc.cluster.local", kind::SRV, "0 50 80 dual.testns.svc.cluster.local., +2"),
        ("_dns._udp.two.testns.svc.cluster.local", kind::SRV, "0 100 53 two.testns.svc.cluster.local., +1"),
        ("172-0-0-1.svc1.testns.svc.cluster.local", kind::A, "172.0.0.1"),
        ("a.b.c.svc1.testns.svc.cluster.local", kind::A, NO_NAME),
    ]);
}

#[test]
fn headless_services_stand_for_their_endpoints() {
    let srv = "0 16 80 172-0-0-2.hdls1.testns.svc.cluster.local., 0 16 80 172-0-0-3.hdls1.testns.svc.cluster.local., \
               0 16 80 dup-name.hdls1.testns.svc.cluster.local., 0 16 80 5678-abcd--1.hdls1.testns.svc.cluster.local., \
               0 16 80 5678-abcd--2.hdls1.testns.svc.cluster.local., +6";
    check(&[
        ("hdls1.testns.svc.cluster.local", kind::A, "172.0.0.2, 172.0.0.3, 172.0.0.4, 172.0.0.5"),
        ("hdls1.testns.svc.cluster.local", kind::AAAA, "5678:abcd::1, 5678:abcd::2"),
        ("_http._tcp.hdls1.testns.svc.cluster.local", kind::SRV, srv),
        ("172-0-0-3.hdls1.testns.svc.cluster.local", kind::A, "172.0.0.3"),
        ("dup-name.hdls1.testns.svc.cluster.local", kind::A, "172.0.0.4, 172.0.0.5"),
        ("5678-abcd--1.hdls1.testns.svc.cluster.local", kind::AAAA, "5678:abcd::1"),
        ("172-0-0-9.hdls1.testns.svc.cluster.local", kind::A, NO_NAME),
        ("bogus.hdls1.testns.svc.cluster.local", kind::A, NO_NAME),
        ("hdlsprtls.testns.svc.cluster.local", kind::A, "172.0.0.20"),
        ("hdlsprtls.testns.svc.cluster.local", kind::SRV, NO_DATA),
        ("172-0-0-20.hdlsprtls.testns.svc.cluster.local", kind::A, "172.0.0.20"),
        ("hdlsempty.testns.svc.cluster.local", kind::A, NO_NAME),
    ]);
}

#[test]
fn aliases_are_followed_inside_and_handed_on_outside() {
    let outside = "CNAME ext.interwebs.test. -> ext.interwebs.test.";
    check(&[
        ("external.testns.svc.cluster.local", kind::CNAME, "CNAME ext.interwebs.test."),
        ("external.testns.svc.cluster.local", kind::A, outside),
        ("external.testns.svc.cluster.local", kind::SRV, NO_DATA),
        ("endpoint.external.testns.svc.cluster.local", kind::CNAME, NO_NAME),
        ("external-to-service.testns.svc.cluster.local", kind::A, "CNAME svc1.testns.svc.cluster.local., 10.0.0.1"),
        ("numeric.testns.svc.cluster.local", kind::A, NO_NAME),
    ]);
    let Answer::Whole(reply) = zone().answer(&Name::parse("loop.testns.svc.cluster.local").unwrap(), kind::A) else {
        panic!("the loop leads outside")
    };
    assert_eq!(reply.answers.len(), 8);
}

#[test]
fn branches_of_the_tree_exist_without_records() {
    check(&[
        ("cluster.local", kind::A, NO_DATA),
        ("cluster.local", kind::SOA, "SOA cluster.local. ns.dns.cluster.local."),
        ("cluster.local", kind::NS, "NS ns.dns.cluster.local."),
        ("svc.cluster.local", kind::A, NO_DATA),
        ("pod.cluster.local", kind::A, NO_DATA),
        ("testns.svc.cluster.local", kind::NS, NO_DATA),
        ("empty.pod.cluster.local", kind::A, NO_DATA),
        ("foo.svc.cluster.local", kind::NS, NO_NAME),
        ("foo.cluster.local", kind::NS, NO_NAME),
        ("dns-version.cluster.local", kind::TXT, "1.1.0"),
        ("dns-version.cluster.local", kind::A, NO_DATA),
    ]);
}

#[test]
fn pods_have_names_made_of_their_addresses() {
    check(&[
        ("10-240-0-1.testns.pod.cluster.local", kind::A, "10.240.0.1"),
        ("10-240-0-1.testns.pod.cluster.local", kind::AAAA, NO_DATA),
        ("1234-abcd--1.testns.pod.cluster.local", kind::AAAA, "1234:abcd::1"),
        ("10-240-0.testns.pod.cluster.local", kind::A, NO_NAME),
        ("10-240-0-1.other.pod.cluster.local", kind::A, NO_NAME),
        ("a.10-240-0-1.testns.pod.cluster.local", kind::A, NO_NAME),
    ]);
}

#[test]
fn addresses_lead_back_to_names_and_others_are_asked_for_theirs() {
    let none = "no name in-addr.arpa.";
    check(&[
        ("7.0.96.10.in-addr.arpa", kind::PTR, "two.testns.svc.cluster.local."),
        ("7.0.96.10.in-addr.arpa", kind::A, "no data in-addr.arpa."),
        ("4.0.0.172.in-addr.arpa", kind::PTR, "dup-name.hdls1.testns.svc.cluster.local."),
        ("8.0.96.10.in-addr.arpa", kind::PTR, none),
        ("8.0.244.10.in-addr.arpa", kind::PTR, none),
        ("1.0.200.10.in-addr.arpa", kind::PTR, none),
        ("2.0.200.10.in-addr.arpa", kind::PTR, "elsewhere"),
        ("x.0.96.10.in-addr.arpa", kind::PTR, "elsewhere"),
        ("example.com", kind::A, "elsewhere"),
        ("local", kind::A, "elsewhere"),
        ("xcluster.local", kind::A, "elsewhere"),
    ]);
}
