//! Rows of every table on each engine, writers in each other's way, and data of earlier releases.

use ferroflow_platform::records::{Error, Records, Statement};
use ferroflow_testkit::{
    on_each_store,
    records::{Store, TestRecords},
};
use serde_json::{Map, json};

use super::{
    artifacts::{self, ArtifactRow},
    cache::{self, CacheEntry, CacheKey},
    catalogue,
    experiments::{self, Experiment},
    expiry, migrate,
    pipelines::{self, Pipeline, Version},
    places,
    recurring::{self, Recurring},
    removal,
    runs::{self, RunRow},
    schema, shown, tasks,
};
use crate::core::{
    run::RunState,
    schedule::{Every, Trigger},
    task::{CacheNote, TaskKind, TaskRow, TaskState},
    value::{Artifact, Values},
};

on_each_store!(
    runs_come_back_as_they_were_recorded_and_go_with_their_spec,
    tasks_come_back_and_a_result_counts_for_the_current_attempt_alone,
    artifacts_and_the_cache_come_back,
    pipelines_versions_and_tags_come_and_go_together,
    recurring_runs_are_triggered_once,
    experiments_are_archived_with_what_is_theirs,
    a_spec_stays_while_runs_of_it_come_and_go,
    a_version_is_added_to_no_pipeline_that_goes,
    tags_that_two_set_at_once_are_those_of_one,
    data_of_every_release_is_read_by_this_one,
    what_is_taken_over_stays_until_nobody_needs_it,
    a_hit_is_noted_before_the_cache_forgets_or_not_at_all,
);

pub(crate) async fn opened(store: Store) -> TestRecords {
    let opened = store.open().await;
    migrate(&opened.records).await.unwrap();
    catalogue::migrate(&opened.records).await.unwrap();
    opened
}

pub(crate) fn run(id: &str, spec: &str) -> RunRow {
    RunRow {
        run_id: id.to_owned(),
        experiment_id: "e".to_owned(),
        namespace: "a".to_owned(),
        display_name: "Läufe \u{1F980}".to_owned(),
        created_ms: 7,
        spec_digest: spec.to_owned(),
        runtime_config: json!({"parameters": {"x": "\0", "y": [1.5, null]}}),
        ..RunRow::default()
    }
}

pub(crate) async fn count(records: &Records, table: &str) -> i64 {
    let rows = records.read(Statement::new(format!("SELECT COUNT(*) FROM pipelines_{table}"), [])).await.unwrap();
    rows[0].integer(0).unwrap()
}

async fn runs_come_back_as_they_were_recorded_and_go_with_their_spec(store: Store) {
    let opened = opened(store).await;
    let records = &opened.records;
    let (mut one, other) = (run("1", "d"), RunRow { created_ms: 6, ..run("2", "d") });
    let spec = json!({"pipelineInfo": {"name": "p"}, "text": "\0é"});
    let insert = |run: &RunRow| vec![runs::insert_spec("d", &spec), runs::insert(run)];
    records.write(insert(&one)).await.unwrap();
    records.write(insert(&other)).await.unwrap();
    assert!(matches!(records.write(insert(&one)).await, Err(Error::Duplicate(_))));
    assert_eq!(runs::get(records, "1").await.unwrap(), Some(one.clone()));
    assert_eq!(runs::spec(records, "d").await.unwrap(), Some(spec.clone()));
    let active: Vec<String> = runs::active(records).await.unwrap().into_iter().map(|run| run.run_id).collect();
    assert_eq!(active, ["2", "1"]);
    (one.state, one.finished_ms) = (RunState::Succeeded, Some(9));
    records.write(vec![runs::update_state(&one)]).await.unwrap();
    assert_eq!(runs::get(records, "1").await.unwrap(), Some(one.clone()));
    let shown = shown::get(records, "1").await.unwrap().unwrap();
    assert_eq!((shown.finished_ms, shown.spec), (Some(9), Some(spec.to_string())));
    records.write(vec![shown::store("1", "ARCHIVED")]).await.unwrap();
    let gone = records.write(vec![runs::update_state(&run("none", "d"))]).await;
    assert!(matches!(gone, Err(Error::Unchanged(0))));
    records.write(removal::delete(&one, "", 0)).await.unwrap();
    assert_eq!((count(records, "runs").await, count(records, "specs").await), (1, 1));
    records.write(removal::delete(&other, "", 0)).await.unwrap();
    assert_eq!((count(records, "runs").await, count(records, "specs").await), (0, 0));
}

