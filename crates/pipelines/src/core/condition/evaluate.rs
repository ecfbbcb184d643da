//! What an expression comes to. Numbers that an expression holds are CEL's `int` where they are integral, and those that
//! come from outside its `double`, as numbers of protobuf are.

use std::{cell::Cell, cmp::Ordering};

use regex::RegexBuilder;
use serde_json::{Map, Value};

use super::{Expression, Function, Method, Operator, number};
use crate::core::value::{Parameters, describe};

/// Values that one evaluation may copy and make: comprehensions multiply, and a run must not wait for one. A second's
/// work at most.
pub const MAX_WORK: usize = 1_000_000;
/// Bytes of text that count as one value.
const TEXT: usize = 64;

/// What names mean.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    /// `inputs.parameter_values`
    pub parameters: Option<&'a Parameters>,
    /// Other names; an object.
    pub fields: &'a Value,
    /// That of the innermost comprehension.
    pub variable: Option<&'a Variable<'a>>,
    /// What is left of [`MAX_WORK`].
    pub work: &'a Cell<usize>,
}

/// The variable of a comprehension.
pub struct Variable<'a> {
    pub name: &'a str,
    pub value: &'a Value,
    /// Those of the comprehensions around it.
    pub around: Option<&'a Variable<'a>>,
}

