//! ReplicaSet and ReplicationController: so many pods of one template, no more and no fewer.
//!
//! Decides which pods to adopt, release, create and delete, and what the status says. Both kinds share one rule
//! (upstream `pkg/controller/replicaset`); they differ in how the selector is written and in the status type.

mod order;

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::Metadata;
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::api::core::v1::{
    Pod, PodTemplateSpec, ReplicationController, ReplicationControllerCondition, ReplicationControllerStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

use super::act::{Act, Change, Kind, New, Note, Pace, Plan};
use super::claim::{Owner, claim};
use super::{condition, pods, selector};

/// Pods created or deleted in one pass at most; upstream's `BurstReplicas`.
pub const BURST: usize = 500;

/// What a ReplicaSet and a ReplicationController have in common.
#[derive(Clone, Debug)]
pub struct Replicas {
    /// The object itself.
    pub owner: Owner,
    /// Its namespace.
    pub namespace: String,
    /// How many pods it wants.
    pub wanted: i32,
    /// Seconds that a pod must be ready to be available.
    pub min_ready_seconds: i32,
    /// Which pods are its own.
    pub selector: LabelSelector,
    /// What its pods look like.
    pub template: PodTemplateSpec,
}

/// What the pass found out.
#[derive(Clone, Debug)]
pub struct Replicated {
    /// What to do.
    pub plan: Plan,
    /// The pods that count.
    pub mine: Vec<Arc<Pod>>,
}

/// The counts of a status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Pods that count.
    pub replicas: i32,
    /// Of these, with all labels of the template.
    pub fully_labeled: i32,
    /// Of these, ready.
    pub ready: i32,
    /// Of these, ready for long enough.
    pub available: i32,
}

impl Replicas {
    /// The common part of a replica set; `None` without a spec.
    pub fn of_set(set: &ReplicaSet) -> Option<Replicas> {
        let spec = set.spec.as_ref()?;
        let (wanted, ready) = (spec.replicas, spec.min_ready_seconds);
        Some(Replicas::new(set, wanted, ready, spec.selector.clone(), spec.template.clone()))
    }

    /// The common part of a replication controller; `None` without a spec.
    pub fn of_controller(controller: &ReplicationController) -> Option<Replicas> {
        let spec = controller.spec.as_ref()?;
        let selector = LabelSelector { match_labels: spec.selector.clone(), match_expressions: None };
        let (wanted, ready) = (spec.replicas, spec.min_ready_seconds);
        Some(Replicas::new(controller, wanted, ready, selector, spec.template.clone()))
    }

    fn new<K: Metadata<Ty = ObjectMeta>>(
        object: &K,
        wanted: Option<i32>,
        min_ready_seconds: Option<i32>,
        selector: LabelSelector,
        template: Option<PodTemplateSpec>,
    ) -> Replicas {
        Replicas {
            owner: Owner::of(object),
            namespace: object.metadata().namespace.clone().unwrap_or_default(),
            wanted: wanted.unwrap_or(1),
            min_ready_seconds: min_ready_seconds.unwrap_or(0),
            selector,
            template: template.unwrap_or_default(),
        }
    }

    /// Decides. `candidates` are the pods that it owns and those of the namespace that nobody owns; `related` are the
    /// pods of its siblings (replica sets of the same deployment), which say how crowded a node is.
    pub fn plan(&self, candidates: &[Arc<Pod>], related: &[Arc<Pod>], now: Timestamp) -> Replicated {
        let active: Vec<Arc<Pod>> = candidates.iter().filter(|pod| pods::is_active(pod)).cloned().collect();
        let selected = |pod: &Pod| selector::matches(&self.selector, pod.metadata.labels.as_ref());
        let claimed = claim(&self.owner, Kind::Pod, &active, selected);
        let mut plan = Plan::default();
        plan.stage(Pace::AtOnce, claimed.acts);
        if !self.owner.deleting {
            self.scale(&mut plan, &claimed.mine, related, now);
        }
        let soon = pods::next_available(claimed.mine.iter().map(Arc::as_ref), self.min_ready_seconds, now);
        plan.look_again(soon);
        Replicated { plan, mine: claimed.mine }
    }

    fn scale(&self, plan: &mut Plan, mine: &[Arc<Pod>], related: &[Arc<Pod>], now: Timestamp) {
        let wanted = usize::try_from(self.wanted).unwrap_or(0);
        if mine.len() < wanted {
            let missing = (wanted - mine.len()).min(BURST);
            plan.stage(Pace::SlowStart, (0..missing).map(|_| self.create()).collect());
        } else if mine.len() > wanted {
            let surplus = (mine.len() - wanted).min(BURST);
            let victims = order::first_to_go(mine, related, surplus, now);
            plan.stage(Pace::AtOnce, victims.iter().map(|pod| delete_pod(pod)).collect());
        }
    }

    fn create(&self) -> Act {
        create_pod(pods::from_template(&self.template, &self.owner, &self.namespace))
    }