pub(crate) fn task(path: &str) -> TaskRow {
    TaskRow {
        run_id: "r".to_owned(),
        task_id: format!("t-{path}"),
        parent_id: None,
        path: path.to_owned(),
        key: "k".to_owned(),
        display_name: String::new(),
        kind: TaskKind::Dag,
        iteration: None,
        iteration_count: None,
        state: TaskState::Pending,
        attempt: 1,
        first_attempt: 1,
        pod_name: None,
        work_root: None,
        created_ms: 1,
        started_ms: None,
        ended_ms: None,
        error: None,
        inputs: Values::default(),
        outputs: Values::default(),
        cache: CacheNote::default(),
        due_ms: Some(8),
    }
}

async fn tasks_come_back_and_a_result_counts_for_the_current_attempt_alone(store: Store) {
    let opened = opened(store).await;
    let records = &opened.records;
    let paths = ["root", "root/b", "root/B", "root/a-1", "root/a/1", "root/a 1"];
    records.write(paths.iter().map(|path| tasks::save(&task(path))).collect()).await.unwrap();
    let mut sorted = paths;
    sorted.sort_unstable();
    let found: Vec<String> = tasks::of_run(records, "r").await.unwrap().into_iter().map(|task| task.path).collect();
    assert_eq!(found, sorted);
    let ended = TaskRow { state: TaskState::Succeeded, ended_ms: Some(5), iteration: Some(3), ..task("root/b") };
    let id = ended.task_id.clone();
    assert!(matches!(records.write(vec![tasks::is_current(&id, 2)]).await, Err(Error::Unchanged(0))));
    records.write(vec![tasks::is_current(&id, 1), tasks::save(&ended)]).await.unwrap();
    assert!(matches!(records.write(vec![tasks::is_current(&id, 1)]).await, Err(Error::Unchanged(0))));
    let found = tasks::get(records, "r", &id).await.unwrap().unwrap();
    assert_eq!((found.state, found.ended_ms, found.iteration), (TaskState::Succeeded, Some(5), None));
    records.write(vec![tasks::remove(&id)]).await.unwrap();
    assert_eq!(tasks::get(records, "r", &id).await.unwrap(), None);
}

async fn artifacts_and_the_cache_come_back(store: Store) {
    let opened = opened(store).await;
    let records = &opened.records;
    let row = |id: &str, created_ms| ArtifactRow {
        artifact: Artifact { id: id.to_owned(), uri: "s3://b/k".to_owned(), ..Artifact::default() },
        namespace: "a".to_owned(),
        pipeline_name: "p".to_owned(),
        created_ms,
        ..ArtifactRow::default()
    };
    let (one, two, three) = (row("1", 5), row("2", 6), row("3", 6));
    records.write([&one, &two, &three].map(artifacts::insert).to_vec()).await.unwrap();
    let again = ArtifactRow { created_ms: 99, ..one.clone() };
    assert_eq!(records.write(vec![artifacts::insert(&again)]).await.unwrap(), [0]);
    assert_eq!(artifacts::get(records, "1").await.unwrap(), Some(one.clone()));
    assert_eq!(artifacts::of_uri(records, "a", "p", "s3://b/k").await.unwrap(), [two, three, one]);
    let key = CacheKey { namespace: "a".to_owned(), pipeline_name: "p".to_owned(), fingerprint: "f".to_owned() };
    assert_eq!(cache::get(records, &key).await.unwrap(), None);
    for task in ["t1", "t2"] {
        let entry = CacheEntry {
            task_id: task.to_owned(),
            outputs: Values::default(),
            kept: vec!["u".to_owned()],
            image: Some("sha256:0".to_owned()),
        };
        records.write(vec![cache::save(&key, "r", &entry, 1)]).await.unwrap();
        assert_eq!(cache::get(records, &key).await.unwrap(), Some(entry));
    }
}

