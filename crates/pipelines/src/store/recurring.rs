//! Recurring runs, and how far each has come.

use ferroflow_platform::records::{Error, Records, Row, Statement};
use serde_json::Value;

use super::{
    json,
    query::{self, Listed, Scope, Selected},
    text,
};
use crate::core::{
    query::{Page, RECURRING},
    schedule::Trigger,
};

/// One recurring run. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq)]
pub struct Recurring {
    pub recurring_run_id: String,
    pub experiment_id: String,
    pub namespace: String,
    pub display_name: String,
    pub description: String,
    pub created_ms: i64,
    pub updated_ms: i64,
    pub is_enabled: bool,
    /// Runs that may be under way at once: 1 to 10.
    pub max_concurrency: i64,
    pub no_catchup: bool,
    pub trigger: Trigger,
    pub pipeline_id: Option<String>,
    /// With a pipeline and no version, each run takes the newest.
    pub pipeline_version_id: Option<String>,
    /// The text of a spec that was given with it.
    pub spec: Option<String>,
    pub runtime_config: Value,
    pub service_account: String,
    /// When the last run that was triggered had been due.
    pub last_ms: Option<i64>,
    /// The number of the next run, from 1 on.
    pub next_index: i64,
    /// Why no run could be made at last; empty where it could.
    pub error: String,
}

pub(crate) const COLUMNS: &str = "recurring_run_id, experiment_id, namespace, display_name, description, created_ms, updated_ms, \
    is_enabled, max_concurrency, no_catchup, schedule, pipeline_id, pipeline_version_id, spec, runtime_config, \
    service_account, last_ms, next_index, error";

pub(crate) fn read(mut row: Row) -> Result<Recurring, Error> {
    Ok(Recurring {
        recurring_run_id: row.take_text(0)?,
        experiment_id: row.take_text(1)?,
        namespace: row.take_text(2)?,
        display_name: row.take_text(3)?,
        description: row.take_text(4)?,
        created_ms: row.integer(5)?,
        updated_ms: row.integer(6)?,
        is_enabled: row.integer(7)? != 0,
        max_concurrency: row.integer(8)?,
        no_catchup: row.integer(9)? != 0,
        trigger: json(&row, 10)?,
        pipeline_id: row.take_optional_text(11)?,
        pipeline_version_id: row.take_optional_text(12)?,
        spec: row.take_optional_text(13)?,
        runtime_config: json(&row, 14)?,
        service_account: row.take_text(15)?,
        last_ms: row.optional_integer(16)?,
        next_index: row.integer(17)?,
        error: row.take_text(18)?,
    })
}

/// Records a new recurring run.
pub fn insert(recurring: &Recurring) -> Statement {
    let sql = "INSERT INTO pipelines_recurring (recurring_run_id, experiment_id, namespace, display_name, description, \
               created_ms, updated_ms, is_enabled, max_concurrency, no_catchup, schedule, pipeline_id, \
               pipeline_version_id, spec, runtime_config, service_account, last_ms, next_index, error) VALUES ($1, $2, \
               $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)";
    let values = [
        (&recurring.recurring_run_id).into(),
        (&recurring.experiment_id).into(),
        (&recurring.namespace).into(),
        (&recurring.display_name).into(),
        (&recurring.description).into(),
        recurring.created_ms.into(),
        recurring.updated_ms.into(),
        recurring.is_enabled.into(),
        recurring.max_concurrency.into(),
        recurring.no_catchup.into(),
        text(&recurring.trigger).into(),
        recurring.pipeline_id.clone().into(),
        recurring.pipeline_version_id.clone().into(),
        recurring.spec.clone().into(),
        recurring.runtime_config.to_string().into(),
        (&recurring.service_account).into(),
        recurring.last_ms.into(),
        recurring.next_index.into(),
        (&recurring.error).into(),
    ];
    Statement::new(sql, values)
}

/// The recurring run of an id.
///
/// # Errors
/// [`Error`].
pub async fn get(records: &Records, id: &str) -> Result<Option<Recurring>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM pipelines_recurring WHERE recurring_run_id = $1");
    let rows = records.read(Statement::new(sql, [id.into()])).await?;
    rows.into_iter().next().map(read).transpose()
}

/// A page of recurring runs.
///
/// # Errors
/// [`Error`].
pub async fn list(records: &Records, scope: &[Scope], page: &Page) -> Result<Listed<Recurring>, Error> {
    let selected = Selected { columns: COLUMNS, joined: ("", "") };
    query::list(records, &RECURRING, scope, page, selected, read).await
}

/// All that are enabled.
///
/// # Errors
/// [`Error`].
pub async fn enabled(records: &Records) -> Result<Vec<Recurring>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM pipelines_recurring WHERE is_enabled = 1 ORDER BY recurring_run_id");
    records.read(Statement::new(sql, [])).await?.into_iter().map(read).collect()
}

/// Runs of a recurring run that have not ended.
///
/// # Errors
/// [`Error`].
pub async fn under_way(records: &Records, id: &str) -> Result<i64, Error> {
    let sql = "SELECT COUNT(*) FROM pipelines_runs WHERE recurring_run_id = $1 AND finished_ms IS NULL";
    let rows = records.read(Statement::new(sql, [id.into()])).await?;
    rows.first().map_or(Ok(0), |row| row.integer(0))
}

/// Enables it, or lets it rest. What was missed meanwhile is missed as while the server was away.
pub fn enable(id: &str, is_enabled: bool, now_ms: i64) -> Statement {
    let sql = "UPDATE pipelines_recurring SET is_enabled = $2, updated_ms = $3 WHERE recurring_run_id = $1";
    Statement::new(sql, [id.into(), is_enabled.into(), now_ms.into()]).must_change()
}

/// Notes that the run of an index was triggered, or why it could not be: once, whoever else tries.
pub fn triggered(recurring: &Recurring, due_ms: i64, error: &str) -> Statement {
    let sql = "UPDATE pipelines_recurring SET last_ms = $3, next_index = $2 + 1, error = $4 \
               WHERE recurring_run_id = $1 AND next_index = $2";
    let values = [(&recurring.recurring_run_id).into(), recurring.next_index.into(), due_ms.into(), error.into()];
    Statement::new(sql, values)
}

/// Removes it; its runs stay.
pub fn delete(id: &str) -> Statement {
    Statement::new("DELETE FROM pipelines_recurring WHERE recurring_run_id = $1", [id.into()]).must_change()
}
