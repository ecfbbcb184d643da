//! Runs, driven by hand: what starts, what ends how, and what is recorded.

mod crash;
mod failure;
mod flow;
mod property;
mod retry;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::{Map, Value, json};

use super::{sight::Sight, *};
use crate::core::{ir, task::TaskRow, value::Artifact};

/// A run with a cluster that does what it is told.
pub(super) struct Sim {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) run: Run,
    pub(super) now_ms: i64,
    pub(super) rows: BTreeMap<String, TaskRow>,
    pub(super) cached: BTreeMap<String, Remembered>,
    /// By path: node, attempt and pod of steps that run.
    pub(super) pods: BTreeMap<String, (NodeId, u32, String)>,
    pub(super) launched: Vec<String>,
    pub(super) deleted: Vec<String>,
    pub(super) tails: Vec<(NodeId, u32)>,
    pub(super) acts: Vec<(NodeId, Action)>,
    pub(super) timers: Vec<(i64, Wake)>,
    pub(super) places: usize,
    pub(super) waiting: Vec<NodeId>,
    pub(super) held: BTreeSet<NodeId>,
    pub(super) standing: Standing,
    pub(super) commits: usize,
    /// Rows of tasks that were written.
    pub(super) saved: usize,
    pub(super) has_ended: bool,
    life: u32,
}

pub(super) fn facts() -> Facts {
    Facts {
        run_id: "0c5b1a7e-0000-4000-8000-000000000001".to_owned(),
        display_name: "my run".to_owned(),
        resource_name: "p-abcde".to_owned(),
        namespace: "kubeflow".to_owned(),
        created_ms: 0,
        scheduled_ms: 0,
        root: "minio://mlpipeline/v2/artifacts".to_owned(),
    }
}

/// A pipeline of the tasks of its root and of components beside `step`, `make` and `take`: a step without outputs; one
/// with the output `out`; one with the input `in`.
pub(super) fn pipeline(tasks: Value, components: Value) -> Value {
    let text = json!({"parameters": {"out": {"parameterType": "STRING"}}});
    let mut all = json!({
        "step": {"executorLabel": "exec"},
        "make": {"executorLabel": "exec", "outputDefinitions": text},
        "take": {
            "executorLabel": "exec",
            "inputDefinitions": {"parameters": {"in": {"parameterType": "STRING", "isOptional": true}}},
        },
    });
    if let (Some(all), Value::Object(more)) = (all.as_object_mut(), components) {
        all.extend(more);
    }
    let used = used(&tasks, &all);
    if let Some(all) = all.as_object_mut() {
        all.retain(|name, _| used.contains(name));
    }
    json!({
        "pipelineInfo": {"name": "p"}, "schemaVersion": "2.1.0", "sdkVersion": "kfp-2.17.0",
        "deploymentSpec": {"executors": {"exec": {"container": {"image": "busybox", "command": ["true"]}}}},
        "components": all, "root": {"dag": {"tasks": tasks}},
    })
}

fn used(tasks: &Value, components: &Value) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for task in tasks.as_object().into_iter().flat_map(Map::values) {
        let Some(name) = task["componentRef"]["name"].as_str() else { continue };
        used.insert(name.to_owned());
        used.extend(self::used(&components[name]["dag"]["tasks"], components));
    }
    used
}

/// A task that runs a component after others, with more fields from `more`.
pub(super) fn task(component: &str, after: &[&str], more: Value) -> Value {
    let mut task = json!({
        "taskInfo": {"name": component}, "componentRef": {"name": component},
        "cachingOptions": {}, "dependentTasks": after,
    });
    if let (Some(task), Value::Object(more)) = (task.as_object_mut(), more) {
        task.extend(more);
    }
    task
}

/// The input `in` from an output of another task.
pub(super) fn from(producer: &str, output: &str) -> Value {
    let source = json!({"taskOutputParameter": {"producerTask": producer, "outputParameterKey": output}});
    json!({"inputs": {"parameters": {"in": source}}})
}

pub(super) fn done() -> Result<Values, TaskError> {
    Ok(Values::default())
}

pub(super) fn out(value: &str) -> Result<Values, TaskError> {
    Ok(Values { parameters: [("out".to_owned(), value.into())].into(), ..Values::default() })
}

pub(super) fn failed() -> Result<Values, TaskError> {
    Err(TaskError { reason: "Error".to_owned(), message: "exit code 1".to_owned(), exit_code: Some(1) })
}

impl Sim {
    pub(super) fn new(spec: &Value) -> Self {
        let mut sim = Self::idle(spec);
        sim.run.begin(0);
        sim.settle();
        sim
    }

