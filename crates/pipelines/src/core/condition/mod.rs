//! The language of `triggerPolicy.condition` and `parameterExpressionSelector`: the part of CEL that says something
//! about values.
//!
//! What SDKs write is comparisons of `inputs.parameter_values['…']` under `int()`, `double()`, `!()` and `&&`, and
//! `parseJson(string_value)["key"]`. Beyond that there are `||`, `? :`, arithmetic, `in`, lists, maps, indexing, `size`,
//! `string`, `bool`, `has`, the methods `contains`, `startsWith`, `endsWith`, `matches` and `size`, and the
//! comprehensions `all`, `exists`, `exists_one`, `filter` and `map`. There are no timestamps, no bytes, no types as
//! values, no maps with keys other than strings, and no infinities.
//!
//! What an expression comes to is what upstream's evaluator says (`backend/src/v2/expression`, which is cel-go over
//! values of protobuf), wherever that says anything: `tests/oracle.rs` compares the two. Upstream refuses more, since it
//! checks types before it evaluates (`1 == 1.0`), and does not reckon with an input and an integer (`inputs… + 1`).

mod comprehension;
mod evaluate;
mod number;
mod parse;

use std::cell::Cell;

use serde_json::{Value, json};

use super::{fault::Fault, value, value::Parameters};

/// An expression that was parsed.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    expression: Expression,
}

#[derive(Clone, Debug, PartialEq)]
enum Expression {
    Literal(Value),
    Name(String),
    List(Vec<Expression>),
    Map(Vec<(Expression, Expression)>),
    Member(Box<Expression>, String),
    Index(Box<Expression>, Box<Expression>),
    Call(Function, Vec<Expression>),
    /// A method and what it is called on.
    Method(Method, Box<Expression>, Vec<Expression>),
    /// A comprehension over a list, or the keys of a map: the variable, and what is said of it.
    Over(Comprehension, Box<Expression>, String, Vec<Expression>),
    Not(Box<Expression>),
    Minus(Box<Expression>),
    Binary(Operator, Box<Expression>, Box<Expression>),
    /// Condition, then, else.
    Choice(Box<Expression>, Box<Expression>, Box<Expression>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    Int,
    Double,
    String,
    Bool,
    Size,
    ParseJson,
    Has,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Contains,
    StartsWith,
    EndsWith,
    Matches,
    Size,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comprehension {
    All,
    Exists,
    ExistsOne,
    Filter,
    Map,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Condition {
    /// Parses an expression.
    ///
    /// # Errors
    /// Where it is none; the fault tells the column.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        parse::expression(text).map(|expression| Self { expression }).map_err(|what| Fault::new("", what))
    }

    /// Whether it holds for a task's inputs, of which it knows `inputs.parameter_values`.
    ///
    /// # Errors
    /// Where an input is missing, types do not fit, or the result is no boolean: the task fails then, it is not skipped.
    pub fn evaluate(&self, parameters: &Parameters) -> Result<bool, Fault> {
        let work = Cell::new(evaluate::MAX_WORK);
        let scope = evaluate::Scope { parameters: Some(parameters), fields: &Value::Null, variable: None, work: &work };
        match scope.value(&self.expression).map_err(|what| Fault::new("", what))? {
            Value::Bool(holds) => Ok(holds),
            other => {
                Err(Fault::new("", format!("gives {}, and a condition must be true or false", value::describe(&other))))
            }
        }
    }

    /// What it selects from a value, which it knows as `string_value` (its text, JSON unless it is a string) and as
    /// `number_value`, `bool_value`, `list_value` or `struct_value` by its type.
    ///
    /// # Errors
    /// Where a key is missing or types do not fit.
    pub fn select(&self, from: &Value) -> Result<Value, Fault> {
        let mut fields = json!({"string_value": value::text(&value::integral(from.clone()))});
        let name = match from {
            Value::Null => "null_value",
            Value::Bool(_) => "bool_value",
            Value::Number(_) => "number_value",
            Value::String(_) => "string_value",
            Value::Array(_) => "list_value",
            Value::Object(_) => "struct_value",
        };
        fields[name] = number::doubles(from.clone());
        let work = Cell::new(evaluate::MAX_WORK);
        let scope = evaluate::Scope { parameters: None, fields: &fields, variable: None, work: &work };
        scope.value(&self.expression).map(value::integral).map_err(|what| Fault::new("", what))
    }
}

#[cfg(test)]
mod tests;
