//! The environments of requirement sets, as they lie on disk: what is there, who uses it, and what goes.
//!
//! ```text
//! <name>/                 an environment; whole when it has its marker
//! <name>.json             when it was used last, and its size
//! uses/<digest>.json      a container that runs in one
//! gone-<name>/            what is being removed
//! ```
//!
//! A use counts as long as the directory of its pod exists, as those of images do, so that containers that outlive the
//! server keep their environment.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::python;
use crate::core::{
    keep::{self, Kept},
    requirement::Install,
};

/// A use within this time after the last is not written down again.
const CLOSE_S: i64 = 60;
/// Files of an environment that are measured; what is beyond them counts as nothing. A framework of deep learning has
/// half as many.
const FILES: usize = 400_000;
const GONE: &str = "gone-";

/// A container that runs in an environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The pod's uid and the container's name.
    pub key: String,
    /// The directory that is there as long as the pod is.
    pub directory: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
struct Use {
    version: u32,
    environment: String,
    user: User,
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    version: u32,
    used_s: i64,
    size_bytes: u64,
    /// For people who look.
    installs: Vec<Install>,
}

/// The directory of them.
pub struct Sets {
    directory: PathBuf,
    /// Held while a use is written and while it is decided what goes, so that nothing goes that is just being taken.
    deciding: Mutex<()>,
}

impl Sets {
    /// Those below `directory`, which is made when something is to lie there.
    pub fn new(directory: PathBuf) -> Self {
        Self { directory, deciding: Mutex::new(()) }
    }

    /// Where an environment lies, or will.
    pub fn root(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Takes an environment into use, whether it is there or is yet to be made; whether it is there.
    ///
    /// # Errors
    /// When the use cannot be written down: the environment might be removed while it is used.
    pub fn take(&self, name: &str, user: &User, now_s: i64) -> io::Result<bool> {
        let _deciding = self.deciding.lock().unwrap_or_else(PoisonError::into_inner);
        let uses = self.directory.join("uses");
        fs::create_dir_all(&uses)?;
        let text = Use { version: 1, environment: name.to_owned(), user: user.clone() };
        write(&uses.join(format!("{}.json", digest(&user.key))), &text)?;
        let is_there = python::is_complete(&self.root(name));
        if is_there && let Some(record) = read::<Record>(&self.record(name)).filter(|one| one.used_s + CLOSE_S <= now_s)
        {
            write(&self.record(name), &Record { used_s: now_s, ..record })?;
        }
        Ok(is_there)
    }

    /// Writes down an environment that was made just now.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn made(&self, name: &str, installs: &[Install], now_s: i64) -> io::Result<()> {
        let size_bytes = size(&self.root(name));
        write(&self.record(name), &Record { version: 1, used_s: now_s, size_bytes, installs: installs.to_vec() })
    }

    /// Removes what is beyond the bounds and in nobody's use; their names.
    pub fn collect(&self) -> Vec<String> {
        self.keep(keep::MOST, keep::MOST_BYTES)
    }

    /// Removes all that is in nobody's use; their names.
    pub fn remove_unused(&self) -> Vec<String> {
        self.keep(0, 0)
    }

    fn keep(&self, most: usize, most_bytes: u64) -> Vec<String> {
        let going = {
            let _deciding = self.deciding.lock().unwrap_or_else(PoisonError::into_inner);
            let kept = self.kept();
            // Whoever makes one has written down its use before: without a use nobody is at work on it.
            let half = kept.iter().filter(|one| !one.in_use && !python::is_complete(&self.root(&one.name)));
            let half: Vec<String> = half.map(|one| one.name.clone()).collect();
            let whole = kept.into_iter().filter(|one| !half.contains(&one.name)).collect();
            let going = half.iter().cloned().chain(keep::surplus(whole, most, most_bytes));
            going.filter(|name| self.set_aside(name)).collect::<Vec<_>>()
        };
        for name in &going {
            remove(&self.directory.join(format!("{GONE}{name}")));
        }
        going
    }

    /// Takes an environment's name from it, in one step; its files go later.
    fn set_aside(&self, name: &str) -> bool {
        // Without a record there is nothing that speaks of it.
        let _ = fs::remove_file(self.record(name));
        let moved = fs::rename(self.root(name), self.directory.join(format!("{GONE}{name}")));
        if let Err(error) = &moved {
            tracing::warn!(environment = name, %error, "an environment cannot be removed");
        }
        moved.is_ok()
    }

    /// Removes what an earlier server has left half done, and uses that ended. Nothing must be in the making yet.
    pub fn sweep(&self) {
        for path in entries(&self.directory) {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let is_half = path.is_dir() && name != "uses" && !python::is_complete(&path);
            let is_orphan = name.strip_suffix(".json").is_some_and(|name| !python::is_complete(&self.root(name)));
            let is_part = name.ends_with(".partial");
            if is_half || is_orphan || is_part || name.starts_with(GONE) {
                remove(&path);
            }
        }
        self.used();
    }

