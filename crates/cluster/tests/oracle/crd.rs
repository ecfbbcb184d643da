//! Custom resources against apiextensions: pruning, defaulting, structural validation, ratcheting, and
//! the validation of definitions.

use ferroflow_cluster::core::crd::{CompiledVersion, Error, definition, normalize_numbers};
use ferroflow_cluster::core::field::ErrorList;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::crd_cases::random_case;
use super::driver::{Answer, Oracle, Tally, regressions};
use super::situations::VALIDATION;

const BATCH: usize = 500;
/// How often a case is asked again whose answer may depend on the order of Go's maps.
const ATTEMPTS: usize = 40;
const DEFAULTED: &str = "defaulted";
const PRUNED: &str = "pruned";
const VALID: &str = "valid";
const UPDATED: &str = "update";
const RATCHETED: &str = "ratcheted";
const DEFINITION: &str = "definition";
const REFUSED: &str = "definition refused";

/// Runs the regressions and `cases` fresh cases.
pub fn run(oracle: &mut Oracle, cases: usize, seed: u64) -> Tally {
    let situations = [DEFAULTED, PRUNED, VALIDATION, VALID, UPDATED, RATCHETED, DEFINITION, REFUSED];
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
                if same(&ours, &theirs) || varies(oracle, case, &ours, &theirs) {
                    Ok(())
                } else {
                    Err(difference(&ours, &theirs))
                }
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

/// Whether the library answers now one thing, now another, and ours is among them: where metadata inside a
/// default is decoded until the first fault, what was decoded before depends on the order of Go's maps.
fn varies(oracle: &mut Oracle, case: &Value, ours: &Value, theirs: &Value) -> bool {
    if !defaults_metadata(case) {
        return false;
    }
    let again = oracle.ask(&vec![case.clone(); ATTEMPTS]).expect("the oracle answers");
    let agrees = |answer: Answer| match answer {
        Answer::Value(again) => {
            let again = canonical(again);
            !same(&again, theirs) && same(ours, &again)
        }
        Answer::Error(_) | Answer::Panic(_) => false,
    };
    again.into_iter().any(agrees)
}

/// Whether a default anywhere in a case has metadata in it.
fn defaults_metadata(case: &Value) -> bool {
    fn has_key(value: &Value, wanted: &dyn Fn(&str, &Value) -> bool) -> bool {
        match value {
            Value::Object(fields) => fields.iter().any(|(key, value)| wanted(key, value) || has_key(value, wanted)),
            Value::Array(items) => items.iter().any(|item| has_key(item, wanted)),
            _ => false,
        }
    }
    has_key(case, &|key, value| key == "default" && has_key(value, &|key, _| key == "metadata"))
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
    reach(VALIDATION, faulty);
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
