//! The Node object and its Lease: what this machine has, and that it is alive.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, PoisonError},
    time::Duration,
};

use ferroflow_api::names;
use ferroflow_platform::task::Kind;
use jiff::Timestamp;
use k8s_openapi::{
    api::{
        coordination::v1::{Lease, LeaseSpec},
        core::v1::{Node, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeSpec, NodeStatus, NodeSystemInfo},
    },
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference, Time},
    },
};
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;

use super::{NodeConfig, NodeError, Shared};
use crate::core::{device, pressure::Row};

/// How often the Lease is renewed, and how long it holds: a kubelet's values.
const LEASE_PERIOD: Duration = Duration::from_secs(10);
const LEASE_SECONDS: i32 = 40;
const LEASE_NAMESPACE: &str = "kube-node-lease";
/// How often the status is written when nothing has changed.
const STATUS_PERIOD: Duration = Duration::from_secs(300);
/// Pods on one node, as a kubelet has it.
const PODS: &str = "110";

/// The devices of this machine, and those that are simulated; a simulated resource replaces a real one.
pub fn devices(config: &NodeConfig) -> BTreeMap<String, u32> {
    let mut devices = BTreeMap::new();
    let gpus = std::fs::read_dir("/dev").into_iter().flatten().flatten().filter(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        name.strip_prefix("nvidia")
            .is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
    });
    let count = u32::try_from(gpus.count()).unwrap_or(0);
    if count > 0 {
        devices.insert(device::NVIDIA_GPU.to_owned(), count);
    }
    devices.extend(config.simulate.clone());
    devices
}

/// What the node offers in all.
pub fn capacity(config: &NodeConfig, devices: &BTreeMap<String, u32>) -> BTreeMap<String, Quantity> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut capacity = BTreeMap::from([
        ("cpu".to_owned(), Quantity(cores.to_string())),
        ("memory".to_owned(), Quantity(format!("{}Ki", memory_kilobytes()))),
        ("pods".to_owned(), Quantity(PODS.to_owned())),
        ("ephemeral-storage".to_owned(), Quantity(format!("{}Ki", storage_kilobytes(&config.data_dir)))),
    ]);
    capacity.extend(devices.iter().map(|(resource, count)| (resource.clone(), Quantity(count.to_string()))));
    capacity
}

fn memory_kilobytes() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn storage_kilobytes(path: &Path) -> u64 {
    rustix::fs::statvfs(path).map_or(0, |stat| stat.f_blocks * stat.f_frsize / 1024)
}

/// Writes the Node, and keeps its Lease and status current.
///
/// # Errors
/// When the Node cannot be written.
pub async fn start(shared: &Arc<Shared>) -> Result<(), NodeError> {
    let written = write_node(shared).await.map_err(|source| {
        let name = shared.config.name.clone();
        NodeError::Register { name, source: Box::new(source) }
    })?;
    let (heart, uid) = (shared.clone(), written.metadata.uid.unwrap_or_default());
    shared.group.spawn("node lease", Kind::Essential, async move {
        loop {
            if let Err(error) = renew_lease(&heart, &uid).await {
                tracing::warn!(%error, "cannot renew the node's lease");
            }
            heart.clock.sleep(LEASE_PERIOD).await;
        }
        #[allow(unreachable_code)]
        Ok::<(), std::convert::Infallible>(())
    });
    let status = shared.clone();
    shared.group.spawn("node status", Kind::Essential, async move {
        loop {
            status.clock.sleep(STATUS_PERIOD).await;
            if let Err(error) = write_node(&status).await {
                tracing::warn!(%error, "cannot write the node's status");
            }
        }
        #[allow(unreachable_code)]
        Ok::<(), std::convert::Infallible>(())
    });
    Ok(())
}

pub(super) async fn write_node(shared: &Shared) -> kube::Result<Node> {
    let nodes: Api<Node> = Api::all(shared.client.clone());
    let name = &shared.config.name;
    let current = match nodes.get_opt(name).await? {
        Some(node) => {
            let (labels, annotations) = (labels(shared), annotations(shared));
            let has = |map: &Option<BTreeMap<String, String>>, wanted: &BTreeMap<String, String>| {
                wanted.iter().all(|(key, value)| map.as_ref().and_then(|map| map.get(key)) == Some(value))
            };
            let same = has(&node.metadata.labels, &labels) && has(&node.metadata.annotations, &annotations);
            let body = json!({ "metadata": { "labels": labels, "annotations": annotations } });
            if same { node } else { nodes.patch(name, &PatchParams::default(), &Patch::Merge(&body)).await? }
        }
        None => nodes.create(&PostParams::default(), &node(shared)).await?,
    };
    let status = status(shared, current.status.as_ref());
    let body = json!({ "status": status });
    nodes.patch_status(name, &PatchParams::default(), &Patch::Merge(&body)).await
}

