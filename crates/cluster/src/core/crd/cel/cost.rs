//! What an expression can cost at most, by the declared sizes of what it reads.
//!
//! The estimate decides which definitions are accepted, so it follows cel-go's and upstream's numbers
//! exactly. It never runs anything; what a run did cost is counted in `eval`.

use std::collections::{BTreeMap, HashMap};

use super::ast::{ACCUMULATOR, Comprehension, Element, Entry, Expr, Kind, Literal};
use super::check::Checked;
use super::cost_size::{Bounds, Container, EntrySize, Path, union_entries};
use super::decl::DeclType;
use super::types::Type;

/// The most that one rule of a definition may be estimated at.
pub const RULE_COST_LIMIT: u64 = 10_000_000;
/// The most that all rules of a definition together may be estimated at.
pub const CRD_COST_LIMIT: u64 = 100_000_000;

pub(super) const TRAVERSAL: f64 = 0.1;
pub(super) const REGEX: f64 = 0.25;

/// The message of an estimate over its limit.
pub fn excess(what: &str, cost: u64, limit: u64) -> String {
    let factor = cost as f64 / limit as f64;
    let factor = if factor > 100.0 {
        "more than 100x".to_owned()
    } else if factor < 1.5 {
        format!("{factor:.6}x")
    } else {
        format!("{factor:.1}x")
    };
    format!(
        "{what} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, and \
         maxLength where arrays, maps, and strings are declared)"
    )
}

#[derive(Clone, Debug, Default)]
struct Local {
    path: Path,
    size: Option<Bounds>,
    entry: Option<EntrySize>,
}

/// The most that a checked expression can cost on data of a declaration.
pub fn estimate(checked: &Checked, root: &DeclType) -> u64 {
    let mut coster = Coster {
        checked,
        root,
        paths: HashMap::new(),
        locals: BTreeMap::new(),
        sizes: HashMap::new(),
        entries: HashMap::new(),
    };
    coster.cost(&checked.root).max
}

pub(super) struct Coster<'a> {
    pub(super) checked: &'a Checked,
    root: &'a DeclType,
    paths: HashMap<usize, Path>,
    locals: BTreeMap<String, Vec<Local>>,
    sizes: HashMap<usize, Bounds>,
    entries: HashMap<usize, EntrySize>,
}

/// The argument of a call as estimates see it.
pub(super) struct Node<'e> {
    pub(super) expr: &'e Expr,
    pub(super) path: Path,
    pub(super) size: Option<Bounds>,
}

/// An estimate of a call, with the size of its result where that is known.
pub(super) struct Estimate {
    pub(super) cost: Bounds,
    pub(super) size: Option<Bounds>,
}

