//! Components, their DAGs and tasks, from `ComponentSpec`; each reads one message and follows no reference.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    ArtifactSource, Body, Caching, Component, Dag, DagOutputs, InputArtifact, InputParameter, Inputs, Items, Iterator,
    OutputArtifact, OutputSource, Outputs, ParameterFrom, ParameterSource, ParameterType, Passthrough, Retry, Schema,
    Selector, Strategy, Task, node::Node,
};
use crate::core::{fault::Fault, value};

const PARAMETER_TYPES: [&str; 9] = [
    "PARAMETER_TYPE_ENUM_UNSPECIFIED",
    "NUMBER_DOUBLE",
    "NUMBER_INTEGER",
    "STRING",
    "BOOLEAN",
    "LIST",
    "STRUCT",
    "TASK_FINAL_STATUS",
    "TASK_CONFIG",
];
const PRIMITIVE_TYPES: [&str; 4] = ["PRIMITIVE_TYPE_UNSPECIFIED", "INT", "DOUBLE", "STRING"];
const PASSTHROUGHS: [&str; 7] = [
    "NONE",
    "RESOURCES",
    "ENV",
    "KUBERNETES_AFFINITY",
    "KUBERNETES_TOLERATIONS",
    "KUBERNETES_NODE_SELECTOR",
    "KUBERNETES_VOLUMES",
];

/// Reads a `ComponentSpec`.
///
/// # Errors
/// The first fault and its place.
pub fn read(node: &Node<'_>) -> Result<Component, Fault> {
    let fields = node.fields(&[
        "inputDefinitions",
        "outputDefinitions",
        "dag",
        "executorLabel",
        "singlePlatformSpecs",
        "taskConfigPassthroughs",
    ])?;
    if let Some(specs) = fields.items("singlePlatformSpecs")?.first() {
        return Err(specs.fault("is not supported; what a platform adds stands in the platform document"));
    }
    let body = match fields.choice(&["dag", "executorLabel"])? {
        ("dag", dag) => Body::Dag(read_dag(&dag)?),
        (_, label) => Body::Executor(label.text()?.to_owned()),
    };
    let mut passthroughs = Vec::new();
    for node in fields.items("taskConfigPassthroughs")? {
        let fields = node.fields(&["field", "applyToTask"])?;
        let field = PASSTHROUGHS[fields.need("field")?.one_of(&PASSTHROUGHS)?].to_owned();
        passthroughs.push(Passthrough { field, apply_to_task: fields.bool("applyToTask")? });
    }
    Ok(Component {
        inputs: fields.get("inputDefinitions").map_or_else(|| Ok(Inputs::default()), |node| read_inputs(&node))?,
        outputs: fields.get("outputDefinitions").map_or_else(|| Ok(Outputs::default()), |node| read_outputs(&node))?,
        body,
        passthroughs,
    })
}

fn read_inputs(node: &Node<'_>) -> Result<Inputs, Fault> {
    let fields = node.fields(&["parameters", "artifacts"])?;
    let mut inputs = Inputs::default();
    for (name, node) in fields.members("parameters")? {
        inputs.parameters.insert(name.to_owned(), read_input_parameter(&node)?);
    }
    for (name, node) in fields.members("artifacts")? {
        let fields = node.fields(&["artifactType", "isArtifactList", "isOptional", "description"])?;
        let artifact = InputArtifact {
            schema: fields.get("artifactType").map_or_else(|| Ok(Schema::default()), |node| read_schema(&node))?,
            is_list: fields.bool("isArtifactList")?,
            is_optional: fields.bool("isOptional")?,
        };
        inputs.artifacts.insert(name.to_owned(), artifact);
    }
    Ok(inputs)
}

fn read_input_parameter(node: &Node<'_>) -> Result<InputParameter, Fault> {
    let fields = node.fields(&["type", "parameterType", "defaultValue", "isOptional", "description", "literals"])?;
    let kind = read_type(node)?;
    let default = fields.get("defaultValue").map(|node| node.json());
    let literals: Vec<Value> = fields.items("literals")?.iter().map(Node::json).collect();
    let parameter = InputParameter {
        kind,
        default,
        is_optional: fields.bool("isOptional")?,
        literals,
        description: fields.text("description")?,
    };
    if let Some(default) = &parameter.default {
        let node = fields.need("defaultValue")?;
        // Text stands for any type where a placeholder or a macro is in it.
        if !kind.takes(default) && !value::has_placeholder(default) {
            return Err(node.fault(format!("must be {}, not {}", kind.describe(), value::describe(default))));
        }
    }
    Ok(parameter)
}

