//! Quantities against `apimachinery/pkg/api/resource`: reading, printing, rounding, arithmetic, order.

use std::cmp::Ordering;

use ferroflow_cluster::core::quantity::{Format, Quantity};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Map, Value, json};

use super::driver::{Answer, Oracle, Tally, regressions};

const BATCH: usize = 2_000;
const REFUSED: &str = "refused";
const LONG: &str = "beyond 64 bits";
const BINARY: &str = "binary suffix";
const FRACTION: &str = "fraction";
const EXPONENT: &str = "exponent";

/// Runs the regressions and `cases` fresh cases.
pub fn run(oracle: &mut Oracle, cases: usize, seed: u64) -> Tally {
    let mut tally = Tally::expecting(&[REFUSED, LONG, BINARY, FRACTION, EXPONENT]);
    ask(oracle, &mut tally, &regressions("quantity"));
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
        let text = format!("{} {}", case["left"], case["right"]);
        let mut reach = |name: &'static str, reached: bool| {
            if reached {
                tally.reach(name);
            }
        };
        reach(REFUSED, ours["order"].is_null());
        reach(LONG, text.split(|letter: char| !letter.is_ascii_digit()).any(|digits| digits.len() > 18));
        reach(BINARY, text.contains('i'));
        reach(FRACTION, text.contains('.'));
        reach(EXPONENT, text.contains('e'));
        let outcome = match answer {
            Answer::Value(theirs) if same(&ours, &theirs) => Ok(()),
            Answer::Value(theirs) => Err(format!("ours:   {ours}\ntheirs: {theirs}")),
            Answer::Error(text) | Answer::Panic(text) => Err(format!("the oracle fails: {text}")),
        };
        tally.judge(case, outcome);
    }
}

/// What is null or zero of ours the program leaves out.
fn same(ours: &Value, theirs: &Value) -> bool {
    let kept = |value: &Value| -> Map<String, Value> {
        let members = value.as_object().cloned().unwrap_or_default();
        members.into_iter().filter(|(_, value)| !value.is_null() && *value != json!(0)).collect()
    };
    ["left", "right"].iter().all(|side| kept(&ours[*side]) == kept(&theirs[*side]))
        && ["order", "sum", "sumValue", "difference"].iter().all(|name| {
            let (ours, theirs) = (&ours[*name], &theirs[*name]);
            ours == theirs || (ours.is_null() || *ours == json!(0)) && (theirs.is_null() || *theirs == json!(0))
        })
}

fn answer_of(case: &Value) -> Value {
    let text = |name: &str| case[name].as_str().unwrap_or_default();
    let factor = case["factor"].as_i64().unwrap_or_default();
    let scale = case["scale"].as_i64().unwrap_or_default() as i32;
    let mut answer = json!({"left": read(text("left"), factor, scale), "right": read(text("right"), factor, scale)});
    let (Ok(left), Ok(right)) = (Quantity::parse(text("left")), Quantity::parse(text("right"))) else { return answer };
    let (mut sum, mut difference) = (left.clone(), left.clone());
    sum.add(&right);
    difference.sub(&right);
    answer["order"] = json!(match left.cmp(&right) {
        Ordering::Less => -1,
        Ordering::Equal => 0,
        Ordering::Greater => 1,
    });
    answer["sum"] = json!(sum.to_string());
    answer["sumValue"] = json!(sum.value());
    answer["difference"] = json!(difference.to_string());
    answer
}

fn read(text: &str, factor: i64, scale: i32) -> Value {
    let quantity = match Quantity::parse(text) {
        Ok(quantity) => quantity,
        Err(error) => return json!({"error": error.to_string()}),
    };
    let (mut rounded, mut negated, mut product) = (quantity.clone(), quantity.clone(), quantity.clone());
    rounded.round_up(scale);
    negated.neg();
    product.mul(factor);
    json!({
        "text": quantity.to_string(),
        "format": match quantity.format() {
            Format::DecimalExponent => "DecimalExponent",
            Format::BinarySi => "BinarySI",
            Format::DecimalSi => "DecimalSI",
        },
        "value": quantity.value(),
        "milli": quantity.milli_value(),
        "sign": quantity.sign(),
        "rounded": rounded.to_string(),
        "negated": negated.to_string(),
        "product": product.to_string(),
    })
}

fn random_case(rng: &mut StdRng) -> Value {
    let left = random_text(rng);
    // Close relatives meet in comparisons and sums.
    let right = if rng.random_bool(0.1) { left.clone() } else { random_text(rng) };
    let factor = [0, 1, -1, 2, 3, 10, 1000, 1 << 20, i64::MAX, i64::MIN][rng.random_range(0..10)];
    json!({
        "subject": "quantity",
        "left": left,
        "right": right,
        "factor": factor,
        "scale": rng.random_range(-9..10),
    })
}

fn random_text(rng: &mut StdRng) -> String {
    let mut text = String::new();
    text.push_str(["", "", "", "", "-", "+"][rng.random_range(0..6)]);
    text.push_str(&digits(rng));
    if rng.random_bool(0.3) {
        text.push('.');
        text.push_str(&digits(rng));
    }
    match rng.random_range(0..10) {
        0..=2 => {}
        3..=5 => text.push_str(["n", "u", "m", "k", "M", "G", "T", "P", "E"][rng.random_range(0..9)]),
        6..=7 => text.push_str(["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"][rng.random_range(0..6)]),
        _ => {
            text.push_str(["e", "E"][rng.random_range(0..2)]);
            let bound = if rng.random_bool(0.05) { 300 } else { 25 };
            let sign = ["", "+", "-"][rng.random_range(0..3)];
            text.push_str(&format!("{sign}{}", rng.random_range(0..bound)));
        }
    }
    if rng.random_bool(0.05) {
        spoil(&mut text, rng);
    }
    // The library writes out every zero of an exponent.
    let exponent = text.rsplit(['e', 'E']).next().unwrap_or_default();
    let digits = exponent.trim_start_matches(['+', '-']).len();
    if exponent.len() < text.len() && digits > 3 { random_text(rng) } else { text }
}

fn digits(rng: &mut StdRng) -> String {
    let length = match rng.random_range(0..10) {
        0 => 0,
        1..=6 => rng.random_range(1..5),
        7 => rng.random_range(5..18),
        8 => rng.random_range(17..20),
        _ => rng.random_range(20..40),
    };
    let zeros = rng.random_bool(0.3);
    (0..length).map(|place| if zeros && place > 0 { '0' } else { char::from(b'0' + rng.random_range(0..10)) }).collect()
}

fn spoil(text: &mut String, rng: &mut StdRng) {
    let letters: Vec<char> = "0.+-eEinumkKMGTP x_é".chars().collect();
    let mut all: Vec<char> = text.chars().collect();
    let place = rng.random_range(0..=all.len());
    if place < all.len() && rng.random_bool(0.5) {
        all.remove(place);
    } else {
        all.insert(place, letters[rng.random_range(0..letters.len())]);
    }
    *text = all.into_iter().collect();
}
