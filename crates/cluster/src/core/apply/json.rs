//! JSON text byte for byte as Go's encoders write it: `<`, `>` and `&` escaped, numbers in Go's form.

use std::fmt::Write as _;

use serde_json::Value;

use super::number::{self, Num};

/// The encoders differ in how they escape backspace and form feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// `json-iterator`, which writes keys of field sets.
    Path,
    /// `encoding/json`, which writes whole objects.
    Object,
}

/// Appends a value.
pub fn write(value: &Value, writer: Writer, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Value::Number(number) => match number::of(number) {
            Num::Int(number) => {
                let _ = write!(out, "{number}");
            }
            Num::Float(number) => number::write_json_float(number, out),
        },
        Value::String(text) => write_string(text, writer, out),
        Value::Array(items) => {
            out.push('[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    out.push(',');
                }
                write(item, writer, out);
            }
            out.push(']');
        }
        Value::Object(fields) => {
            out.push('{');
            for (position, (name, field)) in fields.iter().enumerate() {
                if position > 0 {
                    out.push(',');
                }
                write_string(name, writer, out);
                out.push(':');
                write(field, writer, out);
            }
            out.push('}');
        }
    }
}

/// Appends a string in its quotes.
pub fn write_string(text: &str, writer: Writer, out: &mut String) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' if writer == Writer::Object => out.push_str("\\b"),
            '\u{c}' if writer == Writer::Object => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{0}'..='\u{1f}' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(out, "\\u{:04x}", letter as u32);
            }
            _ => out.push(letter),
        }
    }
    out.push('"');
}
