//! Field selectors: `metadata.name=x,status.phase!=Running`.
//!
//! Follows `k8s.io/apimachinery/pkg/fields` and the field sets of upstream's registries. Which fields
//! a resource offers is a column of its [`Resource`] row; how a field's value is read from an object
//! is decided here.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

use serde_json::Value;

use super::{Error, go_quote};
use crate::core::jsonpath;
use crate::core::resource::Resource;

/// How a field relates to the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `=` or `==`.
    Equals,
    /// `!=`.
    NotEquals,
}

/// One condition on one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// `status.phase`.
    pub field: String,
    /// Whether the value must be there or must not.
    pub operator: Operator,
    /// The value without escapes.
    pub value: String,
}

/// Requirements that must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    requirements: Vec<Requirement>,
}

impl Selector {
    /// Selects every object.
    pub fn everything() -> Self {
        Self::default()
    }

    /// Reads the text form. Terms are sorted; in values `\` escapes `\`, `,` and `=`.
    ///
    /// # Errors
    /// The message that upstream's parser gives.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut terms = split_terms(text);
        terms.sort_unstable();
        let mut requirements = Vec::new();
        for term in terms.into_iter().filter(|term| !term.is_empty()) {
            let Some((field, operator, escaped)) = split_term(term) else {
                return Err(Error(format!("invalid selector: '{text}'; can't understand '{term}'")));
            };
            let value = unescape(escaped)?;
            if !(field.is_empty() && value.is_empty()) {
                requirements.push(Requirement { field: field.to_owned(), operator, value });
            }
        }
        Ok(Self { requirements })
    }

    /// The same selector with the field names that the resource's objects are asked for.
    ///
    /// # Errors
    /// A field that the resource does not offer, in the words of its kind upstream.
    pub fn for_resource(&self, resource: &Resource) -> Result<Self, Error> {
        let mut requirements = Vec::new();
        for requirement in &self.requirements {
            let field = offered(resource, &requirement.field)?;
            requirements.push(Requirement { field: field.to_owned(), ..requirement.clone() });
        }
        Ok(Self { requirements })
    }

    /// Whether an object of the resource is selected. Fields that it does not have are empty.
    pub fn matches(&self, resource: &Resource, object: &Value) -> bool {
        self.requirements.iter().all(|requirement| {
            let equal = value_of(resource, object, &requirement.field) == requirement.value;
            equal == (requirement.operator == Operator::Equals)
        })
    }

    /// Whether there is no condition.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// The conditions, in the order of their texts.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// The value that the selector requires of a field, if there is one.
    pub fn exact_match(&self, field: &str) -> Option<&str> {
        let exact = |requirement: &&Requirement| requirement.field == field && requirement.operator == Operator::Equals;
        self.requirements.iter().find(exact).map(|requirement| requirement.value.as_str())
    }
}

/// Splits at commas that are not escaped.
fn split_terms(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                terms.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms
}

/// Splits at the first operator; there is no escaping before it.
fn split_term(term: &str) -> Option<(&str, Operator, &str)> {
    term.char_indices().find_map(|(at, _)| {
        let rest = &term[at..];
        [("!=", Operator::NotEquals), ("==", Operator::Equals), ("=", Operator::Equals)]
            .into_iter()
            .find_map(|(sign, operator)| Some((&term[..at], operator, rest.strip_prefix(sign)?)))
    })
}

fn unescape(text: &str) -> Result<String, Error> {
    let mut value = String::with_capacity(text.len());
    let mut letters = text.chars();
    let bad_sequence = |sequence: &str| Error(format!("invalid field selector: invalid escape sequence: {sequence}"));
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some(escaped @ ('\\' | ',' | '=')) => value.push(escaped),
                Some(other) => return Err(bad_sequence(&format!("\\{other}"))),
                None => return Err(bad_sequence("\\")),
            },
            ',' | '=' => {
                let code = u32::from(letter);
                return Err(Error(format!("invalid field selector: unescaped character in value: {code}")));
            }
            other => value.push(other),
        }
    }
    Ok(value)
}

/// Escapes a value for use in the text form.
pub fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=")
}

