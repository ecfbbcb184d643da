//! What the cache says of a step: only what is still there counts.

use super::{api::EngineError, shared::Shared};
use crate::{
    core::engine::Found,
    store::{self, cache::CacheKey},
};

/// Schemes of artifacts that are kept in our blobs; whether others are still there is not known, nor asked.
const OURS: [&str; 4] = ["minio://", "s3://", "gs://", "gcs://"];

/// Looks a fingerprint up, for a step from an image of this name.
pub(super) async fn look(shared: &Shared, key: &CacheKey, image: &str) -> Result<Found, EngineError> {
    let Some(entry) = store::cache::get(&shared.records, key).await? else {
        return Ok(Found::Miss { reason: "no earlier task with this fingerprint".to_owned() });
    };
    if let Some(then) = &entry.image
        && let Some(now) = digest(shared, image).await
        && now != *then
    {
        let reason = format!("the earlier task {} ran from another image {image}: {then}, now {now}", entry.task_id);
        return Ok(Found::Miss { reason });
    }
    if let Some(reason) = missing(shared, &entry.kept, &entry.task_id).await {
        return Ok(Found::Miss { reason });
    }
    Ok(Found::Hit { task_id: entry.task_id, outputs: entry.outputs })
}

/// The digest that an image's name stands for here, where that is known.
pub(super) async fn digest(shared: &Shared, image: &str) -> Option<String> {
    let (images, image) = (shared.config.images.clone()?, image.to_owned());
    // It may read files.
    tokio::task::spawn_blocking(move || images.digest(&image)).await.ok().flatten()
}

/// Why outputs cannot be taken over, where they cannot.
async fn missing(shared: &Shared, kept: &[String], task_id: &str) -> Option<String> {
    for uri in kept.iter().filter(|uri| OURS.iter().any(|scheme| uri.starts_with(scheme))) {
        match shared.blobs.exists(uri).await {
            Ok(true) => {}
            Ok(false) => return Some(format!("artifact {uri} of the earlier task {task_id} is gone")),
            Err(error) => {
                return Some(format!("artifact {uri} of the earlier task {task_id} cannot be found: {error}"));
            }
        }
    }
    None
}