/// The type of a parameter by either of its fields.
fn read_type(node: &Node<'_>) -> Result<ParameterType, Fault> {
    let fields = node.fields(&["type", "parameterType", "defaultValue", "isOptional", "description", "literals"])?;
    if let Some(kind) = fields.get("parameterType") {
        return match kind.one_of(&PARAMETER_TYPES)? {
            1 => Ok(ParameterType::Double),
            2 => Ok(ParameterType::Integer),
            3 => Ok(ParameterType::String),
            4 => Ok(ParameterType::Boolean),
            5 => Ok(ParameterType::List),
            6 => Ok(ParameterType::Struct),
            7 => Ok(ParameterType::TaskFinalStatus),
            8 => Ok(ParameterType::TaskConfig),
            _ => Err(kind.fault("names no type")),
        };
    }
    match fields.get("type") {
        Some(kind) => match kind.one_of(&PRIMITIVE_TYPES)? {
            1 => Ok(ParameterType::Integer),
            2 => Ok(ParameterType::Double),
            3 => Ok(ParameterType::String),
            _ => Err(kind.fault("names no type")),
        },
        None => Err(node.fault("needs parameterType")),
    }
}

fn read_outputs(node: &Node<'_>) -> Result<Outputs, Fault> {
    let fields = node.fields(&["parameters", "artifacts"])?;
    let mut outputs = Outputs::default();
    for (name, node) in fields.members("parameters")? {
        node.fields(&["type", "parameterType", "description"])?;
        outputs.parameters.insert(name.to_owned(), read_type(&node)?);
    }
    for (name, node) in fields.members("artifacts")? {
        let known = ["artifactType", "metadata", "isArtifactList", "description", "properties", "customProperties"];
        let fields = node.fields(&known)?;
        refuse_properties(&fields)?;
        let artifact = OutputArtifact {
            schema: fields.get("artifactType").map_or_else(|| Ok(Schema::default()), |node| read_schema(&node))?,
            metadata: fields.get("metadata").map_or_else(|| Ok(serde_json::Map::new()), |node| node.object())?,
            is_list: fields.bool("isArtifactList")?,
        };
        outputs.artifacts.insert(name.to_owned(), artifact);
    }
    Ok(outputs)
}

/// Refuses the deprecated `properties` and `customProperties`, which no SDK of version 2 writes.
pub fn refuse_properties(fields: &super::node::Fields<'_>) -> Result<(), Fault> {
    for name in ["properties", "customProperties"] {
        if let Some(node) = fields.get(name) {
            return Err(node.fault("is deprecated and not supported; write metadata"));
        }
    }
    Ok(())
}

/// Reads an `ArtifactTypeSchema`.
///
/// # Errors
/// The first fault and its place.
pub fn read_schema(node: &Node<'_>) -> Result<Schema, Fault> {
    let fields = node.fields(&["schemaTitle", "schemaUri", "instanceSchema", "schemaVersion"])?;
    if let Some(node) = fields.get("schemaUri") {
        return Err(node.fault("is not supported; write schemaTitle"));
    }
    let mut title = fields.text("schemaTitle")?;
    if let Some(node) = fields.get("instanceSchema") {
        if !title.is_empty() {
            return Err(node.fault("stands beside schemaTitle; only one may be set"));
        }
        title = instance_title(node.text()?).ok_or_else(|| node.fault("must be YAML with a title"))?;
    }
    Ok(Schema { title, version: fields.text("schemaVersion")? })
}

/// The title in the YAML text of an instance schema.
fn instance_title(text: &str) -> Option<String> {
    let schema: Value = serde_saphyr::from_str(text).ok()?;
    schema.get("title")?.as_str().map(str::to_owned)
}

fn read_dag(node: &Node<'_>) -> Result<Dag, Fault> {
    let fields = node.fields(&["tasks", "outputs"])?;
    let mut dag = Dag::default();
    for (key, node) in fields.members("tasks")? {
        if key.is_empty() || key.contains('/') || key == "." || key == ".." {
            return Err(node.fault(format!("{key:?} is no name for a task: it must have characters and no slash")));
        }
        dag.tasks.insert(key.to_owned(), read_task(key, &node)?);
    }
    if let Some(node) = fields.get("outputs") {
        dag.outputs = read_dag_outputs(&node)?;
    }
    Ok(dag)
}

