//! The group of one container, and the end of groups.
//!
//! Nothing here waits: what cannot be removed yet is tried again by whoever asks.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    path::Path,
    time::Duration,
};

use rustix::process::{Pid, Resource, Rlimit, Signal};

use super::{count, find, make, processes, write};
use crate::core::cgroup::{self, Bounds, Controller, Place, Version};

/// Rounds of killing a group's processes where the kernel does not do it at one stroke. None can come to them
/// meanwhile where processes are counted.
const ROUNDS: usize = 100;

/// Rounds of ending a pod's processes, a millisecond each.
const LAST_ROUNDS: usize = 1000;

/// A container's group, with what it bounds.
#[derive(Debug)]
pub struct Group {
    place: Place,
}

/// The way into a group, to be gone by a new process before it becomes its program.
///
/// The process goes by itself, with one thread: to move another one, or a group of threads, the kernel waits until no
/// process of the machine is just being made, which takes milliseconds and holds up all others who wait for the same
/// (`cgroup_threadgroup_rwsem`). At version 2 a process can be made in its group instead, which moves nothing.
#[derive(Debug)]
pub struct Join {
    files: Vec<File>,
    /// The group's directory, where a process can be made in it.
    birthplace: Option<File>,
}

impl Group {
    /// Makes the group `name` in the group of a pod, which is made too, and sets its bounds.
    ///
    /// # Errors
    /// A sentence for the container's status.
    pub fn make(pod: &Place, name: &str, bounds: Bounds) -> Result<Self, String> {
        let failed = |error: io::Error| format!("cannot make the control group of the container: {error}");
        make_pod(pod, bounds).map_err(failed)?;
        let place = pod.below(name);
        for directory in place.all() {
            make(directory).map_err(failed)?;
        }
        let group = Self { place };
        for setting in cgroup::settings(pod.version, bounds) {
            let Some(directory) = group.place.directory(setting.controller) else { continue };
            match write(directory, setting.file, &setting.value) {
                Err(error) if !setting.optional => {
                    group.remove();
                    return Err(failed(error));
                }
                _ => {}
            }
        }
        Ok(group)
    }

    /// One that is there.
    #[cfg(test)]
    pub(super) fn at(place: Place) -> Self {
        Self { place }
    }

    /// Where it is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Whether the kernel bounds this, so that nobody else has to.
    pub fn bounds(&self, controller: Controller) -> bool {
        self.place.has(controller)
    }

    /// Whether the kernel has killed a process of it for want of memory.
    pub fn ran_out_of_memory(&self) -> bool {
        count::killed_for_memory(&self.place) > 0
    }

    /// Kills every process in it.
    pub fn kill(&self) {
        kill(&self.place);
    }

    /// Removes it; false when processes are left in it, which have been killed.
    pub fn remove(&self) -> bool {
        remove(&self.place)
    }
}

impl Join {
    /// Opens the way into a group; where there is none, it leads nowhere.
    ///
    /// # Errors
    /// A sentence for the container's status.
    pub fn of(group: Option<&Group>) -> Result<Self, String> {
        let Some(place) = group.map(Group::place) else { return Ok(Self { files: Vec::new(), birthplace: None }) };
        // What moves one thread alone is not for groups of version 2.
        let (file, is_second) = match place.version {
            Version::V1 => ("tasks", false),
            Version::V2 => ("cgroup.procs", true),
        };
        let failed = |error| format!("cannot open the control group of the container: {error}");
        let open = |directory: &Path| File::options().write(true).open(directory.join(file));
        let files = place.all().into_iter().map(open).collect::<io::Result<_>>().map_err(failed)?;
        let directory = place.all().first().copied().filter(|_| is_second);
        let birthplace = directory.map(File::open).transpose().map_err(failed)?;
        Ok(Self { files, birthplace })
    }

    /// The directory of the group in which a process can be made, instead of moving there.
    pub fn birthplace(&self) -> Option<BorrowedFd<'_>> {
        self.birthplace.as_ref().map(AsFd::as_fd)
    }

    /// The descriptors that [`enter`] is called with; they live as long as this does.
    pub fn descriptors(&self) -> Vec<RawFd> {
        self.files.iter().map(AsRawFd::as_raw_fd).collect()
    }
}

