//! Makes a pod's volumes on the host's file system.
//!
//! Which files a volume of objects holds is decided in `core`; here they are written so that a reader
//! sees the old files or the new ones, never a mixture. Never leaves the directories it is given.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{HostPathVolumeSource, Volume};

use crate::{core::volume::Files, shim::jail};

/// The link to the current files of a volume.
const CURRENT: &str = "..data";

/// What a volume is made of, as far as the file system is concerned.
pub enum Content {
    /// An empty directory that the pod writes to.
    Empty,
    /// Files that are made from objects.
    Files(Files),
    /// A path of the host.
    Host(HostPathVolumeSource),
}

/// The content of a volume that needs no object; `None` for a claim or files, which the caller resolves.
///
/// # Errors
/// Names a kind of volume that this node does not offer.
pub fn plain_content(volume: &Volume) -> Result<Option<Content>, String> {
    if volume.empty_dir.is_some() {
        return Ok(Some(Content::Empty));
    }
    if let Some(source) = &volume.host_path {
        return Ok(Some(Content::Host(source.clone())));
    }
    if volume.persistent_volume_claim.is_some() || volume.ephemeral.is_some() {
        return Ok(None);
    }
    let value = serde_json::to_value(volume).unwrap_or_default();
    let kind = value.as_object().and_then(|fields| fields.keys().find(|key| *key != "name").cloned());
    Err(format!("volumes of kind {} are not offered by this node", kind.unwrap_or_default()))
}

/// Makes a volume below `directory` and returns the path of its root. What is the pod's alone belongs to `group`.
///
/// # Errors
/// A message for the pod's event.
pub fn make(
    directory: &Path,
    name: &str,
    content: &Content,
    group: Option<u32>,
    now: Timestamp,
) -> Result<PathBuf, String> {
    let root = directory.join(name);
    let failed = |error: io::Error| format!("cannot make {}: {error}", root.display());
    match content {
        Content::Empty => {
            fs::create_dir_all(&root).map_err(failed)?;
            let mode = if group.is_some() { 0o2777 } else { 0o777 };
            give(&root, group).map_err(failed)?;
            fs::set_permissions(&root, fs::Permissions::from_mode(mode)).map_err(failed)?;
        }
        Content::Files(files) => {
            fs::create_dir_all(&root).map_err(failed)?;
            fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).map_err(failed)?;
            give(&root, group).map_err(failed)?;
            // A group that is named may read, as a kubelet has it.
            let mut files = files.clone();
            if group.is_some() {
                files.values_mut().for_each(|file| file.mode |= 0o440);
            }
            write_files(&root, &files, group, now).map_err(failed)?;
        }
        Content::Host(source) => return host_path(source),
    }
    Ok(root)
}

/// Gives a path of the pod's own to a group.
fn give(path: &Path, group: Option<u32>) -> io::Result<()> {
    if group.is_none() { Ok(()) } else { std::os::unix::fs::lchown(path, None, group) }
}

/// Puts the files in place of those that are there, at one moment; true when anything was different.
///
/// # Errors
/// Those of the file system; the old files stay then.
pub fn write_files(root: &Path, files: &Files, group: Option<u32>, now: Timestamp) -> io::Result<bool> {
    let current = root.join(CURRENT);
    let old = fs::read_link(&current).ok();
    if old.is_some() && is_same(&current, files) {
        return Ok(false);
    }
    let stamp = now.strftime("..%Y_%m_%d_%H_%M_%S.%9f").to_string();
    let directory = root.join(&stamp);
    match fs::remove_dir_all(&directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => fs::create_dir(&directory)?,
    }
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755))?;
    for (path, file) in files {
        let target = directory.join(path);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&target, &file.content)?;
        give(&target, group)?;
        fs::set_permissions(&target, fs::Permissions::from_mode(file.mode))?;
    }
    let next = root.join("..data_tmp");
    let _ = fs::remove_file(&next);
    symlink(&stamp, &next)?;
    fs::rename(&next, &current)?;
    link_names(root, files)?;
    if let Some(old) = old.filter(|old| *old != Path::new(&stamp)) {
        fs::remove_dir_all(root.join(old))?;
    }
    Ok(true)
}

fn is_same(current: &Path, files: &Files) -> bool {
    let mut found = Vec::new();
    collect(current, Path::new(""), &mut found);
    found.len() == files.len()
        && files.iter().all(|(path, file)| {
            let path = current.join(path);
            let mode = fs::metadata(&path).map(|meta| meta.permissions().mode() & 0o777);
            mode.is_ok_and(|mode| mode == file.mode) && fs::read(&path).is_ok_and(|content| content == file.content)
        })
}

fn collect(root: &Path, below: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(root.join(below)).into_iter().flatten().flatten() {
        let path = below.join(entry.file_name());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(root, &path, found);
        } else {
            found.push(path);
        }
    }
}

