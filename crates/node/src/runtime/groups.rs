//! The control group of a pod, remembered beside it: a later server may have its own in another place.

use std::{fs, io, path::Path};

use ferroflow_platform::kubelet::ContainerUsage;

use super::Error;
use crate::{
    core::cgroup::{self, Place},
    shim::{
        cgroup::{count, end as end_group},
        protocol::{self, Live},
        tree,
    },
};

const FILE: &str = "cgroup.json";
/// `/proc` counts time in hundredths of a second on every Linux: proc_pid_stat(5), `USER_HZ`.
const TICK_NANOSECONDS: u64 = 1_000_000_000 / 100;

/// The group of the pod in `directory`: the one that it has, or one in `tree`, remembered before it is made.
///
/// # Errors
/// When it cannot be remembered.
pub fn of_pod(directory: &Path, uid: &str, tree: Option<&Place>) -> Result<Option<Place>, Error> {
    if let Some(place) = remembered(directory) {
        return Ok(Some(place));
    }
    let Some(tree) = tree else { return Ok(None) };
    let (path, place) = (directory.join(FILE), tree.below(&cgroup::pod_name(uid)));
    let temporary = path.with_extension("new");
    serde_json::to_vec(&place)
        .map_err(io::Error::from)
        .and_then(|bytes| fs::write(&temporary, bytes))
        .and_then(|()| fs::rename(&temporary, &path))
        .map_err(|error| Error::file("write", &path, error))?;
    Ok(Some(place))
}

fn remembered(directory: &Path) -> Option<Place> {
    serde_json::from_slice(&fs::read(directory.join(FILE)).ok()?).ok()
}

/// Ends what is left in the pod's group, whose supervisor is gone, and forgets it.
pub fn end(directory: &Path) {
    if let Some(place) = remembered(directory) {
        end_group(&place);
        // The same group is found again if this stays.
        let _ = fs::remove_file(directory.join(FILE));
    }
}

/// What a container uses: as its group counts it, else as its processes show it.
pub fn usage(directory: &Path, live: &Live) -> ContainerUsage {
    counted(directory, live).unwrap_or_else(|| {
        let pids = tree::descendants(live.pid);
        let ticks: u64 = pids.iter().map(|pid| tree::processor_ticks(*pid)).sum();
        ContainerUsage {
            name: live.container.clone(),
            cpu_nanoseconds_total: ticks * TICK_NANOSECONDS,
            memory_bytes: pids.iter().map(|pid| tree::resident_bytes(*pid)).sum(),
        }
    })
}

/// The same where its group counts both processor time and memory.
fn counted(directory: &Path, live: &Live) -> Option<ContainerUsage> {
    let place = remembered(directory)?.below(&protocol::group_name(&live.container, live.number));
    let usage = count::usage(&place);
    Some(ContainerUsage {
        name: live.container.clone(),
        cpu_nanoseconds_total: usage.cpu_nanoseconds?,
        memory_bytes: usage.memory_bytes?,
    })
}
