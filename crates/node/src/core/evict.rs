//! Which pods a node ends because they use too much, or because it has too little left.
//!
//! The rules, their order and their messages are those of a kubelet (`pkg/kubelet/eviction`: `helpers.go`,
//! `eviction_manager.go`, `defaults_linux.go`). Measures nothing.

use std::{collections::BTreeMap, fmt};

use k8s_openapi::api::core::v1::{Container, Pod};

use super::quantity;

/// The reason of a pod that was ended so.
pub const REASON: &str = "Evicted";
/// Seconds that such a pod gets to end in.
pub const GRACE_S: i64 = 1;
/// Pods of this priority and above are never ended so: twice the highest that a user may set.
const CRITICAL_PRIORITY: i32 = 2_000_000_000;

/// What a pod uses, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Writable layers and logs, by container.
    pub disk: BTreeMap<String, u64>,
    /// Volumes that lie on the node's disk and end with the pod, by name.
    pub volumes: BTreeMap<String, u64>,
    /// Memory, by container.
    pub memory: BTreeMap<String, u64>,
}

/// What a node can have too little of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    Memory,
    Disk,
}

impl Resource {
    /// As a pod's requests spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "ephemeral-storage",
        }
    }

    /// The condition of a node that has too little of it.
    pub fn condition(self) -> &'static str {
        match self {
            Self::Memory => "MemoryPressure",
            Self::Disk => "DiskPressure",
        }
    }

    fn signal(self) -> &'static str {
        match self {
            Self::Memory => "memory.available",
            Self::Disk => "nodefs.available",
        }
    }

    fn used(self, usage: &Usage) -> u64 {
        match self {
            Self::Memory => usage.memory.values().sum(),
            Self::Disk => usage.disk.values().chain(usage.volumes.values()).sum(),
        }
    }
}

/// How little may be left: bytes, or thousandths of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threshold {
    Bytes(u64),
    Millis(u64),
}

/// The thresholds of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thresholds {
    rows: BTreeMap<Resource, (Threshold, String)>,
}

impl Default for Thresholds {
    /// A kubelet's.
    fn default() -> Self {
        let rows = [
            (Resource::Memory, (Threshold::Bytes(100 << 20), "100Mi".to_owned())),
            (Resource::Disk, (Threshold::Millis(100), "10%".to_owned())),
        ];
        Self { rows: BTreeMap::from(rows) }
    }
}

impl Thresholds {
    /// Reads `memory.available<100Mi,nodefs.available<10%`; what is not named has no threshold.
    ///
    /// # Errors
    /// Names the part that cannot be read.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut rows = BTreeMap::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let wrong = |why: &str| format!("eviction threshold {part:?} {why}; write it as memory.available<100Mi");
            let (signal, value) = part.split_once('<').ok_or_else(|| wrong("has no \"<\""))?;
            let resource = [Resource::Memory, Resource::Disk].into_iter().find(|one| one.signal() == signal);
            let resource = resource.ok_or_else(|| wrong("is neither of memory.available nor of nodefs.available"))?;
            let threshold = match value.strip_suffix('%') {
                Some(percent) => quantity::milli(percent)
                    .filter(|millis| (0..=100_000).contains(millis))
                    .and_then(|millis| u64::try_from(millis / 100).ok())
                    .map(Threshold::Millis),
                None => {
                    quantity::milli(value).and_then(|millis| u64::try_from(millis / 1000).ok()).map(Threshold::Bytes)
                }
            };
            rows.insert(resource, (threshold.ok_or_else(|| wrong("has no amount"))?, value.to_owned()));
        }
        Ok(Self { rows })
    }
}

impl fmt::Display for Thresholds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.rows.iter().map(|(resource, (_, text))| format!("{}<{text}", resource.signal()));
        f.write_str(&rows.collect::<Vec<_>>().join(","))
    }
}

/// What a node has of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    pub capacity: u64,
    pub available: u64,
}

/// A threshold that has been crossed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Low {
    pub resource: Resource,
    /// The threshold and what is left, as messages show them.
    pub threshold: String,
    pub available: String,
}

/// The resources that are below their thresholds.
pub fn low(thresholds: &Thresholds, levels: &BTreeMap<Resource, Level>) -> Vec<Low> {
    let rows = thresholds.rows.iter().filter_map(|(resource, (threshold, text))| {
        let level = levels.get(resource)?;
        let least = match threshold {
            Threshold::Bytes(bytes) => *bytes,
            Threshold::Millis(millis) => {
                u64::try_from(u128::from(level.capacity) * u128::from(*millis) / 1000).unwrap_or(u64::MAX)
            }
        };
        // A message shows the amount that a percentage comes to.
        let threshold = if matches!(threshold, Threshold::Bytes(_)) { text.clone() } else { binary(least) };
        (level.available < least).then(|| Low { resource: *resource, threshold, available: binary(level.available) })
    });
    rows.collect()
}

