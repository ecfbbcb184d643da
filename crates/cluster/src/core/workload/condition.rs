//! Conditions of replica sets, replication controllers and deployments: finding, setting, removing.
//!
//! Setting a condition that has the same status and reason changes nothing, so that a repeated finding is no write.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DeploymentCondition, ReplicaSetCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// The time as objects carry it: whole seconds.
pub fn seconds(now: Timestamp) -> Time {
    Time(Timestamp::from_second(now.as_second()).unwrap_or(now))
}

/// A condition of a deployment, dated `now`.
pub fn of_deployment(
    type_: &str,
    status: &str,
    reason: &str,
    message: impl Into<String>,
    now: Timestamp,
) -> DeploymentCondition {
    DeploymentCondition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.into()),
        last_update_time: Some(seconds(now)),
        last_transition_time: Some(seconds(now)),
    }
}

/// The deployment's condition of a type.
pub fn find<'a>(conditions: &'a [DeploymentCondition], type_: &str) -> Option<&'a DeploymentCondition> {
    conditions.iter().find(|one| one.type_ == type_)
}

/// Sets a deployment's condition; the transition time stays when the status does.
pub fn set(conditions: &mut Vec<DeploymentCondition>, mut condition: DeploymentCondition) {
    if let Some(current) = find(conditions, &condition.type_) {
        if current.status == condition.status && current.reason == condition.reason {
            return;
        }
        if current.status == condition.status {
            condition.last_transition_time = current.last_transition_time.clone();
        }
    }
    remove(conditions, &condition.type_);
    conditions.push(condition);
}

/// Removes a deployment's condition.
pub fn remove(conditions: &mut Vec<DeploymentCondition>, type_: &str) {
    conditions.retain(|one| one.type_ != type_);
}

/// A replica set's `ReplicaFailure` as its deployment repeats it.
pub fn repeated(failure: &ReplicaSetCondition) -> DeploymentCondition {
    DeploymentCondition {
        type_: failure.type_.clone(),
        status: failure.status.clone(),
        reason: failure.reason.clone(),
        message: failure.message.clone(),
        last_update_time: failure.last_transition_time.clone(),
        last_transition_time: failure.last_transition_time.clone(),
    }
}
