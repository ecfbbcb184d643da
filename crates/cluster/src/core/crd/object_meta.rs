//! `metadata` of resources as Go's `ObjectMeta` decodes it, at the root and in embedded resources.
//!
//! Answers how metadata reads after decoding, which of its fields are unknown, and whether an embedded
//! resource says what it is. Names, labels and the like of the object itself are validated elsewhere.

use serde_json::{Map, Value};

use super::go_time;
use super::go_url;
use super::structural::Schema;
use crate::core::field::{ErrorList, FieldError, Path};

/// How a field of `ObjectMeta` decodes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Int,
    Time,
    TextMap,
    TextList,
    Owners,
    Managers,
    Bool,
    Any,
}

const OBJECT_META: [(&str, Kind); 16] = [
    ("annotations", Kind::TextMap),
    ("creationTimestamp", Kind::Time),
    ("deletionGracePeriodSeconds", Kind::Int),
    ("deletionTimestamp", Kind::Time),
    ("finalizers", Kind::TextList),
    ("generateName", Kind::Text),
    ("generation", Kind::Int),
    ("labels", Kind::TextMap),
    ("managedFields", Kind::Managers),
    ("name", Kind::Text),
    ("namespace", Kind::Text),
    ("ownerReferences", Kind::Owners),
    ("resourceVersion", Kind::Text),
    ("selfLink", Kind::Text),
    ("uid", Kind::Text),
    ("clusterName", Kind::Any),
];

const OWNER: [(&str, Kind); 6] = [
    ("apiVersion", Kind::Text),
    ("blockOwnerDeletion", Kind::Bool),
    ("controller", Kind::Bool),
    ("kind", Kind::Text),
    ("name", Kind::Text),
    ("uid", Kind::Text),
];

const MANAGER: [(&str, Kind); 7] = [
    ("apiVersion", Kind::Text),
    ("fieldsType", Kind::Text),
    ("fieldsV1", Kind::Any),
    ("manager", Kind::Text),
    ("operation", Kind::Text),
    ("subresource", Kind::Text),
    ("time", Kind::Time),
];

/// What to do with a field of the wrong type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    Refuse,
    Drop,
}

/// Decodes the `metadata` of a resource in place and returns the paths of unknown fields.
///
/// # Errors
/// The text of Go's JSON decoder, for a field of the wrong type.
pub fn decode(object: &mut Map<String, Value>, prefix: &str, malformed: Malformed) -> Result<Vec<String>, String> {
    let mut unknown = Vec::new();
    let Some(metadata) = object.get_mut("metadata") else { return Ok(unknown) };
    if metadata.is_null() {
        *metadata = Value::Object(Map::new());
    }
    let Value::Object(fields) = metadata else {
        let text = format!("json: cannot unmarshal {} into Go value of type v1.ObjectMeta", json_kind(metadata));
        return Err(text);
    };
    let mut refused = None;
    fields.retain(|key, value| {
        let Some((_, kind)) = OBJECT_META.iter().find(|(name, kind)| name == key && *kind != Kind::Any) else {
            unknown.push(format!("{prefix}metadata.{key}"));
            return false;
        };
        let location = Location { structure: "ObjectMeta", field: key, path: &format!("{prefix}metadata.{key}") };
        match read(value, *kind, location, &mut unknown) {
            Ok(kept) => kept,
            Err(error) => {
                refused.get_or_insert(error);
                false
            }
        }
    });
    match refused {
        Some(error) if malformed == Malformed::Refuse => Err(error),
        _ => Ok(unknown),
    }
}

/// Where a value stands: the Go type and field names of messages, and the path for unknown fields.
#[derive(Clone, Copy)]
struct Location<'a> {
    structure: &'a str,
    field: &'a str,
    path: &'a str,
}

/// Decodes one field; false when it holds Go's zero value, which is not written back.
fn read(value: &mut Value, kind: Kind, at: Location<'_>, unknown: &mut Vec<String>) -> Result<bool, String> {
    if value.is_null() {
        return Ok(false);
    }
    match kind {
        Kind::Any => Ok(true),
        Kind::Text => value.as_str().map(|text| !text.is_empty()).ok_or_else(|| mismatch(value, at, "string")),
        Kind::Bool => value.as_bool().map(|_| true).ok_or_else(|| mismatch(value, at, "bool")),
        Kind::Int => value.as_i64().map(|number| number != 0).ok_or_else(|| mismatch(value, at, "int64")),
        Kind::Time => read_time(value),
        Kind::TextMap => {
            let Value::Object(entries) = value else { return Err(mismatch(value, at, "map[string]string")) };
            for entry in entries.values_mut() {
                read_text(entry, at)?;
            }
            Ok(!entries.is_empty())
        }
        Kind::TextList => {
            let Value::Array(items) = value else { return Err(mismatch(value, at, "[]string")) };
            for item in items.iter_mut() {
                read_text(item, at)?;
            }
            Ok(!items.is_empty())
        }
        Kind::Owners => read_structs(value, &OWNER, "OwnerReference", at, unknown),
        Kind::Managers => read_structs(value, &MANAGER, "ManagedFieldsEntry", at, unknown),
    }
}

