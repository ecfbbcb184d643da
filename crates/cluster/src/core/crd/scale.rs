//! The scale subresource of custom resources: three paths of the object shown as `autoscaling/v1` Scale.
//!
//! Answers the Scale of an object and writes a Scale's replicas back. Managed fields of the Scale are
//! mapped by the caller.

use serde_json::{Map, Value, json};

use super::go::{self, Go};
use crate::core::field::{ErrorList, FieldError};

/// `subresources.scale` of a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScalePaths {
    pub spec_replicas: String,
    pub status_replicas: String,
    pub label_selector: Option<String>,
}

impl ScalePaths {
    /// Reads the paths of a version that has the subresource.
    pub fn of(version: &Value) -> Option<Self> {
        let scale = version.pointer("/subresources/scale").filter(|scale| scale.is_object())?;
        let text = |key: &str| scale.get(key).and_then(Value::as_str).map(str::to_owned);
        Some(Self {
            spec_replicas: text("specReplicasPath").unwrap_or_default(),
            status_replicas: text("statusReplicasPath").unwrap_or_default(),
            label_selector: text("labelSelectorPath").filter(|path| !path.is_empty()),
        })
    }

    /// The Scale of an object.
    ///
    /// # Errors
    /// A value on a path has the wrong type, or the replicas are not set (an internal error upstream).
    pub fn to_scale(&self, object: &Value) -> Result<Value, String> {
        let (scale, found) = self.scale(object)?;
        if found {
            return Ok(scale);
        }
        Err(format!("the spec replicas field {} does not exist", go::quote(&self.spec_replicas)))
    }

    /// The Scale that an update starts from: replicas that are not set read as the smallest number, so
    /// that a patch which leaves them so can be refused.
    ///
    /// # Errors
    /// A value on a path has the wrong type.
    pub fn to_scale_for_update(&self, object: &Value) -> Result<Value, String> {
        let (mut scale, found) = self.scale(object)?;
        if !found {
            scale["spec"]["replicas"] = json!(i32::MIN);
        }
        Ok(scale)
    }

    fn scale(&self, object: &Value) -> Result<(Value, bool), String> {
        let replicas = integer(object, &self.spec_replicas)?;
        let current = integer(object, &self.status_replicas)?.unwrap_or_default();
        let mut status = json!({"replicas": clip(current)});
        if let Some(path) = &self.label_selector {
            let selector = string(object, path)?.unwrap_or_default();
            if !selector.is_empty() {
                status["selector"] = Value::from(selector);
            }
        }
        let mut metadata = Map::new();
        for key in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
            if let Some(value) = object["metadata"].get(key).filter(|value| !value.is_null()) {
                metadata.insert(key.to_owned(), value.clone());
            }
        }
        let mut spec = Map::new();
        if let Some(count) = replicas.map(clip).filter(|count| *count != 0) {
            spec.insert("replicas".to_owned(), json!(count));
        }
        let scale = json!({
            "apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": metadata, "spec": spec, "status": status,
        });
        Ok((scale, replicas.is_some()))
    }

    /// Writes a Scale's replicas, and its resourceVersion where it names one, into an object.
    ///
    /// # Errors
    /// The Scale has no replicas, or a value on the path is not an object (both are bad requests).
    pub fn apply_scale(&self, object: &mut Value, scale: &Value) -> Result<(), String> {
        let replicas = scale.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or_default();
        if replicas == i64::from(i32::MIN) {
            return Err(format!("the spec replicas field {} cannot be empty", go::quote(&self.spec_replicas)));
        }
        set(object, &self.spec_replicas, json!(replicas))?;
        let version = scale.pointer("/metadata/resourceVersion").and_then(Value::as_str).unwrap_or_default();
        if !version.is_empty() {
            object["metadata"]["resourceVersion"] = Value::from(version);
        }
        Ok(())
    }

    /// The faults of `spec` that would break the subresource.
    pub fn validate_spec(&self, object: &Value) -> ErrorList {
        replicas_errors(object, &self.spec_replicas)
    }

    /// The faults of `status` that would break the subresource.
    pub fn validate_status(&self, object: &Value) -> ErrorList {
        let mut errors = replicas_errors(object, &self.status_replicas);
        if let Some(path) = &self.label_selector
            && let Err(error) = string(object, path)
        {
            errors.push(FieldError::invalid(path, "", error));
        }
        errors
    }
}

