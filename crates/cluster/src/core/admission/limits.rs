//! LimitRanger: defaults for what containers ask for, and the bounds of the namespace's limit ranges.
//! Messages follow `plugin/pkg/admission/limitranger` of Kubernetes 1.34.

use serde_json::{Value, json};

use super::{Denied, Lookup, Operation, Request, child, items, set, text};
use crate::core::quantity::Quantity;
use crate::core::quota::amounts::{self, Amounts};
use crate::core::quota::pods::{self, Overhead, Side};

const ANNOTATION: &str = "kubernetes.io/limit-ranger";
/// Above this, upstream compares whole units instead of thousandths.
const MAX_MILLI_VALUE: i64 = i64::MAX / 1000;

/// Fills in requests and limits of a new pod's containers.
pub(super) fn set_defaults(
    request: &Request,
    lookup: &dyn Lookup,
    object: &mut Value,
    _old: Option<&Value>,
) -> Result<(), Denied> {
    if !request.creates("", "pods") {
        return Ok(());
    }
    for range in lookup.list("", "limitranges", request.namespace) {
        let mut defaults = [(Side::Limits, Amounts::new()), (Side::Requests, Amounts::new())];
        for limit in items(&range["spec"], "limits").filter(|limit| limit["type"] == "Container") {
            defaults[0].1.extend(amounts::read(limit.get("default")));
            defaults[1].1.extend(amounts::read(limit.get("defaultRequest")));
        }
        let mut notes = Vec::new();
        for (field, word) in [("containers", "container"), ("initContainers", "init container")] {
            let containers = object["spec"].get_mut(field).and_then(Value::as_array_mut);
            for container in containers.into_iter().flatten() {
                fill(container, word, &defaults, &mut notes);
            }
        }
        let annotations = child(object, "metadata").filter(|_| !notes.is_empty());
        if let Some(annotations) = annotations.and_then(|metadata| child(metadata, "annotations")) {
            set(annotations, ANNOTATION, json!(format!("LimitRanger plugin set: {}", notes.join("; "))));
        }
    }
    Ok(())
}

fn fill(container: &mut Value, word: &str, defaults: &[(Side, Amounts); 2], notes: &mut Vec<String>) {
    let name = text(container, "name").unwrap_or_default().to_owned();
    for (side, defaults) in defaults.iter().rev() {
        let (field, noun) = match side {
            Side::Limits => ("limits", "limit"),
            Side::Requests => ("requests", "request"),
        };
        let present = pods::of_container(container, *side);
        let added = amounts::only(defaults, |resource| !present.contains_key(resource));
        if added.is_empty() {
            continue;
        }
        let Some(target) = child(container, "resources").and_then(|resources| child(resources, field)) else {
            continue;
        };
        for (resource, amount) in &added {
            set(target, resource, amount.to_json());
        }
        let names: Vec<&str> = added.keys().map(String::as_str).collect();
        notes.push(format!("{} {noun} for {word} {name}", names.join(", ")));
    }
}

/// Refuses pods and claims outside the bounds.
pub(super) fn check(request: &Request, lookup: &dyn Lookup, object: &Value, old: Option<&Value>) -> Result<(), Denied> {
    let updates = request.operation == Operation::Update;
    let pod = request.creates("", "pods") || (request.is("", "pods") && request.subresource == "resize" && updates);
    let claim = request.is_object("", "persistentvolumeclaims") && (updates || request.operation == Operation::Create);
    let leaving = old.is_some_and(|old| old["metadata"]["deletionTimestamp"].is_string());
    if !(pod || claim) || leaving {
        return Ok(());
    }
    for range in lookup.list("", "limitranges", request.namespace) {
        let mut faults: Vec<String> = Vec::new();
        for limit in items(&range["spec"], "limits") {
            let found = if pod { pod_faults(limit, object) } else { claim_faults(limit, object) };
            faults.extend(found);
        }
        let mut distinct: Vec<String> = Vec::new();
        faults.into_iter().for_each(|fault| {
            if !distinct.contains(&fault) {
                distinct.push(fault)
            }
        });
        match distinct.len() {
            0 => {}
            1 => return Err(Denied::forbidden(request, Some(object), distinct.remove(0))),
            _ => return Err(Denied::forbidden(request, Some(object), format!("[{}]", distinct.join(", ")))),
        }
    }
    Ok(())
}

/// One side of a pod or container against one limit.
struct Bounds<'a> {
    type_: &'a str,
    requests: &'a Amounts,
    limits: &'a Amounts,
}

