//! What the kernel shows a container of itself: `/proc`, `/sys`, `/dev`. Parts that tell of the host, or change it,
//! are hidden or read-only, as other runtimes have them.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::mount::MountAttrFlags;

use super::{
    pause::{PROCESSES, SHARED_MEMORY, SYSTEM},
    place::{self, Kind},
    source::Waiting,
    sys::{self, Change},
};

const HIDDEN: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
const LINKS: [(&str, &str); 6] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("core", "/proc/kcore"),
    ("ptmx", "pts/ptmx"),
];

/// How much of the system a container sees.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// The usual.
    Usual,
    /// What a privileged container sees: nothing is hidden, but what belongs to the host stays the host's.
    Whole,
}

/// Mounts them into a root.
///
/// # Errors
/// Names the place.
pub fn mount(root: BorrowedFd<'_>, devices: Vec<(String, Waiting)>, view: View, many_ids: bool) -> Result<(), String> {
    let flags = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    let processes = sys::file_system("proc", &[], flags | MountAttrFlags::MOUNT_ATTR_NOEXEC);
    // Where the host hides parts of its own there can be no new one.
    let processes = processes.or_else(|_| copy(PROCESSES));
    let processes = processes.map_err(|error| format!("cannot mount /proc: {error}"))?;
    place::mount(root, processes, "/proc", Kind::Directory)?;
    let system = copy(SYSTEM).map_err(|error| format!("cannot mount /sys: {error}"))?;
    place::mount(root, system, "/sys", Kind::Directory)?;
    control_groups(root);
    mount_devices(root, devices, many_ids)?;
    if view == View::Usual {
        hide(root)?;
    }
    Ok(())
}

/// The container's own control groups, where they are of the second kind.
fn control_groups(root: BorrowedFd<'_>) {
    let flags = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    let flags = flags | MountAttrFlags::MOUNT_ATTR_NOEXEC | MountAttrFlags::MOUNT_ATTR_RDONLY;
    let Ok(place) = sys::locate_in(root, "/sys/fs/cgroup") else { return };
    let is_second = rustix::fs::fstatfs(&place).is_ok_and(|found| found.f_type == libc::CGROUP2_SUPER_MAGIC);
    if is_second && let Ok(own) = sys::file_system("cgroup2", &[], flags) {
        // Without it the container sees the host's, which it cannot write to.
        let _ = sys::place(own, place);
    }
}

fn copy(path: &str) -> io::Result<OwnedFd> {
    sys::copy_of(sys::locate(path.as_ref())?, true)
}

fn mount_devices(root: BorrowedFd<'_>, devices: Vec<(String, Waiting)>, many_ids: bool) -> Result<(), String> {
    let failed = |what: &'static str| move |error: io::Error| format!("cannot mount {what}: {error}");
    let flags = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let directory = sys::file_system("tmpfs", &[("mode", "0755"), ("size", "64k")], flags).map_err(failed("/dev"))?;
    place::mount(root, &directory, "/dev", Kind::Directory)?;
    for (path, device) in devices {
        let kind = if device.is_directory { Kind::Directory } else { Kind::File };
        place::mount(root, device.mount, &path, kind)?;
    }
    for (name, target) in LINKS {
        rustix::fs::symlinkat(target, &directory, name).map_err(|error| failed("/dev")(error.into()))?;
    }
    // Group 5 owns terminals, where there is such a group.
    let mut options = vec![("newinstance", ""), ("ptmxmode", "0666"), ("mode", "0620")];
    if many_ids {
        options.push(("gid", "5"));
    }
    let terminals = sys::file_system("devpts", &options, flags).map_err(failed("/dev/pts"))?;
    place::mount(root, terminals, "/dev/pts", Kind::Directory)?;
    let shared = copy(SHARED_MEMORY).map_err(failed("/dev/shm"))?;
    place::mount(root, shared, "/dev/shm", Kind::Directory)?;
    let flags = flags | MountAttrFlags::MOUNT_ATTR_NODEV;
    let messages = sys::file_system("mqueue", &[], flags);
    if let Ok(messages) = messages {
        place::mount(root, messages, "/dev/mqueue", Kind::Directory)?;
    }
    Ok(())
}

fn hide(root: BorrowedFd<'_>) -> Result<(), String> {
    let failed = |path: &str, error: io::Error| format!("cannot hide {path}: {error}");
    for path in READ_ONLY {
        let Ok(place) = sys::locate_in(root, path) else { continue };
        let closed = sys::copy_of(&place, true).and_then(|copy| {
            sys::change(&copy, Change { set: sys::READ_ONLY, recursive: true, ..Change::default() })?;
            sys::place(copy, place)
        });
        closed.map_err(|error| failed(path, error))?;
    }
    let flags = MountAttrFlags::MOUNT_ATTR_RDONLY;
    let mut empty = None;
    for path in HIDDEN {
        let Ok(place) = sys::locate_in(root, path) else { continue };
        let is_directory = rustix::fs::fstat(&place)
            .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Directory);
        let covered = if is_directory {
            // One empty directory stands for all of them.
            let cover = match &empty {
                None => sys::file_system("tmpfs", &[("mode", "0755"), ("size", "4k")], flags),
                Some(first) => sys::copy_of(first, false),
            };
            cover.and_then(|cover| {
                sys::place(&cover, &place)?;
                empty.get_or_insert(cover);
                Ok(())
            })
        } else {
            let null = sys::locate_in(root, "/dev/null").and_then(|null| sys::copy_of(null, false));
            null.and_then(|null| sys::place(null, &place))
        };
        covered.map_err(|error| failed(path, error))?;
    }
    Ok(())
}

/// Files of the pod's own.
///
/// # Errors
/// Names the file.
pub fn mount_file(root: BorrowedFd<'_>, directory: BorrowedFd<'_>, name: &str, path: &str) -> Result<(), String> {
    let file = sys::locate_in(directory, name).and_then(|file| sys::copy_of(file, false));
    let file = file.map_err(|error| format!("cannot mount at {path:?}: {error}"))?;
    place::mount(root, file.as_fd(), path, Kind::File)
}
