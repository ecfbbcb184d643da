//! Random CustomResourceDefinitions, sound and broken.

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};

use super::crd::wrap;
use super::crd_cases::{any, chance, pick, root_schema};

/// A definition, in half of the cases with a broken rule or two.
pub fn definition_case(rng: &mut StdRng) -> Value {
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
