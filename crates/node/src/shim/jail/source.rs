//! Opens what is mounted into a container, before the container's own view of files begins: layers, volumes,
//! devices, directories of the host. What is open here is a mount that stands nowhere yet.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::Path,
};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};

use super::{
    Ids,
    sys::{self, Change},
};
use crate::{
    runtime::{HostPath, Mount, Root},
    shim::{child::Streams, protocol::Jail},
};

/// A mount that waits for its place.
pub struct Waiting {
    pub mount: OwnedFd,
    pub is_directory: bool,
}

/// Everything that a container is made of.
pub struct Sources {
    /// The layers of an image, top first.
    pub layers: Vec<OwnedFd>,
    /// What the container writes beside volumes.
    pub scratch: OwnedFd,
    /// What the host lends to an environment: the path, and what stands there.
    pub host: Vec<(String, Lent)>,
    /// The volumes in the order of the jail's mounts; `None` for one in memory.
    pub volumes: Vec<Option<Waiting>>,
    /// Device files, by their paths.
    pub devices: Vec<(String, Waiting)>,
}

/// What stands at a path of an environment.
pub enum Lent {
    Link(String),
    Mount(Waiting),
    /// A directory over which the container's own changes lie. The paths are directories that it must have.
    Covered {
        lower: OwnedFd,
        directories: Vec<String>,
    },
}

/// Directories of the host that every environment has, where the host has them.
const HOST: [&str; 12] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/opt",
    "/etc",
    "/nix",
    "/gnu",
    "/run/current-system",
];
/// Device files that every container has.
const DEVICES: [&str; 6] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"];

impl Sources {
    /// Opens them; `ids` is the user namespace that files' ids are shifted by, where they are.
    ///
    /// # Errors
    /// Names what cannot be opened.
    pub fn open(jail: &Jail, ids: Option<BorrowedFd<'_>>) -> Result<Self, String> {
        let named = |path: &Path, error: io::Error| format!("cannot mount {}: {error}", path.display());
        let (mut layers, mut host) = (Vec::new(), Vec::new());
        match &jail.root {
            Root::Bare => return Err("a process of the host has no root of its own".to_owned()),
            Root::Image { layers: paths } => {
                for path in paths {
                    let layer = sys::locate(path).and_then(|place| shifted(place, ids, false));
                    layers.push(layer.map_err(|error| named(path, error))?);
                }
            }
            Root::Environment { paths } => lend(jail, paths, ids, &mut host)?,
        }
        let scratch = sys::locate(&jail.scratch).and_then(|place| shifted(place, ids, false));
        let scratch = scratch.map_err(|error| named(&jail.scratch, error))?;
        let mut volumes = Vec::new();
        for mount in &jail.mounts {
            let volume = if mount.tmpfs.is_some() { None } else { Some(volume(mount, ids)?) };
            volumes.push(volume);
        }
        let mut devices = Vec::new();
        for path in DEVICES.into_iter().map(Path::new).chain(jail.devices.iter().map(AsRef::as_ref)) {
            let device = sys::locate(path).and_then(|place| waiting(place, None, 0));
            devices.push((path.display().to_string(), device.map_err(|error| named(path, error))?));
        }
        Ok(Self { layers, scratch, host, volumes, devices })
    }
}

/// The terminal of a container as `/dev/console`, where other runtimes have it too; `None` where it has none. As owner of
/// it, the pod's root can open it there.
///
/// # Errors
/// When it cannot be opened.
pub fn console(streams: &Streams, ids: &Ids) -> Result<Option<(String, Waiting)>, String> {
    let Streams::Terminal(end) = streams else { return Ok(None) };
    if let Ids::Shifted(first) = ids {
        // The group of terminals, as in the pod's own file system of them.
        let owner = (rustix::process::Uid::from_raw(*first), rustix::process::Gid::from_raw(*first + 5));
        rustix::fs::fchown(end, Some(owner.0), Some(owner.1))
            .map_err(|error| format!("cannot give the terminal: {error}"))?;
    }
    let opened = rustix::fs::readlink(format!("/proc/self/fd/{}", end.as_raw_fd()), Vec::new())
        .map_err(io::Error::from)
        .and_then(|path| sys::locate(Path::new(&*path.to_string_lossy())))
        .and_then(|place| waiting(place, None, 0));
    Ok(Some(("/dev/console".to_owned(), opened.map_err(|error| format!("cannot mount the terminal: {error}"))?)))
}

