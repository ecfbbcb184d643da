//! What a container left to say when it ended.

use std::{io::Read, path::Path};

use super::logs;
use crate::core::record::Attempt;

/// Bytes of a termination message.
const MESSAGE_BYTES: u64 = 4096;
/// The part of a log that stands in for a message: lines, and bytes at the most.
const LOG_LINES: usize = 80;
const LOG_BYTES: usize = 2048;

/// Fills the message of a run that has ended, from its message file or its log.
pub fn fill(attempt: &mut Attempt, message_file: &Path, log: &Path) {
    let Some(exit) = &mut attempt.exit else { return };
    if !exit.message.is_empty() {
        return;
    }
    exit.message = read(message_file);
    if exit.message.is_empty() && attempt.message_from_log && exit.code != 0 {
        exit.message = logs::last_lines(log, LOG_LINES, LOG_BYTES).unwrap_or_default();
    }
}

fn read(path: &Path) -> String {
    let Ok(file) = std::fs::File::open(path) else { return String::new() };
    let mut bytes = Vec::new();
    let _ = file.take(MESSAGE_BYTES).read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}
