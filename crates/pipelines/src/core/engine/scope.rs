//! What a task can see of its run: its DAG's inputs, the tasks beside it, and the run itself.

use super::{
    Run,
    event::NodeId,
    node::{Body, Group},
    plan::Plan,
};
use crate::core::{
    ir::{ArtifactSource, Component, ParameterFrom, Pipeline, Task},
    resolve::{self, RunFacts, Sibling},
    task::TaskKind,
    value::Values,
};

/// What is known of a run from its beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub namespace: String,
    pub run: RunFacts,
}

/// What the tasks of one open DAG can see.
pub(super) struct Scope<'a> {
    run: &'a Run,
    /// Those inputs of the DAG that are asked for. An iteration has its item only, and the rest of its loop: a copy of
    /// the whole for each would make a loop over its own list quadratic.
    inputs: Values,
    group: Option<&'a Group>,
    plan: Option<&'a Plan>,
}

impl<'a> Scope<'a> {
    /// What a node's DAG sees beside its inputs.
    pub(super) fn of(run: &'a Run, owner: NodeId) -> Self {
        let node = run.nodes.get(&owner);
        let group = node.and_then(|node| match &node.body {
            Body::Group(group) => Some(group),
            Body::Leaf | Body::Loop(_) => None,
        });
        let plan = node.and_then(|node| run.plans.get(&node.component)).map(AsRef::as_ref);
        Self { run, inputs: Values::default(), group, plan }
    }

    /// What a task of a node's DAG sees.
    pub(super) fn of_task(run: &'a Run, owner: NodeId, task: &Task) -> Self {
        let mut scope = Self::of(run, owner);
        let node = run.nodes.get(&owner);
        let is_iteration = node.is_some_and(|node| node.kind == TaskKind::LoopIteration);
        let outer = node.filter(|_| is_iteration).and_then(|node| run.nodes.get(&node.parent?));
        let owners = [node, outer];
        for source in task.parameters.values() {
            if let ParameterFrom::Input(name) = &source.from {
                let found = owners.iter().flatten().find_map(|node| node.inputs.parameters.get(name));
                scope.inputs.parameters.extend(found.map(|found| (name.clone(), found.clone())));
            }
        }
        for source in task.artifacts.values() {
            if let ArtifactSource::Input(name) = source {
                let found = owners.iter().flatten().find_map(|node| node.inputs.artifacts.get(name));
                scope.inputs.artifacts.extend(found.map(|found| (name.clone(), found.clone())));
            }
        }
        scope
    }
}

impl resolve::Scope for Scope<'_> {
    fn inputs(&self) -> &Values {
        &self.inputs
    }

    fn sibling(&self, key: &str) -> Option<Sibling<'_>> {
        let slot = self.plan?.slot(key)?;
        let node = self.run.nodes.get(self.group?.children.get(slot)?)?;
        let (task_id, error) = (node.task_id.as_str(), node.error.as_ref());
        Some(Sibling { task_id, state: node.state, outputs: &node.outputs, error })
    }

    fn run(&self) -> &RunFacts {
        &self.run.facts.run
    }
}

/// The component of a name; the empty one is the root's.
pub(super) fn component<'a>(pipeline: &'a Pipeline, name: &str) -> &'a Component {
    pipeline.components.get(name).unwrap_or(&pipeline.root)
}
