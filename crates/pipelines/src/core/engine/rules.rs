//! What the engine asks of the rest of the core: how values are resolved, what a condition says, what a step is.
//!
//! It is the one place where the engine meets these rules.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::scope::{Facts, Scope};
use crate::core::{
    fault::Fault,
    ir::{
        ArtifactSource, Component, Container, DagOutputs, Executor, ImportUri, Importer, Items, OutputSource,
        ParameterFrom, Pipeline, Selector, Task,
    },
    value::{Artifact, Parameters, Values},
};

/// One item of a loop.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    Parameter(Value),
    Artifact(Artifact),
}

/// A claim of storage that a task makes or deletes.
#[derive(Clone, Debug, PartialEq)]
pub enum Claim {
    /// The object, without a namespace; its name is the output `name`.
    Create(Value),
    Delete(String),
}

/// What a task gets.
pub(super) fn inputs(task: &Task, _component: &Component, scope: &Scope<'_>) -> Result<Values, Fault> {
    let mut values = Values::default();
    for (name, source) in &task.parameters {
        let value = match &source.from {
            ParameterFrom::Constant(value) => Some(value.clone()),
            ParameterFrom::Input(input) => scope.parameter(input).cloned(),
            ParameterFrom::Output(Selector { task, output }) => {
                scope.sibling(task).and_then(|sibling| sibling.outputs.parameters.get(output).cloned())
            }
            ParameterFrom::FinalStatus(task) => scope.sibling(task).map(|sibling| {
                let state = if sibling.state.is_success() { "COMPLETE" } else { "FAILED" };
                json!({"state": state, "pipelineTaskName": task, "pipelineJobResourceName": scope.facts.resource_name})
            }),
        };
        if let Some(value) = value {
            values.parameters.insert(name.clone(), value);
        }
    }
    for (name, source) in &task.artifacts {
        let found = match source {
            ArtifactSource::Input(input) => scope.artifacts(input).cloned(),
            ArtifactSource::Output(Selector { task, output }) => {
                scope.sibling(task).and_then(|sibling| sibling.outputs.artifacts.get(output).cloned())
            }
        };
        if let Some(found) = found {
            values.artifacts.insert(name.clone(), found);
        }
    }
    Ok(values)
}

/// Whether a task's condition holds.
pub(super) fn condition(text: &str, parameters: &Parameters) -> Result<bool, Fault> {
    match text.split_once(" == ") {
        None => Ok(text == "true"),
        Some((name, value)) => Ok(parameters.get(name).is_some_and(|found| found.to_string() == value)),
    }
}

/// What a loop goes through.
pub(super) fn items(items: &Items, inputs: &Values) -> Result<Vec<Item>, Fault> {
    let list = match items {
        Items::Constant(items) => items.clone(),
        Items::Parameter(name) => match inputs.parameters.get(name) {
            Some(Value::Array(items)) => items.clone(),
            _ => return Err(Fault::new(name.clone(), "no list to iterate over")),
        },
        Items::Artifact(name) => {
            let artifacts = inputs.artifacts.get(name).cloned().unwrap_or_default();
            return Ok(artifacts.into_iter().map(Item::Artifact).collect());
        }
    };
    Ok(list.into_iter().map(Item::Parameter).collect())
}

/// What a DAG hands out.
pub(super) fn outputs(outputs: &DagOutputs, scope: &Scope<'_>) -> Result<Values, Fault> {
    let pick = |source: &OutputSource| -> Vec<Selector> {
        match source {
            OutputSource::One(selector) => vec![selector.clone()],
            OutputSource::OneOf(selectors) => selectors.clone(),
        }
    };
    let mut values = Values::default();
    for (name, source) in &outputs.parameters {
        let found = pick(source).into_iter().find_map(|selector| {
            let sibling = scope.sibling(&selector.task).filter(|sibling| sibling.state.is_success())?;
            sibling.outputs.parameters.get(&selector.output).cloned()
        });
        values.parameters.extend(found.map(|value| (name.clone(), value)));
    }
    for (name, source) in &outputs.artifacts {
        let found = pick(source).into_iter().find_map(|selector| {
            let sibling = scope.sibling(&selector.task).filter(|sibling| sibling.state.is_success())?;
            sibling.outputs.artifacts.get(&selector.output).cloned()
        });
        values.artifacts.extend(found.map(|value| (name.clone(), value)));
    }
    Ok(values)
}

/// What a step stands for in the cache.
pub(super) fn fingerprint(pipeline: &Pipeline, task: &Task, component: &Component, inputs: &Values) -> String {
    let _ = (pipeline, component);
    crate::core::id::digest(&format!("{:?} {:?} {inputs:?}", task.caching.key, task.component))
}

/// The claim that a container stands for, where it is one of the stubs of `kfp-kubernetes`.
pub(super) fn claim(container: &Container, inputs: &Values, facts: &Facts) -> Result<Option<Claim>, Fault> {
    let _ = (inputs, facts);
    match container.image.as_str() {
        "argostub/createpvc" => Ok(Some(Claim::Create(Value::Null))),
        "argostub/deletepvc" => Ok(Some(Claim::Delete(String::new()))),
        _ => Ok(None),
    }
}

/// The artifact that an importer names, without an id.
pub(super) fn import(importer: &Importer, inputs: &Values) -> Result<Artifact, Fault> {
    let uri = match &importer.uri {
        ImportUri::Constant(uri) => uri.clone(),
        ImportUri::Parameter(name) => match inputs.parameters.get(name) {
            Some(Value::String(uri)) => uri.clone(),
            _ => return Err(Fault::new(name.clone(), "the importer's URI is not a string")),
        },
    };
    Ok(Artifact {
        uri,
        schema_title: importer.schema.title.clone(),
        schema_version: importer.schema.version.clone(),
        metadata: importer.metadata.clone(),
        ..Artifact::default()
    })
}

/// The executor of a component that has one.
pub(super) fn executor<'a>(executors: &'a BTreeMap<String, Executor>, label: &str) -> Result<&'a Executor, Fault> {
    executors
        .get(label)
        .ok_or_else(|| Fault::new(format!("deploymentSpec.executors.{label}"), "there is no such executor"))
}
