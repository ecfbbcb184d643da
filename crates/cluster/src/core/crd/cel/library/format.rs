//! `<text>.format(<list>)`: the verbs `s d f e b o x X` with a precision.
//!
//! Numbers with a fraction are written for readers of American English, as upstream does.

use std::fmt::Write as _;

use super::super::value::{Fault, Found, List, Map, Outcome, Val};
use super::convert;
use crate::core::crd::go;

/// A part of a format string.
pub enum Clause {
    Text(char),
    Verb { verb: char, precision: usize },
}

/// The parts of a format string; a faulty part is the last.
pub fn clauses(text: &str) -> Vec<Result<Clause, String>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(char) = rest.chars().next() {
        rest = &rest[char.len_utf8()..];
        if char != '%' {
            parts.push(Ok(Clause::Text(char)));
        } else if let Some(after) = rest.strip_prefix('%') {
            rest = after;
            parts.push(Ok(Clause::Text('%')));
        } else {
            match verb(rest) {
                Ok((clause, after)) => {
                    rest = after;
                    parts.push(Ok(clause));
                }
                Err(message) => {
                    parts.push(Err(message));
                    break;
                }
            }
        }
    }
    parts
}

fn verb(text: &str) -> Result<(Clause, &str), String> {
    let (precision, rest) = precision(text)?;
    // A verb is one byte, and a longer character is not one.
    let Some(byte) = rest.bytes().next() else { return Err("unexpected end of string".to_owned()) };
    let verb = char::from(byte);
    if !"sdfebxXo".contains(verb) {
        return Err(format!("unrecognized formatting clause \"{verb}\""));
    }
    Ok((Clause::Verb { verb, precision }, &rest[1..]))
}

fn precision(text: &str) -> Result<(usize, &str), String> {
    let Some(rest) = text.strip_prefix('.') else { return Ok((6, text)) };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    if digits == rest.len() {
        return Err("error while parsing precision: could not find end of precision specifier".to_owned());
    }
    let number = &rest[..digits];
    let parsed = number.parse::<usize>().map_err(|_| {
        let reason = if number.is_empty() { "invalid syntax" } else { "value out of range" };
        let parsing = format!("strconv.Atoi: parsing {}: {reason}", go::quote(number));
        format!("error while parsing precision: error while converting precision to integer: {parsing}")
    })?;
    Ok((parsed.min(1000), &rest[digits..]))
}

/// Replaces each verb by its argument.
pub fn format<'a>(text: &str, values: &List<'a>) -> Outcome<Val<'a>> {
    let mut out = String::with_capacity(text.len());
    let mut next = 0;
    for part in clauses(text) {
        let clause = match part {
            Ok(Clause::Text(char)) => {
                out.push(char);
                continue;
            }
            other => other,
        };
        if next >= values.len() {
            return Err(Fault::new(format!("index {next} out of range")));
        }
        let value = values.get(next)?;
        next += 1;
        let written = match clause {
            Err(message) if message.starts_with("unexpected") => Err(message),
            Err(message) => Err(format!("could not parse formatting clause: {message}")),
            Ok(Clause::Verb { verb, precision }) => {
                formatted(verb, precision, &value).map_err(|reason| format!("error during formatting: {reason}"))
            }
            Ok(Clause::Text(_)) => Ok(String::new()),
        };
        out.push_str(&written.map_err(Fault::new)?);
    }
    Ok(Val::text(out))
}

/// What a verb takes, as its refusal words it.
pub fn refusal(verb: char) -> &'static str {
    match verb {
        's' => {
            "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, \
             and timestamps"
        }
        'd' => "decimal clause can only be used on integers",
        'f' => "fixed-point clause can only be used on doubles",
        'e' => "scientific clause can only be used on doubles",
        'b' => "only integers and bools can be formatted as binary",
        'o' => "octal clause can only be used on integers",
        _ => "only integers, byte buffers, and strings can be formatted as hex",
    }
}

fn formatted(verb: char, precision: usize, value: &Val<'_>) -> Result<String, String> {
    let refused = || format!("{}, was given {}", refusal(verb), value.type_name());
    let written = match (verb, value) {
        ('s', _) => return text(value),
        ('d', Val::Int(number)) => Some(number.to_string()),
        ('d', Val::Uint(number)) => Some(number.to_string()),
        ('f', _) => float(value).map(|number| fixed(number, precision)),
        ('e', _) => float(value).map(|number| scientific(number, precision)),
        ('b', Val::Int(number)) => Some(signed(*number, |value| format!("{value:b}"))),
        ('b', Val::Uint(number)) => Some(format!("{number:b}")),
        ('b', Val::Bool(flag)) => Some(u8::from(*flag).to_string()),
        ('o', Val::Int(number)) => Some(signed(*number, |value| format!("{value:o}"))),
        ('o', Val::Uint(number)) => Some(format!("{number:o}")),
        ('x', _) => hexadecimal(value),
        ('X', _) => hexadecimal(value).map(|text| text.to_uppercase()),
        _ => None,
    };
    written.ok_or_else(refused)
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

fn not_finite(number: f64) -> Option<&'static str> {
    if number.is_nan() {
        Some("NaN")
    } else if number.is_infinite() {
        Some(if number > 0.0 { "∞" } else { "-∞" })
    } else {
        None
    }
}

