//! Numbers as Go's `interface{}` holds them after JSON decoding, int64 or float64, and as Go prints them.

use std::cmp::Ordering;
use std::fmt::Write as _;

use serde_json::{Number, Value};

/// A JSON number in one of Go's two forms.
#[derive(Clone, Copy, Debug)]
pub enum Num {
    Int(i64),
    Float(f64),
}

/// The form that a decoder which keeps integers gives to a number.
pub fn of(number: &Number) -> Num {
    match number.as_i64() {
        Some(int) => Num::Int(int),
        None => Num::Float(number.as_f64().unwrap_or(0.0)),
    }
}

/// Numeric order; an integer and a float compare as floats.
pub fn order(left: &Number, right: &Number) -> Ordering {
    match (of(left), of(right)) {
        (Num::Int(a), Num::Int(b)) => a.cmp(&b),
        (a, b) => float(a).partial_cmp(&float(b)).unwrap_or(Ordering::Equal),
    }
}

#[allow(clippy::cast_precision_loss)]
fn float(number: Num) -> f64 {
    match number {
        Num::Int(int) => int as f64,
        Num::Float(float) => float,
    }
}

/// Turns every number into a float, as the decoder of managed fields does.
pub fn as_floats(value: Value) -> Value {
    match value {
        Value::Number(number) => Number::from_f64(float(of(&number))).map_or(Value::Null, Value::Number),
        Value::Array(items) => Value::Array(items.into_iter().map(as_floats).collect()),
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(name, field)| (name, as_floats(field))).collect())
        }
        other => other,
    }
}

/// Appends a number as Go's `%v` does: `80`, `1.5`, `1e+06`.
pub fn write_text(number: &Number, out: &mut String) {
    match of(number) {
        Num::Int(int) => {
            let _ = write!(out, "{int}");
        }
        Num::Float(float) => write_shortest(float, out),
    }
}

/// Appends a float as Go's JSON encoder does: exponents below 1e-6 and from 1e21.
pub fn write_json_float(float: f64, out: &mut String) {
    let magnitude = float.abs();
    if magnitude == 0.0 || (1e-6..1e21).contains(&magnitude) {
        let _ = write!(out, "{float}");
    } else {
        let mut text = String::new();
        write_exponent(float, &mut text);
        // Go's encoder shortens e-09 to e-9.
        if let Some(start) = text.find("e-0") {
            text.remove(start + 2);
        }
        out.push_str(&text);
    }
}

/// `%g` with the shortest digits: the exponent form below 1e-4 and from 1e6.
fn write_shortest(float: f64, out: &mut String) {
    if float == 0.0 {
        out.push_str(if float.is_sign_negative() { "-0" } else { "0" });
        return;
    }
    let scientific = format!("{float:e}");
    let exponent: i32 = scientific.split_once('e').and_then(|(_, digits)| digits.parse().ok()).unwrap_or(0);
    if !(-4..6).contains(&exponent) {
        write_exponent(float, out);
    } else {
        let _ = write!(out, "{float}");
    }
}

fn write_exponent(float: f64, out: &mut String) {
    let scientific = format!("{float:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if exponent < 0 { '-' } else { '+' };
    let _ = write!(out, "{digits}e{sign}{:02}", exponent.abs());
}
