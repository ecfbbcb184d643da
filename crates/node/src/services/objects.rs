//! The service of the cluster's DNS server, as clusters have it: `kube-dns` in `kube-system`.

use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::core::network::{DNS, DNS_PORT, SERVER_RANGE};

const NAMESPACE: &str = "kube-system";
const NAME: &str = "kube-dns";

/// Writes the service and the slice of its endpoint. What users have made of the service stays.
///
/// # Errors
/// What the API server answers.
pub async fn write(client: &Client) -> kube::Result<()> {
    let services: Api<Service> = Api::namespaced(client.clone(), NAMESPACE);
    if services.get_opt(NAME).await?.is_none() {
        let service = serde_json::from_value(service()).map_err(kube::Error::SerdeError)?;
        services.create(&PostParams::default(), &service).await?;
    }
    let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), NAMESPACE);
    let slice = slice();
    if slices.get_opt(NAME).await?.is_none() {
        let slice = serde_json::from_value(slice).map_err(kube::Error::SerdeError)?;
        return slices.create(&PostParams::default(), &slice).await.map(drop);
    }
    slices.patch(NAME, &PatchParams::default(), &Patch::Merge(&slice)).await.map(drop)
}

fn ports(port: &str) -> Value {
    json!([{"name": "dns", "protocol": "UDP", port: DNS_PORT}, {"name": "dns-tcp", "protocol": "TCP", port: DNS_PORT}])
}

fn service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": NAME, "namespace": NAMESPACE,
            "labels": {
                "k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS",
            },
        },
        // No selector: the server is a part of the node, and no pod.
        "spec": {"clusterIP": DNS, "ports": ports("port")},
    })
}

fn slice() -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": {"kubernetes.io/service-name": NAME}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [format!("10.244.{SERVER_RANGE}.10")], "conditions": {"ready": true}}],
        "ports": ports("port"),
    })
}
