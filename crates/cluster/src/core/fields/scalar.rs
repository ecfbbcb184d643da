//! Scalars: what is accepted, its canonical form, its zero and its name in Go.

use base64::Engine as _;
use serde_json::Value;

use super::bytes;
use crate::core::quantity::Quantity;
use crate::core::schema::Scalar;

/// Why a scalar cannot be decoded.
pub(super) enum Fault {
    /// The JSON type, or the range of a number.
    Type,
    /// Another fault after which decoding goes on.
    Text(String),
    /// A fault of a type that decodes itself, which ends decoding.
    Abort(String),
    /// The same, where that type wanted another Go type than its own.
    Inner(&'static str),
}

/// Checks a value and rewrites it where Go would write it otherwise. `narrow` asks for 32 bits of an integer.
pub(super) fn canonical(scalar: Scalar, narrow: bool, value: &mut Value) -> Result<(), Fault> {
    match scalar {
        Scalar::String => want(value.is_string()),
        Scalar::Boolean => want(value.is_boolean()),
        Scalar::Number => want(value.is_number()),
        Scalar::Integer => want(fits(value, narrow)),
        Scalar::Bytes => byte_text(value),
        Scalar::IntOrString => int_or_string(value),
        Scalar::Quantity => quantity(value),
        Scalar::Time => time(value, 0),
        Scalar::MicroTime => time(value, 6),
        Scalar::Duration => match value {
            Value::String(_) => Ok(()),
            _ => Err(Fault::Inner("string")),
        },
    }
}

/// What Go writes for the zero value.
pub(super) fn zero(scalar: Scalar) -> Value {
    match scalar {
        Scalar::String => Value::String(String::new()),
        Scalar::Integer | Scalar::Number | Scalar::IntOrString => Value::from(0),
        Scalar::Boolean => Value::Bool(false),
        Scalar::Quantity => Value::String("0".to_owned()),
        Scalar::Duration => Value::String("0s".to_owned()),
        Scalar::Bytes | Scalar::Time | Scalar::MicroTime => Value::Null,
    }
}

/// The Go type of a scalar without a name of its own.
pub(super) fn go_type(scalar: Scalar, proto_type: Option<&str>) -> &str {
    match scalar {
        Scalar::String => "string",
        Scalar::Integer => proto_type.unwrap_or("int64"),
        Scalar::Number => "float64",
        Scalar::Boolean => "bool",
        Scalar::Bytes => "[]uint8",
        Scalar::IntOrString => "intstr.IntOrString",
        Scalar::Quantity => "resource.Quantity",
        Scalar::Time => "v1.Time",
        Scalar::MicroTime => "v1.MicroTime",
        Scalar::Duration => "v1.Duration",
    }
}

fn want(right: bool) -> Result<(), Fault> {
    if right { Ok(()) } else { Err(Fault::Type) }
}

fn fits(value: &Value, narrow: bool) -> bool {
    value.as_i64().is_some_and(|number| !narrow || i32::try_from(number).is_ok())
}

fn byte_text(value: &mut Value) -> Result<(), Fault> {
    let Value::String(text) = value else { return Err(Fault::Type) };
    let decoded = bytes::decode(&bytes::STANDARD, text)
        .map_err(|at| Fault::Text(format!("illegal base64 data at input byte {at}")))?;
    let plain = bytes::STANDARD.encode(decoded);
    if *text != plain {
        *text = plain;
    }
    Ok(())
}

fn int_or_string(value: &Value) -> Result<(), Fault> {
    match value {
        Value::String(_) => Ok(()),
        Value::Number(_) if fits(value, true) => Ok(()),
        _ => Err(Fault::Inner("int32")),
    }
}

fn quantity(value: &mut Value) -> Result<(), Fault> {
    let parsed = Quantity::from_json(value).map_err(|error| Fault::Abort(error.to_string()))?;
    let text = parsed.to_string();
    if value.as_str() != Some(text.as_str()) {
        *value = Value::String(text);
    }
    Ok(())
}

/// Rewrites a time in UTC with as many digits of a second; what stands in that form already is left alone.
fn time(value: &mut Value, digits: i16) -> Result<(), Fault> {
    let Value::String(text) = value else { return Err(Fault::Inner("string")) };
    let shaped = has_rfc3339_shape(text, digits);
    let parsed = shaped.then(|| text.parse::<jiff::Timestamp>().ok()).flatten();
    let Some(moment) = parsed else { return Err(Fault::Abort(go_parse_error(text, digits))) };
    let plain = if digits == 0 { format!("{:.0}", Floor(moment)) } else { format!("{moment:.6}") };
    if *text != plain {
        *text = plain;
    }
    Ok(())
}

/// A moment without its fraction of a second.
struct Floor(jiff::Timestamp);

impl std::fmt::Display for Floor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match jiff::Timestamp::from_second(self.0.as_second()) {
            Ok(whole) => write!(f, "{whole}"),
            Err(_) => write!(f, "{}", self.0),
        }
    }
}

