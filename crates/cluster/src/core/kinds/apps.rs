//! Deployment, ReplicaSet, ReplicationController, StatefulSet, DaemonSet, ControllerRevision.
//!
//! After `pkg/apis/apps` and `pkg/registry/apps`. What the controllers then do is `core::workload`.

use serde_json::{Value, json};

use super::labels::{self, Values};
use super::meta::{self, immutable};
use super::place::Place;
use super::pod::containers::{nonnegative, nonnegative_field};
use super::pod::spec::validate_template;
use super::pod::{defaults, warnings as pod_warnings};
use super::storage_claims;
use super::strategy::Context;
use super::value::{
    at, default_text, default_to, empty, ensure, entries, get, get_mut, indexed, integer, items, items_mut, keep,
    map_of, number, present, put, remove, same, same_field, text,
};
use super::{names, strategy};
use crate::core::field::{ErrorList, FieldError};

/// What `spec.template` gets in every kind that has one.
pub fn default_template(spec: &mut Value) {
    if let Some(template) = ensure(spec, "template") {
        defaults::template(template);
    }
}

/// Drops fields of the template whose features are off.
pub fn drop_template_fields(object: &mut Value, old: &Value, path: &[&str]) {
    if let Some(spec) = super::value::at_mut(object, path) {
        defaults::drop_disabled(spec, at(old, path));
    }
}

const TEMPLATE_SPEC: [&str; 3] = ["spec", "template", "spec"];

/// Defaults of a Deployment.
pub fn default_deployment(object: &mut Value) {
    let Some(spec) = ensure(object, "spec") else { return };
    default_to(spec, "replicas", 1);
    if let Some(strategy) = ensure(spec, "strategy") {
        default_text(strategy, "type", "RollingUpdate");
        if text(strategy, "type") == "RollingUpdate" {
            if let Some(rolling) = ensure(strategy, "rollingUpdate") {
                default_to(rolling, "maxUnavailable", "25%");
                default_to(rolling, "maxSurge", "25%");
            }
        }
    }
    default_to(spec, "revisionHistoryLimit", 10);
    default_to(spec, "progressDeadlineSeconds", 600);
    default_template(spec);
}

/// Defaults of a ReplicaSet.
pub fn default_replica_set(object: &mut Value) {
    let Some(spec) = ensure(object, "spec") else { return };
    default_to(spec, "replicas", 1);
    default_template(spec);
}

/// Defaults of a ReplicationController: the selector and the labels are those of its pods.
pub fn default_replication_controller(object: &mut Value) {
    let labels = at(object, &["spec", "template", "metadata", "labels"]).clone();
    if let Some(spec) = ensure(object, "spec") {
        default_to(spec, "replicas", 1);
        if present(spec, "template") {
            default_template(spec);
        }
        if labels.is_object() && entries(spec, "selector").is_empty() {
            put(spec, "selector", labels.clone());
        }
    }
    if labels.is_object() && meta::labels_of(object).is_empty() {
        if let Some(meta) = ensure(object, "metadata") {
            put(meta, "labels", labels);
        }
    }
}

