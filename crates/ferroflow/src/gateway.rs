//! The gateway of `ferroflow up`: what is mounted where, and how pods and the API server lead to it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
};

use anyhow::Context;
use ferroflow_api::names;
use ferroflow_cluster::{Cluster, http::local::LocalService};
use ferroflow_pipelines::{
    controller::{EngineConfig, LauncherSource},
    core::token::KEY_BYTES,
};
use ferroflow_platform::{
    access::Access,
    blob::Directory,
    clock::SharedClock,
    gateway::{Gateway, Service},
    http::Plain,
    identity::Identity,
    records::Records,
    task::{Group, Kind},
};
use jiff::tz::TimeZone;
use k8s_openapi::api::{
    core::v1::{Endpoints, Namespace, Service as ServiceObject},
    rbac::v1::ClusterRole,
};
use kube::{
    Api, Client, Resource,
    api::{Patch, PatchParams},
};
use rand::RngExt;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    artifacts::Kept,
    image_names::ImageNames,
    launcher, paths,
    problem::{Problem, ends_without_writes},
};

/// The namespace of pipelines that name none, as the client takes it to be.
pub const NAMESPACE: &str = "kubeflow";
/// The service that clients look for.
const SERVICE: &str = "ml-pipeline";
/// The port that clients in pods look for.
const PORT: u16 = 8888;
/// Whom tokens are for that pods get to call pipelines, as upstream.
pub const AUDIENCE: &str = "pipelines.kubeflow.org";
/// Who writes the objects.
const MANAGER: &str = "ferroflow-gateway";

/// Names by which pods reach the gateway.
const NAMES: [&str; 4] =
    ["ml-pipeline", "ml-pipeline.kubeflow", "ml-pipeline.kubeflow.svc", "ml-pipeline.kubeflow.svc.cluster.local"];

/// Takes the port of the gateway.
///
/// # Errors
/// When something else has it.
pub async fn listen(port: u16) -> anyhow::Result<TcpListener> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    listen_on(address, "--gateway-port, or 0 for any").await
}

/// Takes an address for the gateway; `other` says how another one is chosen.
///
/// # Errors
/// When something else has it.
pub async fn listen_on(address: SocketAddr, other: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let what = format!("cannot listen on {address} for the gateway: {error}");
        Problem::new(what, format!("is another cluster running? choose another {other}")).into()
    })
}

/// Starts pipelines and the gateway before them, and returns where it listens.
///
/// # Errors
/// When the records cannot be opened or the first objects cannot be written.
pub async fn start(
    data: &Path,
    listener: TcpListener,
    cluster: &Cluster,
    kept: Kept,
    clock: SharedClock,
    group: Group,
) -> anyhow::Result<SocketAddr> {
    let address = listener.local_addr().context("the gateway's address")?;
    let client = cluster.client(Identity::administrator());
    let written = write_objects(&client, address.port()).await;
    let service = written.context("the objects of pipelines cannot be written")?;
    let access = Access::new(client.clone(), clock.clone(), AUDIENCE);
    let options = ferroflow_pipelines::Options {
        config: EngineConfig {
            namespace: NAMESPACE.to_owned(),
            // The service's address stays while the gateway's port may change, so that steps outlive a restart.
            endpoint: format!("http://{service}:{PORT}/pipeline"),
            launcher: LauncherSource::HostPath(launcher::place(data)?.display().to_string()),
            token_key: token_key(data)?,
            images: Some(Arc::new(ImageNames::open(&paths::images(data))?)),
            pipeline_root: kept.root.unwrap_or_else(|| EngineConfig::default().pipeline_root),
            ..EngineConfig::default()
        },
        records: records(data)?,
        blobs: kept.blobs,
        client,
        access: access.clone(),
        zone: zone()?,
        clock,
        group: group.clone(),
    };
    let pipelines = ferroflow_pipelines::register(options).await.context("pipelines cannot be started")?;
    cluster.set_local_services(vec![LocalService {
        namespace: NAMESPACE,
        name: SERVICE,
        port: "http",
        paths: &["/apis/v2beta1/", "/apis/v1alpha1/"],
        service: pipelines.clone(),
    }]);
    let names = NAMES.iter().map(|name| (*name).to_owned()).collect();
    let gateway = Gateway::new(access, names);
    pipelines.engine.tell(gateway.metrics());
    let gateway = mounted(gateway, pipelines);
    group.spawn("gateway listener", Kind::Essential, Arc::new(gateway).serve(group.clone(), listener, Plain));
    Ok(address)
}

/// The record store of a data directory. A write that the disk refuses ends the process: nothing that follows a lost write
/// may be acknowledged.
pub fn records(data: &Path) -> anyhow::Result<Records> {
    Records::open(&paths::records(data), ends_without_writes(data)).context("the record store cannot be opened")
}

