//! Control groups: what of them this machine gives, a group for each container, and what it has used.
//!
//! The server looks once which groups it may make ([`find`]); a pod's shim makes those of its containers
//! ([`group`]); both read what they count ([`count`]). What is written into them is decided in `core::cgroup`.

pub mod count;
pub mod find;
pub mod group;

#[cfg(test)]
mod tests;

pub use crate::core::cgroup::Place;
pub use find::{Found, find};
pub use group::{Group, Join, bound_processes, clear, end, enter, remove_tree, sweep, weigh};

use std::{fs, io, path::Path};

use sha2::{Digest, Sha256};

/// The name of the group that holds the pods of the server with this data directory.
pub fn tree_name(data: &Path) -> String {
    let path = data.canonicalize().unwrap_or_else(|_| data.to_owned());
    crate::core::cgroup::tree_name(&Sha256::digest(path.as_os_str().as_encoded_bytes()))
}

/// Writes a value into a file of a group; the error names the file.
fn write(directory: &Path, file: &str, value: &str) -> io::Result<()> {
    let path = directory.join(file);
    fs::write(&path, value)
        .map_err(|error| io::Error::new(error.kind(), format!("cannot write {value:?} to {}: {error}", path.display())))
}

/// Makes a group's directory, and those above it.
fn make(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)
        .map_err(|error| io::Error::new(error.kind(), format!("cannot make {}: {error}", directory.display())))
}

/// The processes in a group's directory itself.
fn processes(directory: &Path) -> Vec<i32> {
    let text = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.trim().parse().ok()).collect()
}
