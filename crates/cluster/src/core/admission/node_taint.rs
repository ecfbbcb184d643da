//! TaintNodesByCondition: a new node takes no pods before it has said that it is ready.

use serde_json::{Value, json};

use super::{Denied, Lookup, Request, child, list};

const NOT_READY: &str = "node.kubernetes.io/not-ready";

/// Adds the not-ready taint to a node that is created.
pub(super) fn taint_new_node(
    request: &Request,
    _lookup: &dyn Lookup,
    object: &mut Value,
    _old: Option<&Value>,
) -> Result<(), Denied> {
    if !request.creates("", "nodes") {
        return Ok(());
    }
    let Some(taints) = child(object, "spec").and_then(|spec| list(spec, "taints")) else { return Ok(()) };
    if !taints.iter().any(|taint| taint["key"] == NOT_READY && taint["effect"] == "NoSchedule") {
        taints.push(json!({"key": NOT_READY, "effect": "NoSchedule"}));
    }
    Ok(())
}
