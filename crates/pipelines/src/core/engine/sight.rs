//! A pod as the engine looks at it.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, PodStatus};

use crate::core::task::TaskError;

/// How a pod looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight {
    /// It has not started; `None` where nothing is wrong.
    Waiting(Option<Trouble>),
    Running,
    /// It has ended, and its launcher has said nothing: what is known from outside.
    Failed(TaskError),
    /// It has ended well.
    Succeeded,
    /// It does not exist.
    Gone,
}

/// What keeps a pod from starting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub kind: TroubleKind,
    /// `ImagePullBackOff`, `Unschedulable` …
    pub reason: String,
    pub message: String,
}

/// How long trouble is endured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TroubleKind {
    /// It may pass, when a node comes or gets free: as long as it takes.
    Patient,
    /// It may pass, when an image or an object appears: for a while.
    Passing,
    /// It will not pass.
    Lasting,
}

/// Reasons of a waiting container that end with a changed image or object only.
const PASSING: [&str; 7] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "ImageInspectError",
    "RegistryUnavailable",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
];
/// Reasons that the pod itself must be changed for.
const LASTING: [&str; 2] = ["InvalidImageName", "ErrImageNeverPull"];

/// The exit code of a launcher whose program was ended by SIGTERM.
const TERMINATED: i32 = 143;
/// The reason of an attempt that was told to end by nobody who says why: its node was stopped or drained. A program that
/// ends so by itself is reported by its launcher.
pub const INTERRUPTED: &str = "Interrupted";

/// Reasons of the condition `DisruptionTarget` for which a pod is made anew: its node was drained, lost or wanted for
/// something else. What a kubelet ends (`TerminationByKubelet`) may have taken too much, and would do so again.
const DISRUPTIONS: [&str; 4] =
    ["EvictionByEvictionAPI", "DeletionByTaintManager", "DeletionByPodGC", "PreemptionByScheduler"];

/// Looks at a pod, of which only the status tells.
pub fn of(status: Option<&PodStatus>) -> Sight {
    let Some(status) = status else { return Sight::Waiting(None) };
    match status.phase.as_deref() {
        Some("Succeeded") => Sight::Succeeded,
        Some("Failed") => Sight::Failed(failure(status)),
        Some("Running") => Sight::Running,
        _ => Sight::Waiting(trouble(status)),
    }
}

fn containers(status: &PodStatus) -> impl Iterator<Item = &ContainerStatus> {
    let init = status.init_container_statuses.iter().flatten();
    init.chain(status.container_statuses.iter().flatten())
}

fn trouble(status: &PodStatus) -> Option<Trouble> {
    let waiting = containers(status).find_map(|container| {
        let waiting = container.state.as_ref()?.waiting.as_ref()?;
        let reason = waiting.reason.clone()?;
        let kind = match reason.as_str() {
            reason if PASSING.contains(&reason) => TroubleKind::Passing,
            reason if LASTING.contains(&reason) => TroubleKind::Lasting,
            _ => return None,
        };
        let message = waiting.message.clone().unwrap_or_default();
        Some(Trouble { kind, reason, message: format!("image {}: {message}", container.image) })
    });
    waiting.or_else(|| unscheduled(status))
}

