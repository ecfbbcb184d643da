//! The label with which a namespace carries its own name, so that selectors can name it.

use serde_json::{Value, json};

use super::{Denied, Lookup, Operation, Request, child, set};

/// Sets `kubernetes.io/metadata.name` on a namespace that is created or updated.
pub(super) fn label_namespace(
    request: &Request,
    _lookup: &dyn Lookup,
    object: &mut Value,
    _old: Option<&Value>,
) -> Result<(), Denied> {
    let writes = matches!(request.operation, Operation::Create | Operation::Update);
    if !request.is_object("", "namespaces") || !writes {
        return Ok(());
    }
    let Some(name) = object["metadata"]["name"].as_str().map(str::to_owned) else { return Ok(()) };
    if let Some(labels) = child(object, "metadata").and_then(|metadata| child(metadata, "labels")) {
        set(labels, "kubernetes.io/metadata.name", json!(name));
    }
    Ok(())
}
