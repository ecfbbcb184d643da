//! Which of a node's devices a container gets.
//!
//! Indices are handed out lowest first; a device belongs to one container at a time.

use std::collections::{BTreeMap, BTreeSet};

/// The devices of one container: resource name to indices.
pub type Devices = BTreeMap<String, Vec<u32>>;

/// The resource whose indices NVIDIA's libraries read from variables.
pub const NVIDIA_GPU: &str = "nvidia.com/gpu";

/// Chooses devices for a container.
///
/// `wanted` and `capacity` are counts by resource; `held` are the devices of other containers.
///
/// # Errors
/// The resource that has too few free devices, with how many are free.
pub fn allocate<'a>(
    wanted: &BTreeMap<String, u32>,
    capacity: &BTreeMap<String, u32>,
    held: impl IntoIterator<Item = &'a Devices>,
) -> Result<Devices, (String, usize)> {
    let mut taken: BTreeMap<&str, BTreeSet<u32>> = BTreeMap::new();
    for devices in held {
        for (resource, indices) in devices {
            taken.entry(resource).or_default().extend(indices);
        }
    }
    let mut chosen = Devices::new();
    for (resource, count) in wanted {
        let all = 0..capacity.get(resource).copied().unwrap_or(0);
        let used = taken.get(resource.as_str());
        let free: Vec<u32> = all.filter(|index| !used.is_some_and(|used| used.contains(index))).collect();
        let Some(indices) = free.get(..*count as usize) else { return Err((resource.clone(), free.len())) };
        chosen.insert(resource.clone(), indices.to_vec());
    }
    Ok(chosen)
}

/// How a container is kept from devices that are not its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// It can open all device nodes of the host: variables tell it which are its own.
    All,
    /// It has the nodes of its own devices alone, which CUDA numbers from 0.
    Own,
}

/// The variables that tell a container its devices. Without GPUs of its own it sees none: another
/// container's devices must not look free to it.
pub fn variables(devices: &Devices, node_has_gpus: bool, sight: Sight) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    match devices.get(NVIDIA_GPU) {
        Some(indices) if !indices.is_empty() => {
            let list = |indices: &mut dyn Iterator<Item = u32>| {
                indices.map(|index| index.to_string()).collect::<Vec<_>>().join(",")
            };
            let count = u32::try_from(indices.len()).unwrap_or(0);
            let seen = if sight == Sight::All { list(&mut indices.iter().copied()) } else { list(&mut (0..count)) };
            variables.insert("CUDA_VISIBLE_DEVICES".to_owned(), seen);
            variables.insert("NVIDIA_VISIBLE_DEVICES".to_owned(), list(&mut indices.iter().copied()));
        }
        _ if node_has_gpus => {
            variables.insert("CUDA_VISIBLE_DEVICES".to_owned(), String::new());
            variables.insert("NVIDIA_VISIBLE_DEVICES".to_owned(), "void".to_owned());
        }
        _ => {}
    }
    variables
}

/// Nodes that every container with a GPU needs beside those of its devices.
const NVIDIA_NODES: [&str; 3] = ["/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools"];
/// Libraries of the driver that belong to computing: what NVIDIA's runtime binds for the capabilities `compute` and
/// `utility`, its default (`libnvidia-container`, `src/nvc_info.c`).
const NVIDIA_LIBRARIES: [&str; 13] = [
    "libnvidia-ml.so",
    "libnvidia-cfg.so",
    "libcuda.so",
    "libcudadebugger.so",
    "libnvidia-opencl.so",
    "libnvidia-gpucomp.so",
    "libnvidia-ptxjitcompiler.so",
    "libnvidia-fatbinaryloader.so",
    "libnvidia-allocator.so",
    "libnvidia-compiler.so",
    "libnvidia-pkcs11.so",
    "libnvidia-pkcs11-openssl3.so",
    "libnvidia-nvvm.so",
];
/// Programs of the driver.
const NVIDIA_PROGRAMS: [&str; 5] = [
    "/usr/bin/nvidia-smi",
    "/usr/bin/nvidia-debugdump",
    "/usr/bin/nvidia-persistenced",
    "/usr/bin/nvidia-cuda-mps-control",
    "/usr/bin/nvidia-cuda-mps-server",
];

/// A path of the host that a container gets, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    pub source: String,
    pub target: String,
    pub read_only: bool,
}

/// The device nodes that belong to these devices; `is_there` tells which exist, for a simulated device has none.
pub fn nodes(devices: &Devices, is_there: impl Fn(&str) -> bool) -> Vec<String> {
    let own = devices.get(NVIDIA_GPU).into_iter().flatten().map(|index| format!("/dev/nvidia{index}"));
    let own: Vec<String> = own.filter(|path| is_there(path)).collect();
    if own.is_empty() {
        return own;
    }
    let common = NVIDIA_NODES.into_iter().filter(|path| is_there(path)).map(str::to_owned);
    own.into_iter().chain(common).collect()
}

