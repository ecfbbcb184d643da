use serde_json::json;

use super::{
    super::sight::{Trouble, TroubleKind},
    *,
};

#[test]
fn after_a_failure_nothing_new_starts_and_what_runs_goes_on_to_its_end() {
    let spec = pipeline(
        json!({
            "bad": task("step", &[], json!({})),
            "beside": task("step", &[], json!({})),
            "after-bad": task("step", &["bad"], json!({})),
            "after-beside": task("step", &["beside"], json!({})),
        }),
        json!({}),
    );
    let mut sim = Sim::new(&spec);
    sim.finish("root/bad", failed());
    assert_eq!(sim.standing.state, RunState::Running, "the other step runs on");
    sim.finish("root/beside", done());
    sim.ends(RunState::Failed);
    let wanted = [
        ("after-bad", TaskState::Skipped),
        ("after-beside", TaskState::Skipped),
        ("bad", TaskState::Failed),
        ("beside", TaskState::Succeeded),
    ];
    assert_eq!(sim.states(), wanted);
    let error = sim.standing.error.as_ref().unwrap();
    assert_eq!((error.message.as_str(), error.exit_code), ("task \"bad\" failed: exit code 1", Some(1)));
}

#[test]
fn a_step_that_waits_for_a_place_does_not_start_after_a_failure() {
    let spec = pipeline(json!({"a": task("step", &[], json!({})), "b": task("step", &[], json!({}))}), json!({}));
    let mut sim = Sim::idle(&spec);
    sim.places = 1;
    sim.run.begin(0);
    sim.settle();
    sim.finish("root/a", failed());
    sim.ends(RunState::Failed);
    assert_eq!((sim.launched.len(), sim.state("root/b")), (1, TaskState::Skipped));
}

fn exit(body: &str) -> Value {
    let strategy = json!({"triggerPolicy": {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"},
        "inputs": {"parameters": {"in": {"taskFinalStatus": {"producerTask": body}}}}});
    let status = json!({
        "executorLabel": "exec",
        "inputDefinitions": {"parameters": {"in": {"parameterType": "TASK_FINAL_STATUS", "isOptional": true}}},
    });
    let group = json!({"dag": {"tasks": {
        "one": task("step", &[], json!({})), "two": task("step", &["one"], json!({})),
    }}});
    let tasks = json!({body: task("group", &[], json!({})), "exit": task("status", &[body], strategy)});
    pipeline(tasks, json!({"group": group, "status": status}))
}

#[test]
fn an_exit_task_runs_after_a_failed_body_and_sees_its_state_and_the_run_has_failed() {
    let mut sim = Sim::new(&exit("exit-handler-1"));
    sim.finish("root/exit-handler-1/one", failed());
    assert_eq!(sim.running(), ["exit"]);
    let status = &sim.row("root/exit").inputs.parameters["in"];
    assert_eq!(
        (status["state"].as_str(), status["pipelineTaskName"].as_str()),
        (Some("FAILED"), Some("exit-handler-1"))
    );
    sim.finish("root/exit", done());
    sim.ends(RunState::Failed);
    assert_eq!(sim.row("root/exit-handler-1").kind, TaskKind::ExitHandler);
}

#[test]
fn an_exit_task_runs_after_a_body_that_has_succeeded_and_can_fail_the_run() {
    for (outcome, state) in [(done(), RunState::Succeeded), (failed(), RunState::Failed)] {
        let mut sim = Sim::new(&exit("exit-handler-1"));
        sim.finish("root/exit-handler-1/one", done());
        sim.finish("root/exit-handler-1/two", done());
        assert_eq!(sim.row("root/exit").inputs.parameters["in"]["state"], "COMPLETE");
        sim.finish("root/exit", outcome);
        sim.ends(state);
    }
}

#[test]
fn a_failed_loop_makes_no_more_iterations() {
    let body = json!({
        "executorLabel": "exec", "inputDefinitions": {"parameters": {"in": {"parameterType": "STRING"}}},
    });
    let fields = json!({
        "parameterIterator": {"items": {"raw": "[\"a\",\"b\",\"c\",\"d\"]"}, "itemInput": "in"},
        "iteratorPolicy": {"parallelismLimit": 2},
    });
    let mut sim = Sim::new(&pipeline(json!({"loop": task("body", &[], fields)}), json!({"body": body})));
    assert_eq!(sim.running(), ["loop/0", "loop/1"]);
    sim.finish("root/loop/0", failed());
    assert_eq!(sim.running(), ["loop/1"]);
    sim.finish("root/loop/1", done());
    sim.ends(RunState::Failed);
    assert_eq!(sim.launched.len(), 2);
}

fn retried(count: u32) -> Value {
    let policy = json!({"retryPolicy": {
        "maxRetryCount": count, "backoffDuration": "2s", "backoffFactor": 2.0, "backoffMaxDuration": "3600s",
    }});
    pipeline(json!({"a": task("step", &[], policy), "b": task("step", &[], json!({}))}), json!({}))
}

#[test]
fn a_step_is_tried_again_after_its_back_off_as_often_as_its_policy_says() {
    let mut sim = Sim::new(&retried(2));
    let mut names = Vec::new();
    for wait_ms in [2000, 4000] {
        names.push(sim.pods["root/a"].2.clone());
        sim.finish("root/a", failed());
        assert_eq!((sim.running(), sim.state("root/a")), (vec!["b"], TaskState::Pending));
        sim.pass(wait_ms - 1);
        assert_eq!(sim.running(), ["b"]);
        sim.pass(1);
        assert_eq!(sim.running(), ["a", "b"]);
    }
    names.push(sim.pods["root/a"].2.clone());
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), 3, "each attempt has a pod of its own");
    sim.finish("root/a", failed());
    sim.finish("root/b", done());
    sim.ends(RunState::Failed);
    assert_eq!(sim.row("root/a").attempt, 2);
}

