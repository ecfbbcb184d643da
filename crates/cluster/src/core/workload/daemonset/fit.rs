//! Does a daemon's pod belong on a node?

use k8s_openapi::api::core::v1::{
    Affinity, Node, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod, PodSpec,
    PodTemplateSpec, Toleration,
};

use crate::core::workload::pods;
use crate::core::workload::schedule::node;
use crate::core::workload::taint::{first_untolerated, tolerates_same};

/// Whether a daemon's pod belongs on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fit {
    /// A pod should be started there.
    pub should_run: bool,
    /// A pod that is there already may stay.
    pub may_stay: bool,
}

/// The taints that every daemon tolerates: key and effect.
const TOLERATED: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];

/// Whether a pod of `template` belongs on `node`.
pub fn fit(template: &PodTemplateSpec, node: &Node) -> Fit {
    let never = Fit { should_run: false, may_stay: false };
    let mut spec = template.spec.clone().unwrap_or_default();
    let name = pods::name(&node.metadata);
    let pinned = spec.node_name.as_deref().unwrap_or_default();
    if !pinned.is_empty() && pinned != name {
        return never;
    }
    add_tolerations(&mut spec);
    if !node::matches_required(&spec, node) {
        return never;
    }
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    let tolerations = spec.tolerations.as_deref().unwrap_or_default();
    let fits = first_untolerated(taints, tolerations, &["NoSchedule", "NoExecute"]).is_none();
    let may_stay = fits || first_untolerated(taints, tolerations, &["NoExecute"]).is_none();
    Fit { should_run: fits, may_stay }
}

/// Adds the tolerations that every daemon has.
pub fn add_tolerations(spec: &mut PodSpec) {
    let host_network = spec.host_network == Some(true);
    let network = host_network.then_some(("node.kubernetes.io/network-unavailable", "NoSchedule"));
    for (key, effect) in TOLERATED.into_iter().chain(network) {
        let wanted = Toleration {
            key: Some(key.to_owned()),
            operator: Some("Exists".to_owned()),
            effect: Some(effect.to_owned()),
            ..Toleration::default()
        };
        let tolerations = spec.tolerations.get_or_insert_default();
        match tolerations.iter_mut().find(|one| tolerates_same(one, &wanted)) {
            Some(same) => *same = wanted,
            None => tolerations.push(wanted),
        }
    }
}

/// Binds a pod to a node by its affinity, as the scheduler reads it.
pub fn bind_by_affinity(spec: &mut PodSpec, node: &str) {
    let requirement = NodeSelectorRequirement {
        key: "metadata.name".to_owned(),
        operator: "In".to_owned(),
        values: Some(vec![node.to_owned()]),
    };
    let term = NodeSelectorTerm { match_fields: Some(vec![requirement]), match_expressions: None };
    let affinity: &mut Affinity = spec.affinity.get_or_insert_default();
    let by_node: &mut NodeAffinity = affinity.node_affinity.get_or_insert_default();
    by_node.required_during_scheduling_ignored_during_execution =
        Some(NodeSelector { node_selector_terms: vec![term] });
}

/// The node that a daemon's pod is on or bound for.
pub fn target_node(pod: &Pod) -> Option<&str> {
    let bound = pods::node_name(pod);
    if !bound.is_empty() {
        return Some(bound);
    }
    let affinity = pod.spec.as_ref()?.affinity.as_ref()?.node_affinity.as_ref()?;
    let terms = &affinity.required_during_scheduling_ignored_during_execution.as_ref()?.node_selector_terms;
    let mut fields = terms.iter().flat_map(|term| term.match_fields.iter().flatten());
    let by_name = fields.find(|field| field.key == "metadata.name" && field.operator == "In")?;
    match by_name.values.as_deref()? {
        [only] => Some(only),
        _ => None,
    }
}
