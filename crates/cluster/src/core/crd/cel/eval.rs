//! Runs a program over an object, counting what it costs.
//!
//! Answers a value or a fault, and the cost in cel-go's units. It stops when the cost of one call
//! passes its limit; it never looks beyond the variables it was given.

use std::sync::Arc;

use super::library;
use super::plan::{Attribute, Base, Call, Fold, Key, Plan, Qualifier};
use super::value::{Fault, Found, Map, Outcome, Val};

/// The most that one evaluation may cost.
pub const CALL_COST_LIMIT: u64 = 1_000_000;

const SELECT_COST: u64 = 1;
const LIST_COST: u64 = 10;
const MAP_COST: u64 = 30;

/// What an expression sees.
#[derive(Clone, Debug)]
pub struct Variables<'a> {
    /// A value that does not fit its schema is an error only for expressions that read it.
    pub this: Outcome<Val<'a>>,
    pub old: Option<Outcome<Val<'a>>>,
}

/// Runs a program; the cost is given whatever the outcome.
pub fn run<'a>(plan: &Plan, variables: Variables<'a>) -> (Outcome<Val<'a>>, u64) {
    let mut run = Run { variables, locals: Vec::new(), cost: 0 };
    let outcome = run.eval(plan);
    (outcome, run.cost)
}

struct Run<'a> {
    variables: Variables<'a>,
    locals: Vec<(String, Val<'a>)>,
    cost: u64,
}

impl<'a> Run<'a> {
    fn charge(&mut self, cost: u64) -> Outcome<()> {
        self.cost = self.cost.saturating_add(cost);
        if self.cost > CALL_COST_LIMIT { Err(Fault::Limit) } else { Ok(()) }
    }

