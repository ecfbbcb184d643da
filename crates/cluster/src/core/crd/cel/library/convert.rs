//! Conversions between types.

use std::borrow::Cow;

use super::super::value::{Fault, Outcome, Val};
use super::kube;
use super::time::{MAX_SECONDS, MIN_SECONDS};
use crate::core::crd::go_time::{self, Moment};

/// Converts, if the function is a conversion.
pub fn call<'a>(function: &str, args: &[Val<'a>]) -> Option<Outcome<Val<'a>>> {
    let [value] = args else { return None };
    Some(match function {
        "type" => Ok(Val::Type(Cow::Borrowed(value.type_name()))),
        "dyn" => Ok(value.clone()),
        "bool" => to_bool(value)?,
        "bytes" => to_bytes(value)?,
        "double" => to_double(value)?,
        "duration" => to_duration(value)?,
        "int" => to_int(value)?,
        "string" => to_text(value)?,
        "timestamp" => to_timestamp(value)?,
        "uint" => to_uint(value)?,
        _ => return None,
    })
}

fn refused(from: &str, to: &str) -> Fault {
    Fault::new(format!("type conversion error from '{from}' to '{to}'"))
}

/// `time.ParseDuration`.
pub fn parse_duration(text: &str) -> Option<i64> {
    go_time::parse_duration(text)
}

/// RFC 3339 within the years 1 to 9999.
pub fn parse_timestamp(text: &str) -> Option<Moment> {
    go_time::parse_rfc3339(text).filter(|moment| (MIN_SECONDS..=MAX_SECONDS).contains(&moment.seconds))
}

fn to_bool<'a>(value: &Val<'a>) -> Option<Outcome<Val<'a>>> {
    match value {
        Val::Bool(_) => Some(Ok(value.clone())),
        Val::Text(text) => Some(match text.as_ref() {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Val::Bool(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Val::Bool(false)),
            _ => Err(refused("string", "bool")),
        }),
        _ => None,
    }
}

fn to_bytes<'a>(value: &Val<'a>) -> Option<Outcome<Val<'a>>> {
    match value {
        Val::Bytes(_) => Some(Ok(value.clone())),
        Val::Text(text) => Some(Ok(Val::Bytes(text.as_bytes().into()))),
        _ => None,
    }
}

fn to_double<'a>(value: &Val<'a>) -> Option<Outcome<Val<'a>>> {
    Some(Ok(Val::Double(match value {
        Val::Double(number) => *number,
        Val::Int(number) => *number as f64,
        Val::Uint(number) => *number as f64,
        Val::Text(text) => match parse_float(text) {
            Some(number) => number,
            None => return Some(Err(refused("string", "double"))),
        },
        _ => return None,
    })))
}

/// `strconv.ParseFloat`, without hexadecimal floats; a number out of range is refused.
fn parse_float(text: &str) -> Option<f64> {
    let body = text.strip_prefix(['+', '-']).unwrap_or(text);
    let lower = body.to_ascii_lowercase();
    if matches!(lower.as_str(), "inf" | "infinity") {
        return Some(if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY });
    }
    if lower == "nan" {
        return (body.len() == text.len()).then_some(f64::NAN);
    }
    let plain = body.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'));
    let value: f64 = text.parse().ok().filter(|_| plain)?;
    value.is_finite().then_some(value)
}

fn to_duration<'a>(value: &Val<'a>) -> Option<Outcome<Val<'a>>> {
    match value {
        Val::Duration(_) => Some(Ok(value.clone())),
        Val::Int(_) => Some(Err(refused("int", "google.protobuf.Duration"))),
        Val::Text(text) => {
            Some(parse_duration(text).map(Val::Duration).ok_or_else(|| refused("string", "google.protobuf.Duration")))
        }
        _ => None,
    }
}

fn to_int<'a>(value: &Val<'a>) -> Option<Outcome<Val<'a>>> {
    let overflow = || Fault::new("integer overflow");
    Some(match value {
        Val::Int(_) => Ok(value.clone()),
        Val::Uint(number) => i64::try_from(*number).map(Val::Int).map_err(|_| overflow()),
        Val::Double(number) => {
            // Both bounds are open, as the nearest doubles lie outside of 64 bits.
            let fits = *number > -9_223_372_036_854_775_808.0 && *number < 9_223_372_036_854_775_807.0;
            if fits { Ok(Val::Int(*number as i64)) } else { Err(overflow()) }
        }
        Val::Duration(nanoseconds) => Ok(Val::Int(*nanoseconds)),
        Val::Timestamp(moment) => Ok(Val::Int(moment.seconds)),
        Val::Text(text) => {
            let digits = text.strip_prefix('+').filter(|rest| rest.starts_with(|char: char| char.is_ascii_digit()));
            digits.unwrap_or(text).parse().map(Val::Int).map_err(|_| refused("string", "int"))
        }
        _ => return None,
    })
}

fn to_uint<'a>(value: &Val<'a>) -> Option<Outcome<Val<'a>>> {
    let overflow = || Fault::new("unsigned integer overflow");
    Some(match value {
        Val::Uint(_) => Ok(value.clone()),
        Val::Int(number) => u64::try_from(*number).map(Val::Uint).map_err(|_| overflow()),
        Val::Double(number) => {
            let fits = *number >= 0.0 && *number < 18_446_744_073_709_551_615.0;
            if fits { Ok(Val::Uint(*number as u64)) } else { Err(overflow()) }
        }
        Val::Text(text) => {
            let plain = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|_| plain).map(Val::Uint).ok_or_else(|| refused("string", "uint"))
        }
        _ => return None,
    })
}

fn to_timestamp<'a>(value: &Val<'a>) -> Option<Outcome<Val<'a>>> {
    let overflow = || Fault::new("timestamp overflow");
    let in_range = |seconds: i64| (MIN_SECONDS..=MAX_SECONDS).contains(&seconds);
    Some(match value {
        Val::Timestamp(_) => Ok(value.clone()),
        Val::Int(seconds) if in_range(*seconds) => {
            Ok(Val::Timestamp(Moment { seconds: *seconds, nanoseconds: 0, offset_seconds: 0 }))
        }
        Val::Int(_) => Err(overflow()),
        Val::Text(text) => match go_time::parse_rfc3339(text) {
            None => Err(refused("string", "google.protobuf.Timestamp")),
            Some(moment) if in_range(moment.seconds) => Ok(Val::Timestamp(moment)),
            Some(_) => Err(overflow()),
        },
        _ => return None,
    })
}

fn to_text<'a>(value: &Val<'a>) -> Option<Outcome<Val<'a>>> {
    Some(Ok(Val::text(match value {
        Val::Text(_) => return Some(Ok(value.clone())),
        Val::Bool(flag) => flag.to_string(),
        Val::Int(number) => number.to_string(),
        Val::Uint(number) => number.to_string(),
        Val::Double(number) => crate::core::crd::go::float(*number),
        Val::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => return Some(Err(Fault::new("invalid UTF-8 in bytes, cannot convert to string"))),
        },
        Val::Duration(nanoseconds) => duration_seconds(*nanoseconds),
        Val::Timestamp(moment) => go_time::moment_text(moment),
        Val::Opaque(opaque) => kube::address_text(opaque)?,
        _ => return None,
    })))
}

/// Seconds with their fraction, as a duration reads when it becomes text.
pub fn duration_seconds(nanoseconds: i64) -> String {
    let whole = nanoseconds / 1_000_000_000;
    let fraction = nanoseconds % 1_000_000_000;
    let seconds = whole as f64 + fraction as f64 / 1e9;
    format!("{seconds}s")
}
