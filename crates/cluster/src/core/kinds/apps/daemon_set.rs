//! DaemonSet: its two generations and its update strategy.

use super::super::labels::{self, Values};
use super::super::meta::{self};
use super::super::place::Place;
use super::super::pod::containers::nonnegative_field;
use super::super::pod::spec::validate_template;
use super::super::strategy::Context;
use super::super::value::{at, default_text, default_to, ensure, get, map_of, put, remove, same, same_field, text};
use super::{
    always_running, amount, at_most_all, count_or_percent, default_template, mismatch, prepare_create, prepare_update,
};
use crate::core::field::{ErrorList, FieldError};
use serde_json::{Value, json};

/// Defaults of a DaemonSet. The count of its templates is a field that v1 shows as an annotation.
pub fn default_daemon_set(object: &mut Value) {
    set_template_generation(object, template_generation(object));
    let Some(spec) = ensure(object, "spec") else { return };
    if let Some(strategy) = ensure(spec, "updateStrategy") {
        default_text(strategy, "type", "RollingUpdate");
        if text(strategy, "type") == "RollingUpdate"
            && let Some(rolling) = ensure(strategy, "rollingUpdate")
        {
            default_to(rolling, "maxUnavailable", 1);
            default_to(rolling, "maxSurge", 0);
        }
    }
    default_to(spec, "revisionHistoryLimit", 10);
    default_template(spec);
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

/// A DaemonSet without the annotation that v1 makes of its count of templates.
pub fn without_template_generation(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(meta) = object.get_mut("metadata") {
        let mut annotations = get(meta, "annotations").clone();
        remove(&mut annotations, TEMPLATE_GENERATION);
        if map_of(&annotations).is_empty() {
            remove(meta, "annotations");
        } else {
            put(meta, "annotations", annotations);
        }
    }
    object
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
