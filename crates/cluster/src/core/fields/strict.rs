//! Unknown and duplicate fields of a JSON text, in the order in which a strict decoder meets them.
//!
//! The text is read once, without building values. It must be JSON: what is not ends the search, and the
//! parser proper reports it.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Write as _;

use crate::core::schema::{Node, NodeId, Table};

/// Upstream stops counting here.
const MAX_ERRORS: usize = 100;
/// The parser proper refuses deeper texts.
const MAX_DEPTH: usize = 256;
/// Keys of an object up to which they are compared one by one.
const FEW_KEYS: usize = 24;

/// The strict errors of a JSON text of a built-in kind: `unknown field "spec.x"`, `duplicate field "spec.y"`.
pub fn strict_errors(raw: &[u8], table: &Table, node: NodeId) -> Vec<String> {
    let mut scanner = Scanner::new(raw, table);
    scanner.value(Shape::Typed(node), 0);
    scanner.found
}

/// The duplicate fields of a JSON text, at any depth: `duplicate field "spec.y"`.
pub fn duplicates(raw: &[u8]) -> Vec<String> {
    let table = Table::default();
    let mut scanner = Scanner::new(raw, &table);
    scanner.value(Shape::Untyped, 0);
    scanner.found
}

/// What is known of a value.
#[derive(Clone, Copy)]
enum Shape {
    Typed(NodeId),
    /// Any JSON, whose objects may not repeat a key.
    Untyped,
    /// Any JSON that decodes itself: nothing is reported in it.
    Skipped,
}

struct Scanner<'a> {
    raw: &'a [u8],
    at: usize,
    table: &'a Table,
    path: String,
    found: Vec<String>,
}

/// The keys that an object had so far.
#[derive(Default)]
struct Seen<'a> {
    few: Vec<Cow<'a, str>>,
    many: HashSet<Cow<'a, str>>,
}

impl<'a> Seen<'a> {
    /// Whether the key is new.
    fn insert(&mut self, key: Cow<'a, str>) -> bool {
        if self.few.len() < FEW_KEYS {
            let new = !self.few.contains(&key);
            if new {
                self.few.push(key);
            }
            return new;
        }
        !self.few.contains(&key) && self.many.insert(key)
    }
}

impl<'a> Scanner<'a> {
    fn new(raw: &'a [u8], table: &'a Table) -> Self {
        Self { raw, at: 0, table, path: String::new(), found: Vec::new() }
    }

    /// Reads one value; none where the text is not JSON.
    fn value(&mut self, shape: Shape, depth: usize) -> Option<()> {
        self.blank();
        match self.raw.get(self.at)? {
            b'{' if depth < MAX_DEPTH => self.object(shape, depth),
            b'[' if depth < MAX_DEPTH => self.list(shape, depth),
            b'{' | b'[' => None,
            b'"' => self.skip_string().map(|_| ()),
            _ => {
                let rest = self.raw.get(self.at..)?;
                self.at += rest.iter().take_while(|byte| !b",]} \t\r\n".contains(byte)).count();
                Some(())
            }
        }
    }

    fn object(&mut self, shape: Shape, depth: usize) -> Option<()> {
        self.at += 1;
        let table = self.table;
        let node = match shape {
            Shape::Typed(id) => Some(table.node(id)),
            Shape::Untyped | Shape::Skipped => None,
        };
        let mut seen = Seen::default();
        let length = self.path.len();
        self.blank();
        if self.raw.get(self.at)? == &b'}' {
            self.at += 1;
            return Some(());
        }
        loop {
            self.blank();
            let key = self.string()?;
            self.blank();
            self.expect(b':')?;
            if length > 0 {
                self.path.push('.');
            }
            self.path.push_str(&key);
            let below = match (shape, node) {
                (_, Some(Node::Object(object))) => match object.fields.get(key.as_ref()) {
                    Some(field) => Some(Shape::Typed(field.node)),
                    None => object.preserve_unknown.then_some(Shape::Untyped),
                },
                (_, Some(Node::Map { values, .. })) => Some(Shape::Typed(*values)),
                (Shape::Untyped, _) => Some(Shape::Untyped),
                _ => Some(Shape::Skipped),
            };
            let counted = matches!(node, Some(Node::Object(_) | Node::Map { .. })) || matches!(shape, Shape::Untyped);
            if below.is_none() {
                self.report("unknown field");
            } else if counted && !seen.insert(key) {
                self.report("duplicate field");
            }
            self.value(below.unwrap_or(Shape::Skipped), depth + 1)?;
            self.path.truncate(length);
            self.blank();
            match self.raw.get(self.at)? {
                b',' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    return Some(());
                }
                _ => return None,
            }
        }
    }

    fn list(&mut self, shape: Shape, depth: usize) -> Option<()> {
        self.at += 1;
        let below = match shape {
            Shape::Typed(id) => match self.table.node(id) {
                Node::List { items, .. } => Shape::Typed(*items),
                _ => Shape::Skipped,
            },
            other => other,
        };
        let length = self.path.len();
        self.blank();
        if self.raw.get(self.at)? == &b']' {
            self.at += 1;
            return Some(());
        }
        for index in 0_usize.. {
            if !matches!(below, Shape::Skipped) {
                // Writing to a string cannot fail.
                let _ = write!(self.path, "[{index}]");
            }
            self.value(below, depth + 1)?;
            self.path.truncate(length);
            self.blank();
            match self.raw.get(self.at)? {
                b',' => self.at += 1,
                b']' => break,
                _ => return None,
            }
        }
        self.at += 1;
        Some(())
    }

    /// Reads a string and returns it without its quotes and escapes.
    fn string(&mut self) -> Option<Cow<'a, str>> {
        let quoted = self.skip_string()?;
        if quoted.contains(&b'\\') {
            return serde_json::from_slice::<String>(quoted).ok().map(Cow::Owned);
        }
        let inner = quoted.get(1..quoted.len() - 1)?;
        std::str::from_utf8(inner).ok().map(Cow::Borrowed)
    }

    /// Passes over a string and returns it as it stands, with its quotes.
    fn skip_string(&mut self) -> Option<&'a [u8]> {
        let start = self.at;
        let raw = self.raw;
        self.expect(b'"')?;
        loop {
            match raw.get(self.at)? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        raw.get(start..self.at)
    }

    fn blank(&mut self) {
        while self.raw.get(self.at).is_some_and(|byte| b" \t\r\n".contains(byte)) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        if self.raw.get(self.at)? != &byte {
            return None;
        }
        self.at += 1;
        Some(())
    }

    fn report(&mut self, what: &str) {
        let message = format!("{what} \"{}\"", self.path);
        if self.found.len() < MAX_ERRORS && !self.found.contains(&message) {
            self.found.push(message);
        }
    }
}
