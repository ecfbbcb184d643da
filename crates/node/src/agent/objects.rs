//! Fetches the objects that a pod refers to: config maps, secrets, claims, tokens.

use std::collections::BTreeMap;

use futures::future::try_join_all;
use k8s_openapi::{
    api::{
        authentication::v1::{BoundObjectReference, TokenRequest as ApiTokenRequest, TokenRequestSpec},
        core::v1::{
            ConfigMap, HostPathVolumeSource, PersistentVolume, PersistentVolumeClaim, Pod, Secret, ServiceAccount,
        },
        node::v1::RuntimeClass,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{Api, Client, api::PostParams};

use crate::core::{
    admit,
    env::{References, Sources},
    volume::TokenRequest,
};

/// Who made a volume, and the cluster's own maker of volumes.
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
const PROVISIONER: &str = "ferroflow.dev/local";

/// Fetches objects by name; those that do not exist are absent from the result.
///
/// # Errors
/// What the API server answers otherwise.
pub async fn fetch(client: &Client, namespace: &str, wanted: &References) -> kube::Result<Sources> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let (maps, secrets) = futures::try_join!(
        try_join_all(wanted.config_maps.iter().map(|name| maps.get_opt(name))),
        try_join_all(wanted.secrets.iter().map(|name| secrets.get_opt(name))),
    )?;
    let maps = wanted.config_maps.iter().cloned().zip(maps).filter_map(|(name, map)| Some((name, map?)));
    let secrets = wanted.secrets.iter().cloned().zip(secrets).filter_map(|(name, secret)| Some((name, secret?)));
    Ok(Sources { config_maps: maps.collect(), secrets: secrets.collect() })
}

/// Asks for tokens of the pod's service account, bound to the pod.
///
/// # Errors
/// What the API server answers.
pub async fn tokens(
    client: &Client,
    pod: &Pod,
    wanted: Vec<TokenRequest>,
) -> kube::Result<BTreeMap<TokenRequest, String>> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref()).unwrap_or("default");
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let asked = wanted.into_iter().map(|request| {
        let body = token_body(pod, &request);
        let accounts = accounts.clone();
        async move {
            let answer = accounts.create_token_request(account, &PostParams::default(), &body).await?;
            Ok::<_, kube::Error>((request, answer.status.map(|status| status.token).unwrap_or_default()))
        }
    });
    Ok(try_join_all(asked).await?.into_iter().collect())
}

fn token_body(pod: &Pod, request: &TokenRequest) -> ApiTokenRequest {
    let audiences = if request.audience.is_empty() { Vec::new() } else { vec![request.audience.clone()] };
    let bound = BoundObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        name: pod.metadata.name.clone(),
        uid: pod.metadata.uid.clone(),
    };
    ApiTokenRequest {
        metadata: ObjectMeta::default(),
        spec: TokenRequestSpec {
            audiences,
            bound_object_ref: Some(bound),
            expiration_seconds: Some(request.expiration_s),
        },
        status: None,
    }
}

/// Checks that the runtime class of a pod asks for nothing that this node does not have.
///
/// # Errors
/// A message for the pod's event.
pub async fn check_runtime_class(client: &Client, pod: &Pod) -> Result<(), String> {
    let name = pod.spec.as_ref().and_then(|spec| spec.runtime_class_name.as_deref()).unwrap_or_default();
    if name.is_empty() {
        return Ok(());
    }
    let classes: Api<RuntimeClass> = Api::all(client.clone());
    let class = classes.get_opt(name).await.map_err(|error| error.to_string())?;
    let class = class.ok_or_else(|| format!("runtimeclass.node.k8s.io {name:?} not found"))?;
    admit::check_handler(&class.handler)
}

/// The path of the host behind a claim.
pub struct Claimed {
    pub source: HostPathVolumeSource,
    /// Whether the node made it for claims, or was given it for them: its files may get a pod's group.
    pub is_ours: bool,
}

/// Finds what is behind a claim.
///
/// # Errors
/// A message for the pod's event: the claim is absent or unbound, or its volume is of no kind that this
/// node offers.
pub async fn claim(client: &Client, namespace: &str, name: &str) -> Result<Claimed, String> {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
    let claim = claims.get_opt(name).await.map_err(|error| error.to_string())?;
    let claim = claim.ok_or_else(|| format!("persistentvolumeclaim {name:?} not found"))?;
    let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default();
    let volume = claim.spec.as_ref().and_then(|spec| spec.volume_name.clone()).filter(|name| !name.is_empty());
    let (Some(volume), "Bound") = (volume, phase) else {
        return Err(format!("PVC {namespace}/{name} is not bound"));
    };
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    let found = volumes.get_opt(&volume).await.map_err(|error| error.to_string())?;
    let found = found.ok_or_else(|| format!("persistentvolume {volume:?} not found"))?;
    let made = found.metadata.annotations.as_ref().and_then(|all| all.get(PROVISIONED_BY));
    let is_ours = made.is_some_and(|by| by == PROVISIONER);
    let spec = found.spec.unwrap_or_default();
    if let Some(source) = spec.host_path {
        return Ok(Claimed { source, is_ours });
    }
    let local = spec.local.ok_or_else(|| format!("persistentvolume {volume:?} is neither hostPath nor local"))?;
    let source = HostPathVolumeSource { path: local.path, type_: Some("Directory".to_owned()) };
    Ok(Claimed { source, is_ours: true })
}
