//! From a request's body to an object of the kind that the path names.

use bytes::Bytes;
use serde_json::{Map, Value};

use super::part;
use crate::{
    core::{
        crd::normalize_numbers,
        fields, go_json, protobuf,
        schema::Table,
        status::{Failure, Outcome},
    },
    http::options::FieldValidation,
    registry::{Rules, Served},
};

/// Media types of whole objects.
pub const MEDIA_TYPES: [&str; 3] = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    Yaml,
    Protobuf,
}

/// The format of a body by its `Content-Type`; JSON when none is given.
///
/// # Errors
/// 415 for any other.
pub fn format(content_type: Option<&str>) -> Outcome<Format> {
    let media_type = content_type.unwrap_or("application/json").split(';').next().unwrap_or_default().trim();
    match media_type {
        "application/json" | "" => Ok(Format::Json),
        "application/yaml" | "text/yaml" => Ok(Format::Yaml),
        "application/vnd.kubernetes.protobuf" => Ok(Format::Protobuf),
        _ => Err(Failure::unsupported_media_type(&MEDIA_TYPES)),
    }
}

/// Reads JSON.
///
/// # Errors
/// What is wrong with it, in Go's words where they say it.
pub fn json(body: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(body).map_err(|error| go_json::fault(body).unwrap_or_else(|| error.to_string()))
}

/// What Go reads the kind of an object into.
const TYPE_OF_GO: &str =
    r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;
/// What Go reads a merge patch into.
pub const MAP_OF_GO: &str = "map[string]interface {}";

/// What Go's decoder says of a value that does not fit what it reads it into.
pub fn mismatch(value: &Value, into: &str) -> String {
    format!("json: cannot unmarshal {} into Go value of type {into}", sort(value))
}

/// What upstream says of an `apiVersion` or `kind` that is no text.
pub fn mismatched_type(name: &str, value: &Value) -> String {
    let sort = sort(value);
    of_type(&format!("json: cannot unmarshal {sort} into Go struct field .{name} of type string"))
}

fn of_type(fault: &str) -> String {
    format!("couldn't get version/kind; json parse error: {fault}")
}