/// The key of step tokens, made once: tokens of steps that run outlive a restart.
///
/// # Errors
/// When it cannot be read or written.
pub fn token_key(data: &Path) -> anyhow::Result<Vec<u8>> {
    let (files, name) = (Directory::new(data), "step-token.key");
    if let Some(key) = files.get(name)? {
        return Ok(key);
    }
    let key: [u8; KEY_BYTES] = rand::rng().random();
    files.put_private(name, &key)?;
    Ok(key.to_vec())
}

/// The variable that names the time zone of cron schedules, as upstream.
const ZONE: &str = "CRON_SCHEDULE_TIMEZONE";

/// The time zone of cron schedules: UTC where none is named.
///
/// # Errors
/// When the zone is not known.
pub fn zone() -> anyhow::Result<TimeZone> {
    match std::env::var(ZONE) {
        Ok(name) if !name.is_empty() => TimeZone::get(&name).map_err(|error| {
            let what = format!("{ZONE} is {name:?}: {error}");
            Problem::new(what, "name a zone as Europe/Berlin, or leave it out for UTC").into()
        }),
        _ => Ok(TimeZone::UTC),
    }
}

/// Mounts pipelines where people find them, and where the client in a pod does: that one knows no path before `/apis`.
pub fn mounted(gateway: Gateway, pipelines: Arc<dyn Service>) -> Gateway {
    let gateway = gateway.mount("/pipeline", "", pipelines.clone());
    let gateway = gateway.mount("/apis/v2beta1", "/apis/v2beta1", pipelines.clone());
    gateway.mount("/apis/v1alpha1", "/apis/v1alpha1", pipelines)
}

/// The namespace, the service that leads to the gateway, and the roles that give rights to pipelines. Returns the
/// service's address.
async fn write_objects(client: &Client, port: u16) -> Result<String, kube::Error> {
    write_namespace(client, NAMESPACE).await?;
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": SERVICE, "namespace": NAMESPACE},
        "spec": {"ports": [{"name": "http", "port": PORT, "protocol": "TCP", "targetPort": port}]},
    });
    let service = apply(&Api::<ServiceObject>::namespaced(client.clone(), NAMESPACE), SERVICE, &service).await?;
    let endpoints = json!({
        "apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": SERVICE, "namespace": NAMESPACE},
        "subsets": [{
            "addresses": [{"ip": names::NODE_ADDRESS}],
            "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
        }],
    });
    apply(&Api::<Endpoints>::namespaced(client.clone(), NAMESPACE), SERVICE, &endpoints).await?;
    write_roles(client).await?;
    Ok(service.spec.and_then(|spec| spec.cluster_ip).unwrap_or_default())
}

/// The roles that give rights to pipelines, as a part of those that Kubernetes knows.
pub fn roles() -> [Value; 2] {
    [("view", &["get", "list", "readArtifact"][..]), ("edit", &["*"][..])].map(|(role, verbs)| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {
                "name": format!("kubeflow-pipelines-{role}"),
                "labels": {format!("rbac.authorization.k8s.io/aggregate-to-{role}"): "true"},
            },
            "rules": [{
                "apiGroups": ["pipelines.kubeflow.org"],
                "resources": ["experiments", "jobs", "pipelines", "pipelines/versions", "runs", "artifacts"],
                "verbs": verbs,
            }],
        })
    })
}

/// Writes the [`roles`]. Those that are there are enough where they may not be written.
///
/// # Errors
/// What the cluster refuses.
pub async fn write_roles(client: &Client) -> Result<(), kube::Error> {
    let api = Api::<ClusterRole>::all(client.clone());
    for role in roles() {
        let name = role["metadata"]["name"].as_str().unwrap_or_default();
        match apply(&api, name, &role).await {
            Err(error) if is_forbidden(&error) && matches!(api.get_opt(name).await, Ok(Some(_))) => {}
            outcome => drop(outcome?),
        }
    }
    Ok(())
}

fn is_forbidden(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 403)
}

/// Makes a namespace, where there is none. One that is there is enough where it may not be written.
///
/// # Errors
/// When it cannot be written, and is not there or cannot be seen.
pub async fn need_namespace(client: &Client, name: &str) -> anyhow::Result<()> {
    let Err(error) = write_namespace(client, name).await else { return Ok(()) };
    if is_forbidden(&error) && matches!(Api::<Namespace>::all(client.clone()).get_opt(name).await, Ok(Some(_))) {
        return Ok(());
    }
    let what = format!("namespace {name:?} is not there, or not to be seen, and cannot be made: {error}");
    Err(Problem::new(what, "see that the cluster answers; make the namespace, or give rights to it").into())
}

async fn write_namespace(client: &Client, name: &str) -> Result<(), kube::Error> {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    apply(&Api::<Namespace>::all(client.clone()), name, &namespace).await.map(drop)
}

async fn apply<K>(api: &Api<K>, name: &str, object: &Value) -> Result<K, kube::Error>
where
    K: Resource + Clone + DeserializeOwned + Serialize + std::fmt::Debug,
{
    api.patch(name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(object)).await
}
