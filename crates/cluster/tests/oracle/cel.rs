//! CEL rules against apiextensions and cel-go: compilation, estimated cost, verdict, message, real cost.

use std::collections::HashSet;

use ferroflow_cluster::core::crd::cel::decl::DeclType;
use ferroflow_cluster::core::crd::cel::rules::{Budget, Validator, compile};
use ferroflow_cluster::core::crd::structural::Schema;
use ferroflow_cluster::core::field::Path;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::cel_cases::random_case;
use super::crd::{difference, faults, without_made_up_names};
use super::driver::{Answer, Oracle, Tally, regressions};

const BATCH: usize = 500;
const UNHASHABLE: &str = "hash of unhashable type";
const REFUSED: &str = "does not compile";
const FAULTY: &str = "runtime error";
const HOLDS: &str = "holds";
const FAILS: &str = "fails";
const TRANSITION: &str = "transition rule";
const MESSAGE: &str = "message expression";
const FOLD: &str = "comprehension";

/// Runs the regressions and `cases` fresh cases.
pub fn run(oracle: &mut Oracle, cases: usize, seed: u64) -> Tally {
    let mut tally = Tally::expecting(&[REFUSED, FAULTY, HOLDS, FAILS, TRANSITION, MESSAGE, FOLD]);
    ask(oracle, &mut tally, &regressions("cel"));
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
            Answer::Value(theirs) if theirs.to_string().contains(UNHASHABLE) => {
                tally.skipped += 1;
                continue;
            }
            Answer::Value(theirs) => {
                let theirs = canonical(theirs);
                if ours == theirs { Ok(()) } else { Err(told(case, &ours, &theirs)) }
            }
            // The check of list items takes any optional item for one with a type, and panics where it is not.
            // Bytes as keys of maps make it panic, too.
            Answer::Panic(text)
                if text.contains("index out of range [0] with length 0") || text.contains(UNHASHABLE) =>
            {
                tally.skipped += 1;
                continue;
            }
            Answer::Error(text) | Answer::Panic(text) => Err(format!("the oracle fails: {text}")),
        };
        tally.judge(case, outcome);
    }
}

fn told(case: &Value, ours: &Value, theirs: &Value) -> String {
    let mut text = difference(ours, theirs);
    for key in ["rules", "left"] {
        if ours[key] != theirs[key] {
            text.push_str(&format!("\n{key}:\n  ours   {}\n  theirs {}", ours[key], theirs[key]));
        }
    }
    text.push_str(&format!("\nrule: {}", case["schema"]["x-kubernetes-validations"]));
    text.push_str(&format!("\nobject: {}\nold: {}", case["object"]["spec"], case["old"]["spec"]));
    text
}

fn count(tally: &mut Tally, case: &Value, ours: &Value) {
    let rule = case["schema"]["x-kubernetes-validations"][0].to_string();
    let errors = ours["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    let refused = ours["rules"][0]["error"] != "";
    let faulty = errors.iter().any(|error| {
        error["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("evaluating rule") || detail.contains("call arguments"))
    });
    let mut reach = |name, reached: bool| {
        if reached {
            tally.reach(name);
        }
    };
    reach(REFUSED, refused);
    reach(FAULTY, faulty);
    reach(HOLDS, !refused && errors.is_empty());
    reach(FAILS, !refused && !faulty && !errors.is_empty());
    reach(TRANSITION, ours["rules"][0]["usesOldSelf"] == true && case["old"].is_object());
    reach(MESSAGE, case["schema"]["x-kubernetes-validations"][0]["messageExpression"].is_string());
    reach(FOLD, [".all(", ".exists(", ".map(", ".filter(", "exists_one("].iter().any(|name| rule.contains(name)));
}

/// Names of types are made up on each compilation, and the words of syntax errors are the parser
/// generator's: neither is compared.
fn canonical(mut answer: Value) -> Value {
    fn walk(value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Some(at) = text.find("Syntax error") {
                    let start = text[..at].rfind("ERROR").unwrap_or(at);
                    text.truncate(start);
                    text.push_str("syntax error");
                }
                *text = without_made_up_names(text);
            }
            Value::Array(items) => items.iter_mut().for_each(walk),
            Value::Object(fields) => fields.values_mut().for_each(walk),
            _ => {}
        }
    }
    walk(&mut answer);
    if let Some(errors) = answer.get_mut("errors").and_then(Value::as_array_mut) {
        errors.sort_by_key(Value::to_string);
    }
    answer
}

fn answer_of(case: &Value) -> Value {
    let schema = Schema::from_value(&case["schema"]);
    let decl = DeclType::of(&schema, true).expect("the schema has a type");
    let rules: Vec<Value> = compile(&schema, &decl, &HashSet::new())
        .iter()
        .map(|rule| {
            json!({
                "error": rule.error.clone().unwrap_or_default(),
                "messageError": rule.message_error.clone().unwrap_or_default(),
                "usesOldSelf": rule.uses_old_self,
                "maxCost": rule.max_cost,
                "maxCardinality": rule.max_cardinality,
                "messageMaxCost": rule.message_max_cost,
            })
        })
        .collect();
    let validator = Validator::new(&schema, true).expect("the schema has rules");
    let mut budget = Budget::per_request();
    let old = Some(&case["old"]).filter(|old| old.is_object());
    let errors = validator.validate(&Path::root(""), &case["object"], old, None, &mut budget);
    json!({"rules": rules, "errors": faults(errors), "left": budget.left()})
}
