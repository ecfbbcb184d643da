//! CEL rules against apiextensions and cel-go: compilation, estimated cost, verdict, message, real cost.

use std::collections::HashSet;

use ferroflow_cluster::core::crd::cel::decl::DeclType;
use ferroflow_cluster::core::crd::cel::rules::{Budget, Validator, compile};
use ferroflow_cluster::core::crd::structural::Schema;
use ferroflow_cluster::core::field::Path;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Map, Value, json};

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

// ---- random cases -------------------------------------------------------------------------------

fn chance(rng: &mut StdRng, percent: u32) -> bool {
    rng.random_range(0..100) < percent
}

fn pick<T: Clone>(rng: &mut StdRng, choices: &[T]) -> T {
    choices.choose(rng).expect("there are choices").clone()
}

fn random_case(rng: &mut StdRng) -> Value {
    let mut schema = schema(rng);
    let mut writer = Writer { rng, variables: Vec::new(), fresh: 0, walks: false };
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Bool,
    Int,
    Uint,
    Double,
    Text,
    Time,
    Duration,
    Bytes,
    Ints,
    Texts,
    Map,
    OptInt,
    OptText,
    Item,
    Items,
    Dyn,
    Quantity,
    Ip,
}

struct Writer<'r> {
    rng: &'r mut StdRng,
    variables: Vec<(String, Kind)>,
    fresh: usize,
    /// Whether the order of some map matters, which Go does not keep.
    walks: bool,
}

