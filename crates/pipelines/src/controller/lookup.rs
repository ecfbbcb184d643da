//! What the cache says of a step: only what is still there counts.

use super::{api::EngineError, shared::Shared};
use crate::{
    core::engine::Found,
    store::{self, cache::CacheKey},
};

/// Schemes of artifacts that are kept in our blobs; whether others are still there is not known, nor asked.
const OURS: [&str; 4] = ["minio://", "s3://", "gs://", "gcs://"];

/// Looks a fingerprint up.
pub(super) async fn look(shared: &Shared, key: &CacheKey) -> Result<Found, EngineError> {
    let Some(entry) = store::cache::get(&shared.records, key).await? else {
        return Ok(Found::Miss { reason: "no earlier task with this fingerprint".to_owned() });
    };
    if let Some(reason) = missing(shared, &entry.kept, &entry.task_id).await {
        return Ok(Found::Miss { reason });
    }
    Ok(Found::Hit { task_id: entry.task_id, outputs: entry.outputs })
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
