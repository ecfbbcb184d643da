//! The images of a data directory: names, manifests, configurations and unpacked layers.
//!
//! ```text
//! names/<digest of the name>.json    what a name stands for
//! blobs/sha256/<hex>                 manifests and configurations
//! layers/<hex>/tree, layer.json      layers, named by the digest of their tar files
//! partial/<hex>-<hex>                a download, which another attempt goes on with
//! staging/<hex>/                     a layer that is being unpacked
//! uses/<digest of a key>.json        who runs from an image
//! lock, locks/<hex>                  who works on the whole, and on one layer or name
//! ```
//!
//! What has its name is whole: everything is written elsewhere and moved. It fetches nothing and decides nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::{fd::OwnedFd, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use serde::{Serialize, de::DeserializeOwned};

use super::unpack::{self, Packed};
use crate::core::{
    collect::{Plan, Stored},
    digest::Digest,
    limits::Limits,
    record::{LayerRecord, NameRecord, VERSION},
};

/// Why the store cannot do something.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("\"{path}\" cannot be {act}")]
    File { act: &'static str, path: PathBuf, source: io::Error },
    #[error("\"{path}\" is not what a store writes; remove it, and pull the image again")]
    Record { path: PathBuf, source: serde_json::Error },
    #[error("\"{path}\" was written by a later version ({found}) of this program; use that one")]
    Version { path: PathBuf, found: u32 },
    #[error("layer {diff_id}")]
    Unpack { diff_id: Digest, source: unpack::Error },
}

/// The store of a data directory.
#[derive(Clone, Debug)]
pub struct Store {
    pub(super) root: PathBuf,
}

/// Held while something is worked on; other processes wait.
#[derive(Debug)]
pub struct Guard {
    file: File,
}

impl Drop for Guard {
    fn drop(&mut self) {
        // A lock is the open file's, and a program that is being started has a copy of that until it is another
        // program: closing ours alone would leave the lock standing for so long.
        if let Err(errno) = flock(&self.file, FlockOperation::Unlock) {
            tracing::debug!(%errno, "a lock of the store ends with its file only");
        }
    }
}

/// Who may work beside whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Adds; others may add too.
    Add,
    /// Removes; nobody else may work.
    Remove,
}

/// Folders of a store.
const FOLDERS: [&str; 7] = ["names", "blobs/sha256", "layers", "partial", "staging", "locks", "uses"];

