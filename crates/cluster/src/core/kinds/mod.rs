//! What each built-in kind decides when it is created, changed or reported on.
//!
//! A write passes through here in this order: [`defaults`], then for a new object [`prepare_create`]
//! and [`validate_create`], for a changed one [`prepare_update`] and [`validate_update`], then
//! [`warnings`]. Services come by [`service::allocation`] before they are prepared. Custom kinds have
//! the general rules of metadata, generation and status; their schemas are checked elsewhere.
//! Nothing here stores, authorizes or admits.

pub mod address;
pub mod admission_policies;
pub mod api_service;
pub mod apps;
pub mod autoscaler;
pub mod budget;
pub mod certificates;
pub mod config;
pub mod cron;
pub mod endpoint_slice;
pub mod endpoints;
pub mod flow_control;
pub mod ingress;
pub mod jobs;
pub mod labels;
pub mod meta;
pub mod names;
pub mod namespace;
pub mod network;
pub mod node;
pub mod persistent_volume;
pub mod place;
pub mod pod;
pub mod quota;
pub mod rbac;
pub mod resources;
pub mod scaling;
pub mod service;
pub mod small;
pub mod storage;
pub mod storage_claims;
pub mod strategy;
pub mod table;
pub mod value;
pub mod versions;
pub mod volumes;
pub mod webhooks;

#[cfg(test)]
mod tests;

use serde_json::Value;

pub use strategy::Context;

use crate::core::field::ErrorList;
use crate::core::resource::Resource;
use meta::{Finalizers, MetaRules};
use names::NameRule;
use strategy::{Bump, Step, Strategy};
use value::{get, keep, map_of, remove, same};

/// The row of a resource's kind; none for custom kinds.
fn row(resource: &Resource) -> Option<&'static Strategy> {
    if resource.custom { None } else { table::find(&resource.group, &resource.kind) }
}

/// Rules of metadata of a kind without a row.
fn general_rules(resource: &Resource) -> MetaRules {
    MetaRules { namespaced: resource.namespaced(), name: NameRule::Subdomain, finalizers: Finalizers::Qualified }
}

fn has_status(resource: &Resource) -> bool {
    resource.subresources.iter().any(|sub| sub.name == "status")
}

/// Whether a PUT of an object that is not there creates it.
pub fn allows_create_on_update(resource: &Resource) -> bool {
    row(resource).is_some_and(|row| row.create_on_update)
}

/// Whether a PUT may leave out the resource version.
pub fn allows_unconditional_update(resource: &Resource) -> bool {
    row(resource).is_some_and(|row| row.unconditional_update)
}

/// Sets what an object leaves open; to be called on whatever a client sends, before anything else.
pub fn defaults(resource: &Resource, object: &mut Value) {
    if let Some(row) = row(resource) {
        (row.default)(object);
    }
}

/// What of an object is accounted for beyond what it says: labels that a job has from its pods.
///
/// None where that is the object as it is. Upstream they are one map, so that a new job keeps no labels of its own here
/// until all of its pods' are known.
pub fn accounted(resource: &Resource, object: &Value) -> Option<Value> {
    if (resource.group.as_str(), resource.kind.as_str()) != ("batch", "Job") || !meta::labels_of(object).is_empty() {
        return None;
    }
    let mut labelled = object.clone();
    jobs::label_as_pods(&mut labelled);
    Some(labelled)
}

/// Makes a new object ready: status cleared, generation set, fields of features that are off dropped.
/// Name, uid and creation time have been set.
pub fn prepare_create(resource: &Resource, object: &mut Value, ctx: &Context) {
    match row(resource) {
        Some(row) => {
            table::clear_status(object, row);
            if row.generation {
                meta::set_generation(object, 1);
            }
            (row.prepare)(object, ctx);
        }
        None => {
            if has_status(resource) {
                remove(object, "status");
            }
            meta::set_generation(object, 1);
        }
    }
}

/// Checks a new object.
pub fn validate_create(resource: &Resource, object: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    match row(resource) {
        Some(row) if row.checks_meta => {
            meta::validate(object, row.meta, &mut errors);
            (row.validate)(object, &mut errors);
        }
        Some(row) => {
            (row.validate)(object, &mut errors);
            if errors.is_empty() {
                let rules = MetaRules { name: NameRule::PathSegment, finalizers: Finalizers::Qualified, ..row.meta };
                meta::validate(object, rules, &mut errors);
            }
        }
        None => meta::validate(object, general_rules(resource), &mut errors),
    }
    errors
}

