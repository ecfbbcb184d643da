//! ValidatingAdmissionPolicy and its binding: their form. Expressions are compiled, to see that they can be, and kept as
//! text.
//!
//! After `pkg/apis/admissionregistration`.

use serde_json::Value;

use super::labels::{self, Values};
use super::names;
use super::place::Place;
use super::pod::spec::fault_list;
use super::value::{get, indexed, items, maybe_text, present, strings, text};
use super::volumes::sources::supported;
use super::webhooks::validate_rule;
use crate::core::field::{ErrorList, FieldError};
use crate::core::hooks::{
    conditions,
    expression::Params,
    policy::{self, params_of},
};

const MAX_CONDITIONS: usize = 64;
const MAX_ANNOTATIONS: usize = 20;
const MAX_EXPRESSION_BYTES: usize = 5 * 1024;
/// Words that are no names in an expression.
const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// Checks a ValidatingAdmissionPolicy.
pub fn validate_policy(object: &Value, errors: &mut ErrorList) {
    let (spec, place) = (get(object, "spec"), Place::root("spec"));
    if present(spec, "failurePolicy") {
        supported(spec, "failurePolicy", &["Fail", "Ignore"], &place, errors);
    } else {
        errors.push(FieldError::required(place.child("failurePolicy"), ""));
    }
    if present(spec, "paramKind") {
        parameter_kind(get(spec, "paramKind"), &place.child("paramKind"), errors);
    }
    let (constraints, constraints_place) = (get(spec, "matchConstraints"), place.child("matchConstraints"));
    if constraints.is_null() {
        errors.push(FieldError::required(constraints_place, ""));
    } else {
        match_resources(constraints, &constraints_place, errors);
        if items(constraints, "resourceRules").is_empty() {
            errors.push(FieldError::required(constraints_place.child("resourceRules"), ""));
        }
    }
    match_conditions(spec, params_of(spec), &place, errors);
    let list = place.child("variables");
    for (index, variable) in indexed(spec, "variables") {
        validate_variable(variable, &list.index(index), errors);
    }
    if items(spec, "validations").is_empty() && items(spec, "auditAnnotations").is_empty() {
        let detail = "validations or auditAnnotations must contain at least one item";
        errors.push(FieldError::required(place.child("validations"), detail));
        errors.push(FieldError::required(place.child("auditAnnotations"), detail));
        return;
    }
    for (field, expression, fault) in policy::faults(spec) {
        // What is empty has its own fault.
        if !expression.trim().is_empty() {
            errors.push(FieldError::invalid(place.child(&field), expression, fault));
        }
    }
    let list = place.child("validations");
    for (index, validation) in indexed(spec, "validations") {
        validate_validation(validation, &list.index(index), errors);
    }
    audit_annotations(spec, text(get(object, "metadata"), "name"), &place.child("auditAnnotations"), errors);
}

fn parameter_kind(kind: &Value, place: &Place, errors: &mut ErrorList) {
    let version_place = place.child("apiVersion");
    let given = text(kind, "apiVersion");
    let (group, version) = given.split_once('/').unwrap_or(("", given));
    if given.is_empty() {
        errors.push(FieldError::required(version_place, ""));
    } else if version.contains('/') {
        let detail = format!("unexpected GroupVersion string: {given}");
        errors.push(FieldError::invalid(version_place, given, detail));
    } else {
        let joined = |faults: names::Faults| faults.into_iter().collect::<Vec<String>>().join(",");
        let faults = if group.is_empty() { String::new() } else { joined(names::dns_subdomain(group)) };
        if !faults.is_empty() {
            errors.push(FieldError::invalid(version_place, group, faults));
        }
        let faults = joined(names::dns1035_label(version));
        if version.is_empty() {
            errors.push(FieldError::invalid(version_place, given, "version must be specified"));
        } else if !faults.is_empty() {
            errors.push(FieldError::invalid(version_place, version, faults));
        }
    }
    let name = text(kind, "kind");
    let faults: Vec<String> = names::dns1035_label(&name.to_lowercase()).into_iter().collect();
    if name.is_empty() {
        errors.push(FieldError::required(place.child("kind"), ""));
    } else if !faults.is_empty() {
        let detail = format!("may have mixed case, but should otherwise match: {}", faults.join(","));
        errors.push(FieldError::invalid(place.child("kind"), name, detail));
    }
}

