//! Values as Go's `%v` prints them, which upstream's messages contain.

use serde_json::Value;

use super::Object;
use crate::core::jsonpath;

/// `map[a:1 b:[x y]]`.
pub(super) fn value(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::Array(items) => list(items),
        Value::Object(members) => object(members),
        scalar => jsonpath::print(scalar),
    }
}

pub(super) fn list(items: &[Value]) -> String {
    let items: Vec<String> = items.iter().map(value).collect();
    format!("[{}]", items.join(" "))
}

pub(super) fn object(members: &Object) -> String {
    let members: Vec<String> = members.iter().map(|(name, member)| format!("{name}:{}", value(member))).collect();
    format!("map[{}]", members.join(" "))
}

/// The Go type that a JSON value has upstream.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "%!s(<nil>)",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_i64() => "int64",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// A directive as `%s` prints it.
pub(super) fn directive(value: &Value) -> String {
    match value {
        Value::Null => "%!s(<nil>)".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(boolean) => format!("%!s(bool={boolean})"),
        Value::Number(number) if number.is_i64() => format!("%!s(int64={number})"),
        Value::Number(_) => format!("%!s(float64={})", jsonpath::print(value)),
        other => self::value(other),
    }
}
