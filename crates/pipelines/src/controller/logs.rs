//! What steps have printed: the kept log of an attempt that has ended, or that of its pod.

use std::{io, time::Duration};

use bytes::Bytes;
use futures::{AsyncReadExt, StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::LogParams};

use super::{
    actor::log_key,
    api::{EngineError, LogStream},
    engine::Follow,
    shared::Shared,
};
use crate::{
    core::task::TaskRow,
    store::{self, runs::RunRow},
};

/// Bytes of one piece of a log.
const PIECE: usize = 16 * 1024;
/// How often a step that has not started is looked at by somebody who waits for its log.
const PAUSE: Duration = Duration::from_millis(200);

/// Opens the log of a task.
pub(super) async fn open(shared: &Shared, run: &str, task: &str, follow: Follow) -> Result<LogStream, EngineError> {
    let missing = |kind, id: &str| EngineError::NotFound { kind, id: id.to_owned() };
    let row = store::runs::get(&shared.records, run).await?.ok_or_else(|| missing("run", run))?;
    loop {
        let found = store::tasks::get(&shared.records, run, task).await?;
        let found = found.ok_or_else(|| missing("task", task))?;
        if let Some(log) = kept(shared, &found).await? {
            return Ok(log);
        }
        if let Some(log) = of_pod(shared, &row, &found, follow).await? {
            return Ok(log);
        }
        if follow == Follow::No || found.state.is_final() {
            return Err(missing("log of task", task));
        }
        shared.clock.sleep(PAUSE).await;
    }
}

async fn kept(shared: &Shared, task: &TaskRow) -> Result<Option<LogStream>, EngineError> {
    let key = log_key(&task.run_id, &task.task_id, task.attempt);
    let blob = shared.blobs.get(&key).await.map_err(|error| EngineError::Blobs(error.to_string()))?;
    Ok(blob.map(|blob| blob.flow.map_err(io::Error::other).boxed()))
}

/// The log of the pod itself; `None` where it has none yet, or no more.
async fn of_pod(
    shared: &Shared,
    run: &RunRow,
    task: &TaskRow,
    follow: Follow,
) -> Result<Option<LogStream>, EngineError> {
    let Some(pod) = &task.pod_name else { return Ok(None) };
    let pods: Api<Pod> = Api::namespaced(shared.client.clone(), &run.namespace);
    let params = LogParams { follow: follow == Follow::UntilEnd, ..LogParams::default() };
    let reader = match pods.log_stream(pod, &params).await {
        Ok(reader) => Box::pin(reader),
        // 400: its container has not started.
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 400 => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let pieces = stream::try_unfold(reader, |mut reader| async move {
        let mut piece = vec![0; PIECE];
        let count = reader.read(&mut piece).await?;
        piece.truncate(count);
        Ok::<_, io::Error>((count > 0).then(|| (Bytes::from(piece), reader)))
    });
    Ok(Some(pieces.boxed()))
}
