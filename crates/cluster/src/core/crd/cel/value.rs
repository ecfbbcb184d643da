//! Values of expressions: literals, results, and views of the object under validation.
//!
//! A view borrows the JSON and reads a field only when an expression does. Answers equality, order and
//! size as cel-go does; lists and maps are in `aggregate`.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

use serde_json::Value as Json;

pub use super::aggregate::{Found, Items, List, ListKind, Map};
pub use super::data::native as native_value;
use super::data::{native, native_schema};
use super::opaque::Opaque;
use crate::core::crd::go;
use crate::core::crd::go_time::{self, Moment};

/// Why an evaluation ended without a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An error of the expression, in cel-go's words.
    Error(String),
    /// The cost limit was reached.
    Limit,
}

impl Fault {
    /// An error of the expression.
    pub fn new(message: impl Into<String>) -> Self {
        Self::Error(message.into())
    }

    /// Arguments that fit no overload.
    pub fn no_overload() -> Self {
        Self::new("no such overload")
    }
}

/// The outcome of an evaluation.
pub type Outcome<T> = Result<T, Fault>;

#[derive(Clone, Debug)]
pub enum Val<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Cow<'a, str>),
    Bytes(Arc<[u8]>),
    List(List<'a>),
    Map(Map<'a>),
    Timestamp(Moment),
    /// Nanoseconds.
    Duration(i64),
    /// The name of a type.
    Type(Cow<'a, str>),
    Optional(Option<Arc<Val<'a>>>),
    Opaque(Arc<Opaque>),
    /// Data without a schema, which can only be compared.
    Preserved(&'a Json),
}

impl<'a> Val<'a> {
    /// A text that the value owns.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(Cow::Owned(text.into()))
    }

    /// A list made by an expression.
    pub fn list(items: Vec<Self>) -> Self {
        Self::List(List { items: Items::Built(Arc::new(items)), kind: ListKind::Plain })
    }

    /// An optional with a value.
    pub fn some(value: Self) -> Self {
        Self::Optional(Some(Arc::new(value)))
    }

    /// The name that `type(x)` answers.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null_type",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Double(_) => "double",
            Self::Text(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Timestamp(_) => "google.protobuf.Timestamp",
            Self::Duration(_) => "google.protobuf.Duration",
            Self::Type(_) => "type",
            Self::Optional(_) => "optional_type",
            Self::Opaque(opaque) => opaque.type_name(),
            Self::Preserved(_) => "unknown",
        }
    }

    /// What is left of a value that went through an optional: data loses its schema there.
    pub fn stripped(&self) -> Self {
        match self {
            Self::Map(Map::Data { fields, .. }) => {
                Self::Map(Map::Data { fields, schema: native_schema(), resource: false })
            }
            Self::List(List { items: Items::Data { items, .. }, .. }) => {
                Self::List(List { items: Items::Data { items, schema: native_schema() }, kind: ListKind::Plain })
            }
            Self::Preserved(value) => native(value),
            other => other.clone(),
        }
    }

    /// The Go type behind a value, which some errors name.
    pub fn go_type(&self) -> &'static str {
        match self {
            Self::Null => "types.Null",
            Self::Bool(_) => "types.Bool",
            Self::Int(_) => "types.Int",
            Self::Uint(_) => "types.Uint",
            Self::Double(_) => "types.Double",
            Self::Text(_) => "types.String",
            Self::Bytes(_) => "types.Bytes",
            Self::List(_) => "types.List",
            Self::Map(_) => "types.Map",
            Self::Timestamp(_) => "types.Timestamp",
            Self::Duration(_) => "types.Duration",
            Self::Type(_) => "*types.Type",
            Self::Optional(_) => "*types.Optional",
            Self::Opaque(opaque) => opaque.type_name(),
            Self::Preserved(_) => "*types.Unknown",
        }
    }

    /// What costs count: characters, bytes, items, entries; one for all else.
    pub fn size(&self) -> u64 {
        let size = match self {
            Self::Text(text) => text.chars().count(),
            Self::Bytes(bytes) => bytes.len(),
            Self::List(list) => list.len(),
            Self::Map(map) => map.len(),
            Self::Opaque(opaque) => opaque.size(),
            Self::Optional(Some(inner)) => return inner.size(),
            _ => 1,
        };
        size as u64
    }

    /// `==`, across numeric types; values of different types are not equal.
    ///
    /// # Errors
    /// Data of the object compared with something of another type.
    pub fn equal(&self, other: &Self) -> Outcome<bool> {
        Ok(match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Null, _) | (_, Self::Null) => false,
            (Self::Bool(left), Self::Bool(right)) => left == right,
            (Self::Int(_) | Self::Uint(_) | Self::Double(_), Self::Int(_) | Self::Uint(_) | Self::Double(_)) => {
                compare_numbers(self, other) == Some(Ordering::Equal)
            }
            (Self::Text(left), Self::Text(right)) => left == right,
            (Self::Bytes(left), Self::Bytes(right)) => left == right,
            (Self::Timestamp(left), Self::Timestamp(right)) => {
                (left.seconds, left.nanoseconds) == (right.seconds, right.nanoseconds)
            }
            (Self::Duration(left), Self::Duration(right)) => left == right,
            (Self::Type(left), Self::Type(right)) => left == right,
            (Self::Optional(left), Self::Optional(right)) => match (left, right) {
                (Some(left), Some(right)) => left.equal(right)?,
                (None, None) => true,
                _ => false,
            },
            (Self::Opaque(left), Self::Opaque(right)) => left.equal(right),
            (Self::List(left), Self::List(right)) => return left.equal(right),
            (Self::Map(left), Self::Map(right)) => return left.equal(right),
            (Self::Preserved(left), Self::Preserved(right)) => left == right,
            (Self::List(list), _) if list.kind != ListKind::Plain => return Err(Fault::no_overload()),
            (Self::Map(Map::Data { .. }), _) => return Err(Fault::no_overload()),
            _ => false,
        })
    }

    /// The order of two values.
    ///
    /// # Errors
    /// Values that have no order.
    pub fn compare(&self, other: &Self) -> Outcome<Ordering> {
        Ok(match (self, other) {
            (Self::Bool(left), Self::Bool(right)) => left.cmp(right),
            (Self::Int(_) | Self::Uint(_) | Self::Double(_), Self::Int(_) | Self::Uint(_) | Self::Double(_)) => {
                return compare_numbers(self, other).ok_or_else(|| Fault::new("NaN values cannot be ordered"));
            }
            (Self::Text(left), Self::Text(right)) => left.as_bytes().cmp(right.as_bytes()),
            (Self::Bytes(left), Self::Bytes(right)) => left.cmp(right),
            (Self::Timestamp(left), Self::Timestamp(right)) => {
                (left.seconds, left.nanoseconds).cmp(&(right.seconds, right.nanoseconds))
            }
            (Self::Duration(left), Self::Duration(right)) => left.cmp(right),
            _ => return Err(Fault::no_overload()),
        })
    }

    /// Go's `%v`, as messages about keys and indexes print a value.
    pub fn shown(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(flag) => flag.to_string(),
            Self::Int(number) => number.to_string(),
            Self::Uint(number) => number.to_string(),
            Self::Double(number) => go::float(*number),
            Self::Text(text) => text.to_string(),
            Self::Type(name) => name.to_string(),
            Self::Duration(nanoseconds) => go_time::duration_text(*nanoseconds),
            other => other.type_name().to_owned(),
        }
    }
}

