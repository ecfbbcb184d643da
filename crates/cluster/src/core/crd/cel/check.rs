//! Type checking: every node gets a type, every call its overloads.
//!
//! Answers the annotated tree or what does not fit, in cel-go's words. Values are not looked at.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ast::{Ast, Comprehension, Expr, Issue, Kind, Literal, render};
use super::functions::{self, Overload};
use super::literals;
use super::types::{Bindings, Free, ObjectType, Type, most_general};

/// A checked expression.
#[derive(Clone, Debug)]
pub struct Checked {
    pub root: Expr,
    /// By node.
    pub types: Vec<Type>,
    /// Overloads that a call may take, by node.
    pub overloads: BTreeMap<usize, Vec<&'static str>>,
    /// Nodes that name a type, with the name that `type(x)` gives.
    pub type_names: BTreeMap<usize, &'static str>,
    /// Variables of the environment that are used.
    pub variables: Vec<String>,
}

impl Checked {
    /// The type of a node.
    pub fn type_of(&self, expr: &Expr) -> &Type {
        self.types.get(expr.id).unwrap_or(&Type::Dyn)
    }
}

/// Checks an expression against the variables it may use.
///
/// # Errors
/// The rendered faults.
pub fn check(ast: Ast, variables: &[(&str, Type)]) -> Result<Checked, String> {
    let count = ast.offsets.len();
    let scope = variables.iter().map(|(name, kind)| ((*name).to_owned(), kind.clone())).collect();
    let mut checker = Checker {
        offsets: ast.offsets,
        types: vec![Type::Error; count],
        overloads: BTreeMap::new(),
        type_names: BTreeMap::new(),
        variables: Vec::new(),
        scopes: vec![scope],
        bindings: Bindings::default(),
        fresh: 0,
        issues: Vec::new(),
    };
    let mut root = ast.root;
    checker.expr(&mut root);
    if checker.issues.is_empty() {
        checker.types = checker.types.iter().map(|kind| checker.bindings.substitute(kind, Free::Dyn)).collect();
        let faults = literals::validate(&root, &checker.types, &checker.overloads);
        faults.into_iter().for_each(|(id, message)| checker.report(id, message));
    }
    if !checker.issues.is_empty() {
        return Err(render(&ast.source, checker.issues));
    }
    let Checker { types, overloads, type_names, variables, .. } = checker;
    Ok(Checked { root, types, overloads, type_names, variables })
}

struct Checker {
    offsets: Vec<usize>,
    types: Vec<Type>,
    overloads: BTreeMap<usize, Vec<&'static str>>,
    type_names: BTreeMap<usize, &'static str>,
    variables: Vec<String>,
    scopes: Vec<Vec<(String, Type)>>,
    bindings: Bindings,
    fresh: usize,
    issues: Vec<Issue>,
}

impl Checker {
    fn report(&mut self, id: usize, message: String) {
        let offset = self.offsets.get(id).copied().unwrap_or_default();
        self.issues.push(Issue { offset, message });
    }

    fn set(&mut self, id: usize, kind: Type) {
        if let Some(slot) = self.types.get_mut(id) {
            *slot = kind;
        }
    }

    fn get(&self, expr: &Expr) -> Type {
        self.types.get(expr.id).cloned().unwrap_or(Type::Error)
    }

    fn fresh(&mut self) -> Type {
        self.fresh += 1;
        Type::Param(Arc::from(format!("_var{}", self.fresh - 1)))
    }

    fn mismatch(&mut self, id: usize, expected: &Type, found: &Type) {
        self.report(id, format!("expected type '{expected}' but found '{found}'"));
    }

    /// The type of a name: a variable in scope, or a type.
    fn lookup(&mut self, name: &str, id: usize) -> Option<Type> {
        let plain = name.strip_prefix('.').unwrap_or(name);
        for (depth, scope) in self.scopes.iter().enumerate().rev() {
            if let Some((_, kind)) = scope.iter().rev().find(|(known, _)| known == plain) {
                let kind = kind.clone();
                if depth == 0 && !self.variables.iter().any(|used| used == plain) {
                    self.variables.push(plain.to_owned());
                }
                return Some(kind);
            }
        }
        let (kind, type_name) = functions::type_identifier(plain)?;
        self.type_names.insert(id, type_name);
        Some(Type::Type(Some(Arc::new(kind))))
    }

