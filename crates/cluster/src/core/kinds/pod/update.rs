//! What an update may change in a pod: images, deadlines, tolerations, gates; and the subresources
//! `ephemeralcontainers` and `resize`.
//!
//! The texts end in a diff upstream, whose form upstream does not promise; here they name the fields.

use serde_json::Value;

use super::super::meta::{self, Finalizers};
use super::super::names;
use super::super::place::Place;
use super::super::value::{
    at, entries, get, indexed, items, items_mut, keep, map_of, number, present, put, remove, same, same_field, text,
};
use super::containers::{is_sidecar, same_names};
use super::{scheduling, validate_whole};
use crate::core::field::{ErrorList, FieldError};

const UPDATABLE: &str = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// Keeps the status and counts a change of the specification.
pub fn prepare(new: &mut Value, old: &Value) {
    keep(new, old, "status");
    if let Some(spec) = new.get_mut("spec") {
        super::defaults::drop_disabled(spec, get(old, "spec"));
    }
    count_change(new, old);
}

fn count_change(new: &mut Value, old: &Value) {
    if !same_field(new, old, "spec") {
        meta::set_generation(new, meta::generation(old).saturating_add(1));
    }
}

/// Checks an update of the whole pod.
pub fn validate(new: &Value, old: &Value, errors: &mut ErrorList) {
    meta::validate_update(new, old, Some(Finalizers::StandardOrQualified), errors);
    meta::validate(new, super::META, errors);
    validate_whole(new, errors);
    annotation_changes(new, old, errors);
    let (new_spec, old_spec) = (get(new, "spec"), get(old, "spec"));
    let place = Place::root("spec");
    for list in ["containers", "initContainers"] {
        let place = place.child(list);
        if items(new_spec, list).len() != items(old_spec, list).len() {
            errors.push(FieldError::forbidden(place, "pod updates may not add or remove containers"));
            return;
        }
        for (index, container) in indexed(new_spec, list) {
            if text(container, "image").is_empty() {
                errors.push(FieldError::required(place.index(index).child("image"), ""));
            }
            super::containers::validate_image_spaces(container, &place.index(index), errors);
        }
    }
    if deadline(new_spec, old_spec, &place.child("activeDeadlineSeconds"), errors).is_err() {
        return;
    }
    tolerations(new_spec, old_spec, &place.child("tolerations"), errors);
    gates(new_spec, old_spec, &place.child("schedulingGates"), errors);
    if !same(new_spec, old_spec) {
        nothing_else(new_spec, old_spec, &place, errors);
    }
}

/// An error that upstream lets end the validation.
struct Fatal;

fn deadline(new: &Value, old: &Value, place: &Place, errors: &mut ErrorList) -> Result<(), Fatal> {
    let before = number(old, "activeDeadlineSeconds");
    let Some(seconds) = number(new, "activeDeadlineSeconds") else {
        if before.is_some() {
            let detail = "must not update from a positive integer to nil value";
            errors.push(FieldError::invalid(place, Value::Null, detail));
        }
        return Ok(());
    };
    if !(0..=i64::from(i32::MAX)).contains(&seconds) {
        errors.push(FieldError::invalid(place, seconds, names::range(0, i64::from(i32::MAX))));
        return Err(Fatal);
    }
    if before.is_some_and(|before| before < seconds) {
        errors.push(FieldError::invalid(place, seconds, "must be less than or equal to previous value"));
        return Err(Fatal);
    }
    Ok(())
}

fn tolerations(new: &Value, old: &Value, place: &Place, errors: &mut ErrorList) {
    let kept = |old: &Value| {
        items(new, "tolerations")
            .iter()
            .any(|new| ["key", "operator", "value", "effect"].iter().all(|key| text(new, key) == text(old, key)))
    };
    if !items(old, "tolerations").iter().all(kept) {
        let detail = "existing toleration can not be modified except its tolerationSeconds";
        errors.push(FieldError::forbidden(place, detail));
        return;
    }
    scheduling::validate_tolerations(get(new, "tolerations"), place, errors);
}

