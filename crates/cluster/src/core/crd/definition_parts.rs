//! The parts of a definition that stand alone: names, printer columns, subresources, selectable fields.
//!
//! Answers their faults one part at a time; what versions have in common is `definition`.

use std::collections::HashSet;

use serde_json::Value;

use super::definition::{list, text};
use super::field_path::{self, Arrays};
use super::structural::Schema;
use crate::core::field::{ErrorList, FieldError, Path};
use crate::core::kinds::names;

const COLUMN_TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: [&str; 8] = ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];
const MAX_SELECTABLE_FIELDS: usize = 8;

pub(super) fn deprecation_errors(version: &Value, path: &Path) -> ErrorList {
    let Some(warning) = version.get("deprecationWarning").and_then(Value::as_str) else { return Vec::new() };
    let mut details = Vec::new();
    if version["deprecated"] != true {
        details.push("can only be set for deprecated versions".to_owned());
    } else {
        if warning.len() > 256 {
            details.push("must be <= 256 characters long".to_owned());
        }
        if warning.is_empty() {
            details.push("must not be an empty string".to_owned());
        }
        if let Some((index, _)) = warning.char_indices().find(|(_, char)| !super::go::is_print(*char)) {
            details.push(format!(
                "must only contain printable UTF-8 characters; non-printable character found at index {index}"
            ));
        }
    }
    details.into_iter().map(|detail| FieldError::invalid(path, warning, detail)).collect()
}

