//! Objects that every cluster has from its first moment.

use kube::{
    Client, Error,
    api::{DynamicObject, Patch, PatchParams, PostParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};

use crate::{
    auth::certificates::FRONT,
    controller::volume,
    core::{admission, kinds::flow_control, rbac},
};

/// Creates what is not there yet; what is there stays as users have made it.
///
/// # Errors
/// What the server answers, other than that an object exists.
pub async fn write(client: &Client, https_port: u16, authority: &str) -> Result<(), Error> {
    for (plural, object) in objects() {
        create(client, plural, object).await?;
    }
    service_network(client).await?;
    for role in rbac::bootstrap::objects() {
        let mut object = role.object;
        if !role.namespace.is_empty() {
            object["metadata"]["namespace"] = role.namespace.into();
        }
        create(client, role.plural, object).await?;
    }
    create(client, "configmaps", authentication(authority)).await?;
    endpoints(client, https_port).await
}

/// What aggregated servers read to know whom to believe: this server, by its certificate.
fn authentication(authority: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "extension-apiserver-authentication", "namespace": "kube-system"},
        "data": {
            "client-ca-file": authority,
            "requestheader-allowed-names": json!([FRONT]).to_string(),
            "requestheader-client-ca-file": authority,
            "requestheader-extra-headers-prefix": "[\"X-Remote-Extra-\"]",
            "requestheader-group-headers": "[\"X-Remote-Group\"]",
            "requestheader-uid-headers": "[\"X-Remote-Uid\"]",
            "requestheader-username-headers": "[\"X-Remote-User\"]",
        },
    })
}

fn objects() -> Vec<(&'static str, Value)> {
    let mut all: Vec<(&'static str, Value)> = ["default", "kube-system", "kube-public", "kube-node-lease"]
        .into_iter()
        .map(|name| ("namespaces", json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})))
        .collect();
    all.push((
        "services",
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {
                "name": "kubernetes", "namespace": "default",
                "labels": {"component": "apiserver", "provider": "kubernetes"},
            },
            "spec": {
                "clusterIP": "10.96.0.1",
                "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}],
            },
        }),
    ));
    all.extend(admission::system_classes().into_iter().map(|(name, value, description)| {
        let object = json!({
            "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name},
            "value": value, "description": description,
        });
        ("priorityclasses", object)
    }));
    all.push(("storageclasses", volume::default_class()));
    all.extend(flow_control::levels().into_iter().map(|level| ("prioritylevelconfigurations", level)));
    all.extend(flow_control::schemas().into_iter().map(|schema| ("flowschemas", schema)));
    all
}

async fn create(client: &Client, plural: &str, object: Value) -> Result<(), Error> {
    let object: DynamicObject = serde_json::from_value(object).map_err(Error::SerdeError)?;
    match api(client, plural, &object).create(&PostParams::default(), &object).await {
        Ok(_) => Ok(()),
        Err(Error::Api(status)) if status.reason == "AlreadyExists" => Ok(()),
        Err(error) => Err(error),
    }
}

fn api(client: &Client, plural: &str, object: &DynamicObject) -> kube::Api<DynamicObject> {
    let types = object.types.clone().unwrap_or_default();
    let (group, version) = types.api_version.split_once('/').unwrap_or(("", &types.api_version));
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, &types.kind), plural);
    match &object.metadata.namespace {
        Some(namespace) => kube::Api::namespaced_with(client.clone(), namespace, &resource),
        None => kube::Api::all_with(client.clone(), &resource),
    }
}

/// The network of service addresses, as an object that says that it is ready.
async fn service_network(client: &Client) -> Result<(), Error> {
    let network = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": "kubernetes"},
        "spec": {"cidrs": [ferroflow_api::names::SERVICE_NETWORK]},
    });
    create(client, "servicecidrs", network.clone()).await?;
    let object: DynamicObject = serde_json::from_value(network).map_err(Error::SerdeError)?;
    let status = json!({"status": {"conditions": [{
        "type": "Ready", "status": "True", "reason": "", "lastTransitionTime": "2020-01-01T00:00:00Z",
        "message": "Kubernetes Service CIDR is ready",
    }]}});
    let patch = Patch::Merge(&status);
    api(client, "servicecidrs", &object).patch_status("kubernetes", &PatchParams::default(), &patch).await.map(drop)
}

/// The node's address as objects show it; see [`ferroflow_api::names`].
async fn endpoints(client: &Client, https_port: u16) -> Result<(), Error> {
    let address = ferroflow_api::names::NODE_ADDRESS;
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": "kubernetes", "namespace": "default",
            "labels": {"kubernetes.io/service-name": "kubernetes"},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": true}}],
        "ports": [{"name": "https", "port": https_port, "protocol": "TCP"}],
    });
    let endpoints = json!({
        "apiVersion": "v1", "kind": "Endpoints",
        "metadata": {
            "name": "kubernetes", "namespace": "default",
            "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
        },
        "subsets": [{
            "addresses": [{"ip": address}],
            "ports": [{"name": "https", "port": https_port, "protocol": "TCP"}],
        }],
    });
    for (plural, object) in [("endpointslices", slice), ("endpoints", endpoints)] {
        let object: DynamicObject = serde_json::from_value(object).map_err(Error::SerdeError)?;
        let api = api(client, plural, &object);
        let name = object.metadata.name.clone().unwrap_or_default();
        match api.get_opt(&name).await? {
            None => api.create(&PostParams::default(), &object).await.map(drop)?,
            Some(existing) => {
                let mut object = object;
                object.metadata.resource_version = existing.metadata.resource_version;
                api.replace(&name, &PostParams::default(), &object).await.map(drop)?;
            }
        }
    }
    Ok(())
}
