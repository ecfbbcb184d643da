//! The cluster's network on this host: the table for pods' connections, names, and doors from the host.
//!
//! Decisions are in `core::services`, `core::dns` and `core::network`; here are the sockets, the file and the
//! caches. Nothing listens beyond loopback.

mod balancer;
mod block;
mod books;
mod dns;
mod doors;
mod forward;
pub mod hub;
mod objects;
mod relay;

use std::{
    collections::BTreeMap,
    fs, io,
    net::{Ipv4Addr, SocketAddrV4},
    path::PathBuf,
    sync::Arc,
};

use ferroflow_platform::{
    clock::SharedClock,
    controller::{CacheError, Caches, Recorder},
    task::Group,
};
use tokio::sync::watch;

pub use block::{BlockError, Living};

use crate::{
    agent::PodNetwork,
    core::{
        dns::zone::Zone,
        etc,
        network::{self, Table},
        services::table::Facts,
    },
    runtime::Isolation,
};
use block::Block;
use hub::Hub;

/// The file that the supervisors of pods read.
const TABLE: &str = "table.json";
/// Where a host names its name servers.
pub const RESOLV_CONF: &str = "/etc/resolv.conf";

/// What a cluster's network is started with.
#[derive(Clone, Debug)]
pub struct NetworkConfig {
    /// Where the block and the table are kept.
    pub directory: PathBuf,
    /// Where the API server listens.
    pub api: SocketAddrV4,
    /// The file that names the name servers of the host: [`RESOLV_CONF`].
    pub resolv_conf: PathBuf,
    /// What connects pods that have networks of their own; `None` where they share the host's.
    pub hub: Option<Hub>,
}

impl NetworkConfig {
    /// The file that the supervisors of pods read.
    pub fn table(&self) -> PathBuf {
        self.directory.join(TABLE)
    }
}

/// Whose network a pod is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodPlace {
    OwnNetwork,
    HostNetwork,
}

/// Why a cluster has no network.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    #[error(transparent)]
    Block(#[from] BlockError),
    #[error("the cluster's DNS server cannot listen on {address}: {source}")]
    Dns { address: Ipv4Addr, source: io::Error },
    #[error("the service of the cluster's DNS server cannot be written: {0}")]
    Objects(Box<kube::Error>),
    #[error("the network's table {path} cannot be written: {source}")]
    Table { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// The network of a cluster, as long as its node runs.
pub struct Network {
    config: NetworkConfig,
    block: Block,
    dns_port: u16,
    first_port: u16,
}

impl Network {
    /// Takes the cluster's block of addresses, starts its servers, and writes the first table.
    ///
    /// # Errors
    /// [`NetworkError`].
    pub async fn start(
        config: NetworkConfig,
        living: Living,
        isolation: Isolation,
        caches: &Caches,
        clock: SharedClock,
        group: &Group,
    ) -> Result<Self, NetworkError> {
        let block = block::choose(&config.directory, living)?;
        let address = network::dns_address(block.number);
        let sockets = dns::Sockets::bind(address).await.map_err(|source| NetworkError::Dns { address, source })?;
        let inside = match &config.hub {
            Some(hub) => {
                let failed = |source| NetworkError::Dns { address: network::DNS, source };
                Some(dns::Sockets::bind_inside(hub).await.map_err(failed)?)
            }
            None => None,
        };
        let network = Self { dns_port: sockets.port, first_port: first_port(), config, block };
        objects::write(&caches.client()).await.map_err(|error| NetworkError::Objects(Box::new(error)))?;
        let facts = Facts {
            block: network.block.number,
            dns_port: network.dns_port,
            first_port: network.first_port,
            api: network.config.api,
            name_servers: network.stand_ins(isolation),
        };
        let (zone, zones) = watch::channel(Arc::new(Zone::default()));
        let (wanted, doors) = watch::channel(BTreeMap::new());
        let books = books::Books::new(facts.clone(), network.table(), caches, clock.clone(), zone, wanted);
        books.start(group).await?;
        let forwarder = forward::Forwarder::new(network.config.resolv_conf.clone(), facts.block);
        let all = [Some(sockets), inside].into_iter().flatten();
        let names = dns::Server::start(all, zones, forwarder, clock.clone(), group);
        network.config.hub.clone().into_iter().for_each(|hub| names.clone().serve_inside(hub));
        let recorder = Recorder::start(caches.client(), clock.clone(), group, "service-proxy");
        let table = Table { block: facts.block, first_port: facts.first_port, ..Table::default() };
        let hub = network.config.hub.clone();
        let failures = doors::start(doors, table, hub, caches, recorder.clone(), clock.clone(), group);
        balancer::register(facts.block, failures, caches, recorder, &clock);
        Ok(network)
    }

    /// The name servers of the host that the cluster's own stands in for: at level `bare` pods read the host's
    /// settings, which lead to nobody who knows the cluster's names.
    fn stand_ins(&self, isolation: Isolation) -> Vec<Ipv4Addr> {
        if isolation != Isolation::Bare {
            return Vec::new();
        }
        let text = fs::read_to_string(&self.config.resolv_conf).unwrap_or_default();
        let servers = etc::Resolver::parse(&text).servers;
        // Without any, the C library asks this machine.
        let none = servers.is_empty().then_some(Ipv4Addr::LOCALHOST);
        servers.iter().filter_map(|server| server.parse().ok()).chain(none).collect()
    }

    /// The second octet of the cluster's loopback addresses.
    pub fn block(&self) -> u8 {
        self.block.number
    }

    /// The file that the supervisors of pods read.
    pub fn table(&self) -> PathBuf {
        self.config.table()
    }

    /// What pods and those who dial them know of the network.
    pub fn of_pods(&self) -> PodNetwork {
        let hub = self.config.hub.clone();
        PodNetwork { table: self.table(), block: self.block.number, first_port: self.first_port, hub }
    }

    /// Where the cluster's DNS server listens.
    pub fn dns(&self) -> SocketAddrV4 {
        SocketAddrV4::new(network::dns_address(self.block.number), self.dns_port)
    }

    /// The address that a pod's `/etc/resolv.conf` names.
    pub fn name_server(&self, place: PodPlace) -> Ipv4Addr {
        if self.config.hub.is_some() && place == PodPlace::OwnNetwork {
            return network::DNS;
        }
        etc::name_server(self.block.number, self.dns_port)
    }
}

/// The first port that this user may open; 0 for one that may open all.
fn first_port() -> u16 {
    // CAP_NET_BIND_SERVICE is bit 10 of what `/proc/self/status` calls CapEff.
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let capabilities = line.and_then(|line| u64::from_str_radix(line.trim(), 16).ok()).unwrap_or(0);
    if capabilities >> 10 & 1 == 1 {
        return 0;
    }
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or_default();
    text.trim().parse().unwrap_or(1024)
}
