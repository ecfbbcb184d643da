//! The sizes of a deployment's replica sets in one pass: rolling, recreating, or scaling in proportion.

use std::cmp::Reverse;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;

use super::Subject;
use super::sets::{Sets, available, desired, grown, maximum, size, status};
use crate::core::workload::{claim, pods};

/// Moves pods to the new set by the deployment's strategy.
pub fn roll(subject: &Subject, sets: &mut Sets, pods: &[Arc<Pod>]) {
    if subject.is_rolling() {
        rolling(subject, sets);
    } else {
        recreate(subject, sets, pods);
    }
}

/// One step of a rolling update: the new set grows if it may, else the old ones shrink.
fn rolling(subject: &Subject, sets: &mut Sets) {
    let Some(new) = sets.new_index() else { return };
    let current = sets.get(new).map_or(0, size);
    let target = match current.cmp(&subject.replicas) {
        std::cmp::Ordering::Equal => current,
        std::cmp::Ordering::Greater => subject.replicas,
        std::cmp::Ordering::Less => grown(subject, sets.total(), current),
    };
    if !sets.resize(subject, new, target) {
        shrink_old(subject, sets);
    }
}

/// Available pods that the set may keep: a status may lag behind a size that was just lowered, and a pod that is asked to
/// go is not counted on.
fn kept(set: &ReplicaSet) -> i32 {
    available(set).min(size(set))
}

fn shrink_old(subject: &Subject, sets: &mut Sets) {
    let old: Vec<usize> =
        sets.old().into_iter().filter(|index| sets.get(*index).is_some_and(|set| size(set) > 0)).collect();
    let (new_size, new_available) = sets.new_set().map_or((0, 0), |set| (size(set), kept(set)));
    let min_available = subject.replicas - subject.max_unavailable();
    let spare = sets.total() - min_available - (new_size - new_available);
    if old.is_empty() || spare <= 0 {
        return;
    }
    drop_unhealthy(subject, sets, &old, spare);
    let old_available: i32 = old.iter().filter_map(|index| sets.get(*index)).map(kept).sum();
    let mut left = old_available + new_available - min_available;
    for index in old {
        let current = sets.get(index).map_or(0, size);
        if left <= 0 {
            return;
        }
        let step = current.min(left);
        sets.resize(subject, index, current - step);
        left -= step;
    }
}

/// Pods of old sets that are not available go first: they cost nothing.
fn drop_unhealthy(subject: &Subject, sets: &mut Sets, old: &[usize], most: i32) {
    let mut left = most;
    for index in old {
        let Some((current, healthy)) = sets.get(*index).map(|set| (size(set), kept(set))) else { continue };
        if left <= 0 {
            return;
        }
        let step = (current - healthy).min(left);
        if current > 0 && step > 0 {
            sets.resize(subject, *index, current - step);
            left -= step;
        }
    }
}

/// Whether all pods of old sets are gone, so that the new set may be created.
pub fn recreate_is_clear(sets: &Sets, pods: &[Arc<Pod>]) -> bool {
    let asked: i32 = sets.old_sets().map(size).sum();
    let counted: i32 = sets.old_sets().map(|set| status(set).replicas).sum();
    asked == 0 && counted == 0 && !old_pods_run(sets, pods)
}

fn old_pods_run(sets: &Sets, pods: &[Arc<Pod>]) -> bool {
    let new = sets.new_set().map(|set| pods::uid(&set.metadata)).unwrap_or_default();
    let is_ours = |uid: &str| sets.old_sets().any(|set| pods::uid(&set.metadata) == uid);
    let old = pods
        .iter()
        .filter(|pod| claim::controller_of(&pod.metadata).is_some_and(|owner| owner.uid != new && is_ours(&owner.uid)));
    old.into_iter().any(|pod| !pods::is_finished(pod))
}

