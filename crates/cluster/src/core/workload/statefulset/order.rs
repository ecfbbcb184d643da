//! Which of a stateful set's pods is touched next.
//!
//! Ordered sets go from the lowest ordinal up and stop at the first pod that is not ready; parallel ones do not wait.
//! Then the pods beyond the range go, highest first; then, if all is well, pods of an old revision, highest first, one
//! at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use serde_json::json;

use super::Subject;
use super::claims::{self, Needs};
use super::identity::{self, POD_INDEX_LABEL, POD_NAME_LABEL, ordinal};
use crate::core::workload::act::{Act, Change, Kind, New, Note, Pace, Plan};
use crate::core::workload::pods;
use crate::core::workload::revision::REVISION_LABEL;

type Claims = BTreeMap<String, Arc<PersistentVolumeClaim>>;

/// The pods of a set, sorted into places.
pub(super) struct Replicas {
    /// By ordinal: the pod that is there, or none.
    places: Vec<(i32, Option<Arc<Pod>>)>,
    /// Beyond the range, highest ordinal first.
    condemned: Vec<Arc<Pod>>,
}

/// Sorts the pods into places.
pub(super) fn replicas(subject: &Subject, mine: &[Arc<Pod>]) -> Replicas {
    let mut by_ordinal: BTreeMap<i32, Arc<Pod>> =
        mine.iter().filter_map(|pod| Some((ordinal(pod)?, pod.clone()))).collect();
    let range = subject.start()..subject.start().saturating_add(subject.replicas());
    let places = range.map(|ordinal| (ordinal, by_ordinal.remove(&ordinal))).collect();
    Replicas { places, condemned: by_ordinal.into_values().rev().collect() }
}

/// What comes of looking at one place.
enum Step {
    /// Everything is as it should be.
    Fine,
    /// Nothing can follow before something changes.
    Wait,
    /// These acts, in stages: claims, then the pod. An ordered set waits then.
    Do(Vec<Act>, Vec<Act>),
    /// These acts, which nobody waits for.
    Mend(Vec<Act>),
    /// A claim stands in the way.
    Blocked(String),
}

/// Adds what is due to the plan.
pub(super) fn decide(subject: &Subject, replicas: &Replicas, claims: &Claims, plan: &mut Plan) {
    let ordered = !subject.is_parallel();
    let mut staged = (Vec::new(), Vec::new());
    let mut waits = false;
    for (ordinal, pod) in &replicas.places {
        match look(subject, claims, *ordinal, pod.as_deref()) {
            Step::Fine => continue,
            Step::Mend(acts) => {
                staged.0.extend(acts);
                continue;
            }
            Step::Wait => {}
            Step::Do(first, then) => {
                staged.0.extend(first);
                staged.1.extend(then);
            }
            Step::Blocked(why) => {
                let pod = format!("{}-{ordinal}", subject.name());
                let message = format!("create Pod {pod} in StatefulSet {} failed error: {why}", subject.name());
                plan.notes.push(Note::warning("FailedCreate", message));
                plan.obstacle = Some(why);
            }
        }
        if ordered {
            waits = true;
            break;
        }
    }
    let pace = if ordered { Pace::InOrder } else { Pace::SlowStart };
    plan.stage(pace, staged.0);
    plan.stage(pace, staged.1);
    if waits || plan.obstacle.is_some() {
        return;
    }
    if !shrink(subject, replicas, claims, plan) && subject.is_rolling() {
        update(subject, replicas, plan);
    }
}

fn look(subject: &Subject, claims: &Claims, ordinal: i32, pod: Option<&Pod>) -> Step {
    let Some(pod) = pod else { return create(subject, claims, ordinal) };
    if pods::is_finished(pod) {
        return if pods::is_terminating(pod) { Step::Wait } else { Step::Do(Vec::new(), vec![delete(subject, pod)]) };
    }
    let ordered = !subject.is_parallel();
    let needs =
        if pods::phase(pod) == "Pending" { claims::missing(subject, claims, ordinal) } else { Needs::Acts(Vec::new()) };
    let mut acts = match needs {
        Needs::Acts(acts) => acts,
        Needs::Blocked(why) => return Step::Blocked(why),
    };
    let ready = pods::phase(pod) == "Running" && pods::is_ready(pod) && subject.is_available(pod);
    if ordered && (pods::is_terminating(pod) || !ready) {
        return if acts.is_empty() { Step::Wait } else { Step::Do(acts, Vec::new()) };
    }
    if !claims::is_labelled(pod) || !claims::is_whole(subject, pod) {
        acts.push(label(subject, pod, ordinal));
    }
    acts.extend(claims::owner_changes(subject, claims, pod));
    if acts.is_empty() { Step::Fine } else { Step::Mend(acts) }
}

