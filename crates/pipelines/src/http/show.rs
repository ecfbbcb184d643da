//! Rows of runs, tasks and artifacts as clients get them.

use std::collections::HashMap;

use ferroflow_api::pipelines as wire;
use serde_json::{Map, Value, json};

use super::{
    failure::{Code, Failure, Outcome},
    splice,
};
use crate::{
    core::{
        run::StateChange,
        task::{TaskError, TaskKind, TaskRow, TaskState},
        value::{Artifact, Values},
        wire::time,
    },
    store::{artifacts::ArtifactRow, shown::ShownRun},
};

/// Tasks that the answer to a run lists. Of a run with more, iterations and what is below them are left out, since whoever
/// waits for a run asks for it again and again; `/apis/v2beta1/tasks?run_id=…` lists all of them by pages.
const TASKS: usize = 2000;

/// Appends a run as JSON.
///
/// # Errors
/// Code 13 for a row that is damaged.
pub fn run(json: &mut Vec<u8>, run: &ShownRun, tasks: Option<&[TaskRow]>) -> Outcome<()> {
    let history: Vec<StateChange> = stored(&run.history)?;
    let error: Option<TaskError> = run.error.as_deref().map(stored).transpose()?;
    let pipeline_id = run.pipeline_id.as_deref().unwrap_or_default();
    let version_id = run.pipeline_version_id.as_deref().unwrap_or_default();
    let reference = wire::VersionReference { pipeline_id, pipeline_version_id: version_id };
    let shown = wire::Run {
        experiment_id: &run.experiment_id,
        run_id: &run.run_id,
        display_name: &run.display_name,
        storage_state: &run.storage_state,
        description: &run.description,
        pipeline_version_reference: (!version_id.is_empty()).then_some(reference),
        service_account: &run.service_account,
        created_at: time(run.created_ms),
        scheduled_at: time(run.scheduled_ms),
        finished_at: time(run.finished_ms.unwrap_or_default()),
        state: &run.state,
        error: error.as_ref().map(status),
        run_details: tasks.filter(|tasks| !tasks.is_empty()).map(details),
        recurring_run_id: run.recurring_run_id.as_deref().unwrap_or_default(),
        state_history: history
            .iter()
            .map(|change| wire::StateChange { update_time: time(change.at_ms), state: change.state.as_str() })
            .collect(),
    };
    let config = Some(run.runtime_config.as_str()).filter(|config| !matches!(*config, "{}" | "null"));
    let spec = run.spec.as_deref().filter(|_| version_id.is_empty());
    splice::object(json, &shown, &[("runtime_config", config), ("pipeline_spec", spec)])
}

fn stored<T: serde::de::DeserializeOwned>(text: &str) -> Outcome<T> {
    serde_json::from_str(text)
        .map_err(|error| Failure::new(Code::Internal, format!("a stored run is damaged: {error}")))
}

/// Why something failed, as `google.rpc.Status`: code 13 with the reason and the exit code as its details.
pub fn status(error: &TaskError) -> wire::Status {
    let mut metadata = Map::new();
    if let Some(code) = error.exit_code {
        metadata.insert("exit_code".to_owned(), code.to_string().into());
    }
    let details = vec![json!({
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "domain": "ferroflow.dev",
        "reason": error.reason,
        "metadata": metadata,
    })];
    let message =
        if error.reason.is_empty() { error.message.clone() } else { format!("{}: {}", error.reason, error.message) };
    wire::Status { code: 13, message, details }
}

fn details(tasks: &[TaskRow]) -> wire::RunDetails<'_> {
    let is_shown = |task: &&TaskRow| tasks.len() <= TASKS || !is_in_iteration(task);
    let listed = tasks.iter().filter(is_shown).take(TASKS);
    let children = children(tasks);
    let task_details = listed
        .map(|row| {
            let own = children.get(row.task_id.as_str());
            let children = own.map(Vec::as_slice).unwrap_or_default();
            task(row, if tasks.len() <= TASKS { children } else { &[] }, Dialect::Today)
        })
        .collect();
    wire::RunDetails { task_details }
}

