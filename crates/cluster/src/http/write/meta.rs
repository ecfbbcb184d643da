//! The parts of `metadata` that the server owns.

use jiff::Timestamp;
use rand::RngExt;
use serde_json::{Map, Value};

use crate::{
    core::status::{Failure, Outcome},
    http::options::parse_fault,
};

/// Characters of generated name suffixes: no vowels and nothing that looks like another.
const SUFFIX_CHARACTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const SUFFIX_LENGTH: usize = 5;
/// A label's 63 characters less the suffix.
const PREFIX_LENGTH: usize = 58;

/// A time to the second, as `metav1.Time` is written.
pub fn time(now: Timestamp) -> String {
    now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Sets a field of the metadata, which is made when there is none.
pub fn set(object: &mut Value, field: &str, value: impl Into<Value>) {
    let Value::Object(fields) = object else { return };
    let metadata = fields.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
    if !metadata.is_object() {
        *metadata = Value::Object(Map::new());
    }
    metadata[field] = value.into();
}

/// Removes a field of the metadata.
pub fn remove(object: &mut Value, field: &str) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove(field);
    }
}

/// A text field of the metadata; empty when it is not there.
pub fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object["metadata"][field].as_str().unwrap_or_default()
}

/// A number field of the metadata.
pub fn number(object: &Value, field: &str) -> Option<i64> {
    object["metadata"][field].as_i64()
}

/// The object's resourceVersion as a number; 0 when it has none.
pub fn revision(object: &Value) -> u64 {
    text(object, "resourceVersion").parse().unwrap_or(0)
}

/// Whether the object is being deleted.
pub fn is_deleting(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

/// The object's finalizers.
pub fn finalizers(object: &Value) -> Vec<&str> {
    object["metadata"]["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The random end of a generated name.
pub fn suffix() -> String {
    let mut rng = rand::rng();
    let picked = (0..SUFFIX_LENGTH).map(|_| SUFFIX_CHARACTERS[rng.random_range(0..SUFFIX_CHARACTERS.len())]);
    picked.map(char::from).collect()
}

/// A name from `generateName`.
pub fn generated_name(prefix: &str) -> String {
    let cut = prefix.char_indices().map(|(at, _)| at).chain([prefix.len()]).rev().find(|at| *at <= PREFIX_LENGTH);
    format!("{}{}", &prefix[..cut.unwrap_or(0)], suffix())
}

/// A random uid in the form of RFC 4122, version 4.
pub fn new_uid() -> String {
    let mut bytes: [u8; 16] = rand::rng().random();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// Whether a revision that an object names is a number.
///
/// # Errors
/// 500 without a reason, as upstream.
pub fn check_revision(version: &str) -> Outcome<()> {
    match version.parse::<u64>() {
        Ok(_) => Ok(()),
        Err(_) => Err(Failure::unexplained(parse_fault("ParseUint", version))),
    }
}
