//! What is the pod's and not one container's: its user ids, its name, its processes' numbers, shared memory, and
//! volumes in memory. A small process holds them, as the pause container does in other runtimes; when it ends,
//! everything in the pod ends with it.

use std::{
    collections::BTreeMap,
    fs, io,
    net::Ipv4Addr,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    fs::{Mode, OFlags},
    mount::MountAttrFlags,
    process::Signal,
};

use super::{
    channel::{self, Far, Near},
    filter,
    ids::Ids,
    nested,
    sys::{self, Change, Looks, Side},
};

use crate::shim::network::private::Private;

/// The root of a container before it becomes its root.
pub const ROOT: &str = "/r";
/// Where layers lie while a root is made of them.
pub const LAYERS: &str = "/l";
/// Volumes in memory, by their names.
pub const MEMORY: &str = "/m";
/// What containers have of the pod's.
pub const PROCESSES: &str = "/proc";
pub const SYSTEM: &str = "/sys";
/// Where control groups are mounted.
const GROUPS: &str = "/sys/fs/cgroup";
pub const SHARED_MEMORY: &str = "/shm";
/// As containerd has it.
const SHARED_MEMORY_SIZE: &str = "64m";

/// Whose network the pod's processes are in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Pod,
    Host,
}

/// The namespaces of a pod.
pub struct Pod {
    pub pid: i32,
    pub user: OwnedFd,
    pub processes: OwnedFd,
    pub messages: OwnedFd,
    pub name: OwnedFd,
    pub mounts: OwnedFd,
    /// The network, where the pod has one of its own.
    pub network: Option<OwnedFd>,
    pub ids: Ids,
}

impl Pod {
    /// Makes the namespaces of a pod; with `own`, a network with this address is among them.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn make(
        ids: Ids,
        hostname: &str,
        sysctls: &BTreeMap<String, String>,
        own: Option<(&mut Private, Ipv4Addr)>,
    ) -> Result<Self, String> {
        let (near, far) = channel::pair().map_err(|error| format!("cannot make a socket: {error}"))?;
        let network = own.as_ref().map_or(0, |_| libc::CLONE_NEWNET);
        let flags = libc::CLONE_NEWUSER | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS | network;
        let below = own.as_ref().and_then(|(private, _)| private.user());
        let side = match below {
            // SAFETY: a supervisor has one thread.
            Some(user) => unsafe { nested::fork(user, flags, &ids, &far) }?,
            // SAFETY: as above.
            None => unsafe { sys::fork(flags) }.map_err(|error| format!("cannot make a user namespace: {error}"))?,
        };
        match side {
            Side::Child => {
                drop(near);
                be(&far, hostname, sysctls, if own.is_some() { Whose::Pod } else { Whose::Host })
            }
            Side::Parent(pid) => {
                drop(far);
                if below.is_none() {
                    ids.give(pid).inspect_err(|_| end(pid))?;
                }
                near.go().map_err(|error| error.to_string())?;
                // The first process that was made may have been another.
                let pid = near.here()?;
                let pod = Self::finish(pid, ids, &near, own).inspect_err(|_| end(pid))?;
                confine(&pod.ids);
                Ok(pod)
            }
        }
    }

    fn finish(pid: i32, ids: Ids, near: &Near, own: Option<(&mut Private, Ipv4Addr)>) -> Result<Self, String> {
        let open = |kind: &str| {
            let path = format!("/proc/{pid}/ns/{kind}");
            fs::File::open(&path).map(OwnedFd::from).map_err(|error| format!("cannot open {path}: {error}"))
        };
        let pod = Self {
            pid,
            user: open("user")?,
            processes: open("pid")?,
            messages: open("ipc")?,
            name: open("uts")?,
            mounts: open("mnt")?,
            network: own.is_some().then(|| open("net")).transpose()?,
            ids,
        };
        if let (Some((private, address)), Some(network)) = (own, &pod.network) {
            private.attach(address, network)?;
        }
        near.go().map_err(|error| error.to_string())?;
        near.here()?;
        Ok(pod)
    }
}

/// All containers come from the supervisor: what holds for it holds for all of them together.
fn confine(ids: &Ids) {
    match ids {
        // Programs that become another user must be able to.
        Ids::Ranges { .. } => {}
        Ids::Single => {
            if rustix::thread::set_no_new_privs(true).is_ok() {
                filter::close_abstract_sockets();
            }
        }
        Ids::Shifted(_) => filter::close_abstract_sockets(),
    }
}

fn end(pid: i32) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid) {
        // It may have ended by itself.
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
}

