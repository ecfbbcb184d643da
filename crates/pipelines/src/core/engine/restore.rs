//! A run from its rows: after a restart, and for another try of what has failed.

use std::{collections::HashMap, sync::Arc};

use super::{
    Limits, Run, Work,
    event::{Effect, NodeId, Standing, Wake},
    node::{Body, Group, Phase},
    plan::Plan,
    scope,
};
use crate::core::{
    engine::Facts,
    ir::{Body as ComponentBody, Dag, Pipeline},
    run::RunState,
    task::{CacheNote, TaskKind, TaskRow, TaskState},
    value::Values,
};

/// The rows of a run, by parent.
struct Rows {
    root: Option<TaskRow>,
    below: HashMap<String, Vec<TaskRow>>,
}

impl Rows {
    fn new(rows: Vec<TaskRow>) -> Self {
        let mut all = Self { root: None, below: HashMap::new() };
        for row in rows {
            match row.parent_id.clone() {
                Some(parent) => all.below.entry(parent).or_default().push(row),
                None => all.root = Some(row),
            }
        }
        all
    }

    fn take(&mut self, parent: &str) -> Vec<TaskRow> {
        self.below.remove(parent).unwrap_or_default()
    }
}

impl Run {
    /// A run as its rows say, about to go on where it stood. `life` counts how often it was read by this process: what was
    /// asked in an earlier life may be answered in this one, and its nodes have other numbers.
    pub fn restore(
        pipeline: Arc<Pipeline>,
        facts: Facts,
        limits: Limits,
        life: u32,
        standing: Standing,
        rows: Vec<TaskRow>,
        now_ms: i64,
    ) -> Self {
        let mut run = Self::empty(pipeline, facts, limits);
        run.next = u64::from(life) << 32;
        if standing.state == RunState::Canceling {
            run.stopping = Some(standing.error.clone().unwrap_or_default());
        }
        run.standing = standing;
        let mut rows = Rows::new(rows);
        let root = rows.root.take();
        run.first_attempt = root.as_ref().map_or(0, |row| row.attempt);
        let node = run.blank(None, "root".to_owned(), now_ms);
        run.root = run.insert(node);
        let Some(root) = root else { return run };
        run.revive(run.root, &root, &mut rows, now_ms);
        run.resume(now_ms);
        run
    }

    fn resume(&mut self, now_ms: i64) {
        if self.stopping.is_some() {
            self.stop_all(now_ms);
        } else if self.nodes.get(&self.root).is_some_and(super::Node::is_waiting) {
            return self.begin(now_ms);
        } else {
            // One that is retried has its whole time again.
            if self.standing.state == RunState::Pending {
                self.enter_state(RunState::Running, now_ms);
            }
            let began = self.standing.history.iter().rev().find(|change| change.state == RunState::Running);
            self.set_deadline(began.map_or(now_ms, |change| change.at_ms));
        }
        self.run_work(now_ms);
    }