#[test]
fn a_step_that_succeeds_at_last_has_no_error() {
    let mut sim = Sim::new(&retried(1));
    sim.finish("root/a", failed());
    assert!(sim.row("root/a").error.is_some());
    sim.pass(2000);
    sim.finish("root/a", done());
    sim.finish("root/b", done());
    sim.ends(RunState::Succeeded);
    assert_eq!((sim.row("root/a").attempt, sim.row("root/a").error.as_ref()), (1, None));
}

#[test]
fn a_step_that_is_being_tried_again_goes_on_after_another_has_failed() {
    let mut sim = Sim::new(&retried(1));
    sim.finish("root/a", failed());
    sim.finish("root/b", failed());
    sim.pass(2000);
    assert_eq!(sim.running(), ["a"]);
    sim.finish("root/a", done());
    sim.ends(RunState::Failed);
}

#[test]
fn how_a_pod_ends_without_a_report_is_how_the_step_fails() {
    let oom = TaskError { reason: "OOMKilled".to_owned(), message: "too much".to_owned(), exit_code: Some(137) };
    let rows = [
        (Sight::Failed(oom), "OOMKilled", "too much\nlast words"),
        (Sight::Succeeded, "NoReport", "last words"),
        (Sight::Gone, "PodLost", "gone"),
    ];
    for (sight, reason, told) in rows {
        let mut sim = Sim::new(&pipeline(json!({"a": task("step", &[], json!({}))}), json!({})));
        sim.see("root/a", sight);
        for (node, attempt) in std::mem::take(&mut sim.tails) {
            sim.tell(Event::Tailed { node, attempt, lines: "last words".to_owned() });
        }
        sim.ends(RunState::Failed);
        let error = sim.row("root/a").error.clone().unwrap();
        assert_eq!(error.reason, reason);
        assert!(error.message.contains(told), "{}", error.message);
    }
}

fn trouble(kind: TroubleKind) -> Sight {
    let (reason, message) = ("ImagePullBackOff".to_owned(), "image nope: not found".to_owned());
    Sight::Waiting(Some(Trouble { kind, reason, message }))
}

#[test]
fn what_keeps_a_pod_from_starting_is_told_and_ends_the_step_after_a_while() {
    let mut sim = Sim::new(&pipeline(json!({"a": task("step", &[], json!({}))}), json!({})));
    let pod = sim.pods["root/a"].2.clone();
    sim.see("root/a", trouble(TroubleKind::Passing));
    assert_eq!(sim.state("root/a"), TaskState::Pending);
    assert_eq!(sim.row("root/a").error.as_ref().unwrap().reason, "ImagePullBackOff");
    sim.pass(59_999);
    assert_eq!(sim.state("root/a"), TaskState::Pending);
    sim.pass(1);
    sim.ends(RunState::Failed);
    assert_eq!(sim.deleted, [pod]);
}

#[test]
fn an_image_that_appears_in_time_is_as_if_it_had_been_there() {
    let mut sim = Sim::new(&pipeline(json!({"a": task("step", &[], json!({}))}), json!({})));
    sim.see("root/a", trouble(TroubleKind::Passing));
    sim.see("root/a", Sight::Running);
    assert_eq!(sim.row("root/a").error, None);
    sim.pass(1_000_000);
    sim.finish("root/a", done());
    sim.ends(RunState::Succeeded);
}