    fn expr(&mut self, expr: &mut Expr) {
        let id = expr.id;
        match &mut expr.kind {
            Kind::Literal(literal) => {
                let kind = match literal {
                    Literal::Null => Type::Null,
                    Literal::Bool(_) => Type::Bool,
                    Literal::Int(_) => Type::Int,
                    Literal::Uint(_) => Type::Uint,
                    Literal::Double(_) => Type::Double,
                    Literal::Text(_) => Type::Text,
                    Literal::Bytes(_) => Type::Bytes,
                };
                self.set(id, kind);
            }
            Kind::Ident(name) => {
                let name = name.clone();
                match self.lookup(&name, id) {
                    Some(kind) => self.set(id, kind),
                    None => {
                        self.set(id, Type::Error);
                        self.undeclared(id, &name);
                    }
                }
            }
            Kind::Select { .. } => self.select(expr),
            Kind::Call { .. } => self.call(expr),
            Kind::List(elements) => {
                let mut joined: Option<Type> = None;
                for element in elements {
                    self.expr(&mut element.value);
                    let kind = self.element_type(&element.value, element.optional);
                    joined = Some(self.join(joined, kind));
                }
                let items = joined.unwrap_or_else(|| self.fresh());
                self.set(id, Type::list(items));
            }
            Kind::Map(entries) => {
                let mut keys: Option<Type> = None;
                let mut values: Option<Type> = None;
                for entry in entries {
                    self.expr(&mut entry.key);
                    let key = self.get(&entry.key);
                    keys = Some(self.join(keys, key));
                    self.expr(&mut entry.value);
                    let value = self.element_type(&entry.value, entry.optional);
                    values = Some(self.join(values, value));
                }
                let keys = keys.unwrap_or_else(|| self.fresh());
                let values = values.unwrap_or_else(|| self.fresh());
                self.set(id, Type::map(keys, values));
            }
            Kind::Struct { name, fields } => {
                let name = name.clone();
                for field in fields {
                    self.expr(&mut field.value);
                }
                self.message(id, &name);
            }
            Kind::Comprehension(fold) => self.comprehension(id, fold),
        }
    }

    fn undeclared(&mut self, id: usize, name: &str) {
        self.report(id, format!("undeclared reference to '{name}' (in container '')"));
    }

    fn message(&mut self, id: usize, name: &str) {
        self.set(id, Type::Error);
        match self.lookup(name, id) {
            None => self.undeclared(id, name),
            Some(Type::Type(Some(inner))) => {
                let message = format!("'{}' is not a message type", inner.name());
                self.report(id, message);
            }
            Some(other) => self.report(id, format!("'{}' is not a type", other.name())),
        }
    }

    /// The type of a list item or map value, out of its optional where it is marked so.
    fn element_type(&mut self, value: &Expr, optional: bool) -> Type {
        let kind = self.get(value);
        if !optional {
            return kind;
        }
        let (inner, wrapped) = kind.unwrap_optional();
        let inner = inner.clone();
        if !wrapped && inner != Type::Dyn {
            self.mismatch(value.id, &Type::optional(inner.clone()), &inner);
        }
        inner
    }

    fn join(&mut self, previous: Option<Type>, current: Type) -> Type {
        let Some(previous) = previous else { return current };
        if self.bindings.assignable(&previous, &current) {
            return most_general(&previous, &current).clone();
        }
        // That items differ is found by the checks of literals.
        Type::Dyn
    }

    fn select(&mut self, expr: &mut Expr) {
        let id = expr.id;
        if let Some(name) = expr.qualified_name()
            && name.contains('.')
            && let Some(kind) = self.lookup(&name, id)
        {
            self.set(id, kind);
            expr.kind = Kind::Ident(name);
            return;
        }
        let Kind::Select { operand, field, test } = &mut expr.kind else { return };
        let (field, test) = (field.clone(), *test);
        let result = self.select_field(id, operand, &field, false);
        let result = if test { Type::Bool } else { self.bindings.substitute(&result, Free::Keep) };
        self.set(id, result);
    }

