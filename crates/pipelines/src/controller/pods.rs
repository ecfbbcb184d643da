//! Pods of steps, by one watch of all that carry a run's label.
//!
//! Pods whose step has succeeded are deleted, since their log is kept elsewhere; of those that have failed the newest stay.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ferroflow_platform::clock::SharedClock;
use futures::StreamExt;
use kube::{
    Api, Client, ResourceExt,
    api::DeleteParams,
    runtime::watcher::{self, Event},
};
use tokio::sync::{Notify, watch};

use super::{
    inbox::{Inbox, Seen},
    seen::SeenPod,
};
use crate::core::engine::sight::{self, Sight};

/// On a pod of a step: its run's id.
pub const RUN_LABEL: &str = "ferroflow.dev/pipeline-run";
/// On a pod of a step: its task's id.
pub const TASK_LABEL: &str = "ferroflow.dev/pipeline-task";
/// On a pod of a step: the number of the attempt.
pub const ATTEMPT_LABEL: &str = "ferroflow.dev/pipeline-attempt";

/// Failed pods that stay in a namespace, for `kubectl describe` and `logs`.
const FAILED: usize = 100;
/// Pods that are deleted at the same time.
const DELETIONS: usize = 8;
/// Pods whose deletion may wait until steps no longer follow one another, which it would only slow down.
const WAITING: usize = 64;
/// So long no step has ended.
const QUIET: Duration = Duration::from_millis(500);
/// The longest that a deletion waits for that: what a quota counts is given back soon.
const LONGEST: Duration = Duration::from_secs(2);
/// A broken watch is tried again after this.
const PAUSE: Duration = Duration::from_millis(200);

type Name = (String, String);

struct Known {
    run: String,
    task: String,
    attempt: u32,
    sight: Sight,
}

#[derive(Default)]
struct State {
    known: HashMap<Name, Known>,
    /// Pods that the API server has acknowledged and the watch has not shown yet, with the list that was current then.
    expected: HashMap<Name, (Known, u64)>,
    /// Counts lists of the watch.
    lists: u64,
    failed: HashMap<String, BTreeSet<(i64, String)>>,
    /// By run: where its pods are, and who is told of them.
    told: HashMap<String, (String, Arc<Inbox>)>,
    doomed: VecDeque<Name>,
}

impl State {
    /// Tells a run how a pod looks, unless it is in a namespace where others than the run's may make pods.
    fn tell(&self, (namespace, pod): &Name, known: &Known, sight: Sight) {
        let told = self.told.get(&known.run).filter(|(of_run, _)| of_run == namespace);
        if let Some((_, inbox)) = told {
            inbox.see(Seen { task: known.task.clone(), attempt: known.attempt, pod: pod.clone() }, sight);
        }
    }
}

/// All pods of steps.
pub(super) struct Pods {
    client: Client,
    clock: SharedClock,
    state: Mutex<State>,
    work: Notify,
    synced: watch::Sender<bool>,
}

