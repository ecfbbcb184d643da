//! Events are forgotten an hour after they were last seen.

use std::time::Duration;

use ferroflow_platform::clock::SharedClock;
use ferroflow_platform::controller::Caches;
use ferroflow_platform::task::Kind as TaskKind;
use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Event;
use kube::Api;
use kube::api::{DeleteParams, Preconditions};
use serde::Deserialize;

use super::execute::is_code;
use crate::store::{Entry, ListRange, Store};

/// How long an event is kept.
const KEPT: SignedDuration = SignedDuration::from_hours(1);
/// How often events are looked through.
const INTERVAL: Duration = Duration::from_secs(60);
/// Deletions that may be under way at the same time.
const AT_ONCE: usize = 64;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Times {
    metadata: Metadata,
    last_timestamp: Option<Timestamp>,
    event_time: Option<Timestamp>,
    series: Option<Series>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    creation_timestamp: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Series {
    last_observed_time: Option<Timestamp>,
}

/// Starts the loop that deletes old events.
pub fn register(caches: &Caches, clock: &SharedClock, store: Store) {
    let (client, clock) = (caches.client(), clock.clone());
    caches.group().spawn("event expiry", TaskKind::Essential, async move {
        loop {
            clock.sleep(INTERVAL).await;
            let now = clock.now();
            let Ok(snapshot) = store.list("events", &ListRange::default()) else { continue };
            let old: Vec<_> = snapshot.entries.iter().filter(|entry| is_old(entry, now)).collect();
            for batch in old.chunks(AT_ONCE) {
                let deletions = batch.iter().map(|entry| {
                    let api: Api<Event> = Api::namespaced(client.clone(), &entry.key.namespace);
                    delete(api, entry)
                });
                join_all(deletions).await;
            }
        }
        #[expect(unreachable_code, reason = "gives the loop its result type")]
        Ok::<(), std::convert::Infallible>(())
    });
}

/// Deletes an event as it was seen: one that is written again meanwhile stays.
async fn delete(api: Api<Event>, entry: &Entry) {
    let preconditions = Preconditions { uid: None, resource_version: Some(entry.revision.to_string()) };
    let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
    if let Err(error) = api.delete(&entry.key.name, &params).await
        && !is_code(&error, 404)
        && !is_code(&error, 409)
    {
        tracing::debug!(%error, "an old event could not be deleted");
    }
}

fn is_old(entry: &Entry, now: Timestamp) -> bool {
    let Ok(times) = serde_json::from_slice::<Times>(&entry.json) else { return false };
    let observed = times.series.and_then(|series| series.last_observed_time);
    let seen = [times.metadata.creation_timestamp, times.last_timestamp, times.event_time, observed];
    let last = seen.into_iter().flatten().max();
    last.is_some_and(|last| now.duration_since(last) >= KEPT)
}
