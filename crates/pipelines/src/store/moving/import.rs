//! An archive is read, and what is new of it recorded.
//!
//! A run is recorded in one write with all that belongs to it, after its objects and its tasks: until then nobody sees it,
//! and an import that was interrupted goes on where it stood when it is begun again.

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
};

use ferroflow_platform::{
    blob::{Blobs, Entry, StoreError, Stored, Unpacked},
    records::{self, Records, Row, Statement},
};
use futures::{FutureExt, TryStreamExt, future::BoxFuture, stream, stream::FuturesUnordered};

use super::{
    Error, MANIFEST_BYTES, Moved,
    line::{Table, parsed},
    standing::standing,
};
use crate::{
    core::{
        moving::{
            manifest::{Manifest, Named},
            plan::{Fate, Plan, Renames, plan},
        },
        run::{RunState, StateChange},
        task::TaskError,
    },
    store::{artifacts, cache, experiments, pipelines, recurring, removal, runs, tasks},
};

/// Bytes of a file of lines: the largest row has a report of some 80 MiB.
const LINES_BYTES: u64 = 256 * 1024 * 1024;
/// Bytes of an object that is gathered in memory and written beside others, and how many of them are.
const SMALL: u64 = 1024 * 1024;
const BESIDE: usize = 8;
/// Tasks that are written at once.
const BATCH: usize = 500;

/// What an import does beside adding what it finds.
#[derive(Clone, Debug, Default)]
pub struct Choices {
    pub renames: Renames,
    /// Recurring runs go on as they did; without it they rest until somebody enables them.
    pub enables_schedules: bool,
}

/// Adds what is new of an archive. What is there already stays as it is.
///
/// # Errors
/// [`Error::InTheWay`] before anything was changed; after others, what was added is whole, and the import can be begun again.
pub async fn import(
    records: &Records,
    blobs: &Blobs,
    choices: &Choices,
    now_ms: i64,
    mut archive: Unpacked,
    told: impl FnMut(&Moved),
) -> Result<Moved, Error> {
    let first = archive.next().await.map_err(unreadable)?.filter(|first| first.name == "manifest.json");
    let first = first.ok_or_else(|| Error::Archive("it does not begin with manifest.json".to_owned()))?;
    let manifest = Manifest::read(&archive.bytes(&first, MANIFEST_BYTES).await?).map_err(Error::Archive)?;
    let names: HashSet<(&str, &str)> =
        manifest.pipelines.iter().map(|one| (choices.renames.namespace(&one.namespace), one.name.as_str())).collect();
    let is_pipeline = |there: &Named| names.contains(&(there.namespace.as_str(), there.name.as_str()));
    let there = standing(records, |_| true, is_pipeline).await?;
    let plan = plan(&manifest, &there, &choices.renames).map_err(Error::InTheWay)?;
    let moved = Moved { of_runs: manifest.runs, ..Moved::default() };
    let (group, beside) = (Group::default(), FuturesUnordered::new());
    let mut reader = Reader { records, blobs, choices, plan, now_ms, group, beside, moved, told };
    while let Some(entry) = archive.next().await.map_err(unreadable)? {
        reader.entry(&mut archive, &entry).await.map_err(|error| match error {
            Error::Store(error) => unreadable(error),
            error => error,
        })?;
    }
    if reader.group.directory.is_empty() || reader.group.is_sealed {
        return Ok(reader.moved);
    }
    Err(Error::Archive(format!("its part {} has no sum", reader.group.directory)))
}

/// What belongs together in an archive: a run, or a part of the catalogue.
#[derive(Default)]
struct Group {
    directory: String,
    is_sealed: bool,
    /// The run of the group.
    run: Option<String>,
    /// Whether its run was there before.
    is_there: bool,
    tasks: Vec<Statement>,
    /// What is written when its sum fits.
    last: Vec<Statement>,
    /// What is counted then.
    adds: Moved,
}

struct Reader<'a, T> {
    records: &'a Records,
    blobs: &'a Blobs,
    choices: &'a Choices,
    plan: Plan,
    now_ms: i64,
    group: Group,
    /// Small objects that are being written.
    beside: FuturesUnordered<BoxFuture<'static, Result<Stored, StoreError>>>,
    moved: Moved,
    told: T,
}

