//! Runs while the store is away, and pods that are not what their labels say.

use std::{collections::BTreeMap, sync::atomic::Ordering::SeqCst};

use ferroflow_platform::records;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::PostParams;

use super::*;

on_each_store!(
    a_run_whose_first_write_is_in_doubt_goes_on_where_it_stands,
    a_run_whose_first_write_was_lost_can_be_submitted_again,
    a_terminate_that_cannot_be_recorded_is_refused_and_not_lost,
    an_importer_waits_for_a_store_that_is_away,
    a_pod_of_another_namespace_or_name_says_nothing_of_a_step,
);

fn in_doubt(what: &str) -> records::Error {
    records::Error::InDoubt(what.to_owned())
}

fn away() -> records::Error {
    records::Error::Away { waited: Duration::from_secs(1), reason: "a test wants it".to_owned() }
}

fn fail_next_write(bed: &Bed, error: records::Error) {
    bed.engine.shared.faults.lock().unwrap().push_back(error);
}

async fn a_run_whose_first_write_is_in_doubt_goes_on_where_it_stands(store: Store) {
    let bed = Bed::new(store).await;
    fail_next_write(&bed, in_doubt("written"));
    let named = RunRow { run_id: "doubtful".to_owned(), ..RunRow::default() };
    let told = bed.engine.submit(named, plain()).await;
    assert!(matches!(told, Err(EngineError::Records(records::Error::InDoubt(_)))), "{told:?}");
    bed.succeed("doubtful", "make", &[("out", "x")]).await;
    bed.fail("doubtful", "take").await;
    bed.until_run("doubtful", RunState::Failed).await;

    if let Some(inbox) = bed.engine.shared.inbox("doubtful") {
        inbox.closed().await;
    }
    fail_next_write(&bed, in_doubt("written"));
    let told = bed.engine.retry("doubtful").await;
    assert!(matches!(told, Err(EngineError::Records(records::Error::InDoubt(_)))), "{told:?}");
    bed.until_task("doubtful", "take", "runs again", |task| task.attempt == 1 && task.pod_name.is_some()).await;
    bed.succeed("doubtful", "take", &[]).await;
    bed.until_run("doubtful", RunState::Succeeded).await;
}

async fn a_run_whose_first_write_was_lost_can_be_submitted_again(store: Store) {
    let bed = Bed::new(store).await;
    fail_next_write(&bed, in_doubt("lost"));
    let named = RunRow { run_id: "lost".to_owned(), ..RunRow::default() };
    assert!(bed.engine.submit(named.clone(), plain()).await.is_err());
    let submitted = async {
        loop {
            match bed.engine.submit(named.clone(), plain()).await {
                // Whoever takes it for one that exists asks no more.
                Err(EngineError::Resumes(_)) => tokio::time::sleep(Duration::from_millis(2)).await,
                outcome => return outcome,
            }
        }
    };
    eventually("it is submitted", submitted).await.unwrap();
    bed.step("lost", "make").await;
}

async fn a_terminate_that_cannot_be_recorded_is_refused_and_not_lost(store: Store) {
    let bed = Bed::new(store).await;
    let mut runs = Vec::new();
    for _ in 0..2 {
        let run = bed.submit(&plain()).await;
        let claims = bed.step(&run, "make").await;
        bed.engine.begin(&claims, Begin::default()).await.unwrap();
        bed.until_task(&run, "make", "runs", |task| task.state == TaskState::Running).await;
        runs.push(run);
    }
    fail_next_write(&bed, away());
    let told = bed.engine.terminate(&runs[0]).await;
    assert!(matches!(told, Err(EngineError::Resumes(_))), "{told:?}");
    bed.engine.terminate(&runs[0]).await.unwrap();
    bed.until_run(&runs[0], RunState::Failed).await;

    fail_next_write(&bed, away());
    let told = eventually("the deletion is refused", bed.engine.delete(&runs[1])).await;
    assert!(matches!(told, Err(EngineError::Resumes(_))), "{told:?}");
    bed.engine.delete(&runs[1]).await.unwrap();
    assert_eq!(bed.engine.run(&runs[1]).await.unwrap(), None);
}

async fn an_importer_waits_for_a_store_that_is_away(store: Store) {
    let bed = Bed::new(store).await;
    let schema = json!({"schemaTitle": "system.Dataset", "schemaVersion": "0.0.1"});
    let importer = json!({"artifactUri": {"constant": "gs://bucket/data"}, "typeSchema": schema});
    let component = json!({"outputDefinitions": {"artifacts": {"artifact": {"artifactType": schema}}}});
    bed.engine.shared.away.store(3, SeqCst);
    let run = bed.submit(&life::alone(&json!({"importer": importer}), component, json!({}))).await;
    bed.until_run(&run, RunState::Succeeded).await;
    assert_eq!(bed.engine.shared.away.load(SeqCst), 0);
}

/// Makes a pod that says that it is the failed one of a step.
async fn forge(bed: &Bed, claims: &StepClaims, namespace: &str) {
    let labels: BTreeMap<&str, String> = [
        (RUN_LABEL, claims.run.clone()),
        (TASK_LABEL, claims.task.clone()),
        (ATTEMPT_LABEL, claims.attempt.to_string()),
    ]
    .into();
    let pods: Api<Pod> = Api::namespaced(bed.cluster.client(), namespace);
    let pod = json!({
        "metadata": {"name": "forged", "labels": labels},
        "spec": {"containers": [{"name": "main", "image": "busybox"}]},
    });
    pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    let failed = Patch::Merge(json!({"status": {"phase": "Failed"}}));
    pods.patch_status("forged", &PatchParams::default(), &failed).await.unwrap();
    let known = async {
        let is_failed = |sight| matches!(sight, Some(crate::core::engine::sight::Sight::Failed(_)));
        while !is_failed(bed.engine.shared.pods.sight(namespace, "forged")) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    eventually("the forged pod is seen", known).await;
}

async fn a_pod_of_another_namespace_or_name_says_nothing_of_a_step(store: Store) {
    let bed = Bed::new(store).await;
    let namespaces: Api<Namespace> = Api::all(bed.cluster.client());
    let other = serde_json::from_value(json!({"metadata": {"name": "team-b"}})).unwrap();
    namespaces.create(&PostParams::default(), &other).await.unwrap();
    let accounts: Api<ServiceAccount> = Api::namespaced(bed.cluster.client(), "team-b");
    until(&accounts, "default", "is made", |_| true).await;
    let run = bed.submit(&plain()).await;
    let claims = bed.step(&run, "make").await;
    forge(&bed, &claims, "team-b").await;
    forge(&bed, &claims, "default").await;
    bed.engine.finish(&claims, report(&[("out", "x")])).await.unwrap();
    bed.succeed(&run, "take", &[]).await;
    bed.until_run(&run, RunState::Succeeded).await;
}
