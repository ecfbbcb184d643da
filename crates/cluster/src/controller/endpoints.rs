//! The Endpoints controller: one object a service with a selector.

use ferroflow_platform::clock::SharedClock;
use ferroflow_platform::controller::{Cache, Caches, Controller, Error, EventKind, Key, Next, Reconciler, Recorder};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Endpoints, Pod, Service};
use kube::api::DeleteParams;

use super::execute::{is_code, message, namespace_ends};
use crate::core::endpoint::endpoints::plan;
use crate::core::endpoint::{is_selecting, selects};

struct EndpointsOfServices {
    services: Cache<Service>,
    pods: Cache<Pod>,
    endpoints: Cache<Endpoints>,
    recorder: Recorder,
}

/// Starts the controller.
pub fn register(caches: &Caches, clock: &SharedClock) {
    let services: Cache<Service> = caches.of();
    let pods: Cache<Pod> = caches.of();
    let endpoints: Cache<Endpoints> = caches.of();
    let recorder = Recorder::start(caches.client(), clock.clone(), &caches.group(), "endpoint-controller");
    let (by_pod, by_endpoints) = (services.clone(), services.clone());
    Controller::new("endpoints", clock.clone())
        .workers(2)
        .watch(&services)
        .watch_mapped(&pods, move |pod: &Pod| selecting(&by_pod, pod))
        .watch_mapped(&endpoints, move |endpoints: &Endpoints| {
            let metadata = &endpoints.metadata;
            let name = metadata.name.clone().unwrap_or_default();
            let key = Key::new(metadata.namespace.clone().unwrap_or_default(), name);
            // Endpoints that somebody made by hand are none of this controller's.
            by_endpoints.get(&key).filter(|service| is_selecting(service)).map(|_| key).into_iter().collect()
        })
        .run(&caches.group(), EndpointsOfServices { services, pods, endpoints, recorder });
}

/// The services whose selector finds a pod.
pub fn selecting(services: &Cache<Service>, pod: &Pod) -> Vec<Key> {
    let namespace = pod.metadata.namespace.clone().unwrap_or_default();
    let found = services.list_in(&namespace).into_iter().filter(|service| selects(service, pod));
    found.map(|service| Key::new(namespace.clone(), service.metadata.name.clone().unwrap_or_default())).collect()
}

impl Reconciler for EndpointsOfServices {
    async fn reconcile(&self, key: Key, _now: Timestamp) -> Result<Next, Error> {
        let standing = self.endpoints.get(&key);
        let Some(service) = self.services.get(&key) else {
            if standing.is_some() {
                self.endpoints.delete_object(&key, &DeleteParams::default()).await?;
            }
            return Ok(Next::Done);
        };
        if !is_selecting(&service) || service.metadata.deletion_timestamp.is_some() {
            return Ok(Next::Done);
        }
        let all = self.pods.list_in(&key.namespace);
        let pods: Vec<&Pod> = all.iter().map(|pod| &**pod).filter(|pod| selects(&service, pod)).collect();
        let Some(new) = plan(&service, &pods, standing.as_deref()) else { return Ok(Next::Done) };
        let (result, verb) = match standing {
            None => (self.endpoints.create(&new).await, "create endpoint for service"),
            Some(_) => (self.endpoints.replace(&new).await, "update endpoint"),
        };
        match result {
            Ok(_) => Ok(Next::Done),
            Err(error) if namespace_ends(&error) => Ok(Next::Done),
            Err(error) if is_code(&error, 409) => Err(error.into()),
            Err(error) => {
                let creates = verb.starts_with("create");
                let reason = if creates { "FailedToCreateEndpoint" } else { "FailedToUpdateEndpoint" };
                let note = format!("Failed to {verb} {key}: {}", message(&error));
                self.recorder.event(&*service, EventKind::Warning, reason, note);
                Err(error.into())
            }
        }
    }
}
