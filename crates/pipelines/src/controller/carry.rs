//! The life of a run's actor: from the first write or the store to the end, through faults of the store.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use ferroflow_platform::{records, task::Kind};
use futures::FutureExt;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams};
use tokio::sync::oneshot;

use super::{
    actor::Actor,
    api::EngineError,
    inbox::Inbox,
    load::{self, Goes},
    pods::RUN_LABEL,
    shared::Shared,
};
use crate::{
    core::{
        engine::{Event, sight::Sight},
        run::{RunState, StateChange},
        task::TaskError,
    },
    store,
};

/// Panics of one run's actor after which it begins again from the store; the next one ends the run.
const PANICS: u32 = 3;
/// A run that cannot be carried out is tried again after this.
const PAUSE: Duration = Duration::from_secs(1);

/// Carries out a run that `actor` has been made for; `started` is told of its first write.
pub(super) fn begin(actor: Actor, started: oneshot::Sender<Result<(), EngineError>>) {
    let group = actor.shared.group.clone();
    group.spawn(format!("run {}", actor.inbox.run), Kind::Transient, async move {
        let (shared, inbox) = (actor.shared.clone(), actor.inbox.clone());
        let mut actor = actor;
        match caught(actor.start()).await {
            Err(error) if !actor.is_recorded => {
                let doubt = in_doubt(&error);
                let _ = started.send(Err(error));
                drop(actor);
                if let Some(error) = doubt {
                    go_on(&shared, &inbox, Err(error)).await;
                }
            }
            outcome => {
                // Whoever has submitted the run and left finds it by its id.
                let _ = started.send(Ok(()));
                let outcome = if outcome.is_ok() { caught(actor.drive()).await } else { outcome };
                drop(actor);
                go_on(&shared, &inbox, outcome).await;
            }
        }
        shared.leave(&inbox);
        Ok::<(), std::convert::Infallible>(())
    });
}

/// Goes on with a run from the store.
pub(super) fn resume(shared: Arc<Shared>, inbox: Arc<Inbox>) {
    let group = shared.group.clone();
    group.spawn(format!("run {}", inbox.run), Kind::Transient, async move {
        let outcome = caught(restore(&shared, &inbox)).await;
        go_on(&shared, &inbox, outcome).await;
        shared.leave(&inbox);
        Ok::<(), std::convert::Infallible>(())
    });
}

/// The error once more, where what has failed so may have been recorded nevertheless: then the run must go on.
fn in_doubt(error: &EngineError) -> Option<EngineError> {
    match error {
        EngineError::Panicked(text) => Some(EngineError::Panicked(text.clone())),
        EngineError::Records(records::Error::InDoubt(text)) => Some(records::Error::InDoubt(text.clone()).into()),
        _ => None,
    }
}

/// What a future comes to, or the text of its panic.
async fn caught(future: impl Future<Output = Result<(), EngineError>>) -> Result<(), EngineError> {
    // Nothing that the future has changed in memory is used after it: a run is read anew from the store.
    AssertUnwindSafe(future).catch_unwind().await.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Err(EngineError::Panicked(text.unwrap_or_else(|| "a panic without a text".to_owned())))
    })
}

/// Repeats a run from the store until it has ended.
async fn go_on(shared: &Arc<Shared>, inbox: &Arc<Inbox>, mut outcome: Result<(), EngineError>) {
    let mut panics = 0;
    while let Err(error) = outcome {
        panics += u32::from(matches!(error, EngineError::Panicked(_)));
        // Of a run that another replica carries out by now nothing is written any more.
        let is_over = matches!(error, EngineError::Records(records::Error::Stopped | records::Error::Fenced { .. }));
        let is_lost = is_over || matches!(error, EngineError::Fault(_)) || panics > PANICS;
        tracing::error!(run = inbox.run, %error, "a run cannot be carried out");
        if is_lost {
            return give_up(shared, inbox, &error).await;
        }
        shared.release(&inbox.run);
        shared.clock.sleep(PAUSE).await;
        outcome = caught(restore(shared, inbox)).await;
    }
}

/// Ends a run that cannot be carried out: its pipeline cannot be read any more, since another version of this program has
/// taken it, or a fault of this program comes again and again.
async fn give_up(shared: &Arc<Shared>, inbox: &Arc<Inbox>, error: &EngineError) {
    let reason = match error {
        EngineError::Fault(_) => "Pipeline",
        EngineError::Panicked(_) => "Internal",
        _ => return,
    };
    let Ok(Some(mut row)) = store::runs::get(&shared.records, &inbox.run).await else { return };
    let (state, at_ms) = (RunState::Failed, shared.now_ms());
    row.state = state;
    row.finished_ms = Some(at_ms);
    row.history.push(StateChange { state, at_ms });
    row.error = Some(TaskError { reason: reason.to_owned(), message: error.to_string(), exit_code: None });
    let ended = vec![store::tasks::close(&row.run_id, at_ms), store::runs::update_state(&row)];
    if let Err(error) = shared.records.write(ended).await {
        tracing::error!(run = inbox.run, %error, "a run cannot be ended");
    }
    let pods: kube::Api<Pod> = kube::Api::namespaced(shared.client.clone(), &row.namespace);
    let of_run = ListParams::default().labels(&format!("{RUN_LABEL}={}", row.run_id));
    if let Err(error) = pods.delete_collection(&DeleteParams::default(), &of_run).await {
        tracing::warn!(run = inbox.run, %error, "the pods of a run that was given up cannot be deleted");
    }
}

async fn restore(shared: &Arc<Shared>, inbox: &Arc<Inbox>) -> Result<(), EngineError> {
    shared.pods.synced().await;
    let Some(row) = store::runs::get(&shared.records, &inbox.run).await? else { return Ok(()) };
    if row.state.is_final() {
        return Ok(());
    }
    let run = load::run(shared, &row, Goes::On(inbox.live())).await?;
    let mut actor = Actor::new(shared.clone(), inbox.clone(), run, row);
    look_around(&mut actor);
    actor.drive().await
}

/// Tells a run how its pods look: those that are expected to run and are nowhere are gone.
pub(super) fn look_around(actor: &mut Actor) {
    let namespace = actor.row.namespace.clone();
    let now_ms = actor.shared.now_ms();
    for (node, attempt, pod) in actor.run.pods() {
        let is_intent = actor.run.is_intent(node);
        let sight = actor.shared.pods.sight(&namespace, &pod).or((!is_intent).then_some(Sight::Gone));
        if let Some(sight) = sight {
            actor.run.handle(Event::Seen { node, attempt, sight }, now_ms);
        }
    }
}