/// Becomes the process that holds the pod.
fn be(far: &Far, hostname: &str, sysctls: &BTreeMap<String, String>, network: Whose) -> ! {
    // The supervisor ended before it told this process to go on.
    if far.wait().is_err() {
        sys::leave(1);
    }
    if let Err(reason) = set_up(hostname, sysctls, network) {
        far.fail(&reason);
    }
    // The supervisor looks at this process, which nobody can once it hides.
    if far.here().and_then(|()| far.wait()).is_err() {
        sys::leave(1);
    }
    // After the last change of who this is, which would undo it.
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    sys::let_look(Looks::Refused);
    // A supervisor that ended before that took effect does not hear this.
    if far.here().is_err() {
        sys::leave(1);
    }
    // SAFETY: this process uses no descriptor from here on.
    unsafe { libc::syscall(libc::SYS_close_range, 0, u32::MAX, 0) };
    reap()
}

/// Waits for processes whose parents have ended, until it is killed.
fn reap() -> ! {
    loop {
        match rustix::process::wait(rustix::process::WaitOptions::empty()) {
            Ok(_) => {}
            // SAFETY: the supervisor's signals are still blocked; waiting for one takes no more than the set.
            Err(_) => unsafe {
                let mut set: libc::sigset_t = std::mem::zeroed();
                libc::sigemptyset(&raw mut set);
                libc::sigaddset(&raw mut set, libc::SIGCHLD);
                libc::sigwaitinfo(&raw const set, std::ptr::null_mut());
            },
        }
    }
}

fn set_up(hostname: &str, sysctls: &BTreeMap<String, String>, network: Whose) -> Result<(), String> {
    let failed = |what: &'static str| move |error: io::Error| format!("cannot {what}: {error}");
    become_root().map_err(failed("become the pod's root"))?;
    if !hostname.is_empty() {
        rustix::system::sethostname(hostname.as_bytes())
            .map_err(|error| failed("set the host's name")(error.into()))?;
    }
    sys::unshare(libc::CLONE_NEWNS).map_err(failed("make a mount namespace"))?;
    sys::make_private().map_err(failed("make mounts private"))?;
    make_tree(network).map_err(failed("make the pod's mounts"))?;
    for (name, value) in sysctls {
        let path = format!("{PROCESSES}/sys/{}", name.replace('.', "/"));
        fs::write(path, value).map_err(|error| format!("cannot set sysctl {name:?}: {error}"))?;
    }
    Ok(())
}

/// Becomes user and group 0 of the user namespace.
///
/// # Errors
/// When they are not there.
pub fn become_root() -> io::Result<()> {
    // Refused where there is one id, which then is all that there is.
    let _ = rustix::thread::set_thread_groups(&[]);
    let (user, group) = (rustix::process::Uid::ROOT, rustix::process::Gid::ROOT);
    rustix::thread::set_thread_res_gid(group, group, group)?;
    rustix::thread::set_thread_res_uid(user, user, user)?;
    Ok(())
}

fn make_tree(network: Whose) -> io::Result<()> {
    let flags = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    let tree = sys::file_system("tmpfs", &[("mode", "0755"), ("size", "1m")], flags)?;
    let processes = sys::file_system("proc", &[], flags | MountAttrFlags::MOUNT_ATTR_NOEXEC);
    // Where the host hides parts of its own, a new one would show them: what there is is shown again.
    let processes = match processes {
        Ok(processes) => processes,
        Err(_) => sys::copy_of(sys::locate("/proc".as_ref())?, true)?,
    };
    let copy = |path: &str| sys::copy_of(sys::locate(path.as_ref())?, true);
    // A new one shows the pod's interfaces, and lacks the control groups.
    let fresh =
        (network == Whose::Pod).then(|| sys::file_system("sysfs", &[], flags | MountAttrFlags::MOUNT_ATTR_NOEXEC));
    let (system, groups) = match fresh {
        Some(Ok(fresh)) => (fresh, copy(GROUPS).ok()),
        _ => (copy("/sys")?, None),
    };
    let read_only = Change { set: sys::READ_ONLY, recursive: true, ..Change::default() };
    sys::change(&system, read_only)?;
    groups.iter().try_for_each(|groups| sys::change(groups, read_only))?;
    let options = [("mode", "1777"), ("size", SHARED_MEMORY_SIZE)];
    let memory = sys::file_system("tmpfs", &options, flags | MountAttrFlags::MOUNT_ATTR_NOEXEC)?;
    // Any directory that is there will do: it is soon gone.
    sys::place(&tree, sys::locate("/dev".as_ref())?)?;
    rustix::process::fchdir(&tree)?;
    for name in [ROOT, LAYERS, MEMORY, PROCESSES, SYSTEM, SHARED_MEMORY] {
        sys::make_directory(&name[1..], 0o755)?;
    }
    for (mount, name) in [(processes, PROCESSES), (system, SYSTEM), (memory, SHARED_MEMORY)] {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        sys::place(mount, rustix::fs::openat(tree.as_fd(), &name[1..], flags, Mode::empty())?)?;
    }
    if let Some(groups) = groups {
        sys::place(groups, sys::locate_in(tree.as_fd(), GROUPS)?)?;
    }
    sys::change_root(tree)
}
