//! Takes a cluster away, whatever state it is in: its processes, control groups, mounts and files.
//!
//! It goes by no record, because a start that was killed may not have written everything down: it looks for what bears
//! the cluster's marks. All processes of a cluster but those that `exec` started are in one process namespace, and end
//! with its first one; mounts, networks and their rules end with their processes.

use std::{
    collections::HashSet,
    fs, io,
    time::{Duration, Instant},
};

use anyhow::Context;
use rustix::{
    mount::{UnmountFlags, unmount},
    process::{Pid, Signal, kill_process},
};

use super::{
    cgroups,
    layout::{Layout, MARK},
    record::Record,
    wait::until,
};

/// How long the kernel may take to end processes and to empty their control groups.
const LIMIT: Duration = Duration::from_secs(120);

/// What a process must have one of to be the cluster's.
struct Marks {
    /// `NAME=value` in its environment.
    variable: Vec<u8>,
    /// A part of its control group's path.
    group: String,
}

/// Removes everything.
///
/// # Errors
/// When something is left, with what it is.
pub fn remove(layout: &Layout) -> anyhow::Result<()> {
    let group = layout.control_group()?;
    let began = Instant::now();
    // What takes longer than a moment is told, so that a machine that is slow at it can be seen.
    let told = |what: &str| {
        if began.elapsed() > Duration::from_secs(1) {
            eprintln!("{:6.2} s  {what}", began.elapsed().as_secs_f64());
        }
    };
    let marks = Marks { variable: variable(layout), group: format!("/{group}/") };
    until("the end of the cluster's processes", LIMIT, || {
        let found = marked(&marks)?;
        for pid in &found {
            // One that has ended meanwhile is what is wanted.
            let _ = kill_process(*pid, Signal::KILL);
        }
        Ok(found.is_empty().then_some(()))
    })?;
    told("no process is left");
    until("the removal of control groups", LIMIT, || Ok(cgroups::remove(&group)?.is_empty().then_some(())))?;
    told("no control group is left");
    unmount_below(layout)?;
    match fs::remove_dir_all(layout.root()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", layout.root().display()))
        }
        _ => Ok(()),
    }
}

/// Whether the first process of a record runs and is this cluster's; numbers of processes are given again.
pub fn is_running(layout: &Layout, record: &Record) -> bool {
    let environment = fs::read(format!("/proc/{}/environ", record.first_process)).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|one| one == variable(layout))
}

fn variable(layout: &Layout) -> Vec<u8> {
    format!("{MARK}={}", layout.root().display()).into_bytes()
}

fn marked(marks: &Marks) -> anyhow::Result<HashSet<Pid>> {
    let spared = ancestors();
    let mut found = HashSet::new();
    for entry in fs::read_dir("/proc").context("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw) else { continue };
        if spared.contains(&pid) || is_zombie(pid) {
            continue;
        }
        let file = |name: &str| fs::read(format!("/proc/{}/{name}", pid.as_raw_nonzero())).unwrap_or_default();
        let by_variable = file("environ").split(|byte| *byte == 0).any(|one| one == marks.variable);
        let by_group = String::from_utf8_lossy(&file("cgroup")).contains(&marks.group);
        if by_variable || by_group {
            found.insert(pid);
        }
    }
    Ok(found)
}

/// This process and those above it, which may well have been started by `exec` in the cluster.
fn ancestors() -> HashSet<Pid> {
    let mut found = HashSet::new();
    let mut next = Some(rustix::process::getpid());
    while let Some(pid) = next.filter(|pid| found.insert(*pid)) {
        next = stat(pid).and_then(|fields| fields.get(1)?.parse().ok()).and_then(Pid::from_raw);
    }
    found
}

fn is_zombie(pid: Pid) -> bool {
    stat(pid).is_none_or(|fields| fields.first().is_some_and(|state| state == "Z"))
}

/// The fields of /proc/PID/stat after the name: state, parent, …
fn stat(pid: Pid) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    Some(text.rsplit_once(") ")?.1.split(' ').map(str::to_owned).collect())
}

/// Mounts of a cluster are in a namespace of its own; this finds what a namesake left in ours.
fn unmount_below(layout: &Layout) -> anyhow::Result<()> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("/proc/self/mountinfo")?;
    let mut places: Vec<&str> = mounts.lines().filter_map(|line| line.split(' ').nth(4)).collect();
    places.retain(|place| std::path::Path::new(place).starts_with(layout.root()));
    places.sort_by_key(|place| std::cmp::Reverse(place.len()));
    for place in places {
        unmount(place, UnmountFlags::DETACH).with_context(|| format!("unmount {place}"))?;
    }
    Ok(())
}