fn gates(new: &Value, old: &Value, place: &Place, errors: &mut ErrorList) {
    let known: Vec<&str> = items(old, "schedulingGates").iter().map(|gate| text(gate, "name")).collect();
    for (index, gate) in indexed(new, "schedulingGates") {
        let name = text(gate, "name");
        if !known.contains(&name) {
            let detail = format!("only deletion is allowed, but found new scheduling gate '{name}'");
            errors.push(FieldError::forbidden(place.index(index).child("name"), detail));
        }
    }
}

/// Puts the old values where changes are allowed and refuses what still differs.
fn nothing_else(new: &Value, old: &Value, place: &Place, errors: &mut ErrorList) {
    let mut masked = new.clone();
    for list in ["containers", "initContainers"] {
        for (container, old) in items_mut(&mut masked, list).iter_mut().zip(items(old, list)) {
            keep(container, old, "image");
        }
    }
    for key in ["activeDeadlineSeconds", "schedulingGates", "tolerations"] {
        keep(&mut masked, old, key);
    }
    let grace = |spec: &Value| number(spec, "terminationGracePeriodSeconds");
    if grace(old).is_some_and(|seconds| seconds < 0) && grace(new) == Some(1) {
        keep(&mut masked, old, "terminationGracePeriodSeconds");
    }
    if !items(old, "schedulingGates").is_empty() {
        mask_gated(&mut masked, old, place, errors);
    }
    if !same(&masked, old) {
        let detail = format!("pod updates may not change fields other than {UPDATABLE}\n{}", changes(&masked, old));
        errors.push(FieldError::forbidden(place, detail));
    }
}

/// A pod that waits at a gate may still be steered: its node selector and node affinity can narrow.
fn mask_gated(masked: &mut Value, old: &Value, place: &Place, errors: &mut ErrorList) {
    if !same_field(masked, old, "nodeSelector") {
        let new = entries(masked, "nodeSelector");
        if entries(old, "nodeSelector").iter().any(|(key, value)| new.get(key) != Some(value)) {
            let detail = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
            let given = get(masked, "nodeSelector").clone();
            errors.push(FieldError::invalid(place.child("nodeSelector"), given, detail));
        }
        keep(masked, old, "nodeSelector");
    }
    let (new_affinity, old_affinity) =
        (at(masked, &["affinity", "nodeAffinity"]), at(old, &["affinity", "nodeAffinity"]));
    if same(new_affinity, old_affinity) {
        return;
    }
    let affinity_place = place.child("affinity");
    node_affinity(new_affinity, old_affinity, &affinity_place.child("nodeAffinity"), errors);
    let others = ["podAffinity", "podAntiAffinity"].iter().any(|key| present(get(masked, "affinity"), key));
    if !present(old, "affinity") && !others {
        remove(masked, "affinity");
    } else if let Some(affinity) = super::super::value::ensure(masked, "affinity") {
        keep(affinity, get(old, "affinity"), "nodeAffinity");
    }
}

fn node_affinity(new: &Value, old: &Value, place: &Place, errors: &mut ErrorList) {
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    let old_terms = items(get(old, REQUIRED), "nodeSelectorTerms");
    let new_terms = items(get(new, REQUIRED), "nodeSelectorTerms");
    let place = place.child(REQUIRED);
    let place = place.child("nodeSelectorTerms");
    if !old_terms.is_empty() && old_terms.len() != new_terms.len() {
        let detail = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        errors.push(FieldError::invalid(place, new_terms.to_vec(), detail));
        return;
    }
    for (index, (new, old)) in new_terms.iter().zip(old_terms).enumerate() {
        if !only_adds(new, old) {
            let detail = "only additions are allowed (no mutations or deletions)";
            errors.push(FieldError::invalid(place.index(index), new.clone(), detail));
        }
    }
}

fn only_adds(new: &Value, old: &Value) -> bool {
    let lists = ["matchExpressions", "matchFields"];
    let empty = |term: &Value| lists.iter().all(|list| items(term, list).is_empty());
    if empty(old) && !empty(new) {
        return false;
    }
    lists.iter().all(|list| {
        let (new, old) = (items(new, list), items(old, list));
        new.len() >= old.len() && new.iter().zip(old).all(|(new, old)| same(new, old))
    })
}