pub(crate) fn pipeline(id: &str, tags: &[(&str, &str)]) -> Pipeline {
    let tags = tags.iter().map(|(tag, value)| ((*tag).to_owned(), json!(value))).collect();
    Pipeline {
        pipeline_id: id.to_owned(),
        namespace: "a".to_owned(),
        name: format!("p-{id}"),
        tags,
        ..Pipeline::default()
    }
}

pub(crate) fn version(id: &str, pipeline_id: &str, created_ms: i64) -> Version {
    Version {
        pipeline_version_id: id.to_owned(),
        pipeline_id: pipeline_id.to_owned(),
        name: format!("v-{id}"),
        created_ms,
        spec: "{}".to_owned(),
        tags: Map::from_iter([("team".to_owned(), json!("x"))]),
        ..Version::default()
    }
}

async fn pipelines_versions_and_tags_come_and_go_together(store: Store) {
    let opened = opened(store).await;
    let records = &opened.records;
    let mut one = pipeline("1", &[("team", "x"), ("stage", "y")]);
    let both = [pipelines::insert(&one), pipelines::insert_version(&version("v1", "1", 1))].concat();
    records.write(both).await.unwrap();
    assert!(matches!(records.write(pipelines::insert(&one)).await, Err(Error::Duplicate(_))));
    let named = Pipeline { pipeline_id: "2".to_owned(), ..one.clone() };
    assert!(matches!(records.write(pipelines::insert(&named)).await, Err(Error::Duplicate(_))));
    assert_eq!(pipelines::by_name(records, "a", "p-1").await.unwrap(), Some(one.clone()));
    records.write(pipelines::insert_version(&version("v2", "1", 1))).await.unwrap();
    assert_eq!(pipelines::latest(records, "1").await.unwrap(), Some(version("v2", "1", 1)));
    let orphan = records.write(pipelines::insert_version(&version("v3", "none", 1))).await;
    assert!(matches!(orphan, Err(Error::Unchanged(_))));
    one.tags = Map::from_iter([("team".to_owned(), json!("z"))]);
    records.write(pipelines::update(&one)).await.unwrap();
    assert_eq!((pipelines::get(records, "1").await.unwrap(), count(records, "tags").await), (Some(one), 3));
    assert!(matches!(records.write(pipelines::delete("1")).await, Err(Error::Unchanged(_))));
    records.write(pipelines::delete_version("v2")).await.unwrap();
    assert_eq!(count(records, "tags").await, 2);
    records.write(pipelines::delete_all("1")).await.unwrap();
    assert_eq!(
        (count(records, "pipelines").await, count(records, "versions").await, count(records, "tags").await),
        (0, 0, 0)
    );
    assert!(matches!(records.write(pipelines::delete_all("1")).await, Err(Error::Unchanged(_))));
}

pub(crate) fn recurring() -> Recurring {
    Recurring {
        recurring_run_id: "r".to_owned(),
        experiment_id: "e".to_owned(),
        namespace: "a".to_owned(),
        display_name: "nightly".to_owned(),
        description: String::new(),
        created_ms: 1,
        updated_ms: 1,
        is_enabled: true,
        max_concurrency: 1,
        no_catchup: true,
        trigger: Trigger { start_ms: None, end_ms: Some(9), every: Every::Seconds(60) },
        pipeline_id: None,
        pipeline_version_id: None,
        spec: Some("{}".to_owned()),
        runtime_config: json!({}),
        service_account: String::new(),
        last_ms: None,
        next_index: 1,
        error: String::new(),
    }
}

