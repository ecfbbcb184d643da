//! Labels and label selectors: their form, and whether a selector matches.
//!
//! After `k8s.io/apimachinery/pkg/apis/meta/v1/validation`. Selectors of queries are parsed elsewhere
//! (`core::selector`); here they are JSON objects.

use serde_json::{Map, Value};

use super::names;
use super::place::Place;
use super::value::{entries, get, indexed, items, map_of, strings, text};
use crate::core::field::{ErrorList, FieldError};

/// Whether values that cannot be label values are tolerated, as updates of objects that hold such do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    Checked,
    Tolerated,
}

/// Checks a map of labels.
pub fn validate(labels: &Value, place: &Place, errors: &mut ErrorList) {
    for (key, value) in map_of(labels) {
        validate_key(key, place, errors);
        let value = value.as_str().unwrap_or("");
        for fault in names::label_value(value) {
            errors.push(FieldError::invalid(place, value, fault));
        }
    }
}

/// Checks the key of a label.
pub fn validate_key(key: &str, place: &Place, errors: &mut ErrorList) {
    for fault in names::qualified_name(key) {
        errors.push(FieldError::invalid(place, key, fault));
    }
}

/// Checks a `metav1.LabelSelector`; null is valid.
pub fn validate_selector(selector: &Value, values: Values, place: &Place, errors: &mut ErrorList) {
    validate(get(selector, "matchLabels"), &place.child("matchLabels"), errors);
    let expressions = place.child("matchExpressions");
    for (index, expression) in indexed(selector, "matchExpressions") {
        validate_requirement(expression, values, &expressions.index(index), errors);
    }
}

fn validate_requirement(requirement: &Value, values: Values, place: &Place, errors: &mut ErrorList) {
    let operator = text(requirement, "operator");
    let given = items(requirement, "values");
    match operator {
        "In" | "NotIn" => {
            if given.is_empty() {
                let detail = "must be specified when `operator` is 'In' or 'NotIn'";
                errors.push(FieldError::required(place.child("values"), detail));
            }
        }
        "Exists" | "DoesNotExist" => {
            if !given.is_empty() {
                let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.push(FieldError::forbidden(place.child("values"), detail));
            }
        }
        _ => errors.push(FieldError::invalid(place.child("operator"), operator, "not a valid selector operator")),
    }
    validate_key(text(requirement, "key"), &place.child("key"), errors);
    if values == Values::Checked {
        let place = place.child("values");
        for (index, value) in given.iter().enumerate() {
            let value = value.as_str().unwrap_or("");
            for fault in names::label_value(value) {
                errors.push(FieldError::invalid(place.index(index), value, fault));
            }
        }
    }
}

/// Whether a selector has no requirement at all.
pub fn is_empty_selector(selector: &Value) -> bool {
    entries(selector, "matchLabels").is_empty() && items(selector, "matchExpressions").is_empty()
}

/// Whether a selector is well formed enough to be turned into one; null is.
pub fn is_convertible(selector: &Value) -> bool {
    let mut errors = ErrorList::new();
    validate_selector(selector, Values::Checked, &Place::OBJECT, &mut errors);
    errors.is_empty()
}

/// Whether a `metav1.LabelSelector` matches labels: null matches nothing, an empty one everything.
pub fn matches(selector: &Value, labels: &Map<String, Value>) -> bool {
    if selector.is_null() {
        return false;
    }
    entries(selector, "matchLabels").iter().all(|(key, value)| labels.get(key) == Some(value))
        && items(selector, "matchExpressions").iter().all(|requirement| requirement_matches(requirement, labels))
}

fn requirement_matches(requirement: &Value, labels: &Map<String, Value>) -> bool {
    let label = labels.get(text(requirement, "key")).and_then(Value::as_str);
    let listed = |label: &str| strings(requirement, "values").any(|value| value == label);
    match text(requirement, "operator") {
        "In" => label.is_some_and(listed),
        "NotIn" => label.is_none_or(|label| !listed(label)),
        "Exists" => label.is_some(),
        "DoesNotExist" => label.is_none(),
        _ => false,
    }
}

/// Prints a `metav1.LabelSelector` as a query would be written; requirements sorted by key.
pub fn to_query(selector: &Value) -> String {
    let mut requirements: Vec<(String, String)> = entries(selector, "matchLabels")
        .iter()
        .map(|(key, value)| (key.clone(), format!("{key}={}", value.as_str().unwrap_or(""))))
        .collect();
    for expression in items(selector, "matchExpressions") {
        let key = text(expression, "key");
        let mut values: Vec<&str> = strings(expression, "values").collect();
        values.sort_unstable();
        let values = values.join(",");
        let query = match text(expression, "operator") {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "DoesNotExist" => format!("!{key}"),
            _ => key.to_owned(),
        };
        requirements.push((key.to_owned(), query));
    }
    requirements.sort_by(|left, right| left.0.cmp(&right.0));
    requirements.into_iter().map(|(_, query)| query).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_selector_matches_as_upstream_does() {
        let labels = json!({"app": "a", "tier": "b"});
        let labels = map_of(&labels);
        assert!(matches(&json!({}), labels));
        assert!(!matches(&Value::Null, labels));
        assert!(matches(&json!({"matchLabels": {"app": "a"}}), labels));
        let expression = |operator: &str, values: Value| json!({"matchExpressions": [{"key": "app", "operator": operator, "values": values}]});
        assert!(matches(&expression("In", json!(["a", "c"])), labels));
        assert!(!matches(&expression("NotIn", json!(["a"])), labels));
        assert!(matches(&expression("Exists", json!([])), labels));
        assert!(!matches(&expression("DoesNotExist", json!([])), labels));
        assert_eq!(to_query(&expression("In", json!(["c", "a"]))), "app in (a,c)");
    }
}
