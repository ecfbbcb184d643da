//! What a task can see of its run: its DAG's inputs, the tasks beside it, and the run itself.

use serde_json::Value;

use super::{
    Run,
    event::NodeId,
    node::{Body, Group, Node},
    plan::Plan,
};
use crate::core::{
    id,
    ir::{Component, Pipeline},
    resolve::{self, Facts, Sibling},
    task::TaskKind,
    value::{Artifact, Values},
};

/// What the tasks of one open DAG can see.
pub(super) struct Scope<'a> {
    run: &'a Run,
    /// The DAG's node, then that of its loop where it is an iteration: whose inputs count, the first before the second.
    /// A copy of a loop's inputs for each iteration would make a loop over its own list quadratic.
    owners: [Option<&'a Node>; 2],
    group: Option<&'a Group>,
    plan: Option<&'a Plan>,
}

impl<'a> Scope<'a> {
    /// What the tasks of a node's DAG can see.
    pub(super) fn of(run: &'a Run, owner: NodeId) -> Self {
        let node = run.nodes.get(&owner);
        let is_iteration = node.is_some_and(|node| node.kind == TaskKind::LoopIteration);
        let outer = node.filter(|_| is_iteration).and_then(|node| run.nodes.get(&node.parent?));
        let group = node.and_then(|node| match &node.body {
            Body::Group(group) => Some(group),
            Body::Leaf | Body::Loop(_) => None,
        });
        let plan = node.and_then(|node| run.plans.get(&node.component)).map(AsRef::as_ref);
        Self { run, owners: [node, outer], group, plan }
    }
}

impl resolve::Scope for Scope<'_> {
    fn parameter(&self, name: &str) -> Option<&Value> {
        self.owners.iter().flatten().find_map(|node| node.inputs.parameters.get(name))
    }

    fn artifacts(&self, name: &str) -> Option<&Vec<Artifact>> {
        self.owners.iter().flatten().find_map(|node| node.inputs.artifacts.get(name))
    }

    fn sibling(&self, key: &str) -> Option<Sibling<'_>> {
        let slot = self.plan?.slot(key)?;
        let node = self.run.nodes.get(self.group?.children.get(slot)?)?;
        Some(Sibling { state: node.state, outputs: &node.outputs, error: node.error.as_ref() })
    }

    fn task_id(&self, key: &str) -> String {
        let path = self.owners[0].map(|node| node.path.as_str()).unwrap_or_default();
        id::derived(&[&self.run.facts.run_id, &format!("{path}/{key}")])
    }

    fn facts(&self) -> &Facts {
        &self.run.facts
    }
}

/// The component of a name; the empty one is the root's.
pub(super) fn component<'a>(pipeline: &'a Pipeline, name: &str) -> &'a Component {
    pipeline.components.get(name).unwrap_or(&pipeline.root)
}

/// What a loop hands out: of each output a list in the order of iterations. Iterations without the output, since the
/// task that makes it was skipped there, leave no hole: the list is shorter. Parameters of loops in loops are lists of
/// lists, as components that take them are typed (`List[List[int]]`); artifacts, of which there are no such lists, are
/// joined.
pub(super) fn collected(pipeline: &Pipeline, name: &str, outputs: &[Option<Values>]) -> Values {
    let body = component(pipeline, name);
    let mut all = Values::default();
    for name in body.outputs.parameters.keys() {
        let found = outputs.iter().flatten().filter_map(|values| values.parameters.get(name));
        all.parameters.insert(name.clone(), Value::Array(found.cloned().collect()));
    }
    for name in body.outputs.artifacts.keys() {
        let found = outputs.iter().flatten().filter_map(|values| values.artifacts.get(name));
        all.artifacts.insert(name.clone(), found.flatten().cloned().collect());
    }
    all
}