    pub(super) fn idle(spec: &Value) -> Self {
        let pipeline = Arc::new(ir::read::pipeline(spec).unwrap_or_else(|fault| panic!("{fault}")));
        let run = Run::new(pipeline.clone(), facts(), Limits::default(), Parameters::new(), 0);
        Self::of(pipeline, run)
    }

    pub(super) fn of(pipeline: Arc<Pipeline>, run: Run) -> Self {
        Self {
            pipeline,
            run,
            now_ms: 0,
            rows: BTreeMap::new(),
            cached: BTreeMap::new(),
            pods: BTreeMap::new(),
            launched: Vec::new(),
            deleted: Vec::new(),
            tails: Vec::new(),
            acts: Vec::new(),
            timers: Vec::new(),
            places: 100,
            waiting: Vec::new(),
            held: BTreeSet::new(),
            standing: Standing::default(),
            commits: 0,
            saved: 0,
            has_ended: false,
            life: 0,
        }
    }

    /// Does what the run asks for, until it asks for nothing.
    pub(super) fn settle(&mut self) {
        let mut after = Vec::new();
        loop {
            for effect in self.run.take_effects() {
                match effect {
                    Effect::Look { .. }
                    | Effect::Hold { .. }
                    | Effect::Want { .. }
                    | Effect::Unwant { .. }
                    | Effect::Take { .. }
                    | Effect::Free { .. } => self.effect(effect),
                    later => after.push(later),
                }
            }
            if self.run.has_effects() {
                continue;
            }
            self.commit();
            if after.is_empty() {
                return;
            }
            for effect in std::mem::take(&mut after) {
                self.effect(effect);
            }
        }
    }

    fn commit(&mut self) {
        let commit = self.run.take_commit();
        self.commits += usize::from(!commit.is_empty());
        let ids: BTreeSet<String> = commit.removed.into_iter().collect();
        self.rows.retain(|_, row| !ids.contains(&row.task_id));
        for (task, attempt) in commit.guards {
            let row = self.rows.values().find(|row| row.task_id == task).expect("a row");
            assert!(row.attempt == attempt && !row.state.is_final(), "the guard of {} fails", row.path);
        }
        self.saved += commit.tasks.len();
        for row in commit.tasks {
            self.rows.insert(row.path.clone(), row);
        }
        for entry in commit.cache {
            self.cached.insert(entry.fingerprint.clone(), entry);
        }
        if let Some(standing) = commit.run {
            self.standing = standing;
        }
    }

    fn effect(&mut self, effect: Effect) {
        let now_ms = self.now_ms;
        match effect {
            Effect::Look { node, fingerprint } => {
                let found = match self.cached.get(&fingerprint) {
                    Some(entry) => Found::Hit { task_id: entry.task_id.clone(), outputs: entry.outputs.clone() },
                    None => Found::Miss { reason: "nothing".to_owned() },
                };
                self.run.handle(Event::Looked { node, found }, now_ms);
            }
            Effect::Want { node } => {
                self.waiting.push(node);
                self.place();
            }
            Effect::Unwant { node } => self.waiting.retain(|waits| *waits != node),
            Effect::Take { node } => {
                self.held.insert(node);
            }
            Effect::Free { node } => {
                self.held.remove(&node);
                self.place();
            }
            Effect::Launch { node } => self.launch(node),
            Effect::Delete { node, attempt, pod } => {
                self.pods.retain(|_, (_, _, of)| *of != pod);
                self.deleted.push(pod);
                self.run.handle(Event::Seen { node, attempt, sight: Sight::Gone }, now_ms);
            }
            Effect::Tail { node, attempt, .. } => self.tails.push((node, attempt)),
            Effect::Act { node, action } => self.acts.push((node, action)),
            Effect::Timer { at_ms, wake } => self.timers.push((at_ms, wake)),
            Effect::Hold { .. } | Effect::Land { .. } => {}
            Effect::Ended => self.has_ended = true,
        }
    }

    fn place(&mut self) {
        while self.held.len() < self.places && !self.waiting.is_empty() {
            let node = self.waiting.remove(0);
            self.held.insert(node);
            self.run.handle(Event::Placed { node }, self.now_ms);
        }
    }

    fn launch(&mut self, node: NodeId) {
        let Some(step) = self.run.step(node) else { return };
        let (path, attempt, pod) = (step.path.to_owned(), step.attempt, step.pod_name.to_owned());
        let row = self.rows.get(&path).expect("the intent is recorded first");
        assert_eq!(row.pod_name.as_ref(), Some(&pod), "the intent of {path} is recorded first");
        self.launched.push(path.clone());
        self.pods.insert(path, (node, attempt, pod));
        self.run.handle(Event::Launched { node, attempt, outcome: Ok(()) }, self.now_ms);
    }

