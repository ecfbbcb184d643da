//! The life of a run's actor: from the first write or the store to the end, through faults of the store.

use std::{sync::Arc, time::Duration};

use ferroflow_platform::{records, task::Kind};
use tokio::sync::oneshot;

use super::{
    actor::Actor,
    api::EngineError,
    inbox::Inbox,
    load::{self, Goes},
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

/// A run that cannot be carried out is tried again after this.
const PAUSE: Duration = Duration::from_secs(1);

/// Carries out a run that `actor` has been made for; `started` is told of its first write.
pub(super) fn begin(actor: Actor, started: oneshot::Sender<Result<(), EngineError>>) {
    let group = actor.shared.group.clone();
    group.spawn(format!("run {}", actor.inbox.run), Kind::Transient, async move {
        let (shared, inbox) = (actor.shared.clone(), actor.inbox.clone());
        let mut actor = actor;
        match actor.start().await {
            Err(error) => drop(started.send(Err(error))),
            Ok(()) => {
                // Whoever has submitted the run and left finds it by its id.
                let _ = started.send(Ok(()));
                let outcome = actor.drive().await;
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
        let outcome = restore(&shared, &inbox).await;
        go_on(&shared, &inbox, outcome).await;
        shared.leave(&inbox);
        Ok::<(), std::convert::Infallible>(())
    });
}

/// Repeats a run from the store until it has ended.
async fn go_on(shared: &Arc<Shared>, inbox: &Arc<Inbox>, mut outcome: Result<(), EngineError>) {
    while let Err(error) = outcome {
        let is_lost = matches!(
            error,
            // Of a run that another replica carries out by now nothing is written any more.
            EngineError::Records(records::Error::Stopped | records::Error::Fenced { .. }) | EngineError::Fault(_)
        );
        tracing::error!(run = inbox.run, %error, "a run cannot be carried out");
        if is_lost {
            return give_up(shared, inbox, &error).await;
        }
        shared.release(&inbox.run);
        shared.clock.sleep(PAUSE).await;
        outcome = restore(shared, inbox).await;
    }
}

/// Ends a run whose pipeline cannot be read any more: another version of this program has taken it.
async fn give_up(shared: &Arc<Shared>, inbox: &Arc<Inbox>, error: &EngineError) {
    let EngineError::Fault(fault) = error else { return };
    let Ok(Some(mut row)) = store::runs::get(&shared.records, &inbox.run).await else { return };
    let (state, at_ms) = (RunState::Failed, shared.now_ms());
    row.state = state;
    row.finished_ms = Some(at_ms);
    row.history.push(StateChange { state, at_ms });
    row.error = Some(TaskError { reason: "Pipeline".to_owned(), message: fault.to_string(), exit_code: None });
    if let Err(error) = shared.records.write(vec![store::runs::update_state(&row)]).await {
        tracing::error!(run = inbox.run, %error, "a run cannot be ended");
    }
}

async fn restore(shared: &Arc<Shared>, inbox: &Arc<Inbox>) -> Result<(), EngineError> {
    shared.pods.synced().await;
    let Some(row) = store::runs::get(&shared.records, &inbox.run).await? else { return Ok(()) };
    if row.state.is_final() {
        return Ok(());
    }
    let run = load::run(shared, &row, Goes::On).await?;
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
