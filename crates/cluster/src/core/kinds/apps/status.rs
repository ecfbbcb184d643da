//! The counters in the status of Deployment, ReplicaSet, ReplicationController, StatefulSet and DaemonSet.

use super::super::place::Place;
use super::super::pod::containers::nonnegative_field;
use super::super::value::{get, integer, number};
use crate::core::field::{ErrorList, FieldError};
use serde_json::Value;

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
