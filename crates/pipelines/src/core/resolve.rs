//! What goes into a task: from its parent's inputs, from outputs of its siblings, from constants.
//!
//! Rules are those of upstream's `driver/resolve.go`, where facts about the language are; two things go beyond it.
//! Placeholders in constants are replaced anywhere, once. And a task that runs whatever became of those it waits for
//! takes their missing outputs for absent.

use serde_json::{Map, Value, json};

use super::{
    condition::Condition,
    fault::Fault,
    ir::{
        ArtifactSource, Body, Component, DagOutputs, InputParameter, Items, OutputSource, ParameterFrom,
        ParameterSource, ParameterType, Selector, Strategy, Task,
    },
    placeholder::{self, Placeholder},
    runtime,
    task::{TaskError, TaskState},
    value::{self, Artifact, Parameters, Values},
};

/// Where a workspace is mounted.
pub const WORKSPACE: &str = "/kfp-workspace";

/// What is known of a run from its beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// A UUID.
    pub run_id: String,
    pub display_name: String,
    /// `<pipelineInfo.name>-<suffix>`: what upstream's workflow would be called.
    pub resource_name: String,
    pub namespace: String,
    /// Milliseconds since 1970.
    pub created_ms: i64,
    /// Milliseconds since 1970; as `created_ms` where nothing was scheduled.
    pub scheduled_ms: i64,
    /// Where artifacts go: `minio://mlpipeline/v2/artifacts`.
    pub root: String,
}

/// A task as its siblings see it.
#[derive(Clone, Copy, Debug)]
pub struct Sibling<'a> {
    pub state: TaskState,
    pub outputs: &'a Values,
    pub error: Option<&'a TaskError>,
}

/// What a task of a DAG sees.
pub trait Scope {
    /// An input parameter of the DAG, or of the iteration or its loop.
    fn parameter(&self, name: &str) -> Option<&Value>;
    /// An input artifact of the DAG, or of the iteration or its loop.
    fn artifacts(&self, name: &str) -> Option<&Vec<Artifact>>;
    /// A task of the DAG by its key.
    fn sibling(&self, key: &str) -> Option<Sibling<'_>>;
    /// The id of a task of the DAG.
    fn task_id(&self, key: &str) -> String;
    fn facts(&self) -> &Facts;
}

/// A fact of a run or a task by the name behind `{{$.`.
pub fn fact(name: &str, facts: &Facts, task_key: &str, task_id: &str) -> Option<Value> {
    let text = match name {
        "pipeline_job_name" => &facts.display_name,
        "pipeline_job_resource_name" => &facts.resource_name,
        "pipeline_job_uuid" => &facts.run_id,
        "pipeline_job_create_time_utc" => return Some(time(facts.created_ms).into()),
        "pipeline_job_schedule_time_utc" => return Some(time(facts.scheduled_ms).into()),
        "pipeline_root" => &facts.root,
        "pipeline_task_name" => task_key,
        "pipeline_task_uuid" => task_id,
        "workspace_path" => WORKSPACE,
        _ => return None,
    };
    Some(text.into())
}

/// A time in RFC 3339, in whole seconds of UTC.
fn time(ms: i64) -> String {
    jiff::Timestamp::from_second(ms.div_euclid(1000)).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}

/// The inputs of a task: of a step without the defaults of its component, which its executor input adds; of a DAG with
/// them, and with `null` for optional ones that have none.
///
/// An iterated task has its own inputs so, and each iteration those of [`iteration`].
///
/// # Errors
/// Where a value is missing, or not of its type.
pub fn inputs(key: &str, task: &Task, component: &Component, scope: &dyn Scope) -> Result<Values, Fault> {
    let mut values = Values::default();
    let mut constants = Vec::new();
    for (name, source) in &task.parameters {
        let declared = component.inputs.parameters.get(name);
        if declared.is_some_and(|declared| declared.kind == ParameterType::TaskConfig) {
            continue;
        }
        if let ParameterFrom::Constant(_) = &source.from {
            constants.push((name, source, declared));
            continue;
        }
        let found = parameter(key, task, source, scope).map_err(|what| at_parameter(name, what))?;
        settle(name, found, declared, &mut values.parameters)?;
    }
    // Constants come last: they may hold placeholders of other inputs, as they were resolved.
    let others = values.parameters.clone();
    for (name, source, declared) in constants {
        let found = constant(key, source, declared, &others, scope).map_err(|what| at_parameter(name, what))?;
        settle(name, Some(found), declared, &mut values.parameters)?;
    }
    if let Body::Dag(_) = &component.body {
        fill(task, component, &mut values.parameters);
    }
    for (name, source) in &task.artifacts {
        let is_optional = component.inputs.artifacts.get(name).is_some_and(|declared| declared.is_optional);
        match artifacts(task, source, scope).map_err(|what| Fault::new(format!("inputs.artifacts.{name}"), what))? {
            Some(found) => {
                values.artifacts.insert(name.clone(), found);
            }
            None if is_optional => {}
            None => {
                let what = "is not there: what makes it did not run or failed, and the input is not optional";
                return Err(Fault::new(format!("inputs.artifacts.{name}"), what));
            }
        }
    }
    required(task, component, &values.parameters)?;
    Ok(values)
}

