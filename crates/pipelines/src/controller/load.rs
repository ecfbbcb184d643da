//! Runs from what is recorded of them.

use std::sync::Arc;

use serde_json::Value;

use super::{api::EngineError, reach, shared::Shared};
use crate::{
    core::{
        engine::{Facts, Run, Standing, handover::Handed},
        fault::Fault,
        id,
        ir::{self, Pipeline},
        macros::{self, Moment},
        pod, runtime,
        value::Parameters,
    },
    store::{self, runs::RunRow},
};

/// How a recorded run goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goes {
    /// Where it stood, in a life of this number.
    On(u32),
    /// From what has failed.
    Again,
}

/// What is known of a run from its beginning.
pub(super) fn facts(shared: &Shared, row: &RunRow, pipeline: &Pipeline) -> Facts {
    let given = row.runtime_config.get("pipeline_root").and_then(Value::as_str).filter(|root| !root.is_empty());
    let root = given.or(pipeline.default_root.as_deref().filter(|root| !root.is_empty()));
    Facts {
        run_id: row.run_id.clone(),
        display_name: row.display_name.clone(),
        resource_name: resource_name(row),
        namespace: row.namespace.clone(),
        created_ms: row.created_ms,
        scheduled_ms: row.scheduled_ms,
        root: root.unwrap_or(&shared.config.pipeline_root).to_owned(),
    }
}

/// What upstream's workflow would be called.
pub(super) fn resource_name(row: &RunRow) -> String {
    format!("{}-{}", id::dns(&row.pipeline_name, 50), id::suffix(&[&row.run_id], 5))
}

/// Where the steps of a run put their outputs; `None` where its pipeline cannot be read any more.
pub(super) async fn directory(shared: &Shared, row: &RunRow) -> Result<Option<String>, EngineError> {
    let spec = store::runs::spec(&shared.records, &row.spec_digest).await?;
    let pipeline = spec.and_then(|spec| ir::read::pipeline(&spec).ok());
    Ok(pipeline.map(|pipeline| {
        let facts = facts(shared, row, &pipeline);
        Handed::directory(&facts, &pipeline)
    }))
}

/// The name of a run's workspace.
pub(super) fn workspace_name(row: &RunRow) -> String {
    pod::workspace_name(&Facts { resource_name: resource_name(row), ..Facts::default() })
}

/// Parameters as the run was given them, with their macros replaced.
pub(super) fn parameters(row: &RunRow, pipeline: &Pipeline) -> Result<Parameters, Fault> {
    let given = row.runtime_config.get("parameters").and_then(Value::as_object).cloned().unwrap_or_default();
    let mut parameters = runtime::parameters(pipeline, given)?;
    let scheduled_ms = row.recurring_run_id.as_ref().map(|_| row.scheduled_ms);
    let moment = Moment { run_id: &row.run_id, now_ms: row.created_ms, scheduled_ms };
    macros::expand(&mut parameters, &moment);
    Ok(parameters)
}

/// Reads a run from the store.
pub(super) async fn run(shared: &Shared, row: &RunRow, goes: Goes) -> Result<Run, EngineError> {
    let missing = || EngineError::NotFound { kind: "pipeline spec", id: row.spec_digest.clone() };
    let spec = store::runs::spec(&shared.records, &row.spec_digest).await?.ok_or_else(missing)?;
    let pipeline = Arc::new(ir::read::pipeline(&spec)?);
    let facts = facts(shared, row, &pipeline);
    reach::root(shared, &facts, &pipeline).await?;
    let rows = store::tasks::of_run(&shared.records, &row.run_id).await?;
    let standing = Standing {
        state: row.state,
        finished_ms: row.finished_ms,
        error: row.error.clone(),
        history: row.history.clone(),
    };
    let (limits, now_ms) = (shared.limits(), shared.now_ms());
    Ok(match goes {
        Goes::On(life) => Run::restore(pipeline, facts, limits, life, standing, rows, now_ms),
        Goes::Again => Run::retry(pipeline, facts, limits, standing, rows, now_ms),
    })
}