#[test]
fn a_pod_that_no_node_takes_waits_and_says_so() {
    let mut sim = Sim::new(&pipeline(json!({"a": task("step", &[], json!({}))}), json!({})));
    sim.see("root/a", trouble(TroubleKind::Patient));
    sim.pass(100_000_000);
    assert_eq!(sim.state("root/a"), TaskState::Pending);
    assert!(sim.row("root/a").error.is_some());
}

#[test]
fn an_impossible_image_fails_at_once() {
    let mut sim = Sim::new(&pipeline(json!({"a": task("step", &[], json!({}))}), json!({})));
    sim.see("root/a", trouble(TroubleKind::Lasting));
    sim.ends(RunState::Failed);
}

#[test]
fn a_pod_that_the_cluster_refuses_fails_its_step() {
    let mut sim = Sim::idle(&pipeline(json!({"a": task("step", &[], json!({}))}), json!({})));
    sim.run.begin(0);
    sim.settle();
    let (node, attempt, _) = sim.pods.remove("root/a").unwrap();
    // As it would be told were the creation still under way.
    let mut run = sim.run.clone();
    run.handle(Event::Launched { node, attempt, outcome: failed().map(drop) }, 0);
    assert_eq!(run.standing().state, RunState::Running, "an attempt that runs was made");
}

/// A run whose only step is about to be made, with the step.
fn starting() -> (Run, NodeId, u32) {
    let mut sim = Sim::idle(&pipeline(json!({"a": task("step", &[], json!({}))}), json!({})));
    sim.places = 0;
    sim.run.begin(0);
    sim.settle();
    let mut run = sim.run.clone();
    let node = *sim.waiting.first().unwrap();
    run.handle(Event::Placed { node }, 0);
    assert!(run.take_effects().contains(&Effect::Launch { node }));
    let attempt = run.step(node).unwrap().attempt;
    (run, node, attempt)
}

fn full() -> TaskError {
    TaskError { reason: "QuotaExceeded".into(), message: "exceeded quota: pods".into(), exit_code: None }
}

#[test]
fn a_step_that_a_quota_has_no_room_for_says_so_and_is_tried_again_with_longer_pauses() {
    let (mut run, node, attempt) = starting();
    for wanted_s in [1, 2, 3, 4, 5, 5] {
        run.handle(Event::Delayed { node, attempt, error: full() }, 0);
        let wake = Wake::Launch { node, attempt };
        // Its place is others' meanwhile.
        assert_eq!(run.take_effects(), [Effect::Free { node }, Effect::Timer { at_ms: wanted_s * 1000, wake }]);
        run.handle(Event::Due(wake), wanted_s * 1000);
        assert_eq!(run.take_effects(), [Effect::Want { node }]);
        run.handle(Event::Placed { node }, wanted_s * 1000);
        assert_eq!(run.take_effects(), [Effect::Launch { node }]);
    }
    let told = |run: &mut Run| {
        let rows = run.take_commit().tasks;
        rows.into_iter().find(|row| row.path == "root/a").map(|row| (row.state, row.error.map(|error| error.reason)))
    };
    assert_eq!(told(&mut run), Some((TaskState::Pending, Some("QuotaExceeded".to_owned()))));
    run.handle(Event::Launched { node, attempt, outcome: Ok(()) }, 0);
    assert_eq!(told(&mut run), Some((TaskState::Pending, None)), "what it waits for now is another matter");
    run.handle(Event::Begun { node, attempt, work_root: None }, 0);
    assert_eq!(told(&mut run), Some((TaskState::Running, None)));
    run.handle(Event::Due(Wake::Launch { node, attempt }), 0);
    assert!(run.take_effects().is_empty(), "a timer that is late makes no second pod");
}

#[test]
fn a_step_that_waits_for_a_quota_ends_with_its_run() {
    for told_at_once in [true, false] {
        let (mut run, node, attempt) = starting();
        run.handle(Event::Delayed { node, attempt, error: full() }, 0);
        run.handle(Event::Terminate, 0);
        let event = match told_at_once {
            true => Event::Delayed { node, attempt, error: full() },
            false => Event::Due(Wake::Launch { node, attempt }),
        };
        run.handle(event, 1000);
        assert!(!run.take_effects().contains(&Effect::Launch { node }));
        assert!(run.standing().state.is_final(), "{:?}", run.standing());
    }
}