fn node(shared: &Shared) -> Node {
    let metadata = ObjectMeta {
        name: Some(shared.config.name.clone()),
        labels: Some(labels(shared)),
        annotations: Some(annotations(shared)),
        ..ObjectMeta::default()
    };
    let spec = NodeSpec {
        pod_cidr: Some(names::POD_NETWORK.to_owned()),
        pod_cidrs: Some(vec![names::POD_NETWORK.to_owned()]),
        provider_id: Some(format!("ferroflow://{}", shared.config.name)),
        ..NodeSpec::default()
    };
    Node { metadata, spec: Some(spec), status: Some(status(shared, None)) }
}

fn labels(shared: &Shared) -> BTreeMap<String, String> {
    let rows = [
        ("kubernetes.io/hostname", shared.config.name.as_str()),
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", architecture()),
        ("beta.kubernetes.io/os", "linux"),
        ("beta.kubernetes.io/arch", architecture()),
        (names::ISOLATION_LABEL, shared.runtime.isolation().as_str()),
        (names::POD_NETWORK_LABEL, shared.pod_network_kind.as_str()),
    ];
    rows.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn annotations(shared: &Shared) -> BTreeMap<String, String> {
    BTreeMap::from([
        (names::ISOLATION_REASON_ANNOTATION.to_owned(), shared.level.reason.clone()),
        (names::POD_NETWORK_REASON_ANNOTATION.to_owned(), shared.pod_network_reason.clone()),
    ])
}

/// The architecture as Go spells it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn status(shared: &Shared, previous: Option<&NodeStatus>) -> NodeStatus {
    let address = |kind: &str, value: &str| NodeAddress { type_: kind.to_owned(), address: value.to_owned() };
    NodeStatus {
        capacity: Some(shared.allocatable.clone()),
        allocatable: Some(shared.allocatable.clone()),
        conditions: Some(conditions(previous, &pressures(shared), shared.clock.now())),
        addresses: Some(vec![address("InternalIP", &shared.config.address), address("Hostname", &shared.config.name)]),
        node_info: Some(system_info(&shared.config.name)),
        daemon_endpoints: Some(NodeDaemonEndpoints::default()),
        ..NodeStatus::default()
    }
}

fn pressures(shared: &Shared) -> [Row; 2] {
    shared.pressure.lock().unwrap_or_else(PoisonError::into_inner).rows()
}

fn conditions(previous: Option<&NodeStatus>, pressures: &[Row], now: Timestamp) -> Vec<NodeCondition> {
    let pressures = pressures.iter().map(|row| (row.condition, row.status, row.reason, row.message));
    let rows = [
        ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    ];
    let since = |kind: &str, status: &str| {
        let mut conditions = previous.iter().flat_map(|previous| previous.conditions.iter().flatten());
        let same = conditions.find(|condition| condition.type_ == kind && condition.status == status);
        same.and_then(|condition| condition.last_transition_time.clone()).unwrap_or(Time(now))
    };
    let condition = |(kind, status, reason, message): (&str, &str, &str, &str)| NodeCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_heartbeat_time: Some(Time(now)),
        last_transition_time: Some(since(kind, status)),
    };
    pressures.chain(rows).map(condition).collect()
}

fn system_info(name: &str) -> NodeSystemInfo {
    let read = |path: &str| std::fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default();
    let release = read("/etc/os-release");
    let pretty = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    let kernel = rustix::system::uname();
    NodeSystemInfo {
        architecture: architecture().to_owned(),
        boot_id: read("/proc/sys/kernel/random/boot_id"),
        container_runtime_version: format!("ferroflow://{}", env!("CARGO_PKG_VERSION")),
        kernel_version: kernel.release().to_string_lossy().into_owned(),
        kube_proxy_version: names::KUBERNETES_VERSION.to_owned(),
        kubelet_version: names::KUBERNETES_VERSION.to_owned(),
        // Programs expect some text; the machine's own id is nobody's business.
        machine_id: name.to_owned(),
        system_uuid: name.to_owned(),
        operating_system: "linux".to_owned(),
        os_image: pretty.unwrap_or("Linux").trim_matches('"').to_owned(),
        ..NodeSystemInfo::default()
    }
}

async fn renew_lease(shared: &Shared, node_uid: &str) -> kube::Result<()> {
    let leases: Api<Lease> = Api::namespaced(shared.client.clone(), LEASE_NAMESPACE);
    let name = &shared.config.name;
    let spec = LeaseSpec {
        holder_identity: Some(name.clone()),
        lease_duration_seconds: Some(LEASE_SECONDS),
        renew_time: Some(MicroTime(shared.clock.now())),
        ..LeaseSpec::default()
    };
    let body = json!({ "spec": spec });
    match leases.patch(name, &PatchParams::default(), &Patch::Merge(&body)).await {
        Err(kube::Error::Api(status)) if status.code == 404 => {
            let owner = OwnerReference {
                api_version: "v1".to_owned(),
                kind: "Node".to_owned(),
                name: name.clone(),
                uid: node_uid.to_owned(),
                ..OwnerReference::default()
            };
            let metadata = ObjectMeta {
                name: Some(name.clone()),
                namespace: Some(LEASE_NAMESPACE.to_owned()),
                owner_references: Some(vec![owner]),
                ..ObjectMeta::default()
            };
            leases.create(&PostParams::default(), &Lease { metadata, spec: Some(spec) }).await.map(drop)
        }
        other => other.map(drop),
    }
}
