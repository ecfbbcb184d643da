//! Makes a pod's volumes on the host's file system.
//!
//! Which files a volume of objects holds is decided in `core`; here they are written so that a reader
//! sees the old files or the new ones, never a mixture. Never leaves the directories it is given.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{HostPathVolumeSource, Pod, Volume};

use crate::{
    core::{
        ownership::{self, Access, ChangePolicy, Medium},
        volume::{File, Files},
    },
    shim::jail,
};

/// The link to the current files of a volume.
const CURRENT: &str = "..data";

/// What a volume is made of, as far as the file system is concerned.
pub enum Content {
    /// An empty directory that the pod writes to.
    Empty(Medium),
    /// Files that are made from objects.
    Files(Files),
    /// A path of the host.
    Host(HostPathVolumeSource),
    /// A directory of the host that is there for claims.
    Claimed(HostPathVolumeSource),
}

/// A volume that has been made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    pub path: PathBuf,
    /// It is kept in memory, at most so many bytes: what is mounted is not the directory at the path.
    pub memory: Option<u64>,
    /// The group that what is kept in memory belongs to.
    pub group: Option<u32>,
}

impl Made {
    fn at(path: PathBuf) -> Self {
        Self { path, memory: None, group: None }
    }
}

/// The group that a pod's volumes get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grouping {
    pub group: u32,
    pub policy: ChangePolicy,
}

/// The content of a volume that needs no object; `None` for a claim or files, which the caller resolves.
///
/// # Errors
/// Names a kind of volume that this node does not offer.
pub fn plain_content(pod: &Pod, volume: &Volume, memory_bytes: u64) -> Result<Option<Content>, String> {
    if volume.empty_dir.is_some() {
        return ownership::medium(pod, volume, memory_bytes).map(|medium| Some(Content::Empty(medium)));
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
    grouping: Option<Grouping>,
    now: Timestamp,
) -> Result<Made, String> {
    let root = directory.join(name);
    let failed = |error: io::Error| format!("cannot make {}: {error}", root.display());
    match content {
        Content::Empty(medium) => {
            empty(&root, grouping).map_err(failed)?;
            let memory = if let Medium::Memory(bytes) = medium { Some(*bytes) } else { None };
            return Ok(Made { path: root, memory, group: grouping.map(|grouping| grouping.group) });
        }
        Content::Files(files) => {
            fs::create_dir_all(&root).map_err(failed)?;
            fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).map_err(failed)?;
            write_files(&root, files, grouping.map(|grouping| grouping.group), now).map_err(failed)?;
        }
        Content::Host(source) => return Ok(Made::at(host_path(source)?)),
        Content::Claimed(source) => return claimed(source, grouping),
    }
    Ok(Made::at(root))
}

/// Whoever a container runs as may write to it.
fn empty(root: &Path, grouping: Option<Grouping>) -> io::Result<()> {
    if !root.is_dir() {
        fs::create_dir_all(root)?;
        let mode = grouping.map_or(0o777, |_| ownership::directory_mode(0o777, Access::ReadWrite));
        chown(root, None, grouping.map(|grouping| grouping.group))?;
        fs::set_permissions(root, fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

fn claimed(source: &HostPathVolumeSource, grouping: Option<Grouping>) -> Result<Made, String> {
    let is_new = !Path::new(&source.path).exists();
    let path = host_path(source)?;
    let failed = |error: io::Error| format!("cannot give {} to the pod's group: {error}", path.display());
    if is_new {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).map_err(failed)?;
    }
    if let Some(grouping) = grouping {
        super::grouping::give(&path, grouping).map_err(failed)?;
    }
    Ok(Made::at(path))
}

/// Puts the files in place of those that are there, at one moment; true when anything was different.
///
/// # Errors
/// Those of the file system; the old files stay then.
pub fn write_files(root: &Path, files: &Files, group: Option<u32>, now: Timestamp) -> io::Result<bool> {
    let current = root.join(CURRENT);
    let old = fs::read_link(&current).ok();
    let mode = |file: &File| group.map_or(file.mode, |_| ownership::file_mode(file.mode, Access::Read));
    if old.is_some() && is_same(&current, files, mode) {
        return Ok(false);
    }
    let stamp = now.strftime("..%Y_%m_%d_%H_%M_%S.%9f").to_string();
    let directory = root.join(&stamp);
    match fs::remove_dir_all(&directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    make_directory(&directory, group)?;
    for (path, file) in files {
        let mut parent = directory.clone();
        for part in Path::new(path).parent().into_iter().flat_map(Path::components) {
            parent.push(part);
            make_directory(&parent, group)?;
        }
        let target = directory.join(path);
        fs::write(&target, &file.content)?;
        chown(&target, file.owner, group)?;
        // After the owner: a change of that takes bits of the mode away.
        fs::set_permissions(&target, fs::Permissions::from_mode(mode(file)))?;
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

fn make_directory(path: &Path, group: Option<u32>) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        made => made?,
    }
    chown(path, None, group)?;
    let mode = group.map_or(0o755, |_| ownership::directory_mode(0o755, Access::Read));
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

fn is_same(current: &Path, files: &Files, wanted: impl Fn(&File) -> u32) -> bool {
    let mut found = Vec::new();
    collect(current, Path::new(""), &mut found);
    found.len() == files.len()
        && files.iter().all(|(path, file)| {
            let path = current.join(path);
            let mode = fs::metadata(&path).map(|meta| meta.permissions().mode() & 0o777);
            mode.is_ok_and(|mode| mode == wanted(file)) && fs::read(&path).is_ok_and(|content| content == file.content)
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

    fn files(rows: &[(&str, &str)]) -> Files {
        let row = |(path, text): &(&str, &str)| {
            ((*path).to_owned(), File { content: text.as_bytes().to_vec(), mode: 0o640, owner: None })
        };
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

    #[test]
    fn a_group_may_read_what_a_volume_is_made_of_and_write_to_an_empty_one() {
        use std::os::unix::fs::MetadataExt;
        if !rustix::process::geteuid().is_root() {
            return eprintln!("skipped: only root may give files to a group");
        }
        let dir = tempfile::tempdir().unwrap();
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let grouping = Some(Grouping { group: 4321, policy: ChangePolicy::Always });
        let row = |mode: u32, owner| File { content: b"x".to_vec(), mode, owner };
        let content = Content::Files(Files::from([
            ("d/key".to_owned(), row(0o400, None)),
            ("token".to_owned(), row(0o600, Some(77))),
        ]));
        let root = make(dir.path(), "v", &content, grouping, now).unwrap().path;
        let of = |path: &Path| {
            let meta = fs::metadata(path).unwrap();
            (meta.uid(), meta.gid(), meta.mode() & 0o7777)
        };
        assert_eq!(of(&root.join("d/key")), (0, 4321, 0o440));
        assert_eq!(of(&root.join("token")), (77, 4321, 0o640));
        assert_eq!(of(&root.join("d")), (0, 4321, 0o2755));
        let empty = make(dir.path(), "e", &Content::Empty(Medium::Disk), grouping, now).unwrap();
        assert_eq!((of(&empty.path), empty.memory), ((0, 4321, 0o2777), None));
        let memory = make(dir.path(), "m", &Content::Empty(Medium::Memory(64)), None, now).unwrap();
        assert_eq!((of(&memory.path).2, memory.memory), (0o777, Some(64)));
    }
}
