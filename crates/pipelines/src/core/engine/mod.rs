//! What happens next in a run: events in, effects and records out.
//!
//! A [`Run`] is the state of one run that is under way: a tree of tasks. [`Run::handle`] takes an event and moves the
//! tasks that it concerns, and those only: each group and loop counts what is open in it, so that the cost of an event
//! does not grow with the run. Tasks below one that is final are no longer in memory.
//!
//! # States of a step, and what a crash leaves
//!
//! | in the store | means | after a restart |
//! |---|---|---|
//! | `PENDING`, no pod | it waits for others, the cache, a place, or its next attempt | it waits again |
//! | `PENDING`, a pod | the intent: its pod is about to be made, or is there | the pod is made under the same name; one that exists is adopted |
//! | `RUNNING`, a pod | its launcher has begun | the pod is looked for; one that is gone has failed as `PodLost` |
//! | final | its outputs are in the same row | it never runs again, unless the run is retried |
//!
//! A step's outputs, its end, and the intents of the steps that follow are one write, guarded by the attempt: it stands
//! only while that attempt is current and without a result. Pods are made after it. So:
//!
//! * A crash before the write: the launcher gets no answer and reports again, to the next process, until it is answered.
//! * A crash after the write, before the launcher is answered: it reports again, and is told that the attempt has a result;
//!   it ends. Its outputs count once.
//! * A crash between the write and the making of pods: intents are carried out again; the name of a pod follows from run,
//!   task and attempt, so there is never a second one.
//! * A pod that ended while nobody watched: its launcher ends only when it has been answered, so either its result is
//!   in the store, or it was killed. Then the attempt has failed, and the task's policy of retries decides.
//!
//! # Failures
//!
//! As Argo's `failFast`: after a failure no task of the same DAG starts, those that run go on to their end, and the DAG
//! fails; a loop makes no more iterations. Tasks that wait for the end of others in whatever way (exit handlers,
//! `ignore_upstream_failure`) run nevertheless, and do not make the DAG succeed.

mod advance;
mod event;
pub mod handover;
mod leaf;
mod node;
mod plan;
mod pods;
mod restore;
mod rules;
mod scope;
pub mod sight;
mod stop;
mod view;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

pub use crate::core::resolve::Facts;
pub use event::{Action, Commit, Effect, Event, Found, NodeId, Remembered, Standing, Use, Wake};
pub use view::StepView;

use node::{Body, Node, Phase};
use plan::Plan;

use super::{
    id,
    ir::{Body as ComponentBody, Pipeline, Task},
    run::{RunState, StateChange},
    task::{CacheNote, TaskError, TaskKind, TaskState},
    value::{Parameters, Values},
};

/// Bounds of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Iterations of a loop at a time, where the loop sets no limit. There is no use in more than can have a pod.
    pub iterations: usize,
    /// How long an image or an object that a pod needs may be missing.
    pub patience_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { iterations: 100, patience_ms: 60_000 }
    }
}

/// A run that is under way.
#[derive(Clone, Debug)]
pub struct Run {
    pipeline: Arc<Pipeline>,
    facts: Facts,
    limits: Limits,
    plans: HashMap<Arc<str>, Arc<Plan>>,
    nodes: HashMap<NodeId, Node>,
    by_task: HashMap<String, NodeId>,
    root: NodeId,
    next: u64,
    work: VecDeque<Work>,
    dirty: BTreeSet<NodeId>,
    commit: Commit,
    effects: Vec<Effect>,
    standing: Standing,
    /// The attempt that new tasks begin with, so that no pod of an earlier life of the run has the name of a new one.
    first_attempt: u32,
    /// Why nothing starts any more: the run was terminated, or has taken too long.
    stopping: Option<TaskError>,
}

/// What is left to do within one event.
#[derive(Clone, Copy, Debug)]
enum Work {
    /// Everything that the node waits for has happened.
    Start(NodeId),
    /// The node has become final.
    Ended(NodeId),
}