fn lend(
    jail: &Jail,
    paths: &[HostPath],
    ids: Option<BorrowedFd<'_>>,
    host: &mut Vec<(String, Lent)>,
) -> Result<(), String> {
    for path in HOST {
        if let Ok(target) = rustix::fs::readlink(path, Vec::new()) {
            host.push((path.to_owned(), Lent::Link(target.to_string_lossy().into_owned())));
        } else if let Ok(place) = sys::locate(path.as_ref()) {
            let failed = |error| format!("cannot mount {path}: {error}");
            let directories = missing_below(jail, path);
            // Not shifted: of the host's own files a pod sees what anybody may see.
            let lent = if directories.is_empty() {
                Lent::Mount(waiting(place, None, sys::READ_ONLY).map_err(failed)?)
            } else {
                Lent::Covered { lower: shifted(place, None, true).map_err(failed)?, directories }
            };
            host.push((path.to_owned(), lent));
        }
    }
    for HostPath { path, read_only, private } in paths {
        let set = if *read_only { sys::READ_ONLY } else { 0 };
        let lent = sys::locate(path).and_then(|place| {
            if *private {
                let directories = Vec::new();
                return Ok(Lent::Covered { lower: shifted(place, ids, true)?, directories });
            }
            waiting(place, ids, set).map(Lent::Mount)
        });
        let lent = lent.map_err(|error| format!("cannot mount {}: {error}", path.display()))?;
        host.push((path.display().to_string(), lent));
    }
    // Those above before those below.
    host.sort_by_key(|(path, _)| path.matches('/').count());
    Ok(())
}

/// Directories below a directory of the host that volumes are mounted in, and that are not there.
fn missing_below(jail: &Jail, path: &str) -> Vec<String> {
    let inside = jail.mounts.iter().filter_map(|mount| {
        let rest = mount.target.strip_prefix(path)?.strip_prefix('/')?;
        let plain = !rest.split('/').any(|name| matches!(name, "" | "." | ".."));
        (plain && !Path::new(&mount.target).exists()).then(|| {
            // A file's place is made later, in a directory that is the container's own.
            let is_file = mount.source.is_file() && mount.sub_path.is_empty();
            let directory = if is_file { rest.rsplit_once('/').map_or("", |(above, _)| above) } else { rest };
            directory.to_owned()
        })
    });
    inside.collect()
}

fn volume(mount: &Mount, ids: Option<BorrowedFd<'_>>) -> Result<Waiting, String> {
    let part = beneath(&mount.source, &mount.sub_path)?;
    let set = if mount.read_only { sys::READ_ONLY } else { 0 };
    waiting(part, ids, set).map_err(|error| format!("cannot mount {}: {error}", mount.source.display()))
}

/// A part of a volume in memory.
///
/// # Errors
/// When it cannot be opened.
pub fn in_memory(root: &Path, mount: &Mount) -> Result<Waiting, String> {
    let place = beneath(root, &mount.sub_path)?;
    let set = if mount.read_only { sys::READ_ONLY } else { 0 };
    waiting(place, None, set).map_err(|error| format!("cannot mount {}: {error}", mount.target))
}

/// A part of a directory; made where it is not there. No link leads out of the directory, whoever puts it there
/// meanwhile.
///
/// # Errors
/// When it would lead out, or cannot be made.
pub fn beneath(root: &Path, part: &str) -> Result<OwnedFd, String> {
    let mut at = sys::locate(root).map_err(|error| format!("cannot open {}: {error}", root.display()))?;
    if part.is_empty() {
        return Ok(at);
    }
    let names: Vec<&str> = part.split('/').filter(|name| !matches!(*name, "" | ".")).collect();
    if part.starts_with('/') || names.contains(&"..") {
        return Err(format!("subPath {part:?} leaves the volume"));
    }
    let whole = sys::locate(root).map_err(|error| error.to_string())?;
    let mode = rustix::fs::fstat(&whole).map_or(0o755, |stat| stat.st_mode & 0o7777);
    for end in 1..=names.len() {
        let path = names[..end].join("/");
        at = match step(&whole, &path) {
            Err(rustix::io::Errno::NOENT) => {
                match rustix::fs::mkdirat(&at, names[end - 1], Mode::from_raw_mode(mode)) {
                    Err(error) if error != rustix::io::Errno::EXIST => {
                        return Err(format!("cannot make subPath {part:?}: {error}"));
                    }
                    Err(_) => {}
                    // As the volume itself, whatever this process's umask leaves out: a kubelet does so too.
                    Ok(()) => rustix::fs::chmodat(&at, names[end - 1], Mode::from_raw_mode(mode), AtFlags::empty())
                        .map_err(|error| format!("cannot make subPath {part:?}: {error}"))?,
                }
                step(&whole, &path)
            }
            other => other,
        }
        .map_err(|error| match error {
            rustix::io::Errno::XDEV | rustix::io::Errno::LOOP => format!("subPath {part:?} leaves the volume"),
            error => format!("cannot open subPath {part:?}: {error}"),
        })?;
    }
    Ok(at)
}

