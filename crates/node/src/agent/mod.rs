//! The shell around the decisions: watches pods, runs a worker for each, serves the API server.

mod check;
mod contain;
mod dial;
mod disk;
mod events;
mod figures;
mod gpu;
mod grouping;
mod image_care;
mod image_volumes;
mod images;
mod launch;
mod network;
mod objects;
mod pool;
mod ports;
mod prepare;
mod probes;
mod register;
mod serve;
mod usage;
pub mod volumes;
mod worker;

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ferroflow_platform::{
    clock::SharedClock,
    controller::{Cache, Caches, Recorder},
    task::{Group, Kind},
};
use k8s_openapi::{
    api::core::v1::{ConfigMap, Pod, Secret, Service},
    apimachinery::pkg::api::resource::Quantity,
};
use tokio::sync::{mpsc, watch};

use crate::{
    core::{evict::Thresholds, image::ImageTable, pressure::Pressure, quantity, record::Attempt, spec},
    image::{
        Environments, Pods,
        store::{ImageStore, StoreConfig},
    },
    runtime::{
        self, Isolation, PODS, PodRecord, PodRuntime, Sandbox,
        process::{ProcessRuntime, ShimCommand},
        trial::{self, Level},
    },
    services::{Living, Network, NetworkConfig, NetworkError},
    shim::cgroup,
};
pub use dial::PodNetwork;
use events::StartEvents;
use figures::Figures;
pub use network::PodNetworkKind;
use pool::Pool;
use ports::Sharing;
use worker::Note;

/// What a node is told when it starts.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// The Node's name.
    pub name: String,
    /// Where pods, volumes and environments live.
    pub data_dir: PathBuf,
    /// The node's address as objects show it.
    pub address: String,
    /// What images map to.
    pub images: ImageTable,
    /// What relative directories in the table are relative to.
    pub images_base: PathBuf,
    /// The program that stands before `python3` and `pip` where a container's packages were installed ahead of it: that of
    /// `crates/launcher`. `None` where each `pip install` is to run.
    pub front: Option<PathBuf>,
    /// Where images are kept, and how more are had.
    pub store: StoreConfig,
    /// Devices that are advertised though they are not there: resource to count.
    pub simulate: BTreeMap<String, u32>,
    /// How to run a pod's supervisor.
    pub shim: ShimCommand,
    /// The cluster's network; `None` where pods share the host's.
    pub network: Option<NetworkConfig>,
    /// Which network pods are to have.
    pub pod_network: PodNetworkKind,
    /// How well containers are to be kept apart; without it as well as this machine allows.
    pub isolation: Option<Isolation>,
    /// How little the node may have left before it ends pods.
    pub eviction: Thresholds,
    /// How long the node counts as being under pressure after that.
    pub pressure_stays: Duration,
}