/// Why a pod has to end for what it uses itself; `None` when it keeps within its limits.
pub fn over_limit(pod: &Pod, usage: &Usage) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    for volume in spec.volumes.iter().flatten() {
        let Some(limit) = volume.empty_dir.as_ref().and_then(|source| source.size_limit.as_ref()) else { continue };
        let used = usage.volumes.get(&volume.name).copied().unwrap_or(0);
        if bytes(&limit.0).is_some_and(|limit| limit > 0 && used > limit) {
            return Some(format!("Usage of EmptyDir volume {:?} exceeds the limit {:?}. ", volume.name, limit.0));
        }
    }
    let limits: Vec<(&Container, u64, &str)> = spec
        .containers
        .iter()
        .filter_map(|container| {
            let limit = container.resources.as_ref()?.limits.as_ref()?.get(Resource::Disk.as_str())?;
            Some((container, bytes(&limit.0)?, limit.0.as_str()))
        })
        .collect();
    let total: u64 = limits.iter().map(|(_, limit, _)| *limit).sum();
    if !limits.is_empty() && Resource::Disk.used(usage) > total {
        let text = if let [(_, _, text)] = limits.as_slice() { (*text).to_owned() } else { binary(total) };
        return Some(format!("Pod ephemeral local storage usage exceeds the total limit of containers {text}. "));
    }
    limits.iter().find_map(|(container, limit, text)| {
        let used = usage.disk.get(&container.name).copied().unwrap_or(0);
        let name = &container.name;
        (used > *limit).then(|| format!("Container {name} exceeded its local ephemeral storage limit {text:?}. "))
    })
}

/// The pod that ends first where the node is low: those above their requests before others, then by priority,
/// then by how far they are above. `None` where no pod may be ended.
pub fn choose<'a, Id>(resource: Resource, pods: impl IntoIterator<Item = (Id, &'a Pod, &'a Usage)>) -> Option<Id> {
    let ranked = pods.into_iter().filter(|(_, pod, _)| !is_critical(pod)).map(|(id, pod, usage)| {
        let above = i128::from(resource.used(usage)) - i128::from(requested(pod, resource));
        ((above > 0, std::cmp::Reverse(priority(pod)), above), id)
    });
    ranked.max_by(|(a, _), (b, _)| a.cmp(b)).map(|(_, id)| id)
}

/// What the status of a pod says that ended because the node was low.
pub fn message(low: &Low, pod: &Pod, usage: &Usage) -> String {
    let resource = low.resource.as_str();
    let mut message = format!(
        "The node was low on resource: {resource}. Threshold quantity: {}, available: {}. ",
        low.threshold, low.available
    );
    let used = if low.resource == Resource::Memory { &usage.memory } else { &usage.disk };
    for container in pod.spec.iter().flat_map(|spec| &spec.containers) {
        let Some(used) = used.get(&container.name).copied() else { continue };
        let request = container.resources.as_ref().and_then(|resources| resources.requests.as_ref()?.get(resource));
        let amount = request.and_then(|request| bytes(&request.0)).unwrap_or(0);
        if used > amount {
            message.push_str(&format!(
                "Container {} was using {}, request is {}, has larger consumption of {resource}. ",
                container.name,
                binary(used),
                request.map_or("0", |request| request.0.as_str())
            ));
        }
    }
    message
}

fn priority(pod: &Pod) -> i32 {
    pod.spec.as_ref().and_then(|spec| spec.priority).unwrap_or(0)
}

fn is_critical(pod: &Pod) -> bool {
    priority(pod) >= CRITICAL_PRIORITY
}

fn requested(pod: &Pod, resource: Resource) -> u64 {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let of = |container: &Container| {
        let requests = container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
        quantity::whole_of(requests, resource.as_str()).unwrap_or(0)
    };
    containers.map(of).sum()
}

fn bytes(text: &str) -> Option<u64> {
    let milli = quantity::milli(text)?;
    u64::try_from(milli.div_euclid(1000) + i128::from(milli.rem_euclid(1000) > 0)).ok()
}

/// Bytes as Go's `resource.BinarySI` prints them: the largest unit in which the number is whole.
pub fn binary(bytes: u64) -> String {
    let mut rest = bytes;
    let mut unit = "";
    for next in ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"] {
        if rest == 0 || !rest.is_multiple_of(1024) {
            break;
        }
        rest /= 1024;
        unit = next;
    }
    format!("{rest}{unit}")
}

#[cfg(test)]
#[path = "evict_tests.rs"]
mod tests;