/// The name under which a field is known, for a field that the resource offers.
fn offered<'a>(resource: &Resource, field: &'a str) -> Result<&'a str, Error> {
    let standard = field == "metadata.name" || field == "metadata.namespace";
    let special = !resource.selectable_fields.is_empty();
    // Kinds with fields of their own decide about `metadata.namespace` too.
    let cluster_scoped = !resource.namespaced() && field == "metadata.namespace";
    if standard && !(cluster_scoped && (special || resource.custom)) {
        return Ok(field);
    }
    if resource.selectable_fields.iter().any(|offered| offered == field) {
        return Ok(field);
    }
    let core_pod = resource.group.is_empty() && resource.kind == "Pod";
    if core_pod && field == "spec.host" {
        return Ok("spec.nodeName");
    }
    Err(Error(match (resource.group.as_str(), resource.kind.as_str()) {
        _ if resource.custom => format!("field label not supported: {field}"),
        ("batch", "Job") => format!("field label {} not supported for Job", go_quote(field)),
        ("resource.k8s.io", "ResourceSlice") => {
            let api_version = resource.api_version();
            format!("field label not supported for {api_version}, Kind=ResourceSlice: {field}")
        }
        _ if special => format!("field label not supported: {field}"),
        _ => {
            format!("{} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"", go_quote(field))
        }
    }))
}

/// A built-in field whose value does not stand under its own name, or has a value when absent.
struct Reading {
    group: &'static str,
    kind: &'static str,
    field: &'static str,
    /// Where to look, in order; the first that is not empty counts.
    paths: &'static [&'static str],
    absent: &'static str,
}

const fn reading(
    group: &'static str,
    kind: &'static str,
    field: &'static str,
    paths: &'static [&'static str],
    absent: &'static str,
) -> Reading {
    Reading { group, kind, field, paths, absent }
}

/// Field sets of `pkg/registry/*/*/strategy.go` that are not the plain path.
const READINGS: &[Reading] = &[
    reading("", "Pod", "spec.hostNetwork", &["/spec/hostNetwork"], "false"),
    reading("", "Pod", "status.podIP", &["/status/podIP", "/status/podIPs/0/ip"], ""),
    // Offered, but never in the field set.
    reading("", "Pod", "status.podIPs", &[], ""),
    reading("", "Node", "spec.unschedulable", &["/spec/unschedulable"], "false"),
    reading("", "ReplicationController", "status.replicas", &["/status/replicas"], "0"),
    reading("", "Event", "source", &["/source/component", "/reportingComponent"], ""),
    reading("apps", "ReplicaSet", "status.replicas", &["/status/replicas"], "0"),
    reading("batch", "Job", "status.successful", &["/status/succeeded"], "0"),
];

/// The value that a field selector compares with, as upstream's registries print it.
pub fn value_of<'a>(resource: &Resource, object: &'a Value, field: &str) -> Cow<'a, str> {
    if resource.custom && !field.starts_with("metadata.") {
        return custom_value(object, field);
    }
    let row =
        READINGS.iter().find(|row| row.group == resource.group && row.kind == resource.kind && row.field == field);
    if let Some(row) = row {
        let found = row.paths.iter().filter_map(|path| object.pointer(path)).map(print);
        return found.into_iter().find(|text| !text.is_empty()).unwrap_or(Cow::Borrowed(row.absent));
    }
    let mut value = Some(object);
    for name in field.split('.') {
        value = value.and_then(|value| value.get(name));
    }
    value.map_or(Cow::Borrowed(""), print)
}

fn custom_value<'a>(object: &'a Value, field: &str) -> Cow<'a, str> {
    let Ok(path) = jsonpath::Path::parse(&format!("{{.{field}}}")) else { return Cow::Borrowed("") };
    let found = path.find(object).ok().and_then(|values| values.first().map(|value| print(value).into_owned()));
    found.map_or(Cow::Borrowed(""), Cow::Owned)
}

fn print(value: &Value) -> Cow<'_, str> {
    match value {
        Value::Null => Cow::Borrowed(""),
        Value::String(text) => Cow::Borrowed(text),
        other => Cow::Owned(other.to_string()),
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.requirements.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let sign = match requirement.operator {
                Operator::Equals => "=",
                Operator::NotEquals => "!=",
            };
            write!(f, "{comma}{}{sign}{}", requirement.field, escape(&requirement.value))?;
        }
        Ok(())
    }
}
