//! A container's own face of a shared Python environment, where nothing can be mounted over it: a small environment of the
//! same interpreter, which finds the shared one's packages after its own. What the container installs goes into it, and
//! goes with the run.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use super::manifest::{Manifest, Site};

/// The file that leads to the shared packages. `addsitedir` honours files of this kind in the shared directory, too.
const LINK: &str = "_ferroflow.pth";

/// Makes it at `own`, or finds it there. `mode` is that of directories which the container's user writes to.
///
/// # Errors
/// Names what cannot be made.
pub fn make(shared: &Path, own: &Path, mode: u32) -> Result<(), String> {
    let failed = |path: &Path, error: io::Error| format!("cannot make {}: {error}", path.display());
    if own.join("pyvenv.cfg").is_file() {
        return Ok(());
    }
    let site = site(shared).ok_or_else(|| format!("{} is no Python environment", shared.display()))?;
    let relative = site.strip_prefix(shared).unwrap_or(&site);
    let own_site = own.join(relative);
    for directory in [own_site.as_path(), &own.join("bin")] {
        fs::create_dir_all(directory).map_err(|error| failed(directory, error))?;
    }
    let link = own_site.join(LINK);
    // In a string of Python's, as JSON writes it: the two agree on what a path can hold.
    let quoted = serde_json::to_string(&site.to_string_lossy()).unwrap_or_default();
    fs::write(&link, format!("import site; site.addsitedir({quoted})\n")).map_err(|error| failed(&link, error))?;
    for name in names(shared) {
        let (from, to) = (shared.join(&name), own.join(&name));
        let made = match name.as_str() {
            "lib" | "pyvenv.cfg" => continue,
            // Others than the interpreter are scripts that look for it beside them.
            _ => share(&from, &to),
        };
        made.map_err(|error| failed(&to, error))?;
    }
    open(own, mode).map_err(|error| failed(own, error))?;
    if let Some(manifest) = Manifest::read(shared) {
        let sites = manifest.sites.into_iter().chain(Site::of(&own_site)).collect();
        let manifest = Manifest { sites, ..manifest };
        manifest.write(own).map_err(|error| failed(own, error))?;
    }
    // Last: it makes the directory an environment.
    fs::copy(shared.join("pyvenv.cfg"), own.join("pyvenv.cfg")).map(drop).map_err(|error| failed(own, error))
}

/// Where the packages of an environment lie.
pub fn site(root: &Path) -> Option<PathBuf> {
    let versions = fs::read_dir(root.join("lib")).ok()?.flatten().map(|entry| entry.path().join("site-packages"));
    versions.into_iter().find(|site| site.is_dir())
}

/// Names in an environment but those of our own files.
fn names(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| !name.starts_with('.')).collect()
}

/// Gives a file a second name, and a directory's files theirs; links stay links.
fn share(from: &Path, to: &Path) -> io::Result<()> {
    let meta = fs::symlink_metadata(from)?;
    if meta.is_symlink() {
        return symlink(fs::read_link(from)?, to);
    }
    if meta.is_dir() {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            share(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    // Another file system has files of its own.
    fs::hard_link(from, to).or_else(|_| fs::copy(from, to).map(drop))
}

/// Gives the directories a mode, all the way down. No link is followed.
fn open(root: &Path, mode: u32) -> io::Result<()> {
    let mut waiting = vec![root.to_owned()];
    while let Some(directory) = waiting.pop() {
        if fs::symlink_metadata(&directory)?.mode() & 0o777 != mode {
            fs::set_permissions(&directory, fs::Permissions::from_mode(mode))?;
        }
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                waiting.push(entry.path());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_has_its_own_directories_and_the_shared_files() {
        let dir = tempfile::tempdir().unwrap();
        let (shared, own) = (dir.path().join("shared"), dir.path().join("pod/1/python"));
        fs::create_dir_all(shared.join("lib/python3.11/site-packages/a")).unwrap();
        fs::create_dir_all(shared.join("bin")).unwrap();
        fs::create_dir_all(shared.join("share/jupyter")).unwrap();
        fs::write(shared.join("share/jupyter/kernel.json"), "{}").unwrap();
        fs::write(shared.join("bin/tool"), "#!/bin/sh").unwrap();
        symlink("/usr/bin/true", shared.join("bin/python")).unwrap();
        symlink("lib", shared.join("lib64")).unwrap();
        fs::write(shared.join("pyvenv.cfg"), "home = /usr/bin").unwrap();
        let site = site(&shared).unwrap();
        Manifest::new(Vec::new(), &site).write(&shared).unwrap();
        make(&shared, &own, 0o777).unwrap();
        make(&shared, &own, 0o777).unwrap();
        let own_site = own.join("lib64/python3.11/site-packages");
        let link = fs::read_to_string(own_site.join(LINK)).unwrap();
        assert_eq!(link, format!("import site; site.addsitedir(\"{}\")\n", site.display()));
        assert_eq!(fs::read_link(own.join("bin/python")).unwrap(), Path::new("/usr/bin/true"));
        assert!(own.join("share/jupyter/kernel.json").is_file() && own.join("pyvenv.cfg").is_file());
        fs::write(own_site.join("new.py"), "").unwrap();
        assert!(!site.join("new.py").exists(), "what it installs is its own");
        assert_eq!(fs::metadata(own.join("bin")).unwrap().mode() & 0o777, 0o777);
        let sites = Manifest::read(&own).unwrap().sites;
        assert_eq!(sites.len(), 2);
        assert!(make(dir.path(), &dir.path().join("x"), 0o755).unwrap_err().contains("no Python environment"));
    }
}
