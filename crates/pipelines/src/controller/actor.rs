//! Carries out one run: takes what has come, lets the run decide, records it in one write, and does what follows.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, VecDeque},
    sync::Arc,
    time::Duration,
};

use ferroflow_platform::records::Statement;
use tokio::{sync::oneshot, time::Instant};

use super::{
    api::{EngineError, StepError},
    hands::Hands,
    inbox::{Inbox, Message, Reply, Seen},
    reach,
    shared::Shared,
};
use crate::{
    core::{
        engine::{Effect, Event, Found, NodeId, Run, Wake, handover::Handed, sight::Sight},
        fault::Fault,
        reach::is_within,
        run::RunState,
        step::{Begin, Report, StepClaims, Verdict, WorkOrder},
        task::TaskError,
        value::{Artifact, Values},
    },
    store::{cache::CacheKey, expiry, runs::RunRow},
};

/// What nobody waits for is recorded after this at the latest, so that a step of a few milliseconds is one write.
const LAZY: Duration = Duration::from_millis(50);

/// What a step has come to.
type Outcome = Result<Values, TaskError>;

/// Answers that follow a write.
enum Answer {
    Begun(Reply<WorkOrder>, Box<WorkOrder>),
    Finished(Reply<Verdict>, Verdict),
    Done(oneshot::Sender<()>),
}

/// The actor of one run.
pub(super) struct Actor {
    pub(super) shared: Arc<Shared>,
    pub(super) inbox: Arc<Inbox>,
    pub(super) hands: Hands,
    pub(super) run: Run,
    pub(super) row: RunRow,
    /// What is written with the first commit: the run itself.
    pub(super) first: Vec<Statement>,
    /// Whether something of the run has been written by this actor.
    pub(super) is_recorded: bool,
    timers: BinaryHeap<Reverse<(Instant, u64)>>,
    wakes: BTreeMap<u64, Wake>,
    flush_at: Option<Instant>,
    after: Vec<Effect>,
    answers: Vec<Answer>,
    has_ended: bool,
}

impl Actor {
    pub(super) fn new(shared: Arc<Shared>, inbox: Arc<Inbox>, run: Run, row: RunRow) -> Self {
        let hands = Hands { shared: shared.clone(), inbox: inbox.clone(), facts: run.facts().clone() };
        Self {
            shared,
            inbox,
            hands,
            run,
            row,
            first: Vec::new(),
            is_recorded: false,
            timers: BinaryHeap::new(),
            wakes: BTreeMap::new(),
            flush_at: None,
            after: Vec::new(),
            answers: Vec::new(),
            has_ended: false,
        }
    }

    /// Does what the run has asked for so far.
    pub(super) async fn start(&mut self) -> Result<(), EngineError> {
        self.settle().await
    }

    /// Goes on until the run has ended.
    pub(super) async fn drive(&mut self) -> Result<(), EngineError> {
        loop {
            self.settle().await?;
            if self.has_ended {
                return Ok(());
            }
            self.wait().await;
            let (messages, sights) = self.inbox.take();
            #[cfg(test)]
            self.shared.stumble();
            self.take(messages, sights).await;
        }
    }

    async fn wait(&mut self) {
        let due = self.timers.peek().map(|Reverse((at, _))| *at);
        let Some(next) = due.into_iter().chain(self.flush_at).min() else { return self.inbox.came().await };
        tokio::select! {
            () = self.inbox.came() => {}
            () = self.shared.clock.sleep_until(next) => {}
        }
    }

    async fn take(&mut self, messages: VecDeque<Message>, sights: BTreeMap<Seen, Sight>) {
        let now_ms = self.shared.now_ms();
        for message in messages {
            self.hear(message, now_ms).await;
        }
        for (Seen { task, attempt, pod }, sight) in sights {
            // Labels say whatever who has made the pod wants them to say.
            let is_its_own = |node: &NodeId| self.run.step(*node).is_some_and(|step| step.pod_name == pod);
            if let Some(node) = self.run.find(&task).filter(is_its_own) {
                self.run.handle(Event::Seen { node, attempt, sight }, now_ms);
            }
        }
        let now = self.shared.clock.instant();
        while let Some(Reverse((at, id))) = self.timers.peek().copied() {
            if at > now {
                break;
            }
            self.timers.pop();
            if let Some(wake) = self.wakes.remove(&id) {
                self.run.handle(Event::Due(wake), now_ms);
            }
        }
    }

