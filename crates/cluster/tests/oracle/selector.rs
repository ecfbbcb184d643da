//! Label and field selectors against `apimachinery/pkg/labels`, `pkg/fields` and `metav1.LabelSelector`.

use std::collections::BTreeMap;

use ferroflow_cluster::core::resource::{Resource, Scope};
use ferroflow_cluster::core::selector::{fields, labels};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use super::driver::{Answer, Oracle, Tally, regressions};

const BATCH: usize = 2_000;
const REFUSED: &str = "refused";
const MATCHED: &str = "matched";
const MISSED: &str = "missed";
const SETS: &str = "set operator";
const FIELDS: &str = "fields";
const JSON_FORM: &str = "JSON form";

/// Label keys and values, and parts of broken ones.
const KEYS: &[&str] = &["a", "b", "app", "x.y/z", "k8s.io/n_a-m.e", "in", "notin", "A1"];
const VALUES: &[&str] = &["", "a", "b", "web", "1", "7", "-3", "+7", "in", "notin", "x_y.z-1", "007"];
const BROKEN: &[&str] =
    &["-a", "a-", "a/b/c", "/a", "a/", "A.b/c", "é", "\u{1}", "a b", "..", "a\"b", "9999999999999999999", "x.y./z"];
const FIELD_NAMES: &[&str] = &["metadata.name", "metadata.namespace", "spec.nodeName", "status.phase", "x", "é"];
const FIELD_VALUES: &[&str] = &["", "a", "b", "Running", "a\\,b", "a\\=b", "a\\\\b", "a b", "é", "!", "a!b"];

/// Runs the regressions and `cases` fresh cases.
pub fn run(oracle: &mut Oracle, cases: usize, seed: u64) -> Tally {
    let mut tally = Tally::expecting(&[REFUSED, MATCHED, MISSED, SETS, FIELDS, JSON_FORM]);
    ask(oracle, &mut tally, &regressions("selector"));
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
        let mut reach = |name: &'static str, reached: bool| {
            if reached {
                tally.reach(name);
            }
        };
        reach(REFUSED, ours.is_err());
        reach(MATCHED, ours.as_ref().is_ok_and(|ours| ours["matches"] == json!(true)));
        reach(MISSED, ours.as_ref().is_ok_and(|ours| ours["matches"] == json!(false)));
        reach(SETS, ours.as_ref().is_ok_and(|ours| ours["text"].to_string().contains('(')));
        reach(FIELDS, case["form"] == "fields");
        reach(JSON_FORM, case["form"] == "json");
        let outcome = match (&ours, &answer) {
            (Ok(ours), Answer::Value(theirs)) if ours == theirs => Ok(()),
            (Err(ours), Answer::Error(theirs)) if ours == theirs => Ok(()),
            _ => Err(format!("ours:   {ours:?}\ntheirs: {answer:?}")),
        };
        tally.judge(case, outcome);
    }
}

fn answer_of(case: &Value) -> Result<Value, String> {
    let text = case["text"].as_str().unwrap_or_default();
    let key = case["key"].as_str().unwrap_or_default();
    match case["form"].as_str() {
        Some("fields") => answer_fields(text, &case["set"], key),
        Some("json") => {
            let selector = labels::Selector::from_json(&case["selector"]).map_err(|error| error.to_string())?;
            Ok(answer_labels(&selector, &case["set"], key))
        }
        _ => {
            let selector = labels::Selector::parse(text).map_err(|error| error.to_string())?;
            Ok(answer_labels(&selector, &case["set"], key))
        }
    }
}

fn answer_labels(selector: &labels::Selector, set: &Value, key: &str) -> Value {
    let exact = selector.exact_match(key);
    json!({
        "text": selector.to_string(),
        "matches": selector.matches(set),
        "empty": selector.is_empty(),
        "exact": exact.unwrap_or_default(),
        "found": exact.is_some(),
    })
}

fn answer_fields(text: &str, set: &Value, key: &str) -> Result<Value, String> {
    let selector = fields::Selector::parse(text).map_err(|error| error.to_string())?;
    let exact = selector.exact_match(key);
    Ok(json!({
        "text": selector.to_string(),
        "matches": selector.matches(&resource(), &nested(set)),
        "empty": selector.is_empty(),
        "exact": exact.unwrap_or_default(),
        "found": exact.is_some(),
    }))
}

/// A resource whose fields are read by their plain paths.
fn resource() -> Resource {
    Resource {
        group: "plain".to_owned(),
        version: "v1".to_owned(),
        kind: "Plain".to_owned(),
        list_kind: "PlainList".to_owned(),
        plural: "plains".to_owned(),
        singular: "plain".to_owned(),
        short_names: Vec::new(),
        categories: Vec::new(),
        scope: Scope::Namespaced,
        verbs: Vec::new(),
        subresources: Vec::new(),
        selectable_fields: Vec::new(),
        storage: String::new(),
        custom: false,
    }
}

/// `{"a.b": "c"}` as `{"a": {"b": "c"}}`.
fn nested(set: &Value) -> Value {
    let mut object = json!({});
    for (path, value) in set.as_object().into_iter().flatten() {
        let mut place = &mut object;
        for name in path.split('.') {
            place = &mut place[name];
        }
        *place = value.clone();
    }
    object
}

