//! Which control groups a process may use, and what is written into them.
//!
//! Reads texts that the kernel shows (`cgroups(7)`, `proc_pid_mountinfo(5)`); opens nothing. A hierarchy of
//! version 2 has one directory for all controllers, one of version 1 a directory for each.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// What a control group can bound or count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Controller {
    Cpu,
    Cpuacct,
    Memory,
    Pids,
}

/// The controllers that pods use. Version 2 counts processor time in every group, with no controller for it.
pub const CONTROLLERS: [Controller; 4] = [Controller::Cpu, Controller::Cpuacct, Controller::Memory, Controller::Pids];

impl Controller {
    /// Its name in `/proc/self/cgroup` and `cgroup.controllers`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cpuacct => "cpuacct",
            Self::Memory => "memory",
            Self::Pids => "pids",
        }
    }
}

/// The version of a hierarchy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Version {
    V1,
    V2,
}

/// One group: its directory for each controller, which is the same one at version 2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub version: Version,
    pub directories: BTreeMap<Controller, PathBuf>,
}

impl Place {
    /// The directory of a controller, where it is to be had.
    pub fn directory(&self, controller: Controller) -> Option<&Path> {
        self.directories.get(&controller).map(PathBuf::as_path)
    }

    /// Each directory once: controllers may be mounted together.
    pub fn all(&self) -> Vec<&Path> {
        let mut all: Vec<&Path> = self.directories.values().map(PathBuf::as_path).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The group of this name below.
    #[must_use]
    pub fn below(&self, name: &str) -> Self {
        let directories = self.directories.iter().map(|(controller, path)| (*controller, path.join(name))).collect();
        Self { version: self.version, directories }
    }

    /// Whether it can bound this.
    pub fn has(&self, controller: Controller) -> bool {
        self.directories.contains_key(&controller)
    }
}

/// The name of the group that holds the pods of the server with this data directory: a few digits of its digest.
pub fn tree_name(digest: &[u8]) -> String {
    let digits: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("ferroflow-{digits}")
}

/// The name of a pod's group.
pub fn pod_name(uid: &str) -> String {
    format!("pod{uid}")
}

/// Where the hierarchy of version 2 can be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unified {
    /// Where it is mounted.
    pub mount: PathBuf,
    /// The group of the process.
    pub own: PathBuf,
}

/// The hierarchy of version 2, from `/proc/self/cgroup` and `/proc/self/mountinfo`.
pub fn unified(membership: &str, mounts: &str) -> Option<Unified> {
    let path = memberships(membership).find(|(controllers, _)| controllers.is_empty())?.1;
    let mount = mount_rows(mounts).find(|row| row.kind == "cgroup2")?;
    let own = mount.resolve(path)?;
    Some(Unified { mount: mount.point, own })
}

/// The own group in the hierarchies of version 1, for the controllers that are there.
pub fn legacy(membership: &str, mounts: &str) -> Option<Place> {
    let rows: Vec<MountRow> = mount_rows(mounts).filter(|row| row.kind == "cgroup").collect();
    let mut directories = BTreeMap::new();
    for controller in CONTROLLERS {
        let has = |list: &str| list.split(',').any(|name| name == controller.as_str());
        let Some((_, path)) = memberships(membership).find(|(controllers, _)| has(controllers)) else { continue };
        let Some(row) = rows.iter().find(|row| has(&row.options)) else { continue };
        directories.extend(row.resolve(path).map(|path| (controller, path)));
    }
    (!directories.is_empty()).then_some(Place { version: Version::V1, directories })
}

fn memberships(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        Some((controllers, path))
    })
}

/// A line of mountinfo, as far as it matters here.
struct MountRow {
    root: String,
    point: PathBuf,
    kind: String,
    options: String,
}

impl MountRow {
    /// Where the group with this path can be seen; `None` where the mount shows another part of the hierarchy.
    fn resolve(&self, path: &str) -> Option<PathBuf> {
        let below = Path::new(path).strip_prefix(&self.root).ok()?;
        let leaves = below.components().any(|part| part.as_os_str() == "..");
        // Joining nothing would end the path in a slash.
        let whole = below.as_os_str().is_empty();
        (!leaves).then(|| if whole { self.point.clone() } else { self.point.join(below) })
    }
}

fn mount_rows(text: &str) -> impl Iterator<Item = MountRow> {
    text.lines().filter_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(3);
        let (root, point) = (unescape(left.next()?), unescape(left.next()?));
        let mut right = right.split(' ');
        let (kind, options) = (right.next()?.to_owned(), right.nth(1)?.to_owned());
        Some(MountRow { root, point: PathBuf::from(point), kind, options })
    })
}

