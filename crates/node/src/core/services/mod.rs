//! What services lead to: the table that pods' connections are decided by, and the ports of the host.
//!
//! Reads Services, EndpointSlices and Pods that are handed in; answers with plain data.

pub mod reach;
pub mod table;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, net::IpAddr};

use k8s_openapi::api::{
    core::v1::{Service, ServicePort, ServiceSpec},
    discovery::v1::{Endpoint, EndpointSlice},
};

/// The label that says which service a slice belongs to.
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// How long a client stays with an endpoint if a service does not say: the API's default.
const AFFINITY_S: u32 = 10_800;

/// Slices by the namespace and name of their service.
#[derive(Default)]
pub struct Slices<'a>(BTreeMap<&'a str, BTreeMap<&'a str, Vec<&'a EndpointSlice>>>);

impl<'a> Slices<'a> {
    /// Sorts slices by their service.
    pub fn new(slices: impl IntoIterator<Item = &'a EndpointSlice>) -> Self {
        let mut sorted = Self::default();
        for slice in slices {
            let labels = slice.metadata.labels.as_ref();
            let Some(name) = labels.and_then(|labels| labels.get(SERVICE_NAME)) else { continue };
            let namespace = slice.metadata.namespace.as_deref().unwrap_or_default();
            sorted.0.entry(namespace).or_default().entry(name).or_default().push(slice);
        }
        sorted
    }

    /// The slices of a service.
    pub fn of(&self, service: &Service) -> &[&'a EndpointSlice] {
        let (namespace, name) = name_of(service);
        self.0.get(namespace).and_then(|names| names.get(name)).map(Vec::as_slice).unwrap_or_default()
    }
}

/// The namespace and the name of a service.
pub fn name_of(service: &Service) -> (&str, &str) {
    let metadata = &service.metadata;
    (metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default())
}

/// The protocol of a service's port.
pub fn protocol(port: &ServicePort) -> &str {
    port.protocol.as_deref().unwrap_or("TCP")
}

/// A number that is a port's.
pub fn port_number(number: i32) -> Option<u16> {
    u16::try_from(number).ok().filter(|number| *number > 0)
}

/// The addresses of a service inside the cluster; none for a headless one.
pub fn cluster_addresses(spec: &ServiceSpec) -> Vec<IpAddr> {
    let all = spec.cluster_ips.clone().unwrap_or_default();
    let all = if all.is_empty() { spec.cluster_ip.iter().cloned().collect() } else { all };
    all.iter().filter_map(|address| address.parse().ok()).collect()
}

/// Whether an endpoint takes connections: it is ready, or nobody has said that it is not.
pub fn is_ready(endpoint: &Endpoint) -> bool {
    endpoint.conditions.as_ref().and_then(|conditions| conditions.ready) != Some(false)
}

/// Whether an endpoint still serves though it ends: the last resort of a service that has no other.
pub fn is_serving_last(endpoint: &Endpoint) -> bool {
    let Some(conditions) = &endpoint.conditions else { return false };
    conditions.serving != Some(false) && conditions.terminating == Some(true)
}

/// How long a client stays with the endpoint it got, in seconds.
pub fn affinity_s(spec: &ServiceSpec) -> Option<u32> {
    if spec.session_affinity.as_deref() != Some("ClientIP") {
        return None;
    }
    let config = spec.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref());
    let seconds = config.and_then(|client| client.timeout_seconds).and_then(|seconds| u32::try_from(seconds).ok());
    Some(seconds.unwrap_or(AFFINITY_S))
}
