//! What one object uses of a quota, by resource: pods, services, claims, and plain counts of anything.
//! Follows `pkg/quota/v1/evaluator` of Kubernetes 1.34.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::amounts::{self, Amounts};
use super::pods::{self, Overhead, Side};

/// How the objects of a resource are counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evaluator {
    Pods,
    Services,
    Claims,
    /// One for each object, under these names.
    Count(Vec<String>),
}

const POD_RESOURCES: [&str; 11] = [
    "count/pods",
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
];
/// Resources that every container must state where a quota limits them.
const REQUIRED: [&str; 6] = ["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];
const SERVICE_RESOURCES: [&str; 4] = ["count/services", "services", "services.nodeports", "services.loadbalancers"];
const CLAIM_RESOURCES: [&str; 2] = ["persistentvolumeclaims", "requests.storage"];
const CLASS_SUFFIX: &str = ".storageclass.storage.k8s.io/";
/// Resources that are counted under their plain names too.
const ALIASED: [&str; 4] = ["configmaps", "resourcequotas", "replicationcontrollers", "secrets"];
/// Resources that no quota counts: they are not stored, or never were counted.
const IGNORED: [(&str, &str); 10] = [
    ("", "bindings"),
    ("", "componentstatuses"),
    ("", "events"),
    ("authentication.k8s.io", "selfsubjectreviews"),
    ("authentication.k8s.io", "tokenreviews"),
    ("authorization.k8s.io", "localsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectrulesreviews"),
    ("authorization.k8s.io", "subjectaccessreviews"),
    ("events.k8s.io", "events"),
];

/// One scope of a quota, with the operator that a bare scope stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    pub name: String,
    pub operator: String,
    pub values: Vec<String>,
}