fn step(root: &OwnedFd, path: &str) -> rustix::io::Result<OwnedFd> {
    let flags = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    // The kernel asks to try again when names moved while it looked; a pod that moves them for ever gets no mount.
    for _ in 0..100 {
        match rustix::fs::openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), flags) {
            Err(rustix::io::Errno::AGAIN) => {}
            result => return result,
        }
    }
    Err(rustix::io::Errno::AGAIN)
}

fn waiting(place: OwnedFd, ids: Option<BorrowedFd<'_>>, set: u64) -> io::Result<Waiting> {
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&place)?.st_mode);
    let mount = shifted(place, ids, true)?;
    if set != 0 {
        sys::change(&mount, Change { set, recursive: true, ..Change::default() })?;
    }
    Ok(Waiting { mount, is_directory: kind == FileType::Directory })
}

/// A copy of what is mounted at a place, with its ids shifted where its file system can do that.
fn shifted(place: OwnedFd, ids: Option<BorrowedFd<'_>>, recursive: bool) -> io::Result<OwnedFd> {
    // An ordinary user must take along what is mounted below.
    let Some(ids) = ids else { return sys::copy_of(place, true) };
    // A device in a volume is nothing to use: its owner would be root of the pod.
    let change = Change { set: sys::NO_DEVICES, ids: Some(ids), recursive };
    let copy = sys::copy_of(place.as_fd(), recursive)?;
    match sys::change(&copy, change) {
        Ok(()) => Ok(copy),
        Err(_) if recursive => {
            // A file system below may not know of shifting, as those of the kernel itself.
            let _ = sys::change(&copy, Change { recursive: false, ..change });
            Ok(copy)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::symlink};

    fn name_of(found: &OwnedFd) -> std::path::PathBuf {
        fs::read_link(format!("/proc/self/fd/{}", found.as_raw_fd())).unwrap()
    }

    #[test]
    fn a_part_of_a_volume_stays_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("v");
        fs::create_dir_all(root.join("real")).unwrap();
        for (target, link) in [("/etc", "out"), ("../..", "up"), ("real", "in"), ("/proc/self/root", "magic")] {
            symlink(target, root.join(link)).unwrap();
        }
        for part in ["a/b", "in/x", "./real"] {
            assert!(name_of(&beneath(&root, part).unwrap()).starts_with(&root), "{part}");
        }
        for part in ["../x", "/etc", "out", "out/passwd", "up/y", "magic/etc", "a/../../x"] {
            assert!(beneath(&root, part).unwrap_err().contains("leaves the volume"), "{part}");
        }
    }

    #[test]
    fn a_link_that_comes_while_a_part_is_looked_for_leads_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let (root, out) = (dir.path().join("v"), dir.path().join("out"));
        fs::create_dir_all(root.join("a")).unwrap();
        fs::create_dir_all(&out).unwrap();
        symlink(&out, root.join("link")).unwrap();
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                use rustix::fs::{CWD, RenameFlags, renameat_with};
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let _ = renameat_with(CWD, root.join("a"), CWD, root.join("link"), RenameFlags::EXCHANGE);
                }
            });
            for round in 0..2000 {
                if let Ok(found) = beneath(&root, &format!("a/{round}")) {
                    assert!(name_of(&found).starts_with(&root));
                }
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        assert_eq!(fs::read_dir(&out).unwrap().count(), 0, "something was made outside of the volume");
    }
}
