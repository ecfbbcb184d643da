//! Custom resources against apiextensions: pruning, defaulting, structural validation, ratcheting, and
//! the validation of definitions.

use ferroflow_cluster::core::crd::{CompiledVersion, Error, definition, normalize_numbers};
use ferroflow_cluster::core::field::ErrorList;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Map, Value, json};

use super::driver::{Answer, Oracle, Tally, regressions};

const BATCH: usize = 500;
const DEFAULTED: &str = "defaulted";
const PRUNED: &str = "pruned";
const INVALID: &str = "validation error";
const VALID: &str = "valid";
const UPDATED: &str = "update";
const RATCHETED: &str = "ratcheted";
const DEFINITION: &str = "definition";
const REFUSED: &str = "definition refused";

/// Runs the regressions and `cases` fresh cases.
pub fn run(oracle: &mut Oracle, cases: usize, seed: u64) -> Tally {
    let situations = [DEFAULTED, PRUNED, INVALID, VALID, UPDATED, RATCHETED, DEFINITION, REFUSED];
    let mut tally = Tally::expecting(&situations);
    ask(oracle, &mut tally, &regressions("crd"));
    let mut rng = StdRng::seed_from_u64(seed);
    let mut left = cases;
    while left > 0 {
        let count = left.min(BATCH);
        left -= count;
        let batch: Vec<Value> = (0..count).map(|_| random_case(&mut rng)).collect();
        ask(oracle, &mut tally, &batch);
    }
    tally
}

fn ask(oracle: &mut Oracle, tally: &mut Tally, cases: &[Value]) {
    for (case, answer) in cases.iter().zip(oracle.ask(cases).expect("the oracle answers")) {
        let ours = canonical(answer_of(case));
        count(tally, case, &ours);
        let outcome = match answer {
            Answer::Value(theirs) => {
                let theirs = canonical(theirs);
                if same(&ours, &theirs) { Ok(()) } else { Err(difference(&ours, &theirs)) }
            }
            Answer::Error(_) if ours["error"].is_string() => Ok(()),
            Answer::Error(text) => Err(format!("ours:   {ours}\ntheirs: error {text}")),
            // A definition that makes the library stumble is a server error there.
            Answer::Panic(_) if case.get("definition").is_some() => {
                tally.skipped += 1;
                continue;
            }
            Answer::Panic(text) => Err(format!("the oracle fails: {text}")),
        };
        tally.judge(case, outcome);
    }
}

fn count(tally: &mut Tally, case: &Value, ours: &Value) {
    let faulty = ours["errors"].as_array().is_some_and(|errors| !errors.is_empty());
    if case.get("definition").is_some() {
        tally.reach(DEFINITION);
        if faulty {
            tally.reach(REFUSED);
        }
        return;
    }
    let unknown = ours["unknown"].as_array().is_some_and(|unknown| !unknown.is_empty());
    let mut reach = |name, reached: bool| {
        if reached {
            tally.reach(name);
        }
    };
    reach(PRUNED, unknown);
    reach(DEFAULTED, ours["defaulted"] == true);
    reach(INVALID, faulty);
    reach(VALID, !faulty);
    reach(UPDATED, case["old"].is_object());
    reach(RATCHETED, ours["ratcheted"] == true);
}

/// What only one side says.
pub fn difference(ours: &Value, theirs: &Value) -> String {
    let errors = |answer: &Value| answer["errors"].as_array().cloned().unwrap_or_default();
    let only = |left: &Value, right: &Value| -> Vec<Value> {
        let right = errors(right);
        errors(left).into_iter().filter(|error| !right.contains(error)).collect()
    };
    let mut text = format!("only ours:   {}\nonly theirs: {}", json!(only(ours, theirs)), json!(only(theirs, ours)));
    for key in ["object", "unknown", "structural", "error"] {
        if ours.get(key) != theirs.get(key) {
            text.push_str(&format!("\n{key}: ours {} theirs {}", ours[key], theirs[key]));
        }
    }
    text
}

/// The types of a compilation are named by the time of day.
pub fn without_made_up_names(text: &str) -> String {
    let mut parts = text.split("selfType");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        format!("{text}selfType{}", part.trim_start_matches(|char: char| char.is_ascii_digit()))
    })
}