/// Why a node cannot start.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error(transparent)]
    Runtime(#[from] runtime::Error),
    #[error("the cluster's network cannot be started: {0}")]
    Network(#[from] NetworkError),
    #[error("pod network {} is not available because {reason}; leave out --pod-network for the shared one", kind.as_str())]
    PodNetwork { kind: PodNetworkKind, reason: String },
    #[error(
        "pods of this cluster run in the {stored} network, and --pod-network {wanted} was asked for; end them with \
         `ferroflow down`, or start with --pod-network {stored}"
    )]
    OtherPodNetwork { stored: String, wanted: &'static str },
    #[error("the file of the pods' network: {0}")]
    PodNetworkFile(#[from] ferroflow_platform::blob::Error),
    #[error("cannot register node {name}: {source}")]
    Register { name: String, source: Box<kube::Error> },
    #[error("the work on the node's environments was cut off")]
    Environments,
    #[error("the images of the data directory cannot be used")]
    Images(#[from] ferroflow_images::store::StoreError),
}

/// A node that runs. Serves what the API server asks of it.
pub struct Node {
    shared: Arc<Shared>,
}

/// What workers share.
struct Shared {
    config: NodeConfig,
    runtime: Arc<dyn PodRuntime>,
    /// The control group that holds those of pods.
    groups: Option<cgroup::Place>,
    level: Level,
    pod_network_kind: PodNetworkKind,
    /// Why it is not what was asked for.
    pod_network_reason: String,
    network: Option<Network>,
    /// The same as those see it who dial pods.
    pod_network: Option<PodNetwork>,
    environments: Environments,
    images: images::Images,
    pool: Pool,
    allocatable: BTreeMap<String, Quantity>,
    client: kube::Client,
    services: Cache<Service>,
    recorder: Recorder,
    clock: SharedClock,
    group: Group,
    /// Pods that an earlier agent left, until their workers take them up.
    stored: Mutex<HashMap<String, PodRecord>>,
    pods: Mutex<HashMap<String, Handle>>,
    figures: Figures,
    pressure: Mutex<Pressure>,
    /// The node is ending its pods: workers act no more.
    leaving: AtomicBool,
}

/// A worker from outside, by the uid of its pod.
struct Handle {
    pod: watch::Sender<Option<Arc<Pod>>>,
    notes: mpsc::Sender<Note>,
    sandbox: Option<Arc<dyn Sandbox>>,
    events: StartEvents,
}

/// Notes that wait for a worker; whoever sends more waits.
const NOTES: usize = 64;
/// How often it is looked whether pods that were told to end have ended.
const STOP_LOOK: Duration = Duration::from_millis(20);

/// What stands for images, after what an earlier server has left half done is gone.
async fn environments(config: &NodeConfig, left: Pods) -> Result<Environments, NodeError> {
    let directory = config.data_dir.join("environments");
    let environments = Environments::new(config.images.clone(), config.images_base.clone(), directory);
    let front = config.front.clone();
    let begun = tokio::task::spawn_blocking(move || environments.begin(front.as_deref(), left));
    begun.await.map_err(|_| NodeError::Environments)
}

impl Node {
    /// Registers the node and begins to run its pods. Everything it does runs in `group`; pods go on
    /// when the group stops.
    ///
    /// # Errors
    /// [`NodeError`] when the data directory cannot be used, or the Node cannot be written.
    pub async fn start(
        config: NodeConfig,
        caches: &Caches,
        clock: SharedClock,
        group: Group,
    ) -> Result<Arc<Self>, NodeError> {
        let level = trial::choose(config.isolation, &config.data_dir, &config.shim, &clock, &group).await?;
        let (isolation, pods) = (level.isolation, config.data_dir.join(PODS));
        let runtime = ProcessRuntime::new(pods, isolation, config.shim.clone(), clock.clone(), group.clone())?;
        let data = config.data_dir.parent().unwrap_or(&config.data_dir);
        let runtime = runtime.hiding(data.canonicalize().unwrap_or_else(|_| data.to_owned()));
        let runtime = runtime.removing_later();
        let stored = runtime.stored().await?;
        let living = if stored.is_empty() { Living::Nothing } else { Living::Pods };
        let chosen = network::choose(&config, isolation, &runtime, &group).await?;
        let hub = chosen.config.as_ref().and_then(|config| Some(config.hub.as_ref()?.path().to_owned()));
        let network = match chosen.config {
            Some(config) => Some(Network::start(config, living, isolation, caches, clock.clone(), &group).await?),
            None => None,
        };
        let (runtime, sharing) = match &network {
            Some(network) => (runtime.with_network(network.table(), hub), Sharing::HostPorts),
            None => (runtime, Sharing::AllPorts),
        };
        let groups = cgroup::find(&cgroup::tree_name(&config.data_dir));
        tracing::info!("pods are bounded by {}", groups.describes);
        if let Some(tree) = groups.tree.clone() {
            runtime.bound_by(tree);
        }
        let devices = register::devices(&config);
        let allocatable = register::capacity(&config, &devices);
        if let Some(tree) = &groups.tree {
            weigh(tree, &allocatable);
        }
        let environments = environments(&config, if stored.is_empty() { Pods::None } else { Pods::Some }).await?;
        let images = Arc::new(ImageStore::open(config.store.clone(), clock.clone())?);
        let client = caches.client();
        let pool = Pool::new(devices, config.address.clone(), sharing);
        stored.iter().for_each(|record| pool.adopt(record));
        let shared = Arc::new(Shared {
            runtime: Arc::new(runtime),
            groups: groups.tree,
            level,
            pod_network_kind: chosen.kind,
            pod_network_reason: chosen.reason,
            pod_network: network.as_ref().map(Network::of_pods),
            network,
            environments,
            images,
            pool,
            allocatable,
            services: caches.of(),
            recorder: Recorder::start(client.clone(), clock.clone(), &group, "kubelet"),
            client,
            clock,
            group,
            stored: Mutex::new(stored.into_iter().map(|record| (record.uid.clone(), record)).collect()),
            pods: Mutex::default(),
            figures: Figures::default(),
            pressure: Mutex::new(Pressure::new(config.pressure_stays)),
            leaving: AtomicBool::new(false),
            config,
        });
        register::start(&shared).await?;
        usage::start(&shared);
        image_care::start(&shared);
        shared.clone().watch(caches);
        Ok(Arc::new(Self { shared }))
    }

    /// How well the node's pods are kept apart.
    pub fn isolation(&self) -> Isolation {
        self.shared.runtime.isolation()
    }

    /// Why they are not kept apart better; empty where there is no better.
    pub fn isolation_reason(&self) -> &str {
        &self.shared.level.reason
    }

    /// Which network the node's pods have, and why it is not what was asked for; empty where it is.
    pub fn pod_network(&self) -> (PodNetworkKind, &str) {
        (self.shared.pod_network_kind, &self.shared.pod_network_reason)
    }

    /// The cluster's network; `None` where pods share the host's.
    pub fn network(&self) -> Option<&Network> {
        self.shared.network.as_ref()
    }

    /// How many pods have a sandbox here, ended ones included.
    pub fn pods(&self) -> usize {
        let pods = self.shared.pods.lock().unwrap_or_else(PoisonError::into_inner);
        pods.values().filter(|handle| handle.sandbox.is_some()).count()
    }

    /// Ends the processes of all pods: asks them, and kills what is left after `patience`. Nothing is
    /// started any more; the next node goes on with what their restart policies say.
    pub async fn stop_pods(&self, patience: Duration) {
        self.shared.leaving.store(true, Ordering::Release);
        let sandboxes = self.sandboxes().await;
        let stopped = sandboxes.iter().map(|sandbox| self.stop_sandbox(&**sandbox, patience));
        futures::future::join_all(stopped).await;
        if let Some(tree) = self.shared.groups.clone() {
            // What cannot be removed now is used again, or removed, by the next server.
            let _ = tokio::task::spawn_blocking(move || cgroup::remove_tree(&tree)).await;
        }
    }

    /// The sandboxes of all pods, those included that an earlier agent left and no worker has taken up yet.
    async fn sandboxes(&self) -> Vec<Arc<dyn Sandbox>> {
        let mut sandboxes: BTreeMap<String, Arc<dyn Sandbox>> = {
            let pods = self.shared.pods.lock().unwrap_or_else(PoisonError::into_inner);
            pods.iter().filter_map(|(uid, handle)| Some((uid.clone(), handle.sandbox.clone()?))).collect()
        };
        let stored = self.shared.runtime.stored().await.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot look for pods that no worker has taken up");
            Vec::new()
        });
        for record in stored.into_iter().filter(|record| !sandboxes.contains_key(&record.uid)).collect::<Vec<_>>() {
            let uid = record.uid.clone();
            if let Some(published) = self.shared.sandbox(&uid) {
                sandboxes.insert(uid, published);
                continue;
            }
            let (events, mut received) = mpsc::channel(NOTES);
            self.shared.group.spawn(format!("events of pod {uid}, which ends"), Kind::Transient, async move {
                while received.recv().await.is_some() {}
                Ok::<(), std::convert::Infallible>(())
            });
            match self.shared.runtime.open(record, events).await {
                Ok(sandbox) => drop(sandboxes.insert(uid, sandbox)),
                Err(error) => tracing::warn!(uid, %error, "cannot end a pod that no worker has taken up"),
            }
        }
        sandboxes.into_values().collect()
    }

    async fn stop_sandbox(&self, sandbox: &dyn Sandbox, patience: Duration) {
        let deadline = self.shared.clock.instant() + patience;
        let running = async || {
            let attempts = sandbox.attempts().await.unwrap_or_default();
            attempts.into_iter().filter(Attempt::is_running).map(|attempt| attempt.container).collect::<Vec<_>>()
        };
        for container in running().await {
            if let Err(error) = sandbox.stop(container, libc::SIGTERM, patience).await {
                tracing::debug!(%error, "cannot stop a container");
            }
        }
        while !running().await.is_empty() && self.shared.clock.instant() < deadline {
            self.shared.clock.sleep(STOP_LOOK).await;
        }
        if let Err(error) = sandbox.rest().await {
            tracing::debug!(%error, "cannot end a supervisor");
        }
    }
}

