//! Filters: `{"predicates": [{"operation": 1, "key": "display_name", "stringValue": "x"}]}`, all of which must hold.
//!
//! Texts are compared as they are, but for `IS_SUBSTRING`, which does not look at case, as upstream's database. Times are
//! compared as seconds.

use jiff::Timestamp;
use serde_json::Value;

use super::{Field, Kind, Listable};
use crate::core::{
    fault::Fault,
    wire::{Fields, integer},
};

/// Predicates of one filter: more than anybody writes, and few enough for the statement that they become.
const PREDICATES: usize = 64;
/// Values of all predicates together; SQLite takes 32,766 values in a statement.
const VALUES: usize = 1000;

/// How a field is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Equals,
    NotEquals,
    Greater,
    GreaterEquals,
    Less,
    LessEquals,
    In,
    Substring,
}

/// What a field is compared with. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operand {
    Text(String),
    Number(i64),
    Texts(Vec<String>),
    Numbers(Vec<i64>),
}

/// What is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Field(&'static Field),
    /// The value of a tag.
    Tag(String),
}

/// One comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Predicate {
    pub target: Target,
    pub operation: Operation,
    pub operand: Operand,
}

const OPERATIONS: [(i64, &str); 9] = [
    (0, "OPERATION_UNSPECIFIED"),
    (1, "EQUALS"),
    (2, "NOT_EQUALS"),
    (3, "GREATER_THAN"),
    (5, "GREATER_THAN_EQUALS"),
    (6, "LESS_THAN"),
    (7, "LESS_THAN_EQUALS"),
    (8, "IN"),
    (9, "IS_SUBSTRING"),
];

/// Reads a filter; an empty one has no predicates.
///
/// # Errors
/// [`Fault`] that names the predicate and what it may be.
pub fn parse(text: &str, listable: &Listable) -> Result<Vec<Predicate>, Fault> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let value: Value = serde_json::from_str(text)
        .map_err(|error| Fault::new("filter", format!("is no JSON: {error}; write {{\"predicates\": […]}}")))?;
    let mut fields = Fields::of("filter", value)?;
    let predicates = match fields.take("predicates") {
        None => Vec::new(),
        Some(Value::Array(predicates)) => predicates,
        Some(_) => return Err(Fault::new("filter.predicates", "expected a list")),
    };
    fields.end("predicates")?;
    if predicates.len() > PREDICATES {
        return Err(Fault::new("filter.predicates", format!("more than {PREDICATES}; ask for less at a time")));
    }
    let mut read = Vec::with_capacity(predicates.len());
    for (number, value) in predicates.into_iter().enumerate() {
        read.push(predicate(Fields::of(&format!("filter.predicates[{number}]"), value)?, listable)?);
    }
    let values: usize = read.iter().map(|one| one.operand.len()).sum();
    if values > VALUES {
        return Err(Fault::new("filter.predicates", format!("more than {VALUES} values; ask for less at a time")));
    }
    Ok(read)
}

fn predicate(mut fields: Fields, listable: &Listable) -> Result<Predicate, Fault> {
    let at = fields.at("key");
    let key = fields.text("key")?;
    let target = target(&key, listable).ok_or_else(|| {
        let keys: Vec<&str> = listable.fields.iter().map(|field| field.key).collect();
        let tags = if listable.has_tags { ", tags.NAME" } else { "" };
        Fault::new(at, format!("no {} has a field {key:?}; there are {}{tags}", listable.name, keys.join(", ")))
    })?;
    let place = fields.at("operation");
    let operation = match fields.word("operation", &OPERATIONS)? {
        Some("EQUALS") => Operation::Equals,
        Some("NOT_EQUALS") => Operation::NotEquals,
        Some("GREATER_THAN") => Operation::Greater,
        Some("GREATER_THAN_EQUALS") => Operation::GreaterEquals,
        Some("LESS_THAN") => Operation::Less,
        Some("LESS_THAN_EQUALS") => Operation::LessEquals,
        Some("IN") => Operation::In,
        Some("IS_SUBSTRING") => Operation::Substring,
        _ => return Err(Fault::new(place, "missing; give EQUALS, IN, IS_SUBSTRING or another comparison")),
    };
    let kind = match &target {
        Target::Field(field) => field.kind,
        Target::Tag(_) => Kind::Text,
    };
    let place = fields.at("value");
    let operand = operand(&mut fields, kind)?;
    fields.end("operation, key and one value")?;
    let fits = match operation {
        Operation::In => matches!(operand, Operand::Texts(_) | Operand::Numbers(_)),
        Operation::Substring => matches!(operand, Operand::Text(_)),
        _ => matches!(operand, Operand::Text(_) | Operand::Number(_)),
    };
    if !fits {
        let hint =
            "IN takes string_values, int_values or long_values, IS_SUBSTRING takes string_value, others one value";
        return Err(Fault::new(place, hint));
    }
    Ok(Predicate { target, operation, operand })
}