fn match_resources(given: &Value, place: &Place, errors: &mut ErrorList) {
    if present(given, "matchPolicy") {
        supported(given, "matchPolicy", &["Equivalent", "Exact"], place, errors);
    } else {
        errors.push(FieldError::required(place.child("matchPolicy"), ""));
    }
    for key in ["namespaceSelector", "objectSelector"] {
        if present(given, key) {
            labels::validate_selector(get(given, key), Values::Checked, &place.child(key), errors);
        } else {
            errors.push(FieldError::required(place.child(key), ""));
        }
    }
    for list in ["resourceRules", "excludeResourceRules"] {
        let list_place = place.child(list);
        for (index, rule) in indexed(given, list) {
            named_rule(rule, &list_place.index(index), errors);
        }
    }
}

fn named_rule(rule: &Value, place: &Place, errors: &mut ErrorList) {
    let list = place.child("resourceNames");
    let mut seen: Vec<&str> = Vec::new();
    for (index, name) in strings(rule, "resourceNames").enumerate() {
        fault_list(names::path_segment(name), name, &list.index(index), errors);
        if seen.contains(&name) {
            errors.push(FieldError::duplicate(list.index(index), name));
        }
        seen.push(name);
    }
    validate_rule(rule, place, errors);
}

/// Checks the form of `matchConditions`, which webhooks have too.
pub fn match_conditions(holder: &Value, params: Params, place: &Place, errors: &mut ErrorList) {
    let (list, conditions) = (place.child("matchConditions"), items(holder, "matchConditions"));
    if conditions.len() > MAX_CONDITIONS {
        errors.push(FieldError::too_many(list, conditions.len(), MAX_CONDITIONS));
    }
    let mut seen: Vec<&str> = Vec::new();
    for (index, condition) in conditions.iter().enumerate() {
        let place = list.index(index);
        let expression = text(condition, "expression");
        if expression.trim().is_empty() {
            errors.push(FieldError::required(place.child("expression"), ""));
        } else if let Some(fault) = conditions::fault(expression, params) {
            errors.push(FieldError::invalid(place.child("expression"), expression, fault));
        }
        let name = text(condition, "name");
        if name.is_empty() {
            errors.push(FieldError::required(place.child("name"), ""));
            continue;
        }
        fault_list(names::qualified_name(name), name, &place.child("name"), errors);
        if seen.contains(&name) {
            errors.push(FieldError::duplicate(place.child("name"), name));
        }
        seen.push(name);
    }
}

fn validate_variable(variable: &Value, place: &Place, errors: &mut ErrorList) {
    let name = text(variable, "name");
    let mut letters = name.chars();
    let shaped = letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    if name.trim().is_empty() {
        errors.push(FieldError::required(place.child("name"), "name is not specified"));
    } else if !shaped || RESERVED.contains(&name) {
        errors.push(FieldError::invalid(place.child("name"), name, "must be a valid CEL identifier"));
    }
    if text(variable, "expression").trim().is_empty() {
        errors.push(FieldError::required(place.child("expression"), "expression is not specified"));
    }
}

fn validate_validation(validation: &Value, place: &Place, errors: &mut ErrorList) {
    if text(validation, "expression").trim().is_empty() {
        errors.push(FieldError::required(place.child("expression"), "expression is not specified"));
    }
    let message = text(validation, "message");
    for key in ["messageExpression", "message"] {
        let given = text(validation, key);
        if !given.is_empty() && given.trim().is_empty() {
            errors.push(FieldError::invalid(place.child(key), given, "must be non-empty if specified"));
        }
    }
    if !message.trim().is_empty() && message.trim().contains(['\n', '\r']) {
        errors.push(FieldError::invalid(place.child("message"), message, "must not contain line breaks"));
    }
    let reasons = ["Forbidden", "Invalid", "RequestEntityTooLarge"];
    supported(validation, "reason", &reasons, place, errors);
}

