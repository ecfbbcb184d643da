//! From an image's files, as they were fetched, to the trees of its layers on disk.
//!
//! `umoci raw unpack` is the peer, and not `umoci unpack`: that one writes a list with the digests of all files as well,
//! which nothing here does.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::ensure;

use super::archive::{Alone, TAG};
use crate::servers;

/// Where umoci is.
pub fn umoci() -> Option<PathBuf> {
    let paths = std::env::var_os("PATH")?;
    std::env::split_paths(&paths).map(|path| path.join("umoci")).find(|path| path.is_file())
}

/// Loads the image's archive into a fresh data directory.
///
/// # Errors
/// When it is refused.
pub fn ours(ferroflow: &Path, image: &Alone) -> anyhow::Result<Duration> {
    let directory = tempfile::Builder::new().prefix("ferroflow-bench-").tempdir()?;
    let began = Instant::now();
    servers::load(ferroflow, &directory.path().join("data"), &image.archive)?;
    Ok(began.elapsed())
}

/// Unpacks the same image from its folder.
///
/// # Errors
/// When it is refused.
pub fn peer(umoci: &Path, image: &Alone) -> anyhow::Result<Duration> {
    let directory = tempfile::Builder::new().prefix("ferroflow-bench-").tempdir()?;
    let mut command = Command::new(umoci);
    command.args(["raw", "unpack", "--image", &format!("{}:{TAG}", image.layout.display())]);
    command.arg(directory.path().join("root")).stdin(Stdio::null());
    let began = Instant::now();
    let output = command.output()?;
    let took = began.elapsed();
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(took)
}
