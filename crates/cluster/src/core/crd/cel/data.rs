//! Values out of the JSON of an object, as its schema types them.
//!
//! Answers a view of the data, or that it is not what the schema says.

use std::borrow::Cow;
use std::sync::OnceLock;

use serde_json::Value as Json;

use super::value::{Fault, Items, List, ListKind, Map, Outcome, Val};
use crate::core::crd::go::{self, Go};
use crate::core::crd::go_time::{self, Moment};
use crate::core::crd::structural::Schema;
use crate::core::fields::bytes;

pub(super) fn text_schema() -> &'static Schema {
    static SCHEMA: OnceLock<Schema> = OnceLock::new();
    SCHEMA.get_or_init(|| Schema { type_name: "string".to_owned(), ..Schema::default() })
}

pub(super) fn metadata_schema() -> &'static Schema {
    static SCHEMA: OnceLock<Schema> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let names = ["name", "generateName"].map(|name| (name.to_owned(), text_schema().clone()));
        Schema { type_name: "object".to_owned(), properties: names.into_iter().collect(), ..Schema::default() }
    })
}

/// Stands for no schema: the data is taken as it is.
pub(super) fn native_schema() -> &'static Schema {
    static SCHEMA: OnceLock<Schema> = OnceLock::new();
    SCHEMA.get_or_init(Schema::default)
}

/// The value of data without a schema.
pub fn native<'a>(value: &'a Json) -> Val<'a> {
    match value {
        Json::Null => Val::Null,
        Json::Bool(flag) => Val::Bool(*flag),
        Json::Number(number) => match go::of(number) {
            Go::Int(whole) => Val::Int(whole),
            Go::Float(float) => Val::Double(float),
        },
        Json::String(text) => Val::Text(Cow::Borrowed(text)),
        Json::Array(items) => {
            Val::List(List { items: Items::Data { items, schema: native_schema() }, kind: ListKind::Plain })
        }
        Json::Object(fields) => Val::Map(Map::Data { fields, schema: native_schema(), resource: false }),
    }
}

fn go_kind(value: &Json) -> &'static str {
    match value {
        Json::Null => "<nil>",
        Json::Bool(_) => "bool",
        Json::Number(number) if matches!(go::of(number), Go::Int(_)) => "int64",
        Json::Number(_) => "float64",
        Json::String(_) => "string",
        Json::Array(_) => "[]interface {}",
        Json::Object(_) => "map[string]interface {}",
    }
}

/// The value of a part of the object, as its schema types it.
///
/// # Errors
/// The data is not what the schema says.
pub fn from_data<'a>(value: &'a Json, schema: &'a Schema, resource: bool) -> Outcome<Val<'a>> {
    if std::ptr::eq(schema, native_schema()) {
        return Ok(native(value));
    }
    if value.is_null() {
        let message = "invalid data, got null for schema with nullable=false";
        return if schema.nullable { Ok(Val::Null) } else { Err(Fault::new(message)) };
    }
    if schema.int_or_string {
        return match value {
            Json::String(text) => Ok(Val::Text(Cow::Borrowed(text))),
            Json::Number(number) => match go::of(number) {
                Go::Int(whole) => Ok(Val::Int(whole)),
                Go::Float(_) => {
                    Err(Fault::new("invalid data, expected XIntOrString value to be either a string or integer"))
                }
            },
            _ => Err(Fault::new("invalid data, expected XIntOrString value to be either a string or integer")),
        };
    }
    match (schema.type_name.as_str(), value) {
        ("object", Json::Object(fields)) => {
            Ok(Val::Map(Map::Data { fields, schema, resource: resource || schema.embedded_resource }))
        }
        ("object", _) => Err(Fault::new("invalid data, expected a map for the provided schema with type=object")),
        ("array", Json::Array(items)) => list_from_data(items, schema),
        ("array", _) => Err(Fault::new("invalid data, expected an array for the provided schema with type=array")),
        ("string", Json::String(text)) => text_from_data(text, &schema.format),
        ("string", other) => Err(Fault::new(format!("invalid data, expected string, got {}", go_kind(other)))),
        ("number", Json::Number(number)) => Ok(Val::Double(number.as_f64().unwrap_or_default())),
        ("number", other) => Err(Fault::new(format!("invalid data, expected float, got {}", go_kind(other)))),
        ("integer", Json::Number(number)) => match go::of(number) {
            Go::Int(whole) => Ok(Val::Int(whole)),
            Go::Float(_) => Err(Fault::new("invalid data, expected int, got float64")),
        },
        ("integer", other) => Err(Fault::new(format!("invalid data, expected int, got {}", go_kind(other)))),
        ("boolean", Json::Bool(flag)) => Ok(Val::Bool(*flag)),
        ("boolean", other) => Err(Fault::new(format!("invalid data, expected bool, got {}", go_kind(other)))),
        _ if schema.preserves_unknown() => Ok(Val::Preserved(value)),
        (other, _) => Err(Fault::new(format!(
            "invalid type, expected object, array, number, integer, boolean or string, or no type with \
             x-kubernetes-int-or-string or x-kubernetes-preserve-unknown-fields is true, got {other}"
        ))),
    }
}

fn list_from_data<'a>(items: &'a [Json], schema: &'a Schema) -> Outcome<Val<'a>> {
    let Some(item_schema) = schema.items.as_deref() else {
        return Err(Fault::new("invalid array type, expected Items with a non-empty Schema"));
    };
    let kind = match schema.list_type() {
        "map" => ListKind::Keyed(&schema.list_map_keys),
        "set" => ListKind::Set,
        _ => ListKind::Atomic,
    };
    Ok(Val::List(List { items: Items::Data { items, schema: item_schema }, kind }))
}

fn text_from_data<'a>(text: &'a str, format: &str) -> Outcome<Val<'a>> {
    match format {
        "duration" => go_time::parse_loose_duration(text)
            .map(Val::Duration)
            .ok_or_else(|| Fault::new(format!("Invalid duration {text}: unable to parse {text} as duration"))),
        "date" => match go_time::parse_date(text) {
            Some(days) => Ok(Val::Timestamp(Moment { seconds: days * 86_400, nanoseconds: 0, offset_seconds: 0 })),
            None => Err(Fault::new(format!("Invalid date formatted string {text}: {}", go_time::date_error(text)))),
        },
        "date-time" => match go_time::parse_date_time(text) {
            Some(moment) => Ok(Val::Timestamp(moment)),
            None => {
                let reason = go_time::local_time_error(text);
                Err(Fault::new(format!("Invalid date-time formatted string {text}: {reason}")))
            }
        },
        "byte" => decode_bytes(text),
        _ => Ok(Val::Text(Cow::Borrowed(text))),
    }
}

/// Base64 in the URL alphabet with padding, which is what upstream decodes by.
fn decode_bytes<'a>(text: &str) -> Outcome<Val<'a>> {
    match bytes::decode(&bytes::URL_SAFE, text) {
        Ok(bytes) => Ok(Val::Bytes(bytes.into())),
        Err(at) => {
            Err(Fault::new(format!("Invalid byte formatted string {text}: illegal base64 data at input byte {at}")))
        }
    }
}
