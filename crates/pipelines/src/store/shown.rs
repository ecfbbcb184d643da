//! Runs as they are shown: their JSON stays the text that it is stored as.

use std::sync::LazyLock;

use ferroflow_platform::records::{Error, Records, Row, Statement};

use super::{
    query::{self, Listed, Scope, Selected},
    runs, tasks,
};
use crate::core::{
    query::{Page, RUN},
    task::TaskRow,
};

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

fn read(mut row: Row) -> Result<ShownRun, Error> {
    Ok(ShownRun {
        run_id: row.take_text(0)?,
        experiment_id: row.take_text(1)?,
        namespace: row.take_text(2)?,
        display_name: row.take_text(3)?,
        description: row.take_text(4)?,
        storage_state: row.take_text(5)?,
        state: row.take_text(6)?,
        created_ms: row.integer(7)?,
        scheduled_ms: row.integer(8)?,
        finished_ms: row.optional_integer(9)?,
        service_account: row.take_text(10)?,
        pipeline_id: row.take_optional_text(11)?,
        pipeline_version_id: row.take_optional_text(12)?,
        recurring_run_id: row.take_optional_text(13)?,
        runtime_config: row.take_text(16)?,
        error: row.take_optional_text(17)?,
        history: row.take_text(18)?,
        spec: row.take_optional_text(RUN_COLUMNS)?,
    })
}

/// The run of an id.
static ONE: LazyLock<String> = LazyLock::new(|| {
    let Selected { columns, joined: (spec, join) } = SELECTED;
    format!("SELECT {columns}{spec} FROM pipelines_runs p {join} WHERE p.run_id = $1")
});

/// The run of an id.
///
/// # Errors
/// [`Error`].
pub async fn get(records: &Records, run_id: &str) -> Result<Option<ShownRun>, Error> {
    let rows = records.read(Statement::new(ONE.as_str(), [run_id.into()])).await?;
    rows.into_iter().next().map(read).transpose()
}

/// The run of an id with its tasks, by path.
///
/// # Errors
/// [`Error`].
pub async fn with_tasks(records: &Records, run_id: &str) -> Result<Option<(ShownRun, Vec<TaskRow>)>, Error> {
    let run = Statement::new(ONE.as_str(), [run_id.into()]);
    let mut found = records.read_all(vec![run, tasks::select(run_id)]).await?.into_iter();
    let run = found.next().and_then(|rows| rows.into_iter().next());
    let Some(run) = run.map(read).transpose()? else { return Ok(None) };
    let tasks: Result<Vec<TaskRow>, Error> = found.flatten().map(tasks::task).collect();
    Ok(Some((run, tasks?)))
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
