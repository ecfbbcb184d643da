//! Files by name below one root, written whole or not at all.
//!
//! * [`Directory`]: small files of the control plane itself. Names are slash-separated relative paths; a name that would
//!   leave the root is refused.
//! * [`Blobs`]: what users' programs made, of any size, in a directory or in S3, by URI.
//! * [`Archive`]: such objects on their way from one store to another, in one file.

mod archive;
mod key;
mod named;
mod reader;
mod s3;
mod store;
mod tar;
mod tree;
mod unfinished;

pub use archive::{Archive, Entry, Unpacked};
pub use named::Named;
pub use s3::{S3, S3Fault};
pub use store::{Blob, Blobs, Content, Flow, StoreError, Stored};

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Component, Path, PathBuf},
};

/// A name that cannot be used, or a file that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("blob name \"{0}\" leaves its root; use a relative path without \"..\"")]
    Name(String),
    #[error("blob \"{name}\" cannot be {act}")]
    Io {
        name: String,
        act: &'static str,
        #[source]
        source: io::Error,
    },
}

/// A directory of blobs.
#[derive(Clone, Debug)]
pub struct Directory {
    root: PathBuf,
}

impl Directory {
    /// Blobs below `root`, which is made when the first one is written.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where a blob lies.
    ///
    /// # Errors
    /// [`Error::Name`] for an absolute path, an empty one or one with `..`.
    pub fn path(&self, name: &str) -> Result<PathBuf, Error> {
        let inside = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        if name.is_empty() || !inside {
            return Err(Error::Name(name.to_owned()));
        }
        Ok(self.root.join(name))
    }

    /// Writes a blob: to a neighbour first, then synced and renamed over the old one.
    ///
    /// # Errors
    /// [`Error::Name`], or [`Error::Io`] when the file system refuses.
    pub fn put(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        self.write(name, bytes, 0o644)
    }

    /// Writes a blob that only its owner may read.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub fn put_private(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        self.write(name, bytes, 0o600)
    }

    fn write(&self, name: &str, bytes: &[u8], mode: u32) -> Result<(), Error> {
        let path = self.path(name)?;
        write_whole(&path, bytes, mode).map_err(|source| Error::Io { name: name.to_owned(), act: "written", source })
    }

    /// Reads a blob; `None` when there is none.
    ///
    /// # Errors
    /// [`Error::Name`], or [`Error::Io`] when the file system refuses.
    pub fn get(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        match fs::read(self.path(name)?) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Io { name: name.to_owned(), act: "read", source }),
        }
    }
}

fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent)?;
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&partial)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&partial, path)?;
    fs::File::open(parent)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_dots_or_a_root_is_refused() {
        let blobs = Directory::new("/nonexistent");
        for name in ["", "/etc/passwd", "../up", "a/../../b"] {
            assert!(matches!(blobs.path(name), Err(Error::Name(_))), "{name}");
        }
    }
}
