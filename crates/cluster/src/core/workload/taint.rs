//! Taints and tolerations: which pods a node's taints drive away, when, and which taints a node's state puts on it.
//!
//! Also decides what becomes of a node that is not heard of any more. Source: upstream `pkg/controller/tainteviction`
//! and `pkg/controller/nodelifecycle`.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Node, NodeCondition, Pod, PodCondition, Taint, Toleration};

use super::condition::seconds;
use super::pods;

/// A node that is not heard of for this long is unreachable; upstream's `--node-monitor-grace-period`.
pub const SILENCE_MAX: Duration = Duration::from_secs(50);

/// Whether a toleration tolerates a taint.
pub fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let (effect, key) = (text(&toleration.effect), text(&toleration.key));
    let applies = (effect.is_empty() || effect == taint.effect) && (key.is_empty() || key == taint.key);
    applies
        && match toleration.operator.as_deref().unwrap_or_default() {
            "" | "Equal" => text(&toleration.value) == taint.value.clone().unwrap_or_default(),
            "Exists" => true,
            _ => false,
        }
}

/// Whether two tolerations are about the same taint.
pub fn tolerates_same(one: &Toleration, other: &Toleration) -> bool {
    one.key == other.key && one.effect == other.effect && one.operator == other.operator && one.value == other.value
}

/// The first taint of one of the effects that nothing tolerates.
pub fn first_untolerated<'a>(taints: &'a [Taint], tolerations: &[Toleration], effects: &[&str]) -> Option<&'a Taint> {
    let mut relevant = taints.iter().filter(|taint| effects.contains(&taint.effect.as_str()));
    relevant.find(|taint| !tolerations.iter().any(|toleration| tolerates(toleration, taint)))
}

/// What a node's `NoExecute` taints do to a pod on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It may stay.
    Stays,
    /// It may stay for this long.
    StaysFor(Duration),
    /// It goes now.
    Goes,
}

/// The fate of `pod` under a node's taints, which it has been under since `since`.
pub fn fate(pod: &Pod, taints: &[Taint], since: Timestamp, now: Timestamp) -> Fate {
    let tolerations = pod.spec.as_ref().and_then(|spec| spec.tolerations.as_deref()).unwrap_or_default();
    if first_untolerated(taints, tolerations, &["NoExecute"]).is_some() {
        return Fate::Goes;
    }
    let executing = taints.iter().filter(|taint| taint.effect == "NoExecute");
    let used = executing.filter_map(|taint| tolerations.iter().find(|toleration| tolerates(toleration, taint)));
    let Some(limit) = used.filter_map(|toleration| toleration.toleration_seconds).min() else {
        return Fate::Stays;
    };
    let left = SignedDuration::from_secs(limit.max(0)) - now.duration_since(since);
    match Duration::try_from(left) {
        Ok(left) if !left.is_zero() => Fate::StaysFor(left),
        _ => Fate::Goes,
    }
}

/// The condition that tells why `pod` was evicted.
pub fn eviction_condition(pod: &Pod, now: Timestamp) -> PodCondition {
    PodCondition {
        type_: "DisruptionTarget".to_owned(),
        status: "True".to_owned(),
        reason: Some("DeletionByTaintManager".to_owned()),
        message: Some("Taint manager: deleting due to NoExecute taint".to_owned()),
        last_transition_time: Some(seconds(now)),
        observed_generation: pod.metadata.generation,
        ..PodCondition::default()
    }
}

/// Conditions of a node, the status at which each puts a taint on it, and the taint's key.
const TAINTED_BY_CONDITION: [(&str, &str, &str); 6] = [
    ("Ready", "False", "node.kubernetes.io/not-ready"),
    ("Ready", "Unknown", "node.kubernetes.io/unreachable"),
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
];
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
/// The conditions that a node itself reports; they are unknown while it is silent.
const REPORTED: [(&str, &str); 4] = [
    ("Ready", "Kubelet stopped posting node status."),
    ("MemoryPressure", "Kubelet stopped posting node status."),
    ("DiskPressure", "Kubelet stopped posting node status."),
    ("PIDPressure", "Kubelet stopped posting node status."),
];

/// The taints that a node should have; `None` when it has them.
pub fn node_taints(node: &Node, now: Timestamp) -> Option<Vec<Taint>> {
    let current = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
    let mut wanted = current.clone();
    let status = |type_: &str| node_condition(node, type_).map(|one| one.status.as_str());
    for (type_, value, key) in TAINTED_BY_CONDITION {
        let present = status(type_) == Some(value);
        settle(&mut wanted, key, "NoSchedule", present, now);
        if type_ == "Ready" {
            settle(&mut wanted, key, "NoExecute", present, now);
        }
    }
    let cordoned = node.spec.as_ref().and_then(|spec| spec.unschedulable) == Some(true);
    settle(&mut wanted, UNSCHEDULABLE, "NoSchedule", cordoned, now);
    (wanted != current).then_some(wanted)
}

fn settle(taints: &mut Vec<Taint>, key: &str, effect: &str, present: bool, now: Timestamp) {
    let is_it = |taint: &Taint| taint.key == key && taint.effect == effect;
    if !present {
        taints.retain(|taint| !is_it(taint));
    } else if !taints.iter().any(is_it) {
        let time_added = Some(seconds(now));
        taints.push(Taint { key: key.to_owned(), effect: effect.to_owned(), value: None, time_added });
    }
}

/// A condition of a node.
pub fn node_condition<'a>(node: &'a Node, type_: &str) -> Option<&'a NodeCondition> {
    node.status.iter().flat_map(|status| status.conditions.iter().flatten()).find(|one| one.type_ == type_)
}

/// What silence does to a node.
#[derive(Clone, Debug, PartialEq)]
pub enum Pulse {
    /// It was heard of not long ago; look again after this time.
    Alive(Duration),
    /// It is silent, and its conditions say so already.
    Lost,
    /// It is silent: these are its conditions from now on.
    Silent(Vec<NodeCondition>),
}

/// Feels the pulse of a node that was last heard of at `heard`.
pub fn pulse(node: &Node, heard: Timestamp, now: Timestamp) -> Pulse {
    let silence = Duration::try_from(now.duration_since(heard)).unwrap_or_default();
    if let Some(left) = SILENCE_MAX.checked_sub(silence).filter(|left| !left.is_zero()) {
        return Pulse::Alive(left);
    }
    let mut conditions = node.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
    let mut changed = false;
    for (type_, message) in REPORTED {
        let unknown = |heartbeat| NodeCondition {
            type_: type_.to_owned(),
            status: "Unknown".to_owned(),
            reason: Some("NodeStatusUnknown".to_owned()),
            message: Some(message.to_owned()),
            last_heartbeat_time: heartbeat,
            last_transition_time: Some(seconds(now)),
        };
        match conditions.iter_mut().find(|one| one.type_ == type_) {
            Some(one) if one.status == "Unknown" => continue,
            Some(one) => *one = unknown(one.last_heartbeat_time.clone()),
            None => conditions.push(unknown(None)),
        }
        changed = true;
    }
    if changed { Pulse::Silent(conditions) } else { Pulse::Lost }
}

/// Whether a pod counts as ready although its node is not; then its condition is to be set to False.
pub fn must_lose_readiness(pod: &Pod, node: &Node) -> bool {
    node_condition(node, "Ready").is_some_and(|ready| ready.status != "True")
        && pods::is_ready(pod)
        && !pods::is_finished(pod)
}

#[cfg(test)]
mod tests;
