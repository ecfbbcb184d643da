//! How many pods a job that is not over should have, which surplus ones go and which new ones come.
//! In one pass pods are either deleted or created, never both.

use std::time::Duration;

use jiff::Timestamp;

use super::backoff::Backoff;
use super::build::{self, Slot};
use super::intervals::Indexes;
use super::policy::FailureAction;
use super::snapshot::{Snapshot, Tally, View, as_count};
use super::{Deletion, MAX_POD_CHANGES, Plan, PodRef, pods};

/// Adds pods to create or delete to the plan, and their effect to the tally.
pub(super) fn manage(snapshot: &Snapshot, now: Timestamp, tally: &mut Tally, plan: &mut Plan) {
    let wanted = if snapshot.suspended() { 0 } else { wanted_active(snapshot) };
    let surplus = usize::try_from(tally.active - wanted).unwrap_or(0);
    let mut doomed = surplus_pods(snapshot, surplus);
    if !snapshot.suspended() {
        doomed.truncate(MAX_POD_CHANGES);
    }
    if !doomed.is_empty() || snapshot.suspended() {
        for view in &doomed {
            plan.delete.push(Deletion { pod: PodRef::of(view.pod), untrack: true });
            tally.ready -= i32::from(pods::is_ready(view.pod));
        }
        tally.active -= as_count(doomed.len());
        tally.terminating += as_count(doomed.len());
        return;
    }
    let leaving = if pods::replaces_failed_only(snapshot.job) { tally.terminating } else { 0 };
    let missing = usize::try_from(wanted - leaving - tally.active).unwrap_or(0).min(MAX_POD_CHANGES);
    if missing > 0 {
        create(snapshot, missing, now, plan);
        tally.active += as_count(plan.create.len());
    }
}

fn wanted_active(snapshot: &Snapshot) -> i32 {
    match snapshot.spec.completions {
        // Any success completes such a job: what runs may finish, nothing new starts.
        None if snapshot.succeeded > 0 => snapshot.tally.active,
        None => snapshot.parallelism(),
        Some(completions) => (completions - snapshot.succeeded).min(snapshot.parallelism()).max(0),
    }
}

/// At least `at_least` active pods to delete. Of an Indexed job, all pods without a valid index and
/// all but one of each index go as well.
fn surplus_pods<'s, 'a>(snapshot: &'s Snapshot<'a>, at_least: usize) -> Vec<&'s View<'a>> {
    let mut candidates: Vec<&View> = snapshot.pods.iter().filter(|view| view.active).collect();
    candidates.sort_by(|left, right| pods::deletion_order(left.pod, right.pod));
    if !snapshot.indexed {
        candidates.truncate(at_least);
        return candidates;
    }
    // The best pod of an index stands last in deletion order; it is the one to keep.
    let is_spare = |position: usize| {
        let view: &View = candidates[position];
        view.index.is_none() || candidates[position + 1..].iter().any(|other| other.index == view.index)
    };
    let (spare, kept): (Vec<usize>, Vec<usize>) = (0..candidates.len()).partition(|position| is_spare(*position));
    let more = at_least.saturating_sub(spare.len());
    spare.into_iter().chain(kept.into_iter().take(more)).map(|position| candidates[position]).collect()
}

fn create(snapshot: &Snapshot, missing: usize, now: Timestamp, plan: &mut Plan) {
    let per_index = snapshot.spec.backoff_limit_per_index.is_some();
    if !per_index {
        let wait = snapshot.backoff.remaining(now);
        if wait > Duration::ZERO {
            return look_again(plan, wait);
        }
    }
    if !snapshot.indexed {
        plan.create = (0..missing).map(|_| build::pod(snapshot.job, snapshot.spec, None)).collect();
        return;
    }
    let mut shortest: Option<Duration> = None;
    for index in pending_indexes(snapshot, missing) {
        let replaced = snapshot.awaiting_replacement.get(&index).copied();
        let wait = if per_index { Backoff::of_index(replaced).remaining(now) } else { Duration::ZERO };
        if wait > Duration::ZERO {
            shortest = Some(shortest.map_or(wait, |other| other.min(wait)));
            continue;
        }
        let failures = per_index.then(|| inherited_failures(snapshot, replaced));
        plan.create.push(build::pod(snapshot.job, snapshot.spec, Some(Slot { index, failures })));
    }
    if let Some(wait) = shortest {
        look_again(plan, wait);
    }
}

fn look_again(plan: &mut Plan, wait: Duration) {
    plan.again = Some(plan.again.map_or(wait, |other| other.min(wait)));
}

/// The first indexes that neither succeeded, failed for good, nor have a pod.
fn pending_indexes(snapshot: &Snapshot, count: usize) -> Vec<usize> {
    let waits_for_terminating = pods::replaces_failed_only(snapshot.job);
    let leaving = snapshot.pods.iter().filter(|view| waits_for_terminating && view.terminating);
    let held = Indexes::of(snapshot.active_indexes().chain(leaving.filter_map(|view| view.index)));
    let failed = snapshot.failed_indexes.clone().unwrap_or_default();
    held.union(&snapshot.completed).union(&failed).missing(count, snapshot.completions())
}

/// Counted and ignored failures that the replacement of a pod starts with.
fn inherited_failures(snapshot: &Snapshot, replaced: Option<&k8s_openapi::api::core::v1::Pod>) -> (i32, i32) {
    let Some(pod) = replaced else { return (0, 0) };
    let counted = pods::annotated_count(pod, pods::INDEX_FAILURE_COUNT);
    let ignored = pods::annotated_count(pod, pods::INDEX_IGNORED_FAILURE_COUNT);
    match snapshot.action(pod) {
        FailureAction::Ignore => (counted, ignored.saturating_add(1)),
        _ => (counted.saturating_add(1), ignored),
    }
}
