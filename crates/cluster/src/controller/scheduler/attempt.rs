//! One pod's turn: binding it, or writing down why it waits and clearing a node for it.

use std::sync::{Arc, PoisonError};

use ferroflow_api::names::REPORTS_ITSELF_ANNOTATION;
use ferroflow_platform::controller::{Error, EventKind, Key};
use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodCondition, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::api::{DeleteParams, PostParams, Preconditions};
use serde_json::json;

use super::{FIRST_BACK_OFF, LAST_BACK_OFF, Scheduler, Waiting};
use crate::controller::execute::is_code;
use crate::core::workload::condition::seconds;
use crate::core::workload::schedule::{Decision, Preemption, SCHEDULER_NAME, Snapshot};
use crate::core::workload::{patch, pods};

/// The annotation that tells a claim's provisioner which node its first consumer goes to.
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

fn key_of(pod: &Pod) -> Key {
    Key::new(pod.metadata.namespace.clone().unwrap_or_default(), pods::name(&pod.metadata))
}

impl Scheduler {
    /// Carries out the decision about one pod that is not bound now.
    pub(super) async fn attempt(
        &self,
        pod: &Arc<Pod>,
        decision: Decision,
        snapshot: &mut Snapshot,
        now: Timestamp,
    ) -> Result<(), Error> {
        match decision {
            Decision::Bind { node } => self.bind(pod.clone(), node).await,
            Decision::Provision { node, claims } => self.provision(pod, &node, &claims, snapshot).await,
            Decision::Gated => {
                let message = "Scheduling is blocked due to non-empty scheduling gates";
                self.report(pod, "SchedulingGated", message, Nomination::Keep, now).await
            }
            Decision::Unschedulable { message, preemption, gives_up_nomination } => {
                let nomination = match &preemption {
                    Some(preemption) => Nomination::Set(preemption.node.clone()),
                    None if gives_up_nomination => Nomination::Set(String::new()),
                    None => Nomination::Keep,
                };
                self.put_off(pod, &message, now);
                self.report(pod, "Unschedulable", &message, nomination, now).await?;
                if let Some(preemption) = preemption {
                    self.evict(pod, &preemption, snapshot, now).await?;
                }
                Ok(())
            }
        }
    }

