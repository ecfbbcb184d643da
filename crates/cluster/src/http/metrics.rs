//! The group `metrics.k8s.io`: what the node's pods use, as a metrics server tells it. Nothing of it is stored, and it
//! is there while a node is.

use std::sync::Arc;

use ferroflow_platform::{
    identity::Identity,
    kubelet::{Figures, SharedAgent},
};
use http::{Method, Response, StatusCode, request::Parts};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    body::Body,
    options::Options,
    server::{self, Api},
};
use crate::{
    core::{
        metrics::{self, GROUP, VERSION},
        path::ResourcePath,
        rbac,
        resource::ResourceRef,
        selector::labels::Selector,
        status::{Failure, Outcome},
    },
    store::ObjectKey,
};

/// The rows that discovery shows; none without a node, or where somebody else serves the group.
pub fn rows(api: &Api) -> Vec<ResourceRef> {
    let is_ours = api.agent.get().is_some() && !api.registry.has_version(GROUP, VERSION);
    if is_ours { metrics::rows() } else { Vec::new() }
}

/// Answers a request for a path of the group; `None` for any other path.
///
/// # Errors
/// 403, 404 and 405 as for a stored resource.
pub async fn answer(
    api: &Arc<Api>,
    identity: &Identity,
    path: &ResourcePath,
    parts: &Parts,
) -> Option<Outcome<Response<Body>>> {
    let row = rows(api).into_iter().find(|row| {
        (&row.group, &row.version, &row.plural) == (&path.group, &path.version, &path.resource)
            && path.subresource.is_empty()
            && (row.namespaced() || path.namespace.is_empty())
    })?;
    let agent = api.agent.get()?.clone();
    Some(show(api, agent, &row, identity, path, parts).await)
}

async fn show(
    api: &Arc<Api>,
    agent: SharedAgent,
    row: &ResourceRef,
    identity: &Identity,
    path: &ResourcePath,
    parts: &Parts,
) -> Outcome<Response<Body>> {
    let verb = match parts.method {
        Method::GET | Method::HEAD if path.name.is_empty() => "list",
        Method::GET | Method::HEAD => "get",
        _ => return Err(Failure::method_not_allowed_here()),
    };
    let attributes = rbac::Attributes::Resource {
        verb,
        group: &path.group,
        resource: &path.resource,
        subresource: "",
        namespace: &path.namespace,
        name: &path.name,
    };
    api.may(identity, &attributes)?;
    let options = Options::parse(parts.uri.query().unwrap_or_default())?;
    let selector = Selector::parse(&options.label_selector).map_err(|error| Failure::bad_request(error.to_string()))?;
    let items = items(api, &agent.figures().await, row, path, api.clock.now());
    if verb == "list" {
        let items: Vec<Value> = items.into_iter().filter(|item| selector.matches_object(item)).collect();
        return Ok(server::json(&metrics::list(row, items), StatusCode::OK));
    }
    let found = items.into_iter().find(|item| item["metadata"]["name"] == json!(path.name));
    let name = if path.namespace.is_empty() { path.name.clone() } else { format!("{}/{}", path.namespace, path.name) };
    let item = found.ok_or_else(|| Failure::not_found(row, &name))?;
    Ok(server::json(&item, StatusCode::OK))
}

fn items(api: &Api, figures: &Figures, row: &ResourceRef, path: &ResourcePath, now: Timestamp) -> Vec<Value> {
    let stored = api.registry.get("", "v1", &row.plural);
    let storage = stored.map(|served| served.resource.storage.clone()).unwrap_or_default();
    let labels = |namespace: &str, name: &str| {
        let entry = api.store.get(&storage, &ObjectKey::new(namespace, name))?;
        let object: Value = serde_json::from_slice(&entry.json).ok()?;
        Some(object["metadata"]["labels"].clone())
    };
    // What is gone since it was looked at is not told of.
    if row.plural == "nodes" {
        let nodes = figures.nodes.iter();
        return nodes.filter_map(|node| Some(metrics::node(node, labels("", &node.name)?, now))).collect();
    }
    let pods = figures.pods.iter().filter(|pod| path.namespace.is_empty() || pod.namespace == path.namespace);
    pods.filter_map(|pod| Some(metrics::pod(pod, labels(&pod.namespace, &pod.name)?, now))).collect()
}