    /// Environments that are whole, in use, or were left half made by those who waited for them no longer.
    fn kept(&self) -> Vec<Kept> {
        let used = self.used();
        let names = entries(&self.directory).into_iter().filter(|path| path.is_dir());
        let names = names.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()));
        names
            .filter(|name| !name.starts_with(GONE) && name != "uses")
            .map(|name| {
                let record = read::<Record>(&self.record(&name));
                let (used_s, size_bytes) = record.map_or((0, 0), |record| (record.used_s, record.size_bytes));
                let in_use = used.contains(&name);
                Kept { name, size_bytes, used_s, in_use }
            })
            .collect()
    }

    /// The names of those in use; forgets uses that ended.
    fn used(&self) -> BTreeSet<String> {
        let mut used = BTreeSet::new();
        for path in entries(&self.directory.join("uses")) {
            match read::<Use>(&path) {
                Some(one) if one.user.directory.exists() => {
                    used.insert(one.environment);
                }
                _ => remove(&path),
            }
        }
        used
    }

    fn record(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.json"))
    }
}

fn digest(key: &str) -> String {
    Sha256::digest(key).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// What cannot be read is not there: the worst of it is an environment that is made again.
fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Replaces a file as a whole. The disk is not waited for: a power cut ends those who use it too.
fn write(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let partial = path.with_extension("partial");
    fs::write(&partial, serde_json::to_vec(value)?)?;
    fs::rename(&partial, path)
}

fn remove(path: &Path) {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    if let Err(error) = removed {
        tracing::warn!(path = %path.display(), %error, "cannot remove what is left of an environment");
    }
}

/// The bytes of an environment's files, whoever else has the same ones.
fn size(root: &Path) -> u64 {
    let (mut total, mut left, mut waiting) = (0, FILES, vec![root.to_owned()]);
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let Some(fewer) = usize::checked_sub(left, 1) else { return total };
            left = fewer;
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => waiting.push(entry.path()),
                Ok(meta) => total += meta.len(),
                Err(_) => {}
            }
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(sets: &Sets, name: &str, now_s: i64) {
        let root = sets.root(name);
        fs::create_dir_all(&root).unwrap();
        fs::write(root.join("file"), [0; 1000]).unwrap();
        fs::write(root.join(python::MARKER), "").unwrap();
        sets.made(name, &[], now_s).unwrap();
    }

    #[test]
    fn what_is_used_stays_until_its_pod_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let sets = Sets::new(dir.path().join("sets"));
        let user = User { key: "uid/main".to_owned(), directory: dir.path().join("pod") };
        fs::create_dir_all(&user.directory).unwrap();
        assert!(!sets.take("a", &user, 1).unwrap(), "it is yet to be made");
        make(&sets, "a", 1);
        make(&sets, "b", 2);
        assert!(sets.take("a", &user, 3).unwrap());
        assert_eq!(sets.remove_unused(), ["b"]);
        assert!(sets.root("a").is_dir() && !sets.root("b").exists());
        fs::remove_dir(&user.directory).unwrap();
        assert_eq!(sets.remove_unused(), ["a"]);
        assert!(entries(&dir.path().join("sets")).iter().all(|path| path.ends_with("uses")));
        assert!(entries(&dir.path().join("sets/uses")).is_empty());
    }

    #[test]
    fn those_used_longest_ago_go_first() {
        let dir = tempfile::tempdir().unwrap();
        let sets = Sets::new(dir.path().to_owned());
        let gone = User { key: "uid/main".to_owned(), directory: dir.path().join("none") };
        for (name, now_s) in [("a", 100), ("b", 200), ("c", 300)] {
            make(&sets, name, now_s);
        }
        sets.take("a", &gone, 400).unwrap();
        assert_eq!(sets.keep(2, u64::MAX), ["b"]);
        assert_eq!(sets.keep(9, 1500), ["c"]);
        // Nobody waits for this one any more.
        fs::create_dir_all(sets.root("half")).unwrap();
        assert_eq!(sets.collect(), ["half"]);
        assert_eq!(sets.collect(), Vec::<String>::new());
    }

    #[test]
    fn what_was_left_half_made_goes_at_the_start() {
        let dir = tempfile::tempdir().unwrap();
        let sets = Sets::new(dir.path().to_owned());
        make(&sets, "whole", 1);
        make(&sets, "gone-x", 1);
        fs::create_dir_all(sets.root("half/lib")).unwrap();
        fs::write(dir.path().join("half.json"), "{}").unwrap();
        sets.sweep();
        let mut names: Vec<_> = entries(dir.path()).iter().map(|path| path.file_name().unwrap().to_owned()).collect();
        names.sort();
        assert_eq!(names, ["whole", "whole.json"]);
    }
}
