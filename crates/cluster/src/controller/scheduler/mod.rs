//! The scheduler: gives each pending pod a node, highest priority first, and says why when there is none.
//!
//! Works on all pending pods in one pass and is woken by changes that can make a difference: of pods, nodes, claims and
//! budgets. Heartbeats are none of these. A pod that did not fit is tried again when such a change has come and its
//! back-off is over, not by time alone.

mod attempt;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ferroflow_platform::clock::SharedClock;
use ferroflow_platform::controller::{
    Cache, Caches, Controller, Error, Key, Next, Object, Queue, Reconciler, Recorder,
};
use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, Node, PersistentVolumeClaim, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::storage::v1::StorageClass;

use crate::core::workload::pods;
use crate::core::workload::schedule::{self, Decision, Snapshot, is_pending, turn};

/// Pods that one pass places at most; the rest follow in the next, so that new pods of high priority get their turn.
const PODS_A_PASS: usize = 256;
/// Bindings that are written at a time: those that wait for the disk together share one sync of it.
const BINDINGS: usize = 64;
/// The first wait of a pod that did not fit; it doubles with each further attempt. Upstream begins with a second, which
/// would be felt where a claim is provisioned within milliseconds.
const FIRST_BACK_OFF: Duration = Duration::from_millis(50);
/// The longest wait, upstream's `podMaxBackoffSeconds`.
const LAST_BACK_OFF: Duration = Duration::from_secs(10);

/// After this time a pod is tried even if nothing seems to have changed; upstream's
/// `podMaxInUnschedulablePodsDuration`.
const FLUSH: Duration = Duration::from_secs(5 * 60);

/// What is remembered of a pod that did not fit.
#[derive(Clone, Debug)]
struct Waiting {
    since: Timestamp,
    back_off: Duration,
    /// The changes of the cluster that the attempt had seen.
    seen: u64,
    /// The last message; it is not said again as long as it stays the same.
    said: String,
    /// The version of the pod that was tried: a changed pod is tried at once.
    version: Option<String>,
}

/// What the scheduler remembers between passes; bounded by the pending pods.
#[derive(Default)]
struct Memory {
    /// Pods that were bound, by uid, until the cache shows it.
    bound: HashMap<String, String>,
    waiting: HashMap<String, Waiting>,
    /// The changes of the cluster that the pass has seen.
    seen: u64,
}

struct Scheduler {
    pods: Cache<Pod>,
    nodes: Cache<Node>,
    namespaces: Cache<Namespace>,
    claims: Cache<PersistentVolumeClaim>,
    classes: Cache<StorageClass>,
    budgets: Cache<PodDisruptionBudget>,
    recorder: Recorder,
    /// How often the cluster has changed in a way that can make a difference.
    changes: Arc<AtomicU64>,
    memory: Mutex<Memory>,
}

/// Starts the scheduler.
pub fn register(caches: &Caches, clock: &SharedClock) {
    let recorder = Recorder::start(caches.client(), clock.clone(), &caches.group(), schedule::SCHEDULER_NAME);
    let scheduler = Scheduler {
        pods: caches.of(),
        nodes: caches.of(),
        namespaces: caches.of(),
        claims: caches.of(),
        classes: caches.of(),
        budgets: caches.of(),
        recorder,
        changes: Arc::default(),
        memory: Mutex::default(),
    };
    let controller = Controller::new("scheduler", clock.clone())
        .reads(&scheduler.pods)
        .reads(&scheduler.nodes)
        .reads(&scheduler.namespaces)
        .reads(&scheduler.claims)
        .reads(&scheduler.classes)
        .reads(&scheduler.budgets);
    let waker = Waker { queue: controller.queue(), changes: scheduler.changes.clone() };
    waker.on(&scheduler.pods, pod_differs);
    waker.on(&scheduler.nodes, node_differs);
    waker.on(&scheduler.claims, claim_differs);
    controller.run(&caches.group(), scheduler);
}

fn pod_differs(old: &Pod, new: &Pod) -> bool {
    let nominated = |pod: &Pod| pod.status.as_ref().and_then(|status| status.nominated_node_name.clone());
    old.spec != new.spec
        || old.metadata.labels != new.metadata.labels
        || pods::is_active(old) != pods::is_active(new)
        || pods::is_finished(old) != pods::is_finished(new)
        || nominated(old) != nominated(new)
}

fn node_differs(old: &Node, new: &Node) -> bool {
    let allocatable = |node: &Node| node.status.as_ref().and_then(|status| status.allocatable.clone());
    old.metadata.labels != new.metadata.labels || old.spec != new.spec || allocatable(old) != allocatable(new)
}

fn claim_differs(old: &PersistentVolumeClaim, new: &PersistentVolumeClaim) -> bool {
    let phase = |claim: &PersistentVolumeClaim| claim.status.as_ref().and_then(|status| status.phase.clone());
    let deleting = |claim: &PersistentVolumeClaim| claim.metadata.deletion_timestamp.is_some();
    old.spec != new.spec || phase(old) != phase(new) || deleting(old) != deleting(new)
}

/// Wakes the scheduler and counts the changes that did.
struct Waker {
    queue: Queue,
    changes: Arc<AtomicU64>,
}

