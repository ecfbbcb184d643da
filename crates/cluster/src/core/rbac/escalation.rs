//! Nobody gives away more than he has: writes of roles and bindings are held to the writer's own rules,
//! unless the verbs `escalate` and `bind` are granted.

use serde_json::{Value, json};

use super::rule::quote_list;
use super::{Attributes, GROUP, Rule, User, authorize, role_rules, rules_for};
use crate::core::admission::{Denied, Lookup};

/// A write of a role or a binding.
#[derive(Clone, Copy, Debug)]
pub struct Write<'a> {
    /// `roles`, `clusterroles`, `rolebindings` or `clusterrolebindings`.
    pub plural: &'a str,
    /// Empty for cluster-scoped objects.
    pub namespace: &'a str,
    pub object: &'a Value,
    /// The object before an update; none at a create.
    pub old: Option<&'a Value>,
}

/// Judges a write; other resources pass.
///
/// # Errors
/// 403 for rights that the user does not hold, 404 for a binding to a role that does not exist.
pub fn check(user: &User, write: &Write, lookup: &dyn Lookup) -> Result<(), Denied> {
    let untouched = write.old.is_some_and(|old| only_collection_fields_differ(old, write.object));
    if user.is_master() || untouched {
        return Ok(());
    }
    match write.plural {
        "roles" | "clusterroles" => check_role(user, write, lookup),
        "rolebindings" | "clusterrolebindings" => check_binding(user, write, lookup),
        _ => Ok(()),
    }
}

fn check_role(user: &User, write: &Write, lookup: &dyn Lookup) -> Result<(), Denied> {
    let name = write.object["metadata"]["name"].as_str().unwrap_or_default();
    // At a create the path names no object.
    let named = if write.old.is_some() { name } else { "" };
    if may(user, "escalate", write.plural, write.namespace, named, lookup) {
        return Ok(());
    }
    held(user, write, &Rule::list(&write.object["rules"]), lookup)?;
    let aggregates = |role: &Value| {
        role["aggregationRule"]["clusterRoleSelectors"].as_array().is_some_and(|selectors| !selectors.is_empty())
    };
    if write.plural != "clusterroles" || !(aggregates(write.object) || write.old.is_some_and(aggregates)) {
        return Ok(());
    }
    let all = |field: &str| json!({"verbs": ["*"], field: ["*"]});
    let mut everything = all("resources");
    everything["apiGroups"] = json!(["*"]);
    let everything = [Rule::read(&everything), Rule::read(&all("nonResourceURLs"))];
    held(user, write, &everything, lookup)
        .map_err(|_| denied(write, "must have cluster-admin privileges to use the aggregationRule".to_owned()))
}

fn check_binding(user: &User, write: &Write, lookup: &dyn Lookup) -> Result<(), Denied> {
    let role_ref = &write.object["roleRef"];
    let name = role_ref["name"].as_str().unwrap_or_default();
    let plural = match role_ref["kind"].as_str() {
        Some("Role") => "roles",
        _ => "clusterroles",
    };
    if may(user, "bind", plural, write.namespace, name, lookup) {
        return Ok(());
    }
    let rules = role_rules(role_ref, write.namespace, lookup).map_err(|message| Denied {
        code: 404,
        reason: "NotFound",
        details: json!({"name": name, "group": GROUP, "kind": plural.trim_end_matches('s')}),
        message,
        passing: false,
    })?;
    held(user, write, &rules, lookup)
}

fn may(user: &User, verb: &str, resource: &str, namespace: &str, name: &str, lookup: &dyn Lookup) -> bool {
    let attributes = Attributes::Resource { verb, group: GROUP, resource, subresource: "", namespace, name };
    authorize(user, &attributes, lookup).allowed
}

/// Whether the user holds all of `wanted` in the write's namespace.
fn held(user: &User, write: &Write, wanted: &[Rule], lookup: &dyn Lookup) -> Result<(), Denied> {
    let (own, errors) = rules_for(user, write.namespace, lookup);
    let atoms = wanted.iter().flat_map(Rule::atoms);
    let missing: Vec<Rule> = atoms.filter(|atom| !own.iter().any(|rule| rule.covers(atom))).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut lines: Vec<String> = compact(missing).iter().map(Rule::describe).collect();
    lines.sort_unstable();
    lines.dedup();
    let mut text = format!(
        "user {} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
        crate::core::selector::go_quote(user.name),
        quote_list(user.groups),
        lines.join("\n")
    );
    if !errors.is_empty() {
        text.push_str(&format!("; resolution errors: [{errors}]"));
    }
    Err(denied(write, text))
}

/// Joins atoms that differ only in their verbs.
fn compact(atoms: Vec<Rule>) -> Vec<Rule> {
    let mut compacted: Vec<Rule> = Vec::new();
    for atom in atoms {
        let same = |rule: &&mut Rule| {
            rule.urls.is_empty()
                && atom.urls.is_empty()
                && (&rule.groups, &rule.resources, &rule.names) == (&atom.groups, &atom.resources, &atom.names)
        };
        match compacted.iter_mut().find(same) {
            Some(rule) => rule.verbs.extend(atom.verbs),
            None => compacted.push(atom),
        }
    }
    compacted
}

fn denied(write: &Write, cause: String) -> Denied {
    let name = write.object["metadata"]["name"].as_str().unwrap_or_default();
    let plural = write.plural;
    let subject = if name.is_empty() {
        format!("{plural}.{GROUP} is forbidden")
    } else {
        format!("{plural}.{GROUP} \"{name}\" is forbidden")
    };
    Denied {
        code: 403,
        reason: "Forbidden",
        message: format!("{subject}: {cause}"),
        details: json!({"name": name, "group": GROUP, "kind": plural}),
        passing: false,
    }
}

/// Whether an update touches nothing but what garbage collection needs.
fn only_collection_fields_differ(old: &Value, new: &Value) -> bool {
    let stripped = |object: &Value| {
        let mut object = object.clone();
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            for field in ["ownerReferences", "finalizers", "managedFields", "resourceVersion", "generation"] {
                metadata.remove(field);
            }
        }
        object
    };
    stripped(old) == stripped(new)
}
