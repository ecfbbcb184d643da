//! What all runs of an engine have in common.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ferroflow_platform::{
    blob::Blobs,
    clock::SharedClock,
    records::{self, Records, Statement},
    task::Group,
};
use tokio::sync::Notify;

use super::{
    api::EngineError, config::EngineConfig, counts::Counts, flights::Flights, inbox::Inbox, places::Places, pods::Pods,
};
use crate::{
    core::{engine::Limits, token::TokenKey},
    store::runs::RunRow,
};

/// Runs that are under way at the same time; each has a task and the tree of its open tasks in memory.
const ACTIVE_RUNS: usize = 10_000;

struct Active {
    inbox: Arc<Inbox>,
    pipeline: String,
}

pub(super) struct Shared {
    pub(super) config: EngineConfig,
    pub(super) records: Records,
    pub(super) blobs: Blobs,
    pub(super) client: kube::Client,
    pub(super) clock: SharedClock,
    pub(super) group: Group,
    pub(super) places: Places,
    pub(super) flights: Flights,
    pub(super) pods: Pods,
    pub(super) tokens: TokenKey,
    pub(super) counts: Counts,
    /// How often the actors of runs are to panic yet.
    #[cfg(test)]
    pub(super) panics: std::sync::atomic::AtomicU32,
    /// What the next writes of actors are to come to; nothing is written but with a doubt that says "written".
    #[cfg(test)]
    pub(super) faults: Mutex<std::collections::VecDeque<records::Error>>,
    /// How often readers of artifacts are to find the store away yet.
    #[cfg(test)]
    pub(super) away: std::sync::atomic::AtomicU32,
    /// A run has ended whose pods do not stay.
    pub(super) expiries: Notify,
    /// A run was removed.
    pub(super) removals: Notify,
    active: Mutex<HashMap<String, Active>>,
}

impl Shared {
    pub(super) fn new(
        config: EngineConfig,
        records: Records,
        blobs: Blobs,
        client: kube::Client,
        clock: SharedClock,
        group: Group,
    ) -> Self {
        Self {
            places: Places::new(config.running_steps, config.running_steps_per_namespace),
            flights: Flights::default(),
            pods: Pods::new(client.clone(), clock.clone()),
            tokens: TokenKey::new(&config.token_key),
            counts: Counts::default(),
            #[cfg(test)]
            panics: std::sync::atomic::AtomicU32::new(0),
            #[cfg(test)]
            faults: Mutex::default(),
            #[cfg(test)]
            away: std::sync::atomic::AtomicU32::new(0),
            expiries: Notify::new(),
            removals: Notify::new(),
            active: Mutex::default(),
            config,
            records,
            blobs,
            client,
            clock,
            group,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Active>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Panics as often as a test has asked for.
    #[cfg(test)]
    pub(super) fn stumble(&self) {
        use std::sync::atomic::Ordering::SeqCst;
        let left = self.panics.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1));
        assert!(left.is_err(), "an actor panics, as a test wants it");
    }

    /// Records what an actor wants recorded.
    pub(super) async fn record(&self, statements: Vec<Statement>) -> Result<(), records::Error> {
        #[cfg(test)]
        self.fail(&statements).await?;
        self.records.write(statements).await.map(drop)
    }

    /// Fails a write as a test has asked for.
    #[cfg(test)]
    async fn fail(&self, statements: &[Statement]) -> Result<(), records::Error> {
        let fault = self.faults.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        if matches!(&fault, Some(records::Error::InDoubt(what)) if what == "written") {
            self.records.write(statements.to_vec()).await?;
        }
        fault.map_or(Ok(()), Err)
    }

    /// Finds the store away as often as a test has asked for.
    #[cfg(test)]
    pub(super) fn miss(&self) -> Result<(), records::Error> {
        use std::sync::atomic::Ordering::SeqCst;
        match self.away.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)) {
            Ok(_) => Err(records::Error::InDoubt("a test wants it".to_owned())),
            Err(_) => Ok(()),
        }
    }

    /// Milliseconds since 1970.
    pub(super) fn now_ms(&self) -> i64 {
        self.clock.now().as_millisecond()
    }

    pub(super) fn limits(&self) -> Limits {
        let iterations = self.config.running_steps.min(self.config.running_steps_per_namespace).max(1);
        Limits { iterations, ..Limits::default() }
    }

    /// Opens the inbox of a run that is to be carried out; `None` where it has one.
    pub(super) fn enter(&self, run: &RunRow) -> Result<Option<Arc<Inbox>>, EngineError> {
        let mut active = self.lock();
        if active.contains_key(&run.run_id) {
            return Ok(None);
        }
        if active.len() >= ACTIVE_RUNS {
            return Err(EngineError::Busy(ACTIVE_RUNS));
        }
        let inbox = Arc::new(Inbox::new(run.run_id.clone()));
        active.insert(run.run_id.clone(), Active { inbox: inbox.clone(), pipeline: run.pipeline_name.clone() });
        self.counts.active(active.len());
        drop(active);
        self.pods.register(&run.namespace, &inbox);
        Ok(Some(inbox))
    }

    /// Forgets a run that is no longer carried out.
    pub(super) fn leave(&self, inbox: &Inbox) {
        self.release(&inbox.run);
        self.pods.leave(&inbox.run);
        let mut active = self.lock();
        active.remove(&inbox.run);
        self.counts.active(active.len());
        drop(active);
        inbox.close();
    }

    /// Gives back all that a run holds in common with others.
    pub(super) fn release(&self, run: &str) {
        self.places.leave(run);
        self.flights.leave(run);
    }

    /// The inbox of a run that is under way.
    pub(super) fn inbox(&self, run: &str) -> Option<Arc<Inbox>> {
        self.lock().get(run).map(|active| active.inbox.clone())
    }

    /// The pipeline of a run that is under way.
    pub(super) fn pipeline_of(&self, run: &str) -> String {
        self.lock().get(run).map(|active| active.pipeline.clone()).unwrap_or_default()
    }
}
