//! Does a label selector match? On the typed selectors that workload objects carry.
//!
//! Never parses a selector's text; that is the business of list requests.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

/// Labels as objects carry them.
pub type Labels = BTreeMap<String, String>;

/// Whether `selector` matches `labels`. The empty selector matches everything; a requirement with an unknown operator
/// matches nothing.
pub fn matches(selector: &LabelSelector, labels: Option<&Labels>) -> bool {
    let equal = |(key, value): (&String, &String)| labels.and_then(|labels| labels.get(key)) == Some(value);
    selector.match_labels.iter().flatten().all(equal)
        && selector.match_expressions.iter().flatten().all(|requirement| requirement_matches(requirement, labels))
}

/// Whether `selector` matches, where no selector at all matches nothing.
pub fn matches_some(selector: Option<&LabelSelector>, labels: Option<&Labels>) -> bool {
    selector.is_some_and(|selector| matches(selector, labels))
}

/// Whether the selector has no requirement.
pub fn is_empty(selector: &LabelSelector) -> bool {
    selector.match_labels.as_ref().is_none_or(BTreeMap::is_empty)
        && selector.match_expressions.as_ref().is_none_or(Vec::is_empty)
}

/// Whether every one of `wanted` is among `labels`.
pub fn contains(labels: Option<&Labels>, wanted: Option<&Labels>) -> bool {
    wanted.into_iter().flatten().all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value))
}

fn requirement_matches(requirement: &LabelSelectorRequirement, labels: Option<&Labels>) -> bool {
    let found = labels.and_then(|labels| labels.get(&requirement.key));
    let listed = |value: &String| requirement.values.iter().flatten().any(|one| one == value);
    match requirement.operator.as_str() {
        "In" => found.is_some_and(listed),
        "NotIn" => !found.is_some_and(listed),
        "Exists" => found.is_some(),
        "DoesNotExist" => found.is_none(),
        _ => false,
    }
}