/// The component of the root in the tables that go by component.
const ROOT: &str = "";

impl Run {
    /// A run that has not begun; [`Run::begin`] follows.
    pub fn new(pipeline: Arc<Pipeline>, facts: Facts, limits: Limits, parameters: Parameters, now_ms: i64) -> Self {
        let mut run = Self::empty(pipeline, facts, limits);
        run.enter_state(RunState::Pending, now_ms);
        let mut root = run.blank(None, "root".to_owned(), now_ms);
        root.inputs = Values { parameters, ..Values::default() };
        run.root = run.insert(root);
        run
    }

    fn empty(pipeline: Arc<Pipeline>, facts: Facts, limits: Limits) -> Self {
        let dags = std::iter::once((ROOT, &pipeline.root));
        let dags = dags.chain(pipeline.components.iter().map(|(name, component)| (name.as_str(), component)));
        let plan = |(name, component): (&str, &super::ir::Component)| match &component.body {
            ComponentBody::Dag(dag) => Some((Arc::from(name), Arc::new(Plan::of(dag)))),
            ComponentBody::Executor(_) => None,
        };
        let plans = dags.filter_map(plan).collect();
        Self {
            plans,
            pipeline,
            facts,
            limits,
            nodes: HashMap::new(),
            by_task: HashMap::new(),
            root: NodeId(0),
            next: 0,
            work: VecDeque::new(),
            dirty: BTreeSet::new(),
            commit: Commit::default(),
            effects: Vec::new(),
            standing: Standing::default(),
            first_attempt: 0,
            stopping: None,
        }
    }

    /// Begins with a new run.
    pub fn begin(&mut self, now_ms: i64) {
        if self.standing.state == RunState::Pending {
            self.enter_state(RunState::Running, now_ms);
        }
        self.set_deadline(now_ms);
        if self.pipeline.platform.workspace.is_some() {
            self.act(self.root, Action::Workspace);
        } else {
            self.work.push_back(Work::Start(self.root));
        }
        self.run_work(now_ms);
    }

    fn set_deadline(&mut self, began_ms: i64) {
        if let Some(seconds) = self.pipeline.platform.deadline_s {
            let at_ms = began_ms.saturating_add_unsigned(seconds.saturating_mul(1000));
            self.effects.push(Effect::Timer { at_ms, wake: Wake::Deadline });
        }
    }

    /// Takes an event. One that no longer concerns anything changes nothing.
    pub fn handle(&mut self, event: Event, now_ms: i64) {
        match event {
            Event::Looked { node, found } => self.looked(node, found, now_ms),
            Event::Landed { node } => self.landed(node, now_ms),
            Event::Placed { node } => self.placed(node, now_ms),
            Event::Launched { node, attempt, outcome } => self.launched(node, attempt, outcome, now_ms),
            Event::Delayed { node, attempt, error } => self.delayed(node, attempt, error, now_ms),
            Event::Begun { node, attempt, work_root } => self.begun(node, attempt, work_root, now_ms),
            Event::Finished { node, attempt, outcome, uploaded } => {
                self.finished(node, attempt, outcome, &uploaded, now_ms);
            }
            Event::Seen { node, attempt, sight } => self.seen(node, attempt, sight, now_ms),
            Event::Tailed { node, attempt, lines } => self.tailed(node, attempt, &lines, now_ms),
            Event::Acted { node, outcome } => self.acted(node, outcome, now_ms),
            Event::Due(wake) => self.due(wake, now_ms),
            Event::Terminate => self.terminate(now_ms),
        }
        self.run_work(now_ms);
    }

    /// What the run asks for since the last call.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Whether the run asks for something.
    pub fn has_effects(&self) -> bool {
        !self.effects.is_empty()
    }

