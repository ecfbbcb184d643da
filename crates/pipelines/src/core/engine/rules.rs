//! What the engine asks of the rest of the core of a step whose inputs are known.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Run, event::NodeId, scope::Scope};
use crate::core::{
    condition::Condition,
    fault::Fault,
    fingerprint,
    ir::{Component, Container, Executor, Task},
    pod,
    value::{Parameters, Values},
};

/// Whether a task's condition holds.
pub(super) fn condition(text: &str, parameters: &Parameters) -> Result<bool, Fault> {
    Condition::parse(text)?.evaluate(parameters)
}

/// The executor of a component that has one.
pub(super) fn executor<'a>(executors: &'a BTreeMap<String, Executor>, label: &str) -> Result<&'a Executor, Fault> {
    executors.get(label).ok_or_else(|| Fault::new(format!("deploymentSpec.executors.{label}"), "does not exist"))
}

impl Run {
    /// What the platform document says of a step's executor, with what it refers to.
    pub(super) fn settings(&self, id: NodeId, label: &str) -> Result<Map<String, Value>, Fault> {
        let Some(config) = self.pipeline.platform.executors.get(label) else { return Ok(Map::new()) };
        let pipeline = self.pipeline.clone();
        let Some((task, owner)) = self.task(&pipeline, id).zip(self.dag_of(id)) else { return Ok(Map::new()) };
        let key = self.nodes.get(&id).map(|node| node.task.clone()).unwrap_or_default();
        pod::settings(config, &key, task, &Scope::of(self, owner))
    }

    /// The DAG that a node's task stands in; that of its loop for an iteration.
    fn dag_of(&self, id: NodeId) -> Option<NodeId> {
        let node = self.nodes.get(&id)?;
        match node.iteration {
            None => node.parent,
            Some(_) => self.nodes.get(&node.parent?)?.parent,
        }
    }

    /// What a step stands for in the cache.
    pub(super) fn fingerprint(
        &self,
        id: NodeId,
        task: &Task,
        component: &Component,
        container: &Container,
        inputs: &Values,
    ) -> Result<String, Fault> {
        let label = match &component.body {
            crate::core::ir::Body::Executor(label) => label.as_str(),
            crate::core::ir::Body::Dag(_) => "",
        };
        let settings = self.settings(id, label)?;
        Ok(fingerprint::of(&self.pipeline.name, task, component, container, inputs, &settings))
    }
}
