//! The counters of a job's status: which terminated pods enter the list of uncounted ones, which
//! leave it for a counter, and which may lose their finalizer once the status is written.

use k8s_openapi::api::batch::v1::{JobStatus, UncountedTerminatedPods};

use super::conditions::Verdict;
use super::intervals::Indexes;
use super::policy::FailureAction;
use super::snapshot::{Snapshot, View, as_count};
use super::{MAX_UNCOUNTED, Plan, PodRef};

/// Whether more pods wait than one status may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    Reached,
    Free,
}

/// Updates the counters of `status` and lists the pods to let go.
pub(super) fn count(snapshot: &Snapshot, verdict: &Verdict, status: &mut JobStatus, plan: &mut Plan) -> Limit {
    let mut uncounted = status.uncounted_terminated_pods.take().unwrap_or_default();
    fold(snapshot, status, &mut uncounted);
    let mut completed = Vec::new();
    let mut limit = Limit::Free;
    for view in snapshot.pods.iter().filter(|view| view.tracked && may_release(snapshot, verdict, view)) {
        // A pod that is deleted without being counted loses its finalizer there.
        if plan.delete.iter().any(|deletion| deletion.untrack && deletion.pod.uid == view.uid) {
            continue;
        }
        plan.untrack.push(PodRef::of(view.pod));
        if view.succeeded && !snapshot.uncounted_failed.contains(view.uid) {
            match view.index {
                Some(index) if !snapshot.completed_before.has(index) => completed.push(index),
                Some(_) => {}
                None if snapshot.indexed => {}
                None => enter(&mut uncounted.succeeded, view.uid),
            }
        } else if counts_as_failure(snapshot, verdict, view) {
            enter(&mut uncounted.failed, view.uid);
        }
        let waiting = uncounted.succeeded.iter().flatten().count() + uncounted.failed.iter().flatten().count();
        if completed.len() + waiting >= MAX_UNCOUNTED {
            limit = Limit::Reached;
            break;
        }
    }
    if snapshot.indexed {
        let all = snapshot.completed_before.union(&Indexes::of(completed));
        status.succeeded = (all.total() > 0).then(|| as_count(all.total()));
        status.completed_indexes = (!all.is_empty()).then(|| all.to_string());
        status.failed_indexes = snapshot.failed_indexes.as_ref().map(Indexes::to_string);
    }
    status.uncounted_terminated_pods = Some(uncounted);
    limit
}

/// Moves UIDs whose pods have no finalizer any more into the counters.
fn fold(snapshot: &Snapshot, status: &mut JobStatus, uncounted: &mut UncountedTerminatedPods) {
    let still_held = |uid: &str| snapshot.pods.iter().any(|view| view.tracked && view.uid == uid);
    let fold_one = |uids: &mut Option<Vec<String>>, counter: &mut Option<i32>| {
        let Some(list) = uids else { return };
        let before = list.len();
        list.retain(|uid| still_held(uid));
        let moved = as_count(before - list.len());
        if moved > 0 {
            *counter = Some(counter.unwrap_or(0).saturating_add(moved));
        }
        if list.is_empty() {
            *uids = None;
        }
    };
    fold_one(&mut uncounted.succeeded, &mut status.succeeded);
    fold_one(&mut uncounted.failed, &mut status.failed);
}

fn enter(uids: &mut Option<Vec<String>>, uid: &str) {
    let list = uids.get_or_insert_default();
    if !list.iter().any(|known| known == uid) {
        list.push(uid.to_owned());
    }
}

/// Whether nothing speaks against removing the pod's finalizer in this pass.
fn may_release(snapshot: &Snapshot, verdict: &Verdict, view: &View) -> bool {
    if snapshot.job.metadata.deletion_timestamp.is_some() || verdict.is_over() || view.succeeded {
        return true;
    }
    // A failed pod whose replacement is to inherit its counts stays until the replacement is there.
    let awaited = view.index.and_then(|index| snapshot.awaiting_replacement.get(&index));
    view.failed && awaited.is_none_or(|pod| pod.metadata.uid.as_deref() != Some(view.uid))
}

fn counts_as_failure(snapshot: &Snapshot, verdict: &Verdict, view: &View) -> bool {
    // Once a job fails, every pod that has not ended counts as failed.
    let failed = view.failed || matches!(verdict, Verdict::Failing { .. });
    failed && (!snapshot.indexed || view.index.is_some()) && snapshot.action(view.pod) != FailureAction::Ignore
}
