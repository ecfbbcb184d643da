//! Selection of fields and items: chains of qualifiers on a variable or a value.
//!
//! Answers what a chain leads to. A chain that is optional somewhere ends in an optional; each
//! qualifier that was followed, or failed, has its cost.

use super::eval::{Run, SELECT_COST};
use super::library;
use super::plan::{Attribute, Base, Key, Qualifier};
use super::value::{Fault, Found, Outcome, Val};

impl<'p, 'a> Run<'p, 'a> {
    /// The value of an attribute, optional where one of its parts is.
    pub(super) fn resolve(&mut self, attribute: &'p Attribute) -> Outcome<Val<'a>> {
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
        Ok(match self.follow(base, &attribute.qualifiers)? {
            None => Val::Optional(None),
            Some((value, true)) => Val::some(value),
            Some((value, false)) => value,
        })
    }

    /// What qualifiers lead to and whether that is optional; nothing where it is missing and may be.
    fn follow(&mut self, base: Val<'a>, qualifiers: &'p [Qualifier]) -> Outcome<Option<(Val<'a>, bool)>> {
        let (mut value, mut optional) = match base {
            Val::Optional(None) => return Ok(None),
            Val::Optional(Some(inner)) => (inner.stripped(), true),
            other => (other, false),
        };
        for qualifier in qualifiers {
            optional |= qualifier.optional;
            let found = self.qualify(&value, &qualifier.key, optional);
            // What is sought for its presence costs only where it is there.
            let free = optional && !matches!(found, Ok((_, Found::Value(_))));
            if !free && !matches!(found, Err(Fault::Limit)) {
                self.charge(SELECT_COST)?;
            }
            value = match found? {
                (_, Found::Value(found)) => found,
                (_, Found::Missing) if optional => return Ok(None),
                (key, Found::Missing) => return Err(missing(&value, &key)),
            };
        }
        Ok(Some((value, optional)))
    }

    fn qualify(&mut self, value: &Val<'a>, key: &'p Key, presence: bool) -> Outcome<(Val<'a>, Found<'a>)> {
        let key = self.key(key)?;
        let found = lookup(value, &key, presence)?;
        Ok((key, found))
    }

    fn key(&mut self, key: &'p Key) -> Outcome<Val<'a>> {
        let value = match key {
            Key::Const(value) => return Ok(value.clone()),
            Key::Attribute(attribute) => self.resolve(attribute)?,
            Key::Plan(plan) => self.eval(plan)?,
        };
        match value {
            Val::Text(_) | Val::Int(_) | Val::Uint(_) | Val::Bool(_) | Val::Double(_) | Val::Preserved(_) => Ok(value),
            other => Err(Fault::new(format!("invalid qualifier type: {}", other.go_type()))),
        }
    }

    /// `has(…)`: whether the last qualifier of an attribute leads anywhere.
    pub(super) fn test(&mut self, attribute: &'p Attribute) -> Outcome<Val<'a>> {
        self.presence(attribute).map(|(found, _)| Val::Bool(found))
    }

    /// `has(…)` as a branch of `?:`, where an optional stays one.
    pub(super) fn test_branch(&mut self, attribute: &'p Attribute) -> Outcome<Val<'a>> {
        Ok(match self.presence(attribute)? {
            (found, false) => Val::Bool(found),
            (true, true) => Val::some(Val::Null),
            (false, true) => Val::Optional(None),
        })
    }

    /// Whether an attribute is there, and whether some part of it is optional.
    fn presence(&mut self, attribute: &'p Attribute) -> Outcome<(bool, bool)> {
        let Some((last, before)) = attribute.qualifiers.split_last() else {
            // A choice has its qualifiers in its branches.
            let Base::Choice { condition, truthy, falsy } = &attribute.base else { return Ok((true, false)) };
            return match self.eval(condition)? {
                Val::Bool(true) => self.presence(truthy),
                Val::Bool(false) => self.presence(falsy),
                _ => Err(Fault::no_overload()),
            };
        };
        let base = match &attribute.base {
            Base::Variable(name) => self.variable(name)?,
            Base::Relative(plan) => self.eval(plan)?,
            Base::Choice { .. } => return Err(Fault::no_overload()),
        };
        let Some((value, optional)) = self.follow(base, before)? else { return Ok((false, true)) };
        let key = self.key(&last.key)?;
        let found = lookup(&value, &key, true);
        if !optional || matches!(found, Ok(Found::Value(_))) {
            self.charge(SELECT_COST)?;
        }
        let present = match found? {
            Found::Value(Val::Optional(inner)) => inner.is_some(),
            Found::Value(_) => true,
            Found::Missing => false,
        };
        Ok((present, optional))
    }
}

/// What a container holds under a key; `presence` makes what is no container hold nothing.
#[expect(clippy::only_used_in_recursion, reason = "an optional asks its content the same question")]
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
