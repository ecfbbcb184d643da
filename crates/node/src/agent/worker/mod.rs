//! One pod's worker: takes what happens, plans, carries out, writes the status.
//!
//! Everything that takes time runs in a task of its own and comes back as a [`Note`]; the worker itself
//! never waits for anything but the next thing to happen. It is the only writer of the pod's status.

mod act;
mod react;
mod write;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ferroflow_platform::{controller::EventKind, task::Kind as TaskKind};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod, PodStatus};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    Shared,
    prepare::{Prepared, Refusal},
    probes,
};
use crate::{
    core::{
        admit::{self, Rejection},
        evict,
        plan::{self, Deletion, Observed, Situation, Trouble, Verdict, Waiting},
        record::Attempt,
        spec::{self, Role},
    },
    runtime::{self, PodRecord},
};

/// What a worker is told.
pub enum Note {
    Prepared(Result<Box<Prepared>, Refusal>),
    Launched {
        container: String,
        number: u32,
        result: Result<Attempt, Trouble>,
    },
    Hooked {
        container: String,
        number: u32,
        result: Result<(), String>,
    },
    Probed {
        container: String,
        number: u32,
        kind: probes::Kind,
        succeeded: bool,
    },
    Unhealthy {
        container: String,
        kind: probes::Kind,
        message: String,
    },
    Written(Result<Box<Pod>, kube::Error>),
    Refreshed(Result<Option<Timestamp>, Refusal>),
    /// The sandbox is gone, and the object too or not yet.
    Removed,
    /// The pod uses too much, or the node has too little left.
    Evicted {
        message: String,
    },
    /// A config map or secret of the pod's namespace, by name.
    ObjectChanged(String),
}

/// The first wait after something failed; it doubles up to the last.
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_LAST: Duration = Duration::from_secs(120);

/// Who watches one run of a container.
struct Watcher {
    number: u32,
    started: watch::Sender<bool>,
    cancel: CancellationToken,
    hook_pending: bool,
    probe_pending: bool,
}

/// How far the pod's end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Alive,
    /// Nothing runs; what it held is given back.
    Rested,
    /// Its files and its object are being removed.
    Removing,
    Removed,
}

/// The worker of one pod.
pub struct Worker {
    shared: Arc<Shared>,
    pod: Arc<Pod>,
    uid: String,
    stored: Option<PodRecord>,
    notes: mpsc::Sender<Note>,
    events: mpsc::Sender<runtime::Event>,
    received_events: Option<mpsc::Receiver<runtime::Event>>,
    containers: Vec<(Role, Container)>,
    prepared: Option<Prepared>,
    preparing: Option<CancellationToken>,
    prepare_at: Option<Instant>,
    prepare_failures: u32,
    observed: BTreeMap<String, Observed>,
    failures: BTreeMap<String, u32>,
    watchers: BTreeMap<String, Watcher>,
    gone: bool,
    /// The pod ends: nothing is waited for that only a start needs.
    ending: CancellationToken,
    started_at: Timestamp,
    verdict: Option<Verdict>,
    ending_since: Option<Timestamp>,
    waiting: BTreeMap<String, Waiting>,
    launched_at: Option<Instant>,
    begun_at: Instant,
    refreshing: bool,
    /// Something changed while they were written: they are written once more.
    stale: bool,
    stage: Stage,
    /// The status that was written last, or the API server's.
    status: PodStatus,
    /// An object, and the status that was found in it: most of what happens changes neither.
    written: Option<(Arc<Pod>, PodStatus)>,
    /// The status that must be written.
    wanted: Option<PodStatus>,
    writing: bool,
    write_at: Option<Instant>,
    write_failures: u32,
    wake_at: Option<Timestamp>,
    told_unhonoured: bool,
}

impl Worker {
    /// A worker for a pod that is bound to this node; `stored` is what an earlier agent left of it.
    pub fn new(
        shared: Arc<Shared>,
        pod: Arc<Pod>,
        uid: String,
        stored: Option<PodRecord>,
        notes: mpsc::Sender<Note>,
    ) -> Self {
        let (events, received_events) = mpsc::channel(16);
        let status = pod.status.clone().unwrap_or_default();
        let started_at = status.start_time.as_ref().map_or_else(|| shared.clock.now(), |time| time.0);
        let adopted = stored.is_some();
        let ended = terminal(&pod);
        let rejection = if ended.is_none() && !adopted { reject(&shared, &pod, &uid) } else { None };
        let begun_at = shared.clock.instant();
        let mut worker = Self {
            containers: pod.spec.as_ref().map(spec::containers).unwrap_or_default(),
            verdict: ended.or_else(|| rejection.map(|rejection| rejection.verdict())),
            shared,
            pod,
            uid,
            stored,
            notes,
            events,
            received_events: Some(received_events),
            prepared: None,
            preparing: None,
            prepare_at: None,
            prepare_failures: 0,
            observed: BTreeMap::new(),
            failures: BTreeMap::new(),
            watchers: BTreeMap::new(),
            gone: false,
            ending: CancellationToken::new(),
            started_at,
            ending_since: None,
            waiting: BTreeMap::new(),
            launched_at: None,
            begun_at,
            refreshing: false,
            stale: false,
            stage: Stage::Alive,
            status,
            written: None,
            wanted: None,
            writing: false,
            write_at: None,
            write_failures: 0,
            wake_at: None,
            told_unhonoured: adopted,
        };
        for (_, container) in &worker.containers {
            worker.observed.insert(container.name.clone(), Observed::default());
        }
        worker
    }

