//! What `export` and `import` have in common: the stores that they open, and what they tell.

use std::{io::IsTerminal, path::Path};

use anyhow::Context;
use ferroflow_pipelines::store::{catalogue, migrate, moving};
use ferroflow_platform::{blob::Blobs, records::Records};
use indicatif::ProgressBar;

use crate::{
    artifacts::{self, Artifacts},
    commands::images::shown,
    problem::Problem,
    record::{self, Lock},
    records::{self, RecordsPlace, Store},
};

/// Open stores.
pub struct Stores {
    pub records: Records,
    pub blobs: Blobs,
    /// Of the data directory, where one of them is there.
    _lock: Option<Lock>,
}

/// Opens the stores of a server, with records as this version has them. A server whose records are in the data directory
/// must have stopped.
///
/// # Errors
/// What is in the way, with what to do.
pub async fn open(data: &Path, records: &RecordsPlace, artifacts: &Artifacts) -> anyhow::Result<Stores> {
    let lock = match records::is_shared(records)? {
        true => None,
        false => Some(record::lock(data).map_err(|error| match error.downcast::<Problem>() {
            Ok(problem) => {
                let hint = "stop it first, with `ferroflow down`; its data stays";
                Problem::new(problem.what, hint).code(problem.code).into()
            }
            Err(error) => error,
        })?),
    };
    let kept = artifacts::open(data, artifacts).await?;
    let records = match records::open(data, records).await? {
        Store::Own(records) | Store::Shared(records) => records,
    };
    let outdated = "the records cannot be brought up to date";
    migrate(&records).await.context(outdated)?;
    catalogue::migrate(&records).await.context(outdated)?;
    Ok(Stores { records, blobs: kept.blobs, _lock: lock })
}

/// Says on a terminal how far it is.
pub struct Told(Option<ProgressBar>);

impl Told {
    /// Begins to say it.
    pub fn new() -> Self {
        Self(std::io::stderr().is_terminal().then(ProgressBar::new_spinner))
    }

    /// Says it anew.
    pub fn tell(&self, moved: &moving::Moved) {
        if let Some(bar) = &self.0 {
            let runs = moved.runs + moved.runs_there + moved.others.len() as u64;
            let (of_runs, objects) = (moved.of_runs, counted(moved.objects, "object"));
            bar.set_message(format!("run {runs} of {of_runs}, {objects}, {}", shown(moved.bytes)));
            bar.tick();
        }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// All that was moved, in a line.
pub fn sum(moved: &moving::Moved) -> String {
    let parts = [
        counted(moved.pipelines, "pipeline"),
        counted(moved.versions, "version"),
        counted(moved.experiments, "experiment"),
        counted(moved.runs, "run"),
        counted(moved.recurring_runs, "recurring run"),
        counted(moved.objects, "object"),
    ];
    format!("{} ({})", parts.join(", "), shown(moved.bytes))
}

/// `1 run`, `2 runs`.
pub fn counted(count: u64, what: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {what}{ending}")
}

/// What went wrong, with what to do.
pub fn problem(error: moving::Error) -> anyhow::Error {
    let hint = match &error {
        moving::Error::InTheWay(_) => "nothing was changed; import again when that is settled",
        moving::Error::Archive(_) => "give a file that `ferroflow export` of this version or an older one has written",
        moving::Error::NoNamespace(_) => "name another --namespace, or leave it out for all",
        moving::Error::Records(_) | moving::Error::Store(_) | moving::Error::Meanwhile(_) => {
            "begin again when the store is there: what was moved stays, and is not moved twice"
        }
    };
    let what = ferroflow_platform::causes::causes(&error);
    Problem::new(what, hint).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_counts_in_words() {
        let moved = moving::Moved { pipelines: 1, runs: 2, objects: 3, bytes: 1536, ..moving::Moved::default() };
        let expected = "1 pipeline, 0 versions, 0 experiments, 2 runs, 0 recurring runs, 3 objects (1.5 KiB)";
        assert_eq!(sum(&moved), expected);
    }
}
