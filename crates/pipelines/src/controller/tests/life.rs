use futures::TryStreamExt;
use kube::api::DeleteParams;

use super::*;

on_each_store!(
    a_run_goes_from_step_to_step_and_leaves_no_pods,
    a_report_counts_once_and_only_of_the_attempt_that_runs,
    a_launcher_reaches_only_what_its_step_declares,
    a_missing_output_fails_the_step_and_says_which,
    a_restart_adopts_pods_takes_their_reports_and_runs_nothing_twice,
    a_pod_that_goes_while_nobody_watches_is_a_failed_attempt_that_is_tried_again,
    what_a_pod_suffers_is_told,
    an_image_that_is_missing_is_told_while_the_step_waits,
    a_terminated_run_deletes_its_pods_and_ends_as_failed,
    a_failed_run_is_gone_on_with_from_what_has_failed,
    a_deleted_run_leaves_nothing,
    what_cannot_be_run_is_refused_when_it_is_submitted,
    a_run_whose_pipeline_cannot_be_read_any_more_ends_and_says_why,
    a_run_whose_actor_panics_begins_again_from_the_store_and_not_forever,
    a_claim_of_storage_is_made_without_a_pod,
    an_artifact_is_imported_once_unless_the_pipeline_says_otherwise,
);

async fn a_run_goes_from_step_to_step_and_leaves_no_pods(store: Store) {
    let bed = Bed::new(store).await;
    let run = bed.submit(&plain()).await;
    let claims = bed.step(&run, "make").await;
    let order = bed.engine.begin(&claims, Begin::default()).await.unwrap();
    assert_eq!(order.command, ["echo", "make"]);
    let pod = bed.pods().get(&bed.pod_names(&run).await[0]).await.unwrap();
    assert_eq!(pod.spec.as_ref().unwrap().restart_policy.as_deref(), Some("Never"));
    bed.until_task(&run, "make", "runs", |task| task.state == TaskState::Running).await;
    bed.engine.finish(&claims, report(&[("out", "hello")])).await.unwrap();
    bed.pod_ends(&run, "make", json!({"phase": "Succeeded"})).await;
    let claims = bed.step(&run, "take").await;
    let order = bed.engine.begin(&claims, Begin::default()).await.unwrap();
    assert_eq!(order.command, ["echo", "hello"]);
    bed.succeed(&run, "take", &[]).await;
    let row = bed.until_run(&run, RunState::Succeeded).await;
    let states: Vec<RunState> = row.history.iter().map(|change| change.state).collect();
    assert_eq!(states, [RunState::Pending, RunState::Running, RunState::Succeeded]);
    assert!(row.finished_ms.is_some() && row.error.is_none());
    let gone = async {
        while !bed.pod_names(&run).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    eventually("pods of succeeded steps are deleted", gone).await;
}

async fn a_report_counts_once_and_only_of_the_attempt_that_runs(store: Store) {
    let bed = Bed::new(store).await;
    let run = bed.submit(&plain()).await;
    let claims = bed.step(&run, "make").await;
    let late = StepClaims { attempt: claims.attempt + 1, ..claims.clone() };
    assert!(matches!(bed.engine.begin(&late, Begin::default()).await, Err(StepError::Stale { .. })));
    bed.engine.finish(&claims, report(&[("out", "first")])).await.unwrap();
    let again = bed.engine.finish(&claims, report(&[("out", "second")])).await;
    assert!(matches!(again, Err(StepError::Stale { .. })), "{again:?}");
    assert_eq!(bed.task(&run, "make").await.outputs.parameters["out"], "first");
    let other = StepClaims { run: "nowhere".to_owned(), ..claims };
    assert!(matches!(bed.engine.finish(&other, report(&[])).await, Err(StepError::Stale { .. })));
}

async fn a_launcher_reaches_only_what_its_step_declares(store: Store) {
    let bed = Bed::new(store).await;
    let run = bed.submit(&plain()).await;
    let claims = bed.step(&run, "make").await;
    assert!(matches!(bed.engine.input(&claims, "other").await, Err(StepError::Foreign { .. })));
    assert!(matches!(bed.engine.output(&claims, "other").await, Err(StepError::Foreign { .. })));
    let key = Steps::log(&bed.engine, &claims).await.unwrap();
    bed.blobs.put_bytes(&key, "printed".into()).await.unwrap();
    let log = bed.engine.log(&run, &claims.task, Follow::No).await.unwrap();
    let pieces: Vec<bytes::Bytes> = log.try_collect().await.unwrap();
    assert_eq!(pieces.concat(), b"printed");
}

async fn a_missing_output_fails_the_step_and_says_which(store: Store) {
    let bed = Bed::new(store).await;
    let run = bed.submit(&plain()).await;
    let claims = bed.step(&run, "make").await;
    assert_eq!(bed.engine.finish(&claims, report(&[])).await.unwrap().exit_code, 1);
    let row = bed.until_run(&run, RunState::Failed).await;
    let error = row.error.unwrap();
    assert_eq!(error.reason, "Output");
    assert!(error.message.contains("make") && error.message.contains("out"), "{}", error.message);
    assert_eq!(bed.task(&run, "take").await.state, TaskState::Skipped);
}

async fn a_restart_adopts_pods_takes_their_reports_and_runs_nothing_twice(store: Store) {
    let mut bed = Bed::new(store).await;
    let run = bed.submit(&plain()).await;
    let claims = bed.step(&run, "make").await;
    bed.engine.begin(&claims, Begin { root: Some("/elsewhere".to_owned()) }).await.unwrap();
    let names = bed.pod_names(&run).await;
    bed.restart().await;
    assert_eq!(bed.pod_names(&run).await, names);
    bed.engine.finish(&claims, report(&[("out", "x")])).await.unwrap();
    bed.restart().await;
    assert_eq!(bed.task(&run, "make").await.state, TaskState::Succeeded);
    assert!(matches!(bed.engine.finish(&claims, report(&[("out", "y")])).await, Err(StepError::Stale { .. })));
    bed.succeed(&run, "take", &[]).await;
    bed.until_run(&run, RunState::Succeeded).await;
}

async fn a_pod_that_goes_while_nobody_watches_is_a_failed_attempt_that_is_tried_again(store: Store) {
    let mut bed = Bed::new(store).await;
    let policy = json!({"retryPolicy": {"maxRetryCount": 1, "backoffDuration": "0s", "backoffFactor": 1.0}});
    let run = bed.submit(&chain(policy, json!({}))).await;
    let claims = bed.step(&run, "make").await;
    bed.engine.begin(&claims, Begin::default()).await.unwrap();
    bed.until_task(&run, "make", "runs", |task| task.state == TaskState::Running).await;
    bed.group.stop(PATIENCE).await.unwrap();
    let name = bed.pod_names(&run).await.remove(0);
    bed.pods().delete(&name, &DeleteParams::default()).await.unwrap();
    bed.restart().await;
    let task = bed.until_task(&run, "make", "is tried again", |task| task.attempt == 1).await;
    assert_eq!(task.error.unwrap().reason, "PodLost");
    assert!(matches!(bed.engine.finish(&claims, report(&[("out", "x")])).await, Err(StepError::Stale { .. })));
    let again = async {
        while bed.pod_names(&run).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    eventually("the second attempt has a pod", again).await;
    bed.succeed(&run, "make", &[("out", "x")]).await;
    bed.succeed(&run, "take", &[]).await;
    bed.until_run(&run, RunState::Succeeded).await;
}

async fn what_a_pod_suffers_is_told(store: Store) {
    let ended = |reason: &str, code: i32| {
        json!({"phase": "Failed", "containerStatuses": [{
            "name": "main", "image": "busybox", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"reason": reason, "exitCode": code}},
        }]})
    };
    let rows = [
        (ended("OOMKilled", 137), "OOMKilled"),
        (json!({"phase": "Failed", "reason": "Evicted", "message": "low on disk"}), "Evicted"),
        (json!({"phase": "Succeeded"}), "NoReport"),
    ];
    let bed = Bed::new(store).await;
    for (status, reason) in rows {
        let run = bed.submit(&plain()).await;
        bed.step(&run, "make").await;
        bed.pod_ends(&run, "make", status).await;
        let row = bed.until_run(&run, RunState::Failed).await;
        assert_eq!(row.error.unwrap().reason, reason);
    }
    let run = bed.submit(&plain()).await;
    bed.step(&run, "make").await;
    let name = bed.pod_names(&run).await.remove(0);
    bed.pods().delete(&name, &DeleteParams::default()).await.unwrap();
    assert_eq!(bed.until_run(&run, RunState::Failed).await.error.unwrap().reason, "PodLost");
}

