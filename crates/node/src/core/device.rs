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

/// The variables that tell a container its devices. Without GPUs of its own it sees none: another
/// container's devices must not look free to it.
pub fn variables(devices: &Devices, node_has_gpus: bool) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    match devices.get(NVIDIA_GPU) {
        Some(indices) if !indices.is_empty() => {
            let list = indices.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
            variables.insert("CUDA_VISIBLE_DEVICES".to_owned(), list.clone());
            variables.insert("NVIDIA_VISIBLE_DEVICES".to_owned(), list);
        }
        _ if node_has_gpus => {
            variables.insert("CUDA_VISIBLE_DEVICES".to_owned(), String::new());
            variables.insert("NVIDIA_VISIBLE_DEVICES".to_owned(), "void".to_owned());
        }
        _ => {}
    }
    variables
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
        assert_eq!(variables(&chosen, true)["CUDA_VISIBLE_DEVICES"], "1,3");
    }

    #[test]
    fn too_few_devices_are_told_by_name() {
        let held = Devices::from([(NVIDIA_GPU.to_owned(), vec![0])]);
        let refused = allocate(&counts(&[(NVIDIA_GPU, 2)]), &counts(&[(NVIDIA_GPU, 2)]), [&held]);
        assert_eq!(refused, Err((NVIDIA_GPU.to_owned(), 1)));
    }

    #[test]
    fn a_container_without_gpus_sees_none() {
        assert_eq!(variables(&Devices::new(), true)["CUDA_VISIBLE_DEVICES"], "");
        assert!(variables(&Devices::new(), false).is_empty());
    }
}
