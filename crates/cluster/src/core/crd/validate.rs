//! Structural validation: types, bounds, patterns, enumerations, junctors, as kube-openapi does it.
//!
//! Answers what is wrong with a value under a schema, in upstream's order and words. CEL rules, list
//! types and embedded metadata are judged elsewhere.

use serde_json::{Map, Number, Value};

use super::correlate::Correlation;
use super::formats;
use super::go::{self, Go, quote, shown};
use super::structural::Schema;
use crate::core::field::{ErrorKind, ErrorList, FieldError};

/// What fields are called that have no path at all, as Go prints a nil path.
pub const NO_PATH: &str = "<nil>";

/// Whose reading of the schema applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Objects in requests: unknown formats count as none, int-or-string has both types.
    Served,
    /// Defaults inside a definition: the schema as it is written.
    Written,
}

/// Validates a value. `prefix` is put before every path (`status`), and `correlation` ratchets.
pub fn validate(
    value: &Value,
    schema: &Schema,
    prefix: &str,
    correlation: Option<Correlation<'_>>,
    reading: Reading,
) -> ErrorList {
    let validator = Validator { reading };
    let mut outcome = validator.node(value, schema, &Trail::Root, correlation);
    if correlation.is_some_and(|pair| !outcome.failures.is_empty() && pair.unchanged()) {
        outcome.failures.clear();
    }
    outcome.failures.into_iter().map(|failure| failure.into_field_error(prefix)).collect()
}

/// One failed check.
struct Failure {
    code: Code,
    name: String,
    message: String,
    value: Value,
}

enum Code {
    Required,
    Enum(Vec<Value>),
    TooLong(i64),
    TooMany {
        actual: usize,
        max: i64,
    },
    Type,
    Other,
    /// A failed junctor, which upstream reports without a path.
    Composite,
}

impl Failure {
    fn into_field_error(self, prefix: &str) -> FieldError {
        let root = if prefix.is_empty() { NO_PATH } else { prefix };
        let name = self.name.strip_prefix('.').unwrap_or(&self.name);
        let field = match (&self.code, self.name.as_str()) {
            (Code::Composite, _) | (_, "" | ".") => root.to_owned(),
            _ if prefix.is_empty() => name.to_owned(),
            _ => format!("{prefix}.{name}"),
        };
        let (kind, bad_value, detail) = match self.code {
            Code::Required => (ErrorKind::Required, None, String::new()),
            Code::Enum(allowed) => {
                let text = |value: &Value| match value {
                    Value::String(text) => quote(text),
                    other => quote(&go::json(other)),
                };
                let names: Vec<String> = allowed.iter().map(text).collect();
                (ErrorKind::NotSupported, Some(shown(&self.value)), format!("supported values: {}", names.join(", ")))
            }
            Code::TooLong(max) => (ErrorKind::TooLong, None, too_long(max)),
            Code::TooMany { actual, max } => (ErrorKind::TooMany, Some(Value::from(actual)), too_many(max)),
            Code::Type => (ErrorKind::TypeInvalid, Some(self.value), self.message),
            Code::Other => {
                let value = if self.value.is_null() { Value::from("") } else { shown(&self.value) };
                (ErrorKind::Invalid, Some(value), self.message)
            }
            Code::Composite => (ErrorKind::Invalid, Some(Value::from("")), self.message),
        };
        FieldError { kind, field, bad_value, detail }
    }
}

fn too_long(max: i64) -> String {
    match max {
        i64::MIN..=-1 => "value is too long".to_owned(),
        1 => "may not be more than 1 byte".to_owned(),
        _ => format!("may not be more than {max} bytes"),
    }
}

fn too_many(max: i64) -> String {
    match max {
        i64::MIN..=-1 => "has too many items".to_owned(),
        1 => "must have at most 1 item".to_owned(),
        _ => format!("must have at most {max} items"),
    }
}

/// The path to a value, linked on the stack and rendered only for failures.
enum Trail<'a> {
    Root,
    Property(&'a Trail<'a>, &'a str),
    Additional(&'a Trail<'a>, &'a str),
    Index(&'a Trail<'a>, usize),
}

impl Trail<'_> {
    fn text(&self) -> String {
        match self {
            Self::Root => String::new(),
            Self::Property(parent, name) => {
                let parent = parent.text();
                if parent.is_empty() { (*name).to_owned() } else { format!("{parent}.{name}") }
            }
            Self::Additional(parent, name) => format!("{}.{name}", parent.text()),
            Self::Index(parent, index) => format!("{}[{index}]", parent.text()),
        }
    }

    fn is_root(&self) -> bool {
        matches!(self, Self::Root)
    }
}

