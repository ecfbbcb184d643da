//! From SQLite and a directory to each store, whole, twice, cut short and damaged.

use std::convert::Infallible;

use bytes::Bytes;
use ferroflow_platform::{
    blob::{Blobs, Unpacked},
    records::Records,
};
use ferroflow_testkit::{on_each_store, records::Store};
use futures::{TryStreamExt, stream};

use super::{Error, Moved, Scope, export, import, import::Choices};
use crate::{
    core::{
        moving::plan::Renames,
        run::RunState,
        task::{TaskKind, TaskRow, TaskState},
        value::Artifact,
    },
    store::{
        artifacts::{self, ArtifactRow},
        cache::{self, CacheEntry, CacheKey},
        experiments::{self, Experiment},
        pipelines, places, recurring, removal,
        runs::{self, RunRow},
        tasks,
        tests::{count, opened, pipeline, recurring as nightly, run, task, version},
    },
};

on_each_store!(
    all_that_is_recorded_and_kept_goes_over_and_goes_over_once,
    what_goes_to_another_namespace_joins_what_is_there_by_name,
    a_run_that_was_under_way_stands_as_failed_and_can_go_on,
    an_archive_that_is_damaged_or_cut_short_leaves_no_half_of_a_run,
    an_archive_has_nothing_of_other_namespaces_and_tells_whose_places_are,
);

pub(super) fn chunks(bytes: Vec<u8>) -> impl futures::Stream<Item = Result<Bytes, Infallible>> + Send + 'static {
    let pieces: Vec<_> = bytes.chunks(1000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    stream::iter(pieces)
}

/// A store with something of everything: two runs of a version, one of them by schedule, one that took over the output of a
/// run that has been removed, and one that is under way.
pub(super) struct Source {
    pub(super) opened: ferroflow_testkit::records::TestRecords,
    directory: tempfile::TempDir,
}

pub(super) fn made(run: &str, task: &str, uri: &str) -> ArtifactRow {
    ArtifactRow {
        artifact: Artifact { id: format!("a-{run}-{task}"), uri: uri.to_owned(), ..Artifact::default() },
        run_id: run.to_owned(),
        task_id: format!("{run}-{task}"),
        namespace: "a".to_owned(),
        pipeline_name: "p".to_owned(),
        output: "model".to_owned(),
        created_ms: 3,
    }
}

pub(super) fn of_run(run: &str, path: &str, state: TaskState) -> TaskRow {
    TaskRow {
        run_id: run.to_owned(),
        task_id: format!("{run}-{path}"),
        kind: TaskKind::Runtime,
        state,
        parent_id: (path != "root").then(|| format!("{run}-root")),
        due_ms: None,
        ..task(path)
    }
}

pub(super) const SHARED: &str = "minio://data/train.csv";

impl Source {
    pub(super) async fn new() -> Self {
        let (opened, directory) = (opened(Store::Sqlite).await, tempfile::tempdir().unwrap());
        let (records, blobs) = (&opened.records, Blobs::local(directory.path()).unwrap());
        let experiment = Experiment {
            experiment_id: "e".to_owned(),
            namespace: "a".to_owned(),
            display_name: "Default".to_owned(),
            ..Experiment::default()
        };
        records.write(vec![experiments::insert(&experiment)]).await.unwrap();
        records.write(pipelines::insert(&pipeline("1", &[("team", "x")]))).await.unwrap();
        records.write(pipelines::insert_version(&version("v", "1", 1))).await.unwrap();
        records.write(vec![recurring::insert(&nightly())]).await.unwrap();
        let spec = serde_json::json!({"pipelineInfo": {"name": "p"}});
        for (id, state) in [("r1", RunState::Succeeded), ("r2", RunState::Succeeded), ("r3", RunState::Running)] {
            let ended = state.is_final().then_some(9);
            let row = RunRow {
                state,
                finished_ms: ended,
                pipeline_id: Some("1".to_owned()),
                pipeline_version_id: Some("v".to_owned()),
                pipeline_name: "p".to_owned(),
                ..run(id, "d")
            };
            let step = if state.is_final() { TaskState::Succeeded } else { TaskState::Running };
            let rows = [of_run(id, "root", step), of_run(id, "root/train", step)];
            let uri = format!("minio://b/v2/p/{id}/train/1/model");
            let mut all = vec![runs::insert_spec("d", &spec), runs::insert(&row)];
            all.extend(rows.iter().map(tasks::save));
            all.push(artifacts::insert(&made(id, "root/train", &uri)));
            all.push(artifacts::insert(&made(id, "root/import", SHARED)));
            records.write(all).await.unwrap();
            blobs.put(&uri, chunks(id.as_bytes().to_vec())).await.unwrap();
            blobs.put(&format!("minio://b/v2/p/{id}/train/1/beside"), chunks(vec![7; 3_000_000])).await.unwrap();
            blobs.put(&format!("pipelines/logs/{id}/root/0"), chunks(b"printed".to_vec())).await.unwrap();
        }
        blobs.put(SHARED, chunks(b"1,2".to_vec())).await.unwrap();
        let gone = "minio://b/v2/p/gone/train/1/model";
        blobs.put(gone, chunks(b"old".to_vec())).await.unwrap();
        let key = CacheKey { namespace: "a".to_owned(), pipeline_name: "p".to_owned(), fingerprint: "f".to_owned() };
        let entry = CacheEntry {
            task_id: "gone-root/train".to_owned(),
            outputs: crate::core::value::Values::default(),
            kept: vec![gone.to_owned()],
            image: None,
        };
        let all = vec![
            artifacts::insert(&made("gone", "root/train", gone)),
            artifacts::insert(&made("unused", "root/train", "minio://b/v2/p/unused/train/1/model")),
            removal::use_task("gone-root/train", "r2"),
            cache::save(&key, "gone", &entry, 4),
        ];
        records.write(all).await.unwrap();
        Self { opened, directory }
    }