/// Errors in a fixed order, numbers in one form. Whole parts of a definition print in the form of Go's
/// internal types, which is not compared.
fn canonical(mut answer: Value) -> Value {
    normalize_numbers(&mut answer);
    if let Some(errors) = answer.get_mut("errors").and_then(Value::as_array_mut) {
        for error in errors.iter_mut() {
            let go_type = error["detail"].as_str().is_some_and(|detail| {
                detail.contains("version marked as storage")
                    || detail.contains("unique version names")
                    || detail.contains("at the root of the schema")
                    || detail.contains("cel expression must")
                    || detail.contains("compilation failed")
            });
            if go_type {
                error["value"] = Value::Null;
            }
            if let Value::String(detail) = &mut error["detail"] {
                *detail = without_made_up_names(detail);
            }
        }
        errors.sort_by_key(Value::to_string);
    }
    if answer["unknown"].is_null() && answer["object"].is_object() {
        answer["unknown"] = json!([]);
    }
    answer
}

fn same(ours: &Value, theirs: &Value) -> bool {
    let structural = ours["structural"] == true && theirs["structural"].is_array();
    structural || ["object", "unknown", "errors"].iter().all(|key| ours.get(*key) == theirs.get(*key))
}

fn answer_of(case: &Value) -> Value {
    if let Some(crd) = case.get("definition") {
        let mut crd = crd.clone();
        definition::default(&mut crd);
        return json!({"errors": faults(definition::validate(&crd))});
    }
    let crd = wrap(&case["schema"], json!({}));
    let compiled = match CompiledVersion::compile(&crd, "v1") {
        Ok(compiled) => compiled,
        Err(Error::NotStructural(_)) => return json!({"structural": true}),
        Err(error) => return json!({"error": error.to_string()}),
    };
    let read = |object: &Value| -> Result<(Value, Vec<String>, bool), String> {
        let mut object = object.clone();
        let unknown = compiled.prune(&mut object)?;
        let before = object.clone();
        compiled.default(&mut object);
        let defaulted = object != before;
        Ok((object, unknown, defaulted))
    };
    let (object, unknown, defaulted) = match read(&case["object"]) {
        Ok(read) => read,
        Err(error) => return json!({"error": error}),
    };
    let old = match case["old"].is_object().then(|| read(&case["old"])).transpose() {
        Ok(old) => old.map(|(old, _, _)| old),
        Err(error) => return json!({"error": error}),
    };
    let errors = compiled.validate(&object, old.as_ref());
    let ratcheted = old.is_some() && compiled.validate(&object, None).len() > errors.len();
    json!({
        "object": object, "unknown": unknown, "errors": faults(errors), "defaulted": defaulted, "ratcheted": ratcheted,
    })
}

pub fn faults(errors: ErrorList) -> Vec<Value> {
    let fault = |error: ferroflow_cluster::core::field::FieldError| json!({"type": error.kind.reason(), "field": error.field, "detail": error.detail, "value": error.bad_value});
    errors.into_iter().map(fault).collect()
}

/// A definition around a schema.
pub fn wrap(schema: &Value, version: Value) -> Value {
    let mut version = version;
    version["name"] = json!("v1");
    version["served"] = json!(true);
    version["storage"] = json!(true);
    version["schema"] = json!({"openAPIV3Schema": schema});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"},
            "versions": [version],
        },
        "status": {"storedVersions": ["v1"]},
    })
}

// ---- random cases -------------------------------------------------------------------------------

fn chance(rng: &mut StdRng, percent: u32) -> bool {
    rng.random_range(0..100) < percent
}

fn pick<T: Clone>(rng: &mut StdRng, choices: &[T]) -> T {
    choices.choose(rng).expect("there are choices").clone()
}

