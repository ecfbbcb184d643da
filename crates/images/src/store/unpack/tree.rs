//! Writes below one directory and nowhere else.
//!
//! Every name is opened from the directory above it, part by part, and never through a link: whatever an archive says,
//! the kernel is asked for one plain name in a directory that was made here.

use std::{
    fs::File,
    io::{self, Write},
    os::{fd::OwnedFd, unix::fs::FileExt},
};

use rustix::{
    fs::{self, AtFlags, FileType, Gid, Mode, OFlags, RawDir, Timespec, Timestamps, Uid, XattrFlags},
    io::Errno,
};

use super::Error;
use crate::core::member::MemberPath;

/// How a directory is opened: itself, not where a link points.
const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const FILE: OFlags = OFlags::WRONLY.union(OFlags::CREATE).union(OFlags::EXCL).union(OFlags::NOFOLLOW);
/// While a tree is written, its directories are the writer's alone.
const PRIVATE: Mode = Mode::RWXU;

/// A tree that is being written.
pub struct Tree {
    root: OwnedFd,
    /// The directory that was used last, and those above it.
    open: Vec<(Vec<u8>, OwnedFd)>,
}

/// What an entry bears besides its content.
#[derive(Clone, Debug)]
pub struct Bearing {
    pub mode: u32,
    pub user: u32,
    pub group: u32,
    /// Whole seconds since 1970 and nanoseconds.
    pub modified: (i64, u32),
    pub attributes: Vec<(String, Vec<u8>)>,
}

/// What could not be set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missed {
    pub owner: bool,
    pub attributes: Vec<String>,
}

impl Tree {
    /// The tree in a directory, which is empty.
    pub fn new(root: OwnedFd) -> Self {
        Self { root, open: Vec::new() }
    }

    /// Makes a directory, where there is none yet.
    pub fn directory(&mut self, path: &MemberPath) -> Result<(), Error> {
        let Some((parents, name)) = path.split() else { return Ok(()) };
        let parent = self.parent(path, parents)?;
        match fs::mkdirat(parent, name, PRIVATE) {
            Err(Errno::EXIST) if is_directory(parent, name) => Ok(()),
            Err(Errno::EXIST) => {
                self.clear(path)?;
                fs::mkdirat(self.parent(path, parents)?, name, PRIVATE).map_err(|errno| failed(path, errno))
            }
            outcome => outcome.map_err(|errno| failed(path, errno)),
        }
    }

    /// Makes a file that is not there yet, for its content.
    pub fn file(&mut self, path: &MemberPath) -> Result<File, Error> {
        let made =
            self.put(path, |parent, name| fs::openat(parent, name, FILE | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR));
        made.map(File::from)
    }

    /// Makes a symbolic link; where it points is up to whoever reads it.
    pub fn symlink(&mut self, path: &MemberPath, target: &[u8]) -> Result<(), Error> {
        self.put(path, |parent, name| fs::symlinkat(target, parent, name))
    }

    /// Makes a pipe with a name.
    pub fn fifo(&mut self, path: &MemberPath) -> Result<(), Error> {
        self.put(path, |parent, name| fs::mknodat(parent, name, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0))
    }

