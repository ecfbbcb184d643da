//! Which pod holds which port of the host.

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

/// Which ports of pods are ports of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// All: pods have no addresses of their own.
    AllPorts,
    /// Those of pods in the host's network, and each `hostPort`.
    HostPorts,
}

/// The ports that pods hold.
#[derive(Debug)]
pub struct Ports {
    sharing: Sharing,
    holders: HashMap<Port, Holder>,
}

#[derive(Clone, Debug)]
struct Holder {
    uid: String,
    name: String,
}

impl Ports {
    /// No port is held.
    pub fn new(sharing: Sharing) -> Self {
        Self { sharing, holders: HashMap::new() }
    }

    /// The host's ports that a pod wants, each with the container that does.
    fn wanted(&self, pod: &Pod) -> Vec<(String, Port)> {
        let containers = pod.spec.as_ref().map(spec::containers).unwrap_or_default();
        let on_host = pod.spec.as_ref().is_some_and(|spec| spec.host_network == Some(true));
        let sharing = if on_host { Sharing::AllPorts } else { self.sharing };
        containers.iter().flat_map(|(_, container)| ports_of(container, sharing)).collect()
    }

    /// Why a port is the host's, at the end of a message.
    fn reason(&self) -> &'static str {
        match self.sharing {
            Sharing::AllPorts => "pods share the host's ports",
            Sharing::HostPorts => "hostPort, and the ports of a pod with hostNetwork, are the host's",
        }
    }

    /// Takes all ports of the host that a pod's containers name, or none of them.
    ///
    /// # Errors
    /// A message that names the port that is taken, and who has it.
    pub fn claim(&mut self, pod: &Pod, uid: &str) -> Result<(), String> {
        let (wanted, reason) = (self.wanted(pod), self.reason());
        for (container, port) in &wanted {
            let Port { number, protocol } = port;
            match self.holders.get(port) {
                Some(holder) if holder.uid == uid => continue,
                Some(holder) => {
                    return Err(format!(
                        "port {number}/{protocol} of container {container:?} is taken by pod {}: {reason}",
                        holder.name
                    ));
                }
                None if is_taken_on_host(port) => {
                    return Err(format!(
                        "port {number}/{protocol} of container {container:?} is taken by another program of this host: \
                         {reason}"
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
        self.hold(pod, uid, self.wanted(pod));
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

fn ports_of(container: &Container, sharing: Sharing) -> Vec<(String, Port)> {
    let row = |port: &k8s_openapi::api::core::v1::ContainerPort| {
        let number = match sharing {
            Sharing::AllPorts => port.container_port,
            Sharing::HostPorts => port.host_port.filter(|number| *number != 0)?,
        };
        let number = u16::try_from(number).ok()?;
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
        let mut ports = Ports::new(Sharing::AllPorts);
        let foreign = ports.claim(&pod("a", taken), "1").unwrap_err();
        assert!(foreign.contains(&format!("port {taken}/TCP of container \"c\" is taken by another program")));
        drop(listener);
        ports.claim(&pod("a", taken), "1").unwrap();
        ports.claim(&pod("a", taken), "1").unwrap();
        assert!(ports.claim(&pod("b", taken), "2").unwrap_err().contains("taken by pod ns/a"));
        ports.release("1");
        ports.claim(&pod("b", taken), "2").unwrap();
    }

    #[test]
    fn pods_with_addresses_of_their_own_hold_host_ports_alone() {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let mut ports = Ports::new(Sharing::HostPorts);
        ports.claim(&pod("a", port), "1").unwrap();
        ports.claim(&pod("b", port), "2").unwrap();
        let mut in_host_network = pod("c", port);
        in_host_network.spec.as_mut().unwrap().host_network = Some(true);
        ports.claim(&in_host_network, "3").unwrap();
        let mut with_host_port = pod("d", 80);
        with_host_port.spec.as_mut().unwrap().containers[0].ports.as_mut().unwrap()[0].host_port = Some(port.into());
        let refused = ports.claim(&with_host_port, "4").unwrap_err();
        assert!(refused.contains("taken by pod ns/c: hostPort"), "{refused}");
    }
}
