//! Which processes descend from another, and how much memory they hold, as `/proc` tells it.
//!
//! A process that is gone while it is looked at counts as nothing; no error leaves this file.

use std::fs;

/// The direct children of a process, of all its threads.
pub fn children(pid: i32) -> Vec<i32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let files = threads.flatten().map(|thread| thread.path().join("children"));
    let lists = files.filter_map(|file| fs::read_to_string(file).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<i32>>()).collect()
}

/// A process and everything below it.
pub fn descendants(pid: i32) -> Vec<i32> {
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(pid) = found.get(next).copied() {
        found.extend(children(pid));
        next += 1;
    }
    found
}

/// Memory that a process holds for itself: anonymous and shared, not files that are mapped.
pub fn resident_bytes(pid: i32) -> u64 {
    let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { return 0 };
    let counted = status.lines().filter(|line| line.starts_with("RssAnon:") || line.starts_with("RssShmem:"));
    let kilobytes = counted.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kilobytes.sum::<u64>() * 1024
}

/// Processor time that a process has used, in clock ticks.
pub fn processor_ticks(pid: i32) -> u64 {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return 0 };
    // The name may hold spaces and parentheses; what follows the last one is fixed: proc_pid_stat(5).
    let Some((_, fields)) = stat.rsplit_once(')') else { return 0 };
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let field = |index: usize| fields.get(index).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    // utime, stime, cutime, cstime.
    (11..=14).map(field).sum()
}

/// Whether a process was started with this container id in its environment.
pub fn belongs_to(pid: i32, container_id: &str) -> bool {
    let marker = format!("{}={container_id}", super::CONTAINER_ID_VARIABLE);
    fs::read(format!("/proc/{pid}/environ"))
        .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|entry| entry == marker.as_bytes()))
}
