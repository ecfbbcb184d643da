//! How the schema of a custom resource is published.
//!
//! Follows what `apiextensions-apiserver/pkg/controller/openapi` publishes: the structural schema with the fields
//! of every resource added. Version 2 knows less, and `kubectl` refuses more in it, so there nullable and
//! free-form parts lose their shape. Schemas are taken as structural and valid.

use serde_json::{Map, Value, json};

use super::{Dialect, describe};
use crate::core::resource::Resource;

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";

/// Deeper schemas are cut off; definitions that were accepted do not come near.
const MAX_DEPTH: usize = 512;

/// Keys of a schema that are published as they are.
const PLAIN: &[&str] = &[
    "description",
    "title",
    "default",
    "format",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "uniqueItems",
    "multipleOf",
    "enum",
    "maxProperties",
    "minProperties",
    "required",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-map-type",
    "x-kubernetes-validations",
];

/// Extensions that are published where they are true.
const SWITCHES: &[&str] =
    &["x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource", "x-kubernetes-int-or-string"];

/// The name of a custom kind's definition: `com.example.stable.v1.CronTab`.
pub(super) fn definition_name(group: &str, version: &str, kind: &str) -> String {
    let mut parts: Vec<&str> = group.split('.').rev().collect();
    parts.extend([version, kind]);
    parts.join(".")
}

/// The published schema of a custom kind.
pub(super) fn kind_schema(row: &Resource, schema: &Value, dialect: Dialect) -> Value {
    let free = is_set(schema, "x-kubernetes-preserve-unknown-fields");
    // Properties in a free-form root would make kubectl refuse all others.
    let mut published = if !schema.is_object() || (dialect == Dialect::V2 && free) {
        json!({"type": "object"})
    } else {
        let mut published = publish(schema, dialect, 0);
        add_property(&mut published, "metadata", reference(OBJECT_META, dialect, describe::METADATA));
        add_property(&mut published, "apiVersion", json!({"type": "string", "description": describe::API_VERSION}));
        add_property(&mut published, "kind", json!({"type": "string", "description": describe::KIND}));
        published
    };
    published["x-kubernetes-group-version-kind"] = json!([own_kind(row, &row.kind)]);
    add_selectable_fields(&mut published, row);
    published
}

/// The published schema of a custom kind's list.
pub(super) fn list_schema(row: &Resource, dialect: Dialect) -> Value {
    let items = dialect.reference(&definition_name(&row.group, &row.version, &row.kind));
    let mut published = json!({
        "type": "object",
        "description": format!("{} is a list of {}", row.list_kind, row.kind),
        "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string", "description": describe::API_VERSION},
            "kind": {"type": "string", "description": describe::KIND},
            "metadata": reference(LIST_META, dialect, describe::LIST_METADATA),
            "items": {"type": "array", "items": items, "description": format!("List of {}.", row.plural)},
        },
        "x-kubernetes-group-version-kind": [own_kind(row, &row.list_kind)],
    });
    add_selectable_fields(&mut published, row);
    published
}

fn own_kind(row: &Resource, kind: &str) -> Value {
    json!({"group": row.group, "version": row.version, "kind": kind})
}

fn add_selectable_fields(published: &mut Value, row: &Resource) {
    if row.selectable_fields.is_empty() {
        return;
    }
    let fields: Vec<Value> =
        row.selectable_fields.iter().map(|path| json!({"fieldPath": path.strip_prefix('.').unwrap_or(path)})).collect();
    published["x-kubernetes-selectable-fields"] = Value::Array(fields);
}

fn reference(name: &str, dialect: Dialect, description: &str) -> Value {
    let reference = dialect.reference(name);
    match dialect {
        Dialect::V2 => json!({"$ref": reference["$ref"], "description": description}),
        Dialect::V3 => json!({"allOf": [reference], "description": description}),
    }
}

fn add_property(published: &mut Value, name: &str, property: Value) {
    if let Value::Object(published) = published {
        let properties = published.entry("properties").or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(properties) = properties {
            properties.insert(name.to_owned(), property);
        }
    }
}

fn is_set(schema: &Value, name: &str) -> bool {
    schema.get(name).and_then(Value::as_bool) == Some(true)
}