/// Defaults of a StatefulSet.
pub fn default_stateful_set(object: &mut Value) {
    let Some(spec) = ensure(object, "spec") else { return };
    default_text(spec, "podManagementPolicy", "OrderedReady");
    if let Some(strategy) = ensure(spec, "updateStrategy") {
        if text(strategy, "type").is_empty() {
            put(strategy, "type", "RollingUpdate");
            default_to(strategy, "rollingUpdate", empty());
        }
        if text(strategy, "type") == "RollingUpdate" {
            if let Some(rolling) = get_mut(strategy, "rollingUpdate") {
                default_to(rolling, "partition", 0);
            }
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

/// Defaults of a DaemonSet.
pub fn default_daemon_set(object: &mut Value) {
    let Some(spec) = ensure(object, "spec") else { return };
    if let Some(strategy) = ensure(spec, "updateStrategy") {
        default_text(strategy, "type", "RollingUpdate");
        if text(strategy, "type") == "RollingUpdate" {
            if let Some(rolling) = ensure(strategy, "rollingUpdate") {
                default_to(rolling, "maxUnavailable", 1);
                default_to(rolling, "maxSurge", 0);
            }
        }
    }
    default_to(spec, "revisionHistoryLimit", 10);
    default_template(spec);
}

/// Drops what is switched off in a new object's template.
pub fn prepare_create(object: &mut Value, _: &Context) {
    drop_template_fields(object, &Value::Null, &TEMPLATE_SPEC);
}

/// Keeps the status and drops what is switched off in the template.
pub fn prepare_update(new: &mut Value, old: &Value, _: &Context) {
    keep(new, old, "status");
    drop_template_fields(new, old, &TEMPLATE_SPEC);
}

/// As [`prepare_update`]; a change of annotations counts as a change too.
pub fn prepare_deployment_update(new: &mut Value, old: &Value, ctx: &Context) {
    prepare_update(new, old, ctx);
    let annotations = |object: &'_ Value| get(get(object, "metadata"), "annotations").clone();
    let equal = |left: Value, right: Value| map_of(&left) == map_of(&right);
    if !same_field(new, old, "spec") || !equal(annotations(new), annotations(old)) {
        meta::set_generation(new, meta::generation(old).saturating_add(1));
    }
}

const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

fn template_generation(object: &Value) -> i64 {
    meta::annotation(object, TEMPLATE_GENERATION).and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn set_template_generation(object: &mut Value, generation: i64) {
    if let Some(annotations) = ensure(object, "metadata").and_then(|meta| ensure(meta, "annotations")) {
        put(annotations, TEMPLATE_GENERATION, generation.to_string());
    }
}

/// A new DaemonSet counts its templates in an annotation.
pub fn prepare_daemon_set(object: &mut Value, ctx: &Context) {
    prepare_create(object, ctx);
    let generation = template_generation(object).max(1);
    set_template_generation(object, generation);
}

/// Counts a change of the template.
pub fn prepare_daemon_set_update(new: &mut Value, old: &Value, ctx: &Context) {
    prepare_update(new, old, ctx);
    let template = ["spec", "template"];
    let changed = !same(at(new, &template), at(old, &template));
    set_template_generation(new, template_generation(old).saturating_add(i64::from(changed)));
    if !same_field(new, old, "spec") {
        meta::set_generation(new, meta::generation(old).saturating_add(1));
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
    if !present(at(old, &path), "maxUnavailable") {
        if let Some(rolling) = super::value::at_mut(object, &path) {
            remove(rolling, "maxUnavailable");
        }
    }
}

/// Keeps the specification, and the labels, of a Deployment.
pub fn prepare_deployment_status(new: &mut Value, old: &Value, _: &Context) {
    keep(new, old, "spec");
    if let Some(meta) = ensure(new, "metadata") {
        keep(meta, get(old, "metadata"), "labels");
    }
    drop_terminating(new, old);
}

/// Keeps the specification of a ReplicaSet.
pub fn prepare_replica_set_status(new: &mut Value, old: &Value, _: &Context) {
    keep(new, old, "spec");
    drop_terminating(new, old);
}

fn drop_terminating(new: &mut Value, old: &Value) {
    if !present(get(old, "status"), "terminatingReplicas") {
        if let Some(status) = get_mut(new, "status") {
            remove(status, "terminatingReplicas");
        }
    }
}

/// Checks a selector that must select something, and returns whether it can be used.
fn selector(spec: &Value, kind: &str, place: &Place, errors: &mut ErrorList) {
    let (selector, place) = (get(spec, "selector"), place.child("selector"));
    if selector.is_null() {
        errors.push(FieldError::required(place, ""));
        return;
    }
    labels::validate_selector(selector, Values::Checked, &place, errors);
    if labels::is_empty_selector(selector) {
        let detail = format!("empty selector is invalid for {kind}");
        errors.push(FieldError::invalid(place, selector.clone(), detail));
    }
}

/// Checks that a selector selects the pods of the template beside it.
fn selects_template(spec: &Value, place: &Place, errors: &mut ErrorList) {
    let selector = get(spec, "selector");
    let template_labels = at(spec, &["template", "metadata", "labels"]);
    let chooses = selector.is_null() || !labels::is_empty_selector(selector);
    if chooses && (selector.is_null() || !labels::matches(selector, map_of(template_labels))) {
        mismatch(template_labels, place, errors);
    }
}

fn mismatch(template_labels: &Value, place: &Place, errors: &mut ErrorList) {
    let place = place.child("template");
    let place = place.child("metadata");
    let detail = "`selector` does not match template `labels`";
    errors.push(FieldError::invalid(place.child("labels"), template_labels.clone(), detail));
}

/// A template whose pods always run.
fn always_running(spec: &Value, kind: &str, place: &Place, errors: &mut ErrorList) {
    let pod = at(spec, &["template", "spec"]);
    let place = place.child("template");
    let place = place.child("spec");
    let policy = text(pod, "restartPolicy");
    if policy != "Always" {
        errors.push(FieldError::not_supported(place.child("restartPolicy"), policy, &["Always"]));
    }
    if present(pod, "activeDeadlineSeconds") {
        let detail = format!("activeDeadlineSeconds in {kind} is not Supported");
        errors.push(FieldError::forbidden(place.child("activeDeadlineSeconds"), detail));
    }
}

fn replica_set_template(spec: &Value, place: &Place, errors: &mut ErrorList) {
    if !labels::is_convertible(get(spec, "selector")) {
        let given = get(spec, "selector").clone();
        errors.push(FieldError::invalid(place.child("selector"), given, "invalid label selector"));
        return;
    }
    selects_template(spec, place, errors);
    validate_template(get(spec, "template"), &place.child("template"), errors);
    always_running(spec, "ReplicaSet", place, errors);
}

/// Checks a Deployment.
pub fn validate_deployment(object: &Value, errors: &mut ErrorList) {
    let (spec, place) = (get(object, "spec"), Place::root("spec"));
    nonnegative_field(spec, "replicas", &place, errors);
    selector(spec, "deployment", &place, errors);
    replica_set_template(spec, &place, errors);
    deployment_strategy(get(spec, "strategy"), &place.child("strategy"), errors);
    nonnegative_field(spec, "minReadySeconds", &place, errors);
    nonnegative_field(spec, "revisionHistoryLimit", &place, errors);
    nonnegative_field(spec, "progressDeadlineSeconds", &place, errors);
    if let Some(deadline) = number(spec, "progressDeadlineSeconds") {
        if deadline <= integer(spec, "minReadySeconds") {
            let place = place.child("progressDeadlineSeconds");
            errors.push(FieldError::invalid(place, deadline, "must be greater than minReadySeconds"));
        }
    }
}

fn deployment_strategy(strategy: &Value, place: &Place, errors: &mut ErrorList) {
    let rolling = get(strategy, "rollingUpdate");
    let rolling_place = place.child("rollingUpdate");
    match text(strategy, "type") {
        "Recreate" => {
            if !rolling.is_null() {
                let detail = "may not be specified when strategy `type` is 'Recreate'";
                errors.push(FieldError::forbidden(rolling_place, detail));
            }
        }
        "RollingUpdate" => {
            if rolling.is_null() {
                errors.push(FieldError::required(rolling_place, "this should be defaulted and never be nil"));
                return;
            }
            let (unavailable, surge) = (get(rolling, "maxUnavailable"), get(rolling, "maxSurge"));
            let unavailable_place = rolling_place.child("maxUnavailable");
            count_or_percent(unavailable, &unavailable_place, errors);
            count_or_percent(surge, &rolling_place.child("maxSurge"), errors);
            if amount(unavailable) == 0 && amount(surge) == 0 {
                let detail = "may not be 0 when `maxSurge` is 0";
                errors.push(FieldError::invalid(unavailable_place, unavailable.clone(), detail));
            }
            at_most_all(unavailable, &unavailable_place, errors);
        }
        other => {
            let shown = json!({"Type": other, "RollingUpdate": get(strategy, "rollingUpdate")});
            errors.push(FieldError::not_supported(place, shown, &["Recreate", "RollingUpdate"]));
        }
    }
}

/// Checks a number that is a count or a percentage, not negative.
pub fn count_or_percent(value: &Value, place: &Place, errors: &mut ErrorList) {
    match value {
        Value::String(text) => {
            for fault in names::percent(text) {
                errors.push(FieldError::invalid(place, text.as_str(), fault));
            }
        }
        other => nonnegative(other.as_i64().unwrap_or(0), place, errors),
    }
}

/// Refuses more than 100 %.
pub fn at_most_all(value: &Value, place: &Place, errors: &mut ErrorList) {
    if percentage(value).is_some_and(|percent| percent > 100) {
        errors.push(FieldError::invalid(place, value.clone(), "must not be greater than 100%"));
    }
}

fn percentage(value: &Value) -> Option<i64> {
    let text = value.as_str().filter(|text| names::percent(text).is_empty())?;
    text.strip_suffix('%').and_then(|digits| digits.parse().ok())
}

fn amount(value: &Value) -> i64 {
    percentage(value)
        .or_else(|| value.as_i64())
        .or_else(|| value.as_str().and_then(|text| text.parse().ok()))
        .unwrap_or(0)
}

/// Checks a ReplicaSet.
pub fn validate_replica_set(object: &Value, errors: &mut ErrorList) {
    let (spec, place) = (get(object, "spec"), Place::root("spec"));
    nonnegative_field(spec, "replicas", &place, errors);
    nonnegative_field(spec, "minReadySeconds", &place, errors);
    // Upstream names the wrong kind.
    selector(spec, "deployment", &place, errors);
    replica_set_template(spec, &place, errors);
}

/// Checks a ReplicationController.
pub fn validate_replication_controller(object: &Value, errors: &mut ErrorList) {
    let (spec, place) = (get(object, "spec"), Place::root("spec"));
    nonnegative_field(spec, "minReadySeconds", &place, errors);
    let selector = entries(spec, "selector");
    if selector.is_empty() {
        errors.push(FieldError::required(place.child("selector"), ""));
    }
    match number(spec, "replicas") {
        None => errors.push(FieldError::required(place.child("replicas"), "")),
        Some(replicas) => nonnegative(replicas, &place.child("replicas"), errors),
    }
    let template = get(spec, "template");
    let template_place = place.child("template");
    if template.is_null() {
        errors.push(FieldError::required(template_place, ""));
        return;
    }
    let template_labels = at(template, &["metadata", "labels"]);
    let own = map_of(template_labels);
    if selector.iter().any(|(key, value)| own.get(key) != Some(value)) {
        mismatch(template_labels, &place, errors);
    }
    validate_template(template, &template_place, errors);
    always_running(spec, "ReplicationController", &place, errors);
}

/// The selector of these kinds stays as it was created.
pub fn selector_is_immutable(new: &Value, old: &Value, errors: &mut ErrorList) {
    let place = Place::root("spec");
    let path = ["spec", "selector"];
    immutable(at(new, &path), at(old, &path), &place.child("selector"), errors);
}

/// Checks a DaemonSet.
pub fn validate_daemon_set(object: &Value, errors: &mut ErrorList) {
    let (spec, place) = (get(object, "spec"), Place::root("spec"));
    let selector = get(spec, "selector");
    let selector_place = place.child("selector");
    labels::validate_selector(selector, Values::Checked, &selector_place, errors);
    let template_labels = at(spec, &["template", "metadata", "labels"]);
    if labels::is_convertible(selector) && !labels::matches(selector, map_of(template_labels)) {
        mismatch(template_labels, &place, errors);
    }
    if !selector.is_null() && labels::is_empty_selector(selector) {
        let detail = "empty selector is invalid for daemonset";
        errors.push(FieldError::invalid(selector_place, selector.clone(), detail));
    }
    validate_template(get(spec, "template"), &place.child("template"), errors);
    always_running(spec, "DaemonSet", &place, errors);
    nonnegative_field(spec, "minReadySeconds", &place, errors);
    daemon_set_strategy(get(spec, "updateStrategy"), &place.child("updateStrategy"), errors);
    nonnegative_field(spec, "revisionHistoryLimit", &place, errors);
}

fn daemon_set_strategy(strategy: &Value, place: &Place, errors: &mut ErrorList) {
    let place_of = place.child("rollingUpdate");
    match text(strategy, "type") {
        "OnDelete" => {}
        "RollingUpdate" => {
            let rolling = get(strategy, "rollingUpdate");
            if rolling.is_null() {
                errors.push(FieldError::required(place_of, ""));
                return;
            }
            let (unavailable, surge) = (get(rolling, "maxUnavailable"), get(rolling, "maxSurge"));
            let (unavailable_place, surge_place) = (place_of.child("maxUnavailable"), place_of.child("maxSurge"));
            count_or_percent(unavailable, &unavailable_place, errors);
            count_or_percent(surge, &surge_place, errors);
            at_most_all(unavailable, &unavailable_place, errors);
            at_most_all(surge, &surge_place, errors);
            match (amount(unavailable) != 0, amount(surge) != 0) {
                (true, true) => {
                    let detail = "may not be set when maxUnavailable is non-zero";
                    errors.push(FieldError::invalid(surge_place, surge.clone(), detail));
                }
                (false, false) => {
                    errors.push(FieldError::required(unavailable_place, "cannot be 0 when maxSurge is 0"));
                }
                _ => {}
            }
        }
        other => {
            let shown = json!({"Type": other, "RollingUpdate": get(strategy, "rollingUpdate")});
            errors.push(FieldError::not_supported(place, shown, &["RollingUpdate", "OnDelete"]));
        }
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
        super::pod::spec::fault_list(names::dns_label(service), service, &place.child("serviceName"), errors);
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
    let claims: Vec<&str> =
        items(spec, "volumeClaimTemplates").iter().map(|claim| text(get(claim, "metadata"), "name")).collect();
    let Some(pod) = get_mut(&mut template, "spec") else { return template };
    remove(pod, "subdomain");
    remove(pod, "hostname");
    if claims.is_empty() {
        return template;
    }
    let mut volumes: Vec<Value> =
        claims.iter().map(|name| json!({"name": name, "persistentVolumeClaim": {"claimName": name}})).collect();
    volumes.extend(items(pod, "volumes").iter().filter(|volume| !claims.contains(&text(volume, "name"))).cloned());
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

/// Checks a ControllerRevision; its data must be an object.
pub fn validate_controller_revision(object: &Value, errors: &mut ErrorList) {
    nonnegative(integer(object, "revision"), &Place::root("revision"), errors);
    let place = Place::root("data");
    match get(object, "data") {
        Value::Object(_) => {}
        Value::Null => errors.push(FieldError::required(place, "data is mandatory")),
        _ => errors.push(FieldError::required(place, "data must be a valid JSON object")),
    }
}

/// Checks an update of a ControllerRevision.
pub fn validate_controller_revision_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    nonnegative(integer(new, "revision"), &Place::root("revision"), errors);
    immutable(get(new, "data"), get(old, "data"), &Place::root("data"), errors);
}

/// Counters of a status, those that may not exceed `replicas`, and what `availableReplicas` may not.
pub struct StatusCounters {
    nonnegative: &'static [&'static str],
    within_replicas: &'static [&'static str],
    available: &'static str,
}

const DEPLOYMENT: StatusCounters = StatusCounters {
    nonnegative: &[
        "observedGeneration",
        "replicas",
        "updatedReplicas",
        "readyReplicas",
        "availableReplicas",
        "unavailableReplicas",
        "terminatingReplicas",
        "collisionCount",
    ],
    within_replicas: &["updatedReplicas", "readyReplicas", "availableReplicas"],
    available: "cannot be greater than readyReplicas",
};
const REPLICA_SET: StatusCounters = StatusCounters {
    nonnegative: &[
        "replicas",
        "fullyLabeledReplicas",
        "readyReplicas",
        "availableReplicas",
        "observedGeneration",
        "terminatingReplicas",
    ],
    within_replicas: &["fullyLabeledReplicas", "readyReplicas", "availableReplicas"],
    available: "cannot be greater than readyReplicas",
};
const STATEFUL_SET: StatusCounters = StatusCounters {
    nonnegative: &[
        "replicas",
        "readyReplicas",
        "currentReplicas",
        "updatedReplicas",
        "availableReplicas",
        "observedGeneration",
        "collisionCount",
    ],
    within_replicas: &["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"],
    available: "cannot be greater than status.readyReplicas",
};
const DAEMON_SET: StatusCounters = StatusCounters {
    nonnegative: &[
        "currentNumberScheduled",
        "numberMisscheduled",
        "desiredNumberScheduled",
        "numberReady",
        "observedGeneration",
        "updatedNumberScheduled",
        "numberAvailable",
        "numberUnavailable",
        "collisionCount",
    ],
    within_replicas: &[],
    available: "",
};

fn counters(new: &Value, old: &Value, rules: &StatusCounters, errors: &mut ErrorList) {
    let (status, place) = (get(new, "status"), Place::root("status"));
    for key in rules.nonnegative {
        nonnegative_field(status, key, &place, errors);
    }
    for key in rules.within_replicas {
        let value = integer(status, key);
        if value > integer(status, "replicas") {
            errors.push(FieldError::invalid(place.child(key), value, "cannot be greater than status.replicas"));
        }
    }
    let available = integer(status, "availableReplicas");
    if !rules.available.is_empty() && available > integer(status, "readyReplicas") {
        errors.push(FieldError::invalid(place.child("availableReplicas"), available, rules.available));
    }
    let (after, before) = (number(status, "collisionCount"), number(get(old, "status"), "collisionCount"));
    if before.is_some_and(|before| after.is_none_or(|after| after < before)) {
        let place = place.child("collisionCount");
        errors.push(FieldError::invalid(place, after.unwrap_or(0), "cannot be decremented"));
    }
}

/// Checks a write of a Deployment's status.
pub fn validate_deployment_status(new: &Value, old: &Value, errors: &mut ErrorList) {
    counters(new, old, &DEPLOYMENT, errors);
}

/// Checks a write of the status of a ReplicaSet or ReplicationController.
pub fn validate_replica_set_status(new: &Value, old: &Value, errors: &mut ErrorList) {
    counters(new, old, &REPLICA_SET, errors);
}

/// Checks a write of a StatefulSet's status.
pub fn validate_stateful_set_status(new: &Value, old: &Value, errors: &mut ErrorList) {
    counters(new, old, &STATEFUL_SET, errors);
}

/// Checks a write of a DaemonSet's status.
pub fn validate_daemon_set_status(new: &Value, old: &Value, errors: &mut ErrorList) {
    counters(new, old, &DAEMON_SET, errors);
}

/// Warnings about the template, and about a name that pods cannot carry on.
pub fn warn(object: &Value, old: Option<&Value>, warnings: &mut Vec<String>) {
    match old {
        None => strategy::warn_host_name(object, "Pod names and hostnames", warnings),
        Some(old) if meta::generation(object) == meta::generation(old) => return,
        Some(_) => {}
    }
    warn_template(object, warnings);
}

/// Warnings about the template alone.
pub fn warn_template_only(object: &Value, old: Option<&Value>, warnings: &mut Vec<String>) {
    if old.is_none_or(|old| meta::generation(object) != meta::generation(old)) {
        warn_template(object, warnings);
    }
}

fn warn_template(object: &Value, warnings: &mut Vec<String>) {
    let place = Place::root("spec");
    pod_warnings::of_template(at(object, &["spec", "template"]), &place.child("template"), warnings);
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
