//! Which addresses and ports stand behind a service: EndpointSlices and Endpoints, from the pods that
//! its selector finds, and slices that mirror hand-made Endpoints.
//!
//! Follows `k8s.io/endpointslice` and `pkg/controller/endpoint*` of Kubernetes 1.34, without topology
//! hints. A plan never changes what already says the same.

pub mod endpoints;
pub mod mirror;
pub mod slices;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{ObjectReference, Pod, Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::job::pods::phase;
use super::workload::selector;

/// Labels of services, endpoints and slices.
pub type Labels = BTreeMap<String, String>;

/// Marks slices and endpoints of services without an address.
pub const HEADLESS: &str = "service.kubernetes.io/headless";
/// Names the service of a slice.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Names the controller of a slice.
pub const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";

/// Whether addresses are found for the service by its selector.
pub fn is_selecting(service: &Service) -> bool {
    let Some(spec) = &service.spec else { return false };
    spec.type_.as_deref() != Some("ExternalName") && spec.selector.is_some()
}

/// Whether the service's selector finds the pod. An empty selector finds every pod.
pub fn selects(service: &Service, pod: &Pod) -> bool {
    let wanted = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    is_selecting(service)
        && service.metadata.namespace == pod.metadata.namespace
        && selector::contains(pod.metadata.labels.as_ref(), wanted)
}

/// Whether pods that are being deleted count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Terminating {
    Included,
    Left,
}

/// Whether the pod has an address and has not ended.
fn may_serve(pod: &Pod, terminating: Terminating) -> bool {
    let ended = matches!(phase(pod), "Succeeded" | "Failed");
    let going = pod.metadata.deletion_timestamp.is_some() && terminating == Terminating::Left;
    !ended && !going && addresses(pod).next().is_some()
}

fn addresses(pod: &Pod) -> impl Iterator<Item = IpAddr> {
    let status = pod.status.as_ref();
    let many = status.and_then(|status| status.pod_ips.as_ref()).into_iter().flatten().map(|one| one.ip.as_str());
    let one = status.and_then(|status| status.pod_ip.as_deref());
    let none_listed = status.and_then(|status| status.pod_ips.as_ref()).is_none_or(Vec::is_empty);
    let all = many.chain(one.filter(|_| none_listed));
    all.filter_map(|text| text.parse().ok())
}

fn hostname<'a>(pod: &'a Pod, service: &Service) -> Option<&'a String> {
    let spec = pod.spec.as_ref()?;
    let same_namespace = pod.metadata.namespace == service.metadata.namespace;
    let fits = spec.subdomain.is_some() && spec.subdomain == service.metadata.name && same_namespace;
    spec.hostname.as_ref().filter(|hostname| fits && !hostname.is_empty())
}

fn node_name(pod: &Pod) -> Option<String> {
    pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).filter(|name| !name.is_empty())
}

fn reference(pod: &Pod) -> ObjectReference {
    ObjectReference {
        kind: Some("Pod".to_owned()),
        namespace: pod.metadata.namespace.clone(),
        name: pod.metadata.name.clone(),
        uid: pod.metadata.uid.clone(),
        ..ObjectReference::default()
    }
}

fn is_headless(spec: &ServiceSpec) -> bool {
    matches!(spec.cluster_ip.as_deref(), None | Some("" | "None"))
}

fn protocol(port: &ServicePort) -> String {
    port.protocol.clone().unwrap_or_else(|| "TCP".to_owned())
}

/// The number of a service's target port in one pod; a name is looked up among the ports of containers
/// and sidecars.
fn target_port(pod: &Pod, port: &ServicePort) -> Option<i32> {
    let name = match port.target_port.as_ref() {
        None => return Some(port.port),
        Some(IntOrString::Int(number)) => return Some(*number),
        Some(IntOrString::String(name)) => name,
    };
    let spec = pod.spec.as_ref()?;
    let sidecars = spec.init_containers.iter().flatten();
    let sidecars = sidecars.filter(|container| container.restart_policy.as_deref() == Some("Always"));
    let ports = spec.containers.iter().chain(sidecars).flat_map(|container| container.ports.iter().flatten());
    let mut fitting = ports
        .filter(|own| own.name.as_ref() == Some(name) && own.protocol.as_deref().unwrap_or("TCP") == protocol(port));
    fitting.next().map(|own| own.container_port)
}