    fn select_field(&mut self, id: usize, operand: &mut Expr, field: &str, optional: bool) -> Type {
        self.expr(operand);
        let operand_type = self.bindings.substitute(&self.get(operand), Free::Keep);
        let (target, wrapped) = operand_type.unwrap_optional();
        let result = match target {
            Type::Map(_, values) => (**values).clone(),
            Type::Object(object) => self.field_type(id, object, field),
            Type::Param(_) => {
                self.bindings.assignable(&Type::Dyn, target);
                Type::Dyn
            }
            other => {
                if !other.is_dyn_or_error() {
                    self.report(id, format!("type '{other}' does not support field selection"));
                }
                Type::Dyn
            }
        };
        if wrapped || optional { Type::optional(result) } else { result }
    }

    fn field_type(&mut self, id: usize, object: &ObjectType, field: &str) -> Type {
        let Some(fields) = &object.fields else {
            self.report(id, format!("unexpected failed resolution of '{}'", object.name));
            return Type::Error;
        };
        if let Some(kind) = fields.get(field) {
            return kind.clone();
        }
        self.report(id, format!("undefined field '{field}'"));
        Type::Error
    }

    fn call(&mut self, expr: &mut Expr) {
        let id = expr.id;
        let Kind::Call { function, target, args } = &mut expr.kind else { return };
        if function == "_?._" && target.is_none() && args.len() == 2 {
            let field = match &args[1].kind {
                Kind::Literal(Literal::Text(field)) => field.clone(),
                _ => String::new(),
            };
            self.set(args[1].id, Type::Text);
            let result = self.select_field(id, &mut args[0], &field, true);
            let result = self.bindings.substitute(&result, Free::Keep);
            self.set(id, result);
            self.overloads.insert(id, vec!["select_optional_field"]);
            return;
        }
        for arg in args.iter_mut() {
            self.expr(arg);
        }
        let Some(receiver) = target else {
            let name = function.strip_prefix('.').unwrap_or(function).to_owned();
            match functions::lookup(&name) {
                Some(overloads) => {
                    *function = name.clone();
                    let args: Vec<Expr> = args.clone();
                    self.resolve(id, &name, overloads, None, &args);
                }
                None => {
                    let name = function.clone();
                    self.undeclared(id, &name);
                    self.set(id, Type::Error);
                }
            }
            return;
        };
        if let Some(prefix) = receiver.qualified_name() {
            let qualified = format!("{}.{function}", prefix.strip_prefix('.').unwrap_or(&prefix));
            if let Some(overloads) = functions::lookup(&qualified) {
                *function = qualified.clone();
                *target = None;
                let args: Vec<Expr> = args.clone();
                self.resolve(id, &qualified, overloads, None, &args);
                return;
            }
        }
        self.expr(receiver);
        let receiver = (**receiver).clone();
        let (name, args) = (function.clone(), args.clone());
        match functions::lookup(&name) {
            Some(overloads) => self.resolve(id, &name, overloads, Some(&receiver), &args),
            None => {
                self.set(id, Type::Error);
                self.undeclared(id, &name);
            }
        }
    }

    fn resolve(&mut self, id: usize, name: &str, overloads: &'static [Overload], target: Option<&Expr>, args: &[Expr]) {
        let given: Vec<Type> = target.into_iter().chain(args).map(|arg| self.get(arg)).collect();
        if matches!(name, "_&&_" | "_||_") {
            self.logical(id, &overloads[0], &given, args);
            return;
        }
        let mut result: Option<Type> = None;
        let mut chosen = Vec::new();
        for overload in overloads.iter().filter(|overload| overload.member == target.is_some()) {
            let (wanted, returned) = self.instantiate(overload);
            if !self.bindings.assignable_list(&given, &wanted) {
                continue;
            }
            chosen.push(overload.id);
            let returned = self.bindings.substitute(&returned, Free::Keep);
            result = Some(match result {
                None => returned,
                Some(Type::Dyn) => Type::Dyn,
                Some(known) if known == returned => known,
                Some(_) => Type::Dyn,
            });
        }
        let Some(result) = result else {
            let given: Vec<Type> = given.iter().map(|kind| self.bindings.substitute(kind, Free::Dyn)).collect();
            self.no_overload(id, name, &given, target.is_some());
            self.set(id, Type::Error);
            return;
        };
        self.set(id, result);
        self.overloads.insert(id, chosen);
    }

