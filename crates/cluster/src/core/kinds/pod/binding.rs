//! The subresource `binding`: how a pod comes to its node.

use serde_json::{Value, json};

use super::super::place::Place;
use super::super::value::{ensure, entries, get, items, present, put, text};
use crate::core::field::{ErrorList, FieldError};

/// Checks a `Binding`.
pub fn validate(binding: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let target = get(binding, "target");
    let place = Place::root("target");
    let kind = text(target, "kind");
    if !matches!(kind, "" | "Node") {
        errors.push(FieldError::not_supported(place.child("kind"), kind, &["Node", "<empty>"]));
    }
    if text(target, "name").is_empty() {
        errors.push(FieldError::required(place.child("name"), ""));
    }
    errors
}

/// Puts a pod on the node that a `Binding` names. `now` is RFC 3339.
///
/// # Errors
/// The reason for a 409 on `pods/binding`: the pod is being deleted, has a node, or waits at a gate.
pub fn bind(pod: &mut Value, binding: &Value, now: &str) -> Result<(), String> {
    let name = text(get(pod, "metadata"), "name").to_owned();
    let spec = get(pod, "spec");
    if present(get(pod, "metadata"), "deletionTimestamp") {
        return Err(format!("pod {name} is being deleted, cannot be assigned to a host"));
    }
    let node = text(spec, "nodeName");
    if !node.is_empty() {
        return Err(format!("pod {name} is already assigned to node {node:?}"));
    }
    if !items(spec, "schedulingGates").is_empty() {
        return Err(format!("pod {name} has non-empty .spec.schedulingGates"));
    }
    let machine = text(get(binding, "target"), "name").to_owned();
    if let Some(spec) = ensure(pod, "spec") {
        put(spec, "nodeName", machine);
    }
    if let Some(meta) = ensure(pod, "metadata") {
        for key in ["annotations", "labels"] {
            let given = entries(get(binding, "metadata"), key);
            if given.is_empty() {
                continue;
            }
            if let Some(map) = ensure(meta, key) {
                for (name, value) in given {
                    put(map, name, value.clone());
                }
            }
        }
    }
    let condition = json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": now});
    super::set_condition(pod, condition);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_bound_once() {
        let mut pod = json!({"metadata": {"name": "p"}, "spec": {}});
        let binding = json!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}});
        assert_eq!(bind(&mut pod, &binding, "2026-01-01T00:00:00Z"), Ok(()));
        assert_eq!(pod["spec"]["nodeName"], "n");
        assert_eq!(pod["status"]["conditions"][0]["status"], "True");
        let again = bind(&mut pod, &binding, "2026-01-01T00:00:00Z");
        assert_eq!(again, Err("pod p is already assigned to node \"n\"".to_owned()));
    }

    #[test]
    fn a_binding_names_a_node() {
        let errors = validate(&json!({"target": {"kind": "Pod"}}));
        assert_eq!(
            errors[0].to_string(),
            "target.kind: Unsupported value: \"Pod\": supported values: \"Node\", \"<empty>\""
        );
        assert_eq!(errors[1].to_string(), "target.name: Required value");
    }
}
