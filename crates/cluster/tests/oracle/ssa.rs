//! Server-side apply and managed fields against `apimachinery/pkg/util/managedfields`.
//!
//! A case is the life of one object: a handful of managers apply and update it in turn. Objects are random
//! within their schema, so that every list type, map type and depth comes up.

use ferroflow_cluster::core::apply::{ApplyError, Cause, Force, Manager, ResetFields, Set, apply, same, update};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Map, Value, json};

use super::driver::{Answer, Oracle, Tally, regressions};
use super::situations::{KEYED_MERGE, Keys, REMOVAL, VALIDATION, loses, shares_items};
use super::ssa_objects::{Kind, kinds, random_object, repeat_items, spoil, variant};

const BATCH: usize = 500;
const CONFLICT: &str = "conflict";
const MANAGERS: &[&str] = &["alpha", "beta", "gamma", "kubectl"];

/// Runs the regressions and `cases` fresh cases.
pub fn run(oracle: &mut Oracle, cases: usize, seed: u64) -> Tally {
    let mut tally = Tally::expecting(&[CONFLICT, REMOVAL, KEYED_MERGE, VALIDATION]);
    let kinds = kinds();
    for batch in regressions("ssa").chunks(BATCH) {
        let played: Vec<Played> = batch.iter().map(replay).collect();
        judge(oracle, &mut tally, played);
    }
    let mut rng = StdRng::seed_from_u64(seed);
    let mut left = cases;
    while left > 0 {
        let count = left.min(BATCH);
        left -= count;
        let played: Vec<Played> = (0..count).map(|_| play(&kinds, &mut rng)).collect();
        judge(oracle, &mut tally, played);
    }
    tally
}

/// A case with our answers to it.
struct Played {
    case: Value,
    ours: Vec<Value>,
    reached: Vec<&'static str>,
}

fn judge(oracle: &mut Oracle, tally: &mut Tally, played: Vec<Played>) {
    let cases: Vec<Value> = played.iter().map(|played| played.case.clone()).collect();
    let answers = oracle.ask(&cases).expect("the oracle answers");
    for (played, answer) in played.into_iter().zip(answers) {
        let outcome = match answer {
            Answer::Value(theirs) => differences(&played.ours, &theirs),
            Answer::Error(text) | Answer::Panic(text) => Err(format!("the oracle fails: {text}")),
        };
        played.reached.iter().for_each(|situation| tally.reach(situation));
        tally.judge(&played.case, outcome);
    }
}

fn differences(ours: &[Value], theirs: &Value) -> Result<(), String> {
    let theirs = theirs.as_array().map(Vec::as_slice).unwrap_or_default();
    for (position, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        if !agree(ours, theirs) {
            return Err(format!("operation {position}\nours:   {ours}\ntheirs: {theirs}"));
        }
    }
    if ours.len() == theirs.len() { Ok(()) } else { Err("another number of answers".to_owned()) }
}

fn agree(ours: &Value, theirs: &Value) -> bool {
    let text = |answer: &Value| answer.get("message").and_then(Value::as_str).unwrap_or_default().to_owned();
    match (ours.get("code"), theirs.get("code")) {
        (None, None) => same(ours, theirs),
        (Some(a), Some(b)) if a != b => false,
        // Several faults come in the order of a Go map, and the walk ends at the first of some.
        (Some(_), Some(_)) if text(theirs).contains("errors:") => text(ours).contains("): "),
        (Some(_), Some(_)) => text(ours) == text(theirs) && sorted_causes(ours) == sorted_causes(theirs),
        _ => false,
    }
}

fn sorted_causes(answer: &Value) -> Vec<String> {
    let causes = answer.get("causes").and_then(Value::as_array).into_iter().flatten();
    let mut lines: Vec<String> = causes.map(|cause| format!("{} {}", cause["message"], cause["field"])).collect();
    lines.sort();
    lines
}

