//! Who may do what: decisions over Roles, ClusterRoles and their bindings as they are now.
//!
//! Follows `plugin/pkg/auth/authorizer/rbac` and `pkg/registry/rbac` of Kubernetes 1.34. Nothing is
//! cached and nothing written; objects are read through [`Lookup`]. Members of `system:masters` may do
//! everything, whatever the objects say.

pub mod aggregate;
pub mod bootstrap;
pub mod escalation;
mod rule;
pub mod rules_review;

#[cfg(test)]
mod tests;

use serde_json::{Map, Value, json};

pub use self::rule::Rule;
use crate::core::admission::Lookup;

/// The API group of roles and bindings.
pub const GROUP: &str = "rbac.authorization.k8s.io";
/// Members of this group may do everything.
pub const MASTERS: &str = "system:masters";

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct User<'a> {
    pub name: &'a str,
    pub groups: &'a [String],
}

impl User<'_> {
    /// Whether no rule binds the user.
    pub fn is_master(&self) -> bool {
        self.groups.iter().any(|group| group == MASTERS)
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attributes<'a> {
    Resource {
        verb: &'a str,
        group: &'a str,
        resource: &'a str,
        /// Empty for the resource itself.
        subresource: &'a str,
        /// Empty for cluster-scoped requests.
        namespace: &'a str,
        /// Empty where the request names no object.
        name: &'a str,
    },
    Path {
        verb: &'a str,
        path: &'a str,
    },
}

/// The answer; RBAC never denies what another authorizer would allow, it only does not allow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub allowed: bool,
    /// Which binding allows it, or what could not be resolved.
    pub reason: String,
}

/// Decides one request.
pub fn authorize(user: &User, attributes: &Attributes, lookup: &dyn Lookup) -> Decision {
    if user.is_master() {
        return Decision { allowed: true, reason: String::new() };
    }
    let namespace = match attributes {
        Attributes::Resource { namespace, .. } => namespace,
        Attributes::Path { .. } => "",
    };
    let mut errors = Vec::new();
    for grant in grants(user, namespace, lookup) {
        match role_rules(&grant.role_ref, grant.namespace(), lookup) {
            Err(error) => errors.push(error),
            Ok(rules) if rules.iter().any(|rule| rule.allows(attributes)) => {
                return Decision { allowed: true, reason: format!("RBAC: allowed by {}", grant.source) };
            }
            Ok(_) => {}
        }
    }
    Decision { allowed: false, reason: unresolved(errors) }
}

/// Every rule that holds for the user in a namespace, and what could not be resolved.
pub fn rules_for(user: &User, namespace: &str, lookup: &dyn Lookup) -> (Vec<Rule>, String) {
    let mut rules = Vec::new();
    let mut errors = Vec::new();
    for grant in grants(user, namespace, lookup) {
        match role_rules(&grant.role_ref, grant.namespace(), lookup) {
            Ok(found) => rules.extend(found),
            Err(error) => errors.push(error),
        }
    }
    let errors = distinct(errors);
    let text = if errors.len() > 1 { format!("[{}]", errors.join(", ")) } else { errors.concat() };
    (rules, text)
}

fn unresolved(errors: Vec<String>) -> String {
    let errors = distinct(errors);
    match errors.len() {
        0 => String::new(),
        1 => format!("RBAC: {}", errors[0]),
        _ => format!("RBAC: [{}]", errors.join(", ")),
    }
}

fn distinct(errors: Vec<String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for error in errors {
        if !kept.contains(&error) {
            kept.push(error);
        }
    }
    kept
}

/// A binding that applies to the user.
struct Grant {
    role_ref: Value,
    /// The namespace of a RoleBinding.
    binding_namespace: Option<String>,
    /// In words.
    source: String,
}

impl Grant {
    fn namespace(&self) -> &str {
        self.binding_namespace.as_deref().unwrap_or_default()
    }
}

fn grants(user: &User, namespace: &str, lookup: &dyn Lookup) -> Vec<Grant> {
    let mut grants = Vec::new();
    for binding in lookup.list(GROUP, "clusterrolebindings", "") {
        grants.extend(grant(user, &binding, None));
    }
    if !namespace.is_empty() {
        for binding in lookup.list(GROUP, "rolebindings", namespace) {
            grants.extend(grant(user, &binding, Some(namespace)));
        }
    }
    grants
}

