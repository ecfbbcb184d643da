use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddrV4},
};

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::{
    reach::{Door, Owner, doors, is_balanced, next_balancer},
    table::{Facts, plan},
    *,
};
use crate::core::network::{Protocol, Table, Target};

fn service(name: &str, spec: Value) -> Service {
    serde_json::from_value(json!({"metadata": {"name": name, "namespace": "ns"}, "spec": spec})).unwrap()
}

fn slice(service: &str, ports: Value, endpoints: Value) -> EndpointSlice {
    serde_json::from_value(json!({
        "metadata": {"name": service, "namespace": "ns", "labels": {SERVICE_NAME: service}},
        "addressType": "IPv4", "ports": ports, "endpoints": endpoints,
    }))
    .unwrap()
}

fn pod(ports: Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "p", "namespace": "ns"},
        "spec": {"containers": [{"name": "c", "ports": ports}]},
        "status": {"podIP": "10.244.0.9", "phase": "Running"},
    }))
    .unwrap()
}

fn table(services: &[Service], slices: &[EndpointSlice], pods: &[Pod]) -> Table {
    let api = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 6443);
    let name_servers = vec![Ipv4Addr::new(192, 0, 2, 53)];
    let facts = Facts { block: 20, dns_port: 40053, first_port: 0, api, name_servers };
    plan(&facts, services, &Slices::new(slices), pods)
}

fn backends(target: &Target) -> Vec<String> {
    target.backends.iter().map(|(address, port)| format!("{address}:{port}")).collect()
}

#[test]
fn a_services_ports_lead_to_the_endpoints_that_are_ready() {
    let web = service(
        "web",
        json!({"clusterIP": "10.96.0.7", "externalIPs": ["192.0.2.7"], "ports": [
            {"name": "http", "port": 80, "nodePort": 30080}, {"name": "admin", "port": 81},
            {"name": "stream", "port": 80, "protocol": "SCTP"}]}),
    );
    let one = slice(
        "web",
        json!([{"name": "http", "port": 8080}, {"name": "admin", "port": 9000}, {"name": "http", "port": 1, "protocol": "UDP"}]),
        json!([{"addresses": ["10.244.0.6"], "conditions": {"ready": true}},
            {"addresses": ["10.244.0.5"]},
            {"addresses": ["10.244.0.7"], "conditions": {"ready": false}}]),
    );
    let two = slice("web", json!([{"name": "http", "port": 8081}]), json!([{"addresses": ["10.244.0.8"]}]));
    let table = table(&[web], &[one, two], &[]);
    let http = ["10.244.0.5:8080", "10.244.0.6:8080", "10.244.0.8:8081"];
    for key in ["10.96.0.7:80/TCP", "192.0.2.7:80/TCP"] {
        assert_eq!(backends(&table.services[key]), http, "{key}");
    }
    assert_eq!(backends(&table.services["10.96.0.7:81/TCP"]), ["10.244.0.5:9000", "10.244.0.6:9000"]);
    assert_eq!(table.services.len(), 6);
    assert_eq!(backends(&table.node["10.200.0.1:30080/TCP"]), http);
    assert_eq!(table.node.len(), 2);
}

#[test]
fn a_service_without_ready_endpoints_keeps_those_that_still_serve() {
    let web = service("web", json!({"clusterIP": "10.96.0.7", "ports": [{"port": 80}]}));
    let ends = json!({"ready": false, "serving": true, "terminating": true});
    let endpoints = json!([{"addresses": ["10.244.0.5"], "conditions": ends},
        {"addresses": ["10.244.0.6"], "conditions": {"ready": false, "serving": false, "terminating": true}}]);
    let last = slice("web", json!([{"port": 8080}]), endpoints);
    let found = table(std::slice::from_ref(&web), &[last], &[]);
    assert_eq!(backends(&found.services["10.96.0.7:80/TCP"]), ["10.244.0.5:8080"]);
    let none = table(&[web], &[], &[]);
    assert_eq!(none.services["10.96.0.7:80/TCP"], Target::default());
}

