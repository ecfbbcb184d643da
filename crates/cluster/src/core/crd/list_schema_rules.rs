//! What a schema may say of a list: sets of atomic items, and keyed lists with their keys.
//!
//! Answers the faults of one node of a schema. Lists of objects are judged in `list_type`.

use serde_json::Value;

use super::structural::Schema;
use crate::core::field::{ErrorList, FieldError, Path};

/// The fault of a set whose items are not atomic.
pub fn non_atomic_set(schema: &Schema, path: &Path) -> Option<FieldError> {
    let items = schema.items.as_deref().filter(|_| schema.list_type() == "set")?;
    let detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
    let list_type = items.list_type.clone().map_or(Value::Null, Value::from);
    match items.type_name.as_str() {
        "array" if items.list_type.as_deref().is_some_and(|kind| kind != "atomic") => {
            Some(FieldError::invalid(path.child("items").child("x-kubernetes-list-type"), list_type, detail))
        }
        "object" if items.map_type.as_deref() != Some("atomic") => {
            Some(FieldError::invalid(path.child("items").child("x-kubernetes-map-type"), list_type, detail))
        }
        _ => None,
    }
}

/// Keys of a keyed list are scalar properties of its items, each named once.
pub fn list_map_keys(schema: &Schema, path: &Path, errors: &mut ErrorList) {
    let type_path = path.child("x-kubernetes-list-type");
    let keys_path = path.child("x-kubernetes-list-map-keys");
    if !schema.list_map_keys.is_empty() && schema.list_type.as_deref() != Some("map") {
        let detail = "must be map if x-kubernetes-list-map-keys is non-empty";
        errors.push(match &schema.list_type {
            None => FieldError::required(type_path, detail),
            Some(found) => FieldError::invalid(type_path, found.as_str(), detail),
        });
    }
    if schema.list_type() != "map" {
        return;
    }
    if schema.list_map_keys.is_empty() {
        errors.push(FieldError::required(&keys_path, "must not be empty if x-kubernetes-list-type is map"));
    }
    let items_path = path.child("items");
    let Some(items) = &schema.items else {
        errors.push(if schema.items_list.is_empty() {
            FieldError::required(items_path, "must have a schema if x-kubernetes-list-type is map")
        } else {
            FieldError::invalid(
                items_path,
                Value::Null,
                "must only have a single schema if x-kubernetes-list-type is map",
            )
        });
        return;
    };
    if items.type_name != "object" {
        let detail = "must be object if parent array's x-kubernetes-list-type is map";
        errors.push(FieldError::invalid(items_path.child("type"), items.type_name.as_str(), detail));
        return;
    }
    for (index, key) in schema.list_map_keys.iter().enumerate() {
        match items.properties.get(key) {
            Some(property) if matches!(property.type_name.as_str(), "array" | "object") => {
                let field = items_path.child("properties").key(key).child("type");
                let detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
                errors.push(FieldError::invalid(field, items.type_name.as_str(), detail));
            }
            Some(_) => {}
            None => {
                let detail = "entries must all be names of item properties";
                errors.push(FieldError::invalid(&keys_path, schema.list_map_keys.clone(), detail));
            }
        }
        if schema.list_map_keys[..index].contains(key) {
            errors.push(FieldError::invalid(
                &keys_path,
                schema.list_map_keys.clone(),
                "must not contain duplicate entries",
            ));
        }
    }
}

/// Items of sets and maps must be there, and keys of maps must have values.
pub fn map_set_items(schema: &Schema, path: &Path, errors: &mut ErrorList) {
    let list_type = schema.list_type();
    let Some(items) = schema.items.as_deref().filter(|_| matches!(list_type, "set" | "map")) else { return };
    let items_path = path.child("items");
    if items.nullable {
        let detail = format!("cannot be nullable when x-kubernetes-list-type is {list_type}");
        errors.push(FieldError::forbidden(items_path.child("nullable"), detail));
    }
    if list_type != "map" {
        return;
    }
    for key in &schema.list_map_keys {
        let Some(property) = items.properties.get(key) else { continue };
        let field = items_path.child("properties").key(key);
        if !items.required.contains(key) && property.default.is_none() {
            let detail =
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            errors.push(FieldError::required(field.child("default"), detail));
        }
        if property.nullable {
            let detail = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            errors.push(FieldError::forbidden(field.child("nullable"), detail));
        }
    }
}
