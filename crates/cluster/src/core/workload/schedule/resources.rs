//! Resources: what a pod asks for, what a node has, what is left.
//!
//! Amounts are thousandths of a core for `cpu` and whole units for everything else, as upstream counts them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Node, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;

use crate::core::quantity::Quantity;

/// Amounts by resource name.
pub type Amounts = BTreeMap<String, i64>;

/// The resources that a pod as a whole may ask for.
const POD_LEVEL: [&str; 2] = ["cpu", "memory"];

/// The amount that a quantity stands for; text that is no quantity counts as nothing, as validation refuses it.
pub fn amount(resource: &str, text: &Text) -> i64 {
    let Ok(quantity) = Quantity::parse(&text.0) else { return 0 };
    if resource == "cpu" { quantity.milli_value() } else { quantity.value() }
}

fn amounts(list: Option<&BTreeMap<String, Text>>) -> Amounts {
    list.into_iter().flatten().map(|(name, text)| (name.clone(), amount(name, text))).collect()
}

/// What a node offers to pods.
pub fn allocatable(node: &Node) -> Amounts {
    let status = node.status.as_ref();
    amounts(status.and_then(|status| status.allocatable.as_ref().or(status.capacity.as_ref())))
}

/// Adds `more`.
pub fn add(total: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        let entry = total.entry(name.clone()).or_default();
        *entry = entry.saturating_add(*amount);
    }
}

/// Takes `less` away.
pub fn subtract(total: &mut Amounts, less: &Amounts) {
    for (name, amount) in less {
        let entry = total.entry(name.clone()).or_default();
        *entry = entry.saturating_sub(*amount);
    }
}

fn raise(total: &mut Amounts, other: &Amounts) {
    for (name, amount) in other {
        let entry = total.entry(name.clone()).or_default();
        *entry = (*entry).max(*amount);
    }
}

fn container_requests(pod: &Pod, container: &Container) -> Amounts {
    let mut asked = amounts(container.resources.as_ref().and_then(|resources| resources.requests.as_ref()));
    let statuses = pod.status.iter().flat_map(|status| {
        status.container_statuses.iter().flatten().chain(status.init_container_statuses.iter().flatten())
    });
    // A container that is being resized counts with the larger of what it has and what it asks for.
    if let Some(status) = statuses.into_iter().find(|status| status.name == container.name)
        && let Some(actual) = status.resources.as_ref()
    {
        raise(&mut asked, &amounts(actual.requests.as_ref()));
        raise(&mut asked, &amounts(status.allocated_resources.as_ref()));
    }
    asked
}

/// What a pod asks for: its containers and sidecars together, or its largest init container with the sidecars that run
/// by then, whichever is more; what it asks for as a whole; and its overhead.
pub fn requests(pod: &Pod) -> Amounts {
    let Some(spec) = pod.spec.as_ref() else { return Amounts::new() };
    let mut total = Amounts::new();
    for container in &spec.containers {
        add(&mut total, &container_requests(pod, container));
    }
    let (mut sidecars, mut initial) = (Amounts::new(), Amounts::new());
    for container in spec.init_containers.iter().flatten() {
        let mut asked = container_requests(pod, container);
        if container.restart_policy.as_deref() == Some("Always") {
            add(&mut total, &asked);
            add(&mut sidecars, &asked);
            raise(&mut initial, &sidecars);
        } else {
            add(&mut asked, &sidecars);
            raise(&mut initial, &asked);
        }
    }
    raise(&mut total, &initial);
    apply_pod_level(spec, &mut total);
    add(&mut total, &amounts(spec.overhead.as_ref()));
    total
}

fn apply_pod_level(spec: &PodSpec, total: &mut Amounts) {
    let whole = spec.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    for (name, text) in whole.into_iter().flatten() {
        if POD_LEVEL.contains(&name.as_str()) || name.starts_with("hugepages-") {
            total.insert(name.clone(), amount(name, text));
        }
    }
}

/// A resource that does not suffice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// The reason in Kubernetes' words.
    pub reason: String,
    /// Whether the node would suffice if it were empty.
    pub resolvable: bool,
}

/// The resources of which a node has too little left for `wanted`.
pub fn shortages(wanted: &Amounts, allocatable: &Amounts, requested: &Amounts, pods: usize) -> Vec<Shortage> {
    let mut shortages = Vec::new();
    let places = allocatable.get("pods").copied().unwrap_or(0);
    if i64::try_from(pods).unwrap_or(i64::MAX) >= places {
        shortages.push(Shortage { reason: "Too many pods".to_owned(), resolvable: true });
    }
    let first = ["cpu", "memory", "ephemeral-storage"];
    let known = first.iter().filter_map(|name| wanted.get_key_value(*name));
    let others = wanted.iter().filter(|(name, _)| !first.contains(&name.as_str()));
    for (name, amount) in known.chain(others).filter(|(_, amount)| **amount > 0) {
        let all = allocatable.get(name).copied().unwrap_or(0);
        let left = all - requested.get(name).copied().unwrap_or(0);
        if *amount > left {
            shortages.push(Shortage { reason: format!("Insufficient {name}"), resolvable: *amount <= all });
        }
    }
    shortages
}
