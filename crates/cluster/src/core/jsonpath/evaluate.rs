//! Walks an object along the steps of a path.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::Value;

use super::{Error, Node, Slice};

type Values<'a> = Vec<Cow<'a, Value>>;

/// What a walk found, and the fault that stopped it. Upstream counts what a faulty walk had in hand
/// when a filter asks whether something exists.
struct Walk<'a> {
    values: Values<'a>,
    fault: Option<Error>,
}

impl<'a> From<Values<'a>> for Walk<'a> {
    fn from(values: Values<'a>) -> Self {
        Self { values, fault: None }
    }
}

pub(super) fn find<'a>(node: &'a Node, object: &'a Value) -> Result<Values<'a>, Error> {
    let walk = step(vec![Cow::Borrowed(object)], node);
    walk.fault.map_or(Ok(walk.values), Err)
}

fn steps<'a>(mut values: Values<'a>, nodes: &'a [Node]) -> Walk<'a> {
    for node in nodes {
        let walk = step(values, node);
        if walk.fault.is_some() {
            return walk;
        }
        values = walk.values;
    }
    values.into()
}

fn step<'a>(input: Values<'a>, node: &'a Node) -> Walk<'a> {
    let constant =
        |value: Value| -> Walk<'a> { input.iter().map(|_| Cow::Owned(value.clone())).collect::<Vec<_>>().into() };
    match node {
        Node::List(nodes) => steps(input, nodes),
        Node::Text(text) => vec![Cow::Owned(Value::from(text.as_str()))].into(),
        Node::Integer(integer) => constant(Value::from(*integer)),
        Node::Number(number) => constant(Value::from(*number)),
        Node::Boolean(boolean) => constant(Value::from(*boolean)),
        Node::Field(name) => input.iter().filter_map(|value| member(value, name)).collect::<Vec<_>>().into(),
        Node::Wildcard => input.iter().flat_map(wildcard).collect::<Vec<_>>().into(),
        Node::Recursive => descend(input).into(),
        Node::Array(slice) => array(input, *slice),
        Node::Union(parts) => union(input, parts),
        Node::Filter { left, operator, right } => filter(input, left, operator, right),
        Node::Identifier(name) => Walk { values: input, fault: Some(Error(format!("unrecognized identifier {name}"))) },
    }
}

fn member<'a>(value: &Cow<'a, Value>, name: &str) -> Option<Cow<'a, Value>> {
    match value {
        Cow::Borrowed(value) => value.as_object()?.get(name).map(Cow::Borrowed),
        Cow::Owned(value) => value.as_object()?.get(name).cloned().map(Cow::Owned),
    }
}

/// Members, items, or the bytes of a text.
fn wildcard<'a>(value: &Cow<'a, Value>) -> Values<'a> {
    match value.as_str() {
        Some(text) => text.bytes().map(|byte| Cow::Owned(Value::from(byte))).collect(),
        None => children(value),
    }
}

fn children<'a>(value: &Cow<'a, Value>) -> Values<'a> {
    match value {
        Cow::Borrowed(Value::Object(members)) => members.values().map(Cow::Borrowed).collect(),
        Cow::Borrowed(Value::Array(items)) => items.iter().map(Cow::Borrowed).collect(),
        // Computed values are scalars.
        _ => Vec::new(),
    }
}

/// Every object, list and text below, the values themselves first.
fn descend(input: Values<'_>) -> Values<'_> {
    let mut found = Vec::new();
    let mut pending: Vec<_> = input.into_iter().rev().collect();
    while let Some(value) = pending.pop() {
        let below = children(&value);
        let text = value.as_str().is_some_and(|text| !text.is_empty());
        if !below.is_empty() || text {
            found.push(value);
        }
        pending.extend(below.into_iter().rev());
    }
    found
}

fn array<'a>(input: Values<'a>, slice: Slice) -> Walk<'a> {
    let mut found = Vec::new();
    for value in &input {
        let items = match value {
            Cow::Borrowed(Value::Array(items)) => items,
            _ if value.is_null() => continue,
            _ => return Walk { values: input.clone(), fault: Some(Error("value is not array or slice".to_owned())) },
        };
        match range(slice, items.len() as i64) {
            // Zero elements end the whole step, as upstream.
            Ok(None) => return found.into(),
            Ok(Some((start, end, step))) => {
                found.extend(items[start..end].iter().step_by(step).map(Cow::Borrowed));
            }
            Err(fault) => return Walk { values: input.clone(), fault: Some(fault) },
        }
    }
    found.into()
}

