//! What is left of runs that were deleted.

use ferroflow_platform::records::Statement;
use futures::StreamExt;

use super::*;
use crate::core::step::Uploaded;

/// A step that writes the artifact `data`, and may be answered by the cache.
fn writes() -> Value {
    json!({
        "pipelineInfo": {"name": "writes"}, "schemaVersion": "2.1.0", "sdkVersion": "kfp-2.17.0",
        "deploymentSpec": {"executors": {"make": {"container": {"image": "busybox", "command": ["echo"]}}}},
        "components": {"make": {"executorLabel": "make", "outputDefinitions": {"artifacts": {
            "data": {"artifactType": {"schemaTitle": "system.Dataset", "schemaVersion": "0.0.1"}}}}}},
        "root": {"dag": {"tasks": {"make": {
            "taskInfo": {"name": "make"}, "componentRef": {"name": "make"}, "cachingOptions": {"enableCache": true}}}}},
    })
}

/// Plays the launcher of `make`; where its artifact lies.
async fn write(bed: &Bed, run: &str) -> String {
    let claims = bed.step(run, "make").await;
    let uri = bed.engine.output(&claims, "data").await.unwrap();
    let left = uri.replace("/data", "/left-by-a-killed-upload");
    for place in [&uri, &left, &Steps::log(&bed.engine, &claims).await.unwrap()] {
        bed.blobs.put_bytes(place, "bytes".into()).await.unwrap();
    }
    let artifacts = [("data".to_owned(), Uploaded { size_bytes: 5, ..Uploaded::default() })].into();
    let report = Report { exit_code: Some(0), artifacts, ..Report::default() };
    assert_eq!(bed.engine.finish(&claims, report).await.unwrap().exit_code, 0);
    bed.pod_ends(run, "make", json!({"phase": "Succeeded"})).await;
    bed.until_run(run, RunState::Succeeded).await;
    uri
}