    /// Makes another name of a file of this tree.
    pub fn hard_link(&mut self, path: &MemberPath, target: &MemberPath) -> Result<(), Error> {
        let fault = || Error::HardLink { path: path.text(), target: target.text() };
        let (parents, old) = target.split().ok_or_else(fault)?;
        let directory = rustix::io::fcntl_dupfd_cloexec(self.parent(target, parents)?, 0);
        let directory = directory.map_err(|errno| failed(path, errno))?;
        // A directory cannot have two names, and one that stands at the path must not be cleared for nothing.
        let found = fs::statat(&directory, old, AtFlags::SYMLINK_NOFOLLOW).map_err(|_| fault())?;
        if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
            return Err(fault());
        }
        if path == target {
            return Ok(());
        }
        self.put(path, |parent, name| fs::linkat(&directory, old, parent, name, AtFlags::empty()))
    }

    /// Sets what a directory bears, once nothing more is written into it.
    pub fn finish_directory(&mut self, path: &MemberPath, bearing: &Bearing, is_root: bool) -> Result<Missed, Error> {
        let opened = match path.split() {
            None => rustix::io::fcntl_dupfd_cloexec(&self.root, 0),
            Some((parents, name)) => fs::openat(self.parent(path, parents)?, name, DIRECTORY, Mode::empty()),
        };
        let directory = File::from(opened.map_err(|errno| failed(path, errno))?);
        finish(path, &directory, bearing, is_root)
    }

    /// Sets what a link bears: its owner and time.
    pub fn finish_link(&mut self, path: &MemberPath, bearing: &Bearing, is_root: bool) -> Result<Missed, Error> {
        let Some((parents, name)) = path.split() else { return Ok(Missed::default()) };
        let parent = self.parent(path, parents)?;
        let owner = (Some(Uid::from_raw(bearing.user)), Some(Gid::from_raw(bearing.group)));
        let owned = is_roots(bearing)
            || is_root && fs::chownat(parent, name, owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW).is_ok();
        let times = times(bearing);
        fs::utimensat(parent, name, &times, AtFlags::SYMLINK_NOFOLLOW).map_err(|errno| failed(path, errno))?;
        Ok(Missed { owner: !owned, attributes: Vec::new() })
    }

    /// Sets the mode of a pipe, which cannot be opened without a reader.
    pub fn finish_fifo(&mut self, path: &MemberPath, bearing: &Bearing, is_root: bool) -> Result<Missed, Error> {
        let missed = self.finish_link(path, bearing, is_root)?;
        let Some((parents, name)) = path.split() else { return Ok(missed) };
        let parent = self.parent(path, parents)?;
        // The name was made a moment ago as a pipe, so no link is followed.
        let mode = Mode::from_raw_mode(bearing.mode);
        fs::chmodat(parent, name, mode, AtFlags::empty()).map_err(|errno| failed(path, errno))?;
        Ok(missed)
    }

    /// What stands at a path: nothing, a directory or something else. Never where a link points.
    pub fn kind(&mut self, path: &MemberPath) -> Result<Option<FileType>, Error> {
        let Some((parents, name)) = path.split() else { return Ok(Some(FileType::Directory)) };
        let parent = self.parent(path, parents)?;
        match fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => Ok(Some(FileType::from_raw_mode(found.st_mode))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(failed(path, errno)),
        }
    }

    /// Marks a path as removed, as overlayfs does; whether that was allowed.
    pub fn mark_removed(&mut self, path: &MemberPath) -> Result<bool, Error> {
        let Some((parents, name)) = path.split() else { return Ok(false) };
        let parent = self.parent(path, parents)?;
        // A device of number 0:0 is no device: ordinary users may make it, from Linux 5.8 on.
        match fs::mknodat(parent, name, FileType::CharacterDevice, Mode::empty(), 0) {
            Ok(()) => Ok(true),
            Err(Errno::PERM | Errno::ACCESS | Errno::INVAL | Errno::NOTSUP) => Ok(false),
            Err(errno) => Err(failed(path, errno)),
        }
    }

    /// Marks a directory as one that hides lower ones, as overlayfs with `userxattr` does; whether that was allowed.
    pub fn mark_opaque(&mut self, path: &MemberPath) -> Result<bool, Error> {
        let directory = match path.split() {
            None => rustix::io::fcntl_dupfd_cloexec(&self.root, 0),
            Some((parents, name)) => fs::openat(self.parent(path, parents)?, name, DIRECTORY, Mode::empty()),
        };
        let directory = directory.map_err(|errno| failed(path, errno))?;
        match fs::fsetxattr(&directory, "user.overlay.opaque", b"y", XattrFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::PERM | Errno::ACCESS | Errno::NOTSUP) => Ok(false),
            Err(errno) => Err(failed(path, errno)),
        }
    }

    /// Makes something at a path, and first removes what stands there: of two entries of one path the later counts.
    fn put<T>(&mut self, path: &MemberPath, make: impl Fn(&OwnedFd, &[u8]) -> Result<T, Errno>) -> Result<T, Error> {
        let Some((parents, name)) = path.split() else { return Err(failed(path, Errno::ISDIR)) };
        match make(self.parent(path, parents)?, name) {
            Err(Errno::EXIST) => {
                self.clear(path)?;
                make(self.parent(path, parents)?, name).map_err(|errno| failed(path, errno))
            }
            outcome => outcome.map_err(|errno| failed(path, errno)),
        }
    }

    fn clear(&mut self, path: &MemberPath) -> Result<(), Error> {
        let Some((parents, name)) = path.split() else { return Ok(()) };
        // What is removed may be a directory that is open here.
        self.open.clear();
        remove(self.parent(path, parents)?, name).map_err(|errno| failed(path, errno))
    }

    /// The directory of these parts, made where it is not there, since archives may leave directories out.
    fn parent(&mut self, path: &MemberPath, parents: &[Vec<u8>]) -> Result<&OwnedFd, Error> {
        let shared = self.open.iter().zip(parents).take_while(|((open, _), part)| open == *part).count();
        self.open.truncate(shared);
        for (depth, part) in parents.iter().enumerate().skip(shared) {
            let above = self.open.last().map_or(&self.root, |(_, directory)| directory);
            let mut opened = fs::openat(above, part.as_slice(), DIRECTORY, Mode::empty());
            if matches!(opened, Err(Errno::NOENT)) {
                fs::mkdirat(above, part.as_slice(), PRIVATE).map_err(|errno| failed(path, errno))?;
                opened = fs::openat(above, part.as_slice(), DIRECTORY, Mode::empty());
                // Nothing is said of it, so it is as others make it, whatever the mask of this process.
                if let Ok(made) = &opened {
                    fs::fchmod(made, Mode::from_raw_mode(0o755)).map_err(|errno| failed(path, errno))?;
                }
            }
            let directory = match opened {
                Ok(directory) => directory,
                Err(Errno::NOTDIR | Errno::LOOP) => {
                    let above = String::from_utf8_lossy(&parents[..=depth].join(&b'/')).into_owned();
                    return Err(Error::Below { path: path.text(), above });
                }
                Err(errno) => return Err(failed(path, errno)),
            };
            self.open.push((part.clone(), directory));
        }
        Ok(self.open.last().map_or(&self.root, |(_, directory)| directory))
    }
}