/// Failures so far, and how many checks passed, by which junctors choose the best branch.
#[derive(Default)]
struct Outcome {
    failures: Vec<Failure>,
    matches: usize,
}

impl Outcome {
    fn passed() -> Self {
        Self { failures: Vec::new(), matches: 1 }
    }

    fn merge(&mut self, other: Self) {
        self.matches += other.matches;
        other.failures.into_iter().for_each(|failure| self.add(failure));
    }

    fn add(&mut self, failure: Failure) {
        if self.failures.iter().all(|known| known.message != failure.message) {
            self.failures.push(failure);
        }
    }

    fn fail(&mut self, trail: &Trail<'_>, code: Code, value: Value, message: impl FnOnce(&str) -> String) {
        let name = trail.text();
        let message = message(&name);
        self.add(Failure { code, name, message, value });
    }
}

struct Validator {
    reading: Reading,
}

impl Validator {
    fn node(&self, value: &Value, schema: &Schema, trail: &Trail<'_>, pair: Option<Correlation<'_>>) -> Outcome {
        let mut outcome = Outcome::default();
        let format = self.format(schema);
        let types = self.types(schema);
        if value.is_null() {
            outcome.merge(check_null(schema, &types, trail));
            enumeration(value, schema, trail, &mut outcome);
            return outcome;
        }
        if !types.is_empty() || format.is_some() {
            outcome.merge(check_type(value, &types, format, trail));
            outcome.matches += 1;
        }
        outcome.merge(self.junctors(value, schema, trail));
        outcome.matches += 1;
        match value {
            Value::String(text) => {
                string(text, schema, trail, &mut outcome);
                outcome.matches += 1;
                if let Some(format) = format.filter(|format| formats::registered(format).is_some()) {
                    check_format(text, format, trail, &mut outcome);
                    outcome.matches += 1;
                }
            }
            Value::Number(number) => {
                check_number(number, schema, trail, &mut outcome);
                outcome.matches += 2;
            }
            Value::Array(items) => {
                self.list(items, schema, trail, pair, &mut outcome);
                outcome.matches += 2;
            }
            _ => {}
        }
        enumeration(value, schema, trail, &mut outcome);
        outcome.matches += 1;
        if let Value::Object(fields) = value {
            let object = self.object(fields, schema, trail, pair);
            outcome.merge(object);
            outcome.matches += 1;
        }
        outcome.matches += 1;
        outcome
    }

