use serde_json::json;

use super::*;

/// A failed task, and a group of two steps after it, which runs whatever becomes of it.
fn exit_pipeline() -> Value {
    let strategy = json!({"triggerPolicy": {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}});
    let group = json!({"dag": {"tasks": {
        "one": task("step", &[], json!({})), "two": task("step", &["one"], json!({})),
    }}});
    let tasks = json!({"body": task("step", &[], json!({})), "exit": task("group", &["body"], strategy)});
    pipeline(tasks, json!({"group": group}))
}

#[test]
fn an_exit_pipeline_runs_again_after_what_it_waits_for_and_not_beside_it() {
    for (one, two) in [(done(), failed()), (failed(), done())] {
        let has_failed_early = one.is_err();
        let mut sim = Sim::new(&exit_pipeline());
        sim.finish("root/body", failed());
        sim.finish("root/exit/one", one);
        if !has_failed_early {
            sim.finish("root/exit/two", two);
        }
        sim.ends(RunState::Failed);
        let mut sim = sim.retry();
        assert_eq!(sim.running(), ["body"]);
        sim.finish("root/body", done());
        assert_eq!(sim.running(), ["exit/one"], "all of it runs again");
        sim.finish("root/exit/one", done());
        sim.finish("root/exit/two", done());
        sim.ends(RunState::Succeeded);
    }
}

#[test]
fn a_run_that_is_retried_has_its_whole_time_again() {
    let tasks = json!({"a": task("step", &[], json!({})), "b": task("step", &["a"], json!({}))});
    let spec = pipeline(tasks, json!({}));
    let platform = json!({"platforms": {"kubernetes": {"pipelineConfig": {"activeDeadlineSeconds": 60}}}});
    let mut sim = Sim::new(&json!({"pipeline_spec": spec, "platform_spec": platform}));
    sim.finish("root/a", done());
    sim.pass(60_000);
    sim.ends(RunState::Failed);
    sim.pass(1_000_000);
    // The server may be started again in the middle of it.
    let mut sim = sim.retry();
    sim.pass(30_000);
    let mut sim = sim.crash();
    sim.pass(29_999);
    assert_eq!((sim.running(), sim.standing.state), (vec!["b"], RunState::Running));
    sim.pass(1);
    sim.ends(RunState::Failed);
    assert_eq!(sim.standing.error.as_ref().unwrap().reason, "DeadlineExceeded");
}
