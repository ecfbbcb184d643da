//! What a group has used, as the kernel counts it.

use std::{fs, path::Path};

use crate::core::cgroup::{self, Controller, Place, Version};

/// Processor time and memory of everything in a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub cpu_nanoseconds: Option<u64>,
    pub memory_bytes: Option<u64>,
}

/// Reads what a group has used; what it does not count is `None`.
pub fn usage(place: &Place) -> Usage {
    let cpu = place.directory(Controller::Cpuacct);
    let cpu_nanoseconds = match place.version {
        Version::V2 => cpu.and_then(|directory| {
            cgroup::field(&read(directory, "cpu.stat"), "usage_usec").map(|microseconds| microseconds * 1000)
        }),
        Version::V1 => cpu.and_then(|directory| number(directory, "cpuacct.usage")),
    };
    let memory = place.directory(Controller::Memory);
    let file = if place.version == Version::V2 { "memory.current" } else { "memory.usage_in_bytes" };
    let memory_bytes = memory.and_then(|directory| {
        let used = number(directory, file)?;
        Some(cgroup::working_set_bytes(place.version, used, &read(directory, "memory.stat")))
    });
    Usage { cpu_nanoseconds, memory_bytes }
}

/// How many processes of a group the kernel has killed for want of memory.
pub fn killed_for_memory(place: &Place) -> u64 {
    let Some(directory) = place.directory(Controller::Memory) else { return 0 };
    let file = if place.version == Version::V2 { "memory.events" } else { "memory.oom_control" };
    cgroup::field(&read(directory, file), "oom_kill").unwrap_or(0)
}

fn read(directory: &Path, file: &str) -> String {
    fs::read_to_string(directory.join(file)).unwrap_or_default()
}

fn number(directory: &Path, file: &str) -> Option<u64> {
    read(directory, file).trim().parse().ok()
}
