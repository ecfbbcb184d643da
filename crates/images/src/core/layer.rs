//! What a layer holds: each path once, parents before children, in one order.

use std::{collections::BTreeMap, path::PathBuf};

use super::Error;

/// The latest time that a file of an image may bear, in seconds since 1970: 2026-01-01T00:00:00Z. What is newer was
/// written while the image was made, and would make every archive differ.
pub const LATEST_MODIFIED_S: u64 = 1_767_225_600;

/// Where the bytes of a file are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    Bytes(Vec<u8>),
    /// A file of the machine that makes the image, which must have this size when it is read.
    Host {
        path: PathBuf,
        size_bytes: u64,
    },
}

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Directory,
    File(Content),
    /// Where the link points, as the image's programs read it.
    Symlink(String),
}

/// User and group, as numbers: an image may have no list of names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    pub user: u32,
    pub group: u32,
}

/// One path of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub kind: Kind,
    /// Permission bits, with set-user-id and its like.
    pub mode: u32,
    pub owner: Owner,
    /// Seconds since 1970; at most [`LATEST_MODIFIED_S`] is written.
    pub modified_s: u64,
}

impl Entry {
    /// A directory of root's that all may enter.
    pub fn directory() -> Self {
        Self { kind: Kind::Directory, mode: 0o755, owner: Owner::default(), modified_s: 0 }
    }

    /// A file of root's.
    pub fn file(content: Content, mode: u32) -> Self {
        Self { kind: Kind::File(content), mode, owner: Owner::default(), modified_s: 0 }
    }

    /// A symbolic link.
    pub fn symlink(target: impl Into<String>) -> Self {
        Self { kind: Kind::Symlink(target.into()), mode: 0o777, owner: Owner::default(), modified_s: 0 }
    }
}

/// The paths of a layer, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layer {
    entries: BTreeMap<String, Entry>,
}

impl Layer {
    /// Adds a path (`usr/bin/env`), and the directories above it that are not there.
    ///
    /// # Errors
    /// [`Error`] when the path is not plain, is there already, or lies below something that is no directory. A
    /// directory may be added again, and then is what was said last.
    pub fn add(&mut self, path: &str, entry: Entry) -> Result<(), Error> {
        let parts: Vec<&str> = path.split('/').collect();
        if parts.iter().any(|part| matches!(*part, "" | "." | "..")) || path.contains('\0') {
            return Err(Error::Path(path.to_owned()));
        }
        for end in 1..parts.len() {
            let parent = parts[..end].join("/");
            let above = self.entries.entry(parent.clone()).or_insert_with(Entry::directory);
            if above.kind != Kind::Directory {
                return Err(Error::BelowFile(path.to_owned(), parent));
            }
        }
        let is_directory = entry.kind == Kind::Directory;
        match self.entries.get(path) {
            Some(present) if !(is_directory && present.kind == Kind::Directory) => Err(Error::Twice(path.to_owned())),
            _ => {
                self.entries.insert(path.to_owned(), entry);
                Ok(())
            }
        }
    }

    /// The paths in the order in which they are written: a directory comes before what is in it.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(path, entry)| (path.as_str(), entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Entry {
        Entry::file(Content::Bytes(b"x".to_vec()), 0o644)
    }

    #[test]
    fn directories_above_are_added_and_come_first() {
        let mut layer = Layer::default();
        layer.add("usr/bin/env", file()).unwrap();
        layer.add("etc/passwd", file()).unwrap();
        layer.add("usr-local", file()).unwrap();
        let paths: Vec<&str> = layer.entries().map(|(path, _)| path).collect();
        assert_eq!(paths, ["etc", "etc/passwd", "usr", "usr-local", "usr/bin", "usr/bin/env"]);
    }

    #[test]
    fn paths_that_are_not_plain_are_refused() {
        for path in ["", "/etc", "a//b", "a/../b", "./a", "a/", "a\0"] {
            assert_eq!(Layer::default().add(path, file()), Err(Error::Path(path.to_owned())), "{path:?}");
        }
    }

    #[test]
    fn a_path_is_held_once_and_lies_in_directories() {
        let mut layer = Layer::default();
        layer.add("a/b", file()).unwrap();
        assert_eq!(layer.add("a/b", file()), Err(Error::Twice("a/b".into())));
        assert_eq!(layer.add("a/b/c", file()), Err(Error::BelowFile("a/b/c".into(), "a/b".into())));
        assert_eq!(layer.add("a", file()), Err(Error::Twice("a".into())));
        layer.add("a", Entry { mode: 0o1777, ..Entry::directory() }).unwrap();
        assert_eq!(layer.entries().next().map(|(_, entry)| entry.mode), Some(0o1777));
    }
}
