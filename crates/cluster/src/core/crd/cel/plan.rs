//! A checked expression made ready to run: names resolved, constants folded.
//!
//! The shape follows cel-go's planner, because costs are counted by its steps: a chain of selections
//! is one attribute with qualifiers, a constant list costs nothing. Nothing is evaluated here but
//! constants.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use super::ast::{Element, Entry, Expr, Kind, Literal};
use super::check::Checked;
use super::library;
use super::value::{Fault, Val};
use crate::core::crd::pattern::Pattern;

/// A step of a program.
#[derive(Clone, Debug)]
pub enum Plan {
    Const(Val<'static>),
    Attribute(Attribute),
    /// `has(…)`: the last qualifier is only looked for.
    Test(Attribute),
    /// `has(…)` as a branch of `?:`.
    TestBranch(Attribute),
    And(Box<Plan>, Box<Plan>),
    Or(Box<Plan>, Box<Plan>),
    Equal {
        left: Box<Plan>,
        right: Box<Plan>,
        negated: bool,
    },
    Call(Call),
    /// `in` with a constant list.
    Member {
        value: Box<Plan>,
        set: Vec<Val<'static>>,
    },
    List(Vec<(Plan, bool)>),
    Map(Vec<(Plan, Plan, bool)>),
    Fold(Box<Fold>),
    /// `or` and `orValue` of optionals.
    Fallback {
        left: Box<Plan>,
        right: Box<Plan>,
        unwrap: bool,
    },
}

/// A value and the fields and indexes selected from it.
#[derive(Clone, Debug)]
pub struct Attribute {
    pub base: Base,
    pub qualifiers: Vec<Qualifier>,
}

#[derive(Clone, Debug)]
pub enum Base {
    Variable(String),
    Relative(Box<Plan>),
    Choice { condition: Box<Plan>, truthy: Box<Attribute>, falsy: Box<Attribute> },
}

#[derive(Clone, Debug)]
pub struct Qualifier {
    pub key: Key,
    pub optional: bool,
}

#[derive(Clone, Debug)]
pub enum Key {
    Const(Val<'static>),
    Attribute(Box<Attribute>),
    Plan(Box<Plan>),
}

/// A call of a library function.
#[derive(Clone, Debug)]
pub struct Call {
    pub function: String,
    /// The overload, where only one is possible.
    pub overload: &'static str,
    pub args: Vec<Plan>,
    /// The pattern of `matches`, `find` and `findAll`, where it is constant.
    pub pattern: Option<Arc<Pattern>>,
}

/// A comprehension.
#[derive(Clone, Debug)]
pub struct Fold {
    pub range: Plan,
    pub variable: String,
    pub variable2: Option<String>,
    pub accumulator: String,
    pub init: Plan,
    pub condition: Plan,
    pub step: Plan,
    pub result: Plan,
}

/// Functions that convert constants before the program runs.
const CONVERSIONS: [&str; 10] =
    ["bool", "bytes", "double", "duration", "dyn", "int", "string", "timestamp", "type", "uint"];

/// Plans a checked expression.
///
/// # Errors
/// A constant that cannot be converted, or a constant pattern that is none.
pub fn plan(checked: &Checked) -> Result<Plan, String> {
    Planner { checked, patterns: HashMap::new() }.expr(&checked.root)
}

struct Planner<'a> {
    checked: &'a Checked,
    patterns: HashMap<String, Arc<Pattern>>,
}

fn literal(literal: &Literal) -> Val<'static> {
    match literal {
        Literal::Null => Val::Null,
        Literal::Bool(flag) => Val::Bool(*flag),
        Literal::Int(number) => Val::Int(*number),
        Literal::Uint(number) => Val::Uint(*number),
        Literal::Double(number) => Val::Double(*number),
        Literal::Text(text) => Val::text(text.clone()),
        Literal::Bytes(bytes) => Val::Bytes(bytes.clone().into()),
    }
}