impl Store {
    /// The store in a directory, which is made when it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let store = Self { root: root.to_owned() };
        for folder in FOLDERS {
            let path = root.join(folder);
            fs::create_dir_all(&path).map_err(|source| StoreError::File { act: "made", path, source })?;
        }
        // A layer may hold programs that run as whom they belong to: nobody else of this machine may reach them.
        fs::set_permissions(root, fs::Permissions::from_mode(0o700)).map_err(|source| StoreError::File {
            act: "made private",
            path: root.to_owned(),
            source,
        })?;
        Ok(store)
    }

    /// Waits until the work may be done, and keeps others from what would disturb it.
    ///
    /// # Errors
    /// When the lock's file cannot be had.
    pub fn lock(&self, work: Work) -> Result<Guard, StoreError> {
        let operation = match work {
            Work::Add => FlockOperation::LockShared,
            Work::Remove => FlockOperation::LockExclusive,
        };
        locked(&self.root.join("lock"), operation).and_then(waited)
    }

    /// As [`Self::lock`], but does not wait; `None` when somebody else works.
    ///
    /// # Errors
    /// When the lock's file cannot be had.
    pub fn try_lock(&self, work: Work) -> Result<Option<Guard>, StoreError> {
        let operation = match work {
            Work::Add => FlockOperation::NonBlockingLockShared,
            Work::Remove => FlockOperation::NonBlockingLockExclusive,
        };
        locked(&self.root.join("lock"), operation)
    }

    /// Waits until no one else works on a layer.
    ///
    /// # Errors
    /// When the lock's file cannot be had.
    pub fn lock_layer(&self, diff_id: &Digest) -> Result<Guard, StoreError> {
        locked(&self.root.join("locks").join(diff_id.hex()), FlockOperation::LockExclusive).and_then(waited)
    }

    /// As [`Self::lock_layer`], but does not wait; `None` when somebody else works on it.
    ///
    /// # Errors
    /// When the lock's file cannot be had.
    pub fn try_lock_layer(&self, diff_id: &Digest) -> Result<Option<Guard>, StoreError> {
        locked(&self.root.join("locks").join(diff_id.hex()), FlockOperation::NonBlockingLockExclusive)
    }

    /// Held for as long as a record is read and written again.
    pub(super) fn lock_name(&self, name: &str) -> Result<Guard, StoreError> {
        let file = format!("name-{}", Digest::of(name.as_bytes()).hex());
        locked(&self.root.join("locks").join(file), FlockOperation::LockExclusive).and_then(waited)
    }

    /// Whether a layer is there, whole.
    pub fn has_layer(&self, diff_id: &Digest) -> bool {
        self.layer(diff_id).join("layer.json").is_file()
    }

    /// Where the files of a layer are.
    pub fn layer_tree(&self, diff_id: &Digest) -> PathBuf {
        self.layer(diff_id).join("tree")
    }

    /// What is known of a layer.
    ///
    /// # Errors
    /// When it is not there or not to be read.
    pub fn layer_record(&self, diff_id: &Digest) -> Result<LayerRecord, StoreError> {
        let path = self.layer(diff_id).join("layer.json");
        let record: LayerRecord = read_record(&path)?;
        check_version(&path, record.version)?;
        Ok(record)
    }

    /// Unpacks a layer whose bytes were checked, and gives it its name once it is whole and on disk. The caller holds
    /// the layer's lock.
    ///
    /// # Errors
    /// [`StoreError::Unpack`] for what is wrong with the layer; nothing of it stays.
    pub fn add_layer(&self, input: impl Read + Send, packed: Packed<'_>, limits: &Limits) -> Result<(), StoreError> {
        let staging = self.root.join("staging").join(packed.diff_id.hex());
        remove_tree(&staging)?;
        let outcome = self.unpack(input, packed, limits, &staging);
        if outcome.is_err() {
            remove_tree(&staging)?;
        }
        outcome
    }

    fn unpack(
        &self,
        input: impl Read + Send,
        packed: Packed<'_>,
        limits: &Limits,
        staging: &Path,
    ) -> Result<(), StoreError> {
        let file = |act: &'static str, path: &Path| {
            let path = path.to_owned();
            move |source| StoreError::File { act, path, source }
        };
        let tree = staging.join("tree");
        fs::create_dir_all(&tree).map_err(file("made", &tree))?;
        let root = open_directory(&tree).map_err(file("opened", &tree))?;
        let record = unpack::unpack(input, packed, root, limits)
            .map_err(|source| StoreError::Unpack { diff_id: packed.diff_id.clone(), source })?;
        let path = staging.join("layer.json");
        let text = to_json(&path, &record)?;
        fs::write(&path, text).map_err(file("written", &path))?;
        // Files that were not yet written to the disk would be empty after a loss of power.
        let opened = open_directory(staging).map_err(file("opened", staging))?;
        rustix::fs::syncfs(&opened).map_err(|errno| file("written", staging)(errno.into()))?;
        let layer = self.layer(packed.diff_id);
        remove_tree(&layer)?;
        fs::rename(staging, &layer).map_err(file("moved to its place", &layer))
    }

    /// Keeps a manifest or a configuration.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add_blob(&self, digest: &Digest, bytes: &[u8]) -> Result<(), StoreError> {
        self.write_whole(&self.blob(digest), bytes)
    }

    /// A manifest or a configuration.
    ///
    /// # Errors
    /// When it is not there or not to be read.
    pub fn read_blob(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        let path = self.blob(digest);
        fs::read(&path).map_err(|source| StoreError::File { act: "read", path, source })
    }

    /// Gives a name to an image that is there.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add_name(&self, record: &NameRecord) -> Result<(), StoreError> {
        let _guard = self.lock_name(&record.name)?;
        self.put_name(record)
    }

    pub(super) fn put_name(&self, record: &NameRecord) -> Result<(), StoreError> {
        let path = self.name(&record.name);
        let text = to_json(&path, record)?;
        self.write_whole(&path, &text)
    }

    /// What a name stands for.
    ///
    /// # Errors
    /// When its record cannot be read.
    pub fn find_name(&self, name: &str) -> Result<Option<NameRecord>, StoreError> {
        let path = self.name(name);
        if !path.exists() { Ok(None) } else { self.read_name(&path).map(Some) }
    }

    /// All names, sorted.
    ///
    /// # Errors
    /// When a record cannot be read.
    pub fn names(&self) -> Result<Vec<NameRecord>, StoreError> {
        let mut names = Vec::new();
        for path in self.entries("names")?.into_iter().filter(|path| path.extension().is_some_and(|one| one == "json"))
        {
            names.push(self.read_name(&path)?);
        }
        names.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(names)
    }

    /// Whether an image and all of its layers are there.
    pub fn is_whole(&self, record: &NameRecord) -> bool {
        let blobs = [&record.manifest, &record.config];
        blobs.iter().all(|digest| self.blob(digest).is_file()) && record.layers.iter().all(|id| self.has_layer(id))
    }

    /// Everything that is there, for a decision on what goes.
    ///
    /// # Errors
    /// When a record cannot be read.
    pub fn stored(&self) -> Result<Stored, StoreError> {
        let mut layers = BTreeMap::new();
        for digest in digests(&self.entries("layers")?) {
            // A layer without its record is not whole, and its size does not matter to what else may stay.
            let size_bytes = if self.has_layer(&digest) { self.layer_record(&digest)?.size_bytes } else { 0 };
            layers.insert(digest, size_bytes);
        }
        let blobs: BTreeSet<Digest> = digests(&self.entries("blobs/sha256")?).collect();
        Ok(Stored { names: self.names()?, layers, blobs, uses: self.uses()? })
    }

    /// Removes what a plan says, names first, and everything that was left half done. The caller holds the lock for
    /// removing.
    ///
    /// # Errors
    /// When something cannot be removed; the rest is still there.
    pub fn remove(&self, plan: &Plan) -> Result<(), StoreError> {
        for name in &plan.names {
            self.remove_file(&self.name(name))?;
        }
        for layer in &plan.layers {
            // Out of its place first, so that half a layer never has its name.
            let staging = self.root.join("staging").join(layer.hex());
            remove_tree(&staging)?;
            let path = self.layer(layer);
            fs::rename(&path, &staging).map_err(|source| StoreError::File { act: "moved", path, source })?;
        }
        for blob in &plan.blobs {
            self.remove_file(&self.blob(blob))?;
        }
        for folder in ["staging", "partial", "locks"] {
            for path in self.entries(folder)? {
                remove_tree(&path)?;
            }
        }
        Ok(())
    }

    /// Where the download of a blob lies until it is whole.
    pub fn partial(&self, blob: &Digest, diff_id: &Digest) -> PathBuf {
        // Who holds the lock of the layer is then the only one who writes it.
        self.root.join("partial").join(format!("{}-{}", blob.hex(), &diff_id.hex()[..16]))
    }

    /// A new file for an archive that comes as a stream; it has no name and goes with the last who has it open.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn unnamed_file(&self) -> Result<File, StoreError> {
        let path = self.root.join("partial");
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
        let file = rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR);
        file.map(File::from).map_err(|errno| StoreError::File { act: "written to", path, source: errno.into() })
    }

    /// Removes a file that may not be there.
    ///
    /// # Errors
    /// When it is there and cannot be removed.
    pub fn remove_file(&self, path: &Path) -> Result<(), StoreError> {
        match fs::remove_file(path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(StoreError::File { act: "removed", path: path.to_owned(), source })
            }
            _ => Ok(()),
        }
    }

    /// Writes a file elsewhere and moves it to its place once it is on disk.
    pub(super) fn write_whole(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        self.write_beside(path, bytes, File::sync_all)
    }

    /// The same without the wait: others see all of it or nothing, but a power cut may leave an empty file.
    pub(super) fn write_soon(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        self.write_beside(path, bytes, |_| Ok(()))
    }

    fn write_beside(
        &self,
        path: &Path,
        bytes: &[u8],
        settle: impl FnOnce(&File) -> io::Result<()>,
    ) -> Result<(), StoreError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let failed = |source| StoreError::File { act: "written", path: path.to_owned(), source };
        let own = format!("{}-{}.new", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let beside = self.root.join("partial").join(own);
        let mut file = File::create(&beside).map_err(failed)?;
        file.write_all(bytes).and_then(|()| settle(&file)).map_err(failed)?;
        fs::rename(&beside, path).map_err(failed)
    }

    fn read_name(&self, path: &Path) -> Result<NameRecord, StoreError> {
        let record: NameRecord = read_record(path)?;
        check_version(path, record.version)?;
        Ok(record)
    }

    pub(super) fn entries(&self, folder: &str) -> Result<Vec<PathBuf>, StoreError> {
        let path = self.root.join(folder);
        let read = |source| StoreError::File { act: "read", path: path.clone(), source };
        let entries = fs::read_dir(&path).map_err(read)?;
        entries.map(|entry| entry.map(|entry| entry.path()).map_err(read)).collect()
    }

    fn name(&self, name: &str) -> PathBuf {
        self.root.join("names").join(format!("{}.json", Digest::of(name.as_bytes()).hex()))
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs/sha256").join(digest.hex())
    }

    fn layer(&self, diff_id: &Digest) -> PathBuf {
        self.root.join("layers").join(diff_id.hex())
    }
}

