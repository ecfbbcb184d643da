//! Parameters and artifacts as they pass between tasks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Parameters by name. Integral numbers are integers in it, at any depth ([`integral`]).
pub type Parameters = BTreeMap<String, Value>;

/// Artifacts by the name of an input or output; a single one is a list of one.
pub type Artifacts = BTreeMap<String, Vec<Artifact>>;

/// What has gone into a task, or come out of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Values {
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: Parameters,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub artifacts: Artifacts,
}

/// One artifact of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Artifact {
    /// The store's id, a UUID; what the executor input calls `name` of an input artifact.
    pub id: String,
    /// The name it is shown by: that of the output that it came from.
    pub name: String,
    /// `system.Dataset` and the like.
    pub schema_title: String,
    /// `0.0.1` and the like.
    pub schema_version: String,
    /// Where its bytes are: `minio://mlpipeline/v2/artifacts/…`, or what a step or an importer says.
    pub uri: String,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
}

/// The same value with each number that is integral as an integer: `1.0` is `1`, as protobuf's JSON has it.
pub fn integral(value: Value) -> Value {
    match value {
        Value::Number(number) => Value::Number(integral_number(number)),
        Value::Array(items) => Value::Array(items.into_iter().map(integral).collect()),
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(name, value)| (name, integral(value))).collect())
        }
        Value::Null | Value::Bool(_) | Value::String(_) => value,
    }
}

/// What kind of value it is, for a person: `the string "a"`, `a list`.
pub fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(is) => is.to_string(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) if text.chars().count() <= 40 => format!("the string {text:?}"),
        Value::String(_) => "a string".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// The text of a value as a program's argument: a string as it is, everything else as compact JSON.
///
/// Numbers are the shortest decimals that mean them, without an exponent: 1e-7 is `0.0000001` (upstream's `PbValueToText`
/// in `backend/src/v2/metadata/converter.go`). Those within lists and objects are JSON's.
pub fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => {
            number.as_f64().map_or_else(|| number.to_string(), |float| float.to_string())
        }
        value => value.to_string(),
    }
}

/// Whether there is text in it that holds a placeholder.
pub fn has_placeholder(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains("{{$"),
        Value::Array(items) => items.iter().any(has_placeholder),
        Value::Object(fields) => fields.iter().any(|(name, value)| name.contains("{{$") || has_placeholder(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// 2^53: beyond it a double does not hold every integer.
const EXACT: f64 = 9_007_199_254_740_992.0;

fn integral_number(number: serde_json::Number) -> serde_json::Number {
    match number.as_f64() {
        #[expect(clippy::cast_possible_truncation, reason = "it is integral and below 2^53")]
        Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() <= EXACT => (float as i64).into(),
        _ => number,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn text_of_numbers_has_no_exponent() {
        for (value, expected) in [
            (json!(1e-7), "0.0000001"),
            (json!(-2.5e-7), "-0.00000025"),
            (json!(1e21), "1000000000000000000000"),
            (json!(0.1), "0.1"),
            (json!(7), "7"),
            (json!([1e-9]), "[1e-9]"),
        ] {
            assert_eq!(text(&value), expected);
        }
    }

    #[test]
    fn integral_numbers_are_integers_at_any_depth() {
        let given = json!({"a": 1.0, "b": [2.0, 2.5, {"c": -3.0}], "d": 1e300, "e": "1.0"});
        assert_eq!(integral(given).to_string(), r#"{"a":1,"b":[2,2.5,{"c":-3}],"d":1e+300,"e":"1.0"}"#);
    }
}