impl<T: FnMut(&Moved)> Reader<'_, T> {
    async fn entry(&mut self, archive: &mut Unpacked, entry: &Entry) -> Result<(), Error> {
        let unknown = || Error::Archive(format!("it has a file {:?}, which is none of an export", entry.name));
        let (directory, object) = match entry.name.split_once("/objects/") {
            Some((directory, object)) => (directory, Some(object)),
            None => (entry.name.rsplit_once('/').ok_or_else(unknown)?.0, None),
        };
        self.begin(directory).await?;
        let file = entry.name.rsplit('/').next().unwrap_or_default();
        if let Some(object) = object {
            return self.object(archive, entry, object).await;
        }
        if file == "sum" {
            if !archive.is_sealed(entry).await? {
                return Err(Error::Archive(format!("it is damaged: the sum {:?} does not fit", entry.name)));
            }
            return self.commit().await;
        }
        if !file.ends_with(".jsonl") {
            return Err(unknown());
        }
        let bytes = archive.bytes(entry, LINES_BYTES).await?;
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| Error::Archive(format!("its file {:?} is no UTF-8", entry.name)))?;
        for line in text.lines() {
            let (table, row) = parsed(line)?;
            self.row(table, row).await?;
        }
        Ok(())
    }

    /// Goes over to another group, if it is another.
    async fn begin(&mut self, directory: &str) -> Result<(), Error> {
        if self.group.directory == directory {
            return Ok(());
        }
        if !self.group.directory.is_empty() && !self.group.is_sealed {
            return Err(Error::Archive(format!("its part {} has no sum", self.group.directory)));
        }
        let run = directory.strip_prefix("runs/").map(str::to_owned);
        let is_there = match &run {
            Some(run) => runs::get(self.records, run).await?.is_some(),
            None => false,
        };
        self.group = Group { directory: directory.to_owned(), run, is_there, ..Group::default() };
        Ok(())
    }

    async fn object(&mut self, archive: &mut Unpacked, entry: &Entry, name: &str) -> Result<(), Error> {
        let Some(run) = &self.group.run else {
            return Err(Error::Archive(format!("it has an object {:?} that is of no run", entry.name)));
        };
        let is_own = name.contains(&format!("/{run}/"));
        // What no step of this run has made may be somebody else's by now.
        if self.group.is_there || (!is_own && self.blobs.has_named(name).await?) {
            return Ok(());
        }
        if entry.size <= SMALL {
            let bytes = archive.bytes(entry, SMALL).await?;
            let (blobs, name) = (self.blobs.clone(), name.to_owned());
            let put = async move { blobs.put_named(&name, stream::iter([Ok::<_, Infallible>(bytes)])).await };
            self.beside.push(put.boxed());
            if self.beside.len() >= BESIDE {
                self.beside.try_next().await?;
            }
        } else {
            self.blobs.put_named(name, archive.stream()).await?;
        }
        self.moved.objects += 1;
        self.moved.bytes += entry.size;
        (self.told)(&self.moved);
        Ok(())
    }

    async fn row(&mut self, table: Table, row: Row) -> Result<(), Error> {
        match table {
            Table::Experiments => self.experiment(row),
            Table::Pipelines => self.pipeline(row),
            Table::Versions => self.version(row),
            Table::Recurring => self.recurring(row).await,
            Table::Specs => {
                let spec = serde_json::from_str(row.text(1)?)
                    .map_err(|error| Error::Archive(format!("a spec in it is no JSON: {error}")))?;
                // Others may be of it, whether this run is there or not.
                self.group.last.push(runs::insert_spec(row.text(0)?, &spec));
                Ok(())
            }
            _ if self.group.is_there => Ok(()),
            Table::Runs => self.run(row),
            Table::Tasks => {
                let task = tasks::task(row)?;
                self.of_the_group(&task.run_id)?;
                self.group.tasks.push(tasks::save(&task));
                if self.group.tasks.len() >= BATCH { self.write_tasks().await } else { Ok(()) }
            }
            Table::Uses => {
                self.of_the_group(row.text(1)?)?;
                self.group.last.push(removal::use_task(row.text(0)?, row.text(1)?));
                Ok(())
            }
            Table::Artifacts => {
                let mut artifact = artifacts::artifact(row)?;
                self.of_the_group(&artifact.run_id)?;
                self.choices.renames.namespace(&artifact.namespace.clone()).clone_into(&mut artifact.namespace);
                self.group.last.push(artifacts::insert(&artifact));
                Ok(())
            }
            Table::Cache => {
                let mut saved = cache::saved(row)?;
                self.choices.renames.namespace(&saved.key.namespace.clone()).clone_into(&mut saved.key.namespace);
                self.group.last.push(cache::add(&saved));
                Ok(())
            }
        }
    }

    /// Rows of a run stand with it: whether that was there before is asked once.
    fn of_the_group(&self, run: &str) -> Result<(), Error> {
        if self.group.run.as_deref() == Some(run) {
            return Ok(());
        }
        Err(Error::Archive(format!("its part {} has a row of run {run}", self.group.directory)))
    }

    fn experiment(&mut self, row: Row) -> Result<(), Error> {
        let mut one = experiments::read(row)?;
        if let Some(Fate::New { name }) = self.plan.experiments.get(&one.experiment_id) {
            name.clone_into(&mut one.display_name);
            self.choices.renames.namespace(&one.namespace.clone()).clone_into(&mut one.namespace);
            self.group.last.push(experiments::insert(&one));
            self.group.adds.experiments += 1;
        }
        Ok(())
    }

    fn pipeline(&mut self, row: Row) -> Result<(), Error> {
        let mut one = pipelines::read(row)?;
        if let Some(Fate::New { .. }) = self.plan.pipelines.get(&one.pipeline_id) {
            self.choices.renames.namespace(&one.namespace.clone()).clone_into(&mut one.namespace);
            self.group.last.extend(pipelines::insert(&one));
            self.group.adds.pipelines += 1;
        }
        Ok(())
    }

    fn version(&mut self, row: Row) -> Result<(), Error> {
        let mut one = pipelines::read_version(row)?;
        if let Some(Fate::New { name }) = self.plan.versions.get(&one.pipeline_version_id) {
            name.clone_into(&mut one.name);
            one.pipeline_id = is_now(&self.plan.pipelines, one.pipeline_id);
            self.group.last.extend(pipelines::insert_version(&one));
            self.group.adds.versions += 1;
        }
        Ok(())
    }

    async fn recurring(&mut self, row: Row) -> Result<(), Error> {
        let mut one = recurring::read(row)?;
        if recurring::get(self.records, &one.recurring_run_id).await?.is_some() {
            return Ok(());
        }
        one.is_enabled &= self.choices.enables_schedules;
        self.choices.renames.namespace(&one.namespace.clone()).clone_into(&mut one.namespace);
        one.experiment_id = is_now(&self.plan.experiments, one.experiment_id);
        one.pipeline_id = one.pipeline_id.map(|id| is_now(&self.plan.pipelines, id));
        one.pipeline_version_id = one.pipeline_version_id.map(|id| is_now(&self.plan.versions, id));
        self.group.last.push(recurring::insert(&one));
        self.group.adds.recurring_runs += 1;
        Ok(())
    }

    fn run(&mut self, row: Row) -> Result<(), Error> {
        let mut run = runs::run(row)?;
        self.of_the_group(&run.run_id)?;
        self.choices.renames.namespace(&run.namespace.clone()).clone_into(&mut run.namespace);
        run.experiment_id = is_now(&self.plan.experiments, run.experiment_id);
        run.pipeline_id = run.pipeline_id.map(|id| is_now(&self.plan.pipelines, id));
        run.pipeline_version_id = run.pipeline_version_id.map(|id| is_now(&self.plan.versions, id));
        let is_under_way = run.finished_ms.is_none() || !run.state.is_final();
        if is_under_way {
            run.state = RunState::Failed;
            run.finished_ms = Some(self.now_ms);
            run.history.push(StateChange { state: RunState::Failed, at_ms: self.now_ms });
            run.error = Some(TaskError {
                reason: "Moved".to_owned(),
                message: "the run was under way when it was exported; retry it, and it goes on from where it stood"
                    .to_owned(),
                exit_code: None,
            });
            self.group.adds.unfinished += 1;
        }
        self.group.last.push(runs::hold_spec(&run.spec_digest).must_change());
        self.group.last.push(runs::insert(&run));
        self.group.last.push(experiments::note_run(&run.experiment_id, run.created_ms));
        if is_under_way {
            self.group.last.push(tasks::close(&run.run_id, self.now_ms));
        }
        self.group.adds.runs += 1;
        Ok(())
    }

    async fn write_tasks(&mut self) -> Result<(), Error> {
        let tasks = std::mem::take(&mut self.group.tasks);
        if !tasks.is_empty() {
            self.records.write(tasks).await?;
        }
        Ok(())
    }

    /// Records what has come in the group.
    async fn commit(&mut self) -> Result<(), Error> {
        while self.beside.try_next().await?.is_some() {}
        self.write_tasks().await?;
        let last = std::mem::take(&mut self.group.last);
        if !last.is_empty() {
            match self.records.write(last).await {
                Ok(_) => {}
                Err(records::Error::Duplicate(what)) => return Err(Error::Meanwhile(what)),
                Err(records::Error::Unchanged(_)) => return Err(Error::Meanwhile("what it is of is gone".to_owned())),
                Err(error) => return Err(error.into()),
            }
        }
        let adds = std::mem::take(&mut self.group.adds);
        self.moved.experiments += adds.experiments;
        self.moved.pipelines += adds.pipelines;
        self.moved.versions += adds.versions;
        self.moved.recurring_runs += adds.recurring_runs;
        self.moved.runs += adds.runs;
        self.moved.unfinished += adds.unfinished;
        self.moved.runs_there += u64::from(self.group.is_there);
        self.group.is_sealed = true;
        (self.told)(&self.moved);
        Ok(())
    }
}

/// What is wrong with the archive, where that is what is wrong.
fn unreadable(error: StoreError) -> Error {
    match error {
        StoreError::Tar(why) => Error::Archive(why),
        // An object was being written, from an archive that is cut short.
        StoreError::Source(source) => match source.downcast::<StoreError>() {
            Ok(error) => unreadable(*error),
            Err(source) => Error::Store(StoreError::Source(source)),
        },
        error => Error::Store(error),
    }
}

/// The id that something of the export has now.
fn is_now(fates: &HashMap<String, Fate>, id: String) -> String {
    match fates.get(&id) {
        Some(Fate::There { id }) => id.clone(),
        Some(Fate::New { .. }) | None => id,
    }
}
