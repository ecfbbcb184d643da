//! A compiled pipeline: what `PipelineSpec` and `PlatformSpec` say, with references that lead somewhere.
//!
//! The types are those of the executable part; how they are read from YAML stands in `read`, what is refused in `check`.

mod check;
mod component;
mod deployment;
mod node;
mod platform;
mod quoted;
pub mod read;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::fault::Fault;

/// A pipeline that can be run. Components and executors that are referred to exist, and no DAG has a cycle.
#[derive(Clone, Debug, PartialEq)]
pub struct Pipeline {
    /// `pipelineInfo.name`: also the namespace of the cache.
    pub name: String,
    pub display_name: String,
    pub description: String,
    /// `kfp-2.17.0`
    pub sdk_version: String,
    /// `2.1.0`
    pub schema_version: String,
    /// `defaultPipelineRoot`
    pub default_root: Option<String>,
    /// Always a DAG.
    pub root: Component,
    /// By name, as `comp-train`.
    pub components: BTreeMap<String, Component>,
    /// By label, as `exec-train`.
    pub executors: BTreeMap<String, Executor>,
    pub platform: Platform,
}

/// What a task runs: a DAG of tasks or an executor.
#[derive(Clone, Debug, PartialEq)]
pub struct Component {
    pub inputs: Inputs,
    pub outputs: Outputs,
    pub body: Body,
    /// `taskConfigPassthroughs`
    pub passthroughs: Vec<Passthrough>,
}

/// A component's body.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    Dag(Dag),
    /// The label of an executor.
    Executor(String),
}

/// Declared inputs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inputs {
    pub parameters: BTreeMap<String, InputParameter>,
    pub artifacts: BTreeMap<String, InputArtifact>,
}

/// A declared input parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct InputParameter {
    pub kind: ParameterType,
    pub default: Option<Value>,
    pub is_optional: bool,
    /// The values that are allowed; empty for any.
    pub literals: Vec<Value>,
    pub description: String,
}

/// A declared input artifact.
#[derive(Clone, Debug, PartialEq)]
pub struct InputArtifact {
    pub schema: Schema,
    pub is_list: bool,
    pub is_optional: bool,
}

/// Declared outputs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outputs {
    pub parameters: BTreeMap<String, ParameterType>,
    pub artifacts: BTreeMap<String, OutputArtifact>,
}

/// A declared output artifact.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputArtifact {
    pub schema: Schema,
    pub metadata: Map<String, Value>,
    pub is_list: bool,
}

/// An artifact's type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    /// `system.Artifact`
    pub title: String,
    /// `0.0.1`
    pub version: String,
}

/// A parameter's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterType {
    Double,
    Integer,
    String,
    Boolean,
    List,
    Struct,
    TaskFinalStatus,
    TaskConfig,
}

impl ParameterType {
    /// Whether a value is of this type. Integral numbers are numbers of either kind, as upstream has it.
    pub fn takes(self, value: &Value) -> bool {
        match self {
            Self::Double | Self::Integer => value.is_number(),
            Self::String => value.is_string(),
            Self::Boolean => value.is_boolean(),
            Self::List => value.is_array(),
            Self::Struct | Self::TaskFinalStatus | Self::TaskConfig => value.is_object(),
        }
    }

    /// What a value of it is, for a person.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Double => "a number",
            Self::Integer => "an integer",
            Self::String => "a string",
            Self::Boolean => "true or false",
            Self::List => "a list",
            Self::Struct | Self::TaskFinalStatus | Self::TaskConfig => "an object",
        }
    }

    /// Its name in the document.
    pub fn name(self) -> &'static str {
        match self {
            Self::Double => "NUMBER_DOUBLE",
            Self::Integer => "NUMBER_INTEGER",
            Self::String => "STRING",
            Self::Boolean => "BOOLEAN",
            Self::List => "LIST",
            Self::Struct => "STRUCT",
            Self::TaskFinalStatus => "TASK_FINAL_STATUS",
            Self::TaskConfig => "TASK_CONFIG",
        }
    }
}

impl Pipeline {
    /// The component of a task. References were checked, so there is one.
    pub fn component(&self, task: &Task) -> Option<&Component> {
        self.components.get(&task.component)
    }

    /// The executor of a component that has one.
    pub fn executor(&self, component: &Component) -> Option<&Executor> {
        match &component.body {
            Body::Executor(label) => self.executors.get(label),
            Body::Dag(_) => None,
        }
    }
}

/// Reads where a parameter comes from: settings of the platform document keep it as JSON.
///
/// # Errors
/// The first fault, at `at` or below.
pub fn parameter_source(at: &str, source: &Value) -> Result<ParameterSource, Fault> {
    component::read_parameter_source(&node::Node::new(source, at))
}

impl Component {
    /// Its tasks, where it is a DAG.
    pub fn dag(&self) -> Option<&Dag> {
        match &self.body {
            Body::Dag(dag) => Some(dag),
            Body::Executor(_) => None,
        }
    }
}

/// A field of the pod that a `dsl.TaskConfig` input takes over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passthrough {
    /// `RESOURCES`, `ENV`, `KUBERNETES_TOLERATIONS` …
    pub field: String,
    pub apply_to_task: bool,
}

/// Tasks and what the whole hands out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dag {
    /// By task key.
    pub tasks: BTreeMap<String, Task>,
    pub outputs: DagOutputs,
}

