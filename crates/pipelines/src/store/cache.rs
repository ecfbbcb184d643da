//! The cache: which task's outputs a fingerprint stands for. The newest success counts; there is no age at which it ends.

use ferroflow_platform::records::{Error, Records, Row, Statement};

use super::{json, text};
use crate::core::value::Values;

/// What the cache knows of a fingerprint.
#[derive(Clone, Debug, PartialEq)]
pub struct CacheEntry {
    pub task_id: String,
    pub outputs: Values,
}

/// Where a fingerprint counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CacheKey {
    pub namespace: String,
    pub pipeline_name: String,
    pub fingerprint: String,
}

/// Records the outputs of a task that has succeeded.
pub fn save(key: &CacheKey, run_id: &str, task_id: &str, outputs: &Values, now_ms: i64) -> Statement {
    let sql = "INSERT INTO pipelines_cache (namespace, pipeline_name, fingerprint, run_id, task_id, outputs, created_ms) \
               VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (namespace, pipeline_name, fingerprint) DO UPDATE SET \
               run_id = excluded.run_id, task_id = excluded.task_id, outputs = excluded.outputs, \
               created_ms = excluded.created_ms";
    let values = [
        (&key.namespace).into(),
        (&key.pipeline_name).into(),
        (&key.fingerprint).into(),
        run_id.into(),
        task_id.into(),
        text(outputs).into(),
        now_ms.into(),
    ];
    Statement::new(sql, values)
}

/// What the cache knows of a fingerprint.
///
/// # Errors
/// [`Error`].
pub async fn get(records: &Records, key: &CacheKey) -> Result<Option<CacheEntry>, Error> {
    let sql = "SELECT task_id, outputs FROM pipelines_cache \
               WHERE namespace = $1 AND pipeline_name = $2 AND fingerprint = $3";
    let values = [(&key.namespace).into(), (&key.pipeline_name).into(), (&key.fingerprint).into()];
    let rows = records.read(Statement::new(sql, values)).await?;
    rows.first().map(entry).transpose()
}

fn entry(row: &Row) -> Result<CacheEntry, Error> {
    Ok(CacheEntry { task_id: row.text(0)?.to_owned(), outputs: json(row, 1)? })
}
