//! Looks every ten seconds what pods and the node use, and tells the workers of pods that have to end for it.
//!
//! Which those are is decided in `core::evict`. At most one pod ends in a look because the node is low: the next
//! look shows whether that was enough.

use std::{
    collections::{BTreeMap, HashSet},
    path::Path,
    sync::{Arc, PoisonError},
    time::Duration,
};

use ferroflow_platform::{kubelet::ContainerUsage, task::Kind};
use k8s_openapi::api::core::v1::Pod;
use tokio::sync::mpsc;

use super::{Shared, disk, image_care, register, worker::Note};
use crate::{
    core::{
        evict::{self, Level, Low, Resource, Usage},
        history::Point,
    },
    runtime::Sandbox,
};

/// How often is looked.
const PERIOD: Duration = Duration::from_secs(10);
/// A look that takes long comes less often: it has at most a tenth of one processor.
const PAUSE_FACTOR: u32 = 9;
/// A supervisor that does not answer must not hold up the others.
const PATIENCE: Duration = Duration::from_secs(2);

/// A pod that runs here.
struct Seen {
    uid: String,
    pod: Arc<Pod>,
    sandbox: Arc<dyn Sandbox>,
    notes: mpsc::Sender<Note>,
    usage: Usage,
}

/// Begins to look.
pub fn start(shared: &Arc<Shared>) {
    let shared = shared.clone();
    shared.group.clone().spawn("usage of pods", Kind::Essential, async move {
        loop {
            let begun = shared.clock.instant();
            look(&shared).await;
            let took = shared.clock.instant() - begun;
            shared.clock.sleep(PERIOD.max(took * PAUSE_FACTOR)).await;
        }
        #[allow(unreachable_code)]
        Ok::<(), std::convert::Infallible>(())
    });
}

async fn look(shared: &Arc<Shared>) {
    let mut seen = pods(shared);
    for one in &mut seen {
        measure(shared, one).await;
    }
    let uids: HashSet<String> = seen.iter().map(|one| one.uid.clone()).collect();
    let now = shared.clock.now();
    let machine = Machine::read(&shared.config.data_dir);
    let used = machine.memory.capacity.saturating_sub(machine.memory.available);
    shared.figures.settle(Point { at: now, cpu_nanoseconds: machine.cpu_nanoseconds, memory_bytes: used }, &uids);
    let mut ending = HashSet::new();
    for one in &seen {
        if let Some(message) = evict::over_limit(&one.pod, &one.usage) {
            evict(one, message);
            ending.insert(one.uid.clone());
        }
    }
    let levels = BTreeMap::from([(Resource::Memory, machine.memory), (Resource::Disk, machine.disk)]);
    let low = evict::low(&shared.config.eviction, &levels);
    // What these give back is not known yet.
    if ending.is_empty() && !(is_disk(&low) && image_care::make_room(shared).await) {
        relieve(&seen, &low);
    }
    let changed = {
        let mut pressure = shared.pressure.lock().unwrap_or_else(PoisonError::into_inner);
        let before = pressure.rows();
        pressure.observe(&low, now);
        before != pressure.rows()
    };
    if changed {
        tracing::info!(?low, "the node's pressure has changed");
        if let Err(error) = register::write_node(shared).await {
            tracing::warn!(%error, "cannot write the node's conditions");
        }
    }
}

/// The pods that run and are not told to end.
fn pods(shared: &Shared) -> Vec<Seen> {
    let pods = shared.pods.lock().unwrap_or_else(PoisonError::into_inner);
    let rows = pods.iter().filter_map(|(uid, handle)| {
        let pod = handle.pod.borrow().clone()?;
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        let ends = matches!(phase, Some("Succeeded" | "Failed")) || pod.metadata.deletion_timestamp.is_some();
        let sandbox = handle.sandbox.clone().filter(|_| !ends)?;
        Some(Seen { uid: uid.clone(), pod, sandbox, notes: handle.notes.clone(), usage: Usage::default() })
    });
    rows.collect()
}

