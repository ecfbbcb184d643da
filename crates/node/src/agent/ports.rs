//! Which pod holds which port of the host, as long as pods have no network of their own.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, TcpListener, UdpSocket},
};

use k8s_openapi::api::core::v1::{Container, Pod};

use crate::core::spec;

/// A port of the host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Port {
    number: u16,
    protocol: String,
}

/// The ports that pods hold.
#[derive(Debug, Default)]
pub struct Ports {
    holders: HashMap<Port, Holder>,
}

#[derive(Clone, Debug)]
struct Holder {
    uid: String,
    name: String,
}

impl Ports {
    /// Takes all ports that a pod's containers name, or none of them.
    ///
    /// # Errors
    /// A message that names the port that is taken, and who has it.
    pub fn claim(&mut self, pod: &Pod, uid: &str) -> Result<(), String> {
        let containers = pod.spec.as_ref().map(spec::containers).unwrap_or_default();
        let wanted: Vec<(String, Port)> = containers.iter().flat_map(|(_, container)| ports_of(container)).collect();
        for (container, port) in &wanted {
            let Port { number, protocol } = port;
            match self.holders.get(port) {
                Some(holder) if holder.uid == uid => continue,
                Some(holder) => {
                    return Err(format!(
                        "port {number}/{protocol} of container {container:?} is taken by pod {}: pods share the host's ports",
                        holder.name
                    ));
                }
                None if is_taken_on_host(port) => {
                    return Err(format!(
                        "port {number}/{protocol} of container {container:?} is taken by another program of this host: \
                         pods share the host's ports"
                    ));
                }
                None => {}
            }
        }
        self.hold(pod, uid, wanted);
        Ok(())
    }

    /// Takes the ports of a pod that runs already.
    pub fn adopt(&mut self, pod: &Pod, uid: &str) {
        let containers = pod.spec.as_ref().map(spec::containers).unwrap_or_default();
        self.hold(pod, uid, containers.iter().flat_map(|(_, container)| ports_of(container)).collect());
    }

    fn hold(&mut self, pod: &Pod, uid: &str, wanted: Vec<(String, Port)>) {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let name = format!("{}/{}", text(&pod.metadata.namespace), text(&pod.metadata.name));
        for (_, port) in wanted {
            self.holders.insert(port, Holder { uid: uid.to_owned(), name: name.clone() });
        }
    }

    /// Gives back the ports of a pod.
    pub fn release(&mut self, uid: &str) {
        self.holders.retain(|_, holder| holder.uid != uid);
    }
}

fn ports_of(container: &Container) -> Vec<(String, Port)> {
    let row = |port: &k8s_openapi::api::core::v1::ContainerPort| {
        let number = u16::try_from(port.container_port).ok()?;
        let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
        Some((container.name.clone(), Port { number, protocol }))
    };
    container.ports.iter().flatten().filter_map(row).collect()
}

fn is_taken_on_host(port: &Port) -> bool {
    let address = (Ipv4Addr::UNSPECIFIED, port.number);
    let in_use = |error: std::io::Error| error.kind() == std::io::ErrorKind::AddrInUse;
    match port.protocol.as_str() {
        "TCP" => TcpListener::bind(address).err().is_some_and(in_use),
        "UDP" => UdpSocket::bind(address).err().is_some_and(in_use),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(name: &str, port: u16) -> Pod {
        let ports = json!([{"containerPort": port}]);
        serde_json::from_value(json!({"metadata": {"name": name, "namespace": "ns"},
            "spec": {"containers": [{"name": "c", "ports": ports}]}}))
        .unwrap()
    }

    #[test]
    fn a_port_belongs_to_one_pod_at_a_time() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let taken = listener.local_addr().unwrap().port();
        let mut ports = Ports::default();
        let foreign = ports.claim(&pod("a", taken), "1").unwrap_err();
        assert!(foreign.contains(&format!("port {taken}/TCP of container \"c\" is taken by another program")));
        drop(listener);
        ports.claim(&pod("a", taken), "1").unwrap();
        ports.claim(&pod("a", taken), "1").unwrap();
        assert!(ports.claim(&pod("b", taken), "2").unwrap_err().contains("taken by pod ns/a"));
        ports.release("1");
        ports.claim(&pod("b", taken), "2").unwrap();
    }
}
