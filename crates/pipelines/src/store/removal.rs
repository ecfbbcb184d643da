//! What goes when runs go: who uses the outputs of whose tasks, which runs are to be cleared away, and what nobody needs.
//!
//! The outputs of a task are needed as long as its run is there, or a run that took them over: from the cache, or by an
//! importer. That is what `pipelines_uses` says, a row for each task and run that uses it.

use ferroflow_platform::records::{Error, Records, Row, Statement};

use super::{
    cache::CacheKey,
    runs::{self, RunRow},
};

/// A run whose files are to be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    pub run_id: String,
    /// Where its steps have put their outputs; empty where that is not known.
    pub place: String,
}

/// An artifact that no run needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unused {
    pub artifact_id: String,
    pub uri: String,
    pub run_id: String,
    pub pipeline_name: String,
    /// Others that lie at the same place.
    pub sharing: i64,
}

impl Unused {
    /// Whether a step of its run has put it there: its place is `<root>/<pipeline>/<run>/…`. What an importer names is
    /// somebody else's.
    pub fn is_own(&self) -> bool {
        self.uri.contains(&format!("/{}/{}/", self.pipeline_name, self.run_id))
    }
}

/// Artifacts and runs that are looked at together: what one write removes.
pub const BATCH: usize = 500;

/// Notes that a run has taken over what the cache has; the write fails where it has that no more. What the cache has is
/// held until the write ends: [`forget_cache`] waits, and then finds that it is used.
pub fn use_hit(key: &CacheKey, task_id: &str, run_id: &str) -> Vec<Statement> {
    let hold = "UPDATE pipelines_cache SET task_id = task_id WHERE namespace = $1 AND pipeline_name = $2 \
                AND fingerprint = $3 AND task_id = $4";
    let values = [(&key.namespace).into(), (&key.pipeline_name).into(), (&key.fingerprint).into(), task_id.into()];
    vec![Statement::new(hold, values).must_change(), use_task(task_id, run_id)]
}

/// Notes that a run has taken over an artifact of another one.
pub fn use_artifact(artifact_id: &str, run_id: &str) -> Statement {
    let sql = "INSERT INTO pipelines_uses (task_id, run_id) SELECT task_id, $2 FROM pipelines_artifacts \
               WHERE artifact_id = $1 AND run_id <> $2 ON CONFLICT (task_id, run_id) DO NOTHING";
    Statement::new(sql, [artifact_id.into(), run_id.into()])
}

/// Notes that a run uses what a task has made.
pub fn use_task(task_id: &str, run_id: &str) -> Statement {
    let note = "INSERT INTO pipelines_uses (task_id, run_id) VALUES ($1, $2) ON CONFLICT (task_id, run_id) DO NOTHING";
    Statement::new(note, [task_id.into(), run_id.into()])
}

/// Removes a run and its tasks; a spec goes with the last run of it. What else is to go is noted.
pub fn delete(run: &RunRow, place: &str, now_ms: i64) -> Vec<Statement> {
    let of = |sql: &'static str| Statement::new(sql, [(&run.run_id).into()]);
    let spec = "DELETE FROM pipelines_specs WHERE digest = $1 \
                AND NOT EXISTS (SELECT 1 FROM pipelines_runs WHERE spec_digest = $1)";
    let note = "INSERT INTO pipelines_removals (run_id, place, created_ms) VALUES ($1, $2, $3) \
                ON CONFLICT (run_id) DO NOTHING";
    vec![
        of("DELETE FROM pipelines_tasks WHERE run_id = $1"),
        of("DELETE FROM pipelines_runs WHERE run_id = $1"),
        of("DELETE FROM pipelines_uses WHERE run_id = $1"),
        // Whoever records a run of the spec has done so, or waits, before other runs are looked for.
        runs::hold_spec(&run.spec_digest),
        Statement::new(spec, [(&run.spec_digest).into()]),
        Statement::new(note, [(&run.run_id).into(), place.into(), now_ms.into()]),
    ]
}

