//! The files that tell of a container's runs: records, logs, and what it left to say when it ended.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use super::{Error, PodRecord, logs};
use crate::{
    core::record::{Attempt, Exit, ExitReason},
    shim::{self, Durability, protocol::Live},
};

/// What is known of a pod, in its directory.
const POD_FILE: &str = "pod.json";
/// Runs of a container of which log and record are kept: the last one, the one before, and one to spare.
const RUNS_KEPT: u32 = 3;
/// Rotated files of one log that are looked for; the supervisor keeps fewer.
const ROTATED: u32 = 16;
/// Bytes of a termination message.
const MESSAGE_BYTES: u64 = 4096;
/// The part of a log that stands in for a message: lines, and bytes at the most.
const LOG_LINES: usize = 80;
const LOG_BYTES: usize = 2048;

/// The pods that have a directory in this one.
///
/// # Errors
/// When it cannot be read.
pub fn pods(directory: &Path) -> Result<Vec<PodRecord>, Error> {
    let entries = fs::read_dir(directory).map_err(|error| Error::file("list", directory, error))?;
    let files = entries.flatten().map(|entry| entry.path().join(POD_FILE));
    Ok(files.filter_map(|file| serde_json::from_slice(&fs::read(file).ok()?).ok()).collect())
}

/// Writes what is to be known of a pod to its directory.
///
/// # Errors
/// When it cannot be written.
pub fn remember(directory: &Path, pod: &PodRecord) -> Result<(), Error> {
    let path = directory.join(POD_FILE);
    let temporary = path.with_extension("new");
    let bytes = serde_json::to_vec(pod).map_err(|error| Error::file("write", &path, error.into()))?;
    // A pod can be opened again, and so be ended, where the disk is full.
    if fs::read(&path).is_ok_and(|stored| stored == bytes) {
        return Ok(());
    }
    fs::write(&temporary, bytes)
        .and_then(|()| fs::rename(&temporary, &path))
        .map_err(|error| Error::file("write", &path, error))
}

/// Where the log and the record of a run are.
pub fn location(pod: &Path, container: &str, number: u32) -> logs::Location {
    logs::Location {
        log: pod.join("logs").join(container).join(format!("{number}.log")),
        record: shim::record_path(pod, container, number),
    }
}

/// Where a run writes its termination message.
pub fn message_file(pod: &Path, container: &str, number: u32) -> PathBuf {
    pod.join("root").join(container).join(format!("termination-log-{number}"))
}

/// All runs of a pod of which there is a record, by container and number.
///
/// # Errors
/// When they cannot be read.
pub fn read(pod: &Path) -> Result<Vec<Attempt>, Error> {
    let run = pod.join("run");
    let mut attempts = Vec::new();
    let containers = fs::read_dir(&run).map_err(|error| Error::file("list", &run, error))?;
    for directory in containers.flatten() {
        let files = fs::read_dir(directory.path()).map_err(|error| Error::file("list", directory.path(), error))?;
        let paths = files.flatten().map(|entry| entry.path());
        // A record that the power cut in half is one of a run that never came to anything.
        let json = paths.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
        attempts.extend(json.filter_map(|path| shim::read_record(&path)));
    }
    attempts.sort_by(|a, b| (&a.container, a.number).cmp(&(&b.container, b.number)));
    Ok(attempts)
}

/// Brings runs up to date that were read before `live` was asked for: one that is not alive has ended
/// since, or was lost with its supervisor.
pub fn settle(pod: &Path, mut attempts: Vec<Attempt>, live: &[Live], now: Timestamp) -> Vec<Attempt> {
    // A run may have begun after the records were read: by the last words of an agent that was killed.
    for live in live {
        let is_known = |attempt: &Attempt| attempt.container == live.container && attempt.number == live.number;
        if !attempts.iter().any(is_known) {
            attempts.extend(shim::read_record(&shim::record_path(pod, &live.container, live.number)));
        }
    }
    let settled = attempts.into_iter().map(|attempt| {
        let is_live = |live: &Live| live.container == attempt.container && live.number == attempt.number;
        let mut attempt = if attempt.exit.is_some() || live.iter().any(is_live) {
            attempt
        } else {
            // The supervisor stores an exit before it forgets the run.
            let path = shim::record_path(pod, &attempt.container, attempt.number);
            let again = shim::read_record(&path).unwrap_or(attempt);
            if again.exit.is_some() { again } else { lost(pod, again, now) }
        };
        fill_message(pod, &mut attempt);
        attempt
    });
    settled.collect()
}

fn lost(pod: &Path, mut attempt: Attempt, now: Timestamp) -> Attempt {
    attempt.exit = Some(Exit {
        code: 137,
        reason: ExitReason::ContainerStatusUnknown,
        message: "The container could not be located: the supervisor of its pod has ended".to_owned(),
        finished_at: now,
    });
    // The next agent comes to the same conclusion if this cannot be stored.
    let _ = shim::write_record(pod, &attempt, Durability::Disk);
    attempt
}

/// Removes what is left of runs that nobody can ask for any more, now that run `number` begins.
pub fn forget_old(pod: &Path, container: &str, number: u32) {
    let Some(old) = number.checked_sub(RUNS_KEPT) else { return };
    let place = location(pod, container, old);
    let rotated = (1..ROTATED).map(|number| shim::rotated(&place.log, number));
    let message = message_file(pod, container, old);
    for path in [place.record, place.log.clone(), message].into_iter().chain(rotated) {
        // Most of the older files of a log were never there.
        let _ = fs::remove_file(path);
    }
}

/// Fills the message of a run that has ended, from its message file or its log.
pub fn fill_message(pod: &Path, attempt: &mut Attempt) {
    let message = message_file(pod, &attempt.container, attempt.number);
    let log = shim::log_path(pod, attempt);
    let Some(exit) = &mut attempt.exit else { return };
    if !exit.message.is_empty() {
        return;
    }
    exit.message = read_message(&message);
    if exit.message.is_empty() && attempt.message_from_log && exit.code != 0 {
        exit.message = logs::last_lines(&log, LOG_LINES, LOG_BYTES).unwrap_or_default();
    }
}

fn read_message(path: &Path) -> String {
    let Ok(file) = fs::File::open(path) else { return String::new() };
    let mut bytes = Vec::new();
    let _ = file.take(MESSAGE_BYTES).read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}
