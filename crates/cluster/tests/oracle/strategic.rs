//! Strategic merge patches against `apimachinery/pkg/util/strategicpatch` over the real Go types.

use ferroflow_cluster::core::schema::{NodeId, Table};
use ferroflow_cluster::core::strategic::{Error, ErrorClass, patch};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::driver::{Answer, Oracle, Tally, regressions};
use super::situations::{KEYED_MERGE, Keys, REMOVAL, VALIDATION, loses, shares_items};
use super::strategic_cases::{KINDS, random_case};

const BATCH: usize = 500;
/// How often a case with several faults is asked again.
const ATTEMPTS: usize = 40;
const ORDER: &str = "element order";
const DELETE: &str = "deletion directive";
const RETAIN: &str = "retained keys";
const NULL: &str = "null";

/// Runs the regressions and `cases` fresh cases.
pub fn run(oracle: &mut Oracle, cases: usize, seed: u64) -> Tally {
    let mut tally = Tally::expecting(&[VALIDATION, REMOVAL, KEYED_MERGE, ORDER, DELETE, RETAIN, NULL]);
    ask(oracle, &mut tally, &regressions("strategic"));
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
        let ours = answer_of(case);
        let text = case["patch"].to_string();
        let mut reach = |name: &'static str, reached: bool| {
            if reached {
                tally.reach(name);
            }
        };
        reach(VALIDATION, ours.is_err());
        reach(REMOVAL, ours.as_ref().is_ok_and(|written| loses(&case["original"], written)));
        reach(KEYED_MERGE, ours.is_ok() && merges_items(case));
        reach(ORDER, text.contains("$setElementOrder"));
        reach(DELETE, text.contains("\"delete\"") || text.contains("$deleteFromPrimitiveList"));
        reach(RETAIN, text.contains("$retainKeys"));
        reach(NULL, text.contains("null"));
        let mut theirs = outcomes(answer);
        let agrees = |theirs: &[Value]| theirs.iter().any(|outcome| same_outcome(&ours, outcome));
        if ours.is_err() && !agrees(&theirs) {
            // Which of several faults is named depends on the order of Go's maps.
            let again = oracle.ask(&vec![case.clone(); ATTEMPTS]).expect("the oracle answers");
            theirs.extend(again.into_iter().flat_map(outcomes));
            theirs.dedup();
        }
        if ours.is_err() && !agrees(&theirs) && theirs.iter().any(|outcome| outcome.get("panic").is_some()) {
            // Upstream panics on some patches that it should refuse; ours refuses them.
            tally.skipped += 1;
            continue;
        }
        let difference = || Err(format!("ours:   {ours:?}\ntheirs: {}", Value::Array(theirs.clone())));
        tally.judge(case, if agrees(&theirs) { Ok(()) } else { difference() });
    }
}

/// What the library may say to a case.
fn outcomes(answer: Answer) -> Vec<Value> {
    match answer {
        Answer::Value(Value::Array(outcomes)) => outcomes,
        other => vec![json!({"panic": format!("{other:?}")})],
    }
}

fn answer_of(case: &Value) -> Result<Value, Error> {
    debug_assert!(KINDS.iter().any(|(_, _, kind)| *kind == case["kind"]));
    patch(Table::builtin(), shape_of(case), &case["original"], &case["patch"])
}

/// The shape of the kind that a case is about.
fn shape_of(case: &Value) -> NodeId {
    let text = |name: &str| case[name].as_str().unwrap_or_default();
    let (group, version) = text("apiVersion").split_once('/').unwrap_or(("", text("apiVersion")));
    Table::builtin().kind(group, version, text("kind")).expect("a built-in kind")
}

fn merges_items(case: &Value) -> bool {
    shares_items(Table::builtin(), shape_of(case), Keys::OfPatches, &case["original"], &case["patch"])
}

fn same_outcome(ours: &Result<Value, Error>, theirs: &Value) -> bool {
    match (ours, theirs.get("error")) {
        (Ok(ours), None) => same(ours, theirs.get("result").unwrap_or(&json!({}))),
        (Err(ours), Some(text)) => {
            let class = match ours.class {
                ErrorClass::BadRequest => "BadRequest",
                ErrorClass::Unprocessable => "Unprocessable",
                ErrorClass::Internal => "Internal",
            };
            text == &json!(ours.to_string()) && theirs["class"] == class
        }
        _ => false,
    }
}

/// Equal but for whole numbers with and without a point.
fn same(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            ours.len() == theirs.len()
                && ours.iter().all(|(name, value)| theirs.get(name).is_some_and(|theirs| same(value, theirs)))
        }
        (Value::Array(ours), Value::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| same(ours, theirs))
        }
        (Value::Number(ours), Value::Number(theirs)) => ours == theirs || ours.as_f64() == theirs.as_f64(),
        _ => ours == theirs,
    }
}