/// Gives all pods together the share of processor time that the node has for them.
fn weigh(tree: &cgroup::Place, allocatable: &BTreeMap<String, Quantity>) {
    let millis = quantity::milli_of(Some(allocatable), "cpu").and_then(|millis| u64::try_from(millis).ok());
    if let Err(error) = cgroup::weigh(tree, millis.unwrap_or(0)) {
        tracing::warn!("all pods together weigh as much as one process of the host: {error}");
    }
}

impl Shared {
    /// The node's memory.
    fn memory_bytes(&self) -> u64 {
        quantity::whole_of(Some(&self.allocatable), "memory").unwrap_or(0)
    }

    fn watch(self: Arc<Self>, caches: &Caches) {
        let pods = caches.of::<Pod>();
        self.hold_ports(&pods.list());
        let shared = self.clone();
        pods.on_change(move |old, new| shared.pod_changed(old, new));
        let shared = self.clone();
        caches.of::<ConfigMap>().on_change(move |_, new| shared.object_changed(new.map(|one| &one.metadata)));
        let shared = self.clone();
        caches.of::<Secret>().on_change(move |_, new| shared.object_changed(new.map(|one| &one.metadata)));
        let group = self.group.clone();
        group.spawn("pods of an earlier agent", Kind::Transient, async move {
            pods.current().await.map_err(|error| error.to_string())?;
            self.end_orphans(&pods).await;
            Ok::<(), String>(())
        });
    }

