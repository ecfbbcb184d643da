//! Random structural schemas, resources under them, and the changes of an update.

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::{Map, Value, json};

use super::crd_definitions::definition_case;

/// True in so many of a hundred draws.
pub fn chance(rng: &mut StdRng, percent: u32) -> bool {
    rng.random_range(0..100) < percent
}

/// One of the choices.
pub fn pick<T: Clone>(rng: &mut StdRng, choices: &[T]) -> T {
    choices.choose(rng).expect("there are choices").clone()
}

/// A resource under a schema, with or without its predecessor, or a definition.
pub fn random_case(rng: &mut StdRng) -> Value {
    if chance(rng, 30) {
        return definition_case(rng);
    }
    let schema = root_schema(rng);
    let object = resource(rng, &schema);
    let mut case = json!({"subject": "crd", "schema": schema, "object": object});
    if chance(rng, 55) {
        let mut old = case["object"].clone();
        if chance(rng, 60) {
            let schema = case["schema"].clone();
            disturb(rng, &mut old, &schema);
        }
        case["old"] = old;
    }
    case
}

/// The schema of a whole resource.
pub fn root_schema(rng: &mut StdRng) -> Value {
    let mut properties = Map::new();
    properties.insert("spec".to_owned(), node(rng, 3));
    if chance(rng, 40) {
        properties.insert("status".to_owned(), node(rng, 2));
    }
    let mut schema = json!({"type": "object", "properties": properties});
    if chance(rng, 20) {
        schema["required"] = json!(["spec"]);
    }
    if chance(rng, 10) {
        schema["x-kubernetes-preserve-unknown-fields"] = json!(true);
    }
    schema
}

const NAMES: [&str; 7] = ["a", "b", "c", "name", "key", "x-y", "metadata"];
const FORMATS: [&str; 20] = [
    "date-time",
    "ipv4",
    "ipv6",
    "cidr",
    "uuid",
    "byte",
    "duration",
    "date",
    "uri",
    "email",
    "hostname",
    "mac",
    "int32",
    "isbn",
    "hexcolor",
    "password",
    "unknown-format",
    "uuid4",
    "k8s-short-name",
    "ssn",
];
const TEXTS: [&str; 40] = [
    "",
    "a",
    "b",
    "abc",
    "é",
    "hello world",
    "2024-01-02T03:04:05Z",
    "2024-01-02",
    "2024-13-02",
    "10.0.0.1",
    "10.0.0.01",
    "::1",
    "10.0.0.0/8",
    "fe80::/64",
    "123e4567-e89b-12d3-a456-426614174000",
    "aGVsbG8=",
    "aGVsbG8",
    "1h30m",
    "5 days",
    "http://example.com/a?b=c",
    "/abs/path",
    "rel/path",
    "joe@example.com",
    "Joe <joe@example.com>",
    "example.com",
    "-bad-.com",
    "01:23:45:67:89:ab",
    "#fff",
    "978-3-16-148410-0",
    "123-45-6789",
    "true",
    "5",
    "1.5",
    "A",
    "\u{1f600}",
    "a\nb",
    "tab\t",
    "2024-01-02t03:04:05.123+01:00",
    "22 ns",
    "\"q\"",
];
const PATTERNS: [&str; 8] = ["^a", "b$", "^[a-z]+$", "\\d+", "^\\w{1,3}$", "(foo|bar)", "[^a-z]", "\\s"];

fn text(rng: &mut StdRng) -> String {
    pick(rng, &TEXTS).to_owned()
}

fn number(rng: &mut StdRng) -> Value {
    match rng.random_range(0..6) {
        0 => json!(rng.random_range(-3..12)),
        1 => json!(0),
        2 => json!(f64::from(rng.random_range(-20..60)) / 4.0),
        3 => json!(rng.random_range(0..4)),
        4 => json!(1e7),
        _ => json!(rng.random_range(-100_000..100_000_i64)),
    }
}

fn node(rng: &mut StdRng, depth: u32) -> Value {
    let kind = rng.random_range(0..if depth == 0 { 5 } else { 10 });
    let mut schema = match kind {
        0 => string_schema(rng),
        1 | 2 => number_schema(rng),
        3 => json!({"type": "boolean"}),
        4 => json!({"x-kubernetes-int-or-string": true}),
        5 => list_schema(rng, depth),
        6 => {
            let values = if chance(rng, 85) { node(rng, depth - 1) } else { json!(chance(rng, 50)) };
            let mut schema = json!({"type": "object", "additionalProperties": values});
            bounds(rng, &mut schema, "minProperties", "maxProperties");
            schema
        }
        _ => object_schema(rng, depth),
    };
    common(rng, &mut schema, depth);
    schema
}

fn bounds(rng: &mut StdRng, schema: &mut Value, low: &str, high: &str) {
    if chance(rng, 15) {
        schema[low] = json!(rng.random_range(0..3));
    }
    if chance(rng, 15) {
        schema[high] = json!(rng.random_range(0..4));
    }
}