fn at_parameter(name: &str, what: String) -> Fault {
    Fault::new(format!("inputs.parameters.{name}"), what)
}

/// Takes a value in, after its type.
fn settle(
    name: &str,
    found: Option<Value>,
    declared: Option<&InputParameter>,
    into: &mut Parameters,
) -> Result<(), Fault> {
    let Some(declared) = declared else {
        into.insert(name.to_owned(), found.unwrap_or(Value::Null));
        return Ok(());
    };
    match found.filter(|found| !found.is_null()) {
        Some(found) => {
            let value = typed(name, declared, found)?;
            into.insert(name.to_owned(), value);
            Ok(())
        }
        // Optional without a value: absent, and the component's default counts.
        None if declared.is_optional || declared.default.is_some() => Ok(()),
        None => Err(at_parameter(name, "the resolved input parameter is null, and it is not optional".to_owned())),
    }
}

/// A value as its declared type: whatever is no string becomes text for one that is, anything else must fit.
///
/// # Errors
/// Where it does not, in upstream's words.
pub fn typed(name: &str, declared: &InputParameter, value: Value) -> Result<Value, Fault> {
    let value = match declared.kind {
        ParameterType::String => value::text(&value).into(),
        kind if kind.takes(&value) => value,
        kind => {
            let what = format!(
                "input parameter {name:?} type mismatch: expect {}, got {} ({})",
                kind.name(),
                type_name(&value),
                value::describe(&value)
            );
            return Err(Fault::new(format!("inputs.parameters.{name}"), what));
        }
    };
    runtime::literal(declared, &value).map_err(|what| at_parameter(name, what))?;
    Ok(value)
}

/// Upstream's names of kinds of JSON.
fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "struct",
    }
}

/// Gives the optional inputs of a DAG their defaults, or `null`: its own tasks refer to them by name.
fn fill(task: &Task, component: &Component, parameters: &mut Parameters) {
    let item = task.iterator.as_ref().map(|iterator| &iterator.input);
    for (name, declared) in &component.inputs.parameters {
        if item != Some(name) && (declared.is_optional || declared.default.is_some()) {
            let absent = || declared.default.clone().unwrap_or(Value::Null);
            parameters.entry(name.clone()).or_insert_with(absent);
        }
    }
}

/// Reading has seen that a task names what its component needs, and here it has come.
fn required(task: &Task, component: &Component, parameters: &Parameters) -> Result<(), Fault> {
    let item = task.iterator.as_ref().map(|iterator| &iterator.input);
    for (name, declared) in &component.inputs.parameters {
        let may_lack = declared.is_optional
            || declared.default.is_some()
            || declared.kind == ParameterType::TaskConfig
            || item == Some(name);
        if !may_lack && !parameters.contains_key(name) {
            let what = format!("neither value nor default value provided for non-optional parameter {name:?}");
            return Err(at_parameter(name, what));
        }
    }
    Ok(())
}

/// A parameter by where it comes from, its selector applied; `None` where there is none. Also for the platform document.
///
/// # Errors
/// Where it names what should be there and is not.
pub fn parameter(key: &str, task: &Task, source: &ParameterSource, scope: &dyn Scope) -> Result<Option<Value>, String> {
    let found = match &source.from {
        ParameterFrom::Constant(_) => Some(constant(key, source, None, &Parameters::new(), scope)?),
        ParameterFrom::Input(name) => match scope.parameter(name) {
            Some(value) => Some(value.clone()),
            None => return Err(format!("parent DAG does not have input parameter {name}")),
        },
        ParameterFrom::Output(selector) => output_parameter(task, selector, scope)?,
        ParameterFrom::FinalStatus(name) => Some(final_status(name, scope)?),
    };
    match (found, &source.selector) {
        (Some(found), Some(selector)) if !found.is_null() => select(&found, selector).map(Some),
        (found, _) => Ok(found),
    }
}

