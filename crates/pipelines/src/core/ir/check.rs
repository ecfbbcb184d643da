//! Whether a pipeline's references lead somewhere: components, executors, tasks, inputs, outputs, and no circle.
//!
//! It also completes what tasks wait for. Faults name the place as the document has it.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    ArtifactSource, Body, Component, Dag, Items, OutputSource, ParameterFrom, ParameterSource, ParameterType, Pipeline,
    Selector, Task,
    node::{join, under},
};
use crate::core::{condition::Condition, fault::Fault, value};

/// Tasks that a pipeline may have when each use of a component is counted (a loop once): more than this is no
/// pipeline that a person wrote, and small documents can stand for 2^n of them.
const MAX_TASKS: u64 = 100_000;
/// DAGs within DAGs: whoever walks them is recursive.
const MAX_DEPTH: usize = 100;
/// Bytes of the longest path of a task. PostgreSQL's indexes take 2,704 bytes a row, of which the run's id has some.
const MAX_PATH: usize = 2000;
/// Bytes that a part of a path has besides a task's key: a slash, and the number of an iteration with another one.
const PATH_PART: usize = 1 + 7;

/// What a component stands for, with all that it holds.
#[derive(Clone, Copy)]
struct Extent {
    tasks: u64,
    /// Bytes of its longest path.
    path: usize,
}

/// Checks a pipeline, and adds to what its tasks wait for.
///
/// # Errors
/// The first fault and its place.
pub fn pipeline(pipeline: &mut Pipeline) -> Result<(), Fault> {
    complete_dependencies(pipeline);
    check_component(pipeline, "root", &pipeline.root)?;
    for (name, component) in &pipeline.components {
        check_component(pipeline, &join("components", name), component)?;
    }
    for label in pipeline.platform.executors.keys() {
        if !pipeline.executors.contains_key(label) {
            let at = join("platforms.kubernetes.deploymentSpec.executors", label);
            return Err(Fault::new(at, unknown("executor", label, pipeline.executors.keys())));
        }
    }
    let mut sizes = BTreeMap::new();
    let Extent { tasks, path } = size(pipeline, "root", &pipeline.root, &mut Vec::new(), &mut sizes)?;
    if tasks > MAX_TASKS {
        let what = format!("stands for {tasks} tasks with all nested pipelines; at most {MAX_TASKS} are run");
        return Err(Fault::new("root", what));
    }
    if path > MAX_PATH {
        let what = format!(
            "has tasks whose names, with those of all that they are in, take {path} bytes; at most {MAX_PATH} do"
        );
        return Err(Fault::new("root", what));
    }
    Ok(())
}

/// Adds the producers of inputs to what tasks wait for, those of the platform document included.
fn complete_dependencies(pipeline: &mut Pipeline) {
    let by_label: BTreeMap<&str, Vec<String>> = pipeline
        .platform
        .executors
        .iter()
        .map(|(label, config)| {
            let mut producers = Vec::new();
            platform_producers(&serde_json::Value::Object(config.clone()), &mut producers);
            (label.as_str(), producers)
        })
        .collect();
    let by_component: BTreeMap<String, Vec<String>> = pipeline
        .components
        .iter()
        .filter_map(|(name, component)| match &component.body {
            Body::Executor(label) => Some((name.clone(), by_label.get(label.as_str())?.clone())),
            Body::Dag(_) => None,
        })
        .collect();
    let components = pipeline.components.values_mut().chain([&mut pipeline.root]);
    for component in components {
        let Body::Dag(dag) = &mut component.body else { continue };
        let keys: BTreeSet<String> = dag.tasks.keys().cloned().collect();
        for task in dag.tasks.values_mut() {
            let mut producers: Vec<String> = task.parameters.values().filter_map(producer).collect();
            producers.extend(task.artifacts.values().filter_map(|source| match source {
                ArtifactSource::Output(selector) => Some(selector.task.clone()),
                ArtifactSource::Input(_) => None,
            }));
            // One executor may serve tasks of several DAGs, of which not each has the producer.
            let others = by_component.get(&task.component).into_iter().flatten();
            producers.extend(others.filter(|name| keys.contains(*name)).cloned());
            for name in producers {
                if !task.depends.contains(&name) {
                    task.depends.push(name);
                }
            }
        }
    }
}

fn producer(source: &ParameterSource) -> Option<String> {
    match &source.from {
        ParameterFrom::Output(selector) => Some(selector.task.clone()),
        ParameterFrom::FinalStatus(task) => Some(task.clone()),
        ParameterFrom::Constant(_) | ParameterFrom::Input(_) => None,
    }
}