#[test]
fn the_api_server_is_found_where_it_listens() {
    let mut api = service("kubernetes", json!({"clusterIP": "10.96.0.1", "ports": [{"name": "https", "port": 443}]}));
    api.metadata.namespace = Some("default".to_owned());
    let mut own = slice("kubernetes", json!([{"name": "https", "port": 6443}]), json!([{"addresses": ["10.200.0.1"]}]));
    own.metadata.namespace = Some("default".to_owned());
    let table = table(&[api], &[own], &[]);
    assert_eq!(backends(&table.services["10.96.0.1:443/TCP"]), ["127.0.0.1:6443"]);
    assert_eq!(backends(&table.node["10.200.0.1:6443/TCP"]), ["127.0.0.1:6443"]);
}

#[test]
fn the_hosts_name_servers_are_stood_in_for() {
    use crate::core::network::{Destination, decide_connect};
    let mut api =
        service("web", json!({"clusterIP": "10.96.0.7", "externalIPs": ["192.0.2.7"], "ports": [{"port": 80}]}));
    api.metadata.namespace = Some("ns".to_owned());
    let endpoints = slice("web", json!([{"port": 8080}]), json!([{"addresses": ["10.244.0.5"]}]));
    let table = table(&[api], &[endpoints], &[]);
    let own = Some(Ipv4Addr::new(10, 244, 0, 9));
    let at = |text: &str| decide_connect(&table, own, text.parse().unwrap(), Protocol::Tcp, 0);
    let cluster = |text: &str| Destination::Cluster(text.parse().unwrap());
    assert_eq!(at("192.0.2.53:53"), cluster("127.20.255.10:40053"));
    assert_eq!(at("192.0.2.53:54"), Destination::Outside);
    assert_eq!(at("192.0.2.7:80"), cluster("127.20.0.5:8080"));
    assert_eq!(at("192.0.2.7:81"), Destination::Outside);
}

#[test]
fn services_without_an_address_of_their_own_have_no_ports() {
    let headless = service("h", json!({"clusterIP": "None", "ports": [{"port": 80}]}));
    let outside = service("o", json!({"type": "ExternalName", "externalName": "a.b", "ports": [{"port": 80}]}));
    assert_eq!(table(&[headless, outside], &[], &[]).services.len(), 2);
}

