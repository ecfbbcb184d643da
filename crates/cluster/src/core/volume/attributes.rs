//! What holds a class of volume attributes that is being deleted.
//!
//! Follows `pkg/controller/volume/vacprotection` of Kubernetes 1.34.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::{ClusterResourceScope, Metadata, Resource};
use serde::{Deserialize, Serialize};

const PROTECTION: &str = "kubernetes.io/vac-protection";

/// A class of volume attributes. The bindings that we use know it as `v1beta1` alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeAttributesClass {
    pub metadata: ObjectMeta,
    pub driver_name: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
}

impl Resource for VolumeAttributesClass {
    const API_VERSION: &'static str = "storage.k8s.io/v1";
    const GROUP: &'static str = "storage.k8s.io";
    const KIND: &'static str = "VolumeAttributesClass";
    const VERSION: &'static str = "v1";
    const URL_PATH_SEGMENT: &'static str = "volumeattributesclasses";
    type Scope = ClusterResourceScope;
}

impl Metadata for VolumeAttributesClass {
    type Ty = ObjectMeta;

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// The class without the finalizer that held it, once no claim and no volume has it.
pub fn freed<'a>(
    class: &VolumeAttributesClass,
    claims: impl IntoIterator<Item = &'a PersistentVolumeClaim>,
    volumes: impl IntoIterator<Item = &'a PersistentVolume>,
) -> Option<VolumeAttributesClass> {
    let finalizers = class.metadata.finalizers.as_ref()?;
    let name = class.metadata.name.as_deref()?;
    let is_held = class.metadata.deletion_timestamp.is_some() && finalizers.iter().any(|one| one == PROTECTION);
    let is_used = || {
        claims.into_iter().any(|claim| of_claim(claim).any(|own| own == name))
            || volumes.into_iter().any(|volume| of_volume(volume) == Some(name))
    };
    if !is_held || is_used() {
        return None;
    }
    let mut freed = class.clone();
    freed.metadata.finalizers.iter_mut().for_each(|all| all.retain(|one| one != PROTECTION));
    Some(freed)
}

/// The classes that a claim names: the one that it asks for, that it has, and that it is changed to.
pub fn of_claim(claim: &PersistentVolumeClaim) -> impl Iterator<Item = &str> {
    let (spec, status) = (claim.spec.as_ref(), claim.status.as_ref());
    let changed = status.and_then(|status| status.modify_volume_status.as_ref());
    [
        spec.and_then(|spec| spec.volume_attributes_class_name.as_deref()),
        status.and_then(|status| status.current_volume_attributes_class_name.as_deref()),
        changed.and_then(|change| change.target_volume_attributes_class_name.as_deref()),
    ]
    .into_iter()
    .flatten()
}

/// The class of a volume.
pub fn of_volume(volume: &PersistentVolume) -> Option<&str> {
    volume.spec.as_ref()?.volume_attributes_class_name.as_deref()
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn a_class_is_held_while_a_claim_or_a_volume_has_it() {
        let metadata =
            json!({"name": "c", "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["x/y", PROTECTION]});
        let class: VolumeAttributesClass = from_value(json!({"metadata": metadata, "driverName": "d"})).unwrap();
        let claim: PersistentVolumeClaim =
            from_value(json!({"metadata": {}, "status": {"currentVolumeAttributesClassName": "c"}})).unwrap();
        let volume: PersistentVolume =
            from_value(json!({"metadata": {}, "spec": {"volumeAttributesClassName": "c"}})).unwrap();
        assert_eq!(freed(&class, [&claim], []), None);
        assert_eq!(freed(&class, [], [&volume]), None);
        let freed = freed(&class, [], []).unwrap();
        assert_eq!(freed.metadata.finalizers, Some(vec!["x/y".to_owned()]));
    }

    #[test]
    fn a_class_that_stays_keeps_its_finalizer() {
        let class: VolumeAttributesClass =
            from_value(json!({"metadata": {"name": "c", "finalizers": [PROTECTION]}, "driverName": "d"})).unwrap();
        assert_eq!(freed(&class, [], []), None);
    }
}
