//! Starts a container in namespaces of its own, and further processes in it.
//!
//! The pod has a process that holds what its containers share: [`pause`]. A container is started in steps, each a
//! process: the first opens what is mounted, while it still sees the host ([`source`]); it joins the pod's
//! namespaces; the last one, number 1 of its own, makes the container's root ([`root`], [`system`], [`place`]),
//! gives up its rights ([`person`], [`filter`]) and becomes the program ([`execute`]). All of them are children of
//! the supervisor, and speak with it over a [`channel`] that closes when the program runs.
//!
//! Must be used in a process with one thread.

mod channel;
mod execute;
mod filter;
mod ids;
mod nested;
mod pause;
mod person;
mod place;
pub mod removal;
mod root;
mod source;
pub(super) mod sys;
mod system;

use std::os::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    unix::net::UnixStream,
};

pub use execute::Task;
pub use ids::{Ids, is_root_of_host};
pub use pause::Pod;
pub use source::beneath;

use self::{
    channel::Far,
    place::Kind,
    source::{Sources, Waiting},
    sys::{Looks, Side},
    system::View,
};
use super::{
    cgroup::{self, Join},
    child::{PREFIX, Streams},
    network, oom,
    protocol::Jail,
};

/// The home of an environment.
pub const HOME: &str = "/home/pod";
/// Directories of a run's scratch: those of an image's root, and those of an environment.
pub const SCRATCH: [&str; 7] = ["upper", "work", "etc", "tmp", "var-tmp", "run", "home"];

/// A container's first process, or one that was started in it later.
pub struct Process {
    pub pid: i32,
    /// It, whoever has its number later; those in no namespaces have none.
    pub handle: Option<OwnedFd>,
    /// Where the filter before its system calls asks.
    pub listener: Option<OwnedFd>,
}

/// Starts a container of a pod, whose first process goes into its control group before it does anything.
///
/// # Errors
/// A sentence in the words of a container runtime.
pub fn start(pod: &Pod, jail: &Jail, task: &Task<'_>, streams: Streams, join: &Join) -> Result<Process, String> {
    make(task, join, |far, supervisor| {
        let reason = step_in(pod, jail, &streams).and_then(|sources| {
            let flags = libc::CLONE_NEWNS | libc::CLONE_NEWCGROUP;
            let own = if jail.share_process_namespace { 0 } else { libc::CLONE_NEWPID };
            // In the pod's process namespace first: one of its own can only be made in it.
            in_child(0, || {
                in_child(flags | own, || {
                    far.here().map_err(|error| error.to_string())?;
                    furnish(jail, task, sources, pod)?;
                    execute::execute(task, streams, &pod.ids, supervisor)
                })
            })
        });
        far.fail(&prefixed(reason));
    })
}

/// Starts a further process in a container, in all of its namespaces.
///
/// # Errors
/// A sentence in the words of a container runtime.
pub fn enter(
    pod: &Pod,
    container: &OwnedFd,
    task: &Task<'_>,
    streams: Streams,
    join: &Join,
) -> Result<Process, String> {
    make(task, join, |far, supervisor| {
        let all = libc::CLONE_NEWUSER
            | libc::CLONE_NEWNS
            | libc::CLONE_NEWPID
            | libc::CLONE_NEWIPC
            | libc::CLONE_NEWUTS
            | libc::CLONE_NEWCGROUP
            | pod.network.as_ref().map_or(0, |_| libc::CLONE_NEWNET);
        let ids = &pod.ids;
        sys::let_look(Looks::Refused);
        let joined = sys::join(container, all).map_err(|error| format!("cannot join the container: {error}"));
        let reason = joined.and_then(|()| {
            if ids.has_many() {
                pause::become_root().map_err(|error| format!("cannot become the pod's root: {error}"))?;
            }
            in_child(0, || {
                far.here().map_err(|error| error.to_string())?;
                execute::execute(task, streams, ids, supervisor)
            })
        });
        far.fail(&prefixed(reason));
    })
}

