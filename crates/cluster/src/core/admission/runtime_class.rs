//! RuntimeClass: a pod's overhead and node choice come from the class that it names.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Denied, Lookup, Request, child, set, text};
use crate::core::quota::amounts;

/// Sets overhead, node selector and tolerations of a new pod from its class.
pub(super) fn apply(
    request: &Request,
    lookup: &dyn Lookup,
    object: &mut Value,
    _old: Option<&Value>,
) -> Result<(), Denied> {
    if !request.creates("", "pods") {
        return Ok(());
    }
    let Some(class) = class_of(request, lookup, object)? else { return Ok(()) };
    let overhead = class["overhead"].get("podFixed").filter(|_| class["overhead"].is_object());
    if let Some(overhead) = overhead {
        let given = amounts::read(object["spec"].get("overhead"));
        if !given.is_empty() && given != amounts::read(Some(overhead)) {
            return Err(mismatch(request, object));
        }
        if let Some(spec) = child(object, "spec") {
            set(spec, "overhead", overhead.clone());
        }
    }
    choose_nodes(request, &class, object)
}

fn choose_nodes(request: &Request, class: &Value, object: &mut Value) -> Result<(), Denied> {
    let empty = Map::new();
    for (key, value) in class["scheduling"]["nodeSelector"].as_object().unwrap_or(&empty) {
        let given = object["spec"]["nodeSelector"].get(key).filter(|given| *given != value);
        if let Some(given) = given.and_then(Value::as_str) {
            let value = value.as_str().unwrap_or_default();
            let cause = format!(
                "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; pod.spec.nodeSelector[{key}] = \
                 {given}"
            );
            return Err(Denied::forbidden(request, Some(object), cause));
        }
        if let Some(selector) = child(object, "spec").and_then(|spec| child(spec, "nodeSelector")) {
            set(selector, key, value.clone());
        }
    }
    if class["scheduling"]["tolerations"].as_array().is_some_and(|list| !list.is_empty()) {
        let merged = merge(object["spec"]["tolerations"].as_array(), class["scheduling"]["tolerations"].as_array());
        if let Some(spec) = child(object, "spec") {
            set(spec, "tolerations", Value::Array(merged));
        }
    }
    Ok(())
}

/// Both lists, less what another item of them covers.
fn merge(first: Option<&Vec<Value>>, second: Option<&Vec<Value>>) -> Vec<Value> {
    let all: Vec<&Value> = first.into_iter().flatten().chain(second.into_iter().flatten()).collect();
    let covered = |position: usize| {
        all.iter().enumerate().any(|(other, toleration)| {
            let earlier_or_wider = other < position || !covers(all[position], toleration);
            other != position && covers(toleration, all[position]) && earlier_or_wider
        })
    };
    (0..all.len()).filter(|position| !covered(*position)).map(|position| all[position].clone()).collect()
}

/// Whether `wide` tolerates everything that `narrow` does.
fn covers(wide: &Value, narrow: &Value) -> bool {
    if wide == narrow {
        return true;
    }
    let exists = wide["operator"] == "Exists";
    let any_key = text(wide, "key").is_none() && exists;
    if !any_key && text(wide, "key") != text(narrow, "key") {
        return false;
    }
    let effect = text(wide, "effect").is_none() || text(wide, "effect") == text(narrow, "effect");
    let seconds = match (wide["tolerationSeconds"].as_i64(), narrow["tolerationSeconds"].as_i64()) {
        (None, _) => true,
        (Some(wide), Some(narrow)) => narrow <= wide,
        (Some(_), None) => false,
    };
    let seconds = seconds || text(wide, "effect") != Some("NoExecute");
    let value = exists || (narrow["operator"] != "Exists" && text(wide, "value") == text(narrow, "value"));
    effect && seconds && value
}

/// Refuses overhead that does not come from a class.
pub(super) fn check(
    request: &Request,
    lookup: &dyn Lookup,
    object: &Value,
    _old: Option<&Value>,
) -> Result<(), Denied> {
    if !request.creates("", "pods") {
        return Ok(());
    }
    let class = class_of(request, lookup, object)?;
    let given = object["spec"].get("overhead").filter(|overhead| overhead.is_object());
    let defined = class.as_ref().and_then(|class| class["overhead"].get("podFixed"));
    match (given, defined) {
        (None, None) => Ok(()),
        (Some(given), Some(defined)) if amounts::read(Some(given)) == amounts::read(Some(defined)) => Ok(()),
        (Some(_), None) => {
            let cause = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead";
            Err(Denied::forbidden(request, Some(object), cause))
        }
        _ => Err(mismatch(request, object)),
    }
}

fn mismatch(request: &Request, object: &Value) -> Denied {
    let cause = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";
    Denied::forbidden(request, Some(object), cause)
}

fn class_of(request: &Request, lookup: &dyn Lookup, object: &Value) -> Result<Option<Arc<Value>>, Denied> {
    let Some(name) = object["spec"]["runtimeClassName"].as_str() else { return Ok(None) };
    match lookup.get("node.k8s.io", "runtimeclasses", "", name) {
        Some(class) => Ok(Some(class)),
        None => {
            let cause = format!("pod rejected: RuntimeClass \"{name}\" not found");
            Err(Denied::forbidden(request, Some(object), cause))
        }
    }
}