    fn format<'s>(&self, schema: &'s Schema) -> Option<&'s str> {
        let honoured = self.reading == Reading::Written || formats::check(&schema.format).is_some();
        Some(schema.format.as_str()).filter(|format| !format.is_empty() && honoured)
    }

    fn types<'s>(&self, schema: &'s Schema) -> Vec<&'s str> {
        if schema.int_or_string && self.reading == Reading::Served {
            return vec!["integer", "string"];
        }
        if schema.type_name.is_empty() { Vec::new() } else { vec![&schema.type_name] }
    }

    /// A child under its own correlation; an unchanged child keeps its faults to itself.
    fn child(&self, value: &Value, schema: &Schema, trail: &Trail<'_>, pair: Option<Correlation<'_>>) -> Outcome {
        let mut outcome = self.node(value, schema, trail, pair);
        if pair.is_some_and(|pair| !outcome.failures.is_empty() && pair.unchanged()) {
            outcome.failures.clear();
        }
        outcome
    }

    fn junctors(&self, value: &Value, schema: &Schema, trail: &Trail<'_>) -> Outcome {
        let mut outcome = Outcome::default();
        if !schema.any_of.is_empty() {
            self.any_of(value, schema, trail, &mut outcome);
        }
        if !schema.one_of.is_empty() {
            self.one_of(value, schema, trail, &mut outcome);
        }
        if !schema.all_of.is_empty() {
            self.all_of(value, schema, trail, &mut outcome);
        }
        if let Some(not) = &schema.not
            && self.node(value, not, trail, None).failures.is_empty()
        {
            outcome.fail(trail, Code::Composite, Value::Null, |name| {
                format!("{} must not validate the schema (not)", quote(name))
            });
        }
        outcome.matches += 1;
        outcome
    }

    fn any_of(&self, value: &Value, schema: &Schema, trail: &Trail<'_>, outcome: &mut Outcome) {
        let mut best: Option<Outcome> = None;
        for branch in &schema.any_of {
            let result = self.node(value, branch, trail, None);
            if result.failures.is_empty() {
                outcome.merge(result);
                return;
            }
            if best.as_ref().is_none_or(|best| result.matches > best.matches) {
                best = Some(result);
            }
        }
        outcome.fail(trail, Code::Composite, Value::Null, |name| {
            format!("{} must validate at least one schema (anyOf)", quote(name))
        });
        if let Some(best) = best {
            outcome.merge(best);
        }
    }

    fn one_of(&self, value: &Value, schema: &Schema, trail: &Trail<'_>, outcome: &mut Outcome) {
        let mut best: Option<Outcome> = None;
        let mut first: Option<Outcome> = None;
        let mut valid = 0;
        for branch in &schema.one_of {
            let result = self.node(value, branch, trail, None);
            if result.failures.is_empty() {
                valid += 1;
                best = None;
                first.get_or_insert(result);
            } else if valid == 0 && best.as_ref().is_none_or(|best| result.matches > best.matches) {
                best = Some(result);
            }
        }
        if valid == 1 {
            outcome.merge(first.unwrap_or_default());
            return;
        }
        let found =
            if valid == 0 { "Found none valid".to_owned() } else { format!("Found {valid} valid alternatives") };
        outcome.fail(trail, Code::Composite, Value::Null, |name| {
            format!("{} must validate one and only one schema (oneOf). {found}", quote(name))
        });
        if let Some(best) = best {
            outcome.merge(best);
        }
    }

    fn all_of(&self, value: &Value, schema: &Schema, trail: &Trail<'_>, outcome: &mut Outcome) {
        let mut valid = 0;
        for branch in &schema.all_of {
            let result = self.node(value, branch, trail, None);
            valid += usize::from(result.failures.is_empty());
            outcome.merge(result);
        }
        if valid != schema.all_of.len() {
            let none = if valid == 0 { ". None validated" } else { "" };
            outcome.fail(trail, Code::Composite, Value::Null, |name| {
                format!("{} must validate all the schemas (allOf){none}", quote(name))
            });
        }
    }

    fn list(
        &self,
        items: &[Value],
        schema: &Schema,
        trail: &Trail<'_>,
        pair: Option<Correlation<'_>>,
        outcome: &mut Outcome,
    ) {
        if let Some(item_schema) = &schema.items {
            for (index, item) in items.iter().enumerate() {
                let child = pair.and_then(|pair| pair.index(index));
                outcome.merge(self.child(item, item_schema, &Trail::Index(trail, index), child));
            }
        }
        let size = i64::try_from(items.len()).unwrap_or(i64::MAX);
        if let Some(min) = schema.min_items.filter(|min| size < *min) {
            outcome.fail(trail, Code::Other, Value::from(size), |name| {
                format!("{name} in body should have at least {min} items")
            });
        }
        if let Some(max) = schema.max_items.filter(|max| size > *max) {
            outcome.fail(trail, Code::TooMany { actual: items.len(), max }, Value::Null, |name| {
                format!("{name} in body should have at most {max} items")
            });
        }
        let repeats = |(index, item): (usize, &Value)| items[..index].contains(item);
        if schema.unique_items && items.iter().enumerate().any(repeats) {
            outcome
                .fail(trail, Code::Other, Value::Null, |name| format!("{name} in body shouldn't contain duplicates"));
        }
    }

    fn object(
        &self,
        fields: &Map<String, Value>,
        schema: &Schema,
        trail: &Trail<'_>,
        pair: Option<Correlation<'_>>,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        count_properties(fields.len(), schema, trail, &mut outcome);
        match &schema.additional {
            Some(additional) if !additional.allows => {
                for key in fields.keys().filter(|key| !schema.properties.contains_key(*key)) {
                    outcome.fail(trail, Code::Other, Value::from(key.as_str()), |name| {
                        format!("{name}.{key} in body is a forbidden property")
                    });
                }
            }
            Some(additional) => {
                let extra = fields.iter().filter(|(key, _)| !schema.properties.contains_key(*key));
                for (key, value) in extra {
                    let Some(values) = &additional.schema else { break };
                    let child = child_pair(pair, key, trail);
                    outcome.merge(self.child(value, values, &Trail::Additional(trail, key), child));
                }
            }
            None => {}
        }
        for (name, property) in &schema.properties {
            if let Some(value) = fields.get(name) {
                let child = child_pair(pair, name, trail);
                outcome.merge(self.child(value, property, &Trail::Property(trail, name), child));
            }
        }
        for name in schema.required.iter().filter(|name| !fields.contains_key(*name)) {
            outcome.fail(&Trail::Additional(trail, name), Code::Required, Value::Null, |name| {
                format!("{name} in body is required")
            });
        }
        outcome
    }
}

