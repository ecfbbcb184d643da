//! A task of a run in memory.

use std::sync::Arc;

use super::event::NodeId;
use crate::core::{
    resolve::Item,
    task::{CacheNote, TaskError, TaskKind, TaskRow, TaskState},
    value::Values,
};

/// What a task waits for, while it is not final.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Phase {
    /// For other tasks; or, of a group, for its own.
    Waiting,
    /// For the cache's answer.
    Looking,
    /// For an identical step.
    Flight,
    /// For a place.
    Queued,
    /// For its pod to be made: the intent is recorded.
    Starting,
    /// For its pod.
    Active,
    /// For the last lines of a pod that has failed so.
    Tailing(TaskError),
    /// For the engine's own doing.
    Acting,
    /// For the time of its next attempt.
    BackOff,
    /// For its pod to be made, then to be deleted, then to be gone: the run is canceled.
    Stopping,
    /// For nothing.
    Done,
}

/// A task with those that it is waited for by.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) task_id: String,
    pub(super) parent: Option<NodeId>,
    pub(super) path: String,
    pub(super) key: String,
    pub(super) display_name: String,
    /// The DAG that its task stands in: a component's name, or empty for the root's. `None` for the root itself.
    pub(super) dag: Option<Arc<str>>,
    /// The task's key there; of an iteration that of its loop.
    pub(super) task: String,
    /// What it runs: a component's name, or empty for the root.
    pub(super) component: Arc<str>,
    /// Its place among the children of its parent.
    pub(super) slot: usize,
    pub(super) kind: TaskKind,
    pub(super) iteration: Option<u32>,
    pub(super) state: TaskState,
    pub(super) phase: Phase,
    pub(super) attempt: u32,
    pub(super) first_attempt: u32,
    pub(super) pod_name: Option<String>,
    pub(super) work_root: Option<String>,
    pub(super) created_ms: i64,
    pub(super) started_ms: Option<i64>,
    pub(super) ended_ms: Option<i64>,
    pub(super) error: Option<TaskError>,
    pub(super) inputs: Values,
    pub(super) outputs: Values,
    pub(super) cache: CacheNote,
    /// When its next attempt may begin, in [`Phase::BackOff`].
    pub(super) due_ms: Option<i64>,
    pub(super) body: Body,
    /// Since when its pod has been kept from starting by something that may pass.
    pub(super) troubled: bool,
    /// How often its attempt has found no room in a quota.
    pub(super) delays: u32,
}

/// What a task consists of.
#[derive(Clone, Debug)]
pub(super) enum Body {
    /// Nothing in memory: a step, or a group that has not been opened.
    Leaf,
    Group(Group),
    Loop(Loop),
}

/// An open DAG.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// By slot, which is the order of keys.
    pub(super) children: Vec<NodeId>,
    /// By slot: how many that it depends on are not final.
    pub(super) waits: Vec<u32>,
    /// Children that are not final.
    pub(super) open: usize,
    /// Why it will fail: the first failure of a child.
    pub(super) failure: Option<TaskError>,
}

/// An open loop.
#[derive(Clone, Debug)]
pub(super) struct Loop {
    pub(super) items: Vec<Item>,
    /// The first iteration that has not been made.
    pub(super) next: usize,
    /// Iterations that were made and are not final.
    pub(super) active: usize,
    /// Iterations at a time.
    pub(super) limit: usize,
    /// By iteration: its outputs, once it has succeeded.
    pub(super) outputs: Vec<Option<Values>>,
    pub(super) failure: Option<TaskError>,
}

impl Node {
    /// Whether it has not begun in any way: it is not open, and no step under way.
    pub(super) fn is_waiting(&self) -> bool {
        self.phase == Phase::Waiting && self.state == TaskState::Pending
    }

    /// The row of it.
    pub(super) fn row(&self, run_id: &str, parent_id: Option<String>) -> TaskRow {
        let iteration_count = match &self.body {
            Body::Loop(inner) => u32::try_from(inner.items.len()).ok(),
            Body::Leaf | Body::Group(_) => None,
        };
        TaskRow {
            run_id: run_id.to_owned(),
            task_id: self.task_id.clone(),
            parent_id,
            path: self.path.clone(),
            key: self.key.clone(),
            display_name: self.display_name.clone(),
            kind: self.kind,
            iteration: self.iteration,
            iteration_count,
            state: self.state,
            attempt: self.attempt,
            first_attempt: self.first_attempt,
            pod_name: self.pod_name.clone(),
            work_root: self.work_root.clone(),
            created_ms: self.created_ms,
            started_ms: self.started_ms,
            ended_ms: self.ended_ms,
            error: self.error.clone(),
            inputs: self.inputs.clone(),
            outputs: self.outputs.clone(),
            cache: self.cache.clone(),
            due_ms: self.due_ms,
        }
    }

    /// Takes over what a row says of a task that is about to be gone on with.
    pub(super) fn resume(&mut self, row: &TaskRow) {
        self.state = row.state;
        self.attempt = row.attempt;
        self.first_attempt = row.first_attempt;
        self.pod_name.clone_from(&row.pod_name);
        self.work_root.clone_from(&row.work_root);
        self.created_ms = row.created_ms;
        self.started_ms = row.started_ms;
        self.ended_ms = row.ended_ms;
        self.error.clone_from(&row.error);
        self.inputs.clone_from(&row.inputs);
        self.outputs.clone_from(&row.outputs);
        self.cache.clone_from(&row.cache);
        self.due_ms = row.due_ms;
        if row.state.is_final() {
            self.phase = Phase::Done;
        }
    }
}
