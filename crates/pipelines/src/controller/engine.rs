//! The engine's handle.

use std::sync::Arc;

use ferroflow_platform::{
    blob::Blobs,
    clock::SharedClock,
    metrics::Metrics,
    records::{self, Records},
    task::{Group, Kind},
};
use serde_json::Value;
use tokio::sync::oneshot;

use super::{
    actor::Actor,
    api::{EngineError, LogStream, StepError, Steps},
    carry,
    config::EngineConfig,
    expiry,
    inbox::{Inbox, Message, Reply},
    load::{self, Goes},
    logs, reach, removal,
    shared::Shared,
};
use crate::{
    core::{
        engine::Run,
        id, ir,
        run::{RunState, StateChange},
        step::{Begin, Report, StepClaims, Verdict, WorkOrder},
        task::TaskRow,
        value::Artifact,
    },
    store::{self, artifacts::ArtifactRow, runs::RunRow},
};

/// Carries out runs. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    pub(super) shared: Arc<Shared>,
}

/// Whether a log ends with what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    No,
    UntilEnd,
}

impl Engine {
    /// Starts the engine, and goes on with every run that has not ended.
    ///
    /// # Errors
    /// [`EngineError::Records`].
    pub async fn start(
        config: EngineConfig,
        records: Records,
        blobs: Blobs,
        client: kube::Client,
        clock: SharedClock,
        group: Group,
    ) -> Result<Self, EngineError> {
        let engine = Self::reading(config, records, blobs, client, clock, group).await?;
        engine.begin().await?;
        Ok(engine)
    }

    /// Lets Prometheus read what this engine counts.
    pub fn tell(&self, metrics: &Metrics) {
        self.shared.counts.register(metrics);
    }

    async fn begin(&self) -> Result<(), EngineError> {
        let shared = &self.shared;
        let (watching, cleaning) = (shared.clone(), shared.clone());
        shared.group.spawn("watch of steps' pods", Kind::Essential, async move {
            watching.pods.watch().await;
            Ok::<(), std::convert::Infallible>(())
        });
        shared.group.spawn("removal of steps' pods", Kind::Essential, async move {
            cleaning.pods.clean().await;
            Ok::<(), std::convert::Infallible>(())
        });
        let clearing = shared.clone();
        shared.group.spawn("removal of what runs have left", Kind::Essential, async move {
            removal::run(clearing).await;
            Ok::<(), std::convert::Infallible>(())
        });
        let expiring = shared.clone();
        shared.group.spawn("expiry of what runs have in the cluster", Kind::Essential, async move {
            expiry::run(expiring).await;
            Ok::<(), std::convert::Infallible>(())
        });
        removal::sweep_uploads(shared);
        reach::note_older(shared).await?;
        for row in store::runs::active(&shared.records).await? {
            if let Some(inbox) = shared.enter(&row)? {
                carry::resume(shared.clone(), inbox);
            }
        }
        Ok(())
    }

    /// An engine that carries nothing out, beside the one of the replica that leads: it tells what is recorded.
    ///
    /// # Errors
    /// [`EngineError::Records`].
    pub async fn reading(
        config: EngineConfig,
        records: Records,
        blobs: Blobs,
        client: kube::Client,
        clock: SharedClock,
        group: Group,
    ) -> Result<Self, EngineError> {
        store::migrate(&records).await?;
        Ok(Self { shared: Arc::new(Shared::new(config, records, blobs, client, clock, group)) })
    }

    /// Records a run and begins with it. Of `run` the engine fills `spec_digest`, `pipeline_name`, `state` and `history`,
    /// and where they are empty `run_id`, `namespace` and the times. `spec` is `{"pipeline_spec": …[, "platform_spec": …]}`
    /// or the bare IR. Returns the run as it was recorded first: pending.
    ///
    /// # Errors
    /// [`EngineError::Fault`] for a spec or parameters that cannot be run, or a root that is another namespace's;
    /// [`EngineError::Exists`], and [`EngineError::Resumes`] while it is in doubt whether a run of this id exists.
    pub async fn submit(&self, run: RunRow, spec: Value) -> Result<RunRow, EngineError> {
        let pipeline = Arc::new(ir::read::pipeline(&spec)?);
        let row = self.filled(run, &pipeline.name, &spec);
        let parameters = load::parameters(&row, &pipeline)?;
        let facts = load::facts(&self.shared, &row, &pipeline);
        let place = reach::root(&self.shared, &facts, &pipeline).await?;
        let Some(inbox) = self.shared.enter(&row)? else {
            // One whose first write is in doubt may turn out not to be there.
            let is_there = self.run(&row.run_id).await?.is_some();
            return Err(if is_there { EngineError::Exists(row.run_id) } else { EngineError::Resumes(row.run_id) });
        };
        let limits = self.shared.limits();
        let mut run = Run::new(pipeline, facts, limits, parameters, row.created_ms);
        run.begin(self.shared.now_ms());
        let mut actor = Actor::new(self.shared.clone(), inbox, run, row.clone());
        actor.first = vec![store::runs::insert_spec(&row.spec_digest, &spec), store::runs::insert(&row)];
        actor.first.extend(place.and_then(|place| store::places::hold(&row.namespace, &place)));
        self.started(actor).await.map_err(|error| match error {
            EngineError::Records(records::Error::Duplicate(_)) => EngineError::Exists(row.run_id.clone()),
            other => other,
        })?;
        Ok(row)
    }