/// What the resource resets: some paths, or all but some.
#[derive(Clone, Copy, Default)]
struct Reset {
    paths: &'static [&'static [&'static str]],
    only: &'static [&'static [&'static str]],
}

const RESET_STATUS: Reset = Reset { paths: &[&["status"]], only: &[] };
const RESET_SPEC: Reset = Reset { paths: &[&["spec"], &["metadata", "labels"]], only: &[] };
const RESIZE: Reset = Reset {
    paths: &[],
    only: &[&["spec", "containers", "*", "resources"], &["spec", "initContainers", "*", "ports"], &["metadata"]],
};
const RESETS: [Reset; 4] = [Reset { paths: &[], only: &[] }, RESET_STATUS, RESET_SPEC, RESIZE];

impl Reset {
    fn fields(&self) -> ResetFields {
        match (self.paths, self.only) {
            ([], []) => ResetFields::None,
            ([], only) => ResetFields::AllBut(only),
            (paths, _) => ResetFields::Paths(Set::of_fields(paths)),
        }
    }
}

/// One object as it is written to, with what we answered so far.
struct Life<'k> {
    kind: &'k Kind,
    subresource: String,
    reset: Reset,
    live: Option<Value>,
    operations: Vec<Value>,
    ours: Vec<Value>,
    reached: Vec<&'static str>,
}

impl<'k> Life<'k> {
    fn new(kind: &'k Kind, subresource: &str, reset: Reset) -> Self {
        Self {
            kind,
            subresource: subresource.to_owned(),
            reset,
            live: None,
            operations: Vec::new(),
            ours: Vec::new(),
            reached: Vec::new(),
        }
    }

    fn reach(&mut self, situation: &'static str) {
        if !self.reached.contains(&situation) {
            self.reached.push(situation);
        }
    }

    fn perform(&mut self, operation: Value) {
        let kind = self.kind;
        let reset = self.reset.fields();
        let manager = Manager {
            name: operation["manager"].as_str().unwrap(),
            api_version: &kind.api_version,
            subresource: &self.subresource,
            now: operation["time"].as_str().unwrap().parse().unwrap(),
        };
        let object = &operation["object"];
        let live = self.live.as_ref();
        let answer = if operation["verb"] == "update" {
            Ok(update(kind.table(), kind.node, live, object.clone(), &manager, &reset))
        } else {
            let force = if operation["force"] == true { Force::Yes } else { Force::No };
            apply(kind.table(), kind.node, live, object, &manager, force, &reset)
        };
        match answer {
            Ok(written) => {
                if let (Some(live), "apply") = (live, operation["verb"].as_str().unwrap()) {
                    let removed = loses(live, &written);
                    let merged = shares_items(kind.table(), kind.node, Keys::OfLists, live, object);
                    if removed {
                        self.reach(REMOVAL);
                    }
                    if merged {
                        self.reach(KEYED_MERGE);
                    }
                }
                self.ours.push(json!({ "object": written }));
                self.live = Some(written);
            }
            Err(error) => {
                self.reach(if matches!(error, ApplyError::Conflict { .. }) { CONFLICT } else { VALIDATION });
                self.ours.push(error_answer(&error));
            }
        }
        self.operations.push(operation);
    }

