//! Whether a rule of a webhook or policy is about a request.
//!
//! After `pkg/admission/plugin/webhook/predicates/rules`.

use serde_json::Value;

use crate::core::admission::Operation;

/// A resource in a version, or a subresource of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resource {
    pub group: String,
    pub version: String,
    pub plural: String,
    /// Empty for the resource itself.
    pub subresource: String,
}

/// What is done, and in which namespace.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub operation: Operation,
    pub namespace: &'a str,
}

/// The operation as rules and reviews name it.
pub fn operation_name(operation: Operation) -> &'static str {
    match operation {
        Operation::Create => "CREATE",
        Operation::Update => "UPDATE",
        Operation::Delete => "DELETE",
        Operation::Connect => "CONNECT",
    }
}

/// Whether a rule is about a request for `name` of `resource`; only policies' rules name objects.
pub fn matches(rule: &Value, resource: &Resource, name: &str, place: Place<'_>) -> bool {
    in_scope(rule, resource, place.namespace)
        && is_listed(rule, "operations", operation_name(place.operation))
        && is_listed(rule, "apiGroups", &resource.group)
        && is_listed(rule, "apiVersions", &resource.version)
        && texts(rule, "resources").any(|pattern| is_resource(pattern, resource))
        && (texts(rule, "resourceNames").next().is_none() || texts(rule, "resourceNames").any(|own| own == name))
}

fn texts<'a>(rule: &'a Value, list: &str) -> impl Iterator<Item = &'a str> {
    rule[list].as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn is_listed(rule: &Value, list: &str, own: &str) -> bool {
    texts(rule, list).any(|one| one == "*" || one == own)
}

/// Namespaces themselves are of the cluster, though a request for one names a namespace.
fn in_scope(rule: &Value, resource: &Resource, namespace: &str) -> bool {
    let of_cluster = namespace.is_empty() || (resource.group.is_empty() && resource.plural == "namespaces");
    match rule["scope"].as_str() {
        Some("Namespaced") => !of_cluster,
        Some("Cluster") => of_cluster,
        _ => true,
    }
}

fn is_resource(pattern: &str, resource: &Resource) -> bool {
    let (plural, subresource) = pattern.split_once('/').unwrap_or((pattern, ""));
    (plural == "*" || plural == resource.plural) && (subresource == "*" || subresource == resource.subresource)
}
