//! `ferroflow images load`

use std::{
    fs::File,
    io::{self, IsTerminal},
    path::Path,
    process::ExitCode,
};

use anyhow::Context;
use ferroflow_images::{
    core::{limits::Limits, platform::Platform},
    load::Loader,
};

use super::{now_s, progress::progress, store};
use crate::{image_args::LoadImages, problem::Problem};

/// Loads every image of an archive and prints their names.
pub fn run(data: &Path, load: &LoadImages) -> anyhow::Result<ExitCode> {
    let loader = Loader {
        store: store(data)?,
        platform: load.platform.clone().unwrap_or_else(|| Platform::linux(std::env::consts::ARCH)),
        limits: Limits::default(),
        name: load.name.clone(),
        progress: progress(),
    };
    let shown = load.archive.display();
    let records = if load.archive.as_os_str() == "-" {
        if io::stdin().is_terminal() {
            return Err(Problem::new("standard input is a terminal, and no archive", "name the archive's file").into());
        }
        loader.load_stream(io::stdin().lock(), now_s()).context("the archive on standard input")?
    } else {
        let file = File::open(&load.archive).with_context(|| format!("archive \"{shown}\" cannot be read"))?;
        loader.load(file, now_s()).with_context(|| format!("archive \"{shown}\""))?
    };
    for record in records {
        println!("{}", record.name);
    }
    Ok(ExitCode::SUCCESS)
}
