//! Directories for what an image calls its volumes.
//!
//! A root that can be written belongs to its run as well, so only those volumes get a directory that the image does
//! not have, or that lie in a root that is read-only. They go with the run. Links of the image are never followed.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
};

use crate::{core::image, runtime::Mount};

/// Volumes of one image that are looked at; honest images have a few.
const MOST: usize = 64;

/// What the volumes of a run are made from.
pub struct Volumes<'a> {
    /// The trees of the image's layers, the top one first.
    pub layers: &'a [PathBuf],
    /// As the image writes them.
    pub paths: &'a [String],
    pub read_only_root: bool,
    /// What is mounted anyway.
    pub mounts: &'a [Mount],
    /// The directory of the container's runs.
    pub place: PathBuf,
    pub number: u32,
}

/// Makes the directories and says where each is mounted; those of earlier runs go.
///
/// # Errors
/// When one cannot be made.
pub fn make(volumes: &Volumes<'_>) -> Result<Vec<Mount>, String> {
    if volumes.paths.is_empty() {
        return Ok(Vec::new());
    }
    if let Err(error) = fs::remove_dir_all(&volumes.place)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(format!("failed to remove the image's volumes of an earlier run: {error}"));
    }
    let of_run = volumes.place.join(volumes.number.to_string());
    let mut made = Vec::new();
    for (index, target) in volumes.paths.iter().filter_map(|path| image::volume_path(path)).take(MOST).enumerate() {
        let is_mounted = volumes.mounts.iter().any(|mount| mount.target.trim_end_matches('/') == target);
        let own = directory_of(volumes.layers, &target);
        if is_mounted || (own.is_some() && !volumes.read_only_root) {
            continue;
        }
        let source = of_run.join(index.to_string());
        make_like(&source, own.as_ref())
            .map_err(|error| format!("failed to make the image's volume {target:?}: {error}"))?;
        made.push(Mount { source, target, ..Mount::default() });
    }
    Ok(made)
}

/// What the topmost layer that has the path says of it; `None` where it is no directory, or lies behind a link.
fn directory_of(layers: &[PathBuf], target: &str) -> Option<fs::Metadata> {
    for layer in layers {
        let mut path = layer.clone();
        let mut found = None;
        for part in target.trim_start_matches('/').split('/') {
            path.push(part);
            found = fs::symlink_metadata(&path).ok();
            match &found {
                Some(metadata) if metadata.is_dir() => {}
                // A link, a file, or the mark of something that this layer removes.
                Some(_) => return None,
                None => break,
            }
        }
        if found.is_some() {
            return found;
        }
    }
    None
}

/// Makes a directory with the owner and mode of another, as far as this user may.
fn make_like(path: &Path, other: Option<&fs::Metadata>) -> io::Result<()> {
    fs::create_dir_all(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(other.map_or(0o755, |other| other.mode() & 0o7777)))?;
    if let Some(other) = other.filter(|_| rustix::process::geteuid().is_root()) {
        chown(path, Some(other.uid()), Some(other.gid()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_volumes_that_the_root_has_no_room_for_get_a_directory() {
        let root = tempfile::tempdir().unwrap();
        let (top, base) = (root.path().join("top"), root.path().join("base"));
        fs::create_dir_all(top.join("srv")).unwrap();
        std::os::unix::fs::symlink("/etc", top.join("link")).unwrap();
        fs::create_dir_all(base.join("srv/data")).unwrap();
        fs::set_permissions(base.join("srv/data"), fs::Permissions::from_mode(0o1770)).unwrap();
        let layers = [top, base];
        let paths = ["/srv/data", "/new", "/link/x", "/mounted", "/../up"].map(str::to_owned);
        let mounts = [Mount { target: "/mounted/".to_owned(), ..Mount::default() }];
        let place = root.path().join("volumes");
        let volumes = |read_only_root, number| Volumes {
            layers: &layers,
            paths: &paths,
            read_only_root,
            mounts: &mounts,
            place: place.clone(),
            number,
        };
        let targets = |made: &[Mount]| made.iter().map(|mount| mount.target.clone()).collect::<Vec<_>>();
        let first = make(&volumes(false, 0)).unwrap();
        assert_eq!(targets(&first), ["/new", "/link/x"]);
        let second = make(&volumes(true, 1)).unwrap();
        assert_eq!(targets(&second), ["/srv/data", "/new", "/link/x"]);
        assert_eq!(fs::metadata(&second[0].source).unwrap().mode() & 0o7777, 0o1770);
        assert!(!first[0].source.exists(), "the volumes of an earlier run are gone");
    }
}
