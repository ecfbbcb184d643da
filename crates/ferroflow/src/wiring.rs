//! Puts the parts together: the cluster, its controllers, the gateway, the node.

use std::{
    io::{self, IsTerminal},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    path::{Path, PathBuf},
    process,
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use ferroflow_api::names;
use ferroflow_cluster::{Cluster, Controllers, Options};
use ferroflow_images::core::registries::Registries;
use ferroflow_node::{
    ImageTable, Node, NodeConfig,
    core::collection::Collection,
    image::store::StoreConfig,
    runtime::process::ShimCommand,
    services::{NetworkConfig, RESOLV_CONF},
};
use ferroflow_platform::{
    clock::SharedClock,
    identity::{Identity, MASTERS},
    task::Group,
    telemetry,
};
use tracing_subscriber::EnvFilter;

use crate::{
    args::{Parts, Up},
    artifacts, gateway,
    images_file::ImagesFile,
    launcher, paths,
    problem::ends_without_writes,
    record::Record,
};

/// Pods have this long to end by themselves when the server goes down; 30 s is their default grace.
const POD_PATIENCE: Duration = Duration::from_secs(30);

/// Sends logs to standard error.
pub fn log() {
    let filter = EnvFilter::try_from_env(telemetry::LOG_VARIABLE);
    let filter = filter.unwrap_or_else(|_| EnvFilter::new(telemetry::DEFAULT_FILTER));
    // Who reads a file or a pod's log wants no colours in it.
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(|| LogStream).init();
}

/// Standard error, but for its errors: a server whose log is on a disk that is full goes on without it.
struct LogStream;

impl io::Write for LogStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = io::stderr().write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A running server.
pub struct Server {
    cluster: Cluster,
    gateway: Option<SocketAddr>,
    node: Option<Arc<Node>>,
    node_name: String,
}

/// Starts everything that was asked for.
pub async fn start(data: &Path, up: &Up, clock: SharedClock, group: Group) -> anyhow::Result<Server> {
    let options = Options {
        data_directory: data.to_owned(),
        https_port: up.port,
        http_port: Some(up.http_port),
        controllers: if up.parts == Parts::Api { Controllers::ServerOnly } else { Controllers::All },
    };
    let failed = ends_without_writes(data);
    let images = images(up)?;
    let listener = if up.parts == Parts::Api { None } else { Some(gateway::listen(up.gateway_port).await?) };
    // Before anything runs: what is wrong with it shall be all that is told.
    let served = match listener {
        Some(listener) => Some((listener, artifacts::open(data, &up.artifacts).await?)),
        None => None,
    };
    let cluster = Cluster::start(options, clock.clone(), group.clone(), failed).await;
    let cluster = cluster.context("the cluster cannot be started")?;
    let gateway = match served {
        Some((listener, kept)) => {
            Some(gateway::start(data, listener, &cluster, kept, clock.clone(), group.clone()).await?)
        }
        None => None,
    };
    let node = match up.parts {
        Parts::All => Some(start_node(data, up, images, &cluster, clock, group).await?),
        Parts::Control | Parts::Api => None,
    };
    Ok(Server { cluster, gateway, node, node_name: node_name() })
}

/// What the file of `--images` says.
struct Images {
    table: ImageTable,
    /// What relative paths in the table are relative to.
    base: PathBuf,
    registries: Registries,
    collection: Collection,
}

fn images(up: &Up) -> anyhow::Result<Images> {
    let collection = collection(up)?;
    let Some(path) = &up.images else {
        let (table, registries) = (ImageTable::default(), Registries::default());
        return Ok(Images { table, base: PathBuf::from("/"), registries, collection });
    };
    let file = ImagesFile::read(path)?;
    let base = std::path::absolute(path)?.parent().map(Path::to_owned).unwrap_or_default();
    Ok(Images { registries: file.registries()?, table: ImageTable { rules: file.image }, base, collection })
}

async fn start_node(
    data: &Path,
    up: &Up,
    images: Images,
    cluster: &Cluster,
    clock: SharedClock,
    group: Group,
) -> anyhow::Result<Arc<Node>> {
    let identity = Identity::user(format!("system:node:{}", node_name()), &["system:nodes", MASTERS]);
    let caches = cluster.caches(identity, group.clone());
    let config = NodeConfig {
        name: node_name(),
        data_dir: paths::node(data),
        address: names::NODE_ADDRESS.to_owned(),
        images: images.table,
        images_base: images.base,
        front: Some(launcher::place(data)?.join(launcher::NAME)),
        store: StoreConfig {
            directory: paths::images(data),
            registries: images.registries,
            docker_config: paths::variable("DOCKER_CONFIG"),
            home: paths::variable("HOME"),
            collection: images.collection,
        },
        simulate: up.simulate.iter().cloned().collect(),
        shim: ShimCommand::default(),
        network: Some(NetworkConfig {
            directory: data.join("network"),
            api: api_socket(cluster),
            resolv_conf: RESOLV_CONF.into(),
            hub: None,
        }),
        pod_network: up.pod_network,
        isolation: up.isolation,
        eviction: up.eviction_hard.clone(),
        pressure_stays: Duration::from_secs(up.eviction_pressure_transition_period),
    };
    let node = Node::start(config, &caches, clock, group).await.context("the node cannot be started")?;
    cluster.set_agent(node.clone());
    Ok(node)
}

/// When images are removed.
fn collection(up: &Up) -> anyhow::Result<Collection> {
    let collection = Collection {
        high_percent: up.image_gc_high_threshold,
        low_percent: up.image_gc_low_threshold,
        least_age_s: up.minimum_image_ttl_duration,
    };
    collection.check().map_err(anyhow::Error::msg)?;
    Ok(collection)
}

/// Where the API server listens, which is on loopback of IPv4.
fn api_socket(cluster: &Cluster) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, cluster.https.port())
}

/// The host's name, as a node may have it.
fn node_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().to_lowercase();
    let fits = |character: char| character.is_ascii_alphanumeric() || character == '-' || character == '.';
    let name: String = name.chars().filter(|character| fits(*character)).take(63).collect();
    if name.is_empty() { "laptop".to_owned() } else { name }
}

impl Server {
    /// What other commands find the server by.
    pub fn record(&self) -> Record {
        Record {
            pid: i32::try_from(process::id()).unwrap_or_default(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            https: self.cluster.https.to_string(),
            http: self.cluster.http.map(|http| http.to_string()),
            gateway: self.gateway.map(|gateway| gateway.to_string()),
        }
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> String {
        self.cluster.kubeconfig()
    }

    /// The node in a few words; `None` where there is none.
    pub fn describe_node(&self) -> Option<String> {
        let node = self.node.as_ref()?;
        let reason = node.isolation_reason();
        let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        let (network, why) = node.pod_network();
        let why = if why.is_empty() { String::new() } else { format!(": {why}") };
        let isolation = node.isolation().as_str();
        Some(format!("{}, pod network {}{why}, isolation {isolation}{reason}", self.node_name, network.as_str()))
    }

    /// Ends the pods' processes.
    pub async fn stop_pods(&self) {
        if let Some(node) = &self.node {
            node.stop_pods(POD_PATIENCE).await;
        }
    }
}
