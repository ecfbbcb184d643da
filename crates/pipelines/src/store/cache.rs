//! The cache: which task's outputs a fingerprint stands for. The newest success counts; there is no age at which it ends.

use ferroflow_platform::records::{Error, Records, Row, Statement};

use super::{json, text};
use crate::core::value::Values;

/// What the cache knows of a fingerprint.
#[derive(Clone, Debug, PartialEq)]
pub struct CacheEntry {
    pub task_id: String,
    pub outputs: Values,
    /// URIs that must still have bytes for the outputs to count.
    pub kept: Vec<String>,
    /// `sha256:…` of the image that the step ran from, where that was known.
    pub image: Option<String>,
}

/// Where a fingerprint counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CacheKey {
    pub namespace: String,
    pub pipeline_name: String,
    pub fingerprint: String,
}

/// Records the outputs of a task that has succeeded.
pub fn save(key: &CacheKey, run_id: &str, entry: &CacheEntry, now_ms: i64) -> Statement {
    let renew = "UPDATE SET run_id = excluded.run_id, task_id = excluded.task_id, outputs = excluded.outputs, \
                 kept = excluded.kept, created_ms = excluded.created_ms, image = excluded.image";
    insert(key, run_id, entry, now_ms, renew)
}

/// Records an entry that was made elsewhere; one that is there stays.
pub(crate) fn add(saved: &Saved) -> Statement {
    insert(&saved.key, &saved.run_id, &saved.entry, saved.created_ms, "NOTHING")
}

fn insert(key: &CacheKey, run_id: &str, entry: &CacheEntry, now_ms: i64, conflict: &str) -> Statement {
    let sql = format!(
        "INSERT INTO pipelines_cache (namespace, pipeline_name, fingerprint, run_id, task_id, outputs, kept, created_ms, \
         image) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
         ON CONFLICT (namespace, pipeline_name, fingerprint) DO {conflict}"
    );
    let values = [
        (&key.namespace).into(),
        (&key.pipeline_name).into(),
        (&key.fingerprint).into(),
        run_id.into(),
        (&entry.task_id).into(),
        text(&entry.outputs).into(),
        text(&entry.kept).into(),
        now_ms.into(),
        entry.image.clone().into(),
    ];
    Statement::new(sql, values)
}

/// The columns of an entry in the order in which [`saved`] reads them.
pub(crate) const COLUMNS: &str =
    "namespace, pipeline_name, fingerprint, run_id, task_id, outputs, kept, created_ms, image";

/// An entry with its key and where it came from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Saved {
    pub key: CacheKey,
    pub run_id: String,
    pub entry: CacheEntry,
    /// Milliseconds since 1970.
    pub created_ms: i64,
}

/// Reads a row of [`COLUMNS`].
pub(crate) fn saved(mut row: Row) -> Result<Saved, Error> {
    Ok(Saved {
        key: CacheKey {
            namespace: row.take_text(0)?,
            pipeline_name: row.take_text(1)?,
            fingerprint: row.take_text(2)?,
        },
        run_id: row.take_text(3)?,
        created_ms: row.integer(7)?,
        entry: CacheEntry {
            task_id: row.take_text(4)?,
            outputs: json(&row, 5)?,
            kept: json(&row, 6)?,
            image: row.take_optional_text(8)?,
        },
    })
}

/// What the cache knows of a fingerprint.
///
/// # Errors
/// [`Error`].
pub async fn get(records: &Records, key: &CacheKey) -> Result<Option<CacheEntry>, Error> {
    let sql = "SELECT task_id, outputs, kept, image FROM pipelines_cache \
               WHERE namespace = $1 AND pipeline_name = $2 AND fingerprint = $3";
    let values = [(&key.namespace).into(), (&key.pipeline_name).into(), (&key.fingerprint).into()];
    let rows = records.read(Statement::new(sql, values)).await?;
    rows.first().map(entry).transpose()
}

fn entry(row: &Row) -> Result<CacheEntry, Error> {
    let image = row.optional_text(3)?.map(str::to_owned);
    Ok(CacheEntry { task_id: row.text(0)?.to_owned(), outputs: json(row, 1)?, kept: json(row, 2)?, image })
}