fn random_case(rng: &mut StdRng) -> Value {
    match rng.random_range(0..10) {
        0..=5 => json!({
            "subject": "selector", "form": "labels", "text": label_text(rng), "set": set(KEYS, VALUES, rng),
            "key": pick(KEYS, rng),
        }),
        6..=7 => json!({
            "subject": "selector", "form": "json", "selector": json_selector(rng), "set": set(KEYS, VALUES, rng),
            "key": pick(KEYS, rng),
        }),
        _ => json!({
            "subject": "selector", "form": "fields", "text": field_text(rng),
            "set": set(FIELD_NAMES, &["a", "b", "Running", "a,b", "a=b", "a\\b"], rng), "key": pick(FIELD_NAMES, rng),
        }),
    }
}

fn pick<'a>(pool: &[&'a str], rng: &mut StdRng) -> &'a str {
    pool[rng.random_range(0..pool.len())]
}

/// Mostly one of the pool, seldom a broken one.
fn word(pool: &[&str], rng: &mut StdRng) -> String {
    match rng.random_range(0..60) {
        0 => pick(BROKEN, rng).to_owned(),
        1 => "a".repeat(rng.random_range(60..68)),
        2 => format!("{}/a", "b".repeat(rng.random_range(250..256))),
        _ => pick(pool, rng).to_owned(),
    }
}

fn set(keys: &[&str], values: &[&str], rng: &mut StdRng) -> BTreeMap<String, String> {
    (0..rng.random_range(0..6)).map(|_| (pick(keys, rng).to_owned(), pick(values, rng).to_owned())).collect()
}

fn label_text(rng: &mut StdRng) -> String {
    if rng.random_bool(0.15) {
        let tokens = ["=", "==", "!=", "!", "(", ")", ",", ">", "<", " ", "in", "notin", "a", "b", "\t", "1", "\0"];
        return (0..rng.random_range(0..10)).map(|_| pick(&tokens, rng)).collect();
    }
    let count = rng.random_range(1..4);
    let terms: Vec<String> = (0..count).map(|_| label_term(rng)).collect();
    terms.join([",", ", ", " ,"][rng.random_range(0..3)])
}

fn label_term(rng: &mut StdRng) -> String {
    let key = word(KEYS, rng);
    let space = pick(&["", "", " "], rng);
    match rng.random_range(0..10) {
        0 => key,
        1 => format!("!{space}{key}"),
        2..=4 => {
            let values: Vec<String> = (0..rng.random_range(0..4)).map(|_| word(VALUES, rng)).collect();
            format!("{key} {} {space}({})", pick(&["in", "notin"], rng), values.join(pick(&[",", ", "], rng)))
        }
        5 => format!("{key}{space}{}{space}{}", pick(&[">", "<"], rng), word(&["1", "5", "-3", "7"], rng)),
        _ => format!("{key}{space}{}{space}{}", pick(&["=", "==", "!="], rng), word(VALUES, rng)),
    }
}

fn json_selector(rng: &mut StdRng) -> Value {
    if rng.random_bool(0.03) {
        return Value::Null;
    }
    // One broken part at most: which of several is reported depends on the order of Go's maps.
    let whole = rng.random_bool(0.9);
    let labels: BTreeMap<&str, &str> =
        (0..rng.random_range(0..3)).map(|_| (pick(KEYS, rng), pick(VALUES, rng))).collect();
    let valid = |value: &&str| !value.starts_with(['-', '+']);
    let labels: BTreeMap<&str, &str> = labels.into_iter().filter(|(_, value)| valid(value)).collect();
    let expressions: Vec<Value> = (0..rng.random_range(0..3))
        .map(|_| {
            let operator = pick(&["In", "NotIn", "Exists", "DoesNotExist"], rng);
            let count = if operator.ends_with("In") { rng.random_range(1..3) } else { 0 };
            let values: Vec<&str> = (0..count).map(|_| pick(VALUES, rng)).filter(valid).collect();
            if whole {
                return json!({"key": pick(KEYS, rng), "operator": operator, "values": values});
            }
            let operator = pick(&["In", "Exists", "Equals", "", "in"], rng);
            let values: Vec<String> = (0..rng.random_range(0..3)).map(|_| word(BROKEN, rng)).collect();
            json!({"key": word(KEYS, rng), "operator": operator, "values": values})
        })
        .collect();
    json!({"matchLabels": labels, "matchExpressions": expressions})
}

fn field_text(rng: &mut StdRng) -> String {
    if rng.random_bool(0.15) {
        let tokens = ["=", "==", "!=", "!", ",", "\\", "a", "b", " ", "é"];
        return (0..rng.random_range(0..8)).map(|_| pick(&tokens, rng)).collect();
    }
    let terms: Vec<String> = (0..rng.random_range(0..4))
        .map(|_| format!("{}{}{}", pick(FIELD_NAMES, rng), pick(&["=", "==", "!="], rng), pick(FIELD_VALUES, rng)))
        .collect();
    terms.join(",")
}
