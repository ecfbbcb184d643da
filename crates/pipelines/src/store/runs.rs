//! Runs and the specs that they were made from.

use ferroflow_platform::records::{Error, Records, Row, Statement};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{json, optional_json, text, word, word_of};
use crate::core::{
    run::{RunState, StateChange},
    task::TaskError,
};

/// Whether a run is shown among those at hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StorageState {
    #[default]
    Available,
    Archived,
}

/// One run. Times are milliseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunRow {
    /// A UUID.
    pub run_id: String,
    pub experiment_id: String,
    pub namespace: String,
    pub display_name: String,
    pub description: String,
    pub storage_state: StorageState,
    pub state: RunState,
    pub created_ms: i64,
    pub scheduled_ms: i64,
    pub finished_ms: Option<i64>,
    pub service_account: String,
    pub pipeline_id: Option<String>,
    pub pipeline_version_id: Option<String>,
    pub recurring_run_id: Option<String>,
    /// `pipelineInfo.name`
    pub pipeline_name: String,
    /// The key of [`spec`].
    pub spec_digest: String,
    /// `{"parameters": {…}, "pipeline_root": "…"}` as it was given.
    pub runtime_config: Value,
    pub error: Option<TaskError>,
    pub history: Vec<StateChange>,
}

/// The columns of a run in the order in which [`run`] reads them.
pub const COLUMNS: &str = "run_id, experiment_id, namespace, display_name, description, storage_state, state, \
    created_ms, scheduled_ms, finished_ms, service_account, pipeline_id, pipeline_version_id, recurring_run_id, \
    pipeline_name, spec_digest, runtime_config, error, history";

/// Reads a row of [`COLUMNS`].
///
/// # Errors
/// [`Error::Column`].
pub fn run(mut row: Row) -> Result<RunRow, Error> {
    Ok(RunRow {
        run_id: row.take_text(0)?,
        experiment_id: row.take_text(1)?,
        namespace: row.take_text(2)?,
        display_name: row.take_text(3)?,
        description: row.take_text(4)?,
        storage_state: word(&row, 5, "a storage state")?,
        state: word(&row, 6, "a run's state")?,
        created_ms: row.integer(7)?,
        scheduled_ms: row.integer(8)?,
        finished_ms: row.optional_integer(9)?,
        service_account: row.take_text(10)?,
        pipeline_id: row.take_optional_text(11)?,
        pipeline_version_id: row.take_optional_text(12)?,
        recurring_run_id: row.take_optional_text(13)?,
        pipeline_name: row.take_text(14)?,
        spec_digest: row.take_text(15)?,
        runtime_config: json(&row, 16)?,
        error: optional_json(&row, 17)?,
        history: json(&row, 18)?,
    })
}

/// Records a new run.
pub fn insert(run: &RunRow) -> Statement {
    let sql = "INSERT INTO pipelines_runs (run_id, experiment_id, namespace, display_name, description, storage_state, \
               state, created_ms, scheduled_ms, finished_ms, service_account, pipeline_id, pipeline_version_id, \
               recurring_run_id, pipeline_name, spec_digest, runtime_config, error, history) VALUES ($1, $2, $3, $4, \
               $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)";
    let values = [
        (&run.run_id).into(),
        (&run.experiment_id).into(),
        (&run.namespace).into(),
        (&run.display_name).into(),
        (&run.description).into(),
        word_of(&run.storage_state).into(),
        run.state.as_str().into(),
        run.created_ms.into(),
        run.scheduled_ms.into(),
        run.finished_ms.into(),
        (&run.service_account).into(),
        run.pipeline_id.clone().into(),
        run.pipeline_version_id.clone().into(),
        run.recurring_run_id.clone().into(),
        (&run.pipeline_name).into(),
        (&run.spec_digest).into(),
        run.runtime_config.to_string().into(),
        run.error.as_ref().map(text).into(),
        text(&run.history).into(),
    ];
    Statement::new(sql, values)
}

/// Records a spec, which many runs share. One that is there is held until the write ends, so that it does not go with the
/// last of its other runs meanwhile.
pub fn insert_spec(digest: &str, spec: &Value) -> Statement {
    // An update that is not carried out holds the row on PostgreSQL, and costs nothing on SQLite.
    let sql = "INSERT INTO pipelines_specs (digest, spec) VALUES ($1, $2) \
               ON CONFLICT (digest) DO UPDATE SET digest = excluded.digest WHERE 1 = 0";
    Statement::new(sql, [digest.into(), spec.to_string().into()])
}

/// Keeps a spec that is there from going until the write ends.
pub fn hold_spec(digest: &str) -> Statement {
    Statement::new("UPDATE pipelines_specs SET digest = digest WHERE digest = $1", [digest.into()])
}

/// Records where a run stands. Only the engine writes these columns, and only of a run that exists.
pub fn update_state(run: &RunRow) -> Statement {
    let sql = "UPDATE pipelines_runs SET state = $2, finished_ms = $3, error = $4, history = $5 WHERE run_id = $1";
    let values = [
        (&run.run_id).into(),
        run.state.as_str().into(),
        run.finished_ms.into(),
        run.error.as_ref().map(text).into(),
        text(&run.history).into(),
    ];
    Statement::new(sql, values).must_change()
}

/// The run of an id.
///
/// # Errors
/// [`Error`].
pub async fn get(records: &Records, run_id: &str) -> Result<Option<RunRow>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM pipelines_runs WHERE run_id = $1");
    let rows = records.read(Statement::new(sql, [run_id.into()])).await?;
    rows.into_iter().next().map(run).transpose()
}

/// Runs that are under way, the oldest first.
///
/// # Errors
/// [`Error`].
pub async fn active(records: &Records) -> Result<Vec<RunRow>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM pipelines_runs WHERE finished_ms IS NULL ORDER BY created_ms, run_id");
    records.read(Statement::new(sql, [])).await?.into_iter().map(run).collect()
}

/// The spec of a digest: `{"pipeline_spec": …[, "platform_spec": …]}` or the bare IR, as it was given.
///
/// # Errors
/// [`Error`].
pub async fn spec(records: &Records, digest: &str) -> Result<Option<Value>, Error> {
    let sql = "SELECT spec FROM pipelines_specs WHERE digest = $1";
    let rows = records.read(Statement::new(sql, [digest.into()])).await?;
    rows.first().map(|row| json(row, 0)).transpose()
}
