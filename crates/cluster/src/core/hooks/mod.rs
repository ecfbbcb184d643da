//! Admission webhooks, as far as nothing is sent: which are asked about a request, what they are sent, and what
//! follows from their answer.
//!
//! After `pkg/admission/plugin/webhook` of `k8s.io/apiserver`. Who is dialled and how long one waits is the shell's.

pub mod answer;
pub mod conditions;
pub mod expression;
pub mod policy;
pub mod review;
pub mod rules;
#[cfg(test)]
mod tests;

use serde_json::Value;

use super::{
    admission::{Lookup, Operation},
    selector::labels::Selector,
    status::{Failure, Outcome},
};
use rules::{Place, Resource};

/// The group of webhook configurations and admission policies.
pub const GROUP: &str = "admissionregistration.k8s.io";

/// The resources whose requests no webhook and no policy sees: who registered a bad one must be able to remove it.
const EXEMPT: [&str; 6] = [
    "mutatingadmissionpolicies",
    "mutatingadmissionpolicybindings",
    "mutatingwebhookconfigurations",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
    "validatingwebhookconfigurations",
];

/// Group, version and kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kind {
    pub group: String,
    pub version: String,
    pub kind: String,
}

impl Kind {
    /// The kind of an `apiVersion` and a name.
    pub fn of(api_version: &str, kind: &str) -> Self {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        Self { group: group.to_owned(), version: version.to_owned(), kind: kind.to_owned() }
    }

    /// `v1` or `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }
}

/// A request as webhooks and policies see it, without its object.
#[derive(Clone, Debug)]
pub struct Attributes {
    pub operation: Operation,
    pub resource: Resource,
    pub kind: Kind,
    /// The namespace; for a namespace itself its name.
    pub namespace: String,
    /// Empty where a name is still to be made up.
    pub name: String,
    /// The operation's options; null where it has none.
    pub options: Value,
    pub dry_run: bool,
    /// `username`, `uid`, `groups`, `extra`.
    pub user: Value,
}

impl Attributes {
    /// Whether no webhook and no policy is asked.
    pub fn is_exempt(&self) -> bool {
        self.resource.group == GROUP && EXEMPT.contains(&self.resource.plural.as_str())
    }

    /// Where rules look.
    pub fn place(&self) -> Place<'_> {
        Place { operation: self.operation, namespace: &self.namespace }
    }

    fn is_namespace(&self) -> bool {
        self.resource.group.is_empty() && self.resource.plural == "namespaces"
    }
}

/// What the object of a request is and was; a deletion has no new one, a creation no old one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Objects<'a> {
    pub new: Option<&'a Value>,
    pub old: Option<&'a Value>,
}

/// A webhook that is to be asked, and in which version it is told of the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    pub resource: Resource,
}

/// Which resource a webhook or policy is told of: that of the request, or one that stands for the same objects in
/// another version, if `Equivalent` asks for it. `None` when no rule is about the request.
///
/// `holder` has `rules` in `list`, and `matchPolicy`.
pub fn by_rules(holder: &Value, list: &str, attributes: &Attributes, equivalents: &[Resource]) -> Option<Invocation> {
    let place = attributes.place();
    let rules = || holder[list].as_array().into_iter().flatten();
    if rules().any(|rule| rules::matches(rule, &attributes.resource, &attributes.name, place)) {
        return Some(Invocation { resource: attributes.resource.clone() });
    }
    if holder["matchPolicy"].as_str() == Some("Exact") {
        return None;
    }
    let others = || equivalents.iter().filter(|other| **other != attributes.resource);
    let found = rules().find_map(|rule| others().find(|other| rules::matches(rule, other, &attributes.name, place)));
    found.map(|resource| Invocation { resource: resource.clone() })
}

/// Whether the namespace of a request is selected.
///
/// # Errors
/// 404 for a namespace that is not there; 500 for a selector that cannot be read.
pub fn selects_namespace(
    holder: &Value,
    attributes: &Attributes,
    objects: Objects<'_>,
    lookup: &dyn Lookup,
) -> Outcome<bool> {
    if attributes.namespace.is_empty() && !attributes.is_namespace() {
        return Ok(true);
    }
    let Some(selector) = selector(holder, "namespaceSelector")? else { return Ok(true) };
    let writes = matches!(attributes.operation, Operation::Create | Operation::Update);
    if attributes.is_namespace() && attributes.resource.subresource.is_empty() && writes {
        return Ok(objects.new.is_some_and(|object| selector.matches_object(object)));
    }
    let found = lookup.get("", "namespaces", "", &attributes.namespace);
    match found {
        Some(namespace) => Ok(selector.matches_object(&namespace)),
        None => Err(Failure::not_found_in("", "namespaces", &attributes.namespace)),
    }
}

/// Whether the object of a request, as it is or was, is selected.
///
/// # Errors
/// 500 for a selector that cannot be read.
pub fn selects_object(holder: &Value, objects: Objects<'_>) -> Outcome<bool> {
    let Some(selector) = selector(holder, "objectSelector")? else { return Ok(true) };
    // What is no object of its own, as the options of a command, has no labels.
    let selected = |object: &&Value| object["metadata"].is_object() && selector.matches_object(object);
    Ok([objects.new, objects.old].iter().flatten().any(selected))
}

fn selector(holder: &Value, field: &str) -> Outcome<Option<Selector>> {
    let given = holder.get(field).filter(|given| !given.is_null());
    let Some(given) = given else { return Ok(None) };
    let selector = Selector::from_json(given).map_err(Failure::internal)?;
    Ok((!selector.is_empty()).then_some(selector))
}
