//! Writes of a pod's status.

use serde_json::{Value, json};

use super::super::meta::{self, Finalizers};
use super::super::place::Place;
use super::super::value::{get, indexed, integer, items, items_mut, keep, number, present, put, remove, text};
use super::super::{address, labels, names};
use super::containers::is_sidecar;
use crate::core::field::{ErrorList, FieldError};

/// Keeps everything but the status, and what of the status a node may leave out.
pub fn prepare(new: &mut Value, old: &Value) {
    keep(new, old, "spec");
    if let Some(metadata) = new.get_mut("metadata") {
        remove(metadata, "deletionTimestamp");
        keep(metadata, get(old, "metadata"), "ownerReferences");
    }
    let before = get(old, "status");
    let Some(status) = super::super::value::ensure(new, "status") else { return };
    if text(status, "qosClass").is_empty() {
        keep(status, before, "qosClass");
    }
    if integer(status, "observedGeneration") == 0 {
        keep(status, before, "observedGeneration");
    }
    for condition in items_mut(status, "conditions") {
        if integer(condition, "observedGeneration") == 0 {
            let kind = text(condition, "type").to_owned();
            let known = items(before, "conditions").iter().find(|old| text(old, "type") == kind);
            if let Some(generation) = known.and_then(|old| number(old, "observedGeneration")) {
                put(condition, "observedGeneration", generation);
            }
        }
    }
    remove(status, "extendedResourceClaimStatus");
    for list in ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"] {
        for container in items_mut(status, list) {
            remove(container, "allocatedResourcesStatus");
        }
    }
}

/// Checks a write of the status.
pub fn validate(new: &Value, old: &Value, errors: &mut ErrorList) {
    meta::validate_update(new, old, Some(Finalizers::StandardOrQualified), errors);
    super::update::annotation_changes(new, old, errors);
    let (status, before) = (get(new, "status"), get(old, "status"));
    let place = Place::root("status");
    conditions(status, &place.child("conditions"), errors);
    if text(get(new, "spec"), "nodeName") != text(get(old, "spec"), "nodeName") {
        errors.push(FieldError::forbidden(place.child("nodeName"), "may not be changed directly"));
    }
    let nominated = text(status, "nominatedNodeName");
    if !nominated.is_empty() && nominated != text(before, "nominatedNodeName") {
        for fault in names::dns_subdomain(nominated) {
            errors.push(FieldError::invalid(place.child("nominatedNodeName"), nominated, fault));
        }
    }
    observed_generation(status, &place, errors);
    meta::immutable(get(status, "qosClass"), get(before, "qosClass"), &place.child("qosClass"), errors);
    transitions(status, before, get(old, "spec"), &place, errors);
    claims(status, get(new, "spec"), &place.child("resourceClaimStatuses"), errors);
    pod_ips(status, before, &place.child("podIPs"), errors);
    host_ips(status, before, &place.child("hostIPs"), errors);
    users(status, text(get(get(new, "spec"), "os"), "name"), &place, errors);
}

fn observed_generation(object: &Value, place: &Place, errors: &mut ErrorList) {
    let generation = integer(object, "observedGeneration");
    if generation < 0 {
        let place = place.child("observedGeneration");
        errors.push(FieldError::invalid(place, generation, "must be a non-negative integer"));
    }
}

fn conditions(status: &Value, place: &Place, errors: &mut ErrorList) {
    for (index, condition) in indexed(status, "conditions") {
        let place = place.index(index);
        observed_generation(condition, &place, errors);
        let kind = text(condition, "type");
        if !matches!(kind, "PodScheduled" | "Ready" | "Initialized") {
            labels::validate_key(kind, &place.child("Type"), errors);
        }
    }
}

/// A container that has ended for good does not run again.
fn transitions(status: &Value, before: &Value, spec: &Value, place: &Place, errors: &mut ErrorList) {
    let policy = text(spec, "restartPolicy");
    for list in ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"] {
        if policy == "Always" && list != "ephemeralContainerStatuses" {
            continue;
        }
        let place = place.child(list);
        for (index, old) in indexed(before, list) {
            let ended = get(get(old, "state"), "terminated");
            let name = text(old, "name");
            if ended.is_null() {
                continue;
            }
            let retried = policy == "OnFailure" && integer(ended, "exitCode") != 0;
            let sidecar = items(spec, "initContainers").iter().any(|c| text(c, "name") == name && is_sidecar(c));
            if list != "ephemeralContainerStatuses" && (retried || (list == "initContainerStatuses" && sidecar)) {
                continue;
            }
            let revived = |new: &&Value| text(new, "name") == name && !present(get(new, "state"), "terminated");
            for _ in items(status, list).iter().filter(revived) {
                let place = place.index(index);
                let detail = "may not be transitioned to non-terminated state";
                errors.push(FieldError::forbidden(place.child("state"), detail));
            }
        }
    }
}

fn claims(status: &Value, spec: &Value, place: &Place, errors: &mut ErrorList) {
    let mut seen: Vec<&str> = Vec::new();
    for (index, claim) in indexed(status, "resourceClaimStatuses") {
        let place = place.index(index);
        let name = text(claim, "name");
        if !items(spec, "resourceClaims").iter().any(|claim| text(claim, "name") == name) {
            let detail = "must match the name of an entry in `spec.resourceClaims`";
            errors.push(FieldError::invalid(place.child("name"), name, detail));
        }
        if seen.contains(&name) {
            errors.push(FieldError::duplicate(place.child("name"), name));
        }
        seen.push(name);
    }
}

fn addresses<'a>(status: &'a Value, list: &str) -> Vec<&'a str> {
    items(status, list).iter().map(|address| text(address, "ip")).collect()
}

fn address_list(status: &Value, before: &Value, list: &str, place: &Place, errors: &mut ErrorList) {
    let (given, known) = (addresses(status, list), addresses(before, list));
    for (index, given) in given.iter().enumerate().filter(|(_, given)| !known.contains(given)) {
        address::validate_legacy(given, &place.index(index), errors);
    }
    if given.len() > 1 && (given.len() > 2 || !address::is_dual_stack(&given)) {
        let detail = "may specify no more than one IP for each IP family";
        let shown: Vec<Value> = given.iter().map(|ip| json!({ "IP": ip })).collect();
        errors.push(FieldError::invalid(place, shown, detail));
    }
}

fn pod_ips(status: &Value, before: &Value, place: &Place, errors: &mut ErrorList) {
    address_list(status, before, "podIPs", place, errors);
}

fn host_ips(status: &Value, before: &Value, place: &Place, errors: &mut ErrorList) {
    let Some(first) = addresses(status, "hostIPs").first().copied() else { return };
    if text(status, "hostIP") != first {
        errors.push(FieldError::invalid(place.index(0).child("ip"), first, "must be equal to `hostIP`"));
    }
    address_list(status, before, "hostIPs", place, errors);
}

fn users(status: &Value, os: &str, place: &Place, errors: &mut ErrorList) {
    for list in ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"] {
        let place = place.child(list);
        for (index, container) in indexed(status, list) {
            let user = get(get(container, "user"), "linux");
            if user.is_null() {
                continue;
            }
            let place = place.index(index);
            let place = place.child("user");
            let place = place.child("linux");
            if os == "windows" {
                errors.push(FieldError::forbidden(place, "cannot be set for a windows pod"));
                continue;
            }
            for key in ["uid", "gid"] {
                let id = integer(user, key);
                for fault in names::user_or_group_id(id) {
                    errors.push(FieldError::invalid(place.child(key), id, fault));
                }
            }
        }
    }
}