fn fixed(number: f64, precision: usize) -> String {
    if let Some(text) = not_finite(number) {
        return text.to_owned();
    }
    let text = format!("{number:.precision$}");
    let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |rest| ("-", rest));
    let (whole, fraction) = digits.split_once('.').map_or((digits, None), |(whole, rest)| (whole, Some(rest)));
    let mut grouped = String::with_capacity(whole.len() * 2);
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    fraction.map_or(format!("{sign}{grouped}"), |fraction| format!("{sign}{grouped}.{fraction}"))
}

fn scientific(number: f64, precision: usize) -> String {
    if let Some(text) = not_finite(number) {
        return text.to_owned();
    }
    let text = format!("{number:.precision$e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let sign = if exponent < 0 { "⁻" } else { "" };
    let digits = format!("{:02}", exponent.unsigned_abs());
    let raised: String =
        digits.bytes().filter_map(|digit| "⁰¹²³⁴⁵⁶⁷⁸⁹".chars().nth(usize::from(digit - b'0'))).collect();
    format!("{mantissa}\u{a0}×\u{a0}10{sign}{raised}")
}

fn signed(number: i64, digits: fn(u64) -> String) -> String {
    let sign = if number < 0 { "-" } else { "" };
    format!("{sign}{}", digits(number.unsigned_abs()))
}

fn hexadecimal(value: &Val<'_>) -> Option<String> {
    let bytes = |bytes: &[u8]| {
        bytes.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    };
    match value {
        Val::Int(number) => Some(signed(*number, |value| format!("{value:x}"))),
        Val::Uint(number) => Some(format!("{number:x}")),
        Val::Text(text) => Some(bytes(text.as_bytes())),
        Val::Bytes(data) => Some(bytes(data)),
        _ => None,
    }
}

/// The text of any value, lists and maps included.
fn text(value: &Val<'_>) -> Result<String, String> {
    match value {
        Val::Null => Ok("null".to_owned()),
        Val::List(list) => list_text(list),
        Val::Map(map) => map_text(map),
        Val::Bytes(bytes) if std::str::from_utf8(bytes).is_err() => {
            Err("could not convert argument 'invalid UTF-8 in bytes, cannot convert to string' to string".to_owned())
        }
        Val::Optional(_) | Val::Opaque(_) | Val::Preserved(_) => {
            Err(format!("{}, was given {}", refusal('s'), value.type_name()))
        }
        other => Ok(plain(other)),
    }
}

fn plain(value: &Val<'_>) -> String {
    match convert::call("string", std::slice::from_ref(value)) {
        Some(Ok(Val::Text(text))) => text.into_owned(),
        _ => value.type_name().to_owned(),
    }
}

/// The text of an item of a list or map, which is an expression again.
fn nested(value: &Val<'_>) -> Result<String, String> {
    Ok(match value {
        Val::Text(text) => go::quote(text),
        Val::Bytes(bytes) => format!("b{}", go::quote(&String::from_utf8_lossy(bytes))),
        Val::Double(number) if number.is_nan() => "\"NaN\"".to_owned(),
        Val::Double(number) if number.is_infinite() => (if *number > 0.0 { "\"+Inf\"" } else { "\"-Inf\"" }).to_owned(),
        Val::Double(number) => format!("{number:.6}"),
        Val::Timestamp(_) => format!("timestamp({})", go::quote(&plain(value))),
        Val::Duration(_) => format!("duration({})", go::quote(&plain(value))),
        Val::Null | Val::Bool(_) | Val::Int(_) | Val::Uint(_) | Val::Type(_) | Val::List(_) | Val::Map(_) => {
            text(value)?
        }
        other => return Err(format!("no formatting function for {}", other.type_name())),
    })
}

fn list_text(list: &List<'_>) -> Result<String, String> {
    let mut parts = Vec::with_capacity(list.len());
    for index in 0..list.len() {
        let item = list.get(index).map_err(|_| "no formatting function for error".to_owned())?;
        parts.push(nested(&item)?);
    }
    Ok(format!("[{}]", parts.join(", ")))
}

fn map_text(map: &Map<'_>) -> Result<String, String> {
    let mut parts = Vec::with_capacity(map.len());
    for key in map.keys() {
        if !matches!(key, Val::Text(_) | Val::Bool(_) | Val::Int(_) | Val::Uint(_)) {
            return Err(format!("no formatting function for map key of type {}", key.type_name()));
        }
        let Ok(Found::Value(value)) = map.find(&key) else {
            return Err(format!("could not find key: {}", go::quote(&plain(&key))));
        };
        parts.push((nested(&key)?, nested(&value)?));
    }
    parts.sort_by(|left, right| left.0.cmp(&right.0));
    let parts: Vec<String> = parts.into_iter().map(|(key, value)| format!("{key}:{value}")).collect();
    Ok(format!("{{{}}}", parts.join(", ")))
}
