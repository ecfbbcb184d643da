//! Removes what runs that have ended keep in the cluster: pods of steps that have failed, and the workspace of a run that has
//! failed (that of one that has succeeded is removed when it ends). When a run is deleted, or after the time that its
//! pipeline says (`resourceTtl…`).

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::{
    Api,
    api::{DeleteParams, ListParams},
};

use super::{api::EngineError, load, pods::RUN_LABEL, shared::Shared};
use crate::store::{self, expiry, runs::RunRow};

/// A cluster that refuses is asked again after this.
const PAUSE: Duration = Duration::from_secs(30);

/// Removes what is due, until the group ends.
pub(super) async fn run(shared: Arc<Shared>) {
    loop {
        if let Err(error) = step(&shared).await {
            tracing::warn!(%error, "what a run has left in the cluster cannot be removed; trying again");
            shared.clock.sleep(PAUSE).await;
        }
    }
}

/// Waits for the next run that is due, or for news, and removes what it has left.
async fn step(shared: &Shared) -> Result<(), EngineError> {
    let Some((run, due_ms)) = expiry::next(&shared.records).await? else {
        shared.expiries.notified().await;
        return Ok(());
    };
    if let Ok(wait_ms @ 1..) = u64::try_from(due_ms - shared.now_ms()) {
        tokio::select! {
            () = shared.clock.sleep(Duration::from_millis(wait_ms)) => {}
            () = shared.expiries.notified() => {}
        }
        return Ok(());
    }
    // One that was deleted meanwhile has nothing, and one that is tried again needs what it has.
    let row = store::runs::get(&shared.records, &run).await?;
    if let Some(row) = row.filter(|row| row.state.is_final()) {
        remove_objects(shared, &row).await?;
    }
    shared.records.write(vec![expiry::done(&run)]).await?;
    Ok(())
}

/// Removes the pods of a run, and its workspace.
pub(super) async fn remove_objects(shared: &Shared, row: &RunRow) -> Result<(), EngineError> {
    let pods: Api<Pod> = Api::namespaced(shared.client.clone(), &row.namespace);
    let of_run = ListParams::default().labels(&format!("{RUN_LABEL}={}", row.run_id));
    let params = DeleteParams::default();
    pods.delete_collection(&params, &of_run).await?;
    // A run that has succeeded has one where the server was killed before it could remove it.
    match claims(shared, row).delete(&load::workspace_name(row), &params).await {
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        other => drop(other?),
    }
    Ok(())
}

/// Whether the workspace of a run is there, and stays.
pub(super) async fn is_workspace_there(shared: &Shared, row: &RunRow) -> Result<bool, EngineError> {
    let found = claims(shared, row).get_opt(&load::workspace_name(row)).await?;
    Ok(found.is_some_and(|claim| claim.metadata.deletion_timestamp.is_none()))
}

fn claims(shared: &Shared, row: &RunRow) -> Api<PersistentVolumeClaim> {
    Api::namespaced(shared.client.clone(), &row.namespace)
}
