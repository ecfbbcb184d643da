//! Which pod holds which port of the host.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};

use k8s_openapi::api::core::v1::{Container, Pod};

use crate::core::spec;

/// A port of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Port {
    number: u16,
    protocol: String,
    /// `hostIP`; [`EVERYWHERE`] where the pod says nothing.
    address: String,
}

const EVERYWHERE: &str = "0.0.0.0";

impl Port {
    /// Whether two cannot be at the same time, as `HostPortInfo` of kube-scheduler has it: all addresses are in the way
    /// of each one.
    fn clashes(&self, other: &Self) -> bool {
        let address = self.address == other.address || self.address == EVERYWHERE || other.address == EVERYWHERE;
        self.number == other.number && self.protocol == other.protocol && address
    }
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
    holders: Vec<Holder>,
}

#[derive(Clone, Debug)]
struct Holder {
    port: Port,
    uid: String,
    name: String,
    /// The pod's object is gone, and what is left of the pod ends.
    is_leaving: bool,
}

impl Ports {
    /// No port is held.
    pub fn new(sharing: Sharing) -> Self {
        Self { sharing, holders: Vec::new() }
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

    /// Who has a port that is in the way of this one, and is another pod.
    fn holder(&self, port: &Port, uid: &str) -> Option<&Holder> {
        self.holders
            .iter()
            .filter(|holder| holder.uid != uid && holder.port.clashes(port))
            .min_by_key(|holder| holder.is_leaving)
    }

    /// Takes the ports of a pod that is new to the node, or none of them where another pod has one; whether it has them.
    /// Where pods have no addresses of their own they wait for each other instead.
    pub fn admit(&mut self, pod: &Pod, uid: &str) -> bool {
        let wanted = self.wanted(pod);
        // One that ends is waited for.
        let is_free = |(_, port): &(String, Port)| self.holder(port, uid).is_none_or(|holder| holder.is_leaving);
        if self.sharing == Sharing::AllPorts {
            return true;
        }
        let is_admitted = wanted.iter().all(is_free);
        if is_admitted {
            self.hold(pod, uid, wanted);
        }
        is_admitted
    }

    /// Takes all ports of the host that a pod's containers name, or none of them.
    ///
    /// # Errors
    /// A message that names the port that is taken, and who has it.
    pub fn claim(&mut self, pod: &Pod, uid: &str) -> Result<(), String> {
        let (wanted, reason) = (self.wanted(pod), self.reason());
        for (container, port) in &wanted {
            let Port { number, protocol, .. } = port;
            if let Some(holder) = self.holder(port, uid) {
                return Err(format!(
                    "port {number}/{protocol} of container {container:?} is taken by pod {}: {reason}",
                    holder.name
                ));
            }
            let is_own = self.holders.iter().any(|holder| holder.uid == uid && holder.port == *port);
            if !is_own && is_taken_on_host(port) {
                return Err(format!(
                    "port {number}/{protocol} of container {container:?} is taken by another program of this host: \
                     {reason}"
                ));
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
        self.release(uid);
        let holder = |(_, port)| Holder { port, uid: uid.to_owned(), name: name.clone(), is_leaving: false };
        self.holders.extend(wanted.into_iter().map(holder));
    }

    /// Lets others be admitted that want the ports of a pod whose object is gone: they wait until these are given back.
    pub fn leave(&mut self, uid: &str) {
        self.holders.iter_mut().filter(|holder| holder.uid == uid).for_each(|holder| holder.is_leaving = true);
    }

    /// Gives back the ports of a pod.
    pub fn release(&mut self, uid: &str) {
        self.holders.retain(|holder| holder.uid != uid);
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
        let address = port.host_ip.clone().filter(|address| !address.is_empty());
        let address = address.unwrap_or_else(|| EVERYWHERE.to_owned());
        Some((container.name.clone(), Port { number, protocol, address }))
    };
    container.ports.iter().flatten().filter_map(row).collect()
}

/// Whether a program of the host has a port, where this node would open it.
fn is_taken_on_host(port: &Port) -> bool {
    let Ok(address) = port.address.parse::<Ipv4Addr>() else { return false };
    let in_use = |error: std::io::Error| error.kind() == std::io::ErrorKind::AddrInUse;
    match port.protocol.as_str() {
        "TCP" => TcpListener::bind((address, port.number)).err().is_some_and(in_use),
        "UDP" => UdpSocket::bind((address, port.number)).err().is_some_and(in_use),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use serde_json::json;

    /// Claims a port that this test had open: a program that another one was just starting has it for a moment longer.
    fn claim(ports: &mut Ports, pod: &Pod, uid: &str) {
        let began = Instant::now();
        while let Err(why) = ports.claim(pod, uid) {
            assert!(began.elapsed() < Duration::from_secs(10), "{why}");
            std::thread::yield_now();
        }
    }

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
        claim(&mut ports, &pod("a", taken), "1");
        ports.claim(&pod("a", taken), "1").unwrap();
        assert!(ports.claim(&pod("b", taken), "2").unwrap_err().contains("taken by pod ns/a"));
        ports.release("1");
        claim(&mut ports, &pod("b", taken), "2");
    }

    #[test]
    fn pods_with_addresses_of_their_own_hold_host_ports_alone() {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let mut ports = Ports::new(Sharing::HostPorts);
        ports.claim(&pod("a", port), "1").unwrap();
        ports.claim(&pod("b", port), "2").unwrap();
        let mut in_host_network = pod("c", port);
        in_host_network.spec.as_mut().unwrap().host_network = Some(true);
        claim(&mut ports, &in_host_network, "3");
        let mut with_host_port = pod("d", 80);
        with_host_port.spec.as_mut().unwrap().containers[0].ports.as_mut().unwrap()[0].host_port = Some(port.into());
        let refused = ports.claim(&with_host_port, "4").unwrap_err();
        assert!(refused.contains("taken by pod ns/c: hostPort"), "{refused}");
    }

    #[test]
    fn a_host_port_is_one_for_each_address_and_protocol() {
        let with = |name: &str, address: &str, protocol: &str| -> Pod {
            let ports = json!([{"containerPort": 80, "hostPort": 8080, "hostIP": address, "protocol": protocol}]);
            serde_json::from_value(json!({"metadata": {"name": name, "namespace": "ns"},
                "spec": {"containers": [{"name": "c", "ports": ports}]}}))
            .unwrap()
        };
        let rows = [
            ("127.0.0.1", "TCP", true),
            ("127.0.0.1", "TCP", false),
            ("127.0.0.2", "TCP", true),
            ("127.0.0.1", "UDP", true),
            ("", "TCP", false),
            ("0.0.0.0", "UDP", false),
            ("", "SCTP", true),
        ];
        let mut ports = Ports::new(Sharing::HostPorts);
        for (number, (address, protocol, is_admitted)) in rows.into_iter().enumerate() {
            let pod = with("p", address, protocol);
            let admitted = ports.admit(&pod, &number.to_string());
            assert_eq!(admitted, is_admitted, "{address} {protocol}");
        }
        // One that is there already is admitted again, and one whose port is given back.
        assert!(ports.admit(&with("p", "127.0.0.1", "TCP"), "0"));
        ports.release("0");
        assert!(ports.admit(&with("p", "127.0.0.1", "TCP"), "1"));
        let next = with("p", "127.0.0.1", "UDP");
        assert!(!ports.admit(&next, "9"));
        ports.leave("3");
        assert!(ports.admit(&next, "9"));
        assert!(ports.claim(&next, "9").unwrap_err().contains("taken by pod ns/p"), "it waits for the other's end");
        ports.release("3");
        ports.claim(&next, "9").unwrap();
        let mut shared = Ports::new(Sharing::AllPorts);
        shared.adopt(&with("p", "", "TCP"), "0");
        assert!(shared.admit(&with("q", "", "TCP"), "1"), "it waits");
    }
}