fn unscheduled(status: &PodStatus) -> Option<Trouble> {
    let conditions = status.conditions.iter().flatten();
    let mut unscheduled =
        conditions.filter(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
    let condition = unscheduled.next()?;
    Some(Trouble {
        kind: TroubleKind::Patient,
        reason: condition.reason.clone().unwrap_or_else(|| "Unschedulable".to_owned()),
        message: condition.message.clone().unwrap_or_default(),
    })
}

/// What a failed pod says, the most telling first: an OOM kill, then the pod's own reason (eviction, deadline), then the
/// exit code.
fn failure(status: &PodStatus) -> TaskError {
    let ended: Vec<(&str, &ContainerStateTerminated)> = containers(status)
        .filter_map(|container| Some((container.name.as_str(), terminated(container.state.as_ref()?)?)))
        .filter(|(_, end)| end.exit_code != 0)
        .collect();
    let killed = ended.iter().find(|(_, end)| end.reason.as_deref() == Some("OOMKilled"));
    if let Some((name, end)) = killed {
        let message = format!("container {name} used more memory than its limit and was killed");
        return TaskError { reason: "OOMKilled".to_owned(), message, exit_code: Some(end.exit_code) };
    }
    let exit_code = ended.first().map(|(_, end)| end.exit_code);
    if let Some(message) = disruption(status) {
        return TaskError { reason: INTERRUPTED.to_owned(), message, exit_code };
    }
    if let Some(reason) = status.reason.clone().filter(|reason| !reason.is_empty()) {
        let message = status.message.clone().unwrap_or_else(|| format!("the pod was ended: {reason}"));
        return TaskError { reason, message, exit_code };
    }
    let message = match ended.first() {
        Some((name, end)) => {
            let told = end.message.as_deref().filter(|told| !told.is_empty());
            let told = told.map(|told| format!(": {told}")).unwrap_or_default();
            format!("container {name} ended with exit code {} before its launcher had reported{told}", end.exit_code)
        }
        None => "the pod failed before its launcher had reported".to_owned(),
    };
    let reason = if exit_code == Some(TERMINATED) { INTERRUPTED } else { "Error" };
    TaskError { reason: reason.to_owned(), message, exit_code }
}

/// What ended a pod from outside that had done nothing to deserve it, in the cluster's words.
fn disruption(status: &PodStatus) -> Option<String> {
    let mut conditions = status.conditions.iter().flatten();
    let condition = conditions.find(|one| one.type_ == "DisruptionTarget" && one.status == "True")?;
    let reason = condition.reason.as_deref().filter(|reason| DISRUPTIONS.contains(reason))?;
    let told = condition.message.as_deref().unwrap_or_default();
    Some(format!("the pod was ended from outside ({reason}: {told})"))
}

fn terminated(state: &ContainerState) -> Option<&ContainerStateTerminated> {
    state.terminated.as_ref()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn look(status: Value) -> Sight {
        of(Some(&serde_json::from_value(status).unwrap()))
    }

    fn waiting(reason: &str) -> Value {
        json!({"phase": "Pending", "containerStatuses": [{
            "name": "main", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"waiting": {"reason": reason, "message": "m"}},
        }]})
    }

    fn ended(code: i32, reason: &str) -> Value {
        json!({"phase": "Failed", "containerStatuses": [{
            "name": "main", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"reason": reason, "exitCode": code}},
        }]})
    }

    #[test]
    fn a_pod_that_is_drained_before_its_program_began_is_interrupted_and_one_that_took_too_much_is_not() {
        let drained = |reason: &str| {
            look(json!({
                "phase": "Failed", "reason": "",
                "conditions": [{"type": "DisruptionTarget", "status": "True", "reason": reason, "message": "Eviction API: evicting"}],
                "initContainerStatuses": [{
                    "name": "launcher", "image": "i", "imageID": "", "ready": true, "restartCount": 0,
                    "state": {"terminated": {"reason": "Completed", "exitCode": 0}},
                }],
                "containerStatuses": [{
                    "name": "main", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
                    "state": {"waiting": {"reason": "PodInitializing"}},
                }],
            }))
        };
        for reason in DISRUPTIONS {
            let Sight::Failed(error) = drained(reason) else { panic!("{reason}") };
            assert_eq!(error.reason, INTERRUPTED, "{reason}");
            assert!(error.message.contains(reason) && error.message.contains("Eviction API"), "{error:?}");
        }
        let Sight::Failed(error) = drained("TerminationByKubelet") else { panic!() };
        assert_eq!(error.reason, "Error");
    }

    #[test]
    fn a_waiting_pod_says_what_it_waits_for() {
        let rows = [
            ("ContainerCreating", None),
            ("ImagePullBackOff", Some(TroubleKind::Passing)),
            ("CreateContainerConfigError", Some(TroubleKind::Passing)),
            ("InvalidImageName", Some(TroubleKind::Lasting)),
        ];
        for (reason, wanted) in rows {
            let Sight::Waiting(trouble) = look(waiting(reason)) else { panic!("{reason}") };
            assert_eq!(trouble.map(|trouble| trouble.kind), wanted, "{reason}");
        }
        let status = json!({"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"},
        ]});
        let Sight::Waiting(Some(trouble)) = look(status) else { panic!() };
        assert_eq!((trouble.kind, trouble.message.as_str()), (TroubleKind::Patient, "0/1 nodes"));
    }

    #[test]
    fn a_failed_pod_tells_the_most_telling_reason() {
        let evicted = json!({"phase": "Failed", "reason": "Evicted", "message": "low on memory"});
        let rows = [
            (ended(137, "OOMKilled"), "OOMKilled", Some(137)),
            (ended(3, "Error"), "Error", Some(3)),
            (ended(143, "Error"), "Interrupted", Some(143)),
            (evicted, "Evicted", None),
            (json!({"phase": "Failed"}), "Error", None),
        ];
        for (status, reason, code) in rows {
            let Sight::Failed(error) = look(status) else { panic!("{reason}") };
            assert_eq!((error.reason.as_str(), error.exit_code), (reason, code));
        }
    }

    #[test]
    fn phases_are_told_apart() {
        assert_eq!(look(json!({"phase": "Running"})), Sight::Running);
        assert_eq!(look(json!({"phase": "Succeeded"})), Sight::Succeeded);
        assert_eq!(look(json!({})), Sight::Waiting(None));
    }
}
