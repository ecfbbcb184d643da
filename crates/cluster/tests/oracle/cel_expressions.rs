//! Random expressions of CEL: literals, fields, and what answers true or false.

use rand::RngExt;
use rand::rngs::StdRng;

use super::crd_cases::{chance, pick};

/// The type of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
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

/// Writes expressions of a wanted type, of fields, literals, variables in reach and functions.
pub struct Writer<'r> {
    pub rng: &'r mut StdRng,
    pub variables: Vec<(String, Kind)>,
    pub fresh: usize,
    /// Whether the order of some map matters, which Go does not keep.
    pub walks: bool,
}

impl<'r> Writer<'r> {
    pub fn new(rng: &'r mut StdRng) -> Self {
        Self { rng, variables: Vec::new(), fresh: 0, walks: false }
    }

    pub fn chance(&mut self, percent: u32) -> bool {
        chance(self.rng, percent)
    }

    pub fn pick(&mut self, choices: &[&'static str]) -> String {
        pick(self.rng, choices).to_owned()
    }

    pub fn kind(&mut self) -> Kind {
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
    pub fn bind(&mut self, kind: Kind, body: Kind, depth: u32) -> (String, String) {
        self.fresh += 1;
        let name = format!("v{}", self.fresh);
        self.variables.push((name.clone(), kind));
        let text = self.expr(body, depth);
        self.variables.pop();
        (name, text)
    }

    pub fn expr(&mut self, kind: Kind, depth: u32) -> String {
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

    pub fn two(&mut self, kind: Kind, depth: u32) -> (String, String) {
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
}
