//! Keeps the Node's list of images true, and removes images that nothing uses where the disk is too full.

use std::{sync::Arc, time::Duration};

use ferroflow_platform::{controller::EventKind, task::Kind};
use k8s_openapi::api::core::v1::{ContainerImage, Node, ObjectReference};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::json;

use super::Shared;
use crate::core::stored;

/// How often it is looked whether the disk is too full: a kubelet's value.
const COLLECT_PERIOD: Duration = Duration::from_secs(300);
/// How often it is looked whether another program has brought or removed images.
const LOOK_PERIOD: Duration = Duration::from_secs(10);

/// The Node's list of images, as far as the store can be read.
pub fn listed(shared: &Shared) -> Vec<ContainerImage> {
    match shared.images.images() {
        Ok(images) => stored::listed(&images),
        Err(error) => {
            tracing::warn!(error, "cannot list the node's images");
            Vec::new()
        }
    }
}

/// Begins to care for the images of a node.
pub fn start(shared: &Arc<Shared>) {
    let lister = shared.clone();
    shared.group.spawn("node images", Kind::Essential, async move {
        let mut told = None;
        loop {
            let generation = lister.images.generation();
            if told != Some(generation) && write(&lister).await {
                told = Some(generation);
            }
            tokio::select! {
                () = lister.images.changed() => {}
                () = lister.clock.sleep(LOOK_PERIOD) => {}
            }
        }
        #[allow(unreachable_code)]
        Ok::<(), std::convert::Infallible>(())
    });
    let collector = shared.clone();
    shared.group.spawn("image collection", Kind::Essential, async move {
        loop {
            collector.clock.sleep(COLLECT_PERIOD).await;
            collect(&collector).await;
        }
        #[allow(unreachable_code)]
        Ok::<(), std::convert::Infallible>(())
    });
}

/// Writes the list; whether it is written.
async fn write(shared: &Arc<Shared>) -> bool {
    let lister = shared.clone();
    let images = tokio::task::spawn_blocking(move || listed(&lister)).await.unwrap_or_default();
    let nodes: Api<Node> = Api::all(shared.client.clone());
    let body = json!({ "status": { "images": images } });
    let written = nodes.patch_status(&shared.config.name, &PatchParams::default(), &Patch::Merge(&body)).await;
    if let Err(error) = &written {
        tracing::warn!(%error, "cannot write the node's list of images");
    }
    written.is_ok()
}

/// Removes what pods have left, and then every image and every environment of packages that nothing uses; whether that
/// made room.
pub async fn make_room(shared: &Arc<Shared>) -> bool {
    if shared.runtime.make_room().await {
        return true;
    }
    let owner = shared.clone();
    let environments = tokio::task::spawn_blocking(move || owner.environments.remove_unused()).await.unwrap_or(0);
    if environments > 0 {
        tracing::info!(environments, "removed unused environments, as the disk is low");
    }
    let images = shared.images.clone();
    let removed = tokio::task::spawn_blocking(move || images.remove_unused()).await;
    match removed.unwrap_or_else(|_| Err("the work was cut off".to_owned())) {
        Ok(removed) => {
            let removed = removed.unwrap_or_default();
            if removed.freed_bytes > 0 {
                let freed_bytes = removed.freed_bytes;
                tracing::info!(images = ?removed.names, freed_bytes, "removed unused images, as the disk is low");
            }
            environments > 0 || removed.freed_bytes > 0
        }
        Err(error) => {
            tracing::warn!(error, "cannot remove unused images");
            environments > 0
        }
    }
}

/// Removes images until the disk has room again.
async fn collect(shared: &Arc<Shared>) {
    let images = shared.images.clone();
    let collected = tokio::task::spawn_blocking(move || images.collect()).await;
    let message = match collected.unwrap_or_else(|_| Err("the work was cut off".to_owned())) {
        Ok(None) => return,
        Ok(Some(collected)) => {
            tracing::info!(images = ?collected.names, freed_bytes = collected.freed_bytes, "removed unused images");
            if collected.freed_bytes >= collected.wanted_bytes {
                return;
            }
            format!(
                "Failed to garbage collect required amount of images. Attempted to free {} bytes, but only found {} \
                 bytes eligible to free.",
                collected.wanted_bytes, collected.freed_bytes
            )
        }
        Err(message) => message,
    };
    let about = ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Node".to_owned()),
        name: Some(shared.config.name.clone()),
        uid: Some(shared.config.name.clone()),
        ..ObjectReference::default()
    };
    shared.recorder.event_for(about, EventKind::Warning, "FreeDiskSpaceFailed", message);
}