fn prefixed(reason: Result<std::convert::Infallible, String>) -> String {
    let Err(reason) = reason;
    if reason.starts_with(PREFIX) || reason == "no command specified" { reason } else { format!("{PREFIX}: {reason}") }
}

/// Makes a process that `act` in the end becomes, and waits until it has.
fn make(task: &Task<'_>, join: &Join, act: impl FnOnce(Far, Option<BorrowedFd<'_>>)) -> Result<Process, String> {
    let failed = |error: std::io::Error| format!("cannot make a socket: {error}");
    let (near, far) = channel::pair().map_err(failed)?;
    let ends = task.asks.map(|_| UnixStream::pair()).transpose().map_err(failed)?;
    let (listens, supervisor) = ends.unzip();
    let moving = join.descriptors();
    // SAFETY: a supervisor has one thread.
    let born = join.birthplace().and_then(|group| unsafe { sys::fork_into(group) }.ok());
    let is_inside = born.is_some();
    // SAFETY: as above.
    let side = born.map_or_else(|| unsafe { sys::fork(0) }, Ok);
    match side.map_err(|error| format!("cannot make a process: {error}"))? {
        Side::Child => {
            drop((near, listens));
            match if is_inside { Ok(()) } else { cgroup::enter(&moving) } {
                Ok(()) => {
                    oom::adjust_own(task.oom_score_adj.to_string().as_bytes());
                    act(far, supervisor.as_ref().map(AsFd::as_fd));
                }
                Err(error) => far.fail(&format!("{PREFIX}: cannot enter the container's control group: {error}")),
            }
            sys::leave(1)
        }
        Side::Parent(_) => {
            drop((far, supervisor));
            let done = near.done();
            let pid = done.map_err(|(_, reason)| reason)?;
            let number = rustix::process::Pid::from_raw(pid).ok_or("the process has no number")?;
            // It is a child that nobody has waited for: the number is still its own.
            let handle = rustix::process::pidfd_open(number, rustix::process::PidfdFlags::empty());
            let handle = handle.map_err(|error| format!("cannot watch process {pid}: {error}"))?;
            let listener = listens.map(|child| network::filter::receive(child.as_fd())).transpose();
            let listener = listener.map_err(|error| {
                // Without anyone who answers for it, it would have no network: it must not run at all.
                let _ = rustix::process::pidfd_send_signal(&handle, rustix::process::Signal::KILL);
                format!("the filter before its system calls is lost: {error}")
            })?;
            Ok(Process { pid, handle: Some(handle), listener })
        }
    }
}

/// Goes on in a child, a sister of this process, which ends.
fn in_child(
    flags: sys::CloneFlags,
    act: impl FnOnce() -> Result<std::convert::Infallible, String>,
) -> Result<std::convert::Infallible, String> {
    // SAFETY: this process has one thread, as the supervisor that it comes from.
    let handed_over = unsafe { sys::hand_over(flags | libc::CLONE_PARENT) };
    handed_over.map_err(|error| format!("cannot make a process in its namespaces: {error}"))?;
    act()
}

/// Opens what the container is made of, and joins the pod.
fn step_in(pod: &Pod, jail: &Jail, streams: &Streams) -> Result<Sources, String> {
    let failed = |what: &'static str| move |error: std::io::Error| format!("cannot {what}: {error}");
    sys::let_look(Looks::Refused);
    let shifts = pod.ids.shifts();
    let open = |ids| {
        let mut sources = Sources::open(jail, ids)?;
        sources.devices.extend(source::console(streams, &pod.ids)?);
        Ok::<_, String>(sources)
    };
    let before = if shifts { Some(open(Some(pod.user.as_fd()))?) } else { None };
    sys::join(&pod.user, libc::CLONE_NEWUSER).map_err(failed("join the pod's user namespace"))?;
    pause::become_root().map_err(failed("become the pod's root"))?;
    sys::join(&pod.messages, libc::CLONE_NEWIPC).map_err(failed("join the pod's messages"))?;
    sys::join(&pod.name, libc::CLONE_NEWUTS).map_err(failed("join the pod's name"))?;
    if let Some(network) = &pod.network {
        sys::join(network, libc::CLONE_NEWNET).map_err(failed("join the pod's network"))?;
    }
    sys::join(&pod.processes, libc::CLONE_NEWPID).map_err(failed("join the pod's processes"))?;
    let sources = match before {
        Some(sources) => sources,
        None => {
            // An ordinary user may mount what it sees only in a namespace of its own.
            sys::unshare(libc::CLONE_NEWNS).map_err(failed("make a mount namespace"))?;
            sys::make_private().map_err(failed("make mounts private"))?;
            open(None)?
        }
    };
    sys::join(&pod.mounts, libc::CLONE_NEWNS).map_err(failed("join the pod's mounts"))?;
    make_memory(jail)?;
    Ok(sources)
}

