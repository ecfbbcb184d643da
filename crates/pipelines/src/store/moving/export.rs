//! The archive is written.

use std::collections::{BTreeSet, HashSet};

use ferroflow_platform::{
    blob::{Archive, Blobs, StoreError},
    records::{Records, Row, Statement},
};
use futures::TryStreamExt;
use tokio::io::AsyncWrite;

use super::{
    END, Error, Moved,
    line::{Table, line},
    standing::{each, standing},
};
use crate::{
    core::{
        moving::manifest::{FORMAT, Manifest, VERSION},
        reach::{self, Wanted},
    },
    store::{artifacts, places},
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

/// All namespaces that something is recorded of.
const NAMESPACES: &str = "SELECT namespace FROM pipelines_experiments UNION SELECT namespace FROM pipelines_pipelines \
    UNION SELECT namespace FROM pipelines_runs UNION SELECT namespace FROM pipelines_recurring \
    UNION SELECT namespace FROM pipelines_artifacts UNION SELECT namespace FROM pipelines_cache";

/// Writes all that is recorded and kept. What is written to the store meanwhile may be in it or not; what of a run is
/// recorded is in it as it was at one time, and one that is removed meanwhile may lack its objects.
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
    // First what refers to others: all that it refers to is there by then.
    let runs = "SELECT run_id, namespace, spec_digest FROM pipelines_runs ORDER BY created_ms, run_id";
    let runs = wanted(records, runs, scope).await?;
    let recurring = wanted(records, "SELECT recurring_run_id, namespace FROM pipelines_recurring", scope).await?;
    let recurring: HashSet<String> =
        recurring.iter().map(|row| Ok(row.text(0)?.to_owned())).collect::<Result<_, Error>>()?;
    let mut manifest = Manifest {
        format: FORMAT.to_owned(),
        version: VERSION,
        ferroflow: env!("CARGO_PKG_VERSION").to_owned(),
        exported_ms: now_ms,
        runs: runs.len() as u64,
        recurring_runs: recurring.len() as u64,
        has_objects: !scope.without_objects,
        ..Manifest::default()
    };
    listed(records, scope, &mut manifest).await?;
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
    for row in &runs {
        writer.run(row.text(0)?, row.text(2)?).await?;
    }
    writer.what_is_left().await?;
    writer.cache().await?;
    // A schedule may fire as soon as it is there: what it is of, and what it has made, is there by then.
    writer.recurring(&recurring).await?;
    writer.archive.seal(&format!("{END}/sum")).await?;
    let (to, _) = writer.archive.end().await?;
    Ok((to, writer.moved))
}

/// Lists namespaces, experiments, pipelines and versions in a manifest.
async fn listed(records: &Records, scope: &Scope, manifest: &mut Manifest) -> Result<(), Error> {
    for row in records.read(Statement::new(NAMESPACES, [])).await? {
        if scope.has(row.text(0)?) {
            manifest.namespaces.push(row.text(0)?.to_owned());
        }
    }
    manifest.namespaces.sort_unstable();
    if let Some(unknown) = scope.namespaces.iter().find(|one| !manifest.namespaces.contains(one)) {
        return Err(Error::NoNamespace(unknown.clone()));
    }
    let all = standing(records, |namespace| scope.has(namespace), |_| true).await?;
    (manifest.experiments, manifest.pipelines, manifest.versions) = (all.experiments, all.pipelines, all.versions);
    Ok(())
}

/// Rows that a statement gives, of namespaces that are wanted: their second column.
async fn wanted(records: &Records, sql: &'static str, scope: &Scope) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    for row in records.read(Statement::new(sql, [])).await? {
        if scope.has(row.text(1)?) {
            rows.push(row);
        }
    }
    Ok(rows)
}

/// What has a sum of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sum {
    /// All files of a directory together: a run is whole or not there.
    OfAll,
    /// Each file: what can come a piece at a time.
    OfEach,
}

/// Lines on their way into files of the archive.
struct Lines {
    directory: String,
    sum: Sum,
    number: usize,
    text: String,
}

