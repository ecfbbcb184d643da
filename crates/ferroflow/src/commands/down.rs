//! `ferroflow down`

use std::{path::Path, process::ExitCode, time::Duration};

use rustix::process::Signal;

use crate::{args::Down, record};

/// A pod has 30 seconds to end by default; the server then ends it, and itself.
const PATIENCE: Duration = Duration::from_secs(60);

/// Stops the server: with its pods on SIGTERM, without them on SIGHUP.
pub fn run(data: &Path, down: &Down) -> anyhow::Result<ExitCode> {
    let running = record::find(data)?;
    let signal = if down.keep_pods { Signal::HUP } else { Signal::TERM };
    running.stop(signal, PATIENCE)?;
    eprintln!("ferroflow is down; its data stays in {}", data.display());
    Ok(ExitCode::SUCCESS)
}
