//! Removing what a schema does not name, and filling in what it defaults.
//!
//! Answers how an object reads after decoding. It never judges the values that stay; `metadata` of
//! resources is the business of `object_meta`.

use serde_json::Value;

use super::structural::Schema;

/// Fields of every resource that no schema needs to name.
pub const META_FIELDS: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// One step of a path, linked to the steps above it on the stack.
enum Trail<'a> {
    Root,
    Key(&'a Trail<'a>, &'a str),
    Index(&'a Trail<'a>, usize),
}

impl Trail<'_> {
    fn is_root(&self) -> bool {
        matches!(self, Self::Root)
    }

    fn text(&self) -> String {
        match self {
            Self::Root => String::new(),
            Self::Key(Self::Root, key) => (*key).to_owned(),
            Self::Key(parent, key) => format!("{}.{key}", parent.text()),
            Self::Index(parent, index) => format!("{}[{index}]", parent.text()),
        }
    }
}

/// Removes unknown fields of a resource and returns their paths, sorted.
pub fn prune(object: &mut Value, schema: &Schema) -> Vec<String> {
    let mut unknown = Vec::new();
    if schema.preserves_unknown() {
        skip(object, schema, true, &Trail::Root, &mut unknown);
    } else {
        node(object, Some(schema), true, &Trail::Root, &mut unknown);
    }
    unknown.sort_unstable();
    unknown
}

/// Removes unknown fields of a value that is not a resource, such as a default.
pub fn prune_value(value: &mut Value, schema: &Schema, is_resource: bool) {
    let mut unknown = Vec::new();
    let embedded = is_resource || schema.embedded_resource;
    if schema.preserves_unknown() {
        skip(value, schema, embedded, &Trail::Root, &mut unknown);
    } else {
        node(value, Some(schema), embedded, &Trail::Root, &mut unknown);
    }
}

fn descend(value: &mut Value, schema: Option<&Schema>, trail: &Trail<'_>, unknown: &mut Vec<String>) {
    match schema {
        Some(schema) if schema.preserves_unknown() => skip(value, schema, schema.embedded_resource, trail, unknown),
        Some(schema) => node(value, Some(schema), schema.embedded_resource, trail, unknown),
        None => node(value, None, false, trail, unknown),
    }
}

fn node(value: &mut Value, schema: Option<&Schema>, embedded: bool, trail: &Trail<'_>, unknown: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields.retain(|key, child| {
            let Some(schema) = schema else {
                unknown.push(Trail::Key(trail, key).text());
                return false;
            };
            let is_meta = META_FIELDS.contains(&key.as_str());
            if embedded && is_meta {
                return true;
            }
            let here = Trail::Key(trail, key);
            if let Some(property) = schema.properties.get(key) {
                descend(child, Some(property), &here, unknown);
            } else if let Some(additional) = &schema.additional {
                descend(child, additional.schema.as_deref(), &here, unknown);
            } else {
                if !is_meta || !trail.is_root() {
                    unknown.push(here.text());
                }
                return false;
            }
            true
        }),
        Value::Array(items) => {
            let item_schema = schema.and_then(|schema| schema.items.as_deref());
            for (index, item) in items.iter_mut().enumerate() {
                descend(item, item_schema, &Trail::Index(trail, index), unknown);
            }
        }
        _ => {}
    }
}

fn skip(value: &mut Value, schema: &Schema, embedded: bool, trail: &Trail<'_>, unknown: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, child) in fields.iter_mut() {
                if embedded && META_FIELDS.contains(&key.as_str()) {
                    continue;
                }
                let here = Trail::Key(trail, key);
                if let Some(property) = schema.properties.get(key) {
                    descend(child, Some(property), &here, unknown);
                } else if let Some(additional) = &schema.additional {
                    descend(child, additional.schema.as_deref(), &here, unknown);
                }
            }
        }
        Value::Array(items) => {
            let Some(item_schema) = &schema.items else { return };
            for (index, item) in items.iter_mut().enumerate() {
                skip(item, item_schema, item_schema.embedded_resource, &Trail::Index(trail, index), unknown);
            }
        }
        _ => {}
    }
}

/// Removes nulls of fields that are not nullable and have no default.
pub fn prune_nulls(value: &mut Value, schema: Option<&Schema>) {
    match value {
        Value::Object(fields) => fields.retain(|key, child| {
            let field = schema.and_then(|schema| schema.properties.get(key).or_else(|| schema.additional_schema()));
            if child.is_null() && field.is_some_and(|field| !field.nullable && field.default.is_none()) {
                return false;
            }
            prune_nulls(child, field);
            true
        }),
        Value::Array(items) => {
            let item_schema = schema.and_then(|schema| schema.items.as_deref());
            items.iter_mut().for_each(|item| prune_nulls(item, item_schema));
        }
        _ => {}
    }
}

/// Fills in defaults, also in place of nulls that are not nullable.
pub fn default(value: &mut Value, schema: &Schema) {
    match value {
        Value::Object(fields) => {
            for (name, property) in &schema.properties {
                let Some(default) = &property.default else { continue };
                match fields.get_mut(name) {
                    None => {
                        fields.insert(name.clone(), default.clone());
                    }
                    Some(found) if found.is_null() && !property.nullable => *found = default.clone(),
                    Some(_) => {}
                }
            }
            for (name, child) in fields.iter_mut() {
                if let Some(property) = schema.properties.get(name) {
                    default_child(child, property);
                } else if let Some(values) = schema.additional_schema() {
                    default_element(child, values);
                }
            }
        }
        Value::Array(items) => {
            let Some(item_schema) = &schema.items else { return };
            items.iter_mut().for_each(|item| default_element(item, item_schema));
        }
        _ => {}
    }
}

fn default_child(value: &mut Value, schema: &Schema) {
    if value.is_object() || value.is_array() {
        default(value, schema);
    }
}

fn default_element(value: &mut Value, schema: &Schema) {
    if value.is_null() && !schema.nullable {
        *value = schema.default.clone().unwrap_or_default();
    }
    default_child(value, schema);
}
