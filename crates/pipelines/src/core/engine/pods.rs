//! Steps that have a pod, or are about to.

use std::collections::BTreeSet;

use super::{
    Run,
    event::{Effect, NodeId, Wake},
    node::{Node, Phase},
    sight::{self, Sight, Trouble, TroubleKind},
};
use crate::core::{
    task::{TaskError, TaskState},
    value::Values,
};

/// Attempts of one step that may be interrupted: more than a day of hourly restarts, and an end to a step that always is.
const INTERRUPTIONS: u32 = 30;
/// The longest time between two attempts to make a pod that a quota has no room for; the first is a second.
const LONGEST_DELAY_S: i64 = 5;

impl Run {
    fn attempt(&mut self, id: NodeId, attempt: u32) -> Option<&mut Node> {
        self.nodes.get_mut(&id).filter(|node| node.attempt == attempt)
    }

    /// The pod exists, or never will.
    pub(super) fn launched(&mut self, id: NodeId, attempt: u32, outcome: Result<(), TaskError>, now_ms: i64) {
        let Some(node) = self.attempt(id, attempt) else { return };
        let pod = node.pod_name.clone().unwrap_or_default();
        match (node.phase.clone(), outcome) {
            (Phase::Starting, Ok(())) => {
                node.phase = Phase::Active;
                if std::mem::take(&mut node.delays) > 0 {
                    node.error = None;
                    self.mark_lazily(id);
                }
            }
            (Phase::Stopping, Ok(())) => self.effects.push(Effect::Delete { node: id, attempt, pod }),
            (Phase::Starting, Err(error)) => {
                self.effects.push(Effect::Free { node: id });
                self.attempt_failed(id, error, now_ms);
            }
            (Phase::Stopping, Err(_)) => self.stopped(id, now_ms),
            (_, _) => {}
        }
    }

    /// There is no room for the pod: that is told, and it is asked for again. Others have its place meanwhile, who may be of
    /// a namespace that has room.
    pub(super) fn delayed(&mut self, id: NodeId, attempt: u32, error: TaskError, now_ms: i64) {
        let Some(node) = self.attempt(id, attempt) else { return };
        match node.phase {
            Phase::Starting => {
                node.delays = node.delays.saturating_add(1);
                let at_ms = now_ms.saturating_add(i64::from(node.delays).min(LONGEST_DELAY_S) * 1000);
                let is_news = node.error.as_ref() != Some(&error);
                node.error = Some(error);
                self.effects.push(Effect::Free { node: id });
                self.effects.push(Effect::Timer { at_ms, wake: Wake::Launch { node: id, attempt } });
                if is_news {
                    self.mark_lazily(id);
                }
            }
            Phase::Stopping => self.stopped(id, now_ms),
            _ => {}
        }
    }

    /// There may be room for the pod by now.
    fn due_launch(&mut self, id: NodeId, attempt: u32, now_ms: i64) {
        let Some(node) = self.attempt(id, attempt) else { return };
        match node.phase {
            Phase::Starting => {
                node.pod_name = None;
                self.want(id);
            }
            // Nothing was made that would have to go.
            Phase::Stopping => self.stopped(id, now_ms),
            _ => {}
        }
    }

    /// The launcher has begun.
    pub(super) fn begun(&mut self, id: NodeId, attempt: u32, work_root: Option<String>, now_ms: i64) {
        let Some(node) = self.attempt(id, attempt).filter(|node| node.has_pod()) else { return };
        // Where the directory is must be known when the report comes, to whichever process.
        let is_news = work_root.is_some() && node.work_root != work_root;
        if is_news {
            node.work_root = work_root;
        }
        self.is_running(id, now_ms);
        if is_news {
            self.mark(id);
        }
    }

    fn is_running(&mut self, id: NodeId, now_ms: i64) {
        let Some(node) = self.nodes.get_mut(&id).filter(|node| node.state == TaskState::Pending) else { return };
        node.state = TaskState::Running;
        node.started_ms = Some(now_ms);
        node.error = None;
        node.troubled = false;
        self.mark_lazily(id);
    }

    /// The launcher has reported.
    pub(super) fn finished(
        &mut self,
        id: NodeId,
        attempt: u32,
        outcome: Result<Values, TaskError>,
        uploaded: &BTreeSet<String>,
        now_ms: i64,
    ) {
        let Some(node) = self.attempt(id, attempt).filter(|node| node.has_pod()) else { return };
        node.started_ms.get_or_insert(now_ms);
        let task_id = node.task_id.clone();
        self.commit.guards.push((task_id, attempt));
        self.effects.push(Effect::Free { node: id });
        match outcome {
            Ok(outputs) => self.succeed(id, outputs, uploaded, now_ms),
            Err(error) => self.attempt_failed(id, error, now_ms),
        }
    }

    /// The pod of an attempt looks so.
    pub(super) fn seen(&mut self, id: NodeId, attempt: u32, sight: Sight, now_ms: i64) {
        let Some(node) = self.attempt(id, attempt) else { return };
        match node.phase {
            Phase::Starting | Phase::Active => self.seen_active(id, attempt, sight, now_ms),
            Phase::Stopping => {
                if matches!(sight, Sight::Gone | Sight::Failed(_) | Sight::Succeeded) {
                    self.stopped(id, now_ms);
                }
            }
            Phase::Waiting
            | Phase::Looking
            | Phase::Flight
            | Phase::Queued
            | Phase::Tailing(_)
            | Phase::Acting
            | Phase::BackOff
            | Phase::Done => {}
        }
    }