/// One level of a structural schema.
fn publish(schema: &Value, dialect: Dialect, depth: usize) -> Value {
    let mut published = Map::new();
    if depth > MAX_DEPTH {
        return Value::Object(published);
    }
    let untyped = dialect == Dialect::V2
        && (is_set(schema, "nullable") || is_set(schema, "x-kubernetes-preserve-unknown-fields"));
    let kind = schema.get("type").and_then(Value::as_str).unwrap_or_default();
    copy_plain(schema, dialect, &mut published);
    // Where the shape is dropped, an object or a list without it would be refused; a scalar keeps its type.
    let keeps_type = !untyped || (!is_set(schema, "nullable") && kind != "object" && kind != "array");
    if !kind.is_empty() && keeps_type {
        published.insert("type".to_owned(), json!(kind));
    }
    if let (Some(items), false) = (schema.get("items"), untyped) {
        published.insert("items".to_owned(), publish(items, dialect, depth + 1));
    }
    if let (Some(Value::Object(properties)), false) = (schema.get("properties"), untyped) {
        let properties: Map<String, Value> =
            properties.iter().map(|(name, schema)| (name.clone(), publish(schema, dialect, depth + 1))).collect();
        published.insert("properties".to_owned(), Value::Object(properties));
    }
    match schema.get("additionalProperties") {
        Some(values @ Value::Object(_)) => {
            published.insert("additionalProperties".to_owned(), publish(values, dialect, depth + 1));
        }
        Some(Value::Bool(allowed)) => {
            published.insert("additionalProperties".to_owned(), json!(allowed));
        }
        _ => {}
    }
    if dialect == Dialect::V3 {
        copy_junctors(schema, &mut published);
    }
    let mut published = Value::Object(published);
    let free = is_set(schema, "x-kubernetes-preserve-unknown-fields");
    if is_set(schema, "x-kubernetes-embedded-resource") && !(dialect == Dialect::V2 && free) {
        add_embedded(&mut published, dialect);
    }
    published
}

fn copy_plain(schema: &Value, dialect: Dialect, published: &mut Map<String, Value>) {
    // Version 2 publishes no defaults.
    for name in PLAIN.iter().filter(|name| dialect == Dialect::V3 || **name != "default") {
        match schema.get(*name) {
            None | Some(Value::Null | Value::Bool(false)) if *name != "default" => {}
            None => {}
            Some(Value::String(text)) if text.is_empty() && *name != "default" => {}
            Some(value) => {
                published.insert((*name).to_owned(), value.clone());
            }
        }
    }
    for name in SWITCHES {
        if is_set(schema, name) {
            published.insert((*name).to_owned(), json!(true));
        }
    }
    match dialect {
        Dialect::V3 if is_set(schema, "nullable") => {
            published.insert("nullable".to_owned(), json!(true));
        }
        Dialect::V3 => {}
        Dialect::V2 => drop_nullable_requirements(schema, published),
    }
}

/// Version 2 has no null, so a nullable field may not be required in it.
fn drop_nullable_requirements(schema: &Value, published: &mut Map<String, Value>) {
    let nullable_values = schema.get("additionalProperties").is_some_and(|values| is_set(values, "nullable"));
    if let Some(Value::Array(required)) = published.get_mut("required") {
        let nullable = |name: &Value| {
            let name = name.as_str().unwrap_or_default();
            schema.get("properties").and_then(|all| all.get(name)).is_some_and(|field| is_set(field, "nullable"))
        };
        required.retain(|name| !nullable_values && !nullable(name));
        if required.is_empty() {
            published.remove("required");
        }
    }
}

/// `allOf`, `anyOf`, `oneOf`, `not`, and the choice that an int-or-string stands for.
fn copy_junctors(schema: &Value, published: &mut Map<String, Value>) {
    for name in ["allOf", "anyOf", "oneOf", "not"] {
        if let Some(value) = schema.get(name).filter(|value| !value.is_null()) {
            published.insert(name.to_owned(), value.clone());
        }
    }
    if !is_set(schema, "x-kubernetes-int-or-string") {
        return;
    }
    let choice = json!([{"type": "integer"}, {"type": "string"}]);
    let spelled_out = published.get("anyOf") == Some(&choice)
        || published.get("allOf").and_then(|all| all.get(0)).and_then(|first| first.get("anyOf")) == Some(&choice);
    if spelled_out {
        return;
    }
    if !published.contains_key("anyOf") {
        published.insert("anyOf".to_owned(), choice);
        return;
    }
    let all = published.entry("allOf").or_insert_with(|| Value::Array(Vec::new()));
    if let Value::Array(all) = all {
        all.insert(0, json!({"anyOf": choice}));
    }
}

/// What an embedded resource has beside its own fields.
fn add_embedded(published: &mut Value, dialect: Dialect) {
    add_property(published, "apiVersion", json!({"type": "string", "description": describe::API_VERSION}));
    add_property(published, "kind", json!({"type": "string", "description": describe::KIND}));
    add_property(published, "metadata", reference(OBJECT_META, dialect, describe::METADATA));
    if let Value::Object(published) = published {
        let required = published.entry("required").or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(required) = required {
            for name in ["kind", "apiVersion"] {
                if !required.iter().any(|own| own == name) {
                    required.push(json!(name));
                }
            }
        }
    }
}