async fn recurring_runs_are_triggered_once(store: Store) {
    let opened = opened(store).await;
    let records = &opened.records;
    let given = recurring();
    records.write(vec![recurring::insert(&given)]).await.unwrap();
    assert_eq!(recurring::get(records, "r").await.unwrap(), Some(given.clone()));
    let trigger = || records.write(vec![recurring::triggered(&given, 60_000, "")]);
    let (one, other) = tokio::join!(trigger(), trigger());
    assert_eq!(one.unwrap()[0] + other.unwrap()[0], 1);
    let found = recurring::enabled(records).await.unwrap();
    assert_eq!(found, [Recurring { last_ms: Some(60_000), next_index: 2, ..given.clone() }]);
    records
        .write(vec![runs::insert(&RunRow { recurring_run_id: Some("r".to_owned()), ..run("1", "d") })])
        .await
        .unwrap();
    assert_eq!(recurring::under_way(records, "r").await.unwrap(), 1);
    records.write(vec![recurring::enable("r", false, 5)]).await.unwrap();
    assert_eq!(recurring::enabled(records).await.unwrap(), []);
    records.write(vec![recurring::delete("r")]).await.unwrap();
    assert!(matches!(records.write(vec![recurring::delete("r")]).await, Err(Error::Unchanged(0))));
}

async fn experiments_are_archived_with_what_is_theirs(store: Store) {
    let opened = opened(store).await;
    let records = &opened.records;
    let given = Experiment { experiment_id: "e".to_owned(), namespace: "a".to_owned(), ..Experiment::default() };
    let write = vec![experiments::insert(&given), runs::insert(&run("1", "d")), recurring::insert(&recurring())];
    records.write(write).await.unwrap();
    for (at, wanted) in [(5, 5), (3, 5), (8, 8)] {
        records.write(vec![experiments::note_run("e", at)]).await.unwrap();
        assert_eq!(experiments::get(records, "e").await.unwrap().unwrap().last_run_ms, wanted);
    }
    records.write(experiments::archive("e", 9)).await.unwrap();
    assert_eq!(experiments::get(records, "e").await.unwrap().unwrap().storage_state, "ARCHIVED");
    assert_eq!(shown::get(records, "1").await.unwrap().unwrap().storage_state, "ARCHIVED");
    assert_eq!(recurring::enabled(records).await.unwrap(), []);
    records.write(vec![experiments::unarchive("e")]).await.unwrap();
    records.write(vec![experiments::delete("e")]).await.unwrap();
    assert!(matches!(records.write(experiments::archive("e", 9)).await, Err(Error::Unchanged(0))));
}

/// How often writers meet; each time another one may be first.
const ROUNDS: usize = 40;

async fn a_spec_stays_while_runs_of_it_come_and_go(store: Store) {
    let opened = opened(store).await;
    let records = &opened.records;
    let insert = |run: &RunRow| vec![runs::insert_spec("d", &json!({})), runs::insert(run)];
    for round in 0..ROUNDS {
        let (old, new) = (run(&format!("old{round}"), "d"), run(&format!("new{round}"), "d"));
        records.write(insert(&old)).await.unwrap();
        let (gone, made) = tokio::join!(records.write(removal::delete(&old, "", 0)), records.write(insert(&new)));
        gone.unwrap();
        made.unwrap();
        assert!(runs::spec(records, "d").await.unwrap().is_some(), "round {round}: a run without its spec");
        let last = run(&format!("last{round}"), "d");
        records.write(insert(&last)).await.unwrap();
        let (one, other) =
            tokio::join!(records.write(removal::delete(&last, "", 0)), records.write(removal::delete(&new, "", 0)));
        one.unwrap();
        other.unwrap();
        assert_eq!(count(records, "specs").await, 0, "round {round}: a spec without runs");
    }
}

async fn a_version_is_added_to_no_pipeline_that_goes(store: Store) {
    let opened = opened(store).await;
    let records = &opened.records;
    for round in 0..ROUNDS {
        let id = format!("p{round}");
        records.write(pipelines::insert(&pipeline(&id, &[]))).await.unwrap();
        let version = version(&format!("v{round}"), &id, 1);
        let remove = if round % 2 == 0 { pipelines::delete(&id) } else { pipelines::delete_all(&id) };
        let (gone, made) = tokio::join!(records.write(remove), records.write(pipelines::insert_version(&version)));
        let is_there = pipelines::get(records, &id).await.unwrap().is_some();
        let has_version = pipelines::latest(records, &id).await.unwrap().is_some();
        assert_eq!(is_there, has_version, "round {round}: {gone:?}, {made:?}");
        if is_there {
            records.write(pipelines::delete_all(&id)).await.unwrap();
        }
        assert_eq!(count(records, "tags").await, 0, "round {round}: tags of nothing");
    }
}

