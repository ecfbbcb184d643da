//! Experiments: names that runs are gathered under.

use ferroflow_platform::records::{Error, Records, Row, Statement};

use super::query::{self, Listed, Selected};
use crate::core::query::{EXPERIMENT, Page};

/// One experiment. Times are milliseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Experiment {
    pub experiment_id: String,
    pub namespace: String,
    pub display_name: String,
    pub description: String,
    /// `AVAILABLE` or `ARCHIVED`
    pub storage_state: String,
    pub created_ms: i64,
    /// 0 where there has been no run.
    pub last_run_ms: i64,
}

pub(crate) const COLUMNS: &str =
    "experiment_id, namespace, display_name, description, storage_state, created_ms, last_run_ms";

pub(crate) fn read(mut row: Row) -> Result<Experiment, Error> {
    Ok(Experiment {
        experiment_id: row.take_text(0)?,
        namespace: row.take_text(1)?,
        display_name: row.take_text(2)?,
        description: row.take_text(3)?,
        storage_state: row.take_text(4)?,
        created_ms: row.integer(5)?,
        last_run_ms: row.integer(6)?,
    })
}

/// Records a new experiment.
pub fn insert(experiment: &Experiment) -> Statement {
    let sql = "INSERT INTO pipelines_experiments (experiment_id, namespace, display_name, description, storage_state, \
               created_ms, last_run_ms) VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let values = [
        (&experiment.experiment_id).into(),
        (&experiment.namespace).into(),
        (&experiment.display_name).into(),
        (&experiment.description).into(),
        (&experiment.storage_state).into(),
        experiment.created_ms.into(),
        experiment.last_run_ms.into(),
    ];
    Statement::new(sql, values)
}

/// The experiment of an id.
///
/// # Errors
/// [`Error`].
pub async fn get(records: &Records, id: &str) -> Result<Option<Experiment>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM pipelines_experiments WHERE experiment_id = $1");
    let rows = records.read(Statement::new(sql, [id.into()])).await?;
    rows.into_iter().next().map(read).transpose()
}

/// A page of the experiments of a namespace.
///
/// # Errors
/// [`Error`].
pub async fn list(records: &Records, namespace: &str, page: &Page) -> Result<Listed<Experiment>, Error> {
    let scope = [("namespace", namespace.to_owned())];
    let selected = Selected { columns: COLUMNS, joined: ("", "") };
    query::list(records, &EXPERIMENT, &scope, page, selected, read).await
}

/// Archives an experiment with its runs, and lets its recurring runs rest.
pub fn archive(id: &str, now_ms: i64) -> Vec<Statement> {
    vec![
        Statement::new(
            "UPDATE pipelines_experiments SET storage_state = 'ARCHIVED' WHERE experiment_id = $1",
            [id.into()],
        )
        .must_change(),
        Statement::new("UPDATE pipelines_runs SET storage_state = 'ARCHIVED' WHERE experiment_id = $1", [id.into()]),
        Statement::new(
            "UPDATE pipelines_recurring SET is_enabled = 0, updated_ms = $2 WHERE experiment_id = $1 AND is_enabled = 1",
            [id.into(), now_ms.into()],
        ),
    ]
}

/// Takes an experiment out of the archive; its runs stay there, as upstream.
pub fn unarchive(id: &str) -> Statement {
    let sql = "UPDATE pipelines_experiments SET storage_state = 'AVAILABLE' WHERE experiment_id = $1";
    Statement::new(sql, [id.into()]).must_change()
}

/// Removes an experiment; its runs stay.
pub fn delete(id: &str) -> Statement {
    Statement::new("DELETE FROM pipelines_experiments WHERE experiment_id = $1", [id.into()]).must_change()
}

/// Notes that a run of an experiment was made.
pub fn note_run(id: &str, created_ms: i64) -> Statement {
    let sql = "UPDATE pipelines_experiments SET last_run_ms = $2 WHERE experiment_id = $1 AND last_run_ms < $2";
    Statement::new(sql, [id.into(), created_ms.into()])
}
