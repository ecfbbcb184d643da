//! Services and Endpoints.

use serde_json::Value;

use super::column::{AGE, NAME, Printer, text, wide};
use super::view::View;

pub(super) const PRINTERS: &[Printer] = &[
    Printer::new(
        "",
        "Service",
        &[
            NAME,
            text("Type", "How the service is exposed"),
            text("Cluster-IP", "Address of the service within the cluster"),
            text("External-IP", "Addresses at which the service is reached from outside"),
            text("Port(s)", "Ports that the service exposes"),
            AGE,
            wide("Selector", "Labels of the pods to which traffic goes"),
        ],
        service,
    ),
    Printer::new(
        "",
        "Endpoints",
        &[NAME, text("Endpoints", "Addresses and ports that the service sends traffic to"), AGE],
        endpoints,
    ),
];

/// How many addresses a cell lists.
const LISTED_MAX: usize = 3;

fn service(service: &View<'_>) -> Vec<Value> {
    let ports: Vec<String> = service.parts("/spec/ports").map(|port| port_text(&port)).collect();
    let ports = if ports.is_empty() { "<none>".to_owned() } else { ports.join(",") };
    let cluster_ip = service.text_or("/spec/clusterIP", "<none>");
    vec![
        service.name(),
        Value::from(service.text("/spec/type")),
        Value::from(service.optional_text("/spec/clusterIPs/0", cluster_ip)),
        Value::from(external_ip(service)),
        Value::from(ports),
        service.age(),
        Value::from(service.labels("/spec/selector")),
    ]
}

fn port_text(port: &View<'_>) -> String {
    let (number, protocol) = (port.integer("/port"), port.text("/protocol"));
    match port.integer("/nodePort") {
        node_port @ 1.. => format!("{number}:{node_port}/{protocol}"),
        _ => format!("{number}/{protocol}"),
    }
}

fn external_ip(service: &View<'_>) -> String {
    let given = service.texts("/spec/externalIPs");
    let or = |addresses: Vec<&str>, none: &str| {
        if addresses.is_empty() { none.to_owned() } else { addresses.join(",") }
    };
    match service.text("/spec/type") {
        "ClusterIP" | "NodePort" => or(given, "<none>"),
        "LoadBalancer" => {
            let mut addresses = load_balancer_addresses(service);
            addresses.extend(given);
            or(addresses, "<pending>")
        }
        "ExternalName" => service.text("/spec/externalName").to_owned(),
        _ => "<unknown>".to_owned(),
    }
}

/// Addresses or names of a load balancer, sorted, each once.
pub(super) fn load_balancer_addresses<'a>(object: &View<'a>) -> Vec<&'a str> {
    let ingress = object.parts("/status/loadBalancer/ingress");
    let mut addresses: Vec<&str> = ingress
        .map(|ingress| ingress.text_or("/ip", ingress.text("/hostname")))
        .filter(|address| !address.is_empty())
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

fn endpoints(endpoints: &View<'_>) -> Vec<Value> {
    vec![endpoints.name(), Value::from(endpoint_addresses(endpoints)), endpoints.age()]
}

fn endpoint_addresses(endpoints: &View<'_>) -> String {
    if endpoints.count("/subsets") == 0 {
        return "<none>".to_owned();
    }
    let mut all = Vec::new();
    for subset in endpoints.parts("/subsets") {
        let addresses: Vec<&str> = subset.parts("/addresses").map(|address| address.text("/ip")).collect();
        if subset.count("/ports") == 0 {
            all.extend(addresses.iter().map(|address| (*address).to_owned()));
        }
        for port in subset.parts("/ports") {
            let number = port.integer("/port");
            all.extend(addresses.iter().map(|address| host_port(address, number)));
        }
    }
    let listed = all[..all.len().min(LISTED_MAX)].join(",");
    match all.len().saturating_sub(LISTED_MAX) {
        0 => listed,
        more => format!("{listed} + {more} more..."),
    }
}

fn host_port(address: &str, port: i64) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

/// A few of many texts; `<unset>` for none.
pub(super) fn few(all: &[String]) -> String {
    let listed = all[..all.len().min(LISTED_MAX)].join(",");
    match all.len().saturating_sub(LISTED_MAX) {
        0 if listed.is_empty() => "<unset>".to_owned(),
        0 => listed,
        more => format!("{listed} + {more} more..."),
    }
}
