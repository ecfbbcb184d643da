//! The JSON merge patch (RFC 7386) that turns one value into another.

use serde::Serialize;
use serde_json::{Map, Value, json};

/// The patch from `old` to `new`; `None` when they are the same. Fields that are gone become null, lists are replaced.
pub fn difference(old: &Value, new: &Value) -> Option<Value> {
    let (Value::Object(old_fields), Value::Object(new_fields)) = (old, new) else {
        return (old != new).then(|| new.clone());
    };
    let mut patch = Map::new();
    for (key, value) in new_fields {
        let change = match old_fields.get(key) {
            Some(before) => difference(before, value),
            None => Some(value.clone()),
        };
        if let Some(change) = change {
            patch.insert(key.clone(), change);
        }
    }
    for key in old_fields.keys().filter(|key| !new_fields.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

/// The patch of the status subresource that turns `old` into `new`.
///
/// # Errors
/// What serialization answers.
pub fn of_status<S: Serialize>(old: Option<&S>, new: &S) -> serde_json::Result<Option<Value>> {
    let old = serde_json::to_value(old)?;
    let new = serde_json::to_value(new)?;
    Ok(difference(&old, &new).map(|patch| json!({ "status": patch })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_need_no_patch() {
        let value = json!({ "a": 1, "b": [1, 2] });
        assert_eq!(difference(&value, &value), None);
    }

    #[test]
    fn fields_that_are_gone_become_null_and_lists_are_replaced() {
        let patch =
            difference(&json!({ "a": 1, "b": [1], "c": { "d": 1, "e": 2 } }), &json!({ "b": [2], "c": { "d": 1 } }));
        assert_eq!(patch, Some(json!({ "a": null, "b": [2], "c": { "e": null } })));
    }
}