fn read_dag_outputs(node: &Node<'_>) -> Result<DagOutputs, Fault> {
    let fields = node.fields(&["artifacts", "parameters"])?;
    let mut outputs = DagOutputs::default();
    for (name, node) in fields.members("artifacts")? {
        let mut selectors = Vec::new();
        let field = node.fields(&["artifactSelectors"])?.need("artifactSelectors")?;
        for node in field.items()? {
            selectors.push(read_selector(&node, "producerSubtask", "outputArtifactKey")?);
        }
        let source = match selectors.len() {
            0 => return Err(field.fault("names no task")),
            1 => OutputSource::One(selectors.remove(0)),
            _ => OutputSource::OneOf(selectors),
        };
        outputs.artifacts.insert(name.to_owned(), source);
    }
    for (name, node) in fields.members("parameters")? {
        let fields = node.fields(&["valueFromParameter", "valueFromOneof"])?;
        let source = match fields.choice(&["valueFromParameter", "valueFromOneof"])? {
            ("valueFromParameter", node) => {
                OutputSource::One(read_selector(&node, "producerSubtask", "outputParameterKey")?)
            }
            (_, node) => {
                let field = node.fields(&["parameterSelectors"])?.need("parameterSelectors")?;
                let nodes = field.items()?;
                let selectors = nodes.iter().map(|node| read_selector(node, "producerSubtask", "outputParameterKey"));
                OutputSource::OneOf(selectors.collect::<Result<_, _>>()?)
            }
        };
        outputs.parameters.insert(name.to_owned(), source);
    }
    Ok(outputs)
}

fn read_selector(node: &Node<'_>, task: &str, output: &str) -> Result<Selector, Fault> {
    let fields = node.fields(&[task, output])?;
    Ok(Selector { task: fields.need_text(task)?, output: fields.need_text(output)? })
}

fn read_task(key: &str, node: &Node<'_>) -> Result<Task, Fault> {
    let fields = node.fields(&[
        "taskInfo",
        "inputs",
        "dependentTasks",
        "cachingOptions",
        "componentRef",
        "triggerPolicy",
        "artifactIterator",
        "parameterIterator",
        "retryPolicy",
        "iteratorPolicy",
    ])?;
    let display_name = match fields.get("taskInfo") {
        Some(node) => node.fields(&["name"])?.text("name")?,
        None => String::new(),
    };
    let mut depends = Vec::new();
    for node in fields.items("dependentTasks")? {
        depends.push(node.text()?.to_owned());
    }
    let mut caching = Caching::default();
    if let Some(node) = fields.get("cachingOptions") {
        let fields = node.fields(&["enableCache", "cacheKey"])?;
        let key = Some(fields.text("cacheKey")?).filter(|key| !key.is_empty());
        caching = Caching { is_enabled: fields.bool("enableCache")?, key };
    }
    let (condition, strategy) = read_trigger(fields.get("triggerPolicy").as_ref())?;
    let parallelism = match fields.get("iteratorPolicy") {
        Some(node) => match node.fields(&["parallelismLimit"])?.get("parallelismLimit") {
            Some(node) => u32::try_from(node.integer(0, i64::from(i32::MAX))?).unwrap_or(0),
            None => 0,
        },
        None => 0,
    };
    let mut task = Task {
        display_name: if display_name.is_empty() { key.to_owned() } else { display_name },
        component: fields.need("componentRef")?.fields(&["name"])?.need_text("name")?,
        depends,
        parameters: BTreeMap::new(),
        artifacts: BTreeMap::new(),
        caching,
        condition,
        strategy,
        iterator: read_iterator(&fields)?,
        parallelism,
        retry: fields.get("retryPolicy").map(|node| read_retry(&node)).transpose()?.flatten(),
    };
    if let Some(node) = fields.get("inputs") {
        read_task_inputs(&node, &mut task)?;
    }
    Ok(task)
}

fn read_trigger(node: Option<&Node<'_>>) -> Result<(Option<String>, Strategy), Fault> {
    let Some(node) = node else { return Ok((None, Strategy::default())) };
    let fields = node.fields(&["condition", "strategy"])?;
    let condition = Some(fields.text("condition")?).filter(|condition| !condition.is_empty());
    let names = ["TRIGGER_STRATEGY_UNSPECIFIED", "ALL_UPSTREAM_TASKS_SUCCEEDED", "ALL_UPSTREAM_TASKS_COMPLETED"];
    let strategy = match fields.get("strategy").map(|node| node.one_of(&names)).transpose()? {
        Some(2) => Strategy::Completed,
        _ => Strategy::Succeeded,
    };
    Ok((condition, strategy))
}

fn read_task_inputs(node: &Node<'_>, task: &mut Task) -> Result<(), Fault> {
    let fields = node.fields(&["parameters", "artifacts"])?;
    for (name, node) in fields.members("parameters")? {
        task.parameters.insert(name.to_owned(), read_parameter_source(&node)?);
    }
    for (name, node) in fields.members("artifacts")? {
        let kinds = ["taskOutputArtifact", "componentInputArtifact"];
        let source = match node.fields(&kinds)?.choice(&kinds)? {
            ("taskOutputArtifact", node) => {
                ArtifactSource::Output(read_selector(&node, "producerTask", "outputArtifactKey")?)
            }
            (_, node) => ArtifactSource::Input(node.text()?.to_owned()),
        };
        task.artifacts.insert(name.to_owned(), source);
    }
    Ok(())
}

