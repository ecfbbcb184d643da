//! Becomes the user that a container runs as, with no more rights than it is given.

use std::{fs, io, io::Read, os::unix::fs::OpenOptionsExt};

use rustix::{
    process::{Gid, Uid},
    thread::{CapabilitySet, CapabilitySets},
};

use super::{
    filter,
    ids::Ids,
    sys::{self, Looks},
};
use crate::{
    core::{
        capability,
        passwd::{self, Identity, Wanted},
    },
    runtime::Security,
};

/// Bytes of a file of users; more is not read.
const USERS_BYTES: u64 = 1 << 20;
/// Capabilities that a kernel may know of.
const CAPABILITIES: u64 = 64;

/// Who the container runs as. Its root must be this process's.
///
/// # Errors
/// A name that its files do not know.
pub fn identify(security: &Security) -> Result<Identity, String> {
    let wanted = Wanted {
        user: security.user,
        group: security.group,
        supplementary: &security.supplementary,
        image: &security.image_user,
    };
    passwd::resolve(wanted, &users("/etc/passwd"), &users("/etc/group"))
}

fn users(path: &str) -> String {
    // Whatever the image has there: a pipe is not waited for.
    let file = fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path);
    let Ok(file) = file else { return String::new() };
    let mut bytes = Vec::new();
    if file.metadata().is_ok_and(|meta| meta.is_file()) {
        let _ = file.take(USERS_BYTES).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Becomes that user. What comes after is what the user may do.
///
/// # Errors
/// Names the field that asks for what cannot be had.
pub fn become_one(who: &Identity, security: &Security, ids: &Ids) -> Result<(), String> {
    let failed = |what: &str, error: io::Error| format!("cannot {what}: {error}");
    if ids.has_many() {
        let groups: Vec<Gid> = who.supplementary.iter().map(|group| Gid::from_raw(*group)).collect();
        rustix::thread::set_thread_groups(&groups).map_err(|error| failed("set groups", error.into()))?;
        let group = Gid::from_raw(who.group);
        rustix::thread::set_thread_res_gid(group, group, group)
            .map_err(|error| failed(&format!("become group {}", who.group), error.into()))?;
        rustix::thread::set_keep_capabilities(true).map_err(|error| failed("keep rights", error.into()))?;
        let user = Uid::from_raw(who.user);
        rustix::thread::set_thread_res_uid(user, user, user)
            .map_err(|error| failed(&format!("become user {}", who.user), error.into()))?;
    } else if rustix::process::getuid().as_raw() != who.user || rustix::process::getgid().as_raw() != who.group {
        rename(who).map_err(|error| failed(&format!("become user {}", who.user), error))?;
    }
    confine(who, security)
}

/// Where there is one id it is given the number that is asked for, in a user namespace below.
fn rename(who: &Identity) -> io::Result<()> {
    sys::unshare(libc::CLONE_NEWUSER)?;
    // The files below are this user's own only then.
    sys::let_look(Looks::Allowed);
    // Refused where it is so already.
    let _ = fs::write("/proc/self/setgroups", "deny");
    fs::write("/proc/self/uid_map", format!("{} 0 1\n", who.user))?;
    fs::write("/proc/self/gid_map", format!("{} 0 1\n", who.group))?;
    sys::let_look(Looks::Refused);
    Ok(())
}

fn confine(who: &Identity, security: &Security) -> Result<(), String> {
    let failed = |what: &'static str| move |error: io::Error| format!("cannot {what}: {error}");
    let bits = capability::bits(security.privileged, &security.add, &security.drop)?;
    let now = rustix::thread::capabilities(None).map_err(|error| failed("read capabilities")(error.into()))?;
    // Becoming another user put them to sleep; filters need them once more.
    set(now.permitted, now.permitted).map_err(failed("raise capabilities"))?;
    for number in (0..CAPABILITIES).filter(|number| bits & (1 << number) == 0) {
        // SAFETY: the call takes numbers; one that the kernel does not know it refuses.
        unsafe { libc::prctl(libc::PR_CAPBSET_DROP, number, 0, 0, 0) };
    }
    if security.no_new_privileges {
        rustix::thread::set_no_new_privs(true).map_err(|error| failed("set no_new_privs")(error.into()))?;
    }
    if !security.privileged {
        filter::install().map_err(failed("install a filter of system calls"))?;
    }
    // Filters of the network go here: before the last rights are gone, after everything that they would look at.
    let kept =
        if who.user == 0 { now.permitted & CapabilitySet::from_bits_retain(bits) } else { CapabilitySet::empty() };
    set(kept, kept).map_err(failed("drop capabilities"))
}

fn set(effective: CapabilitySet, permitted: CapabilitySet) -> io::Result<()> {
    let sets = CapabilitySets { effective, permitted, inheritable: CapabilitySet::empty() };
    Ok(rustix::thread::set_capabilities(None, sets)?)
}
