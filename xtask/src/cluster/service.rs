//! Services of a cluster that lead to programs of the first node instead of to pods.

use serde_json::{Value, json};

use super::layout::Node;

/// Where they all are.
const NAMESPACE: &str = "kube-system";

/// A port of a service, and where its program listens on the node.
#[derive(Clone, Copy, Debug)]
pub struct Port {
    pub name: &'static str,
    pub protocol: &'static str,
    pub port: u16,
    pub target: u16,
}

impl Port {
    /// A port of TCP.
    pub const fn tcp(name: &'static str, port: u16, target: u16) -> Self {
        Self { name, protocol: "TCP", port, target }
    }
}

/// The name that pods reach a service by, in whatever namespace they are.
pub fn host(name: &str) -> String {
    format!("{name}.{NAMESPACE}.svc.cluster.local")
}

/// A service and the slice that leads to the node. It has the address that is given, or any.
pub fn objects(name: &str, address: Option<&str>, ports: &[Port]) -> [Value; 2] {
    let port = |port: &Port, number: u16| json!({"name": port.name, "protocol": port.protocol, "port": number});
    let shown: Vec<_> = ports.iter().map(|one| port(one, one.port)).collect();
    let targets: Vec<_> = ports.iter().map(|one| port(one, one.target)).collect();
    let mut service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"k8s-app": name}},
        "spec": {"ports": shown},
    });
    if let Some(address) = address {
        service["spec"]["clusterIP"] = json!(address);
    }
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": format!("{name}-node"),
            "namespace": NAMESPACE,
            "labels": {"kubernetes.io/service-name": name},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [Node { number: 1 }.address()], "conditions": {"ready": true}}],
        "ports": targets,
    });
    [service, slice]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_leads_to_the_port_of_its_program() {
        let [service, slice] = objects("s3", None, &[Port::tcp("http", 80, 7070)]);
        assert_eq!(service["spec"], json!({"ports": [{"name": "http", "protocol": "TCP", "port": 80}]}));
        assert_eq!(slice["ports"], json!([{"name": "http", "protocol": "TCP", "port": 7070}]));
        assert_eq!(slice["metadata"]["labels"], json!({"kubernetes.io/service-name": "s3"}));
        assert_eq!(host("s3"), "s3.kube-system.svc.cluster.local");
    }
}
