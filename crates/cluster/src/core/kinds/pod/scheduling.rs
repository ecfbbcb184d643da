//! Where a pod may run: affinity, tolerations, spread constraints, gates.

use std::collections::HashSet;

use serde_json::Value;

use super::super::labels::{self, Values};
use super::super::names;
use super::super::place::Place;
use super::super::value::{elements, entries, get, indexed, integer, items, number, present, strings, text};
use crate::core::field::{ErrorList, FieldError};

const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// Checks `spec.affinity`.
pub fn validate_affinity(affinity: &Value, place: &Place, errors: &mut ErrorList) {
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
    let node = get(affinity, "nodeAffinity");
    let node_place = place.child("nodeAffinity");
    if present(node, REQUIRED) {
        validate_node_selector(get(node, REQUIRED), &node_place.child(REQUIRED), errors);
    }
    let preferred = node_place.child(PREFERRED);
    for (index, term) in indexed(node, PREFERRED) {
        let place = preferred.index(index);
        weight(term, &place, errors);
        node_term(get(term, "preference"), Values::Tolerated, &place.child("preference"), errors);
    }
    for key in ["podAffinity", "podAntiAffinity"] {
        let pods = get(affinity, key);
        let place = place.child(key);
        let required = place.child(REQUIRED);
        for (index, term) in indexed(pods, REQUIRED) {
            pod_term(term, &required.index(index), errors);
        }
        let preferred = place.child(PREFERRED);
        for (index, weighted) in indexed(pods, PREFERRED) {
            let place = preferred.index(index);
            weight(weighted, &place, errors);
            pod_term(get(weighted, "podAffinityTerm"), &place.child("podAffinityTerm"), errors);
        }
    }
}

fn weight(term: &Value, place: &Place, errors: &mut ErrorList) {
    let weight = integer(term, "weight");
    if !(1..=100).contains(&weight) {
        errors.push(FieldError::invalid(place.child("weight"), weight, "must be in the range 1-100"));
    }
}

/// Checks a `NodeSelector`.
pub fn validate_node_selector(selector: &Value, place: &Place, errors: &mut ErrorList) {
    let place = place.child("nodeSelectorTerms");
    if items(selector, "nodeSelectorTerms").is_empty() {
        errors.push(FieldError::required(place, "must have at least one node selector term"));
    }
    for (index, term) in indexed(selector, "nodeSelectorTerms") {
        node_term(term, Values::Checked, &place.index(index), errors);
    }
}

fn node_term(term: &Value, values: Values, place: &Place, errors: &mut ErrorList) {
    let expressions = place.child("matchExpressions");
    for (index, requirement) in indexed(term, "matchExpressions") {
        node_requirement(requirement, values, &expressions.index(index), errors);
    }
    let fields = place.child("matchFields");
    for (index, requirement) in indexed(term, "matchFields") {
        node_field(requirement, &fields.index(index), errors);
    }
}