fn target(key: &str, listable: &Listable) -> Option<Target> {
    match key.strip_prefix("tags.") {
        Some(tag) if listable.has_tags && !tag.is_empty() => Some(Target::Tag(tag.to_owned())),
        _ => listable.field(key).map(Target::Field),
    }
}

fn operand(fields: &mut Fields, kind: Kind) -> Result<Operand, Fault> {
    const NAMES: [&str; 7] =
        ["string_value", "int_value", "long_value", "timestamp_value", "string_values", "int_values", "long_values"];
    let mut found = None;
    for name in NAMES {
        let Some(value) = fields.take(name) else { continue };
        if found.is_some() {
            return Err(Fault::new(fields.at(name), "a second value; a predicate has one"));
        }
        found = Some((name, value));
    }
    let Some((name, value)) = found else {
        return Err(Fault::new(fields.at("value"), format!("missing; give one of {}", NAMES.join(", "))));
    };
    let at = fields.at(name);
    let values = match name.strip_suffix("s") {
        None => return single(&at, &value, kind),
        Some(_) => match value {
            Value::Object(mut map) => map.remove("values").unwrap_or(Value::Array(Vec::new())),
            other => other,
        },
    };
    let Value::Array(values) = values else { return Err(Fault::new(at, "expected {\"values\": […]}")) };
    let singles: Result<Vec<Operand>, Fault> = values.iter().map(|value| single(&at, value, kind)).collect();
    let (mut texts, mut numbers) = (Vec::new(), Vec::new());
    for operand in singles? {
        match operand {
            Operand::Text(text) => texts.push(text),
            Operand::Number(number) => numbers.push(number),
            Operand::Texts(_) | Operand::Numbers(_) => {}
        }
    }
    Ok(if kind == Kind::Text { Operand::Texts(texts) } else { Operand::Numbers(numbers) })
}

fn single(at: &str, value: &Value, kind: Kind) -> Result<Operand, Fault> {
    match (kind, value) {
        (Kind::Text, Value::String(text)) => Ok(Operand::Text(text.clone())),
        (Kind::Text, _) => Err(Fault::new(at, "the field holds text; compare it with string_value")),
        (Kind::Time, value) => {
            let parsed = value.as_str().and_then(|text| text.parse::<Timestamp>().ok());
            let seconds = parsed.map(Timestamp::as_second).or_else(|| integer(value));
            // Beyond this a comparison in milliseconds would overflow; it is 290,000 years away.
            let seconds = seconds.filter(|seconds| seconds.unsigned_abs() < 9_000_000_000_000);
            let hint = "the field holds a time; compare it with timestamp_value, as \"2026-01-31T12:00:00Z\"";
            seconds.map(Operand::Number).ok_or_else(|| Fault::new(at, hint))
        }
    }
}

impl Operand {
    fn len(&self) -> usize {
        match self {
            Self::Text(_) | Self::Number(_) => 1,
            Self::Texts(texts) => texts.len(),
            Self::Numbers(numbers) => numbers.len(),
        }
    }
}