/// Makes the pod's volumes in memory that are not there yet.
fn make_memory(jail: &Jail) -> Result<(), String> {
    for mount in &jail.mounts {
        let (Some(size), Some(path)) = (mount.tmpfs, memory_path(mount)) else { continue };
        if std::path::Path::new(&path).is_dir() {
            continue;
        }
        let (size, group) = (size.to_string(), mount.group.map(|group| group.to_string()));
        let mut options = vec![("mode", if group.is_some() { "2777" } else { "0777" })];
        options.extend(group.as_deref().map(|group| ("gid", group)));
        if size != "0" {
            options.push(("size", size.as_str()));
        }
        let flags = rustix::mount::MountAttrFlags::MOUNT_ATTR_NODEV;
        let made = sys::make_directory(&path, 0o755)
            .and_then(|()| sys::place(sys::file_system("tmpfs", &options, flags)?, sys::locate(path.as_ref())?));
        made.map_err(|error| format!("cannot make a volume in memory for {:?}: {error}", mount.target))?;
    }
    Ok(())
}

fn memory_path(mount: &crate::runtime::Mount) -> Option<String> {
    Some(format!("{}/{}", pause::MEMORY, mount.source.file_name()?.to_string_lossy()))
}

/// Makes the container's root with everything in it, and makes it this process's.
fn furnish(jail: &Jail, task: &Task<'_>, mut sources: Sources, pod: &Pod) -> Result<(), String> {
    let made = root::make(&mut sources, jail.hidden.as_deref())?;
    let root = made.as_fd();
    let view = if task.security.privileged { View::Whole } else { View::Usual };
    system::mount(root, std::mem::take(&mut sources.devices), view, pod.ids.has_many())?;
    let etc = [
        ("etc/hosts", "/etc/hosts", &jail.etc.hosts),
        ("etc/resolv.conf", "/etc/resolv.conf", &jail.etc.resolv_conf),
        ("etc/hostname", "/etc/hostname", &jail.hostname),
    ];
    for (name, path, text) in etc {
        let is_mounted = jail.mounts.iter().any(|mount| mount.target == path);
        if !text.is_empty() && !is_mounted {
            system::mount_file(root, sources.scratch.as_fd(), name, path)?;
        }
    }
    let mut volumes: Vec<_> = jail.mounts.iter().zip(sources.volumes).collect();
    // Those above come before those below, whatever order the pod has them in.
    volumes.sort_by_key(|(mount, _)| mount.target.trim_end_matches('/').matches('/').count());
    for (mount, volume) in volumes {
        let volume = match volume {
            Some(volume) => volume,
            None => memory(mount)?,
        };
        let kind = if volume.is_directory { Kind::Directory } else { Kind::File };
        place::mount(root, volume.mount, &mount.target, kind)?;
    }
    if task.security.read_only_root {
        root::close(root)?;
    }
    sys::change_root(root).map_err(|error| format!("cannot change the root: {error}"))
}

fn memory(mount: &crate::runtime::Mount) -> Result<Waiting, String> {
    let path = memory_path(mount).ok_or("a volume in memory has no name")?;
    source::in_memory(path.as_ref(), mount)
}
