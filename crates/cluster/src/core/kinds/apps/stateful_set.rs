//! StatefulSet: claim templates, identity, and the little that an update may change.

use std::collections::BTreeSet;

use super::super::labels::{self};
use super::super::meta::{self};
use super::super::names;
use super::super::place::Place;
use super::super::pod::containers::{nonnegative, nonnegative_field};
use super::super::pod::spec::validate_template;
use super::super::storage_claims;
use super::super::strategy::Context;
use super::super::value::{
    at, default_text, default_to, empty, ensure, get, get_mut, indexed, integer, items, items_mut, keep, number,
    present, put, remove, same, text,
};
use super::{
    always_running, amount, at_most_all, count_or_percent, default_template, prepare_create, prepare_update, selector,
    selects_template, warn_template_only,
};
use crate::core::field::{ErrorList, FieldError};
use serde_json::{Value, json};

/// Defaults of a StatefulSet.
pub fn default_stateful_set(object: &mut Value) {
    let Some(spec) = ensure(object, "spec") else { return };
    default_text(spec, "podManagementPolicy", "OrderedReady");
    if let Some(strategy) = ensure(spec, "updateStrategy") {
        if text(strategy, "type").is_empty() {
            put(strategy, "type", "RollingUpdate");
            default_to(strategy, "rollingUpdate", empty());
        }
        if text(strategy, "type") == "RollingUpdate"
            && let Some(rolling) = get_mut(strategy, "rollingUpdate")
        {
            default_to(rolling, "partition", 0);
        }
    }
    if let Some(policy) = ensure(spec, "persistentVolumeClaimRetentionPolicy") {
        default_text(policy, "whenDeleted", "Retain");
        default_text(policy, "whenScaled", "Retain");
    }
    default_to(spec, "replicas", 1);
    default_to(spec, "revisionHistoryLimit", 10);
    default_to(spec, "serviceName", "");
    default_template(spec);
    for claim in items_mut(spec, "volumeClaimTemplates") {
        put(claim, "apiVersion", "v1");
        put(claim, "kind", "PersistentVolumeClaim");
        ensure(claim, "metadata");
        storage_claims::default_claim(claim);
    }
}

/// `maxUnavailable` in the rolling update of a StatefulSet is a feature that is off.
pub fn prepare_stateful_set(object: &mut Value, ctx: &Context) {
    prepare_create(object, ctx);
    drop_max_unavailable(object, &Value::Null);
}

/// As [`prepare_update`], and drops `maxUnavailable` unless the old object has it.
pub fn prepare_stateful_set_update(new: &mut Value, old: &Value, ctx: &Context) {
    prepare_update(new, old, ctx);
    drop_max_unavailable(new, old);
}

fn drop_max_unavailable(object: &mut Value, old: &Value) {
    let path = ["spec", "updateStrategy", "rollingUpdate"];
    if !present(at(old, &path), "maxUnavailable")
        && let Some(rolling) = super::super::value::at_mut(object, &path)
    {
        remove(rolling, "maxUnavailable");
    }
}