/// Removes a tree of an image, whose directories may forbid their owner to look into them. Links are not followed.
///
/// # Errors
/// When something of it cannot be removed.
pub fn remove_tree(path: &Path) -> Result<(), StoreError> {
    let failed = |source| StoreError::File { act: "removed", path: path.to_owned(), source };
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
    if fs::symlink_metadata(path).is_err() {
        return Ok(());
    }
    let parent = open_directory(parent).map_err(failed)?;
    unpack::remove(&parent, name.as_encoded_bytes()).map_err(|errno| failed(errno.into()))
}

fn digests(paths: &[PathBuf]) -> impl Iterator<Item = Digest> {
    let names = paths.iter().filter_map(|path| path.file_name()?.to_str());
    names.filter_map(|name| format!("sha256:{name}").parse().ok())
}

fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// `None` when the operation does not wait and somebody else has the lock.
fn locked(path: &Path, operation: FlockOperation) -> Result<Option<Guard>, StoreError> {
    let failed = |source| StoreError::File { act: "locked", path: path.to_owned(), source };
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path).map_err(failed)?;
    loop {
        match flock(&file, operation) {
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            outcome => {
                outcome.map_err(|errno| failed(errno.into()))?;
                return Ok(Some(Guard { file }));
            }
        }
    }
}

