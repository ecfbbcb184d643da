//! Rows of situations and the plans that follow from them.

use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use super::*;
use crate::core::record::{Exit, ExitReason};

const NOW: i64 = 1_700_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(NOW + seconds).unwrap()
}

fn pod(spec: serde_json::Value) -> Pod {
    let meta = json!({"name": "p", "namespace": "ns", "uid": "u"});
    serde_json::from_value(json!({"metadata": meta, "spec": spec})).unwrap()
}

/// A run: number, start, and how it ended (`None` while it runs).
fn run(number: u32, backoff_s: u32, started: i64, ended: Option<(i32, i64)>) -> Attempt {
    let exit = ended.map(|(code, finished)| Exit {
        code,
        reason: if code == 0 { ExitReason::Completed } else { ExitReason::Error },
        message: String::new(),
        finished_at: at(finished),
    });
    Attempt {
        version: 1,
        container: String::new(),
        number,
        id: "id".to_owned(),
        image: String::new(),
        image_id: String::new(),
        backoff_s,
        message_from_log: false,
        stop_signal: None,
        started_at: at(started),
        exit,
    }
}

fn observed(attempts: Vec<Attempt>) -> Observed {
    Observed { attempts, started: true, ready: true, ..Observed::default() }
}

struct Case {
    pod: Pod,
    observed: BTreeMap<String, Observed>,
    deletion: Deletion,
    ending_since: Option<Timestamp>,
    started: i64,
}

impl Case {
    fn new(spec: serde_json::Value, rows: Vec<(&str, Observed)>) -> Self {
        let observed = rows.into_iter().map(|(name, one)| (name.to_owned(), one)).collect();
        Self { pod: pod(spec), observed, deletion: Deletion::No, ending_since: None, started: -5 }
    }

    fn situation(&self) -> Situation<'_> {
        Situation {
            pod: &self.pod,
            observed: &self.observed,
            sandbox_ready: true,
            deletion: self.deletion,
            started_at: at(self.started),
            verdict: None,
            ending_since: self.ending_since,
            now: at(0),
        }
    }

    fn plan(&self) -> Plan {
        plan(self.situation())
    }

    /// The actions as words: `launch a#0`, `stop a +30`, `finish`.
    fn words(&self) -> String {
        let word = |action: &Action| match action {
            Action::Launch { container, number, backoff_s } => format!("launch {container}#{number}/{backoff_s}"),
            Action::Stop { container, deadline, .. } => {
                format!("stop {container} +{}", deadline.duration_since(at(0)).as_secs())
            }
            Action::Finish => "finish".to_owned(),
        };
        self.plan().actions.iter().map(word).collect::<Vec<_>>().join(", ")
    }
}

fn two_mains(policy: &str) -> serde_json::Value {
    json!({"restartPolicy": policy, "containers": [{"name": "a"}, {"name": "b"}]})
}

fn with_inits() -> serde_json::Value {
    json!({"restartPolicy": "OnFailure",
        "initContainers": [{"name": "i"}, {"name": "s", "restartPolicy": "Always"}, {"name": "t", "restartPolicy": "Always"}],
        "containers": [{"name": "a"}]})
}

#[test]
fn main_containers_start_together() {
    assert_eq!(Case::new(two_mains("Always"), vec![]).words(), "launch a#0/0, launch b#0/0");
    let busy = Observed { launching: true, ..Observed::default() };
    assert_eq!(Case::new(two_mains("Always"), vec![("a", busy)]).words(), "launch b#0/0");
}

#[test]
fn init_containers_run_one_by_one_and_sidecars_before_the_next() {
    let ended = |code| observed(vec![run(0, 0, -3, Some((code, -1)))]);
    let running = || observed(vec![run(0, 0, -3, None)]);
    let rows: Vec<(Vec<(&str, Observed)>, &str)> = vec![
        (vec![], "launch i#0/0"),
        (vec![("i", running())], ""),
        (vec![("i", ended(0))], "launch s#0/0"),
        (vec![("i", ended(1))], "launch i#1/10"),
        (vec![("i", ended(0)), ("s", Observed { started: false, ..running() })], ""),
        (vec![("i", ended(0)), ("s", running())], "launch t#0/0"),
        (vec![("i", ended(0)), ("s", running()), ("t", running())], "launch a#0/0"),
        // Once the main ones run, a sidecar that ended starts again and nothing waits for it.
        (vec![("i", ended(0)), ("s", ended(1)), ("t", running()), ("a", running())], "launch s#1/10"),
        // Sidecars end when the main ones have, the last one first.
        (vec![("i", ended(0)), ("s", running()), ("t", running()), ("a", ended(0))], "stop t +30"),
        (vec![("i", ended(0)), ("s", running()), ("t", ended(0)), ("a", ended(0))], "stop s +30"),
        (vec![("i", ended(0)), ("s", ended(0)), ("t", ended(0)), ("a", ended(0))], "finish"),
    ];
    for (observed, expect) in rows {
        let case = Case::new(with_inits(), observed);
        assert_eq!(case.words(), expect, "{:?}", case.observed);
    }
}

#[test]
fn a_failed_init_container_fails_a_pod_that_never_restarts() {
    let spec = json!({"restartPolicy": "Never", "initContainers": [{"name": "i"}], "containers": [{"name": "a"}]});
    let case = Case::new(spec, vec![("i", observed(vec![run(0, 0, -3, Some((1, -1)))]))]);
    assert_eq!(case.words(), "finish");
    assert_eq!(case.plan().verdict.unwrap().phase, "Failed");
}

