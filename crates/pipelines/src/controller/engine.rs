//! The engine's handle.

use std::sync::Arc;

use ferroflow_platform::{blob::Blobs, clock::SharedClock, records::Records, task::Group};
use serde_json::Value;

use super::{
    api::{EngineError, LogStream, StepError, Steps},
    config::EngineConfig,
};
use crate::{
    core::{
        step::{Begin, Report, StepClaims, Verdict, WorkOrder},
        task::TaskRow,
        value::Artifact,
    },
    store::{self, artifacts::ArtifactRow, runs::RunRow},
};

/// Carries out runs. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    config: EngineConfig,
    records: Records,
    blobs: Blobs,
    client: kube::Client,
    clock: SharedClock,
    group: Group,
}

impl Engine {
    /// Starts the engine, and goes on with every run that has not ended.
    ///
    /// # Errors
    /// [`EngineError::Records`].
    pub async fn start(
        config: EngineConfig,
        records: Records,
        blobs: Blobs,
        client: kube::Client,
        clock: SharedClock,
        group: Group,
    ) -> Result<Self, EngineError> {
        store::migrate(&records).await?;
        Ok(Self { inner: Arc::new(Inner { config, records, blobs, client, clock, group }) })
    }

    /// Records a run and begins with it. Of `run` the engine fills `spec_digest`, `pipeline_name`, `state` and `history`;
    /// an empty `run_id` or `namespace` too. `spec` is `{"pipeline_spec": …[, "platform_spec": …]}` or the bare IR.
    ///
    /// # Errors
    /// [`EngineError::Fault`] for a spec or parameters that cannot be run, [`EngineError::Exists`].
    pub async fn submit(&self, run: RunRow, spec: Value) -> Result<RunRow, EngineError> {
        let _ = (
            run,
            spec,
            &self.inner.client,
            &self.inner.clock,
            &self.inner.group,
            &self.inner.config,
            &self.inner.blobs,
        );
        Err(EngineError::Stopped)
    }

    /// Ends a run: its steps are stopped, and it ends as FAILED after CANCELING.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::NotRunning`].
    pub async fn terminate(&self, run: &str) -> Result<(), EngineError> {
        let _ = run;
        Err(EngineError::Stopped)
    }

    /// Goes on with a failed run: what has succeeded is kept, the rest runs again.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::NotFinished`], [`EngineError::NotFailed`].
    pub async fn retry(&self, run: &str) -> Result<(), EngineError> {
        let _ = run;
        Err(EngineError::Stopped)
    }

    /// Removes a run, its tasks and pods; one that is under way is stopped first. Its artifacts stay.
    ///
    /// # Errors
    /// [`EngineError::NotFound`].
    pub async fn delete(&self, run: &str) -> Result<(), EngineError> {
        let _ = run;
        Err(EngineError::Stopped)
    }

    /// A run as it stands.
    ///
    /// # Errors
    /// [`EngineError::Records`].
    pub async fn run(&self, run: &str) -> Result<Option<RunRow>, EngineError> {
        Ok(store::runs::get(&self.inner.records, run).await?)
    }

    /// The tasks of a run, by path.
    ///
    /// # Errors
    /// [`EngineError::Records`].
    pub async fn tasks(&self, run: &str) -> Result<Vec<TaskRow>, EngineError> {
        Ok(store::tasks::of_run(&self.inner.records, run).await?)
    }

    /// What a step has printed; with `follow` also what it will.
    ///
    /// # Errors
    /// [`EngineError::NotFound`].
    pub async fn log(&self, run: &str, task: &str, follow: Follow) -> Result<LogStream, EngineError> {
        let _ = (run, task, follow);
        Err(EngineError::Stopped)
    }

    /// An artifact.
    ///
    /// # Errors
    /// [`EngineError::Records`].
    pub async fn artifact(&self, artifact: &str) -> Result<Option<ArtifactRow>, EngineError> {
        Ok(store::artifacts::get(&self.inner.records, artifact).await?)
    }
}

/// Whether a log ends with what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    No,
    UntilEnd,
}

impl Steps for Engine {
    async fn begin(&self, claims: &StepClaims, _begin: Begin) -> Result<WorkOrder, StepError> {
        Err(stale(claims))
    }

    async fn input(&self, claims: &StepClaims, _artifact: &str) -> Result<Artifact, StepError> {
        Err(stale(claims))
    }

    async fn output(&self, claims: &StepClaims, _name: &str) -> Result<String, StepError> {
        Err(stale(claims))
    }

    async fn log(&self, claims: &StepClaims) -> Result<String, StepError> {
        Err(stale(claims))
    }

    async fn finish(&self, claims: &StepClaims, _report: Report) -> Result<Verdict, StepError> {
        Err(stale(claims))
    }
}

fn stale(claims: &StepClaims) -> StepError {
    StepError::Stale { task: claims.task.clone(), attempt: claims.attempt }
}
