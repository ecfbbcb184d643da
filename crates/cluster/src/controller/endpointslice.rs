//! The EndpointSlice controllers: slices of services with a selector, and slices that mirror Endpoints
//! which were made by hand.

use std::sync::Arc;

use ferroflow_platform::clock::SharedClock;
use ferroflow_platform::controller::{Cache, Caches, Controller, Error, Key, Next, Reconciler};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Endpoints, Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::DeleteParams;

use super::endpoints::selecting;
use super::execute::namespace_ends;
use crate::core::endpoint::slices::{self, Plan};
use crate::core::endpoint::{MANAGED_BY, SERVICE_NAME, is_selecting, mirror, selects};

const ZONE: &str = "topology.kubernetes.io/zone";

/// Starts both controllers.
pub fn register(caches: &Caches, clock: &SharedClock) {
    let services: Cache<Service> = caches.of();
    let endpoints: Cache<Endpoints> = caches.of();
    let pods: Cache<Pod> = caches.of();
    let nodes: Cache<Node> = caches.of();
    let slices = Slices { slices: caches.of() };
    let by_pod = services.clone();
    Controller::new("endpointslice", clock.clone())
        .workers(2)
        .watch(&services)
        .watch_mapped(&pods, move |pod: &Pod| selecting(&by_pod, pod))
        .watch_mapped(&slices.slices, |slice: &EndpointSlice| service_of(slice, slices::CONTROLLER))
        .reads(&nodes)
        .run(&caches.group(), OfServices { services: services.clone(), pods, nodes, slices: slices.clone() });
    Controller::new("endpointslice-mirroring", clock.clone())
        .watch(&services)
        .watch(&endpoints)
        .watch_mapped(&slices.slices, |slice: &EndpointSlice| service_of(slice, mirror::CONTROLLER))
        .run(&caches.group(), OfEndpoints { services, endpoints, slices });
}

fn label<'a>(slice: &'a EndpointSlice, name: &str) -> &'a str {
    slice.metadata.labels.as_ref().and_then(|labels| labels.get(name)).map(String::as_str).unwrap_or_default()
}

fn service_of(slice: &EndpointSlice, manager: &str) -> Vec<Key> {
    let name = label(slice, SERVICE_NAME);
    if name.is_empty() || label(slice, MANAGED_BY) != manager {
        return Vec::new();
    }
    vec![Key::new(slice.metadata.namespace.clone().unwrap_or_default(), name)]
}

#[derive(Clone)]
struct Slices {
    slices: Cache<EndpointSlice>,
}

impl Slices {
    /// The slices of a service that a manager keeps.
    fn of(&self, key: &Key, manager: &str) -> Vec<Arc<EndpointSlice>> {
        let mut all = self.slices.list_in(&key.namespace);
        all.retain(|slice| {
            let ours = label(slice, SERVICE_NAME) == key.name && label(slice, MANAGED_BY) == manager;
            ours && slice.metadata.deletion_timestamp.is_none()
        });
        all
    }

    async fn carry_out(&self, namespace: &str, plan: Plan) -> Result<Next, Error> {
        for slice in &plan.create {
            match self.slices.create(slice).await {
                Err(error) if namespace_ends(&error) => return Ok(Next::Done),
                other => drop(other?),
            }
        }
        for slice in &plan.replace {
            self.slices.replace(slice).await?;
        }
        for name in plan.delete {
            self.slices.delete_object(&Key::new(namespace, name), &DeleteParams::default()).await?;
        }
        Ok(Next::Done)
    }
}

struct OfServices {
    services: Cache<Service>,
    pods: Cache<Pod>,
    nodes: Cache<Node>,
    slices: Slices,
}

impl Reconciler for OfServices {
    async fn reconcile(&self, key: Key, _now: Timestamp) -> Result<Next, Error> {
        // Slices of a service that is gone are collected by their owner.
        let Some(service) = self.services.get(&key) else { return Ok(Next::Done) };
        if !is_selecting(&service) || service.metadata.deletion_timestamp.is_some() {
            return Ok(Next::Done);
        }
        let all = self.pods.list_in(&key.namespace);
        let pods: Vec<&Pod> = all.iter().map(|pod| &**pod).filter(|pod| selects(&service, pod)).collect();
        let zone = |name: &str| {
            let node = self.nodes.get(&Key::new("", name))?;
            node.metadata.labels.as_ref()?.get(ZONE).filter(|zone| !zone.is_empty()).cloned()
        };
        let standing = self.slices.of(&key, slices::CONTROLLER);
        let standing: Vec<&EndpointSlice> = standing.iter().map(|slice| &**slice).collect();
        self.slices.carry_out(&key.namespace, slices::plan(&service, &pods, &zone, &standing)).await
    }
}

struct OfEndpoints {
    services: Cache<Service>,
    endpoints: Cache<Endpoints>,
    slices: Slices,
}

impl Reconciler for OfEndpoints {
    async fn reconcile(&self, key: Key, _now: Timestamp) -> Result<Next, Error> {
        let (endpoints, service) = (self.endpoints.get(&key), self.services.get(&key));
        let standing = self.slices.of(&key, mirror::CONTROLLER);
        let standing: Vec<&EndpointSlice> = standing.iter().map(|slice| &**slice).collect();
        let plan = mirror::plan(endpoints.as_deref(), service.as_deref(), &standing);
        self.slices.carry_out(&key.namespace, plan).await
    }
}
