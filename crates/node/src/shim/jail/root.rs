//! Makes a container's root: layers over each other, or a few directories of the host.
//!
//! Works in the mount namespace of the container, in which nothing of the host is left.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use rustix::mount::{MountAttrFlags, MountFlags};

use super::{
    pause::{LAYERS, ROOT},
    place::{self, Kind},
    source::{Lent, Sources},
    sys::{self, Change},
};

/// What an environment may write beside its scratch: directories and links, hardly more.
const SKELETON_SIZE: &str = "16m";
/// Directories of the scratch, and where an environment has them.
pub const SCRATCH: [(&str, &str); 4] =
    [("tmp", "/tmp"), ("var-tmp", "/var/tmp"), ("run", "/run"), ("home", super::HOME)];

/// Makes the root at [`ROOT`]; returns its descriptor.
///
/// # Errors
/// What cannot be mounted.
pub fn make(sources: &mut Sources, hidden: Option<&Path>) -> Result<OwnedFd, String> {
    if sources.layers.is_empty() { environment(sources, hidden) } else { image(sources) }
}

fn image(sources: &mut Sources) -> Result<OwnedFd, String> {
    let failed = |error: io::Error| format!("cannot mount the image's layers over each other: {error}");
    let layers = std::mem::take(&mut sources.layers);
    let names: Vec<String> = (0..layers.len()).map(|number| number.to_string()).collect();
    // Names relative to here are short: all of them must fit into one page.
    rustix::process::chdir(LAYERS).map_err(|error| failed(error.into()))?;
    for (name, layer) in names.iter().zip(&layers) {
        attach(name, layer.as_fd()).map_err(failed)?;
    }
    attach("s", sources.scratch.as_fd()).map_err(failed)?;
    overlay(&names.join(":"), "s/upper", "s/work", ROOT).map_err(failed)?;
    sys::locate(ROOT.as_ref()).map_err(failed)
}

/// Makes a directory here and puts a mount there.
fn attach(name: &str, mount: BorrowedFd<'_>) -> io::Result<()> {
    sys::make_directory(name, 0o755)?;
    sys::place(mount, sys::locate(name.as_ref())?)
}

fn overlay(lower: &str, upper: &str, work: &str, at: &str) -> io::Result<()> {
    let options = format!("userxattr,lowerdir={lower},upperdir={upper},workdir={work}");
    Ok(rustix::mount::mount("overlay", at, "overlay", MountFlags::empty(), &*sys::text(&options)?)?)
}

fn environment(sources: &mut Sources, hidden: Option<&Path>) -> Result<OwnedFd, String> {
    let failed = |error: io::Error| format!("cannot make the environment's root: {error}");
    let options = [("mode", "0755"), ("size", SKELETON_SIZE)];
    let flags = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    let root = sys::file_system("tmpfs", &options, flags).map_err(failed)?;
    sys::locate(ROOT.as_ref()).and_then(|place| sys::place(&root, place)).map_err(failed)?;
    // The parts of the scratch are bound one by one, so that it is itself nowhere to be seen.
    rustix::process::chdir(LAYERS).map_err(|error| failed(error.into()))?;
    attach("s", sources.scratch.as_fd()).map_err(failed)?;
    for (name, path) in SCRATCH {
        let part = sys::locate(format!("s/{name}").as_ref()).and_then(|part| sys::copy_of(part, false));
        place::mount(root.as_fd(), part.map_err(failed)?, path, Kind::Directory)?;
    }
    let mut covers = 0;
    let (mut waits, mut cover_of_hidden) = (hidden, None);
    for (path, lent) in sources.host.drain(..) {
        // What is lent of the hidden directory itself, as an interpreter that is kept in it, comes over its cover.
        if let Some(hidden) = waits.take_if(|hidden| Path::new(&path).starts_with(hidden)) {
            cover_of_hidden = hide(root.as_fd(), hidden)?;
        }
        match lent {
            Lent::Link(target) => {
                let above = root.as_fd();
                rustix::fs::symlinkat(target, above, &path[1..]).map_err(|error| failed(error.into()))?;
            }
            Lent::Mount(waiting) => {
                let kind = if waiting.is_directory { Kind::Directory } else { Kind::File };
                place::mount(root.as_fd(), waiting.mount, &path, kind)?;
            }
            Lent::Covered { lower, directories } => {
                covers += 1;
                let place = place::find_or_make(root.as_fd(), &path, Kind::Directory);
                let covered = place.and_then(|_| cover(lower.as_fd(), covers, &directories, &path));
                covered.map_err(|error| format!("cannot mount {path}: {error}"))?;
            }
        }
    }
    if let Some(hidden) = waits {
        cover_of_hidden = hide(root.as_fd(), hidden)?;
    }
    if let Some(cover) = cover_of_hidden {
        let closed = Change { set: sys::READ_ONLY, ..Change::default() };
        sys::change(cover, closed)
            .map_err(|error| format!("cannot close what hides the server's directory: {error}"))?;
    }
    Ok(root)
}

/// Covers a directory with an empty one, where the root has it: what has been mounted so far shows no more of it.
fn hide(root: BorrowedFd<'_>, path: &Path) -> Result<Option<OwnedFd>, String> {
    let Ok(place) = sys::locate_in(root, path) else { return Ok(None) };
    let options = [("mode", "0755"), ("size", "64k")];
    let empty = sys::file_system("tmpfs", &options, MountAttrFlags::empty());
    let covered = empty.and_then(|empty| sys::place(&empty, place).map(|()| Some(empty)));
    covered.map_err(|error| format!("cannot hide {}: {error}", path.display()))
}

/// Mounts a directory of the host with the container's own over it.
fn cover(lower: BorrowedFd<'_>, number: usize, directories: &[String], path: &str) -> io::Result<()> {
    let (name, own) = (number.to_string(), format!("s/upper/{number}"));
    attach(&name, lower)?;
    let (upper, work) = (format!("{own}/upper"), format!("{own}/work"));
    for directory in [&own, &upper, &work] {
        sys::make_directory(directory, 0o755)?;
    }
    for directory in directories {
        std::fs::create_dir_all(format!("{upper}/{directory}"))?;
    }
    overlay(&name, &upper, &work, &format!("{ROOT}{path}"))
}

/// Takes the right to write from a root; mounts in it keep theirs.
///
/// # Errors
/// When the system refuses.
pub fn close(root: BorrowedFd<'_>) -> Result<(), String> {
    let change = sys::Change { set: sys::READ_ONLY, ..sys::Change::default() };
    sys::change(root, change).map_err(|error| format!("cannot make the root read-only: {error}"))
}
