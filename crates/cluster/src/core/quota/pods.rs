//! What a pod asks for in all: the sum of its containers, or the most that its start needs, with
//! sidecars counted from where they start. Follows `k8s.io/component-helpers/resource` of 1.34 without
//! in-place resizing.

use serde_json::Value;

use super::amounts::{self, Amounts};

/// `requests` or `limits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Requests,
    Limits,
}

impl Side {
    fn field(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Limits => "limits",
        }
    }
}

/// Whether `spec.overhead` is part of what a pod asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overhead {
    Counted,
    Ignored,
}

/// The containers of a pod's list `field`.
pub fn containers<'a>(pod: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    pod["spec"][field].as_array().into_iter().flatten()
}

/// What one container asks for.
pub fn of_container(container: &Value, side: Side) -> Amounts {
    amounts::read(container["resources"].get(side.field()))
}

/// What the whole pod asks for.
pub fn total(pod: &Value, side: Side, overhead: Overhead) -> Amounts {
    let mut sum = Amounts::new();
    for container in containers(pod, "containers") {
        amounts::add(&mut sum, &of_container(container, side));
    }
    // What runs while an init container runs: the sidecars before it, and itself.
    let mut sidecars = Amounts::new();
    let mut start = Amounts::new();
    for container in containers(pod, "initContainers") {
        let own = of_container(container, side);
        if container["restartPolicy"] == "Always" {
            amounts::add(&mut sum, &own);
            amounts::add(&mut sidecars, &own);
            amounts::raise(&mut start, &sidecars);
        } else {
            let mut with_sidecars = own;
            amounts::add(&mut with_sidecars, &sidecars);
            amounts::raise(&mut start, &with_sidecars);
        }
    }
    amounts::raise(&mut sum, &start);
    let whole = amounts::read(pod["spec"]["resources"].get(side.field()));
    sum.extend(whole.into_iter().filter(|(name, _)| is_pod_level(name)));
    if overhead == Overhead::Counted {
        let extra = amounts::read(pod["spec"].get("overhead"));
        // Overhead adds to a limit only where there is one.
        let extra = amounts::only(&extra, |name| side == Side::Requests || sum.contains_key(name));
        amounts::add(&mut sum, &extra);
    }
    sum
}

/// Whether the pod states what it needs as a whole.
pub fn has_pod_level_resources(pod: &Value) -> bool {
    [Side::Requests, Side::Limits]
        .into_iter()
        .any(|side| amounts::read(pod["spec"]["resources"].get(side.field())).keys().any(|name| is_pod_level(name)))
}

fn is_pod_level(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || name.starts_with("hugepages-")
}

/// Whether nothing in the pod asks for CPU or memory.
pub fn is_best_effort(pod: &Value) -> bool {
    if let Some(class) = pod["status"]["qosClass"].as_str() {
        return class == "BestEffort";
    }
    let asks = |of: Amounts| of.iter().any(|(name, amount)| matches!(&**name, "cpu" | "memory") && amount.sign() > 0);
    let sides = [Side::Requests, Side::Limits];
    let mut all = containers(pod, "containers").chain(containers(pod, "initContainers"));
    !all.any(|container| sides.into_iter().any(|side| asks(of_container(container, side))))
        && !sides.into_iter().any(|side| asks(amounts::read(pod["spec"]["resources"].get(side.field()))))
}

/// Whether the resource belongs to Kubernetes itself.
pub fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// Whether the resource is one that a device plugin or an administrator adds to a node.
pub fn is_extended(name: &str) -> bool {
    // The quota form of the name must be a qualified name itself: the part before the slash is a domain.
    let domain_fits = name.split_once('/').is_some_and(|(domain, rest)| !domain.is_empty() && !rest.is_empty());
    !is_native(name) && !name.starts_with("requests.") && domain_fits
}
