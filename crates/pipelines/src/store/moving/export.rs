//! The archive is written.

use std::collections::{BTreeSet, HashSet};

use ferroflow_platform::{
    blob::{Archive, Blobs, StoreError},
    records::{Records, Row, Statement},
};
use futures::TryStreamExt;
use tokio::io::AsyncWrite;

use super::{
    Error, Moved,
    line::{Table, line},
    standing::{each, standing},
};
use crate::{
    core::moving::manifest::{FORMAT, Manifest, VERSION},
    store::artifacts,
};

/// What of a store goes into an archive.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// Only what is in these; all where there are none.
    pub namespaces: BTreeSet<String>,
    /// Records alone: for a store that has the same objects.
    pub without_objects: bool,
}

impl Scope {
    fn has(&self, namespace: &str) -> bool {
        self.namespaces.is_empty() || self.namespaces.contains(namespace)
    }
}

/// Bytes of lines in a file of the archive.
const CHUNK: usize = 4 * 1024 * 1024;
/// Statements that are read at once.
const TOGETHER: usize = 200;

/// Writes all that is recorded and kept. What is written meanwhile may be in it or not; a run is in it as it was at one time
/// of the writing, if nobody writes to the store. `told` hears how far it is.
///
/// # Errors
/// [`Error`].
pub async fn export<W: AsyncWrite + Unpin>(
    records: &Records,
    blobs: &Blobs,
    scope: &Scope,
    now_ms: i64,
    to: W,
    told: impl FnMut(&Moved),
) -> Result<(W, Moved), Error> {
    let all = standing(records, |namespace| scope.has(namespace), |_| true).await?;
    let runs = owners(records, "SELECT run_id, namespace FROM pipelines_runs ORDER BY created_ms, run_id", scope);
    let runs = runs.await?;
    let recurring = owners(records, "SELECT recurring_run_id, namespace FROM pipelines_recurring", scope).await?;
    let manifest = Manifest {
        format: FORMAT.to_owned(),
        version: VERSION,
        ferroflow: env!("CARGO_PKG_VERSION").to_owned(),
        exported_ms: now_ms,
        runs: runs.len() as u64,
        recurring_runs: recurring.len() as u64,
        has_objects: !scope.without_objects,
        experiments: all.experiments,
        pipelines: all.pipelines,
        versions: all.versions,
    };
    let namespaces = manifest.namespaces();
    if let Some(unknown) = scope.namespaces.iter().find(|one| !namespaces.contains(&one.as_str())) {
        return Err(Error::NoNamespace(unknown.clone()));
    }
    let moved = Moved {
        experiments: manifest.experiments.len() as u64,
        pipelines: manifest.pipelines.len() as u64,
        versions: manifest.versions.len() as u64,
        recurring_runs: manifest.recurring_runs,
        of_runs: manifest.runs,
        ..Moved::default()
    };
    let archive = Archive::new(to);
    let (specs, foreign) = (HashSet::new(), HashSet::new());
    let mut writer = Writer { records, blobs, scope, archive, specs, foreign, moved, told };
    let text = serde_json::to_vec_pretty(&manifest).map_err(|error| Error::Archive(error.to_string()))?;
    writer.archive.file("manifest.json", &text).await?;
    writer.catalogue().await?;
    for (run, _) in &runs {
        writer.run(run).await?;
    }
    writer.what_is_left().await?;
    writer.cache().await?;
    let (to, _) = writer.archive.end().await?;
    Ok((to, writer.moved))
}

/// Ids and namespaces that a statement gives, of those that are wanted.
async fn owners(records: &Records, sql: &'static str, scope: &Scope) -> Result<Vec<(String, String)>, Error> {
    let rows = records.read(Statement::new(sql, [])).await?;
    let pairs = rows.iter().map(|row| Ok((row.text(0)?.to_owned(), row.text(1)?.to_owned())));
    let pairs: Vec<_> = pairs.collect::<Result<_, Error>>()?;
    Ok(pairs.into_iter().filter(|(_, namespace)| scope.has(namespace)).collect())
}

