//! Conditions and selectors against cel-go, which upstream's backend evaluates them with.
//!
//! The library answers through the Go program in `conformance/oracle`; `FERROFLOW_ORACLE_CASES` and
//! `FERROFLOW_ORACLE_SEED` change the number of fresh cases and where they start. Where it says something, we must say
//! the same. Where it refuses, we may say more: it checks types before it evaluates, and has none of our conversions.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../../cluster/tests/oracle/driver.rs"]
mod driver;

use driver::{Answer, Oracle, Tally, regressions};
use ferroflow_pipelines::core::{condition::Condition, value::Parameters};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};

/// Fresh cases in `make test`.
const CASES: usize = 10_000;
const BATCH: usize = 2_000;
const HOLDS: &str = "holds";
const FAILS: &str = "does not hold";
const SELECTED: &str = "selected";
const REFUSED: &str = "refused by both";
const COMPREHENSION: &str = "comprehension";

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn conditions_agree_with_the_real_library() {
    let cases = usize::try_from(setting("FERROFLOW_ORACLE_CASES", CASES as u64)).unwrap();
    let mut rng = StdRng::seed_from_u64(setting("FERROFLOW_ORACLE_SEED", 1));
    let mut oracle = match Oracle::start() {
        Ok(oracle) => oracle,
        Err(reason) => return println!("condition: 0 passed, 0 failed, {cases} skipped: {reason}"),
    };
    let mut tally = Tally::expecting(&[HOLDS, FAILS, SELECTED, REFUSED, COMPREHENSION]);
    ask(&mut oracle, &mut tally, &regressions("condition"));
    let mut left = cases;
    while left > 0 {
        let count = left.min(BATCH);
        left -= count;
        let batch: Vec<Value> = (0..count).map(|_| random_case(&mut rng)).collect();
        ask(&mut oracle, &mut tally, &batch);
    }
    tally.finish("condition");
}

fn ask(oracle: &mut Oracle, tally: &mut Tally, cases: &[Value]) {
    for (case, theirs) in cases.iter().zip(oracle.ask(cases).expect("the oracle answers")) {
        let ours = answer(case);
        let mut reach = |name: &'static str, is_reached: bool| {
            if is_reached {
                tally.reach(name);
            }
        };
        reach(HOLDS, ours == Ok(json!(true)));
        reach(FAILS, ours == Ok(json!(false)));
        reach(SELECTED, case.get("from").is_some() && ours.is_ok());
        reach(REFUSED, ours.is_err() && matches!(theirs, Answer::Error(_)));
        let text = case["expression"].as_str().unwrap_or_default();
        reach(COMPREHENSION, [".all(", ".exists(", ".map(", ".filter("].iter().any(|name| text.contains(name)));
        let outcome = match (&ours, &theirs) {
            (Ok(ours), Answer::Value(theirs)) if *ours == integral(theirs) => Ok(()),
            (_, Answer::Error(_)) => Ok(()),
            _ => Err(format!("ours:   {ours:?}\ntheirs: {theirs:?}")),
        };
        tally.judge(case, outcome);
    }
}

fn integral(value: &Value) -> Value {
    ferroflow_pipelines::core::value::integral(value.clone())
}

fn answer(case: &Value) -> Result<Value, String> {
    let condition = Condition::parse(case["expression"].as_str().unwrap()).map_err(|fault| fault.to_string())?;
    let answer = match case["parameters"].as_object() {
        Some(parameters) => {
            let parameters: Parameters = parameters.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
            condition.evaluate(&parameters).map(Value::from)
        }
        None => condition.select(&case["from"]),
    };
    answer.map_err(|fault| fault.to_string())
}

fn random_case(rng: &mut StdRng) -> Value {
    if rng.random_bool(0.25) {
        let expression = selector(rng);
        return json!({"subject": "condition", "expression": expression, "from": fields(rng)});
    }
    json!({"subject": "condition", "expression": truth(rng, 3), "parameters": {
        "s": text(rng), "t": rng.random_range(-3..9_i64).to_string(), "n": rng.random_range(-3..9_i64),
        "m": rng.random_range(1..2_000_000_i64), "h": f64::from(rng.random_range(-40..40_i32)) / 8.0,
        "y": rng.random_bool(0.5), "l": [rng.random_range(0..4_i64), text(rng), 2], "e": [],
        "o": {"a": {"b": rng.random_range(0..3_i64)}, "c": text(rng)}, "j": json_value(rng, 2).to_string(), "z": null,
    }})
}

fn text(rng: &mut StdRng) -> &'static str {
    pick(rng, &["heads", "tails", "", "5", "true", "é", "a'b", "he\"l", "{\"a\": 1}"])
}

fn pick<T: Copy>(rng: &mut StdRng, all: &[T]) -> T {
    *all.choose(rng).unwrap()
}

