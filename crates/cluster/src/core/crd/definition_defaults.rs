//! What a definition is given: defaults, and what a create and an update reset or keep.
//!
//! Answers the object as it is stored. It never says whether that object is valid.

use serde_json::{Value, json};

use super::definition::{list, text};

/// Fills in what a definition leaves out: singular and list names, the conversion strategy, webhook
/// ports, and the stored version.
pub fn default(crd: &mut Value) {
    let Some(spec) = crd.get_mut("spec").and_then(Value::as_object_mut) else { return };
    let names = spec.entry("names").or_insert_with(|| json!({}));
    let kind = text(names, "kind").to_owned();
    if text(names, "singular").is_empty() {
        names["singular"] = Value::from(kind.to_lowercase());
    }
    if text(names, "listKind").is_empty() && !kind.is_empty() {
        names["listKind"] = Value::from(format!("{kind}List"));
    }
    if spec.get("conversion").is_none_or(Value::is_null) {
        spec.insert("conversion".to_owned(), json!({"strategy": "None"}));
    }
    let service =
        spec.get_mut("conversion").and_then(|conversion| conversion.pointer_mut("/webhook/clientConfig/service"));
    if let Some(Value::Object(service)) = service
        && service.get("port").is_none_or(Value::is_null)
    {
        service.insert("port".to_owned(), json!(443));
    }
    let stored =
        crd.pointer("/status/storedVersions").and_then(Value::as_array).is_some_and(|stored| !stored.is_empty());
    if !stored {
        remember_storage_version(crd);
    }
}

fn storage_version(crd: &Value) -> Option<&str> {
    let versions = list(&crd["spec"], "versions").iter();
    versions.filter(|version| version["storage"] == true).map(|version| text(version, "name")).next()
}

/// Adds the storage version to `status.storedVersions` unless it is there.
fn remember_storage_version(crd: &mut Value) {
    let Some(name) = storage_version(crd).map(str::to_owned) else { return };
    let Some(fields) = crd.as_object_mut() else { return };
    let status = fields.entry("status").or_insert_with(|| json!({}));
    let Some(status) = status.as_object_mut() else { return };
    let stored = status.entry("storedVersions").or_insert_with(|| json!([]));
    if let Value::Array(stored) = stored
        && stored.iter().all(|version| version != name.as_str())
    {
        stored.push(Value::from(name));
    }
}

/// What a create resets: the status, and the generation.
pub fn prepare_create(crd: &mut Value) {
    let empty = json!({
        "acceptedNames": {"kind": "", "plural": ""}, "conditions": null, "storedVersions": [],
    });
    crd["status"] = empty;
    crd["metadata"]["generation"] = json!(1);
    remember_storage_version(crd);
}

/// What an update resets: the status stays, a changed spec gets a new generation.
pub fn prepare_update(new: &mut Value, old: &Value) {
    new["status"] = old.get("status").cloned().unwrap_or_else(|| json!({}));
    if new.get("spec") != old.get("spec") {
        let generation = old["metadata"]["generation"].as_i64().unwrap_or_default();
        new["metadata"]["generation"] = json!(generation + 1);
    }
    remember_storage_version(new);
}
