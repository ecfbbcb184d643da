//! `ferroflow import`

use std::{io, os::fd::AsFd, path::Path, process::ExitCode};

use anyhow::Context;
use ferroflow_pipelines::{
    core::moving::plan::Renames,
    store::moving::{self, Choices, Moved},
};
use ferroflow_platform::{
    blob::Unpacked,
    clock::{Clock, SystemClock},
};
use tokio_util::io::ReaderStream;

use crate::{
    moving::{Told, counted, open, problem, sum},
    moving_args::Import,
    problem::Problem,
    records,
};

/// Bytes that are read at once.
const BUFFER: usize = 256 * 1024;

/// Adds what is new of an archive.
pub fn run(data: &Path, import: &Import) -> anyhow::Result<ExitCode> {
    let hint = "give namespaces of lower-case letters, digits and dashes, as --namespace=team-a or \
                --namespace=kubeflow=team-a";
    let (namespaces, namespace) = import.namespaces().map_err(|fault| Problem::new(fault, hint))?;
    let renames = Renames { namespaces, namespace, suffix: import.suffix.clone() };
    let choices = Choices { renames, enables_schedules: import.enable_schedules };
    let to = records::described(data, &import.records)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.context("no threads can be made")?.block_on(async {
        let archive = archive(&import.file).await?;
        let stores = open(data, &import.records, &import.artifacts).await?;
        let (told, now_ms) = (Told::new(), SystemClock.now().as_millisecond());
        let imported =
            moving::import(&stores.records, &stores.blobs, &choices, now_ms, archive, |moved| told.tell(moved));
        let moved = imported.await.map_err(problem)?;
        drop(told);
        tell(&moved, &to, import.enable_schedules);
        Ok(ExitCode::SUCCESS)
    })
}

async fn archive(file: &Path) -> anyhow::Result<Unpacked> {
    if file.as_os_str() == "-" {
        let input = io::stdin().as_fd().try_clone_to_owned().context("standard input cannot be read")?;
        let input = tokio::fs::File::from_std(input.into());
        return Ok(Unpacked::new(ReaderStream::with_capacity(input, BUFFER)));
    }
    let opened = tokio::fs::File::open(file).await.map_err(|error| {
        let what = format!("\"{}\" cannot be read: {error}", file.display());
        Problem::new(what, "name the file that `ferroflow export` has written, or - for standard input")
    })?;
    Ok(Unpacked::new(ReaderStream::with_capacity(opened, BUFFER)))
}

fn tell(moved: &Moved, to: &str, enables_schedules: bool) {
    eprintln!("imported {} into {to}", sum(moved));
    if moved.runs_there > 0 {
        eprintln!("  {} there already", counted(moved.runs_there, "run"));
    }
    if !moved.others.is_empty() {
        eprintln!(
            "  {} not added, as others have their ids, or they are in another namespace:",
            counted(moved.others.len() as u64, "run")
        );
        for run in &moved.others {
            eprintln!("    {run}");
        }
    }
    if moved.unfinished > 0 {
        let runs = counted(moved.unfinished, "run");
        eprintln!(
            "  {runs} had not ended and stand as failed: `ferroflow runs retry` lets one go on from where it stood"
        );
    }
    if moved.recurring_runs > 0 && !enables_schedules {
        eprintln!("  recurring runs rest until they are enabled: stop those of the old store first");
    }
}