fn json_value(rng: &mut StdRng, depth: usize) -> Value {
    match rng.random_range(0..if depth == 0 { 4 } else { 6 }) {
        0 => rng.random_range(-3..9_i64).into(),
        1 => text(rng).into(),
        2 => rng.random_bool(0.5).into(),
        3 => (f64::from(rng.random_range(-9..9_i32)) / 4.0).into(),
        4 => json!([json_value(rng, depth - 1), json_value(rng, depth - 1)]),
        _ => json!({"a": json_value(rng, depth - 1), "b c": json_value(rng, depth - 1)}),
    }
}

/// Mostly what selectors are for: an object, or its text.
fn fields(rng: &mut StdRng) -> Value {
    let object = json!({"a": json_value(rng, 1), "b c": json_value(rng, 1)});
    match rng.random_range(0..4) {
        0 => json_value(rng, 2),
        1 => object.to_string().into(),
        _ => object,
    }
}

fn selector(rng: &mut StdRng) -> String {
    let root = pick(
        rng,
        &["parseJson(string_value)", "struct_value", "parseJson(string_value)", "string_value", "list_value"],
    );
    let path = pick(rng, &["", "[\"a\"]", ".a", "[\"b c\"]", "[0]", "[\"a\"][0]", "[\"a\"].a", ".size()"]);
    format!("{root}{path}")
}

/// An expression that should be true or false.
fn truth(rng: &mut StdRng, depth: usize) -> String {
    if depth == 0 {
        return pick(rng, &["true", "false", "inputs.parameter_values['y']", "inputs.parameter_values.y"]).to_owned();
    }
    match rng.random_range(0..13) {
        0 => format!("{} && {}", truth(rng, depth - 1), truth(rng, depth - 1)),
        1 => format!("({} || {})", truth(rng, depth - 1), truth(rng, depth - 1)),
        2 => format!("!({})", truth(rng, depth - 1)),
        3 => format!("({} ? {} : {})", truth(rng, 0), truth(rng, depth - 1), truth(rng, depth - 1)),
        4 => format!("{} in {}", value(rng, 1), list(rng)),
        5 => format!("has(inputs.parameter_values.{})", pick(rng, &["s", "z", "missing", "o.a", "o.missing"])),
        6 => {
            let method = pick(rng, &["contains", "startsWith", "endsWith", "matches"]);
            format!("{}.{method}({})", value(rng, 0), pick(rng, &["'he'", "'s'", "''", "'.*a'", "\"[a-h]+\""]))
        }
        7 | 8 => {
            let kind = pick(rng, &["all", "exists", "exists_one"]);
            let operator = pick(rng, &["==", "!=", "<", ">="]);
            format!("{}.{kind}(it, it {operator} {})", list(rng), value(rng, 0))
        }
        _ => {
            let operator = pick(rng, &["==", "!=", "<", "<=", ">", ">="]);
            format!("{} {operator} {}", value(rng, depth - 1), value(rng, depth - 1))
        }
    }
}

fn list(rng: &mut StdRng) -> String {
    match rng.random_range(0..7) {
        0 => "inputs.parameter_values['e']".to_owned(),
        1 => format!("[{}, {}]", value(rng, 0), value(rng, 0)),
        2 => format!("{}.filter(x, x != {})", list(rng), value(rng, 0)),
        3 => format!("{}.map(x, [x])", list(rng)),
        4 => "inputs.parameter_values['o']".to_owned(),
        5 => "parseJson(inputs.parameter_values['j'])".to_owned(),
        _ => "inputs.parameter_values['l']".to_owned(),
    }
}

fn value(rng: &mut StdRng, depth: usize) -> String {
    let name = pick(rng, &["s", "t", "n", "n", "m", "m", "h", "h", "y", "l", "o", "j", "z", "missing"]);
    let reference = format!("inputs.parameter_values['{name}']");
    if depth == 0 {
        return match rng.random_range(0..5) {
            0 => rng.random_range(0..6_i64).to_string(),
            1 => format!("{:?}", f64::from(rng.random_range(0..9_i32)) / 4.0),
            2 => pick(rng, &["'heads'", "\"5\"", "''", "'a\\'b'", "r'a\\b'", "'\\u00e9'"]).to_owned(),
            _ => reference,
        };
    }
    match rng.random_range(0..11) {
        0 => format!("int({})", value(rng, 0)),
        1 => format!("double({})", value(rng, 0)),
        2 => format!("double(int({}))", value(rng, 0)),
        3 => format!("string({})", value(rng, 0)),
        4 => format!("size({reference})"),
        5 | 6 => {
            let operator = pick(rng, &["+", "-", "*", "/", "%"]);
            // Upstream has infinities, and we faults.
            let right = if operator == "/" { "int(inputs.parameter_values['m'])".to_owned() } else { value(rng, 0) };
            format!("({} {operator} {right})", value(rng, 0))
        }
        7 => format!("parseJson(inputs.parameter_values['j']){}", pick(rng, &["", "['a']", "[0]", ".a", "['b c']"])),
        8 => format!("inputs.parameter_values['o']{}", pick(rng, &["['a']", ".a.b", ".c", "['a']['b']", ".d"])),
        9 => format!("inputs.parameter_values['l'][{}]", rng.random_range(0..4)),
        _ => value(rng, 0),
    }
}
