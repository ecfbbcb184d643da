//! When a schema is structural: every value it speaks of has a type, and junctors only restrict.
//!
//! Answers the faults of one schema in upstream's words, sorted. What OpenAPI itself forbids is found
//! in `schema_rules`.

use super::structural::Schema;
use crate::core::field::{ErrorList, FieldError, Path};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

/// The faults of a whole schema; the caller has checked that it can be structural at all.
pub fn validate(schema: &Schema, path: &Path) -> ErrorList {
    let mut errors = Vec::new();
    invariants(schema, Level::Root, path, &mut errors);
    completeness(schema, Some(schema), path, path, &mut errors);
    errors.sort_by_cached_key(ToString::to_string);
    errors
}

fn invariants(schema: &Schema, level: Level, path: &Path, errors: &mut ErrorList) {
    if schema.type_name == "array" && schema.items.is_none() {
        errors.push(FieldError::required(path.child("items"), "must be specified"));
    }
    if let Some(items) = &schema.items {
        invariants(items, Level::Item, &path.child("items"), errors);
    }
    for (name, property) in &schema.properties {
        invariants(property, Level::Field, &path.child("properties").key(name), errors);
    }
    if let Some(additional) = &schema.additional {
        if level == Level::Root {
            errors.push(FieldError::forbidden(path.child("additionalProperties"), "must not be used at the root"));
        }
        if let Some(values) = &additional.schema {
            invariants(values, Level::Field, &path.child("additionalProperties"), errors);
        }
    }
    extensions(schema, path, errors);
    let skip = Skip { any_of: is_int_or_string_any_of(schema), first_all_of: is_int_or_string_all_of(schema) };
    value_validation(schema, skip, path, errors);
    type_rules(schema, level, path, errors);
    metadata_rules(schema, level, path, errors);
    if schema.embedded_resource && !schema.preserves_unknown() && schema.properties.is_empty() {
        let detail =
            "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
        errors.push(FieldError::required(path.child("properties"), detail));
    }
}

fn extensions(schema: &Schema, path: &Path, errors: &mut ErrorList) {
    let detail = "must be false if x-kubernetes-int-or-string is true";
    if schema.int_or_string && schema.preserves_unknown() {
        errors.push(FieldError::invalid(path.child("x-kubernetes-preserve-unknown-fields"), true, detail));
    }
    if schema.int_or_string && schema.embedded_resource {
        errors.push(FieldError::invalid(path.child("x-kubernetes-embedded-resource"), true, detail));
    }
}

fn type_rules(schema: &Schema, level: Level, path: &Path, errors: &mut ErrorList) {
    let type_path = path.child("type");
    if schema.embedded_resource && schema.type_name != "object" {
        let detail = "must be object if x-kubernetes-embedded-resource is true";
        errors.push(if schema.type_name.is_empty() {
            FieldError::required(&type_path, detail)
        } else {
            FieldError::invalid(&type_path, schema.type_name.as_str(), detail)
        });
    } else if schema.type_name.is_empty() && !schema.int_or_string && !schema.preserves_unknown() {
        let detail = match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        };
        errors.push(FieldError::required(&type_path, detail));
    }
    if schema.embedded_resource && schema.additional.is_some() {
        let detail = "must not be used if x-kubernetes-embedded-resource is set";
        errors.push(FieldError::forbidden(path.child("additionalProperties"), detail));
    }
    if level == Level::Root && !schema.type_name.is_empty() && schema.type_name != "object" {
        errors.push(FieldError::invalid(type_path, schema.type_name.as_str(), "must be object at the root"));
    }
}

fn metadata_rules(schema: &Schema, level: Level, path: &Path, errors: &mut ErrorList) {
    let is_resource = level == Level::Root || schema.embedded_resource;
    let properties = path.child("properties");
    for name in ["kind", "apiVersion"] {
        if let Some(field) = schema.properties.get(name).filter(|field| is_resource && field.type_name != "string") {
            let type_path = properties.key(name).child("type");
            errors.push(FieldError::invalid(type_path, field.type_name.as_str(), "must be string"));
        }
    }
    let Some(metadata) = schema.properties.get("metadata") else { return };
    let metadata_path = properties.key("metadata");
    if is_resource && metadata.type_name != "object" {
        errors.push(FieldError::invalid(metadata_path.child("type"), metadata.type_name.as_str(), "must be object"));
    }
    if level == Level::Root && !restricts_names_only(metadata) {
        let detail = "must not specify anything other than name and generateName, but metadata is implicitly specified";
        errors.push(FieldError::forbidden(metadata_path, detail));
    }
}

fn restricts_names_only(metadata: &Schema) -> bool {
    let mut rest = metadata.clone();
    if rest.properties.keys().all(|name| name == "name" || name == "generateName") {
        rest.properties.clear();
    }
    rest.type_name.clear();
    rest.default = None;
    rest.unsupported = super::structural::Unsupported::default();
    rest == Schema::default()
}

