//! What decoding makes of an object: unknown and duplicate fields, wrong types, dropped zeros.
//!
//! An upstream server decodes JSON into Go structs and writes those again, so an object changes on its way:
//! unknown fields and nulls vanish, quantities and times take their canonical form, plain structs appear as `{}`.
//! [`decode`] does the same to a value of a built-in kind, [`strict_errors`] and [`unknown_fields`] say what a
//! strict decoder would complain about. Nothing here validates, defaults, or knows custom kinds' own rules.

pub mod bytes;
mod decode;
mod repeated;
mod scalar;
mod stored;
mod strict;
#[cfg(test)]
mod tests;
mod unknown;

pub use decode::{check_types, decode, normalize};
pub use repeated::read_repeated;
pub use stored::store;
pub use strict::{duplicates, strict_errors};
pub use unknown::{prune_unknown, unknown_fields};

/// The text of all strict errors as one, as it stands in a `Status`: `strict decoding error: …, …`.
pub fn strict_decoding_error(errors: &[String]) -> String {
    format!("strict decoding error: {}", errors.join(", "))
}

/// The message of a body that cannot be decoded: `Pod in version "v1" cannot be handled as a Pod: …`.
///
/// `sent_kind` and `sent_version` (without the group) are what the body says of itself; where it says no kind,
/// the message quotes the start of the `body` instead.
pub fn decode_error(sent_kind: &str, sent_version: &str, wanted_kind: &str, error: &str, body: &[u8]) -> String {
    if sent_kind.is_empty() {
        let summary = summarize(body, 30);
        return format!("the object provided is unrecognized (must be of type {wanted_kind}): {error} ({summary})");
    }
    format!("{sent_kind} in version \"{sent_version}\" cannot be handled as a {wanted_kind}: {error}")
}

/// The start of a body: as text where it looks like JSON, else as hexadecimal digits.
fn summarize(body: &[u8], max_bytes: usize) -> String {
    let (start, dots) = match body.get(..max_bytes) {
        Some(start) if body.len() > max_bytes => (start, " ..."),
        _ => (body, ""),
    };
    match body.first() {
        None => "<empty>".to_owned(),
        Some(b'{') => format!("{}{dots}", String::from_utf8_lossy(start)),
        Some(_) => format!("{}{dots}", start.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
    }
}
