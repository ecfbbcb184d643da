//! JSONPath as Kubernetes templates have it: printer columns, selectable fields, `kubectl`-like paths.
//!
//! Follows `k8s.io/client-go/util/jsonpath` with missing keys allowed, its oddities included (`$` and
//! `@` mean the value at hand; `['a.b']` is `.a.b`). There are no `range` loops. A path reads; it
//! never changes an object.

#[path = "jsonpath/evaluate.rs"]
mod evaluate;
#[path = "jsonpath/parse.rs"]
mod parse;
#[path = "jsonpath/print.rs"]
mod print;
#[cfg(test)]
#[path = "jsonpath/tests.rs"]
mod tests;

use std::borrow::Cow;

use serde_json::Value;

pub use self::print::print;

/// Why a path is not one, or does not fit the object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub String);

/// A parsed template such as `{.status.conditions[?(@.type=="Ready")].status}`.
#[derive(Clone, Debug, PartialEq)]
pub struct Path {
    nodes: Vec<Node>,
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq)]
enum Node {
    /// What stands in one pair of braces.
    List(Vec<Node>),
    Text(String),
    Field(String),
    Array(Slice),
    Filter {
        left: Vec<Node>,
        operator: String,
        right: Vec<Node>,
    },
    Integer(i64),
    Number(f64),
    Boolean(bool),
    Wildcard,
    Recursive,
    Union(Vec<Vec<Node>>),
    Identifier(String),
}

/// `[start:end:step]`; `[start]` has a derived end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Slice {
    start: Option<i64>,
    end: Option<i64>,
    end_derived: bool,
    step: Option<i64>,
}

impl Path {
    /// Reads a template; paths stand in braces.
    ///
    /// # Errors
    /// The message of upstream's parser.
    pub fn parse(template: &str) -> Result<Self, Error> {
        parse::template(template).map(|nodes| Self { nodes })
    }

    /// The values that the first part of the template finds; none where something is missing.
    ///
    /// # Errors
    /// An index out of bounds, a filter on something that is no list, values that do not compare.
    pub fn find<'a>(&'a self, object: &'a Value) -> Result<Vec<Cow<'a, Value>>, Error> {
        let mut first = None;
        for node in &self.nodes {
            let found = evaluate::find(node, object)?;
            first.get_or_insert(found);
        }
        Ok(first.unwrap_or_default())
    }
}

/// Follows a simple path of names, `.spec.replicas`, as the scale subresource of custom resources does.
pub fn get<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    names(path).try_fold(object, |value, name| value.get(name))
}

/// The names of a simple path, `.spec.replicas`.
pub fn names(path: &str) -> impl Iterator<Item = &str> {
    path.strip_prefix('.').unwrap_or(path).split('.')
}
