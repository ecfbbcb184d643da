//! Puts a tree of files into a layer, as a container's root or a part of it.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::Error;
use crate::core::layer::{Content, Entry, Kind, Layer, Owner};

/// Adds everything below `root` to `layer`, at `place` in it (`""` is its top), with owners, modes and times as they
/// are. Sockets, pipes and devices are left out, and so is each path below `root` that `leave_out` says.
///
/// # Errors
/// [`Error::Read`] for what cannot be read, [`Error::Content`] for a path that the layer refuses.
pub fn add_tree(layer: &mut Layer, root: &Path, place: &str, leave_out: &dyn Fn(&Path) -> bool) -> Result<(), Error> {
    let mut waiting = vec![PathBuf::new()];
    while let Some(directory) = waiting.pop() {
        let read = |source| Error::Read { path: root.join(&directory), source };
        for found in fs::read_dir(root.join(&directory)).map_err(read)? {
            let below = directory.join(found.map_err(read)?.file_name());
            if leave_out(&below) {
                continue;
            }
            let Some(entry) = entry(&root.join(&below))? else { continue };
            let is_directory = entry.kind == Kind::Directory;
            let shown = below.to_string_lossy();
            let path = if place.is_empty() { shown.into_owned() } else { format!("{place}/{shown}") };
            layer.add(&path, entry)?;
            if is_directory {
                waiting.push(below);
            }
        }
    }
    Ok(())
}

fn entry(path: &Path) -> Result<Option<Entry>, Error> {
    let read = |source: io::Error| Error::Read { path: path.to_owned(), source };
    let found = fs::symlink_metadata(path).map_err(read)?;
    let kind = if found.is_dir() {
        Kind::Directory
    } else if found.is_symlink() {
        Kind::Symlink(fs::read_link(path).map_err(read)?.to_string_lossy().into_owned())
    } else if found.is_file() {
        Kind::File(Content::Host { path: path.to_owned(), size_bytes: found.len() })
    } else {
        return Ok(None);
    };
    let owner = Owner { user: found.uid(), group: found.gid() };
    let modified_s = u64::try_from(found.mtime()).unwrap_or_default();
    Ok(Some(Entry { kind, mode: found.mode() & 0o7777, owner, modified_s }))
}