/// Where a DAG's outputs come from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DagOutputs {
    pub parameters: BTreeMap<String, OutputSource>,
    pub artifacts: BTreeMap<String, OutputSource>,
}

/// Where one output of a DAG comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputSource {
    /// `valueFromParameter`, or the one artifact selector.
    One(Selector),
    /// `valueFromOneof`, or several artifact selectors: the first whose task has succeeded.
    OneOf(Vec<Selector>),
}

/// An output of a task of the same DAG.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// `producerSubtask`
    pub task: String,
    pub output: String,
}

/// One task of a DAG.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// `taskInfo.name`
    pub display_name: String,
    /// The name of a component.
    pub component: String,
    /// Tasks of the same DAG that it waits for: `dependentTasks` in their order, then those whose outputs it reads.
    pub depends: Vec<String>,
    pub parameters: BTreeMap<String, ParameterSource>,
    pub artifacts: BTreeMap<String, ArtifactSource>,
    pub caching: Caching,
    /// `triggerPolicy.condition`, as it is written.
    pub condition: Option<String>,
    pub strategy: Strategy,
    pub iterator: Option<Iterator>,
    /// `iteratorPolicy.parallelismLimit`: iterations at a time; 0 for any number.
    pub parallelism: u32,
    pub retry: Option<Retry>,
}

/// Where a parameter's value comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterSource {
    pub from: ParameterFrom,
    /// `parameterExpressionSelector`: `parseJson(string_value)["key"]`
    pub selector: Option<String>,
}

/// Where a parameter's value comes from, before a selector.
#[derive(Clone, Debug, PartialEq)]
pub enum ParameterFrom {
    /// `runtimeValue.constant`
    Constant(Value),
    /// `componentInputParameter`
    Input(String),
    /// `taskOutputParameter`
    Output(Selector),
    /// `taskFinalStatus.producerTask`
    FinalStatus(String),
}

/// Where an artifact comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArtifactSource {
    /// `componentInputArtifact`
    Input(String),
    /// `taskOutputArtifact`
    Output(Selector),
}

/// `cachingOptions`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caching {
    pub is_enabled: bool,
    pub key: Option<String>,
}

/// `triggerPolicy.strategy`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// All it waits for have succeeded.
    #[default]
    Succeeded,
    /// All it waits for have ended, in whatever way.
    Completed,
}

/// `parameterIterator` or `artifactIterator`
#[derive(Clone, Debug, PartialEq)]
pub struct Iterator {
    pub items: Items,
    /// The component's input that an item goes to.
    pub input: String,
}

/// What is iterated over.
#[derive(Clone, Debug, PartialEq)]
pub enum Items {
    /// `raw`
    Constant(Vec<Value>),
    /// `inputParameter`: an input of the task itself.
    Parameter(String),
    /// `inputArtifact`: an input of the task itself.
    Artifact(String),
}

/// `retryPolicy`, durations in milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// Attempts after the first.
    pub count: u32,
    pub backoff_ms: u64,
    pub factor: f64,
    pub backoff_max_ms: u64,
}

/// What a task without tasks of its own does.
#[derive(Clone, Debug, PartialEq)]
pub enum Executor {
    Container(Box<Container>),
    Importer(Box<Importer>),
}

/// A container that runs to its end.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Container {
    /// May hold a placeholder.
    pub image: String,
    pub command: Vec<Value>,
    /// Strings, or objects `{"Concat": …}` and `{"IfPresent": …}`, which SDKs write as JSON text too.
    pub args: Vec<Value>,
    pub env: Vec<(String, String)>,
    pub resources: Resources,
}

/// Quantities as strings of Kubernetes, which may hold placeholders; `None` where nothing is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    pub cpu_request: Option<String>,
    pub cpu_limit: Option<String>,
    pub memory_request: Option<String>,
    pub memory_limit: Option<String>,
    /// `nvidia.com/gpu`
    pub accelerator_type: Option<String>,
    pub accelerator_count: Option<String>,
}

/// An artifact that is there already.
#[derive(Clone, Debug, PartialEq)]
pub struct Importer {
    pub uri: ImportUri,
    pub schema: Schema,
    pub metadata: Map<String, Value>,
    pub reimport: bool,
    pub download_to_workspace: bool,
}

/// Where an importer's URI comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportUri {
    Constant(String),
    /// An input parameter of the importer's component.
    Parameter(String),
}

/// The platform document, of which Kubernetes is the one platform that is known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Platform {
    /// By executor label: the fields of `KubernetesExecutorConfig`, checked, as camelCase JSON.
    pub executors: BTreeMap<String, Map<String, Value>>,
    pub workspace: Option<Workspace>,
    /// `resourceTtlOnCompletion`, in seconds; the next two are for runs that end so.
    pub resource_ttl_s: Option<u64>,
    /// `resourceTtlOnSuccess`
    pub ttl_on_success_s: Option<u64>,
    /// `resourceTtlOnFailure`
    pub ttl_on_failure_s: Option<u64>,
    /// `activeDeadlineSeconds` of the whole run.
    pub deadline_s: Option<u64>,
}

/// `pipelineConfig.workspace`
#[derive(Clone, Debug, PartialEq)]
pub struct Workspace {
    /// A quantity.
    pub size: String,
    /// `kubernetes.pvcSpecPatch`
    pub claim_patch: Map<String, Value>,
}