fn platform_producers(value: &serde_json::Value, producers: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(fields) => {
            if let Some(task) = fields.get("producerTask").and_then(|task| task.as_str()) {
                producers.push(task.to_owned());
            }
            fields.values().for_each(|value| platform_producers(value, producers));
        }
        serde_json::Value::Array(items) => items.iter().for_each(|value| platform_producers(value, producers)),
        _ => {}
    }
}

fn check_component(pipeline: &Pipeline, at: &str, component: &Component) -> Result<(), Fault> {
    let dag = match &component.body {
        Body::Executor(label) if pipeline.executors.contains_key(label) => return Ok(()),
        Body::Executor(label) => {
            let what = unknown("executor", label, pipeline.executors.keys());
            return Err(Fault::new(under(at, "executorLabel"), what));
        }
        Body::Dag(dag) => dag,
    };
    let scope = Scope { pipeline, parent: component, dag };
    for (key, task) in &dag.tasks {
        scope.task(&join(&under(at, "dag.tasks"), key), key, task)?;
    }
    no_circle(dag).map_err(|what| Fault::new(under(at, "dag.tasks"), what))?;
    for (name, source) in &dag.outputs.parameters {
        let at = join(&under(at, "dag.outputs.parameters"), name);
        if !component.outputs.parameters.contains_key(name) {
            return Err(Fault::new(at, "is not declared in outputDefinitions.parameters"));
        }
        selectors(source).iter().try_for_each(|selector| scope.output(&at, selector, Kind::Parameter))?;
    }
    for (name, source) in &dag.outputs.artifacts {
        let at = join(&under(at, "dag.outputs.artifacts"), name);
        if !component.outputs.artifacts.contains_key(name) {
            return Err(Fault::new(at, "is not declared in outputDefinitions.artifacts"));
        }
        selectors(source).iter().try_for_each(|selector| scope.output(&at, selector, Kind::Artifact))?;
    }
    Ok(())
}

fn selectors(source: &OutputSource) -> &[Selector] {
    match source {
        OutputSource::One(selector) => std::slice::from_ref(selector),
        OutputSource::OneOf(selectors) => selectors,
    }
}

fn unknown<'a>(kind: &str, name: &str, known: impl std::iter::Iterator<Item = &'a String>) -> String {
    let known: Vec<&str> = known.take(10).map(String::as_str).collect();
    let known = if known.is_empty() { "there is none".to_owned() } else { format!("there are {}", known.join(", ")) };
    format!("names the {kind} {name:?}, which does not exist; {known}")
}

#[derive(Clone, Copy)]
enum Kind {
    Parameter,
    Artifact,
}

/// What a task of a DAG may refer to.
struct Scope<'a> {
    pipeline: &'a Pipeline,
    parent: &'a Component,
    dag: &'a Dag,
}

