//! Structural validation: types, junctors, items and properties, as kube-openapi does it.
//!
//! Answers what is wrong with a value under a schema, in upstream's order and words. CEL rules, list
//! types and embedded metadata are judged elsewhere, bounds and patterns in `scalar`.

use serde_json::{Map, Value};

use super::correlate::Correlation;
use super::failure::{Code, Outcome, Trail};
use super::formats;
use super::go::{self, Go, quote};
use super::scalar::{check_format, check_number, enumeration, is_json_integer, string};
use super::structural::Schema;
use crate::core::field::ErrorList;

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