    fn seen_active(&mut self, id: NodeId, attempt: u32, sight: Sight, now_ms: i64) {
        match sight {
            Sight::Waiting(None) => {}
            Sight::Waiting(Some(trouble)) => self.is_troubled(id, attempt, trouble, now_ms),
            Sight::Running => self.is_running(id, now_ms),
            Sight::Failed(error) if error.reason == sight::INTERRUPTED => self.interrupted(id, error, now_ms),
            Sight::Failed(error) => self.tail(id, attempt, error),
            Sight::Succeeded => {
                let message = "the pod has ended well, yet its launcher has reported nothing; does its image or a \
                               mutating webhook replace the command?";
                self.tail(id, attempt, error("NoReport", message));
            }
            Sight::Gone => {
                self.effects.push(Effect::Free { node: id });
                let message = "the pod is gone before its launcher had reported: it was deleted, or its node was lost";
                self.attempt_failed(id, error("PodLost", message), now_ms);
            }
        }
    }

    /// Begins a step anew whose node was stopped under it; that counts as no retry, for it says nothing of the step.
    fn interrupted(&mut self, id: NodeId, error: TaskError, now_ms: i64) {
        self.effects.push(Effect::Free { node: id });
        let is_stopping = self.stopping.is_some();
        let Some(node) = self.nodes.get_mut(&id) else { return };
        if is_stopping || node.first_attempt >= INTERRUPTIONS {
            return self.attempt_failed(id, error, now_ms);
        }
        node.attempt += 1;
        node.first_attempt += 1;
        node.error = Some(error);
        node.state = TaskState::Pending;
        node.pod_name = None;
        node.phase = Phase::BackOff;
        let attempt = node.attempt;
        self.mark(id);
        self.due_retry(id, attempt);
    }

    fn tail(&mut self, id: NodeId, attempt: u32, error: TaskError) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let pod = node.pod_name.clone().unwrap_or_default();
        node.phase = Phase::Tailing(error);
        self.effects.push(Effect::Free { node: id });
        self.effects.push(Effect::Tail { node: id, attempt, pod });
    }

    /// What a failed pod has printed is known.
    pub(super) fn tailed(&mut self, id: NodeId, attempt: u32, lines: &str, now_ms: i64) {
        let Some(node) = self.attempt(id, attempt) else { return };
        let Phase::Tailing(mut error) = node.phase.clone() else { return };
        if !lines.is_empty() {
            error.message = format!("{}\n{lines}", error.message);
        }
        self.attempt_failed(id, error, now_ms);
    }

    /// Something keeps a pod from starting: that is told while it lasts, and not endured forever.
    fn is_troubled(&mut self, id: NodeId, attempt: u32, trouble: Trouble, now_ms: i64) {
        let patience_ms = self.limits.patience_ms;
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let told = error(&trouble.reason, &trouble.message);
        if trouble.kind == TroubleKind::Lasting {
            return self.give_up(id, told, now_ms);
        }
        if node.error.as_ref() != Some(&told) {
            node.error = Some(told);
            self.mark_lazily(id);
        }
        let Some(node) = self.nodes.get_mut(&id) else { return };
        if trouble.kind == TroubleKind::Passing && !node.troubled {
            node.troubled = true;
            let at_ms = now_ms.saturating_add_unsigned(patience_ms);
            self.effects.push(Effect::Timer { at_ms, wake: Wake::Trouble { node: id, attempt } });
        }
    }

    /// Deletes a pod that does not start, and ends the attempt.
    fn give_up(&mut self, id: NodeId, error: TaskError, now_ms: i64) {
        let Some(node) = self.nodes.get(&id) else { return };
        let pod = node.pod_name.clone().unwrap_or_default();
        self.effects.push(Effect::Delete { node: id, attempt: node.attempt, pod });
        self.effects.push(Effect::Free { node: id });
        self.attempt_failed(id, error, now_ms);
    }

    /// A timer is due.
    pub(super) fn due(&mut self, wake: Wake, now_ms: i64) {
        match wake {
            Wake::Retry { node, attempt } => self.due_retry(node, attempt),
            Wake::Launch { node, attempt } => self.due_launch(node, attempt, now_ms),
            Wake::Deadline => self.overdue(now_ms),
            Wake::Trouble { node: id, attempt } => {
                let patience_s = self.limits.patience_ms / 1000;
                let node = self.attempt(id, attempt);
                let is_stuck = |node: &&mut Node| node.troubled && node.phase == Phase::Active;
                let Some(mut error) = node.filter(is_stuck).and_then(|node| node.error.clone()) else { return };
                error.message = format!("{} (for {patience_s} s)", error.message);
                self.give_up(id, error, now_ms);
            }
        }
    }
}

impl Node {
    /// Whether an attempt is under way whose launcher may report.
    pub(super) fn has_pod(&self) -> bool {
        matches!(self.phase, Phase::Starting | Phase::Active)
    }
}

fn error(reason: &str, message: &str) -> TaskError {
    TaskError { reason: reason.to_owned(), message: message.to_owned(), exit_code: None }
}
