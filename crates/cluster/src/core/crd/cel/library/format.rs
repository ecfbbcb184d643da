//! `<text>.format(<list>)`: the verbs `s d f e b o x X` with a precision.

use std::fmt::Write as _;

use super::super::value::{Fault, Found, List, Map, Outcome, Val};
use super::convert::duration_seconds;
use crate::core::crd::go_time;

/// Replaces each verb by its argument.
pub fn format<'a>(text: &str, values: &List<'a>) -> Outcome<Val<'a>> {
    let mut out = String::with_capacity(text.len());
    let mut next = 0;
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        if char != '%' {
            out.push(char);
            continue;
        }
        if chars.peek() == Some(&'%') {
            chars.next();
            out.push('%');
            continue;
        }
        if next >= values.len() {
            return Err(Fault::new(format!("index {next} out of range")));
        }
        let value = values.get(next)?;
        next += 1;
        let precision = precision(&mut chars)?;
        let Some(verb) = chars.next() else {
            return Err(Fault::new("could not parse formatting clause: unexpected end of string"));
        };
        let written = clause(verb, precision, &value).map_err(|reason| {
            Fault::new(format!("error during formatting: {reason}"))
        })?;
        out.push_str(&written);
    }
    Ok(Val::text(out))
}

fn precision(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Outcome<usize> {
    if chars.peek() != Some(&'.') {
        return Ok(6);
    }
    chars.next();
    let mut digits = String::new();
    while let Some(digit) = chars.peek().filter(|char| char.is_ascii_digit()) {
        digits.push(*digit);
        chars.next();
    }
    let refused = || Fault::new("error during formatting: could not parse precision");
    digits.parse::<usize>().ok().filter(|precision| *precision <= 1000).ok_or_else(refused)
}

fn clause(verb: char, precision: usize, value: &Val<'_>) -> Result<String, String> {
    match verb {
        's' => text(value),
        'd' => match value {
            Val::Int(number) => Ok(number.to_string()),
            Val::Uint(number) => Ok(number.to_string()),
            Val::Double(number) if !number.is_finite() => Ok(not_finite(*number)),
            other => Err(format!("decimal clause can only be used on integers, was given {}", other.type_name())),
        },
        'f' => match float(value) {
            Some(number) if number.is_finite() => Ok(format!("{number:.precision$}")),
            Some(number) => Ok(not_finite(number)),
            None => Err(format!("fixed-point clause can only be used on doubles, was given {}", value.type_name())),
        },
        'e' => match float(value) {
            Some(number) if number.is_finite() => Ok(scientific(number, precision)),
            Some(number) => Ok(not_finite(number)),
            None => Err(format!("scientific clause can only be used on doubles, was given {}", value.type_name())),
        },
        'b' => match value {
            Val::Int(number) => Ok(signed(*number, |value| format!("{value:b}"))),
            Val::Uint(number) => Ok(format!("{number:b}")),
            Val::Bool(flag) => Ok(u8::from(*flag).to_string()),
            other => Err(format!("only integers and bools can be formatted as binary, was given {}", other.type_name())),
        },
        'o' => match value {
            Val::Int(number) => Ok(signed(*number, |value| format!("{value:o}"))),
            Val::Uint(number) => Ok(format!("{number:o}")),
            other => Err(format!("octal clause can only be used on integers, was given {}", other.type_name())),
        },
        'x' => hexadecimal(value),
        'X' => hexadecimal(value).map(|text| text.to_uppercase()),
        other => Err(format!("could not parse formatting clause: unrecognized formatting clause \"{other}\"")),
    }
}

fn float(value: &Val<'_>) -> Option<f64> {
    match value {
        Val::Double(number) => Some(*number),
        Val::Text(text) => match text.as_ref() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

fn not_finite(number: f64) -> String {
    if number.is_nan() {
        "NaN".to_owned()
    } else if number > 0.0 {
        "Infinity".to_owned()
    } else {
        "-Infinity".to_owned()
    }
}

fn scientific(number: f64, precision: usize) -> String {
    let text = format!("{number:.precision$e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

fn signed(number: i64, digits: fn(u64) -> String) -> String {
    let sign = if number < 0 { "-" } else { "" };
    format!("{sign}{}", digits(number.unsigned_abs()))
}

fn hexadecimal(value: &Val<'_>) -> Result<String, String> {
    let bytes = |bytes: &[u8]| {
        bytes.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    };
    match value {
        Val::Int(number) => Ok(signed(*number, |value| format!("{value:x}"))),
        Val::Uint(number) => Ok(format!("{number:x}")),
        Val::Text(text) => Ok(bytes(text.as_bytes())),
        Val::Bytes(data) => Ok(bytes(data)),
        other => Err(format!(
            "only integers, byte buffers, and strings can be formatted as hex, was given {}",
            other.type_name()
        )),
    }
}

/// The text of any value, lists and maps included.
fn text(value: &Val<'_>) -> Result<String, String> {
    Ok(match value {
        Val::Null => "null".to_owned(),
        Val::Bool(flag) => flag.to_string(),
        Val::Int(number) => number.to_string(),
        Val::Uint(number) => number.to_string(),
        Val::Double(number) if !number.is_finite() => not_finite(*number),
        Val::Double(number) => format!("{number}"),
        Val::Text(text) => text.to_string(),
        Val::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Val::Type(name) => name.to_string(),
        Val::Duration(nanoseconds) => duration_seconds(*nanoseconds),
        Val::Timestamp(moment) => go_time::moment_text(moment),
        Val::List(list) => {
            let mut parts = Vec::with_capacity(list.len());
            for item in list.values().map_err(|_| "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps".to_owned())? {
                parts.push(text(&item)?);
            }
            format!("[{}]", parts.join(", "))
        }
        Val::Map(map) => map_text(map)?,
        other => {
            return Err(format!(
                "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, \
                 and timestamps, was given {}",
                other.type_name()
            ));
        }
    })
}

fn map_text(map: &Map<'_>) -> Result<String, String> {
    let mut parts = Vec::with_capacity(map.len());
    for key in map.keys() {
        let value = match map.find(&key) {
            Ok(Found::Value(value)) => text(&value)?,
            _ => "null".to_owned(),
        };
        parts.push((text(&key)?, value));
    }
    parts.sort();
    let parts: Vec<String> = parts.into_iter().map(|(key, value)| format!("{key}: {value}")).collect();
    Ok(format!("{{{}}}", parts.join(", ")))
}
