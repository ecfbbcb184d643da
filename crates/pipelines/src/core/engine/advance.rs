//! How tasks begin and end, and what that means to those around them.

use std::sync::Arc;

use super::{
    Run, Work,
    event::{Effect, NodeId},
    node::{Body, Group, Loop, Node, Phase},
    rules,
    scope::{self, Scope},
};
use crate::core::{
    ir::{Body as ComponentBody, Component, Dag, Executor, Pipeline, Strategy, Task},
    resolve,
    run::RunState,
    task::{TaskError, TaskKind, TaskState},
    value::Values,
};

impl Run {
    /// Does what an event has led to, until nothing is left.
    pub(super) fn run_work(&mut self, now_ms: i64) {
        while let Some(work) = self.work.pop_front() {
            match work {
                Work::Start(id) => self.start(id, now_ms),
                Work::Ended(id) => self.ended(id, now_ms),
            }
        }
    }

    /// Begins with a task that waits for no other.
    fn start(&mut self, id: NodeId, now_ms: i64) {
        let Some(node) = self.nodes.get(&id).filter(|node| node.is_waiting()) else { return };
        let (parent, is_resolved) = (node.parent, node.iteration.is_some() || node.parent.is_none());
        if self.is_held(id) {
            return self.settle_unstarted(id, now_ms);
        }
        let pipeline = self.pipeline.clone();
        let Some((task, parent)) = self.task(&pipeline, id).zip(parent).filter(|_| !is_resolved) else {
            return self.enter(&pipeline, id, now_ms);
        };
        let component = scope::component(&pipeline, &task.component);
        let task_key = self.nodes.get(&id).map(|node| node.task.clone()).unwrap_or_default();
        let inputs = match resolve::inputs(&task_key, task, component, &Scope::of(self, parent)) {
            Ok(inputs) => inputs,
            Err(fault) => return self.fail(id, Self::fault("Inputs", &fault), now_ms),
        };
        let holds = task.condition.as_deref().map_or(Ok(true), |text| rules::condition(text, &inputs.parameters));
        if let Some(node) = self.nodes.get_mut(&id) {
            node.inputs = inputs;
        }
        match holds {
            Ok(true) if task.iterator.is_some() => self.open_loop(&pipeline, task, id, now_ms),
            Ok(true) => self.enter(&pipeline, id, now_ms),
            Ok(false) => self.settle(id, TaskState::Skipped, now_ms),
            Err(fault) => self.fail(id, Self::fault("Condition", &fault), now_ms),
        }
    }

    /// Whether a task that has not started may not: its DAG has failed, and it is none of those that run nevertheless,
    /// or the run ends.
    pub(super) fn is_held(&self, id: NodeId) -> bool {
        if self.stopping.is_some() {
            return true;
        }
        let Some(node) = self.nodes.get(&id) else { return true };
        let parent = node.parent.and_then(|parent| self.nodes.get(&parent));
        let has_failed = match parent.map(|parent| &parent.body) {
            Some(Body::Group(group)) => group.failure.is_some(),
            Some(Body::Loop(inner)) => inner.failure.is_some(),
            Some(Body::Leaf) | None => false,
        };
        // A step that has been tried counts as running.
        has_failed && node.attempt == node.first_attempt && self.strategy(id) == Strategy::Succeeded
    }

    /// An iteration starts as its loop says, which has started already.
    fn strategy(&self, id: NodeId) -> Strategy {
        let is_iteration = self.nodes.get(&id).is_some_and(|node| node.iteration.is_some());
        let task = self.task(&self.pipeline, id).filter(|_| !is_iteration);
        task.map_or(Strategy::Succeeded, |task| task.strategy)
    }

    /// Ends a task that may not start.
    pub(super) fn settle_unstarted(&mut self, id: NodeId, now_ms: i64) {
        let state = if self.stopping.is_some() { TaskState::Canceled } else { TaskState::Skipped };
        self.settle(id, state, now_ms);
    }

    /// Begins with what a task consists of.
    fn enter(&mut self, pipeline: &Arc<Pipeline>, id: NodeId, now_ms: i64) {
        let Some(name) = self.nodes.get(&id).map(|node| node.component.clone()) else { return };
        let component = scope::component(pipeline, &name);
        match &component.body {
            ComponentBody::Dag(dag) => self.open_group(pipeline, dag, &name, id, now_ms),
            ComponentBody::Executor(label) => match rules::executor(&pipeline.executors, label) {
                Ok(executor) => self.enter_step(component, executor, id, now_ms),
                Err(fault) => self.fail(id, Self::fault("Pipeline", &fault), now_ms),
            },
        }
    }

