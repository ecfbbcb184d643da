//! Names and amounts of compute resources: requests, limits, quotas.
//!
//! After `pkg/apis/core/helper` and the resource part of `pkg/apis/core/validation`. The numbers
//! themselves are `core::quantity`.

use serde_json::{Map, Value};

use super::names;
use super::place::Place;
use super::value::{entries, get, indexed, text};
use crate::core::field::{ErrorList, FieldError};
use crate::core::quantity::Quantity;

const STANDARD: [&str; 20] = [
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
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "storage",
    "requests.storage",
    "services.nodeports",
    "services.loadbalancers",
];
const INTEGER: [&str; 9] = [
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];

/// `hugepages-2Mi`.
pub fn is_huge_page(name: &str) -> bool {
    name.starts_with("hugepages-")
}

fn is_quota_huge_page(name: &str) -> bool {
    is_huge_page(name) || name.starts_with("requests.hugepages-")
}

/// Resources of Kubernetes itself, as opposed to extended ones.
pub fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// Resources such as `nvidia.com/gpu`.
pub fn is_extended(name: &str) -> bool {
    !is_native(name) && !name.starts_with("requests.") && names::qualified_name(&format!("requests.{name}")).is_empty()
}

/// Whether a request may be lower than the limit.
pub fn is_overcommit_allowed(name: &str) -> bool {
    is_native(name) && !is_huge_page(name)
}

/// Resources that a ResourceQuota may name without a domain.
pub fn is_standard_for_quota(name: &str) -> bool {
    (STANDARD.contains(&name) && name != "storage") || is_quota_huge_page(name)
}

fn is_standard(name: &str) -> bool {
    STANDARD.contains(&name) || is_quota_huge_page(name)
}

fn is_standard_for_containers(name: &str) -> bool {
    matches!(name, "cpu" | "memory" | "ephemeral-storage") || is_huge_page(name)
}

fn is_integer(name: &str) -> bool {
    INTEGER.contains(&name) || is_extended(name)
}

/// Whether a pod-level request or limit may name a resource.
pub fn is_supported_at_pod_level(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || is_huge_page(name)
}

/// The amount, zero where it cannot be read (which the type check has refused earlier).
pub fn amount(value: &Value) -> Quantity {
    Quantity::from_json(value).unwrap_or_default()
}

/// An amount of a named entry.
pub fn amount_of(list: &Map<String, Value>, name: &str) -> Option<Quantity> {
    list.get(name).map(amount)
}

/// Whether the amount has a fraction.
pub fn is_fractional(amount: &Quantity) -> bool {
    amount.milli_value() % 1000 != 0
}

/// Checks a resource's name; says whether it was well formed.
pub fn validate_name(name: &str, place: &Place, errors: &mut ErrorList) -> bool {
    let faults = names::qualified_name(name);
    if !faults.is_empty() {
        errors.extend(faults.into_iter().map(|fault| FieldError::invalid(place, name, fault)));
        return false;
    }
    if !name.contains('/') && !is_standard(name) {
        errors.push(FieldError::invalid(place, name, "must be a standard resource type or fully qualified"));
        return false;
    }
    true
}

/// Checks the name of a resource that a container asks for.
pub fn validate_container_name(name: &str, place: &Place, errors: &mut ErrorList) {
    validate_name(name, place, errors);
    if !name.contains('/') {
        if !is_standard_for_containers(name) {
            errors.push(FieldError::invalid(place, name, "must be a standard resource for containers"));
        }
    } else if !is_native(name) && !is_extended(name) {
        errors.push(FieldError::invalid(place, name, "doesn't follow extended resource name standard"));
    }
}

/// Checks the name of a resource that a pod as a whole asks for.
fn validate_pod_name(name: &str, place: &Place, errors: &mut ErrorList) {
    if validate_name(name, place, errors) && !is_supported_at_pod_level(name) {
        errors.push(FieldError::not_supported(place, name, &["cpu", "hugepages-", "memory"]));
    }
}

/// Checks the name of a resource in a quota.
pub fn validate_quota_name(name: &str, place: &Place, errors: &mut ErrorList) {
    validate_name(name, place, errors);
    if !name.contains('/') && !is_standard_for_quota(name) {
        errors.push(FieldError::invalid(place, name, "must be a standard resource for quota"));
    }
}

/// Refuses a negative amount.
pub fn validate_nonnegative(amount: &Quantity, place: &Place, errors: &mut ErrorList) {
    if amount.sign() < 0 {
        errors.push(FieldError::invalid(place, amount.to_string(), "must be greater than or equal to 0"));
    }
}

/// Checks an amount of a named resource: not negative, whole where it counts things.
pub fn validate_amount(name: &str, amount: &Quantity, place: &Place, errors: &mut ErrorList) {
    validate_nonnegative(amount, place, errors);
    if is_integer(name) && is_fractional(amount) {
        errors.push(FieldError::invalid(place, amount.to_string(), "must be an integer"));
    }
}

/// Whose requests and limits are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Container,
    Pod,
}