/// Reads a `TaskInputsSpec.InputParameterSpec`, which the platform document uses too.
///
/// # Errors
/// The first fault and its place.
pub fn read_parameter_source(node: &Node<'_>) -> Result<ParameterSource, Fault> {
    let kinds = ["taskOutputParameter", "runtimeValue", "componentInputParameter", "taskFinalStatus"];
    let known = [&kinds[..], &["parameterExpressionSelector"]].concat();
    let fields = node.fields(&known)?;
    let from = match fields.choice(&kinds)? {
        ("taskOutputParameter", node) => {
            ParameterFrom::Output(read_selector(&node, "producerTask", "outputParameterKey")?)
        }
        ("runtimeValue", node) => ParameterFrom::Constant(read_runtime_value(&node)?),
        ("componentInputParameter", node) => ParameterFrom::Input(node.text()?.to_owned()),
        (_, node) => ParameterFrom::FinalStatus(node.fields(&["producerTask"])?.need_text("producerTask")?),
    };
    let selector = Some(fields.text("parameterExpressionSelector")?).filter(|selector| !selector.is_empty());
    Ok(ParameterSource { from, selector })
}

fn read_runtime_value(node: &Node<'_>) -> Result<Value, Fault> {
    let kinds = ["constant", "constantValue", "runtimeParameter"];
    match node.fields(&kinds)?.choice(&kinds)? {
        ("constant", node) => Ok(node.json()),
        ("constantValue", node) => read_old_value(&node),
        (_, node) => Err(node.fault("is not supported; write componentInputParameter")),
    }
}

/// The deprecated `Value`: `{"stringValue": …}` and the like.
fn read_old_value(node: &Node<'_>) -> Result<Value, Fault> {
    let kinds = ["intValue", "doubleValue", "stringValue"];
    match node.fields(&kinds)?.choice(&kinds)? {
        ("intValue", node) => Ok(node.integer(i64::MIN, i64::MAX)?.into()),
        ("doubleValue", node) => Ok(value::integral(node.double()?.into())),
        (_, node) => Ok(node.text()?.into()),
    }
}

fn read_iterator(fields: &super::node::Fields<'_>) -> Result<Option<Iterator>, Fault> {
    if fields.get("artifactIterator").is_none() && fields.get("parameterIterator").is_none() {
        return Ok(None);
    }
    let (kind, node) = fields.choice(&["artifactIterator", "parameterIterator"])?;
    let fields = node.fields(&["items", "itemInput"])?;
    let items = fields.need("items")?;
    let items = if kind == "artifactIterator" {
        Items::Artifact(items.fields(&["inputArtifact"])?.need_text("inputArtifact")?)
    } else {
        match items.fields(&["raw", "inputParameter"])?.choice(&["raw", "inputParameter"])? {
            ("raw", node) => {
                let items = serde_json::from_str(node.text()?).ok().map(value::integral);
                let Some(Value::Array(items)) = items else {
                    return Err(node.fault("must be the text of a JSON list"));
                };
                Items::Constant(items)
            }
            (_, node) => Items::Parameter(node.text()?.to_owned()),
        }
    };
    Ok(Some(Iterator { items, input: fields.need_text("itemInput")? }))
}

/// Upstream's defaults: a factor of 2, at most an hour. `None` where there are no retries.
fn read_retry(node: &Node<'_>) -> Result<Option<Retry>, Fault> {
    let fields = node.fields(&["maxRetryCount", "backoffDuration", "backoffFactor", "backoffMaxDuration"])?;
    let count = fields.get("maxRetryCount").map_or(Ok(0), |node| node.integer(0, i64::from(i32::MAX)))?;
    let factor = match fields.get("backoffFactor") {
        Some(node) => match node.double()? {
            0.0 => 2.0,
            factor if factor >= 1.0 => factor,
            factor => return Err(node.fault(format!("must be at least 1, not {factor}"))),
        },
        None => 2.0,
    };
    let backoff_ms = fields.get("backoffDuration").map_or(Ok(0), |node| node.duration_ms())?;
    let backoff_max_ms = match fields.get("backoffMaxDuration").map_or(Ok(0), |node| node.duration_ms())? {
        0 => HOUR_MS,
        most => most.min(HOUR_MS),
    };
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    Ok((count > 0).then_some(Retry { count, backoff_ms, factor, backoff_max_ms }))
}

/// "Max allowed is 1 hour": the comment at `backoff_max_duration`.
const HOUR_MS: u64 = 60 * 60 * 1000;
