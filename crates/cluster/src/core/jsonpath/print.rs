//! How a found value is written into a text cell.

use std::ops::Range;

use serde_json::{Number, Value};

/// Text as it is, numbers as Go's `%v`, objects and lists as Go's JSON, null as upstream's `<no value>`.
pub fn print(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".to_owned(),
        Value::Bool(boolean) => boolean.to_string(),
        Value::String(text) => text.clone(),
        Value::Number(number) => print_number(number),
        Value::Array(_) | Value::Object(_) => go_json(value),
    }
}

fn print_number(number: &Number) -> String {
    match (number.as_i64(), number.as_f64()) {
        (Some(integer), _) => integer.to_string(),
        (None, Some(number)) => go_float(number, -4..6),
        (None, None) => number.to_string(),
    }
}

/// The shortest text of a number; with an exponent where its power of ten is not a plain one.
fn go_float(number: f64, plain: Range<i32>) -> String {
    let scientific = format!("{number:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if number == 0.0 || plain.contains(&exponent) {
        return number.to_string();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

/// JSON as Go's `encoding/json` writes it: `<`, `>` and `&` escaped, whole floats without a point.
fn go_json(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(go_json).collect();
            format!("[{}]", items.join(","))
        }
        Value::Object(members) => {
            let text = |name: &str| go_json(&Value::from(name));
            let members: Vec<String> =
                members.iter().map(|(name, value)| format!("{}:{}", text(name), go_json(value))).collect();
            format!("{{{}}}", members.join(","))
        }
        Value::String(_) => escape(&value.to_string()),
        Value::Number(number) if number.as_i64().is_none() => {
            let text = number.as_f64().map_or_else(|| number.to_string(), |number| go_float(number, -6..21));
            // JSON has one digit where one is enough.
            text.replace("e-0", "e-")
        }
        other => other.to_string(),
    }
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '<' => escaped.push_str("\\u003c"),
            '>' => escaped.push_str("\\u003e"),
            '&' => escaped.push_str("\\u0026"),
            '\u{2028}' => escaped.push_str("\\u2028"),
            '\u{2029}' => escaped.push_str("\\u2029"),
            other => escaped.push(other),
        }
    }
    escaped
}
