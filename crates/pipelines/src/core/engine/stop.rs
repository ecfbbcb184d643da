//! Runs that are ended before their time: by a user, or since they take too long.
//!
//! What has not started is canceled at once. Pods are deleted, and the run has ended when they are gone. Exit handlers
//! do not run: whoever terminates a run wants nothing more of it to start.

use super::{
    Run,
    event::{Effect, NodeId},
    node::{Body, Phase},
};
use crate::core::{
    run::RunState,
    task::{TaskError, TaskState},
};

impl Run {
    /// Ends the run for a user.
    pub(super) fn terminate(&mut self, now_ms: i64) {
        self.stop("Terminated", "the run was terminated".to_owned(), now_ms);
    }

    /// Ends the run since its time is up.
    pub(super) fn overdue(&mut self, now_ms: i64) {
        let limit = self.pipeline.platform.deadline_s.unwrap_or_default();
        self.stop("DeadlineExceeded", format!("the run took longer than its activeDeadlineSeconds, {limit}"), now_ms);
    }

    fn stop(&mut self, reason: &str, message: String, now_ms: i64) {
        if self.stopping.is_some() || self.standing.state.is_final() {
            return;
        }
        let error = TaskError { reason: reason.to_owned(), message, exit_code: None };
        self.stopping = Some(error.clone());
        self.standing.error = Some(error);
        self.enter_state(RunState::Canceling, now_ms);
        self.stop_all(now_ms);
    }

    /// Stops everything that is not final.
    pub(super) fn stop_all(&mut self, now_ms: i64) {
        let mut open: Vec<NodeId> =
            self.nodes.iter().filter(|(_, node)| node.phase != Phase::Done).map(|(id, _)| *id).collect();
        open.sort_unstable();
        for id in open {
            self.stop_one(id, now_ms);
        }
    }

    fn stop_one(&mut self, id: NodeId, now_ms: i64) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let (pod, attempt) = (node.pod_name.clone().unwrap_or_default(), node.attempt);
        match node.phase {
            // A group ends with its last child, a loop with its last iteration.
            Phase::Waiting if !matches!(node.body, Body::Leaf) => {}
            Phase::Waiting | Phase::Acting | Phase::BackOff => self.settle(id, TaskState::Canceled, now_ms),
            Phase::Looking | Phase::Flight => {
                self.land(id);
                self.settle(id, TaskState::Canceled, now_ms);
            }
            Phase::Queued => {
                self.effects.push(Effect::Unwant { node: id });
                self.land(id);
                self.settle(id, TaskState::Canceled, now_ms);
            }
            // The pod is deleted when it is there; before, a deletion would find nothing.
            Phase::Starting => node.phase = Phase::Stopping,
            Phase::Active => {
                node.phase = Phase::Stopping;
                self.effects.push(Effect::Delete { node: id, attempt, pod });
            }
            // It has failed already, and would be retried or not.
            Phase::Tailing(_) => {
                self.land(id);
                self.settle(id, TaskState::Canceled, now_ms);
            }
            Phase::Stopping | Phase::Done => {}
        }
    }

    /// The pod of a step that was stopped is gone.
    pub(super) fn stopped(&mut self, id: NodeId, now_ms: i64) {
        self.effects.push(Effect::Free { node: id });
        self.land(id);
        if let Some(node) = self.nodes.get_mut(&id) {
            node.error.clone_from(&self.stopping);
        }
        self.settle(id, TaskState::Canceled, now_ms);
    }
}