    fn variable(&self, name: &str) -> Outcome<Val<'a>> {
        if let Some((_, value)) = self.locals.iter().rev().find(|(local, _)| local == name) {
            return Ok(value.clone());
        }
        match (name, &self.variables.old) {
            ("self", _) => self.variables.this.clone(),
            ("oldSelf", Some(old)) => old.clone(),
            _ => Err(Fault::new(format!("no such attribute(s): {name}"))),
        }
    }

    fn eval(&mut self, plan: &Plan) -> Outcome<Val<'a>> {
        match plan {
            Plan::Const(value) => Ok(value.clone()),
            Plan::Attribute(attribute) => {
                let value = self.resolve(attribute)?;
                if !matches!(attribute.base, Base::Choice { .. }) {
                    self.charge(SELECT_COST)?;
                }
                Ok(value)
            }
            Plan::Test(attribute) => self.test(attribute),
            Plan::And(left, right) => self.logical(left, right, false),
            Plan::Or(left, right) => self.logical(left, right, true),
            Plan::Equal { left, right, negated } => {
                let left = self.eval(left);
                let right = self.eval(right);
                let (left, right) = (left?, right?);
                let same = left.equal(&right);
                self.charge(library::equality_cost(&left, &right, *negated))?;
                Ok(Val::Bool(same? != *negated))
            }
            Plan::Call(call) => self.call(call),
            Plan::Member { value, set } => {
                let value = self.eval(value)?;
                Ok(Val::Bool(set.iter().any(|known| known.equal(&value).unwrap_or(false))))
            }
            Plan::List(items) => self.list(items),
            Plan::Map(entries) => self.map(entries),
            Plan::Fold(fold) => self.fold(fold),
            Plan::Fallback { left, right, unwrap } => self.fallback(left, right, *unwrap),
        }
    }

    /// `&&` and `||`: one side that decides makes an error of the other not count.
    fn logical(&mut self, left: &Plan, right: &Plan, decisive: bool) -> Outcome<Val<'a>> {
        let mut fault = None;
        for side in [left, right] {
            match self.eval(side) {
                Ok(Val::Bool(flag)) if flag == decisive => return Ok(Val::Bool(decisive)),
                Ok(Val::Bool(_)) => {}
                Ok(_) => {
                    fault.get_or_insert_with(Fault::no_overload);
                }
                Err(Fault::Limit) => return Err(Fault::Limit),
                Err(error) => {
                    fault.get_or_insert(error);
                }
            }
        }
        fault.map_or(Ok(Val::Bool(!decisive)), Err)
    }

    fn call(&mut self, call: &Call) -> Outcome<Val<'a>> {
        let mut args = Vec::with_capacity(call.args.len());
        let mut fault = None;
        for arg in &call.args {
            match self.eval(arg) {
                Ok(value) => args.push(value),
                Err(Fault::Limit) => return Err(Fault::Limit),
                // Only calls of one or two arguments evaluate the rest after an error.
                Err(error) => {
                    fault.get_or_insert(error);
                    if call.args.len() > 2 {
                        break;
                    }
                }
            }
        }
        if call.function == "@not_strictly_false" {
            self.charge(1)?;
            return Ok(match (fault, args.first()) {
                (None, Some(Val::Bool(flag))) => Val::Bool(*flag),
                _ => Val::Bool(true),
            });
        }
        if let Some(fault) = fault {
            self.charge(1)?;
            return Err(fault);
        }
        let result = library::call(&call.function, call.overload, &args, call.pattern.as_deref());
        self.charge(library::call_cost(&call.function, call.overload, &args, result.as_ref().ok()))?;
        result
    }

    fn list(&mut self, items: &[(Plan, bool)]) -> Outcome<Val<'a>> {
        let mut values = Vec::with_capacity(items.len());
        for (item, optional) in items {
            let value = self.eval(item)?;
            match (value, optional) {
                (Val::Optional(inner), true) => values.extend(inner.map(|inner| (*inner).clone())),
                (value, true) => {
                    let message = format!("cannot initialize optional list element from non-optional value {}", value.shown());
                    return Err(Fault::new(message));
                }
                (value, false) => values.push(value),
            }
        }
        self.charge(LIST_COST)?;
        Ok(Val::list(values))
    }

    fn map(&mut self, entries: &[(Plan, Plan, bool)]) -> Outcome<Val<'a>> {
        let mut built: Vec<(Val<'a>, Val<'a>)> = Vec::with_capacity(entries.len());
        for (key, value, optional) in entries {
            let key = self.eval(key)?;
            let value = self.eval(value)?;
            match (value, optional) {
                (Val::Optional(Some(inner)), true) => built.push((key, (*inner).clone())),
                (Val::Optional(None), true) => built.retain(|(known, _)| !known.equal(&key).unwrap_or(false)),
                (value, true) => {
                    let message = format!("cannot initialize optional entry '{}' from non-optional value {}", key.shown(), value.shown());
                    return Err(Fault::new(message));
                }
                (value, false) => built.push((key, value)),
            }
        }
        self.charge(MAP_COST)?;
        Ok(library::build_map(built))
    }

    fn fallback(&mut self, left: &Plan, right: &Plan, unwrap: bool) -> Outcome<Val<'a>> {
        match self.eval(left)? {
            Val::Optional(Some(inner)) if unwrap => Ok((*inner).clone()),
            Val::Optional(Some(inner)) => Ok(Val::Optional(Some(inner))),
            Val::Optional(None) => self.eval(right),
            _ => Err(Fault::no_overload()),
        }
    }

    fn fold(&mut self, fold: &Fold) -> Outcome<Val<'a>> {
        let range = self.eval(&fold.range)?;
        let depth = self.locals.len();
        let mut accumulated: Option<Outcome<Val<'a>>> = None;
        let outcome = self.iterate(fold, &range, &mut accumulated);
        self.locals.truncate(depth);
        outcome?;
        // An accumulator that no step has set is evaluated where it is first asked for.
        let accumulated = match accumulated {
            Some(value) => value,
            None => self.eval(&fold.init),
        };
        self.with_accumulator(fold, accumulated, |run| run.eval(&fold.result))
    }

    fn with_accumulator<T>(
        &mut self,
        fold: &Fold,
        accumulated: Outcome<Val<'a>>,
        body: impl FnOnce(&mut Self) -> Outcome<T>,
    ) -> Outcome<T> {
        let depth = self.locals.len();
        match accumulated {
            Ok(value) => self.locals.push((fold.accumulator.clone(), value)),
            Err(fault) => return Err(fault),
        }
        let outcome = body(self);
        self.locals.truncate(depth);
        outcome
    }

    fn iterate(&mut self, fold: &Fold, range: &Val<'a>, accumulated: &mut Option<Outcome<Val<'a>>>) -> Outcome<()> {
        let two = fold.variable2.is_some();
        let pairs: Vec<(Val<'a>, Option<Val<'a>>)> = match range {
            Val::List(list) => {
                let items = list.values()?;
                if two {
                    let numbered = items.into_iter().enumerate();
                    numbered.map(|(index, item)| (Val::Int(i64::try_from(index).unwrap_or(i64::MAX)), Some(item))).collect()
                } else {
                    items.into_iter().map(|item| (item, None)).collect()
                }
            }
            Val::Map(map) => self.entries(map, two)?,
            other => {
                let message = format!("got '{}', expected iterable type", other.type_name());
                return Err(Fault::new(message));
            }
        };
        let mut current = self.eval(&fold.init);
        for (first, second) in pairs {
            let depth = self.locals.len();
            // The accumulator lies under the variables of the iteration, which may have its name.
            let faulty = current.is_err();
            self.locals.push((fold.accumulator.clone(), current.clone().unwrap_or(Val::Null)));
            self.locals.push((fold.variable.clone(), first));
            if let (Some(name), Some(value)) = (&fold.variable2, second) {
                self.locals.push((name.clone(), value));
            }
            let condition = if faulty { self.faulty_condition(fold) } else { self.eval(&fold.condition) };
            if matches!(condition, Err(Fault::Limit)) {
                return Err(Fault::Limit);
            }
            if matches!(condition, Ok(Val::Bool(false))) {
                self.locals.truncate(depth);
                break;
            }
            let next = if faulty { self.faulty_step(fold, &current) } else { self.eval(&fold.step) };
            self.locals.truncate(depth);
            if matches!(next, Err(Fault::Limit)) {
                return Err(Fault::Limit);
            }
            current = next;
        }
        *accumulated = Some(current);
        Ok(())
    }

    fn entries(&mut self, map: &Map<'a>, two: bool) -> Outcome<Vec<(Val<'a>, Option<Val<'a>>)>> {
        let mut pairs = Vec::with_capacity(map.len());
        for key in map.keys() {
            let value = if two {
                match map.find(&key)? {
                    Found::Value(value) => Some(value),
                    Found::Missing => None,
                }
            } else {
                None
            };
            pairs.push((key, value));
        }
        Ok(pairs)
    }

    /// The condition while the accumulator is an error: only quantifiers look at it, and it is not
    /// strictly false for them.
    fn faulty_condition(&mut self, fold: &Fold) -> Outcome<Val<'a>> {
        match &fold.condition {
            Plan::Const(value) => Ok(value.clone()),
            _ => {
                self.charge(2)?;
                Ok(Val::Bool(true))
            }
        }
    }

    /// A step while the accumulator is an error: `&&` and `||` may still decide, all else stays in error.
    fn faulty_step(&mut self, fold: &Fold, current: &Outcome<Val<'a>>) -> Outcome<Val<'a>> {
        let fault = current.clone().err().unwrap_or(Fault::Limit);
        let (right, decisive) = match &fold.step {
            Plan::And(_, right) => (right, false),
            Plan::Or(_, right) => (right, true),
            Plan::Attribute(Attribute { base: Base::Choice { condition, truthy, .. }, .. }) => {
                // `filter` and `exists_one`: the condition runs, either branch meets the error.
                return match self.eval(condition)? {
                    Val::Bool(true) => {
                        let _ = truthy;
                        Err(fault)
                    }
                    _ => Err(fault),
                };
            }
            _ => return Err(fault),
        };
        self.charge(SELECT_COST)?;
        match self.eval(right) {
            Ok(Val::Bool(flag)) if flag == decisive => Ok(Val::Bool(decisive)),
            Err(Fault::Limit) => Err(Fault::Limit),
            _ => Err(fault),
        }
    }

    /// The value of an attribute, optional where one of its parts is.
    fn resolve(&mut self, attribute: &Attribute) -> Outcome<Val<'a>> {
        let base = match &attribute.base {
            Base::Variable(name) => self.variable(name)?,
            Base::Relative(plan) => self.eval(plan)?,
            Base::Choice { condition, truthy, falsy } => {
                return match self.eval(condition)? {
                    Val::Bool(true) => self.resolve(truthy),
                    Val::Bool(false) => self.resolve(falsy),
                    _ => Err(Fault::no_overload()),
                };
            }
        };
        self.qualify_all(base, &attribute.qualifiers)
    }

    fn qualify_all(&mut self, base: Val<'a>, qualifiers: &[Qualifier]) -> Outcome<Val<'a>> {
        if qualifiers.is_empty() {
            return Ok(base);
        }
        let (mut value, mut optional) = match base {
            Val::Optional(None) => return Ok(Val::Optional(None)),
            Val::Optional(Some(inner)) => ((*inner).clone(), true),
            other => (other, false),
        };
        for qualifier in qualifiers {
            optional |= qualifier.optional;
            let key = self.key(&qualifier.key)?;
            let found = lookup(&value, &key, optional);
            if optional && matches!(found, Ok(Found::Missing)) {
                return Ok(Val::Optional(None));
            }
            self.charge(SELECT_COST)?;
            value = match found? {
                Found::Value(found) => found,
                Found::Missing => return Err(missing(&value, &key)),
            };
        }
        Ok(if optional { Val::Optional(Some(Arc::new(value))) } else { value })
    }

    fn key(&mut self, key: &Key) -> Outcome<Val<'a>> {
        match key {
            Key::Const(value) => Ok(value.clone()),
            Key::Attribute(attribute) => self.resolve(attribute),
            Key::Plan(plan) => self.eval(plan),
        }
    }

    fn test(&mut self, attribute: &Attribute) -> Outcome<Val<'a>> {
        let Some((last, before)) = attribute.qualifiers.split_last() else {
            // A choice has its qualifiers in its branches.
            let Base::Choice { condition, truthy, falsy } = &attribute.base else { return Ok(Val::Bool(true)) };
            return match self.eval(condition)? {
                Val::Bool(true) => self.test(truthy),
                Val::Bool(false) => self.test(falsy),
                _ => Err(Fault::no_overload()),
            };
        };
        let base = match &attribute.base {
            Base::Variable(name) => self.variable(name)?,
            Base::Relative(plan) => self.eval(plan)?,
            Base::Choice { .. } => return Err(Fault::no_overload()),
        };
        let value = match self.qualify_all(base, before)? {
            Val::Optional(None) => return Ok(Val::Bool(false)),
            Val::Optional(Some(inner)) => (*inner).clone(),
            other => other,
        };
        let key = self.key(&last.key)?;
        self.charge(SELECT_COST)?;
        Ok(Val::Bool(match lookup(&value, &key, true)? {
            Found::Value(Val::Optional(inner)) => inner.is_some(),
            Found::Value(_) => true,
            Found::Missing => false,
        }))
    }
}

/// What a container holds under a key; `presence` makes what is no container hold nothing.
fn lookup<'a>(value: &Val<'a>, key: &Val<'a>, presence: bool) -> Outcome<Found<'a>> {
    match value {
        Val::Map(map) => map.find(key),
        Val::List(list) => {
            let index = library::list_index(key)?;
            match usize::try_from(index).ok().filter(|index| *index < list.len()) {
                Some(index) => list.get(index).map(Found::Value),
                None => Ok(Found::Missing),
            }
        }
        Val::Optional(Some(inner)) => lookup(inner, key, presence),
        _ => Ok(Found::Missing),
    }
}

fn missing(value: &Val<'_>, key: &Val<'_>) -> Fault {
    match value {
        Val::List(_) => Fault::new(format!("index out of bounds: {}", key.shown())),
        _ => Fault::new(format!("no such key: {}", key.shown())),
    }
}
