//! One policy rule: what it allows, what it covers, and how messages print it.

use serde_json::{Map, Value, json};

use super::Attributes;

/// `PolicyRule`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    pub verbs: Vec<String>,
    pub groups: Vec<String>,
    pub resources: Vec<String>,
    pub names: Vec<String>,
    pub urls: Vec<String>,
}

impl Rule {
    /// Reads one rule; what is missing is empty.
    pub fn read(value: &Value) -> Self {
        let list = |field: &str| -> Vec<String> {
            value[field].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        Self {
            verbs: list("verbs"),
            groups: list("apiGroups"),
            resources: list("resources"),
            names: list("resourceNames"),
            urls: list("nonResourceURLs"),
        }
    }

    /// Reads a list of rules.
    pub fn list(value: &Value) -> Vec<Self> {
        value.as_array().into_iter().flatten().map(Self::read).collect()
    }

    /// The JSON form, without empty fields.
    pub fn to_json(&self) -> Value {
        let fields = [
            ("verbs", &self.verbs),
            ("apiGroups", &self.groups),
            ("resources", &self.resources),
            ("resourceNames", &self.names),
            ("nonResourceURLs", &self.urls),
        ];
        let kept = fields.into_iter().filter(|(_, list)| !list.is_empty());
        Value::Object(kept.map(|(name, list)| (name.to_owned(), json!(list))).collect::<Map<_, _>>())
    }

    /// Whether the rule allows a request.
    pub fn allows(&self, attributes: &Attributes) -> bool {
        match attributes {
            Attributes::Path { verb, path } => {
                has_or_all(&self.verbs, verb) && self.urls.iter().any(|url| url_covers(url, path))
            }
            Attributes::Resource { verb, group, resource, subresource, name, .. } => {
                has_or_all(&self.verbs, verb)
                    && has_or_all(&self.groups, group)
                    && self.names_resource(resource, subresource)
                    && (self.names.is_empty() || has(&self.names, name))
            }
        }
    }

    fn names_resource(&self, resource: &str, subresource: &str) -> bool {
        self.resources.iter().any(|own| {
            if own == "*" {
                return true;
            }
            match own.split_once('/') {
                None => subresource.is_empty() && own == resource,
                Some((parent, sub)) => {
                    !subresource.is_empty() && sub == subresource && (parent == "*" || parent == resource)
                }
            }
        })
    }

    /// The same rights as rules of one verb, one resource and at most one name each.
    pub fn atoms(&self) -> Vec<Self> {
        let mut atoms = Vec::new();
        let one = |text: &String| vec![text.clone()];
        for group in &self.groups {
            for resource in &self.resources {
                for verb in &self.verbs {
                    let atom =
                        Self { verbs: one(verb), groups: one(group), resources: one(resource), ..Self::default() };
                    if self.names.is_empty() {
                        atoms.push(atom);
                    } else {
                        atoms.extend(self.names.iter().map(|name| Self { names: one(name), ..atom.clone() }));
                    }
                }
            }
        }
        for url in &self.urls {
            atoms.extend(self.verbs.iter().map(|verb| Self { verbs: one(verb), urls: one(url), ..Self::default() }));
        }
        atoms
    }

    /// Whether this rule gives everything that an atom does.
    pub fn covers(&self, atom: &Self) -> bool {
        let all = |own: &[String], star: bool, wanted: &[String]| {
            (star && has(own, "*")) || wanted.iter().all(|one| has(own, one))
        };
        let resources = has(&self.resources, "*")
            || atom.resources.iter().all(|wanted| {
                let by_subresource = wanted.split_once('/').map(|(_, sub)| format!("*/{sub}"));
                has(&self.resources, wanted) || by_subresource.is_some_and(|any| has(&self.resources, &any))
            });
        all(&self.verbs, true, &atom.verbs)
            && all(&self.groups, true, &atom.groups)
            && resources
            && (self.names.is_empty() || (!atom.names.is_empty() && all(&self.names, false, &atom.names)))
            && atom.urls.iter().all(|wanted| self.urls.iter().any(|own| url_covers(own, wanted)))
    }

    /// As messages print it: `{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}`.
    pub fn describe(&self) -> String {
        let fields = [
            ("APIGroups", &self.groups),
            ("Resources", &self.resources),
            ("NonResourceURLs", &self.urls),
            ("ResourceNames", &self.names),
            ("Verbs", &self.verbs),
        ];
        let kept = fields.into_iter().filter(|(_, list)| !list.is_empty());
        let parts: Vec<String> = kept.map(|(name, list)| format!("{name}:{}", quote_list(list))).collect();
        format!("{{{}}}", parts.join(", "))
    }
}

/// `["a" "b"]`, as Go prints a list of strings with `%q`.
pub(super) fn quote_list(list: &[String]) -> String {
    let quoted: Vec<String> = list.iter().map(|text| crate::core::selector::go_quote(text)).collect();
    format!("[{}]", quoted.join(" "))
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|one| one == wanted)
}

fn has_or_all(list: &[String], wanted: &str) -> bool {
    list.iter().any(|one| one == "*" || one == wanted)
}

fn url_covers(own: &str, path: &str) -> bool {
    own == path || (own.ends_with('*') && path.starts_with(own.trim_end_matches('*')))
}