#[test]
fn the_restart_policy_decides_what_starts_again() {
    let ended = |code| observed(vec![run(0, 0, -3, Some((code, -1)))]);
    let rows = [
        ("Always", 0, 1, "launch a#1/10, launch b#1/10", None),
        ("OnFailure", 0, 1, "launch b#1/10", None),
        ("OnFailure", 0, 0, "finish", Some("Succeeded")),
        ("Never", 0, 1, "finish", Some("Failed")),
        ("Never", 0, 0, "finish", Some("Succeeded")),
    ];
    for (policy, first, second, expect, phase) in rows {
        let case = Case::new(two_mains(policy), vec![("a", ended(first)), ("b", ended(second))]);
        assert_eq!(case.words(), expect, "{policy}");
        assert_eq!(case.plan().verdict.map(|verdict| verdict.phase), phase);
    }
}

#[test]
fn restarts_back_off_by_doubling_until_five_minutes_and_forget_after_ten() {
    let spec = || json!({"containers": [{"name": "a"}]});
    // (wait of the last run, its start, its end) and what follows.
    let rows = [
        (0, -3, -1, "launch a#4/10", None),
        (10, -3, -1, "", Some("10s")),
        (10, -30, -10, "launch a#4/20", None),
        (80, -30, -10, "", Some("1m20s")),
        (160, -300, -160, "launch a#4/300", None),
        (300, -400, -300, "launch a#4/300", None),
        (300, -700, -1, "launch a#4/10", None),
    ];
    for (backoff_s, started, ended, expect, wait) in rows {
        let case = Case::new(spec(), vec![("a", observed(vec![run(3, backoff_s, started, Some((1, ended)))]))]);
        assert_eq!(case.words(), expect);
        let plan = case.plan();
        let message = plan.waiting.get("a").map(|waiting| waiting.message.clone());
        assert_eq!(message, wait.map(|wait| format!("back-off {wait} restarting failed container=a pod=p_ns(u)")));
        if wait.is_some() {
            assert_eq!(plan.wake_at, Some(at(ended + i64::from(backoff_s))));
        }
    }
}

#[test]
fn a_container_at_fault_is_ended_and_restarted() {
    let faulty = Observed { fault: Some(Fault::Liveness), ..observed(vec![run(0, 0, -3, None)]) };
    let case = Case::new(json!({"containers": [{"name": "a"}]}), vec![("a", faulty.clone())]);
    let expect = "Container a failed liveness probe, will be restarted".to_owned();
    assert_eq!(case.plan().actions, [Action::Stop { container: "a".to_owned(), deadline: at(30), message: expect }]);
    let stopping = Observed { stopping: Some(at(20)), ..faulty };
    assert_eq!(Case::new(json!({"containers": [{"name": "a"}]}), vec![("a", stopping)]).words(), "");
}

#[test]
fn deletion_stops_main_containers_then_sidecars_then_finishes() {
    let running = || observed(vec![run(0, 0, -3, None)]);
    let ended = || observed(vec![run(0, 0, -3, Some((0, -1)))]);
    let delete = |rows| Case {
        deletion: Deletion::Asked { grace_s: 20 },
        ending_since: Some(at(-5)),
        ..Case::new(with_inits(), rows)
    };
    assert_eq!(delete(vec![("a", running()), ("s", running()), ("t", running())]).words(), "stop a +15");
    assert_eq!(delete(vec![("a", ended()), ("s", running()), ("t", running())]).words(), "stop t +15");
    assert_eq!(delete(vec![("a", ended()), ("s", ended()), ("t", ended())]).words(), "finish");
    assert_eq!(delete(vec![]).words(), "finish");
    let late = Case { ending_since: Some(at(-30)), ..delete(vec![("a", running()), ("s", running())]) };
    assert_eq!(late.words(), "stop a +-10, stop s +-10");
    let shorter = Observed { stopping: Some(at(500)), ..running() };
    assert_eq!(delete(vec![("a", shorter)]).words(), "stop a +15");
}

#[test]
fn a_pod_past_its_deadline_fails_by_name() {
    let spec = json!({"activeDeadlineSeconds": 4, "containers": [{"name": "a"}]});
    let case = Case::new(spec.clone(), vec![("a", observed(vec![run(0, 0, -3, None)]))]);
    assert_eq!(case.words(), "stop a +30");
    assert_eq!(case.plan().verdict.unwrap().reason.as_deref(), Some("DeadlineExceeded"));
    let early = Case { started: -1, ..Case::new(spec, vec![("a", observed(vec![run(0, 0, -1, None)]))]) };
    assert_eq!(early.words(), "");
    assert_eq!(early.plan().wake_at, Some(at(3)));
}

#[test]
fn a_pod_that_its_node_evicts_ends_within_a_second() {
    let case = Case::new(json!({"containers": [{"name": "a"}]}), vec![("a", observed(vec![run(0, 0, -3, None)]))]);
    let verdict = Verdict::evicted("it takes too much. ".to_owned());
    let plan = plan(Situation { verdict: Some(&verdict), ..case.situation() });
    assert_eq!(
        plan.actions,
        [Action::Stop { container: "a".to_owned(), deadline: at(1), message: "Stopping container a".to_owned() }]
    );
    assert_eq!(plan.verdict, Some(verdict));
}

#[test]
fn trouble_waits_for_its_time() {
    let trouble = |retry: i64| Observed {
        trouble: Some(Trouble { reason: "ErrImagePull".to_owned(), message: "no".to_owned(), retry_at: at(retry) }),
        ..Observed::default()
    };
    let case = |retry| Case::new(json!({"containers": [{"name": "a"}]}), vec![("a", trouble(retry))]);
    assert_eq!((case(5).words().as_str(), case(5).plan().wake_at), ("", Some(at(5))));
    assert_eq!(case(0).words(), "launch a#0/0");
    assert_eq!(case(5).plan().waiting["a"].reason, "ErrImagePull");
}
