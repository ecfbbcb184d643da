use super::*;

fn cached() -> Value {
    chain(json!({"cachingOptions": {"enableCache": true}}), json!({"cachingOptions": {"enableCache": true}}))
}

on_each_store!(
    a_run_of_what_was_run_before_makes_no_pods,
    identical_steps_of_several_runs_run_once,
    when_the_first_of_identical_steps_fails_the_next_one_runs,
    no_more_pods_are_made_than_there_are_places,
    a_loop_of_hundreds_ends_with_a_row_for_each_through_a_restart,
);

async fn a_run_of_what_was_run_before_makes_no_pods(store: Store) {
    let bed = Bed::new(store).await;
    let first = bed.submit(&cached()).await;
    bed.succeed(&first, "make", &[("out", "x")]).await;
    bed.succeed(&first, "take", &[]).await;
    bed.until_run(&first, RunState::Succeeded).await;
    let second = bed.submit(&cached()).await;
    bed.until_run(&second, RunState::Succeeded).await;
    for path in ["make", "take"] {
        let (before, task) = (bed.task(&first, path).await, bed.task(&second, path).await);
        assert_eq!((task.state, task.pod_name), (TaskState::Cached, None));
        assert_eq!(task.cache.hit, Some(before.task_id));
        assert_eq!(task.outputs, before.outputs);
    }
}

async fn identical_steps_of_several_runs_run_once(store: Store) {
    let bed = Bed::new(store).await;
    let mut runs = Vec::new();
    for _ in 0..3 {
        runs.push(bed.submit(&cached()).await);
    }
    bed.step(&runs[0], "make").await;
    for run in &runs[1..] {
        let waits = |task: &TaskRow| task.cache.reason.contains("identical");
        bed.until_task(run, "make", "waits", waits).await;
        assert_eq!(bed.pod_names(run).await, [] as [&str; 0]);
    }
    bed.succeed(&runs[0], "make", &[("out", "x")]).await;
    bed.succeed(&runs[0], "take", &[]).await;
    for run in &runs {
        bed.until_run(run, RunState::Succeeded).await;
    }
    assert_eq!(bed.task(&runs[2], "make").await.state, TaskState::Cached);
}

async fn when_the_first_of_identical_steps_fails_the_next_one_runs(store: Store) {
    let bed = Bed::new(store).await;
    let (first, second) = (bed.submit(&cached()).await, bed.submit(&cached()).await);
    bed.step(&first, "make").await;
    bed.fail(&first, "make").await;
    bed.until_run(&first, RunState::Failed).await;
    bed.succeed(&second, "make", &[("out", "x")]).await;
    bed.succeed(&second, "take", &[]).await;
    bed.until_run(&second, RunState::Succeeded).await;
}

async fn no_more_pods_are_made_than_there_are_places(store: Store) {
    let config = EngineConfig {
        namespace: "default".to_owned(),
        running_steps: 1,
        token_key: vec![7; 32],
        launcher: LauncherSource::HostPath("/opt/ferroflow".to_owned()),
        ..EngineConfig::default()
    };
    let bed = Bed::with(store, config).await;
    let runs = [bed.submit(&plain()).await, bed.submit(&plain()).await];
    bed.step(&runs[0], "make").await;
    assert_eq!(bed.task(&runs[1], "make").await.pod_name, None);
    bed.succeed(&runs[0], "make", &[("out", "x")]).await;
    bed.succeed(&runs[1], "make", &[("out", "x")]).await;
    bed.succeed(&runs[0], "take", &[]).await;
    bed.succeed(&runs[1], "take", &[]).await;
    for run in &runs {
        bed.until_run(run, RunState::Succeeded).await;
    }
}

/// A loop of `count` steps without inputs but their item.
fn looped(count: usize) -> Value {
    let items: Vec<usize> = (0..count).collect();
    json!({
        "pipelineInfo": {"name": "loop"}, "schemaVersion": "2.1.0", "sdkVersion": "kfp-2.17.0",
        "deploymentSpec": {"executors": {"work": {"container": {"image": "busybox", "command": ["true"]}}}},
        "components": {
            "work": {"executorLabel": "work", "inputDefinitions": {"parameters": {"item": {"parameterType": "NUMBER_INTEGER"}}}},
            "body": {
                "inputDefinitions": {"parameters": {"item": {"parameterType": "NUMBER_INTEGER"}}},
                "dag": {"tasks": {"work": {
                    "taskInfo": {"name": "work"}, "componentRef": {"name": "work"}, "cachingOptions": {},
                    "inputs": {"parameters": {"item": {"componentInputParameter": "item"}}},
                }}},
            },
        },
        "root": {"dag": {"tasks": {"loop": {
            "taskInfo": {"name": "loop"}, "componentRef": {"name": "body"}, "cachingOptions": {},
            "parameterIterator": {"items": {"raw": serde_json::to_string(&items).unwrap()}, "itemInput": "item"},
        }}}},
    })
}

async fn a_loop_of_hundreds_ends_with_a_row_for_each_through_a_restart(store: Store) {
    let mut bed = Bed::new(store).await;
    let run = bed.submit(&looped(200)).await;
    bed.step(&run, "loop/0/work").await;
    for number in 0..200 {
        let claims = bed.step(&run, &format!("loop/{number}/work")).await;
        bed.engine.finish(&claims, report(&[])).await.unwrap();
        if number == 57 {
            bed.restart().await;
        }
    }
    bed.until_run(&run, RunState::Succeeded).await;
    let tasks = bed.engine.tasks(&run).await.unwrap();
    assert_eq!(tasks.len(), 402);
    assert!(tasks.iter().all(|task| task.state == TaskState::Succeeded && task.attempt == 0));
}
