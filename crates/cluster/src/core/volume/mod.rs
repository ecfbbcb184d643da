//! Persistent volumes and the claims on them: which volume a claim gets, when one is made for it, and
//! what becomes of a volume whose claim is gone.
//!
//! Follows `pkg/controller/volume/persistentvolume` and the three protection controllers of Kubernetes 1.34.
//! Volumes are made for classes of one provisioner, [`PROVISIONER`]: directories on the node. Making and
//! removing directories is not done here.

pub mod attributes;
pub mod claim;
mod matching;
#[expect(clippy::module_inception, reason = "the file of the kind that the folder is named for")]
pub mod volume;

#[cfg(test)]
mod tests;

use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolume, PersistentVolumeClaim};

/// The provisioner of the classes that volumes are made for.
pub const PROVISIONER: &str = "ferroflow.dev/local";
const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
const STORAGE_PROVISIONER: &str = "volume.kubernetes.io/storage-provisioner";
const STORAGE_PROVISIONER_BETA: &str = "volume.beta.kubernetes.io/storage-provisioner";
const LEGACY_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
const CLAIM_PROTECTION: &str = "kubernetes.io/pvc-protection";
const VOLUME_PROTECTION: &str = "kubernetes.io/pv-protection";

/// The class of a claim; empty where it asks for volumes without one.
pub fn class_of_claim(claim: &PersistentVolumeClaim) -> String {
    let legacy = claim.metadata.annotations.as_ref().and_then(|all| all.get(LEGACY_CLASS)).cloned();
    legacy.or_else(|| claim.spec.as_ref()?.storage_class_name.clone()).unwrap_or_default()
}

fn class_of_volume(volume: &PersistentVolume) -> String {
    let legacy = volume.metadata.annotations.as_ref().and_then(|all| all.get(LEGACY_CLASS)).cloned();
    legacy.or_else(|| volume.spec.as_ref()?.storage_class_name.clone()).unwrap_or_default()
}

/// Whether a volume names this claim; one that names no UID waits for any claim of that name.
pub fn is_for(reference: &ObjectReference, claim: &PersistentVolumeClaim) -> bool {
    let uid = reference.uid.as_deref().unwrap_or_default();
    reference.name == claim.metadata.name
        && reference.namespace == claim.metadata.namespace
        && (uid.is_empty() || Some(uid) == claim.metadata.uid.as_deref())
}

fn claim_ref(volume: &PersistentVolume) -> Option<&ObjectReference> {
    volume.spec.as_ref()?.claim_ref.as_ref()
}

fn name_of(name: &Option<String>) -> &str {
    name.as_deref().unwrap_or_default()
}
