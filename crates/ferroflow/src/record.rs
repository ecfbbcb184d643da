//! What a running server leaves for other commands to find it: a lock and a small record.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::fd::{AsRawFd, OwnedFd},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
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
    #[serde(default)]
    pub gateway: Option<String>,
}

/// Held as long as the server runs; the system lets go of it when the process ends, however it does.
pub struct Lock {
    file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A lock is the open file's, and a program that is being started has a copy of that until it is another
        // program: closing ours alone would leave the lock standing for so long.
        if let Err(error) = ask(&self.file, libc::F_OFD_SETLK, libc::F_UNLCK) {
            tracing::debug!(%error, "the lock of the data directory ends with its file only");
        }
    }
}

/// How long the lock may outlive its server, and how often it is looked at meanwhile.
const HANDOVER: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(5);

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
    let began = Instant::now();
    while ask(&file, libc::F_OFD_SETLK, libc::F_WRLCK).is_err() {
        // A process that a killed server was just starting has the lock until it becomes another program.
        if was_killed(data) && began.elapsed() < HANDOVER {
            thread::sleep(LOOK);
            continue;
        }
        let what = format!("a cluster with data in \"{}\" runs already", data.display());
        let hint = "see `ferroflow status`; for a second cluster give another --data-dir and --port 0";
        return Err(Problem::new(what, hint).code(RUNNING).into());
    }
    Ok(Lock { file })
}

/// Whether the server that wrote the record is gone.
fn was_killed(data: &Path) -> bool {
    let record = fs::read(data.join(RECORD)).ok().and_then(|json| serde_json::from_slice::<Record>(&json).ok());
    let Some(pid) = record.and_then(|record| Pid::from_raw(record.pid)) else { return false };
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { return true };
    // One that has ended and that nobody has waited for yet can still be opened.
    let mut ended = [PollFd::new(&process, PollFlags::IN)];
    poll(&mut ended, Some(&Timespec::default())).is_ok_and(|count| count > 0) || is_ending(pid)
}

/// Whether a process has ended but for some of its threads, which hold what it held for a moment longer.
fn is_ending(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, fields)| fields.starts_with(['Z', 'X']))
}

/// Asks the system about the exclusive lock of a file, `F_WRLCK`: `F_OFD_SETLK` takes it, `F_OFD_GETLK` only tells
/// whether another could take it, so that nobody who asks is in the way of a server that starts. `F_UNLCK` lets go of it.
fn ask(file: &File, command: libc::c_int, kind: libc::c_int) -> io::Result<libc::flock> {
    let (kind, from_start) = (kind as libc::c_short, libc::SEEK_SET as libc::c_short);
    let mut lock = libc::flock { l_type: kind, l_whence: from_start, l_start: 0, l_len: 0, l_pid: 0 };
    // SAFETY: the descriptor is open, and both commands take a pointer to this structure for the call.
    match unsafe { libc::fcntl(file.as_raw_fd(), command, &raw mut lock) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(lock),
    }
}

fn is_held(file: &File) -> io::Result<bool> {
    Ok(i32::from(ask(file, libc::F_OFD_GETLK, libc::F_WRLCK)?.l_type) != libc::F_UNLCK)
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
    if !is_held(&file).context("the lock of the server cannot be read")? {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_looks_for_a_server_is_not_in_its_way() {
        let place = tempfile::tempdir().unwrap();
        drop(lock(place.path()).unwrap());
        thread::scope(|scope| {
            let looker = scope.spawn(|| (0..5000).filter(|_| find(place.path()).is_ok()).count());
            while !looker.is_finished() {
                lock(place.path()).unwrap();
            }
            assert_eq!(looker.join().unwrap(), 0, "there is no record");
        });
    }

    #[test]
    fn a_lock_ends_with_its_guard_although_a_program_that_is_being_started_has_a_copy_of_its_file() {
        let place = tempfile::tempdir().unwrap();
        let held = lock(place.path()).unwrap();
        let copy = held.file.try_clone().unwrap();
        assert!(is_held(&File::options().write(true).open(place.path().join(LOCK)).unwrap()).unwrap());
        drop(held);
        lock(place.path()).unwrap();
        drop(copy);
    }

    #[test]
    fn a_lock_is_seen_and_refused_until_it_is_let_go() {
        let place = tempfile::tempdir().unwrap();
        let held = lock(place.path()).unwrap();
        let record = Record {
            pid: std::process::id() as i32,
            version: String::new(),
            https: String::new(),
            http: None,
            gateway: None,
        };
        write(place.path(), &record).unwrap();
        assert_eq!(find(place.path()).unwrap().record.pid, record.pid);
        assert!(lock(place.path()).err().unwrap().to_string().contains("runs already"));
        // The record of one that is gone: whoever still holds the lock is waited for.
        // No process has such a number: the kernel's greatest is 4194304.
        write(place.path(), &Record { pid: i32::MAX, ..record }).unwrap();
        thread::scope(|scope| {
            let waits = scope.spawn(|| drop(lock(place.path()).unwrap()));
            drop(held);
            waits.join().unwrap();
        });
        assert!(find(place.path()).err().unwrap().to_string().contains("no cluster"));
        lock(place.path()).unwrap();
    }
}
