//! Common objects in their shortest valid form.

use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        batch::v1::Job,
        core::v1::{ConfigMap, Namespace, Pod},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Any object from its JSON.
pub fn from<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("the JSON of a test's object fits its type")
}

/// A namespace.
pub fn namespace(name: &str) -> Namespace {
    from(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}))
}

/// A ConfigMap of one value.
pub fn config_map(name: &str, key: &str, value: &str) -> ConfigMap {
    from(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {key: value}}))
}

/// A pod of one container.
pub fn pod(name: &str) -> Pod {
    from(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": pod_spec()}))
}

/// A Deployment whose pods have the label `app: <name>`.
pub fn deployment(name: &str, replicas: i32) -> Deployment {
    from(json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": pod_spec()},
        },
    }))
}

/// A Job of one pod.
pub fn job(name: &str) -> Job {
    let mut spec = pod_spec();
    spec["restartPolicy"] = "Never".into();
    from(json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name},
        "spec": {"template": {"spec": spec}},
    }))
}

fn pod_spec() -> Value {
    json!({"containers": [{"name": "main", "image": "busybox:1.36", "command": ["sleep", "3600"]}]})
}

/// A namespaced CustomResourceDefinition of group `testkit.dev`, with a status and a scale subresource;
/// `spec.replicas` is between 0 and 10 and `spec.color` has a default.
pub fn definition(plural: &str, kind: &str) -> CustomResourceDefinition {
    from(json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.testkit.dev")},
        "spec": {
            "group": "testkit.dev", "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List")},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "subresources": {
                    "status": {},
                    "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"},
                },
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "properties": {
                        "replicas": {"type": "integer", "minimum": 0, "maximum": 10},
                        "color": {"type": "string", "default": "green"},
                    }},
                    "status": {"type": "object", "properties": {"replicas": {"type": "integer"}}},
                }}},
            }],
        },
    }))
}