/// Links the first parts of the files' paths to the current files, and removes links to none.
fn link_names(root: &Path, files: &Files) -> io::Result<()> {
    let first = |path: &str| path.split('/').next().unwrap_or_default().to_owned();
    let names: std::collections::BTreeSet<String> = files.keys().map(|path| first(path)).collect();
    for name in &names {
        match symlink(Path::new(CURRENT).join(name), root.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    for entry in fs::read_dir(root)?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with("..") && !names.contains(&name) && entry.file_type()?.is_symlink() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Checks a path of the host, in a kubelet's words.
fn host_path(source: &HostPathVolumeSource) -> Result<PathBuf, String> {
    let path = PathBuf::from(&source.path);
    let kind = source.type_.as_deref().unwrap_or_default();
    let failed = |error: io::Error| format!("cannot make {}: {error}", path.display());
    match kind {
        "DirectoryOrCreate" if !path.exists() => fs::create_dir_all(&path).map_err(failed)?,
        "FileOrCreate" if !path.exists() => drop(fs::File::create(&path).map_err(failed)?),
        _ => {}
    }
    let Ok(meta) = fs::metadata(&path) else {
        if kind.is_empty() {
            // Whatever the container makes there; a container runtime makes a directory.
            fs::create_dir_all(&path).map_err(failed)?;
            return Ok(path);
        }
        return Err(format!("hostPath type check failed: {} is not {}", path.display(), described(kind)));
    };
    let file_type = meta.file_type();
    let good = match kind {
        "" => true,
        "Directory" | "DirectoryOrCreate" => file_type.is_dir(),
        "File" | "FileOrCreate" => file_type.is_file(),
        "Socket" => file_type.is_socket(),
        "CharDevice" => file_type.is_char_device(),
        "BlockDevice" => file_type.is_block_device(),
        _ => false,
    };
    if good {
        Ok(path)
    } else {
        Err(format!("hostPath type check failed: {} is not {}", path.display(), described(kind)))
    }
}

fn described(kind: &str) -> &'static str {
    match kind {
        "Directory" | "DirectoryOrCreate" => "a directory",
        "File" | "FileOrCreate" => "a file",
        "Socket" => "a socket file",
        "CharDevice" => "a character device",
        "BlockDevice" => "a block device",
        _ => "of a type that is known",
    }
}

/// The path in a volume that a mount's `subPath` names; a directory is made where there is nothing.
///
/// # Errors
/// When it would leave the volume, by its own text or by a link on the way.
pub fn sub_path(root: &Path, sub: &str) -> Result<PathBuf, String> {
    let found = jail::beneath(root, sub)?;
    // What the descriptor stands for is in the volume; its name is the one it has now.
    let name = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&found));
    fs::read_link(name).map_err(|error| format!("cannot open subPath {sub:?}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::volume::File;

    fn files(rows: &[(&str, &str)]) -> Files {
        let row =
            |(path, text): &(&str, &str)| ((*path).to_owned(), File { content: text.as_bytes().to_vec(), mode: 0o640 });
        rows.iter().map(row).collect()
    }

    #[test]
    fn files_are_exchanged_at_one_moment() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        assert!(write_files(root, &files(&[("a", "1"), ("d/e", "2")]), None, now).unwrap());
        assert_eq!(fs::read_to_string(root.join("d/e")).unwrap(), "2");
        assert!(!write_files(root, &files(&[("a", "1"), ("d/e", "2")]), None, now).unwrap());
        let later = Timestamp::from_second(1_700_000_009).unwrap();
        assert!(write_files(root, &files(&[("a", "3")]), None, later).unwrap());
        assert_eq!(fs::read_to_string(root.join("a")).unwrap(), "3");
        let mut names: Vec<_> = fs::read_dir(root).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["..2023_11_14_22_13_29.000000000", "..data", "a"]);
    }

    #[test]
    fn a_sub_path_stays_in_its_volume() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("v");
        fs::create_dir(&root).unwrap();
        symlink("/etc", root.join("out")).unwrap();
        assert!(sub_path(&root, "a/b").unwrap().ends_with("v/a/b"));
        for sub in ["../x", "/etc", "out", "out/passwd", "a/../../x"] {
            assert!(sub_path(&root, sub).unwrap_err().contains("leaves the volume"), "{sub}");
        }
    }

    #[test]
    fn a_host_path_is_what_it_is_said_to_be() {
        let dir = tempfile::tempdir().unwrap();
        let source = |path: PathBuf, kind: &str| HostPathVolumeSource {
            path: path.display().to_string(),
            type_: Some(kind.to_owned()),
        };
        assert!(host_path(&source(dir.path().join("new"), "DirectoryOrCreate")).unwrap().is_dir());
        let error = host_path(&source(dir.path().to_owned(), "File")).unwrap_err();
        assert!(error.ends_with("is not a file"), "{error}");
        assert!(host_path(&source(dir.path().join("none"), "Directory")).is_err());
    }
}