    async fn started(&self, actor: Actor) -> Result<(), EngineError> {
        let (started, outcome) = oneshot::channel();
        carry::begin(actor, started);
        outcome.await.map_err(|_| EngineError::Stopped)?
    }

    fn filled(&self, mut run: RunRow, pipeline: &str, spec: &Value) -> RunRow {
        let now_ms = self.shared.now_ms();
        if run.run_id.is_empty() {
            run.run_id = id::derived(&["run", &rand::random::<u128>().to_string()]);
        }
        if run.namespace.is_empty() {
            run.namespace.clone_from(&self.shared.config.namespace);
        }
        if run.created_ms == 0 {
            run.created_ms = now_ms;
        }
        if run.scheduled_ms == 0 {
            run.scheduled_ms = run.created_ms;
        }
        if !run.runtime_config.is_object() {
            run.runtime_config = Value::Object(serde_json::Map::new());
        }
        run.pipeline_name = pipeline.to_owned();
        run.spec_digest = id::digest(&spec.to_string());
        run.state = RunState::Pending;
        run.finished_ms = None;
        run.error = None;
        run.history = vec![StateChange { state: RunState::Pending, at_ms: run.created_ms }];
        run
    }

    async fn row(&self, run: &str) -> Result<RunRow, EngineError> {
        let missing = || EngineError::NotFound { kind: "run", id: run.to_owned() };
        store::runs::get(&self.shared.records, run).await?.ok_or_else(missing)
    }

    /// Ends a run: its steps are stopped, and it ends as FAILED after CANCELING. Returns once that is recorded, while
    /// pods may still be going.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::NotRunning`], [`EngineError::Resumes`] where it could not be recorded.
    pub async fn terminate(&self, run: &str) -> Result<(), EngineError> {
        let row = self.row(run).await?;
        let ended = |row: RunRow| EngineError::NotRunning { run: row.run_id, state: row.state.as_str() };
        let Some(inbox) = self.shared.inbox(run).filter(|_| !row.state.is_final()) else { return Err(ended(row)) };
        let (reply, done) = oneshot::channel();
        inbox.push(Message::Terminate { reply });
        tokio::select! {
            // What was answered counts, also where the run has ended by now.
            biased;
            outcome = done => match outcome {
                Ok(()) => return Ok(()),
                // Its actor could not record that, and another one goes on from what is recorded.
                Err(_) if !inbox.is_closed() => return Err(EngineError::Resumes(row.run_id)),
                Err(_) => {}
            },
            () = inbox.closed() => {}
        }
        Err(ended(self.row(run).await?))
    }

    /// Goes on with a failed run: what has succeeded is kept, the rest runs again.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::NotFinished`], [`EngineError::NotFailed`], [`EngineError::NoWorkspace`].
    pub async fn retry(&self, run: &str) -> Result<(), EngineError> {
        let row = self.row(run).await?;
        let state = row.state.as_str();
        if !row.state.is_final() {
            return Err(EngineError::NotFinished { run: run.to_owned(), state });
        }
        if row.state == RunState::Succeeded {
            return Err(EngineError::NotFailed { run: run.to_owned(), state });
        }
        if let Some(inbox) = self.shared.inbox(run) {
            // It has ended, and its actor is about to.
            inbox.closed().await;
        }
        let Some(inbox) = self.shared.enter(&row)? else {
            return Err(EngineError::NotFinished { run: run.to_owned(), state: RunState::Pending.as_str() });
        };
        match self.again(&row).await {
            Ok(run) => self.started(Actor::new(self.shared.clone(), inbox, run, row)).await,
            Err(error) => {
                self.shared.leave(&inbox);
                Err(error)
            }
        }
    }

