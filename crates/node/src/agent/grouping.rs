//! Gives the files of a volume that was there before to a pod's group.
//!
//! The volume may be in use by another pod, which exchanges directories for links while this runs: each part
//! of a path is opened from its directory's descriptor, and never through a link.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::Path,
};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags};

use super::volumes::Grouping;
use crate::core::ownership::{self, Access, ChangePolicy};

/// Directories in one another: each holds a descriptor while its children are done.
const DEPTH: usize = 200;

/// Gives the directory at `root` and all in it to the group.
///
/// # Errors
/// Those of the file system.
pub fn give(root: &Path, grouping: Grouping) -> io::Result<()> {
    let opened = rustix::fs::openat(CWD, root, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let stat = rustix::fs::fstat(&opened)?;
    let done = ownership::has_group(stat.st_mode & 0o7777, stat.st_gid, grouping.group);
    if grouping.policy == ChangePolicy::OnRootMismatch && done {
        return Ok(());
    }
    // The root comes last: a node that is killed in the middle begins again.
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        below(&opened, grouping.group, DEPTH)?;
    }
    one(&opened, grouping.group)
}

fn below(directory: &OwnedFd, group: u32, depth: usize) -> io::Result<()> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(io::Error::other(format!("it holds more than {DEPTH} directories in one another")));
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let readable = rustix::fs::openat(directory, ".", flags, Mode::empty())?;
    for entry in Dir::read_from(&readable)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = match rustix::fs::openat(directory, name, flags, Mode::empty()) {
            // Another pod has removed it meanwhile.
            Err(rustix::io::Errno::NOENT) => continue,
            opened => opened?,
        };
        if FileType::from_raw_mode(rustix::fs::fstat(&opened)?.st_mode) == FileType::Directory {
            below(&opened, group, depth)?;
        }
        one(&opened, group)?;
    }
    Ok(())
}

fn one(opened: &OwnedFd, group: u32) -> io::Result<()> {
    let stat = rustix::fs::fstat(opened)?;
    let mode = stat.st_mode & 0o7777;
    let wanted = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Symlink => mode,
        FileType::Directory => ownership::directory_mode(mode, Access::ReadWrite),
        _ => ownership::file_mode(mode, Access::ReadWrite),
    };
    if stat.st_gid != group {
        rustix::fs::chownat(opened.as_fd(), "", None, Some(Gid::from_raw(group)), AtFlags::EMPTY_PATH)?;
    }
    if wanted != mode || (stat.st_gid != group && wanted & 0o6000 != 0) {
        // A descriptor that only names a file cannot be given a mode; its entry in /proc can.
        let path = format!("/proc/self/fd/{}", opened.as_raw_fd());
        rustix::fs::chmod(path, Mode::from_raw_mode(wanted))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    };

    use super::*;

    #[test]
    fn all_files_of_a_volume_get_the_group_and_nothing_beyond_it_does() {
        if !rustix::process::geteuid().is_root() {
            return eprintln!("skipped: only root may give files to a group");
        }
        let dir = tempfile::tempdir().unwrap();
        let (root, outside) = (dir.path().join("v"), dir.path().join("secret"));
        fs::create_dir_all(root.join("a/b")).unwrap();
        for (path, mode) in [(&root.join("a/b/f"), 0o600), (&outside, 0o600)] {
            fs::write(path, "x").unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        symlink(&outside, root.join("a/link")).unwrap();
        let grouping = Grouping { group: 4321, policy: ChangePolicy::OnRootMismatch };
        give(&root, grouping).unwrap();
        let of = |path: &str| {
            let meta = fs::symlink_metadata(root.join(path)).unwrap();
            (meta.gid(), meta.mode() & 0o7777)
        };
        assert_eq!(of("a/b/f"), (4321, 0o660));
        assert_eq!(of("a/b"), (4321, 0o2775));
        assert_eq!(of("a/link").0, 4321);
        let meta = fs::metadata(&outside).unwrap();
        assert_eq!((meta.gid(), meta.mode() & 0o7777), (0, 0o600));
        // What is made afterwards by others stays as it is, where the root is as it was left.
        fs::write(root.join("new"), "x").unwrap();
        fs::set_permissions(root.join("new"), fs::Permissions::from_mode(0o600)).unwrap();
        give(&root, grouping).unwrap();
        assert_eq!(of("new").1, 0o600);
        give(&root, Grouping { policy: ChangePolicy::Always, ..grouping }).unwrap();
        assert_eq!(of("new"), (4321, 0o660));
    }
}
