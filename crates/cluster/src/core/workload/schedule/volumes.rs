//! A pod's claims: does each exist, and does it have its volume?

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Volume};

use super::Snapshot;
use crate::core::workload::{claim, pods};

/// The names of the claims that get their volume when a node is known.
///
/// # Errors
/// The reason why no node can be chosen at all.
pub fn check(pod: &Pod, snapshot: &Snapshot) -> Result<Vec<String>, String> {
    let namespace = pod.metadata.namespace.clone().unwrap_or_default();
    let mut late = Vec::new();
    let mut unbound = false;
    for volume in pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()) {
        let Some((name, made)) = claim_name(pod, volume) else { continue };
        let Some(claim) = snapshot.claims.get(&(namespace.clone(), name.clone())) else {
            return Err(missing(&name, made));
        };
        check_claim(pod, claim, &name, made)?;
        if is_bound(claim) {
            continue;
        }
        match is_late(claim, snapshot) {
            true => late.push(name),
            false => unbound = true,
        }
    }
    if unbound { Err("pod has unbound immediate PersistentVolumeClaims".to_owned()) } else { Ok(late) }
}

/// Whether a claim is named by the user, or made for a volume of the pod.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Made {
    ByUser,
    ForPod,
}

fn claim_name(pod: &Pod, volume: &Volume) -> Option<(String, Made)> {
    if let Some(source) = &volume.persistent_volume_claim {
        return Some((source.claim_name.clone(), Made::ByUser));
    }
    let made = || (format!("{}-{}", pods::name(&pod.metadata), volume.name), Made::ForPod);
    volume.ephemeral.as_ref().map(|_| made())
}

fn missing(name: &str, made: Made) -> String {
    match made {
        Made::ByUser => format!("persistentvolumeclaim {name:?} not found"),
        Made::ForPod => {
            format!("waiting for ephemeral volume controller to create the persistentvolumeclaim {name:?}")
        }
    }
}

fn check_claim(pod: &Pod, claim: &PersistentVolumeClaim, name: &str, made: Made) -> Result<(), String> {
    let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref());
    if phase == Some("Lost") {
        let volume = claim.spec.as_ref().and_then(|spec| spec.volume_name.clone()).unwrap_or_default();
        return Err(format!("persistentvolumeclaim {name:?} bound to non-existent persistentvolume {volume:?}"));
    }
    if claim.metadata.deletion_timestamp.is_some() {
        return Err(format!("persistentvolumeclaim {name:?} is being deleted"));
    }
    if made == Made::ForPod && !claim::is_controlled_by(&claim.metadata, pods::uid(&pod.metadata)) {
        let (namespace, pod) = (pod.metadata.namespace.clone().unwrap_or_default(), pods::name(&pod.metadata));
        return Err(format!("PVC {namespace}/{name} was not created for pod {namespace}/{pod} (pod is not owner)"));
    }
    Ok(())
}

fn is_bound(claim: &PersistentVolumeClaim) -> bool {
    claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).is_some_and(|volume| !volume.is_empty())
}

fn is_late(claim: &PersistentVolumeClaim, snapshot: &Snapshot) -> bool {
    let class = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_ref());
    class.is_some_and(|class| snapshot.late_classes.contains(class))
}
