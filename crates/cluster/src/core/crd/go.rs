//! Values as Go holds and prints them: JSON integers that fit are `int64`, all others `float64`.
//!
//! Answers how a value looks in a message of the API server; it never parses JSON.

use std::fmt::Write as _;

use serde_json::{Number, Value};

/// A JSON number as Go's `unstructured` content holds it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Go {
    Int(i64),
    Float(f64),
}

/// The number behind a JSON number.
pub fn of(number: &Number) -> Go {
    match number.as_i64() {
        Some(whole) => Go::Int(whole),
        None => Go::Float(number.as_f64().unwrap_or_default()),
    }
}

/// From this exponent on Go writes a shortest float with an exponent.
const EXPONENT_FROM: i32 = 6;

/// `%v` of a `float64`: shortest digits, with an exponent where it is large or below -4.
pub fn float(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if value == 0.0 {
        return if value.is_sign_negative() { "-0" } else { "0" }.to_owned();
    }
    if !(-4..EXPONENT_FROM).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    format!("{value}")
}

/// A value as field errors show it: a float without a fraction loses its `.0`, as Go prints it.
pub fn shown(value: &Value) -> Value {
    match value {
        Value::Number(number) => match of(number) {
            Go::Float(float) if float.fract() == 0.0 && float.abs() < 9e15 => Value::from(float as i64),
            _ => value.clone(),
        },
        Value::Array(items) => Value::Array(items.iter().map(shown).collect()),
        Value::Object(fields) => Value::Object(fields.iter().map(|(key, value)| (key.clone(), shown(value))).collect()),
        _ => value.clone(),
    }
}

/// Rewrites floats without a fraction as integers, which is how they leave Go's JSON encoder and
/// therefore how a stored object reads.
pub fn normalize(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Go::Float(float) = of(number)
                && float.fract() == 0.0
                && float.abs() < 9.2e18
            {
                *value = Value::from(float as i64);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(normalize),
        Value::Object(fields) => fields.values_mut().for_each(normalize),
        _ => {}
    }
}

/// The conversion `int64(value)` on amd64: what does not fit becomes the smallest number.
pub fn truncate(value: f64) -> i64 {
    if value.is_nan() || !(-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&value) {
        i64::MIN
    } else {
        value as i64
    }
}

/// `strconv.Quote`.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            _ if is_print(char) => out.push(char),
            _ => {
                let _ = match char as u32 {
                    code @ 0..0x80 => write!(out, "\\x{code:02x}"),
                    code @ 0x80..0x10000 => write!(out, "\\u{code:04x}"),
                    code => write!(out, "\\U{code:08x}"),
                };
            }
        }
    }
    out.push('"');
    out
}

/// `unicode.IsPrint`, but for characters that no version of Unicode assigns.
pub fn is_print(char: char) -> bool {
    let format = matches!(char,
        '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0001}'..='\u{e007f}');
    let space = char != ' ' && (char.is_whitespace() || matches!(char, '\u{2028}' | '\u{2029}'));
    let private = matches!(char, '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}' | '\u{fdd0}'..='\u{fdef}' | '\u{fffe}' | '\u{ffff}');
    !(char.is_control() || format || space || private)
}

/// A value as Go's JSON encoder writes it, which escapes what HTML would read.
pub fn json(value: &Value) -> String {
    let text = shown(value).to_string();
    if !text.contains(['<', '>', '&', '\u{2028}', '\u{2029}']) {
        return text;
    }
    let escaped = text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
    escaped.replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}
