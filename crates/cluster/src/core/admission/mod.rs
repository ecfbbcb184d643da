//! What happens to an object between its decoding and its storage: defaults that need other objects,
//! and refusals that are not a matter of the object's own form.
//!
//! The plugins and their order are those that a kube-apiserver 1.34 has on by default, and
//! ExtendedResourceToleration. [`mutate`] runs before an object is validated, [`validate`] after.
//! Other objects are read through [`Lookup`]; time and chance come with the [`Request`]; nothing is
//! written, not even a quota's usage, which [`validate`] returns as charges.

mod lifecycle;
mod limits;
mod namespace_policy;
mod node_taint;
pub mod pod_security;
mod priority;
mod runtime_class;
mod service_account;
mod storage;
mod tolerations;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

pub use priority::system_classes;

use crate::core::quota::{self, Charge};

/// What a request does to the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Create,
    Update,
    Delete,
    Connect,
}

/// One request, as far as admission cares.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub operation: Operation,
    /// The resource's group; empty for the core group.
    pub group: &'a str,
    /// The resource's plural name.
    pub plural: &'a str,
    /// Empty for the resource itself.
    pub subresource: &'a str,
    /// Empty for cluster-scoped resources.
    pub namespace: &'a str,
    /// The name in the path; empty at a create.
    pub name: &'a str,
    /// Five characters for the name that a plugin makes up.
    pub suffix: &'a str,
    pub now: Timestamp,
}

impl Request<'_> {
    fn is(&self, group: &str, plural: &str) -> bool {
        self.group == group && self.plural == plural
    }

    fn is_object(&self, group: &str, plural: &str) -> bool {
        self.is(group, plural) && self.subresource.is_empty()
    }

    fn creates(&self, group: &str, plural: &str) -> bool {
        self.is_object(group, plural) && self.operation == Operation::Create
    }
}

/// Reads objects as they are now.
pub trait Lookup {
    /// One object; the namespace is empty for cluster-scoped resources.
    fn get(&self, group: &str, plural: &str, namespace: &str, name: &str) -> Option<Arc<Value>>;
    /// All objects of a namespace, or of a cluster-scoped resource.
    fn list(&self, group: &str, plural: &str, namespace: &str) -> Vec<Arc<Value>>;
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq)]
pub struct Denied {
    /// The HTTP status.
    pub code: u16,
    /// The machine-readable reason of the Status.
    pub reason: &'static str,
    pub message: String,
    /// `details` of the Status.
    pub details: Value,
    /// The object that is missing is about to be made by a controller: trying again for up to a second
    /// may succeed, as upstream does itself.
    pub passing: bool,
}

impl Denied {
    /// 403, in the words of upstream: `pods "p" is forbidden: …`.
    pub fn forbidden(request: &Request, object: Option<&Value>, cause: impl Into<String>) -> Self {
        let name = object_name(request, object);
        let resource = group_resource(request.group, request.plural);
        Self {
            code: 403,
            reason: "Forbidden",
            message: format!("{resource} \"{name}\" is forbidden: {}", cause.into()),
            details: details(&name, request.group, request.plural),
            passing: false,
        }
    }

    /// 404 for an object that the request needs.
    pub fn not_found(group: &str, plural: &str, name: &str) -> Self {
        Self {
            code: 404,
            reason: "NotFound",
            message: format!("{} \"{name}\" not found", group_resource(group, plural)),
            details: details(name, group, plural),
            passing: false,
        }
    }

    /// The whole Status object.
    pub fn status(&self) -> Value {
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": self.message,
            "reason": self.reason, "details": self.details, "code": self.code})
    }
}

fn details(name: &str, group: &str, plural: &str) -> Value {
    let mut details = Map::from_iter([("name".to_owned(), json!(name)), ("kind".to_owned(), json!(plural))]);
    if !group.is_empty() {
        details.insert("group".to_owned(), json!(group));
    }
    Value::Object(details)
}

fn group_resource(group: &str, plural: &str) -> String {
    if group.is_empty() { plural.to_owned() } else { format!("{plural}.{group}") }
}

/// The name as error messages give it: what the path or the object says, else the base of the name to
/// be generated.
fn object_name(request: &Request, object: Option<&Value>) -> String {
    let metadata = object.map_or(&Value::Null, |object| &object["metadata"]);
    let candidates = [Some(request.name), metadata["name"].as_str(), metadata["generateName"].as_str()];
    candidates.into_iter().flatten().find(|name| !name.is_empty()).unwrap_or("Unknown").to_owned()
}

