//! Applies objects to a cluster, and removes them.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context;
use ferroflow_platform::clock::{Clock, SystemClock};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Namespace};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PropagationPolicy},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};

use super::objects::{MANAGED, NAME, TLS};
use crate::problem::Problem;

/// Who writes the objects.
const MANAGER: &str = "ferroflow-install";
/// How long an installation may take until all of its servers answer: images are pulled in it.
pub const PATIENCE: Duration = Duration::from_secs(180);
const LOOK: Duration = Duration::from_millis(500);
/// How long an object may take to be gone; a namespace ends its pods first.
const REMOVAL: Duration = Duration::from_secs(120);

/// Kinds that are applied, with the name of their resource and whether they are in a namespace.
const KINDS: [(&str, &str, bool); 14] = [
    ("ClusterRole", "clusterroles", false),
    ("ClusterRoleBinding", "clusterrolebindings", false),
    ("ConfigMap", "configmaps", true),
    ("Deployment", "deployments", true),
    ("Lease", "leases", true),
    ("Namespace", "namespaces", false),
    ("NetworkPolicy", "networkpolicies", true),
    ("PersistentVolumeClaim", "persistentvolumeclaims", true),
    ("PodDisruptionBudget", "poddisruptionbudgets", true),
    ("Role", "roles", true),
    ("RoleBinding", "rolebindings", true),
    ("Secret", "secrets", true),
    ("Service", "services", true),
    ("ServiceAccount", "serviceaccounts", true),
];

/// What became of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    Made,
    Changed,
    Unchanged,
    /// It was there and is not ours to change.
    Left,
    Removed,
    /// It was not there.
    Missing,
}

impl Done {
    /// The word for a person.
    pub fn word(self) -> &'static str {
        match self {
            Self::Made => "made",
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
            Self::Left => "left as it is",
            Self::Removed => "removed",
            Self::Missing => "was not there",
        }
    }
}

/// How an object is called: `deployment/ferroflow in ferroflow`.
pub fn called(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (kind, meta) = (text(&object["kind"]).to_lowercase(), &object["metadata"]);
    match meta["namespace"].as_str() {
        Some(namespace) => format!("{kind}/{} in {namespace}", text(&meta["name"])),
        None => format!("{kind}/{}", text(&meta["name"])),
    }
}

fn api_of(client: &Client, object: &Value) -> anyhow::Result<Api<DynamicObject>> {
    let kind = object["kind"].as_str().unwrap_or_default();
    let (_, plural, is_namespaced) =
        KINDS.into_iter().find(|(known, ..)| *known == kind).with_context(|| format!("kind {kind:?} is not known"))?;
    let version = object["apiVersion"].as_str().unwrap_or_default();
    let (group, v) = version.rsplit_once('/').unwrap_or(("", version));
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, v, kind), plural);
    let namespace = object["metadata"]["namespace"].as_str();
    Ok(match namespace.filter(|_| is_namespaced) {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    })
}

fn refused(act: &str, object: &Value, error: &kube::Error) -> anyhow::Error {
    let hint = match error {
        kube::Error::Api(status) if status.code == 403 => {
            "ask somebody who administers the cluster to run this, or to apply what --print prints"
        }
        kube::Error::Api(_) => "the cluster refuses it; see what it says above",
        _ => "see that the cluster answers: kubectl get nodes",
    };
    Problem::new(format!("{} cannot be {act}: {error}", called(object)), hint).into()
}

/// What is done about an object that may be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Apply,
    /// It is good as it is.
    Leave,
    /// Somebody else has made it, and means something else by it.
    Refuse,
}

/// Decides by the label of the one that is there, if there is one: nothing is taken over that was made by somebody else.
fn decide(object: &Value, found: Option<&BTreeMap<String, String>>) -> Act {
    let Some(labels) = found else { return Act::Apply };
    let (kind, name) = (object["kind"].as_str(), object["metadata"]["name"].as_str().unwrap_or_default());
    let is_ours = labels.get(MANAGED.0).map(String::as_str) == Some(MANAGED.1);
    match kind {
        // The certificate may have been replaced by another.
        Some("Secret") if name == TLS => Act::Leave,
        _ if is_ours => Act::Apply,
        // As of Kubeflow itself, which may be here as well, or of a server beside the cluster.
        Some("Namespace") => Act::Leave,
        Some("ClusterRole" | "Service") if name != NAME => Act::Leave,
        _ => Act::Refuse,
    }
}

/// Applies an object. What somebody else has made stays as it is, where it is as good.
///
/// # Errors
/// What the cluster refuses, with the object's name, and an object of somebody else that is in the way.
pub async fn apply(client: &Client, object: &Value) -> anyhow::Result<Done> {
    let api = api_of(client, object)?;
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let found = api.get_opt(name).await.map_err(|error| refused("read", object, &error))?;
    match decide(object, found.as_ref().map(ResourceExt::labels)) {
        Act::Apply => {}
        Act::Leave => return Ok(Done::Left),
        Act::Refuse => {
            let (label, value) = MANAGED;
            let what = format!("{} is there already, and was not made by ferroflow install", called(object));
            let hint = format!("hand it over with the label {label}={value}, remove it, or give another --namespace");
            return Err(Problem::new(what, hint).into());
        }
    }
    let params = PatchParams::apply(MANAGER).force();
    let applied = api.patch(name, &params, &Patch::Apply(object)).await;
    let applied = applied.map_err(|error| refused("applied", object, &error))?;
    Ok(match found {
        None => Done::Made,
        Some(found) if found.resource_version() == applied.resource_version() => Done::Unchanged,
        Some(_) => Done::Changed,
    })
}

