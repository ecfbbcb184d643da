//! Where the programs stand that this server calls: those behind services, and those of a URL.
//!
//! A pod of this cluster is dialled through its node, which alone knows where its ports are open; any other address is
//! dialled as it stands.

use std::net::Ipv4Addr;

use ferroflow_platform::kubelet::{Connection, ContainerRef};
use serde_json::Value;
use tokio::net::TcpStream;

use super::{admission::chance, server::Api};
use crate::core::admission::Lookup;

/// One of the places where a service is answered.
struct Place {
    address: String,
    port: u16,
    /// Name and uid of the pod, where it is one.
    pod: Option<(String, String)>,
}

/// Connects to a port of a service, at any of its ready endpoints.
///
/// # Errors
/// Why nobody is reached, in upstream's words where it has some.
pub async fn service(api: &Api, namespace: &str, name: &str, port: u16) -> Result<Box<dyn Connection>, String> {
    let found = api.lookup.get("", "services", namespace, name);
    let service = found.ok_or_else(|| format!("service {name:?} not found"))?;
    let spec = &service["spec"];
    if spec["type"] == "ExternalName" {
        return address(spec["externalName"].as_str().unwrap_or_default(), port).await;
    }
    let ports = spec["ports"].as_array().map(Vec::as_slice).unwrap_or_default();
    let row = ports.iter().find(|row| row["port"].as_u64() == Some(u64::from(port)));
    let row = row.ok_or_else(|| format!("no service port {port} found for service {name:?}"))?;
    let endpoints = api.lookup.get("", "endpoints", namespace, name);
    let mut places = endpoints.map(|endpoints| places(&endpoints, row, ports.len())).unwrap_or_default();
    if places.is_empty() {
        return Err(format!("no endpoints available for service {name:?}"));
    }
    let count = u64::try_from(places.len()).unwrap_or(1);
    let place = places.swap_remove(usize::try_from(chance() % count).unwrap_or(0));
    match (&place.pod, api.agent.get()) {
        (Some((pod, uid)), Some(agent)) => {
            let (namespace, pod, uid) = (namespace.to_owned(), pod.clone(), uid.clone());
            let target = ContainerRef { namespace, pod, uid, container: String::new() };
            agent
                .connect(target, place.port)
                .await
                .map_err(|error| format!("dial tcp {}:{}: {error}", place.address, place.port))
        }
        _ => address(&place.address, place.port).await,
    }
}

fn places(endpoints: &Value, row: &Value, ports: usize) -> Vec<Place> {
    let mut found = Vec::new();
    for subset in endpoints["subsets"].as_array().into_iter().flatten() {
        let rows = subset["ports"].as_array().into_iter().flatten();
        let port = rows.filter(|one| one["name"] == row["name"] || ports == 1).find_map(|one| one["port"].as_u64());
        let Some(port) = port.and_then(|port| u16::try_from(port).ok()) else { continue };
        for address in subset["addresses"].as_array().into_iter().flatten() {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let target = &address["targetRef"];
            let pod = (target["kind"] == "Pod").then(|| (text(&target["name"]), text(&target["uid"])));
            found.push(Place { address: text(&address["ip"]), port, pod });
        }
    }
    found
}

/// Connects to a port of a host. The node's own address, which stands in objects only, is this machine.
///
/// # Errors
/// In Go's words.
pub async fn address(host: &str, port: u16) -> Result<Box<dyn Connection>, String> {
    let is_node = host == ferroflow_api::names::NODE_ADDRESS;
    let to = if is_node { Ipv4Addr::LOCALHOST.to_string() } else { host.trim_matches(['[', ']']).to_owned() };
    match TcpStream::connect((to.as_str(), port)).await {
        Ok(stream) => {
            // One small message each way: nothing is gained by waiting for more.
            let _ = stream.set_nodelay(true);
            Ok(Box::new(stream))
        }
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            Err(format!("dial tcp {host}:{port}: connect: connection refused"))
        }
        Err(error) => Err(format!("dial tcp {host}:{port}: {error}")),
    }
}