/// Checks `resources`: names, amounts, requests against limits.
pub fn validate_requirements(
    requirements: &Value,
    claims: &[&str],
    level: Level,
    place: &Place,
    errors: &mut ErrorList,
) {
    let (limits, requests) = (entries(requirements, "limits"), entries(requirements, "requests"));
    let (mut compute, mut huge) = (false, false);
    let limits_place = place.child("limits");
    for (name, value) in limits {
        validate_entry(name, &amount(value), level, &limits_place.key(name), errors);
        compute |= matches!(name.as_str(), "cpu" | "memory");
        huge |= is_huge_page(name);
    }
    let requests_place = place.child("requests");
    for (name, value) in requests {
        let request = amount(value);
        validate_entry_base(name, &request, level, &requests_place.key(name), errors);
        validate_against_limit(name, &request, limits, &requests_place, &limits_place, errors);
        validate_huge_page(name, &request, &requests_place.key(name), errors);
        compute |= matches!(name.as_str(), "cpu" | "memory");
        huge |= is_huge_page(name);
    }
    if huge && !compute {
        errors.push(FieldError::forbidden(place, "HugePages require cpu or memory"));
    }
    validate_claims(requirements, claims, &place.child("claims"), errors);
}

fn validate_entry(name: &str, value: &Quantity, level: Level, place: &Place, errors: &mut ErrorList) {
    validate_entry_base(name, value, level, place, errors);
    validate_huge_page(name, value, place, errors);
}

fn validate_entry_base(name: &str, value: &Quantity, level: Level, place: &Place, errors: &mut ErrorList) {
    match level {
        Level::Container => validate_container_name(name, place, errors),
        Level::Pod => validate_pod_name(name, place, errors),
    }
    validate_amount(name, value, place, errors);
}

fn validate_against_limit(
    name: &str,
    request: &Quantity,
    limits: &Map<String, Value>,
    requests_place: &Place,
    limits_place: &Place,
    errors: &mut ErrorList,
) {
    let Some(limit) = amount_of(limits, name) else {
        if !is_overcommit_allowed(name) {
            errors.push(FieldError::required(limits_place, "Limit must be set for non overcommitable resources"));
        }
        return;
    };
    if *request != limit && !is_overcommit_allowed(name) {
        let detail = format!("must be equal to {name} limit of {limit}");
        errors.push(FieldError::invalid(requests_place, request.to_string(), detail));
    } else if *request > limit {
        let detail = format!("must be less than or equal to {name} limit of {limit}");
        errors.push(FieldError::invalid(requests_place, request.to_string(), detail));
    }
}

fn validate_huge_page(name: &str, value: &Quantity, place: &Place, errors: &mut ErrorList) {
    let Some(size) = name.strip_prefix("hugepages-") else { return };
    let divisible = Quantity::parse(size).is_ok_and(|size| {
        size.sign() > 0 && !is_fractional(&size) && size.value() > 0 && value.value() % size.value() == 0
    });
    if !divisible {
        let detail = format!("{value} is not positive integer multiple of {name}");
        errors.push(FieldError::invalid(place, value.to_string(), detail));
    }
}

fn validate_claims(requirements: &Value, pod_claims: &[&str], place: &Place, errors: &mut ErrorList) {
    let mut seen: Vec<String> = Vec::new();
    for (index, claim) in indexed(requirements, "claims") {
        let place = place.index(index);
        let (name, request) = (text(claim, "name"), text(claim, "request"));
        if name.is_empty() {
            errors.push(FieldError::required(place, ""));
            continue;
        }
        if seen.iter().any(|key| key == name) {
            errors.push(FieldError::duplicate(place, name));
        } else {
            let mut key = name.to_owned();
            if !request.is_empty() {
                for fault in names::dns_label(request) {
                    errors.push(FieldError::invalid(place.child("request"), request, fault));
                }
                key = format!("{name}/{request}");
            }
            let prefix = format!("{name}/");
            if seen.contains(&key) {
                errors.push(FieldError::duplicate(place, key.as_str()));
            } else if request.is_empty() && seen.iter().any(|key| key.starts_with(&prefix)) {
                errors.push(FieldError::duplicate(place, name));
            }
            seen.push(key);
        }
        if !pod_claims.contains(&name) {
            let mut error = FieldError::not_found(place, name);
            error.detail = if pod_claims.is_empty() {
                "must be one of the names in pod.spec.resourceClaims which is empty".to_owned()
            } else {
                let mut names = pod_claims.to_vec();
                names.sort_unstable();
                format!("must be one of the names in pod.spec.resourceClaims: {}", names.join(", "))
            };
            errors.push(error);
        }
    }
}

/// Adds the amounts of one list to a sum.
pub fn add_to(sum: &mut std::collections::BTreeMap<String, Quantity>, list: &Map<String, Value>) {
    for (name, value) in list {
        sum.entry(name.clone()).or_default().add(&amount(value));
    }
}

/// What the containers of a pod ask for together, init containers taken at their peak.
pub fn aggregate(spec: &Value, which: &str) -> std::collections::BTreeMap<String, Quantity> {
    let list = |container: &'_ Value| -> Map<String, Value> { entries(get(container, "resources"), which).clone() };
    let mut total = std::collections::BTreeMap::new();
    for (_, container) in indexed(spec, "containers") {
        add_to(&mut total, &list(container));
    }
    let mut sidecars = std::collections::BTreeMap::new();
    let mut peak: std::collections::BTreeMap<String, Quantity> = std::collections::BTreeMap::new();
    for (_, container) in indexed(spec, "initContainers") {
        let own = list(container);
        let mut current = sidecars.clone();
        add_to(&mut current, &own);
        if text(container, "restartPolicy") == "Always" {
            add_to(&mut total, &own);
            sidecars = current.clone();
        }
        raise(&mut peak, &current);
    }
    raise(&mut total, &peak);
    total
}

fn raise(list: &mut std::collections::BTreeMap<String, Quantity>, by: &std::collections::BTreeMap<String, Quantity>) {
    for (name, value) in by {
        let slot = list.entry(name.clone()).or_default();
        if *value > *slot {
            *slot = value.clone();
        }
    }
}