/// Lines on their way into files of the archive.
struct Lines {
    directory: String,
    number: usize,
    text: String,
}

struct Writer<'a, W, T> {
    records: &'a Records,
    blobs: &'a Blobs,
    scope: &'a Scope,
    archive: Archive<W>,
    /// Specs that are in the archive.
    specs: HashSet<String>,
    /// Objects in it that no step of a run has made.
    foreign: HashSet<String>,
    moved: Moved,
    told: T,
}

impl<W: AsyncWrite + Unpin, T: FnMut(&Moved)> Writer<'_, W, T> {
    fn lines(directory: impl Into<String>) -> Lines {
        Lines { directory: directory.into(), number: 0, text: String::new() }
    }

    async fn add(&mut self, lines: &mut Lines, table: Table, row: &Row) -> Result<(), Error> {
        lines.text += &line(table, row)?;
        if lines.text.len() >= CHUNK { self.flush(lines).await } else { Ok(()) }
    }

    async fn flush(&mut self, lines: &mut Lines) -> Result<(), Error> {
        if !lines.text.is_empty() {
            let name = format!("{}/{}.jsonl", lines.directory, lines.number);
            self.archive.file(&name, lines.text.as_bytes()).await?;
            lines.number += 1;
            lines.text.clear();
        }
        Ok(())
    }

    async fn seal(&mut self, mut lines: Lines) -> Result<(), Error> {
        self.flush(&mut lines).await?;
        Ok(self.archive.seal(&format!("{}/sum", lines.directory)).await?)
    }

    async fn catalogue(&mut self) -> Result<(), Error> {
        for (table, key) in [
            (Table::Experiments, "experiment_id"),
            (Table::Pipelines, "pipeline_id"),
            (Table::Recurring, "recurring_run_id"),
        ] {
            let mut lines = Self::lines(format!("catalogue/{}", table.name()));
            let records = self.records;
            each(records, table, key, None, async |row| {
                // A recurring run has an experiment before its namespace.
                let namespace = row.text(if table == Table::Recurring { 2 } else { 1 })?;
                if self.scope.has(namespace) { self.add(&mut lines, table, &row).await } else { Ok(()) }
            })
            .await?;
            self.seal(lines).await?;
        }
        let rows = self.records.read(Statement::new("SELECT pipeline_id, namespace FROM pipelines_pipelines", []));
        for row in rows.await? {
            if !self.scope.has(row.text(1)?) {
                continue;
            }
            let pipeline = row.text(0)?;
            let mut lines = Self::lines(format!("catalogue/{}/{pipeline}", Table::Versions.name()));
            let (records, further) = (self.records, Some(("pipeline_id", pipeline)));
            each(records, Table::Versions, "pipeline_version_id", further, async |row| {
                self.add(&mut lines, Table::Versions, &row).await
            })
            .await?;
            self.seal(lines).await?;
        }
        Ok(())
    }

    /// A run with all that belongs to it.
    async fn run(&mut self, run: &str) -> Result<(), Error> {
        let sql = format!("SELECT {} FROM pipelines_runs WHERE run_id = $1", Table::Runs.columns());
        // One that was removed meanwhile is not in it.
        let Some(row) = self.records.read(Statement::new(sql, [run.into()])).await?.pop() else { return Ok(()) };
        let artifacts = self.objects(run).await?;
        let mut lines = Self::lines(format!("runs/{run}"));
        let (records, of_run) = (self.records, Some(("run_id", run)));
        each(records, Table::Tasks, "path", of_run, async |row| self.add(&mut lines, Table::Tasks, &row).await).await?;
        let digest = row.text(15)?;
        if self.specs.insert(digest.to_owned()) {
            let sql = "SELECT digest, spec FROM pipelines_specs WHERE digest = $1";
            for row in self.records.read(Statement::new(sql, [digest.into()])).await? {
                self.add(&mut lines, Table::Specs, &row).await?;
            }
        }
        self.add(&mut lines, Table::Runs, &row).await?;
        each(records, Table::Uses, "task_id", of_run, async |row| self.add(&mut lines, Table::Uses, &row).await)
            .await?;
        for row in &artifacts {
            self.add(&mut lines, Table::Artifacts, row).await?;
        }
        self.seal(lines).await?;
        self.moved.runs += 1;
        (self.told)(&self.moved);
        Ok(())
    }

    /// Adds the objects of a run, and returns the rows of its artifacts.
    async fn objects(&mut self, run: &str) -> Result<Vec<Row>, Error> {
        let mut rows = Vec::new();
        let (records, of_run) = (self.records, Some(("run_id", run)));
        each(records, Table::Artifacts, "artifact_id", of_run, async |row| {
            rows.push(row);
            Ok(())
        })
        .await?;
        if self.scope.without_objects {
            return Ok(rows);
        }
        let mut places = BTreeSet::from([format!("pipelines/logs/{run}")]);
        for row in &rows {
            let found = artifacts::artifact(row.clone())?;
            let own = format!("/{}/{run}/", found.pipeline_name);
            let uri = found.artifact.uri;
            match uri.find(&own) {
                // All that its steps have put there, named as an artifact or not.
                Some(at) => drop(places.insert(uri[..at + own.len() - 1].to_owned())),
                None if self.foreign.insert(uri.clone()) => drop(places.insert(uri)),
                None => {}
            }
        }
        for place in &places {
            let named = match self.blobs.named(place).await {
                Ok(named) => named,
                // What lies elsewhere stays there.
                Err(StoreError::Place { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            let mut named = named;
            while let Some(one) = named.try_next().await? {
                // One that goes meanwhile is not in it.
                let Some(blob) = self.blobs.get_named(&one.name).await? else { continue };
                let name = format!("runs/{run}/objects/{}", one.name);
                self.archive.stream(&name, blob.size, blob.flow).await?;
                self.moved.objects += 1;
                self.moved.bytes += blob.size;
                (self.told)(&self.moved);
            }
        }
        Ok(rows)
    }

    /// What removed runs have left that others use.
    async fn what_is_left(&mut self) -> Result<(), Error> {
        let sql = "SELECT DISTINCT a.run_id, a.namespace FROM pipelines_artifacts a WHERE \
                   NOT EXISTS (SELECT 1 FROM pipelines_runs r WHERE r.run_id = a.run_id) AND \
                   EXISTS (SELECT 1 FROM pipelines_uses u WHERE u.task_id = a.task_id) ORDER BY a.run_id";
        for (run, _) in owners(self.records, sql, self.scope).await? {
            let artifacts = self.objects(&run).await?;
            let mut lines = Self::lines(format!("runs/{run}"));
            for row in &artifacts {
                self.add(&mut lines, Table::Artifacts, row).await?;
            }
            self.seal(lines).await?;
        }
        Ok(())
    }

    async fn cache(&mut self) -> Result<(), Error> {
        let sql = "SELECT namespace, pipeline_name, fingerprint FROM pipelines_cache";
        let keys = self.records.read(Statement::new(sql, [])).await?;
        let one = format!(
            "SELECT {} FROM pipelines_cache WHERE namespace = $1 AND pipeline_name = $2 AND fingerprint = $3",
            Table::Cache.columns()
        );
        let mut lines = Self::lines("cache");
        for keys in keys.chunks(TOGETHER) {
            let mut wanted = Vec::new();
            for key in keys {
                if self.scope.has(key.text(0)?) {
                    let values = [key.text(0)?.into(), key.text(1)?.into(), key.text(2)?.into()];
                    wanted.push(Statement::new(one.clone(), values));
                }
            }
            for row in self.records.read_all(wanted).await?.into_iter().flatten() {
                self.add(&mut lines, Table::Cache, &row).await?;
            }
        }
        self.seal(lines).await
    }
}
