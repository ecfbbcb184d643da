//! Tolerations that pods get by themselves: five minutes for a node that is lost (DefaultTolerationSeconds),
//! and the taint of a device they ask for (ExtendedResourceToleration).

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Denied, Lookup, Operation, Request, child, list, text};
use crate::core::quota::pods::{containers, is_extended};

/// How long a pod stays on a node that is not ready or unreachable, unless it says otherwise.
const DEFAULT_SECONDS: i64 = 300;
const LOST: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

/// Adds tolerations for lost nodes where the pod has none.
pub(super) fn add_default_seconds(
    request: &Request,
    _lookup: &dyn Lookup,
    object: &mut Value,
    _old: Option<&Value>,
) -> Result<(), Denied> {
    let Some(tolerations) = writable(request, object) else { return Ok(()) };
    for taint in LOST {
        let tolerates = |toleration: &Value| {
            let key = text(toleration, "key").is_none_or(|key| key == taint);
            key && text(toleration, "effect").is_none_or(|effect| effect == "NoExecute")
        };
        if !tolerations.iter().any(tolerates) {
            tolerations.push(json!({"key": taint, "operator": "Exists", "effect": "NoExecute",
                "tolerationSeconds": DEFAULT_SECONDS}));
        }
    }
    Ok(())
}

/// Adds a toleration for each extended resource that the pod requests.
pub(super) fn add_extended_resources(
    request: &Request,
    _lookup: &dyn Lookup,
    object: &mut Value,
    _old: Option<&Value>,
) -> Result<(), Denied> {
    let resources: BTreeSet<String> = containers(object, "containers")
        .chain(containers(object, "initContainers"))
        .filter_map(|container| container["resources"]["requests"].as_object())
        .flat_map(|requests| requests.keys().filter(|name| is_extended(name)).cloned())
        .collect();
    if resources.is_empty() {
        return Ok(());
    }
    let Some(tolerations) = writable(request, object) else { return Ok(()) };
    for resource in resources {
        let wanted = json!({"key": resource, "operator": "Exists", "effect": "NoSchedule"});
        let same = |toleration: &Value| {
            ["key", "operator", "effect", "value"].into_iter().all(|field| toleration[field] == wanted[field])
        };
        match tolerations.iter_mut().find(|toleration| same(toleration)) {
            Some(toleration) => *toleration = wanted,
            None => tolerations.push(wanted),
        }
    }
    Ok(())
}

fn writable<'a>(request: &Request, object: &'a mut Value) -> Option<&'a mut Vec<Value>> {
    let writes = matches!(request.operation, Operation::Create | Operation::Update);
    let is_pod = request.is_object("", "pods") && writes;
    if is_pod { child(object, "spec").and_then(|spec| list(spec, "tolerations")) } else { None }
}