#[test]
fn clients_stay_where_a_service_wants_it() {
    let own = json!({"clientIP": {"timeoutSeconds": 10}});
    let rows = [
        (json!({"sessionAffinity": "None"}), None),
        (json!({"sessionAffinity": "ClientIP"}), Some(10_800)),
        (json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": own}), Some(10)),
    ];
    for (mut spec, expected) in rows {
        spec["clusterIP"] = "10.96.0.7".into();
        spec["ports"] = json!([{"port": 80}]);
        let found = table(&[service("web", spec)], &[], &[]);
        assert_eq!(found.services["10.96.0.7:80/TCP"].affinity_s, expected);
    }
}

#[test]
fn host_ports_are_reached_where_their_address_says() {
    let pod = pod(json!([
        {"containerPort": 80, "hostPort": 8080},
        {"containerPort": 81, "hostPort": 8081, "hostIP": "127.0.0.1"},
        {"containerPort": 82, "hostPort": 8082, "hostIP": "10.200.0.1", "protocol": "UDP"},
        {"containerPort": 84, "hostPort": 8081, "hostIP": "127.0.0.2"},
        {"containerPort": 84, "hostPort": 8084, "hostIP": "127.20.0.9"},
        {"containerPort": 84, "hostPort": 8085, "hostIP": "192.0.2.1"},
        {"containerPort": 83}]));
    let found = table(&[], &[], std::slice::from_ref(&pod));
    assert_eq!(backends(&found.node["10.200.0.1:8080/TCP"]), ["10.244.0.9:80"]);
    assert_eq!(backends(&found.node["10.200.0.1:8082/UDP"]), ["10.244.0.9:82"]);
    assert_eq!(found.node.len(), 3);
    let doors = doors(20, &[], &Slices::default(), [&pod]);
    let open: Vec<String> = doors.keys().map(|door| format!("{}:{}", door.address, door.port)).collect();
    assert_eq!(open, ["127.0.0.1:8080", "127.0.0.1:8081", "127.0.0.2:8081"]);
    let mut ended = pod.clone();
    ended.status.as_mut().unwrap().phase = Some("Succeeded".to_owned());
    let mut on_host = pod;
    on_host.spec.as_mut().unwrap().host_network = Some(true);
    assert_eq!(table(&[], &[], &[ended, on_host]).node.len(), 1);
}

#[test]
fn doors_are_node_ports_and_addresses_of_the_load_balancer() {
    let mut web = service(
        "web",
        json!({"type": "LoadBalancer", "clusterIP": "10.96.0.7", "ports": [{"port": 80, "nodePort": 30080}]}),
    );
    let status = json!({"loadBalancer": {"ingress": [{"ip": "127.20.254.1", "ipMode": "VIP"}]}});
    web.status = serde_json::from_value(status).unwrap();
    let slices = [slice("web", json!([{"port": 8080}]), json!([{"addresses": ["10.244.0.5"]}]))];
    let found = doors(20, [&web], &Slices::new(&slices), &[]);
    let door = |address: [u8; 4], port| Door { address: address.into(), port, protocol: Protocol::Tcp };
    let owner = Owner::Service { namespace: "ns".to_owned(), name: "web".to_owned() };
    for (door, what) in
        [(door([127, 0, 0, 1], 30080), "node port 30080"), (door([127, 20, 254, 1], 80), "load balancer port 80")]
    {
        let behind = &found[&door];
        assert_eq!((&behind.owner, behind.what.as_str()), (&owner, what));
        assert_eq!(behind.backends, [(Ipv4Addr::new(10, 244, 0, 5), 8080)]);
    }
    assert_eq!(found.len(), 2);
    // An address of another block is another cluster's.
    assert_eq!(doors(21, [&web], &Slices::new(&slices), &[]).len(), 1);
}

#[test]
fn load_balancers_get_free_addresses_and_those_they_ask_for() {
    let at = |last| Ipv4Addr::new(127, 20, 254, last);
    let plain = service("web", json!({"type": "LoadBalancer"}));
    assert_eq!(next_balancer(&plain, 20, &BTreeSet::from([at(1), at(3)])), Some(at(2)));
    let asking = service("web", json!({"type": "LoadBalancer", "loadBalancerIP": "127.20.254.9"}));
    assert_eq!(next_balancer(&asking, 20, &BTreeSet::new()), Some(at(9)));
    assert_eq!(next_balancer(&asking, 20, &BTreeSet::from([at(9)])), Some(at(1)));
    assert_eq!(next_balancer(&plain, 20, &(1..=254).map(at).collect()), None);
}

#[test]
fn a_load_balancer_that_admits_nobody_of_this_host_is_none() {
    let rows = [
        (json!([]), true),
        (json!(["10.0.0.0/8"]), false),
        (json!(["10.0.0.0/8", " 127.0.0.0/8"]), true),
        (json!(["127.0.0.1/32"]), true),
        (json!(["127.0.0.2/32"]), false),
        (json!(["0.0.0.0/0"]), true),
        (json!(["::/0", "127.0.0.1", "127.0.0.1/33"]), false),
    ];
    for (ranges, expected) in rows {
        let web = service("web", json!({"type": "LoadBalancer", "loadBalancerSourceRanges": ranges}));
        assert_eq!(is_balanced(&web), expected, "{ranges}");
    }
    assert!(!is_balanced(&service("web", json!({"type": "LoadBalancer", "loadBalancerClass": "a.b/c"}))));
    assert!(!is_balanced(&service("web", json!({"type": "NodePort"}))));
}
