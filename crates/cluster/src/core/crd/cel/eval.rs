//! Runs a program over an object, counting what it costs.
//!
//! Answers a value or a fault, and the cost in cel-go's units. It stops when the cost of one call
//! passes its limit; it never looks beyond the variables it was given.

use super::library;
use super::plan::{Base, Call, Fold, Plan};
use super::value::{Fault, Found, Outcome, Val};

/// The most that one evaluation may cost.
pub const CALL_COST_LIMIT: u64 = 1_000_000;

pub(super) const SELECT_COST: u64 = 1;
const LIST_COST: u64 = 10;
const MAP_COST: u64 = 30;

/// What an expression sees.
#[derive(Clone, Debug)]
pub struct Variables<'a> {
    /// A value that does not fit its schema is an error only for expressions that read it.
    pub this: Outcome<Val<'a>>,
    pub old: Option<Outcome<Val<'a>>>,
    /// What expressions of admission see by other names than `self` and `oldSelf`.
    pub named: Vec<(&'a str, Outcome<Val<'a>>)>,
}

impl<'a> Variables<'a> {
    /// Variables without `self`.
    pub fn of(named: Vec<(&'a str, Outcome<Val<'a>>)>) -> Self {
        Self { this: Err(Fault::new("no such attribute(s): self")), old: None, named }
    }
}

/// Runs a program; the cost is given whatever the outcome.
pub fn run<'a>(plan: &Plan, variables: Variables<'a>) -> (Outcome<Val<'a>>, u64) {
    let mut run = Run { variables, locals: Vec::new(), cost: 0 };
    let outcome = run.eval(plan);
    (outcome, run.cost)
}

/// A name of a comprehension.
struct Local<'p, 'a> {
    name: &'p str,
    slot: Slot<'p, 'a>,
}

enum Slot<'p, 'a> {
    Ready(Outcome<Val<'a>>),
    /// An accumulator that nothing has read yet.
    Lazy(&'p Plan),
}

pub(super) struct Run<'p, 'a> {
    variables: Variables<'a>,
    locals: Vec<Local<'p, 'a>>,
    cost: u64,
}

impl<'p, 'a> Run<'p, 'a> {
    pub(super) fn charge(&mut self, cost: u64) -> Outcome<()> {
        self.cost = self.cost.saturating_add(cost);
        if self.cost > CALL_COST_LIMIT { Err(Fault::Limit) } else { Ok(()) }
    }

    pub(super) fn variable(&mut self, name: &str) -> Outcome<Val<'a>> {
        if let Some(at) = self.locals.iter().rposition(|local| local.name == name) {
            return self.local(at);
        }
        match (name, &self.variables.old) {
            ("self", _) => self.variables.this.clone(),
            ("oldSelf", Some(old)) => old.clone(),
            _ => {
                let found = self.variables.named.iter().find(|(own, _)| *own == name);
                found.map_or_else(
                    || Err(Fault::new(format!("no such attribute(s): {name}"))),
                    |(_, value)| value.clone(),
                )
            }
        }
    }

    fn local(&mut self, at: usize) -> Outcome<Val<'a>> {
        let init = match &self.locals[at].slot {
            Slot::Ready(value) => return value.clone(),
            Slot::Lazy(init) => *init,
        };
        // The start value sees what is around the comprehension.
        let above = self.locals.split_off(at);
        let value = self.eval(init);
        self.locals.extend(above);
        self.locals[at].slot = Slot::Ready(value.clone());
        value
    }

