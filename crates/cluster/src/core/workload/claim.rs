//! Who owns what: which objects a controller counts as its own, which orphans it adopts and which it lets go.
//!
//! The rule is that of upstream `pkg/controller/controller_ref_manager.go`: an object with a controller reference
//! belongs to that controller as long as the selector matches; an object without one is adopted when the selector
//! matches and neither side is being deleted.

use std::sync::Arc;

use k8s_openapi::Metadata;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde_json::json;

use super::act::{Act, Change, Kind};

/// The object that owns others.
#[derive(Clone, Debug, PartialEq)]
pub struct Owner {
    /// Its group and version, as in `apps/v1`.
    pub api_version: &'static str,
    /// Its kind.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Whether it is being deleted.
    pub deleting: bool,
}

impl Owner {
    /// The owner that `object` is.
    pub fn of<K>(object: &K) -> Owner
    where
        K: Metadata<Ty = ObjectMeta>,
    {
        let meta = object.metadata();
        Owner {
            api_version: K::API_VERSION,
            kind: K::KIND,
            name: meta.name.clone().unwrap_or_default(),
            uid: meta.uid.clone().unwrap_or_default(),
            deleting: meta.deletion_timestamp.is_some(),
        }
    }

    /// The controller reference that its dependents carry.
    pub fn reference(&self) -> OwnerReference {
        OwnerReference {
            api_version: self.api_version.to_owned(),
            kind: self.kind.to_owned(),
            name: self.name.clone(),
            uid: self.uid.clone(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }
    }
}

/// The reference of an object to its controller.
pub fn controller_of(meta: &ObjectMeta) -> Option<&OwnerReference> {
    meta.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

/// Whether `owner` is the controller of the object.
pub fn is_controlled_by(meta: &ObjectMeta, uid: &str) -> bool {
    controller_of(meta).is_some_and(|owner| owner.uid == uid)
}

/// The outcome of claiming.
pub struct Claimed<K> {
    /// What counts as the owner's, adopted objects included.
    pub mine: Vec<Arc<K>>,
    /// The patches that adopt and release.
    pub acts: Vec<Act>,
}

/// Sorts `objects` into the owner's, those to adopt, those to release, and those of others.
pub fn claim<K>(owner: &Owner, kind: Kind, objects: &[Arc<K>], matches: impl Fn(&K) -> bool) -> Claimed<K>
where
    K: Metadata<Ty = ObjectMeta>,
{
    let mut claimed = Claimed { mine: Vec::new(), acts: Vec::new() };
    for object in objects {
        let meta = object.metadata();
        match controller_of(meta) {
            Some(controller) if controller.uid != owner.uid => {}
            Some(_) if matches(object) => claimed.mine.push(object.clone()),
            Some(_) if owner.deleting => {}
            Some(_) => {
                let left = meta.owner_references.iter().flatten().filter(|one| one.uid != owner.uid);
                claimed.acts.push(set_owners(kind, meta, left.cloned().collect()));
            }
            None if owner.deleting || meta.deletion_timestamp.is_some() || !matches(object) => {}
            None => {
                let mut owners: Vec<OwnerReference> = meta.owner_references.clone().unwrap_or_default();
                owners.retain(|one| one.uid != owner.uid);
                owners.push(owner.reference());
                claimed.acts.push(set_owners(kind, meta, owners).adopting());
                claimed.mine.push(object.clone());
            }
        }
    }
    claimed
}

/// The patch that replaces the owner references. A merge patch replaces lists whole, so the version that was read is
/// a precondition.
pub fn set_owners(kind: Kind, meta: &ObjectMeta, owners: Vec<OwnerReference>) -> Act {
    let patch = json!({ "metadata": {
        "uid": meta.uid, "resourceVersion": meta.resource_version, "ownerReferences": owners,
    }});
    Act::quiet(Change::Merge { kind, name: meta.name.clone().unwrap_or_default(), patch })
}