#[test]
fn a_late_or_doubled_report_changes_nothing() {
    let mut sim = Sim::new(&retried(1));
    let (node, attempt, _) = sim.pods["root/a"].clone();
    sim.finish("root/a", failed());
    sim.pass(2000);
    assert!(sim.run.current(&sim.row("root/a").task_id, attempt).is_none());
    sim.tell(Event::Finished { node, attempt, outcome: done(), uploaded: BTreeSet::new() });
    assert_eq!(sim.running(), ["a", "b"], "the second attempt runs on");
    sim.finish("root/a", done());
    sim.tell(Event::Finished { node, attempt: 1, outcome: failed(), uploaded: BTreeSet::new() });
    assert_eq!(sim.state("root/a"), TaskState::Succeeded);
}

#[test]
fn a_terminated_run_deletes_its_pods_runs_no_exit_task_and_ends_as_failed() {
    let mut sim = Sim::new(&exit("exit-handler-1"));
    let pod = sim.pods["root/exit-handler-1/one"].2.clone();
    sim.tell(Event::Terminate);
    sim.ends(RunState::Failed);
    assert_eq!(sim.deleted, [pod]);
    let states: BTreeSet<String> = sim.rows.values().map(|row| format!("{:?}", row.state)).collect();
    assert_eq!(states, BTreeSet::from(["Canceled".to_owned()]));
    let history: Vec<RunState> = sim.standing.history.iter().map(|change| change.state).collect();
    assert_eq!(history[2..], [RunState::Canceling, RunState::Failed]);
    assert_eq!(sim.standing.error.as_ref().unwrap().reason, "Terminated");
}

#[test]
fn a_run_that_takes_too_long_ends() {
    let spec = pipeline(json!({"a": task("step", &[], json!({}))}), json!({}));
    let platform = json!({"platforms": {"kubernetes": {"pipelineConfig": {"activeDeadlineSeconds": 60}}}});
    let mut sim = Sim::new(&json!({"pipeline_spec": spec, "platform_spec": platform}));
    sim.pass(59_999);
    assert_eq!(sim.running(), ["a"]);
    sim.pass(1);
    sim.ends(RunState::Failed);
    assert_eq!(sim.standing.error.as_ref().unwrap().reason, "DeadlineExceeded");
}

#[test]
fn a_retried_run_keeps_what_has_succeeded_and_runs_the_rest() {
    let spec = pipeline(
        json!({
            "a": task("make", &[], json!({})), "b": task("take", &["a"], from("a", "out")),
            "c": task("step", &["b"], json!({})),
        }),
        json!({}),
    );
    let mut sim = Sim::new(&spec);
    sim.finish("root/a", out("x"));
    let pod = sim.pods["root/b"].2.clone();
    sim.finish("root/b", failed());
    sim.ends(RunState::Failed);
    let mut sim = sim.retry();
    assert_eq!((sim.launched.as_slice(), sim.state("root/a")), (&["root/b".to_owned()][..], TaskState::Succeeded));
    assert_ne!(sim.pods["root/b"].2, pod, "the pod of the failed attempt may still be there");
    assert_eq!(sim.row("root/b").inputs.parameters["in"], "x");
    sim.finish("root/b", done());
    sim.finish("root/c", done());
    sim.ends(RunState::Succeeded);
}

#[test]
fn a_retried_run_goes_on_inside_groups_and_runs_exit_tasks_again() {
    let mut sim = Sim::new(&exit("exit-handler-1"));
    sim.finish("root/exit-handler-1/one", done());
    sim.finish("root/exit-handler-1/two", failed());
    sim.finish("root/exit", done());
    sim.ends(RunState::Failed);
    let mut sim = sim.retry();
    assert_eq!(sim.running(), ["exit-handler-1/two"]);
    sim.finish("root/exit-handler-1/two", done());
    assert_eq!(sim.row("root/exit").inputs.parameters["in"]["state"], "COMPLETE");
    sim.finish("root/exit", done());
    sim.ends(RunState::Succeeded);
}

#[test]
fn a_retried_loop_runs_its_failed_and_missing_iterations_only() {
    let body = json!({
        "executorLabel": "exec", "inputDefinitions": {"parameters": {"in": {"parameterType": "STRING"}}},
    });
    let fields = json!({
        "parameterIterator": {"items": {"raw": "[\"a\",\"b\",\"c\"]"}, "itemInput": "in"},
        "iteratorPolicy": {"parallelismLimit": 2},
    });
    let mut sim = Sim::new(&pipeline(json!({"loop": task("body", &[], fields)}), json!({"body": body})));
    sim.finish("root/loop/0", done());
    sim.finish("root/loop/1", failed());
    sim.finish("root/loop/2", done());
    sim.ends(RunState::Failed);
    let mut sim = sim.retry();
    assert_eq!(sim.launched, ["root/loop/1"]);
    assert_eq!(sim.row("root/loop/1").inputs.parameters["in"], "b");
    sim.finish("root/loop/1", done());
    sim.ends(RunState::Succeeded);
}