    fn finish(self) -> Played {
        let (group, version) = self.kind.api_version.rsplit_once('/').unwrap_or(("", &self.kind.api_version));
        let case = json!({
            "subject": "ssa",
            "group": group,
            "version": version,
            "kind": self.kind.kind,
            "subresource": self.subresource,
            "reset": self.reset.paths,
            "only": self.reset.only,
            "schema": self.kind.schema,
            "operations": self.operations,
        });
        Played { case, ours: self.ours, reached: self.reached }
    }
}

fn error_answer(error: &ApplyError) -> Value {
    match error {
        ApplyError::Conflict { message, causes } => {
            let cause = |cause: &Cause| json!({ "message": cause.message, "field": cause.field });
            json!({ "code": 409, "message": message, "causes": causes.iter().map(cause).collect::<Vec<_>>() })
        }
        ApplyError::BadRequest(message) => json!({ "code": 400, "message": message }),
        ApplyError::Internal(message) => json!({ "code": 500, "message": message }),
    }
}

fn replay(case: &Value) -> Played {
    let text = |name: &str| case[name].as_str().unwrap_or_default();
    let kind = Kind::new(text("group"), text("version"), text("kind"), case["schema"].clone());
    let listed = |paths: &[&[&str]], name: &str| paths.is_empty() && case[name].is_null() || json!(paths) == case[name];
    let told = |reset: &&Reset| listed(reset.paths, "reset") && listed(reset.only, "only");
    let reset = *RESETS.iter().find(told).expect("the reset fields of a regression are known");
    let mut life = Life::new(&kind, text("subresource"), reset);
    for operation in case["operations"].as_array().unwrap() {
        life.perform(operation.clone());
    }
    life.finish()
}

fn play(kinds: &[Kind], rng: &mut StdRng) -> Played {
    let kind = &kinds[rng.random_range(0..kinds.len())];
    let subresource = if rng.random_bool(0.1) { "status" } else { "" };
    let reset = match (rng.random_range(0..20), subresource) {
        (0..5, _) => Reset::default(),
        (5, _) => RESIZE,
        (_, "") => RESET_STATUS,
        _ => RESET_SPEC,
    };
    let mut life = Life::new(kind, subresource, reset);
    let template = random_object(kind, rng);
    let length = if rng.random_bool(0.03) { 16 } else { rng.random_range(2..7) };
    let crowd = length > 10;
    let spoiled = if rng.random_bool(0.12) { rng.random_range(0..length) } else { usize::MAX };
    for step in 0..length {
        let time = format!("2024-01-01T00:{step:02}:{:02}Z", rng.random_range(0..60));
        let operation = if crowd || rng.random_bool(0.35) {
            plain_write(&life, &template, crowd, &time, step, rng)
        } else {
            let mut object = variant(kind, &template, rng);
            if spoiled == step {
                spoil(kind, &mut object, rng);
            }
            let manager = MANAGERS[rng.random_range(0..MANAGERS.len())];
            json!({
                "verb": "apply", "manager": manager, "force": rng.random_bool(0.4), "time": time, "object": object,
            })
        };
        life.perform(operation);
    }
    life.finish()
}

fn plain_write(life: &Life<'_>, template: &Value, crowd: bool, time: &str, step: usize, rng: &mut StdRng) -> Value {
    let base = match &life.live {
        Some(live) if rng.random_bool(0.8) => live,
        _ => template,
    };
    let mut object = variant(life.kind, base, rng);
    if rng.random_bool(0.04) {
        repeat_items(life.kind, &mut object, rng);
    }
    let metadata = object["metadata"].as_object_mut().unwrap();
    metadata.insert("uid".to_owned(), json!("u"));
    metadata.insert("resourceVersion".to_owned(), json!(step.to_string()));
    let live_fields = life.live.as_ref().map(|live| live["metadata"]["managedFields"].clone());
    let fields = match rng.random_range(0..40) {
        0 => json!([]),
        1 => json!([{}]),
        2 => json!([{ "operation": "Patch" }]),
        3 | 4 => Value::Null,
        5 | 6 => with_odd_entry(live_fields.unwrap_or_default(), &object, rng),
        _ => live_fields.unwrap_or_default(),
    };
    let metadata = object["metadata"].as_object_mut().unwrap();
    if fields.is_null() {
        metadata.remove("managedFields");
    } else {
        metadata.insert("managedFields".to_owned(), fields);
    }
    if rng.random_bool(0.15) {
        let last = variant(life.kind, template, rng);
        set_annotation(metadata, format!("{last}\n"));
    }
    let manager = if crowd { format!("m{}", step % 13) } else { MANAGERS[rng.random_range(0..4)].to_owned() };
    json!({ "verb": "update", "manager": manager, "time": time, "object": object })
}

/// Adds an entry as another schema would have written it: paths through what is atomic today, and not.
fn with_odd_entry(fields: Value, object: &Value, rng: &mut StdRng) -> Value {
    let mut entries = fields.as_array().cloned().unwrap_or_default();
    let operation = if rng.random_bool(0.5) { "Apply" } else { "Update" };
    let manager = if rng.random_bool(0.5) { "odd" } else { "alpha" };
    entries.push(json!({
        "manager": manager, "operation": operation, "apiVersion": object["apiVersion"],
        "fieldsType": "FieldsV1", "fieldsV1": raw_paths(object, rng), "time": "2023-01-01T00:00:00Z",
    }));
    Value::Array(entries)
}

fn raw_paths(value: &Value, rng: &mut StdRng) -> Value {
    let mut paths = Map::new();
    for (name, below) in value.as_object().into_iter().flatten() {
        // Who is said to own an object's type would lose the type when it applies without it.
        if !matches!(name.as_str(), "apiVersion" | "kind") && rng.random_bool(0.8) {
            let mut below = raw_paths(below, rng);
            if rng.random_bool(0.3) && below.as_object().is_some_and(|below| !below.is_empty()) {
                below["."] = json!({});
            }
            paths.insert(format!("f:{name}"), below);
        }
    }
    for (position, item) in value.as_array().into_iter().flatten().enumerate() {
        let key = match item {
            Value::Object(fields) => match fields.get("name") {
                Some(name) => format!("k:{}", json!({ "name": name })),
                None => format!("i:{position}"),
            },
            scalar => format!("v:{scalar}"),
        };
        paths.insert(key, raw_paths(item, rng));
    }
    Value::Object(paths)
}

fn set_annotation(metadata: &mut Map<String, Value>, text: String) {
    let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
    if let Value::Object(annotations) = annotations {
        annotations.insert("kubectl.kubernetes.io/last-applied-configuration".to_owned(), Value::String(text));
    }
}
