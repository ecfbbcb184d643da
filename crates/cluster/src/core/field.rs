//! What is wrong with a field, worded as a Kubernetes API server words it.
//!
//! The kinds and their wording follow `k8s.io/apimachinery/pkg/util/validation/field`. This module
//! never decides whether something is wrong; validators do.

use std::fmt;

use serde_json::Value;

/// The class of a field error; its [`reason`](ErrorKind::reason) goes into `Status.details.causes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    NotFound,
    Required,
    Duplicate,
    Invalid,
    NotSupported,
    Forbidden,
    TooLong,
    TooMany,
    TypeInvalid,
    Internal,
}

impl ErrorKind {
    /// The machine-readable reason of a cause.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotFound => "FieldValueNotFound",
            Self::Required => "FieldValueRequired",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::TypeInvalid => "FieldValueTypeInvalid",
            Self::Internal => "InternalError",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::NotFound => "Not found",
            Self::Required => "Required value",
            Self::Duplicate => "Duplicate value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::Internal => "Internal error",
        }
    }
}

/// One fault of one field.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    pub kind: ErrorKind,
    /// Where: `spec.containers[0].name`, `metadata.labels`, `data[a.b]`.
    pub field: String,
    /// The value as it was sent; kinds that do not print one leave it out.
    pub bad_value: Option<Value>,
    pub detail: String,
}

/// The faults of one object; empty when it is valid.
pub type ErrorList = Vec<FieldError>;

impl FieldError {
    fn new(kind: ErrorKind, field: impl fmt::Display, bad_value: Option<Value>, detail: impl Into<String>) -> Self {
        Self { kind, field: field.to_string(), bad_value, detail: detail.into() }
    }

    /// A value that must be given and is not.
    pub fn required(field: impl fmt::Display, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Required, field, None, detail)
    }

    /// A value that breaks a rule of its field.
    pub fn invalid(field: impl fmt::Display, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, field, Some(value.into()), detail)
    }

    /// A value of the wrong JSON type.
    pub fn type_invalid(field: impl fmt::Display, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::TypeInvalid, field, Some(value.into()), detail)
    }

    /// A value outside an enumeration; the detail lists the `supported` ones, sorted as given.
    pub fn not_supported(field: impl fmt::Display, value: impl Into<Value>, supported: &[&str]) -> Self {
        let detail = if supported.is_empty() {
            String::new()
        } else {
            let quoted: Vec<String> = supported.iter().map(|name| format!("\"{name}\"")).collect();
            format!("supported values: {}", quoted.join(", "))
        };
        Self::new(ErrorKind::NotSupported, field, Some(value.into()), detail)
    }

    /// A value that would be well formed but may not stand here.
    pub fn forbidden(field: impl fmt::Display, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Forbidden, field, None, detail)
    }

    /// A value that stands twice where it may stand once.
    pub fn duplicate(field: impl fmt::Display, value: impl Into<Value>) -> Self {
        Self::new(ErrorKind::Duplicate, field, Some(value.into()), "")
    }

    /// A reference to something that does not exist.
    pub fn not_found(field: impl fmt::Display, value: impl Into<Value>) -> Self {
        Self::new(ErrorKind::NotFound, field, Some(value.into()), "")
    }

    /// A string longer than `max_bytes`.
    pub fn too_long(field: impl fmt::Display, max_bytes: usize) -> Self {
        Self::new(ErrorKind::TooLong, field, None, format!("may not be more than {max_bytes} bytes"))
    }

    /// A list of `actual` items where at most `max` are allowed.
    pub fn too_many(field: impl fmt::Display, actual: usize, max: usize) -> Self {
        Self::new(ErrorKind::TooMany, field, Some(Value::from(actual)), format!("must have at most {max} items"))
    }

    /// The text without the field's name, as it stands in `Status.details.causes[].message`.
    pub fn body(&self) -> String {
        let words = self.kind.words();
        let value = match self.kind {
            ErrorKind::Required | ErrorKind::Forbidden | ErrorKind::TooLong | ErrorKind::Internal => None,
            _ => self.bad_value.as_ref(),
        };
        let mut text = match value {
            None => words.to_owned(),
            Some(value) => format!("{words}: {}", render(value)),
        };
        if !self.detail.is_empty() {
            text.push_str(": ");
            text.push_str(&self.detail);
        }
        text
    }
}

/// Renders a value as Go's `%#v`-like printing in field errors does: strings quoted, others as JSON.
fn render(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        other => other.to_string(),
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() { f.write_str(&self.body()) } else { write!(f, "{}: {}", self.field, self.body()) }
    }
}

/// A path to a field, built as a validator descends: `Path::root("spec").child("ports").index(0)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path(String);

impl Path {
    /// A path of one name; the empty name is the object itself.
    pub fn root(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// The named field below.
    pub fn child(&self, name: &str) -> Self {
        if self.0.is_empty() { Self(name.to_owned()) } else { Self(format!("{}.{name}", self.0)) }
    }

    /// The list item below.
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// The map entry below.
    pub fn key(&self, key: &str) -> Self {
        Self(format!("{}[{key}]", self.0))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