    /// Lets pods that an earlier agent left keep their ports of the host: a pod that came meanwhile may be looked at first.
    fn hold_ports(&self, pods: &[Arc<Pod>]) {
        let stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        for pod in pods.iter().filter(|pod| !spec::has_ended(pod)) {
            let uid = pod.metadata.uid.as_deref().unwrap_or_default();
            if stored.contains_key(uid) {
                self.pool.hold_ports(pod, uid);
            }
        }
    }

    /// Ends pods whose objects went away while no agent ran.
    async fn end_orphans(self: Arc<Self>, pods: &Cache<Pod>) {
        let known: Vec<String> = pods.list().iter().filter_map(|pod| pod.metadata.uid.clone()).collect();
        let orphans: Vec<PodRecord> = {
            let mut stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
            let gone: Vec<String> = stored.keys().filter(|uid| !known.contains(uid)).cloned().collect();
            gone.iter().filter_map(|uid| stored.remove(uid)).collect()
        };
        for record in orphans {
            let (uid, pod) = (record.uid.clone(), format!("{}/{}", record.namespace, record.name));
            let (events, _) = mpsc::channel(1);
            let ended = match self.runtime.open(record, events).await {
                Ok(sandbox) => sandbox.destroy().await,
                Err(error) => Err(error),
            };
            match ended {
                Ok(()) => tracing::info!(pod, "ended a pod whose object is gone"),
                Err(error) => tracing::warn!(pod, %error, "cannot end a pod whose object is gone"),
            }
            self.pool.release(&uid);
            self.images.release(&format!("{uid}/"));
        }
    }

    /// Runs on the cache's task: hands on and returns.
    fn pod_changed(self: &Arc<Self>, old: Option<&Arc<Pod>>, new: Option<&Arc<Pod>>) {
        let uid_of = |pod: &Arc<Pod>| pod.metadata.uid.clone().unwrap_or_default();
        let new_uid = new.map(uid_of);
        if let Some(old) = old
            && Some(uid_of(old)) != new_uid
        {
            self.pool.leave(&uid_of(old));
            let pods = self.handles();
            if let Some(handle) = pods.get(&uid_of(old)) {
                handle.pod.send_replace(None);
            }
        }
        let (Some(pod), Some(uid)) = (new, new_uid) else { return };
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
        if node != Some(self.config.name.as_str()) {
            return;
        }
        let mut pods = self.handles();
        if let Some(handle) = pods.get(&uid) {
            handle.pod.send_replace(Some(pod.clone()));
            return;
        }
        let (sender, changes) = watch::channel(Some(pod.clone()));
        let (notes, received) = mpsc::channel(NOTES);
        pods.insert(
            uid.clone(),
            Handle { pod: sender, notes: notes.clone(), sandbox: None, events: StartEvents::of(pod) },
        );
        drop(pods);
        let stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner).remove(&uid);
        let worker = worker::Worker::new(self.clone(), pod.clone(), uid.clone(), stored, notes);
        let shared = self.clone();
        self.group.spawn(format!("pod {uid}"), Kind::Transient, async move {
            worker.run(changes, received).await;
            shared.pods.lock().unwrap_or_else(PoisonError::into_inner).remove(&uid);
            Ok::<(), std::convert::Infallible>(())
        });
    }

    /// Tells the pods of a namespace that an object has changed that they may refer to.
    fn object_changed(&self, meta: Option<&k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta>) {
        let Some(meta) = meta else { return };
        for handle in self.handles().values() {
            let same = handle.pod.borrow().as_ref().is_some_and(|pod| pod.metadata.namespace == meta.namespace);
            if same {
                // A worker with a full queue looks again anyway.
                let _ = handle.notes.try_send(Note::ObjectChanged(meta.name.clone().unwrap_or_default()));
            }
        }
    }

    fn handles(&self) -> MutexGuard<'_, HashMap<String, Handle>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a pod's sandbox known to those who ask for logs and commands.
    fn publish(&self, uid: &str, sandbox: &Arc<dyn Sandbox>) {
        if let Some(handle) = self.handles().get_mut(uid) {
            handle.sandbox = Some(sandbox.clone());
        }
    }

    fn sandbox(&self, uid: &str) -> Option<Arc<dyn Sandbox>> {
        self.handles().get(uid)?.sandbox.clone()
    }

    fn pod(&self, uid: &str) -> Option<Arc<Pod>> {
        self.handles().get(uid)?.pod.borrow().clone()
    }
}
