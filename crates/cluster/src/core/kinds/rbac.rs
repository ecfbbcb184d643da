//! Roles and their bindings. After `pkg/apis/rbac`. Who may do what is decided in `core::auth`.

use serde_json::{Value, json};

use super::labels::{self, Values};
use super::names;
use super::place::Place;
use super::pod::spec::fault_list;
use super::value::{default_text, ensure, get, indexed, items, items_mut, present, put, same_field, text};
use crate::core::field::{ErrorList, FieldError};

const GROUP: &str = "rbac.authorization.k8s.io";

/// Defaults of a binding: the group of its role and of its subjects.
pub fn default_binding(object: &mut Value) {
    if let Some(role) = ensure(object, "roleRef") {
        default_text(role, "apiGroup", GROUP);
    }
    for subject in items_mut(object, "subjects") {
        if text(subject, "apiGroup").is_empty() && matches!(text(subject, "kind"), "User" | "Group") {
            put(subject, "apiGroup", GROUP);
        }
    }
}

/// Defaults of a role: its rules are always shown.
pub fn default_role(object: &mut Value) {
    if !present(object, "rules") {
        put(object, "rules", Value::Null);
    }
}

fn rules(object: &Value, namespaced: Namespaced, errors: &mut ErrorList) {
    let list = Place::root("rules");
    for (index, rule) in indexed(object, "rules") {
        let place = list.index(index);
        if items(rule, "verbs").is_empty() {
            errors.push(FieldError::required(place.child("verbs"), "verbs must contain at least one value"));
        }
        let urls = items(rule, "nonResourceURLs");
        let given = |key: &str| !items(rule, key).is_empty();
        if !urls.is_empty() {
            let place = place.child("nonResourceURLs");
            if namespaced == Namespaced::Yes {
                let detail = "namespaced rules cannot apply to non-resource URLs";
                errors.push(FieldError::invalid(place, urls.to_vec(), detail));
            }
            if given("apiGroups") || given("resources") || given("resourceNames") {
                let detail = "rules cannot apply to both regular resources and non-resource URLs";
                errors.push(FieldError::invalid(place, urls.to_vec(), detail));
            }
            continue;
        }
        if !given("apiGroups") {
            let detail = "resource rules must supply at least one api group";
            errors.push(FieldError::required(place.child("apiGroups"), detail));
        }
        if !given("resources") {
            let detail = "resource rules must supply at least one resource";
            errors.push(FieldError::required(place.child("resources"), detail));
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Namespaced {
    Yes,
    No,
}

/// Checks a Role.
pub fn validate_role(object: &Value, errors: &mut ErrorList) {
    rules(object, Namespaced::Yes, errors);
}

/// Checks a ClusterRole.
pub fn validate_cluster_role(object: &Value, errors: &mut ErrorList) {
    rules(object, Namespaced::No, errors);
    let aggregation = get(object, "aggregationRule");
    if aggregation.is_null() {
        return;
    }
    let place = Place::root("aggregationRule");
    let list = place.child("clusterRoleSelectors");
    if items(aggregation, "clusterRoleSelectors").is_empty() {
        let detail = "at least one clusterRoleSelector required if aggregationRule is non-nil";
        errors.push(FieldError::required(list, detail));
    }
    for (index, selector) in indexed(aggregation, "clusterRoleSelectors") {
        let place = list.index(index);
        labels::validate_selector(selector, Values::Checked, &place, errors);
        if !labels::is_convertible(selector) {
            errors.push(FieldError::invalid(place, Value::Null, "invalid label selector."));
        }
    }
}

/// Checks a RoleBinding.
pub fn validate_role_binding(object: &Value, errors: &mut ErrorList) {
    binding(object, Namespaced::Yes, &["Role", "ClusterRole"], errors);
}

/// Checks a ClusterRoleBinding.
pub fn validate_cluster_role_binding(object: &Value, errors: &mut ErrorList) {
    binding(object, Namespaced::No, &["ClusterRole"], errors);
}

fn binding(object: &Value, namespaced: Namespaced, kinds: &[&str], errors: &mut ErrorList) {
    let role = get(object, "roleRef");
    let place = Place::root("roleRef");
    let (group, kind, name) = (text(role, "apiGroup"), text(role, "kind"), text(role, "name"));
    if group != GROUP {
        errors.push(FieldError::not_supported(place.child("apiGroup"), group, &[GROUP]));
    }
    if !kinds.contains(&kind) {
        errors.push(FieldError::not_supported(place.child("kind"), kind, kinds));
    }
    if name.is_empty() {
        errors.push(FieldError::required(place.child("name"), ""));
    } else {
        fault_list(names::path_segment(name), name, &place.child("name"), errors);
    }
    let list = Place::root("subjects");
    for (index, who) in indexed(object, "subjects") {
        subject(who, namespaced, &list.index(index), errors);
    }
}

fn subject(subject: &Value, namespaced: Namespaced, place: &Place, errors: &mut ErrorList) {
    let (group, kind, name) = (text(subject, "apiGroup"), text(subject, "kind"), text(subject, "name"));
    if name.is_empty() {
        errors.push(FieldError::required(place.child("name"), ""));
    }
    match kind {
        "ServiceAccount" => {
            if !name.is_empty() {
                fault_list(names::dns_subdomain(name), name, &place.child("name"), errors);
            }
            if !group.is_empty() {
                errors.push(FieldError::not_supported(place.child("apiGroup"), group, &[""]));
            }
            if namespaced == Namespaced::No && text(subject, "namespace").is_empty() {
                errors.push(FieldError::required(place.child("namespace"), ""));
            }
        }
        "User" | "Group" => {
            if group != GROUP {
                errors.push(FieldError::not_supported(place.child("apiGroup"), group, &[GROUP]));
            }
        }
        _ => {
            let kinds = ["ServiceAccount", "User", "Group"];
            errors.push(FieldError::not_supported(place.child("kind"), kind, &kinds));
        }
    }
}

/// The role of a binding stays.
pub fn validate_binding_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    let (role, before) = (get(new, "roleRef"), get(old, "roleRef"));
    if !["apiGroup", "kind", "name"].iter().all(|key| same_field(role, before, key)) {
        let shown = json!({"APIGroup": text(role, "apiGroup"), "Kind": text(role, "kind"), "Name": text(role, "name")});
        errors.push(FieldError::invalid(Place::root("roleRef"), shown, "cannot change roleRef"));
    }
}