fn string_schema(rng: &mut StdRng) -> Value {
    let mut schema = json!({"type": "string"});
    bounds(rng, &mut schema, "minLength", "maxLength");
    if chance(rng, 15) {
        schema["pattern"] = json!(pick(rng, &PATTERNS));
    }
    if chance(rng, 30) {
        schema["format"] = json!(pick(rng, &FORMATS));
    }
    schema
}

fn number_schema(rng: &mut StdRng) -> Value {
    let mut schema = json!({"type": if chance(rng, 50) { "integer" } else { "number" }});
    if chance(rng, 25) {
        schema["minimum"] = number(rng);
        if chance(rng, 40) {
            schema["exclusiveMinimum"] = json!(true);
        }
    }
    if chance(rng, 25) {
        schema["maximum"] = number(rng);
        if chance(rng, 40) {
            schema["exclusiveMaximum"] = json!(true);
        }
    }
    if chance(rng, 12) {
        schema["multipleOf"] = json!(pick(rng, &[2.0, 3.0, 0.5, 0.1, 1.0]));
    }
    if chance(rng, 10) {
        schema["format"] = json!(pick(rng, &["int32", "int64", "float", "double", "date-time"]));
    }
    schema
}

fn list_schema(rng: &mut StdRng, depth: u32) -> Value {
    let mut schema = json!({"type": "array"});
    match rng.random_range(0..5) {
        0 => {
            schema["x-kubernetes-list-type"] = json!("set");
            schema["items"] = if chance(rng, 50) { string_schema(rng) } else { number_schema(rng) };
        }
        1 | 2 => {
            let mut items = object_schema(rng, depth.min(1));
            let mut keys = vec!["key"];
            items["properties"]["key"] = string_schema(rng);
            if chance(rng, 30) {
                keys.push("name");
                items["properties"]["name"] = number_schema(rng);
            }
            items["required"] = json!(keys);
            schema["x-kubernetes-list-type"] = json!("map");
            schema["x-kubernetes-list-map-keys"] = json!(keys);
            schema["items"] = items;
        }
        _ => {
            schema["items"] = node(rng, depth - 1);
            if chance(rng, 20) {
                schema["x-kubernetes-list-type"] = json!("atomic");
            }
        }
    }
    bounds(rng, &mut schema, "minItems", "maxItems");
    schema
}

fn object_schema(rng: &mut StdRng, depth: u32) -> Value {
    let mut properties = Map::new();
    for name in NAMES.iter().take(6) {
        if chance(rng, 45) {
            properties.insert((*name).to_owned(), node(rng, depth.saturating_sub(1)));
        }
    }
    let mut schema = json!({"type": "object"});
    let names: Vec<String> = properties.keys().cloned().collect();
    if !properties.is_empty() {
        schema["properties"] = Value::Object(properties);
    }
    if chance(rng, 30) {
        let required: Vec<&String> = names.iter().filter(|_| chance(rng, 40)).collect();
        schema["required"] = json!(required);
    }
    bounds(rng, &mut schema, "minProperties", "maxProperties");
    if chance(rng, 12) {
        schema["x-kubernetes-preserve-unknown-fields"] = json!(true);
        if chance(rng, 40) {
            schema["x-kubernetes-embedded-resource"] = json!(true);
        }
    }
    if chance(rng, 8) {
        schema["x-kubernetes-map-type"] = json!(if chance(rng, 50) { "atomic" } else { "granular" });
    }
    schema
}

/// Nullability, enumerations, junctors, rules and defaults.
fn common(rng: &mut StdRng, schema: &mut Value, depth: u32) {
    if chance(rng, 15) {
        schema["nullable"] = json!(true);
    }
    if chance(rng, 8) && schema["type"] != "object" {
        let values: Vec<Value> = (0..rng.random_range(1..4)).map(|_| value(rng, schema, 1)).collect();
        schema["enum"] = json!(values);
    }
    for junctor in ["anyOf", "oneOf", "allOf"] {
        if chance(rng, 6) {
            let branches: Vec<Value> = (0..rng.random_range(1..4)).map(|_| nested(rng, schema)).collect();
            schema[junctor] = json!(branches);
        }
    }
    if chance(rng, 5) {
        schema["not"] = nested(rng, schema);
    }
    if chance(rng, 10) {
        rule(rng, schema);
    }
    if depth < 3 && chance(rng, 22) {
        schema["default"] = value(rng, schema, 1);
    }
}

fn rule(rng: &mut StdRng, schema: &mut Value) {
    let expression = match schema["type"].as_str() {
        Some("integer") => "self < 3",
        Some("string") if schema.get("format").is_none() => "self.size() < 4",
        Some("array") => "self.size() < 2",
        Some("object") if schema.get("properties").is_none() && schema.get("additionalProperties").is_none() => return,
        Some("object") if schema["additionalProperties"].is_boolean() => return,
        Some("object") if schema["properties"]["a"]["type"] == "string" => "has(self.a)",
        Some("boolean") => "self == oldSelf",
        _ => return,
    };
    let mut entry = json!({"rule": expression});
    if chance(rng, 40) {
        entry["message"] = json!("must be good");
    }
    if chance(rng, 25) {
        entry["reason"] = json!(pick(
            rng,
            &["FieldValueInvalid", "FieldValueForbidden", "FieldValueRequired", "FieldValueDuplicate"]
        ));
    }
    schema["x-kubernetes-validations"] = json!([entry]);
}

