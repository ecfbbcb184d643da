//! What a step's pod and its launcher are handed, and what comes back.

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Map, Value};

use super::{Facts, Run, event::NodeId, view::StepView};
use crate::core::{
    executor::{self, Step},
    fault::Fault,
    id,
    ir::Pipeline,
    output,
    pod::{self, Placement},
    step::{Report, WorkOrder},
    task::TaskError,
    value::Values,
};

/// An attempt of a step with all that it needs to be handed.
pub struct Handed<'a> {
    run: &'a Run,
    view: StepView<'a>,
    settings: Map<String, Value>,
    uri: String,
}

impl<'a> Handed<'a> {
    /// The attempt of a step that has a pod, or is about to.
    ///
    /// # Errors
    /// [`Fault`] for a platform document that refers to what is not there.
    pub fn of(run: &'a Run, node: NodeId, view: StepView<'a>) -> Result<Self, Fault> {
        let settings = run.settings(node, view.label)?;
        // `<root>/<pipeline>/<run>/<task>/<attempt>`, as upstream has it.
        let attempt = id::derived(&[view.task_id, &view.attempt.to_string()]);
        let facts = run.facts();
        let uri = format!("{}/{}/{attempt}", Self::directory(facts, run.pipeline()), view.key);
        Ok(Self { run, view, settings, uri })
    }

    /// Where the outputs of all steps of a run are, which nothing else is put.
    pub fn directory(facts: &Facts, pipeline: &Pipeline) -> String {
        format!("{}/{}/{}", facts.root.trim_end_matches('/'), pipeline.name, facts.run_id)
    }

    fn step<'b>(&'b self, root: Option<&'b str>) -> Step<'b> {
        Step {
            component: self.view.component,
            container: self.view.container,
            inputs: self.view.inputs,
            platform: &self.settings,
            facts: self.run.facts(),
            key: self.view.key,
            task_id: self.view.task_id,
            uri: &self.uri,
            root,
        }
    }

    /// What the launcher is to do; `root` is where its directory really is, where it is elsewhere.
    ///
    /// # Errors
    /// [`Fault`] for values and placeholders that do not fit.
    pub fn order(&self, root: Option<&str>) -> Result<WorkOrder, Fault> {
        executor::order(&self.step(root))
    }

    /// The URI that an output artifact goes to; `None` for one that the step does not declare.
    pub fn output_uri(&self, name: &str) -> Option<String> {
        self.view.component.outputs.artifacts.get(name)?;
        Some(self.step(None).output_uri(name))
    }

    /// What an attempt has come to, as its report says.
    ///
    /// # Errors
    /// Why it has failed.
    pub fn outcome(&self, report: &Report) -> Result<Values, TaskError> {
        if report.exit_code != Some(0) || !report.reason.is_empty() {
            return Err(failure(report));
        }
        let faulty =
            |fault: Fault| TaskError { reason: "Output".to_owned(), message: fault.to_string(), exit_code: Some(0) };
        output::read(&self.step(self.view.work_root), report).map_err(faulty)
    }

    /// The words of its command that stand there as they are, for what is recognised by them.
    pub fn command(&self) -> Vec<String> {
        self.view.container.command.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// How often the step was tried before, where its task has a policy of retries.
    pub fn retry(&self) -> Option<u32> {
        self.view.task.retry.as_ref().map(|_| self.view.attempt - self.view.first_attempt)
    }

    /// The pod.
    ///
    /// # Errors
    /// [`Fault`] for what makes no pod; it names the field.
    pub fn pod(&self, placement: &Placement<'_>) -> Result<Pod, Fault> {
        pod::build(&self.step(None), placement)
    }
}

fn failure(report: &Report) -> TaskError {
    let reason = if report.reason.is_empty() { "Error".to_owned() } else { report.reason.clone() };
    let code = report.exit_code.filter(|code| *code != 0).map(|code| format!("exit code {code}"));
    // A launcher says it too.
    let code = code.filter(|code| !report.message.starts_with(code));
    let parts = [code, Some(report.message.clone()).filter(|message| !message.is_empty())];
    let message = parts.into_iter().flatten().collect::<Vec<_>>().join(": ");
    TaskError { reason, message, exit_code: report.exit_code }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_tells_the_exit_code_and_what_the_launcher_says() {
        let rows = [
            (Some(3), "", "last words", "Error", "exit code 3: last words"),
            (Some(3), "", "exit code 3; the last lines", "Error", "exit code 3; the last lines"),
            (Some(127), "NotFound", "", "NotFound", "exit code 127"),
            (None, "Input", "artifact is gone", "Input", "artifact is gone"),
            (Some(0), "Output", "link leads outside", "Output", "link leads outside"),
        ];
        for (exit_code, reason, message, wanted, told) in rows {
            let report = Report { exit_code, reason: reason.into(), message: message.into(), ..Report::default() };
            let error = failure(&report);
            assert_eq!((error.reason.as_str(), error.message.as_str()), (wanted, told));
        }
    }
}