fn compare_numbers(left: &Val<'_>, right: &Val<'_>) -> Option<Ordering> {
    match (left, right) {
        (Val::Int(left), Val::Int(right)) => Some(left.cmp(right)),
        (Val::Uint(left), Val::Uint(right)) => Some(left.cmp(right)),
        (Val::Double(left), Val::Double(right)) => left.partial_cmp(right),
        (Val::Int(left), Val::Uint(right)) => Some(i128::from(*left).cmp(&i128::from(*right))),
        (Val::Uint(left), Val::Int(right)) => Some(i128::from(*left).cmp(&i128::from(*right))),
        (Val::Int(left), Val::Double(right)) => compare_whole(i128::from(*left), *right),
        (Val::Uint(left), Val::Double(right)) => compare_whole(i128::from(*left), *right),
        (Val::Double(left), Val::Int(right)) => compare_whole(i128::from(*right), *left).map(Ordering::reverse),
        (Val::Double(left), Val::Uint(right)) => compare_whole(i128::from(*right), *left).map(Ordering::reverse),
        _ => None,
    }
}

/// Go compares by converting the whole number to a double where the double is in range.
fn compare_whole(whole: i128, double: f64) -> Option<Ordering> {
    if double.is_nan() { None } else { (whole as f64).partial_cmp(&double) }
}