fn grant(user: &User, binding: &Value, namespace: Option<&str>) -> Option<Grant> {
    let mut subjects = binding["subjects"].as_array().into_iter().flatten();
    let subject = subjects.find(|subject| applies(user, subject, namespace.unwrap_or_default()))?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (kind, name) = (text(&subject["kind"]), text(&subject["name"]));
    let subject = match (&*kind, subject["namespace"].as_str().filter(|ns| !ns.is_empty()).or(namespace)) {
        ("ServiceAccount", home) => format!("{kind} \"{name}/{}\"", home.unwrap_or_default()),
        _ => format!("{kind} \"{name}\""),
    };
    let name = text(&binding["metadata"]["name"]);
    let (role_kind, role) = (text(&binding["roleRef"]["kind"]), text(&binding["roleRef"]["name"]));
    let source = match namespace {
        None => format!("ClusterRoleBinding \"{name}\" of {role_kind} \"{role}\" to {subject}"),
        Some(ns) => format!("RoleBinding \"{name}/{ns}\" of {role_kind} \"{role}\" to {subject}"),
    };
    let binding_namespace = namespace.map(str::to_owned);
    Some(Grant { role_ref: binding["roleRef"].clone(), binding_namespace, source })
}

fn applies(user: &User, subject: &Value, binding_namespace: &str) -> bool {
    let name = subject["name"].as_str().unwrap_or_default();
    match subject["kind"].as_str() {
        Some("User") => user.name == name,
        Some("Group") => user.groups.iter().any(|group| group == name),
        Some("ServiceAccount") => {
            let ns = subject["namespace"].as_str().filter(|ns| !ns.is_empty()).unwrap_or(binding_namespace);
            let rest = user.name.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
            !ns.is_empty() && rest == Some((ns, name))
        }
        _ => false,
    }
}

/// The rules of the role that a binding names.
///
/// # Errors
/// The text of upstream where the role does not exist.
fn role_rules(role_ref: &Value, namespace: &str, lookup: &dyn Lookup) -> Result<Vec<Rule>, String> {
    let name = role_ref["name"].as_str().unwrap_or_default();
    let (found, kind) = match role_ref["kind"].as_str() {
        Some("Role") => (lookup.get(GROUP, "roles", namespace, name), "role"),
        Some("ClusterRole") => (lookup.get(GROUP, "clusterroles", "", name), "clusterrole"),
        other => return Err(format!("unsupported role reference kind: \"{}\"", other.unwrap_or_default())),
    };
    let role = found.ok_or_else(|| format!("{kind}.{GROUP} \"{name}\" not found"))?;
    Ok(Rule::list(&role["rules"]))
}

/// The Status of a request that nobody allows.
pub fn forbidden(user: &User, attributes: &Attributes, reason: &str) -> Value {
    let mut details = Map::new();
    let (subject, denied) = match attributes {
        Attributes::Path { verb, path } => {
            ("forbidden".to_owned(), format!("User \"{}\" cannot {verb} path \"{path}\"", user.name))
        }
        Attributes::Resource { verb, group, resource, subresource, namespace, name } => {
            let full =
                if subresource.is_empty() { (*resource).to_owned() } else { format!("{resource}/{subresource}") };
            let place = match *namespace {
                "" => "at the cluster scope".to_owned(),
                ns => format!("in the namespace \"{ns}\""),
            };
            let user = user.name;
            let text = format!("User \"{user}\" cannot {verb} resource \"{full}\" in API group \"{group}\" {place}");
            let group_resource = if group.is_empty() { (*resource).to_owned() } else { format!("{resource}.{group}") };
            let fields = [("name", *name), ("group", *group), ("kind", *resource)];
            details.extend(
                fields.iter().filter(|f| !f.1.is_empty()).map(|(key, value)| ((*key).to_owned(), json!(value))),
            );
            let subject = if name.is_empty() {
                format!("{group_resource} is forbidden")
            } else {
                format!("{group_resource} \"{name}\" is forbidden")
            };
            (subject, text)
        }
    };
    // Browsers must not take the text for markup.
    let denied = denied.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": format!("{subject}: {denied}{reason}"), "reason": "Forbidden", "details": details, "code": 403})
}