impl Planner<'_> {
    fn expr(&mut self, expr: &Expr) -> Result<Plan, String> {
        match &expr.kind {
            Kind::Literal(value) => Ok(Plan::Const(literal(value))),
            Kind::Ident(name) => self.ident(expr.id, name),
            Kind::Select { operand, field, test } => self.select(operand, field, *test),
            Kind::Call { function, target, args } => self.call(expr, function, target.as_deref(), args),
            Kind::List(elements) => self.list(elements),
            Kind::Map(entries) => self.map(entries),
            Kind::Struct { name, .. } => Err(format!("unknown type '{name}'")),
            Kind::Comprehension(fold) => Ok(Plan::Fold(Box::new(Fold {
                range: self.expr(&fold.range)?,
                variable: fold.variable.clone(),
                variable2: fold.variable2.clone(),
                accumulator: fold.accumulator.clone(),
                init: self.expr(&fold.init)?,
                condition: self.expr(&fold.condition)?,
                step: self.expr(&fold.step)?,
                result: self.expr(&fold.result)?,
            }))),
        }
    }

    fn ident(&self, id: usize, name: &str) -> Result<Plan, String> {
        if let Some(type_name) = self.checked.type_names.get(&id) {
            if matches!(*type_name, "duration" | "timestamp") {
                return Err(format!("reference to undefined type: {type_name}"));
            }
            return Ok(Plan::Const(Val::Type(Cow::Borrowed(type_name))));
        }
        let name = name.strip_prefix('.').unwrap_or(name).to_owned();
        Ok(Plan::Attribute(Attribute { base: Base::Variable(name), qualifiers: Vec::new() }))
    }

    fn select(&mut self, operand: &Expr, field: &str, test: bool) -> Result<Plan, String> {
        let key = Key::Const(Val::text(field.to_owned()));
        let mut attribute = into_attribute(self.expr(operand)?);
        attribute.qualify(Qualifier { key, optional: false });
        Ok(if test { Plan::Test(attribute) } else { Plan::Attribute(attribute) })
    }

    fn list(&mut self, elements: &[Element]) -> Result<Plan, String> {
        let mut items = Vec::with_capacity(elements.len());
        for element in elements {
            items.push((self.expr(&element.value)?, element.optional));
        }
        let constant = |(item, optional): &(Plan, bool)| match item {
            Plan::Const(value) if !optional => Some(value.clone()),
            _ => None,
        };
        let folded: Option<Vec<Val<'static>>> = items.iter().map(constant).collect();
        Ok(folded.map_or(Plan::List(items), |items| Plan::Const(Val::list(items))))
    }

    fn map(&mut self, entries: &[Entry]) -> Result<Plan, String> {
        let mut planned = Vec::with_capacity(entries.len());
        for entry in entries {
            planned.push((self.expr(&entry.key)?, self.expr(&entry.value)?, entry.optional));
        }
        let constant = |(key, value, optional): &(Plan, Plan, bool)| match (key, value) {
            (Plan::Const(key), Plan::Const(value)) if !optional => Some((key.clone(), value.clone())),
            _ => None,
        };
        let folded: Option<Vec<(Val<'static>, Val<'static>)>> = planned.iter().map(constant).collect();
        Ok(folded.map_or(Plan::Map(planned), |entries| Plan::Const(library::build_map(entries))))
    }

    fn call(&mut self, expr: &Expr, function: &str, target: Option<&Expr>, args: &[Expr]) -> Result<Plan, String> {
        let mut planned = Vec::with_capacity(args.len() + 1);
        for arg in target.into_iter().chain(args) {
            planned.push(self.expr(arg)?);
        }
        let overloads = self.checked.overloads.get(&expr.id).map(Vec::as_slice).unwrap_or_default();
        let overload = if let [one] = overloads { one } else { "" };
        match (function, planned.len()) {
            ("_&&_" | "_||_" | "_==_" | "_!=_", 2) => Ok(binary(function, planned)),
            ("_?_:_", 3) => Ok(choice(planned)),
            ("_[_]" | "_[?_]" | "_?._", 2) => {
                let kind = match &planned[1] {
                    Plan::Const(Val::List(_)) => "*types.baseList",
                    Plan::Const(Val::Map(_)) => "*types.baseMap",
                    _ => return Ok(index(planned, function != "_[_]")),
                };
                Err(format!("invalid qualifier type: {kind}"))
            }
            ("or" | "orValue", 2) => Ok(binary(function, planned)),
            ("@in", 2) if overload == "in_list" => Ok(membership(overload, planned)),
            (name, 1) if CONVERSIONS.contains(&name) => convert(function, overload, planned),
            _ => {
                let pattern = self.pattern(function, &planned)?;
                Ok(Plan::Call(Call { function: function.to_owned(), overload, args: planned, pattern }))
            }
        }
    }

    fn pattern(&mut self, function: &str, args: &[Plan]) -> Result<Option<Arc<Pattern>>, String> {
        if !matches!(function, "matches" | "find" | "findAll") {
            return Ok(None);
        }
        let Some(Plan::Const(Val::Text(source))) = args.get(1) else { return Ok(None) };
        let pattern = self.patterns.entry(source.to_string()).or_insert_with(|| Arc::new(Pattern::compile(source)));
        match pattern.regex() {
            Ok(_) => Ok(Some(pattern.clone())),
            Err(error) => Err(error.to_owned()),
        }
    }
}