/// Start, end and step of a slice of a list of `length`; none where it is empty by its numbers.
fn range(slice: Slice, length: i64) -> Result<Option<(usize, usize, usize)>, Error> {
    let from_end = |place: i64| if place < 0 { place + length } else { place };
    let start = from_end(slice.start.unwrap_or(0));
    let end = match slice.end {
        None => length,
        Some(0) if slice.end_derived => length,
        Some(end) => from_end(end),
    };
    if start == end {
        return Ok(None);
    }
    let outside = |place: i64| Error(format!("array index out of bounds: index {place}, length {length}"));
    if start >= length || start < 0 {
        return Err(outside(start));
    }
    if end > length || end < 0 {
        return Err(outside(end - 1));
    }
    if start > end {
        return Err(Error(format!("starting index {start} is greater than ending index {end}")));
    }
    match slice.step {
        Some(..=0) => Err(Error("step must be > 0".to_owned())),
        step => Ok(Some((start as usize, end as usize, step.unwrap_or(1) as usize))),
    }
}

fn union<'a>(input: Values<'a>, parts: &'a [Vec<Node>]) -> Walk<'a> {
    let mut found = Vec::new();
    for part in parts {
        let walk = steps(input.clone(), part);
        if walk.fault.is_some() {
            return Walk { values: input, fault: walk.fault };
        }
        found.extend(walk.values);
    }
    found.into()
}

fn filter<'a>(input: Values<'a>, left: &'a [Node], operator: &str, right: &'a [Node]) -> Walk<'a> {
    let mut found: Values<'a> = Vec::new();
    for value in &input {
        let Cow::Borrowed(Value::Array(items)) = value else {
            let fault = Error("value is not array or slice and cannot be filtered".to_owned());
            return Walk { values: input.clone(), fault: Some(fault) };
        };
        for item in items {
            match passes(item, left, operator, right) {
                Ok(true) => found.push(Cow::Borrowed(item)),
                Ok(false) => {}
                Err(fault) => return Walk { values: input.clone(), fault: Some(fault) },
            }
        }
    }
    found.into()
}

fn passes<'a>(item: &'a Value, left: &'a [Node], operator: &str, right: &'a [Node]) -> Result<bool, Error> {
    let lefts = steps(vec![Cow::Borrowed(item)], left);
    if operator == "exists" {
        return Ok(!lefts.values.is_empty());
    }
    let Some(left) = single(lefts)? else { return Ok(false) };
    let Some(right) = single(steps(vec![Cow::Borrowed(item)], right))? else { return Ok(false) };
    let order = compare(&left, &right);
    match operator {
        "==" => equal(&left, &right),
        "!=" => equal(&left, &right).map(|equal| !equal),
        "<" => order.map(Ordering::is_lt),
        ">" => order.map(Ordering::is_gt),
        "<=" => order.map(Ordering::is_le),
        ">=" => order.map(Ordering::is_ge),
        _ => Err(Error(format!("unrecognized filter operator {operator}"))),
    }
}

fn single(walk: Walk<'_>) -> Result<Option<Cow<'_, Value>>, Error> {
    if let Some(fault) = walk.fault {
        return Err(fault);
    }
    if walk.values.len() > 1 {
        return Err(Error("can only compare one element at a time".to_owned()));
    }
    Ok(walk.values.into_iter().next())
}

fn equal(left: &Value, right: &Value) -> Result<bool, Error> {
    match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => Ok(left == right),
        _ => compare(left, right).map(Ordering::is_eq),
    }
}

/// Orders two texts, two integers or two fractions; others do not compare.
fn compare(left: &Value, right: &Value) -> Result<Ordering, Error> {
    match (left, right) {
        (Value::String(left), Value::String(right)) => Ok(left.cmp(right)),
        (Value::Number(left), Value::Number(right)) => match (left.as_i64(), right.as_i64()) {
            (Some(left), Some(right)) => Ok(left.cmp(&right)),
            (None, None) => {
                let order = left.as_f64().zip(right.as_f64()).and_then(|(left, right)| left.partial_cmp(&right));
                order.ok_or_else(|| Error("invalid type for comparison".to_owned()))
            }
            _ => Err(Error("incompatible types for comparison".to_owned())),
        },
        (Value::Bool(_), Value::Bool(_)) | (Value::Null | Value::Array(_) | Value::Object(_), _) => {
            Err(Error("invalid type for comparison".to_owned()))
        }
        (_, Value::Null | Value::Array(_) | Value::Object(_)) => Err(Error("invalid type for comparison".to_owned())),
        _ => Err(Error("incompatible types for comparison".to_owned())),
    }
}