/// What Go's decoder calls a value.
pub fn sort(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::String(_) => "string",
        Value::Number(_) => "number",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Reads a body into a JSON object; `null` and an empty document of YAML are an empty one.
///
/// # Errors
/// 400 for bytes that are not of the format, and for what is no object.
pub fn value(body: &Bytes, format: Format, kind: &str) -> Outcome<Value> {
    fields_of(body, format).map_err(|why| Failure::bad_request(fields::decode_error("", "", kind, &why, body)))
}

/// The fields of a body.
///
/// # Errors
/// What is wrong with it, in Go's words where they say it.
pub fn fields_of(body: &[u8], format: Format) -> Result<Value, String> {
    let value = match format {
        Format::Json => json(body).map_err(|fault| of_type(&fault))?,
        Format::Yaml if body.iter().all(u8::is_ascii_whitespace) => Value::Null,
        Format::Yaml => yaml(body)?,
        Format::Protobuf if body.is_empty() => return Err("empty data".to_owned()),
        Format::Protobuf => {
            let (api_version, kind, mut object) = protobuf::decode(body).map_err(|error| error.to_string())?;
            if let Value::Object(object) = &mut object {
                object.insert("apiVersion".to_owned(), api_version.into());
                object.insert("kind".to_owned(), kind.into());
            }
            object
        }
    };
    match value {
        Value::Null => Ok(Value::Object(Map::new())),
        Value::Object(fields) => {
            let typed = ["apiVersion", "kind"].into_iter().filter_map(|name| Some((name, fields.get(name)?)));
            let mut wrong = typed.filter(|(_, value)| !value.is_null() && !value.is_string());
            if let Some((name, value)) = wrong.next() {
                return Err(mismatched_type(name, value));
            }
            Ok(Value::Object(fields))
        }
        other => Err(of_type(&mismatch(&other, TYPE_OF_GO))),
    }
}

/// Reads YAML into JSON.
///
/// # Errors
/// What is wrong with it.
pub fn yaml(body: &[u8]) -> Result<Value, String> {
    let text = std::str::from_utf8(body).map_err(|_| "yaml: the body is not UTF-8".to_owned())?;
    serde_saphyr::from_str(text).map_err(|error| yaml_fault(&error))
}

/// A fault of YAML in one line; a key that is there twice is told in the words that clients look for.
fn yaml_fault(error: &serde_saphyr::Error) -> String {
    let error = error.without_snippet();
    match error {
        serde_saphyr::Error::DuplicateMappingKey { key, location } => {
            let key = key.as_deref().unwrap_or_default();
            format!("yaml: unmarshal errors:\n  line {}: key {key:?} already set in map", location.line())
        }
        error => format!("yaml: {error}"),
    }
}

/// Reads a body as an object of `served`; strict faults of fields are refused or told as `warnings`.
///
/// # Errors
/// 400 for another kind or version, for wrong types, and for unknown or repeated fields when strict.
pub fn object(
    served: &Served,
    body: &Bytes,
    format: Format,
    validation: FieldValidation,
    warnings: &mut Vec<String>,
) -> Outcome<Value> {
    let mut object = value(body, format, &served.resource.kind)?;
    // Custom resources are read into maps, of which the last value counts.
    if format == Format::Json
        && matches!(served.rules, Rules::Builtin)
        && !fields::duplicates(body).is_empty()
        && let Some(read) = fields::read_repeated(body)
    {
        object = read;
    }
    check_kind(served, &mut object, body)?;
    let raw = (format == Format::Json).then_some(&**body);
    refine(served, &mut object, raw, validation, warnings)?;
    Ok(object)
}

/// Makes of an object what decoding it as its kind does.
///
/// # Errors
/// 400 as [`object`].
pub fn refine(
    served: &Served,
    object: &mut Value,
    raw: Option<&[u8]>,
    validation: FieldValidation,
    warnings: &mut Vec<String>,
) -> Outcome<()> {
    let row = &served.resource;
    let faults = if validation == FieldValidation::Ignore { Vec::new() } else { strict_faults(served, object, raw) };
    if !faults.is_empty() && validation == FieldValidation::Strict {
        let error = fields::strict_decoding_error(&faults);
        let text = fields::decode_error(&row.kind, &row.version, &row.kind, &error, &[]);
        return Err(Failure::bad_request(text));
    }
    warnings.extend(faults);
    match &served.rules {
        Rules::Builtin => {
            let Some((table, node)) = served.schema() else { return Err(Failure::no_such_path()) };
            fields::decode(table, node, object).map_err(|error| {
                Failure::bad_request(fields::decode_error(&row.kind, &row.version, &row.kind, &error, &[]))
            })
        }
        Rules::Custom(custom) => {
            normalize_numbers(object);
            custom.compiled.prune(object).map(drop).map_err(|error| {
                Failure::bad_request(fields::decode_error(&row.kind, &row.version, &row.kind, &error, &[]))
            })
        }
    }
}

fn strict_faults(served: &Served, object: &Value, raw: Option<&[u8]>) -> Vec<String> {
    let Some((table, node)) = served.schema() else { return Vec::new() };
    match (&served.rules, raw) {
        (Rules::Builtin, Some(raw)) => fields::strict_errors(raw, table, node),
        (Rules::Builtin, None) => fields::unknown_fields(table, node, object),
        (Rules::Custom(custom), raw) => {
            let mut faults = raw.map(fields::duplicates).unwrap_or_default();
            let unknown = custom.compiled.unknown_fields(object);
            faults.extend(unknown.into_iter().map(|path| format!("unknown field {path:?}")));
            faults
        }
    }
}

fn check_kind(served: &Served, object: &mut Value, body: &Bytes) -> Outcome<()> {
    let row = &served.resource;
    let Value::Object(fields) = object else { return Ok(()) };
    let sent_version = fields.get("apiVersion").and_then(Value::as_str).unwrap_or_default().to_owned();
    let sent_kind = fields.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
    if matches!(served.rules, Rules::Custom(_)) {
        return check_custom_kind(served, &sent_version, &sent_kind, body);
    }
    let (version, kind) = (or(&sent_version, row.api_version()), or(&sent_kind, row.kind.clone()));
    let (group, short) = part::group_and_version(&version);
    // Upstream still knows older versions that it no longer serves.
    let is_known = Table::builtin().kind(group, short, &kind).is_some() || short.contains("beta");
    if !is_known || kind != row.kind {
        let fault = part::not_registered(&version, &kind);
        return Err(Failure::bad_request(fields::decode_error(&kind, short, &row.kind, &fault, body)));
    }
    if version != row.api_version() {
        return Err(other_version(&version, &row.api_version()));
    }
    fields.insert("apiVersion".to_owned(), row.api_version().into());
    fields.insert("kind".to_owned(), row.kind.clone().into());
    Ok(())
}

fn or(text: &str, default: String) -> String {
    if text.is_empty() { default } else { text.to_owned() }
}

fn other_version(sent: &str, own: &str) -> Box<Failure> {
    let text = format!("the API version in the data ({sent}) does not match the expected API version ({own})");
    Failure::bad_request(text)
}

/// A custom resource names its version and kind; another kind is a fault of a field, which validation reports.
fn check_custom_kind(served: &Served, sent_version: &str, sent_kind: &str, body: &[u8]) -> Outcome<()> {
    let row = &served.resource;
    if sent_kind.is_empty() {
        let shown = body.get(..body.len().min(256)).unwrap_or_default();
        let fault = format!("Object 'Kind' is missing in '{}'", String::from_utf8_lossy(shown));
        return Err(Failure::bad_request(fields::decode_error("", "", &row.kind, &fault, body)));
    }
    if sent_version != row.api_version() { Err(other_version(sent_version, &row.api_version())) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_an_empty_object() {
        let read = |body: &'static str, format| value(&Bytes::from(body), format, "ConfigMap").unwrap();
        assert_eq!(read("null", Format::Json), Value::Object(Map::new()));
        assert_eq!(read(" \n", Format::Yaml), Value::Object(Map::new()));
    }
}