/// `2006-01-02T15:04:05` with a fraction (of exactly so many digits, or of any where none are asked for) and a zone.
fn has_rfc3339_shape(text: &str, digits: i16) -> bool {
    let bytes = text.as_bytes();
    let Some((head, tail)) = bytes.split_at_checked(19) else { return false };
    let shaped = head.iter().zip(b"0000-00-00T00:00:00").all(|(found, wanted)| match wanted {
        b'0' => found.is_ascii_digit(),
        other => found == other,
    });
    let fraction =
        tail.strip_prefix(b".").map_or(0, |tail| tail.iter().take_while(|byte| byte.is_ascii_digit()).count());
    let taken = match (digits, fraction) {
        (0, 0) => 0,
        (0, _) => fraction + 1,
        (_, 6) => 7,
        _ => return false,
    };
    // jiff takes leap seconds and wider offsets, Go does not.
    let in_range = text.get(17..19).is_some_and(|seconds| seconds < "60")
        && text.get(20 + taken..22 + taken).is_none_or(|hours| hours <= "24");
    shaped && in_range && text.get(19 + taken..).is_some_and(is_zone)
}

/// The error of Go's `time.Parse` for a text that is not of the layout, or whose numbers are out of range.
fn go_parse_error(text: &str, digits: i16) -> String {
    const DATE_AND_TIME: [&str; 11] = ["2006", "-", "01", "-", "02", "T", "15", ":", "04", ":", "05"];
    let layout = if digits == 0 { "2006-01-02T15:04:05Z07:00" } else { "2006-01-02T15:04:05.000000Z07:00" };
    let quoted = Value::from(text).to_string();
    let unlike = |rest: &str, part: &str| {
        let rest = Value::from(rest).to_string();
        format!("parsing time {quoted} as \"{layout}\": cannot parse {rest} as \"{part}\"")
    };
    let mut rest = text;
    for part in DATE_AND_TIME {
        let found = rest.get(..part.len()).unwrap_or_default();
        let right = match part.len() {
            1 => found == part,
            width => found.len() == width && found.bytes().all(|byte| byte.is_ascii_digit()),
        };
        if !right {
            return unlike(rest, part);
        }
        let number: u32 = found.parse().unwrap_or(0);
        let range = match part {
            "01" if !(1..=12).contains(&number) => "month",
            "02" if !(1..=31).contains(&number) => "day",
            "15" if number > 23 => "hour",
            "04" if number > 59 => "minute",
            "05" if number > 59 => "second",
            _ => "",
        };
        if !range.is_empty() {
            return format!("parsing time {quoted}: {range} out of range");
        }
        rest = rest.get(part.len()..).unwrap_or_default();
    }
    let fraction = rest.strip_prefix('.').map_or(0, |tail| tail.bytes().take_while(u8::is_ascii_digit).count());
    if digits > 0 && fraction < 6 {
        return unlike(rest, ".000000");
    }
    let taken = match (digits, fraction) {
        (0, 0) => 0,
        (0, _) => fraction + 1,
        _ => 7,
    };
    rest = rest.get(taken..).unwrap_or_default();
    let zone = if rest.starts_with('Z') { 1 } else { 6 };
    match rest.get(..zone) {
        Some(found) if is_zone(found) => {}
        _ => return unlike(rest, "Z07:00"),
    }
    match rest.get(zone..) {
        Some(extra) if !extra.is_empty() => format!("parsing time {quoted}: extra text: {}", Value::from(extra)),
        _ if rest.get(1..3).is_some_and(|hours| hours > "24") => {
            format!("parsing time {quoted}: time zone offset hour out of range")
        }
        _ => format!("parsing time {quoted}: day out of range"),
    }
}

/// `Z`, or an offset such as `+02:00`.
fn is_zone(text: &str) -> bool {
    let offset = text.len() == 6
        && text.starts_with(['+', '-'])
        && text
            .bytes()
            .enumerate()
            .skip(1)
            .all(|(at, byte)| if at == 3 { byte == b':' } else { byte.is_ascii_digit() });
    text == "Z" || offset
}
