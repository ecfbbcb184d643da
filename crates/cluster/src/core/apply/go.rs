//! Go's ways of printing a JSON value, as far as they show in messages that clients read.
//!
//! `%q` for strings, `%v` and `%#v` for decoded values. Nothing else of Go's formatting is here.

use std::fmt::Write as _;

use serde_json::Value;

use super::number;

/// Appends a string as `%q` does.
pub fn write_quoted(text: &str, out: &mut String) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            '\u{0}'..='\u{1f}' | '\u{7f}' => {
                let _ = write!(out, "\\x{:02x}", letter as u32);
            }
            '\u{80}'..='\u{a0}' | '\u{ad}' | '\u{2028}' | '\u{2029}' | '\u{feff}' => {
                let _ = write!(out, "\\u{:04x}", letter as u32);
            }
            _ => out.push(letter),
        }
    }
    out.push('"');
}

/// `%v` of the pointer in which the upstream library wraps a value: `&{map[a:1]}`.
pub fn wrapped(value: &Value) -> String {
    let mut out = String::from("&{");
    write_plain(value, &mut out);
    out.push('}');
    out
}

/// `%#v` of the same pointer: `&value.valueUnstructured{Value:1}`.
pub fn wrapped_syntax(value: &Value) -> String {
    let mut out = String::from("&value.valueUnstructured{Value:");
    write_syntax(value, &mut out);
    out.push('}');
    out
}

/// `%T` of a decoded value.
pub fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) => match number::of(number) {
            number::Num::Int(_) => "int64",
            number::Num::Float(_) => "float64",
        },
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

fn write_plain(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("<nil>"),
        Value::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Value::Number(number) => number::write_text(number, out),
        Value::String(text) => out.push_str(text),
        Value::Array(items) => {
            out.push('[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    out.push(' ');
                }
                write_plain(item, out);
            }
            out.push(']');
        }
        Value::Object(fields) => {
            out.push_str("map[");
            for (position, (name, field)) in fields.iter().enumerate() {
                if position > 0 {
                    out.push(' ');
                }
                out.push_str(name);
                out.push(':');
                write_plain(field, out);
            }
            out.push(']');
        }
    }
}

fn write_syntax(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("interface {}(nil)"),
        Value::String(text) => write_quoted(text, out),
        Value::Array(items) => {
            out.push_str("[]interface {}{");
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    out.push_str(", ");
                }
                write_syntax(item, out);
            }
            out.push('}');
        }
        Value::Object(fields) => {
            out.push_str("map[string]interface {}{");
            for (position, (name, field)) in fields.iter().enumerate() {
                if position > 0 {
                    out.push_str(", ");
                }
                write_quoted(name, out);
                out.push(':');
                write_syntax(field, out);
            }
            out.push('}');
        }
        other => write_plain(other, out),
    }
}
