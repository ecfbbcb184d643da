//! What the engine asks of the rest of the core: what a condition says, what an importer names, what a claim is.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::core::{
    condition::Condition,
    fault::Fault,
    id,
    ir::{Component, Container, Executor, ImportUri, Importer, Pipeline, Task},
    value::{Artifact, Parameters, Values},
};

use crate::core::resolve::Facts;

/// A claim of storage that a task makes or deletes.
#[derive(Clone, Debug, PartialEq)]
pub enum Claim {
    /// The object, without a namespace; its name is the output `name`.
    Create(Value),
    Delete(String),
}

/// Whether a task's condition holds.
pub(super) fn condition(text: &str, parameters: &Parameters) -> Result<bool, Fault> {
    Condition::parse(text)?.evaluate(parameters)
}

/// What a step stands for in the cache.
pub(super) fn fingerprint(pipeline: &Pipeline, task: &Task, component: &Component, inputs: &Values) -> String {
    let _ = (pipeline, component);
    id::digest(&format!("{:?} {:?} {inputs:?}", task.caching.key, task.component))
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
            _ => return Err(Fault::new(format!("artifactUri.runtimeParameter {name}"), "is no string")),
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