fn random_case(rng: &mut StdRng) -> Value {
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

fn root_schema(rng: &mut StdRng) -> Value {
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

fn any(rng: &mut StdRng) -> Value {
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

// ---- definitions --------------------------------------------------------------------------------

fn definition_case(rng: &mut StdRng) -> Value {
    let mut schema = root_schema(rng);
    if chance(rng, 45) {
        spoil(rng, &mut schema);
    }
    let mut version = json!({});
    if chance(rng, 30) {
        version["subresources"] = json!({"status": {}});
    }
    if chance(rng, 20) {
        version["subresources"]["scale"] = json!({
            "specReplicasPath": pick(rng, &[".spec.replicas", "spec.replicas", ".status.x", ""]),
            "statusReplicasPath": pick(rng, &[".status.replicas", ".spec.x"]),
        });
        if chance(rng, 50) {
            version["subresources"]["scale"]["labelSelectorPath"] = json!(pick(rng, &[".status.selector", ".x"]));
        }
    }
    if chance(rng, 25) {
        version["additionalPrinterColumns"] = json!([{
            "name": pick(rng, &["A", ""]),
            "type": pick(rng, &["string", "date", "nope", ""]),
            "jsonPath": pick(rng, &[".spec.a", "spec.a", ""]),
            "format": pick(rng, &["", "int32", "bad"]),
        }]);
    }
    if chance(rng, 25) {
        version["selectableFields"] =
            json!([{"jsonPath": pick(rng, &[".spec.a", ".metadata.name", ".spec", ".spec.b.c", ""])}]);
    }
    if chance(rng, 10) {
        version["deprecationWarning"] = json!(pick(rng, &["old", "", "a\u{7}"]));
        version["deprecated"] = json!(chance(rng, 60));
    }
    let mut crd = wrap(&schema, version);
    if chance(rng, 15) {
        let mut second = crd["spec"]["versions"][0].clone();
        second["name"] = json!(pick(rng, &["v2", "v1", "V_3"]));
        second["storage"] = json!(chance(rng, 30));
        if chance(rng, 60) {
            second["schema"] = json!({"openAPIV3Schema": root_schema(rng)});
        }
        crd["spec"]["versions"].as_array_mut().unwrap().push(second);
    }
    if chance(rng, 20) {
        spoil_names(rng, &mut crd);
    }
    json!({"subject": "crd", "definition": crd})
}

fn spoil_names(rng: &mut StdRng, crd: &mut Value) {
    match rng.random_range(0..8) {
        0 => crd["spec"]["group"] = json!(pick(rng, &["example", "", "Bad.Group", "x.k8s.io"])),
        1 => crd["spec"]["scope"] = json!(pick(rng, &["", "Other", "Cluster"])),
        2 => crd["spec"]["names"]["plural"] = json!(pick(rng, &["Things", "", "a-b"])),
        3 => crd["spec"]["names"]["kind"] = json!(pick(rng, &["thing_x", "", "ThingList"])),
        4 => crd["spec"]["names"]["shortNames"] = json!(["ok", "Not_ok"]),
        5 => crd["spec"]["names"]["categories"] = json!(["all", "A"]),
        6 => {
            crd["spec"]["conversion"] = json!({"strategy": pick(rng, &["Webhook", "Nope", "None"]), "webhook": {
                "conversionReviewVersions": pick(rng, &[json!(["v1", "v1"]), json!(["v3"]), json!([])]),
                "clientConfig": {"url": pick(rng, &["https://x/y", "http://x", "::", "https://u@x/?q#f"])},
            }});
        }
        _ => crd["spec"]["preserveUnknownFields"] = json!(true),
    }
}

/// Breaks a rule of schemas somewhere.
fn spoil(rng: &mut StdRng, schema: &mut Value) {
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut)
        && chance(rng, 75)
    {
        let names: Vec<String> = properties.keys().cloned().collect();
        if let Some(property) = names.choose(rng).and_then(|name| properties.get_mut(name)) {
            return spoil(rng, property);
        }
    }
    match rng.random_range(0..22) {
        0 => schema["type"] = json!("nope"),
        1 => {
            schema.as_object_mut().unwrap().remove("type");
        }
        2 => schema["additionalProperties"] = json!({"type": "string"}),
        3 => schema["uniqueItems"] = json!(true),
        4 => schema["$ref"] = json!("#/x"),
        5 => schema["anyOf"] = json!([{"type": "string"}, {"properties": {"q": {"minimum": 1}}}]),
        6 => schema["x-kubernetes-preserve-unknown-fields"] = json!(false),
        7 => schema["x-kubernetes-list-type"] = json!(pick(rng, &["map", "set", "odd"])),
        8 => schema["x-kubernetes-map-type"] = json!(pick(rng, &["atomic", "odd"])),
        9 => schema["x-kubernetes-list-map-keys"] = json!(["key", "key"]),
        10 => schema["x-kubernetes-embedded-resource"] = json!(true),
        11 => schema["pattern"] = json!(pick(rng, &["(", "[", "a**", "\\y", "*", "a{2,1}", "(?x)"])),
        12 => schema["default"] = any(rng),
        13 => schema["items"] = json!({"type": "string", "nullable": true}),
        14 => {
            schema["x-kubernetes-validations"] = json!([{"rule": pick(rng, &["", "self.nope", "1 +", "true", "1"]),
            "message": pick(rng, &["", " ", "a\nb"])}])
        }
        15 => schema["x-kubernetes-int-or-string"] = json!(true),
        16 => schema["not"] = json!({"default": 1, "title": "t", "nullable": true}),
        17 => schema["allOf"] = json!([{"items": {"minLength": 1}, "description": "d"}]),
        18 => schema["id"] = json!("x"),
        19 => schema["nullable"] = json!(true),
        20 => {
            schema["properties"] = json!({"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}})
        }
        _ => schema["oneOf"] = json!([{"required": ["a"]}, {"properties": {"metadata": {}}}]),
    }
}