impl Lines {
    fn new(directory: impl Into<String>, sum: Sum) -> Self {
        Self { directory: directory.into(), sum, number: 0, text: String::new() }
    }
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
    async fn add(&mut self, lines: &mut Lines, table: Table, row: &Row) -> Result<(), Error> {
        lines.text += &line(table, row)?;
        if lines.text.len() >= CHUNK { self.flush(lines).await } else { Ok(()) }
    }

    async fn flush(&mut self, lines: &mut Lines) -> Result<(), Error> {
        if lines.text.is_empty() {
            return Ok(());
        }
        let (directory, number) = (&lines.directory, lines.number);
        match lines.sum {
            Sum::OfAll => self.archive.file(&format!("{directory}/{number}.jsonl"), lines.text.as_bytes()).await?,
            Sum::OfEach => {
                self.archive.file(&format!("{directory}/{number}/0.jsonl"), lines.text.as_bytes()).await?;
                self.archive.seal(&format!("{directory}/{number}/sum")).await?;
            }
        }
        lines.number += 1;
        lines.text.clear();
        Ok(())
    }

    async fn catalogue(&mut self) -> Result<(), Error> {
        for (table, key) in [(Table::Experiments, "experiment_id"), (Table::Pipelines, "pipeline_id")] {
            let mut lines = Lines::new(format!("catalogue/{}", table.name()), Sum::OfEach);
            each(self.records, table, key, None, async |row| {
                if self.scope.has(row.text(1)?) { self.add(&mut lines, table, &row).await } else { Ok(()) }
            })
            .await?;
            self.flush(&mut lines).await?;
        }
        let pipelines = wanted(self.records, "SELECT pipeline_id, namespace FROM pipelines_pipelines", self.scope);
        let mut lines = Lines::new(format!("catalogue/{}", Table::Versions.name()), Sum::OfEach);
        for row in pipelines.await? {
            let further = Some(("pipeline_id", row.text(0)?));
            each(self.records, Table::Versions, "pipeline_version_id", further, async |row| {
                self.add(&mut lines, Table::Versions, &row).await
            })
            .await?;
        }
        self.flush(&mut lines).await
    }

    /// A run with all that belongs to it. Its records are read as they stand at one time, and before its objects: what a
    /// step has made is kept before it is recorded that the step has ended.
    async fn run(&mut self, run: &str, digest: &str) -> Result<(), Error> {
        let of_run = |table: Table, key: &str| {
            let (columns, name) = (table.columns(), table.name());
            Statement::new(format!("SELECT {columns} FROM {name} WHERE run_id = $1 ORDER BY {key}"), [run.into()])
        };
        // The run refers to its spec, so that it comes after it.
        let tables = [Table::Specs, Table::Runs, Table::Tasks, Table::Uses, Table::Artifacts];
        let wanted = if self.specs.contains(digest) { "" } else { digest };
        let spec = Statement::new("SELECT digest, spec FROM pipelines_specs WHERE digest = $1", [wanted.into()]);
        let [runs, tasks] = [of_run(Table::Runs, "run_id"), of_run(Table::Tasks, "path")];
        let [uses, artifacts] = [of_run(Table::Uses, "task_id"), of_run(Table::Artifacts, "artifact_id")];
        let mut found = self.records.read_all(vec![spec, runs, tasks, uses, artifacts]).await?;
        // One that was removed meanwhile is not in it.
        if found.get(1).is_none_or(Vec::is_empty) {
            return Ok(());
        }
        let mut lines = Lines::new(format!("runs/{run}"), Sum::OfAll);
        for (table, rows) in tables.into_iter().zip(&found) {
            for row in rows {
                self.add(&mut lines, table, row).await?;
            }
        }
        self.flush(&mut lines).await?;
        self.specs.insert(digest.to_owned());
        let artifacts = found.pop().unwrap_or_default();
        // Objects may take long, and there may be many tasks.
        drop(found);
        self.objects(run, &artifacts).await?;
        self.archive.seal(&format!("runs/{run}/sum")).await?;
        self.moved.runs += 1;
        (self.told)(&self.moved);
        Ok(())
    }

