//! NamespaceLifecycle: nothing new in a namespace that is absent or going; some namespaces stay.

use serde_json::{Value, json};

use super::{Denied, Lookup, Operation, Request};

const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

/// Refuses what the state of the namespace does not allow.
pub(super) fn check(request: &Request, lookup: &dyn Lookup, object: Option<&Value>) -> Result<(), Denied> {
    if request.is("", "namespaces") {
        let spared = request.operation == Operation::Delete && IMMORTAL.contains(&request.name);
        if spared && request.subresource.is_empty() {
            return Err(Denied::forbidden(request, object, "this namespace may not be deleted"));
        }
        return Ok(());
    }
    let reviews_access = request.is("authorization.k8s.io", "localsubjectaccessreviews");
    let writes = matches!(request.operation, Operation::Create | Operation::Update);
    if request.namespace.is_empty() || reviews_access || !writes {
        return Ok(());
    }
    let ns = request.namespace;
    let Some(namespace) = lookup.get("", "namespaces", "", ns) else {
        return Err(Denied::not_found("", "namespaces", ns));
    };
    if request.operation != Operation::Create || namespace["status"]["phase"] != "Terminating" {
        return Ok(());
    }
    let cause = format!("unable to create new content in namespace {ns} because it is being terminated");
    let mut denied = Denied::forbidden(request, object, cause);
    denied.details["causes"] = json!([{"reason": "NamespaceTerminating",
        "message": format!("namespace {ns} is being terminated"), "field": "metadata.namespace"}]);
    Err(denied)
}
