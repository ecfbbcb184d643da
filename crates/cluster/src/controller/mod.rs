//! What a kube-controller-manager and a kube-scheduler do, for the kinds that this cluster serves.
//!
//! One file a kind: it observes through caches, has `core` plan, and executes the plan.

pub mod aggregation;
pub mod crd;
pub mod cronjob;
pub mod daemonset;
pub mod deployment;
pub mod disruption;
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

use std::sync::Arc;

use ferroflow_platform::{clock::SharedClock, controller::Caches, identity::Identity};
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
    crd::register(api, client, clock.clone(), &cluster.group());
    if which == Controllers::ServerOnly {
        return;
    }
    let managers = Identity::user("system:kube-controller-manager", &[ferroflow_platform::identity::MASTERS]);
    let caches = Caches::new(cluster.client(managers), cluster.group());
    let workloads: [fn(&Caches, &SharedClock); 11] = [
        aggregation::register,
        cronjob::register,
        daemonset::register,
        deployment::register,
        disruption::register,
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
    ttl::register(&caches, clock, api.store.clone());
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
            }),
            id: meta::new_uid(),
            expires: None,
        };
        api.authenticator.key.sign(&claims, now).map_err(|error| error.to_string())
    })
}
