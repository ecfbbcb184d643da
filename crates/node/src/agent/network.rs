//! Which network the pods of a node have: the one that was asked for, as far as this machine allows it.

use ferroflow_platform::{blob, task::Group};

use super::{NodeConfig, NodeError};
use crate::{
    runtime::{
        Isolation,
        process::{ProcessRuntime, ShimCommand},
    },
    services::{NetworkConfig, hub::Hub},
    shim::{self, network},
};

/// The file in the network's directory that remembers the kind, for pods that outlive their server.
const FILE: &str = "kind";

/// The networks that pods can have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PodNetworkKind {
    /// That of the host with its ports, where supervisors cannot answer for pods' sockets.
    Host,
    /// That of the host, in which each pod has an address that stands for its own.
    #[default]
    Shared,
    /// One of its own for each pod.
    Private,
}

impl PodNetworkKind {
    /// As the command line, the node's label and the documentation spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Shared => "shared",
            Self::Private => "private",
        }
    }

    /// The interface that has a pod's address and that programs may be told to use.
    pub fn interface(self) -> &'static str {
        if self == Self::Private { network::ETHERNET } else { network::INTERFACE }
    }
}

/// The network of a node's pods.
pub struct Chosen {
    pub kind: PodNetworkKind,
    /// Why it is not what was asked for; empty where it is.
    pub reason: String,
    /// How it is started; `None` where pods have the host's.
    pub config: Option<NetworkConfig>,
}

/// Chooses the network of pods, and opens the hub where each has its own.
///
/// # Errors
/// Where the one that was asked for does not work here, or pods still run in another one.
pub async fn choose(
    config: &NodeConfig,
    isolation: Isolation,
    runtime: &ProcessRuntime,
    group: &Group,
) -> Result<Chosen, NodeError> {
    let Some(mut network) = config.network.clone() else {
        return Ok(Chosen { kind: PodNetworkKind::Host, reason: "the node has no network".to_owned(), config: None });
    };
    let files = blob::Directory::new(&network.directory);
    expect_same(&files, config.pod_network, runtime)?;
    if config.pod_network == PodNetworkKind::Private {
        let hub = private(&network, isolation, &config.shim, group).await;
        let refused = |reason| NodeError::PodNetwork { kind: PodNetworkKind::Private, reason };
        network.hub = Some(hub.map_err(refused)?);
        return Ok(Chosen { kind: PodNetworkKind::Private, reason: String::new(), config: Some(network) });
    }
    if let Err(reason) = answers(&config.shim) {
        tracing::warn!("pods share this host's network and ports: {reason}");
        return Ok(Chosen { kind: PodNetworkKind::Host, reason, config: None });
    }
    Ok(Chosen { kind: PodNetworkKind::Shared, reason: String::new(), config: Some(network) })
}

async fn private(
    network: &NetworkConfig,
    isolation: Isolation,
    shim: &ShimCommand,
    group: &Group,
) -> Result<Hub, String> {
    if isolation == Isolation::Bare {
        return Err("pods at isolation bare are processes of the host, and have its network; take --isolation \
                    environment or container"
            .to_owned());
    }
    answers(shim)?;
    Hub::open(&network.directory, shim, group).await
}

/// Pods that run in one network are not reached by a server that has another.
fn expect_same(files: &blob::Directory, wanted: PodNetworkKind, runtime: &ProcessRuntime) -> Result<(), NodeError> {
    let stored = files.get(FILE)?.and_then(|bytes| String::from_utf8(bytes).ok());
    // Before there were two there was one.
    let stored = stored.map_or_else(|| PodNetworkKind::Shared.as_str().to_owned(), |text| text.trim().to_owned());
    if stored == wanted.as_str() {
        return Ok(());
    }
    if runtime.has_supervisors()? {
        return Err(NodeError::OtherPodNetwork { stored, wanted: wanted.as_str() });
    }
    files.put(FILE, format!("{}\n", wanted.as_str()).as_bytes())?;
    Ok(())
}

/// Whether supervisors can answer for the sockets of pods here.
fn answers(shim: &ShimCommand) -> Result<(), String> {
    shim::network::trial(&shim.program, &shim.arguments)
}