/// Removes an object and waits until it is gone. A namespace that somebody else has made stays.
///
/// # Errors
/// What the cluster refuses, with the object's name.
pub async fn remove(client: &Client, object: &Value) -> anyhow::Result<Done> {
    let api = api_of(client, object)?;
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let Some(found) = api.get_opt(name).await.map_err(|error| refused("read", object, &error))? else {
        return Ok(Done::Missing);
    };
    // A Lease is made by the servers, and by nobody else under this name.
    let is_ours = object["kind"] == "Lease" || found.labels().get(MANAGED.0).map(String::as_str) == Some(MANAGED.1);
    if !is_ours {
        return Ok(Done::Left);
    }
    let params = DeleteParams { propagation_policy: Some(PropagationPolicy::Foreground), ..DeleteParams::default() };
    match api.delete(name, &params).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(Done::Missing),
        Err(error) => return Err(refused("removed", object, &error)),
    }
    let until = SystemClock.instant() + REMOVAL;
    while SystemClock.instant() < until {
        if api.get_opt(name).await.map_err(|error| refused("read", object, &error))?.is_none() {
            return Ok(Done::Removed);
        }
        SystemClock.sleep(LOOK).await;
    }
    let hint = "see what holds it: kubectl describe it, and look at its finalizers";
    Err(Problem::new(format!("{} is not gone after {} s", called(object), REMOVAL.as_secs()), hint).into())
}

/// Whether the namespace is there.
///
/// # Errors
/// When the cluster does not say.
pub async fn has_namespace(client: &Client, name: &str) -> anyhow::Result<bool> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    Ok(namespaces.get_opt(name).await.context("the cluster does not answer")?.is_some())
}

/// Waits until all servers of the Deployment are of its newest form and answer; whether they do.
///
/// # Errors
/// When the cluster does not say.
pub async fn wait(client: &Client, namespace: &str) -> anyhow::Result<bool> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let until = SystemClock.instant() + PATIENCE;
    loop {
        let found = deployments.get(NAME).await.context("the Deployment cannot be read")?;
        if is_rolled_out(&found) {
            return Ok(true);
        }
        if SystemClock.instant() >= until {
            return Ok(false);
        }
        SystemClock.sleep(LOOK).await;
    }
}

/// On the servers' pods: when they were last started anew for what they read at their start.
const RESTARTED: &str = "ferroflow.dev/restarted-at";

/// Starts the servers anew, one after the other, as `kubectl rollout restart` does.
///
/// # Errors
/// What the cluster refuses.
pub async fn restart(client: &Client, namespace: &str) -> anyhow::Result<()> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let now = SystemClock.now().to_string();
    let patch = json!({"spec": {"template": {"metadata": {"annotations": {RESTARTED: now}}}}});
    // By another manager than who applies: an annotation of that one would go with its next words.
    let params = PatchParams { field_manager: Some("ferroflow-restart".to_owned()), ..PatchParams::default() };
    let patched = deployments.patch(NAME, &params, &Patch::Merge(&patch)).await;
    patched.map(drop).context("the servers cannot be started anew; do it with kubectl rollout restart")
}

/// Whether all replicas are of the newest form and available, and none of an older one is left.
pub fn is_rolled_out(found: &Deployment) -> bool {
    let wanted = found.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let Some(status) = &found.status else { return false };
    let count = |number: Option<i32>| number.unwrap_or_default();
    status.observed_generation >= found.metadata.generation
        && count(status.updated_replicas) == wanted
        && count(status.available_replicas) == wanted
        && count(status.replicas) == wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_taken_over_that_somebody_else_has_made() {
        let object = |kind: &str, name: &str| json!({"kind": kind, "metadata": {"name": name}});
        let (ours, theirs) = (BTreeMap::from([(MANAGED.0.to_owned(), MANAGED.1.to_owned())]), BTreeMap::new());
        for (kind, name, of_ours, of_theirs) in [
            ("Namespace", "kubeflow", Act::Apply, Act::Leave),
            ("Service", "ml-pipeline", Act::Apply, Act::Leave),
            ("Service", "ferroflow", Act::Apply, Act::Refuse),
            ("ClusterRole", "kubeflow-pipelines-edit", Act::Apply, Act::Leave),
            ("ClusterRole", "ferroflow", Act::Apply, Act::Refuse),
            ("Deployment", "ferroflow", Act::Apply, Act::Refuse),
            ("Secret", "ferroflow", Act::Apply, Act::Refuse),
            ("Secret", "ferroflow-tls", Act::Leave, Act::Leave),
        ] {
            let object = object(kind, name);
            assert_eq!(decide(&object, None), Act::Apply);
            assert_eq!(
                (decide(&object, Some(&ours)), decide(&object, Some(&theirs))),
                (of_ours, of_theirs),
                "{object}"
            );
        }
    }
}