impl Pods {
    pub(super) fn new(client: Client, clock: SharedClock) -> Self {
        Self { client, clock, state: Mutex::default(), work: Notify::new(), synced: watch::Sender::new(false) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Completes when all pods have been listed once.
    pub(super) async fn synced(&self) {
        let mut synced = self.synced.subscribe();
        // The sender lives as long as this.
        let _ = synced.wait_for(|synced| *synced).await;
    }

    /// Lets a run be told of its pods, which are in its namespace.
    pub(super) fn register(&self, namespace: &str, inbox: &Arc<Inbox>) {
        self.lock().told.insert(inbox.run.clone(), (namespace.to_owned(), inbox.clone()));
    }

    /// Tells a run nothing more.
    pub(super) fn leave(&self, run: &str) {
        let mut state = self.lock();
        state.told.remove(run);
        state.expected.retain(|_, (known, _)| known.run != run);
    }

    /// How a pod looks; `None` where there is none.
    pub(super) fn sight(&self, namespace: &str, pod: &str) -> Option<Sight> {
        let name = (namespace.to_owned(), pod.to_owned());
        self.lock().known.get(&name).map(|known| known.sight.clone())
    }

    /// Notes that the API server has acknowledged a pod, so that it is missed if the watch never shows it.
    pub(super) fn expect(&self, pod: &SeenPod) {
        let Some((name, known, _)) = read(pod) else { return };
        let mut state = self.lock();
        if !state.known.contains_key(&name) {
            let lists = state.lists;
            state.expected.insert(name, (known, lists));
        }
    }

    /// Watches until the group ends.
    pub(super) async fn watch(&self) {
        let api: Api<SeenPod> = Api::all(self.client.clone());
        let mut events = Box::pin(kube::runtime::watcher(api, watcher::Config::default().labels(RUN_LABEL)));
        let mut initial = Vec::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Init) => {
                    initial.clear();
                    self.lock().lists += 1;
                }
                Ok(Event::InitApply(pod)) => initial.push(pod),
                Ok(Event::InitDone) => {
                    self.restart(std::mem::take(&mut initial));
                    self.synced.send_replace(true);
                }
                Ok(Event::Apply(pod)) => self.applied(&pod),
                Ok(Event::Delete(pod)) => self.gone(&(pod.namespace().unwrap_or_default(), pod.name_any())),
                Err(error) => {
                    tracing::debug!(%error, "watch of pods interrupted");
                    self.clock.sleep(PAUSE).await;
                }
            }
        }
    }

    fn restart(&self, pods: Vec<SeenPod>) {
        let there: BTreeSet<Name> = pods.iter().filter_map(read).map(|(name, _, _)| name).collect();
        let gone: Vec<Name> = {
            let state = self.lock();
            let missed = state.expected.iter().filter(|(_, (_, list))| *list < state.lists).map(|(name, _)| name);
            state.known.keys().chain(missed).filter(|name| !there.contains(*name)).cloned().collect()
        };
        for name in gone {
            self.gone(&name);
        }
        for pod in pods {
            self.applied(&pod);
        }
    }

    fn applied(&self, pod: &SeenPod) {
        let Some((name, known, created_s)) = read(pod) else { return };
        let mut state = self.lock();
        state.expected.remove(&name);
        let is_news = state.known.get(&name).is_none_or(|before| before.sight != known.sight);
        if is_news {
            state.tell(&name, &known, known.sight.clone());
        }
        match &known.sight {
            Sight::Succeeded if is_news => state.doomed.push_back(name.clone()),
            Sight::Failed(_) => {
                let failed = state.failed.entry(name.0.clone()).or_default();
                failed.insert((created_s, name.1.clone()));
                if failed.len() > FAILED
                    && let Some((_, oldest)) = failed.pop_first()
                {
                    state.doomed.push_back((name.0.clone(), oldest));
                }
            }
            Sight::Waiting(_) | Sight::Running | Sight::Gone | Sight::Succeeded => {}
        }
        state.known.insert(name, known);
        let has_work = !state.doomed.is_empty();
        drop(state);
        if has_work {
            self.work.notify_one();
        }
    }

    fn gone(&self, name: &Name) {
        let mut state = self.lock();
        let expected = state.expected.remove(name).map(|(known, _)| known);
        let Some(known) = state.known.remove(name).or(expected) else { return };
        if let Some(failed) = state.failed.get_mut(&name.0) {
            failed.retain(|(_, pod)| *pod != name.1);
        }
        state.tell(name, &known, Sight::Gone);
    }

    /// Deletes pods that are of no more use, until the group ends.
    pub(super) async fn clean(&self) {
        loop {
            self.work.notified().await;
            self.lull().await;
            let doomed: Vec<Name> = self.lock().doomed.drain(..).collect();
            let deletions = futures::stream::iter(doomed);
            deletions.for_each_concurrent(DELETIONS, |(namespace, pod)| self.delete(namespace, pod)).await;
        }
    }

    /// Waits until no pods have ended for a moment, or enough of them have.
    async fn lull(&self) {
        let until = self.clock.instant() + LONGEST;
        loop {
            let before = self.lock().doomed.len();
            if before >= WAITING || self.clock.instant() >= until {
                return;
            }
            self.clock.sleep(QUIET).await;
            if self.lock().doomed.len() == before {
                return;
            }
        }
    }

    async fn delete(&self, namespace: String, pod: String) {
        let api: Api<SeenPod> = Api::namespaced(self.client.clone(), &namespace);
        match api.delete(&pod, &DeleteParams::default()).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => tracing::warn!(namespace, pod, %error, "a pod that has ended cannot be deleted; it stays"),
        }
    }
}

/// What a pod's labels say of it, with the second it was created.
fn read(pod: &SeenPod) -> Option<(Name, Known, i64)> {
    let label = |name: &str| pod.labels().get(name).cloned();
    let known = Known {
        run: label(RUN_LABEL)?,
        task: label(TASK_LABEL)?,
        attempt: label(ATTEMPT_LABEL)?.parse().ok()?,
        sight: sight::of(pod.status.as_ref()),
    };
    let created_s = pod.creation_timestamp().map_or(0, |time| time.0.as_second());
    Some(((pod.namespace().unwrap_or_default(), pod.name_any()), known, created_s))
}