    pub(super) fn blobs(&self) -> Blobs {
        Blobs::local(self.directory.path()).unwrap()
    }

    pub(super) async fn archive(&self, scope: &Scope) -> Result<(Vec<u8>, Moved), Error> {
        self.archive_while(scope, |_| {}).await
    }

    /// The same, while `told` does something.
    pub(super) async fn archive_while(
        &self,
        scope: &Scope,
        told: impl FnMut(&Moved),
    ) -> Result<(Vec<u8>, Moved), Error> {
        export(&self.opened.records, &self.blobs(), scope, 77, Vec::new(), told).await
    }
}

pub(super) struct Target {
    pub(super) opened: ferroflow_testkit::records::TestRecords,
    directory: tempfile::TempDir,
}

impl Target {
    pub(super) async fn new(store: Store) -> Self {
        Self { opened: opened(store).await, directory: tempfile::tempdir().unwrap() }
    }

    pub(super) fn blobs(&self) -> Blobs {
        Blobs::local(self.directory.path()).unwrap()
    }

    pub(super) fn records(&self) -> &Records {
        &self.opened.records
    }

    pub(super) async fn import(&self, bytes: &[u8], choices: &Choices) -> Result<Moved, Error> {
        import(self.records(), &self.blobs(), choices, 88, Unpacked::new(chunks(bytes.to_vec())), |_| {}).await
    }

    pub(super) async fn kept(&self, place: &str) -> Option<Vec<u8>> {
        let blob = self.blobs().get(place).await.unwrap()?;
        Some(blob.flow.try_collect::<Vec<Bytes>>().await.unwrap().concat())
    }

    pub(super) async fn counts(&self) -> Vec<i64> {
        let mut all = Vec::new();
        for table in [
            "experiments",
            "pipelines",
            "versions",
            "tags",
            "recurring",
            "specs",
            "runs",
            "tasks",
            "uses",
            "artifacts",
            "cache",
        ] {
            all.push(count(self.records(), table).await);
        }
        all
    }
}