fn clip(count: i64) -> i32 {
    count as i32
}

fn replicas_errors(object: &Value, path: &str) -> ErrorList {
    match integer(object, path) {
        Err(error) => vec![FieldError::invalid(path, 0, error)],
        Ok(Some(count)) if count < 0 => vec![FieldError::invalid(path, count, "should be a non-negative integer")],
        Ok(Some(count)) if count > i64::from(i32::MAX) => {
            vec![FieldError::invalid(path, count, format!("should be less than or equal to {}", i32::MAX))]
        }
        Ok(_) => Vec::new(),
    }
}

fn steps(path: &str) -> impl Iterator<Item = &str> {
    path.strip_prefix('.').unwrap_or(path).split('.')
}

/// Go's `unstructured.NestedFieldNoCopy`.
fn nested<'a>(object: &'a Value, path: &str) -> Result<Option<&'a Value>, String> {
    let mut value = object;
    let mut walked = String::new();
    for step in steps(path) {
        match value {
            Value::Object(fields) => match fields.get(step) {
                Some(found) => value = found,
                None => return Ok(None),
            },
            Value::Null => return Ok(None),
            other => {
                return Err(format!(
                    "{walked} accessor error: {} is of the type {}, expected map[string]interface{{}}",
                    go_value(other),
                    go_type(other)
                ));
            }
        }
        walked = format!("{walked}.{step}");
    }
    Ok(Some(value))
}

fn integer(object: &Value, path: &str) -> Result<Option<i64>, String> {
    match nested(object, path)? {
        None => Ok(None),
        Some(Value::Number(number)) => match go::of(number) {
            Go::Int(count) => Ok(Some(count)),
            Go::Float(_) => Err(accessor_error(path, &Value::Number(number.clone()), "int64")),
        },
        Some(other) => Err(accessor_error(path, other, "int64")),
    }
}

fn string<'a>(object: &'a Value, path: &str) -> Result<Option<&'a str>, String> {
    match nested(object, path)? {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(accessor_error(path, other, "string")),
    }
}

fn accessor_error(path: &str, value: &Value, expected: &str) -> String {
    let path: Vec<&str> = steps(path).collect();
    format!(
        ".{} accessor error: {} is of the type {}, expected {expected}",
        path.join("."),
        go_value(value),
        go_type(value)
    )
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if matches!(go::of(number), Go::Int(_)) => "int64",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// `%v` of a value.
fn go_value(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => match go::of(number) {
            Go::Int(count) => count.to_string(),
            Go::Float(count) => go::float(count),
        },
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(go_value).collect::<Vec<_>>().join(" ")),
        Value::Object(fields) => {
            let entries: Vec<String> = fields.iter().map(|(key, value)| format!("{key}:{}", go_value(value))).collect();
            format!("map[{}]", entries.join(" "))
        }
    }
}

fn set(object: &mut Value, path: &str, new: Value) -> Result<(), String> {
    let steps: Vec<&str> = steps(path).collect();
    let Some((last, parents)) = steps.split_last() else { return Ok(()) };
    let mut value = object;
    for (index, step) in parents.iter().enumerate() {
        let wrong =
            || format!("value cannot be set because .{} is not a map[string]interface{{}}", steps[..=index].join("."));
        let fields = value.as_object_mut().ok_or_else(wrong)?;
        value = fields.entry(*step).or_insert_with(|| json!({}));
        if !value.is_object() {
            return Err(wrong());
        }
    }
    if let Some(fields) = value.as_object_mut() {
        fields.insert((*last).to_owned(), new);
    }
    Ok(())
}