type Mutator = fn(&Request, &dyn Lookup, &mut Value, Option<&Value>) -> Result<(), Denied>;

const MUTATORS: [Mutator; 12] = [
    limits::set_defaults,
    service_account::mount_token,
    node_taint::taint_new_node,
    priority::set_priority,
    tolerations::add_default_seconds,
    tolerations::add_extended_resources,
    storage::set_default_class,
    storage::protect_in_use,
    storage::set_default_ingress_class,
    runtime_class::apply,
    service_account::require,
    namespace_policy::label_namespace,
];

/// Completes an object that is created or updated, or refuses it.
///
/// # Errors
/// [`Denied`], from the first plugin that refuses.
pub fn mutate(request: &Request, lookup: &dyn Lookup, object: &mut Value, old: Option<&Value>) -> Result<(), Denied> {
    lifecycle::check(request, lookup, Some(object))?;
    MUTATORS.iter().try_for_each(|plugin| plugin(request, lookup, object, old))
}

type Validator = fn(&Request, &dyn Lookup, &Value, Option<&Value>) -> Result<(), Denied>;

const VALIDATORS: [Validator; 5] =
    [limits::check, priority::check_class, storage::check_resize, runtime_class::check, service_account::check];

/// What follows from an admitted request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Admitted {
    /// Texts for `Warning` headers.
    pub warnings: Vec<String>,
    /// New usages of quotas, to be stored before the object; not at a dry run. When a quota has changed
    /// in between, validate again.
    pub charges: Vec<Charge>,
}

/// Judges a complete object that is created or updated.
///
/// # Errors
/// [`Denied`], from the first plugin that refuses.
pub fn validate(
    request: &Request,
    lookup: &dyn Lookup,
    object: &Value,
    old: Option<&Value>,
) -> Result<Admitted, Denied> {
    VALIDATORS.iter().try_for_each(|plugin| plugin(request, lookup, object, old))?;
    let warnings = pod_security::check(request, lookup, object, old)?;
    Ok(Admitted { warnings, charges: charges(request, lookup, object, old)? })
}

/// Judges a deletion.
///
/// # Errors
/// [`Denied`] for a namespace that may not be deleted.
pub fn delete(request: &Request, lookup: &dyn Lookup) -> Result<(), Denied> {
    lifecycle::check(request, lookup, None)
}

fn charges(request: &Request, lookup: &dyn Lookup, object: &Value, old: Option<&Value>) -> Result<Vec<Charge>, Denied> {
    let writes = matches!(request.operation, Operation::Create | Operation::Update);
    if request.namespace.is_empty() || !writes {
        return Ok(Vec::new());
    }
    let quotas = lookup.list("", "resourcequotas", request.namespace);
    let quotas: Vec<&Value> = quotas.iter().map(|quota| &**quota).collect();
    let (group, plural, subresource) = (request.group, request.plural, request.subresource);
    let write = quota::Write { group, plural, subresource, object, old };
    quota::check(&quotas, &write, request.now).map_err(|cause| Denied::forbidden(request, Some(object), cause))
}

/// The object at `key`, made if it is absent; nothing where something else stands there.
fn child<'a>(value: &'a mut Value, key: &str) -> Option<&'a mut Value> {
    let child = value.as_object_mut()?.entry(key).or_insert_with(|| json!({}));
    if child.is_null() {
        *child = json!({});
    }
    child.is_object().then_some(child)
}

/// The list at `key`, made if it is absent; nothing where something else stands there.
fn list<'a>(value: &'a mut Value, key: &str) -> Option<&'a mut Vec<Value>> {
    let child = value.as_object_mut()?.entry(key).or_insert_with(|| json!([]));
    if child.is_null() {
        *child = json!([]);
    }
    child.as_array_mut()
}

/// Sets a field of an object; anything but an object is left alone.
fn set(value: &mut Value, key: &str, new: Value) {
    if let Some(fields) = value.as_object_mut() {
        fields.insert(key.to_owned(), new);
    }
}

/// The items of a list; none where there is no list.
fn items<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

/// A string that is present and not empty.
fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value[key].as_str().filter(|text| !text.is_empty())
}