fn read_text(value: &mut Value, at: Location<'_>) -> Result<(), String> {
    if value.is_null() {
        *value = Value::from("");
    }
    if value.is_string() { Ok(()) } else { Err(mismatch(value, at, "string")) }
}

fn read_time(value: &mut Value) -> Result<bool, String> {
    let Some(text) = value.as_str() else {
        return Err(format!("json: cannot unmarshal {} into Go value of type string", json_kind(value)));
    };
    let Some(mut moment) = go_time::parse_rfc3339(text) else {
        return Err(go_time::rfc3339_error(text));
    };
    moment.nanoseconds = 0;
    moment.offset_seconds = 0;
    *value = Value::from(go_time::moment_text(&moment));
    Ok(true)
}

fn read_structs(
    value: &mut Value,
    table: &[(&str, Kind)],
    structure: &str,
    at: Location<'_>,
    unknown: &mut Vec<String>,
) -> Result<bool, String> {
    let Value::Array(items) = value else { return Err(mismatch(value, at, &format!("[]v1.{structure}"))) };
    for (index, item) in items.iter_mut().enumerate() {
        if item.is_null() {
            *item = Value::Object(Map::new());
        }
        let Value::Object(fields) = item else {
            return Err(mismatch(item, at, &format!("v1.{structure}")));
        };
        let mut refused = None;
        fields.retain(|key, value| {
            let path = format!("{}[{index}].{key}", at.path);
            let Some((_, kind)) = table.iter().find(|(name, _)| name == key) else {
                unknown.push(path);
                return false;
            };
            let field = format!("{}.{key}", at.field);
            let location = Location { structure, field: &field, path: &path };
            read(value, *kind, location, unknown).unwrap_or_else(|error| {
                refused.get_or_insert(error);
                false
            })
        });
        if let Some(error) = refused {
            return Err(error);
        }
        if structure == "OwnerReference" {
            for required in ["apiVersion", "kind", "name", "uid"] {
                fields.entry(required).or_insert_with(|| Value::from(""));
            }
        }
    }
    Ok(!items.is_empty())
}

fn mismatch(value: &Value, at: Location<'_>, expected: &str) -> String {
    let number = if expected == "int64" && value.is_number() { format!(" {value}") } else { String::new() };
    let expected = if at.field.ends_with("uid") { "types.UID" } else { expected };
    format!(
        "json: cannot unmarshal {}{number} into Go struct field {}.{} of type {expected}",
        json_kind(value),
        at.structure,
        at.field
    )
}

fn json_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Decodes the metadata of resources embedded anywhere in a value and returns unknown fields, sorted.
/// `is_resource` says that the value itself is one, whatever its schema says.
///
/// # Errors
/// A field of the wrong type.
pub fn coerce(
    value: &mut Value,
    schema: &Schema,
    path: &Path,
    is_resource: bool,
    malformed: Malformed,
) -> Result<Vec<String>, FieldError> {
    let mut unknown = Vec::new();
    coerce_node(value, schema, path, is_resource || schema.embedded_resource, malformed, &mut unknown)?;
    unknown.sort_unstable();
    Ok(unknown)
}