/// The top-level fields that differ, one a line.
fn changes(new: &Value, old: &Value) -> String {
    let mut keys: Vec<&String> = map_of(new).keys().chain(map_of(old).keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    let mut lines = String::new();
    for key in keys.into_iter().filter(|key| !same_field(new, old, key)) {
        lines.push_str(&format!("- {key}: {}\n+ {key}: {}\n", get(old, key), get(new, key)));
    }
    lines
}

/// Annotations of mirror pods and AppArmor may not change.
pub fn annotation_changes(new: &Value, old: &Value, errors: &mut ErrorList) {
    const MIRROR: &str = "kubernetes.io/config.mirror";
    const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
    let of = |object: &'_ Value| entries(get(object, "metadata"), "annotations").clone();
    let (after, before) = (of(new), of(old));
    let place = Place::root("metadata");
    let place = place.child("annotations");
    for (key, value) in &before {
        if after.get(key) == Some(value) {
            continue;
        }
        if key.starts_with(APP_ARMOR) {
            errors.push(FieldError::forbidden(place.key(key), "may not remove or update AppArmor annotations"));
        }
        if key == MIRROR {
            errors.push(FieldError::forbidden(place.key(key), "may not remove or update mirror pod annotation"));
        }
    }
    for key in after.keys().filter(|key| !before.contains_key(*key)) {
        if key.starts_with(APP_ARMOR) {
            errors.push(FieldError::forbidden(place.key(key), "may not add AppArmor annotations"));
        }
        if key == MIRROR {
            errors.push(FieldError::forbidden(place.key(key), "may not add mirror pod annotation"));
        }
    }
    super::spec::validate_annotations(get(new, "metadata"), get(new, "spec"), &Place::root("metadata"), errors);
}

/// Keeps all but the ephemeral containers.
pub fn prepare_ephemeral(new: &mut Value, old: &Value) {
    let containers = at(new, &["spec", "ephemeralContainers"]).clone();
    keep(new, old, "spec");
    keep(new, old, "status");
    meta::reset_for_status(new, old);
    if let Some(spec) = new.get_mut("spec") {
        if containers.is_null() {
            remove(spec, "ephemeralContainers");
        } else {
            put(spec, "ephemeralContainers", containers);
        }
        super::defaults::drop_disabled(spec, get(old, "spec"));
    }
    count_change(new, old);
}

/// Checks that ephemeral containers are only added.
pub fn validate_ephemeral(new: &Value, old: &Value, errors: &mut ErrorList) {
    meta::validate_update(new, old, Some(Finalizers::StandardOrQualified), errors);
    meta::validate(new, super::META, errors);
    validate_whole(new, errors);
    annotation_changes(new, old, errors);
    let place = Place::root("spec");
    let place = place.child("ephemeralContainers");
    let added = items(get(new, "spec"), "ephemeralContainers");
    for container in items(get(old, "spec"), "ephemeralContainers") {
        let name = text(container, "name");
        match added.iter().find(|new| text(new, "name") == name) {
            None => {
                let detail = format!("existing ephemeral containers {name:?} may not be removed\n");
                errors.push(FieldError::forbidden(place, detail));
            }
            Some(new) if !same(new, container) => {
                let changed = changes(new, container);
                let detail = format!("existing ephemeral containers {name:?} may not be changed\n{changed}");
                errors.push(FieldError::forbidden(place, detail));
            }
            Some(_) => {}
        }
    }
}

/// Keeps all but the resources of containers.
pub fn prepare_resize(new: &mut Value, old: &Value) {
    let lists = ["containers", "initContainers"];
    if lists.iter().any(|list| items(get(new, "spec"), list).len() != items(get(old, "spec"), list).len()) {
        count_change(new, old);
        return;
    }
    let given = get(new, "spec").clone();
    keep(new, old, "spec");
    keep(new, old, "status");
    meta::reset_for_status(new, old);
    if let Some(spec) = new.get_mut("spec") {
        for list in lists {
            if !same_names(&given, get(old, "spec"), list) {
                keep(spec, &given, list);
                continue;
            }
            for (container, given) in items_mut(spec, list).iter_mut().zip(items(&given, list)) {
                keep(container, given, "resources");
                keep(container, given, "resizePolicy");
            }
        }
    }
    count_change(new, old);
}

/// Checks that only cpu and memory of containers change.
pub fn validate_resize(new: &Value, old: &Value, errors: &mut ErrorList) {
    meta::validate_update(new, old, Some(Finalizers::StandardOrQualified), errors);
    meta::validate(new, super::META, errors);
    validate_whole(new, errors);
    let (new_spec, old_spec, place) = (get(new, "spec"), get(old, "spec"), Place::root("spec"));
    let pod_level = |spec: &Value| {
        let pod = get(spec, "resources");
        !entries(pod, "requests").is_empty() || !entries(pod, "limits").is_empty()
    };
    let mirror = "kubernetes.io/config.mirror";
    let barred = if pod_level(new_spec) || pod_level(old_spec) {
        Some("pods with pod-level resources cannot be resized")
    } else if present(at(old, &["metadata", "annotations"]), mirror) {
        Some("static pods cannot be resized")
    } else if text(get(old_spec, "os"), "name") == "windows" {
        Some("windows pods cannot be resized")
    } else {
        None
    };
    if let Some(detail) = barred {
        *errors = vec![FieldError::forbidden(Place::WHOLE, detail)];
        return;
    }
    let class = text(get(old, "status"), "qosClass");
    let class = if class.is_empty() { super::quality_class(old_spec) } else { class };
    if class != super::quality_class(new_spec) {
        let shown = text(get(new, "status"), "qosClass");
        errors.push(FieldError::invalid(place, shown, "Pod QOS Class may not change as a result of resizing"));
    }
    let running =
        items(get(old, "status"), "containerStatuses").iter().find(|one| present(get(one, "state"), "running"));
    if running.is_some_and(|container| !present(container, "resources")) {
        errors.push(FieldError::forbidden(place, "Pod running on node without support for resize"));
    }
    for list in ["containers", "initContainers"] {
        resized_list(new_spec, old_spec, list, &place, errors);
    }
}

fn resized_list(new: &Value, old: &Value, list: &str, spec: &Place, errors: &mut ErrorList) {
    let place = spec.child(list);
    if items(new, list).len() != items(old, list).len() {
        errors.push(FieldError::forbidden(place, format!("{list} may not be added or removed on resize")));
        return;
    }
    for (index, (new, old)) in items(new, list).iter().zip(items(old, list)).enumerate() {
        let item = place.index(index);
        if text(new, "name") != text(old, "name") {
            let detail = format!("{list} may not be renamed or reordered on resize");
            errors.push(FieldError::forbidden(item.child("name"), detail));
            continue;
        }
        let resizable = list == "containers" || is_sidecar(new);
        if resizable {
            removed_amounts(new, old, &item.child("resources"), errors);
        }
        let mut masked = new.clone();
        if resizable {
            mask_compute(&mut masked, old);
        }
        if !same(&masked, old) {
            let detail = match (list, resizable) {
                ("containers", _) => "only cpu and memory resources are mutable",
                (_, true) => "only cpu and memory resources for sidecar containers are mutable",
                (_, false) => "resources for non-sidecar init containers are immutable",
            };
            errors.push(FieldError::forbidden(spec, detail));
        }
    }
}

fn removed_amounts(new: &Value, old: &Value, place: &Place, errors: &mut ErrorList) {
    for which in ["requests", "limits"] {
        let (new, old) = (entries(get(new, "resources"), which), entries(get(old, "resources"), which));
        if old.keys().any(|name| !new.contains_key(name)) {
            errors.push(FieldError::forbidden(place.child(which), format!("resource {which} cannot be removed")));
        }
    }
}

fn mask_compute(container: &mut Value, old: &Value) {
    let Some(resources) = super::super::value::ensure(container, "resources") else { return };
    for which in ["requests", "limits"] {
        let before = entries(get(old, "resources"), which);
        let mut list = entries(resources, which).clone();
        for name in ["cpu", "memory"] {
            match before.get(name) {
                Some(value) => list.insert(name.to_owned(), value.clone()),
                None => list.remove(name),
            };
        }
        if list.is_empty() {
            remove(resources, which);
        } else {
            put(resources, which, list);
        }
    }
}