    /// Brings a node to what its row says, and all below it.
    fn revive(&mut self, id: NodeId, row: &TaskRow, rows: &mut Rows, now_ms: i64) {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.resume(row);
        }
        // As it stands it is recorded already.
        self.dirty.remove(&id);
        if row.state.is_final() {
            return;
        }
        let pipeline = self.pipeline.clone();
        let component = self.nodes.get(&id).map(|node| node.component.clone()).unwrap_or_default();
        let is_open = row.state == TaskState::Running;
        match &scope::component(&pipeline, &component).body {
            _ if row.kind == TaskKind::Loop && is_open => self.revive_loop(&pipeline, id, row, rows, now_ms),
            ComponentBody::Dag(dag) if is_open => self.revive_group(&pipeline, dag, &component, id, row, rows, now_ms),
            ComponentBody::Executor(_) => self.revive_step(id, row),
            ComponentBody::Dag(_) => {}
        }
        // Whatever waits for others is started by its group.
        if row.iteration.is_some() && self.nodes.get(&id).is_some_and(super::Node::is_waiting) && row.pod_name.is_none()
        {
            self.work.push_back(Work::Start(id));
        }
    }

    fn revive_step(&mut self, id: NodeId, row: &TaskRow) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        if row.pod_name.is_some() {
            let is_intent = row.state == TaskState::Pending && self.stopping.is_none();
            node.phase = if is_intent { Phase::Starting } else { Phase::Active };
            self.effects.push(Effect::Take { node: id });
            if !row.cache.fingerprint.is_empty() {
                self.effects.push(Effect::Hold { node: id, fingerprint: row.cache.fingerprint.clone() });
            }
            if is_intent {
                self.effects.push(Effect::Launch { node: id });
            }
        } else if row.attempt > row.first_attempt {
            node.phase = Phase::BackOff;
            let attempt = row.attempt;
            // One that waited for a place asks for it once those that have one have taken it again.
            let at_ms = row.due_ms.unwrap_or_default();
            self.effects.push(Effect::Timer { at_ms, wake: Wake::Retry { node: id, attempt } });
        }
    }

    fn revive_group(
        &mut self,
        pipeline: &Pipeline,
        dag: &Dag,
        name: &Arc<str>,
        id: NodeId,
        row: &TaskRow,
        rows: &mut Rows,
        now_ms: i64,
    ) {
        let children = self.make_children(pipeline, dag, name, id, now_ms);
        let plan = self.plans.get(name).cloned().unwrap_or_default();
        for child in rows.take(&row.task_id) {
            if let Some(slot) = plan.slot(&child.key) {
                self.revive(children[slot], &child, rows, now_ms);
            }
        }
        let group = self.group_of(children.clone(), &plan);
        let (is_closed, waits) = (group.open == 0, group.waits.clone());
        if let Some(node) = self.nodes.get_mut(&id) {
            node.body = Body::Group(group);
        }
        for (slot, child) in children.iter().enumerate().filter(|(slot, _)| waits[*slot] == 0) {
            if self.nodes.get(child).is_some_and(super::Node::is_waiting) {
                self.freed(id, &plan.depends[slot], *child, now_ms);
            }
        }
        if is_closed {
            self.close(id, now_ms);
        }
    }

    /// An open DAG whose children have their states.
    fn group_of(&self, children: Vec<NodeId>, plan: &Plan) -> Group {
        let node = |slot: usize| children.get(slot).and_then(|id| self.nodes.get(id));
        let is_final = |slot: &usize| node(*slot).is_some_and(|node| node.state.is_final());
        let open_of = |on: &Vec<usize>| u32::try_from(on.iter().filter(|slot| !is_final(slot)).count());
        let waits = plan.depends.iter().map(|on| open_of(on).unwrap_or(u32::MAX)).collect();
        let open = (0..children.len()).filter(|slot| !is_final(slot)).count();
        let failed = (0..children.len()).filter_map(node).filter(|node| node.state == TaskState::Failed);
        let failure = failed.min_by_key(|node| node.ended_ms).map(super::advance::told);
        Group { children, waits, open, failure }
    }

    fn revive_loop(&mut self, pipeline: &Pipeline, id: NodeId, row: &TaskRow, rows: &mut Rows, now_ms: i64) {
        let task = self.task(pipeline, id);
        let mut inner = match task.map(|task| self.new_loop(task, id)) {
            Some(Ok(inner)) => inner,
            Some(Err(fault)) => return self.fail(id, Self::fault("Items", &fault), now_ms),
            None => return,
        };
        let mut made: Vec<(usize, TaskRow)> = rows.take(&row.task_id).into_iter().filter_map(numbered).collect();
        made.sort_by_key(|(number, _)| *number);
        let count = inner.items.len();
        inner.next = made.last().map_or(0, |(number, _)| number + 1).min(count);
        if let Some(node) = self.nodes.get_mut(&id) {
            node.body = Body::Loop(inner);
        }
        for (number, child) in made.into_iter().filter(|(number, _)| *number < count) {
            self.revive_iteration(pipeline, id, number, &child, rows, now_ms);
        }
        self.refill(pipeline, id, now_ms);
    }

    fn revive_iteration(
        &mut self,
        pipeline: &Pipeline,
        id: NodeId,
        number: usize,
        row: &TaskRow,
        rows: &mut Rows,
        now_ms: i64,
    ) {
        if !row.state.is_final()
            && let Some(child) = self.make_iteration(pipeline, id, number, now_ms)
        {
            self.revive(child, row, rows, now_ms);
        }
        let Some(Body::Loop(inner)) = self.nodes.get_mut(&id).map(|node| &mut node.body) else { return };
        match row.state {
            state if !state.is_final() => inner.active += 1,
            state if state.is_success() => inner.outputs[number] = Some(row.outputs.clone()),
            TaskState::Failed if inner.failure.is_none() => {
                inner.failure = Some(row.error.clone().unwrap_or_default());
            }
            _ => {}
        }
    }

    /// A failed run that tries again: what has succeeded stays, the rest runs again, and so does what waited for the end
    /// of the rest.
    pub fn retry(
        pipeline: Arc<Pipeline>,
        facts: Facts,
        limits: Limits,
        mut standing: Standing,
        rows: Vec<TaskRow>,
        now_ms: i64,
    ) -> Self {
        let base = rows.iter().map(|row| row.attempt).max().unwrap_or_default() + 1;
        let plans = Self::empty(pipeline.clone(), facts.clone(), limits);
        let mut reset =
            Reset { run: plans, base, rows: Rows::new(rows), kept: Vec::new(), saved: Vec::new(), removed: Vec::new() };
        if let Some(root) = reset.rows.root.take() {
            reset.again(root, "");
        }
        let Reset { kept, saved, removed, .. } = reset;
        standing.state = RunState::Pending;
        standing.error = None;
        standing.finished_ms = None;
        standing.history.push(crate::core::run::StateChange { state: RunState::Pending, at_ms: now_ms });
        let rows = kept.into_iter().chain(saved.iter().cloned()).collect();
        let mut run = Self::restore(pipeline, facts, limits, 0, standing, rows, now_ms);
        // What became of them meanwhile is told after what they were reset to.
        let later = std::mem::take(&mut run.commit.tasks);
        run.commit.tasks = saved.into_iter().chain(later).collect();
        run.commit.removed = removed;
        run.commit.is_urgent = true;
        run
    }
}

