//! What to do about one claim.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    HostPathVolumeSource, ObjectReference, PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimStatus,
    PersistentVolumeSpec, Pod,
};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::matching::{best, capacity, fits, requested};
use super::{
    BIND_COMPLETED, BOUND_BY_CONTROLLER, CLAIM_PROTECTION, PROVISIONED_BY, PROVISIONER, STORAGE_PROVISIONER,
    STORAGE_PROVISIONER_BETA, claim_ref, class_of_claim, is_for, name_of,
};
use crate::core::job::Event;

/// A write of a volume.
#[derive(Clone, Debug, PartialEq)]
pub enum VolumeWrite {
    Create(Box<PersistentVolume>),
    Replace(Box<PersistentVolume>),
}

/// What to do, in this order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    pub volume: Option<VolumeWrite>,
    /// The whole object, without its status.
    pub claim: Option<PersistentVolumeClaim>,
    pub status: Option<PersistentVolumeClaimStatus>,
    pub events: Vec<Event>,
}

/// What is known when a claim is looked at.
pub struct Observed<'a> {
    pub volumes: &'a [&'a PersistentVolume],
    /// The class that the claim names, if it exists.
    pub class: Option<&'a StorageClass>,
    /// The pods of the claim's namespace.
    pub pods: &'a [&'a Pod],
    /// Where the volume of this claim is to be, if one is made.
    pub directory: &'a str,
}

/// Decides about one claim.
pub fn plan(claim: &PersistentVolumeClaim, observed: &Observed) -> Plan {
    let mut plan = Plan::default();
    if claim.metadata.deletion_timestamp.is_some() {
        release(claim, observed.pods, &mut plan);
        return plan;
    }
    let annotated = |name: &str| claim.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(name));
    let named = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).filter(|name| !name.is_empty());
    match named {
        Some(name) => {
            let volume = observed.volumes.iter().find(|volume| name_of(&volume.metadata.name) == name);
            bind_named(claim, volume.copied(), annotated(BIND_COMPLETED), observed.class, &mut plan);
        }
        None => match best(claim, observed.volumes).filter(|_| !waits(claim, observed)) {
            Some(volume) => bind(claim, volume, &mut plan),
            None => provision(claim, observed, &mut plan),
        },
    }
    plan
}

/// Whether the claim's volume is to be chosen only when a pod wants it.
fn waits(claim: &PersistentVolumeClaim, observed: &Observed) -> bool {
    let late = observed.class.is_some_and(|class| class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer"));
    late && !observed.pods.iter().any(|pod| uses(pod, claim))
}

/// Whether the pod mounts the claim.
pub fn uses(pod: &Pod, claim: &PersistentVolumeClaim) -> bool {
    let pod_name = name_of(&pod.metadata.name);
    let mut volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    volumes.any(|volume| {
        let named = volume.persistent_volume_claim.as_ref().map(|source| source.claim_name.clone());
        let own = volume.ephemeral.as_ref().map(|_| format!("{pod_name}-{}", volume.name));
        named.or(own).as_deref() == claim.metadata.name.as_deref()
    })
}

/// A claim that is being deleted goes when no scheduled pod uses it.
fn release(claim: &PersistentVolumeClaim, pods: &[&Pod], plan: &mut Plan) {
    let scheduled = |pod: &Pod| {
        pod.spec.as_ref().is_some_and(|spec| spec.node_name.as_deref().is_some_and(|name| !name.is_empty()))
    };
    let in_use = pods.iter().any(|pod| scheduled(pod) && uses(pod, claim));
    let protected = claim.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == CLAIM_PROTECTION);
    if in_use || !protected {
        return;
    }
    let mut freed = claim.clone();
    freed.metadata.finalizers.iter_mut().for_each(|all| all.retain(|finalizer| finalizer != CLAIM_PROTECTION));
    plan.claim = Some(freed);
}

