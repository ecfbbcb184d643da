//! Webhook configurations and admission policies: their defaults and their form.
//!
//! After `pkg/apis/admissionregistration`. Who is asked about a request is decided in `core::hooks`.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::admission_policies;
use super::labels::{self, Values};
use super::meta;
use super::names;
use super::place::Place;
use super::pod::spec::fault_list;
use super::strategy::Context;
use super::value::{
    at_mut, default_to, ensure, get, get_mut, indexed, integer, items, items_mut, maybe_text, number, present,
    same_field, strings, text,
};
use super::volumes::sources::supported;
use crate::core::field::{ErrorList, FieldError};
use crate::core::hooks::expression::Params;

/// Defaults of a ValidatingWebhookConfiguration.
pub fn default_validating(object: &mut Value) {
    for hook in items_mut(object, "webhooks") {
        default_hook(hook);
    }
}

/// Defaults of a MutatingWebhookConfiguration.
pub fn default_mutating(object: &mut Value) {
    for hook in items_mut(object, "webhooks") {
        default_hook(hook);
        default_to(hook, "reinvocationPolicy", "Never");
    }
}

fn default_hook(hook: &mut Value) {
    default_to(hook, "failurePolicy", "Fail");
    default_match(hook);
    default_to(hook, "timeoutSeconds", 10);
    if let Some(service) = at_mut(hook, &["clientConfig", "service"]) {
        default_to(service, "port", 443);
    }
    for rule in items_mut(hook, "rules") {
        default_to(rule, "scope", "*");
    }
}

fn default_match(object: &mut Value) {
    default_to(object, "matchPolicy", "Equivalent");
    default_to(object, "namespaceSelector", json!({}));
    default_to(object, "objectSelector", json!({}));
}

/// Defaults of a ValidatingAdmissionPolicy.
pub fn default_policy(object: &mut Value) {
    let Some(spec) = ensure(object, "spec") else { return };
    default_to(spec, "failurePolicy", "Fail");
    if let Some(constraints) = get_mut(spec, "matchConstraints") {
        default_constraints(constraints);
    }
}

/// Defaults of a ValidatingAdmissionPolicyBinding.
pub fn default_policy_binding(object: &mut Value) {
    if let Some(resources) = ensure(object, "spec").and_then(|spec| get_mut(spec, "matchResources")) {
        default_constraints(resources);
    }
}

fn default_constraints(constraints: &mut Value) {
    default_match(constraints);
    for list in ["resourceRules", "excludeResourceRules"] {
        for rule in items_mut(constraints, list) {
            default_to(rule, "scope", "*");
        }
    }
}

/// Counts a change of the webhooks.
pub fn prepare_update(new: &mut Value, old: &Value, _: &Context) {
    if !same_field(new, old, "webhooks") {
        meta::set_generation(new, meta::generation(old).saturating_add(1));
    }
}

/// Checks a ValidatingWebhookConfiguration.
pub fn validate_validating(object: &Value, errors: &mut ErrorList) {
    hooks(object, errors);
}

/// Checks a MutatingWebhookConfiguration.
pub fn validate_mutating(object: &Value, errors: &mut ErrorList) {
    hooks(object, errors);
    let list = Place::root("webhooks");
    for (index, hook) in indexed(object, "webhooks") {
        supported(hook, "reinvocationPolicy", &["IfNeeded", "Never"], &list.index(index), errors);
    }
}

fn hooks(object: &Value, errors: &mut ErrorList) {
    let list = Place::root("webhooks");
    let mut seen = HashSet::new();
    for (index, hook) in indexed(object, "webhooks") {
        let place = list.index(index);
        validate_hook(hook, &place, errors);
        review_versions(hook, &place.child("admissionReviewVersions"), errors);
        let name = text(hook, "name");
        if !name.is_empty() && !seen.insert(name) {
            errors.push(FieldError::duplicate(place.child("name"), name));
        }
    }
}

