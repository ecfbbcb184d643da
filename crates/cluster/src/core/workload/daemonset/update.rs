//! How an update goes through the nodes: so many pods down at once, or so many more up at once.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;

use super::Subject;
use super::fit::fit;
use super::manage::stage;
use crate::core::workload::act::Plan;
use crate::core::workload::pods::{self, Round, scaled};

/// The pods of one node by revision; `None` where there are more than one of either.
struct Pair {
    new: Option<Arc<Pod>>,
    old: Option<Arc<Pod>>,
}

fn pair(subject: &Subject, present: &[Arc<Pod>]) -> Option<Pair> {
    let mut pair = Pair { new: None, old: None };
    for pod in present.iter().filter(|pod| !pods::is_terminating(pod)) {
        let place = if subject.is_updated(pod) { &mut pair.new } else { &mut pair.old };
        if place.replace(pod.clone()).is_some() {
            return None;
        }
    }
    Some(pair)
}

fn surge(subject: &Subject, nodes: i32) -> i32 {
    let rolling = subject.spec.update_strategy.as_ref().and_then(|strategy| strategy.rolling_update.as_ref());
    let surge = rolling.and_then(|rolling| rolling.max_surge.as_ref());
    if subject.is_rolling() { scaled(surge, nodes, Round::Up) } else { 0 }
}

/// Whether the set's updates start the new pod before the old one goes.
pub(super) fn surges(subject: &Subject) -> bool {
    surge(subject, 1) > 0
}

/// Adds the update's next step to the plan.
pub(super) fn update(subject: &Subject, plan: &mut Plan) {
    let should_run = |name: &str| {
        let node = subject.nodes.iter().find(|node| pods::name(&node.metadata) == name);
        node.is_some_and(|node| fit(&subject.spec.template, node).should_run)
    };
    let wanted = subject.nodes.iter().filter(|node| fit(&subject.spec.template, node).should_run);
    let wanted: Vec<String> = wanted.map(|node| pods::name(&node.metadata).to_owned()).collect();
    let desired = i32::try_from(wanted.len()).unwrap_or(i32::MAX);
    let mut names: Vec<String> = subject.by_node.keys().cloned().chain(wanted).collect();
    names.sort();
    names.dedup();
    let rolling = subject.spec.update_strategy.as_ref().and_then(|strategy| strategy.rolling_update.as_ref());
    let max_unavailable = scaled(rolling.and_then(|rolling| rolling.max_unavailable.as_ref()), desired, Round::Up);
    match (surge(subject, desired), max_unavailable) {
        (0, 0) if desired > 0 => replace(subject, plan, &names, 1),
        (0, most) => replace(subject, plan, &names, most),
        (most, _) => surge_through(subject, plan, &names, most, desired, should_run),
    }
}

/// Deletes outdated pods: those that are down already, and others up to the limit.
fn replace(subject: &Subject, plan: &mut Plan, names: &[String], most: i32) {
    let mut unavailable = 0;
    let (mut free, mut candidates) = (Vec::new(), Vec::new());
    for name in names {
        let pair = pair(subject, subject.pods_on(name));
        match pair.map(|pair| (pair.new, pair.old)) {
            None | Some((None, None) | (Some(_), Some(_))) => unavailable += 1,
            Some((Some(new), None)) => unavailable += i32::from(!subject.is_available(&new)),
            Some((None, Some(old))) if !subject.is_available(&old) => {
                free.push(old);
                unavailable += 1;
            }
            Some((None, Some(old))) => candidates.push(old),
        }
    }
    let more = usize::try_from(most - unavailable).unwrap_or(0);
    free.extend(candidates.into_iter().take(more));
    stage(subject, plan, &[], &free);
}

/// Starts new pods beside outdated ones up to the limit, and deletes outdated ones whose successor is available.
fn surge_through(
    subject: &Subject,
    plan: &mut Plan,
    names: &[String],
    most: i32,
    desired: i32,
    should_run: impl Fn(&str) -> bool,
) {
    let (mut surging, mut available) = (0, 0);
    let (mut delete, mut misplaced, mut free, mut candidates) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for name in names {
        let Some(pair) = pair(subject, subject.pods_on(name)) else {
            surging += 1;
            continue;
        };
        let standing = pair.old.as_ref().or(pair.new.as_ref());
        available += i32::from(standing.is_some_and(|pod| subject.is_available(pod)));
        match (pair.new, pair.old) {
            (_, None) => {}
            (None, Some(old)) => match (subject.is_available(&old), should_run(name)) {
                (false, false) => delete.push(old),
                (true, false) => misplaced.push(old),
                (false, true) => free.push(name.clone()),
                (true, true) => candidates.push(name.clone()),
            },
            (Some(new), Some(_)) if !subject.is_available(&new) => surging += 1,
            (Some(_), Some(old)) => delete.push(old),
        }
    }
    let spare = usize::try_from(available - desired).unwrap_or(0);
    delete.extend(misplaced.into_iter().take(spare));
    let more = usize::try_from(most - surging).unwrap_or(0);
    free.extend(candidates.into_iter().take(more));
    stage(subject, plan, &free, &delete);
}