/// Blanks and backslashes stand as three octal digits.
fn unescape(text: &str) -> String {
    let rows = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    rows.into_iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// What a container may use; what is `None` is not bounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    pub memory_bytes: Option<u64>,
    pub cpu_limit_millis: Option<u64>,
    pub cpu_request_millis: Option<u64>,
    /// Of the whole pod; `None` where whoever asks does not know it.
    pub pod_cpu_request_millis: Option<u64>,
    /// Of all containers of the pod together.
    pub pids: Option<u64>,
}

/// A kubelet's period of the quota.
const PERIOD_MICROSECONDS: u64 = 100_000;
/// The least quota and the bounds of shares that the kernel takes.
const LEAST_QUOTA_MICROSECONDS: u64 = 1000;
const SHARES: std::ops::RangeInclusive<u64> = 2..=262_144;

/// A value to be written into a file of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    pub controller: Controller,
    pub file: &'static str,
    pub value: String,
    /// Whether a container may start without it: not every kernel has every file.
    pub optional: bool,
}

/// What makes a container's group bound it, in order.
pub fn settings(version: Version, bounds: Bounds) -> Vec<Setting> {
    let set = |controller, file, value: String| Setting { controller, file, value, optional: false };
    let may = |controller, file, value: String| Setting { controller, file, value, optional: true };
    let quota = bounds.cpu_limit_millis.filter(|millis| *millis > 0).map(|millis| {
        let quota = millis.saturating_mul(PERIOD_MICROSECONDS) / 1000;
        quota.max(LEAST_QUOTA_MICROSECONDS)
    });
    let mut settings = Vec::new();
    match version {
        Version::V2 => {
            if let Some(bytes) = bounds.memory_bytes {
                settings.push(set(Controller::Memory, "memory.max", bytes.to_string()));
                settings.push(may(Controller::Memory, "memory.swap.max", "0".to_owned()));
                settings.push(may(Controller::Memory, "memory.oom.group", "1".to_owned()));
            }
            if let Some(quota) = quota {
                settings.push(set(Controller::Cpu, "cpu.max", format!("{quota} {PERIOD_MICROSECONDS}")));
            }
        }
        Version::V1 => {
            if let Some(bytes) = bounds.memory_bytes {
                settings.push(set(Controller::Memory, "memory.limit_in_bytes", bytes.to_string()));
                settings.push(may(Controller::Memory, "memory.memsw.limit_in_bytes", bytes.to_string()));
            }
            if let Some(quota) = quota {
                settings.push(set(Controller::Cpu, "cpu.cfs_period_us", PERIOD_MICROSECONDS.to_string()));
                settings.push(set(Controller::Cpu, "cpu.cfs_quota_us", quota.to_string()));
            }
        }
    }
    settings.push(share(version, bounds.cpu_request_millis.unwrap_or(0)));
    settings
}

/// What makes a group's share of processor time, beside the groups that lie where it does, as large as this request.
/// One that asks for nothing has the least, as with a kubelet (`MilliCPUToShares`).
///
/// It goes for three: a container by its request, a pod by that of the whole pod, and the group of all pods by what
/// the node has to give. Without the third they would weigh together as much as a single process of the host; without
/// the second a pod would weigh the same, whatever it asks for.
pub fn share(version: Version, cpu_request_millis: u64) -> Setting {
    let shares = (cpu_request_millis.saturating_mul(1024) / 1000).clamp(*SHARES.start(), *SHARES.end());
    let (file, value) = match version {
        Version::V1 => ("cpu.shares", shares),
        Version::V2 => ("cpu.weight", weight(shares)),
    };
    Setting { controller: Controller::Cpu, file, value: value.to_string(), optional: true }
}

/// Shares of version 1 as a weight of version 2: the formula of `opencontainers/cgroups`, `ConvertCPUSharesToCgroupV2Value`
/// before its change of 2025.
fn weight(shares: u64) -> u64 {
    1 + (shares - SHARES.start()) * 9999 / (SHARES.end() - SHARES.start())
}

/// The value in a file of lines `name value`, such as `memory.stat`.
pub fn field(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.find(|(key, _)| *key == name).and_then(|(_, value)| value.trim().parse().ok())
}

/// Memory that cannot be had back without swapping: a kubelet's working set.
pub fn working_set_bytes(version: Version, used: u64, stat: &str) -> u64 {
    let name = if version == Version::V2 { "inactive_file" } else { "total_inactive_file" };
    used.saturating_sub(field(stat, name).unwrap_or(0))
}

#[cfg(test)]
#[path = "cgroup_tests.rs"]
mod tests;
