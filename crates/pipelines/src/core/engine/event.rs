//! What a run is told, what it asks for, and what it wants recorded.

use std::collections::BTreeSet;

use super::sight::Sight;
use crate::core::{
    run::{RunState, StateChange},
    task::{TaskError, TaskRow},
    value::{Artifact, Values},
};

/// Names a task of a run while it is in memory. A number is never used twice, nor by a run that is read anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u64);

/// What a run is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// What the cache says ([`Effect::Look`]).
    Looked { node: NodeId, found: Found },
    /// The identical step that the node waits for has ended.
    Landed { node: NodeId },
    /// The node has a place for its pod ([`Effect::Want`]).
    Placed { node: NodeId },
    /// The pod exists ([`Effect::Launch`]), or never will.
    Launched { node: NodeId, attempt: u32, outcome: Result<(), TaskError> },
    /// A quota has no room for the pod now, as the cluster says; nothing was made.
    Delayed { node: NodeId, attempt: u32, error: TaskError },
    /// Its launcher has begun.
    Begun { node: NodeId, attempt: u32, work_root: Option<String> },
    /// Its launcher has reported, and the report was read; `uploaded` are the output artifacts that have bytes.
    Finished { node: NodeId, attempt: u32, outcome: Result<Values, TaskError>, uploaded: BTreeSet<String> },
    /// How its pod looks.
    Seen { node: NodeId, attempt: u32, sight: Sight },
    /// The last lines that its pod has printed ([`Effect::Tail`]); empty where there are none.
    Tailed { node: NodeId, attempt: u32, lines: String },
    /// What the engine did itself ([`Effect::Act`]).
    Acted { node: NodeId, outcome: Result<Values, TaskError> },
    /// A timer is due ([`Effect::Timer`]).
    Due(Wake),
    /// A user ends the run.
    Terminate,
}

/// What the cache says of a fingerprint.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// These are the outputs of that task.
    Hit { task_id: String, outputs: Values },
    /// The step must run, and no identical one does; those that come later wait for it.
    Miss { reason: String },
    /// An identical step runs; [`Event::Landed`] follows.
    Busy,
}

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// The next attempt may begin.
    Retry { node: NodeId, attempt: u32 },
    /// A pod that a quota had no room for may want a place again.
    Launch { node: NodeId, attempt: u32 },
    /// What keeps a pod from starting has lasted long enough.
    Trouble { node: NodeId, attempt: u32 },
    /// The run has taken as long as it may.
    Deadline,
}

/// What a run asks for. [`Look`](Self::Look), [`Want`](Self::Want), [`Unwant`](Self::Unwant), [`Hold`](Self::Hold),
/// [`Take`](Self::Take) and [`Free`](Self::Free) may be done before the commit, everything else after it.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Ask the cache.
    Look { node: NodeId, fingerprint: String },
    /// The node runs already as the first of its fingerprint: after a restart.
    Hold { node: NodeId, fingerprint: String },
    /// The node no longer stands for its fingerprint, or no longer waits for it.
    Land { node: NodeId, fingerprint: String },
    /// Give it a place when there is one.
    Want { node: NodeId },
    /// It no longer wants one.
    Unwant { node: NodeId },
    /// It has a pod already: after a restart. There may be more of these than places.
    Take { node: NodeId },
    /// Its place is free.
    Free { node: NodeId },
    /// Make its pod.
    Launch { node: NodeId },
    /// Delete a pod.
    Delete { node: NodeId, attempt: u32, pod: String },
    /// Fetch the last lines that a pod has printed, and keep its log.
    Tail { node: NodeId, attempt: u32, pod: String },
    /// Do something that needs no pod.
    Act { node: NodeId, action: Action },
    /// Wake the run.
    Timer { at_ms: i64, wake: Wake },
    /// The run has ended.
    Ended,
}

/// What the engine does itself.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Make the run's workspace.
    Workspace,
    /// Make or delete a claim of storage.
    Claim(crate::core::pod::Claim),
    /// Record an artifact under output `output`, or take one over that is there already.
    Import { output: String, artifact: Artifact, reuse: bool },
}

/// What is to be recorded, in one write.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Commit {
    /// Attempts that must be current and without a result for the write to stand: task and attempt.
    pub guards: Vec<(String, u32)>,
    /// Tasks whose rows go, before others come.
    pub removed: Vec<String>,
    pub tasks: Vec<TaskRow>,
    /// New artifacts: task, output, artifact.
    pub artifacts: Vec<(String, String, Artifact)>,
    pub cache: Vec<Remembered>,
    /// What was taken over from other runs.
    pub uses: Vec<Use>,
    /// How the run stands, where that has changed.
    pub run: Option<Standing>,
    /// Whether somebody waits for it. What is not urgent may wait for what is.
    pub is_urgent: bool,
}

impl Commit {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty()
            && self.tasks.is_empty()
            && self.artifacts.is_empty()
            && self.cache.is_empty()
            && self.uses.is_empty()
            && self.run.is_none()
    }
}

/// What a run has taken over from another one, which must stay as long as either is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Use {
    /// What the cache had, of this task. The write stands only where it has it still.
    Hit { fingerprint: String, task_id: String },
    /// An artifact, where it is another run's.
    Artifact(String),
}

/// Outputs for the cache.
#[derive(Clone, Debug, PartialEq)]
pub struct Remembered {
    pub fingerprint: String,
    pub task_id: String,
    /// The name of the image that the step ran from.
    pub image: String,
    pub outputs: Values,
    /// URIs that must still have bytes for the outputs to count.
    pub kept: Vec<String>,
}

/// How a run stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Standing {
    pub state: RunState,
    pub finished_ms: Option<i64>,
    pub error: Option<TaskError>,
    pub history: Vec<StateChange>,
}
