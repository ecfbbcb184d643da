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
    core::task::{TaskKind, TaskRow, TaskState},
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
        if let Some(earlier) = &found.cache.hit {
            return of_earlier(shared, &found, earlier).await;
        }
        if follow == Follow::No || found.state.is_final() {
            return Err(EngineError::NoLog { task: found.path.clone(), why: why_none(&found).to_owned() });
        }
        shared.clock.sleep(PAUSE).await;
    }
}

/// The log of the task whose outputs a task has taken over.
async fn of_earlier(shared: &Shared, task: &TaskRow, earlier: &str) -> Result<LogStream, EngineError> {
    if let Some(found) = store::tasks::find(&shared.records, earlier).await?
        && let Some(log) = kept(shared, &found).await?
    {
        return Ok(log);
    }
    let why = format!("it took over the outputs of the earlier task {earlier}, whose log is gone with its run");
    Err(EngineError::NoLog { task: task.path.clone(), why })
}

/// Why a task has no log that is kept, and none of a pod.
fn why_none(task: &TaskRow) -> &'static str {
    match (task.kind, task.state) {
        (TaskKind::Runtime, TaskState::Pending) => "it has not started",
        (TaskKind::Runtime, TaskState::Skipped) => "it was skipped",
        (TaskKind::Runtime, TaskState::Canceled) => "it was canceled before it had printed anything",
        (TaskKind::Runtime, _) => "it has printed nothing that was kept",
        _ => "it is no step, so nothing runs in a pod for it",
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