/// Sets what a file or a directory bears. The owner comes before the mode, since a new owner clears bits of it.
pub fn finish(path: &MemberPath, file: &File, bearing: &Bearing, is_root: bool) -> Result<Missed, Error> {
    let owner = (Some(Uid::from_raw(bearing.user)), Some(Gid::from_raw(bearing.group)));
    let owned = is_roots(bearing) || is_root && fs::fchown(file, owner.0, owner.1).is_ok();
    fs::fchmod(file, Mode::from_raw_mode(bearing.mode)).map_err(|errno| failed(path, errno))?;
    let mut attributes = Vec::new();
    for (name, value) in &bearing.attributes {
        if fs::fsetxattr(file, name.as_str(), value, XattrFlags::empty()).is_err() {
            attributes.push(name.clone());
        }
    }
    fs::futimens(file, &times(bearing)).map_err(|errno| failed(path, errno))?;
    Ok(Missed { owner: !owned, attributes })
}

/// What is made here is the writer's, and stands for root's in an image.
fn is_roots(bearing: &Bearing) -> bool {
    bearing.user == 0 && bearing.group == 0
}

fn times(bearing: &Bearing) -> Timestamps {
    let time = Timespec { tv_sec: bearing.modified.0, tv_nsec: bearing.modified.1.into() };
    Timestamps { last_access: time, last_modification: time }
}

fn is_directory(parent: &OwnedFd, name: &[u8]) -> bool {
    let found = fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW);
    found.is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Directory)
}

/// Removes a name and, when it is a directory, everything in it. Links are removed, not followed.
pub fn remove(parent: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
    match fs::unlinkat(parent, name, AtFlags::empty()) {
        Err(Errno::ISDIR | Errno::PERM) if is_directory(parent, name) => {}
        outcome => return outcome,
    }
    // A directory of an image may forbid its own owner to look into it.
    let _ = fs::chmodat(parent, name, PRIVATE, AtFlags::empty());
    let directory = fs::openat(parent, name, DIRECTORY, Mode::empty())?;
    let mut buffer = Vec::with_capacity(32 << 10);
    loop {
        let mut names = Vec::new();
        let mut entries = RawDir::new(&directory, buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let found = entry.file_name().to_bytes();
            if found != b"." && found != b".." {
                names.push(found.to_vec());
            }
        }
        if names.is_empty() {
            break;
        }
        names.iter().try_for_each(|name| remove(&directory, name))?;
        fs::seek(&directory, fs::SeekFrom::Start(0))?;
    }
    fs::unlinkat(parent, name, AtFlags::REMOVEDIR)
}

/// Writes pieces of a file one after the other, or where a map of holes puts them.
pub struct Content<'a> {
    file: &'a mut File,
    /// Where pieces go: end of each extent in the data, and how far its place lies from that.
    places: Vec<(u64, u64)>,
    written: u64,
}

impl<'a> Content<'a> {
    pub fn new(file: &'a mut File, extents: &[crate::core::pax::Extent]) -> Self {
        let mut data = 0;
        let places = extents.iter().map(|extent| {
            let shift = extent.offset.saturating_sub(data);
            data += extent.length;
            (data, shift)
        });
        let places = places.collect();
        Self { file, places, written: 0 }
    }

    pub fn write(&mut self, mut piece: &[u8]) -> io::Result<()> {
        if self.places.is_empty() {
            return self.file.write_all(piece);
        }
        while let Some((end, shift)) = self.places.iter().find(|(end, _)| *end > self.written) {
            let length = usize::try_from(end - self.written).unwrap_or(usize::MAX).min(piece.len());
            if length == 0 {
                break;
            }
            self.file.write_all_at(&piece[..length], self.written + shift)?;
            self.written += length as u64;
            piece = &piece[length..];
        }
        Ok(())
    }
}

fn failed(path: &MemberPath, errno: Errno) -> Error {
    Error::Write { path: path.text(), source: errno.into() }
}