    async fn hear(&mut self, message: Message, now_ms: i64) {
        match message {
            Message::Event(event) => self.run.handle(event, now_ms),
            Message::Begin { claims, begin, reply } => self.begin(&claims, begin, reply, now_ms),
            Message::Finish { claims, report, reply } => self.finish(&claims, &report, reply, now_ms).await,
            Message::Input { claims, artifact, reply } => {
                let found = self.input(&claims, &artifact).await;
                // A launcher that has gone asks again.
                let _ = reply.send(found);
            }
            Message::Output { claims, name, reply } => {
                let _ = reply.send(self.output(&claims, &name));
            }
            Message::Log { claims, reply } => {
                let current = self.run.current(&claims.task, claims.attempt);
                let key = log_key(&claims.run, &claims.task, claims.attempt);
                let _ = reply.send(current.map(|_| key).ok_or_else(|| stale(&claims)));
            }
            Message::Terminate { reply } => {
                self.run.handle(Event::Terminate, now_ms);
                self.answers.push(Answer::Done(reply));
            }
        }
    }

    fn begin(&mut self, claims: &StepClaims, begin: Begin, reply: Reply<WorkOrder>, now_ms: i64) {
        let Some((node, step)) = self.run.current(&claims.task, claims.attempt) else {
            let _ = reply.send(Err(stale(claims)));
            return;
        };
        let order = Handed::of(&self.run, node, step).and_then(|handed| handed.order(begin.root.as_deref()));
        let waits = begin.root.is_some() && begin.root.as_deref() != step.work_root;
        self.run.handle(Event::Begun { node, attempt: claims.attempt, work_root: begin.root }, now_ms);
        match order {
            Ok(order) if waits => self.answers.push(Answer::Begun(reply, Box::new(order))),
            Ok(order) => {
                let _ = reply.send(Ok(order));
            }
            Err(fault) => {
                let _ = reply.send(Err(StepError::Fault(fault)));
            }
        }
    }

    async fn finish(&mut self, claims: &StepClaims, report: &Report, reply: Reply<Verdict>, now_ms: i64) {
        let Some((node, step)) = self.run.current(&claims.task, claims.attempt) else {
            let _ = reply.send(Err(stale(claims)));
            return;
        };
        let outcome = match Handed::of(&self.run, node, step) {
            Ok(handed) => handed.outcome(report),
            Err(fault) => Err(TaskError { reason: "Output".to_owned(), message: fault.to_string(), exit_code: None }),
        };
        let outcome = match self.reached(outcome).await {
            Ok(outcome) => outcome,
            Err(error) => {
                // The launcher asks again.
                let _ = reply.send(Err(StepError::Unavailable(error.to_string())));
                return;
            }
        };
        let exit_code = match (&outcome, report.exit_code) {
            (Ok(_), _) => 0,
            (Err(_), Some(code)) if code != 0 => code,
            (Err(_), _) => 1,
        };
        let uploaded = report.artifacts.keys().cloned().collect();
        self.run.handle(Event::Finished { node, attempt: claims.attempt, outcome, uploaded }, now_ms);
        self.answers.push(Answer::Finished(reply, Verdict { exit_code }));
    }