fn pod_faults(limit: &Value, pod: &Value) -> Vec<String> {
    let type_ = text(limit, "type").unwrap_or_default();
    let check = |requests: Amounts, limits: Amounts| {
        let bounds = Bounds { type_, requests: &requests, limits: &limits };
        let bound = |field: &str| amounts::read(limit.get(field)).into_iter();
        let low = bound("min").filter_map(|(name, enforced)| bounds.below_min(&name, &enforced));
        let high = bound("max").filter_map(|(name, enforced)| bounds.above_max(&name, &enforced));
        let ratio = bound("maxLimitRequestRatio").filter_map(|(name, enforced)| bounds.above_ratio(&name, &enforced));
        low.chain(high).chain(ratio).collect::<Vec<String>>()
    };
    match type_ {
        "Container" => {
            let all = pods::containers(pod, "containers").chain(pods::containers(pod, "initContainers"));
            let sides = all.map(|one| (pods::of_container(one, Side::Requests), pods::of_container(one, Side::Limits)));
            sides.flat_map(|(requests, limits)| check(requests, limits)).collect()
        }
        "Pod" => {
            let total = |side| pods::total(pod, side, Overhead::Ignored);
            check(total(Side::Requests), total(Side::Limits))
        }
        _ => Vec::new(),
    }
}

fn claim_faults(limit: &Value, claim: &Value) -> Vec<String> {
    if limit["type"] != "PersistentVolumeClaim" {
        return Vec::new();
    }
    let requests = amounts::read(claim["spec"]["resources"].get("requests"));
    let bounds = Bounds { type_: "PersistentVolumeClaim", requests: &requests, limits: &Amounts::new() };
    let bound = |field: &str| amounts::read(limit.get(field)).into_iter();
    let low = bound("min").filter_map(|(name, enforced)| bounds.below_min(&name, &enforced));
    let high = bound("max").filter_map(|(name, enforced)| bounds.request_above_max(&name, &enforced));
    low.chain(high).collect()
}

impl Bounds<'_> {
    fn below_min(&self, name: &str, enforced: &Quantity) -> Option<String> {
        let text = format!("minimum {name} usage per {} is {enforced}", self.type_);
        let Some(request) = self.requests.get(name) else { return Some(format!("{text}.  No request is specified")) };
        if request < enforced {
            return Some(format!("{text}, but request is {request}"));
        }
        let limit = self.limits.get(name).filter(|limit| *limit < enforced)?;
        Some(format!("{text}, but limit is {limit}"))
    }

    fn above_max(&self, name: &str, enforced: &Quantity) -> Option<String> {
        let text = format!("maximum {name} usage per {} is {enforced}", self.type_);
        let Some(limit) = self.limits.get(name) else { return Some(format!("{text}.  No limit is specified")) };
        if limit > enforced {
            return Some(format!("{text}, but limit is {limit}"));
        }
        let request = self.requests.get(name).filter(|request| *request > enforced)?;
        Some(format!("{text}, but request is {request}"))
    }

    fn request_above_max(&self, name: &str, enforced: &Quantity) -> Option<String> {
        let text = format!("maximum {name} usage per {} is {enforced}", self.type_);
        match self.requests.get(name) {
            None => Some(format!("{text}.  No request is specified")),
            Some(request) => (request > enforced).then(|| format!("{text}, but request is {request}")),
        }
    }

    fn above_ratio(&self, name: &str, enforced: &Quantity) -> Option<String> {
        let text = format!("{name} max limit to request ratio per {} is {enforced}", self.type_);
        let present = |amounts: &Amounts| amounts.get(name).filter(|amount| !amount.is_zero()).cloned();
        let Some(request) = present(self.requests) else {
            return Some(format!("{text}, but no request is specified or request is 0"));
        };
        let Some(limit) = present(self.limits) else {
            return Some(format!("{text}, but no limit is specified or limit is 0"));
        };
        let fine = [&request, &limit].into_iter().all(|amount| amount.value() <= MAX_MILLI_VALUE);
        let number = |amount: &Quantity| if fine { amount.milli_value() } else { amount.value() } as f64;
        let ratio = number(&limit) / number(&request);
        let exceeds = if enforced.value() <= MAX_MILLI_VALUE {
            ratio * 1000.0 > enforced.milli_value() as f64
        } else {
            ratio > enforced.value() as f64
        };
        exceeds.then(|| format!("{text}, but provided ratio is {ratio:.6}"))
    }
}