async fn until_gone(bed: &Bed, place: &str) {
    let looked = async {
        while bed.blobs.exists(place).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    eventually(&format!("{place} is gone"), looked).await;
}

async fn count(bed: &Bed, table: &str) -> i64 {
    let rows = bed.records.read(Statement::new(format!("SELECT COUNT(*) FROM {table}"), [])).await.unwrap();
    rows[0].integer(0).unwrap()
}

async fn until_empty(bed: &Bed, tables: &[&str]) {
    for table in tables {
        let looked = async {
            while count(bed, table).await > 0 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        eventually(&format!("{table} is empty"), looked).await;
    }
}

async fn cached(bed: &Bed, from: &str) -> String {
    let run = bed.submit(&writes()).await;
    bed.until_run(&run, RunState::Succeeded).await;
    let task = bed.task(&run, "make").await;
    assert_eq!((task.state, task.outputs.artifacts["data"][0].uri.as_str()), (TaskState::Cached, from));
    run
}

on_each_store!(
    outputs_stay_as_long_as_a_run_that_made_them_or_took_them_over,
    what_was_to_be_removed_is_removed_after_a_restart,
    files_of_a_run_that_is_there_again_stay,
    a_hit_on_what_is_removed_meanwhile_is_none,
    an_image_that_is_another_by_the_same_name_is_no_hit,
    pods_of_a_failed_run_go_after_the_time_that_its_pipeline_says,
);

async fn outputs_stay_as_long_as_a_run_that_made_them_or_took_them_over(store: Store) {
    let bed = Bed::new(store).await;
    let first = bed.submit(&writes()).await;
    let uri = write(&bed, &first).await;
    let second = cached(&bed, &uri).await;
    bed.engine.delete(&first).await.unwrap();
    until_gone(&bed, &uri.replace("/data", "/left-by-a-killed-upload")).await;
    until_gone(&bed, &format!("pipelines/logs/{first}")).await;
    until_empty(&bed, &["pipelines_removals"]).await;
    assert!(bed.blobs.exists(&uri).await.unwrap(), "the second run has it");
    let third = cached(&bed, &uri).await;
    bed.engine.delete(&second).await.unwrap();
    until_empty(&bed, &["pipelines_removals"]).await;
    assert!(bed.blobs.exists(&uri).await.unwrap(), "the third run has it");
    bed.engine.delete(&third).await.unwrap();
    until_gone(&bed, &uri).await;
    let all = ["pipelines_removals", "pipelines_artifacts", "pipelines_cache", "pipelines_uses", "pipelines_specs"];
    until_empty(&bed, &all).await;
    let fourth = bed.submit(&writes()).await;
    assert_ne!(write(&bed, &fourth).await, uri, "it ran again");
}

async fn what_was_to_be_removed_is_removed_after_a_restart(store: Store) {
    let mut bed = Bed::new(store).await;
    let run = bed.submit(&writes()).await;
    let uri = write(&bed, &run).await;
    let row = bed.engine.run(&run).await.unwrap().unwrap();
    bed.group.stop(PATIENCE).await.unwrap();
    let place = uri.split(&run).next().unwrap().to_owned() + &run;
    bed.records.write(crate::store::removal::delete(&row, &place, 0)).await.unwrap();
    bed.restart().await;
    until_gone(&bed, &uri).await;
    until_empty(&bed, &["pipelines_removals", "pipelines_artifacts", "pipelines_cache"]).await;
}

async fn files_of_a_run_that_is_there_again_stay(store: Store) {
    let mut bed = Bed::new(store).await;
    let run = bed.submit(&writes()).await;
    let uri = write(&bed, &run).await;
    bed.group.stop(PATIENCE).await.unwrap();
    let place = uri.split(&run).next().unwrap().to_owned() + &run;
    let note = "INSERT INTO pipelines_removals (run_id, place, created_ms) VALUES ($1, $2, 0)";
    bed.records.write(vec![Statement::new(note, [(&run).into(), place.into()])]).await.unwrap();
    bed.restart().await;
    until_empty(&bed, &["pipelines_removals"]).await;
    assert!(bed.blobs.exists(&uri).await.unwrap());
    assert!(bed.blobs.named(&format!("pipelines/logs/{run}")).await.unwrap().next().await.is_some());
}

async fn a_hit_on_what_is_removed_meanwhile_is_none(store: Store) {
    // Without an engine, which clears away when it starts.
    let opened = store.open().await;
    let records = &opened.records;
    crate::store::migrate(records).await.unwrap();
    let key = crate::store::cache::CacheKey {
        namespace: "default".to_owned(),
        pipeline_name: "writes".to_owned(),
        fingerprint: "f".to_owned(),
    };
    let entry = crate::store::cache::CacheEntry {
        task_id: "t".to_owned(),
        outputs: crate::core::value::Values::default(),
        kept: Vec::new(),
        image: None,
    };
    let hit = |task: &str| crate::store::removal::use_hit(&key, task, "r");
    records.write(vec![crate::store::cache::save(&key, "gone", &entry, 0)]).await.unwrap();
    records.write([hit("t"), hit("t")].concat()).await.unwrap();
    assert!(records.write(hit("other")).await.is_err());
    records.write(vec![Statement::new("DELETE FROM pipelines_uses", [])]).await.unwrap();
    records.write(crate::store::removal::forget_cache()).await.unwrap();
    assert!(records.write(hit("t")).await.is_err());
}

/// What names of images stand for, as a test says.
#[derive(Debug, Default)]
struct Tags(std::sync::Mutex<Option<String>>);

impl ImageDigests for Tags {
    fn digest(&self, image: &str) -> Option<String> {
        assert_eq!(image, "busybox");
        self.0.lock().unwrap().clone()
    }
}

async fn an_image_that_is_another_by_the_same_name_is_no_hit(store: Store) {
    let tags = std::sync::Arc::new(Tags::default());
    let config = EngineConfig { images: Some(tags.clone()), ..Bed::config() };
    let bed = Bed::with(store, config).await;
    let runs_from = |digest: Option<&str>| *tags.0.lock().unwrap() = digest.map(str::to_owned);
    let first = bed.submit(&writes()).await;
    // It is pulled only when the step starts.
    bed.step(&first, "make").await;
    runs_from(Some("sha256:1"));
    let uri = write(&bed, &first).await;
    cached(&bed, &uri).await;
    runs_from(Some("sha256:2"));
    let other = bed.submit(&writes()).await;
    assert_ne!(write(&bed, &other).await, uri);
    let reason = bed.task(&other, "make").await.cache.reason;
    assert!(reason.contains("sha256:1, now sha256:2"), "{reason}");
    // Where nobody knows, what was found then counts.
    runs_from(None);
    let last = bed.submit(&writes()).await;
    bed.until_run(&last, RunState::Succeeded).await;
}

async fn pods_of_a_failed_run_go_after_the_time_that_its_pipeline_says(store: Store) {
    let bed = Bed::new(store).await;
    let config = json!({"platforms": {"kubernetes": {"pipelineConfig": {
        "resourceTtlOnFailure": 1, "resourceTtlOnCompletion": 1_000_000}}}});
    let run = bed.submit(&json!({"pipeline_spec": plain(), "platform_spec": config})).await;
    bed.fail(&run, "make").await;
    bed.until_run(&run, RunState::Failed).await;
    let other = bed.submit(&plain()).await;
    bed.fail(&other, "make").await;
    let gone = async {
        while !bed.pod_names(&run).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    eventually("the pod is gone", gone).await;
    assert_eq!(bed.pod_names(&other).await.len(), 1, "that of another run stays, to be looked at");
    until_empty(&bed, &["pipelines_expiries"]).await;
}