async fn all_that_is_recorded_and_kept_goes_over_and_goes_over_once(store: Store) {
    let (source, target) = (Source::new().await, Target::new(store).await);
    let (bytes, exported) = source.archive(&Scope::default()).await.unwrap();
    assert_eq!((exported.runs, exported.versions, exported.recurring_runs, exported.objects), (3, 1, 1, 11));
    let moved = target.import(&bytes, &Choices::default()).await.unwrap();
    let expected = Moved { unfinished: 1, bytes: exported.bytes, objects: 11, ..exported };
    assert_eq!(moved, expected);
    // What nobody uses is left behind.
    let counts = vec![1, 1, 1, 2, 1, 1, 3, 6, 1, 7, 1];
    assert_eq!(target.counts().await, counts);
    let (from, to) = (&source.opened.records, target.records());
    assert_eq!(runs::get(to, "r1").await.unwrap(), runs::get(from, "r1").await.unwrap());
    assert_eq!(tasks::of_run(to, "r1").await.unwrap(), tasks::of_run(from, "r1").await.unwrap());
    assert_eq!(pipelines::version(to, "v").await.unwrap(), pipelines::version(from, "v").await.unwrap());
    assert_eq!(pipelines::get(to, "1").await.unwrap(), pipelines::get(from, "1").await.unwrap());
    assert_eq!(
        artifacts::get(to, "a-r1-root/train").await.unwrap(),
        artifacts::get(from, "a-r1-root/train").await.unwrap()
    );
    let schedule = recurring::get(to, "r").await.unwrap().unwrap();
    assert_eq!(schedule, recurring::Recurring { is_enabled: false, ..nightly() });
    for (place, content) in [
        ("minio://b/v2/p/r2/train/1/model", b"r2".to_vec()),
        ("minio://b/v2/p/r2/train/1/beside", vec![7; 3_000_000]),
        ("minio://b/v2/p/gone/train/1/model", b"old".to_vec()),
        (SHARED, b"1,2".to_vec()),
        ("pipelines/logs/r1/root/0", b"printed".to_vec()),
    ] {
        assert!(target.kept(place).await.unwrap() == content, "{place}");
    }
    assert!(removal::unused(to).await.unwrap().is_empty(), "nothing of it is swept away");
    let again = target.import(&bytes, &Choices::default()).await.unwrap();
    // That of the run that was removed, of which nobody knows whether it was there.
    let one = Moved { objects: 1, bytes: 3, ..Moved::default() };
    assert_eq!(again, Moved { runs_there: 3, of_runs: 3, ..one });
    assert_eq!(target.counts().await, counts);
    let (bytes, exported) = source.archive(&Scope { without_objects: true, ..Scope::default() }).await.unwrap();
    assert_eq!((exported.objects, exported.bytes), (0, 0));
    assert!(bytes.len() < 100_000);
    let elsewhere = Scope { namespaces: ["b".to_owned()].into(), ..Scope::default() };
    assert!(matches!(source.archive(&elsewhere).await, Err(Error::NoNamespace(_))));
}

async fn what_goes_to_another_namespace_joins_what_is_there_by_name(store: Store) {
    let (source, target) = (Source::new().await, Target::new(store).await);
    let (bytes, _) = source.archive(&Scope::default()).await.unwrap();
    let there = Experiment {
        experiment_id: "E".to_owned(),
        namespace: "team".to_owned(),
        display_name: "Default".to_owned(),
        ..Experiment::default()
    };
    let other =
        pipelines::Version { spec: "{\"other\": 1}".to_owned(), name: "v-v".to_owned(), ..version("V", "P", 1) };
    let known = pipelines::Pipeline { pipeline_id: "P".to_owned(), namespace: "team".to_owned(), ..pipeline("1", &[]) };
    let records = target.records();
    records.write(vec![experiments::insert(&there)]).await.unwrap();
    records.write(pipelines::insert(&known)).await.unwrap();
    records.write(pipelines::insert_version(&other)).await.unwrap();
    let before = target.counts().await;
    let renames = Renames { namespaces: [("a".to_owned(), "team".to_owned())].into(), ..Renames::default() };
    let choices = Choices { renames, enables_schedules: true };
    let error = target.import(&bytes, &choices).await.unwrap_err();
    assert!(matches!(&error, Error::InTheWay(faults) if faults.len() == 1), "{error}");
    assert_eq!(target.counts().await, before, "nothing was changed");
    let renames = Renames { suffix: Some("-moved".to_owned()), ..choices.renames };
    let choices = Choices { renames, enables_schedules: true };
    let moved = target.import(&bytes, &choices).await.unwrap();
    assert_eq!((moved.experiments, moved.pipelines, moved.versions, moved.runs), (0, 0, 1, 3));
    let run = runs::get(records, "r1").await.unwrap().unwrap();
    assert_eq!(
        (run.namespace.as_str(), run.experiment_id.as_str(), run.pipeline_id.as_deref()),
        ("team", "E", Some("P"))
    );
    let version = pipelines::version(records, "v").await.unwrap().unwrap();
    assert_eq!((version.name.as_str(), version.pipeline_id.as_str()), ("v-v-moved", "P"));
    assert_eq!(artifacts::get(records, "a-r1-root/train").await.unwrap().unwrap().namespace, "team");
    let key = CacheKey { namespace: "team".to_owned(), pipeline_name: "p".to_owned(), fingerprint: "f".to_owned() };
    assert!(cache::get(records, &key).await.unwrap().is_some());
    assert!(recurring::get(records, "r").await.unwrap().unwrap().is_enabled);
    assert_eq!(experiments::get(records, "E").await.unwrap().unwrap().last_run_ms, 7);
}

