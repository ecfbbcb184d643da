use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use serde_json::{Value, json};

use super::claim::{Observed, VolumeWrite};
use super::*;

fn claim(class: Option<&str>, storage: &str) -> PersistentVolumeClaim {
    serde_json::from_value(json!({"metadata": {"name": "c", "namespace": "ns", "uid": "u", "finalizers": ["kubernetes.io/pvc-protection"]},
        "spec": {"storageClassName": class, "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": storage}}}}))
    .unwrap()
}

fn volume(name: &str, storage: &str, class: &str) -> PersistentVolume {
    serde_json::from_value(json!({"metadata": {"name": name}, "spec": {"capacity": {"storage": storage}, "accessModes": ["ReadWriteOnce", "ReadOnlyMany"],
        "storageClassName": class, "persistentVolumeReclaimPolicy": "Retain"}, "status": {"phase": "Available"}}))
    .unwrap()
}

fn class(mode: &str, provisioner: &str) -> StorageClass {
    serde_json::from_value(
        json!({"metadata": {"name": "standard"}, "provisioner": provisioner, "volumeBindingMode": mode,
        "allowVolumeExpansion": true}),
    )
    .unwrap()
}

fn pod() -> Pod {
    serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n", "containers": [],
        "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}}))
    .unwrap()
}

fn decide(
    claim: &PersistentVolumeClaim,
    volumes: &[PersistentVolume],
    class: Option<&StorageClass>,
    pods: &[Pod],
) -> super::claim::Plan {
    let volumes: Vec<&PersistentVolume> = volumes.iter().collect();
    let pods: Vec<&Pod> = pods.iter().collect();
    super::claim::plan(claim, &Observed { volumes: &volumes, class, pods: &pods, directory: "/data/pv/ns/c" })
}

/// The claim and its volume after a plan was carried out.
fn carried_out(
    claim: &PersistentVolumeClaim,
    plan: super::claim::Plan,
) -> (PersistentVolumeClaim, Option<PersistentVolume>) {
    let mut after = plan.claim.unwrap_or_else(|| claim.clone());
    after.status = plan.status.or(after.status);
    let volume = plan.volume.map(|write| match write {
        VolumeWrite::Create(volume) | VolumeWrite::Replace(volume) => *volume,
    });
    (after, volume)
}

fn reasons(plan: &super::claim::Plan) -> Vec<&str> {
    plan.events.iter().map(|event| event.reason.as_str()).collect()
}

#[test]
fn a_claim_of_our_class_gets_a_directory_and_is_bound_at_once() {
    let class = class("Immediate", PROVISIONER);
    let claim = claim(Some("standard"), "1Gi");
    let plan = decide(&claim, &[], Some(&class), &[]);
    assert_eq!(reasons(&plan), ["ProvisioningSucceeded"]);
    let (bound, volume) = carried_out(&claim, plan);
    let volume = volume.unwrap();
    let json = serde_json::to_value(&volume).unwrap();
    assert_eq!(json["metadata"]["name"], "pvc-u");
    assert_eq!(json["spec"]["hostPath"], json!({"path": "/data/pv/ns/c", "type": "DirectoryOrCreate"}));
    assert_eq!(json["spec"]["persistentVolumeReclaimPolicy"], "Delete");
    assert_eq!(bound.status.as_ref().unwrap().phase.as_deref(), Some("Bound"));
    assert_eq!(bound.spec.as_ref().unwrap().volume_name.as_deref(), Some("pvc-u"));
    assert_eq!(decide(&bound, &[volume], Some(&class), &[]), Default::default(), "nothing is left to do");
}

#[test]
fn a_claim_takes_the_smallest_volume_that_fits() {
    let volumes =
        [volume("big", "10Gi", ""), volume("small", "2Gi", ""), volume("tiny", "1Mi", ""), volume("other", "2Gi", "x")];
    let claim = claim(Some(""), "1Gi");
    let (bound, taken) = carried_out(&claim, decide(&claim, &volumes, None, &[]));
    assert_eq!(bound.spec.as_ref().unwrap().volume_name.as_deref(), Some("small"));
    let taken = taken.unwrap();
    assert_eq!(claim_ref(&taken).unwrap().uid.as_deref(), Some("u"));
    assert_eq!(taken.metadata.annotations.as_ref().unwrap()[BOUND_BY_CONTROLLER], "yes");
    assert_eq!(decide(&bound, &[taken], None, &[]), Default::default());
}

#[test]
fn a_volume_that_was_kept_for_the_claim_comes_first() {
    let mut kept = volume("kept", "10Gi", "");
    kept.spec.as_mut().unwrap().claim_ref = serde_json::from_value(json!({"namespace": "ns", "name": "c"})).unwrap();
    let claim = claim(Some(""), "1Gi");
    let (bound, _) = carried_out(&claim, decide(&claim, &[volume("small", "1Gi", ""), kept], None, &[]));
    assert_eq!(bound.spec.unwrap().volume_name.as_deref(), Some("kept"));
}

