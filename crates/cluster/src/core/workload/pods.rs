//! Facts about pods that every workload controller asks for: active, ready, available; and a pod made from a template.
//!
//! Source of the rules: upstream `pkg/api/v1/pod/util.go` and `pkg/controller/controller_utils.go`.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, PodCondition, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::claim::Owner;

/// A pod name's prefix must leave room for the random suffix; upstream cuts no prefix but drops the dash when the
/// result would be no valid name. 253 is the longest name of an object.
const NAME_MAX: usize = 253;

/// The pod's phase, empty when it has none.
pub fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// The node the pod is bound to, empty when it is not.
pub fn node_name(pod: &Pod) -> &str {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default()
}

/// The name of an object, empty when it has none.
pub fn name(meta: &ObjectMeta) -> &str {
    meta.name.as_deref().unwrap_or_default()
}

/// The uid of an object, empty when it has none.
pub fn uid(meta: &ObjectMeta) -> &str {
    meta.uid.as_deref().unwrap_or_default()
}

/// A label's value, empty when it is not there.
pub fn label<'a>(meta: &'a ObjectMeta, key: &str) -> &'a str {
    meta.labels.as_ref().and_then(|labels| labels.get(key)).map(String::as_str).unwrap_or_default()
}

/// Whether the pod is being deleted.
pub fn is_terminating(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

/// Whether the pod has ended.
pub fn is_finished(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

/// Whether the pod counts: neither ended nor being deleted.
pub fn is_active(pod: &Pod) -> bool {
    !is_finished(pod) && !is_terminating(pod)
}

/// A condition of the pod.
pub fn condition<'a>(pod: &'a Pod, type_: &str) -> Option<&'a PodCondition> {
    pod.status.iter().flat_map(|status| status.conditions.iter().flatten()).find(|one| one.type_ == type_)
}

/// Since when the pod is ready; `None` when it is not, `Some(None)` when nobody wrote the time down.
pub fn ready_since(pod: &Pod) -> Option<Option<Timestamp>> {
    let ready = condition(pod, "Ready").filter(|ready| ready.status == "True")?;
    Some(ready.last_transition_time.as_ref().map(|time| time.0))
}

/// Whether the pod is ready.
pub fn is_ready(pod: &Pod) -> bool {
    ready_since(pod).is_some()
}

/// Whether the pod has been ready for `min_ready_seconds`.
pub fn is_available(pod: &Pod, min_ready_seconds: i32, now: Timestamp) -> bool {
    match ready_since(pod) {
        None => false,
        Some(_) if min_ready_seconds <= 0 => true,
        Some(None) => false,
        Some(Some(since)) => now.duration_since(since) >= SignedDuration::from_secs(min_ready_seconds.into()),
    }
}

/// When the next of the ready pods becomes available.
pub fn next_available<'a>(
    pods: impl IntoIterator<Item = &'a Pod>,
    min_ready_seconds: i32,
    now: Timestamp,
) -> Option<Duration> {
    if min_ready_seconds <= 0 {
        return None;
    }
    let wait = SignedDuration::from_secs(min_ready_seconds.into());
    let left = |since: Timestamp| Duration::try_from(wait - now.duration_since(since)).ok();
    pods.into_iter().filter_map(|pod| left(ready_since(pod)??)).filter(|left| !left.is_zero()).min()
}

/// How a percentage is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Round {
    /// To the next larger count.
    Up,
    /// To the next smaller count.
    Down,
}

/// A count, or a percentage of `total`. Text that is no percentage counts as nothing, as validation refuses it.
pub fn scaled(value: Option<&IntOrString>, total: i32, round: Round) -> i32 {
    match value {
        None => 0,
        Some(IntOrString::Int(count)) => *count,
        Some(IntOrString::String(text)) => {
            let percent: i64 = text.strip_suffix('%').and_then(|digits| digits.parse().ok()).unwrap_or(0);
            let product = percent.saturating_mul(total.into());
            let count = match round {
                Round::Up => product.saturating_add(99).div_euclid(100),
                Round::Down => product.div_euclid(100),
            };
            i32::try_from(count).unwrap_or(i32::MAX)
        }
    }
}

/// `None` for nothing, as fields with `omitempty` are written.
pub fn nonzero(count: i32) -> Option<i32> {
    (count != 0).then_some(count)
}

/// The pod that a template describes, owned by its controller and yet without a name.
pub fn from_template(template: &PodTemplateSpec, owner: &Owner, namespace: &str) -> Pod {
    let meta = template.metadata.clone().unwrap_or_default();
    let prefix = match format!("{}-", owner.name) {
        dashed if dashed.len() > NAME_MAX => owner.name.clone(),
        dashed => dashed,
    };
    Pod {
        metadata: ObjectMeta {
            generate_name: Some(prefix),
            namespace: Some(namespace.to_owned()),
            labels: meta.labels,
            annotations: meta.annotations,
            finalizers: meta.finalizers,
            owner_references: Some(vec![owner.reference()]),
            ..ObjectMeta::default()
        },
        spec: template.spec.clone(),
        status: None,
    }
}