/// Whether a task is an iteration, or below one: then a part of its path is a number.
fn is_in_iteration(task: &TaskRow) -> bool {
    task.path.split('/').any(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Children by their parent's id.
pub fn children(tasks: &[TaskRow]) -> HashMap<&str, Vec<&TaskRow>> {
    let mut children: HashMap<&str, Vec<&TaskRow>> = HashMap::new();
    for task in tasks {
        if let Some(parent) = &task.parent_id {
            children.entry(parent).or_default().push(task);
        }
    }
    children
}

/// Which words a task is told in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Those of v2beta1, where a task from the cache is `SKIPPED`.
    Today,
    /// Those of the proposal, where it is `CACHED`.
    Proposed,
}

/// A task.
pub fn task<'a>(row: &'a TaskRow, children: &[&'a TaskRow], dialect: Dialect) -> wire::Task<'a> {
    let pod = row.pod_name.as_deref().unwrap_or_default();
    let attributes = wire::TypeAttributes {
        iteration_index: row.iteration.map(|number| number.to_string()),
        iteration_count: row.iteration_count.map(|number| number.to_string()),
    };
    let has_attributes = row.iteration.is_some() || row.iteration_count.is_some();
    let child = |child: &&'a TaskRow| wire::ChildTask { task_id: &child.task_id, name: &child.key };
    wire::Task {
        run_id: &row.run_id,
        task_id: &row.task_id,
        name: &row.key,
        display_name: &row.display_name,
        create_time: time(row.created_ms),
        start_time: row.started_ms.map(time),
        end_time: row.ended_ms.map(time),
        executor_detail: (!pod.is_empty()).then_some(wire::ExecutorDetail { main_job: pod }),
        state: state(row.state, dialect),
        error: row.error.as_ref().map(status),
        parent_task_id: row.parent_id.as_deref().unwrap_or_default(),
        pod_name: pod,
        child_tasks: children.iter().map(child).collect(),
        kind: kind(row.kind),
        type_attributes: has_attributes.then_some(attributes),
        pods: if pod.is_empty() { Vec::new() } else { vec![wire::Pod { name: pod, kind: "EXECUTOR" }] },
        cache_fingerprint: &row.cache.fingerprint,
        cache: (!row.cache.reason.is_empty()).then_some(wire::Cache {
            reason: &row.cache.reason,
            task_id: row.cache.hit.as_deref().unwrap_or_default(),
        }),
        attempt: row.attempt,
        inputs: values(&row.inputs),
        outputs: values(&row.outputs),
    }
}

fn state(state: TaskState, dialect: Dialect) -> &'static str {
    match state {
        TaskState::Cached if dialect == Dialect::Proposed => "CACHED",
        TaskState::Pending => "PENDING",
        TaskState::Running => "RUNNING",
        TaskState::Succeeded => "SUCCEEDED",
        TaskState::Cached | TaskState::Skipped => "SKIPPED",
        TaskState::Failed => "FAILED",
        TaskState::Canceled => "CANCELED",
    }
}

fn kind(kind: TaskKind) -> &'static str {
    match kind {
        TaskKind::Root => "ROOT",
        TaskKind::Dag => "DAG",
        TaskKind::Condition => "CONDITION",
        TaskKind::Loop => "LOOP",
        TaskKind::LoopIteration => "LOOP_ITERATION",
        TaskKind::ExitHandler => "EXIT_HANDLER",
        TaskKind::Runtime => "RUNTIME",
        TaskKind::Importer => "IMPORTER",
    }
}

fn values(values: &Values) -> Option<wire::Values<'_>> {
    if values.parameters.is_empty() && values.artifacts.is_empty() {
        return None;
    }
    let parameters = values.parameters.iter().map(|(name, value)| wire::Parameter { name, value }).collect();
    let artifacts = values.artifacts.iter().flat_map(|(name, all)| {
        all.iter().map(move |one| wire::TaskArtifact { artifact_key: name, value: artifact(one) })
    });
    Some(wire::Values { parameters, artifacts: artifacts.collect() })
}

/// An artifact as it stands with a task.
pub fn artifact(artifact: &Artifact) -> wire::Artifact<'_> {
    wire::Artifact {
        artifact_id: &artifact.id,
        name: &artifact.name,
        kind: artifact_kind(&artifact.schema_title),
        schema_title: &artifact.schema_title,
        uri: &artifact.uri,
        metadata: (!artifact.metadata.is_empty()).then_some(&artifact.metadata),
        number_value: number(artifact),
        download_url: format!("/apis/v2beta1/artifacts/{}:download", artifact.id),
        ..wire::Artifact::default()
    }
}

/// An artifact as it stands by itself.
pub fn artifact_row(row: &ArtifactRow) -> wire::Artifact<'_> {
    wire::Artifact {
        created_at: Some(time(row.created_ms)),
        namespace: &row.namespace,
        run_id: &row.run_id,
        task_id: &row.task_id,
        ..artifact(&row.artifact)
    }
}

fn artifact_kind(title: &str) -> &'static str {
    match title {
        "system.Model" => "Model",
        "system.Dataset" => "Dataset",
        "system.HTML" => "HTML",
        "system.Markdown" => "Markdown",
        "system.Metrics" => "Metric",
        "system.ClassificationMetrics" => "ClassificationMetric",
        "system.SlicedClassificationMetrics" => "SlicedClassificationMetric",
        _ => "Artifact",
    }
}

/// The number of a metric that is one.
fn number(artifact: &Artifact) -> Option<f64> {
    let is_metric = artifact.schema_title == "system.Metrics" && artifact.metadata.len() == 1;
    artifact.metadata.values().next().filter(|_| is_metric).and_then(Value::as_f64)
}
