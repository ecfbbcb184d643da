//! Which control groups the server may make: found by making one.
//!
//! In order: version 2 with its controllers, version 1, nothing. At version 2 a group holds processes or
//! bounds those below it, never both: where the server's own group is the one to divide, its processes move
//! into a leaf of it first.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use super::{make, processes, write};
use crate::core::cgroup::{self, CONTROLLERS, Controller, Place, Unified, Version};

/// The leaf that the server's processes move into.
const LEAF: &str = "ferroflow-server";
/// Rounds of moving processes: new ones may come meanwhile.
const ROUNDS: usize = 20;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The group that holds the pods' groups.
    pub tree: Option<Place>,
    /// A sentence: which groups bound pods, or why none do.
    pub describes: String,
}

/// Looks for groups, and makes the one of this name.
pub fn find(name: &str) -> Found {
    let membership = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    find_in(name, &membership, &mounts, rustix::process::geteuid().is_root())
}

/// As [`find`], in hierarchies that these texts name.
pub fn find_in(name: &str, membership: &str, mounts: &str, is_root: bool) -> Found {
    let mut reasons = Vec::new();
    if let Some(place) = cgroup::unified(membership, mounts) {
        match unified(name, &place, is_root) {
            Ok(tree) => return found(tree),
            Err(error) => reasons.push(format!("version 2: {error}")),
        }
    }
    if let Some(own) = cgroup::legacy(membership, mounts) {
        match legacy(name, &own) {
            Ok(tree) => return found(tree),
            Err(error) => reasons.push(format!("version 1: {error}")),
        }
    }
    if reasons.is_empty() {
        reasons.push("none are mounted".to_owned());
    }
    let describes =
        format!("no control groups ({}): memory is watched, processor time is not bounded", reasons.join("; "));
    Found { tree: None, describes }
}

fn found(tree: Place) -> Found {
    let version = if tree.version == Version::V2 { 2 } else { 1 };
    let names: Vec<&str> = tree.directories.keys().map(|controller| controller.as_str()).collect();
    let place = tree.all().first().map(|path| path.display().to_string()).unwrap_or_default();
    let describes = format!("control groups of version {version} ({}) in {place}", names.join(", "));
    Found { tree: Some(tree), describes }
}

fn unified(name: &str, place: &Unified, is_root: bool) -> io::Result<Place> {
    // The root of the whole hierarchy alone has no `cgroup.events`; there, processes do not stand in the way.
    let whole = is_root && !place.mount.join("cgroup.events").exists();
    let parent = if whole { place.mount.clone() } else { above_leaf(&place.own) };
    let offered = fs::read_to_string(parent.join("cgroup.controllers"))?;
    let wanted: Vec<Controller> = CONTROLLERS
        .into_iter()
        .filter(|controller| offered.split_whitespace().any(|name| name == controller.as_str()))
        .collect();
    if wanted.is_empty() {
        return Err(io::Error::other(format!("{} has no controllers", parent.display())));
    }
    if let Err(error) = enable(&parent, &wanted) {
        if error.kind() != io::ErrorKind::ResourceBusy {
            return Err(error);
        }
        move_to_leaf(&parent)?;
        enable(&parent, &wanted)?;
    }
    let tree = parent.join(name);
    make(&tree)?;
    enable(&tree, &wanted)?;
    // Processor time is counted in every group.
    let all = wanted.into_iter().chain([Controller::Cpuacct]);
    Ok(Place { version: Version::V2, directories: all.map(|controller| (controller, tree.clone())).collect() })
}

/// A server that is started again from a shell that was moved finds itself in the leaf.
fn above_leaf(own: &Path) -> PathBuf {
    match own.parent() {
        Some(parent) if own.file_name().is_some_and(|name| name == LEAF) => parent.to_owned(),
        _ => own.to_owned(),
    }
}

/// Lets the groups below `directory` use the controllers.
pub(super) fn enable(directory: &Path, controllers: &[Controller]) -> io::Result<()> {
    let has = fs::read_to_string(directory.join("cgroup.subtree_control")).unwrap_or_default();
    for controller in controllers.iter().map(|controller| controller.as_str()) {
        if !has.split_whitespace().any(|name| name == controller) {
            write(directory, "cgroup.subtree_control", &format!("+{controller}"))?;
        }
    }
    Ok(())
}

fn move_to_leaf(parent: &Path) -> io::Result<()> {
    let leaf = parent.join(LEAF);
    make(&leaf)?;
    for _ in 0..ROUNDS {
        let left = processes(parent);
        if left.is_empty() {
            return Ok(());
        }
        for pid in left {
            // It may have ended meanwhile; one that stays makes the next step fail.
            let _ = write(&leaf, "cgroup.procs", &pid.to_string());
        }
    }
    Ok(())
}

fn legacy(name: &str, own: &Place) -> io::Result<Place> {
    let mut directories = BTreeMap::new();
    let mut last = io::Error::other("no controller is mounted");
    for (controller, parent) in &own.directories {
        let tree = parent.join(name);
        // A directory that somebody else has made may be there without being ours to use.
        match make(&tree).and_then(|()| make(&tree.join("trial"))).and_then(|()| fs::remove_dir(tree.join("trial"))) {
            Ok(()) => drop(directories.insert(*controller, tree)),
            Err(error) => last = error,
        }
    }
    if directories.is_empty() { Err(last) } else { Ok(Place { version: Version::V1, directories }) }
}