/// Makes a changed object ready: what the write cannot set comes from the old one, and a change
/// counts a generation. `subresource` is empty for the object itself; else `status`, `approval`,
/// `finalize`, `ephemeralcontainers`, `resize`.
pub fn prepare_update(resource: &Resource, subresource: &str, new: &mut Value, old: &Value, ctx: &Context) {
    meta::keep_generation(new, old);
    match (row(resource), subresource) {
        (Some(row), "") => {
            (row.prepare_update)(new, old, ctx);
            if let Bump::Field(field) = row.bump
                && !same(get(new, field), get(old, field))
            {
                meta::set_generation(new, meta::generation(old).saturating_add(1));
            }
        }
        (Some(row), "status") => {
            if let Some(status) = &row.status {
                (status.prepare)(new, old, ctx);
            }
        }
        (Some(_), "approval") => certificates::prepare_approval(new, old, ctx),
        (Some(_), "finalize") => keep(new, old, "status"),
        (Some(_), "ephemeralcontainers") => pod::update::prepare_ephemeral(new, old),
        (Some(_), "resize") => pod::update::prepare_resize(new, old),
        (Some(_), _) => {}
        (None, "status") => prepare_custom_status(new, old),
        (None, _) => prepare_custom(resource, new, old),
    }
    meta::prepare_update(new, old);
}

fn prepare_custom(resource: &Resource, new: &mut Value, old: &Value) {
    let status = has_status(resource);
    if status {
        keep(new, old, "status");
    }
    let content = |object: &'_ Value| -> Vec<(String, Value)> {
        let skipped = |key: &str| key == "metadata" || (status && key == "status");
        map_of(object)
            .iter()
            .filter(|(key, _)| !skipped(key))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    };
    if content(new) != content(old) {
        meta::set_generation(new, meta::generation(old).saturating_add(1));
    }
}

/// A write of a custom object's status changes the status and who manages which field.
fn prepare_custom_status(new: &mut Value, old: &Value) {
    let mut kept = old.clone();
    keep(&mut kept, new, "status");
    if let Some(meta) = kept.get_mut("metadata") {
        keep(meta, get(new, "metadata"), "managedFields");
        keep(meta, get(new, "metadata"), "resourceVersion");
    }
    *new = kept;
}

/// Checks a changed object against the old one; `subresource` as in [`prepare_update`].
pub fn validate_update(resource: &Resource, subresource: &str, new: &Value, old: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let rules = row(resource).map_or_else(|| general_rules(resource), |row| row.meta);
    let common = MetaRules { name: NameRule::PathSegment, finalizers: Finalizers::Qualified, ..rules };
    meta::validate(new, common, &mut errors);
    meta::validate_update(new, old, None, &mut errors);
    let Some(row) = row(resource) else {
        // Custom kinds check their metadata once more by their own strategy.
        meta::validate_update(new, old, None, &mut errors);
        return errors;
    };
    match subresource {
        "" => run(row, row.update_steps, row.validate_update, new, old, &mut errors),
        "status" => {
            if let Some(status) = &row.status {
                run(row, status.steps, status.validate, new, old, &mut errors);
            }
        }
        "approval" => run(row, row.update_steps, certificates::validate_approval, new, old, &mut errors),
        "finalize" => {
            run(row, &[Step::MetaUpdate, Step::Change], namespace::validate_namespace_finalize, new, old, &mut errors)
        }
        "ephemeralcontainers" => pod::update::validate_ephemeral(new, old, &mut errors),
        "resize" => pod::update::validate_resize(new, old, &mut errors),
        _ => {}
    }
    errors
}

fn run(
    row: &Strategy,
    steps: &[Step],
    change: strategy::ValidateUpdate,
    new: &Value,
    old: &Value,
    errors: &mut ErrorList,
) {
    for step in steps {
        match step {
            Step::Meta => meta::validate(new, row.meta, errors),
            Step::MetaUpdate => meta::validate_update(new, old, Some(row.meta.finalizers), errors),
            Step::Object => (row.validate)(new, errors),
            Step::ObjectOnUpdate => (row.validate_on_update)(new, old, errors),
            Step::Change => change(new, old, errors),
        }
    }
}

/// Warnings about an object that was accepted; `old` where it was changed.
pub fn warnings(resource: &Resource, object: &Value, old: Option<&Value>) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(row) = row(resource) {
        (row.warn)(object, old, &mut warnings);
    }
    warnings
}

/// The warning that every request for a deprecated API gets.
pub fn deprecation(resource: &Resource) -> Option<&'static str> {
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "Endpoints") => Some("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"),
        ("", "ComponentStatus") => Some("v1 ComponentStatus is deprecated in v1.19+"),
        _ => None,
    }
}
