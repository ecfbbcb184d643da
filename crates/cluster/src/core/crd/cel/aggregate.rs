//! Lists and maps of expressions: views of the object under validation, and what expressions build.
//!
//! Answers equality, lookup, order of items and addition as upstream's adapters of custom resources do,
//! which differ by the type of a list. Values themselves are in `value`.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::{Map as JsonMap, Value as Json};

use super::data::{from_data, metadata_schema, native_schema, text_schema};
use super::decl::{escape, unescape};
use super::value::{Fault, Outcome, Val};
use crate::core::crd::structural::Schema;

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

    pub(super) fn equal(&self, other: &Self) -> Outcome<bool> {
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

    pub(super) fn equal(&self, other: &Self) -> Outcome<bool> {
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