async fn an_image_that_is_missing_is_told_while_the_step_waits(store: Store) {
    let bed = Bed::new(store).await;
    let run = bed.submit(&plain()).await;
    bed.step(&run, "make").await;
    let waiting = json!({"phase": "Pending", "containerStatuses": [{
        "name": "main", "image": "busybox", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}},
    }]});
    bed.pod_ends(&run, "make", waiting).await;
    let is_told = |task: &TaskRow| task.error.as_ref().is_some_and(|error| error.reason == "ImagePullBackOff");
    let task = bed.until_task(&run, "make", "tells of its image", is_told).await;
    assert_eq!(task.state, TaskState::Pending);
}

async fn a_terminated_run_deletes_its_pods_and_ends_as_failed(store: Store) {
    let bed = Bed::new(store).await;
    let run = bed.submit(&plain()).await;
    let claims = bed.step(&run, "make").await;
    bed.engine.terminate(&run).await.unwrap();
    let row = bed.until_run(&run, RunState::Failed).await;
    let states: Vec<RunState> = row.history.iter().map(|change| change.state).collect();
    assert_eq!(states, [RunState::Pending, RunState::Running, RunState::Canceling, RunState::Failed]);
    assert_eq!(bed.pod_names(&run).await, [] as [&str; 0]);
    assert!(matches!(bed.engine.finish(&claims, report(&[("out", "x")])).await, Err(StepError::Stale { .. })));
    assert!(matches!(bed.engine.terminate(&run).await, Err(EngineError::NotRunning { .. })));
    assert!(matches!(bed.engine.terminate("nowhere").await, Err(EngineError::NotFound { .. })));
}