fn select(found: &Value, selector: &str) -> Result<Value, String> {
    let selected = Condition::parse(selector).and_then(|selector| selector.select(found));
    selected.map_err(|fault| format!("evaluation of parameter expression selector {selector:?} failed: {}", fault.what))
}

/// A constant with its placeholders replaced: facts, and other inputs of the task by their text.
fn constant(
    key: &str,
    source: &ParameterSource,
    declared: Option<&InputParameter>,
    others: &Parameters,
    scope: &dyn Scope,
) -> Result<Value, String> {
    let ParameterFrom::Constant(constant) = &source.from else { return Ok(Value::Null) };
    let task_id = scope.task_id(key);
    let lookup = |placeholder: &Placeholder<'_>| match placeholder {
        Placeholder::Fact(name) => fact(name, scope.facts(), key, &task_id),
        Placeholder::InputParameter(name) => others.get(*name).cloned(),
        _ => None,
    };
    let is_text = declared.is_none_or(|declared| declared.kind == ParameterType::String);
    let expanded = match constant {
        // One placeholder and nothing else is its value, where text is not what is wanted.
        Value::String(text) if !is_text => {
            placeholder::sole(text).and_then(|sole| lookup(&sole)).unwrap_or_else(|| constant.clone())
        }
        constant => placeholder::expand_value(constant, &lookup),
    };
    match &source.selector {
        Some(selector) => select(&expanded, selector),
        None => Ok(expanded),
    }
}

fn output_parameter(task: &Task, selector: &Selector, scope: &dyn Scope) -> Result<Option<Value>, String> {
    let (name, output) = (&selector.task, &selector.output);
    let producer = scope.sibling(name);
    let found = producer.and_then(|producer| producer.outputs.parameters.get(output).cloned());
    match (found, producer) {
        (Some(found), _) => Ok(Some(found)),
        (None, _) if task.strategy == Strategy::Completed => Ok(None),
        (None, None) => Err(format!("producer task, {name}, has not run")),
        (None, Some(producer)) if producer.state.is_success() => Err(no_value("parameter", name, output)),
        (None, Some(producer)) => {
            Err(format!("producer task {name} is {:?}, so it has no output {output:?}", producer.state))
        }
    }
}

fn no_value(kind: &str, task: &str, output: &str) -> String {
    format!(
        "task {task} succeeded and has no output {kind} {output:?}: no task within it that makes it succeeded \
         (processing OneOf: No successful task found)"
    )
}

/// Artifacts by where they come from; `None` where there are none.
fn artifacts(task: &Task, source: &ArtifactSource, scope: &dyn Scope) -> Result<Option<Vec<Artifact>>, String> {
    match source {
        ArtifactSource::Input(name) => Ok(scope.artifacts(name).cloned()),
        ArtifactSource::Output(selector) => {
            let (name, output) = (&selector.task, &selector.output);
            let producer = scope.sibling(name);
            let found = producer.and_then(|producer| producer.outputs.artifacts.get(output).cloned());
            match (found, producer) {
                (Some(found), _) => Ok(Some(found)),
                (None, _) if task.strategy == Strategy::Completed => Ok(None),
                (None, None) => Err(format!("producer task, {name}, has not run")),
                (None, Some(producer)) if producer.state.is_success() => Err(no_value("artifact", name, output)),
                (None, Some(producer)) => {
                    Err(format!("producer task {name} is {:?}, so it has no output {output:?}", producer.state))
                }
            }
        }
    }
}

/// `PipelineTaskFinalStatus` of a sibling, with the state by MLMD's name, as upstream has it.
fn final_status(name: &str, scope: &dyn Scope) -> Result<Value, String> {
    let Some(task) = scope.sibling(name) else { return Err(format!("producer task, {name}, has not run")) };
    let state = match task.state {
        TaskState::Pending => "NEW",
        TaskState::Running => "RUNNING",
        TaskState::Succeeded | TaskState::Cached => "COMPLETE",
        TaskState::Failed => "FAILED",
        TaskState::Canceled | TaskState::Skipped => "CANCELED",
    };
    let mut error = Map::new();
    if let Some(TaskError { message, .. }) = task.error.filter(|error| !error.message.is_empty()) {
        error.insert("message".to_owned(), message.clone().into());
    }
    Ok(json!({
        "state": state,
        "error": error,
        "pipelineJobResourceName": scope.facts().resource_name,
        "pipelineTaskName": name,
    }))
}