fn create(subject: &Subject, claims: &Claims, ordinal: i32) -> Step {
    let pod = identity::pod(subject, ordinal);
    if claims::is_stale(subject, claims, &pod) {
        return Step::Wait;
    }
    match claims::missing(subject, claims, ordinal) {
        Needs::Blocked(why) => Step::Blocked(why),
        Needs::Acts(mut acts) => {
            acts.extend(claims::owner_changes(subject, claims, &pod));
            Step::Do(
                acts,
                vec![spoken(
                    subject,
                    "create",
                    pods::name(&pod.metadata),
                    Change::Create(New::Pod(Box::new(pod.clone()))),
                )],
            )
        }
    }
}

fn spoken(subject: &Subject, verb: &str, pod: &str, change: Change) -> Act {
    let (success, failure) = match verb {
        "create" => ("SuccessfulCreate", "FailedCreate"),
        "delete" => ("SuccessfulDelete", "FailedDelete"),
        _ => ("SuccessfulUpdate", "FailedUpdate"),
    };
    let about = format!("{verb} Pod {pod} in StatefulSet {}", subject.name());
    Act {
        adopts: false,
        change,
        done: vec![Note::normal(success, format!("{about} successful"))],
        failed: Some(Note::warning(failure, format!("{about} failed error: ")).with_error()),
    }
}

fn delete(subject: &Subject, pod: &Pod) -> Act {
    let (name, uid) = (pods::name(&pod.metadata).to_owned(), pods::uid(&pod.metadata).to_owned());
    spoken(subject, "delete", &name.clone(), Change::Delete { kind: Kind::Pod, name, uid })
}

fn label(subject: &Subject, pod: &Pod, ordinal: i32) -> Act {
    let name = pods::name(&pod.metadata).to_owned();
    let labels = json!({ POD_NAME_LABEL: name, POD_INDEX_LABEL: ordinal.to_string() });
    let patch = json!({ "metadata": { "uid": pod.metadata.uid, "labels": labels } });
    spoken(subject, "update", &name.clone(), Change::Merge { kind: Kind::Pod, name, patch })
}

/// Takes pods beyond the range away; whether anything was done or is waited for.
fn shrink(subject: &Subject, replicas: &Replicas, claims: &Claims, plan: &mut Plan) -> bool {
    let ordered = !subject.is_parallel();
    let owned = replicas.condemned.iter().flat_map(|pod| claims::owner_changes(subject, claims, pod)).collect();
    plan.stage(Pace::InOrder, owned);
    let first_unhealthy = first_unavailable(subject, replicas).map(|pod| pods::name(&pod.metadata).to_owned());
    let mut acts = Vec::new();
    for pod in &replicas.condemned {
        if pods::is_terminating(pod) {
            if ordered {
                return true;
            }
            continue;
        }
        let well = pods::phase(pod) == "Running" && pods::is_ready(pod) && subject.is_available(pod);
        if ordered && !well && first_unhealthy.as_deref() != Some(pods::name(&pod.metadata)) {
            return true;
        }
        acts.push(delete(subject, pod));
        if ordered {
            break;
        }
    }
    let busy = !acts.is_empty();
    plan.stage(if ordered { Pace::InOrder } else { Pace::SlowStart }, acts);
    // A parallel set goes on to update in the same pass, as upstream does.
    busy && ordered
}

fn first_unavailable<'a>(subject: &Subject, replicas: &'a Replicas) -> Option<&'a Arc<Pod>> {
    let placed = replicas.places.iter().map(|(_, pod)| pod.as_ref());
    for pod in placed {
        match pod {
            None => return None,
            Some(pod) if subject.is_unavailable(pod) => return Some(pod),
            Some(_) => {}
        }
    }
    replicas.condemned.iter().rev().find(|pod| subject.is_unavailable(pod))
}

/// Replaces the highest pod that is of an old revision, unless one above it is not well yet.
fn update(subject: &Subject, replicas: &Replicas, plan: &mut Plan) {
    let keep = usize::try_from(subject.partition().unwrap_or(0)).unwrap_or(0);
    for (_, pod) in replicas.places.iter().skip(keep).rev() {
        let Some(pod) = pod else { return };
        if pods::label(&pod.metadata, REVISION_LABEL) != subject.update && !pods::is_terminating(pod) {
            plan.stage(Pace::InOrder, vec![delete(subject, pod)]);
            return;
        }
        if subject.is_unavailable(pod) {
            return;
        }
    }
}
