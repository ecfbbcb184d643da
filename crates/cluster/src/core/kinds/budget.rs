//! PodDisruptionBudget. After `pkg/apis/policy`.

use serde_json::{Value, json};

use super::apps::{at_most_all, count_or_percent};
use super::labels::{self, Values};
use super::meta;
use super::place::Place;
use super::pod::containers::nonnegative_field;
use super::value::{get, present};
use crate::core::field::{ErrorList, FieldError};

/// Checks a PodDisruptionBudget.
pub fn validate(object: &Value, errors: &mut ErrorList) {
    let (spec, place) = (get(object, "spec"), Place::root("spec"));
    if present(spec, "minAvailable") && present(spec, "maxUnavailable") {
        let shown = json!({
            "MinAvailable": get(spec, "minAvailable"),
            "Selector": get(spec, "selector"),
            "MaxUnavailable": get(spec, "maxUnavailable"),
            "UnhealthyPodEvictionPolicy": get(spec, "unhealthyPodEvictionPolicy"),
        });
        errors.push(FieldError::invalid(place, shown, "minAvailable and maxUnavailable cannot be both set"));
    }
    for key in ["minAvailable", "maxUnavailable"] {
        if present(spec, key) {
            count_or_percent(get(spec, key), &place.child(key), errors);
            at_most_all(get(spec, key), &place.child(key), errors);
        }
    }
    labels::validate_selector(get(spec, "selector"), Values::Checked, &place.child("selector"), errors);
    super::volumes::sources::supported(
        spec,
        "unhealthyPodEvictionPolicy",
        &["AlwaysAllow", "IfHealthyBudget"],
        &place,
        errors,
    );
}

/// Checks a write of the status.
pub fn validate_status(new: &Value, _: &Value, errors: &mut ErrorList) {
    let (status, place) = (get(new, "status"), Place::root("status"));
    meta::validate_conditions(get(status, "conditions"), &place.child("conditions"), errors);
    for key in ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"] {
        nonnegative_field(status, key, &place, errors);
    }
}