/// One item of a loop.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    Parameter(Value),
    Artifact(Artifact),
}

/// Items that a loop may have: each becomes rows of the run.
pub const MAX_ITEMS: usize = 100_000;

/// The items of an iterated task, from its own inputs as [`inputs`] gave them; none for a task without an iterator.
///
/// # Errors
/// Where the input is no list, nor text of a JSON list, or there are more than [`MAX_ITEMS`].
pub fn items(key: &str, task: &Task, inputs: &Values, scope: &dyn Scope) -> Result<Vec<Item>, Fault> {
    let fault = |what: String| Fault::new("parameterIterator.items", what);
    let list = match task.iterator.as_ref().map(|iterator| &iterator.items) {
        None => Vec::new(),
        Some(Items::Constant(items)) => {
            let task_id = scope.task_id(key);
            let lookup = |placeholder: &Placeholder<'_>| match placeholder {
                Placeholder::Fact(name) => fact(name, scope.facts(), key, &task_id),
                Placeholder::InputParameter(name) => inputs.parameters.get(*name).cloned(),
                _ => None,
            };
            items.iter().map(|item| placeholder::expand_value(item, &lookup)).collect()
        }
        Some(Items::Parameter(name)) => match inputs.parameters.get(name) {
            Some(Value::Array(items)) => items.clone(),
            Some(Value::String(text)) => match serde_json::from_str(text).map(value::integral) {
                Ok(Value::Array(items)) => items,
                _ => return Err(fault(format!("input {name:?} is text, and not that of a JSON list"))),
            },
            Some(other) => return Err(fault(format!("input {name:?} must be a list, not {}", value::describe(other)))),
            None => return Err(fault(format!("input {name:?} has no value to iterate over"))),
        },
        Some(Items::Artifact(name)) => match inputs.artifacts.get(name) {
            Some(artifacts) => return bounded(artifacts.iter().cloned().map(Item::Artifact).collect()),
            None => return Err(Fault::new("artifactIterator.items", format!("input {name:?} has no artifacts"))),
        },
    };
    bounded(list.into_iter().map(Item::Parameter).collect())
}

fn bounded(items: Vec<Item>) -> Result<Vec<Item>, Fault> {
    if items.len() <= MAX_ITEMS {
        return Ok(items);
    }
    Err(Fault::new("iterator.items", format!("there are {} items, and a loop runs at most {MAX_ITEMS}", items.len())))
}

/// What an iteration has beside the inputs of its loop: its item, under the name and with the type that the component
/// declares.
///
/// # Errors
/// Where the item does not fit.
pub fn item(task: &Task, component: &Component, item: Item) -> Result<Values, Fault> {
    let mut values = Values::default();
    let Some(iterator) = &task.iterator else { return Ok(values) };
    match item {
        Item::Parameter(item) => {
            let declared = component.inputs.parameters.get(&iterator.input);
            settle(&iterator.input, Some(item), declared, &mut values.parameters)?;
        }
        Item::Artifact(item) => {
            values.artifacts.insert(iterator.input.clone(), vec![item]);
        }
    }
    Ok(values)
}

/// What a DAG hands out once its tasks have ended: of each output the value of its task, or of the first selector's
/// whose task has succeeded. What has no such task is absent.
pub fn dag_outputs(outputs: &DagOutputs, scope: &dyn Scope) -> Values {
    let mut values = Values::default();
    for (name, source) in &outputs.parameters {
        if let Some(value) = first(source, scope, |outputs, output| outputs.parameters.get(output)) {
            values.parameters.insert(name.clone(), value.clone());
        }
    }
    for (name, source) in &outputs.artifacts {
        if let Some(artifacts) = first(source, scope, |outputs, output| outputs.artifacts.get(output)) {
            values.artifacts.insert(name.clone(), artifacts.clone());
        }
    }
    values
}

fn first<'a, T>(
    source: &OutputSource,
    scope: &'a dyn Scope,
    of: impl Fn(&'a Values, &str) -> Option<&'a T>,
) -> Option<&'a T> {
    let selectors = match source {
        OutputSource::One(selector) => std::slice::from_ref(selector),
        OutputSource::OneOf(selectors) => selectors,
    };
    let succeeded = |selector: &&Selector| scope.sibling(&selector.task).is_some_and(|task| task.state.is_success());
    let selector = selectors.iter().find(succeeded)?;
    of(scope.sibling(&selector.task)?.outputs, &selector.output)
}

#[cfg(test)]
mod tests;