/// A restriction as it may stand under a junctor.
fn nested(rng: &mut StdRng, schema: &Value) -> Value {
    let mut restriction = match schema["type"].as_str() {
        Some("string") => json!({"pattern": pick(rng, &PATTERNS)}),
        Some("integer" | "number") => json!({"minimum": number(rng)}),
        Some("array") => json!({"minItems": rng.random_range(0..3)}),
        Some("object") => match schema["properties"].as_object().and_then(|all| all.keys().next()) {
            Some(name) => {
                let inner = nested(rng, &schema["properties"][name]);
                json!({"properties": {name: inner}, "required": if chance(rng, 50) { json!([name]) } else { json!([]) }})
            }
            None => json!({"minProperties": 1}),
        },
        _ => json!({"enum": [1, "a"]}),
    };
    if chance(rng, 20) {
        restriction["not"] = json!({"enum": [value(rng, schema, 1)]});
    }
    restriction
}

/// A value for a schema: mostly of its type, sometimes of none.
fn value(rng: &mut StdRng, schema: &Value, depth: u32) -> Value {
    if chance(rng, 5) {
        return Value::Null;
    }
    if chance(rng, 4) {
        return any(rng);
    }
    if chance(rng, 50)
        && let Some(allowed) = schema["enum"].as_array()
        && let Some(allowed) = allowed.choose(rng)
    {
        return allowed.clone();
    }
    match schema["type"].as_str() {
        Some("string") => json!(text(rng)),
        Some("integer") => {
            let number = number(rng);
            if number.is_i64() || chance(rng, 30) { number } else { json!(rng.random_range(-3..9)) }
        }
        Some("number") => number(rng),
        Some("boolean") => json!(chance(rng, 50)),
        Some("array") => {
            let count = rng.random_range(0..4);
            (0..count).map(|_| value(rng, &schema["items"], depth)).collect()
        }
        Some("object") => object_value(rng, schema, depth),
        _ => {
            if chance(rng, 50) {
                json!(text(rng))
            } else {
                json!(rng.random_range(-3..9))
            }
        }
    }
}

/// A value of any type.
pub fn any(rng: &mut StdRng) -> Value {
    match rng.random_range(0..6) {
        0 => json!(text(rng)),
        1 => number(rng),
        2 => json!(true),
        3 => json!([1, "a"]),
        4 => json!({"a": 1}),
        _ => Value::Null,
    }
}

fn object_value(rng: &mut StdRng, schema: &Value, depth: u32) -> Value {
    let mut fields = Map::new();
    if let Some(properties) = schema["properties"].as_object() {
        for (name, property) in properties {
            if chance(rng, 70) {
                fields.insert(name.clone(), value(rng, property, depth));
            }
        }
    }
    if schema["additionalProperties"].is_object() {
        for name in ["k1", "k2", "k.3"] {
            if chance(rng, 40) {
                fields.insert(name.to_owned(), value(rng, &schema["additionalProperties"], depth));
            }
        }
    }
    if chance(rng, 12) {
        fields.insert(pick(rng, &["zz", "metadata", "kind", "extra"]).to_owned(), any(rng));
    }
    if schema["x-kubernetes-embedded-resource"] == true {
        fields.insert("apiVersion".to_owned(), json!(pick(rng, &["v1", "apps/v1", "a/b/c", ""])));
        if chance(rng, 85) {
            fields.insert("kind".to_owned(), json!(pick(rng, &["Pod", "Bad_Kind", "Job"])));
        }
        if chance(rng, 60) {
            fields.insert(
                "metadata".to_owned(),
                pick(
                    rng,
                    &[
                        json!({"name": "x"}),
                        json!({"name": "a/b", "labels": {"a": "b c"}}),
                        json!({"labels": {"a": "b"}, "unknown": 1}),
                        json!({"creationTimestamp": null, "finalizers": ["a.b/c"]}),
                        json!({"labels": {"a": 1}}),
                    ],
                ),
            );
        }
    }
    Value::Object(fields)
}

fn resource(rng: &mut StdRng, schema: &Value) -> Value {
    let mut object = object_value(rng, schema, 3);
    object["apiVersion"] = json!("example.com/v1");
    object["kind"] = json!("Thing");
    object["metadata"] = json!({"name": "thing", "namespace": "default"});
    if chance(rng, 10) {
        object["metadata"]["surplus"] = json!(1);
    }
    object
}

/// Changes a few places of an object.
fn disturb(rng: &mut StdRng, object: &mut Value, schema: &Value) {
    let Some(properties) = schema["properties"].as_object() else { return };
    for (name, property) in properties {
        if !chance(rng, 60) {
            continue;
        }
        if object[name].is_object() && property["type"] == "object" && chance(rng, 70) {
            disturb(rng, &mut object[name], property);
        } else if object.is_object() {
            object[name] = value(rng, property, 1);
        }
    }
}
