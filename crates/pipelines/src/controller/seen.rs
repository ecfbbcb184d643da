//! A pod as far as the engine reads it.
//!
//! Most of a pod's text is its specification, which the engine has written itself, and the owners of its fields. Of both
//! nothing is read: each pod is told of some five times, and reading costs more than all else that is done about it.

use std::{borrow::Cow, collections::BTreeMap};

use k8s_openapi::{
    NamespaceResourceScope,
    api::core::v1::{Pod, PodStatus},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};
use kube::Resource;
use serde::{Deserialize, Deserializer};

/// A pod without its specification.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct SeenPod {
    /// Name, namespace, uid, version, time of creation and labels.
    #[serde(deserialize_with = "seen_meta")]
    pub metadata: ObjectMeta,
    #[serde(default)]
    pub status: Option<PodStatus>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SeenMeta {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    creation_timestamp: Option<Time>,
    labels: Option<BTreeMap<String, String>>,
}

fn seen_meta<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    let SeenMeta { name, namespace, uid, resource_version, creation_timestamp, labels } =
        SeenMeta::deserialize(deserializer)?;
    Ok(ObjectMeta { name, namespace, uid, resource_version, creation_timestamp, labels, ..ObjectMeta::default() })
}

impl Resource for SeenPod {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        Pod::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        Pod::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        Pod::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        Pod::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn labels_and_status_are_read_and_nothing_else() {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": "p", "namespace": "n", "uid": "u", "resourceVersion": "7", "labels": {"a": "b"},
                "creationTimestamp": "2026-01-02T03:04:05Z", "annotations": {"c": "d"},
                "managedFields": [{"manager": "m", "operation": "Update", "fieldsV1": {"f:spec": {}}}],
            },
            "spec": {"containers": [{"name": "main", "image": "i"}]},
            "status": {"phase": "Running"},
        });
        let whole: Pod = serde_json::from_value(pod.clone()).unwrap();
        let seen: SeenPod = serde_json::from_value(pod).unwrap();
        let left_out = ObjectMeta { annotations: None, managed_fields: None, ..whole.metadata };
        assert_eq!((seen.metadata, seen.status), (left_out, whole.status));
        assert_eq!(SeenPod::url_path(&(), Some("n")), Pod::url_path(&(), Some("n")));
    }
}