/// Puts the calling process, which has one thread, into the groups that these descriptors lead to. Only system calls:
/// it may be called between fork and exec.
///
/// # Errors
/// That of the kernel.
pub fn enter(descriptors: &[RawFd]) -> io::Result<()> {
    for descriptor in descriptors {
        // SAFETY: the caller keeps the descriptor open; the buffer is one byte that lives for ever.
        if unsafe { libc::write(*descriptor, c"0".as_ptr().cast(), 1) } != 1 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Bounds the processes of the calling process's user in its user namespace, which must be the pod's own: what
/// stands in for the controller `pids` where there is none. May be called between fork and exec.
///
/// # Errors
/// That of the kernel.
pub fn bound_processes(limit: u64) -> io::Result<()> {
    let most = rustix::process::getrlimit(Resource::Nproc).maximum;
    let limit = Some(most.map_or(limit, |most| most.min(limit)));
    Ok(rustix::process::setrlimit(Resource::Nproc, Rlimit { current: limit, maximum: limit })?)
}

fn make_pod(pod: &Place, bounds: Bounds) -> io::Result<()> {
    for directory in pod.all() {
        make(directory)?;
    }
    if pod.version == Version::V2
        && let Some(directory) = pod.all().first()
    {
        let controllers: Vec<Controller> =
            pod.directories.keys().copied().filter(|controller| *controller != Controller::Cpuacct).collect();
        find::enable(directory, &controllers)?;
    }
    if let (Some(directory), Some(pids)) = (pod.directory(Controller::Pids), bounds.pids) {
        write(directory, "pids.max", &pids.to_string())?;
    }
    if let Some(request) = bounds.pod_cpu_request_millis {
        // A pod runs without its share too.
        let _ = weigh(pod, request);
    }
    Ok(())
}

/// Gives a group its share of processor time, for what is asked for in it; nothing where that is not shared out.
///
/// # Errors
/// What the kernel refuses.
pub fn weigh(place: &Place, cpu_request_millis: u64) -> io::Result<()> {
    let share = cgroup::share(place.version, cpu_request_millis);
    place.directory(share.controller).map_or(Ok(()), |directory| write(directory, share.file, &share.value))
}

fn kill(place: &Place) {
    if let Some(directory) = place.directory(Controller::Pids) {
        // Nobody is born into it from here on.
        let _ = write(directory, "pids.max", "0");
    }
    if place.version == Version::V2 {
        let all = place.all();
        // Since kernel 5.14; before, and where that fails, one by one.
        if all.iter().all(|directory| write(directory, "cgroup.kill", "1").is_ok()) {
            return;
        }
    }
    for _ in 0..ROUNDS {
        let found: BTreeSet<i32> = place.all().into_iter().flat_map(processes).collect();
        if found.is_empty() {
            return;
        }
        for pid in found.into_iter().filter_map(Pid::from_raw) {
            // It may have ended meanwhile.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    }
}

fn remove(place: &Place) -> bool {
    let removed = |directory: &Path| match fs::remove_dir(directory) {
        Err(error) => error.kind() == io::ErrorKind::NotFound,
        Ok(()) => true,
    };
    let all: Vec<bool> = place.all().into_iter().map(removed).collect();
    all.into_iter().all(|gone| gone)
}

/// Kills what runs in a pod's group and the groups below it, and removes them as far as they are empty; true when
/// nothing is left.
pub fn clear(pod: &Place) -> bool {
    let mut all = true;
    for name in children(pod) {
        // A container may have made groups of its own.
        all &= clear(&pod.below(&name));
    }
    kill(pod);
    remove(pod) && all
}

/// Clears a pod's group when everything in it is to end, and waits a moment for that. What is left then is for the
/// next server.
pub fn end(pod: &Place) {
    for _ in 0..LAST_ROUNDS {
        if clear(pod) {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Clears the groups of pods that are not among `kept`, which an earlier server left.
pub fn sweep(tree: &Place, kept: &BTreeSet<String>) {
    let kept: BTreeSet<String> = kept.iter().map(|uid| cgroup::pod_name(uid)).collect();
    for name in children(tree).into_iter().filter(|name| !kept.contains(name)) {
        clear(&tree.below(&name));
    }
}

/// Removes the group that holds the pods', when all of them have ended.
pub fn remove_tree(tree: &Place) {
    sweep(tree, &BTreeSet::new());
    // What stays is used again.
    remove(tree);
}

fn children(place: &Place) -> BTreeSet<String> {
    let entries = place.all().into_iter().filter_map(|directory| fs::read_dir(directory).ok());
    let directories = entries.flatten().flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    directories.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
