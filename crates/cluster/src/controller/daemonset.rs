//! The DaemonSet controller: gathers the nodes and a set's pods and revisions, has the plan made, carries it out.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ferroflow_platform::clock::SharedClock;
use ferroflow_platform::controller::{Cache, Caches, Controller, Error, Key, Next, Queue, Reconciler};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet};
use k8s_openapi::api::core::v1::{Node, Pod};

use super::execute::{Workshop, conclude, own_and_orphans, write_status};
use crate::core::workload::claim::controller_of;
use crate::core::workload::daemonset::{Observed, plan};
use crate::core::workload::{pods, selector};

/// Sets that are brought up to date at the same time.
const WORKERS: usize = 2;
/// The first rest of a node on which a daemon's pod failed; it doubles with each further failure.
const FIRST_REST: Duration = Duration::from_secs(1);
/// The longest rest; a node that has been quiet for twice as long starts anew.
const LAST_REST: Duration = Duration::from_secs(15 * 60);

/// When a failed pod was deleted from a node, and how long the node rests since.
#[derive(Clone, Copy)]
struct Rest {
    since: Timestamp,
    length: Duration,
}

struct DaemonSets {
    shop: Workshop,
    sets: Cache<DaemonSet>,
    nodes: Cache<Node>,
    /// By set and node; bounded by the daemon pods that failed not long ago.
    rests: Mutex<HashMap<(String, String), Rest>>,
}

/// Starts the controller.
pub fn register(caches: &Caches, clock: &SharedClock) {
    let shop = Workshop::new(caches, clock, "daemonset-controller");
    let sets: Cache<DaemonSet> = caches.of();
    let nodes: Cache<Node> = caches.of();
    let all = sets.clone();
    let orphan = move |pod: &Pod| -> Vec<Key> {
        if controller_of(&pod.metadata).is_some() {
            return Vec::new();
        }
        let wants = |set: &Arc<DaemonSet>| {
            let selector = set.spec.as_ref().map(|spec| &spec.selector);
            selector::matches_some(selector, pod.metadata.labels.as_ref())
        };
        let namespace = pod.metadata.namespace.clone().unwrap_or_default();
        let wanting = all.list_in(&namespace).into_iter().filter(wants);
        wanting.map(|set| Key::new(namespace.clone(), pods::name(&set.metadata))).collect()
    };
    let controller = Controller::new("daemonset", clock.clone())
        .workers(WORKERS)
        .watch(&sets)
        .watch_owned(&shop.pods, "DaemonSet")
        .watch_mapped(&shop.pods, orphan)
        .reads(&shop.revisions)
        .reads(&nodes);
    wake_on_nodes(&nodes, &sets, controller.queue());
    wake_on_lost_revisions(&shop.revisions, controller.queue());
    controller.run(&caches.group(), DaemonSets { shop, sets, nodes, rests: Mutex::default() });
}

/// Wakes a set whose revision has gone. One that comes or changes wakes nobody, as upstream: who keeps a second revision
/// of the same template finds it there until something else happens to the set.
fn wake_on_lost_revisions(revisions: &Cache<ControllerRevision>, queue: Queue) {
    revisions.on_change(move |old, new| {
        let (Some(old), None) = (old, new) else { return };
        let owner = controller_of(&old.metadata).filter(|owner| owner.kind == "DaemonSet");
        if let Some(owner) = owner {
            queue.add(Key::new(old.metadata.namespace.clone().unwrap_or_default(), owner.name.clone()));
        }
    });
}

/// Wakes all sets when what decides about a node changes; its heartbeats do not.
fn wake_on_nodes(nodes: &Cache<Node>, sets: &Cache<DaemonSet>, queue: Queue) {
    let sets = sets.clone();
    nodes.on_change(move |old, new| {
        let decisive = |node: &Arc<Node>| (node.metadata.labels.clone(), node.spec.clone());
        if old.map(decisive) == new.map(decisive) {
            return;
        }
        for set in sets.list() {
            let namespace = set.metadata.namespace.clone().unwrap_or_default();
            queue.add(Key::new(namespace, pods::name(&set.metadata)));
        }
    });
}

impl DaemonSets {
    fn resting(&self, uid: &str, now: Timestamp) -> BTreeMap<String, Duration> {
        let mut rests = self.rests.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = |rest: &Rest| Duration::try_from(now.duration_since(rest.since)).unwrap_or_default();
        rests.retain(|_, rest| elapsed(rest) < 2 * LAST_REST);
        let own = rests.iter().filter(|((set, _), _)| set == uid);
        own.filter_map(|((_, node), rest)| {
            let left = rest.length.checked_sub(elapsed(rest)).filter(|left| !left.is_zero())?;
            Some((node.clone(), left))
        })
        .collect()
    }

    fn let_rest(&self, uid: &str, nodes: &[String], now: Timestamp) {
        let mut rests = self.rests.lock().unwrap_or_else(PoisonError::into_inner);
        for node in nodes {
            let key = (uid.to_owned(), node.clone());
            let length = rests.get(&key).map_or(FIRST_REST, |rest| (2 * rest.length).min(LAST_REST));
            rests.insert(key, Rest { since: now, length });
        }
    }
}

impl Reconciler for DaemonSets {
    async fn reconcile(&self, key: Key, now: Timestamp) -> Result<Next, Error> {
        let Some(set) = self.sets.get(&key) else { return Ok(Next::Done) };
        let uid = pods::uid(&set.metadata);
        let observed = Observed {
            pods: own_and_orphans(&self.shop.pods, &key.namespace, uid),
            nodes: self.nodes.list(),
            revisions: self.shop.revisions.list_in(&key.namespace),
            resting: self.resting(uid, now),
        };
        let decision = plan(&set, &observed, now);
        self.let_rest(uid, &decision.failed_on, now);
        let outcome = self.shop.carry_out(set.as_ref(), &decision.plan).await;
        write_status(&self.sets, &key, set.status.as_ref(), decision.status.as_ref()).await?;
        conclude(&decision.plan, outcome)
    }
}
