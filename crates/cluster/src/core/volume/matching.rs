//! The volume that fits a claim best: one that was kept for it, else the smallest that is large enough.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};

use super::{claim_ref, class_of_claim, class_of_volume, is_for};
use crate::core::quantity::Quantity;
use crate::core::workload::selector;

/// What the claim asks for.
pub fn requested(claim: &PersistentVolumeClaim) -> Quantity {
    let resources = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    let storage = resources.and_then(|resources| resources.requests.as_ref()?.get("storage"));
    storage.and_then(|text| Quantity::parse(&text.0).ok()).unwrap_or_default()
}

/// What the volume holds.
pub fn capacity(volume: &PersistentVolume) -> Quantity {
    let storage = volume.spec.as_ref().and_then(|spec| spec.capacity.as_ref()?.get("storage"));
    storage.and_then(|text| Quantity::parse(&text.0).ok()).unwrap_or_default()
}

/// The best volume for a claim that names none.
pub fn best<'a>(claim: &PersistentVolumeClaim, volumes: &[&'a PersistentVolume]) -> Option<&'a PersistentVolume> {
    let kept = |volume: &&&PersistentVolume| claim_ref(volume).is_some_and(|reference| is_for(reference, claim));
    let fitting = || volumes.iter().filter(|volume| fits(claim, volume));
    if let Some(volume) = fitting().find(kept) {
        return Some(volume);
    }
    let free = fitting().filter(|volume| {
        let labels = volume.metadata.labels.as_ref();
        let wanted = claim.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        let available = volume.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Available");
        claim_ref(volume).is_none() && available && wanted.is_none_or(|wanted| selector::matches(wanted, labels))
    });
    let by_size = |volume: &&&PersistentVolume| (capacity(volume), volume.metadata.name.clone());
    free.min_by(|left, right| by_size(left).cmp(&by_size(right))).copied()
}

/// Whether class, modes and size of the volume suit the claim.
pub fn fits(claim: &PersistentVolumeClaim, volume: &PersistentVolume) -> bool {
    let (Some(wanted), Some(offered)) = (&claim.spec, &volume.spec) else { return false };
    let offered_modes = offered.access_modes.iter().flatten().collect::<Vec<_>>();
    let modes = wanted.access_modes.iter().flatten().all(|mode| offered_modes.contains(&mode));
    let mode = |mode: &Option<String>| mode.clone().unwrap_or_else(|| "Filesystem".to_owned());
    volume.metadata.deletion_timestamp.is_none()
        && modes
        && mode(&wanted.volume_mode) == mode(&offered.volume_mode)
        && class_of_claim(claim) == class_of_volume(volume)
        && wanted.volume_attributes_class_name == offered.volume_attributes_class_name
        && capacity(volume) >= requested(claim)
}
