//! What the REST API v2beta1 of Kubeflow Pipelines answers: field names, and which of them are left out.
//!
//! As upstream writes them: `snake_case`, 64-bit integers as strings, times as RFC 3339, nothing that is empty. Requests are
//! read elsewhere, since they may spell the same fields in several ways. Specs are JSON text that is spliced in where
//! answers are written, and therefore no fields here.

use serde::Serialize;
use serde_json::{Map, Value};

fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// `Experiment`
#[derive(Clone, Debug, Default, Serialize)]
pub struct Experiment<'a> {
    pub experiment_id: &'a str,
    pub display_name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub description: &'a str,
    pub created_at: String,
    pub namespace: &'a str,
    pub storage_state: &'a str,
    pub last_run_created_at: String,
}

/// `ListExperimentsResponse`
#[derive(Clone, Debug, Default, Serialize)]
pub struct Experiments<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub experiments: Vec<Experiment<'a>>,
    #[serde(skip_serializing_if = "is_zero")]
    pub total_size: i64,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub next_page_token: &'a str,
}

/// `Pipeline`
#[derive(Clone, Debug, Default, Serialize)]
pub struct Pipeline<'a> {
    pub pipeline_id: &'a str,
    pub display_name: &'a str,
    pub name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub description: &'a str,
    pub created_at: String,
    pub namespace: &'a str,
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub tags: Map<String, Value>,
}

/// `ListPipelinesResponse`
#[derive(Clone, Debug, Default, Serialize)]
pub struct Pipelines<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pipelines: Vec<Pipeline<'a>>,
    #[serde(skip_serializing_if = "is_zero")]
    pub total_size: i64,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub next_page_token: &'a str,
}

/// `PipelineVersion`, without `pipeline_spec`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Version<'a> {
    pub pipeline_id: &'a str,
    pub pipeline_version_id: &'a str,
    pub display_name: &'a str,
    pub name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub description: &'a str,
    pub created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package_url: Option<Url<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub code_source_url: &'a str,
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub tags: Map<String, Value>,
}

/// `Url`
#[derive(Clone, Debug, Default, Serialize)]
pub struct Url<'a> {
    pub pipeline_url: &'a str,
}

/// `PipelineVersionReference`
#[derive(Clone, Debug, Default, Serialize)]
pub struct VersionReference<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    pub pipeline_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub pipeline_version_id: &'a str,
}

/// `google.rpc.Status`, of something that has failed.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Status {
    pub code: i32,
    pub message: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<Value>,
}

/// `RuntimeStatus`
#[derive(Clone, Debug, Default, Serialize)]
pub struct StateChange<'a> {
    pub update_time: String,
    pub state: &'a str,
}

/// `Run`, without `pipeline_spec` and `runtime_config`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Run<'a> {
    pub experiment_id: &'a str,
    pub run_id: &'a str,
    pub display_name: &'a str,
    pub storage_state: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub description: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pipeline_version_reference: Option<VersionReference<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub service_account: &'a str,
    pub created_at: String,
    pub scheduled_at: String,
    pub finished_at: String,
    pub state: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Status>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_details: Option<RunDetails<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub recurring_run_id: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub state_history: Vec<StateChange<'a>>,
}

/// `RunDetails`
#[derive(Clone, Debug, Default, Serialize)]
pub struct RunDetails<'a> {
    pub task_details: Vec<Task<'a>>,
}

/// `PipelineTaskDetail`, with the fields of the proposal to replace MLMD (12147) beside those of today.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Task<'a> {
    pub run_id: &'a str,
    pub task_id: &'a str,
    pub name: &'a str,
    pub display_name: &'a str,
    pub create_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executor_detail: Option<ExecutorDetail<'a>>,
    pub state: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Status>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub parent_task_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub pod_name: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub child_tasks: Vec<ChildTask<'a>>,
    #[serde(rename = "type")]
    pub kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub type_attributes: Option<TypeAttributes>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pods: Vec<Pod<'a>>,
    /// Counts from 0.
    pub attempt: u32,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub cache_fingerprint: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<Cache<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Values<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outputs: Option<Values<'a>>,
}

/// What the cache said of a task, which upstream does not tell.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Cache<'a> {
    /// Why it was a hit or a miss.
    pub reason: &'a str,
    /// The task whose outputs these are.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub task_id: &'a str,
}

/// `PipelineTaskExecutorDetail`
#[derive(Clone, Debug, Default, Serialize)]
pub struct ExecutorDetail<'a> {
    pub main_job: &'a str,
}

/// A child of a task: its id, and the names that the proposal adds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ChildTask<'a> {
    pub task_id: &'a str,
    pub name: &'a str,
}

/// `TypeAttributes`
#[derive(Clone, Debug, Default, Serialize)]
pub struct TypeAttributes {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iteration_index: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iteration_count: Option<String>,
}

/// `TaskPod`
#[derive(Clone, Debug, Default, Serialize)]
pub struct Pod<'a> {
    pub name: &'a str,
    #[serde(rename = "type")]
    pub kind: &'a str,
}

/// `InputOutputs` of the proposal.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Values<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Parameter<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<TaskArtifact<'a>>,
}

/// A parameter of a task.
#[derive(Clone, Debug, Serialize)]
pub struct Parameter<'a> {
    pub name: &'a str,
    pub value: &'a Value,
}

/// An artifact of a task.
#[derive(Clone, Debug, Serialize)]
pub struct TaskArtifact<'a> {
    /// The input or output.
    pub artifact_key: &'a str,
    pub value: Artifact<'a>,
}

/// `Artifact` of the proposal, with the schema that it has in a pipeline and where its bytes are had.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Artifact<'a> {
    pub artifact_id: &'a str,
    pub name: &'a str,
    #[serde(rename = "type")]
    pub kind: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub schema_title: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub uri: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<&'a Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number_value: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub namespace: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub run_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub task_id: &'a str,
    /// A path of this API, below which the bytes are.
    pub download_url: String,
}

/// `ArtifactTask` of the proposal: that a task took or made an artifact.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ArtifactTask<'a> {
    pub id: String,
    pub artifact_id: &'a str,
    pub run_id: &'a str,
    pub task_id: &'a str,
    #[serde(rename = "type")]
    pub kind: &'a str,
    pub artifact_key: &'a str,
}

/// `RecurringRun`, without `pipeline_spec` and `runtime_config`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RecurringRun<'a> {
    pub recurring_run_id: &'a str,
    pub display_name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub description: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pipeline_version_reference: Option<VersionReference<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub service_account: &'a str,
    /// A 64-bit integer.
    pub max_concurrency: String,
    pub trigger: Value,
    pub mode: &'a str,
    pub created_at: String,
    pub updated_at: String,
    pub status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Status>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_catchup: bool,
    pub namespace: &'a str,
    pub experiment_id: &'a str,
}
