//! `ferroflow reset`

use std::{
    fs,
    io::{self, BufRead, IsTerminal, Write},
    path::Path,
    process::ExitCode,
};

use anyhow::Context;

use crate::{
    args::{Down, Reset},
    commands::down,
    paths,
    problem::{NOT_RUNNING, Problem},
    record,
};

/// Stops the server if it runs and removes the data directory.
pub fn run(data: &Path, reset: &Reset) -> anyhow::Result<ExitCode> {
    if !data.exists() {
        eprintln!("nothing to remove: there is no {}", data.display());
        return Ok(ExitCode::SUCCESS);
    }
    let images = paths::images(data);
    if !data.join("server.lock").exists() && !images.join("lock").exists() {
        let what = format!("\"{}\" is not a data directory of ferroflow", data.display());
        return Err(Problem::new(what, "check --data-dir; nothing was removed").into());
    }
    if !reset.yes && !confirmed(data)? {
        return Err(Problem::new("nothing was removed", "answer yes, or give --yes").into());
    }
    if let Err(error) = down::run(data, &Down { keep_pods: false }) {
        let code = error.downcast_ref::<Problem>().map(|problem| problem.code);
        if code != Some(NOT_RUNNING) {
            return Err(error);
        }
    }
    // Held while removing, so that no server starts on half a directory.
    let _lock = record::lock(data)?;
    ferroflow_images::store::remove_tree(&images).context("the images cannot be removed")?;
    // Users of pods may have left what only a namespace of theirs may remove.
    ferroflow_node::remove_pods(&paths::node(data)).context("what pods have left cannot be removed")?;
    fs::remove_dir_all(data).with_context(|| format!("\"{}\" cannot be removed", data.display()))?;
    eprintln!("removed {}", data.display());
    Ok(ExitCode::SUCCESS)
}

fn confirmed(data: &Path) -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() {
        return Ok(false);
    }
    eprint!("Remove all data in {}? [y/N] ", data.display());
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