pub(super) fn enumeration(path: &Path, value: &str, accepted: &[&str]) -> Option<FieldError> {
    match value {
        "" => Some(FieldError::required(path, "")),
        _ if accepted.contains(&value) => None,
        _ => Some(FieldError::not_supported(path, value, accepted)),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Required {
    Yes,
    No,
}

pub(super) fn names_errors(value: &Value, path: &Path, required: Required) -> ErrorList {
    let mut errors = Vec::new();
    if required == Required::Yes {
        for key in ["plural", "singular", "kind", "listKind"].into_iter().filter(|key| text(value, key).is_empty()) {
            errors.push(FieldError::required(path.child(key), ""));
        }
    }
    let label = |path: Path, name: &str, prefix: &str| {
        let faults = if name.is_empty() { Vec::new() } else { names::dns1035_label(&name.to_lowercase()) };
        let exact = prefix.is_empty() && !name.is_empty();
        let faults = if exact { names::dns1035_label(name) } else { faults };
        (!faults.is_empty()).then(|| FieldError::invalid(path, name, format!("{prefix}{}", faults.join(","))))
    };
    let mixed = "may have mixed case, but should otherwise match: ";
    for (key, prefix) in [("plural", ""), ("singular", ""), ("kind", mixed), ("listKind", mixed)] {
        errors.extend(label(path.child(key), text(value, key), prefix));
    }
    errors.extend(label_list_errors(list(value, "shortNames"), &path.child("shortNames")));
    let (kind, list_kind) = (text(value, "kind"), text(value, "listKind"));
    if !kind.is_empty() && kind == list_kind {
        errors.push(FieldError::invalid(path.child("listKind"), list_kind, "kind and listKind may not be the same"));
    }
    errors.extend(label_list_errors(list(value, "categories"), &path.child("categories")));
    errors
}

pub(super) fn label_list_errors(values: &[Value], path: &Path) -> ErrorList {
    let check = |(index, value): (usize, &Value)| {
        let name = value.as_str().unwrap_or_default();
        let faults = names::dns1035_label(name);
        (!faults.is_empty()).then(|| FieldError::invalid(path.index(index), name, faults.join(",")))
    };
    values.iter().enumerate().filter_map(check).collect()
}

pub(super) fn column_errors(columns: &[Value], path: &Path) -> ErrorList {
    let mut errors = Vec::new();
    for (index, column) in columns.iter().enumerate() {
        let path = path.child("additionalPrinterColumns").index(index);
        if text(column, "name").is_empty() {
            errors.push(FieldError::required(path.child("name"), ""));
        }
        let (kind, format) = (text(column, "type"), text(column, "format"));
        let detail = format!("must be one of {}", COLUMN_TYPES.join(","));
        if kind.is_empty() {
            errors.push(FieldError::required(path.child("type"), detail));
        } else if !COLUMN_TYPES.contains(&kind) {
            errors.push(FieldError::invalid(path.child("type"), kind, detail));
        }
        if !format.is_empty() && !COLUMN_FORMATS.contains(&format) {
            let detail = format!("must be one of {}", COLUMN_FORMATS.join(","));
            errors.push(FieldError::invalid(path.child("format"), format, detail));
        }
        let json_path = text(column, "jsonPath");
        let field = path.child("JSONPath");
        if json_path.is_empty() {
            errors.push(FieldError::required(field, ""));
        } else {
            errors.extend(simple_path_error(json_path, &field));
        }
    }
    errors
}

pub(super) fn simple_path_error(text: &str, path: &Path) -> Option<FieldError> {
    let detail = "must be a simple json path starting with .";
    (!text.starts_with('.')).then(|| FieldError::invalid(path, text, detail))
}

pub(super) fn subresource_errors(subresources: &Value, path: &Path) -> ErrorList {
    let mut errors = Vec::new();
    let Some(scale) = subresources.get("scale").filter(|scale| scale.is_object()) else { return errors };
    for (key, prefix, place) in [("specReplicasPath", ".spec.", ".spec"), ("statusReplicasPath", ".status.", ".status")]
    {
        let field = path.child(&format!("scale.{key}"));
        let value = text(scale, key);
        if value.is_empty() {
            errors.push(FieldError::required(field, ""));
        } else if let Some(error) = simple_path_error(value, &field) {
            errors.push(error);
        } else if !value.starts_with(prefix) {
            errors.push(FieldError::invalid(field, value, format!("should be a json path under {place}")));
        }
    }
    let selector = text(scale, "labelSelectorPath");
    if !selector.is_empty() {
        let field = path.child("scale.labelSelectorPath");
        if let Some(error) = simple_path_error(selector, &field) {
            errors.push(error);
        } else if !selector.starts_with(".spec.") && !selector.starts_with(".status.") {
            errors.push(FieldError::invalid(field, selector, "should be a json path under either .spec or .status"));
        }
    }
    errors
}

pub(super) fn selectable_errors(fields: &[Value], schema: &Schema, owner: &Path) -> ErrorList {
    let path = owner.child("selectableFields");
    let mut errors = Vec::new();
    let mut unique = HashSet::new();
    if let Some(message) = schema.structural_error() {
        errors.push(FieldError::invalid(owner.child("schema.openAPIV3Schema"), "", message));
        for (index, _) in fields.iter().enumerate().filter(|(_, field)| text(field, "jsonPath").is_empty()) {
            errors.push(FieldError::required(path.index(index).child("jsonPath"), ""));
        }
        return errors;
    }
    for (index, field) in fields.iter().enumerate() {
        let here = path.index(index).child("jsonPath");
        let json_path = text(field, "jsonPath");
        if json_path.is_empty() {
            errors.push(FieldError::required(here, ""));
            continue;
        }
        let (found_path, found) = match field_path::resolve(json_path, schema, Arrays::Refused) {
            Ok(found) => found,
            Err(error) => {
                errors.push(FieldError::invalid(here, json_path, format!("is an invalid path: {error}")));
                continue;
            }
        };
        let rendered = found_path.to_string();
        if rendered.split(['.', '[']).next() == Some("metadata") {
            errors.push(FieldError::invalid(&here, json_path, "must not point to fields in metadata"));
        }
        if !matches!(found.type_name.as_str(), "string" | "boolean" | "integer") {
            let detail = "must point to a field of type string, boolean or integer. Enum string fields and strings with \
                          formats are allowed.";
            errors.push(FieldError::invalid(&here, json_path, detail));
        }
        if !unique.insert(rendered) {
            errors.push(FieldError::duplicate(here, json_path));
        }
    }
    if unique.len() > MAX_SELECTABLE_FIELDS {
        errors.push(FieldError::too_many(path, unique.len(), MAX_SELECTABLE_FIELDS));
    }
    errors
}
