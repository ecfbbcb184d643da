//! From a request's body to an object of the kind that the path names.

use bytes::Bytes;
use serde_json::Value;

use crate::{
    core::{
        crd::normalize_numbers,
        fields, go_json, protobuf,
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

/// Reads a body into JSON, whatever it is.
///
/// # Errors
/// 400 for bytes that are not of the format.
pub fn value(body: &Bytes, format: Format, kind: &str) -> Outcome<Value> {
    match format {
        Format::Json => json(body).map_err(|fault| {
            let why = format!("couldn't get version/kind; json parse error: {fault}");
            Failure::bad_request(fields::decode_error("", "", kind, &why, body))
        }),
        Format::Yaml => yaml(body),
        Format::Protobuf => {
            let (api_version, kind, mut object) =
                protobuf::decode(body).map_err(|error| Failure::bad_request(error.to_string()))?;
            if let Value::Object(object) = &mut object {
                object.insert("apiVersion".to_owned(), api_version.into());
                object.insert("kind".to_owned(), kind.into());
            }
            Ok(object)
        }
    }
}

/// Reads YAML into JSON.
///
/// # Errors
/// 400 for bytes that are no YAML.
pub fn yaml(body: &[u8]) -> Outcome<Value> {
    let text = std::str::from_utf8(body).map_err(|_| Failure::bad_request("the body is not UTF-8"))?;
    serde_saphyr::from_str(text)
        .map_err(|error| Failure::bad_request(format!("error converting YAML to JSON: {}", yaml_fault(&error))))
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
    if body.is_empty() {
        return Err(Failure::bad_request("EOF: the request needs a body"));
    }
    let mut object = value(body, format, &served.resource.kind)?;
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
        let text = match served.rules {
            Rules::Builtin => fields::decode_error(&row.kind, &row.version, &row.kind, &error, &[]),
            Rules::Custom(_) => error,
        };
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
            custom.compiled.prune(object).map(drop).map_err(Failure::bad_request)
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
    let Value::Object(fields) = object else {
        let text = fields::decode_error("", "", &row.kind, "json: cannot unmarshal into Go value", body);
        return Err(Failure::bad_request(text));
    };
    for field in ["apiVersion", "kind"] {
        if let Some(found) = fields.get(field).and_then(not_a_string) {
            let text = format!("cannot unmarshal {found} into Go struct field .{field} of type string");
            let why = format!("couldn't get version/kind; json parse error: json: {text}");
            return Err(Failure::bad_request(fields::decode_error("", "", &row.kind, &why, body)));
        }
    }
    let sent_version = fields.get("apiVersion").and_then(Value::as_str).unwrap_or_default().to_owned();
    let sent_kind = fields.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
    if matches!(served.rules, Rules::Custom(_)) && !sent_kind.is_empty() && !sent_version.is_empty() {
        // Another kind or version is a fault of two fields, which validation reports.
        return Ok(());
    }
    if !sent_version.is_empty() && sent_version != row.api_version() {
        return Err(Failure::bad_request(format!(
            "the API version in the data ({sent_version}) does not match the expected API version ({})",
            row.api_version()
        )));
    }
    if !sent_kind.is_empty() && sent_kind != row.kind {
        return Err(Failure::bad_request(format!(
            "{sent_kind} in version {:?} cannot be handled as a {}: no kind {sent_kind:?} is registered for version {:?}",
            row.version,
            row.kind,
            row.api_version()
        )));
    }
    if matches!(served.rules, Rules::Custom(_)) && (sent_kind.is_empty() || sent_version.is_empty()) {
        let missing = if sent_kind.is_empty() { "Kind" } else { "apiVersion" };
        return Err(Failure::bad_request(format!(
            "Object '{missing}' is missing in '{}'",
            String::from_utf8_lossy(body.get(..body.len().min(256)).unwrap_or_default())
        )));
    }
    fields.insert("apiVersion".to_owned(), row.api_version().into());
    fields.insert("kind".to_owned(), row.kind.clone().into());
    Ok(())
}

/// What Go's decoder calls a value that stands where a string belongs.
fn not_a_string(value: &Value) -> Option<&'static str> {
    match value {
        Value::Null | Value::String(_) => None,
        Value::Bool(_) => Some("bool"),
        Value::Number(_) => Some("number"),
        Value::Array(_) => Some("array"),
        Value::Object(_) => Some("object"),
    }
}
