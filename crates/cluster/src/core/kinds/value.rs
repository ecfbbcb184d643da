//! Small accessors over JSON objects: what is absent, null or of another type reads as empty.
//!
//! Types have been checked before a strategy runs; these helpers never panic when they were not.
//! They hold no knowledge of any kind.

use std::sync::LazyLock;

use serde_json::{Map, Value};

static NULL: Value = Value::Null;
static NO_ENTRIES: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);

/// The field, or null.
pub fn get<'a>(object: &'a Value, key: &str) -> &'a Value {
    object.get(key).unwrap_or(&NULL)
}

/// The field at the end of a path of names, or null.
pub fn at<'a>(object: &'a Value, path: &[&str]) -> &'a Value {
    path.iter().fold(object, |value, key| get(value, key))
}

/// Whether the field is there and not null.
pub fn present(object: &Value, key: &str) -> bool {
    !get(object, key).is_null()
}

/// The string, or the empty one.
pub fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    get(object, key).as_str().unwrap_or("")
}

/// The string, if there is one, be it empty.
pub fn maybe_text<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    get(object, key).as_str()
}

/// The integer, if there is one.
pub fn number(object: &Value, key: &str) -> Option<i64> {
    get(object, key).as_i64()
}

/// The integer, or zero.
pub fn integer(object: &Value, key: &str) -> i64 {
    number(object, key).unwrap_or(0)
}

/// The boolean, or false.
pub fn flag(object: &Value, key: &str) -> bool {
    maybe_flag(object, key).unwrap_or(false)
}

/// The boolean, if there is one.
pub fn maybe_flag(object: &Value, key: &str) -> Option<bool> {
    get(object, key).as_bool()
}

/// The items of a list, or none.
pub fn items<'a>(object: &'a Value, key: &str) -> &'a [Value] {
    elements(get(object, key))
}

/// The items of the value itself, if it is a list.
pub fn elements(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The items of a list with their positions.
pub fn indexed<'a>(object: &'a Value, key: &str) -> std::iter::Enumerate<std::slice::Iter<'a, Value>> {
    items(object, key).iter().enumerate()
}

/// The strings of a list; other items read as empty strings.
pub fn strings<'a>(object: &'a Value, key: &str) -> impl Iterator<Item = &'a str> + use<'a> {
    items(object, key).iter().map(|item| item.as_str().unwrap_or(""))
}

/// The entries of a map, or none.
pub fn entries<'a>(object: &'a Value, key: &str) -> &'a Map<String, Value> {
    map_of(get(object, key))
}

/// The entries of the value itself, if it is an object.
pub fn map_of(value: &Value) -> &Map<String, Value> {
    value.as_object().unwrap_or(&NO_ENTRIES)
}

/// Whether the value is null, an empty string, list or object.
pub fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Equality as the Go types have it: a missing field, null, an empty list and an empty map are the
/// same, everything else is compared by value.
pub fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => {
            left.iter().all(|(key, value)| same(value, right.get(key).unwrap_or(&NULL)))
                && right.iter().all(|(key, value)| left.contains_key(key) || nothing(value))
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (left, right) => left == right || (nothing(left) && nothing(right)),
    }
}

/// Whether a field with this value is as good as absent; an empty object is not (`emptyDir: {}`).
fn nothing(value: &Value) -> bool {
    matches!(value, Value::Null) || matches!(value, Value::Array(items) if items.is_empty())
}

/// Whether the named fields of two objects are the same.
pub fn same_field(left: &Value, right: &Value, key: &str) -> bool {
    same(get(left, key), get(right, key))
}

/// Sets a field; a value that is not an object stays as it is.
pub fn put(object: &mut Value, key: &str, value: impl Into<Value>) {
    if let Some(fields) = object.as_object_mut() {
        fields.insert(key.to_owned(), value.into());
    }
}

/// Removes a field.
pub fn remove(object: &mut Value, key: &str) {
    if let Some(fields) = object.as_object_mut() {
        fields.remove(key);
    }
}

/// Sets a field to what it is in `from`, or removes it where `from` has none.
pub fn keep(object: &mut Value, from: &Value, key: &str) {
    match get(from, key) {
        Value::Null => remove(object, key),
        value => put(object, key, value.clone()),
    }
}

/// Sets a field that is absent or null.
pub fn default_to(object: &mut Value, key: &str, value: impl Into<Value>) {
    if !present(object, key) {
        put(object, key, value);
    }
}

/// Sets a string that is absent or empty.
pub fn default_text(object: &mut Value, key: &str, value: &str) {
    if get(object, key).as_str().is_none_or(str::is_empty) && !other_than_text(get(object, key)) {
        put(object, key, value);
    }
}

fn other_than_text(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::String(_))
}

/// Sets an integer that is absent or zero.
pub fn default_number(object: &mut Value, key: &str, value: i64) {
    if matches!(get(object, key), Value::Null) || get(object, key).as_i64() == Some(0) {
        put(object, key, value);
    }
}

/// The field for change, if it is there and not null.
pub fn get_mut<'a>(object: &'a mut Value, key: &str) -> Option<&'a mut Value> {
    object.get_mut(key).filter(|value| !value.is_null())
}

/// The field for change at the end of a path, if every step is there.
pub fn at_mut<'a>(object: &'a mut Value, path: &[&str]) -> Option<&'a mut Value> {
    path.iter().try_fold(object, |value, key| get_mut(value, key))
}

/// The items of a list for change.
pub fn items_mut<'a>(object: &'a mut Value, key: &str) -> &'a mut [Value] {
    match object.get_mut(key) {
        Some(Value::Array(items)) => items.as_mut_slice(),
        _ => &mut [],
    }
}

/// The field for change; an absent or null one becomes an empty object first. `None` where the
/// parent is no object.
pub fn ensure<'a>(object: &'a mut Value, key: &str) -> Option<&'a mut Value> {
    let fields = object.as_object_mut()?;
    let slot = fields.entry(key.to_owned()).or_insert(Value::Null);
    if slot.is_null() {
        *slot = Value::Object(Map::new());
    }
    Some(slot)
}

/// An empty JSON object.
pub fn empty() -> Value {
    Value::Object(Map::new())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{default_number, default_text, ensure, same, text};

    #[test]
    fn absent_and_empty_lists_are_the_same_but_an_empty_object_is_something() {
        assert!(same(&json!({"a": null, "b": []}), &json!({})));
        assert!(!same(&json!({"emptyDir": {}}), &json!({})));
        assert!(!same(&json!({"a": 1}), &json!({"a": 2})));
    }

    #[test]
    fn helpers_leave_values_of_another_type_alone() {
        let mut odd = json!("text");
        default_text(&mut odd, "a", "b");
        default_number(&mut odd, "a", 1);
        assert!(ensure(&mut odd, "a").is_none());
        assert_eq!(odd, json!("text"));
        assert_eq!(text(&odd, "a"), "");
    }
}
