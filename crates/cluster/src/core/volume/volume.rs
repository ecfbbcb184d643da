//! What to do about one volume.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, PersistentVolumeStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{PROVISIONED_BY, PROVISIONER, VOLUME_PROTECTION, claim_ref};
use crate::core::job::Event;

/// What to do, in this order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    pub status: Option<PersistentVolumeStatus>,
    /// The directory to remove; then the volume is deleted.
    pub reclaim: Option<String>,
    /// The whole object, without the finalizer that held it.
    pub freed: Option<PersistentVolume>,
    pub events: Vec<Event>,
}

/// Decides about one volume; `claim` is the one that it names, if that exists.
pub fn plan(volume: &PersistentVolume, claim: Option<&PersistentVolumeClaim>, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let phase = phase(volume, claim);
    if volume.metadata.deletion_timestamp.is_some() {
        free(volume, phase, &mut plan);
        return plan;
    }
    set_phase(volume, phase, None, now, &mut plan);
    if phase != "Released" {
        return plan;
    }
    let policy = volume.spec.as_ref().and_then(|spec| spec.persistent_volume_reclaim_policy.as_deref());
    match policy {
        Some("Delete") => reclaim(volume, now, &mut plan),
        Some("Recycle") => {
            let note = "No recycler plugin found for the volume!";
            set_phase(volume, "Failed", Some(("VolumeFailedRecycle", note)), now, &mut plan);
        }
        _ => {}
    }
    plan
}

fn phase(volume: &PersistentVolume, claim: Option<&PersistentVolumeClaim>) -> &'static str {
    let uid = claim_ref(volume).and_then(|reference| reference.uid.as_deref()).unwrap_or_default();
    if uid.is_empty() {
        return "Available";
    }
    let claim = claim.filter(|claim| claim.metadata.uid.as_deref() == Some(uid));
    let Some(claim) = claim else { return "Released" };
    let named = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).unwrap_or_default();
    let ours = named.is_empty() || Some(named) == volume.metadata.name.as_deref();
    if ours { "Bound" } else { "Released" }
}

fn reclaim(volume: &PersistentVolume, now: Timestamp, plan: &mut Plan) {
    let by = volume.metadata.annotations.as_ref().and_then(|all| all.get(PROVISIONED_BY));
    let path = volume.spec.as_ref().and_then(|spec| Some(spec.host_path.as_ref()?.path.clone()));
    match path.filter(|_| by.is_some_and(|by| by == PROVISIONER)) {
        Some(path) => plan.reclaim = Some(path),
        // Another provisioner removes what it made; without one, nobody does.
        None if by.is_some() => {}
        None => {
            let note = "no deletable volume plugin matched";
            set_phase(volume, "Failed", Some(("VolumeFailedDelete", note)), now, plan);
        }
    }
}

/// A volume that is being deleted goes when it is not bound.
fn free(volume: &PersistentVolume, phase: &str, plan: &mut Plan) {
    let protected = volume.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == VOLUME_PROTECTION);
    if phase == "Bound" || !protected {
        return;
    }
    let mut freed = volume.clone();
    freed.metadata.finalizers.iter_mut().for_each(|all| all.retain(|finalizer| finalizer != VOLUME_PROTECTION));
    plan.freed = Some(freed);
}

fn set_phase(volume: &PersistentVolume, phase: &str, failure: Option<(&str, &str)>, now: Timestamp, plan: &mut Plan) {
    let standing = volume.status.clone().unwrap_or_default();
    // A failed volume stays so while its claim is gone.
    let failed = standing.phase.as_deref() == Some("Failed") && phase == "Released";
    if standing.phase.as_deref() == Some(phase) {
        plan.status = None;
        return;
    }
    if failed {
        return;
    }
    if let Some((reason, note)) = failure {
        plan.events.push(Event::warning(reason, note));
    }
    plan.status = Some(PersistentVolumeStatus {
        phase: Some(phase.to_owned()),
        message: failure.map(|(_, note)| note.to_owned()),
        last_phase_transition_time: Some(Time(now)),
        ..standing
    });
}
