//! Random objects with a field of each type, their schema, and a random rule over them.

use std::collections::HashSet;

use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Map, Value, json};

use super::cel_expressions::{Kind, Writer};
use super::crd_cases::{chance, pick};

/// A rule over an object, with or without its predecessor.
pub fn random_case(rng: &mut StdRng) -> Value {
    let mut schema = schema(rng);
    let mut writer = Writer::new(rng);
    let wanted = if writer.chance(97) { Kind::Bool } else { writer.kind() };
    let mut rule = json!({"rule": writer.expr(wanted, 4)});
    if writer.chance(12) {
        rule["messageExpression"] = json!(writer.expr(Kind::Text, 3));
    } else if writer.chance(15) {
        rule["message"] = json!("as it was told");
    }
    if writer.chance(15) {
        rule["reason"] = json!(pick(writer.rng, &["FieldValueForbidden", "FieldValueRequired", "FieldValueInvalid"]));
    }
    if writer.chance(10) {
        rule["optionalOldSelf"] = json!(true);
    }
    let walks = writer.walks;
    if walks {
        rule = serde_json::from_str(&rule.to_string().replace("{'a': 1, 'b': 2}", "{'b': 2}")).expect("a rule is JSON");
    }
    schema["x-kubernetes-validations"] = json!([rule]);
    let object = object(rng);
    let mut case = json!({"subject": "cel", "schema": schema, "object": object});
    if chance(rng, 60) {
        case["old"] = if chance(rng, 30) { case["object"].clone() } else { self::object(rng) };
    }
    if walks {
        for side in ["object", "old"] {
            if let Some(map) = case.pointer_mut(&format!("/{side}/spec/m")).and_then(Value::as_object_mut) {
                let kept = map.keys().next().cloned();
                map.retain(|key, _| Some(key) == kept.as_ref());
            }
        }
    }
    case
}

fn schema(rng: &mut StdRng) -> Value {
    let mut bound = |mut schema: Value, key: &str, high: u32| {
        if chance(rng, 50) {
            schema[key] = json!(rng.random_range(0..high));
        }
        schema
    };
    let text = bound(json!({"type": "string"}), "maxLength", 200);
    let item = bound(json!({"type": "string"}), "maxLength", 30);
    let properties = json!({
        "i": {"type": "integer"},
        "n": {"type": "number"},
        "s": text,
        "e": {"type": "string", "enum": ["red", "green"]},
        "b": {"type": "boolean"},
        "ios": bound(json!({"x-kubernetes-int-or-string": true}), "maxLength", 9),
        "t": {"type": "string", "format": "date-time"},
        "d": {"type": "string", "format": "duration"},
        "by": {"type": "string", "format": "byte"},
        "nu": {"type": "integer", "nullable": true},
        "ls": bound(json!({"type": "array", "items": item}), "maxItems", 20),
        "li": bound(json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "integer"}}), "maxItems", 50),
        "lm": bound(json!({
            "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
            "items": {"type": "object", "required": ["k"], "properties": {"k": {"type": "string"}, "v": {"type": "integer"}}},
        }), "maxItems", 30),
        "m": bound(json!({"type": "object", "additionalProperties": {"type": "integer"}}), "maxProperties", 20),
        "o": {"type": "object", "properties": {
            "x": {"type": "integer"}, "y": {"type": "string", "maxLength": 5}, "z-z": {"type": "string"},
            "namespace": {"type": "string"},
        }},
        "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
    });
    json!({"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}})
}

const TEXTS: [&str; 14] = [
    "",
    "a",
    "abc",
    "red",
    "hello world",
    "é\u{1f600}",
    "10.0.0.1",
    "5",
    "1.5",
    "a,b,c",
    "Abc",
    "1h",
    "10.0.0.0/8",
    "http://x.y:80/p?q=1",
];

fn object(rng: &mut StdRng) -> Value {
    let mut spec = Map::new();
    let mut put = |rng: &mut StdRng, key: &str, value: Value| {
        if chance(rng, 80) {
            spec.insert(key.to_owned(), value);
        }
    };
    let text = |rng: &mut StdRng| json!(pick(rng, &TEXTS));
    let small = |rng: &mut StdRng| json!(rng.random_range(-3..8));
    let i = pick(rng, &[json!(0), json!(5), json!(-1), json!(i64::MAX), json!(42)]);
    put(rng, "i", i);
    let n = pick(rng, &[json!(0.5), json!(2), json!(-1.25), json!(1e10)]);
    put(rng, "n", n);
    let s = text(rng);
    put(rng, "s", s);
    put(rng, "e", json!("red"));
    let b = json!(chance(rng, 50));
    put(rng, "b", b);
    let ios = if chance(rng, 50) { text(rng) } else { small(rng) };
    put(rng, "ios", ios);
    let t = pick(rng, &["2024-01-02T03:04:05Z", "1999-12-31T23:59:59.5+01:00", "2024-02-29T00:00:00Z"]);
    put(rng, "t", json!(t));
    let d = pick(rng, &["1h", "90s", "1.5s", "5 days"]);
    put(rng, "d", json!(d));
    put(rng, "by", json!("aGVsbG8="));
    let nu = if chance(rng, 40) { Value::Null } else { small(rng) };
    put(rng, "nu", nu);
    let ls: Vec<Value> = (0..rng.random_range(0..4)).map(|_| text(rng)).collect();
    put(rng, "ls", json!(ls));
    let mut li: Vec<i32> = (0..rng.random_range(0..4)).map(|_| rng.random_range(-3..8)).collect();
    let mut seen = HashSet::new();
    li.retain(|number| seen.insert(*number));
    put(rng, "li", json!(li));
    let keys: Vec<&str> = ["a", "b", "c"].into_iter().filter(|_| chance(rng, 50)).collect();
    let lm: Vec<Value> = keys
        .iter()
        .map(|key| if chance(rng, 75) { json!({"k": key, "v": rng.random_range(0..5)}) } else { json!({"k": key}) })
        .collect();
    put(rng, "lm", json!(lm));
    let m: Map<String, Value> = ["a", "b", "x-y"]
        .into_iter()
        .filter(|_| chance(rng, 50))
        .map(|key| (key.to_owned(), json!(key.len())))
        .collect();
    put(rng, "m", Value::Object(m));
    let o = pick(rng, &[json!({"x": 1}), json!({"x": 2, "y": "b", "z-z": "q"}), json!({}), json!({"namespace": "d"})]);
    put(rng, "o", o);
    json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "thing"}, "spec": spec})
}