async fn measure(shared: &Shared, one: &mut Seen) {
    let usage: Vec<ContainerUsage> = match tokio::time::timeout(PATIENCE, one.sandbox.usage()).await {
        Ok(Ok(usage)) => usage,
        Ok(Err(error)) => {
            tracing::debug!(uid = one.uid, %error, "cannot read what a pod uses");
            Vec::new()
        }
        Err(_) => {
            tracing::debug!(uid = one.uid, "a pod's supervisor does not say what it uses");
            Vec::new()
        }
    };
    shared.figures.add(&one.pod, &one.uid, &usage, shared.clock.now());
    let directory = one.sandbox.directory();
    let measured = tokio::task::spawn_blocking(move || disk::measure(&directory)).await.unwrap_or_default();
    one.usage = Usage {
        disk: measured.containers,
        volumes: measured.volumes,
        memory: usage.into_iter().map(|one| (one.name, one.memory_bytes)).collect(),
    };
}

/// Whether the disk is what has to be relieved.
fn is_disk(low: &[Low]) -> bool {
    low.first().is_some_and(|low| low.resource == Resource::Disk)
}

fn relieve(seen: &[Seen], low: &[Low]) {
    // Memory first, as it is what a machine dies of.
    let Some(low) = low.first() else { return };
    let candidates = seen.iter().map(|one| (one, &*one.pod, &one.usage));
    if let Some(chosen) = evict::choose(low.resource, candidates) {
        evict(chosen, evict::message(low, &chosen.pod, &chosen.usage));
    }
}

fn evict(one: &Seen, message: String) {
    tracing::info!(uid = one.uid, message, "a pod is evicted");
    // A worker with a full queue is told at the next look.
    let _ = one.notes.try_send(Note::Evicted { message });
}

/// What the machine has and has used.
struct Machine {
    memory: Level,
    disk: Level,
    cpu_nanoseconds: u64,
}

impl Machine {
    fn read(data: &Path) -> Self {
        let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let bytes = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            let kilobytes: Option<u64> = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
            kilobytes.unwrap_or(0) * 1024
        };
        let disk = rustix::fs::statvfs(data).map_or(Level { capacity: 0, available: 0 }, |stat| Level {
            capacity: stat.f_blocks * stat.f_frsize,
            available: stat.f_bavail * stat.f_frsize,
        });
        Self {
            memory: Level { capacity: bytes("MemTotal:"), available: bytes("MemAvailable:") },
            disk,
            cpu_nanoseconds: cpu_nanoseconds(&std::fs::read_to_string("/proc/stat").unwrap_or_default()),
        }
    }
}

/// Processor time in use, from the first line of `/proc/stat`: everything but idle, waiting for disks and guests, which
/// count as users already.
fn cpu_nanoseconds(stat: &str) -> u64 {
    const TICK_NANOSECONDS: u64 = 1_000_000_000 / 100;
    let fields = stat.lines().next().unwrap_or_default().split_whitespace().skip(1);
    let busy = fields.take(8).enumerate().filter(|(index, _)| !matches!(index, 3 | 4));
    busy.filter_map(|(_, ticks)| ticks.parse::<u64>().ok()).sum::<u64>() * TICK_NANOSECONDS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processors_time_leaves_out_what_is_idle() {
        assert_eq!(cpu_nanoseconds("cpu  1 2 3 100 200 4 5 6 7 8\ncpu0 1 1 1 1\n"), 210_000_000);
        assert_eq!(cpu_nanoseconds(""), 0);
    }

    #[test]
    fn this_machine_has_memory_and_a_disk() {
        let machine = Machine::read(Path::new("/"));
        assert!(machine.memory.available > 0 && machine.memory.available <= machine.memory.capacity);
        assert!(machine.disk.capacity > 0 && machine.cpu_nanoseconds > 0);
    }
}
