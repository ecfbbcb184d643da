//! A cluster whose services lead to sockets that a test has opened.

use std::{
    future::Future,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
};

use ferroflow_node::{
    core::network::{self, Table},
    runtime::Isolation,
    services::{Living, Network, NetworkConfig},
};
use ferroflow_platform::{clock::SystemClock, controller::Caches, task::Group};
use ferroflow_testkit::{cluster::TestCluster, wait::eventually};
use k8s_openapi::api::{
    core::v1::{Event, Service},
    discovery::v1::EndpointSlice,
};
use kube::{Api, api::PostParams};
use serde_json::{Value, json};
use tempfile::TempDir;

pub struct Bed {
    pub cluster: TestCluster,
    pub network: Network,
    group: Group,
    directory: TempDir,
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.group.stopping().cancel();
    }
}

impl Bed {
    /// A network whose host asks no name servers.
    pub async fn start() -> Self {
        Self::with_servers("").await
    }

    /// A network of a host with this `/etc/resolv.conf`.
    pub async fn with_servers(resolv_conf: &str) -> Self {
        let cluster = TestCluster::start().await;
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("resolv.conf");
        std::fs::write(&file, resolv_conf).unwrap();
        let group = Group::new();
        let caches = Caches::new(cluster.client(), group.clone());
        let SocketAddr::V4(api) = cluster.cluster.https else { panic!("the server listens on IPv4") };
        let config = NetworkConfig { directory: directory.path().to_owned(), api, resolv_conf: file, hub: None };
        let network =
            Network::start(config, Living::Nothing, Isolation::Container, &caches, SystemClock::shared(), &group)
                .await
                .unwrap();
        Self { cluster, network, group, directory }
    }

    /// The host's address of a pod.
    pub fn host(&self, last: u8) -> Ipv4Addr {
        network::host_address(self.network.block(), pod(last))
    }

    pub async fn service(&self, name: &str, spec: Value) -> Service {
        let object = json!({"metadata": {"name": name}, "spec": spec});
        let object = serde_json::from_value(object).unwrap();
        self.services().create(&PostParams::default(), &object).await.unwrap()
    }

    pub fn services(&self) -> Api<Service> {
        Api::namespaced(self.cluster.client(), "default")
    }

    pub fn slices(&self) -> Api<EndpointSlice> {
        Api::namespaced(self.cluster.client(), "default")
    }

    pub fn events(&self) -> Api<Event> {
        Api::namespaced(self.cluster.client(), "default")
    }

    /// Says that a service has these endpoints.
    pub async fn slice(&self, service: &str, protocol: &str, port: u16, endpoints: Value) -> EndpointSlice {
        let object = json!({
            "metadata": {"name": service, "labels": {"kubernetes.io/service-name": service}},
            "addressType": "IPv4", "endpoints": endpoints,
            "ports": [{"name": "", "port": port, "protocol": protocol}],
        });
        let object = serde_json::from_value(object).unwrap();
        self.slices().create(&PostParams::default(), &object).await.unwrap()
    }

    /// The table as the supervisors of pods read it.
    pub fn table(&self) -> Table {
        assert!(self.network.table().starts_with(self.directory.path()));
        serde_json::from_slice(&std::fs::read(self.network.table()).unwrap()).unwrap()
    }
}

/// A pod's address as objects show it.
pub fn pod(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 244, 0, last)
}

/// Tries until something holds; each try waits for a socket or lets others work.
pub async fn holds<F: Future<Output = bool>>(what: &str, mut attempt: impl FnMut() -> F) {
    let tries = async {
        while !attempt().await {
            tokio::task::yield_now().await;
        }
    };
    eventually(what, tries).await;
}

pub fn loopback(port: i32) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, u16::try_from(port).unwrap())
}
