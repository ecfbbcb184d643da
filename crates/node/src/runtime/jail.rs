//! What a container that is kept apart is started with: its scratch, its own files below `/etc`, its variables.
//!
//! Every path in it that is not of the host is the container's.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{
    Error, Launch, Mount, Root,
    process::ShimCommand,
    start::{DEFAULT_PATH, make_directory},
};
use crate::shim::{
    self,
    jail::{HOME, SCRATCH, removal},
    protocol::Jail,
};

/// Makes the scratch of a run below `home`, the directory of all runs of its container.
///
/// # Errors
/// When something cannot be made.
pub fn prepare(home: &Path, launch: &Launch, message: &Path, ids: u32) -> Result<Jail, Error> {
    let scratch = scratch(home, launch.number);
    // What an image has of its own is in its layers; an environment has no layer of its own, but what covers directories of
    // the host brings its work directories.
    let unused: &[&str] = if is_environment(launch) { &["work"] } else { &["tmp", "var-tmp", "run", "home"] };
    for name in SCRATCH.into_iter().filter(|name| !unused.contains(name)) {
        let mode = match name {
            "tmp" | "var-tmp" => 0o1777,
            "home" => 0o777,
            _ => 0o755,
        };
        make_directory(&scratch.join(name), mode)?;
    }
    let hostname = format!("{}\n", launch.hostname);
    let files = [("hosts", &launch.etc.hosts), ("resolv.conf", &launch.etc.resolv_conf), ("hostname", &hostname)];
    for (name, text) in files {
        let path = scratch.join("etc").join(name);
        fs::write(&path, text).map_err(|error| Error::file("write", &path, error))?;
    }
    let mut mounts = launch.mounts.clone();
    if !launch.termination_path.is_empty() {
        let (source, target) = (message.to_owned(), launch.termination_path.clone());
        mounts.push(Mount { source, target, ..Mount::default() });
    }
    Ok(Jail {
        root: launch.root.clone(),
        scratch,
        mounts,
        devices: launch.devices.clone(),
        hostname: launch.hostname.clone(),
        etc: launch.etc.clone(),
        sysctls: launch.sysctls.clone(),
        share_process_namespace: launch.share_process_namespace,
        hidden: None,
        ids,
    })
}

/// What a run writes beside volumes.
fn scratch(home: &Path, number: u32) -> PathBuf {
    home.join(number.to_string())
}

/// The directory that the container starts in, as it sees it.
pub fn working_dir(launch: &Launch) -> String {
    let own = if is_environment(launch) { HOME } else { "/" };
    launch.working_dir.clone().unwrap_or_else(|| own.to_owned())
}

/// The variables of the container.
pub fn environment(launch: &Launch, id: &str) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    if is_environment(launch) {
        env.insert("HOME".to_owned(), HOME.to_owned());
        env.insert("LANG".to_owned(), "C.UTF-8".to_owned());
    }
    env.extend(launch.env.clone());
    let path = env.get("PATH").cloned().unwrap_or_else(|| DEFAULT_PATH.to_owned());
    let first = launch.path_first.iter().map(|directory| directory.display().to_string());
    env.insert("PATH".to_owned(), first.chain([path]).collect::<Vec<_>>().join(":"));
    if launch.tty {
        env.entry("TERM".to_owned()).or_insert_with(|| "xterm".to_owned());
    }
    env.insert(shim::CONTAINER_ID_VARIABLE.to_owned(), id.to_owned());
    env
}

fn is_environment(launch: &Launch) -> bool {
    matches!(launch.root, Root::Environment { .. })
}

/// Removes what runs before this one wrote; they have ended.
pub fn forget_scratch(pod: &Path, container: &str, number: u32) {
    let home = pod.join("root").join(container);
    for entry in fs::read_dir(&home).into_iter().flatten().flatten() {
        let old = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
        if old.is_some_and(|old| old < number) {
            // What stays takes space until the pod goes.
            let _ = remove_tree(&entry.path());
        }
    }
}

/// Times that a directory is emptied: a supervisor that ends may write a last file into it meanwhile.
const REMOVALS: usize = 100;

/// Removes a directory with all that is in it, while something may still be written there; one that is not there is
/// good. What belongs to other users of the pod is removed by a supervisor, which can be one of them.
///
/// # Errors
/// When something cannot be removed.
pub fn remove_all(directory: &Path, shim: &ShimCommand) -> io::Result<()> {
    let mut result = Ok(());
    for _ in 0..REMOVALS {
        result = remove_tree(directory);
        match &result {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => std::thread::yield_now(),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && is_removed_by(shim, directory) => {
                return Ok(());
            }
            _ => break,
        }
    }
    result
}

/// Lets a supervisor remove a directory; whether it could.
fn is_removed_by(shim: &ShimCommand, directory: &Path) -> bool {
    let mut command = Command::new(&shim.program);
    command.args(&shim.arguments).arg(removal::ARGUMENT).arg(directory).env_clear().stdin(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Removes a directory with all that is in it, also where its owner has locked itself out.
///
/// # Errors
/// When something cannot be removed.
pub fn remove_tree(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            unlock(directory);
            fs::remove_dir_all(directory)
        }
        result => result,
    }
}

/// Lets the owner into every directory. No link is followed.
fn unlock(directory: &Path) {
    let mut waiting = vec![directory.to_owned()];
    while let Some(next) = waiting.pop() {
        let _ = fs::set_permissions(&next, fs::Permissions::from_mode(0o700));
        for entry in fs::read_dir(&next).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                waiting.push(entry.path());
            }
        }
    }
}
