//! The syntax tree of an expression, and faults that point into its source.

use std::fmt::Write as _;

/// A literal value.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(String),
    Bytes(Vec<u8>),
}

/// A node with its number, by which types, references and positions are found.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    pub id: usize,
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Literal(Literal),
    Ident(String),
    /// `operand.field`, or `has(operand.field)` where `test` is true.
    Select {
        operand: Box<Expr>,
        field: String,
        test: bool,
    },
    Call {
        function: String,
        target: Option<Box<Expr>>,
        args: Vec<Expr>,
    },
    List(Vec<Element>),
    Map(Vec<Entry>),
    Struct {
        name: String,
        fields: Vec<StructField>,
    },
    Comprehension(Box<Comprehension>),
}

/// An item of a list literal; `?` makes it optional.
#[derive(Clone, Debug, PartialEq)]
pub struct Element {
    pub value: Expr,
    pub optional: bool,
}

/// An entry of a map literal.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub key: Expr,
    pub value: Expr,
    pub optional: bool,
}

/// A field of a message literal.
#[derive(Clone, Debug, PartialEq)]
pub struct StructField {
    pub id: usize,
    pub name: String,
    pub value: Expr,
}

/// A fold over a list or map, which is what macros become.
#[derive(Clone, Debug, PartialEq)]
pub struct Comprehension {
    pub range: Expr,
    pub variable: String,
    pub variable2: Option<String>,
    pub accumulator: String,
    pub init: Expr,
    pub condition: Expr,
    pub step: Expr,
    pub result: Expr,
}

/// The name of the hidden accumulator of macros.
pub const ACCUMULATOR: &str = "@result";

impl Kind {
    /// A list literal.
    pub fn is_list(&self) -> bool {
        matches!(self, Self::List(_))
    }

    /// A map literal.
    pub fn is_map(&self) -> bool {
        matches!(self, Self::Map(_))
    }
}

impl Expr {
    /// The nodes right below.
    pub fn children(&self) -> Vec<&Expr> {
        match &self.kind {
            Kind::Literal(_) | Kind::Ident(_) => Vec::new(),
            Kind::Select { operand, .. } => vec![operand],
            Kind::Call { target, args, .. } => target.iter().map(AsRef::as_ref).chain(args).collect(),
            Kind::List(elements) => elements.iter().map(|element| &element.value).collect(),
            Kind::Map(entries) => entries.iter().flat_map(|entry| [&entry.key, &entry.value]).collect(),
            Kind::Struct { fields, .. } => fields.iter().map(|field| &field.value).collect(),
            Kind::Comprehension(fold) => vec![&fold.range, &fold.init, &fold.condition, &fold.step, &fold.result],
        }
    }

    /// Visits this node and all below, parents first.
    pub fn walk<'a>(&'a self, visit: &mut dyn FnMut(&'a Expr)) {
        visit(self);
        self.children().into_iter().for_each(|child| child.walk(visit));
    }

    /// `a.b.c` as one name, where the node is nothing else.
    pub fn qualified_name(&self) -> Option<String> {
        match &self.kind {
            Kind::Ident(name) => Some(name.clone()),
            Kind::Select { operand, field, test: false } => Some(format!("{}.{field}", operand.qualified_name()?)),
            _ => None,
        }
    }
}

/// A parsed expression: its tree, and where each node starts, in characters of the source.
#[derive(Clone, Debug)]
pub struct Ast {
    pub root: Expr,
    pub offsets: Vec<usize>,
    pub source: String,
}

/// One fault at a character of the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    pub offset: usize,
    pub message: String,
}

/// How many faults are reported.
const MAX_ISSUES: usize = 100;

/// Renders faults with the lines they point at, as cel-go does.
pub fn render(source: &str, mut issues: Vec<Issue>) -> String {
    let lines: Vec<&str> = source.split('\n').collect();
    issues.sort_by_key(|issue| issue.offset);
    let extra = issues.len().saturating_sub(MAX_ISSUES);
    let mut texts: Vec<String> = issues.iter().take(MAX_ISSUES).map(|issue| render_one(&lines, issue)).collect();
    if extra > 0 {
        texts.push(format!("{extra} more errors were truncated"));
    }
    texts.join("\n")
}

fn render_one(lines: &[&str], issue: &Issue) -> String {
    let mut column = issue.offset;
    let mut row = 0;
    while row + 1 < lines.len() && column > lines[row].chars().count() {
        column -= lines[row].chars().count() + 1;
        row += 1;
    }
    let mut text = format!("ERROR: <input>:{}:{}: {}", row + 1, column + 1, issue.message);
    let line = lines.get(row).copied().unwrap_or_default().replace('\t', " ");
    let _ = write!(text, "\n | {line}\n | ");
    let mut chars = line.chars();
    for _ in 0..column {
        let Some(char) = chars.next() else { break };
        text.push(if char.len_utf8() > 1 { '\u{ff0e}' } else { '.' });
    }
    text.push(if chars.next().is_some_and(|char| char.len_utf8() > 1) { '\u{ff3e}' } else { '^' });
    text
}
