//! Does a pod fit a node? The checks in the order in which upstream's default plugins run; the first that fails says why.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{ContainerPort, Pod};

use super::{Misfit, NodeState, Snapshot, affinity, node, priority, resources, spread};
use crate::core::workload::pods;
use crate::core::workload::taint::{first_untolerated, tolerates};

/// Whether the pod fits with pods counted in that wait for the node and are at least as important. `None` when it does.
pub fn filter_with_nominated(pod: &Arc<Pod>, state: &NodeState, snapshot: &Snapshot) -> Option<Misfit> {
    let waiting: Vec<&Arc<Pod>> = snapshot.nominated.iter().filter(|other| waits_ahead(other, pod, state)).collect();
    if waiting.is_empty() {
        return filter(pod, state, snapshot);
    }
    let mut crowded = state.clone();
    for other in waiting {
        crowded.add(other.clone());
    }
    filter(pod, &crowded, snapshot)
}

fn waits_ahead(other: &Pod, pod: &Pod, state: &NodeState) -> bool {
    let nominated = other.status.as_ref().and_then(|status| status.nominated_node_name.as_deref());
    nominated == Some(state.name())
        && pods::uid(&other.metadata) != pods::uid(&pod.metadata)
        && priority(other) >= priority(pod)
}

/// Whether the pod fits the node as it is. `None` when it does. `state` stands for the node of its name in `snapshot`.
pub fn filter(pod: &Pod, state: &NodeState, snapshot: &Snapshot) -> Option<Misfit> {
    let spec = pod.spec.as_ref()?;
    if node::named(spec).is_some_and(|names| !names.iter().any(|name| name == state.name())) {
        return Some(Misfit::lasting("node(s) didn't satisfy plugin(s) [NodeAffinity]"));
    }
    let tolerations = spec.tolerations.as_deref().unwrap_or_default();
    if state.node.spec.as_ref().and_then(|spec| spec.unschedulable) == Some(true) && !tolerates_cordon(pod) {
        return Some(Misfit::lasting("node(s) were unschedulable"));
    }
    if first_untolerated(state.taints(), tolerations, &["NoSchedule", "NoExecute"]).is_some() {
        return Some(Misfit::lasting("node(s) had untolerated taint(s)"));
    }
    if !node::matches_required(spec, &state.node) {
        return Some(Misfit::lasting("node(s) didn't match Pod's node affinity/selector"));
    }
    if !ports_are_free(pod, state) {
        return Some(Misfit::passing("node(s) didn't have free ports for the requested pod ports"));
    }
    let wanted = resources::requests(pod);
    let shortages = resources::shortages(&wanted, &state.allocatable, &state.requested, state.pods.len());
    if !shortages.is_empty() {
        let resolvable = shortages.iter().all(|shortage| shortage.resolvable);
        return Some(Misfit { reasons: shortages.into_iter().map(|shortage| shortage.reason).collect(), resolvable });
    }
    spread::filter(pod, state, snapshot).or_else(|| affinity::filter(pod, state, snapshot))
}

fn tolerates_cordon(pod: &Pod) -> bool {
    let cordon = k8s_openapi::api::core::v1::Taint {
        key: "node.kubernetes.io/unschedulable".to_owned(),
        effect: "NoSchedule".to_owned(),
        ..Default::default()
    };
    let tolerations = pod.spec.iter().flat_map(|spec| spec.tolerations.iter().flatten());
    tolerations.into_iter().any(|toleration| tolerates(toleration, &cordon))
}

/// A port of the host: address, protocol, number.
type HostPort<'a> = (&'a str, &'a str, i32);

fn host_ports(pod: &Pod) -> impl Iterator<Item = HostPort<'_>> {
    let spec = pod.spec.iter();
    let sidecars =
        |container: &&k8s_openapi::api::core::v1::Container| container.restart_policy.as_deref() == Some("Always");
    let containers =
        spec.flat_map(move |spec| spec.containers.iter().chain(spec.init_containers.iter().flatten().filter(sidecars)));
    containers.flat_map(|container| container.ports.iter().flatten()).filter_map(host_port)
}

fn host_port(port: &ContainerPort) -> Option<HostPort<'_>> {
    let number = port.host_port.filter(|number| *number > 0)?;
    let address = port.host_ip.as_deref().filter(|address| !address.is_empty()).unwrap_or("0.0.0.0");
    Some((address, port.protocol.as_deref().unwrap_or("TCP"), number))
}

fn ports_are_free(pod: &Pod, state: &NodeState) -> bool {
    host_ports(pod).all(|wanted| !state.pods.iter().any(|other| host_ports(other).any(|taken| clash(wanted, taken))))
}

fn clash(one: HostPort, other: HostPort) -> bool {
    let anywhere = |address: &str| address == "0.0.0.0";
    one.2 == other.2 && one.1 == other.1 && (one.0 == other.0 || anywhere(one.0) || anywhere(other.0))
}
