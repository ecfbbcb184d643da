//! Makes a pod's namespaces as children of another user namespace than this process's: that of the hub, in which an
//! ordinary user may make network devices.

use std::os::fd::BorrowedFd;

use rustix::process::{Pid, WaitOptions};

use super::{
    channel::Far,
    ids::Ids,
    sys::{self, CloneFlags, Looks, Side},
};

/// Makes a process in new namespaces below `user`, and gives it its ids. It is a child of this one, which learns its
/// number when it says that it is there.
///
/// # Errors
/// What the system refuses.
///
/// # Safety
/// As [`sys::fork`].
pub unsafe fn fork(user: BorrowedFd<'_>, flags: CloneFlags, ids: &Ids, far: &Far) -> Result<Side, String> {
    // SAFETY: this process has one thread, as the caller knows.
    match unsafe { sys::fork(0) }.map_err(|error| format!("cannot make a process: {error}"))? {
        Side::Child => {
            if let Err(error) = sys::join(user, libc::CLONE_NEWUSER) {
                far.fail(&format!("cannot join the user namespace of pods' networks: {error}"));
            }
            // The files by which its child gets its ids would be root's otherwise.
            sys::let_look(Looks::Allowed);
            // SAFETY: a copy of a process with one thread has one thread.
            match unsafe { sys::fork(flags | libc::CLONE_PARENT) } {
                Ok(Side::Child) => Ok(Side::Child),
                Ok(Side::Parent(pid)) => match ids.give_below(pid) {
                    Ok(()) => sys::leave(0),
                    Err(reason) => far.fail(&reason),
                },
                Err(error) => far.fail(&format!("cannot make a user namespace: {error}")),
            }
        }
        Side::Parent(between) => {
            // How it ended shows in what it says over the channel.
            let _ = rustix::process::waitpid(Pid::from_raw(between), WaitOptions::empty());
            Ok(Side::Parent(between))
        }
    }
}