    /// What is to be recorded since the last call.
    pub fn take_commit(&mut self) -> Commit {
        for id in std::mem::take(&mut self.dirty) {
            self.record(id);
        }
        std::mem::take(&mut self.commit)
    }

    /// Whether something waits to be recorded that cannot wait.
    pub fn is_urgent(&self) -> bool {
        self.commit.is_urgent
    }

    /// Whether something waits to be recorded.
    pub fn is_dirty(&self) -> bool {
        !self.dirty.is_empty() || !self.commit.is_empty()
    }

    /// How the run stands.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// What is known of the run from its beginning.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The pipeline.
    pub fn pipeline(&self) -> &Arc<Pipeline> {
        &self.pipeline
    }

    /// Tasks that are in memory.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether no task is in memory, which is never so.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    fn enter_state(&mut self, state: RunState, now_ms: i64) {
        self.standing.state = state;
        self.standing.history.push(StateChange { state, at_ms: now_ms });
        self.standing.finished_ms = state.is_final().then_some(now_ms);
        self.commit.run = Some(self.standing.clone());
        self.commit.is_urgent = true;
    }

    /// A node with nothing in it.
    fn blank(&self, parent: Option<NodeId>, path: String, now_ms: i64) -> Node {
        Node {
            task_id: id::derived(&[&self.facts.run_id, &path]),
            parent,
            key: path.rsplit('/').next().unwrap_or_default().to_owned(),
            display_name: self.facts.display_name.clone(),
            path,
            dag: None,
            task: String::new(),
            component: Arc::from(ROOT),
            slot: 0,
            kind: TaskKind::Root,
            iteration: None,
            state: TaskState::Pending,
            phase: Phase::Waiting,
            attempt: self.first_attempt,
            first_attempt: self.first_attempt,
            pod_name: None,
            work_root: None,
            created_ms: now_ms,
            started_ms: None,
            ended_ms: None,
            error: None,
            inputs: Values::default(),
            outputs: Values::default(),
            cache: CacheNote::default(),
            due_ms: None,
            body: Body::Leaf,
            troubled: false,
            delays: 0,
        }
    }

    fn insert(&mut self, node: Node) -> NodeId {
        let id = NodeId(self.next);
        self.next += 1;
        self.by_task.insert(node.task_id.clone(), id);
        self.nodes.insert(id, node);
        self.mark(id);
        id
    }

    /// Notes that a node must be recorded, with whoever waits for that.
    fn mark(&mut self, id: NodeId) {
        self.dirty.insert(id);
        self.commit.is_urgent = true;
    }

    /// Notes that a node must be recorded some time: nothing hangs on it.
    fn mark_lazily(&mut self, id: NodeId) {
        self.dirty.insert(id);
    }

    fn record(&mut self, id: NodeId) {
        if let Some(node) = self.nodes.get(&id) {
            let parent = node.parent.and_then(|parent| self.nodes.get(&parent)).map(|parent| parent.task_id.clone());
            let row = node.row(&self.facts.run_id, parent);
            self.commit.tasks.push(row);
        }
    }

    /// Forgets a node that is final, as is all below it.
    fn forget(&mut self, id: NodeId) {
        if self.dirty.remove(&id) {
            self.record(id);
        }
        if let Some(node) = self.nodes.remove(&id) {
            self.by_task.remove(&node.task_id);
        }
    }

    /// The task that a node is an instance of.
    fn task<'a>(&self, pipeline: &'a Pipeline, id: NodeId) -> Option<&'a Task> {
        let node = self.nodes.get(&id)?;
        match &scope::component(pipeline, node.dag.as_deref()?).body {
            ComponentBody::Dag(dag) => dag.tasks.get(&node.task),
            ComponentBody::Executor(_) => None,
        }
    }

    /// What a faulty pipeline or value becomes of a task.
    fn fault(reason: &str, fault: &super::fault::Fault) -> TaskError {
        TaskError { reason: reason.to_owned(), message: fault.to_string(), exit_code: None }
    }
}
