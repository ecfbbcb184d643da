//! Control groups of a cluster, in each hierarchy of this machine: version 1, version 2 or both.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context;

/// Where the hierarchies are mounted.
///
/// # Errors
/// When /proc cannot be read.
pub fn hierarchies() -> anyhow::Result<Vec<PathBuf>> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("/proc/self/mountinfo")?;
    Ok(in_mounts(&mounts))
}

fn in_mounts(mounts: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = mounts
        .lines()
        .filter_map(|line| {
            let (before, after) = line.split_once(" - ")?;
            let kind = after.split(' ').next()?;
            let place = before.split(' ').nth(4)?;
            (matches!(kind, "cgroup" | "cgroup2") && place.starts_with("/sys/fs/cgroup")).then(|| place.into())
        })
        .collect();
    found.sort();
    found.dedup();
    found
}

/// A new group of the cpuset hierarchy has no processors until it is given those above it.
///
/// # Errors
/// When the group's files cannot be read or written.
pub fn inherit_processors(hierarchy: &Path, group: &Path) -> anyhow::Result<()> {
    let below = group.strip_prefix(hierarchy).context("a group below its hierarchy")?;
    let mut above = hierarchy.to_owned();
    for part in below {
        let own = above.join(part);
        for file in ["cpuset.cpus", "cpuset.mems"] {
            // In version 2 an empty file means the same as above.
            let is_first_version = hierarchy.join("cgroup.sane_behavior").exists();
            let path = own.join(file);
            if is_first_version && path.exists() && fs::read_to_string(&path)?.trim().is_empty() {
                fs::write(&path, fs::read(above.join(file))?).with_context(|| path.display().to_string())?;
            }
        }
        above = own;
    }
    Ok(())
}

/// Removes a group and those below it from every hierarchy. Processes that are ending hold theirs for a moment.
///
/// # Errors
/// When /proc cannot be read.
pub fn remove(group: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut left = Vec::new();
    for hierarchy in hierarchies()? {
        let path = hierarchy.join(group);
        if path.exists() && remove_tree(&path).is_err() {
            left.push(path);
        }
    }
    Ok(left)
}

fn remove_tree(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_of_both_versions_are_found() {
        let mounts = "24 1 0:22 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
                      25 24 0:23 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n\
                      26 24 0:24 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
                      27 24 0:25 / /elsewhere rw - cgroup2 cgroup2 rw\n";
        assert_eq!(in_mounts(mounts), [Path::new("/sys/fs/cgroup/cpu"), Path::new("/sys/fs/cgroup/unified")]);
    }
}
