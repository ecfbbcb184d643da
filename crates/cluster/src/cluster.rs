//! An embedded cluster, put together: store, server, listeners, first objects, controllers.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use ferroflow_platform::{
    clock::SharedClock,
    controller::Caches,
    http as http_kit,
    identity::{self, Identity},
    kubelet::SharedAgent,
    sql,
    task::{Group, Kind as TaskKind},
    tls::Credential,
};
use http::Request;
use tokio::{net::TcpListener, sync::Semaphore};

use crate::{
    auth::{self, Authenticator, certificates::Certificates},
    bootstrap, controller, gate,
    http::{
        admission::StoreLookup,
        aggregate::Aggregated,
        body,
        documents::Documents,
        hooks::client,
        local::LocalService,
        server::{self, Api},
        services::Allocator,
    },
    inprocess,
    registry::Registry,
    store::{self, Store},
};

/// A cluster cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Auth(#[from] auth::Error),
    #[error("cannot listen on {address}; is another cluster running? choose another port, or 0 for any")]
    Listen {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("the first objects cannot be written")]
    Bootstrap(#[from] kube::Error),
}

/// What a cluster is started with.
pub struct Options {
    pub data_directory: PathBuf,
    /// The https port on 127.0.0.1; 0 lets the system choose.
    pub https_port: u16,
    /// The http port on 127.0.0.1, if there is to be one; 0 lets the system choose.
    pub http_port: Option<u16>,
    /// Which of the built-in controllers run.
    pub controllers: Controllers,
}

/// Which controllers run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Controllers {
    All,
    /// Only what the API server itself needs, as a kube-apiserver alone.
    ServerOnly,
}

/// A running cluster.
pub struct Cluster {
    pub api: Arc<Api>,
    /// The certificate authority, PEM.
    pub authority: String,
    pub https: SocketAddr,
    pub http: Option<SocketAddr>,
    /// Where the directories of volumes are made.
    pub volumes: PathBuf,
    group: Group,
    caches: Caches,
}

impl Cluster {
    /// Starts a cluster in `group`. `failed` is called when the disk refuses a write.
    ///
    /// # Errors
    /// [`Error`], naming what is in the way.
    pub async fn start(
        options: Options,
        clock: SharedClock,
        group: Group,
        failed: Box<dyn FnOnce(sql::Error) + Send>,
    ) -> Result<Self, Error> {
        let directory = options.data_directory.as_path();
        let store = Store::open(directory, clock.now(), failed)?;
        let certificates = Certificates::open(directory)?;
        let api = api(directory, store, clock, group.clone(), certificates.front)?;
        controller::crd::load(&api);
        let https = listener(options.https_port).await?;
        let http = match options.http_port {
            Some(port) => Some(listener(port).await?),
            None => None,
        };
        let watching = Identity::user("system:ferroflow", &[identity::MASTERS]);
        let caches = Caches::new(inprocess::client(&api, watching), group.clone());
        let cluster = Self {
            https: address(&https),
            http: http.as_ref().map(address),
            authority: certificates.authority.clone(),
            api,
            volumes: directory.join("volumes"),
            group,
            caches,
        };
        let client = cluster.client(Identity::administrator());
        bootstrap::write(&client, cluster.https.port(), &cluster.authority).await?;
        controller::start(&cluster, options.controllers);
        cluster.serve("https", https, certificates.acceptor);
        if let Some(http) = http {
            cluster.serve("http", http, http_kit::Plain);
        }
        Ok(cluster)
    }

    fn serve<H: http_kit::Handshake>(&self, name: &'static str, listener: TcpListener, handshake: H) {
        let api = self.api.clone();
        let answer = move |request: Request<hyper::body::Incoming>| {
            let api = api.clone();
            async move {
                match gate::check(request.uri(), request.headers()) {
                    Ok(()) => api.handle(request.map(body::boxed)).await,
                    Err(failure) => server::refusal(&failure),
                }
            }
        };
        let serving = http_kit::serve(self.group.clone(), name, listener, handshake, answer);
        self.group.spawn(format!("{name} listener"), TaskKind::Essential, serving);
    }

    /// A client that calls the server in process, as `identity`.
    pub fn client(&self, identity: Identity) -> kube::Client {
        inprocess::client(&self.api, identity)
    }

    /// Caches for a component that writes as `identity` and runs in `group`. All components of the process share their
    /// watches.
    pub fn caches(&self, identity: Identity, group: Group) -> Caches {
        self.caches.shared_with(self.client(identity), group)
    }

    /// The group that the cluster's tasks run in.
    pub fn group(&self) -> Group {
        self.group.clone()
    }

    /// Lets logs, commands and ports be asked of `agent`. Only the first call counts.
    pub fn set_agent(&self, agent: SharedAgent) {
        let _ = self.api.agent.set(agent);
    }

    /// Lets `proxy` of these services be answered in this process, with the identity of who asks. Only the first call
    /// counts.
    pub fn set_local_services(&self, services: Vec<LocalService>) {
        let _ = self.api.local.set(services);
    }

    /// A kubeconfig for the administrator.
    pub fn kubeconfig(&self) -> String {
        use base64::Engine;
        let authority = base64::engine::general_purpose::STANDARD.encode(&self.authority);
        format!(
            "apiVersion: v1\nkind: Config\nclusters:\n- name: ferroflow\n  cluster:\n    server: https://{}\n    \
             certificate-authority-data: {authority}\nusers:\n- name: ferroflow\n  user:\n    token: {}\ncontexts:\n\
             - name: ferroflow\n  context:\n    cluster: ferroflow\n    user: ferroflow\n    namespace: default\n\
             current-context: ferroflow\n",
            self.https,
            self.api.authenticator.administrator_token()
        )
    }
}

fn api(directory: &Path, store: Store, clock: SharedClock, tasks: Group, front: Credential) -> Result<Arc<Api>, Error> {
    let registry = Registry::new();
    let lookup = StoreLookup { store: store.clone(), registry: registry.clone() };
    let authenticator = Authenticator::open(directory, lookup.clone())?;
    Ok(Arc::new(Api {
        store,
        registry,
        lookup,
        clock,
        authenticator,
        documents: Documents::default(),
        services: Allocator::default(),
        agent: OnceLock::new(),
        tasks,
        calls: Semaphore::new(client::CALLS),
        aggregated: Aggregated::default(),
        front,
        local: OnceLock::new(),
    }))
}

async fn listener(port: u16) -> Result<TcpListener, Error> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpListener::bind(address).await.map_err(|source| Error::Listen { address, source })
}

fn address(listener: &TcpListener) -> SocketAddr {
    listener.local_addr().unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
}
