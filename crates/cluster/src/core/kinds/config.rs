//! ConfigMap, Secret, ServiceAccount.
//!
//! After `pkg/apis/core/validation` and `pkg/registry/core`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::certificates::pem_labels;
use super::meta::{self, immutable};
use super::names;
use super::place::Place;
use super::pod::spec::fault_list;
use super::strategy::Context;
use super::value::{default_text, ensure, entries, flag, get, items_mut, keep, put, remove, text};
use crate::core::field::{ErrorList, FieldError};

/// Bytes of all data of a ConfigMap or Secret.
const MAX_DATA_BYTES: usize = 1024 * 1024;
const FIXED: &str = "field is immutable when `immutable` is set";

/// Checks a ConfigMap.
pub fn validate_config_map(object: &Value, errors: &mut ErrorList) {
    let binary = entries(object, "binaryData");
    let place = Place::root("data");
    let mut bytes = 0;
    for (key, value) in entries(object, "data") {
        fault_list(names::config_map_key(key), key, &place.key(key), errors);
        if binary.contains_key(key) {
            let detail = "duplicate of key present in binaryData";
            errors.push(FieldError::invalid(place.key(key), key.as_str(), detail));
        }
        bytes += value.as_str().map_or(0, str::len);
    }
    let place = Place::root("binaryData");
    for (key, value) in binary {
        fault_list(names::config_map_key(key), key, &place.key(key), errors);
        bytes += decoded_length(value);
    }
    if bytes > MAX_DATA_BYTES {
        errors.push(FieldError::too_long(Place::WHOLE, MAX_DATA_BYTES));
    }
}

/// The length of what base64 stands for.
fn decoded_length(value: &Value) -> usize {
    let text = value.as_str().unwrap_or("");
    let padding = text.bytes().rev().take_while(|byte| *byte == b'=').count();
    (text.len() / 4 * 3).saturating_sub(padding)
}

/// Checks what an update changes in a ConfigMap.
pub fn validate_config_map_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    fixed_data(new, old, &["data", "binaryData"], errors);
}