fn recreate(subject: &Subject, sets: &mut Sets, pods: &[Arc<Pod>]) {
    let mut shrunk = false;
    for index in sets.old() {
        shrunk |= sets.resize(subject, index, 0);
    }
    if shrunk || !recreate_is_clear(sets, pods) {
        return;
    }
    if let Some(new) = sets.new_index() {
        sets.resize(subject, new, subject.replicas);
    }
}

/// Scales without rolling: the one set that is active, or all of them in proportion to their sizes.
pub fn scale(subject: &Subject, sets: &mut Sets) {
    if let Some(index) = active_or_latest(sets) {
        sets.resize(subject, index, subject.replicas);
        return;
    }
    if is_saturated(subject, sets) {
        for index in sets.old() {
            if sets.get(index).is_some_and(|set| size(set) > 0) {
                sets.resize(subject, index, 0);
            }
        }
        return;
    }
    if subject.is_rolling() {
        scale_in_proportion(subject, sets);
    }
}

/// The only set with pods; without any, the new one or else the youngest. `None` when several have pods.
fn active_or_latest(sets: &Sets) -> Option<usize> {
    match sets.active().as_slice() {
        [] => sets.new_index().or_else(|| sets.old().last().copied()),
        [only] => Some(*only),
        _ => None,
    }
}

fn is_saturated(subject: &Subject, sets: &Sets) -> bool {
    sets.new_set().is_some_and(|set| {
        size(set) == subject.replicas && desired(set) == Some(subject.replicas) && available(set) == subject.replicas
    })
}

fn scale_in_proportion(subject: &Subject, sets: &mut Sets) {
    let mut active = sets.active();
    let total: i32 = active.iter().filter_map(|index| sets.get(*index)).map(size).sum();
    let allowed = if subject.replicas > 0 { subject.replicas + subject.max_surge() } else { 0 };
    let to_add = allowed - total;
    // Largest first; of equals the newer gets more when growing, the older loses more when shrinking. Positions are
    // by age.
    let count = |index: usize| sets.get(index).map_or(0, size);
    match to_add.cmp(&0) {
        std::cmp::Ordering::Greater => active.sort_by_key(|index| (Reverse(count(*index)), Reverse(*index))),
        std::cmp::Ordering::Less => active.sort_by_key(|index| (Reverse(count(*index)), *index)),
        std::cmp::Ordering::Equal => {}
    }
    let mut added = 0;
    let mut targets: Vec<(usize, i32)> = Vec::new();
    for index in active {
        let share = proportion(subject, sets, index, to_add, added);
        targets.push((index, count(index) + share));
        added += share;
    }
    if let Some((_, first)) = targets.first_mut()
        && to_add != 0
    {
        *first = (*first + to_add - added).max(0);
    }
    for (index, target) in targets {
        sets.resize_and_mark(subject, index, target);
    }
}

fn proportion(subject: &Subject, sets: &Sets, index: usize, to_add: i32, added: i32) -> i32 {
    let Some(set) = sets.get(index) else { return 0 };
    if size(set) == 0 || to_add == 0 || to_add == added {
        return 0;
    }
    let fraction = fraction(subject, sets, index);
    if to_add > 0 { fraction.min(to_add - added) } else { fraction.max(to_add - added) }
}

/// How much a set would grow if it kept its share of the deployment.
fn fraction(subject: &Subject, sets: &Sets, index: usize) -> i32 {
    let Some(set) = sets.get(index) else { return 0 };
    if subject.replicas == 0 {
        return -size(set);
    }
    let recorded = maximum(set).filter(|count| *count != 0);
    let reported = subject.deployment.status.as_ref().and_then(|status| status.replicas).filter(|count| *count != 0);
    let Some(before) = recorded.or(reported) else { return 0 };
    let most = i64::from(subject.replicas + subject.max_surge());
    let scaled = rounded_quotient(i64::from(size(set)) * most, before.into());
    i32::try_from(scaled).unwrap_or(i32::MAX) - size(set)
}

/// The quotient of two counts, halves rounded up.
fn rounded_quotient(dividend: i64, divisor: i64) -> i64 {
    (2 * dividend + divisor).div_euclid(2 * divisor)
}
