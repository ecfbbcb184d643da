//! Who owns whom among all objects, and what follows when owners go: dependents are deleted, kept
//! until they are gone (foreground), or orphaned.
//!
//! [`Graph`] is fed every change of every object in the order of their revisions, so that what it does
//! not hold does not exist; an owner that it lacks needs no further check. Rules and event follow
//! `pkg/controller/garbagecollector` of Kubernetes 1.34. It never changes an object; it returns
//! [`Action`]s, each guarded by the UID and the resourceVersion it was decided on. An action that a
//! guard refuses is decided anew when the change that was in its way is observed.

mod graph;
pub mod namespace;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use graph::Graph;

/// The finalizer of an object that goes after its dependents.
pub const FOREGROUND: &str = "foregroundDeletion";
/// The finalizer of an object whose dependents stay.
pub const ORPHAN: &str = "orphan";

/// A resource as objects of the graph name it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResourceId {
    pub group: String,
    pub version: String,
    pub kind: String,
    pub plural: String,
    pub namespaced: bool,
}

impl ResourceId {
    /// `v1` or `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }
}

/// One entry of `metadata.ownerReferences`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerRef {
    pub api_version: String,
    pub kind: String,
    pub name: String,
    pub uid: Arc<str>,
    pub controller: Option<bool>,
    pub block_owner_deletion: Option<bool>,
}

impl OwnerRef {
    fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }

    fn blocks(&self) -> bool {
        self.block_owner_deletion == Some(true)
    }
}

/// What the graph keeps of an object. There is one of each object in the cluster: names are shared with
/// the store, and lists take no more room than they need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    pub resource: Arc<ResourceId>,
    /// Empty for cluster-scoped objects.
    pub namespace: Arc<str>,
    pub name: Arc<str>,
    pub uid: Arc<str>,
    pub resource_version: u64,
    pub owners: Box<[OwnerRef]>,
    pub finalizers: Box<[String]>,
    /// Has a deletionTimestamp.
    pub deleting: bool,
}

impl Meta {
    fn has(&self, finalizer: &str) -> bool {
        self.finalizers.iter().any(|name| name == finalizer)
    }

    fn waits_for_dependents(&self) -> bool {
        self.deleting && self.has(FOREGROUND)
    }

    fn orphans_dependents(&self) -> bool {
        self.deleting && self.has(ORPHAN)
    }

    fn target(&self) -> Target {
        Target {
            resource: self.resource.clone(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            uid: self.uid.clone(),
            resource_version: self.resource_version,
        }
    }
}

/// One change of one object.
#[derive(Clone, Debug)]
pub enum Change {
    /// It was created or changed to this.
    Upsert(Meta),
    /// The object with this UID is gone.
    Delete { uid: Arc<str> },
}

/// An object to act on, in the state that the action was decided for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub resource: Arc<ResourceId>,
    pub namespace: Arc<str>,
    pub name: Arc<str>,
    pub uid: Arc<str>,
    pub resource_version: u64,
}

/// How the dependents of a deleted object are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    Background,
    Foreground,
    Orphan,
}

impl Propagation {
    /// The name in DeleteOptions.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Background => "Background",
            Self::Foreground => "Foreground",
            Self::Orphan => "Orphan",
        }
    }
}

/// What to do; every variant is guarded by the target's UID and resourceVersion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Delete {
        target: Target,
        propagation: Propagation,
    },
    /// Replace `metadata.ownerReferences`.
    SetOwners {
        target: Target,
        owners: Vec<OwnerRef>,
    },
    /// Replace `metadata.finalizers`.
    SetFinalizers {
        target: Target,
        finalizers: Vec<String>,
    },
    /// Tell on the target that an owner reference names an object of another namespace.
    Warn {
        target: Target,
        reason: &'static str,
        note: String,
    },
}

/// Which kinds are served.
pub trait Kinds {
    /// Whether objects of the kind live in a namespace; none where the kind is not served.
    fn namespaced(&self, api_version: &str, kind: &str) -> Option<bool>;
}