fn fixed_data(new: &Value, old: &Value, keys: &[&'static str], errors: &mut ErrorList) {
    if !flag(old, "immutable") {
        return;
    }
    if !flag(new, "immutable") {
        errors.push(FieldError::forbidden(Place::root("immutable"), FIXED));
    }
    for key in keys {
        if entries(new, key) != entries(old, key) {
            errors.push(FieldError::forbidden(Place::root(key), FIXED));
        }
    }
}

/// Defaults of a Secret; plain texts become data.
pub fn default_secret(object: &mut Value) {
    default_text(object, "type", "Opaque");
    let plain = entries(object, "stringData").clone();
    if !plain.is_empty()
        && let Some(data) = ensure(object, "data")
    {
        for (key, value) in plain {
            put(data, &key, STANDARD.encode(value.as_str().unwrap_or("")));
        }
    }
    remove(object, "stringData");
}

/// The type of a Secret stays where the new object names none.
pub fn prepare_secret_update(new: &mut Value, old: &Value, _: &Context) {
    if text(new, "type").is_empty() {
        keep(new, old, "type");
    }
}

/// Tells of a certificate and a key that are none, in the words of Go's `crypto/tls`. What is in them is not read.
pub fn warn_secret(object: &Value, _: Option<&Value>, warnings: &mut Vec<String>) {
    if text(object, "type") != "kubernetes.io/tls" {
        return;
    }
    let labels = |key: &str| {
        let bytes = STANDARD.decode(text(get(object, "data"), key)).unwrap_or_default();
        pem_labels(&String::from_utf8_lossy(&bytes))
    };
    warnings.extend(certificate_fault(&labels("tls.crt")).or_else(|| key_fault(&labels("tls.key"))));
}

fn certificate_fault(labels: &[String]) -> Option<String> {
    if labels.iter().any(|label| label == "CERTIFICATE") {
        return None;
    }
    Some(match labels {
        [] => "tls: failed to find any PEM data in certificate input".to_owned(),
        [one] if one.ends_with("PRIVATE KEY") => {
            "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may \
             have been switched"
                .to_owned()
        }
        others => format!(
            "tls: failed to find \"CERTIFICATE\" PEM block in certificate input after skipping PEM blocks of the \
             following types: [{}]",
            others.join(" ")
        ),
    })
}

fn key_fault(labels: &[String]) -> Option<String> {
    if labels.iter().any(|label| label == "PRIVATE KEY" || label.ends_with(" PRIVATE KEY")) {
        return None;
    }
    Some(match labels {
        [] => "tls: failed to find any PEM data in key input".to_owned(),
        [one] if one == "CERTIFICATE" => {
            "tls: found a certificate rather than a key in the PEM for the private key".to_owned()
        }
        others => format!(
            "tls: failed to find PEM block with type ending in \"PRIVATE KEY\" in key input after skipping PEM blocks of \
             the following types: [{}]",
            others.join(" ")
        ),
    })
}

/// Checks a Secret and the keys that its type asks for.
pub fn validate_secret(object: &Value, errors: &mut ErrorList) {
    let data = entries(object, "data");
    let place = Place::root("data");
    let mut bytes = 0;
    for (key, value) in data {
        fault_list(names::config_map_key(key), key, &place.key(key), errors);
        bytes += decoded_length(value);
    }
    if bytes > MAX_DATA_BYTES {
        errors.push(FieldError::too_long(place, MAX_DATA_BYTES));
    }
    let missing = |key: &str| !data.contains_key(key);
    let mut need = |key: &str| errors.push(FieldError::required(place.key(key), ""));
    match text(object, "type") {
        "kubernetes.io/service-account-token" => {
            const NAME: &str = "kubernetes.io/service-account.name";
            if meta::annotation(object, NAME).is_none_or(str::is_empty) {
                let place = Place::root("metadata");
                let place = place.child("annotations");
                errors.push(FieldError::required(place.key(NAME), ""));
            }
        }
        "kubernetes.io/dockercfg" => docker_config(data, ".dockercfg", &place, errors),
        "kubernetes.io/dockerconfigjson" => docker_config(data, ".dockerconfigjson", &place, errors),
        "kubernetes.io/basic-auth" if missing("username") && missing("password") => {
            need("username");
            need("password");
        }
        "kubernetes.io/ssh-auth" if data.get("ssh-privatekey").is_none_or(|key| decoded_length(key) == 0) => {
            need("ssh-privatekey");
        }
        "kubernetes.io/tls" => {
            for key in ["tls.crt", "tls.key"] {
                if missing(key) {
                    need(key);
                }
            }
        }
        _ => {}
    }
}

fn docker_config(data: &Map<String, Value>, key: &str, place: &Place, errors: &mut ErrorList) {
    let Some(value) = data.get(key) else {
        errors.push(FieldError::required(place.key(key), ""));
        return;
    };
    let bytes = STANDARD.decode(value.as_str().unwrap_or("")).unwrap_or_default();
    if let Err(fault) = go_json_object(&bytes) {
        errors.push(FieldError::invalid(place.key(key), "<secret contents redacted>", fault));
    }
}

/// Whether bytes are a JSON object, with the message that Go's decoder gives for the common faults.
fn go_json_object(bytes: &[u8]) -> Result<(), String> {
    match serde_json::from_slice::<Value>(bytes) {
        Ok(Value::Object(_) | Value::Null) => Ok(()),
        Ok(other) => {
            let kind = match other {
                Value::Array(_) => "array",
                Value::String(_) => "string",
                Value::Bool(_) => "bool",
                _ => "number",
            };
            Err(format!("json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"))
        }
        Err(fault) if fault.is_eof() => Err("unexpected end of JSON input".to_owned()),
        Err(_) => {
            let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace()).copied().unwrap_or(b' ');
            Err(format!("invalid character '{}' looking for beginning of value", char::from(first)))
        }
    }
}

/// Checks what an update changes in a Secret.
pub fn validate_secret_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    immutable(get(new, "type"), get(old, "type"), &Place::root("type"), errors);
    fixed_data(new, old, &["data"], errors);
}

/// References to secrets keep only their name.
pub fn prepare_service_account(object: &mut Value, _: &Context) {
    for secret in items_mut(object, "secrets") {
        let name = text(secret, "name").to_owned();
        *secret = json!({ "name": name });
    }
}

/// As [`prepare_service_account`].
pub fn prepare_service_account_update(new: &mut Value, _: &Value, ctx: &Context) {
    prepare_service_account(new, ctx);
}

/// Warnings about a ServiceAccount.
pub fn warn_service_account(object: &Value, old: Option<&Value>, warnings: &mut Vec<String>) {
    const ENFORCE: &str = "kubernetes.io/enforce-mountable-secrets";
    let known = old.is_some_and(|old| meta::annotation(old, ENFORCE).is_some());
    if !known && meta::annotation(object, ENFORCE).is_some() {
        warnings.push(format!(
            "metadata.annotations[{ENFORCE}]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"
        ));
    }
}