async fn a_run_that_was_under_way_stands_as_failed_and_can_go_on(store: Store) {
    let (source, target) = (Source::new().await, Target::new(store).await);
    let (bytes, _) = source.archive(&Scope::default()).await.unwrap();
    target.import(&bytes, &Choices::default()).await.unwrap();
    let run = runs::get(target.records(), "r3").await.unwrap().unwrap();
    assert_eq!((run.state, run.finished_ms), (RunState::Failed, Some(88)));
    assert_eq!(run.history.last().map(|last| (last.state, last.at_ms)), Some((RunState::Failed, 88)));
    assert_eq!(run.error.unwrap().reason, "Moved");
    let states: Vec<_> =
        tasks::of_run(target.records(), "r3").await.unwrap().into_iter().map(|task| task.state).collect();
    assert_eq!(states, [TaskState::Failed, TaskState::Canceled]);
    assert!(runs::active(target.records()).await.unwrap().is_empty());
}

async fn an_archive_that_is_damaged_or_cut_short_leaves_no_half_of_a_run(store: Store) {
    let (source, target) = (Source::new().await, Target::new(store).await);
    let (bytes, _) = source.archive(&Scope::default()).await.unwrap();
    let mut damaged = bytes.clone();
    let at = bytes.windows(7).position(|window| window == b"printed").unwrap();
    damaged[at] = b'P';
    let error = target.import(&damaged, &Choices::default()).await.unwrap_err().to_string();
    assert!(error.contains("damaged") && error.contains("runs/r1/sum"), "{error}");
    assert_eq!(count(target.records(), "runs").await, 0);
    let within_the_manifest = target.import(&bytes[..600], &Choices::default()).await;
    assert!(matches!(within_the_manifest, Err(Error::Archive(_))), "{within_the_manifest:?}");
    let content = bytes.len() - 1024;
    for end in (0..content).step_by(content / 23) {
        let cut = target.import(&bytes[..end], &Choices::default()).await;
        assert!(matches!(cut, Err(Error::Archive(_))), "{end}: {cut:?}");
        for row in target.records().read(all_runs()).await.unwrap() {
            let run = row.text(0).unwrap();
            let artifacts = target.records().read(artifacts_of(run)).await.unwrap();
            assert_eq!(artifacts.len(), 2, "a run is there whole");
            assert!(target.kept(&format!("minio://b/v2/p/{run}/train/1/model")).await.is_some());
        }
    }
    assert!(count(target.records(), "runs").await > 0);
    target.import(&bytes, &Choices::default()).await.unwrap();
    assert_eq!(target.counts().await, [1, 1, 1, 2, 1, 1, 3, 6, 1, 7, 1]);
    for other in [&b""[..], b"PK\x03\x04", &[0; 1024]] {
        let error = target.import(other, &Choices::default()).await.unwrap_err();
        assert!(matches!(error, Error::Archive(_) | Error::Store(_)), "{error}");
    }
}

fn all_runs() -> ferroflow_platform::records::Statement {
    ferroflow_platform::records::Statement::new("SELECT run_id FROM pipelines_runs", [])
}

fn artifacts_of(run: &str) -> ferroflow_platform::records::Statement {
    let sql = "SELECT artifact_id FROM pipelines_artifacts WHERE run_id = $1";
    ferroflow_platform::records::Statement::new(sql, [run.into()])
}

async fn an_archive_has_nothing_of_other_namespaces_and_tells_whose_places_are(store: Store) {
    let (source, target) = (Source::new().await, Target::new(store).await);
    let records = &source.opened.records;
    let old = ["pipelines/logs", "minio://b", "minio://b/v2/"].map(|uri| artifacts::insert(&made("r1", uri, uri)));
    let mut write = Vec::from(old);
    write.extend(places::hold("other", "minio/b/v2/q"));
    records.write(write).await.unwrap();
    let (bytes, exported) = source.archive(&Scope::default()).await.unwrap();
    assert_eq!(exported.objects, 11, "as without those records");
    target.import(&bytes, &Choices::default()).await.unwrap();
    for (namespace, holds_others) in [("a", false), ("b", true)] {
        let standing = places::standing(target.records(), namespace, "minio/b/v2").await.unwrap();
        assert_eq!(standing.holds_others, holds_others, "{namespace}");
    }
}