/// Checks a StatefulSet.
pub fn validate_stateful_set(object: &Value, errors: &mut ErrorList) {
    stateful_set(object, Rules::Create, errors);
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Rules {
    Create,
    /// The service name and the claim templates are immutable and were valid by the rules of then.
    Update,
}

fn stateful_set(object: &Value, rules: Rules, errors: &mut ErrorList) {
    let (spec, place) = (get(object, "spec"), Place::root("spec"));
    let policy = text(spec, "podManagementPolicy");
    match policy {
        "OrderedReady" | "Parallel" => {}
        "" => errors.push(FieldError::required(place.child("podManagementPolicy"), "")),
        _ => {
            let detail = "must be 'OrderedReady' or 'Parallel'";
            errors.push(FieldError::invalid(place.child("podManagementPolicy"), policy, detail));
        }
    }
    stateful_set_strategy(get(spec, "updateStrategy"), &place.child("updateStrategy"), errors);
    let retention = place.child("persistentVolumeClaimRetentionPolicy");
    for key in ["whenDeleted", "whenScaled"] {
        let policy = get(spec, "persistentVolumeClaimRetentionPolicy");
        let value = text(policy, key);
        if !policy.is_null() && !matches!(value, "Retain" | "Delete") {
            errors.push(FieldError::not_supported(retention.child(key), value, &["Retain", "Delete"]));
        }
    }
    if rules == Rules::Create {
        let list = place.child("volumeClaimTemplates");
        for (index, claim) in indexed(spec, "volumeClaimTemplates") {
            let place = list.index(index);
            storage_claims::validate_spec(get(claim, "spec"), &place.child("spec"), errors);
        }
    }
    nonnegative_field(spec, "replicas", &place, errors);
    nonnegative_field(spec, "minReadySeconds", &place, errors);
    if let Some(start) = number(get(spec, "ordinals"), "start") {
        nonnegative(start, &place.child("ordinals.start"), errors);
    }
    let service = text(spec, "serviceName");
    if rules == Rules::Create && !service.is_empty() {
        super::super::pod::spec::fault_list(names::dns_label(service), service, &place.child("serviceName"), errors);
    }
    selector(spec, "statefulset", &place, errors);
    stateful_set_template(spec, &place, errors);
}

fn stateful_set_template(spec: &Value, place: &Place, errors: &mut ErrorList) {
    if !labels::is_convertible(get(spec, "selector")) {
        errors.push(FieldError::invalid(place.child("selector"), get(spec, "selector").clone(), ""));
    } else {
        selects_template(spec, place, errors);
        let template = with_claim_volumes(spec);
        let template_place = place.child("template");
        validate_template(&template, &template_place, errors);
        let meta = get(&template, "metadata");
        labels::validate(get(meta, "labels"), &template_place.child("labels"), errors);
        let annotations = template_place.child("annotations");
        meta::validate_annotations(get(meta, "annotations"), &annotations, errors);
    }
    always_running(spec, "StatefulSet", place, errors);
}

/// The template as its pods will have it: with a volume for each claim template, without host names.
fn with_claim_volumes(spec: &Value) -> Value {
    let mut template = get(spec, "template").clone();
    let claims = items(spec, "volumeClaimTemplates").iter().map(|claim| text(get(claim, "metadata"), "name"));
    let claims: BTreeSet<&str> = claims.collect();
    let Some(pod) = get_mut(&mut template, "spec") else { return template };
    remove(pod, "subdomain");
    remove(pod, "hostname");
    if claims.is_empty() {
        return template;
    }
    let mut volumes: Vec<Value> =
        claims.iter().map(|name| json!({"name": name, "persistentVolumeClaim": {"claimName": name}})).collect();
    volumes.extend(items(pod, "volumes").iter().filter(|volume| !claims.contains(text(volume, "name"))).cloned());
    put(pod, "volumes", volumes);
    template
}

fn stateful_set_strategy(strategy: &Value, place: &Place, errors: &mut ErrorList) {
    let rolling = get(strategy, "rollingUpdate");
    let rolling_place = place.child("rollingUpdate");
    match text(strategy, "type") {
        "" => errors.push(FieldError::required(place, "")),
        "OnDelete" => {
            if !rolling.is_null() {
                let shown = json!({
                    "Partition": integer(rolling, "partition"),
                    "MaxUnavailable": get(rolling, "maxUnavailable"),
                });
                let detail = "only allowed for updateStrategy 'RollingUpdate'";
                errors.push(FieldError::invalid(rolling_place, shown, detail));
            }
        }
        "RollingUpdate" => {
            nonnegative_field(rolling, "partition", &rolling_place, errors);
            let unavailable = get(rolling, "maxUnavailable");
            if !unavailable.is_null() {
                let place = rolling_place.child("maxUnavailable");
                count_or_percent(unavailable, &place, errors);
                if amount(unavailable) == 0 {
                    errors.push(FieldError::invalid(place, unavailable.clone(), "cannot be 0"));
                }
                at_most_all(unavailable, &place, errors);
            }
        }
        other => {
            let shown = json!({"Type": other, "RollingUpdate": rolling});
            errors.push(FieldError::invalid(place, shown, "must be 'RollingUpdate' or 'OnDelete'"));
        }
    }
}

/// Checks an update of a StatefulSet, where little may change.
pub fn validate_stateful_set_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    const MUTABLE: [&str; 7] = [
        "replicas",
        "template",
        "updateStrategy",
        "minReadySeconds",
        "ordinals",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
    ];
    stateful_set(new, Rules::Update, errors);
    let mut masked = get(new, "spec").clone();
    for key in MUTABLE {
        keep(&mut masked, get(old, "spec"), key);
    }
    if !same(&masked, get(old, "spec")) {
        let detail = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
        errors.push(FieldError::forbidden(Place::root("spec"), detail));
    }
}

/// Warnings about a StatefulSet.
pub fn warn_stateful_set(object: &Value, old: Option<&Value>, warnings: &mut Vec<String>) {
    warn_template_only(object, old, warnings);
    let (spec, place) = (get(object, "spec"), Place::root("spec"));
    let list = place.child("volumeClaimTemplates");
    for (index, claim) in indexed(spec, "volumeClaimTemplates") {
        let place = list.index(index);
        match old {
            None => storage_claims::warn_spec(get(claim, "spec"), &place, warnings),
            Some(_) => storage_claims::warn_spec(get(claim, "spec"), &place.child("Spec"), warnings),
        }
    }
    if number(spec, "revisionHistoryLimit").is_some_and(|limit| limit < 0) {
        warnings.push(
            "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended"
                .to_owned(),
        );
    }
}