fn bind_named(
    claim: &PersistentVolumeClaim,
    volume: Option<&PersistentVolume>,
    completed: bool,
    class: Option<&StorageClass>,
    plan: &mut Plan,
) {
    let Some(volume) = volume else {
        let note = "Bound claim has lost its PersistentVolume. Data on the volume is lost!";
        return set_phase(claim, if completed { Some(("Lost", "ClaimLost", note)) } else { None }, plan);
    };
    match claim_ref(volume) {
        Some(reference) if !is_for(reference, claim) => {
            let name = name_of(&volume.metadata.name);
            if completed {
                let note = "Bound claim has lost its PersistentVolume. Data on the volume is lost!";
                return set_phase(claim, Some(("Lost", "ClaimMisbound", note)), plan);
            }
            let note = format!("volume \"{name}\" already bound to a different claim.");
            plan.events.push(Event::warning("FailedBinding", note));
            set_phase(claim, None, plan);
        }
        _ if !completed && !fits(claim, volume) => {
            let name = name_of(&volume.metadata.name);
            let note = format!("Cannot bind to requested volume \"{name}\": {}", mismatch(claim, volume));
            plan.events.push(Event::warning("VolumeMismatch", note));
            set_phase(claim, None, plan);
        }
        _ => {
            bind(claim, volume, plan);
            expand(claim, volume, class, plan);
        }
    }
}

fn mismatch(claim: &PersistentVolumeClaim, volume: &PersistentVolume) -> &'static str {
    match () {
        () if capacity(volume) < requested(claim) => "requested PV is too small",
        () if class_of_claim(claim) != super::class_of_volume(volume) => "storageClassName does not match",
        () => "incompatible accessMode",
    }
}

/// Makes volume and claim point at each other; what does already is left alone.
fn bind(claim: &PersistentVolumeClaim, volume: &PersistentVolume, plan: &mut Plan) {
    let mut taken = volume.clone();
    let spec = taken.spec.get_or_insert_default();
    let reserved = spec.claim_ref.is_some();
    let mut reference = reference(claim);
    if let Some(old) = &spec.claim_ref {
        reference.resource_version.clone_from(&old.resource_version);
    }
    if spec.claim_ref.as_ref() != Some(&reference) && spec.claim_ref.as_ref().is_none_or(|old| old.uid != reference.uid)
    {
        spec.claim_ref = Some(reference);
        if !reserved {
            annotate(&mut taken.metadata, BOUND_BY_CONTROLLER, "yes");
        }
        plan.volume = Some(VolumeWrite::Replace(Box::new(taken)));
    }
    complete(claim, volume, plan);
}

fn complete(claim: &PersistentVolumeClaim, volume: &PersistentVolume, plan: &mut Plan) {
    let mut bound = claim.clone();
    let spec = bound.spec.get_or_insert_default();
    if spec.volume_name.as_deref().unwrap_or_default().is_empty() {
        spec.volume_name.clone_from(&volume.metadata.name);
        annotate(&mut bound.metadata, BOUND_BY_CONTROLLER, "yes");
    }
    annotate(&mut bound.metadata, BIND_COMPLETED, "yes");
    let mut status = claim.status.clone().unwrap_or_default();
    status.phase = Some("Bound".to_owned());
    let offered = volume.spec.as_ref();
    status.access_modes = offered.and_then(|spec| spec.access_modes.clone());
    if status.capacity.is_none() {
        status.capacity = offered.and_then(|spec| spec.capacity.clone());
    }
    if bound != *claim {
        plan.claim = Some(bound);
    }
    if claim.status.as_ref() != Some(&status) {
        plan.status = Some(status);
    }
}

/// A directory grows by saying so, where the class allows it.
fn expand(claim: &PersistentVolumeClaim, volume: &PersistentVolume, class: Option<&StorageClass>, plan: &mut Plan) {
    let wanted = requested(claim);
    let allowed =
        class.is_some_and(|class| class.allow_volume_expansion == Some(true) && class.provisioner == PROVISIONER);
    let size = BTreeMap::from([("storage".to_owned(), Text(wanted.to_string()))]);
    if !allowed {
        return;
    }
    if capacity(volume) < wanted {
        let mut grown = volume.clone();
        grown.spec.get_or_insert_default().capacity.get_or_insert_default().extend(size.clone());
        plan.volume = Some(VolumeWrite::Replace(Box::new(grown)));
    }
    let status = plan.status.clone().or_else(|| claim.status.clone()).unwrap_or_default();
    let stated = status.capacity.as_ref().and_then(|all| all.get("storage"));
    if stated.and_then(|text| text.0.parse().ok()).is_none_or(|stated: crate::core::quantity::Quantity| stated < wanted)
    {
        plan.status = Some(PersistentVolumeClaimStatus { capacity: Some(size), ..status });
    }
}

