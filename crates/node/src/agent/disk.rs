//! How much of the node's disk a pod's files take.
//!
//! Follows no link and leaves no file system, so that a pod cannot make its node look elsewhere; looks at a
//! bounded number of files.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Files of one pod that are looked at: what is beyond them counts as nothing. A walk over so many takes about a second.
const FILES: usize = 200_000;
/// Parts of a pod's directory that hold a directory for each container.
const OF_CONTAINERS: [&str; 2] = ["root", "logs"];
const VOLUMES: &str = "volumes";

/// Bytes on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    /// What containers have written, and their logs.
    pub containers: BTreeMap<String, u64>,
    pub volumes: BTreeMap<String, u64>,
}

/// Measures the pod in `directory`.
pub fn measure(directory: &Path) -> Disk {
    let mut left = FILES;
    let mut disk = Disk::default();
    for (name, path) in OF_CONTAINERS.iter().flat_map(|part| directories(&directory.join(part))) {
        *disk.containers.entry(name).or_default() += size(&path, &mut left);
    }
    for (name, path) in directories(&directory.join(VOLUMES)) {
        disk.volumes.insert(name, size(&path, &mut left));
    }
    disk
}

fn directories(parent: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    directories.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path())).collect()
}

/// What is gone while it is looked at counts as nothing.
fn size(root: &Path, left: &mut usize) -> u64 {
    let Ok(device) = fs::symlink_metadata(root).map(|meta| meta.dev()) else { return 0 };
    let mut total = 0;
    let mut waiting = vec![root.to_owned()];
    while let Some(path) = waiting.pop() {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            let Some(fewer) = left.checked_sub(1) else { return total };
            *left = fewer;
            let Ok(meta) = entry.metadata() else { continue };
            if meta.dev() != device {
                continue;
            }
            // A file with several names is in every one of them a part.
            total += meta.blocks() * 512 / meta.nlink().clamp(1, if meta.is_dir() { 1 } else { u64::MAX });
            if meta.is_dir() {
                waiting.push(entry.path());
            }
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_counted_where_they_lie_and_links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (pod, outside) = (dir.path().join("pod"), dir.path().join("big"));
        fs::create_dir_all(pod.join("root/c/tmp")).unwrap();
        fs::create_dir_all(pod.join("logs/c")).unwrap();
        fs::create_dir_all(pod.join("volumes/v")).unwrap();
        fs::create_dir_all(&outside).unwrap();
        fs::write(outside.join("f"), vec![1; 1 << 20]).unwrap();
        fs::write(pod.join("root/c/tmp/f"), vec![1; 256 << 10]).unwrap();
        fs::write(pod.join("logs/c/0.log"), vec![1; 64 << 10]).unwrap();
        fs::write(pod.join("volumes/v/f"), vec![1; 128 << 10]).unwrap();
        fs::hard_link(pod.join("volumes/v/f"), pod.join("volumes/v/again")).unwrap();
        std::os::unix::fs::symlink(&outside, pod.join("volumes/v/out")).unwrap();
        // A hole takes no room.
        fs::File::create(pod.join("volumes/v/hole")).unwrap().set_len(1 << 30).unwrap();
        let disk = measure(&pod);
        let close = |bytes: u64, kilobytes: u64| (kilobytes << 10..(kilobytes + 16) << 10).contains(&bytes);
        assert!(close(disk.containers["c"], 320), "{disk:?}");
        assert!(close(disk.volumes["v"], 128), "{disk:?}");
        assert_eq!(measure(&dir.path().join("none")), Disk::default());
    }
}