    fn open_group(&mut self, pipeline: &Pipeline, dag: &Dag, name: &Arc<str>, id: NodeId, now_ms: i64) {
        let children = self.make_children(pipeline, dag, name, id, now_ms);
        let waits: Vec<u32> = match self.plans.get(name) {
            Some(plan) => plan.depends.iter().map(|on| u32::try_from(on.len()).unwrap_or(u32::MAX)).collect(),
            None => Vec::new(),
        };
        for (child, _) in children.iter().zip(&waits).filter(|(_, waits)| **waits == 0) {
            self.work.push_back(Work::Start(*child));
        }
        let group = Group { open: children.len(), children, waits, failure: None };
        let is_empty = group.open == 0;
        self.open(id, Body::Group(group), now_ms);
        if is_empty {
            self.close(id, now_ms);
        }
    }

    pub(super) fn make_children(
        &mut self,
        pipeline: &Pipeline,
        dag: &Dag,
        name: &Arc<str>,
        id: NodeId,
        now_ms: i64,
    ) -> Vec<NodeId> {
        let path = self.nodes.get(&id).map(|node| node.path.clone()).unwrap_or_default();
        let mut children = Vec::with_capacity(dag.tasks.len());
        for (slot, (key, task)) in dag.tasks.iter().enumerate() {
            let mut node = self.blank(Some(id), format!("{path}/{key}"), now_ms);
            node.display_name.clone_from(if task.display_name.is_empty() { key } else { &task.display_name });
            node.dag = Some(name.clone());
            node.task.clone_from(key);
            node.component = Arc::from(task.component.as_str());
            node.slot = slot;
            node.kind = kind(pipeline, key, task);
            children.push(self.insert(node));
        }
        children
    }