/// A resource's own `apiVersion` and `kind` never correlate.
fn child_pair<'a>(pair: Option<Correlation<'a>>, name: &str, trail: &Trail<'_>) -> Option<Correlation<'a>> {
    if trail.is_root() && matches!(name, "kind" | "apiVersion") { None } else { pair?.key(name) }
}

fn count_properties(count: usize, schema: &Schema, trail: &Trail<'_>, outcome: &mut Outcome) {
    let size = i64::try_from(count).unwrap_or(i64::MAX);
    if let Some(min) = schema.min_properties.filter(|min| size < *min) {
        outcome.fail(trail, Code::Other, Value::from(size), |name| {
            format!("{name} in body should have at least {min} properties")
        });
    }
    if let Some(max) = schema.max_properties.filter(|max| size > *max) {
        outcome.fail(trail, Code::TooMany { actual: count, max }, Value::Null, |name| {
            format!("{name} in body should have at most {max} properties")
        });
    }
}

fn check_null(schema: &Schema, types: &[&str], trail: &Trail<'_>) -> Outcome {
    if types.is_empty() || types.contains(&"null") || schema.nullable {
        return Outcome::passed();
    }
    type_failure(trail, &types.join(","), "null")
}

fn type_failure(trail: &Trail<'_>, expected: &str, found: &str) -> Outcome {
    let mut outcome = Outcome::default();
    outcome.fail(trail, Code::Type, Value::from(found), |name| {
        format!("{name} in body must be of type {expected}: {}", quote(found))
    });
    outcome
}

fn check_type(value: &Value, types: &[&str], format: Option<&str>, trail: &Trail<'_>) -> Outcome {
    let (found, found_format) = match value {
        Value::Bool(_) => ("boolean", ""),
        Value::String(_) => ("string", ""),
        Value::Number(number) => match go::of(number) {
            Go::Int(_) => ("integer", "int64"),
            Go::Float(_) => ("number", "float64"),
        },
        Value::Array(_) => ("array", ""),
        Value::Object(_) => ("object", ""),
        Value::Null => ("null", ""),
    };
    let has = |name: &str| types.contains(&name);
    let whole_float = match value {
        Value::Number(number) => match go::of(number) {
            Go::Float(float) => has("integer") && is_json_integer(float),
            Go::Int(_) => has("number"),
        },
        _ => false,
    };
    let sequence = matches!(value, Value::String(_) | Value::Array(_));
    if let Some(format) = format {
        if !(sequence || has(found) || found_format == format || whole_float) {
            return type_failure(trail, format, found_format);
        }
        if sequence && !has("number") && !has("integer") {
            return Outcome::passed();
        }
    }
    if has(found) || whole_float { Outcome::passed() } else { type_failure(trail, &types.join(","), found) }
}

/// go-openapi's `IsFloat64AJSONInteger`, with its tolerance of one part in a billion.
fn is_json_integer(value: f64) -> bool {
    const LIMIT: f64 = 9_007_199_254_740_991.0;
    if value.is_nan() || !(-LIMIT..=LIMIT).contains(&value) {
        return false;
    }
    let unsigned = if value < 0.0 { (value as i64 as u64) as f64 } else { value as u64 as f64 };
    if value == unsigned || value == value.trunc() {
        return true;
    }
    if value == 0.0 || unsigned == 0.0 {
        return false;
    }
    (value - unsigned).abs() / (value.abs() + unsigned.abs()).min(f64::MAX) < 1e-9
}

fn string(text: &str, schema: &Schema, trail: &Trail<'_>, outcome: &mut Outcome) {
    if schema.max_length.is_none() && schema.min_length.is_none() && schema.pattern.is_none() {
        return;
    }
    let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    if let Some(max) = schema.max_length.filter(|max| length > *max) {
        outcome.fail(trail, Code::TooLong(max), Value::from(text), |name| {
            format!("{name} in body should be at most {max} chars long")
        });
        return;
    }
    if let Some(min) = schema.min_length.filter(|min| length < *min) {
        outcome.fail(trail, Code::Other, Value::from(text), |name| {
            format!("{name} in body should be at least {min} chars long")
        });
        return;
    }
    let Some(pattern) = &schema.pattern else { return };
    let expected = match pattern.regex() {
        Ok(regex) if regex.is_match(text) => return,
        Ok(_) => pattern.source.clone(),
        Err(error) => format!("{}, but pattern is invalid: {error}", pattern.source),
    };
    outcome.fail(trail, Code::Other, Value::from(text), |name| format!("{name} in body should match '{expected}'"));
}