impl Scope<'_> {
    /// Counts a value that is copied or made.
    ///
    /// # Errors
    /// Where it was too much.
    pub(super) fn count(&self, value: Value) -> Result<Value, String> {
        let left = self.work.get().checked_sub(weight(&value));
        self.work.set(left.unwrap_or_default());
        left.map(|_| value).ok_or_else(|| format!("needs more than {MAX_WORK} values; compute it in a step"))
    }

    /// An expression's value.
    ///
    /// # Errors
    /// What does not fit, with the name of it.
    pub fn value(&self, expression: &Expression) -> Result<Value, String> {
        match expression {
            Expression::Literal(value) => Ok(value.clone()),
            Expression::Name(name) => self.name(name),
            Expression::List(items) => {
                Ok(Value::Array(items.iter().map(|item| self.value(item)).collect::<Result<_, _>>()?))
            }
            Expression::Map(members) => {
                let mut map = Map::new();
                for (key, value) in members {
                    let Value::String(key) = self.value(key)? else {
                        return Err("has a map with a key that is no string".to_owned());
                    };
                    map.insert(key, self.value(value)?);
                }
                Ok(map.into())
            }
            Expression::Member(of, name) => self.member(of, name),
            Expression::Index(of, index) => self.index(of, index),
            Expression::Call(function, arguments) => self.call(*function, &arguments[0]),
            Expression::Method(method, of, arguments) => {
                let of = self.value(of)?;
                let arguments = arguments.iter().map(|argument| self.value(argument)).collect::<Result<Vec<_>, _>>()?;
                call_method(*method, &of, arguments.first())
            }
            Expression::Not(of) => Ok((!self.truth(of)?).into()),
            Expression::Minus(of) => {
                let value = self.value(of)?;
                let negative = match value.as_i64() {
                    Some(number) => number.checked_neg().map(Value::from),
                    None => value.as_f64().map(|number| (-number).into()),
                };
                negative.ok_or_else(|| format!("has a minus before {}", describe(&value)))
            }
            Expression::Over(kind, of, variable, said) => self.over(*kind, of, variable, said),
            Expression::Binary(operator, left, right) => self.binary(*operator, left, right),
            Expression::Choice(condition, then, other) => {
                if self.truth(condition)? {
                    self.value(then)
                } else {
                    self.value(other)
                }
            }
        }
    }

    pub(super) fn truth(&self, expression: &Expression) -> Result<bool, String> {
        let value = self.value(expression)?;
        value.as_bool().ok_or_else(|| format!("needs true or false, and there is {}", describe(&value)))
    }

    fn variable(&self, name: &str) -> Option<&Value> {
        let mut next = self.variable;
        while let Some(variable) = next {
            if variable.name == name {
                return Some(variable.value);
            }
            next = variable.around;
        }
        None
    }

    fn name(&self, name: &str) -> Result<Value, String> {
        if let Some(value) = self.variable(name) {
            return self.count(value.clone());
        }
        if let (Some(parameters), "inputs") = (self.parameters, name) {
            let doubles = |value: &Value| number::doubles(value.clone());
            let parameters: Map<_, _> = parameters.iter().map(|(name, value)| (name.clone(), doubles(value))).collect();
            return self.count(serde_json::json!({"parameter_values": parameters}));
        }
        let known = match (self.parameters, self.fields) {
            (Some(_), _) => "inputs".to_owned(),
            (None, Value::Object(fields)) => fields.keys().cloned().collect::<Vec<_>>().join(", "),
            (None, _) => "nothing".to_owned(),
        };
        let found = self.fields.get(name).cloned();
        found.ok_or_else(|| format!("uses {name}, which is not known; known is {known}")).and_then(|it| self.count(it))
    }

    /// The task's parameters, where an expression is `inputs.parameter_values`: so that they need not be copied.
    fn parameters(&self, expression: &Expression) -> Option<&Parameters> {
        let Expression::Member(of, name) = expression else { return None };
        let is_inputs = matches!(&**of, Expression::Name(name) if name == "inputs");
        self.parameters.filter(|_| is_inputs && name == "parameter_values" && self.variable("inputs").is_none())
    }

    fn member(&self, of: &Expression, name: &str) -> Result<Value, String> {
        if let Some(parameters) = self.parameters(of) {
            return self.count(parameter(parameters, name)?);
        }
        let value = self.value(of)?;
        value
            .get(name)
            .cloned()
            .ok_or_else(|| format!("needs the field {name:?} of {}, which has none", describe(&value)))
    }

    fn index(&self, of: &Expression, index: &Expression) -> Result<Value, String> {
        let index = self.value(index)?;
        if let (Some(parameters), Value::String(name)) = (self.parameters(of), &index) {
            return self.count(parameter(parameters, name)?);
        }
        let value = self.value(of)?;
        let found = match (&value, &index) {
            (Value::Object(fields), Value::String(name)) => fields.get(name),
            (Value::Array(items), Value::Number(_)) => {
                number::integral(&index).and_then(|index| items.get(usize::try_from(index).ok()?))
            }
            _ => None,
        };
        found.cloned().ok_or_else(|| format!("needs [{index}] of {}, which has none", describe(&value)))
    }

    fn call(&self, function: Function, argument: &Expression) -> Result<Value, String> {
        if function == Function::Has {
            let Expression::Member(of, name) = argument else { return Ok(false.into()) };
            if let Some(parameters) = self.parameters(of) {
                return Ok(parameters.contains_key(name).into());
            }
            return Ok(self.value(of)?.get(name).is_some().into());
        }
        let value = self.value(argument)?;
        let wrong = |name: &str| format!("calls {name} with {}", describe(&value));
        match function {
            Function::Int => to_int(&value).ok_or_else(|| wrong("int")),
            Function::Double => to_double(&value).ok_or_else(|| wrong("double")),
            Function::String => match value {
                Value::Array(_) | Value::Object(_) => Err(wrong("string")),
                value => Ok(number::text(&value).into()),
            },
            Function::Bool => match &value {
                Value::Bool(_) => Ok(value),
                Value::String(text) if matches!(&**text, "true" | "True" | "TRUE" | "t" | "T" | "1") => Ok(true.into()),
                Value::String(text) if matches!(&**text, "false" | "False" | "FALSE" | "f" | "F" | "0") => {
                    Ok(false.into())
                }
                _ => Err(wrong("bool")),
            },
            Function::Size => size(&value).ok_or_else(|| wrong("size")),
            Function::ParseJson => match &value {
                Value::String(text) => serde_json::from_str(text)
                    .map(number::doubles)
                    .map_err(|error| format!("calls parseJson with text that is not JSON: {error}")),
                _ => Err(wrong("parseJson")),
            },
            Function::Has => Ok(false.into()),
        }
    }

    fn binary(&self, operator: Operator, left: &Expression, right: &Expression) -> Result<Value, String> {
        // What decides the result does so, whatever is wrong with the other side: so CEL has it.
        let decides = match operator {
            Operator::And => Some(false),
            Operator::Or => Some(true),
            _ => None,
        };
        if let Some(decides) = decides {
            let left = self.truth(left);
            if left == Ok(decides) {
                return Ok(decides.into());
            }
            let right = self.truth(right);
            if right == Ok(decides) {
                return Ok(decides.into());
            }
            return left.and(right).map(Value::from);
        }
        let (left, right) = (self.value(left)?, self.value(right)?);
        let ordered = |holds: fn(Ordering) -> bool| {
            let what = || format!("compares {} with {}", describe(&left), describe(&right));
            order(&left, &right).map(|ordering| holds(ordering).into()).ok_or_else(what)
        };
        match operator {
            Operator::Equal => Ok(equal(&left, &right).into()),
            Operator::NotEqual => Ok((!equal(&left, &right)).into()),
            Operator::Less => ordered(Ordering::is_lt),
            Operator::LessOrEqual => ordered(Ordering::is_le),
            Operator::Greater => ordered(Ordering::is_gt),
            Operator::GreaterOrEqual => ordered(Ordering::is_ge),
            Operator::In => match &right {
                Value::Array(items) => Ok(items.iter().any(|item| equal(&left, item)).into()),
                Value::Object(fields) => Ok(left.as_str().is_some_and(|name| fields.contains_key(name)).into()),
                _ => Err(format!("has \"in\" before {}, which is no list and no map", describe(&right))),
            },
            _ => arithmetic(operator, &left, &right).and_then(|made| self.count(made)),
        }
    }
}