    fn no_overload(&mut self, id: usize, name: &str, given: &[Type], member: bool) {
        let texts: Vec<String> = given.iter().map(ToString::to_string).collect();
        let signature = match texts.split_first() {
            Some((first, rest)) if member => format!("{first}.({})", rest.join(", ")),
            _ => format!("({})", texts.join(", ")),
        };
        self.report(id, format!("found no matching overload for '{name}' applied to '{signature}'"));
    }

    fn logical(&mut self, id: usize, overload: &Overload, given: &[Type], args: &[Expr]) {
        let mut failed = false;
        for (kind, arg) in given.iter().zip(args) {
            if !self.bindings.assignable(kind, &Type::Bool) {
                self.mismatch(arg.id, &Type::Bool, kind);
                failed = true;
            }
        }
        if failed {
            self.set(id, Type::Error);
            return;
        }
        self.set(id, Type::Bool);
        self.overloads.insert(id, vec![overload.id]);
    }

    /// An overload's types with fresh parameters.
    fn instantiate(&mut self, overload: &Overload) -> (Vec<Type>, Type) {
        if !overload.generic {
            return (overload.args.clone(), overload.result.clone());
        }
        let mut fresh: BTreeMap<Arc<str>, Type> = BTreeMap::new();
        let args = overload.args.iter().map(|arg| self.rename(arg, &mut fresh)).collect();
        let result = self.rename(&overload.result, &mut fresh);
        (args, result)
    }

    fn rename(&mut self, of: &Type, fresh: &mut BTreeMap<Arc<str>, Type>) -> Type {
        match of {
            Type::Param(name) => {
                if let Some(known) = fresh.get(name) {
                    return known.clone();
                }
                let new = self.fresh();
                fresh.insert(name.clone(), new.clone());
                new
            }
            Type::List(items) => Type::list(self.rename(items, fresh)),
            Type::Map(keys, values) => Type::map(self.rename(keys, fresh), self.rename(values, fresh)),
            Type::Opaque(name, params) => {
                Type::Opaque(name, params.iter().map(|param| self.rename(param, fresh)).collect())
            }
            Type::Type(Some(inner)) => Type::Type(Some(Arc::new(self.rename(inner, fresh)))),
            other => other.clone(),
        }
    }

    fn comprehension(&mut self, id: usize, fold: &mut Comprehension) {
        self.expr(&mut fold.range);
        self.expr(&mut fold.init);
        let range = self.bindings.substitute(&self.get(&fold.range), Free::Keep);
        let accumulator = self.get(&fold.init);
        self.scopes.push(vec![(fold.accumulator.clone(), accumulator.clone())]);
        let two = fold.variable2.is_some();
        let (first, second) = match &range {
            Type::List(items) if two => (Type::Int, (**items).clone()),
            Type::List(items) => ((**items).clone(), Type::Error),
            Type::Map(keys, values) => ((**keys).clone(), (**values).clone()),
            Type::Dyn | Type::Error | Type::Param(_) => {
                self.bindings.assignable(&Type::Dyn, &range);
                (Type::Dyn, Type::Dyn)
            }
            other => {
                let message = format!(
                    "expression of type '{other}' cannot be range of a comprehension (must be list, map, or dynamic)"
                );
                self.report(fold.range.id, message);
                (Type::Error, Type::Error)
            }
        };
        let mut scope = vec![(fold.variable.clone(), first)];
        scope.extend(fold.variable2.clone().map(|name| (name, second)));
        self.scopes.push(scope);
        self.expr(&mut fold.condition);
        self.assert(&fold.condition, &Type::Bool);
        self.expr(&mut fold.step);
        self.assert(&fold.step, &accumulator);
        self.scopes.pop();
        self.expr(&mut fold.result);
        self.scopes.pop();
        let result = self.bindings.substitute(&self.get(&fold.result), Free::Keep);
        self.set(id, result);
    }

    fn assert(&mut self, expr: &Expr, expected: &Type) {
        let found = self.get(expr);
        if !self.bindings.assignable(expected, &found) {
            self.mismatch(expr.id, expected, &found);
        }
    }
}
