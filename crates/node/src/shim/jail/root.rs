//! Makes a container's root: layers over each other, or a few directories of the host.
//!
//! Works in the mount namespace of the container, in which nothing of the host is left.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::mount::{MountAttrFlags, MountFlags};

use super::{
    pause::{LAYERS, ROOT},
    place::{self, Kind},
    source::{Lent, Sources},
    sys,
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
pub fn make(sources: &mut Sources) -> Result<OwnedFd, String> {
    if sources.layers.is_empty() { environment(sources) } else { image(sources) }
}

fn image(sources: &mut Sources) -> Result<OwnedFd, String> {
    let failed = |error: io::Error| format!("cannot mount the image's layers over each other: {error}");
    let layers = std::mem::take(&mut sources.layers);
    let names: Vec<String> = (0..layers.len()).map(|number| number.to_string()).collect();
    let attach = |name: &str, mount: &OwnedFd| {
        sys::make_directory(name, 0o755)?;
        sys::place(mount, sys::locate(name.as_ref())?)
    };
    // Names relative to here are short: all of them must fit into one page.
    rustix::process::chdir(LAYERS).map_err(|error| failed(error.into()))?;
    for (name, layer) in names.iter().zip(&layers) {
        attach(name, layer).map_err(failed)?;
    }
    attach("s", &sources.scratch).map_err(failed)?;
    let options = format!("userxattr,lowerdir={},upperdir=s/upper,workdir=s/work", names.join(":"));
    let options = sys::text(&options).map_err(failed)?;
    rustix::mount::mount("overlay", ROOT, "overlay", MountFlags::empty(), &*options)
        .map_err(|error| failed(error.into()))?;
    sys::locate(ROOT.as_ref()).map_err(failed)
}

fn environment(sources: &mut Sources) -> Result<OwnedFd, String> {
    let failed = |error: io::Error| format!("cannot make the environment's root: {error}");
    let options = [("mode", "0755"), ("size", SKELETON_SIZE)];
    let flags = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    let root = sys::file_system("tmpfs", &options, flags).map_err(failed)?;
    sys::locate(ROOT.as_ref()).and_then(|place| sys::place(&root, place)).map_err(failed)?;
    for (path, lent) in sources.host.drain(..) {
        match lent {
            Lent::Link(target) => {
                rustix::fs::symlinkat(target, &root, &path[1..]).map_err(|error| failed(error.into()))?;
            }
            Lent::Mount(waiting) => {
                let kind = if waiting.is_directory { Kind::Directory } else { Kind::File };
                place::mount(root.as_fd(), waiting.mount, &path, kind)?;
            }
        }
    }
    // The places of the scratch are bound one by one, so that it is itself nowhere to be seen.
    rustix::process::chdir(LAYERS).map_err(|error| failed(error.into()))?;
    sys::make_directory("s", 0o755).map_err(failed)?;
    sys::locate("s".as_ref()).and_then(|place| sys::place(&sources.scratch, place)).map_err(failed)?;
    for (name, path) in SCRATCH {
        let part = sys::locate(format!("s/{name}").as_ref()).and_then(|part| sys::copy_of(part, false));
        place::mount(root.as_fd(), part.map_err(failed)?, path, Kind::Directory)?;
    }
    Ok(root)
}

/// Takes the right to write from a root; mounts in it keep theirs.
///
/// # Errors
/// When the system refuses.
pub fn close(root: BorrowedFd<'_>) -> Result<(), String> {
    let change = sys::Change { set: sys::READ_ONLY, ..sys::Change::default() };
    sys::change(root, change).map_err(|error| format!("cannot make the root read-only: {error}"))
}