    /// A failed run as it goes on.
    async fn again(&self, row: &RunRow) -> Result<Run, EngineError> {
        let run = load::run(&self.shared, row, Goes::Again).await?;
        if run.has_workspace() && !expiry::is_workspace_there(&self.shared, row).await? {
            return Err(EngineError::NoWorkspace { run: row.run_id.clone(), claim: load::workspace_name(row) });
        }
        Ok(run)
    }

    /// Removes a run, its tasks and pods; one that is under way is stopped first. Its logs, what its steps have written,
    /// and what the cache knows of it follow in the background, but for what other runs have taken over.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Resumes`] where its end could not be recorded.
    pub async fn delete(&self, run: &str) -> Result<(), EngineError> {
        if let Some(inbox) = self.shared.inbox(run) {
            match self.terminate(run).await {
                Ok(()) | Err(EngineError::NotRunning { .. }) => inbox.closed().await,
                Err(error) => return Err(error),
            }
        }
        let row = self.row(run).await?;
        let place = load::directory(&self.shared, &row).await?.unwrap_or_default();
        expiry::remove_objects(&self.shared, &row).await?;
        self.shared.records.write(store::removal::delete(&row, &place, self.shared.now_ms())).await?;
        self.shared.removals.notify_one();
        Ok(())
    }

    /// A run as it stands.
    ///
    /// # Errors
    /// [`EngineError::Records`].
    pub async fn run(&self, run: &str) -> Result<Option<RunRow>, EngineError> {
        Ok(store::runs::get(&self.shared.records, run).await?)
    }

    /// The tasks of a run, by path.
    ///
    /// # Errors
    /// [`EngineError::Records`].
    pub async fn tasks(&self, run: &str) -> Result<Vec<TaskRow>, EngineError> {
        Ok(store::tasks::of_run(&self.shared.records, run).await?)
    }

    /// What a step has printed; with [`Follow::UntilEnd`] also what it will.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] for a task that does not exist or has not printed anything that is kept.
    pub async fn log(&self, run: &str, task: &str, follow: Follow) -> Result<LogStream, EngineError> {
        logs::open(&self.shared, run, task, follow).await
    }

    /// An artifact.
    ///
    /// # Errors
    /// [`EngineError::Records`].
    pub async fn artifact(&self, artifact: &str) -> Result<Option<ArtifactRow>, EngineError> {
        Ok(store::artifacts::get(&self.shared.records, artifact).await?)
    }

    /// Whether what lies at a URI may be sent to those who may read a namespace.
    ///
    /// # Errors
    /// [`EngineError::Denied`].
    pub async fn reach(&self, namespace: &str, uri: &str) -> Result<(), EngineError> {
        reach::check(&self.shared, namespace, uri).await
    }

    /// Asks the actor of a step's run; a run that has none has ended, or not begun again.
    async fn ask<T>(&self, claims: &StepClaims, message: impl FnOnce(Reply<T>) -> Message) -> Result<T, StepError> {
        let stale = || StepError::Stale { task: claims.task.clone(), attempt: claims.attempt };
        let inbox: Arc<Inbox> = self.shared.inbox(&claims.run).ok_or_else(stale)?;
        let (reply, answer) = oneshot::channel();
        inbox.push(message(reply));
        tokio::select! {
            biased;
            answer = answer => answer.unwrap_or_else(|_| Err(StepError::Unavailable("the run starts again".to_owned()))),
            () = inbox.closed() => Err(stale()),
        }
    }
}

impl Steps for Engine {
    async fn begin(&self, claims: &StepClaims, begin: Begin) -> Result<WorkOrder, StepError> {
        self.ask(claims, |reply| Message::Begin { claims: claims.clone(), begin, reply }).await
    }

    async fn input(&self, claims: &StepClaims, artifact: &str) -> Result<Artifact, StepError> {
        let artifact = artifact.to_owned();
        self.ask(claims, |reply| Message::Input { claims: claims.clone(), artifact, reply }).await
    }

    async fn output(&self, claims: &StepClaims, name: &str) -> Result<String, StepError> {
        let name = name.to_owned();
        self.ask(claims, |reply| Message::Output { claims: claims.clone(), name, reply }).await
    }

    async fn log(&self, claims: &StepClaims) -> Result<String, StepError> {
        self.ask(claims, |reply| Message::Log { claims: claims.clone(), reply }).await
    }

    async fn finish(&self, claims: &StepClaims, report: Report) -> Result<Verdict, StepError> {
        self.ask(claims, |reply| Message::Finish { claims: claims.clone(), report, reply }).await
    }
}
