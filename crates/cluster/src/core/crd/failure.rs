//! Failed checks of structural validation, where they stand, and how they become field errors.
//!
//! Knows the words of no check: `validate` and `scalar` bring them.

use serde_json::Value;

use super::go::{self, quote, shown};
use super::validate::NO_PATH;
use crate::core::field::{ErrorKind, FieldError};

/// One failed check.
pub(super) struct Failure {
    code: Code,
    name: String,
    message: String,
    value: Value,
}

/// What kind of fault a failure becomes.
pub(super) enum Code {
    Required,
    Enum(Vec<Value>),
    TooLong(i64),
    TooMany {
        actual: usize,
        max: i64,
    },
    Type,
    Other,
    /// A failed junctor, which upstream reports without a path.
    Composite,
}

impl Failure {
    pub(super) fn into_field_error(self, prefix: &str) -> FieldError {
        let root = if prefix.is_empty() { NO_PATH } else { prefix };
        let name = self.name.strip_prefix('.').unwrap_or(&self.name);
        let field = match (&self.code, self.name.as_str()) {
            (Code::Composite, _) | (_, "" | ".") => root.to_owned(),
            _ if prefix.is_empty() => name.to_owned(),
            _ => format!("{prefix}.{name}"),
        };
        let (kind, bad_value, detail) = match self.code {
            Code::Required => (ErrorKind::Required, None, String::new()),
            Code::Enum(allowed) => {
                let text = |value: &Value| match value {
                    Value::String(text) => quote(text),
                    other => quote(&go::json(other)),
                };
                let names: Vec<String> = allowed.iter().map(text).collect();
                (ErrorKind::NotSupported, Some(shown(&self.value)), format!("supported values: {}", names.join(", ")))
            }
            Code::TooLong(max) => (ErrorKind::TooLong, None, too_long(max)),
            Code::TooMany { actual, max } => (ErrorKind::TooMany, Some(Value::from(actual)), too_many(max)),
            Code::Type => (ErrorKind::TypeInvalid, Some(self.value), self.message),
            Code::Other => {
                let value = if self.value.is_null() { Value::from("") } else { shown(&self.value) };
                (ErrorKind::Invalid, Some(value), self.message)
            }
            Code::Composite => (ErrorKind::Invalid, Some(Value::from("")), self.message),
        };
        FieldError { kind, field, bad_value, detail }
    }
}

fn too_long(max: i64) -> String {
    match max {
        i64::MIN..=-1 => "value is too long".to_owned(),
        1 => "may not be more than 1 byte".to_owned(),
        _ => format!("may not be more than {max} bytes"),
    }
}

fn too_many(max: i64) -> String {
    match max {
        i64::MIN..=-1 => "has too many items".to_owned(),
        1 => "must have at most 1 item".to_owned(),
        _ => format!("must have at most {max} items"),
    }
}

/// The path to a value, linked on the stack and rendered only for failures.
pub(super) enum Trail<'a> {
    Root,
    Property(&'a Trail<'a>, &'a str),
    Additional(&'a Trail<'a>, &'a str),
    Index(&'a Trail<'a>, usize),
}

impl Trail<'_> {
    pub(super) fn text(&self) -> String {
        match self {
            Self::Root => String::new(),
            Self::Property(parent, name) => {
                let parent = parent.text();
                if parent.is_empty() { (*name).to_owned() } else { format!("{parent}.{name}") }
            }
            Self::Additional(parent, name) => format!("{}.{name}", parent.text()),
            Self::Index(parent, index) => format!("{}[{index}]", parent.text()),
        }
    }

    pub(super) fn is_root(&self) -> bool {
        matches!(self, Self::Root)
    }
}

/// Failures so far, and how many checks passed, by which junctors choose the best branch.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) failures: Vec<Failure>,
    pub(super) matches: usize,
}

impl Outcome {
    pub(super) fn passed() -> Self {
        Self { failures: Vec::new(), matches: 1 }
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.matches += other.matches;
        other.failures.into_iter().for_each(|failure| self.add(failure));
    }

    fn add(&mut self, failure: Failure) {
        if self.failures.iter().all(|known| known.message != failure.message) {
            self.failures.push(failure);
        }
    }

    pub(super) fn fail(&mut self, trail: &Trail<'_>, code: Code, value: Value, message: impl FnOnce(&str) -> String) {
        let name = trail.text();
        let message = message(&name);
        self.add(Failure { code, name, message, value });
    }
}
