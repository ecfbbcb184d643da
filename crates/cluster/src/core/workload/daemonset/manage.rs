//! Pods that are missing from nodes, and pods that do not belong where they are.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;

use super::fit::{bind_by_affinity, fit};
use super::{Subject, pod_template};
use crate::core::workload::act::{Act, Note, Pace, Plan};
use crate::core::workload::pods;
use crate::core::workload::replicas::{create_pod, delete_pod};

/// Pods created and deleted in one pass at most; upstream's `BurstReplicas`.
const BURST: usize = 250;

/// What is due on the nodes.
#[derive(Default)]
struct Due {
    create_on: Vec<String>,
    delete: Vec<Arc<Pod>>,
    failed_on: Vec<String>,
}

/// Adds what is due to the plan; returns the nodes on which a failed pod is deleted.
pub(super) fn manage(subject: &Subject, resting: &BTreeMap<String, Duration>, plan: &mut Plan) -> Vec<String> {
    let mut due = Due::default();
    for node in subject.nodes {
        let name = pods::name(&node.metadata);
        let fits = fit(&subject.spec.template, node);
        let present = subject.pods_on(name);
        if fits.should_run && present.is_empty() {
            due.create_on.push(name.to_owned());
        } else if fits.may_stay {
            let running = sort_out(subject, name, present, resting, &mut due, plan);
            thin_out(subject, name, running, fits.should_run, &mut due);
        } else {
            due.delete.extend(present.iter().filter(|pod| !pods::is_terminating(pod)).cloned());
        }
    }
    let exists = |name: &String| subject.nodes.iter().any(|node| pods::name(&node.metadata) == name);
    for (_, stranded) in subject.by_node.iter().filter(|(name, _)| !exists(name)) {
        due.delete.extend(stranded.iter().filter(|pod| pods::node_name(pod).is_empty()).cloned());
    }
    stage(subject, plan, &due.create_on, &due.delete);
    due.failed_on
}

/// Adds creations and deletions to the plan.
pub(super) fn stage(subject: &Subject, plan: &mut Plan, create_on: &[String], delete: &[Arc<Pod>]) {
    plan.stage(Pace::SlowStart, create_on.iter().take(BURST).map(|node| create(subject, node)).collect());
    plan.stage(Pace::AtOnce, delete.iter().take(BURST).map(|pod| delete_pod(pod)).collect());
}

fn create(subject: &Subject, node: &str) -> Act {
    let namespace = subject.set.metadata.namespace.as_deref().unwrap_or_default();
    let mut pod = pods::from_template(&pod_template(subject), &subject.owner, namespace);
    bind_by_affinity(pod.spec.get_or_insert_default(), node);
    create_pod(pod)
}

/// Takes ended pods away, failed ones not more often than their node may bear; returns those that run.
fn sort_out(
    subject: &Subject,
    node: &str,
    present: &[Arc<Pod>],
    resting: &BTreeMap<String, Duration>,
    due: &mut Due,
    plan: &mut Plan,
) -> Vec<Arc<Pod>> {
    let mut running = Vec::new();
    for pod in present.iter().filter(|pod| !pods::is_terminating(pod)) {
        let full_name =
            format!("{}/{}", subject.set.metadata.namespace.as_deref().unwrap_or_default(), pods::name(&pod.metadata));
        match pods::phase(pod) {
            "Failed" => {
                if let Some(rest) = resting.get(node) {
                    plan.look_again(Some(*rest));
                    continue;
                }
                let message = format!("Found failed daemon pod {full_name} on node {node}, will try to kill it");
                plan.notes.push(Note::warning("FailedDaemonPod", message));
                due.failed_on.push(node.to_owned());
                due.delete.push(pod.clone());
            }
            "Succeeded" => {
                let message = format!("Found succeeded daemon pod {full_name} on node {node}, will try to delete it");
                plan.notes.push(Note::normal("SucceededDaemonPod", message));
                due.delete.push(pod.clone());
            }
            _ => running.push(pod.clone()),
        }
    }
    running
}

/// Leaves one pod on the node, or an old and a new one during an update that surges.
fn thin_out(subject: &Subject, node: &str, running: Vec<Arc<Pod>>, should_run: bool, due: &mut Due) {
    if !super::update::surges(subject) {
        due.delete.extend(running.into_iter().skip(1));
        return;
    }
    if running.len() <= 1 {
        if running.is_empty() && should_run {
            due.create_on.push(node.to_owned());
        }
        return;
    }
    let (mut new, mut old) = (None, None);
    for pod in running {
        let place = if subject.is_updated(&pod) { &mut new } else { &mut old };
        match place {
            None => *place = Some(pod),
            Some(_) => due.delete.push(pod),
        }
    }
    if let (Some(new), Some(old)) = (new, old)
        && (!pods::is_ready(&old) || subject.is_available(&new))
    {
        due.delete.push(old);
    }
}
