use serde_json::json;

use super::*;

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