async fn tags_that_two_set_at_once_are_those_of_one(store: Store) {
    let opened = opened(store).await;
    let records = &opened.records;
    records.write(pipelines::insert(&pipeline("1", &[]))).await.unwrap();
    for round in 0..ROUNDS {
        let set = |value: &str| records.write(pipelines::update(&pipeline("1", &[("team", value), (value, "x")])));
        let (one, other) = tokio::join!(set("one"), set("other"));
        one.unwrap();
        other.unwrap();
        let rows =
            records.read(Statement::new("SELECT tag, value FROM pipelines_tags ORDER BY tag", [])).await.unwrap();
        let found: Vec<_> = rows.iter().map(|row| (row.text(0).unwrap(), json!(row.text(1).unwrap()))).collect();
        let tags = pipelines::get(records, "1").await.unwrap().unwrap().tags;
        let wanted: Vec<_> = tags.iter().map(|(tag, value)| (tag.as_str(), value.clone())).collect();
        assert_eq!(found, wanted, "round {round}");
    }
}

/// A capability, its steps, and for each step what was written when it was the last one.
type Release = (&'static str, &'static [&'static [&'static str]], &'static [&'static [&'static str]]);

const RELEASES: [Release; 2] = [
    (
        "pipelines_runs",
        schema::RUNS,
        &[
            &[
                "INSERT INTO pipelines_runs (run_id, experiment_id, namespace, display_name, description, storage_state, \
                 state, created_ms, scheduled_ms, service_account, pipeline_name, spec_digest, runtime_config, history) \
                 VALUES ('old', 'e', 'a', 'n', '', 'AVAILABLE', 'PENDING', 1, 1, '', 'p', 'd', '{}', '[]')",
                "INSERT INTO pipelines_tasks (task_id, run_id, path, task_key, display_name, kind, state, attempt, \
                 first_attempt, created_ms, inputs, outputs, cache) VALUES ('t', 'old', 'root', 'root', '', 'ROOT', \
                 'PENDING', 0, 0, 1, '{}', '{}', '{\"fingerprint\": \"\", \"reason\": \"\"}')",
                "INSERT INTO pipelines_cache (namespace, pipeline_name, fingerprint, run_id, task_id, outputs, kept, \
                 created_ms) VALUES ('a', 'p', 'f', 'old', 't', '{}', '[]', 1)",
                "INSERT INTO pipelines_artifacts (artifact_id, run_id, task_id, namespace, pipeline_name, output, name, \
                 schema_title, schema_version, uri, metadata, created_ms) VALUES ('x', 'old', 't', 'a', 'p', 'o', 'n', \
                 '', '', 'gs://b/r/p/old/t/0/o', '{}', 1)",
            ],
            &["INSERT INTO pipelines_uses (task_id, run_id) VALUES ('t', 'old')"],
            &["UPDATE pipelines_tasks SET due_ms = NULL WHERE task_id = 't'"],
            &["UPDATE pipelines_cache SET image = NULL WHERE task_id = 't'"],
            &["INSERT INTO pipelines_expiries (run_id, due_ms) VALUES ('old', 5)"],
            &["INSERT INTO pipelines_places (place, namespace) VALUES ('gs/b/r/p', 'a')"],
        ],
    ),
    (
        "pipelines_catalogue",
        catalogue::STEPS,
        &[&["INSERT INTO pipelines_experiments (experiment_id, namespace, display_name, description, storage_state, \
             created_ms, last_run_ms) VALUES ('old', 'a', 'n', '', 'AVAILABLE', 1, 0)"]],
    ),
];

async fn data_of_every_release_is_read_by_this_one(store: Store) {
    let releases = RELEASES.iter().map(|(_, steps, _)| steps.len()).max().unwrap();
    for release in 1..=releases {
        let opened = store.open().await;
        let records = &opened.records;
        for (capability, steps, written) in RELEASES {
            assert_eq!(written.len(), steps.len(), "{capability}: say for each step what was written then");
            let step = release.min(steps.len());
            records.migrate(capability, &steps[..step]).await.unwrap();
            let rows = written[..step].concat();
            records.write(rows.into_iter().map(|sql| Statement::new(sql, [])).collect()).await.unwrap();
        }
        migrate(records).await.unwrap();
        catalogue::migrate(records).await.unwrap();
        assert_eq!(runs::get(records, "old").await.unwrap().unwrap().display_name, "n", "release {release}");
        assert_eq!(tasks::get(records, "old", "t").await.unwrap().unwrap().due_ms, None, "release {release}");
        let key = CacheKey { namespace: "a".to_owned(), pipeline_name: "p".to_owned(), fingerprint: "f".to_owned() };
        assert_eq!(cache::get(records, &key).await.unwrap().unwrap().image, None, "release {release}");
        let unplaced = places::unplaced(records).await.unwrap();
        assert_eq!(unplaced.is_empty(), release == releases, "release {release}");
        assert_eq!(experiments::get(records, "old").await.unwrap().unwrap().display_name, "n", "release {release}");
        records.write(vec![runs::insert(&run("new", "d")), tasks::save(&task("root"))]).await.unwrap();
    }
}

/// What is left of removed runs, and what others have taken over.
async fn what_is_taken_over_stays_until_nobody_needs_it(store: Store) {
    let opened = opened(store).await;
    let records = &opened.records;
    let artifact = |id: &str, run_id: &str, task_id: &str| ArtifactRow {
        artifact: Artifact { id: id.to_owned(), uri: format!("u-{id}"), ..Artifact::default() },
        run_id: run_id.to_owned(),
        task_id: task_id.to_owned(),
        ..ArtifactRow::default()
    };
    let rows = [artifact("1", "gone", "t1"), artifact("2", "gone", "t2"), artifact("3", "there", "t3")];
    let mut write: Vec<Statement> = rows.iter().map(artifacts::insert).collect();
    write.extend([runs::insert(&run("gone", "d")), runs::insert(&run("there", "d"))]);
    write.extend([removal::use_artifact("2", "there"), removal::use_artifact("3", "there"), expiry::set("there", 5)]);
    records.write(write).await.unwrap();
    records.write(removal::delete(&run("gone", "d"), "place", 3)).await.unwrap();
    let pending = removal::pending(records).await.unwrap();
    assert_eq!((pending.len(), pending[0].run_id.as_str(), pending[0].place.as_str()), (1, "gone", "place"));
    assert_eq!(removal::kept(records, "gone").await.unwrap(), ["u-2"]);
    let unused = removal::unused(records).await.unwrap();
    assert_eq!((unused.len(), unused[0].artifact_id.as_str(), unused[0].sharing), (1, "1", 0));
    records.write(vec![removal::forget("1"), removal::done("gone")]).await.unwrap();
    assert_eq!(removal::pending(records).await.unwrap(), []);
    assert_eq!(expiry::next(records).await.unwrap(), Some(("there".to_owned(), 5)));
    records.write(vec![tasks::close("there", 9), expiry::done("there")]).await.unwrap();
    assert_eq!(expiry::next(records).await.unwrap(), None);
}

async fn a_hit_is_noted_before_the_cache_forgets_or_not_at_all(store: Store) {
    let opened = opened(store).await;
    let records = &opened.records;
    for round in 0..ROUNDS {
        let fingerprint = format!("f{round}");
        let key = CacheKey { namespace: "a".to_owned(), pipeline_name: "p".to_owned(), fingerprint };
        let entry = CacheEntry { task_id: format!("t{round}"), outputs: Values::default(), kept: vec![], image: None };
        records.write(vec![cache::save(&key, "gone", &entry, 1)]).await.unwrap();
        let hit = records.write(removal::use_hit(&key, &entry.task_id, "r"));
        let (hit, forgot) = tokio::join!(hit, records.write(removal::forget_cache()));
        forgot.unwrap();
        let is_there = cache::get(records, &key).await.unwrap().is_some();
        assert_eq!(is_there, hit.is_ok(), "round {round}: {hit:?}");
    }
}