    fn open(&mut self, id: NodeId, body: Body, now_ms: i64) {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.body = body;
            node.state = TaskState::Running;
            node.started_ms.get_or_insert(now_ms);
        }
        self.mark(id);
    }

    fn open_loop(&mut self, pipeline: &Pipeline, task: &Task, id: NodeId, now_ms: i64) {
        match self.new_loop(task, id) {
            Ok(inner) => {
                self.open(id, Body::Loop(inner), now_ms);
                self.refill(pipeline, id, now_ms);
            }
            Err(fault) => self.fail(id, Self::fault("Items", &fault), now_ms),
        }
    }

    /// A loop of which no iteration has been made.
    pub(super) fn new_loop(&self, task: &Task, id: NodeId) -> Result<Loop, crate::core::fault::Fault> {
        let node = self.nodes.get(&id);
        let items = match node.zip(node.and_then(|node| node.parent)) {
            Some((node, parent)) => resolve::items(&node.task, task, &node.inputs, &Scope::of(self, parent))?,
            None => Vec::new(),
        };
        let own = usize::try_from(task.parallelism).unwrap_or(usize::MAX);
        let limit = if own == 0 { self.limits.iterations } else { own.min(self.limits.iterations) };
        let outputs = vec![None; items.len()];
        Ok(Loop { items, next: 0, active: 0, limit, outputs, failure: None })
    }

    /// Makes iterations as long as the loop may have more of them.
    pub(super) fn refill(&mut self, pipeline: &Pipeline, id: NodeId, now_ms: i64) {
        while let Some(number) = self.next_item(id) {
            if let Some(child) = self.make_iteration(pipeline, id, number, now_ms) {
                self.work.push_back(Work::Start(child));
            }
        }
        let Some(Body::Loop(inner)) = self.nodes.get(&id).map(|node| &node.body) else { return };
        if inner.active == 0 && (inner.next == inner.items.len() || inner.failure.is_some() || self.stopping.is_some())
        {
            self.close(id, now_ms);
        }
    }

    fn next_item(&mut self, id: NodeId) -> Option<usize> {
        let is_stopping = self.stopping.is_some();
        let Body::Loop(inner) = &mut self.nodes.get_mut(&id)?.body else { return None };
        if is_stopping || inner.failure.is_some() || inner.active >= inner.limit || inner.next >= inner.items.len() {
            return None;
        }
        let number = inner.next;
        inner.next += 1;
        inner.active += 1;
        Some(number)
    }

    pub(super) fn make_iteration(
        &mut self,
        pipeline: &Pipeline,
        id: NodeId,
        number: usize,
        now_ms: i64,
    ) -> Option<NodeId> {
        let task = self.task(pipeline, id)?;
        let owner = self.nodes.get(&id)?;
        let mut node = self.blank(Some(id), format!("{}/{number}", owner.path), now_ms);
        node.display_name = format!("{}-{number}", owner.display_name);
        node.dag.clone_from(&owner.dag);
        node.task.clone_from(&owner.task);
        node.component = owner.component.clone();
        node.slot = number;
        node.iteration = u32::try_from(number).ok();
        let component = scope::component(pipeline, &owner.component);
        node.kind = match &component.body {
            ComponentBody::Dag(_) => TaskKind::LoopIteration,
            ComponentBody::Executor(label) => step_kind(pipeline, label),
        };
        // A DAG's iteration looks up what it does not have with its loop; a step is handed all it gets.
        if node.kind != TaskKind::LoopIteration {
            node.inputs = owner.inputs.clone();
        }
        let Body::Loop(inner) = &owner.body else { return None };
        let item = resolve::item(task, component, inner.items.get(number)?.clone());
        let child = self.insert(node);
        match (item, self.nodes.get_mut(&child)) {
            (Ok(item), Some(node)) => {
                node.inputs.parameters.extend(item.parameters);
                node.inputs.artifacts.extend(item.artifacts);
                Some(child)
            }
            (Err(fault), _) => {
                self.fail(child, Self::fault("Items", &fault), now_ms);
                None
            }
            (Ok(_), None) => None,
        }
    }

    /// Ends a task as failed.
    pub(super) fn fail(&mut self, id: NodeId, error: TaskError, now_ms: i64) {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.error = Some(error);
        }
        self.settle(id, TaskState::Failed, now_ms);
    }

    /// Ends a task in a state.
    pub(super) fn settle(&mut self, id: NodeId, state: TaskState, now_ms: i64) {
        let Some(node) = self.nodes.get_mut(&id).filter(|node| node.phase != Phase::Done) else { return };
        node.phase = Phase::Done;
        node.state = state;
        node.ended_ms = Some(now_ms);
        if !matches!(state, TaskState::Skipped | TaskState::Canceled) {
            node.started_ms.get_or_insert(now_ms);
        }
        if state.is_success() {
            node.error = None;
        }
        let below: Vec<NodeId> = match &node.body {
            Body::Group(group) => group.children.clone(),
            Body::Leaf | Body::Loop(_) => Vec::new(),
        };
        self.mark(id);
        for child in below {
            self.forget(child);
        }
        self.work.push_back(Work::Ended(id));
    }

    /// Tells those around a task that it has ended.
    fn ended(&mut self, id: NodeId, now_ms: i64) {
        let Some(node) = self.nodes.get(&id) else { return };
        let (parent, slot, state) = (node.parent, node.slot, node.state);
        let failure = (state == TaskState::Failed).then(|| told(node));
        let Some(parent) = parent else { return self.end_run(now_ms) };
        match self.nodes.get(&parent).map(|node| &node.body) {
            Some(Body::Group(_)) => self.ended_in_group(parent, slot, failure, now_ms),
            Some(Body::Loop(_)) => self.ended_in_loop(parent, id, slot, failure, now_ms),
            Some(Body::Leaf) | None => {}
        }
    }

    fn ended_in_group(&mut self, parent: NodeId, slot: usize, failure: Option<TaskError>, now_ms: i64) {
        let Some(node) = self.nodes.get_mut(&parent) else { return };
        let plan = self.plans.get(&node.component).cloned().unwrap_or_default();
        let Body::Group(group) = &mut node.body else { return };
        group.open -= 1;
        let is_first_failure = failure.is_some() && group.failure.is_none();
        if is_first_failure {
            group.failure = failure;
        }
        let mut free = Vec::new();
        for dependent in &plan.dependents[slot] {
            group.waits[*dependent] -= 1;
            if group.waits[*dependent] == 0 {
                free.push((*dependent, group.children[*dependent]));
            }
        }
        let (is_closed, children) = (group.open == 0, is_first_failure.then(|| group.children.clone()));
        for (dependent, child) in free {
            self.freed(parent, &plan.depends[dependent], child, now_ms);
        }
        for child in children.into_iter().flatten() {
            self.hold(child, now_ms);
        }
        if is_closed {
            self.close(parent, now_ms);
        }
    }

    /// All that a task depends on is final: it starts, or is skipped as they were.
    pub(super) fn freed(&mut self, parent: NodeId, depends: &[usize], child: NodeId, now_ms: i64) {
        let Some(Body::Group(group)) = self.nodes.get(&parent).map(|node| &node.body) else { return };
        let succeeded = depends.iter().all(|slot| {
            let on = group.children.get(*slot).and_then(|id| self.nodes.get(id));
            on.is_some_and(|on| on.state.is_success())
        });
        if succeeded || self.strategy(child) == Strategy::Completed {
            self.work.push_back(Work::Start(child));
        } else {
            self.settle_unstarted(child, now_ms);
        }
    }

    fn ended_in_loop(&mut self, parent: NodeId, id: NodeId, slot: usize, failure: Option<TaskError>, now_ms: i64) {
        let child = self.nodes.get_mut(&id);
        let outputs = child.filter(|child| child.state.is_success()).map(|child| child.outputs.clone());
        if let Some(Body::Loop(inner)) = self.nodes.get_mut(&parent).map(|node| &mut node.body) {
            inner.active -= 1;
            inner.outputs[slot] = outputs;
            if inner.failure.is_none() {
                inner.failure = failure;
            }
        }
        self.forget(id);
        let pipeline = self.pipeline.clone();
        self.refill(&pipeline, parent, now_ms);
    }

    /// Ends a group or a loop in which nothing is open.
    pub(super) fn close(&mut self, id: NodeId, now_ms: i64) {
        let Some(node) = self.nodes.get(&id) else { return };
        let failure = match &node.body {
            Body::Group(group) => group.failure.clone(),
            Body::Loop(inner) => inner.failure.clone(),
            Body::Leaf => None,
        };
        if let Some(error) = failure {
            return self.fail(id, error, now_ms);
        }
        if self.stopping.is_some() {
            return self.settle(id, TaskState::Canceled, now_ms);
        }
        let outputs = self.outputs(id);
        if let Some(node) = self.nodes.get_mut(&id) {
            node.outputs = outputs;
        }
        self.settle(id, TaskState::Succeeded, now_ms);
    }

    fn outputs(&self, id: NodeId) -> Values {
        let Some(node) = self.nodes.get(&id) else { return Values::default() };
        match (&node.body, &scope::component(&self.pipeline, &node.component).body) {
            (Body::Loop(inner), _) => scope::collected(&self.pipeline, &node.component, &inner.outputs),
            (Body::Group(_), ComponentBody::Dag(dag)) => resolve::dag_outputs(&dag.outputs, &Scope::of(self, id)),
            _ => Values::default(),
        }
    }

    fn end_run(&mut self, now_ms: i64) {
        let Some(root) = self.nodes.get(&self.root) else { return };
        // A client that waits for a run knows no CANCELED: a run that was terminated has failed.
        self.standing.error = match &self.stopping {
            Some(why) => Some(why.clone()),
            None => root.error.clone(),
        };
        let state = if self.standing.error.is_some() { RunState::Failed } else { RunState::Succeeded };
        self.enter_state(state, now_ms);
        self.effects.push(Effect::Ended);
    }
}

