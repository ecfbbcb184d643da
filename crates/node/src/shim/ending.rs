//! How processes end, and how they are made to.

use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};

use super::{container::Ended, tree};

/// Rounds of ending what is left, a millisecond each: a fork bomb may be faster than a few.
const LAST_ROUNDS: usize = 1000;

/// Sends a signal to a process.
pub fn kill(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        // It may have ended in the meantime.
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// Sends a signal by its number, which may be one that has no name: images name real-time signals too.
pub fn send(pid: i32, signal: i32) {
    if pid > 0 && signal > 0 {
        // SAFETY: kill takes two numbers. It refuses those that are no signal; the process may have ended.
        unsafe { libc::kill(pid, signal) };
    }
}

/// Sends a signal to all processes of a group.
pub fn kill_group(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        // The group may be empty by now.
        let _ = rustix::process::kill_process_group(pid, signal);
    }
}

/// How a process ended that has been waited for.
pub fn how(status: WaitStatus) -> Ended {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Ended { code },
        (None, Some(signal)) => Ended { code: 128 + signal },
        (None, None) => Ended { code: 255 },
    }
}

/// Ends all children of this process, and theirs.
pub fn end_stragglers() {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    // Killing a parent brings its children here.
    for _ in 0..LAST_ROUNDS {
        let left = tree::children(own);
        if left.is_empty() {
            return;
        }
        for pid in left {
            kill(pid, Signal::KILL);
        }
        while let Ok(Some(_)) = rustix::process::wait(WaitOptions::NOHANG) {}
        std::thread::sleep(Duration::from_millis(1));
    }
}
