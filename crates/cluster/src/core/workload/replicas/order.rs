//! Which pods a scale-down takes first.
//!
//! The order of upstream `ActivePodsWithRanks`: unassigned before assigned, pending before running, not ready before
//! ready, cheaper before dearer (`controller.kubernetes.io/pod-deletion-cost`), crowded nodes before empty ones, ready
//! for a shorter time before longer, more restarts before fewer, younger before older; ages compare by their
//! logarithm, and the uid decides between equals.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use crate::core::workload::pods;

/// The annotation that makes a pod dearer or cheaper to delete.
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

struct Ranked<'a> {
    pod: &'a Arc<Pod>,
    neighbours: usize,
}

/// The `count` pods that go first.
pub fn first_to_go(mine: &[Arc<Pod>], related: &[Arc<Pod>], count: usize, now: Timestamp) -> Vec<Arc<Pod>> {
    let mut crowd: BTreeMap<&str, usize> = BTreeMap::new();
    for pod in related.iter().filter(|pod| pods::is_active(pod)) {
        *crowd.entry(pods::node_name(pod)).or_default() += 1;
    }
    let neighbours = |pod: &Pod| crowd.get(pods::node_name(pod)).copied().unwrap_or(0);
    let mut ranked: Vec<Ranked> = mine.iter().map(|pod| Ranked { pod, neighbours: neighbours(pod) }).collect();
    ranked.sort_by(|one, other| compare(one, other, now));
    ranked.into_iter().take(count).map(|one| one.pod.clone()).collect()
}

fn compare(one: &Ranked, other: &Ranked, now: Timestamp) -> Ordering {
    let (left, right) = (one.pod.as_ref(), other.pod.as_ref());
    let assigned = |pod: &Pod| !pods::node_name(pod).is_empty();
    assigned(left)
        .cmp(&assigned(right))
        .then_with(|| phase_rank(left).cmp(&phase_rank(right)))
        .then_with(|| pods::is_ready(left).cmp(&pods::is_ready(right)))
        .then_with(|| deletion_cost(left).cmp(&deletion_cost(right)))
        .then_with(|| other.neighbours.cmp(&one.neighbours))
        .then_with(|| ready_age(left, now).cmp(&ready_age(right, now)))
        .then_with(|| restarts(right).cmp(&restarts(left)))
        .then_with(|| creation_age(left, now).cmp(&creation_age(right, now)))
        .then_with(|| left.metadata.uid.cmp(&right.metadata.uid))
}

fn phase_rank(pod: &Pod) -> u8 {
    match pods::phase(pod) {
        "Unknown" => 1,
        "Running" => 2,
        _ => 0,
    }
}

fn deletion_cost(pod: &Pod) -> i32 {
    let annotations = pod.metadata.annotations.as_ref();
    annotations.and_then(|all| all.get(DELETION_COST)).and_then(|cost| cost.parse().ok()).unwrap_or(0)
}

fn restarts(pod: &Pod) -> (i32, i32) {
    let regular = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    let sidecars: Vec<&str> = pod
        .spec
        .iter()
        .flat_map(|spec| spec.init_containers.iter().flatten())
        .filter(|container| container.restart_policy.as_deref() == Some("Always"))
        .map(|container| container.name.as_str())
        .collect();
    let init = pod.status.iter().flat_map(|status| status.init_container_statuses.iter().flatten());
    let sidecar = init.filter(|status| sidecars.contains(&status.name.as_str()));
    let most = |counts: &mut dyn Iterator<Item = i32>| counts.max().unwrap_or(0);
    (most(&mut regular.map(|one| one.restart_count)), most(&mut sidecar.map(|one| one.restart_count)))
}

/// How old a time is, in powers of two of a nanosecond, so that of two pods of about the same age it is not always the
/// newer that goes. A time that is not known counts as younger than all.
fn age(time: Option<Timestamp>, now: Timestamp) -> i64 {
    match time.map(|time| now.duration_since(time).as_nanos()) {
        None => -2,
        Some(nanos) if nanos > 0 => i64::from(nanos.ilog2()),
        Some(_) => -1,
    }
}

fn ready_age(pod: &Pod, now: Timestamp) -> i64 {
    age(pods::ready_since(pod).flatten(), now)
}

fn creation_age(pod: &Pod, now: Timestamp) -> i64 {
    age(pod.metadata.creation_timestamp.as_ref().map(|time| time.0), now)
}
