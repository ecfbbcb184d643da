//! Scalars and the types whose protobuf form is not that of their fields.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::wire::{self, Payload, Reader};
use super::{Error, wrong_type};
use crate::core::schema::Scalar;

/// Decodes a scalar; `narrow` cuts an integer to 32 bits.
pub(super) fn scalar(name: &str, scalar: Scalar, narrow: bool, payload: Payload<'_>) -> Result<Value, Error> {
    match (scalar, payload) {
        (Scalar::Integer, Payload::Varint(number)) => Ok(integer(number, narrow)),
        (Scalar::Boolean, Payload::Varint(number)) => Ok(Value::Bool(number != 0)),
        (Scalar::Number, Payload::Fixed64(bits)) => Ok(Value::from(f64::from_bits(bits))),
        (Scalar::String, Payload::Bytes(bytes)) => Ok(Value::String(wire::text(bytes))),
        (Scalar::Bytes, Payload::Bytes(bytes)) => Ok(Value::String(STANDARD.encode(bytes))),
        (Scalar::IntOrString, Payload::Bytes(bytes)) => int_or_string(bytes),
        (Scalar::Quantity, Payload::Bytes(bytes)) => quantity(bytes),
        (Scalar::Time, Payload::Bytes(bytes)) => time(name, bytes, Precision::Seconds),
        (Scalar::MicroTime, Payload::Bytes(bytes)) => time(name, bytes, Precision::Microseconds),
        (Scalar::Duration, Payload::Bytes(bytes)) => duration(bytes),
        (_, payload) => Err(wrong_type(name, &payload)),
    }
}

/// JSON that stands as bytes in field 1 (`RawExtension`, `FieldsV1`, `JSON`); nothing is null.
pub(super) fn raw_json(name: &str, bytes: &[u8]) -> Result<Value, Error> {
    let mut reader = Reader::new(bytes);
    let mut raw: &[u8] = &[];
    while let Some((number, payload)) = reader.field(name)? {
        if let (1, Payload::Bytes(bytes)) = (number, payload) {
            raw = bytes;
        }
    }
    if raw.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(raw).map_err(|error| Error::Value { field: name.to_owned(), reason: error.to_string() })
}

fn integer(number: u64, narrow: bool) -> Value {
    // Negative numbers are sent as the 64 bits of their two's complement, narrow ones too.
    let number = number.cast_signed();
    if narrow { Value::from(number as i32) } else { Value::from(number) }
}

fn int_or_string(bytes: &[u8]) -> Result<Value, Error> {
    let mut reader = Reader::new(bytes);
    let (mut is_text, mut number, mut text) = (false, Value::from(0), String::new());
    while let Some((field, payload)) = reader.field("IntOrString")? {
        match (field, payload) {
            (1, Payload::Varint(kind)) => is_text = kind == 1,
            (2, Payload::Varint(value)) => number = integer(value, true),
            (3, Payload::Bytes(value)) => text = wire::text(value),
            _ => {}
        }
    }
    Ok(if is_text { Value::String(text) } else { number })
}

fn quantity(bytes: &[u8]) -> Result<Value, Error> {
    let mut reader = Reader::new(bytes);
    let mut text = String::new();
    while let Some((number, payload)) = reader.field("Quantity")? {
        if let (1, Payload::Bytes(value)) = (number, payload) {
            text = wire::text(value);
        }
    }
    if text.is_empty() {
        text.push('0');
    }
    Ok(Value::String(text))
}

#[derive(Clone, Copy)]
enum Precision {
    Seconds,
    Microseconds,
}

/// An empty message is the zero time, which is written as null.
fn time(name: &str, bytes: &[u8], precision: Precision) -> Result<Value, Error> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let mut reader = Reader::new(bytes);
    let (mut seconds, mut nanoseconds) = (0_i64, 0_i64);
    while let Some((number, payload)) = reader.field("Timestamp")? {
        match (number, payload) {
            (1, Payload::Varint(value)) => seconds = value.cast_signed(),
            (2, Payload::Varint(value)) => nanoseconds = value.cast_signed(),
            _ => {}
        }
    }
    let out_of_range = || Error::Value { field: name.to_owned(), reason: "time is out of range".to_owned() };
    let nanoseconds = match precision {
        Precision::Seconds => 0,
        Precision::Microseconds => i32::try_from(nanoseconds / 1_000 * 1_000).map_err(|_| out_of_range())?,
    };
    let moment = jiff::Timestamp::new(seconds, nanoseconds).map_err(|_| out_of_range())?;
    Ok(Value::String(match precision {
        Precision::Seconds => moment.to_string(),
        Precision::Microseconds => format!("{moment:.6}"),
    }))
}

/// Nanoseconds, written as Go writes a duration: `1h2m3.5s`.
fn duration(bytes: &[u8]) -> Result<Value, Error> {
    let mut reader = Reader::new(bytes);
    let mut nanoseconds = 0_i64;
    while let Some((number, payload)) = reader.field("Duration")? {
        if let (1, Payload::Varint(value)) = (number, payload) {
            nanoseconds = value.cast_signed();
        }
    }
    Ok(Value::String(go_duration(nanoseconds)))
}

fn go_duration(nanoseconds: i64) -> String {
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let total = nanoseconds.unsigned_abs();
    let fraction = |value: u64, unit: u64| {
        let digits = format!("{:0width$}", value % unit, width = unit.ilog10() as usize);
        let digits = digits.trim_end_matches('0');
        if unit == 1 || digits.is_empty() { (value / unit).to_string() } else { format!("{}.{digits}", value / unit) }
    };
    match total {
        0 => "0s".to_owned(),
        1..1_000 => format!("{sign}{total}ns"),
        1_000..1_000_000 => format!("{sign}{}µs", fraction(total, 1_000)),
        1_000_000..1_000_000_000 => format!("{sign}{}ms", fraction(total, 1_000_000)),
        _ => {
            let minutes = total / 60_000_000_000;
            let seconds = fraction(total % 60_000_000_000, 1_000_000_000);
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{sign}{seconds}s"),
                (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
                (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
            }
        }
    }
}
