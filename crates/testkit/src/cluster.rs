//! A cluster in this process, in a directory of its own, on ports that the system chooses.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use ferroflow_cluster::{Cluster, Controllers, Options, http::server::Api, store::Store};
use ferroflow_platform::{
    clock::{SharedClock, SystemClock},
    identity::Identity,
    task::Group,
};
use tempfile::TempDir;

/// Tasks have this long to end when a cluster is stopped.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a test cluster is started with.
#[derive(Debug)]
pub struct Setup {
    pub clock: SharedClock,
    pub controllers: Controllers,
    /// The data of an earlier cluster; a new directory when `None`.
    pub directory: Option<TempDir>,
}

impl Default for Setup {
    fn default() -> Self {
        Self { clock: SystemClock::shared(), controllers: Controllers::All, directory: None }
    }
}

/// A running cluster that ends, with its data, when it is dropped.
pub struct TestCluster {
    pub cluster: Cluster,
    group: Group,
    directory: Option<TempDir>,
}

impl TestCluster {
    /// A cluster with all controllers and the system's clock.
    pub async fn start() -> Self {
        Self::with(Setup::default()).await
    }

    /// An API server without controllers.
    pub async fn server_only() -> Self {
        Self::with(Setup { controllers: Controllers::ServerOnly, ..Setup::default() }).await
    }

    /// A cluster as described.
    pub async fn with(setup: Setup) -> Self {
        let directory = setup.directory.unwrap_or_else(|| tempfile::tempdir().expect("a temporary directory"));
        let group = Group::new();
        let options = Options {
            data_directory: directory.path().to_owned(),
            https_port: 0,
            http_port: Some(0),
            controllers: setup.controllers,
        };
        let failed = Box::new(|error| panic!("the disk refused a write: {error}"));
        let cluster = Cluster::start(options, setup.clock, group.clone(), failed).await.expect("the cluster starts");
        Self { cluster, group, directory: Some(directory) }
    }

    /// The administrator's client, in process.
    pub fn client(&self) -> kube::Client {
        self.client_as(Identity::administrator())
    }

    /// A client in process that acts as `identity`.
    pub fn client_as(&self, identity: Identity) -> kube::Client {
        self.cluster.client(identity)
    }

    /// The administrator's client, through the http socket.
    pub fn socket_client(&self) -> kube::Client {
        client_of(self.http(), &self.token())
    }

    /// Where the http socket is.
    pub fn http(&self) -> SocketAddr {
        self.cluster.http.expect("a test cluster listens on http")
    }

    /// The administrator's token.
    pub fn token(&self) -> String {
        self.cluster.api.authenticator.administrator_token().to_owned()
    }

    /// The server's state.
    pub fn api(&self) -> &Arc<Api> {
        &self.cluster.api
    }

    /// The store.
    pub fn store(&self) -> Store {
        self.cluster.api.store.clone()
    }

    /// Where the data lies.
    pub fn directory(&self) -> &Path {
        self.directory.as_ref().expect("the directory is there until the cluster is stopped").path()
    }

    /// Stops the cluster and returns its data, for another one to start on.
    pub async fn stop(mut self) -> TempDir {
        self.group.stop(PATIENCE).await.expect("all tasks end");
        self.directory.take().expect("the directory is there until the cluster is stopped")
    }
}

impl Drop for TestCluster {
    fn drop(&mut self) {
        self.group.stopping().cancel();
    }
}

/// A client of the http socket at `address`.
pub fn client_of(address: SocketAddr, token: &str) -> kube::Client {
    let uri = format!("http://{address}").parse().expect("an address makes an URI");
    let mut config = kube::Config::new(uri);
    config.auth_info.token = Some(token.to_owned().into());
    kube::Client::try_from(config).expect("a client without TLS")
}
