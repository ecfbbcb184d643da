//! Removes what users of a pod have left whom only the pod's user namespace knows: an ordinary user with a range of ids may
//! neither look into their directories nor empty them, but its namespace's root may.

use std::{fs, path::Path};

use rustix::process::{Pid, WaitOptions};

use super::{
    channel,
    ids::Ids,
    pause,
    sys::{self, Side},
};

/// The argument in place of a pod's directory by which a supervisor removes the directory that comes after it.
pub const ARGUMENT: &str = "--remove";

/// Removes a directory in a user namespace with all ids that a pod can have. Must be used in a process with one thread.
///
/// # Errors
/// A sentence for the log.
pub fn remove(directory: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("cannot make a socket: {error}");
    let (near, far) = channel::pair().map_err(failed)?;
    // SAFETY: this process has one thread.
    match unsafe { sys::fork(libc::CLONE_NEWUSER) }.map_err(|error| format!("cannot make a namespace: {error}"))? {
        Side::Child => {
            drop(near);
            let is_root = far.wait().and_then(|()| pause::become_root());
            sys::leave(i32::from(is_root.and_then(|()| fs::remove_dir_all(directory)).is_err()))
        }
        Side::Parent(pid) => {
            drop(far);
            Ids::of_pod(0).give(pid)?;
            near.go().map_err(failed)?;
            let ended = rustix::process::waitpid(Pid::from_raw(pid), WaitOptions::empty());
            let code = ended.ok().flatten().and_then(|(_, status)| status.exit_status());
            if code == Some(0) { Ok(()) } else { Err(format!("{} cannot be removed", directory.display())) }
        }
    }
}
