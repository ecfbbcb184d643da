//! What a running server leaves for other commands to find it: a lock and a small record.

use std::{
    fs::{self, File, OpenOptions},
    os::fd::OwnedFd,
    path::Path,
    time::Duration,
};

use anyhow::Context;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{FlockOperation, flock},
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use serde::{Deserialize, Serialize};

use crate::problem::{NOT_RUNNING, Problem, RUNNING};

/// A running server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    pub pid: i32,
    pub version: String,
    pub https: String,
    pub http: Option<String>,
}

/// Held as long as the server runs; the system lets go of it when the process ends, however it does.
pub struct Lock {
    _file: File,
}

const LOCK: &str = "server.lock";
const RECORD: &str = "server.json";

/// Takes the lock of a data directory.
///
/// # Errors
/// When another server holds it.
pub fn lock(data: &Path) -> anyhow::Result<Lock> {
    fs::create_dir_all(data).with_context(|| format!("data directory \"{}\" cannot be made", data.display()))?;
    let path = data.join(LOCK);
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.with_context(|| format!("\"{}\" cannot be written", path.display()))?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        let what = format!("a cluster with data in \"{}\" runs already", data.display());
        let hint = "see `ferroflow status`; for a second cluster give another --data-dir and --port 0";
        return Err(Problem::new(what, hint).code(RUNNING).into());
    }
    Ok(Lock { _file: file })
}

/// Writes the record of this process.
pub fn write(data: &Path, record: &Record) -> anyhow::Result<()> {
    let json = serde_json::to_vec_pretty(record)?;
    ferroflow_platform::blob::Directory::new(data).put(RECORD, &json)?;
    Ok(())
}

/// Removes the record.
pub fn remove(data: &Path) {
    // One that is gone already is as good.
    let _ = fs::remove_file(data.join(RECORD));
}

/// The server that runs on a data directory.
pub struct Running {
    pub record: Record,
    process: OwnedFd,
}

/// Finds the running server.
///
/// # Errors
/// [`NOT_RUNNING`] when none runs.
pub fn find(data: &Path) -> anyhow::Result<Running> {
    let absent = || {
        let what = format!("no cluster with data in \"{}\" runs", data.display());
        anyhow::Error::from(Problem::new(what, "start one with `ferroflow up`").code(NOT_RUNNING))
    };
    let file = OpenOptions::new().write(true).open(data.join(LOCK)).map_err(|_| absent())?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
        return Err(absent());
    }
    let json = fs::read(data.join(RECORD)).map_err(|_| absent())?;
    let record: Record = serde_json::from_slice(&json).map_err(|_| absent())?;
    let process = Pid::from_raw(record.pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    Ok(Running { record, process: process.ok_or_else(absent)? })
}

impl Running {
    /// Asks the server to stop and waits for it, `patience` at the most.
    ///
    /// # Errors
    /// When it does not stop in time.
    pub fn stop(&self, signal: Signal, patience: Duration) -> anyhow::Result<()> {
        pidfd_send_signal(&self.process, signal).context("the server cannot be told to stop")?;
        let limit = Timespec { tv_sec: i64::try_from(patience.as_secs()).unwrap_or(i64::MAX), tv_nsec: 0 };
        let mut ended = [PollFd::new(&self.process, PollFlags::IN)];
        if poll(&mut ended, Some(&limit)).context("the server cannot be waited for")? == 0 {
            let what = format!("the server (process {}) did not stop within {patience:?}", self.record.pid);
            return Err(Problem::new(what, "its log says what it waits for; `kill -9` ends it without loss").into());
        }
        Ok(())
    }
}
