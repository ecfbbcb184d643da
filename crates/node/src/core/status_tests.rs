//! Rows of situations and the statuses that follow from them.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::core::{
    plan::{self, Deletion},
    record::Exit,
};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

fn attempt(number: u32, code: Option<i32>) -> Attempt {
    let reason = if code == Some(0) { ExitReason::Completed } else { ExitReason::Error };
    Attempt {
        version: 1,
        container: "a".to_owned(),
        number,
        id: format!("{number:064x}"),
        image: "busybox".to_owned(),
        image_id: "sha256:0".to_owned(),
        backoff_s: 10 * number,
        message_from_log: false,
        stop_signal: None,
        started_at: at(-9),
        exit: code.map(|code| Exit { code, reason, message: String::new(), finished_at: at(-1) }),
    }
}

fn build_for(policy: &str, observed: Observed, deletion: Deletion) -> PodStatus {
    build_with(policy, observed, deletion, None)
}

fn build_with(policy: &str, observed: Observed, deletion: Deletion, verdict: Option<&plan::Verdict>) -> PodStatus {
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "p", "namespace": "ns", "uid": "u", "generation": 3},
        "spec": {"restartPolicy": policy, "containers": [{"name": "a", "image": "busybox"}]}
    }))
    .unwrap();
    let observed = BTreeMap::from([("a".to_owned(), observed)]);
    let situation = Situation {
        pod: &pod,
        observed: &observed,
        sandbox_ready: true,
        deletion,
        started_at: at(-10),
        verdict,
        ending_since: None,
        now: at(0),
    };
    let plan = plan::plan(situation);
    let place = Place { pod_address: "10.244.0.9", host_address: "10.200.0.2" };
    build(&situation, &plan, place, &PodStatus::default())
}

fn conditions(status: &PodStatus) -> String {
    let row = |one: &PodCondition| format!("{}={}/{}", one.type_, one.status, one.reason.as_deref().unwrap_or("-"));
    status.conditions.iter().flatten().map(row).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_phase_follows_from_the_containers() {
    let with = |attempts: Vec<Attempt>| Observed { attempts, started: true, ready: true, ..Observed::default() };
    let rows = [
        ("Always", with(vec![]), Deletion::No, "Pending"),
        ("Always", with(vec![attempt(0, None)]), Deletion::No, "Running"),
        ("Always", with(vec![attempt(0, Some(1))]), Deletion::No, "Running"),
        ("Always", with(vec![attempt(1, Some(1))]), Deletion::No, "Running"),
        ("Never", with(vec![attempt(0, Some(1))]), Deletion::No, "Failed"),
        ("OnFailure", with(vec![attempt(0, Some(1))]), Deletion::No, "Running"),
        ("OnFailure", with(vec![attempt(0, Some(0))]), Deletion::No, "Succeeded"),
        ("Always", with(vec![attempt(0, Some(0))]), Deletion::Asked { grace_s: 30 }, "Succeeded"),
        ("Always", with(vec![attempt(0, Some(143))]), Deletion::Asked { grace_s: 30 }, "Failed"),
        ("Always", with(vec![]), Deletion::Asked { grace_s: 30 }, "Failed"),
    ];
    for (policy, observed, deletion, expect) in rows {
        let status = build_for(policy, observed, deletion);
        assert_eq!(status.phase.as_deref(), Some(expect), "{policy} {deletion:?}");
    }
}

#[test]
fn a_running_pod_is_ready_and_says_where_it_is() {
    let observed = Observed { attempts: vec![attempt(0, None)], started: true, ready: true, ..Observed::default() };
    let status = build_for("Always", observed, Deletion::No);
    assert_eq!(
        conditions(&status),
        "PodReadyToStartContainers=True/- Initialized=True/- Ready=True/- ContainersReady=True/-"
    );
    assert_eq!(status.pod_ip.as_deref(), Some("10.244.0.9"));
    assert_eq!(status.host_ip.as_deref(), Some("10.200.0.2"));
    assert_eq!(status.observed_generation, Some(3));
    let container = &status.container_statuses.unwrap()[0];
    assert_eq!(container.container_id, Some(format!("ferroflow://{:064x}", 0)));
    assert!(container.ready && container.started == Some(true));
}

#[test]
fn a_container_that_waits_to_start_again_shows_its_last_run() {
    let attempts = vec![attempt(0, Some(1)), attempt(1, Some(1))];
    let status = build_for("Always", Observed { attempts, ..Observed::default() }, Deletion::No);
    let container = &status.container_statuses.clone().unwrap()[0];
    let waiting = container.state.as_ref().unwrap().waiting.as_ref().unwrap();
    assert_eq!(waiting.reason.as_deref(), Some("CrashLoopBackOff"));
    assert_eq!(container.last_state.as_ref().unwrap().terminated.as_ref().unwrap().exit_code, 1);
    assert_eq!((container.restart_count, container.ready), (1, false));
    assert!(conditions(&status).contains("Ready=False/ContainersNotReady"));
}

#[test]
fn a_patch_takes_away_what_is_not_said_any_more() {
    let observed = Observed { attempts: vec![attempt(0, None)], started: true, ready: true, ..Observed::default() };
    let status = build_for("Always", observed, Deletion::No);
    let pod: Pod = serde_json::from_value(json!({"metadata": {"uid": "u"}, "spec": {"containers": []}})).unwrap();
    let body = patch(&pod, &status);
    assert_eq!(body["metadata"]["uid"], "u");
    assert_eq!(body["status"]["conditions"][2]["reason"], Value::Null);
    assert!(body["status"].as_object().unwrap().contains_key("reason"));
    let written = Pod { status: Some(status.clone()), ..pod.clone() };
    assert!(is_written(written.status.as_ref(), &status));
    assert!(!is_written(pod.status.as_ref(), &status));
}

#[test]
fn an_evicted_pod_says_why_and_that_it_is_not_its_own_failure() {
    let verdict = plan::Verdict::evicted("it takes too much. ".to_owned());
    let observed = Observed { attempts: vec![attempt(0, None)], started: true, ready: true, ..Observed::default() };
    let status = build_with("Always", observed, Deletion::No, Some(&verdict));
    assert_eq!((status.phase.as_deref(), status.reason.as_deref()), (Some("Failed"), Some("Evicted")));
    assert_eq!(status.message.as_deref(), Some("it takes too much. "));
    assert!(conditions(&status).ends_with("DisruptionTarget=True/TerminationByKubelet"), "{status:?}");
}