#[test]
fn what_cannot_be_bound_is_told_and_pending() {
    let check = |claim: &PersistentVolumeClaim, class: Option<&StorageClass>, reason: &str| {
        let plan = decide(claim, &[], class, &[]);
        assert_eq!((reasons(&plan), plan.status.as_ref().unwrap().phase.as_deref()), (vec![reason], Some("Pending")));
    };
    check(&claim(Some(""), "1Gi"), None, "FailedBinding");
    check(&claim(Some("none"), "1Gi"), None, "ProvisioningFailed");
    check(&claim(Some("standard"), "1Gi"), Some(&class("Immediate", "example.com/x")), "ExternalProvisioning");
    check(&claim(Some("standard"), "1Gi"), Some(&class("WaitForFirstConsumer", PROVISIONER)), "WaitForFirstConsumer");
}

#[test]
fn a_late_binding_claim_waits_for_its_first_pod() {
    let late = class("WaitForFirstConsumer", PROVISIONER);
    let plan = decide(&claim(Some("standard"), "1Gi"), &[], Some(&late), &[pod()]);
    assert_eq!(reasons(&plan), ["ProvisioningSucceeded"]);
}

#[test]
fn a_claim_in_use_outlives_its_deletion() {
    let mut going = claim(Some("standard"), "1Gi");
    going.metadata.deletion_timestamp = serde_json::from_value(json!("2030-01-01T00:00:00Z")).unwrap();
    assert_eq!(decide(&going, &[], None, &[pod()]), Default::default());
    let freed = decide(&going, &[], None, &[]).claim.unwrap();
    assert_eq!(freed.metadata.finalizers, Some(vec![]));
}

#[test]
fn a_claim_that_lost_its_volume_says_so_once() {
    let mut bound = claim(Some("standard"), "1Gi");
    bound.metadata.annotations.get_or_insert_default().insert(BIND_COMPLETED.into(), "yes".into());
    bound.spec.as_mut().unwrap().volume_name = Some("gone".into());
    let plan = decide(&bound, &[], None, &[]);
    assert_eq!(reasons(&plan), ["ClaimLost"]);
    let (lost, _) = carried_out(&bound, plan);
    assert_eq!(decide(&lost, &[], None, &[]), Default::default());
}

#[test]
fn a_claim_may_grow() {
    let class = class("Immediate", PROVISIONER);
    let small = claim(Some("standard"), "1Gi");
    let (mut bound, volume) = carried_out(&small, decide(&small, &[], Some(&class), &[]));
    bound.spec.as_mut().unwrap().resources = claim(None, "2Gi").spec.unwrap().resources;
    let plan = decide(&bound, &[volume.unwrap()], Some(&class), &[]);
    let (grown, volume) = carried_out(&bound, plan);
    assert_eq!(grown.status.as_ref().unwrap().capacity.as_ref().unwrap()["storage"].0, "2Gi");
    assert_eq!(decide(&grown, &[volume.unwrap()], Some(&class), &[]), Default::default());
}

fn bound_volume(policy: &str) -> PersistentVolume {
    let mut volume = volume("v", "1Gi", "");
    let spec = volume.spec.as_mut().unwrap();
    spec.claim_ref = serde_json::from_value(json!({"namespace": "ns", "name": "c", "uid": "u"})).unwrap();
    spec.persistent_volume_reclaim_policy = Some(policy.into());
    spec.host_path = serde_json::from_value(json!({"path": "/data/x"})).unwrap();
    volume
}

fn phase(plan: &super::volume::Plan) -> Option<&str> {
    plan.status.as_ref().and_then(|status| status.phase.as_deref())
}

#[test]
fn a_volume_follows_its_claim() {
    let decide = |volume: &PersistentVolume, claim: Option<&PersistentVolumeClaim>| {
        super::volume::plan(volume, claim, Timestamp::UNIX_EPOCH)
    };
    let mut free = volume("v", "1Gi", "");
    free.status = None;
    assert_eq!(phase(&decide(&free, None)), Some("Available"));
    let owner = claim(Some(""), "1Gi");
    assert_eq!(phase(&decide(&bound_volume("Retain"), Some(&owner))), Some("Bound"));
    let released = decide(&bound_volume("Retain"), None);
    assert_eq!((phase(&released), released.reclaim.clone()), (Some("Released"), None));
}

#[test]
fn a_volume_of_ours_is_removed_with_its_claim_and_others_fail() {
    let mut ours = bound_volume("Delete");
    let foreign = super::volume::plan(&ours, None, Timestamp::UNIX_EPOCH);
    assert_eq!((phase(&foreign), foreign.reclaim.clone()), (Some("Failed"), None));
    ours.metadata.annotations.get_or_insert_default().insert(PROVISIONED_BY.into(), PROVISIONER.into());
    assert_eq!(super::volume::plan(&ours, None, Timestamp::UNIX_EPOCH).reclaim.as_deref(), Some("/data/x"));
}

#[test]
fn a_bound_volume_outlives_its_deletion() {
    let mut going = bound_volume("Delete");
    going.metadata.finalizers = Some(vec![VOLUME_PROTECTION.into()]);
    going.metadata.deletion_timestamp = serde_json::from_value::<Value>(json!("2030-01-01T00:00:00Z"))
        .ok()
        .and_then(|v| serde_json::from_value(v).ok());
    let owner = claim(Some(""), "1Gi");
    assert_eq!(super::volume::plan(&going, Some(&owner), Timestamp::UNIX_EPOCH), Default::default());
    assert!(super::volume::plan(&going, None, Timestamp::UNIX_EPOCH).freed.is_some());
}
