//! Tasks of runs: one row each.

use std::sync::LazyLock;

use ferroflow_platform::records::{Error, Records, Row, Statement};

use super::{json, optional_json, text, word, word_of};
use crate::core::task::TaskRow;

/// The columns of a task in the order in which [`task`] reads them.
pub const COLUMNS: &str = "run_id, task_id, parent_id, path, task_key, display_name, kind, iteration, iteration_count, \
    state, attempt, first_attempt, pod_name, work_root, created_ms, started_ms, ended_ms, error, inputs, outputs, cache, \
    due_ms";

/// Reads a row of [`COLUMNS`].
///
/// # Errors
/// [`Error::Column`].
pub fn task(mut row: Row) -> Result<TaskRow, Error> {
    Ok(TaskRow {
        run_id: row.take_text(0)?,
        task_id: row.take_text(1)?,
        parent_id: row.take_optional_text(2)?,
        path: row.take_text(3)?,
        key: row.take_text(4)?,
        display_name: row.take_text(5)?,
        kind: word(&row, 6, "a task's kind")?,
        iteration: row.optional_integer(7)?.map(|value| count(7, value)).transpose()?,
        iteration_count: row.optional_integer(8)?.map(|value| count(8, value)).transpose()?,
        state: word(&row, 9, "a task's state")?,
        attempt: count(10, row.integer(10)?)?,
        first_attempt: count(11, row.integer(11)?)?,
        pod_name: row.take_optional_text(12)?,
        work_root: row.take_optional_text(13)?,
        created_ms: row.integer(14)?,
        started_ms: row.optional_integer(15)?,
        ended_ms: row.optional_integer(16)?,
        error: optional_json(&row, 17)?,
        inputs: json(&row, 18)?,
        outputs: json(&row, 19)?,
        cache: json(&row, 20)?,
        due_ms: row.optional_integer(21)?,
    })
}

fn count(column: usize, value: i64) -> Result<u32, Error> {
    u32::try_from(value).map_err(|_| Error::Column { column, wanted: "a count" })
}

/// Records a task as it stands now, new or not.
pub fn save(task: &TaskRow) -> Statement {
    let sql = "INSERT INTO pipelines_tasks (run_id, task_id, parent_id, path, task_key, display_name, kind, iteration, \
               iteration_count, state, attempt, first_attempt, pod_name, work_root, created_ms, started_ms, ended_ms, \
               error, inputs, outputs, cache, due_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, \
               $14, $15, $16, $17, $18, $19, $20, $21, $22) ON CONFLICT (task_id) DO UPDATE SET iteration_count = \
               excluded.iteration_count, state = excluded.state, attempt = excluded.attempt, first_attempt = \
               excluded.first_attempt, pod_name = excluded.pod_name, work_root = excluded.work_root, started_ms = \
               excluded.started_ms, ended_ms = excluded.ended_ms, error = excluded.error, inputs = excluded.inputs, \
               outputs = excluded.outputs, cache = excluded.cache, due_ms = excluded.due_ms";
    Statement::new(sql, values(task))
}

fn values(task: &TaskRow) -> [ferroflow_platform::records::Value; 22] {
    [
        (&task.run_id).into(),
        (&task.task_id).into(),
        task.parent_id.clone().into(),
        (&task.path).into(),
        (&task.key).into(),
        (&task.display_name).into(),
        word_of(&task.kind).into(),
        task.iteration.into(),
        task.iteration_count.into(),
        word_of(&task.state).into(),
        task.attempt.into(),
        task.first_attempt.into(),
        task.pod_name.clone().into(),
        task.work_root.clone().into(),
        task.created_ms.into(),
        task.started_ms.into(),
        task.ended_ms.into(),
        task.error.as_ref().map(text).into(),
        text(&task.inputs).into(),
        text(&task.outputs).into(),
        text(&task.cache).into(),
        task.due_ms.into(),
    ]
}

/// Lets a write stand only while an attempt of a step is current and without a result: the guard of its outputs.
pub fn is_current(task_id: &str, attempt: u32) -> Statement {
    let sql = "UPDATE pipelines_tasks SET attempt = attempt WHERE task_id = $1 AND attempt = $2 \
               AND state IN ('PENDING', 'RUNNING')";
    Statement::new(sql, [task_id.into(), attempt.into()]).must_change()
}

static OF_RUN: LazyLock<String> =
    LazyLock::new(|| format!("SELECT {COLUMNS} FROM pipelines_tasks WHERE run_id = $1 ORDER BY path"));

/// Selects the tasks of a run, by path, for [`task`].
pub fn select(run_id: &str) -> Statement {
    Statement::new(OF_RUN.as_str(), [run_id.into()])
}

/// The tasks of a run, by path.
///
/// # Errors
/// [`Error`].
pub async fn of_run(records: &Records, run_id: &str) -> Result<Vec<TaskRow>, Error> {
    records.read(select(run_id)).await?.into_iter().map(task).collect()
}

/// One task of a run.
///
/// # Errors
/// [`Error`].
pub async fn get(records: &Records, run_id: &str, task_id: &str) -> Result<Option<TaskRow>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM pipelines_tasks WHERE task_id = $1 AND run_id = $2");
    let rows = records.read(Statement::new(sql, [task_id.into(), run_id.into()])).await?;
    rows.into_iter().next().map(task).transpose()
}

/// A task of whatever run.
///
/// # Errors
/// [`Error`].
pub async fn find(records: &Records, task_id: &str) -> Result<Option<TaskRow>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM pipelines_tasks WHERE task_id = $1");
    let rows = records.read(Statement::new(sql, [task_id.into()])).await?;
    rows.into_iter().next().map(task).transpose()
}

/// Ends all tasks of a run that have not ended, since the run is given up.
pub fn close(run_id: &str, now_ms: i64) -> Statement {
    let sql = "UPDATE pipelines_tasks SET state = CASE WHEN parent_id IS NULL THEN 'FAILED' ELSE 'CANCELED' END, \
               ended_ms = $2 WHERE run_id = $1 AND state IN ('PENDING', 'RUNNING')";
    Statement::new(sql, [run_id.into(), now_ms.into()])
}

/// Removes the tasks of a run that is not there: an import that was broken off has left them.
pub fn remove_leftovers(run_id: &str) -> Statement {
    let sql = "DELETE FROM pipelines_tasks WHERE run_id = $1 \
               AND NOT EXISTS (SELECT 1 FROM pipelines_runs WHERE run_id = $1)";
    Statement::new(sql, [run_id.into()])
}

/// Removes a task.
pub fn remove(task_id: &str) -> Statement {
    Statement::new("DELETE FROM pipelines_tasks WHERE task_id = $1", [task_id.into()])
}