impl Waker {
    /// Wakes when an object comes, goes, or `differs`.
    fn on<K: Object>(&self, cache: &Cache<K>, differs: fn(&K, &K) -> bool) {
        let (queue, changes) = (self.queue.clone(), self.changes.clone());
        cache.on_change(move |old, new| {
            let same = matches!((old, new), (Some(old), Some(new)) if !differs(old, new));
            if !same {
                changes.fetch_add(1, Ordering::AcqRel);
                queue.add(Key::default());
            }
        });
    }
}

impl Scheduler {
    fn snapshot(&self, all: &[Arc<Pod>]) -> Snapshot {
        let mut snapshot = Snapshot::new(&self.nodes.list(), all);
        let labels = |namespace: &Arc<Namespace>| namespace.metadata.labels.clone().unwrap_or_default();
        let namespaces = self.namespaces.list();
        snapshot.namespaces =
            namespaces.iter().map(|one| (pods::name(&one.metadata).to_owned(), labels(one))).collect();
        let key = |claim: &PersistentVolumeClaim| {
            (claim.metadata.namespace.clone().unwrap_or_default(), pods::name(&claim.metadata).to_owned())
        };
        snapshot.claims = self.claims.list().into_iter().map(|claim| (key(&claim), claim)).collect();
        let late = |class: &&Arc<StorageClass>| class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer");
        let classes = self.classes.list();
        snapshot.late_classes =
            classes.iter().filter(late).map(|class| pods::name(&class.metadata).to_owned()).collect();
        snapshot.budgets = self.budgets.list();
        snapshot
    }

    /// Forgets what the cache shows by now, and counts what it does not show yet.
    fn settle(&self, all: &[Arc<Pod>], snapshot: &mut Snapshot) {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let pending: HashMap<&str, &Arc<Pod>> =
            all.iter().filter(|pod| is_pending(pod)).map(|pod| (pods::uid(&pod.metadata), pod)).collect();
        memory.bound.retain(|uid, _| pending.contains_key(uid.as_str()));
        memory.waiting.retain(|uid, _| pending.contains_key(uid.as_str()));
        for (uid, node) in &memory.bound {
            if let Some(pod) = pending.get(uid.as_str()) {
                snapshot.assume(pod, node);
            }
        }
    }

    /// The pods whose turn it is, and when the next will be that waits.
    fn due(&self, all: &[Arc<Pod>], seen: u64, now: Timestamp) -> (Vec<Arc<Pod>>, Option<Duration>) {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.seen = seen;
        let mut due = Vec::new();
        let mut next: Option<Duration> = None;
        for pod in all.iter().filter(|pod| is_pending(pod)) {
            let uid = pods::uid(&pod.metadata);
            if memory.bound.contains_key(uid) {
                continue;
            }
            let waiting = memory.waiting.get(uid).filter(|one| one.version == pod.metadata.resource_version);
            match waiting.and_then(|one| one.left(memory.seen, now)) {
                Some(left) => next = Some(next.map_or(left, |next| next.min(left))),
                None => due.push(pod.clone()),
            }
        }
        due.sort_by_cached_key(|pod| turn(pod));
        (due, next)
    }
}

impl Waiting {
    /// How long the pod still waits: for its back-off when the cluster has changed since it was tried, else for the
    /// flush. `None` when it is due.
    fn left(&self, changes: u64, now: Timestamp) -> Option<Duration> {
        let wait = if changes > self.seen { self.back_off } else { FLUSH };
        let elapsed = Duration::try_from(now.duration_since(self.since)).unwrap_or_default();
        wait.checked_sub(elapsed).filter(|left| !left.is_zero())
    }
}

impl Reconciler for Scheduler {
    async fn reconcile(&self, _key: Key, now: Timestamp) -> Result<Next, Error> {
        // What changes from here on is seen by the next pass.
        let seen = self.changes.load(Ordering::Acquire);
        let all = self.pods.list();
        let (mut due, mut next) = self.due(&all, seen, now);
        if due.is_empty() {
            return Ok(next.map_or(Next::Done, Next::After));
        }
        let mut snapshot = self.snapshot(&all);
        self.settle(&all, &mut snapshot);
        if due.len() > PODS_A_PASS {
            due.truncate(PODS_A_PASS);
            next = Some(Duration::ZERO);
        }
        let mut failure = None;
        let mut bindings = Vec::new();
        for pod in &due {
            match schedule::schedule(pod, &snapshot) {
                Decision::Bind { node } => {
                    // The next decision counts it already. Where it is not written after all, something has changed,
                    // which wakes the scheduler again.
                    snapshot.assume(pod, &node);
                    bindings.push(self.bind(pod.clone(), node));
                }
                decision => {
                    if let Err(error) = self.attempt(pod, decision, &mut snapshot, now).await {
                        failure = failure.or(Some(error));
                    }
                }
            }
        }
        let mut bound = futures::stream::iter(bindings).buffer_unordered(BINDINGS);
        while let Some(bound) = bound.next().await {
            if let Err(error) = bound {
                // What was decided after it may have gone wrong with it.
                self.changes.fetch_add(1, Ordering::AcqRel);
                failure = failure.or(Some(error));
            }
        }
        let waits = !self.memory.lock().unwrap_or_else(PoisonError::into_inner).waiting.is_empty();
        next = [next, waits.then_some(FLUSH)].into_iter().flatten().min();
        match failure {
            Some(error) => Err(error),
            None => Ok(next.map_or(Next::Done, Next::After)),
        }
    }
}
