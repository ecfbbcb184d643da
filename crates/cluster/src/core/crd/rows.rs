//! The rows of the resource table that a definition adds: one per served version.

use serde_json::Value;

use super::definition::versions;
use super::status::condition_is_true;
use crate::core::resource::{Resource, Scope, Subresource};

// In upstream's order, which discovery shows.
const VERBS: [&str; 8] = ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];
const TERMINATING_VERBS: [&str; 6] = ["delete", "deletecollection", "get", "list", "watch", "patch"];

/// The rows of an established definition; none before its names are accepted.
pub fn rows(crd: &Value) -> Vec<Resource> {
    if !condition_is_true(crd, "Established") {
        return Vec::new();
    }
    let served = versions(crd);
    served.iter().filter(|version| version.served).map(|version| row(crd, version.name, version.value)).collect()
}

fn row(crd: &Value, version: &str, value: &Value) -> Resource {
    let spec = &crd["spec"];
    let names = &crd["status"]["acceptedNames"];
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let texts = |key: &str| -> Vec<String> {
        let items = names.get(key).and_then(Value::as_array);
        items.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut verbs: Vec<String> = VERBS.iter().map(|verb| (*verb).to_owned()).collect();
    if condition_is_true(crd, "Terminating") {
        verbs = TERMINATING_VERBS.iter().map(|verb| (*verb).to_owned()).collect();
    }
    let group = text(spec, "group");
    let plural = text(names, "plural");
    let scope = if spec["scope"] == "Namespaced" { Scope::Namespaced } else { Scope::Cluster };
    Resource {
        storage: format!("{group}/{plural}"),
        version: version.to_owned(),
        kind: text(names, "kind"),
        list_kind: text(names, "listKind"),
        singular: text(names, "singular"),
        short_names: texts("shortNames"),
        categories: texts("categories"),
        scope,
        verbs,
        subresources: subresources(value),
        selectable_fields: selectable_fields(value),
        custom: true,
        group,
        plural,
    }
}

fn subresources(version: &Value) -> Vec<Subresource> {
    let enabled = |name: &str| version.pointer(&format!("/subresources/{name}")).is_some_and(Value::is_object);
    let verbs = || vec!["get".to_owned(), "patch".to_owned(), "update".to_owned()];
    let mut found = Vec::new();
    if enabled("status") {
        found.push(Subresource { name: "status".to_owned(), kind: None, verbs: verbs() });
    }
    if enabled("scale") {
        let kind = Some(("autoscaling".to_owned(), "v1".to_owned(), "Scale".to_owned()));
        found.push(Subresource { name: "scale".to_owned(), kind, verbs: verbs() });
    }
    found
}

/// Field selectors of a version, without the leading dot: `spec.color`.
pub(super) fn selectable_fields(version: &Value) -> Vec<String> {
    let fields = version.get("selectableFields").and_then(Value::as_array);
    let path = |field: &Value| {
        field.get("jsonPath").and_then(Value::as_str).map(|path| path.trim_start_matches('.').to_owned())
    };
    fields.into_iter().flatten().filter_map(path).collect()
}