async fn a_failed_run_is_gone_on_with_from_what_has_failed(store: Store) {
    let bed = Bed::new(store).await;
    let run = bed.submit(&plain()).await;
    assert!(matches!(bed.engine.retry(&run).await, Err(EngineError::NotFinished { .. })));
    bed.succeed(&run, "make", &[("out", "x")]).await;
    bed.fail(&run, "take").await;
    let row = bed.until_run(&run, RunState::Failed).await;
    assert_eq!(row.error.unwrap().message, "task \"take\" failed: exit code 3: last words");
    bed.engine.retry(&run).await.unwrap();
    let task = bed.until_task(&run, "take", "runs again", |task| task.attempt == 1 && task.pod_name.is_some()).await;
    until(&bed.pods(), task.pod_name.as_ref().unwrap(), "is made", |_| true).await;
    let claims = StepClaims { task: task.task_id, attempt: 1, ..bed.step(&run, "take").await };
    bed.engine.finish(&claims, report(&[])).await.unwrap();
    let row = bed.until_run(&run, RunState::Succeeded).await;
    assert_eq!(row.error, None);
    assert_eq!(bed.task(&run, "make").await.attempt, 0, "what has succeeded did not run again");
    assert!(matches!(bed.engine.retry(&run).await, Err(EngineError::NotFailed { .. })));
}

async fn a_deleted_run_leaves_nothing(store: Store) {
    let bed = Bed::new(store).await;
    let run = bed.submit(&plain()).await;
    bed.step(&run, "make").await;
    bed.engine.delete(&run).await.unwrap();
    assert_eq!(bed.engine.run(&run).await.unwrap(), None);
    assert_eq!(bed.engine.tasks(&run).await.unwrap(), []);
    assert_eq!(bed.pod_names(&run).await, [] as [&str; 0]);
    assert!(matches!(bed.engine.delete(&run).await, Err(EngineError::NotFound { .. })));
}

async fn what_cannot_be_run_is_refused_when_it_is_submitted(store: Store) {
    let bed = Bed::new(store).await;
    let mut spec = plain();
    spec["root"]["dag"]["tasks"]["take"]["componentRef"]["name"] = "nowhere".into();
    let refused = bed.engine.submit(RunRow::default(), spec).await;
    assert!(matches!(refused, Err(EngineError::Fault(_))));
    let given = RunRow { runtime_config: json!({"parameters": {"x": 1}}), ..RunRow::default() };
    assert!(matches!(bed.engine.submit(given, plain()).await, Err(EngineError::Fault(_))));
    let named = RunRow { run_id: "same".to_owned(), ..RunRow::default() };
    bed.engine.submit(named.clone(), plain()).await.unwrap();
    assert!(matches!(bed.engine.submit(named, plain()).await, Err(EngineError::Exists(_))));
}

async fn a_run_whose_pipeline_cannot_be_read_any_more_ends_and_says_why(store: Store) {
    let mut bed = Bed::new(store).await;
    let run = bed.submit(&plain()).await;
    bed.step(&run, "make").await;
    let sql = "UPDATE pipelines_specs SET spec = '{\"pipelineInfo\": {}}'";
    bed.records.write(vec![ferroflow_platform::records::Statement::new(sql, [])]).await.unwrap();
    bed.restart().await;
    let row = bed.until_run(&run, RunState::Failed).await;
    assert_eq!(row.error.unwrap().reason, "Pipeline");
}