    pub(super) fn tell(&mut self, event: Event) {
        self.run.handle(event, self.now_ms);
        self.settle();
    }

    /// Lets the step of a path report.
    pub(super) fn finish(&mut self, path: &str, outcome: Result<Values, TaskError>) {
        let (node, attempt, _) =
            self.pods.remove(path).unwrap_or_else(|| panic!("{path} has no pod: {:?}", self.running()));
        let uploaded = outcome.iter().flat_map(|values| values.artifacts.keys().cloned()).collect();
        self.tell(Event::Finished { node, attempt, outcome, uploaded });
    }

    /// Lets the pod of a path look so.
    pub(super) fn see(&mut self, path: &str, sight: Sight) {
        let (node, attempt, _) = self.pods[path].clone();
        self.tell(Event::Seen { node, attempt, sight });
    }

    /// Lets the engine have done the first of what it was asked to do.
    pub(super) fn acted(&mut self, outcome: Result<Values, TaskError>) {
        let (node, _) = self.acts.remove(0);
        self.tell(Event::Acted { node, outcome });
    }

    /// Lets time pass.
    pub(super) fn pass(&mut self, ms: i64) {
        self.now_ms += ms;
        let (due, later) = self.timers.drain(..).partition(|(at, _)| *at <= self.now_ms);
        self.timers = later;
        for (_, wake) in due {
            self.tell(Event::Due(wake));
        }
    }

    /// Paths of steps that run, in their order.
    pub(super) fn running(&self) -> Vec<&str> {
        self.pods.keys().map(|path| path.strip_prefix("root/").unwrap_or(path)).collect()
    }

    pub(super) fn state(&self, path: &str) -> TaskState {
        self.rows.get(path).unwrap_or_else(|| panic!("{path} has no row")).state
    }

    /// Each task's state by its path without `root/`.
    pub(super) fn states(&self) -> Vec<(&str, TaskState)> {
        let below = self.rows.iter().filter_map(|(path, row)| Some((path.strip_prefix("root/")?, row.state)));
        below.collect()
    }

    pub(super) fn row(&self, path: &str) -> &TaskRow {
        &self.rows[path]
    }

    /// Another process takes over from what is recorded. Pods go on.
    pub(super) fn crash(self) -> Self {
        let rows = self.rows.values().cloned().collect();
        let standing = self.standing.clone();
        let (limits, life) = (Limits::default(), self.life + 1);
        let run = Run::restore(self.pipeline.clone(), facts(), limits, life, standing, rows, self.now_ms);
        let mut next = Self::of(self.pipeline, run);
        next.life = life;
        next.rows = self.rows;
        next.cached = self.cached;
        next.standing = self.standing;
        next.now_ms = self.now_ms;
        next.places = self.places;
        let before: BTreeMap<String, (u32, String)> =
            self.pods.into_iter().map(|(path, (_, attempt, pod))| (path, (attempt, pod))).collect();
        for (node, attempt, pod) in next.run.pods() {
            let path = next.run.step(node).expect("a step").path.to_owned();
            match before.get(&path) {
                Some((before, name)) if (*before, name) == (attempt, &pod) => {
                    next.pods.insert(path, (node, attempt, pod));
                }
                _ if next.run.is_intent(node) => {}
                _ => next.run.handle(Event::Seen { node, attempt, sight: Sight::Gone }, next.now_ms),
            }
        }
        next.settle();
        next
    }

    pub(super) fn retry(self) -> Self {
        let rows = self.rows.values().cloned().collect();
        let standing = self.standing.clone();
        let run = Run::retry(self.pipeline.clone(), facts(), Limits::default(), standing, rows, self.now_ms);
        let mut next = Self::of(self.pipeline, run);
        next.rows = self.rows;
        next.cached = self.cached;
        next.now_ms = self.now_ms;
        next.settle();
        next
    }

    pub(super) fn ends(&self, state: RunState) {
        assert_eq!(self.standing.state, state, "{:?}", self.standing.error);
        assert!(self.has_ended);
        let open: Vec<&TaskRow> = self.rows.values().filter(|row| !row.state.is_final()).collect();
        assert!(open.is_empty(), "{open:?}");
        assert!(self.held.is_empty(), "places are given back");
    }
}

pub(super) fn artifact(uri: &str) -> Artifact {
    Artifact { name: "data".to_owned(), uri: uri.to_owned(), ..Artifact::default() }
}