impl Writer<'_> {
    fn chance(&mut self, percent: u32) -> bool {
        chance(self.rng, percent)
    }

    fn pick(&mut self, choices: &[&'static str]) -> String {
        pick(self.rng, choices).to_owned()
    }

    fn kind(&mut self) -> Kind {
        pick(
            self.rng,
            &[
                Kind::Bool,
                Kind::Int,
                Kind::Uint,
                Kind::Double,
                Kind::Text,
                Kind::Time,
                Kind::Duration,
                Kind::Bytes,
                Kind::Ints,
                Kind::Texts,
                Kind::Map,
                Kind::OptInt,
                Kind::OptText,
                Kind::Item,
                Kind::Items,
                Kind::Dyn,
                Kind::Quantity,
                Kind::Ip,
            ],
        )
    }

    /// A variable that is bound around an expression.
    fn bind(&mut self, kind: Kind, body: Kind, depth: u32) -> (String, String) {
        self.fresh += 1;
        let name = format!("v{}", self.fresh);
        self.variables.push((name.clone(), kind));
        let text = self.expr(body, depth);
        self.variables.pop();
        (name, text)
    }

    fn expr(&mut self, kind: Kind, depth: u32) -> String {
        let kind = if self.chance(1) { self.kind() } else { kind };
        let known: Vec<String> =
            self.variables.iter().filter(|(_, of)| *of == kind).map(|(name, _)| name.clone()).collect();
        if !known.is_empty() && self.chance(45) {
            return pick(self.rng, &known);
        }
        if depth == 0 || self.chance(12) {
            return self.leaf(kind);
        }
        let next = depth - 1;
        match kind {
            Kind::Bool => self.boolean(next),
            Kind::Int => self.int(next),
            Kind::Uint => self.uint(next),
            Kind::Double => self.double(next),
            Kind::Text => self.text(next),
            Kind::Time => self.time(next),
            Kind::Duration => self.duration(next),
            Kind::Bytes => {
                let text = self.expr(Kind::Text, next);
                format!("bytes({text})")
            }
            Kind::Ints => self.ints(next),
            Kind::Texts => self.texts(next),
            Kind::Map => self.map(next),
            Kind::OptInt => self.opt_int(next),
            Kind::OptText => self.opt_text(next),
            Kind::Item | Kind::Items | Kind::Dyn => self.leaf(kind),
            Kind::Quantity => {
                let (left, right) = (self.expr(Kind::Quantity, next), self.expr(Kind::Quantity, 0));
                let name = self.pick(&["add", "sub"]);
                format!("{left}.{name}({right})")
            }
            Kind::Ip => self.leaf(kind),
        }
    }

    fn leaf(&mut self, kind: Kind) -> String {
        let root = if self.chance(14) { "oldSelf" } else { "self" };
        let field = |name: &str| format!("{root}.spec.{name}");
        match kind {
            Kind::Bool => {
                let literal = self.pick(&["true", "false"]);
                if self.chance(60) { field("b") } else { literal }
            }
            Kind::Int => {
                let literal = self.pick(&["0", "1", "2", "-3", "7", "9223372036854775807", "0x1F"]);
                let name = self.pick(&["i", "nu", "o.x", "i"]);
                if self.chance(55) { field(&name) } else { literal }
            }
            Kind::Uint => self.pick(&["0u", "1u", "5u", "18446744073709551615u"]),
            Kind::Double => {
                let literal = self.pick(&["0.0", "1.5", "-2.25", "1e3", "3.0"]);
                if self.chance(50) { field("n") } else { literal }
            }
            Kind::Text => {
                let literal = self.pick(&[
                    "''",
                    "'a'",
                    "'abc'",
                    "\"red\"",
                    "'b'",
                    "r'\\d+'",
                    "'\\u00e9'",
                    "'1Gi'",
                    "'hello world'",
                    "'5'",
                ]);
                let name = self.pick(&["s", "e", "o.y", "s", "o.z__dash__z", "o.__namespace__"]);
                if self.chance(50) { field(&name) } else { literal }
            }
            Kind::Time => {
                if self.chance(50) {
                    field("t")
                } else {
                    "timestamp('2024-01-01T00:00:00Z')".to_owned()
                }
            }
            Kind::Duration => {
                let literal = self.pick(&["duration('1h')", "duration('90s')", "duration('-1.5s')", "duration('x')"]);
                if self.chance(50) { field("d") } else { literal }
            }
            Kind::Bytes => {
                if self.chance(50) {
                    field("by")
                } else {
                    "b'abc'".to_owned()
                }
            }
            Kind::Ints => {
                let literal = self.pick(&["[1, 2, 3]", "[]", "[0]", "[5, -1]"]);
                if self.chance(60) { field("li") } else { literal }
            }
            Kind::Texts => {
                let literal = self.pick(&["['a', 'b']", "['red']", "['abc', 'a', 'b']"]);
                if self.chance(60) { field("ls") } else { literal }
            }
            Kind::Map => {
                let literal = self.pick(&["{'a': 1}", "{'a': 1, 'b': 2}", "{'x-y': 3}"]);
                if self.chance(65) { field("m") } else { literal }
            }
            Kind::OptInt => {
                let text = self.pick(&[
                    "?.spec.?i",
                    "?.spec.?nu",
                    "?.spec.?o.?x",
                    "?.spec.?m.?a",
                    ".spec.?i",
                    ".spec.m[?'b']",
                ]);
                let fixed = text.replacen('?', "", 1);
                format!("{root}{}", if text.starts_with('?') { fixed.replacen(".spec", ".?spec", 1) } else { text })
            }
            Kind::OptText => {
                let text = self.pick(&[".?spec.?s", ".spec.?s", ".spec.ls[?0]", ".spec.?ls[?1]", ".?spec.?o.?y"]);
                format!("{root}{text}")
            }
            Kind::Item => {
                let index = self.pick(&["[0]", "[1]"]);
                field(&format!("lm{index}"))
            }
            Kind::Items => field("lm"),
            Kind::Dyn => {
                if self.chance(75) {
                    field("ios")
                } else {
                    self.pick(&["dyn(1)", "dyn('a')", "dyn([1])"])
                }
            }
            Kind::Quantity => self.pick(&["quantity('1Gi')", "quantity('500m')", "quantity('2')", "quantity('1k')"]),
            Kind::Ip => self.pick(&["ip('10.0.0.1')", "ip('::1')", "ip('192.168.1.300')", "ip('127.0.0.1')"]),
        }
    }

    fn two(&mut self, kind: Kind, depth: u32) -> (String, String) {
        (self.expr(kind, depth), self.expr(kind, depth))
    }

    fn boolean(&mut self, depth: u32) -> String {
        match self.rng.random_range(0..24) {
            0 | 1 => {
                let (left, right) = self.two(Kind::Bool, depth);
                let operator = self.pick(&["&&", "||"]);
                format!("({left} {operator} {right})")
            }
            2 => format!("!{}", self.expr(Kind::Bool, depth.min(1))),
            3 => {
                let condition = self.expr(Kind::Bool, depth);
                let (left, right) = self.two(Kind::Bool, depth);
                format!("({condition} ? {left} : {right})")
            }
            4..=6 => {
                let kind = pick(
                    self.rng,
                    &[
                        Kind::Int,
                        Kind::Double,
                        Kind::Text,
                        Kind::Time,
                        Kind::Duration,
                        Kind::Uint,
                        Kind::Bytes,
                        Kind::Int,
                    ],
                );
                let (left, right) = self.two(kind, depth);
                let operator = self.pick(&["<", "<=", ">", ">=", "==", "!="]);
                format!("{left} {operator} {right}")
            }
            7 => {
                let kind = pick(
                    self.rng,
                    &[Kind::Ints, Kind::Texts, Kind::Map, Kind::Bool, Kind::OptInt, Kind::Items, Kind::Item, Kind::Dyn],
                );
                let (left, right) = self.two(kind, depth);
                let operator = self.pick(&["==", "!="]);
                format!("{left} {operator} {right}")
            }
            8 => {
                let (left, right) = (self.expr(Kind::Int, depth), self.expr(Kind::Double, depth));
                let operator = self.pick(&["<", ">=", ">"]);
                format!("{left} {operator} {right}")
            }
            9 | 10 => {
                let name =
                    self.pick(&["i", "s", "nu", "o", "ls", "m", "o.x", "o.y", "lm", "any", "m.a", "o.z__dash__z"]);
                let root = if self.chance(15) { "oldSelf" } else { "self" };
                format!("has({root}.spec.{name})")
            }
            11 => {
                let name = self.pick(&["contains", "startsWith", "endsWith"]);
                let (left, right) = self.two(Kind::Text, depth);
                format!("{left}.{name}({right})")
            }
            12 => {
                let text = self.expr(Kind::Text, depth);
                let pattern = self.pick(&["'^a'", "'[a-z]+'", "r'^\\d+$'", "'('", "self.spec.s"]);
                format!("{text}.matches({pattern})")
            }
            13 | 14 => self.quantifier(depth),
            15 => {
                let (value, list) = (self.expr(Kind::Int, depth), self.expr(Kind::Ints, depth));
                format!("{value} in {list}")
            }
            16 => {
                let value = self.expr(Kind::Text, depth);
                let aggregate =
                    if self.chance(50) { self.expr(Kind::Texts, depth) } else { self.expr(Kind::Map, depth) };
                format!("{value} in {aggregate}")
            }
            17 => {
                let kind = pick(self.rng, &[Kind::OptInt, Kind::OptText]);
                format!("{}.hasValue()", self.expr(kind, depth))
            }
            18 => {
                let list = self.expr(Kind::Ints, depth);
                format!("{list}.isSorted()")
            }
            19 => {
                let name = self.pick(&["contains", "intersects", "equivalent"]);
                let (left, right) = self.two(Kind::Ints, depth);
                format!("sets.{name}({left}, {right})")
            }
            20 => {
                let value = self.expr(Kind::Dyn, 0);
                let name = self.pick(&["int", "string", "bool", "double"]);
                if self.chance(60) {
                    let body = self.pick(&["> 3", "== 'a'", "!= 5", "< 'b'", "== 1.0"]);
                    format!("{value} {body}")
                } else {
                    format!("type({value}) == {name}")
                }
            }
            21 => {
                let (left, right) = self.two(Kind::Quantity, depth);
                let name = self.pick(&["isGreaterThan", "isLessThan"]);
                format!("{left}.{name}({right})")
            }
            22 => {
                let text = self.expr(Kind::Text, depth);
                let name = self.pick(&["isQuantity", "isURL", "isIP", "isCIDR", "isSemver", "ip.isCanonical"]);
                format!("{name}({text})")
            }
            _ => {
                let text = self.expr(Kind::Text, depth);
                let name = self.pick(&["dns1123Label", "uuid", "qualifiedName", "labelValue", "date", "uri"]);
                format!("format.{name}().validate({text}).hasValue()")
            }
        }
    }

    fn quantifier(&mut self, depth: u32) -> String {
        let name = self.pick(&["all", "exists", "exists_one"]);
        match self.rng.random_range(0..5) {
            0 => {
                let list = self.expr(Kind::Ints, depth);
                let (variable, body) = self.bind(Kind::Int, Kind::Bool, depth);
                format!("{list}.{name}({variable}, {body})")
            }
            1 => {
                let list = self.expr(Kind::Texts, depth);
                let (variable, body) = self.bind(Kind::Text, Kind::Bool, depth);
                format!("{list}.{name}({variable}, {body})")
            }
            2 => {
                let map = self.walked_map(depth);
                let (variable, body) = self.bind(Kind::Text, Kind::Bool, depth);
                format!("{map}.{name}({variable}, {body})")
            }
            3 => {
                self.fresh += 1;
                let variable = format!("w{}", self.fresh);
                let body = self.pick(&["has(@.v)", "@.k == 'a'", "@.v > 1", "has(@.v) && @.v < 3", "@.k.size() > 0"]);
                format!("self.spec.lm.{name}({variable}, {})", body.replace('@', &variable))
            }
            _ => {
                let map = self.walked_map(depth);
                let (first, second) = (format!("k{}", self.fresh), format!("n{}", self.fresh));
                self.fresh += 1;
                self.variables.push((first.clone(), Kind::Text));
                self.variables.push((second.clone(), Kind::Int));
                let body = self.expr(Kind::Bool, depth);
                self.variables.truncate(self.variables.len() - 2);
                let name = self.pick(&["all", "exists", "existsOne"]);
                format!("{map}.{name}({first}, {second}, {body})")
            }
        }
    }

    fn int(&mut self, depth: u32) -> String {
        match self.rng.random_range(0..14) {
            0..=3 => {
                let (left, right) = self.two(Kind::Int, depth);
                let operator = self.pick(&["+", "-", "*", "/", "%"]);
                format!("({left} {operator} {right})")
            }
            4 => {
                let kind = pick(self.rng, &[Kind::Text, Kind::Ints, Kind::Texts, Kind::Map, Kind::Bytes]);
                let value = self.expr(kind, depth);
                if self.chance(50) { format!("size({value})") } else { format!("{value}.size()") }
            }
            5 => {
                let kind = pick(self.rng, &[Kind::Text, Kind::Double, Kind::Uint, Kind::Time, Kind::Duration]);
                let value = self.expr(kind, depth);
                format!("int({value})")
            }
            6 => {
                let list = self.expr(Kind::Ints, depth);
                let name = self.pick(&["sum", "max", "min"]);
                format!("{list}.{name}()")
            }
            7 => {
                let list = self.expr(Kind::Ints, depth);
                let index = self.expr(Kind::Int, depth.min(1));
                format!("{list}[{index}]")
            }
            8 => {
                let map = self.expr(Kind::Map, depth);
                let key = self.expr(Kind::Text, depth.min(1));
                if self.chance(70) { format!("{map}[{key}]") } else { format!("{map}.a") }
            }
            9 => {
                let time = self.expr(Kind::Time, depth);
                let name = self.pick(&[
                    "getFullYear",
                    "getMonth",
                    "getDate",
                    "getDayOfMonth",
                    "getDayOfWeek",
                    "getDayOfYear",
                    "getHours",
                    "getMinutes",
                    "getSeconds",
                    "getMilliseconds",
                ]);
                let zone = self.pick(&["", "", "'+02:30'", "'-08:00'", "'UTC'"]);
                format!("{time}.{name}({zone})")
            }
            10 => {
                let duration = self.expr(Kind::Duration, depth);
                let name = self.pick(&["getHours", "getMinutes", "getSeconds", "getMilliseconds"]);
                format!("{duration}.{name}()")
            }
            11 => {
                let name = self.pick(&["indexOf", "lastIndexOf"]);
                let (text, part) = self.two(Kind::Text, depth);
                if self.chance(70) { format!("{text}.{name}({part})") } else { format!("{text}.{name}({part}, 1)") }
            }
            12 => {
                let optional = self.expr(Kind::OptInt, depth);
                let other = self.expr(Kind::Int, depth.min(1));
                if self.chance(75) { format!("{optional}.orValue({other})") } else { format!("{optional}.value()") }
            }
            _ => {
                let condition = self.expr(Kind::Bool, depth);
                let (left, right) = self.two(Kind::Int, depth);
                format!("({condition} ? {left} : {right})")
            }
        }
    }

    fn uint(&mut self, depth: u32) -> String {
        let (left, right) = self.two(Kind::Uint, depth);
        let operator = self.pick(&["+", "-", "*", "/", "%"]);
        if self.chance(50) {
            format!("({left} {operator} {right})")
        } else {
            format!("uint({})", self.expr(Kind::Int, depth))
        }
    }

    fn double(&mut self, depth: u32) -> String {
        let (left, right) = self.two(Kind::Double, depth);
        let operator = self.pick(&["+", "-", "*", "/"]);
        match self.rng.random_range(0..3) {
            0 => format!("double({})", self.expr(Kind::Int, depth)),
            1 => format!("double({})", self.expr(Kind::Text, depth)),
            _ => format!("({left} {operator} {right})"),
        }
    }

    fn text(&mut self, depth: u32) -> String {
        match self.rng.random_range(0..13) {
            0 | 1 => {
                let (left, right) = self.two(Kind::Text, depth);
                format!("({left} + {right})")
            }
            2 => {
                let kind = pick(
                    self.rng,
                    &[
                        Kind::Int,
                        Kind::Double,
                        Kind::Bool,
                        Kind::Time,
                        Kind::Duration,
                        Kind::Bytes,
                        Kind::Uint,
                        Kind::Ip,
                    ],
                );
                format!("string({})", self.expr(kind, depth))
            }
            3 => {
                let text = self.expr(Kind::Text, depth);
                let name = self.pick(&["lowerAscii()", "upperAscii()", "trim()", "charAt(0)", "charAt(9)"]);
                format!("{text}.{name}")
            }
            4 => {
                let text = self.expr(Kind::Text, depth);
                let start = self.expr(Kind::Int, 0);
                if self.chance(50) {
                    format!("{text}.substring({start})")
                } else {
                    format!("{text}.substring(0, {start})")
                }
            }
            5 => {
                let (text, from) = self.two(Kind::Text, depth);
                format!("{text}.replace({from}, 'Z')")
            }
            6 => {
                let list = self.expr(Kind::Texts, depth);
                let separator = self.pick(&["", "','", "''"]);
                format!("{list}.join({separator})")
            }
            7 => {
                let list = self.expr(Kind::Texts, depth);
                let index = self.expr(Kind::Int, 0);
                format!("{list}[{index}]")
            }
            8 => {
                let text = self.expr(Kind::Text, depth);
                format!("{text}.find('[a-z]+')")
            }
            9 => {
                let optional = self.expr(Kind::OptText, depth);
                let other = self.expr(Kind::Text, 0);
                format!("{optional}.orValue({other})")
            }
            10 => {
                let (number, text) = (self.expr(Kind::Int, depth), self.expr(Kind::Text, depth));
                format!("'%d is %s'.format([{number}, {text}])")
            }
            11 => format!("strings.quote({})", self.expr(Kind::Text, depth)),
            _ => {
                let condition = self.expr(Kind::Bool, depth);
                let (left, right) = self.two(Kind::Text, depth);
                format!("({condition} ? {left} : {right})")
            }
        }
    }

    fn time(&mut self, depth: u32) -> String {
        let (time, duration) = (self.expr(Kind::Time, depth), self.expr(Kind::Duration, depth));
        let operator = self.pick(&["+", "-"]);
        format!("({time} {operator} {duration})")
    }

    fn duration(&mut self, depth: u32) -> String {
        if self.chance(50) {
            let (left, right) = self.two(Kind::Time, depth);
            return format!("({left} - {right})");
        }
        let (left, right) = self.two(Kind::Duration, depth);
        format!("({left} + {right})")
    }

    fn ints(&mut self, depth: u32) -> String {
        match self.rng.random_range(0..6) {
            0 => {
                let (left, right) = self.two(Kind::Ints, depth);
                format!("({left} + {right})")
            }
            1 => {
                let (first, second) = self.two(Kind::Int, depth);
                format!("[{first}, {second}]")
            }
            2 => {
                let list = self.expr(Kind::Ints, depth);
                let (variable, body) = self.bind(Kind::Int, Kind::Bool, depth);
                format!("{list}.filter({variable}, {body})")
            }
            3 => {
                let list = self.expr(Kind::Texts, depth);
                let (variable, body) = self.bind(Kind::Text, Kind::Int, depth);
                format!("{list}.map({variable}, {body})")
            }
            4 => {
                let map = self.walked_map(depth);
                let (variable, body) = self.bind(Kind::Int, Kind::Int, depth);
                format!("{map}.transformList(kk, {variable}, {body})")
            }
            _ => {
                let optional = self.expr(Kind::OptInt, depth);
                let first = self.expr(Kind::Int, 0);
                format!("[{first}, ?{optional}]")
            }
        }
    }

    fn texts(&mut self, depth: u32) -> String {
        match self.rng.random_range(0..6) {
            0 => {
                let (left, right) = self.two(Kind::Texts, depth);
                format!("({left} + {right})")
            }
            1 => {
                let text = self.expr(Kind::Text, depth);
                let separator = self.pick(&["','", "''", "' '"]);
                let limit = self.pick(&["", "", ", 2", ", 0"]);
                format!("{text}.split({separator}{limit})")
            }
            2 => {
                let text = self.expr(Kind::Text, depth);
                format!("{text}.findAll('[a-z]')")
            }
            3 => {
                let list = self.expr(Kind::Texts, depth);
                let (variable, body) = self.bind(Kind::Text, Kind::Text, depth);
                format!("{list}.map({variable}, {body})")
            }
            4 => {
                let map = self.walked_map(depth);
                let (variable, body) = self.bind(Kind::Text, Kind::Bool, depth);
                format!("{map}.filter({variable}, {body})")
            }
            _ => {
                let (first, second) = self.two(Kind::Text, depth);
                format!("[{first}, {second}]")
            }
        }
    }

    fn walked_map(&mut self, depth: u32) -> String {
        self.walks = true;
        self.expr(Kind::Map, depth)
    }

    fn map(&mut self, depth: u32) -> String {
        if self.chance(50) {
            let (key, value) = (self.expr(Kind::Text, depth), self.expr(Kind::Int, depth));
            return format!("{{{key}: {value}}}");
        }
        let map = self.walked_map(depth);
        let (variable, body) = self.bind(Kind::Int, Kind::Int, depth);
        format!("{map}.transformMap(kk, {variable}, {body})")
    }

    fn opt_int(&mut self, depth: u32) -> String {
        match self.rng.random_range(0..5) {
            0 => format!("optional.of({})", self.expr(Kind::Int, depth)),
            1 => format!("optional.ofNonZeroValue({})", self.expr(Kind::Int, depth)),
            2 => {
                let (left, right) = self.two(Kind::OptInt, depth);
                format!("{left}.or({right})")
            }
            3 => {
                let optional = self.expr(Kind::OptInt, depth);
                let (variable, body) = self.bind(Kind::Int, Kind::Int, depth);
                format!("{optional}.optMap({variable}, {body})")
            }
            _ => {
                let list = self.expr(Kind::Ints, depth);
                let index = self.expr(Kind::Int, 0);
                format!("{list}[?{index}]")
            }
        }
    }

    fn opt_text(&mut self, depth: u32) -> String {
        let text = self.expr(Kind::Text, depth);
        let name = self.pick(&["of", "ofNonZeroValue"]);
        format!("optional.{name}({text})")
    }
}