    /// What a step has come to, a failure where it claims what is another namespace's.
    async fn reached(&self, outcome: Outcome) -> Result<Outcome, EngineError> {
        let Ok(values) = &outcome else { return Ok(outcome) };
        for (name, artifacts) in &values.artifacts {
            for artifact in artifacts {
                match self.reach(&artifact.uri).await {
                    Ok(()) => {}
                    Err(EngineError::Denied(what)) => {
                        let message = Fault::new(format!("outputs.artifacts.{name}"), what).to_string();
                        return Ok(Err(TaskError { reason: "Output".to_owned(), message, exit_code: Some(0) }));
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(outcome)
    }

    /// Refuses what is another namespace's. Of what the run itself has made nothing is asked.
    async fn reach(&self, uri: &str) -> Result<(), EngineError> {
        if is_within(uri, &Handed::directory(self.run.facts(), self.run.pipeline())) {
            return Ok(());
        }
        reach::check(&self.shared, &self.row.namespace, uri).await
    }

    async fn input(&self, claims: &StepClaims, id: &str) -> Result<Artifact, StepError> {
        let (_, step) = self.run.current(&claims.task, claims.attempt).ok_or_else(|| stale(claims))?;
        let found = step.inputs.artifacts.values().flatten().find(|artifact| artifact.id == id).cloned();
        let artifact = found.ok_or_else(|| foreign(claims, "input artifact", id))?;
        match self.reach(&artifact.uri).await {
            Ok(()) => Ok(artifact),
            Err(EngineError::Denied(what)) => {
                Err(Fault::new(format!("inputs.artifacts.{}", artifact.name), what).into())
            }
            Err(error) => Err(StepError::Unavailable(error.to_string())),
        }
    }

    fn output(&self, claims: &StepClaims, name: &str) -> Result<String, StepError> {
        let (node, step) = self.run.current(&claims.task, claims.attempt).ok_or_else(|| stale(claims))?;
        let uri = Handed::of(&self.run, node, step)?.output_uri(name);
        let uri = uri.ok_or_else(|| foreign(claims, "output artifact", name))?;
        // The name of an output may lead to where nothing may be written.
        let denied = |error: EngineError| Fault::new(format!("outputs.artifacts.{name}"), error.to_string());
        reach::name(&self.shared, &uri).map_err(denied)?;
        Ok(uri)
    }

    /// Does what the run asks for until it asks for nothing more; what must be on disk first is written in between.
    async fn settle(&mut self) -> Result<(), EngineError> {
        loop {
            self.ask().await?;
            let now = self.shared.clock.instant();
            let must_write = self.run.is_urgent() || !self.answers.is_empty() || !self.after.is_empty();
            if must_write || !self.first.is_empty() || self.flush_at.is_some_and(|at| at <= now) {
                self.write().await?;
            } else if self.run.is_dirty() {
                self.flush_at.get_or_insert(now + LAZY);
            }
            self.answer();
            for effect in std::mem::take(&mut self.after) {
                self.act(effect);
            }
            if !self.run.has_effects() && !self.run.is_urgent() {
                return Ok(());
            }
        }
    }

    /// Asks the cache and for places, as long as answers lead to more questions.
    async fn ask(&mut self) -> Result<(), EngineError> {
        loop {
            let effects = self.run.take_effects();
            if effects.is_empty() {
                return Ok(());
            }
            self.sort(effects).await?;
        }
    }

    async fn sort(&mut self, effects: Vec<Effect>) -> Result<(), EngineError> {
        let mut looks = Vec::new();
        for effect in effects {
            if let Effect::Look { node, fingerprint } = effect {
                looks.push((node, fingerprint));
                continue;
            }
            self.looks(std::mem::take(&mut looks)).await?;
            self.before(effect);
        }
        self.looks(looks).await
    }

    fn before(&mut self, effect: Effect) {
        let (namespace, run) = (&self.row.namespace, &self.inbox.run);
        match effect {
            Effect::Want { node } => {
                if self.shared.places.want(namespace, node, &self.inbox) {
                    self.run.handle(Event::Placed { node }, self.shared.now_ms());
                }
            }
            Effect::Unwant { node } => self.shared.places.unwant(run, node),
            Effect::Take { node } => self.shared.places.take(namespace, run, node),
            Effect::Free { node } => self.shared.places.free(namespace, run, node),
            Effect::Hold { node, fingerprint } => {
                self.shared.flights.join(&self.key(fingerprint), node, &self.inbox);
            }
            other => self.after.push(other),
        }
    }

    fn key(&self, fingerprint: String) -> CacheKey {
        let (namespace, pipeline_name) = (self.row.namespace.clone(), self.row.pipeline_name.clone());
        CacheKey { namespace, pipeline_name, fingerprint }
    }

    async fn looks(&mut self, looks: Vec<(NodeId, String)>) -> Result<(), EngineError> {
        let mut firsts = Vec::new();
        for (node, fingerprint) in looks {
            let key = self.key(fingerprint);
            if self.shared.flights.join(&key, node, &self.inbox) {
                firsts.push((node, key));
            } else {
                self.run.handle(Event::Looked { node, found: Found::Busy }, self.shared.now_ms());
            }
        }
        let images: Vec<String> = firsts.iter().map(|(node, _)| self.run.image(*node).unwrap_or_default()).collect();
        let found = firsts.iter().zip(&images).map(|((_, key), image)| super::lookup::look(&self.shared, key, image));
        let found = futures::future::try_join_all(found).await?;
        for ((node, key), found) in firsts.into_iter().zip(found) {
            if matches!(found, Found::Hit { .. }) {
                self.shared.counts.hit();
                self.shared.flights.land(&key, &self.inbox.run, node);
            }
            self.run.handle(Event::Looked { node, found }, self.shared.now_ms());
        }
        Ok(())
    }

    async fn write(&mut self) -> Result<(), EngineError> {
        self.flush_at = None;
        let commit = self.run.take_commit();
        if let Some(standing) = &commit.run {
            self.row.state = standing.state;
            self.row.finished_ms = standing.finished_ms;
            self.row.error.clone_from(&standing.error);
            self.row.history.clone_from(&standing.history);
        }
        let mut statements = std::mem::take(&mut self.first);
        let images = super::commit::images(&self.shared, &commit).await;
        statements.extend(super::commit::statements(&self.row, commit, &images, self.shared.now_ms()));
        let due_ms = self.run.expires_ms();
        statements.extend(due_ms.map(|due_ms| expiry::set(&self.inbox.run, due_ms)));
        if !statements.is_empty() {
            self.shared.record(statements).await?;
            self.is_recorded = true;
        }
        if due_ms.is_some() {
            self.shared.expiries.notify_one();
        }
        Ok(())
    }

    fn answer(&mut self) {
        for answer in std::mem::take(&mut self.answers) {
            // Whoever no longer waits asks again.
            match answer {
                Answer::Begun(reply, order) => drop(reply.send(Ok(*order))),
                Answer::Finished(reply, verdict) => drop(reply.send(Ok(verdict))),
                Answer::Done(reply) => drop(reply.send(())),
            }
        }
    }

    /// Does what must not be done before it is recorded.
    fn act(&mut self, effect: Effect) {
        match effect {
            Effect::Launch { node } => self.launch(node),
            Effect::Delete { node, attempt, pod } => self.hands.delete(node, attempt, pod),
            Effect::Tail { node, attempt, pod } => {
                let task = self.run.task_id(node).unwrap_or_default();
                let key = log_key(&self.inbox.run, task, attempt);
                self.hands.tail(node, attempt, pod, key);
            }
            Effect::Act { node, action } => {
                self.hands.act(node, action, self.run.pipeline().platform.workspace.clone());
            }
            Effect::Timer { at_ms, wake } => self.timer(at_ms, wake),
            Effect::Land { node, fingerprint } => {
                self.shared.flights.land(&self.key(fingerprint), &self.inbox.run, node);
            }
            Effect::Ended => self.end(),
            Effect::Look { .. }
            | Effect::Hold { .. }
            | Effect::Want { .. }
            | Effect::Unwant { .. }
            | Effect::Take { .. }
            | Effect::Free { .. } => self.before(effect),
        }
    }

    fn timer(&mut self, at_ms: i64, wake: Wake) {
        let wait = u64::try_from(at_ms - self.shared.now_ms()).unwrap_or_default();
        let id = self.wakes.last_key_value().map_or(0, |(id, _)| id + 1);
        self.wakes.insert(id, wake);
        self.timers.push(Reverse((self.shared.clock.instant() + Duration::from_millis(wait), id)));
    }

    fn launch(&mut self, node: NodeId) {
        let Some(step) = self.run.step(node) else { return };
        let attempt = step.attempt;
        match super::commit::pod(&self.shared, &self.run, &self.row, node, step) {
            Ok(pod) => {
                self.shared.counts.launched();
                self.hands.launch(node, attempt, pod);
            }
            Err(fault) => {
                let error = TaskError { reason: "Pod".to_owned(), message: fault.to_string(), exit_code: None };
                self.run.handle(Event::Launched { node, attempt, outcome: Err(error) }, self.shared.now_ms());
            }
        }
    }

    fn end(&mut self) {
        self.has_ended = true;
        let state = self.run.standing().state;
        if state == RunState::Succeeded && self.run.pipeline().platform.workspace.is_some() {
            self.hands.drop_workspace();
        }
        self.shared.counts.ended(state.as_str());
        let took_ms = self.row.finished_ms.unwrap_or_default() - self.row.created_ms;
        tracing::info!(run = self.inbox.run, state = state.as_str(), took_ms, "a run has ended");
    }
}

/// The blob of an attempt's log.
pub(super) fn log_key(run: &str, task: &str, attempt: u32) -> String {
    format!("pipelines/logs/{run}/{task}/{attempt}")
}

fn stale(claims: &StepClaims) -> StepError {
    StepError::Stale { task: claims.task.clone(), attempt: claims.attempt }
}

fn foreign(claims: &StepClaims, what: &'static str, name: &str) -> StepError {
    StepError::Foreign { task: claims.task.clone(), what, name: name.to_owned() }
}
