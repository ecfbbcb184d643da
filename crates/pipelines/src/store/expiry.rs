//! Until when the pods and the workspace of runs that have ended stay, where their pipelines say so.

use ferroflow_platform::records::{Error, Records, Statement};

/// Notes when they go.
pub fn set(run_id: &str, due_ms: i64) -> Statement {
    let sql = "INSERT INTO pipelines_expiries (run_id, due_ms) VALUES ($1, $2) \
               ON CONFLICT (run_id) DO UPDATE SET due_ms = excluded.due_ms";
    Statement::new(sql, [run_id.into(), due_ms.into()])
}

/// The run whose turn is next, and when.
///
/// # Errors
/// [`Error`].
pub async fn next(records: &Records) -> Result<Option<(String, i64)>, Error> {
    let sql = "SELECT run_id, due_ms FROM pipelines_expiries ORDER BY due_ms, run_id LIMIT 1";
    let rows = records.read(Statement::new(sql, [])).await?;
    rows.first().map(|row| Ok((row.text(0)?.to_owned(), row.integer(1)?))).transpose()
}

/// Notes that they are gone.
pub fn done(run_id: &str) -> Statement {
    Statement::new("DELETE FROM pipelines_expiries WHERE run_id = $1", [run_id.into()])
}
