//! Puts mounts where a container wants them, and makes the places where they are not there. Nothing that lies in
//! the container's root leads out of it.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::fs::{Mode, OFlags};

use super::sys;

/// What is to be at a place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Directory,
    File,
}

/// Links that are followed to a place that is not there yet.
const LINKS: usize = 8;

/// A place in a root, which is made where there is none.
///
/// # Errors
/// When it is not there and cannot be made.
pub fn find_or_make(root: BorrowedFd<'_>, path: &str, kind: Kind) -> io::Result<OwnedFd> {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        match sys::locate_in(root, path.as_str()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => return result,
        }
        let (above, name) = split(&path);
        let parent = directories(root, &above)?;
        let made = match kind {
            Kind::Directory => rustix::fs::mkdirat(&parent, name.as_str(), Mode::from_raw_mode(0o755)),
            Kind::File => {
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
                rustix::fs::openat(&parent, name.as_str(), flags, Mode::from_raw_mode(0o644)).map(drop)
            }
        };
        match made {
            // A link to what is not there: that is where it is made.
            Err(rustix::io::Errno::EXIST) => {
                let target = rustix::fs::readlinkat(&parent, name.as_str(), Vec::new())?;
                let target = target.to_string_lossy();
                path = if target.starts_with('/') { target.into_owned() } else { format!("{above}/{target}") };
            }
            Err(error) => return Err(error.into()),
            Ok(()) => {}
        }
    }
    Err(io::Error::from_raw_os_error(libc::ELOOP))
}

/// A directory in a root, with those above it.
fn directories(root: BorrowedFd<'_>, path: &str) -> io::Result<OwnedFd> {
    let mut at = sys::locate_in(root, ".")?;
    let mut so_far = String::new();
    for name in path.split('/').filter(|name| !name.is_empty()) {
        so_far = format!("{so_far}/{name}");
        at = match sys::locate_in(root, so_far.as_str()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                rustix::fs::mkdirat(at.as_fd(), name, Mode::from_raw_mode(0o755))?;
                sys::locate_in(root, so_far.as_str())?
            }
            result => result?,
        };
    }
    Ok(at)
}

/// The path above, and the last name.
fn split(path: &str) -> (String, String) {
    let path = path.trim_end_matches('/');
    match path.rsplit_once('/') {
        Some((above, name)) => (above.to_owned(), name.to_owned()),
        None => (String::new(), path.to_owned()),
    }
}

/// Puts a mount at a path.
///
/// # Errors
/// Names the path.
pub fn mount(root: BorrowedFd<'_>, mount: impl AsFd, path: &str, kind: Kind) -> Result<(), String> {
    find_or_make(root, path, kind)
        .and_then(|place| sys::place(mount, place))
        .map_err(|error| format!("cannot mount at {path:?}: {error}"))
}