fn node_requirement(requirement: &Value, values: Values, place: &Place, errors: &mut ErrorList) {
    let (operator, given) = (text(requirement, "operator"), items(requirement, "values"));
    let values_place = place.child("values");
    match operator {
        "In" | "NotIn" if given.is_empty() => {
            let detail = "must be specified when `operator` is 'In' or 'NotIn'";
            errors.push(FieldError::required(values_place, detail));
        }
        "Exists" | "DoesNotExist" if !given.is_empty() => {
            let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.push(FieldError::forbidden(values_place, detail));
        }
        "Gt" | "Lt" if given.len() != 1 => {
            let detail = "must be specified single value when `operator` is 'Lt' or 'Gt'";
            errors.push(FieldError::required(values_place, detail));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        _ => errors.push(FieldError::invalid(place.child("operator"), operator, "not a valid selector operator")),
    }
    labels::validate_key(text(requirement, "key"), &place.child("key"), errors);
    if values == Values::Tolerated {
        return;
    }
    for (index, value) in given.iter().enumerate() {
        let value = value.as_str().unwrap_or("");
        for fault in names::label_value(value) {
            errors.push(FieldError::invalid(values_place.index(index), value, fault));
        }
    }
}

fn node_field(requirement: &Value, place: &Place, errors: &mut ErrorList) {
    let (operator, key) = (text(requirement, "operator"), text(requirement, "key"));
    let values_place = place.child("values");
    match operator {
        "In" | "NotIn" => {
            if items(requirement, "values").len() != 1 {
                let detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
                errors.push(FieldError::required(values_place, detail));
            }
        }
        _ => errors.push(FieldError::invalid(place.child("operator"), operator, "not a valid selector operator")),
    }
    if key != "metadata.name" {
        errors.push(FieldError::invalid(place.child("key"), key, "not a valid field selector key"));
        return;
    }
    for (index, value) in indexed(requirement, "values") {
        let value = value.as_str().unwrap_or("");
        for fault in names::dns_subdomain(value) {
            errors.push(FieldError::invalid(values_place.index(index), value, fault));
        }
    }
}

fn pod_term(term: &Value, place: &Place, errors: &mut ErrorList) {
    for key in ["labelSelector", "namespaceSelector"] {
        labels::validate_selector(get(term, key), Values::Checked, &place.child(key), errors);
    }
    for namespace in strings(term, "namespaces") {
        for fault in names::dns_label(namespace) {
            errors.push(FieldError::invalid(place.child("namespace"), namespace, fault));
        }
    }
    label_keys(term, &["matchLabelKeys", "mismatchLabelKeys"], place, errors);
    let key = text(term, "topologyKey");
    if key.is_empty() {
        errors.push(FieldError::required(place.child("topologyKey"), "can not be empty"));
    }
    labels::validate_key(key, &place.child("topologyKey"), errors);
}

/// Checks `matchLabelKeys` and `mismatchLabelKeys` against the selector beside them.
fn label_keys(term: &Value, lists: &[&str], place: &Place, errors: &mut ErrorList) {
    let selector = get(term, "labelSelector");
    for list in lists {
        let place = place.child(list);
        if selector.is_null() && !items(term, list).is_empty() {
            errors.push(FieldError::forbidden(place, "must not be specified when labelSelector is not set"));
            continue;
        }
        for (index, key) in indexed(term, list) {
            labels::validate_key(key.as_str().unwrap_or(""), &place.index(index), errors);
        }
    }
    let matched: Vec<&str> = strings(term, "matchLabelKeys").collect();
    let mut selected: HashSet<&str> = entries(selector, "matchLabels").keys().map(String::as_str).collect();
    for expression in items(selector, "matchExpressions") {
        let key = text(expression, "key");
        if let Some(index) = matched.iter().position(|name| *name == key).filter(|_| selected.contains(key)) {
            let detail = "exists in both matchLabelKeys and labelSelector";
            errors.push(FieldError::invalid(place.index(index), key, detail));
        }
        selected.insert(key);
    }
    if lists.len() > 1 {
        let mismatched: HashSet<&str> = strings(term, "mismatchLabelKeys").collect();
        let place = place.child("matchLabelKeys");
        for (index, key) in matched.iter().enumerate().filter(|(_, key)| mismatched.contains(*key)) {
            let detail = "exists in both matchLabelKeys and mismatchLabelKeys";
            errors.push(FieldError::invalid(place.index(index), *key, detail));
        }
    }
}

/// Checks the effect of a taint or toleration.
pub fn validate_effect(effect: &str, place: &Place, errors: &mut ErrorList) {
    if !EFFECTS.contains(&effect) {
        errors.push(FieldError::not_supported(place, effect, &EFFECTS));
    }
}

/// Checks a list of tolerations.
pub fn validate_tolerations(tolerations: &Value, place: &Place, errors: &mut ErrorList) {
    for (index, toleration) in elements(tolerations).iter().enumerate() {
        let place = place.index(index);
        let (key, operator) = (text(toleration, "key"), text(toleration, "operator"));
        let (effect, value) = (text(toleration, "effect"), text(toleration, "value"));
        let operator_place = place.child("operator");
        if !key.is_empty() {
            labels::validate_key(key, &place.child("key"), errors);
        } else if operator != "Exists" {
            let detail = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            errors.push(FieldError::invalid(operator_place, operator, detail));
        }
        if present(toleration, "tolerationSeconds") && effect != "NoExecute" {
            let detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            errors.push(FieldError::invalid(place.child("effect"), effect, detail));
        }
        match operator {
            "Equal" | "" => {
                let faults = names::label_value(value);
                if !faults.is_empty() {
                    errors.push(FieldError::invalid(operator_place, value, faults.join(";")));
                }
            }
            "Exists" => {
                if !value.is_empty() {
                    let detail = "value must be empty when `operator` is 'Exists'";
                    errors.push(FieldError::invalid(operator_place, value, detail));
                }
            }
            _ => errors.push(FieldError::not_supported(operator_place, operator, &["Equal", "Exists"])),
        }
        if !effect.is_empty() {
            validate_effect(effect, &place.child("effect"), errors);
        }
    }
}

/// Checks `spec.topologySpreadConstraints`.
pub fn validate_spread(spec: &Value, place: &Place, errors: &mut ErrorList) {
    let list = place.child("topologySpreadConstraints");
    let all = items(spec, "topologySpreadConstraints");
    for (index, constraint) in all.iter().enumerate() {
        let place = list.index(index);
        positive(integer(constraint, "maxSkew"), &place.child("maxSkew"), errors);
        let (key, action) = (text(constraint, "topologyKey"), text(constraint, "whenUnsatisfiable"));
        if key.is_empty() {
            errors.push(FieldError::required(place.child("topologyKey"), "can not be empty"));
        }
        if !matches!(action, "DoNotSchedule" | "ScheduleAnyway") {
            let actions = ["DoNotSchedule", "ScheduleAnyway"];
            errors.push(FieldError::not_supported(place.child("whenUnsatisfiable"), action, &actions));
        }
        let again = |other: &Value| text(other, "topologyKey") == key && text(other, "whenUnsatisfiable") == action;
        if all[index + 1..].iter().any(again) {
            let place = place.child("{topologyKey, whenUnsatisfiable}");
            errors.push(FieldError::duplicate(place, format!("{{{key}, {action}}}")));
        }
        if let Some(domains) = number(constraint, "minDomains") {
            let place = place.child("minDomains");
            positive(domains, &place, errors);
            if action != "DoNotSchedule" {
                let detail = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}");
                errors.push(FieldError::invalid(place, domains, detail));
            }
        }
        for key in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            super::super::volumes::sources::supported(constraint, key, &["Honor", "Ignore"], &place, errors);
        }
        label_keys(constraint, &["matchLabelKeys"], &place, errors);
        let selector = get(constraint, "labelSelector");
        labels::validate_selector(selector, Values::Checked, &place.child("labelSelector"), errors);
    }
}

/// Refuses zero and negative numbers.
pub fn positive(value: i64, place: &Place, errors: &mut ErrorList) {
    if value <= 0 {
        errors.push(FieldError::invalid(place, value, "must be greater than zero"));
    }
}

/// Checks `spec.readinessGates` and `spec.schedulingGates`.
pub fn validate_gates(spec: &Value, place: &Place, errors: &mut ErrorList) {
    let readiness = place.child("readinessGates");
    for (index, gate) in indexed(spec, "readinessGates") {
        let place = readiness.index(index);
        labels::validate_key(text(gate, "conditionType"), &place.child("conditionType"), errors);
    }
    let scheduling = place.child("schedulingGates");
    let mut seen = HashSet::new();
    for (index, gate) in indexed(spec, "schedulingGates") {
        let place = scheduling.index(index);
        let name = text(gate, "name");
        labels::validate_key(name, &place, errors);
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(place, name));
        }
    }
}