async fn a_run_whose_actor_panics_begins_again_from_the_store_and_not_forever(store: Store) {
    use std::sync::atomic::Ordering::SeqCst;
    let bed = Bed::new(store).await;
    let run = bed.submit(&plain()).await;
    let claims = bed.step(&run, "make").await;
    bed.engine.shared.panics.store(1, SeqCst);
    // It may panic over the report, or over how the pod looks.
    let verdict = match bed.engine.finish(&claims, report(&[("out", "x")])).await {
        Err(StepError::Unavailable(_)) => bed.engine.finish(&claims, report(&[("out", "x")])).await,
        outcome => outcome,
    };
    assert_eq!(verdict.unwrap().exit_code, 0);
    bed.succeed(&run, "take", &[]).await;
    bed.until_run(&run, RunState::Succeeded).await;
    assert_eq!(bed.engine.shared.panics.load(SeqCst), 0, "there was one");

    let run = bed.submit(&plain()).await;
    let claims = bed.step(&run, "make").await;
    bed.engine.shared.panics.store(u32::MAX, SeqCst);
    let asked = async {
        while !matches!(bed.engine.begin(&claims, Begin::default()).await, Err(StepError::Stale { .. })) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    eventually("the run is given up", asked).await;
    let row = bed.until_run(&run, RunState::Failed).await;
    let error = row.error.unwrap();
    assert_eq!(error.reason, "Internal");
    assert!(error.message.contains("an actor panics"), "{}", error.message);
    assert!(bed.engine.tasks(&run).await.unwrap().iter().all(|task| task.state.is_final()));
    bed.engine.shared.panics.store(0, SeqCst);
    bed.engine.retry(&run).await.unwrap();
    bed.succeed(&run, "make", &[("out", "x")]).await;
    bed.succeed(&run, "take", &[]).await;
    bed.until_run(&run, RunState::Succeeded).await;
}

pub(super) fn alone(executor: &Value, component: Value, inputs: Value) -> Value {
    let mut component = component;
    component["executorLabel"] = "exec".into();
    json!({
        "pipelineInfo": {"name": "alone"}, "schemaVersion": "2.1.0", "sdkVersion": "kfp-2.17.0",
        "deploymentSpec": {"executors": {"exec": executor}}, "components": {"comp": component},
        "root": {"dag": {"tasks": {"it": {
            "taskInfo": {"name": "it"}, "componentRef": {"name": "comp"}, "cachingOptions": {"enableCache": true},
            "inputs": inputs,
        }}}},
    })
}

async fn a_claim_of_storage_is_made_without_a_pod(store: Store) {
    use k8s_openapi::api::core::v1::PersistentVolumeClaim;
    let bed = Bed::new(store).await;
    let constant = |value: Value| json!({"runtimeValue": {"constant": value}});
    let component = json!({
        "inputDefinitions": {"parameters": {
            "pvc_name": {"parameterType": "STRING"}, "size": {"parameterType": "STRING"},
            "access_modes": {"parameterType": "LIST"},
        }},
        "outputDefinitions": {"parameters": {"name": {"parameterType": "STRING"}}},
    });
    let inputs = json!({"parameters": {
        "pvc_name": constant("data".into()), "size": constant("1Mi".into()),
        "access_modes": constant(json!(["ReadWriteOnce"])),
    }});
    let run = bed.submit(&alone(&json!({"container": {"image": "argostub/createpvc"}}), component, inputs)).await;
    bed.until_run(&run, RunState::Succeeded).await;
    let task = bed.task(&run, "it").await;
    assert_eq!((task.state, task.outputs.parameters["name"].as_str()), (TaskState::Succeeded, Some("data")));
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(bed.cluster.client(), "default");
    claims.get("data").await.unwrap();
}

async fn an_artifact_is_imported_once_unless_the_pipeline_says_otherwise(store: Store) {
    let bed = Bed::new(store).await;
    let schema = json!({"schemaTitle": "system.Dataset", "schemaVersion": "0.0.1"});
    let importer = |reimport: bool| {
        let importer =
            json!({"artifactUri": {"constant": "gs://bucket/data"}, "typeSchema": schema, "reimport": reimport});
        let component = json!({"outputDefinitions": {"artifacts": {"artifact": {"artifactType": schema}}}});
        alone(&json!({"importer": importer}), component, json!({}))
    };
    let mut ids = Vec::new();
    for reimport in [false, false, true] {
        let run = bed.submit(&importer(reimport)).await;
        bed.until_run(&run, RunState::Succeeded).await;
        let artifact = bed.task(&run, "it").await.outputs.artifacts["artifact"][0].clone();
        let row = bed.engine.artifact(&artifact.id).await.unwrap().expect("it is recorded");
        assert_eq!(row.artifact.uri, "gs://bucket/data");
        ids.push(artifact.id);
    }
    assert_eq!(ids[0], ids[1]);
    assert_ne!(ids[0], ids[2]);
}
