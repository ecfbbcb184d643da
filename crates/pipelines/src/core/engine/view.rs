//! What the engine looks up in a run.

use serde_json::Map;

use super::{
    Run,
    event::NodeId,
    node::{Node, Phase},
};
use crate::core::{
    executor::Step,
    ir::{Body as ComponentBody, Component, Container, Executor, Task},
    run::RunState,
    value::Values,
};

/// A step that has a pod, or is about to.
#[derive(Clone, Copy, Debug)]
pub struct StepView<'a> {
    pub task_id: &'a str,
    /// The key of its task.
    pub key: &'a str,
    pub path: &'a str,
    pub attempt: u32,
    pub first_attempt: u32,
    pub pod_name: &'a str,
    pub work_root: Option<&'a str>,
    pub inputs: &'a Values,
    pub task: &'a Task,
    pub component: &'a Component,
    /// The label of its executor.
    pub label: &'a str,
    pub container: &'a Container,
}

impl Run {
    /// The node of a task, while it is in memory.
    pub fn find(&self, task_id: &str) -> Option<NodeId> {
        self.by_task.get(task_id).copied()
    }

    /// A step that has a pod, or is about to.
    pub fn step(&self, id: NodeId) -> Option<StepView<'_>> {
        let node = self.nodes.get(&id)?;
        let component = self.component(node);
        let ComponentBody::Executor(label) = &component.body else { return None };
        let Some(Executor::Container(container)) = self.pipeline.executors.get(label) else { return None };
        Some(StepView {
            task_id: &node.task_id,
            key: &node.task,
            path: &node.path,
            attempt: node.attempt,
            first_attempt: node.first_attempt,
            pod_name: node.pod_name.as_deref()?,
            work_root: node.work_root.as_deref(),
            inputs: &node.inputs,
            task: self.task(&self.pipeline, id)?,
            component,
            label,
            container,
        })
    }

    /// When the pods of the run go, once it has ended, where its pipeline says so; as Argo has it, for an outcome before what
    /// is for both.
    pub fn expires_ms(&self) -> Option<i64> {
        let (platform, standing) = (&self.pipeline.platform, &self.standing);
        let finished_ms = standing.finished_ms?;
        let own = match standing.state {
            RunState::Succeeded => platform.ttl_on_success_s,
            _ => platform.ttl_on_failure_s,
        };
        let seconds = own.or(platform.resource_ttl_s)?;
        Some(finished_ms.saturating_add_unsigned(seconds.saturating_mul(1000)))
    }

    /// Whether the run has a workspace that was made before, which its steps take to be there.
    pub fn has_workspace(&self) -> bool {
        let is_made_first = self.nodes.get(&self.root).is_some_and(|root| root.phase == Phase::Acting);
        self.pipeline.platform.workspace.is_some() && !is_made_first
    }

    /// The name of a step's image, with its placeholders replaced; `None` for what is no container.
    pub fn image(&self, id: NodeId) -> Option<String> {
        let node = self.nodes.get(&id)?;
        let component = self.component(node);
        let ComponentBody::Executor(label) = &component.body else { return None };
        let Some(Executor::Container(container)) = self.pipeline.executors.get(label) else { return None };
        let step = Step {
            component,
            container,
            inputs: &node.inputs,
            platform: &Map::new(),
            facts: &self.facts,
            key: &node.task,
            task_id: &node.task_id,
            uri: "",
            root: None,
        };
        Some(step.expand(&container.image))
    }

    /// A step whose launcher may ask and report: of this attempt, and without a result.
    pub fn current(&self, task_id: &str, attempt: u32) -> Option<(NodeId, StepView<'_>)> {
        let id = self.find(task_id)?;
        let is_current = |node: &&Node| node.attempt == attempt && node.has_pod();
        self.nodes.get(&id).filter(is_current)?;
        Some((id, self.step(id)?))
    }

    /// Whether a node's pod is about to be made.
    pub fn is_intent(&self, id: NodeId) -> bool {
        self.nodes.get(&id).is_some_and(|node| node.phase == Phase::Starting)
    }

    /// The task that a node stands for.
    pub fn task_id(&self, id: NodeId) -> Option<&str> {
        self.nodes.get(&id).map(|node| node.task_id.as_str())
    }

    /// The pods that the run expects to be there, or is about to make: node, attempt, name.
    pub fn pods(&self) -> Vec<(NodeId, u32, String)> {
        let named = self.nodes.iter().filter(|(_, node)| !node.state.is_final());
        let mut pods: Vec<(NodeId, u32, String)> =
            named.filter_map(|(id, node)| Some((*id, node.attempt, node.pod_name.clone()?))).collect();
        pods.sort();
        pods
    }
}