impl Scope<'_> {
    fn task(&self, at: &str, key: &str, task: &Task) -> Result<(), Fault> {
        let Some(component) = self.pipeline.components.get(&task.component) else {
            let what = unknown("component", &task.component, self.pipeline.components.keys());
            return Err(Fault::new(under(at, "componentRef.name"), what));
        };
        for name in &task.depends {
            if name == key {
                return Err(Fault::new(at, "waits for itself"));
            }
            // Producers of inputs are looked at with the inputs.
            if !self.dag.tasks.contains_key(name) && !self.is_producer(task, name) {
                let what = unknown("task", name, self.dag.tasks.keys());
                return Err(Fault::new(under(at, "dependentTasks"), what));
            }
        }
        for (name, source) in &task.parameters {
            self.parameter(&join(&under(at, "inputs.parameters"), name), source)?;
        }
        for (name, source) in &task.artifacts {
            self.artifact(&join(&under(at, "inputs.artifacts"), name), source)?;
        }
        given_inputs(at, task, component)?;
        iterator(at, task, component)?;
        if let Some(condition) = &task.condition {
            let at = under(at, "triggerPolicy.condition");
            Condition::parse(condition).map_err(|fault| Fault::new(at, fault.what))?;
        }
        Ok(())
    }

    fn is_producer(&self, task: &Task, name: &str) -> bool {
        let artifact = |source: &ArtifactSource| matches!(source, ArtifactSource::Output(from) if from.task == name);
        task.parameters.values().filter_map(producer).any(|producer| producer == name)
            || task.artifacts.values().any(artifact)
    }

    fn parameter(&self, at: &str, source: &ParameterSource) -> Result<(), Fault> {
        if let Some(selector) = &source.selector {
            let at = under(at, "parameterExpressionSelector");
            Condition::parse(selector).map_err(|fault| Fault::new(at, fault.what))?;
        }
        match &source.from {
            ParameterFrom::Constant(_) => Ok(()),
            ParameterFrom::Input(name) if self.parent.inputs.parameters.contains_key(name) => Ok(()),
            ParameterFrom::Input(name) => Err(Fault::new(
                under(at, "componentInputParameter"),
                unknown("input parameter", name, self.parent.inputs.parameters.keys()),
            )),
            ParameterFrom::Output(selector) => {
                self.output(&under(at, "taskOutputParameter"), selector, Kind::Parameter)
            }
            ParameterFrom::FinalStatus(name) if self.dag.tasks.contains_key(name) => Ok(()),
            ParameterFrom::FinalStatus(name) => {
                Err(Fault::new(under(at, "taskFinalStatus.producerTask"), unknown("task", name, self.dag.tasks.keys())))
            }
        }
    }

    fn artifact(&self, at: &str, source: &ArtifactSource) -> Result<(), Fault> {
        match source {
            ArtifactSource::Input(name) if self.parent.inputs.artifacts.contains_key(name) => Ok(()),
            ArtifactSource::Input(name) => Err(Fault::new(
                under(at, "componentInputArtifact"),
                unknown("input artifact", name, self.parent.inputs.artifacts.keys()),
            )),
            ArtifactSource::Output(selector) => self.output(&under(at, "taskOutputArtifact"), selector, Kind::Artifact),
        }
    }

    fn output(&self, at: &str, selector: &Selector, kind: Kind) -> Result<(), Fault> {
        let Some(task) = self.dag.tasks.get(&selector.task) else {
            return Err(Fault::new(at, unknown("task", &selector.task, self.dag.tasks.keys())));
        };
        // A component that does not exist is told of at its own task.
        let Some(component) = self.pipeline.components.get(&task.component) else { return Ok(()) };
        let outputs = &component.outputs;
        let (is_there, what, known) = match kind {
            Kind::Parameter => {
                let known: Vec<_> = outputs.parameters.keys().collect();
                (outputs.parameters.contains_key(&selector.output), "output parameter", known)
            }
            Kind::Artifact => {
                let known: Vec<_> = outputs.artifacts.keys().collect();
                (outputs.artifacts.contains_key(&selector.output), "output artifact", known)
            }
        };
        if is_there {
            return Ok(());
        }
        let what = unknown(&format!("{what} of task {:?}:", selector.task), &selector.output, known.into_iter());
        Err(Fault::new(at, what))
    }
}

/// Inputs that a task gives are declared, fit their types where they are constants, and none is missing.
fn given_inputs(at: &str, task: &Task, component: &Component) -> Result<(), Fault> {
    for (name, source) in &task.parameters {
        let at = join(&under(at, "inputs.parameters"), name);
        let Some(declared) = component.inputs.parameters.get(name) else {
            // What placeholders refer to comes as inputs that are not declared.
            continue;
        };
        let ParameterFrom::Constant(constant) = &source.from else { continue };
        if source.selector.is_some() || value::has_placeholder(constant) || declared.kind == ParameterType::String {
            continue;
        }
        if constant.is_null() && (declared.is_optional || declared.default.is_some()) {
            continue;
        }
        if !declared.kind.takes(constant) {
            let (kind, got) = (declared.kind.describe(), value::describe(constant));
            return Err(Fault::new(under(&at, "runtimeValue.constant"), format!("must be {kind}, not {got}")));
        }
    }
    for name in task.artifacts.keys() {
        if !component.inputs.artifacts.contains_key(name) {
            let what = unknown("input artifact", name, component.inputs.artifacts.keys());
            let at = join(&under(at, "inputs.artifacts"), name);
            return Err(Fault::new(at, format!("{what} in component {:?}", task.component)));
        }
    }
    let item = task.iterator.as_ref().map(|iterator| iterator.input.as_str());
    for (name, declared) in &component.inputs.parameters {
        let is_injected = declared.kind == ParameterType::TaskConfig || item == Some(name);
        let may_lack = declared.is_optional || declared.default.is_some();
        if !is_injected && !may_lack && !task.parameters.contains_key(name) {
            return Err(missing(at, "parameter", name, &task.component));
        }
    }
    for (name, declared) in &component.inputs.artifacts {
        if !declared.is_optional && item != Some(name) && !task.artifacts.contains_key(name) {
            return Err(missing(at, "artifact", name, &task.component));
        }
    }
    Ok(())
}

