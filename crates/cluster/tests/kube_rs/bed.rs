//! The server that a case runs against, and a namespace of its own there.

use ferroflow_testkit::{TestCluster, objects, wait};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, Config,
    api::{DeleteParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
    core::NamespaceResourceScope,
};

/// The kubeconfig of another cluster to run against.
const KUBECONFIG: &str = "FERROFLOW_TEST_KUBECONFIG";

/// A server, and a namespace in it.
pub struct Bed {
    pub client: Client,
    pub namespace: String,
    /// `None` for a server that is not ours.
    pub own: Option<TestCluster>,
}

impl Bed {
    /// Our server without a socket; `None` where another cluster was asked for.
    pub async fn in_process(case: &str) -> Option<Self> {
        if std::env::var_os(KUBECONFIG).is_some() {
            eprintln!("skipped {case} in process: {KUBECONFIG} names a cluster that is not in this process");
            return None;
        }
        let own = TestCluster::start().await;
        Some(Self::new(own.client(), Some(own), case).await)
    }

    /// Our server, or the one of the kubeconfig, through a socket.
    pub async fn through_a_socket(case: &str) -> Self {
        let Some(path) = std::env::var_os(KUBECONFIG) else {
            let own = TestCluster::start().await;
            return Self::new(own.socket_client(), Some(own), case).await;
        };
        let kubeconfig = Kubeconfig::read_from(path).expect("the kubeconfig can be read");
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
        let client = Client::try_from(config.expect("the kubeconfig names a server")).expect("a client");
        Self::new(client, None, case).await
    }

    async fn new(client: Client, own: Option<TestCluster>, case: &str) -> Self {
        let prefix: String = case.replace('_', "-").chars().take(40).collect();
        let mut namespace = objects::namespace("");
        namespace.metadata.name = None;
        namespace.metadata.generate_name = Some(format!("{}-", prefix.trim_end_matches('-')));
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let made = namespaces.create(&PostParams::default(), &namespace).await.expect("a namespace can be made");
        Self { client, namespace: made.metadata.name.expect("a name is generated"), own }
    }

    /// The objects of a kind in the case's namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Removes the namespace from a server that goes on; ends our own.
    pub async fn clear(self) {
        match self.own {
            Some(own) => drop(own.stop().await),
            None => {
                let namespaces: Api<Namespace> = Api::all(self.client);
                let _ = namespaces.delete(&self.namespace, &DeleteParams::background()).await;
                wait::until_gone(&namespaces, &self.namespace).await;
            }
        }
    }
}

/// The code and message of a refusal.
pub fn refusal<T>(result: kube::Result<T>) -> (u16, String) {
    match result {
        Ok(_) => panic!("the server accepted what it should refuse"),
        Err(kube::Error::Api(status)) => (status.code, status.message),
        Err(other) => panic!("the server did not answer: {other}"),
    }
}