/// A failure as those around a task tell it.
pub(super) fn told(node: &Node) -> TaskError {
    let error = node.error.clone().unwrap_or_default();
    match node.body {
        Body::Leaf => {
            let path = node.path.strip_prefix("root/").unwrap_or(&node.path);
            TaskError { message: format!("task \"{path}\" failed: {}", error.message), ..error }
        }
        Body::Group(_) | Body::Loop(_) => error,
    }
}

fn kind(pipeline: &Pipeline, key: &str, task: &Task) -> TaskKind {
    let component: &Component = scope::component(pipeline, &task.component);
    match &component.body {
        _ if task.iterator.is_some() => TaskKind::Loop,
        ComponentBody::Executor(label) => step_kind(pipeline, label),
        ComponentBody::Dag(_) if task.condition.is_some() => TaskKind::Condition,
        ComponentBody::Dag(_) if key.starts_with("exit-handler-") => TaskKind::ExitHandler,
        ComponentBody::Dag(_) => TaskKind::Dag,
    }
}

fn step_kind(pipeline: &Pipeline, label: &str) -> TaskKind {
    match pipeline.executors.get(label) {
        Some(Executor::Importer(_)) => TaskKind::Importer,
        Some(Executor::Container(_)) | None => TaskKind::Runtime,
    }
}