/// The scopes of a quota: `spec.scopes`, then `spec.scopeSelector`.
pub fn scopes(quota: &Value) -> Vec<Scope> {
    let bare = quota["spec"]["scopes"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let bare = bare.map(|name| Scope { name: name.to_owned(), operator: "Exists".to_owned(), values: Vec::new() });
    let selected = quota["spec"]["scopeSelector"]["matchExpressions"].as_array().into_iter().flatten();
    let selected = selected.map(|requirement| Scope {
        name: text(&requirement["scopeName"]),
        operator: text(&requirement["operator"]),
        values: requirement["values"].as_array().into_iter().flatten().map(text).collect(),
    });
    bare.chain(selected).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

impl Evaluator {
    /// The evaluator of a resource; none where quotas do not count it.
    pub fn of(group: &str, plural: &str) -> Option<Self> {
        if IGNORED.contains(&(group, plural)) {
            return None;
        }
        Some(match (group, plural) {
            ("", "pods") => Self::Pods,
            ("", "services") => Self::Services,
            ("", "persistentvolumeclaims") => Self::Claims,
            ("", name) if ALIASED.contains(&name) => Self::Count(vec![format!("count/{name}"), name.to_owned()]),
            ("", name) => Self::Count(vec![format!("count/{name}")]),
            (group, name) => Self::Count(vec![format!("count/{name}.{group}")]),
        })
    }

    /// Whether a limit of this name is about the objects of this resource.
    pub fn covers(&self, name: &str) -> bool {
        match self {
            Self::Pods => {
                let extended = name.starts_with("requests.") && !pods::is_native(name);
                let huge = name.starts_with("hugepages-") || name.starts_with("requests.hugepages-");
                POD_RESOURCES.contains(&name) || huge || extended
            }
            Self::Services => SERVICE_RESOURCES.contains(&name),
            Self::Claims => {
                let by_class = name.split_once(CLASS_SUFFIX).map(|(_, rest)| rest);
                name == "count/persistentvolumeclaims" || CLAIM_RESOURCES.contains(&by_class.unwrap_or(name))
            }
            Self::Count(names) => names.iter().any(|one| one == name),
        }
    }

    /// Whether the object falls under all of the quota's scopes.
    pub fn in_scopes(&self, scopes: &[Scope], object: &Value) -> bool {
        scopes.iter().all(|scope| match self {
            Self::Pods => pod_in_scope(scope, object),
            Self::Claims => claim_in_scope(scope, object),
            Self::Services | Self::Count(_) => false,
        })
    }

    /// What the object uses. `now` tells whether a terminating pod is past its grace.
    pub fn usage(&self, object: &Value, now: Timestamp) -> Amounts {
        match self {
            Self::Pods => pod_usage(object, now),
            Self::Services => service_usage(object),
            Self::Claims => claim_usage(object),
            Self::Count(names) => names.iter().map(|name| (name.clone(), amounts::count(1))).collect(),
        }
    }

    /// What the object must state because `required` resources are limited, and does not:
    /// `must specify limits.cpu for: main`.
    pub fn missing(&self, required: &[String], object: &Value) -> Option<String> {
        if *self != Self::Pods || pods::has_pod_level_resources(object) {
            return None;
        }
        let mut required: Vec<&str> = required.iter().map(String::as_str).filter(|n| REQUIRED.contains(n)).collect();
        required.sort_unstable();
        let missing = required.into_iter().filter_map(|resource| {
            let all = pods::containers(object, "containers").chain(pods::containers(object, "initContainers"));
            let names: BTreeSet<String> = all
                .filter(|container| !container_usage(container).contains_key(resource))
                .map(|container| text(&container["name"]))
                .collect();
            let names = names.into_iter().collect::<Vec<_>>().join(",");
            (!names.is_empty()).then(|| format!("{resource} for: {names}"))
        });
        let missing = missing.collect::<Vec<_>>().join("; ");
        (!missing.is_empty()).then(|| format!("must specify {missing}"))
    }
}

/// Whether the pod ends by itself after a time.
pub fn is_terminating(pod: &Value) -> bool {
    pod["spec"]["activeDeadlineSeconds"].as_i64().is_some_and(|seconds| seconds >= 0)
}

fn pod_in_scope(scope: &Scope, pod: &Value) -> bool {
    match scope.name.as_str() {
        "Terminating" => is_terminating(pod),
        "NotTerminating" => !is_terminating(pod),
        "BestEffort" => pods::is_best_effort(pod),
        "NotBestEffort" => !pods::is_best_effort(pod),
        "PriorityClass" => selects(scope, pod["spec"]["priorityClassName"].as_str().filter(|name| !name.is_empty())),
        "CrossNamespacePodAffinity" => has_cross_namespace_affinity(pod),
        _ => false,
    }
}

fn selects(scope: &Scope, value: Option<&str>) -> bool {
    let listed = value.is_some_and(|value| scope.values.iter().any(|one| one == value));
    match scope.operator.as_str() {
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "In" => listed,
        "NotIn" => !listed,
        _ => false,
    }
}

fn has_cross_namespace_affinity(pod: &Value) -> bool {
    let affinity = &pod["spec"]["affinity"];
    let crosses = |term: &Value| {
        term["namespaces"].as_array().is_some_and(|list| !list.is_empty()) || term["namespaceSelector"].is_object()
    };
    ["podAffinity", "podAntiAffinity"].into_iter().any(|kind| {
        let terms = |field: &str| affinity[kind][field].as_array().into_iter().flatten();
        terms("requiredDuringSchedulingIgnoredDuringExecution").any(crosses)
            || terms("preferredDuringSchedulingIgnoredDuringExecution").any(|term| crosses(&term["podAffinityTerm"]))
    })
}

fn claim_in_scope(scope: &Scope, claim: &Value) -> bool {
    if scope.name != "VolumeAttributesClass" {
        return false;
    }
    let places = [
        &claim["spec"]["volumeAttributesClassName"],
        &claim["status"]["currentVolumeAttributesClassName"],
        &claim["status"]["modifyVolumeStatus"]["targetVolumeAttributesClassName"],
    ];
    let names: Vec<&str> = places.into_iter().filter_map(Value::as_str).filter(|name| !name.is_empty()).collect();
    if names.is_empty() { selects(scope, None) } else { names.into_iter().any(|name| selects(scope, Some(name))) }
}

fn pod_usage(pod: &Value, now: Timestamp) -> Amounts {
    let mut usage = Amounts::from([("count/pods".to_owned(), amounts::count(1))]);
    if is_counted(pod, now) {
        let requests = pods::total(pod, Side::Requests, Overhead::Counted);
        let limits = pods::total(pod, Side::Limits, Overhead::Counted);
        amounts::add(&mut usage, &named_usage(&requests, &limits));
    }
    usage
}

/// A pod that ended, or should have been gone by now, holds nothing.
fn is_counted(pod: &Value, now: Timestamp) -> bool {
    if matches!(pod["status"]["phase"].as_str(), Some("Failed" | "Succeeded")) {
        return false;
    }
    let metadata = &pod["metadata"];
    let deleted = metadata["deletionTimestamp"].as_str().and_then(|text| text.parse::<Timestamp>().ok());
    let grace = metadata["deletionGracePeriodSeconds"].as_i64();
    let (Some(deleted), Some(grace)) = (deleted, grace) else { return true };
    deleted.checked_add(SignedDuration::from_secs(grace)).map_or(true, |end| now <= end)
}

fn container_usage(container: &Value) -> Amounts {
    named_usage(&pods::of_container(container, Side::Requests), &pods::of_container(container, Side::Limits))
}

fn named_usage(requests: &Amounts, limits: &Amounts) -> Amounts {
    let mut usage = Amounts::from([("pods".to_owned(), amounts::count(1))]);
    for (name, amount) in requests {
        let plain = matches!(&**name, "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-");
        if plain {
            usage.insert(name.clone(), amount.clone());
        }
        if plain || pods::is_extended(name) {
            usage.insert(format!("requests.{name}"), amount.clone());
        }
    }
    for name in ["cpu", "memory", "ephemeral-storage"] {
        if let Some(amount) = limits.get(name) {
            usage.insert(format!("limits.{name}"), amount.clone());
        }
    }
    usage
}

fn service_usage(service: &Value) -> Amounts {
    let spec = &service["spec"];
    let ports = spec["ports"].as_array().map_or(&[][..], Vec::as_slice);
    let allocated = ports.iter().filter(|port| port["nodePort"].as_i64().unwrap_or(0) != 0).count();
    let (node_ports, balancers) = match spec["type"].as_str() {
        Some("NodePort") => (ports.len(), 0),
        Some("LoadBalancer") if spec["allocateLoadBalancerNodePorts"] == false => (allocated, 1),
        Some("LoadBalancer") => (ports.len(), 1),
        _ => (0, 0),
    };
    let all = [1, 1, node_ports, balancers];
    SERVICE_RESOURCES.into_iter().zip(all).map(|(name, number)| (name.to_owned(), amounts::count(number))).collect()
}

fn claim_usage(claim: &Value) -> Amounts {
    let legacy = claim["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"].as_str();
    let class = legacy.or_else(|| claim["spec"]["storageClassName"].as_str()).filter(|class| !class.is_empty());
    let mut usage = Amounts::from([
        ("persistentvolumeclaims".to_owned(), amounts::count(1)),
        ("count/persistentvolumeclaims".to_owned(), amounts::count(1)),
    ]);
    let mut storage = amounts::read(claim["spec"]["resources"].get("requests")).remove("storage");
    let granted = amounts::read(claim["status"].get("allocatedResources")).remove("storage");
    if storage.is_some() && granted > storage {
        storage = granted;
    }
    if let Some(storage) = &mut storage {
        storage.round_up(0);
        usage.insert("requests.storage".to_owned(), storage.clone());
    }
    if let Some(class) = class {
        usage.insert(format!("{class}{CLASS_SUFFIX}persistentvolumeclaims"), amounts::count(1));
        if let Some(storage) = storage {
            usage.insert(format!("{class}{CLASS_SUFFIX}requests.storage"), storage);
        }
    }
    usage
}
