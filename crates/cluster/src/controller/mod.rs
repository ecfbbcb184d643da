//! What a kube-controller-manager and a kube-scheduler do, for the kinds that this cluster serves.
//!
//! One file a kind: it observes through caches, has `core` plan, and executes the plan.

pub mod aggregation;
pub mod apiservice;
pub mod compaction;
pub mod crd;
pub mod cronjob;
pub mod daemonset;
pub mod deployment;
pub mod disruption;
pub mod endpoints;
pub mod endpointslice;
pub mod execute;
pub mod feed;
pub mod garbage;
pub mod job;
pub mod namespace;
pub mod quota;
pub mod replicaset;
pub mod replicationcontroller;
pub mod scheduler;
pub mod served;
pub mod serviceaccount;
pub mod statefulset;
pub mod taint;
pub mod ttl;
pub mod volume;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use ferroflow_platform::{
    clock::{BoxFuture, SharedClock},
    controller::Caches,
    identity::Identity,
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use serviceaccount::Signer;

use crate::{
    auth::{Claims, token},
    cluster::{Cluster, Controllers},
    http::{server::Api, write::meta},
};

/// Starts the controllers of a cluster.
pub fn start(cluster: &Cluster, which: Controllers) {
    let api = &cluster.api;
    let clock = &api.clock;
    let client = cluster.client(Identity::user("system:apiserver", &[ferroflow_platform::identity::MASTERS]));
    crd::register(api, client.clone(), clock.clone(), &cluster.group());
    apiservice::register(api, client, clock.clone(), &cluster.group());
    compaction::register(&cluster.group(), clock, api.store.clone());
    if which == Controllers::ServerOnly {
        return;
    }
    let managers = Identity::user("system:kube-controller-manager", &[ferroflow_platform::identity::MASTERS]);
    let caches = cluster.caches(managers, cluster.group());
    let workloads: [fn(&Caches, &SharedClock); 13] = [
        aggregation::register,
        cronjob::register,
        daemonset::register,
        deployment::register,
        disruption::register,
        endpoints::register,
        endpointslice::register,
        job::register,
        replicaset::register,
        replicationcontroller::register,
        scheduler::register,
        statefulset::register,
        taint::register,
    ];
    for register in workloads {
        register(&caches, clock);
    }
    let resources = Arc::new(api.registry.clone());
    let tap = quota::register(&caches, clock, Arc::new(api.lookup.clone()), resources.clone());
    garbage::register(&caches, clock, api.store.clone(), resources.clone(), vec![tap]);
    namespace::register(&caches, clock, resources);
    serviceaccount::register(&caches, clock, cluster.authority.clone(), signer(api));
    volume::register(&caches, clock, Arc::new(VolumeDirectories { root: cluster.volumes.clone() }));
    ttl::register(&caches, clock, api.store.clone());
}

/// Directories of volumes below the data directory, one a claim.
struct VolumeDirectories {
    root: PathBuf,
}

impl volume::Directories for VolumeDirectories {
    fn path(&self, namespace: &str, claim: &str, uid: &str) -> String {
        self.root.join(format!("{namespace}_{claim}_{uid}")).display().to_string()
    }

    fn remove(&self, path: String) -> BoxFuture<'static, Result<(), String>> {
        let root = self.root.clone();
        Box::pin(async move {
            if Path::new(&path).parent() != Some(root.as_path()) {
                return Err(format!("{path} is no directory of a volume in {}", root.display()));
            }
            match tokio::fs::remove_dir_all(&path).await {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(format!("{path}: {error}")),
                _ => Ok(()),
            }
        })
    }
}

/// Signs the tokens that lie in Secrets.
fn signer(api: &Arc<Api>) -> Signer {
    let api = api.clone();
    Arc::new(move |account: &ServiceAccount, secret: &Secret, now: Timestamp| {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let claims = Claims {
            namespace: text(&account.metadata.namespace),
            account: text(&account.metadata.name),
            account_uid: text(&account.metadata.uid),
            audiences: vec![token::ISSUER.to_owned()],
            bound: Some(token::Bound {
                kind: "Secret".to_owned(),
                name: text(&secret.metadata.name),
                uid: text(&secret.metadata.uid),
                node: None,
            }),
            id: meta::new_uid(),
            expires: None,
        };
        api.authenticator.key.sign(&claims, now).map_err(|error| error.to_string())
    })
}
