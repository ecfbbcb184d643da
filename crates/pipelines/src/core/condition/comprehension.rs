//! `all`, `exists`, `exists_one`, `filter` and `map`, over the items of a list or the keys of a map.

use serde_json::Value;

use super::{
    Comprehension, Expression,
    evaluate::{Scope, Variable},
};
use crate::core::value::describe;

impl Scope<'_> {
    /// What a comprehension comes to. `said` is its one expression; that of `map` may have a condition before it.
    ///
    /// # Errors
    /// Where there is nothing to go through, and where an item does not fit, unless others decide: one that is false
    /// decides `all`, one that is true `exists`.
    pub(super) fn over(
        &self,
        kind: Comprehension,
        of: &Expression,
        variable: &str,
        said: &[Expression],
    ) -> Result<Value, String> {
        let items = match self.value(of)? {
            Value::Array(items) => items,
            Value::Object(fields) => fields.into_iter().map(|(name, _)| Value::String(name)).collect(),
            other => return Err(format!("goes through {}, which is no list and no map", describe(&other))),
        };
        match kind {
            Comprehension::All => self.any(items, variable, said, false).map(|is_decided| (!is_decided).into()),
            Comprehension::Exists => self.any(items, variable, said, true).map(Value::from),
            Comprehension::ExistsOne => self.kept(items, variable, said).map(|kept| (kept.len() == 1).into()),
            Comprehension::Filter => self.kept(items, variable, said).map(Value::Array),
            Comprehension::Map => self.mapped(items, variable, said).map(Value::Array),
        }
    }

    /// One expression for one item.
    fn at<T>(
        &self,
        variable: &str,
        item: Value,
        ask: impl FnOnce(&Scope<'_>) -> Result<T, String>,
    ) -> Result<T, String> {
        let value = self.count(item)?;
        let variable = Variable { name: variable, value: &value, around: self.variable };
        ask(&Scope { variable: Some(&variable), ..*self })
    }

    /// Whether there is an item for which the expression is `decides`.
    fn any(&self, items: Vec<Value>, variable: &str, said: &[Expression], decides: bool) -> Result<bool, String> {
        let mut fault = None;
        for item in items {
            for expression in said {
                match self.at(variable, item.clone(), |inner| inner.truth(expression)) {
                    Ok(holds) if holds == decides => return Ok(true),
                    Ok(_) => {}
                    Err(what) => fault = fault.or(Some(what)),
                }
            }
        }
        fault.map_or(Ok(false), Err)
    }

    fn kept(&self, items: Vec<Value>, variable: &str, said: &[Expression]) -> Result<Vec<Value>, String> {
        let mut kept = Vec::new();
        for item in items {
            let mut holds = true;
            for expression in said {
                holds = holds && self.at(variable, item.clone(), |inner| inner.truth(expression))?;
            }
            kept.extend(holds.then_some(item));
        }
        Ok(kept)
    }

    fn mapped(&self, items: Vec<Value>, variable: &str, said: &[Expression]) -> Result<Vec<Value>, String> {
        let Some((to, condition)) = said.split_last() else { return Ok(items) };
        let kept = self.kept(items, variable, condition)?;
        kept.into_iter().map(|item| self.at(variable, item, |inner| inner.value(to))).collect()
    }
}
