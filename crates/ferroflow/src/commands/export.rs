//! `ferroflow export`

use std::{
    io,
    os::{fd::AsFd, unix::fs::OpenOptionsExt},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use ferroflow_pipelines::store::moving::{self, Moved, Scope};
use ferroflow_platform::{
    blob::StoreError,
    clock::{Clock, SystemClock},
};
use tokio::io::{AsyncWrite, BufWriter};

use crate::{
    moving::{Stores, Told, open, problem, sum},
    moving_args::Export,
    paths,
    problem::Problem,
    records,
};

/// Bytes that are written at once.
const BUFFER: usize = 1024 * 1024;

/// Writes an archive of all that is recorded and kept.
pub fn run(data: &Path, export: &Export) -> anyhow::Result<ExitCode> {
    let is_output = export.file.as_os_str() == "-";
    if !is_output && export.file.exists() && !export.force {
        let what = format!("\"{}\" is there already", export.file.display());
        return Err(Problem::new(what, "name another file, or give --force to replace it").into());
    }
    if !records::is_shared(&export.records)? && !paths::records(data).exists() {
        let what = format!("nothing is recorded in \"{}\"", data.display());
        return Err(
            Problem::new(what, "name the data directory with --data-dir, or the database with --records").into()
        );
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.context("no threads can be made")?.block_on(async {
        let stores = open(data, &export.records, &export.artifacts).await?;
        let moved = if is_output {
            let output = io::stdout().as_fd().try_clone_to_owned().context("standard output cannot be written")?;
            write(&stores, export, "standard output", tokio::fs::File::from_std(output.into())).await?.1
        } else {
            to_file(&stores, export).await?
        };
        let place = if is_output { "standard output".to_owned() } else { export.file.display().to_string() };
        let from = records::described(data, &export.records)?;
        eprintln!("exported from {from} to {place}: {}", sum(&moved));
        Ok(ExitCode::SUCCESS)
    })
}

/// Writes to a neighbour first, which takes the file's place when it is whole.
async fn to_file(stores: &Stores, export: &Export) -> anyhow::Result<Moved> {
    let mut name = export.file.clone().into_os_string();
    name.push(".partial");
    let partial = PathBuf::from(name);
    let made = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial);
    let place = format!("\"{}\"", partial.display());
    let failed = |error: io::Error| unwritten(&place, &error);
    let file = tokio::fs::File::from_std(made.map_err(failed)?);
    let outcome = async {
        let (file, moved) = write(stores, export, &place, file).await?;
        file.sync_all().await.map_err(failed)?;
        std::fs::rename(&partial, &export.file).map_err(failed)?;
        Ok(moved)
    };
    let outcome = outcome.await;
    if outcome.is_err() {
        // The first error says more than that this could not be removed.
        let _ = std::fs::remove_file(&partial);
    }
    outcome
}

fn unwritten(place: &str, error: &io::Error) -> Problem {
    let hint = "name a file in a directory that you may write to and that has room";
    Problem::new(format!("{place} cannot be written: {error}"), hint)
}

async fn write<W: AsyncWrite + Unpin>(
    stores: &Stores,
    export: &Export,
    place: &str,
    to: W,
) -> anyhow::Result<(W, Moved)> {
    let scope =
        Scope { namespaces: export.namespace.iter().cloned().collect(), without_objects: export.without_objects };
    let (told, now_ms) = (Told::new(), SystemClock.now().as_millisecond());
    let to = BufWriter::with_capacity(BUFFER, to);
    let exported = moving::export(&stores.records, &stores.blobs, &scope, now_ms, to, |moved| told.tell(moved));
    // It is flushed by now.
    let (to, moved) = exported.await.map_err(|error| match error {
        moving::Error::Store(StoreError::Archive(error)) => unwritten(place, &error).into(),
        error => problem(error),
    })?;
    Ok((to.into_inner(), moved))
}
