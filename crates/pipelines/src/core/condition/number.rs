//! Numbers as protobuf and Go have them.

use serde_json::{Number, Value};

/// 2^53: beyond it a double does not hold every integer.
const EXACT: u64 = 1 << 53;

/// The value with its integers as doubles, at any depth: numbers of `google.protobuf.Value` and of Go's JSON are doubles.
/// Integers that no double holds stay what they are.
pub fn doubles(value: Value) -> Value {
    match value {
        Value::Number(number) => Value::Number(double(number)),
        Value::Array(items) => items.into_iter().map(doubles).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, doubles(value))).collect(),
        Value::Null | Value::Bool(_) | Value::String(_) => value,
    }
}

fn double(number: Number) -> Number {
    let is_exact = number.as_i64().is_some_and(|integer| integer.unsigned_abs() <= EXACT);
    number.as_f64().filter(|_| is_exact).and_then(Number::from_f64).unwrap_or(number)
}

/// A number that is integral, also as a double.
pub fn integral(value: &Value) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "it is integral and below 2^53")]
    let whole = |number: f64| (number.fract() == 0.0 && number.abs() <= EXACT as f64).then_some(number as i64);
    value.as_i64().or_else(|| whole(value.as_f64()?))
}

/// What `string()` gives: a number as Go's `strconv.FormatFloat(x, 'g', -1, 64)` has it.
pub fn text(value: &Value) -> String {
    match value {
        Value::Number(number) if number.is_f64() => number.as_f64().map_or_else(|| number.to_string(), shortest),
        value => crate::core::value::text(value),
    }
}

/// With an exponent where it is below -4, or the number is a million or more.
fn shortest(number: f64) -> String {
    let scientific = format!("{number:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    let Ok(exponent) = exponent.parse::<i32>() else { return scientific };
    if (-4..6).contains(&exponent) {
        return format!("{number}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
}
