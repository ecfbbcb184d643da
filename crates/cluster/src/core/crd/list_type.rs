//! Uniqueness in lists of type `set` and `map`.
//!
//! Answers which items repeat; it never says whether the items themselves are valid.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::go::shown;
use super::structural::Schema;
use crate::core::field::{ErrorKind, ErrorList, FieldError, Path};

/// Reports items that repeat anywhere in an object.
pub fn validate(object: &Value, schema: &Schema) -> ErrorList {
    let mut errors = Vec::new();
    if let Value::Object(fields) = object {
        walk_object(fields, schema, &Path::root(""), &mut errors);
    }
    errors
}

fn walk(value: &Value, schema: &Schema, path: &Path, errors: &mut ErrorList) {
    match value {
        Value::Object(fields) => walk_object(fields, schema, path, errors),
        Value::Array(items) => {
            match schema.list_type() {
                "set" => errors.extend(repeated(items).into_iter().map(|index| duplicate(path, index, &items[index]))),
                "map" => walk_map_list(items, schema, path, errors),
                _ => {}
            }
            if let Some(item_schema) = &schema.items {
                for (index, item) in items.iter().enumerate() {
                    walk(item, item_schema, &path.index(index), errors);
                }
            }
        }
        _ => {}
    }
}

fn walk_object(fields: &Map<String, Value>, schema: &Schema, path: &Path, errors: &mut ErrorList) {
    if let Some(values) = schema.additional_schema() {
        for (key, value) in fields {
            walk(value, values, &path.key(key), errors);
        }
    }
    for (key, value) in fields {
        if !value.is_object() && !value.is_array() {
            continue;
        }
        if let Some(property) = schema.properties.get(key) {
            walk(value, property, &path.child(key), errors);
        }
    }
}

fn walk_map_list(items: &[Value], schema: &Schema, path: &Path, errors: &mut ErrorList) {
    if let Some(index) = items.iter().position(|item| !item.is_null() && !item.is_object()) {
        let detail = "must be an object for an array of list-type map";
        errors.push(FieldError::invalid(path.index(index), shown(&items[index]), detail));
        return;
    }
    let key_of = |item: &Value| -> Value {
        let pairs =
            schema.list_map_keys.iter().filter_map(|key| item.get(key).map(|value| (key.clone(), value.clone())));
        Value::Object(pairs.collect())
    };
    let keys: Vec<Value> = items.iter().map(key_of).collect();
    errors.extend(repeated(&keys).into_iter().map(|index| duplicate(path, index, &keys[index])));
}

fn duplicate(path: &Path, index: usize, value: &Value) -> FieldError {
    FieldError {
        kind: ErrorKind::Duplicate,
        field: path.index(index).to_string(),
        bad_value: Some(shown(value)),
        detail: String::new(),
    }
}

/// The index at which each repeated value stands for the second time.
fn repeated(items: &[Value]) -> Vec<usize> {
    if items.len() <= 1 {
        return Vec::new();
    }
    let mut seen: HashMap<String, usize> = HashMap::with_capacity(items.len());
    let mut indices = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let times = seen.entry(item.to_string()).or_default();
        *times += 1;
        if *times == 2 {
            indices.push(index);
        }
    }
    indices
}
