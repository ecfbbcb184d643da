//! Defaults inside a schema must themselves be valid.
//!
//! Answers the faults of every `default` of a definition: unknown fields, broken metadata, structural
//! and CEL rules. It never applies a default.

use serde_json::{Map, Value};

use super::cel::rules::{Budget, Validator};
use super::go::shown;
use super::object_meta::{self, Malformed};
use super::prune;
use super::structural::Schema;
use super::validate::{self, Reading};
use crate::core::field::{ErrorList, FieldError, Path};

/// Steps from the nearest resource down to a node.
#[derive(Clone)]
enum Step {
    Key(String),
    Index,
}

struct Walk<'a> {
    require_pruned: bool,
    budget: Budget,
    errors: ErrorList,
    root: &'a Schema,
}

/// Validates all defaults of a structural schema.
pub fn validate(schema: &Schema, path: &Path, require_pruned: bool) -> ErrorList {
    if !schema.any(&mut |node| node.default.is_some()) {
        return Vec::new();
    }
    let mut walk = Walk { require_pruned, budget: Budget::per_request(), errors: Vec::new(), root: schema };
    walk.node(schema, path, schema, &[], Where { inside_meta: false, is_resource: true });
    walk.errors
}

#[derive(Clone, Copy)]
struct Where {
    inside_meta: bool,
    is_resource: bool,
}

impl Walk<'_> {
    fn node(&mut self, schema: &Schema, path: &Path, resource: &Schema, steps: &[Step], place: Where) {
        let is_root = std::ptr::eq(schema, self.root);
        let (resource, steps, place) = if schema.embedded_resource || is_root {
            (schema, &[][..], Where { inside_meta: false, is_resource: true })
        } else {
            (resource, steps, Where { is_resource: false, ..place })
        };
        if let Some(default) = &schema.default {
            let errors = self.default_errors(schema, default, &path.child("default"), resource, steps, place);
            self.errors.extend(errors);
        }
        if self.budget.is_spent() {
            return;
        }
        if let Some(items) = &schema.items {
            let below = [steps, &[Step::Index]].concat();
            self.node(items, &path.child("items"), resource, &below, place);
        }
        for (name, property) in &schema.properties {
            let is_meta = place.is_resource && prune::META_FIELDS.contains(&name.as_str());
            let below = [steps, &[Step::Key(name.clone())]].concat();
            let inner = Where { inside_meta: place.inside_meta || is_meta, is_resource: false };
            self.node(property, &path.child("properties").key(name), resource, &below, inner);
        }
    }

    fn default_errors(
        &mut self,
        schema: &Schema,
        default: &Value,
        path: &Path,
        resource: &Schema,
        steps: &[Step],
        place: Where,
    ) -> ErrorList {
        let mut errors = Vec::new();
        let mut value = default.clone();
        let nowhere = Path::root("");
        if place.inside_meta {
            let mut object = surround(value.clone(), steps);
            let coerced = object_meta::coerce(&mut object, resource, &nowhere, true, Malformed::Refuse);
            let found = match coerced {
                Err(error) => vec![error],
                Ok(_) => object_meta::validate(&object, resource, &nowhere, true, super::embedded_metadata),
            };
            if let Some(text) = aggregate(&found) {
                let detail = format!("must result in valid metadata: {text}");
                return vec![FieldError::invalid(path, shown(default), detail)];
            }
        } else {
            if self.require_pruned {
                let mut pruned = value.clone();
                prune::prune_value(&mut pruned, schema, place.is_resource);
                if pruned != value {
                    errors.push(FieldError::invalid(path, shown(default), "must not have unknown fields"));
                }
            }
            let coerced = object_meta::coerce(&mut value, schema, path, place.is_resource, Malformed::Refuse);
            // The fault before shows the default with its metadata decoded, as far as that went, as upstream's does.
            errors.iter_mut().for_each(|error| error.bad_value = Some(shown(&value)));
            if let Err(error) = coerced {
                errors.push(error);
                return errors;
            }
            let found = object_meta::validate(&value, schema, path, place.is_resource, super::embedded_metadata);
            if !found.is_empty() {
                errors.extend(found);
                return errors;
            }
        }
        let found = validate::validate(&value, schema, &path.to_string(), None, Reading::Written);
        if !found.is_empty() {
            errors.extend(found);
            return errors;
        }
        self.rule_errors(schema, &value, path, place, &mut errors);
        errors
    }

    fn rule_errors(&mut self, schema: &Schema, value: &Value, path: &Path, place: Where, errors: &mut ErrorList) {
        let Some(validator) = Validator::new(schema, place.is_resource) else { return };
        let mut budget = self.budget;
        let found = validator.validate(path, value, Some(value), None, &mut budget);
        if found.is_empty() {
            let mut alone = self.budget;
            errors.extend(validator.validate(path, value, None, None, &mut alone));
            budget = budget.lower(alone);
        }
        errors.extend(found);
        self.budget = budget;
    }
}

fn surround(value: Value, steps: &[Step]) -> Value {
    let wrap = |inner: Value, step: &Step| match step {
        Step::Key(name) => Value::Object(Map::from_iter([(name.clone(), inner)])),
        Step::Index => Value::Array(vec![inner]),
    };
    let mut object = steps.iter().rev().fold(value, wrap);
    if let Value::Object(fields) = &mut object {
        fields.entry("kind").or_insert_with(|| Value::from("Validation"));
        fields.entry("apiVersion").or_insert_with(|| Value::from("validation/v1"));
    }
    object
}

/// The text of several errors as Go's `Aggregate` prints it: one bare, more in brackets, none twice.
pub fn aggregate(errors: &[FieldError]) -> Option<String> {
    let mut texts: Vec<String> = Vec::new();
    for error in errors {
        let text = error.to_string();
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    match texts.len() {
        0 => None,
        1 => texts.pop(),
        _ => Some(format!("[{}]", texts.join(", "))),
    }
}