    /// Writes down that a pod goes to a node.
    pub(super) async fn bind(&self, pod: Arc<Pod>, node: String) -> Result<(), Error> {
        let key = key_of(&pod);
        let binding = json!({
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": { "name": key.name, "namespace": key.namespace, "uid": pod.metadata.uid },
            "target": { "kind": "Node", "name": node },
        });
        let api = self.pods.api(&key.namespace);
        let bound: kube::Result<Status> =
            api.create_subresource("binding", &key.name, &PostParams::default(), &binding).await;
        match bound {
            Err(error) if is_code(&error, 404) || is_code(&error, 409) => return Ok(()),
            Err(error) => return Err(error.into()),
            Ok(_) => {}
        }
        let uid = pods::uid(&pod.metadata).to_owned();
        {
            let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
            memory.waiting.remove(&uid);
            memory.bound.insert(uid, node.clone());
        }
        // An event costs as much as the pod; the node tells of a pod's start what its maker does not hear from within.
        if !pod.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(REPORTS_ITSELF_ANNOTATION)) {
            let message = format!("Successfully assigned {key} to {node}");
            self.recorder.event(pod.as_ref(), EventKind::Normal, "Scheduled", message);
        }
        Ok(())
    }

    /// Tells the provisioner where the volumes are wanted; the pod is bound when they are there.
    async fn provision(
        &self,
        pod: &Arc<Pod>,
        node: &str,
        claims: &[String],
        snapshot: &mut Snapshot,
    ) -> Result<(), Error> {
        snapshot.assume(pod, node);
        let namespace = key_of(pod).namespace;
        for name in claims {
            let key = Key::new(namespace.clone(), name.clone());
            let claim = self.claims.get(&key);
            let annotations = claim.and_then(|claim| claim.metadata.annotations.clone()).unwrap_or_default();
            if annotations.get(SELECTED_NODE).map(String::as_str) != Some(node) {
                let patch = json!({ "metadata": { "annotations": { SELECTED_NODE: node } } });
                self.claims.merge(&key, &patch).await?;
            }
        }
        Ok(())
    }

    /// Remembers that the pod did not fit, and says so.
    fn put_off(&self, pod: &Pod, message: &str, now: Timestamp) {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let uid = pods::uid(&pod.metadata).to_owned();
        let old = memory.waiting.get(&uid);
        let back_off = old.map_or(FIRST_BACK_OFF, |old| (2 * old.back_off).min(LAST_BACK_OFF));
        let repeated = old.is_some_and(|old| old.said == message);
        let waiting = Waiting {
            since: now,
            back_off,
            seen: memory.seen,
            said: message.to_owned(),
            version: pod.metadata.resource_version.clone(),
        };
        memory.waiting.insert(uid, waiting);
        drop(memory);
        if !repeated {
            self.recorder.event(pod, EventKind::Warning, "FailedScheduling", message);
        }
    }

    /// Writes the condition `PodScheduled` and the nominated node, if they differ.
    async fn report(
        &self,
        pod: &Pod,
        reason: &str,
        message: &str,
        nomination: Nomination,
        now: Timestamp,
    ) -> Result<(), Error> {
        let mut status = pod.status.clone().unwrap_or_default();
        set_condition(&mut status, unscheduled(pod, reason, message, now));
        if let Nomination::Set(node) = nomination {
            status.nominated_node_name = Some(node).filter(|node| !node.is_empty());
        }
        self.write(pod, &status).await
    }

    async fn write(&self, pod: &Pod, status: &PodStatus) -> Result<(), Error> {
        let Some(patch) = patch::of_status(pod.status.as_ref(), status)? else { return Ok(()) };
        match self.pods.merge_status(&key_of(pod), &patch).await {
            Ok(written) => {
                // Its own write is no reason to try the pod again at once.
                let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(waiting) = memory.waiting.get_mut(pods::uid(&pod.metadata)) {
                    waiting.version = written.metadata.resource_version;
                }
                Ok(())
            }
            Err(error) if is_code(&error, 404) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Evicts the victims; the pod comes when they are gone.
    async fn evict(
        &self,
        pod: &Arc<Pod>,
        preemption: &Preemption,
        snapshot: &mut Snapshot,
        now: Timestamp,
    ) -> Result<(), Error> {
        let waiting = preemption.victims.iter().filter(|victim| !pods::is_terminating(victim));
        let results = join_all(waiting.map(|victim| self.evict_one(pod, victim, &preemption.node, now))).await;
        // The nomination counts for the pods that follow in this pass.
        let mut nominated = pod.as_ref().clone();
        nominated.status.get_or_insert_default().nominated_node_name = Some(preemption.node.clone());
        let uid = pods::uid(&pod.metadata).to_owned();
        snapshot.nominated.retain(|one| pods::uid(&one.metadata) != uid);
        snapshot.nominated.push(Arc::new(nominated));
        results.into_iter().collect()
    }

    async fn evict_one(&self, pod: &Pod, victim: &Pod, node: &str, now: Timestamp) -> Result<(), Error> {
        let mut status = victim.status.clone().unwrap_or_default();
        let asked = pod.spec.as_ref().and_then(|spec| spec.scheduler_name.as_deref()).unwrap_or(SCHEDULER_NAME);
        let condition = PodCondition {
            type_: "DisruptionTarget".to_owned(),
            status: "True".to_owned(),
            reason: Some("PreemptionByScheduler".to_owned()),
            message: Some(format!("{asked}: preempting to accommodate a higher priority pod")),
            last_transition_time: Some(seconds(now)),
            observed_generation: victim.metadata.generation,
            ..PodCondition::default()
        };
        set_condition(&mut status, condition);
        self.write(victim, &status).await?;
        let preconditions = Preconditions { uid: victim.metadata.uid.clone(), resource_version: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        match self.pods.delete_object(&key_of(victim), &params).await {
            Err(error) if !is_code(&error, 409) => return Err(error.into()),
            _ => {}
        }
        let message = format!("Preempted by pod {} on node {node}", pods::uid(&pod.metadata));
        self.recorder.event(victim, EventKind::Normal, "Preempted", message);
        Ok(())
    }
}

/// What becomes of a pod's nominated node.
enum Nomination {
    Keep,
    Set(String),
}

fn unscheduled(pod: &Pod, reason: &str, message: &str, now: Timestamp) -> PodCondition {
    PodCondition {
        type_: "PodScheduled".to_owned(),
        status: "False".to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_transition_time: Some(seconds(now)),
        observed_generation: pod.metadata.generation,
        ..PodCondition::default()
    }
}

/// Sets a condition; the transition time stays when the status does.
fn set_condition(status: &mut PodStatus, mut condition: PodCondition) {
    let conditions = status.conditions.get_or_insert_default();
    match conditions.iter_mut().find(|one| one.type_ == condition.type_) {
        None => conditions.push(condition),
        Some(old) => {
            if old.status == condition.status {
                condition.last_transition_time = old.last_transition_time.clone();
            }
            condition.last_probe_time = old.last_probe_time.clone();
            *old = condition;
        }
    }
}
