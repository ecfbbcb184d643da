//! The table of resources: one row per served resource, from which paths, discovery, OpenAPI,
//! selectors and the REST handler derive what they do. Rows of CustomResourceDefinitions have the
//! same form. The table says what is served; it never says how a kind is validated or defaulted.

use std::sync::Arc;

#[path = "resource/table.rs"]
mod table;
#[cfg(test)]
#[path = "resource/tests.rs"]
pub(crate) mod tests;

pub use table::builtin;

/// Whether objects of a resource live in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Cluster,
    Namespaced,
}

/// One served resource in one version.
#[derive(Clone, Debug)]
pub struct Resource {
    /// The core group is the empty string.
    pub group: String,
    pub version: String,
    pub kind: String,
    /// `PodList`.
    pub list_kind: String,
    pub plural: String,
    pub singular: String,
    pub short_names: Vec<String>,
    pub categories: Vec<String>,
    pub scope: Scope,
    /// Verbs of the main resource, sorted: `create delete deletecollection get list patch update watch`.
    pub verbs: Vec<String>,
    pub subresources: Vec<Subresource>,
    /// Supported field selectors beside `metadata.name` and `metadata.namespace`.
    pub selectable_fields: Vec<String>,
    /// The key prefix under which objects of every version of this resource are stored;
    /// empty for resources that are answered and never stored (reviews, bindings).
    pub storage: String,
    /// The row of a CustomResourceDefinition.
    pub custom: bool,
}

/// `pods/status`, `deployments/scale`, `serviceaccounts/token`.
#[derive(Clone, Debug)]
pub struct Subresource {
    pub name: String,
    /// The kind of the request and response body, where it differs from the parent's: group, version, kind.
    pub kind: Option<(String, String, String)>,
    pub verbs: Vec<String>,
}

/// A row as it is shared between requests.
pub type ResourceRef = Arc<Resource>;

impl Resource {
    /// `v1` or `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `pods` or `deployments.apps`, as error messages name a resource.
    pub fn group_resource(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// `Pod` or `Deployment.apps`, as validation messages name a kind.
    pub fn group_kind(&self) -> String {
        if self.group.is_empty() { self.kind.clone() } else { format!("{}.{}", self.kind, self.group) }
    }

    /// Whether objects of this resource live in a namespace.
    pub fn namespaced(&self) -> bool {
        self.scope == Scope::Namespaced
    }

    /// Whether the main resource answers to a verb.
    pub fn allows(&self, verb: &str) -> bool {
        self.verbs.iter().any(|own| own == verb)
    }

    /// The named subresource.
    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|subresource| subresource.name == name)
    }

    /// Whether objects of this resource are kept at all.
    pub fn stored(&self) -> bool {
        !self.storage.is_empty()
    }
}