fn numbered(row: TaskRow) -> Option<(usize, TaskRow)> {
    Some((usize::try_from(row.iteration?).ok()?, row))
}

/// Rows on their way back.
struct Reset {
    /// For its plans.
    run: Run,
    /// The attempt that everything begins with that runs again.
    base: u32,
    rows: Rows,
    kept: Vec<TaskRow>,
    saved: Vec<TaskRow>,
    removed: Vec<String>,
}

impl Reset {
    /// Opens what has failed again, or lets it wait anew where it never was open. `component` is what its children are
    /// the tasks of.
    fn again(&mut self, mut row: TaskRow, component: &str) {
        let below = self.rows.take(&row.task_id);
        if below.is_empty() {
            return self.anew(row);
        }
        row.state = TaskState::Running;
        row.attempt = if row.parent_id.is_none() { self.base } else { row.attempt };
        row.first_attempt = row.attempt;
        row.ended_ms = None;
        row.error = None;
        row.outputs = Values::default();
        let is_loop = row.kind == TaskKind::Loop;
        self.saved.push(row);
        let affected = if is_loop { Vec::new() } else { self.affected(component, &below) };
        for child in below {
            if affected.contains(&child.key) {
                // Whatever became of it: it begins when what it waits for has ended again, and not in its midst.
                self.anew(child);
            } else if child.state.is_success() {
                self.keep(child);
            } else {
                let inner = if is_loop { component.to_owned() } else { self.component_of(component, &child.key) };
                self.again(child, &inner);
            }
        }
    }

    /// Keys of tasks that wait for something that runs again.
    fn affected(&self, component: &str, below: &[TaskRow]) -> Vec<String> {
        let Some(plan) = self.run.plans.get(component) else { return Vec::new() };
        let mut keys: Vec<String> = vec![String::new(); plan.depends.len()];
        let mut open = Vec::new();
        for row in below {
            let Some(slot) = plan.slot(&row.key) else { continue };
            keys[slot].clone_from(&row.key);
            if !row.state.is_success() {
                open.push(slot);
            }
        }
        let mut is_affected = vec![false; keys.len()];
        while let Some(slot) = open.pop() {
            for dependent in &plan.dependents[slot] {
                if !std::mem::replace(&mut is_affected[*dependent], true) {
                    open.push(*dependent);
                }
            }
        }
        keys.into_iter().zip(is_affected).filter(|(_, is_affected)| *is_affected).map(|(key, _)| key).collect()
    }

    fn component_of(&self, component: &str, key: &str) -> String {
        match &scope::component(&self.run.pipeline, component).body {
            ComponentBody::Dag(dag) => dag.tasks.get(key).map(|task| task.component.clone()).unwrap_or_default(),
            ComponentBody::Executor(_) => String::new(),
        }
    }

    /// Lets a task wait as if it had never run.
    fn anew(&mut self, mut row: TaskRow) {
        self.remove_below(&row.task_id);
        row.state = TaskState::Pending;
        row.attempt = self.base;
        row.first_attempt = self.base;
        row.pod_name = None;
        row.work_root = None;
        row.started_ms = None;
        row.ended_ms = None;
        row.error = None;
        row.iteration_count = None;
        if row.iteration.is_none() && row.parent_id.is_some() {
            row.inputs = Values::default();
        }
        row.outputs = Values::default();
        row.cache = CacheNote::default();
        row.due_ms = None;
        self.saved.push(row);
    }

    fn remove_below(&mut self, task_id: &str) {
        let mut open = vec![task_id.to_owned()];
        while let Some(id) = open.pop() {
            for row in self.rows.take(&id) {
                open.push(row.task_id.clone());
                self.removed.push(row.task_id);
            }
        }
    }

    fn keep(&mut self, row: TaskRow) {
        let mut open = vec![row];
        while let Some(row) = open.pop() {
            open.extend(self.rows.take(&row.task_id));
            self.kept.push(row);
        }
    }
}