fn audit_annotations(spec: &Value, policy: &str, list: &Place, errors: &mut ErrorList) {
    let annotations = items(spec, "auditAnnotations");
    if annotations.len() > MAX_ANNOTATIONS {
        let detail = format!("must not have more than {MAX_ANNOTATIONS} auditAnnotations");
        errors.push(FieldError::invalid(list, annotations.to_vec(), detail));
    }
    let mut seen: Vec<&str> = Vec::new();
    for (index, annotation) in annotations.iter().enumerate() {
        let place = list.index(index);
        let key = text(annotation, "key");
        if policy.is_empty() {
            errors.push(FieldError::invalid(place.child("key"), key, "requires metadata.name be non-empty"));
        } else {
            let whole = format!("{policy}/{key}");
            fault_list(names::qualified_name(&whole), &whole, &place.child("key"), errors);
        }
        let expression = text(annotation, "valueExpression").trim();
        if expression.is_empty() {
            errors.push(FieldError::required(place.child("valueExpression"), "valueExpression is not specified"));
        } else if expression.len() > MAX_EXPRESSION_BYTES {
            let detail = format!("must not exceed {MAX_EXPRESSION_BYTES} bytes in length");
            errors.push(FieldError::required(place.child("valueExpression"), detail));
        }
        if seen.contains(&key) {
            errors.push(FieldError::duplicate(place.child("key"), key));
        }
        seen.push(key);
    }
}

/// Checks a ValidatingAdmissionPolicyBinding.
pub fn validate_binding(object: &Value, errors: &mut ErrorList) {
    let (spec, place) = (get(object, "spec"), Place::root("spec"));
    let policy = text(spec, "policyName");
    if policy.is_empty() {
        errors.push(FieldError::required(place.child("policyName"), ""));
    } else {
        fault_list(names::dns_subdomain(policy), policy, &place.child("policyName"), errors);
    }
    if present(spec, "paramRef") {
        parameter_reference(get(spec, "paramRef"), &place.child("paramRef"), errors);
    }
    if present(spec, "matchResources") {
        match_resources(get(spec, "matchResources"), &place.child("matchResources"), errors);
    }
    actions(spec, &place.child("validationActions"), errors);
}

fn parameter_reference(reference: &Value, place: &Place, errors: &mut ErrorList) {
    let (name, selector) = (text(reference, "name"), get(reference, "selector"));
    let both = "name and selector are mutually exclusive";
    if !name.is_empty() {
        fault_list(names::path_segment(name), name, &place.child("name"), errors);
        if !selector.is_null() {
            errors.push(FieldError::forbidden(place.child("name"), both));
        }
    }
    if !selector.is_null() {
        labels::validate_selector(selector, Values::Checked, &place.child("selector"), errors);
        if !name.is_empty() {
            errors.push(FieldError::forbidden(place.child("selector"), both));
        }
    }
    if name.is_empty() && selector.is_null() {
        errors.push(FieldError::required(place, "one of name or selector must be specified"));
    }
    match maybe_text(reference, "parameterNotFoundAction") {
        None | Some("") => errors.push(FieldError::required(place.child("parameterNotFoundAction"), "")),
        Some(_) => supported(reference, "parameterNotFoundAction", &["Deny", "Allow"], place, errors),
    }
}

fn actions(spec: &Value, list: &Place, errors: &mut ErrorList) {
    let mut seen: Vec<&str> = Vec::new();
    for (index, action) in strings(spec, "validationActions").enumerate() {
        let known = ["Audit", "Deny", "Warn"];
        if !known.contains(&action) {
            errors.push(FieldError::not_supported(list.index(index), action, &known));
        }
        if seen.contains(&action) {
            errors.push(FieldError::duplicate(list.index(index), action));
        }
        seen.push(action);
    }
    if seen.contains(&"Deny") && seen.contains(&"Warn") {
        let detail = "must not contain both Deny and Warn (repeating the same validation failure information \
                      in the API response and headers serves no purpose)";
        errors.push(FieldError::invalid(list, get(spec, "validationActions").clone(), detail));
    }
    if seen.is_empty() {
        errors.push(FieldError::required(list, "at least one validation action is required"));
    }
}