/// The lock that was waited for.
fn waited(guard: Option<Guard>) -> Result<Guard, StoreError> {
    guard.ok_or_else(|| StoreError::File {
        act: "locked",
        path: PathBuf::from("lock"),
        source: io::ErrorKind::WouldBlock.into(),
    })
}

pub(super) fn check_version(path: &Path, found: u32) -> Result<(), StoreError> {
    if found > VERSION { Err(StoreError::Version { path: path.to_owned(), found }) } else { Ok(()) }
}

pub(super) fn read_record<T: DeserializeOwned>(path: &Path) -> Result<T, StoreError> {
    let bytes = fs::read(path).map_err(|source| StoreError::File { act: "read", path: path.to_owned(), source })?;
    serde_json::from_slice(&bytes).map_err(|source| StoreError::Record { path: path.to_owned(), source })
}

pub(super) fn to_json(path: &Path, record: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(record).map_err(|source| StoreError::Record { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_ends_with_its_guard_although_a_program_that_is_being_started_has_a_copy_of_its_file() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        let guard = store.lock(Work::Add).unwrap();
        let copy = guard.file.try_clone().unwrap();
        assert!(store.try_lock(Work::Remove).unwrap().is_none());
        drop(guard);
        assert!(store.try_lock(Work::Remove).unwrap().is_some());
        drop(copy);
    }
}