fn parameter(parameters: &Parameters, name: &str) -> Result<Value, String> {
    let value = parameters.get(name).cloned().map(number::doubles);
    value.ok_or_else(|| format!("needs the input parameter {name:?}, which the task is not given"))
}

/// How much a value counts: itself, and what is in it.
fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => 1 + text.len() / TEXT,
        Value::Array(items) => 1 + items.iter().map(weight).sum::<usize>(),
        Value::Object(fields) => 1 + fields.values().map(weight).sum::<usize>(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 1,
    }
}

fn to_int(value: &Value) -> Option<Value> {
    match value {
        Value::Number(number) if number.is_i64() => Some(value.clone()),
        #[expect(clippy::cast_possible_truncation, reason = "it was checked to fit")]
        Value::Number(number) => {
            number.as_f64().filter(|number| number.abs() < 9.2e18).map(|number| (number.trunc() as i64).into())
        }
        Value::String(text) => text.parse::<i64>().ok().map(Value::from),
        _ => None,
    }
}

fn to_double(value: &Value) -> Option<Value> {
    let number = match value {
        Value::String(text) => text.parse::<f64>().ok()?,
        value => value.as_f64()?,
    };
    serde_json::Number::from_f64(number).map(Value::Number)
}

fn size(value: &Value) -> Option<Value> {
    match value {
        Value::String(text) => Some(text.chars().count().into()),
        Value::Array(items) => Some(items.len().into()),
        Value::Object(fields) => Some(fields.len().into()),
        _ => None,
    }
}

/// Values of different types are not equal; numbers are by what they mean.
fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(_), Value::Number(_)) => order(left, right) == Some(Ordering::Equal),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| equal(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            let same = |(name, value)| right.get(name).is_some_and(|other| equal(value, other));
            left.len() == right.len() && left.iter().all(same)
        }
        _ => left == right,
    }
}

fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Number(one), Value::Number(other)) => match (one.as_i64(), other.as_i64()) {
            (Some(one), Some(other)) => Some(one.cmp(&other)),
            _ => one.as_f64()?.partial_cmp(&other.as_f64()?),
        },
        (Value::String(one), Value::String(other)) => Some(one.cmp(other)),
        (Value::Bool(one), Value::Bool(other)) => Some(one.cmp(other)),
        _ => None,
    }
}

fn arithmetic(operator: Operator, left: &Value, right: &Value) -> Result<Value, String> {
    let result = match (operator, left, right) {
        (Operator::Add, Value::String(one), Value::String(other)) => Some(format!("{one}{other}").into()),
        (Operator::Add, Value::Array(one), Value::Array(other)) => Some([&one[..], &other[..]].concat().into()),
        (_, Value::Number(one), Value::Number(other)) => match (one.as_i64(), other.as_i64()) {
            (Some(one), Some(other)) => match operator {
                Operator::Add => one.checked_add(other),
                Operator::Subtract => one.checked_sub(other),
                Operator::Multiply => one.checked_mul(other),
                Operator::Divide => one.checked_div(other),
                _ => one.checked_rem(other),
            }
            .map(Value::from),
            _ => match (operator, one.as_f64(), other.as_f64()) {
                (Operator::Add, Some(one), Some(other)) => Some(one + other),
                (Operator::Subtract, Some(one), Some(other)) => Some(one - other),
                (Operator::Multiply, Some(one), Some(other)) => Some(one * other),
                (Operator::Divide, Some(one), Some(other)) => Some(one / other),
                _ => None,
            }
            .and_then(serde_json::Number::from_f64)
            .map(Value::Number),
        },
        _ => None,
    };
    result.ok_or_else(|| format!("cannot reckon with {} and {}", describe(left), describe(right)))
}

/// Bytes that a compiled pattern may take.
const PATTERN_BYTES: usize = 1 << 20;

fn call_method(method: Method, of: &Value, argument: Option<&Value>) -> Result<Value, String> {
    let wrong = || format!("calls a method of strings on {}", describe(of));
    if method == Method::Size {
        return size(of).ok_or_else(|| format!("calls size on {}", describe(of)));
    }
    let text = of.as_str().ok_or_else(wrong)?;
    let argument = argument.and_then(Value::as_str).ok_or("calls a method with an argument that is no string")?;
    Ok(match method {
        Method::Contains => text.contains(argument),
        Method::StartsWith => text.starts_with(argument),
        Method::EndsWith => text.ends_with(argument),
        Method::Matches => {
            let pattern = RegexBuilder::new(argument).size_limit(PATTERN_BYTES).build();
            pattern.map_err(|_| format!("calls matches with {argument:?}, which is no pattern"))?.is_match(text)
        }
        Method::Size => false,
    }
    .into())
}