impl Coster<'_> {
    fn local(&self, name: &str) -> Option<&Local> {
        self.locals.get(name).and_then(|stack| stack.last())
    }

    fn push(&mut self, name: &str, local: Local) {
        self.locals.entry(name.to_owned()).or_default().push(local);
    }

    fn pop(&mut self, name: &str) {
        if let Some(stack) = self.locals.get_mut(name) {
            stack.pop();
        }
    }

    fn cost(&mut self, expr: &Expr) -> Bounds {
        match &expr.kind {
            Kind::Literal(_) => Bounds::default(),
            Kind::Ident(name) => {
                let path = self.local(name).map_or_else(|| Path::root(name), |local| local.path.clone());
                self.paths.insert(expr.id, path);
                Bounds::fixed(1)
            }
            Kind::Select { operand, field, test } => self.select(expr, operand, field, *test),
            Kind::Call { function, target, args } => self.call(expr, function, target.as_deref(), args),
            Kind::List(elements) => self.list(expr, elements),
            Kind::Map(entries) => self.map(expr, entries),
            Kind::Struct { fields, .. } => {
                fields.iter().fold(Bounds::fixed(40), |sum, field| sum.add(self.cost(&field.value)))
            }
            Kind::Comprehension(fold) => self.comprehension(expr, fold),
        }
    }

    fn select(&mut self, expr: &Expr, operand: &Expr, field: &str, test: bool) -> Bounds {
        let mut sum = self.cost(operand);
        if test {
            return sum;
        }
        if matches!(self.checked.type_of(operand), Type::Map(..) | Type::Object(_) | Type::Param(_)) {
            sum = sum.add(Bounds::fixed(1));
        }
        let path = self.path(operand).with(field);
        self.paths.insert(expr.id, path);
        sum
    }

    fn list(&mut self, expr: &Expr, elements: &[Element]) -> Bounds {
        let mut sum = Bounds::fixed(10);
        let mut item = if elements.is_empty() { Bounds::default() } else { Bounds { min: u64::MAX, max: 0 } };
        for element in elements {
            sum = sum.add(self.cost(&element.value));
            item = item.union(self.size_or_unknown(&element.value));
        }
        self.entries.insert(expr.id, EntrySize { container: Container::List, key: Bounds::fixed(1), value: item });
        sum
    }

    fn map(&mut self, expr: &Expr, entries: &[Entry]) -> Bounds {
        let mut sum = Bounds::fixed(30);
        let start = if entries.is_empty() { Bounds::default() } else { Bounds { min: u64::MAX, max: 0 } };
        let (mut key, mut value) = (start, start);
        for entry in entries {
            sum = sum.add(self.cost(&entry.key)).add(self.cost(&entry.value));
            key = key.union(self.size_or_unknown(&entry.key));
            value = value.union(self.size_or_unknown(&entry.value));
        }
        self.entries.insert(expr.id, EntrySize { container: Container::Map, key, value });
        sum
    }

    fn comprehension(&mut self, expr: &Expr, fold: &Comprehension) -> Bounds {
        let mut sum = self.cost(&fold.range).add(self.cost(&fold.init));
        let accumulator =
            Local { path: self.path(&fold.init), size: self.size(&fold.init), entry: self.entry(&fold.init) };
        self.push(&fold.accumulator, accumulator);
        if self.is_binding(fold) {
            sum = sum.add(self.cost(&fold.result));
            self.pop(&fold.accumulator);
            self.copy_sizes(expr, &fold.result);
            return sum;
        }
        self.push_variables(fold);
        let looped = self.cost(&fold.condition).add(self.cost(&fold.step));
        self.pop(&fold.variable);
        if let Some(name) = &fold.variable2 {
            self.pop(name);
        }
        sum = sum.add(self.cost(&fold.result));
        self.pop(&fold.accumulator);
        let count = self.size_or_unknown(&fold.range);
        sum = sum.add(count.multiply(looped));
        match &fold.init.kind {
            Kind::Literal(_) => {
                if let Some(size) = self.size(&fold.init) {
                    self.sizes.insert(expr.id, size);
                }
            }
            Kind::List(_) | Kind::Map(_) => {
                self.sizes.insert(expr.id, count);
                if let Some(entry) = self.entry(&fold.step) {
                    self.entries.insert(expr.id, entry);
                }
            }
            _ => {}
        }
        sum
    }

    fn is_binding(&self, fold: &Comprehension) -> bool {
        let empty = matches!(&fold.range.kind, Kind::List(items) if items.is_empty());
        let never = matches!(fold.condition.kind, Kind::Literal(Literal::Bool(false)));
        empty && never && fold.accumulator != "__result__"
    }

    fn push_variables(&mut self, fold: &Comprehension) {
        let entry = self.entry(&fold.range);
        let is_list = match entry {
            Some(entry) => entry.container == Container::List,
            None => matches!(self.checked.type_of(&fold.range), Type::List(_)),
        };
        let path = |coster: &Self, step: &str| coster.path(&fold.range).with(step);
        let (keys, values) = if is_list { ("@indices", "@items") } else { ("@keys", "@values") };
        if let Some(second) = &fold.variable2 {
            let key = Local { path: path(self, keys), size: entry.map(|entry| entry.key), entry: None };
            let value = Local { path: path(self, values), size: entry.map(|entry| entry.value), entry: None };
            self.push(&fold.variable, key);
            self.push(second, value);
            return;
        }
        let (step, size) =
            if is_list { ("@items", entry.map(|entry| entry.value)) } else { ("@keys", entry.map(|entry| entry.key)) };
        let local = Local { path: path(self, step), size, entry: None };
        self.push(&fold.variable, local);
    }

    fn path(&self, expr: &Expr) -> Path {
        if let Kind::Ident(name) = &expr.kind
            && let Some(local) = self.local(name)
        {
            return local.path.clone();
        }
        self.paths.get(&expr.id).cloned().unwrap_or_default()
    }

    pub(super) fn declared_size(&self, path: &Path) -> Option<Bounds> {
        self.size_at(&path.steps())
    }

    pub(super) fn size_at(&self, steps: &[String]) -> Option<Bounds> {
        if steps.is_empty() {
            return None;
        }
        self.root.size_at(steps).map(|max| Bounds { min: 0, max })
    }

    fn size(&mut self, expr: &Expr) -> Option<Bounds> {
        if let Some(size) = self.sizes.get(&expr.id) {
            return Some(*size);
        }
        if let Some(size) = literal_size(expr) {
            return Some(size);
        }
        let path = self.path(expr);
        if let Some(size) = self.declared_size(&path) {
            self.sizes.insert(expr.id, size);
            return Some(size);
        }
        if self.checked.type_of(expr).is_scalar() {
            return Some(Bounds::fixed(1));
        }
        let Kind::Ident(name) = &expr.kind else { return None };
        self.local(name).and_then(|local| local.size)
    }

    fn size_or_unknown(&mut self, expr: &Expr) -> Bounds {
        self.size(expr).unwrap_or(Bounds::UNKNOWN)
    }

    fn entry(&self, expr: &Expr) -> Option<EntrySize> {
        if let Some(entry) = self.entries.get(&expr.id) {
            return Some(*entry);
        }
        let Kind::Ident(name) = &expr.kind else { return None };
        self.local(name).and_then(|local| local.entry)
    }

    fn copy_sizes(&mut self, to: &Expr, from: &Expr) {
        if let Some(size) = self.size(from) {
            self.sizes.insert(to.id, size);
        }
        if let Some(entry) = self.entry(from) {
            self.entries.insert(to.id, entry);
        }
    }

    fn node<'e>(&mut self, expr: &'e Expr) -> Node<'e> {
        let mut path = self.path(expr);
        if path.steps().first().is_some_and(|first| first == ACCUMULATOR || first == "__result__") {
            path = Path::default();
        }
        Node { expr, path, size: self.size(expr) }
    }

    fn call(&mut self, expr: &Expr, function: &str, target: Option<&Expr>, args: &[Expr]) -> Bounds {
        if let ("dyn", [arg]) = (function, args) {
            let cost = self.cost(arg);
            self.copy_sizes(expr, arg);
            return cost.add(Bounds::fixed(1));
        }
        let mut costs = Vec::with_capacity(args.len());
        let mut nodes = Vec::with_capacity(args.len());
        for arg in args {
            costs.push(self.cost(arg));
            nodes.push(self.node(arg));
        }
        let overloads = self.checked.overloads.get(&expr.id).cloned().unwrap_or_default();
        if overloads.is_empty() {
            return Bounds::default();
        }
        let mut sum = Bounds::default();
        let mut receiver = None;
        if let Some(target) = target {
            sum = self.cost(target);
            receiver = Some(self.node(target));
        }
        let mut cost = Bounds { min: u64::MAX, max: 0 };
        let mut size: Option<Bounds> = None;
        for overload in overloads {
            let estimate = self.overload(expr, function, overload, receiver.as_ref(), &nodes, &costs);
            cost = cost.union(estimate.cost);
            if let Some(result) = estimate.size {
                size = Some(size.map_or(result, |size| size.union(result)));
            }
            let step = match overload {
                "index_list" => Some("@items"),
                "index_map" => Some("@values"),
                _ => None,
            };
            if let (Some(step), Some(container)) = (step, args.first()) {
                size = self.entry(container).map(|entry| entry.value);
                let path = self.path(container).with(step);
                self.paths.insert(expr.id, path);
            }
            if size.is_none() {
                size = self.size(expr);
            }
        }
        if let Some(size) = size {
            self.sizes.insert(expr.id, size);
        }
        sum.add(cost)
    }

    fn overload(
        &mut self,
        expr: &Expr,
        function: &str,
        overload: &str,
        target: Option<&Node<'_>>,
        args: &[Node<'_>],
        costs: &[Bounds],
    ) -> Estimate {
        let total = costs.iter().fold(Bounds::default(), |sum, cost| sum.add(*cost));
        if let Some(estimate) = self.kubernetes(function, overload, target, args) {
            return Estimate { cost: estimate.cost.add(total), size: estimate.size };
        }
        self.standard(expr, overload, target, args, costs)
            .unwrap_or(Estimate { cost: Bounds::fixed(1).add(total), size: None })
    }

    fn standard(
        &mut self,
        expr: &Expr,
        overload: &str,
        target: Option<&Node<'_>>,
        args: &[Node<'_>],
        costs: &[Bounds],
    ) -> Option<Estimate> {
        let total = costs.iter().fold(Bounds::default(), |sum, cost| sum.add(*cost));
        let size = |node: &Node<'_>| node.size.unwrap_or(Bounds::UNKNOWN);
        let plain = |cost: Bounds| Some(Estimate { cost: cost.add(total), size: None });
        match (overload, target, args) {
            ("string_format", Some(target), _) => plain(size(target).scale(TRAVERSAL)),
            ("string_to_bytes", _, [arg]) => {
                let bounds = size(arg);
                let result = Bounds { min: bounds.min, max: bounds.max.wrapping_mul(4) };
                Some(Estimate { cost: bounds.scale(TRAVERSAL).add(total), size: Some(result) })
            }
            ("bytes_to_string", _, [arg]) => {
                let bounds = size(arg);
                let result = Bounds { min: bounds.min / 4, max: bounds.max };
                Some(Estimate { cost: bounds.scale(TRAVERSAL).add(total), size: Some(result) })
            }
            ("strings_quote", _, [arg]) => {
                let bounds = size(arg);
                let result =
                    Bounds { min: bounds.min.wrapping_add(2), max: bounds.max.wrapping_mul(2).wrapping_add(2) };
                Some(Estimate { cost: bounds.scale(TRAVERSAL).add(total), size: Some(result) })
            }
            ("starts_with_string" | "ends_with_string", _, [arg]) => plain(size(arg).scale(TRAVERSAL)),
            ("in_list", _, [_, list]) => plain(size(list).scale(1.0)),
            ("matches_string", Some(target), [arg]) => {
                let text = size(target).add(Bounds::fixed(1)).scale(TRAVERSAL);
                plain(text.multiply(size(arg).scale(REGEX)))
            }
            ("contains_string", Some(target), [arg]) => {
                plain(size(target).scale(TRAVERSAL).multiply(size(arg).scale(TRAVERSAL)))
            }
            ("logical_or" | "logical_and", _, [_, _]) => {
                let cost = Bounds { min: costs[0].min, max: costs[0].add(costs[1]).max };
                Some(Estimate { cost, size: None })
            }
            ("conditional", _, [_, truthy, falsy]) => {
                let result = size(truthy).union(size(falsy));
                if let (Some(left), Some(right)) = (self.entry(truthy.expr), self.entry(falsy.expr)) {
                    self.entries.insert(expr.id, union_entries(left, right));
                }
                Some(Estimate { cost: costs[0].add(costs[1].union(costs[2])), size: Some(result) })
            }
            ("add_string" | "add_bytes" | "add_list", _, [left, right]) => {
                let result = size(left).add(size(right));
                if let (Some(left), Some(right)) = (self.entry(left.expr), self.entry(right.expr)) {
                    self.entries.insert(expr.id, union_entries(left, right));
                }
                let cost = if overload == "add_list" { Bounds::fixed(1) } else { result.scale(TRAVERSAL) };
                Some(Estimate { cost: cost.add(total), size: Some(result) })
            }
            (name, _, [left, right]) if is_traversing_comparison(name) => {
                let max = size(left).max.min(size(right).max);
                plain(Bounds { min: u64::from(max > 0), max }.scale(TRAVERSAL))
            }
            _ => None,
        }
    }
}

fn is_traversing_comparison(overload: &str) -> bool {
    matches!(overload, "equals" | "not_equals")
        || matches!(
            overload,
            "less_string"
                | "greater_string"
                | "less_equals_string"
                | "greater_equals_string"
                | "less_bytes"
                | "greater_bytes"
                | "less_equals_bytes"
                | "greater_equals_bytes"
        )
}

fn literal_size(expr: &Expr) -> Option<Bounds> {
    let size = match &expr.kind {
        Kind::Literal(Literal::Text(text)) => text.chars().count(),
        Kind::Literal(Literal::Bytes(bytes)) => bytes.len(),
        Kind::Literal(_) => 1,
        Kind::List(elements) => elements.len(),
        Kind::Map(entries) => entries.len(),
        _ => return None,
    };
    Some(Bounds::fixed(size as u64))
}