fn missing(at: &str, kind: &str, name: &str, component: &str) -> Fault {
    let what = format!("does not give the {kind} {name:?}, which component {component:?} needs: it has no default");
    Fault::new(under(at, "inputs"), what)
}

fn iterator(at: &str, task: &Task, component: &Component) -> Result<(), Fault> {
    let Some(iterator) = &task.iterator else {
        if task.parallelism > 0 {
            return Err(Fault::new(under(at, "iteratorPolicy"), "stands without an iterator"));
        }
        return Ok(());
    };
    let (field, is_given, is_taken) = match &iterator.items {
        Items::Constant(_) => ("parameterIterator", true, component.inputs.parameters.contains_key(&iterator.input)),
        Items::Parameter(name) => (
            "parameterIterator",
            task.parameters.contains_key(name),
            component.inputs.parameters.contains_key(&iterator.input),
        ),
        Items::Artifact(name) => (
            "artifactIterator",
            task.artifacts.contains_key(name),
            component.inputs.artifacts.contains_key(&iterator.input),
        ),
    };
    let at = join(at, field);
    if !is_given {
        return Err(Fault::new(under(&at, "items"), "names an input that the task is not given in inputs"));
    }
    if !is_taken {
        let what = format!("{:?} is no input of component {:?}", iterator.input, task.component);
        return Err(Fault::new(under(&at, "itemInput"), what));
    }
    Ok(())
}

/// Whether the tasks can be put in an order; a circle is told as `a -> b -> a`.
fn no_circle(dag: &Dag) -> Result<(), String> {
    let mut waits: BTreeMap<&str, usize> = BTreeMap::new();
    let mut after: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (key, task) in &dag.tasks {
        waits.insert(key, task.depends.len());
        for name in &task.depends {
            after.entry(name).or_default().push(key);
        }
    }
    let mut ready: Vec<&str> = waits.iter().filter(|(_, count)| **count == 0).map(|(key, _)| *key).collect();
    while let Some(key) = ready.pop() {
        waits.remove(key);
        for next in after.get(key).into_iter().flatten() {
            if let Some(count) = waits.get_mut(next) {
                *count -= 1;
                if *count == 0 {
                    ready.push(next);
                }
            }
        }
    }
    // What is left waits for something that is left: following it leads around.
    let Some(mut key) = waits.keys().next().copied() else { return Ok(()) };
    let mut path: Vec<&str> = Vec::new();
    while !path.contains(&key) {
        path.push(key);
        let left = dag.tasks[key].depends.iter().find(|name| waits.contains_key(name.as_str()));
        let Some(next) = left else { break };
        key = next;
    }
    let start = path.iter().position(|name| *name == key).unwrap_or(0);
    path.push(key);
    Err(format!("tasks wait for each other in a circle: {}", path[start..].join(" -> ")))
}

/// How much a component stands for; refuses components that hold themselves.
fn size<'a>(
    pipeline: &'a Pipeline,
    name: &'a str,
    component: &'a Component,
    path: &mut Vec<&'a str>,
    sizes: &mut BTreeMap<&'a str, Extent>,
) -> Result<Extent, Fault> {
    let mut total = Extent { tasks: 1, path: 0 };
    let Body::Dag(dag) = &component.body else { return Ok(total) };
    if let Some(size) = sizes.get(name) {
        return Ok(*size);
    }
    if let Some(start) = path.iter().position(|above| *above == name) {
        let circle = [&path[start..], &[name]].concat().join(" -> ");
        return Err(Fault::new(join("components", name), format!("contains itself: {circle}")));
    }
    if path.len() >= MAX_DEPTH {
        let what = format!("is nested more than {MAX_DEPTH} deep");
        return Err(Fault::new(join("components", name), what));
    }
    path.push(name);
    for (key, task) in &dag.tasks {
        if let Some((name, component)) = pipeline.components.get_key_value(&task.component) {
            let inner = size(pipeline, name, component, path, sizes)?;
            total.tasks = total.tasks.saturating_add(inner.tasks);
            total.path = total.path.max(key.len() + PATH_PART + inner.path);
        }
    }
    path.pop();
    sizes.insert(name, total);
    Ok(total)
}