fn provision(claim: &PersistentVolumeClaim, observed: &Observed, plan: &mut Plan) {
    set_phase(claim, None, plan);
    let class_name = class_of_claim(claim);
    if class_name.is_empty() {
        let note = "no persistent volumes available for this claim and no storage class is set";
        plan.events.push(Event::normal("FailedBinding", note));
        return;
    }
    let Some(class) = observed.class else {
        let note = format!("storageclass.storage.k8s.io \"{class_name}\" not found");
        plan.events.push(Event::warning("ProvisioningFailed", note));
        return;
    };
    if waits(claim, observed) {
        let note = "waiting for first consumer to be created before binding";
        plan.events.push(Event::normal("WaitForFirstConsumer", note));
        return;
    }
    let provisioner = class.provisioner.as_str();
    let mut asking = claim.clone();
    annotate(&mut asking.metadata, STORAGE_PROVISIONER, provisioner);
    annotate(&mut asking.metadata, STORAGE_PROVISIONER_BETA, provisioner);
    if provisioner != PROVISIONER {
        plan.claim = (asking != *claim).then_some(asking);
        let note = format!(
            "Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the \
             system administrator. If volume creation is delayed, please verify that the provisioner is running and \
             correctly registered."
        );
        plan.events.push(Event::normal("ExternalProvisioning", note));
        return;
    }
    let volume = volume(claim, class, observed.directory);
    let note = format!("Successfully provisioned volume {}", name_of(&volume.metadata.name));
    plan.events.push(Event::normal("ProvisioningSucceeded", note));
    complete(&asking, &volume, plan);
    plan.volume = Some(VolumeWrite::Create(Box::new(volume)));
}

fn volume(claim: &PersistentVolumeClaim, class: &StorageClass, directory: &str) -> PersistentVolume {
    let mut metadata =
        ObjectMeta { name: Some(format!("pvc-{}", name_of(&claim.metadata.uid))), ..ObjectMeta::default() };
    annotate(&mut metadata, PROVISIONED_BY, PROVISIONER);
    let wanted = claim.spec.as_ref();
    let size = Text(requested(claim).to_string());
    PersistentVolume {
        metadata,
        spec: Some(PersistentVolumeSpec {
            access_modes: wanted.and_then(|spec| spec.access_modes.clone()),
            capacity: Some(BTreeMap::from([("storage".to_owned(), size)])),
            claim_ref: Some(reference(claim)),
            host_path: Some(HostPathVolumeSource {
                path: directory.to_owned(),
                type_: Some("DirectoryOrCreate".to_owned()),
            }),
            mount_options: class.mount_options.clone(),
            persistent_volume_reclaim_policy: Some(class.reclaim_policy.clone().unwrap_or_else(|| "Delete".to_owned())),
            storage_class_name: class.metadata.name.clone(),
            volume_mode: wanted.and_then(|spec| spec.volume_mode.clone()),
            ..PersistentVolumeSpec::default()
        }),
        status: None,
    }
}

fn reference(claim: &PersistentVolumeClaim) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("PersistentVolumeClaim".to_owned()),
        namespace: claim.metadata.namespace.clone(),
        name: claim.metadata.name.clone(),
        uid: claim.metadata.uid.clone(),
        resource_version: claim.metadata.resource_version.clone(),
        field_path: None,
    }
}

/// Sets phase Pending, or the given phase with a warning; a phase that stands says nothing again.
fn set_phase(claim: &PersistentVolumeClaim, lost: Option<(&str, &str, &str)>, plan: &mut Plan) {
    let phase = lost.map_or("Pending", |(phase, ..)| phase);
    let mut status = claim.status.clone().unwrap_or_default();
    if status.phase.as_deref() == Some(phase) {
        return;
    }
    status.phase = Some(phase.to_owned());
    plan.status = Some(status);
    if let Some((_, reason, note)) = lost {
        plan.events.push(Event::warning(reason, note));
    }
}

fn annotate(metadata: &mut ObjectMeta, name: &str, value: &str) {
    metadata.annotations.get_or_insert_default().insert(name.to_owned(), value.to_owned());
}