fn coerce_node(
    value: &mut Value,
    schema: &Schema,
    path: &Path,
    embedded: bool,
    malformed: Malformed,
    unknown: &mut Vec<String>,
) -> Result<(), FieldError> {
    match value {
        Value::Object(fields) => {
            if embedded {
                coerce_resource(fields, path, malformed, unknown)?;
            }
            for (key, child) in fields.iter_mut().filter(|(_, child)| child.is_object() || child.is_array()) {
                if let Some(property) = schema.properties.get(key) {
                    let below = path.child(key);
                    coerce_node(child, property, &below, property.embedded_resource, malformed, unknown)?;
                } else if let Some(values) = schema.additional_schema() {
                    coerce_node(child, values, &path.key(key), values.embedded_resource, malformed, unknown)?;
                }
            }
        }
        Value::Array(items) => {
            let Some(item_schema) = &schema.items else { return Ok(()) };
            for (index, item) in items.iter_mut().enumerate() {
                let below = path.index(index);
                coerce_node(item, item_schema, &below, item_schema.embedded_resource, malformed, unknown)?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn coerce_resource(
    fields: &mut Map<String, Value>,
    path: &Path,
    malformed: Malformed,
    unknown: &mut Vec<String>,
) -> Result<(), FieldError> {
    for key in ["apiVersion", "kind"] {
        let Some(found) = fields.get(key).filter(|found| !found.is_string()) else { continue };
        if malformed == Malformed::Refuse {
            return Err(FieldError::invalid(path.child(key), super::go::shown(found), "must be a string"));
        }
        fields.remove(key);
    }
    let before = fields.get("metadata").cloned();
    let prefix = if path.to_string().is_empty() { String::new() } else { format!("{path}.") };
    match decode(fields, &prefix, malformed) {
        Ok(found) => unknown.extend(found),
        Err(error) if malformed == Malformed::Refuse => {
            let shown = before.as_ref().map(super::go::shown).unwrap_or_default();
            // What cannot be decoded stays as it was.
            fields.extend(before.map(|metadata| ("metadata".to_owned(), metadata)));
            return Err(FieldError::invalid(path.child("metadata"), shown, error));
        }
        Err(_) => {}
    }
    Ok(())
}

/// A check of an embedded `metadata`: the value, whether it is namespaced, and its path.
pub type MetadataCheck = fn(&Value, bool, &Path) -> ErrorList;

/// Validates `apiVersion`, `kind` and `metadata` of embedded resources.
pub fn validate(value: &Value, schema: &Schema, path: &Path, is_resource: bool, check: MetadataCheck) -> ErrorList {
    let mut errors = Vec::new();
    validate_node(value, schema, path, is_resource || schema.embedded_resource, check, &mut errors);
    errors
}

fn validate_node(
    value: &Value,
    schema: &Schema,
    path: &Path,
    embedded: bool,
    check: MetadataCheck,
    errors: &mut ErrorList,
) {
    match value {
        Value::Object(fields) => {
            if embedded {
                validate_resource(fields, path, check, errors);
            }
            for (key, child) in fields.iter().filter(|(_, child)| child.is_object() || child.is_array()) {
                if let Some(property) = schema.properties.get(key) {
                    validate_node(child, property, &path.child(key), property.embedded_resource, check, errors);
                } else if let Some(values) = schema.additional_schema() {
                    validate_node(child, values, &path.key(key), values.embedded_resource, check, errors);
                }
            }
        }
        Value::Array(items) => {
            let Some(item_schema) = &schema.items else { return };
            for (index, item) in items.iter().enumerate() {
                validate_node(item, item_schema, &path.index(index), item_schema.embedded_resource, check, errors);
            }
        }
        _ => {}
    }
}

fn validate_resource(fields: &Map<String, Value>, path: &Path, check: MetadataCheck, errors: &mut ErrorList) {
    for key in ["apiVersion", "kind"] {
        let here = path.child(key);
        match fields.get(key) {
            None => errors.push(FieldError::required(here, "")),
            Some(Value::String(text)) if text.is_empty() => {
                errors.push(FieldError::invalid(here, text.as_str(), "must not be empty"));
            }
            Some(Value::String(text)) => errors.extend(type_meta_error(key, text, &here)),
            Some(other) => errors.push(FieldError::invalid(here, super::go::shown(other), "must be a string")),
        }
    }
    if let Some(metadata) = fields.get("metadata") {
        let mut decoded = fields.clone();
        let here = path.child("metadata");
        match decode(&mut decoded, "", Malformed::Refuse) {
            Err(error) => errors.push(FieldError::invalid(here, super::go::shown(metadata), error)),
            Ok(_) => {
                let mut metadata = decoded.remove("metadata").unwrap_or_default();
                if metadata.get("name").and_then(Value::as_str).unwrap_or_default().is_empty() {
                    metadata["name"] = Value::from("fakename");
                }
                let namespaced = metadata.get("namespace").is_some();
                errors.extend(check(&metadata, namespaced, &here));
            }
        }
    }
}

fn type_meta_error(key: &str, text: &str, path: &Path) -> Option<FieldError> {
    if key == "apiVersion" {
        let slashes = text.matches('/').count();
        let detail = format!("unexpected GroupVersion string: {text}");
        return (slashes > 1).then(|| FieldError::invalid(path, text, detail));
    }
    let errors = crate::core::kinds::names::dns1035_label(&text.to_lowercase());
    (!errors.is_empty()).then(|| {
        let detail = format!("may have mixed case, but should otherwise match: {}", errors.join(","));
        FieldError::invalid(path, text, detail)
    })
}

/// Whether an annotation value is an absolute URL with a host, as API approvals want it.
pub fn is_absolute_url(text: &str) -> bool {
    go_url::parse(text).is_ok_and(|url| !url.host.is_empty() && !url.scheme.is_empty())
}
