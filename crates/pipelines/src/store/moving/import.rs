//! An archive is read, and what is new of it recorded.
//!
//! A run is recorded in one write with all that belongs to it, after its objects and its tasks: until then nobody sees it,
//! and an import that was interrupted goes on where it stood when it is begun again.

use std::{collections::HashSet, convert::Infallible};

use ferroflow_platform::{
    blob::{Blobs, Entry, StoreError, Stored, Unpacked},
    records::{self, Records, Statement},
};
use futures::{FutureExt, TryStreamExt, future::BoxFuture, stream, stream::FuturesUnordered};

use super::{END, Error, MANIFEST_BYTES, Moved, line::parsed, standing::standing};
use crate::{
    core::moving::{
        manifest::{Manifest, Named},
        plan::{Plan, Renames, plan},
    },
    store::{
        removal,
        runs::{self, RunRow},
        tasks,
    },
};

/// Bytes of a file of lines: the largest row has a report of some 80 MiB.
const LINES_BYTES: u64 = 256 * 1024 * 1024;
/// Bytes of an object that is gathered in memory and written beside others, and how many of them are.
const SMALL: u64 = 1024 * 1024;
const BESIDE: usize = 8;
/// Tasks that are written at once, and bytes of their lines.
pub(super) const BATCH: usize = 500;
pub(super) const BATCH_BYTES: usize = 4 * 1024 * 1024;

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
    let text = archive.bytes(&first, MANIFEST_BYTES).await.map_err(unreadable)?;
    let manifest = Manifest::read(&text).map_err(Error::Archive)?;
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
    match &reader.group {
        group if !group.directory.is_empty() && !group.is_sealed => Err(unsealed(group)),
        group if group.directory == END => Ok(reader.moved),
        _ => Err(Error::Archive(format!("it is cut short: it does not end with {END}/sum"))),
    }
}

fn unsealed(group: &Group) -> Error {
    Error::Archive(format!("its part {} has no sum", group.directory))
}

/// What belongs together in an archive: a run, or a part of the catalogue.
#[derive(Default)]
pub(super) struct Group {
    pub directory: String,
    is_sealed: bool,
    /// The run of the group.
    pub run: Option<String>,
    /// The run that was there before under its id.
    pub there: Option<RunRow>,
    pub tasks: Vec<Statement>,
    /// Of the lines of these tasks.
    pub tasks_bytes: usize,
    /// Whether tasks of an earlier try are gone.
    is_clear: bool,
    /// What is written when its sum fits.
    pub last: Vec<Statement>,
    /// What is counted then.
    pub adds: Moved,
}

pub(super) struct Reader<'a, T> {
    pub records: &'a Records,
    pub(super) blobs: &'a Blobs,
    pub choices: &'a Choices,
    pub plan: Plan,
    pub now_ms: i64,
    pub group: Group,
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
            self.row(table, row, line.len()).await?;
        }
        Ok(())
    }

    /// Goes over to another group, if it is another.
    async fn begin(&mut self, directory: &str) -> Result<(), Error> {
        if self.group.directory == directory {
            return Ok(());
        }
        if !self.group.directory.is_empty() && !self.group.is_sealed {
            return Err(unsealed(&self.group));
        }
        if self.group.directory == END {
            return Err(Error::Archive(format!("it goes on after {END}/sum, with {directory}")));
        }
        let run = directory.strip_prefix("runs/").map(str::to_owned);
        let there = match &run {
            Some(run) => self.there(run).await?,
            None => None,
        };
        self.group = Group { directory: directory.to_owned(), run, there, ..Group::default() };
        Ok(())
    }

    /// The run that is there under an id.
    async fn there(&self, run: &str) -> Result<Option<RunRow>, Error> {
        let there = runs::get(self.records, run).await?;
        // What is to be removed of it would be removed of the one that comes.
        if there.is_none() && removal::is_pending(self.records, run).await? {
            return Err(Error::Meanwhile(format!(
                "run {run} was deleted here, and its files are still being cleared away; let a server finish that, and \
                 begin again"
            )));
        }
        Ok(there)
    }

    async fn object(&mut self, archive: &mut Unpacked, entry: &Entry, name: &str) -> Result<(), Error> {
        let Some(run) = &self.group.run else {
            return Err(Error::Archive(format!("it has an object {:?} that is of no run", entry.name)));
        };
        let is_own = name.contains(&format!("/{run}/"));
        // What no step of this run has made may be somebody else's by now; and another run may need it, though this one is
        // there.
        let is_there = if is_own { self.group.there.is_some() } else { self.blobs.has_named(name).await? };
        if is_there {
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

    /// Writes the tasks that have come of a run that is not there, in place of those that an earlier try has left.
    pub(super) async fn write_tasks(&mut self) -> Result<(), Error> {
        let mut statements = Vec::new();
        if let (Some(run), None, false) = (&self.group.run, &self.group.there, self.group.is_clear) {
            statements.push(tasks::remove_leftovers(run));
            self.group.is_clear = true;
        }
        statements.append(&mut self.group.tasks);
        self.group.tasks_bytes = 0;
        if !statements.is_empty() {
            self.records.write(statements).await?;
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
                Err(records::Error::Duplicate(what)) => {
                    let part = &self.group.directory;
                    return Err(Error::Meanwhile(format!("something of its part {part} is there by now ({what})")));
                }
                Err(records::Error::Unchanged(_)) => {
                    let part = &self.group.directory;
                    return Err(Error::Meanwhile(format!("what its part {part} is of is gone")));
                }
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
        self.moved.runs_there += u64::from(self.group.there.is_some() && adds.others.is_empty());
        self.moved.others.extend(adds.others);
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