    /// Adds the objects of a run that has these artifacts.
    async fn objects(&mut self, run: &str, artifacts: &[Row]) -> Result<(), Error> {
        if self.scope.without_objects {
            return Ok(());
        }
        let mut places = BTreeSet::new();
        for row in artifacts {
            let found = artifacts::artifact(row.clone())?;
            let own = format!("/{}/{run}/", found.pipeline_name);
            let uri = found.artifact.uri;
            if let Some(at) = uri.find(&own) {
                // All that its steps have put there, named as an artifact or not.
                places.insert(uri[..at + own.len() - 1].to_owned());
            } else if self.foreign.insert(uri.clone()) && self.is_in_reach(&found.namespace, &uri).await? {
                places.insert(uri);
            }
        }
        // An old record may name what can be no artifact.
        places.retain(|place| self.blobs.artifact(place).is_ok());
        places.insert(format!("pipelines/logs/{run}"));
        for place in &places {
            let mut named = match self.blobs.named(place).await {
                Ok(named) => named,
                // What lies elsewhere stays there.
                Err(StoreError::Place { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
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
        Ok(())
    }

    /// Whether what lies at a URI is no other namespace's, nor the server's own: an old record may name anything.
    async fn is_in_reach(&self, namespace: &str, uri: &str) -> Result<bool, Error> {
        let Ok(Some(name)) = self.blobs.artifact(uri) else { return Ok(false) };
        let standing = places::standing(self.records, namespace, &name).await?;
        let wanted = Wanted { namespace, uri, name: &name, root: None };
        Ok(reach::check(wanted, &standing).is_ok())
    }

    /// What removed runs have left that others use.
    async fn what_is_left(&mut self) -> Result<(), Error> {
        let sql = "SELECT DISTINCT a.run_id, a.namespace FROM pipelines_artifacts a WHERE \
                   NOT EXISTS (SELECT 1 FROM pipelines_runs r WHERE r.run_id = a.run_id) AND \
                   EXISTS (SELECT 1 FROM pipelines_uses u WHERE u.task_id = a.task_id) ORDER BY a.run_id";
        for row in wanted(self.records, sql, self.scope).await? {
            let run = row.text(0)?;
            let (mut lines, mut artifacts) = (Lines::new(format!("runs/{run}"), Sum::OfAll), Vec::new());
            each(self.records, Table::Artifacts, "artifact_id", Some(("run_id", run)), async |row| {
                self.add(&mut lines, Table::Artifacts, &row).await?;
                artifacts.push(row);
                Ok(())
            })
            .await?;
            self.flush(&mut lines).await?;
            self.objects(run, &artifacts).await?;
            self.archive.seal(&format!("runs/{run}/sum")).await?;
        }
        Ok(())
    }

    async fn cache(&mut self) -> Result<(), Error> {
        let sql = "SELECT fingerprint, namespace, pipeline_name FROM pipelines_cache";
        let one = format!(
            "SELECT {} FROM pipelines_cache WHERE fingerprint = $1 AND namespace = $2 AND pipeline_name = $3",
            Table::Cache.columns()
        );
        let mut lines = Lines::new("cache", Sum::OfEach);
        for keys in wanted(self.records, sql, self.scope).await?.chunks(TOGETHER) {
            let mut statements = Vec::new();
            for key in keys {
                let values = [key.text(0)?.into(), key.text(1)?.into(), key.text(2)?.into()];
                statements.push(Statement::new(one.clone(), values));
            }
            for row in self.records.read_all(statements).await?.into_iter().flatten() {
                self.add(&mut lines, Table::Cache, &row).await?;
            }
        }
        self.flush(&mut lines).await
    }

    /// Recurring runs of these ids.
    async fn recurring(&mut self, ids: &HashSet<String>) -> Result<(), Error> {
        let mut lines = Lines::new("recurring", Sum::OfEach);
        each(self.records, Table::Recurring, "recurring_run_id", None, async |row| {
            if ids.contains(row.text(0)?) { self.add(&mut lines, Table::Recurring, &row).await } else { Ok(()) }
        })
        .await?;
        self.flush(&mut lines).await
    }
}
