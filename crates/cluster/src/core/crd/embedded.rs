//! `metadata` of resources inside other objects: names, labels, annotations, finalizers.

use serde_json::Value;

use crate::core::field::{ErrorList, FieldError, Path};
use crate::core::kinds::names;

const MAX_ANNOTATIONS_BYTES: usize = 256 * 1024;

/// The faults of decoded metadata.
pub fn validate(metadata: &Value, namespaced: bool, path: &Path) -> ErrorList {
    let text = |key: &str| metadata.get(key).and_then(Value::as_str).unwrap_or_default();
    let mut errors = Vec::new();
    let mut report = |field: &str, value: &str, faults: Vec<String>| {
        errors.extend(faults.into_iter().map(|fault| FieldError::invalid(path.child(field), value, fault)));
    };
    if !text("generateName").is_empty() {
        report("generateName", text("generateName"), names::path_segment(text("generateName")));
    }
    report("name", text("name"), names::path_segment(text("name")));
    if namespaced {
        report("namespace", text("namespace"), names::dns_label(text("namespace")));
    }
    if let Some(generation) = metadata.get("generation").and_then(Value::as_i64).filter(|number| *number < 0) {
        errors.push(FieldError::invalid(path.child("generation"), generation, "must be greater than or equal to 0"));
    }
    errors.extend(labels(metadata, &path.child("labels")));
    errors.extend(annotations(metadata, &path.child("annotations")));
    let finalizers = metadata.get("finalizers").and_then(Value::as_array);
    for finalizer in finalizers.into_iter().flatten().filter_map(Value::as_str) {
        let faults = names::qualified_name(finalizer);
        let field = path.child("finalizers");
        errors.extend(faults.into_iter().map(|fault| FieldError::invalid(&field, finalizer, fault)));
    }
    errors
}

fn labels(metadata: &Value, path: &Path) -> ErrorList {
    let mut errors = Vec::new();
    for (key, value) in metadata.get("labels").and_then(Value::as_object).into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        errors
            .extend(names::qualified_name(key).into_iter().map(|fault| FieldError::invalid(path, key.as_str(), fault)));
        errors.extend(names::label_value(value).into_iter().map(|fault| FieldError::invalid(path, value, fault)));
    }
    errors
}

fn annotations(metadata: &Value, path: &Path) -> ErrorList {
    let mut errors = Vec::new();
    let mut total = 0;
    for (key, value) in metadata.get("annotations").and_then(Value::as_object).into_iter().flatten() {
        let faults = names::qualified_name(&key.to_lowercase());
        errors.extend(faults.into_iter().map(|fault| FieldError::invalid(path, key.as_str(), fault)));
        total += key.len() + value.as_str().map_or(0, str::len);
    }
    if total > MAX_ANNOTATIONS_BYTES {
        errors.push(FieldError::too_long(path, MAX_ANNOTATIONS_BYTES));
    }
    errors
}