/// The driver's files that an image does not have: they must be those of the host's kernel module. `cache` is what
/// `ldconfig -p` prints; `architecture` is the machine's, as `uname -m` names it.
pub fn driver(cache: &str, architecture: &str, is_there: impl Fn(&str) -> bool) -> Vec<Given> {
    let wanted = |name: &str| {
        NVIDIA_LIBRARIES.iter().any(|library| {
            name.strip_prefix(library).is_some_and(|version| version.is_empty() || version.starts_with('.'))
        })
    };
    let this = match architecture {
        "x86_64" => "x86-64",
        "aarch64" => "AArch64",
        other => other,
    };
    let mut given = Vec::new();
    let mut seen = BTreeSet::new();
    for line in cache.lines() {
        let Some((left, source)) = line.trim().split_once(" => ") else { continue };
        let Some((name, kind)) = left.split_once(" (") else { continue };
        if !wanted(name) || !kind.contains(this) || !seen.insert(name) {
            continue;
        }
        // Where Debian's and Red Hat's loaders look without a cache of their own.
        for directory in [format!("/usr/lib/{architecture}-linux-gnu"), "/usr/lib64".to_owned()] {
            let target = format!("{directory}/{name}");
            given.push(Given { source: source.to_owned(), target, read_only: true });
        }
    }
    let programs = NVIDIA_PROGRAMS.into_iter().filter(|path| is_there(path));
    given.extend(programs.map(|path| Given { source: path.to_owned(), target: path.to_owned(), read_only: true }));
    given
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(rows: &[(&str, u32)]) -> BTreeMap<String, u32> {
        rows.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    #[test]
    fn the_lowest_free_devices_are_chosen() {
        let held = Devices::from([(NVIDIA_GPU.to_owned(), vec![0, 2])]);
        let chosen = allocate(&counts(&[(NVIDIA_GPU, 2)]), &counts(&[(NVIDIA_GPU, 4)]), [&held]).unwrap();
        assert_eq!(chosen[NVIDIA_GPU], [1, 3]);
        assert_eq!(variables(&chosen, true, Sight::All)["CUDA_VISIBLE_DEVICES"], "1,3");
    }

    #[test]
    fn too_few_devices_are_told_by_name() {
        let held = Devices::from([(NVIDIA_GPU.to_owned(), vec![0])]);
        let refused = allocate(&counts(&[(NVIDIA_GPU, 2)]), &counts(&[(NVIDIA_GPU, 2)]), [&held]);
        assert_eq!(refused, Err((NVIDIA_GPU.to_owned(), 1)));
    }

    #[test]
    fn a_container_without_gpus_sees_none() {
        assert_eq!(variables(&Devices::new(), true, Sight::All)["CUDA_VISIBLE_DEVICES"], "");
        assert!(variables(&Devices::new(), false, Sight::All).is_empty());
    }

    #[test]
    fn a_container_with_nodes_of_its_own_counts_them_from_zero() {
        let devices = Devices::from([(NVIDIA_GPU.to_owned(), vec![1, 3])]);
        let seen = variables(&devices, true, Sight::Own);
        assert_eq!((seen["CUDA_VISIBLE_DEVICES"].as_str(), seen["NVIDIA_VISIBLE_DEVICES"].as_str()), ("0,1", "1,3"));
    }

    #[test]
    fn a_container_gets_the_nodes_of_its_devices() {
        let devices = Devices::from([(NVIDIA_GPU.to_owned(), vec![1])]);
        let there = ["/dev/nvidia0", "/dev/nvidia1", "/dev/nvidiactl", "/dev/nvidia-uvm"];
        let paths = |devices: &Devices, there: &[&str]| nodes(devices, |path| there.contains(&path));
        assert_eq!(paths(&devices, &there), ["/dev/nvidia1", "/dev/nvidiactl", "/dev/nvidia-uvm"]);
        // A simulated device has no nodes, whatever else the host has.
        assert!(paths(&devices, &["/dev/nvidiactl"]).is_empty());
        assert!(paths(&Devices::new(), &there).is_empty());
    }

    #[test]
    fn the_drivers_libraries_go_where_loaders_look() {
        let cache = "3 libs found in cache `/etc/ld.so.cache'\n\
            \tlibcudart.so.12 (libc6,x86-64) => /usr/lib/x86_64-linux-gnu/libcudart.so.12\n\
            \tlibcuda.so.1 (libc6,x86-64) => /usr/lib/x86_64-linux-gnu/libcuda.so.1\n\
            \tlibcuda.so.1 (libc6) => /usr/lib/i386-linux-gnu/libcuda.so.1\n\
            \tlibnvidia-ml.so.1 (libc6,x86-64) => /opt/nvidia/libnvidia-ml.so.1\n";
        let given = driver(cache, "x86_64", |path| path == "/usr/bin/nvidia-smi");
        assert!(given.iter().all(|one| one.read_only));
        let rows: Vec<(&str, &str)> = given.iter().map(|one| (&*one.source, &*one.target)).collect();
        assert_eq!(
            rows,
            [
                ("/usr/lib/x86_64-linux-gnu/libcuda.so.1", "/usr/lib/x86_64-linux-gnu/libcuda.so.1"),
                ("/usr/lib/x86_64-linux-gnu/libcuda.so.1", "/usr/lib64/libcuda.so.1"),
                ("/opt/nvidia/libnvidia-ml.so.1", "/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1"),
                ("/opt/nvidia/libnvidia-ml.so.1", "/usr/lib64/libnvidia-ml.so.1"),
                ("/usr/bin/nvidia-smi", "/usr/bin/nvidia-smi"),
            ]
        );
    }
}
