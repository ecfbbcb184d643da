use serde_json::json;

use super::*;

fn diamond() -> Value {
    pipeline(
        json!({
            "a": task("make", &[], json!({})),
            "b": task("take", &["a"], from("a", "out")), "c": task("take", &["a"], from("a", "out")),
            "d": task("step", &["b", "c"], json!({})),
        }),
        json!({}),
    )
}

#[test]
fn after_a_restart_running_steps_are_adopted_and_succeeded_ones_stay() {
    let mut sim = Sim::new(&diamond());
    sim.finish("root/a", out("x"));
    for path in ["root/b", "root/c"] {
        let (node, attempt, _) = sim.pods[path].clone();
        sim.tell(Event::Begun { node, attempt, work_root: None });
    }
    let mut sim = sim.crash();
    assert_eq!((sim.running(), sim.launched.len()), (vec!["b", "c"], 0), "no pod is made");
    sim.finish("root/b", done());
    let mut sim = sim.crash();
    sim.finish("root/c", done());
    sim.finish("root/d", done());
    sim.ends(RunState::Succeeded);
}

#[test]
fn an_intent_whose_pod_was_not_made_makes_it_under_the_same_name() {
    let mut sim = Sim::new(&diamond());
    let name = sim.row("root/a").pod_name.clone();
    sim.pods.clear();
    let mut sim = sim.crash();
    assert_eq!(sim.launched, ["root/a"]);
    assert_eq!(sim.row("root/a").pod_name, name);
    sim.finish("root/a", out("x"));
    assert_eq!(sim.running(), ["b", "c"]);
}

#[test]
fn a_running_step_whose_pod_is_gone_after_a_restart_has_failed() {
    let mut sim = Sim::new(&diamond());
    let (node, attempt, _) = sim.pods["root/a"].clone();
    sim.tell(Event::Begun { node, attempt, work_root: None });
    sim.pods.clear();
    let sim = sim.crash();
    sim.ends(RunState::Failed);
    assert_eq!(sim.row("root/a").error.as_ref().unwrap().reason, "PodLost");
}

#[test]
fn where_a_steps_directory_is_outlives_a_restart() {
    let mut sim = Sim::new(&diamond());
    let (node, attempt, _) = sim.pods["root/a"].clone();
    sim.tell(Event::Begun { node, attempt, work_root: Some("/data/x".to_owned()) });
    let sim = sim.crash();
    let (node, _, _) = sim.pods["root/a"].clone();
    assert_eq!(sim.run.step(node).unwrap().work_root, Some("/data/x"));
}

#[test]
fn a_run_that_was_ending_goes_on_ending() {
    let mut sim = Sim::new(&diamond());
    let pods = sim.pods.clone();
    sim.run.handle(Event::Terminate, 0);
    // The write is done, the deletion is not.
    let commit = sim.run.take_commit();
    sim.standing = commit.run.unwrap();
    for row in commit.tasks {
        sim.rows.insert(row.path.clone(), row);
    }
    sim.pods = pods;
    let sim = sim.crash();
    sim.ends(RunState::Failed);
    assert_eq!(sim.deleted.len(), 1);
}

#[test]
fn a_step_that_waits_for_its_next_attempt_waits_no_longer_for_a_restart() {
    let policy = json!({"retryPolicy": {"maxRetryCount": 1, "backoffDuration": "5s", "backoffFactor": 1.0}});
    let mut sim = Sim::new(&pipeline(json!({"a": task("step", &[], policy)}), json!({})));
    sim.finish("root/a", failed());
    sim.pass(3000);
    let mut sim = sim.crash();
    sim.pass(1999);
    assert_eq!(sim.running(), [] as [&str; 0]);
    sim.pass(1);
    assert_eq!((sim.running(), sim.row("root/a").attempt), (vec!["a"], 1));
    sim.finish("root/a", failed());
    sim.ends(RunState::Failed);
}

#[test]
fn a_loop_goes_on_where_it_stood() {
    let body = json!({
        "executorLabel": "exec", "inputDefinitions": {"parameters": {"in": {"parameterType": "STRING"}}},
        "outputDefinitions": {"parameters": {"out": {"parameterType": "STRING"}}},
    });
    let sum = json!({
        "executorLabel": "exec", "inputDefinitions": {"parameters": {"in": {"parameterType": "LIST"}}},
    });
    let fields = json!({
        "parameterIterator": {"items": {"raw": "[\"a\",\"b\",\"c\",\"d\",\"e\"]"}, "itemInput": "in"},
        "iteratorPolicy": {"parallelismLimit": 2},
    });
    let tasks = json!({"loop": task("body", &[], fields), "sum": task("sum", &["loop"], from("loop", "out"))});
    let mut sim = Sim::new(&pipeline(tasks, json!({"body": body, "sum": sum})));
    for number in 0..5 {
        sim = sim.crash();
        sim.finish(&format!("root/loop/{number}"), out(&number.to_string()));
    }
    assert_eq!(sim.row("root/sum").inputs.parameters["in"], json!(["0", "1", "2", "3", "4"]));
    let mut sim = sim.crash();
    sim.finish("root/sum", done());
    sim.ends(RunState::Succeeded);
}

#[test]
fn a_restart_before_anything_but_the_run_was_recorded_begins_it() {
    let mut sim = Sim::idle(&diamond());
    sim.settle();
    let sim = sim.crash();
    assert_eq!((sim.running(), sim.standing.state), (vec!["a"], RunState::Running));
}

#[test]
fn what_was_asked_in_an_earlier_life_is_told_to_nobody_else() {
    let group = json!({"dag": {"tasks": {"one": task("step", &[], json!({}))}}});
    let tasks = json!({
        "first": task("step", &[], json!({})), "late": task("group", &["first"], json!({})),
        "soon": task("group", &[], json!({})),
    });
    let mut sim = Sim::new(&pipeline(tasks, json!({"group": group})));
    let (node, attempt, _) = sim.pods["root/soon/one"].clone();
    sim.finish("root/first", done());
    // Another order of the tasks in memory than that of their beginnings.
    let mut sim = sim.crash();
    sim.tell(Event::Seen { node, attempt, sight: Sight::Gone });
    let states = [sim.state("root/late/one"), sim.state("root/soon/one")];
    assert_eq!(states, [TaskState::Pending, TaskState::Pending], "{node:?}");
    let mut sim = sim.crash();
    let taken: BTreeSet<NodeId> = sim.pods.values().map(|(node, _, _)| *node).collect();
    assert!(!taken.contains(&node));
    sim.finish("root/late/one", done());
    sim.finish("root/soon/one", done());
    sim.ends(RunState::Succeeded);
}