fn validate_hook(hook: &Value, place: &Place, errors: &mut ErrorList) {
    fully_qualified(text(hook, "name"), &place.child("name"), errors);
    let list = place.child("rules");
    for (index, rule) in indexed(hook, "rules") {
        validate_rule(rule, &list.index(index), errors);
    }
    supported(hook, "failurePolicy", &["Fail", "Ignore"], place, errors);
    supported(hook, "matchPolicy", &["Equivalent", "Exact"], place, errors);
    if present(hook, "sideEffects") {
        supported(hook, "sideEffects", &["None", "NoneOnDryRun"], place, errors);
    } else {
        errors.push(FieldError::required(place.child("sideEffects"), "must specify one of None, NoneOnDryRun"));
    }
    if let Some(seconds) = number(hook, "timeoutSeconds").filter(|seconds| !(1..=30).contains(seconds)) {
        let detail = "the timeout value must be between 1 and 30 seconds";
        errors.push(FieldError::invalid(place.child("timeoutSeconds"), seconds, detail));
    }
    for key in ["namespaceSelector", "objectSelector"] {
        labels::validate_selector(get(hook, key), Values::Checked, &place.child(key), errors);
    }
    admission_policies::match_conditions(hook, Params::None, place, errors);
    let client = get(hook, "clientConfig");
    let place = place.child("clientConfig");
    match (maybe_text(client, "url"), present(client, "service")) {
        (Some(url), false) => validate_url(url, &place.child("url"), errors),
        (None, true) => validate_service(get(client, "service"), &place.child("service"), errors),
        _ => errors.push(FieldError::required(place, "exactly one of url or service is required")),
    }
}

fn fully_qualified(name: &str, place: &Place, errors: &mut ErrorList) {
    if name.is_empty() {
        errors.push(FieldError::required(place, ""));
        return;
    }
    let faults = names::dns_subdomain(name);
    if !faults.is_empty() {
        errors.push(FieldError::invalid(place, name, faults.join(",")));
    } else if name.matches('.').count() < 2 {
        let detail = "should be a domain with at least three segments separated by dots";
        errors.push(FieldError::invalid(place, name, detail));
    }
}

fn review_versions(hook: &Value, place: &Place, errors: &mut ErrorList) {
    let versions: Vec<&str> = strings(hook, "admissionReviewVersions").collect();
    if versions.is_empty() {
        errors.push(FieldError::required(place, "must specify one of v1, v1beta1"));
        return;
    }
    for (index, version) in versions.iter().enumerate() {
        if versions[..index].contains(version) {
            errors.push(FieldError::invalid(place.index(index), *version, "duplicate version"));
            continue;
        }
        fault_list(names::dns1035_label(version), version, &place.index(index), errors);
    }
    if !versions.iter().any(|version| matches!(*version, "v1" | "v1beta1")) {
        let detail = "must include at least one of v1, v1beta1";
        errors.push(FieldError::invalid(place, json!(versions), detail));
    }
}

/// Checks which requests a rule is about.
pub fn validate_rule(rule: &Value, place: &Place, errors: &mut ErrorList) {
    const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
    list_with_wildcard(rule, "operations", "operations", place, errors);
    let operations = place.child("operations");
    for (index, operation) in strings(rule, "operations").enumerate() {
        if !OPERATIONS.contains(&operation) {
            errors.push(FieldError::not_supported(operations.index(index), operation, &OPERATIONS));
        }
    }
    list_with_wildcard(rule, "apiGroups", "API groups", place, errors);
    list_with_wildcard(rule, "apiVersions", "API versions", place, errors);
    let versions = place.child("apiVersions");
    for (index, _) in strings(rule, "apiVersions").enumerate().filter(|(_, version)| version.is_empty()) {
        errors.push(FieldError::required(versions.index(index), ""));
    }
    resources(rule, &place.child("resources"), errors);
    supported(rule, "scope", &["*", "Cluster", "Namespaced"], place, errors);
}

fn list_with_wildcard(rule: &Value, key: &str, words: &str, place: &Place, errors: &mut ErrorList) {
    let given = items(rule, key);
    if given.is_empty() {
        errors.push(FieldError::required(place.child(key), ""));
    }
    if given.len() > 1 && given.iter().any(|value| value == "*") {
        let detail = format!("if '*' is present, must not specify other {words}");
        errors.push(FieldError::invalid(place.child(key), given.to_vec(), detail));
    }
}

