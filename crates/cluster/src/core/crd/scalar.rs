//! Structural validation of values without parts: lengths, patterns, formats, bounds, enumerations.
//!
//! Follows kube-openapi in its order, its words and its conversions between numbers.

use serde_json::{Number, Value};

use super::failure::{Code, Outcome, Trail};
use super::formats;
use super::go::{self, Go, quote};
use super::structural::Schema;

/// The length and the pattern of a text.
pub(super) fn string(text: &str, schema: &Schema, trail: &Trail<'_>, outcome: &mut Outcome) {
    if schema.max_length.is_none() && schema.min_length.is_none() && schema.pattern.is_none() {
        return;
    }
    let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    if let Some(max) = schema.max_length.filter(|max| length > *max) {
        outcome.fail(trail, Code::TooLong(max), Value::from(text), |name| {
            format!("{name} in body should be at most {max} chars long")
        });
        return;
    }
    if let Some(min) = schema.min_length.filter(|min| length < *min) {
        outcome.fail(trail, Code::Other, Value::from(text), |name| {
            format!("{name} in body should be at least {min} chars long")
        });
        return;
    }
    let Some(pattern) = &schema.pattern else { return };
    let expected = match pattern.regex() {
        Ok(regex) if regex.is_match(text) => return,
        Ok(_) => pattern.source.clone(),
        Err(error) => format!("{}, but pattern is invalid: {error}", pattern.source),
    };
    outcome.fail(trail, Code::Other, Value::from(text), |name| format!("{name} in body should match '{expected}'"));
}

/// The format of a text.
pub(super) fn check_format(text: &str, format: &str, trail: &Trail<'_>, outcome: &mut Outcome) {
    if formats::registered(format).is_some_and(|check| !check(text)) {
        outcome.fail(trail, Code::Type, Value::from(text), |name| {
            format!("{name} in body must be of type {format}: {}", quote(text))
        });
    }
}

/// The bounds of a number.
pub(super) fn check_number(number: &Number, schema: &Schema, trail: &Trail<'_>, outcome: &mut Outcome) {
    let value = go::of(number);
    if let Some(factor) = schema.multiple_of {
        multiple_of(value, factor, trail, outcome);
    }
    if let Some(min) = schema.minimum {
        let (below, shown) =
            compare(value, min, schema.exclusive_minimum, |data, bound| data < bound, |data, bound| data < bound);
        if below {
            let words = if schema.exclusive_minimum { "greater than" } else { "greater than or equal to" };
            bound_failure(value, words, &shown, trail, outcome);
        }
    }
    if let Some(max) = schema.maximum {
        let (above, shown) =
            compare(value, max, schema.exclusive_maximum, |data, bound| data > bound, |data, bound| data > bound);
        if above {
            let words = if schema.exclusive_maximum { "less than" } else { "less than or equal to" };
            bound_failure(value, words, &shown, trail, outcome);
        }
    }
}

/// Whether a bound is broken, and how the bound is written: an integer meets its truncated bound.
fn compare(
    value: Go,
    bound: f64,
    exclusive: bool,
    ints: fn(i64, i64) -> bool,
    floats: fn(f64, f64) -> bool,
) -> (bool, String) {
    match value {
        Go::Int(data) => {
            let bound = go::truncate(bound);
            (ints(data, bound) || (exclusive && data == bound), bound.to_string())
        }
        Go::Float(data) => (floats(data, bound) || (exclusive && data == bound), go::float(bound)),
    }
}

fn bound_failure(value: Go, words: &str, bound: &str, trail: &Trail<'_>, outcome: &mut Outcome) {
    outcome.fail(trail, Code::Other, go_value(value), |name| format!("{name} in body should be {words} {bound}"));
}

fn go_value(value: Go) -> Value {
    match value {
        Go::Int(data) => Value::from(data),
        Go::Float(data) => Value::from(data),
    }
}

fn multiple_of(value: Go, factor: f64, trail: &Trail<'_>, outcome: &mut Outcome) {
    let (positive, multiple, shown, factor_value) = match value {
        Go::Int(data) => {
            let factor = go::truncate(factor);
            (factor > 0, factor > 0 && data % factor == 0, factor.to_string(), Value::from(factor))
        }
        Go::Float(data) => {
            let quotient = if factor < 1.0 { 1.0 / factor * data } else { data / factor };
            (factor > 0.0, is_json_integer(quotient), go::float(factor), Value::from(factor))
        }
    };
    if !positive {
        outcome.fail(trail, Code::Other, factor_value, |name| {
            format!("factor MultipleOf declared for {name} must be positive: {shown}")
        });
    } else if !multiple {
        outcome.fail(trail, Code::Other, go_value(value), |name| {
            format!("{name} in body should be a multiple of {shown}")
        });
    }
}

/// Whether a value is one of those listed.
pub(super) fn enumeration(value: &Value, schema: &Schema, trail: &Trail<'_>, outcome: &mut Outcome) {
    if schema.enumeration.is_empty() || schema.enumeration.iter().any(|allowed| converts_to(value, allowed)) {
        return;
    }
    outcome.fail(trail, Code::Enum(schema.enumeration.clone()), value.clone(), |name| {
        let names: Vec<String> = schema.enumeration.iter().map(Value::to_string).collect();
        format!("{name} in body should be one of [{}]", names.join(" "))
    });
}

/// Go's comparison after `reflect` converted the value to the allowed one's type: floats lose their
/// fraction for an integer, integers become the character of that number for a string.
fn converts_to(value: &Value, allowed: &Value) -> bool {
    match (value, allowed) {
        (Value::Null, _) | (_, Value::Null) => false,
        (Value::Number(data), Value::Number(allowed)) => match (go::of(data), go::of(allowed)) {
            (Go::Int(data), Go::Int(allowed)) => data == allowed,
            (Go::Float(data), Go::Float(allowed)) => data == allowed,
            (Go::Int(data), Go::Float(allowed)) => data as f64 == allowed,
            (Go::Float(data), Go::Int(allowed)) => go::truncate(data) == allowed,
        },
        (Value::Number(data), Value::String(allowed)) => match go::of(data) {
            Go::Int(code) => {
                let char = u32::try_from(code).ok().and_then(char::from_u32).unwrap_or('\u{fffd}');
                allowed.chars().eq([char])
            }
            Go::Float(_) => false,
        },
        _ => value == allowed,
    }
}

/// go-openapi's `IsFloat64AJSONInteger`, with its tolerance of one part in a billion.
pub(super) fn is_json_integer(value: f64) -> bool {
    const LIMIT: f64 = 9_007_199_254_740_991.0;
    if value.is_nan() || !(-LIMIT..=LIMIT).contains(&value) {
        return false;
    }
    let unsigned = if value < 0.0 { (value as i64 as u64) as f64 } else { value as u64 as f64 };
    if value == unsigned || value == value.trunc() {
        return true;
    }
    if value == 0.0 || unsigned == 0.0 {
        return false;
    }
    (value - unsigned).abs() / (value.abs() + unsigned.abs()).min(f64::MAX) < 1e-9
}