    /// Works until the pod's object is gone and nothing of it is left.
    pub async fn run(mut self, mut changes: watch::Receiver<Option<Arc<Pod>>>, mut notes: mpsc::Receiver<Note>) {
        let Some(mut events) = self.received_events.take() else { return };
        changes.mark_changed();
        loop {
            let sleep = self.sleep();
            tokio::select! {
                changed = changes.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let pod = changes.borrow_and_update().clone();
                    self.pod_changed(pod);
                }
                Some(note) = notes.recv() => self.take(note).await,
                Some(event) = events.recv() => self.happened(event).await,
                () = sleep => {}
            }
            self.step();
            if self.gone && self.stage == Stage::Removed {
                return;
            }
        }
    }

    /// Completes when something is due.
    fn sleep(&self) -> ferroflow_platform::clock::BoxFuture<'static, ()> {
        let now = (self.shared.clock.now(), self.shared.clock.instant());
        let wake = self.wake_at.map(|at| {
            let left = at.duration_since(now.0);
            now.1 + Duration::try_from(left).unwrap_or_default()
        });
        let renew =
            self.prepared.as_ref().filter(|_| self.stage == Stage::Alive).and_then(|prepared| prepared.renew_at);
        let renew = renew.map(|at| now.1 + Duration::try_from(at.duration_since(now.0)).unwrap_or_default());
        match [wake, renew, self.prepare_at, self.write_at].into_iter().flatten().min() {
            Some(at) => self.shared.clock.sleep_until(at),
            None => Box::pin(std::future::pending()),
        }
    }

    fn step(&mut self) {
        let leaving = self.shared.leaving.load(std::sync::atomic::Ordering::Acquire);
        if leaving || (self.stage == Stage::Removed && !self.gone) {
            return;
        }
        self.prepare_if_due();
        if self.prepared.as_ref().and_then(|prepared| prepared.renew_at).is_some_and(|at| at <= self.shared.clock.now())
        {
            self.refresh();
        }
        let (pod, observed, verdict) = (self.pod.clone(), self.observed.clone(), self.verdict.clone());
        let situation = self.situation(&pod, &observed, verdict.as_ref());
        let plan = plan::plan(situation);
        if plan.ending && self.ending_since.is_none() {
            self.ending_since = Some(situation.now);
            self.ending.cancel();
        }
        self.wake_at = plan.wake_at;
        self.tell_backoff(&plan);
        self.want_status(&situation, &plan);
        self.verdict = self.verdict.take().or_else(|| plan.verdict.clone());
        for action in plan.actions {
            self.carry_out(action);
        }
        self.write();
    }

    fn situation<'a>(
        &self,
        pod: &'a Pod,
        observed: &'a BTreeMap<String, Observed>,
        verdict: Option<&'a Verdict>,
    ) -> Situation<'a> {
        let deletion = match (&self.pod.metadata.deletion_timestamp, self.gone) {
            (_, true) => Deletion::Gone,
            (Some(_), _) => Deletion::Asked { grace_s: self.pod.metadata.deletion_grace_period_seconds.unwrap_or(30) },
            (None, _) => Deletion::No,
        };
        Situation {
            pod,
            observed,
            sandbox_ready: self.prepared.is_some(),
            deletion,
            started_at: self.started_at,
            verdict,
            ending_since: self.ending_since,
            now: self.shared.clock.now(),
        }
    }

    fn role(&self, name: &str) -> Role {
        self.containers.iter().find(|(_, one)| one.name == name).map_or(Role::Main, |(role, _)| *role)
    }

    fn event(&self, container: &str, kind: EventKind, reason: &str, message: String) {
        self.shared.container_event(&self.pod, self.role(container), container, kind, reason, message);
    }

    fn spawn(&self, name: String, future: impl Future<Output = ()> + Send + 'static) {
        self.shared.group.spawn(name, TaskKind::Transient, async move {
            future.await;
            Ok::<(), std::convert::Infallible>(())
        });
    }
}

/// How a run came to be watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Adoption {
    Started,
    Found,
}

/// Admits a pod that is new to the node, or tells why it is not taken.
fn reject(shared: &Shared, pod: &Pod, uid: &str) -> Option<Rejection> {
    let rejection = admit::refuse(pod).or_else(|| (!shared.pool.admit(pod, uid)).then(Rejection::ports))?;
    shared.recorder.event(pod, EventKind::Warning, rejection.reason, rejection.message.clone());
    Some(rejection)
}

/// The end that a pod's object already shows.
fn terminal(pod: &Pod) -> Option<Verdict> {
    let status = pod.status.as_ref()?;
    let phase = match status.phase.as_deref()? {
        "Succeeded" => "Succeeded",
        "Failed" => "Failed",
        _ => return None,
    };
    // One that its node ended is to end soon also where the server was started again meanwhile.
    let grace_s = (status.reason.as_deref() == Some(evict::REASON)).then_some(evict::GRACE_S);
    Some(Verdict { phase, reason: status.reason.clone(), message: status.message.clone(), grace_s })
}

/// A pod's resourceVersion, which is a growing number.
fn revision(pod: &Pod) -> Option<u64> {
    pod.metadata.resource_version.as_deref().and_then(|revision| revision.parse().ok())
}

fn retry_after(failures: u32) -> Duration {
    RETRY_FIRST.saturating_mul(1 << failures.saturating_sub(1).min(8)).min(RETRY_LAST)
}