    pub(super) fn eval(&mut self, plan: &'p Plan) -> Outcome<Val<'a>> {
        match plan {
            Plan::Const(value) => Ok(value.clone()),
            Plan::Attribute(attribute) => {
                let value = self.resolve(attribute);
                // A choice costs nothing by itself; everything else does, whether it is found or not.
                if !matches!(attribute.base, Base::Choice { .. }) && !matches!(value, Err(Fault::Limit)) {
                    self.charge(SELECT_COST)?;
                }
                value
            }
            Plan::Test(attribute) => self.test(attribute),
            Plan::TestBranch(attribute) => self.test_branch(attribute),
            Plan::And(left, right) => self.logical(left, right, false),
            Plan::Or(left, right) => self.logical(left, right, true),
            Plan::Equal { left, right, negated } => self.equal(left, right, *negated),
            Plan::Call(call) => self.call(call),
            Plan::Member { value, set } => {
                let value = self.eval(value)?;
                Ok(Val::Bool(set.iter().any(|known| known.equal(&value).unwrap_or(false))))
            }
            Plan::List(items) => {
                let list = self.list(items);
                self.built(list, LIST_COST)
            }
            Plan::Map(entries) => {
                let map = self.map(entries);
                self.built(map, MAP_COST)
            }
            Plan::Fold(fold) => self.fold(fold),
            Plan::Fallback { left, right, unwrap } => self.fallback(left, right, *unwrap),
        }
    }

    /// An aggregate costs its price even where an item of it fails.
    fn built(&mut self, value: Outcome<Val<'a>>, cost: u64) -> Outcome<Val<'a>> {
        if !matches!(value, Err(Fault::Limit)) {
            self.charge(cost)?;
        }
        value
    }

    fn equal(&mut self, left: &'p Plan, right: &'p Plan, negated: bool) -> Outcome<Val<'a>> {
        let mut fault = None;
        let left = self.operand(left, &mut fault)?;
        let right = self.operand(right, &mut fault)?;
        self.charge(library::equality_cost(&left, &right, negated))?;
        match fault {
            Some(fault) => Err(fault),
            // What cannot be compared is not equal.
            None if negated => Ok(Val::Bool(!matches!(left.equal(&right), Ok(true)))),
            None => left.equal(&right).map(Val::Bool),
        }
    }

    /// An operand, or what stands for it in costs where it fails.
    fn operand(&mut self, plan: &'p Plan, fault: &mut Option<Fault>) -> Outcome<Val<'a>> {
        match self.eval(plan) {
            Err(Fault::Limit) => Err(Fault::Limit),
            Err(error) => {
                fault.get_or_insert(error);
                Ok(Val::Null)
            }
            value => value,
        }
    }

    /// `&&` and `||`: one side that decides makes an error of the other not count.
    fn logical(&mut self, left: &'p Plan, right: &'p Plan, decisive: bool) -> Outcome<Val<'a>> {
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

    fn call(&mut self, call: &'p Call) -> Outcome<Val<'a>> {
        let mut args = Vec::with_capacity(call.args.len());
        let mut fault = None;
        // Some calls evaluate the rest after an error, and the rest costs.
        let stops = call.args.len() > 2 || call.pattern.is_some() || dispatches(call);
        for (index, arg) in call.args.iter().enumerate() {
            args.push(self.operand(arg, &mut fault)?);
            if stops
                && index + 1 < call.args.len()
                && let Some(fault) = fault
            {
                return Err(fault);
            }
        }
        if call.function == "@not_strictly_false" {
            self.charge(1)?;
            return Ok(match (fault, args.first()) {
                (None, Some(Val::Bool(flag))) => Val::Bool(*flag),
                _ => Val::Bool(true),
            });
        }
        let result = match fault {
            Some(fault) => Err(fault),
            None => library::call(&call.function, call.overload, &args, call.pattern.as_deref()),
        };
        self.charge(library::call_cost(&call.function, call.overload, &args, result.as_ref().ok()))?;
        result
    }

    fn list(&mut self, items: &'p [(Plan, bool)]) -> Outcome<Val<'a>> {
        let mut values = Vec::with_capacity(items.len());
        for (item, optional) in items {
            let value = self.eval(item)?;
            match (value, optional) {
                (Val::Optional(inner), true) => values.extend(inner.map(|inner| (*inner).clone())),
                (value, true) => {
                    let shown = value.shown();
                    let message = format!("cannot initialize optional list element from non-optional value {shown}");
                    return Err(Fault::new(message));
                }
                (value, false) => values.push(value),
            }
        }
        Ok(Val::list(values))
    }

    fn map(&mut self, entries: &'p [(Plan, Plan, bool)]) -> Outcome<Val<'a>> {
        let mut built: Vec<(Val<'a>, Val<'a>)> = Vec::with_capacity(entries.len());
        for (key, value, optional) in entries {
            let key = self.eval(key)?;
            let value = self.eval(value)?;
            if matches!(key, Val::Bytes(_)) {
                return Err(Fault::new("internal error: runtime error: hash of unhashable type types.Bytes"));
            }
            match (value, optional) {
                (Val::Optional(Some(inner)), true) => built.push((key, (*inner).clone())),
                (Val::Optional(None), true) => built.retain(|(known, _)| !known.equal(&key).unwrap_or(false)),
                (value, true) => {
                    let (key, shown) = (key.shown(), value.shown());
                    let message = format!("cannot initialize optional entry '{key}' from non-optional value {shown}");
                    return Err(Fault::new(message));
                }
                (value, false) => built.push((key, value)),
            }
        }
        Ok(library::build_map(built))
    }

    fn fallback(&mut self, left: &'p Plan, right: &'p Plan, unwrap: bool) -> Outcome<Val<'a>> {
        match self.eval(left)? {
            Val::Optional(Some(inner)) if unwrap => Ok((*inner).clone()),
            Val::Optional(Some(inner)) => Ok(Val::Optional(Some(inner))),
            Val::Optional(None) => self.eval(right),
            value => Ok(value),
        }
    }

    fn fold(&mut self, fold: &'p Fold) -> Outcome<Val<'a>> {
        let range = self.eval(&fold.range)?;
        let depth = self.locals.len();
        self.locals.push(Local { name: &fold.accumulator, slot: Slot::Lazy(&fold.init) });
        let outcome = self.iterate(fold, &range, depth);
        self.locals.truncate(depth + 1);
        let result = outcome.and_then(|()| self.eval(&fold.result));
        self.locals.truncate(depth);
        result
    }

    /// Runs the steps; the accumulator is the local at `at`.
    fn iterate(&mut self, fold: &'p Fold, range: &Val<'a>, at: usize) -> Outcome<()> {
        match range {
            Val::List(list) => {
                for index in 0..list.len() {
                    let item = list.get(index);
                    let number = Ok(Val::Int(i64::try_from(index).unwrap_or(i64::MAX)));
                    let (first, second) = if fold.variable2.is_some() { (number, item) } else { (item, Ok(Val::Null)) };
                    if !self.step(fold, at, first, second)? {
                        break;
                    }
                }
                Ok(())
            }
            Val::Map(map) => {
                for key in map.keys() {
                    let value = match &fold.variable2 {
                        None => Ok(Val::Null),
                        Some(_) => map.find(&key).and_then(|found| match found {
                            Found::Value(value) => Ok(value),
                            Found::Missing => Err(Fault::new(format!("no such key: {}", key.shown()))),
                        }),
                    };
                    if !self.step(fold, at, Ok(key), value)? {
                        break;
                    }
                }
                Ok(())
            }
            other if fold.variable2.is_some() => {
                Err(Fault::new(format!("unsupported comprehension range type: {}", other.go_type())))
            }
            other => Err(Fault::new(format!("got '{}', expected iterable type", other.go_type()))),
        }
    }

    /// One step; `false` where the condition ends the comprehension.
    fn step(&mut self, fold: &'p Fold, at: usize, first: Outcome<Val<'a>>, second: Outcome<Val<'a>>) -> Outcome<bool> {
        self.locals.truncate(at + 1);
        if let Some(name) = &fold.variable2 {
            self.locals.push(Local { name, slot: Slot::Ready(second) });
        }
        self.locals.push(Local { name: &fold.variable, slot: Slot::Ready(first) });
        // The accumulator wins where a variable has its name.
        for local in self.locals[at + 1..].iter_mut().filter(|local| local.name == fold.accumulator) {
            local.name = "";
        }
        match self.eval(&fold.condition) {
            Err(Fault::Limit) => return Err(Fault::Limit),
            Ok(Val::Bool(false)) => return Ok(false),
            _ => {}
        }
        let next = self.eval(&fold.step);
        if matches!(next, Err(Fault::Limit)) {
            return Err(Fault::Limit);
        }
        self.locals[at].slot = Slot::Ready(next);
        Ok(true)
    }
}

/// Whether a call picks its overload when it runs.
fn dispatches(call: &Call) -> bool {
    let operator = call.function.contains('_') || matches!(call.function.as_str(), "@in" | "matches");
    call.function == "format" || (call.overload.is_empty() && !operator)
}
