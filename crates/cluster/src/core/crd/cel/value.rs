//! Values of expressions: literals, results, and views of the object under validation.
//!
//! A view borrows the JSON and reads a field only when an expression does. Answers equality, order,
//! size and lookup as cel-go and upstream's adapters of custom resources do.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

use serde_json::{Map as JsonMap, Value as Json};

use super::data::{from_data, metadata_schema, native, native_schema, text_schema};
use super::decl::{escape, unescape};
use super::opaque::Opaque;
use crate::core::crd::go;
use crate::core::crd::go_time::{self, Moment};
use crate::core::crd::structural::Schema;

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

/// A list, and how it compares and adds.
#[derive(Clone, Debug)]
pub struct List<'a> {
    pub items: Items<'a>,
    pub kind: ListKind<'a>,
}

#[derive(Clone, Debug)]
pub enum Items<'a> {
    Data { items: &'a [Json], schema: &'a Schema },
    Built(Arc<Vec<Val<'a>>>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ListKind<'a> {
    /// Made by an expression.
    Plain,
    /// From the object: in order, as a set, or by keys.
    Atomic,
    Set,
    Keyed(&'a [String]),
}

#[derive(Clone, Debug)]
pub enum Map<'a> {
    Data { fields: &'a JsonMap<String, Json>, schema: &'a Schema, resource: bool },
    Built(Arc<Vec<(Val<'a>, Val<'a>)>>),
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

impl<'a> List<'a> {
    /// How many items there are.
    pub fn len(&self) -> usize {
        match &self.items {
            Items::Data { items, .. } => items.len(),
            Items::Built(items) => items.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The item at an index that is in range.
    ///
    /// # Errors
    /// The data is not what the schema says.
    pub fn get(&self, index: usize) -> Outcome<Val<'a>> {
        match &self.items {
            Items::Data { items, schema } => match items.get(index) {
                Some(item) => from_data(item, schema, false),
                None => Err(Fault::new(format!("index out of bounds: {index}"))),
            },
            Items::Built(items) => {
                items.get(index).cloned().ok_or_else(|| Fault::new(format!("index out of bounds: {index}")))
            }
        }
    }

    /// All items.
    ///
    /// # Errors
    /// The data is not what the schema says.
    pub fn values(&self) -> Outcome<Vec<Val<'a>>> {
        (0..self.len()).map(|index| self.get(index)).collect()
    }

    fn key(&self, item: &Val<'a>) -> Vec<Option<Val<'a>>> {
        let ListKind::Keyed(keys) = self.kind else { return Vec::new() };
        let Val::Map(map) = item else { return Vec::new() };
        keys.iter().map(|key| map.raw(&escape(key).unwrap_or_else(|| key.clone())).ok().flatten()).collect()
    }

    fn equal(&self, other: &Self) -> Outcome<bool> {
        if self.len() != other.len() {
            return Ok(false);
        }
        match self.kind {
            ListKind::Plain | ListKind::Atomic => {
                for index in 0..self.len() {
                    let same = self.get(index)?.equal(&other.get(index)?);
                    match same {
                        Ok(true) => {}
                        Ok(false) => return Ok(false),
                        Err(fault) if self.kind == ListKind::Atomic => return Err(fault),
                        Err(_) => {}
                    }
                }
                Ok(true)
            }
            ListKind::Set => {
                let own = self.values()?;
                for value in other.values()? {
                    if !own.iter().any(|known| same_raw(known, &value)) {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            ListKind::Keyed(_) => {
                let own = self.values()?;
                for value in other.values()? {
                    let key = self.key(&value);
                    // The last of several items with one key is the one that counts.
                    let Some(known) = own.iter().rev().find(|known| same_key(&self.key(known), &key)) else {
                        return Ok(false);
                    };
                    if !known.equal(&value)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
        }
    }

    /// `+`: appended, united, or merged by keys, as the left list is.
    ///
    /// # Errors
    /// The data is not what the schema says.
    pub fn add(&self, other: &Self) -> Outcome<Self> {
        if self.kind == ListKind::Plain {
            if self.is_empty() {
                return Ok(other.clone());
            }
            if other.is_empty() {
                return Ok(self.clone());
            }
        }
        let mut items = self.values()?;
        let added = other.values()?;
        match self.kind {
            ListKind::Plain | ListKind::Atomic => items.extend(added),
            ListKind::Set => {
                for value in added {
                    if !items.iter().any(|known| same_raw(known, &value)) {
                        items.push(value);
                    }
                }
            }
            ListKind::Keyed(_) => {
                for value in added {
                    let key = self.key(&value);
                    match items.iter().rposition(|known| same_key(&self.key(known), &key)) {
                        Some(place) => items[place] = value,
                        None => items.push(value),
                    }
                }
            }
        }
        Ok(Self { items: Items::Built(Arc::new(items)), kind: self.kind })
    }

    /// `in`.
    ///
    /// # Errors
    /// Data of the object compared with something of another type.
    pub fn contains(&self, value: &Val<'a>) -> Outcome<bool> {
        let data = self.kind != ListKind::Plain;
        let mut fault = None;
        for index in 0..self.len() {
            let item = match self.get(index) {
                Ok(item) => item,
                Err(error) => {
                    fault.get_or_insert(error);
                    continue;
                }
            };
            let same = if data { item.equal(value) } else { value.equal(&item) };
            match same {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(error) if data => {
                    fault.get_or_insert(error);
                }
                Err(_) => {}
            }
        }
        fault.map_or(Ok(false), Err)
    }
}

/// Go's comparison of two values as map keys: the same type and the same value.
fn same_raw(left: &Val<'_>, right: &Val<'_>) -> bool {
    std::mem::discriminant(left) == std::mem::discriminant(right) && left.equal(right).unwrap_or(false)
}

fn same_key(left: &[Option<Val<'_>>], right: &[Option<Val<'_>>]) -> bool {
    left.len() == right.len()
        && left.iter().zip(right).all(|pair| match pair {
            (Some(left), Some(right)) => same_raw(left, right),
            (None, None) => true,
            _ => false,
        })
}

/// What a map holds under a key.
#[derive(Clone, Debug)]
pub enum Found<'a> {
    Value(Val<'a>),
    Missing,
}

impl<'a> Map<'a> {
    /// How many entries there are; undeclared fields of data count.
    pub fn len(&self) -> usize {
        match self {
            Self::Data { fields, .. } => fields.len(),
            Self::Built(entries) => entries.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the data is an object with declared fields, not a map with free keys.
    fn is_object(&self) -> bool {
        match self {
            Self::Data { schema, resource, .. } => *resource || !schema.properties.is_empty(),
            Self::Built(_) => false,
        }
    }

    fn field_schema(&self, name: &str) -> Option<&'a Schema> {
        let Self::Data { schema, resource, .. } = self else { return None };
        if *resource {
            match name {
                "kind" | "apiVersion" => return Some(text_schema()),
                "metadata" => return Some(metadata_schema()),
                _ => {}
            }
        }
        if std::ptr::eq(*schema, native_schema()) {
            return Some(native_schema());
        }
        if self.is_object() { schema.properties.get(name) } else { schema.additional_schema() }
    }

    /// The value under a name as it stands in the data.
    fn raw(&self, name: &str) -> Outcome<Option<Val<'a>>> {
        match self {
            Self::Data { fields, .. } => match (fields.get(name), self.field_schema(name)) {
                (Some(value), Some(schema)) => from_data(value, schema, false).map(Some),
                _ => Ok(None),
            },
            Self::Built(_) => match self.find(&Val::text(name))? {
                Found::Value(value) => Ok(Some(value)),
                Found::Missing => Ok(None),
            },
        }
    }

    /// The value under a key of an expression.
    ///
    /// # Errors
    /// A key of the wrong type, or data that is not what the schema says.
    pub fn find(&self, key: &Val<'_>) -> Outcome<Found<'a>> {
        match self {
            Self::Data { fields, .. } => {
                let Val::Text(key) = key else { return Err(Fault::no_overload()) };
                let is_object = self.is_object();
                let name = if is_object { unescape(key) } else { Some(key.to_string()) };
                let Some(name) = name else { return Ok(Found::Missing) };
                let Some(value) = fields.get(&name) else { return Ok(Found::Missing) };
                if is_object && value.is_null() {
                    return Ok(Found::Missing);
                }
                match self.field_schema(&name) {
                    Some(schema) => from_data(value, schema, false).map(Found::Value),
                    None => Ok(Found::Missing),
                }
            }
            Self::Built(entries) => {
                let found = entries.iter().find(|(known, _)| known.equal(key).unwrap_or(false));
                Ok(found.map_or(Found::Missing, |(_, value)| Found::Value(value.clone())))
            }
        }
    }

    /// The keys that an expression can iterate over.
    pub fn keys(&self) -> Vec<Val<'a>> {
        match self {
            Self::Data { fields, .. } => {
                let is_object = self.is_object();
                let declared = fields.keys().filter(|name| self.field_schema(name).is_some());
                let key = |name: &'a String| {
                    let escaped = if is_object { escape(name) } else { None };
                    Val::Text(escaped.map_or(Cow::Borrowed(name.as_str()), Cow::Owned))
                };
                declared.map(key).collect()
            }
            Self::Built(entries) => entries.iter().map(|(key, _)| key.clone()).collect(),
        }
    }

    fn equal(&self, other: &Self) -> Outcome<bool> {
        if self.len() != other.len() {
            return Ok(false);
        }
        let Self::Data { fields, .. } = self else {
            let Self::Built(entries) = self else { return Ok(false) };
            for (key, value) in entries.iter() {
                let Found::Value(found) = other.find(key)? else { return Ok(false) };
                if value.equal(&found) == Ok(false) {
                    return Ok(false);
                }
            }
            return Ok(true);
        };
        for (name, value) in *fields {
            if self.field_schema(name).is_none() {
                let Self::Data { fields: theirs, .. } = other else { return Err(Fault::no_overload()) };
                if theirs.get(name).is_some_and(|theirs| theirs != value) {
                    return Ok(false);
                }
                continue;
            }
            let key = Val::Text(Cow::Borrowed(name.as_str()));
            match (self.find(&key)?, other.find(&key)?) {
                (Found::Value(own), Found::Value(theirs)) => {
                    if !own.equal(&theirs)? {
                        return Ok(false);
                    }
                }
                (Found::Missing, Found::Missing) => {}
                _ => return Ok(false),
            }
        }
        Ok(true)
    }
}