fn is_typed(schema: &Schema, type_name: &str) -> bool {
    *schema == Schema { type_name: type_name.to_owned(), ..Schema::default() }
}

fn is_int_or_string_any_of(schema: &Schema) -> bool {
    matches!(schema.any_of.as_slice(), [first, second] if is_typed(first, "integer") && is_typed(second, "string"))
}

fn is_int_or_string_all_of(schema: &Schema) -> bool {
    schema.all_of.first().is_some_and(is_int_or_string_any_of)
}

/// The junctors that an int-or-string may use for its two types.
#[derive(Clone, Copy, Default)]
struct Skip {
    any_of: bool,
    first_all_of: bool,
}

fn value_validation(schema: &Schema, skip: Skip, path: &Path, errors: &mut ErrorList) {
    if !skip.any_of {
        for (index, branch) in schema.any_of.iter().enumerate() {
            nested(branch, Skip::default(), path.child("anyOf").index(index), errors);
        }
    }
    for (index, branch) in schema.all_of.iter().enumerate() {
        let skip = Skip { any_of: skip.first_all_of && index == 0, first_all_of: false };
        nested(branch, skip, path.child("allOf").index(index), errors);
    }
    for (index, branch) in schema.one_of.iter().enumerate() {
        nested(branch, Skip::default(), path.child("oneOf").index(index), errors);
    }
    if let Some(not) = &schema.not {
        nested(not, Skip::default(), path.child("not"), errors);
    }
    if let Some(pattern) = &schema.pattern
        && let Err(error) = pattern.regex()
    {
        let detail = format!("must be a valid regular expression, but isn't: {error}");
        errors.push(FieldError::invalid(path.child("pattern"), pattern.source.as_str(), detail));
    }
}

fn nested(schema: &Schema, skip: Skip, path: Path, errors: &mut ErrorList) {
    value_validation(schema, skip, &path, errors);
    if let Some(items) = &schema.items {
        nested(items, Skip::default(), path.child("items"), errors);
    }
    for (name, property) in &schema.properties {
        nested(property, Skip::default(), path.child("properties").key(name), errors);
    }
    let additional = schema.additional.as_ref().is_some_and(|additional| additional.allows);
    let forbidden = [
        (!schema.type_name.is_empty(), "type", "must be empty to be structural"),
        (additional, "additionalProperties", "must be undefined to be structural"),
        (schema.default.is_some(), "default", "must be undefined to be structural"),
        (schema.title, "title", "must be empty to be structural"),
        (schema.description, "description", "must be empty to be structural"),
        (schema.nullable, "nullable", "must be false to be structural"),
        (schema.preserves_unknown(), "x-kubernetes-preserve-unknown-fields", "must be false to be structural"),
        (schema.embedded_resource, "x-kubernetes-embedded-resource", "must be false to be structural"),
        (schema.int_or_string, "x-kubernetes-int-or-string", "must be false to be structural"),
        (!schema.list_map_keys.is_empty(), "x-kubernetes-list-map-keys", "must be empty to be structural"),
        (schema.list_type.is_some(), "x-kubernetes-list-type", "must be undefined to be structural"),
        (schema.map_type.is_some(), "x-kubernetes-map-type", "must be undefined to be structural"),
        (!schema.validations.is_empty(), "x-kubernetes-validations", "must be empty to be structural"),
    ];
    for (_, name, detail) in forbidden.into_iter().filter(|(set, _, _)| *set) {
        errors.push(FieldError::forbidden(path.child(name), detail));
    }
    if schema.properties.contains_key("metadata") {
        let detail = "must not be specified in a nested context";
        errors.push(FieldError::forbidden(path.child("properties").key("metadata"), detail));
    }
}

/// Every value that a junctor speaks of must be declared outside of it.
fn completeness(validation: &Schema, declared: Option<&Schema>, declared_at: &Path, at: &Path, errors: &mut ErrorList) {
    let lists = [("allOf", &validation.all_of), ("anyOf", &validation.any_of), ("oneOf", &validation.one_of)];
    if let Some(not) = &validation.not {
        nested_completeness(not, declared, declared_at, &at.child("not"), errors);
    }
    for (name, branches) in lists {
        for (index, branch) in branches.iter().enumerate() {
            nested_completeness(branch, declared, declared_at, &at.child(name).index(index), errors);
        }
    }
}

fn nested_completeness(
    validation: &Schema,
    declared: Option<&Schema>,
    declared_at: &Path,
    at: &Path,
    errors: &mut ErrorList,
) {
    let Some(declared) = declared else {
        errors.push(FieldError::required(declared_at, format!("because it is defined in {at}")));
        return;
    };
    completeness(validation, Some(declared), declared_at, at, errors);
    if let Some(items) = &validation.items {
        let below = declared_at.child("items");
        nested_completeness(items, declared.items.as_deref(), &below, &at.child("items"), errors);
    }
    for (name, property) in &validation.properties {
        let below = declared_at.child("properties").key(name);
        let here = at.child("properties").key(name);
        nested_completeness(property, declared.properties.get(name), &below, &here, errors);
    }
}