fn into_attribute(plan: Plan) -> Attribute {
    match plan {
        Plan::Attribute(attribute) => attribute,
        other => Attribute { base: Base::Relative(Box::new(other)), qualifiers: Vec::new() },
    }
}

impl Attribute {
    fn qualify(&mut self, qualifier: Qualifier) {
        match &mut self.base {
            Base::Choice { truthy, falsy, .. } => {
                truthy.qualify(qualifier.clone());
                falsy.qualify(qualifier);
            }
            _ => self.qualifiers.push(qualifier),
        }
    }
}

fn binary(function: &str, args: Vec<Plan>) -> Plan {
    let mut args = args.into_iter().map(Box::new);
    let empty = || Box::new(Plan::Const(Val::Null));
    let left = args.next().unwrap_or_else(empty);
    let right = args.next().unwrap_or_else(empty);
    match function {
        "_&&_" => Plan::And(left, right),
        "_||_" => Plan::Or(left, right),
        "or" => Plan::Fallback { left, right, unwrap: false },
        "orValue" => Plan::Fallback { left, right, unwrap: true },
        operator => Plan::Equal { left, right, negated: operator == "_!=_" },
    }
}

fn choice(args: Vec<Plan>) -> Plan {
    let mut args = args.into_iter();
    let mut next = || args.next().unwrap_or(Plan::Const(Val::Null));
    let condition = Box::new(next());
    let branch = |plan: Plan| match plan {
        Plan::Test(attribute) => Plan::TestBranch(attribute),
        other => other,
    };
    let truthy = Box::new(into_attribute(branch(next())));
    let falsy = Box::new(into_attribute(branch(next())));
    Plan::Attribute(Attribute { base: Base::Choice { condition, truthy, falsy }, qualifiers: Vec::new() })
}

fn index(args: Vec<Plan>, optional: bool) -> Plan {
    let mut args = args.into_iter();
    let mut next = || args.next().unwrap_or(Plan::Const(Val::Null));
    let mut attribute = into_attribute(next());
    let key = match next() {
        Plan::Const(value) => Key::Const(value),
        Plan::Attribute(inner) => Key::Attribute(Box::new(inner)),
        other => Key::Plan(Box::new(other)),
    };
    attribute.qualify(Qualifier { key, optional });
    Plan::Attribute(attribute)
}

fn membership(overload: &'static str, args: Vec<Plan>) -> Plan {
    if let [_, Plan::Const(Val::List(list))] = args.as_slice() {
        let items = list.values().unwrap_or_default();
        if items.is_empty() {
            return Plan::Const(Val::Bool(false));
        }
        let primitive =
            |item: &Val<'_>| matches!(item, Val::Bool(_) | Val::Int(_) | Val::Uint(_) | Val::Double(_) | Val::Text(_));
        if items.iter().all(primitive) {
            let value = args.into_iter().next().unwrap_or(Plan::Const(Val::Null));
            return Plan::Member { value: Box::new(value), set: items };
        }
    }
    Plan::Call(Call { function: "@in".to_owned(), overload, args, pattern: None })
}

fn convert(function: &str, overload: &'static str, args: Vec<Plan>) -> Result<Plan, String> {
    if let [Plan::Const(value)] = args.as_slice() {
        return match library::call(function, overload, std::slice::from_ref(value), None) {
            Ok(value) => Ok(Plan::Const(value)),
            Err(Fault::Error(message)) => Err(message),
            Err(Fault::Limit) => Err("operation cancelled: actual cost limit exceeded".to_owned()),
        };
    }
    Ok(Plan::Call(Call { function: function.to_owned(), overload, args, pattern: None }))
}
