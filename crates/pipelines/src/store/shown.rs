//! Runs as they are shown: their JSON stays the text that it is stored as.

use ferroflow_platform::records::{Error, Records, Row, Statement};

use super::{
    query::{self, Listed, Scope, Selected},
    runs,
};
use crate::core::query::{Page, RUN};

/// One run. Times are milliseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShownRun {
    pub run_id: String,
    pub experiment_id: String,
    pub namespace: String,
    pub display_name: String,
    pub description: String,
    pub storage_state: String,
    pub state: String,
    pub created_ms: i64,
    pub scheduled_ms: i64,
    pub finished_ms: Option<i64>,
    pub service_account: String,
    pub pipeline_id: Option<String>,
    pub pipeline_version_id: Option<String>,
    pub recurring_run_id: Option<String>,
    /// JSON
    pub runtime_config: String,
    /// JSON
    pub error: Option<String>,
    /// JSON
    pub history: String,
    /// JSON; `None` for the run of a version, which is referred to.
    pub spec: Option<String>,
}

const SELECTED: Selected = Selected {
    columns: runs::COLUMNS,
    joined: (", s.spec", "LEFT JOIN pipelines_specs s ON p.pipeline_version_id IS NULL AND s.digest = p.spec_digest"),
};

/// Columns of [`runs::COLUMNS`], behind which the spec stands.
const RUN_COLUMNS: usize = 19;

fn read(row: &Row, first: usize) -> Result<ShownRun, Error> {
    let text = |column| Ok::<_, Error>(row.text(first + column)?.to_owned());
    let optional = |column| Ok::<_, Error>(row.optional_text(first + column)?.map(str::to_owned));
    Ok(ShownRun {
        run_id: text(0)?,
        experiment_id: text(1)?,
        namespace: text(2)?,
        display_name: text(3)?,
        description: text(4)?,
        storage_state: text(5)?,
        state: text(6)?,
        created_ms: row.integer(first + 7)?,
        scheduled_ms: row.integer(first + 8)?,
        finished_ms: row.optional_integer(first + 9)?,
        service_account: text(10)?,
        pipeline_id: optional(11)?,
        pipeline_version_id: optional(12)?,
        recurring_run_id: optional(13)?,
        runtime_config: text(16)?,
        error: optional(17)?,
        history: text(18)?,
        spec: optional(RUN_COLUMNS)?,
    })
}

/// The run of an id.
///
/// # Errors
/// [`Error`].
pub async fn get(records: &Records, run_id: &str) -> Result<Option<ShownRun>, Error> {
    let Selected { columns, joined: (spec, join) } = SELECTED;
    let sql = format!("SELECT {columns}{spec} FROM pipelines_runs p {join} WHERE p.run_id = $1");
    let rows = records.read(Statement::new(sql, [run_id.into()])).await?;
    rows.first().map(|row| read(row, 0)).transpose()
}

/// A page of runs.
///
/// # Errors
/// [`Error`].
pub async fn list(records: &Records, scope: &[Scope], page: &Page) -> Result<Listed<ShownRun>, Error> {
    query::list(records, &RUN, scope, page, SELECTED, read).await
}

/// Moves a run into the archive, or out of it.
pub fn store(run_id: &str, storage_state: &'static str) -> Statement {
    let sql = "UPDATE pipelines_runs SET storage_state = $2 WHERE run_id = $1";
    Statement::new(sql, [run_id.into(), storage_state.into()]).must_change()
}
