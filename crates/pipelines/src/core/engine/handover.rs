//! What a step's pod and its launcher are handed, and what comes back.
//!
//! It is the one place where the engine meets pods and reports.

use k8s_openapi::api::core::v1::Pod;

use super::view::StepView;
use crate::core::{
    fault::Fault,
    id,
    ir::Pipeline,
    resolve::Facts,
    step::{Report, WorkOrder},
    task::TaskError,
    value::{Artifact, Values},
};

/// What a pod needs to know beside its step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The launcher's directory on the node, or the image that brings it.
    pub launcher: Launcher,
    pub endpoint: String,
    pub token: String,
    pub service_account: String,
    pub annotates_python: bool,
}

/// Where a step's pod finds the launcher's program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Launcher {
    HostPath(String),
    Image(String),
}

/// Where a step's outputs go: `<root>/<pipeline>/<run>/<task>/<uuid of the attempt>`.
pub fn task_root(pipeline: &Pipeline, facts: &Facts, step: &StepView<'_>) -> String {
    let attempt = id::derived(&[step.task_id, &step.attempt.to_string()]);
    let root = facts.root.trim_end_matches('/');
    format!("{root}/{}/{}/{}/{attempt}", pipeline.name, facts.run_id, step.key)
}

/// Where an output artifact goes; `None` for one that the step does not declare.
pub fn output_uri(pipeline: &Pipeline, facts: &Facts, step: &StepView<'_>, name: &str) -> Option<String> {
    step.component.outputs.artifacts.get(name)?;
    Some(format!("{}/{name}", task_root(pipeline, facts, step)))
}

/// The name of the claim that a run's workspace is.
pub fn workspace(facts: &Facts) -> String {
    workspace_of(&facts.resource_name)
}

/// The name of the claim that is the workspace of the run of a resource name.
pub fn workspace_of(resource_name: &str) -> String {
    format!("{}-workspace", id::dns(resource_name, 53))
}

/// What the launcher is to do.
///
/// # Errors
/// [`Fault`] for placeholders that lead nowhere.
pub fn order(pipeline: &Pipeline, facts: &Facts, step: &StepView<'_>, root: Option<&str>) -> Result<WorkOrder, Fault> {
    let _ = (pipeline, facts, root);
    let words = step.container.command.iter().chain(&step.container.args);
    let command = words.map(|word| word.as_str().unwrap_or_default().to_owned()).collect();
    Ok(WorkOrder { command, ..WorkOrder::default() })
}

/// What a report says that a step has put out.
///
/// # Errors
/// [`Fault`] for outputs that are missing or of another type.
pub fn outputs(pipeline: &Pipeline, facts: &Facts, step: &StepView<'_>, report: &Report) -> Result<Values, Fault> {
    let mut values = Values::default();
    for name in step.component.outputs.parameters.keys() {
        let text = report.parameters.get(name).ok_or_else(|| Fault::new(name.clone(), "no such output parameter"))?;
        values.parameters.insert(name.clone(), text.clone().into());
    }
    for (name, declared) in &step.component.outputs.artifacts {
        let uri = output_uri(pipeline, facts, step, name).unwrap_or_default();
        let artifact = Artifact {
            name: name.clone(),
            schema_title: declared.schema.title.clone(),
            schema_version: declared.schema.version.clone(),
            uri,
            metadata: declared.metadata.clone(),
            ..Artifact::default()
        };
        values.artifacts.insert(name.clone(), vec![artifact]);
    }
    Ok(values)
}

/// What an attempt has come to, as its report says.
///
/// # Errors
/// Why it has failed.
pub fn outcome(pipeline: &Pipeline, facts: &Facts, step: &StepView<'_>, report: &Report) -> Result<Values, TaskError> {
    let has_failed = report.exit_code.is_none_or(|code| code != 0) || !report.reason.is_empty();
    if has_failed {
        let reason = if report.reason.is_empty() { "Error".to_owned() } else { report.reason.clone() };
        let told = report.exit_code.map(|code| format!("exit code {code}"));
        let message = match (told, report.message.is_empty()) {
            (Some(code), true) => code,
            (Some(code), false) if report.exit_code != Some(0) => format!("{code}: {}", report.message),
            (_, _) => report.message.clone(),
        };
        return Err(TaskError { reason, message, exit_code: report.exit_code });
    }
    let faulty =
        |fault: Fault| TaskError { reason: "Output".to_owned(), message: fault.to_string(), exit_code: Some(0) };
    outputs(pipeline, facts, step, report).map_err(faulty)
}

/// The pod of a step, without a name or labels.
///
/// # Errors
/// [`Fault`] for a platform document that leads nowhere.
pub fn pod(pipeline: &Pipeline, facts: &Facts, step: &StepView<'_>, placement: &Placement) -> Result<Pod, Fault> {
    let _ = (pipeline, facts, placement);
    let pod = serde_json::json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": step.container.image}]},
    });
    serde_json::from_value(pod).map_err(|error| Fault::new("", error.to_string()))
}