/// What holds of a row of a table `of` whose task nobody needs.
macro_rules! unneeded {
    ($of:literal) => {
        concat!(
            "NOT EXISTS (SELECT 1 FROM pipelines_runs r WHERE r.run_id = ",
            $of,
            ".run_id) AND NOT EXISTS (SELECT 1 FROM pipelines_uses u WHERE u.task_id = ",
            $of,
            ".task_id)"
        )
    };
}

/// Lets the cache forget what no run needs. It comes before the files go, so that nothing is taken over meanwhile: who is
/// about to take something over is waited for first.
pub fn forget_cache() -> Vec<Statement> {
    let hold = concat!("UPDATE pipelines_cache SET task_id = task_id WHERE ", unneeded!("pipelines_cache"));
    let forget = concat!("DELETE FROM pipelines_cache WHERE ", unneeded!("pipelines_cache"));
    vec![Statement::new(hold, []), Statement::new(forget, [])]
}

/// Runs whose files are to be removed, [`BATCH`] at the most.
///
/// # Errors
/// [`Error`].
pub async fn pending(records: &Records) -> Result<Vec<Removal>, Error> {
    let sql = format!("SELECT run_id, place FROM pipelines_removals ORDER BY created_ms, run_id LIMIT {BATCH}");
    let read = |row: &Row| Ok::<_, Error>(Removal { run_id: row.text(0)?.to_owned(), place: row.text(1)?.to_owned() });
    records.read(Statement::new(sql, [])).await?.iter().map(read).collect()
}

/// Whether files of a run that is not there are to be removed: its own, or artifacts that a run needed which goes now.
///
/// # Errors
/// [`Error`].
pub async fn is_pending(records: &Records, run_id: &str) -> Result<bool, Error> {
    let sql = concat!(
        "SELECT 1 FROM pipelines_removals WHERE run_id = $1 OR EXISTS \
         (SELECT 1 FROM pipelines_artifacts a WHERE a.run_id = $1 AND ",
        unneeded!("a"),
        ") LIMIT 1"
    );
    Ok(!records.read(Statement::new(sql, [run_id.into()])).await?.is_empty())
}

/// Places of a removed run's artifacts that others need.
///
/// # Errors
/// [`Error`].
pub async fn kept(records: &Records, run_id: &str) -> Result<Vec<String>, Error> {
    let sql = "SELECT DISTINCT uri FROM pipelines_artifacts a WHERE run_id = $1 AND \
               (EXISTS (SELECT 1 FROM pipelines_uses u WHERE u.task_id = a.task_id) \
               OR EXISTS (SELECT 1 FROM pipelines_artifacts b WHERE b.uri = a.uri AND b.run_id <> $1))";
    let rows = records.read(Statement::new(sql, [run_id.into()])).await?;
    rows.iter().map(|row| row.text(0).map(str::to_owned)).collect()
}

/// Notes that a run's files and artifacts are gone.
pub fn done(run_id: &str) -> Statement {
    Statement::new("DELETE FROM pipelines_removals WHERE run_id = $1", [run_id.into()])
}

/// Artifacts that no run needs, [`BATCH`] at the most.
///
/// # Errors
/// [`Error`].
pub async fn unused(records: &Records) -> Result<Vec<Unused>, Error> {
    let sql = format!(
        "SELECT a.artifact_id, a.uri, a.run_id, a.pipeline_name, (SELECT COUNT(*) FROM pipelines_artifacts b \
         WHERE b.uri = a.uri AND b.artifact_id <> a.artifact_id) FROM pipelines_artifacts a WHERE {} LIMIT {BATCH}",
        unneeded!("a")
    );
    let read = |row: &Row| {
        let text = |column| row.text(column).map(str::to_owned);
        let (artifact_id, uri, run_id, pipeline_name) = (text(0)?, text(1)?, text(2)?, text(3)?);
        Ok::<_, Error>(Unused { artifact_id, uri, run_id, pipeline_name, sharing: row.integer(4)? })
    };
    records.read(Statement::new(sql, [])).await?.iter().map(read).collect()
}

/// Removes what is recorded of an artifact.
pub fn forget(artifact_id: &str) -> Statement {
    Statement::new("DELETE FROM pipelines_artifacts WHERE artifact_id = $1", [artifact_id.into()])
}
