//! The loop that triggers recurring runs.
//!
//! It wakes when the next one is due, and when one is made, enabled, disabled or removed. A run's id follows from the
//! recurring run and the number of the run, so that a crash between making the run and noting it makes no second one.

use std::{sync::Arc, time::Duration};

use ferroflow_platform::task::{Group, Kind};
use jiff::tz::TimeZone;
use tokio::sync::Notify;

use crate::{
    core::{id, schedule::Missed},
    http::{
        api::Api,
        failure::{Code, Failure},
        runs,
        source::{self, Source},
    },
    store::{recurring, recurring::Recurring, runs::RunRow},
};

/// How long a run that is put off waits before it is looked at again: at the bound of runs under way, or while records
/// cannot be read.
const AGAIN: Duration = Duration::from_secs(1);
/// The longest sleep, after which a clock that was set is noticed.
const LONGEST: Duration = Duration::from_secs(60);
/// Runs that one pass makes of one recurring run before it looks at the others.
const ROUND: usize = 10;

/// Starts the loop. `changed` is rung when recurring runs change.
pub fn start(api: Arc<Api>, changed: Arc<Notify>, zone: TimeZone, group: &Group) {
    group.spawn("schedules of recurring runs", Kind::Essential, async move {
        loop {
            let wait = match pass(&api, &zone).await {
                Ok(wait) => wait,
                Err(failure) => {
                    tracing::warn!(error = failure.message, "recurring runs cannot be read");
                    AGAIN
                }
            };
            tokio::select! {
                () = changed.notified() => {}
                () = api.clock.sleep(wait) => {}
            }
        }
        #[expect(unreachable_code, reason = "the type of the error that never comes")]
        Ok::<(), std::convert::Infallible>(())
    });
}

/// Triggers what is due, and says how long it is until the next one.
async fn pass(api: &Arc<Api>, zone: &TimeZone) -> Result<Duration, Failure> {
    let mut wait = LONGEST;
    for recurring in recurring::enabled(&api.records).await? {
        wait = wait.min(drive(api, recurring, zone).await?);
    }
    Ok(wait)
}

/// Triggers what is due of one recurring run.
async fn drive(api: &Arc<Api>, mut recurring: Recurring, zone: &TimeZone) -> Result<Duration, Failure> {
    let missed = if recurring.no_catchup { Missed::Latest } else { Missed::All };
    for _ in 0..ROUND {
        let now = api.now_ms();
        let (last, created) = (recurring.last_ms, recurring.created_ms);
        let Some(due) = recurring.trigger.due(last, created, missed, now, zone) else {
            let next = recurring.trigger.next(last, created, zone);
            let wait = next.and_then(|next| u64::try_from(next - now).ok()).map(Duration::from_millis);
            return Ok(wait.unwrap_or(LONGEST));
        };
        if recurring::under_way(&api.records, &recurring.recurring_run_id).await? >= recurring.max_concurrency {
            return Ok(AGAIN);
        }
        let error = match trigger(api, &recurring, due).await {
            Ok(()) => String::new(),
            // It will be the same the next time; it is shown, and the next run is another chance.
            Err(failure) if failure.code != Code::Unavailable && failure.code != Code::TooMuch => {
                let id = &recurring.recurring_run_id;
                tracing::warn!(recurring_run = id, error = failure.message, "a run could not be made");
                failure.message
            }
            Err(_) => return Ok(AGAIN),
        };
        api.records.write(vec![recurring::triggered(&recurring, due, &error)]).await?;
        recurring.last_ms = Some(due);
        recurring.next_index += 1;
    }
    Ok(Duration::ZERO)
}

async fn trigger(api: &Arc<Api>, recurring: &Recurring, due_ms: i64) -> Result<(), Failure> {
    let text = |id: &Option<String>| id.clone().unwrap_or_default();
    let source = match (&recurring.spec, &recurring.pipeline_version_id) {
        (Some(spec), _) => Source::Spec(source::stored(spec)?),
        (None, Some(version_id)) => {
            Source::Version { pipeline_id: text(&recurring.pipeline_id), version_id: version_id.clone() }
        }
        (None, None) => Source::Latest { pipeline_id: text(&recurring.pipeline_id) },
    };
    let resolved = source::resolve(&api.records, &source).await?;
    let index = recurring.next_index.to_string();
    let suffix = id::suffix(&[&recurring.recurring_run_id, &index], 8);
    let run = RunRow {
        run_id: id::derived(&["recurring", &recurring.recurring_run_id, &index]),
        experiment_id: recurring.experiment_id.clone(),
        namespace: recurring.namespace.clone(),
        // As upstream: the name, the number, and what keeps it apart from others.
        display_name: format!("{}-{index}-{suffix}", recurring.display_name),
        description: recurring.description.clone(),
        created_ms: api.now_ms(),
        scheduled_ms: due_ms,
        service_account: recurring.service_account.clone(),
        pipeline_id: resolved.pipeline_id,
        pipeline_version_id: resolved.version_id,
        recurring_run_id: Some(recurring.recurring_run_id.clone()),
        runtime_config: recurring.runtime_config.clone(),
        ..RunRow::default()
    };
    match runs::submit(api, run, resolved.spec).await {
        Ok(_) => Ok(()),
        // Made before a crash, and not noted.
        Err(failure) if failure.code == Code::AlreadyExists => Ok(()),
        Err(failure) => Err(failure),
    }
}