fn resources(rule: &Value, place: &Place, errors: &mut ErrorList) {
    let given: Vec<&str> = strings(rule, "resources").collect();
    if given.is_empty() {
        errors.push(FieldError::required(place, ""));
    }
    let (mut whole, mut everywhere) = (HashSet::new(), HashSet::new());
    let mut plain = false;
    for (index, name) in given.iter().enumerate() {
        if name.is_empty() {
            errors.push(FieldError::required(place.index(index), ""));
            continue;
        }
        let Some((resource, sub)) = name.split_once('/') else {
            plain = *name != "*";
            continue;
        };
        if whole.contains(resource) {
            let detail = format!("if '{resource}/*' is present, must not specify {name}");
            errors.push(FieldError::invalid(place.index(index), *name, detail));
        }
        if everywhere.contains(sub) {
            let detail = format!("if '*/{sub}' is present, must not specify {name}");
            errors.push(FieldError::invalid(place.index(index), *name, detail));
        }
        if sub == "*" {
            whole.insert(resource);
        }
        if resource == "*" {
            everywhere.insert(sub);
        }
    }
    if given.len() > 1 && given.contains(&"*/*") {
        let detail = "if '*/*' is present, must not specify other resources";
        errors.push(FieldError::invalid(place, json!(given), detail));
    }
    if given.contains(&"*") && plain {
        let detail = "if '*' is present, must not specify other resources without subresources";
        errors.push(FieldError::invalid(place, json!(given), detail));
    }
}

/// Checks the URL of a webhook.
pub fn validate_url(url: &str, place: &Place, errors: &mut ErrorList) {
    let form = "; desired format: https://host[/path]";
    let (scheme, rest) = url.split_once("://").unwrap_or(("", ""));
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = rest.split('/').next().unwrap_or("");
    let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    if scheme != "https" {
        let detail = format!("'https' is the only allowed URL scheme{form}");
        errors.push(FieldError::invalid(place, scheme, detail));
    }
    if host.is_empty() {
        errors.push(FieldError::invalid(place, host, format!("host must be specified{form}")));
    }
    if let Some(user) = user {
        errors.push(FieldError::invalid(place, user, "user information is not permitted in the URL"));
    }
    if !fragment.is_empty() {
        errors.push(FieldError::invalid(place, fragment, "fragments are not permitted in the URL"));
    }
    if !query.is_empty() {
        errors.push(FieldError::invalid(place, query, "query parameters are not permitted in the URL"));
    }
}

/// Checks the service of a webhook. Upstream swaps name and namespace, which shows in no message.
pub fn validate_service(service: &Value, place: &Place, errors: &mut ErrorList) {
    for key in ["namespace", "name"] {
        if text(service, key).is_empty() {
            let shown = if key == "name" { "namespace" } else { "name" };
            errors.push(FieldError::required(place.child(shown), ""));
        }
    }
    let port = integer(service, "port");
    let faults = names::port_number(port);
    if !faults.is_empty() {
        let detail = format!("port is not valid: {}", faults.join(", "));
        errors.push(FieldError::invalid(place.child("port"), port, detail));
    }
    let Some(path) = maybe_text(service, "path").filter(|path| !matches!(*path, "" | "/")) else { return };
    let place = place.child("path");
    if path == "//" {
        errors.push(FieldError::invalid(place, path, "segment[0] may not be empty"));
        return;
    }
    if !path.starts_with('/') {
        errors.push(FieldError::invalid(place, path, "must start with a '/'"));
    }
    let mut letters = path.chars();
    letters.next();
    let inner = letters.as_str();
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    for (index, step) in inner.split('/').enumerate() {
        if step.is_empty() {
            errors.push(FieldError::invalid(place, path, format!("segment[{index}] may not be empty")));
            continue;
        }
        for fault in names::dns_subdomain(step) {
            errors.push(FieldError::invalid(place, path, format!("segment[{index}]: {fault}")));
        }
    }
}