fn check_format(text: &str, format: &str, trail: &Trail<'_>, outcome: &mut Outcome) {
    if formats::registered(format).is_some_and(|check| !check(text)) {
        outcome.fail(trail, Code::Type, Value::from(text), |name| {
            format!("{name} in body must be of type {format}: {}", quote(text))
        });
    }
}

fn check_number(number: &Number, schema: &Schema, trail: &Trail<'_>, outcome: &mut Outcome) {
    let value = go::of(number);
    if let Some(factor) = schema.multiple_of {
        multiple_of(value, factor, trail, outcome);
    }
    if let Some(min) = schema.minimum {
        let (below, shown) =
            compare(value, min, schema.exclusive_minimum, |data, bound| data < bound, |data, bound| data < bound);
        if below {
            let words = if schema.exclusive_minimum { "greater than" } else { "greater than or equal to" };
            bound_failure(value, words, &shown, trail, outcome);
        }
    }
    if let Some(max) = schema.maximum {
        let (above, shown) =
            compare(value, max, schema.exclusive_maximum, |data, bound| data > bound, |data, bound| data > bound);
        if above {
            let words = if schema.exclusive_maximum { "less than" } else { "less than or equal to" };
            bound_failure(value, words, &shown, trail, outcome);
        }
    }
}

/// Whether a bound is broken, and how the bound is written: an integer meets its truncated bound.
fn compare(
    value: Go,
    bound: f64,
    exclusive: bool,
    ints: fn(i64, i64) -> bool,
    floats: fn(f64, f64) -> bool,
) -> (bool, String) {
    match value {
        Go::Int(data) => {
            let bound = go::truncate(bound);
            (ints(data, bound) || (exclusive && data == bound), bound.to_string())
        }
        Go::Float(data) => (floats(data, bound) || (exclusive && data == bound), go::float(bound)),
    }
}

fn bound_failure(value: Go, words: &str, bound: &str, trail: &Trail<'_>, outcome: &mut Outcome) {
    outcome.fail(trail, Code::Other, go_value(value), |name| format!("{name} in body should be {words} {bound}"));
}

fn go_value(value: Go) -> Value {
    match value {
        Go::Int(data) => Value::from(data),
        Go::Float(data) => Value::from(data),
    }
}

fn multiple_of(value: Go, factor: f64, trail: &Trail<'_>, outcome: &mut Outcome) {
    let (positive, multiple, shown, factor_value) = match value {
        Go::Int(data) => {
            let factor = go::truncate(factor);
            (factor > 0, factor > 0 && data % factor == 0, factor.to_string(), Value::from(factor))
        }
        Go::Float(data) => {
            let quotient = if factor < 1.0 { 1.0 / factor * data } else { data / factor };
            (factor > 0.0, is_json_integer(quotient), go::float(factor), Value::from(factor))
        }
    };
    if !positive {
        outcome.fail(trail, Code::Other, factor_value, |name| {
            format!("factor MultipleOf declared for {name} must be positive: {shown}")
        });
    } else if !multiple {
        outcome.fail(trail, Code::Other, go_value(value), |name| {
            format!("{name} in body should be a multiple of {shown}")
        });
    }
}

fn enumeration(value: &Value, schema: &Schema, trail: &Trail<'_>, outcome: &mut Outcome) {
    if schema.enumeration.is_empty() || schema.enumeration.iter().any(|allowed| converts_to(value, allowed)) {
        return;
    }
    outcome.fail(trail, Code::Enum(schema.enumeration.clone()), value.clone(), |name| {
        let names: Vec<String> = schema.enumeration.iter().map(Value::to_string).collect();
        format!("{name} in body should be one of [{}]", names.join(" "))
    });
}

/// Go's comparison after `reflect` converted the value to the allowed one's type: floats lose their
/// fraction for an integer, integers become the character of that number for a string.
fn converts_to(value: &Value, allowed: &Value) -> bool {
    match (value, allowed) {
        (Value::Null, _) | (_, Value::Null) => false,
        (Value::Number(data), Value::Number(allowed)) => match (go::of(data), go::of(allowed)) {
            (Go::Int(data), Go::Int(allowed)) => data == allowed,
            (Go::Float(data), Go::Float(allowed)) => data == allowed,
            (Go::Int(data), Go::Float(allowed)) => data as f64 == allowed,
            (Go::Float(data), Go::Int(allowed)) => go::truncate(data) == allowed,
        },
        (Value::Number(data), Value::String(allowed)) => match go::of(data) {
            Go::Int(code) => {
                let char = u32::try_from(code).ok().and_then(char::from_u32).unwrap_or('\u{fffd}');
                allowed.chars().eq([char])
            }
            Go::Float(_) => false,
        },
        _ => value == allowed,
    }
}