    /// Counts the pods.
    pub fn count(&self, mine: &[Arc<Pod>], now: Timestamp) -> Counts {
        let template = self.template.metadata.as_ref().and_then(|meta| meta.labels.as_ref());
        let mut counts = Counts::default();
        for pod in mine {
            counts.replicas += 1;
            counts.fully_labeled += i32::from(selector::contains(pod.metadata.labels.as_ref(), template));
            counts.ready += i32::from(pods::is_ready(pod));
            counts.available += i32::from(pods::is_available(pod, self.min_ready_seconds, now));
        }
        counts
    }

    /// Why the number of pods could not be reached, as the condition's reason; empty when it is not about numbers.
    fn failure_reason(&self, counts: Counts) -> &'static str {
        match counts.replicas.cmp(&self.wanted) {
            std::cmp::Ordering::Less => "FailedCreate",
            std::cmp::Ordering::Greater => "FailedDelete",
            std::cmp::Ordering::Equal => "",
        }
    }
}

/// Creates a pod for its controller, with the events that say so.
pub fn create_pod(pod: Pod) -> Act {
    Act {
        adopts: false,
        change: Change::Create(New::Pod(Box::new(pod))),
        done: vec![Note::normal("SuccessfulCreate", "Created pod: ").with_name()],
        failed: Some(Note::warning("FailedCreate", "Error creating: ").with_error()),
    }
}

/// Deletes a pod for its controller, with the events that say so.
pub fn delete_pod(pod: &Pod) -> Act {
    let meta = &pod.metadata;
    Act {
        adopts: false,
        change: Change::Delete { kind: Kind::Pod, name: pods::name(meta).to_owned(), uid: pods::uid(meta).to_owned() },
        done: vec![Note::normal("SuccessfulDelete", "Deleted pod: ").with_name()],
        failed: Some(Note::warning("FailedDelete", "Error deleting: ").with_error()),
    }
}

/// The status of a replica set after a pass that failed with `failure`, if it failed; `None` when it stands already.
pub fn set_status(
    set: &ReplicaSet,
    shared: &Replicas,
    mine: &[Arc<Pod>],
    failure: Option<&str>,
    now: Timestamp,
) -> Option<ReplicaSetStatus> {
    let counts = shared.count(mine, now);
    let old = set.status.clone().unwrap_or_default();
    let mut conditions = old.conditions.clone().unwrap_or_default();
    let failing = conditions.iter().any(|one| one.type_ == "ReplicaFailure");
    match failure {
        Some(message) if !failing => conditions.push(ReplicaSetCondition {
            type_: "ReplicaFailure".to_owned(),
            status: "True".to_owned(),
            reason: Some(shared.failure_reason(counts).to_owned()),
            message: Some(message.to_owned()),
            last_transition_time: Some(condition::seconds(now)),
        }),
        None => conditions.retain(|one| one.type_ != "ReplicaFailure"),
        Some(_) => {}
    }
    let new = ReplicaSetStatus {
        replicas: counts.replicas,
        fully_labeled_replicas: pods::nonzero(counts.fully_labeled),
        ready_replicas: pods::nonzero(counts.ready),
        available_replicas: pods::nonzero(counts.available),
        observed_generation: set.metadata.generation,
        conditions: (!conditions.is_empty()).then_some(conditions),
        terminating_replicas: None,
    };
    (new != old || set.status.is_none()).then_some(new)
}

/// The status of a replication controller after a pass; `None` when it stands already.
pub fn controller_status(
    controller: &ReplicationController,
    shared: &Replicas,
    mine: &[Arc<Pod>],
    failure: Option<&str>,
    now: Timestamp,
) -> Option<ReplicationControllerStatus> {
    let counts = shared.count(mine, now);
    let old = controller.status.clone().unwrap_or_default();
    let mut conditions = old.conditions.clone().unwrap_or_default();
    let failing = conditions.iter().any(|one| one.type_ == "ReplicaFailure");
    match failure {
        Some(message) if !failing => conditions.push(ReplicationControllerCondition {
            type_: "ReplicaFailure".to_owned(),
            status: "True".to_owned(),
            reason: Some(shared.failure_reason(counts).to_owned()),
            message: Some(message.to_owned()),
            last_transition_time: Some(condition::seconds(now)),
        }),
        None => conditions.retain(|one| one.type_ != "ReplicaFailure"),
        Some(_) => {}
    }
    let new = ReplicationControllerStatus {
        replicas: counts.replicas,
        fully_labeled_replicas: pods::nonzero(counts.fully_labeled),
        ready_replicas: pods::nonzero(counts.ready),
        available_replicas: pods::nonzero(counts.available),
        observed_generation: controller.metadata.generation,
        conditions: (!conditions.is_empty()).then_some(conditions),
    };
    (new != old || controller.status.is_none()).then_some(new)
}

#[cfg(test)]
mod tests;
