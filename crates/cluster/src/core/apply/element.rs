//! One step of a field path: a field's name, a list item's keys, a set's value, an index.
//!
//! Answers order, text for people (`[name="web"]`) and the encoding of FieldsV1 keys (`k:{"name":"web"}`).
//! It never looks at a schema. Rules follow `structured-merge-diff/fieldpath`.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt::Write as _;

use serde_json::Value;

use super::json::{self, Writer};
use super::number;

/// A step from an object or list to something inside it.
#[derive(Clone, Debug)]
pub enum Element<'a> {
    /// A field of an object or a key of a map.
    Field(&'a str),
    /// The item of an associative list with these key fields, sorted by name.
    Key(Vec<(Cow<'a, str>, Cow<'a, Value>)>),
    /// The item of a set.
    Item(Cow<'a, Value>),
    /// The item of any other list.
    Index(i64),
    /// An item of an associative list that has no keys; pruning can leave one for a moment.
    Nameless,
}

impl Element<'_> {
    /// A total order: fields, keys, values, indexes.
    pub fn order(&self, other: &Element<'_>) -> Ordering {
        match (self, other) {
            (Element::Field(a), Element::Field(b)) => (*a).cmp(*b),
            (Element::Key(a), Element::Key(b)) => order_keys(a, b),
            (Element::Item(a), Element::Item(b)) => order_values(a, b),
            (Element::Index(a), Element::Index(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Element::Field(_) => 0,
            Element::Key(_) => 1,
            Element::Item(_) => 2,
            Element::Index(_) => 3,
            Element::Nameless => 4,
        }
    }

    /// Appends the step as a person reads it: `.spec`, `[name="web"]`, `[="a"]`, `[0]`.
    pub fn write(&self, out: &mut String) {
        match self {
            Element::Field(name) => {
                out.push('.');
                out.push_str(name);
            }
            Element::Key(fields) => {
                out.push('[');
                for (position, (name, value)) in fields.iter().enumerate() {
                    if position > 0 {
                        out.push(',');
                    }
                    out.push_str(name);
                    out.push('=');
                    write_value(value, out);
                }
                out.push(']');
            }
            Element::Item(value) => {
                out.push_str("[=");
                write_value(value, out);
                out.push(']');
            }
            Element::Index(index) => {
                let _ = write!(out, "[{index}]");
            }
            Element::Nameless => out.push_str("{{invalid path element}}"),
        }
    }

    /// The key of this step in FieldsV1.
    pub fn encode(&self) -> String {
        match self {
            Element::Field(name) => {
                let mut out = String::with_capacity(name.len() + 2);
                out.push_str("f:");
                out.push_str(name);
                out
            }
            Element::Key(fields) => {
                let mut out = String::with_capacity(32);
                out.push_str("k:{");
                for (position, (name, value)) in fields.iter().enumerate() {
                    if position > 0 {
                        out.push(',');
                    }
                    json::write_string(name, Writer::Path, &mut out);
                    out.push(':');
                    json::write(value, Writer::Path, &mut out);
                }
                out.push('}');
                out
            }
            Element::Item(value) => {
                let mut out = String::from("v:");
                json::write(value, Writer::Path, &mut out);
                out
            }
            Element::Index(index) => format!("i:{index}"),
            Element::Nameless => String::new(),
        }
    }
}

/// What a key of FieldsV1 turned out to be.
pub enum Decoded<'a> {
    Element(Element<'a>),
    /// A kind of step that this version does not know; it is dropped.
    Unknown,
}

/// Reads a key of FieldsV1.
///
/// # Errors
/// Says what is wrong with the key in the words of the upstream library.
pub fn decode(text: &str) -> Result<Decoded<'_>, String> {
    let bytes = text.as_bytes();
    if bytes.len() < 2 {
        return Err("key must be 2 characters long:".to_owned());
    }
    if bytes[1] != b':' {
        return Err(format!("missing colon: {text}"));
    }
    let rest = &text[2..];
    match bytes[0] {
        b'f' => Ok(Decoded::Element(Element::Field(rest))),
        b'v' => {
            let value: Value = serde_json::from_str(rest).map_err(|fault| fault.to_string())?;
            Ok(Decoded::Element(Element::Item(Cow::Owned(number::as_floats(value)))))
        }
        b'k' => {
            let fields: serde_json::Map<String, Value> =
                serde_json::from_str(rest).map_err(|fault| fault.to_string())?;
            let fields =
                fields.into_iter().map(|(name, value)| (Cow::Owned(name), Cow::Owned(number::as_floats(value))));
            Ok(Decoded::Element(Element::Key(fields.collect())))
        }
        b'i' => match rest.parse() {
            Ok(index) => Ok(Decoded::Element(Element::Index(index))),
            Err(_) => Err(format!("strconv.Atoi: parsing {rest:?}: invalid syntax")),
        },
        _ => Ok(Decoded::Unknown),
    }
}

type KeyField<'a> = (Cow<'a, str>, Cow<'a, Value>);

fn order_keys(left: &[KeyField<'_>], right: &[KeyField<'_>]) -> Ordering {
    for (a, b) in left.iter().zip(right) {
        let order = a.0.cmp(&b.0).then_with(|| order_values(&a.1, &b.1));
        if order != Ordering::Equal {
            return order;
        }
    }
    left.len().cmp(&right.len())
}

/// The order of any two JSON values: numbers, strings, booleans, lists, maps, null.
pub fn order_values(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => number::order(a, b),
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Array(a), Value::Array(b)) => {
            let different = a.iter().zip(b).map(|(a, b)| order_values(a, b)).find(|order| order.is_ne());
            different.unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        (Value::Object(a), Value::Object(b)) => {
            let pairs = a.iter().zip(b);
            let different = pairs.map(|(a, b)| a.0.cmp(b.0).then_with(|| order_values(a.1, b.1))).find(|o| o.is_ne());
            different.unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        _ => value_rank(left).cmp(&value_rank(right)),
    }
}

fn value_rank(value: &Value) -> u8 {
    match value {
        Value::Number(_) => 0,
        Value::String(_) => 1,
        Value::Bool(_) => 2,
        Value::Array(_) => 3,
        Value::Object(_) => 4,
        Value::Null => 5,
    }
}

/// Whether two JSON values are the same to server-side apply: `1` and `1.0` are.
pub fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => number::order(a, b).is_eq(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && same(a.1, b.1))
        }
        _ => left == right,
    }
}

fn write_value(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Value::Number(number) => number::write_text(number, out),
        Value::String(text) => super::go::write_quoted(text, out),
        Value::Array(items) => {
            out.push('[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    out.push(',');
                }
                write_value(item, out);
            }
            out.push(']');
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                out.push_str(name);
                out.push('=');
                write_value(field, out);
            }
        }
    }
}
