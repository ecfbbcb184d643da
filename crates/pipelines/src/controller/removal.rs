//! Clears away what removed runs have left: logs, outputs, what the cache knows of them. In the background, since there may
//! be much of it and a store of files may be away; what is to be done is recorded, so that a restart goes on with it.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, SystemTime},
};

use ferroflow_platform::{blob::StoreError, task::Kind};

use super::{api::EngineError, shared::Shared};
use crate::store::{
    removal::{self, BATCH, Removal},
    runs,
};

/// A store of files that refuses is asked again after this.
const PAUSE: Duration = Duration::from_secs(30);

/// Clears away whenever a run was removed, until the group ends; and what is left from before.
pub(super) async fn run(shared: Arc<Shared>) {
    loop {
        match sweep(&shared).await {
            Ok(()) => shared.removals.notified().await,
            Err(error) => {
                tracing::warn!(%error, "what removed runs have left cannot be removed; trying again");
                shared.clock.sleep(PAUSE).await;
            }
        }
    }
}

/// Removes what an earlier process has left half written. None of this one's is older than it is.
pub(super) fn sweep_uploads(shared: &Arc<Shared>) {
    let (swept, began) = (shared.clone(), SystemTime::from(shared.clock.now()));
    shared.group.spawn("removal of unfinished uploads", Kind::Transient, async move {
        match swept.blobs.remove_unfinished(began).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "uploads that an earlier process had not finished are removed"),
            Err(error) => tracing::warn!(%error, "uploads that an earlier process had not finished cannot be removed"),
        }
        Ok::<(), std::convert::Infallible>(())
    });
}

/// Clears away all that is to go.
async fn sweep(shared: &Shared) -> Result<(), EngineError> {
    shared.records.write(removal::forget_cache()).await?;
    loop {
        let runs = removal::pending(&shared.records).await?;
        for run in &runs {
            remove_files(shared, run).await?;
        }
        while remove_artifacts(shared).await? {}
        // Only now: an import brings back no run of which something is still to go.
        let done: Vec<_> = runs.iter().map(|run| removal::done(&run.run_id)).collect();
        if !done.is_empty() {
            shared.records.write(done).await?;
        }
        if runs.len() < BATCH {
            return Ok(());
        }
    }
}

async fn remove_files(shared: &Shared, run: &Removal) -> Result<(), EngineError> {
    // It is there again, and its files are its own: an import has brought it back.
    if runs::get(&shared.records, &run.run_id).await?.is_some() {
        return Ok(());
    }
    let logs = format!("pipelines/logs/{}", run.run_id);
    tolerate(shared.blobs.delete(&logs).await)?;
    if run.place.is_empty() {
        return Ok(());
    }
    let kept = removal::kept(&shared.records, &run.run_id).await?;
    tolerate(shared.blobs.delete_below(&run.place, &kept).await)
}

/// Removes artifacts that nobody needs, with their bytes where their run has made them; whether there may be more. Of those
/// that lie at one place all but the last go without its bytes.
async fn remove_artifacts(shared: &Shared) -> Result<bool, EngineError> {
    let unused = removal::unused(&shared.records).await?;
    let (mut places, mut gone) = (BTreeSet::new(), Vec::new());
    for artifact in &unused {
        if artifact.sharing == 0 {
            if artifact.is_own() {
                tolerate(shared.blobs.delete(&artifact.uri).await)?;
            }
        } else if !places.insert(&artifact.uri) {
            continue;
        }
        gone.push(removal::forget(&artifact.artifact_id));
    }
    if gone.is_empty() {
        return Ok(false);
    }
    shared.records.write(gone).await?;
    Ok(true)
}

/// A place that is none of our store holds nothing of ours.
fn tolerate(outcome: Result<(), StoreError>) -> Result<(), EngineError> {
    match outcome {
        Ok(()) | Err(StoreError::Place { .. } | StoreError::Member { .. }) => Ok(()),
        Err(error) => Err(EngineError::Blobs(error.to_string())),
    }
}
