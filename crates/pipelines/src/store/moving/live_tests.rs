//! Into stores that are not empty, out of and into stores that live, and archives that have lost something.

use ferroflow_platform::records::Statement;
use ferroflow_testkit::{on_each_store, records::Store};

use super::{
    Error, Moved, Scope, export,
    import::Choices,
    tests::{SHARED, Source, Target, chunks, made, of_run},
};
use crate::{
    core::{moving::plan::Renames, run::RunState, task::TaskState},
    http::experiments::{default_id, default_of},
    store::{
        artifacts, experiments, pipelines, recurring, removal,
        runs::{self, RunRow},
        tasks,
        tests::{count, pipeline, recurring as nightly, run, version},
    },
};

on_each_store!(
    a_default_experiment_becomes_that_of_the_namespace_that_it_goes_to,
    a_run_is_exported_as_it_was_at_one_time_though_the_store_lives,
    a_run_that_is_still_cleared_away_is_not_brought_back,
    a_version_that_another_import_has_called_otherwise_is_that_one,
    an_archive_that_has_lost_its_end_to_zeros_is_not_whole,
    tasks_that_a_damaged_import_has_left_are_gone_after_a_good_one,
    what_comes_in_pieces_has_a_sum_after_each_and_large_tasks_do_not_wait_for_theirs,
    another_run_of_the_same_id_is_told_by_its_name,
    what_an_importer_names_is_brought_back_though_its_first_run_is_there,
    what_was_imported_is_exported_again,
);

fn renamed(pairs: &[(&str, &str)]) -> Choices {
    let namespaces = pairs.iter().map(|(old, new)| ((*old).to_owned(), (*new).to_owned())).collect();
    Choices { renames: Renames { namespaces, ..Renames::default() }, ..Choices::default() }
}

async fn a_default_experiment_becomes_that_of_the_namespace_that_it_goes_to(store: Store) {
    let source = Source::new().await;
    let from = &source.opened.records;
    let of_default = RunRow {
        namespace: "k".to_owned(),
        experiment_id: default_id("k"),
        finished_ms: Some(9),
        state: RunState::Succeeded,
        ..run("r4", "d")
    };
    let schedule = recurring::Recurring {
        recurring_run_id: "k".to_owned(),
        namespace: "k".to_owned(),
        experiment_id: default_id("k"),
        ..nightly()
    };
    let all = vec![experiments::insert(&default_of("k", 5)), runs::insert(&of_default), recurring::insert(&schedule)];
    from.write(all).await.unwrap();
    let (bytes, _) = source.archive(&Scope { namespaces: ["k".to_owned()].into(), ..Scope::default() }).await.unwrap();
    for has_its_own in [true, false] {
        let target = Target::new(store).await;
        let records = target.records();
        let make = vec![experiments::insert(&default_of("k", 1))];
        if has_its_own {
            records.write(make.clone()).await.unwrap();
        }
        let moved = target.import(&bytes, &renamed(&[("k", "team")])).await.unwrap();
        assert_eq!((moved.experiments, moved.runs, moved.recurring_runs), (1, 1, 1));
        let found = runs::get(records, "r4").await.unwrap().unwrap();
        assert_eq!((found.experiment_id.as_str(), found.namespace.as_str()), (&*default_id("team"), "team"));
        let found = recurring::get(records, "k").await.unwrap().unwrap();
        assert_eq!((found.experiment_id.as_str(), found.namespace.as_str()), (&*default_id("team"), "team"));
        let found = experiments::get(records, &default_id("team")).await.unwrap().unwrap();
        assert_eq!((found.namespace.as_str(), found.display_name.as_str()), ("team", "Default"));
        if !has_its_own {
            // As a server does that starts then.
            assert_eq!(experiments::get(records, &default_id("k")).await.unwrap(), None);
            records.write(make).await.unwrap();
        }
        let own = experiments::get(records, &default_id("k")).await.unwrap().unwrap();
        assert_eq!((own.namespace.as_str(), own.created_ms), ("k", 1));
        let again = target.import(&bytes, &renamed(&[("k", "team")])).await.unwrap();
        assert_eq!((again.experiments, again.runs_there), (0, 1));
    }
    let unknown = Target::new(store).await.import(&bytes, &renamed(&[("kubeflow", "team")])).await.unwrap_err();
    assert!(matches!(&unknown, Error::InTheWay(faults) if faults[0].ends_with("it has k")), "{unknown}");
    // What has no experiments of its own is a namespace as well.
    from.write(vec![runs::insert(&RunRow { namespace: "z".to_owned(), ..run("r5", "d") })]).await.unwrap();
    let (_, moved) = source.archive(&Scope { namespaces: ["z".to_owned()].into(), ..Scope::default() }).await.unwrap();
    assert_eq!((moved.experiments, moved.runs), (0, 1));
}

/// Writes while an export is between two objects.
fn meanwhile(source: &Source, statements: Vec<Statement>) {
    let records = source.opened.records.clone();
    let write = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(records.write(statements)).unwrap();
    };
    std::thread::spawn(write).join().unwrap();
}

async fn a_run_is_exported_as_it_was_at_one_time_though_the_store_lives(store: Store) {
    let (source, target) = (Source::new().await, Target::new(store).await);
    let from = &source.opened.records;
    let [first, second] =
        [runs::get(from, "r1").await.unwrap().unwrap(), runs::get(from, "r2").await.unwrap().unwrap()];
    let before = tasks::of_run(from, "r1").await.unwrap();
    let late = made("r3", "root/late", "minio://b/v2/p/r3/late/1/model");
    let scope = Scope::default();
    let export = source.archive_while(&scope, |moved| match (moved.runs, moved.objects) {
        // Two runs go, one of them while its objects are read.
        (0, 1) => meanwhile(&source, [removal::delete(&first, "", 0), removal::delete(&second, "", 0)].concat()),
        // A step of the one that is under way ends while an object of it is read.
        (1, 5) => {
            let ended = of_run("r3", "root/train", TaskState::Succeeded);
            meanwhile(&source, vec![tasks::save(&ended), artifacts::insert(&late)]);
        }
        _ => {}
    });
    let (bytes, exported) = export.await.unwrap();
    assert_eq!(exported.runs, 2);
    let moved = target.import(&bytes, &Choices::default()).await.unwrap();
    assert_eq!((moved.runs, moved.unfinished), (2, 1));
    assert_eq!(tasks::of_run(target.records(), "r1").await.unwrap(), before);
    assert_eq!(runs::get(target.records(), "r2").await.unwrap(), None);
    let states: Vec<_> =
        tasks::of_run(target.records(), "r3").await.unwrap().into_iter().map(|task| task.state).collect();
    assert_eq!(states, [TaskState::Failed, TaskState::Canceled], "it had not ended, and nor had its step");
    assert_eq!(artifacts::get(target.records(), &late.artifact.id).await.unwrap(), None);
    assert!(artifacts::get(from, &late.artifact.id).await.unwrap().is_some());
}

async fn a_run_that_is_still_cleared_away_is_not_brought_back(store: Store) {
    let (source, target) = (Source::new().await, Target::new(store).await);
    let (bytes, _) = source.archive(&Scope::default()).await.unwrap();
    target.import(&bytes, &Choices::default()).await.unwrap();
    let records = target.records();
    let row = runs::get(records, "r2").await.unwrap().unwrap();
    records.write(removal::delete(&row, "minio://b/v2/p/r2", 0)).await.unwrap();
    let error = target.import(&bytes, &Choices::default()).await.unwrap_err();
    assert!(matches!(error, Error::Meanwhile(_)) && error.to_string().contains("run r2"), "{error}");
    assert_eq!(runs::get(records, "r2").await.unwrap(), None);
    // Its files are gone, and its artifacts go with those of another one.
    let note = "UPDATE pipelines_removals SET run_id = 'x'";
    records.write(vec![Statement::new(note, [])]).await.unwrap();
    assert!(matches!(target.import(&bytes, &Choices::default()).await, Err(Error::Meanwhile(_))));
    // As a server does.
    target.blobs().delete("minio://b/v2/p/r2").await.unwrap();
    records.write(vec![removal::done("x")]).await.unwrap();
    let moved = target.import(&bytes, &Choices::default()).await.unwrap();
    assert_eq!((moved.runs, moved.runs_there), (1, 2));
    assert_eq!(target.kept("minio://b/v2/p/r2/train/1/model").await, Some(b"r2".to_vec()));
}

async fn a_version_that_another_import_has_called_otherwise_is_that_one(store: Store) {
    let (source, target) = (Source::new().await, Target::new(store).await);
    let (bytes, _) = source.archive(&Scope::default()).await.unwrap();
    let records = target.records();
    for (id, namespace) in [("P", "team-a"), ("Q", "team-b")] {
        let known =
            pipelines::Pipeline { pipeline_id: id.to_owned(), namespace: namespace.to_owned(), ..pipeline("1", &[]) };
        records.write(pipelines::insert(&known)).await.unwrap();
    }
    let other =
        pipelines::Version { spec: "{\"other\": 1}".to_owned(), name: "v-v".to_owned(), ..version("V", "P", 1) };
    records.write(pipelines::insert_version(&other)).await.unwrap();
    let with = |namespace: &str, suffix: &str| {
        let Choices { renames, .. } = renamed(&[("a", namespace)]);
        Choices { renames: Renames { suffix: Some(suffix.to_owned()), ..renames }, ..Choices::default() }
    };
    let moved = target.import(&bytes, &with("team-a", "-moved")).await.unwrap();
    assert_eq!((moved.versions, moved.runs), (1, 3));
    source.opened.records.write(pipelines::insert_version(&version("w", "1", 2))).await.unwrap();
    let (bytes, _) = source.archive(&Scope::default()).await.unwrap();
    let moved = target.import(&bytes, &with("team-a", "-friday")).await.unwrap();
    assert_eq!((moved.versions, moved.runs_there), (1, 3));
    let before = target.counts().await;
    // There its pipeline is another one, by its name.
    let error = target.import(&bytes, &with("team-b", "-friday")).await.unwrap_err();
    assert!(matches!(&error, Error::InTheWay(faults) if faults.len() > 1), "{error}");
    assert!(error.to_string().contains("version \"v-v\" of pipeline"), "{error}");
    assert_eq!(target.counts().await, before, "nothing was changed");
}

/// Names and offsets of the files of an archive, where neither is long.
fn files(bytes: &[u8]) -> Vec<(String, usize)> {
    let (mut found, mut at) = (Vec::new(), 0);
    while bytes[at] != 0 {
        let text = |from: usize, to: usize| {
            let text = std::str::from_utf8(&bytes[at + from..at + to]).unwrap();
            text.trim_end_matches(['\0', ' ']).to_owned()
        };
        let size = usize::from_str_radix(&text(124, 136), 8).unwrap();
        found.push((text(0, 100), at));
        at += 512 + size.next_multiple_of(512);
    }
    found
}

async fn an_archive_that_has_lost_its_end_to_zeros_is_not_whole(store: Store) {
    let (source, target) = (Source::new().await, Target::new(store).await);
    let (bytes, _) = source.archive(&Scope::default()).await.unwrap();
    let files = files(&bytes);
    assert_eq!(files.last().unwrap().0, "end/sum");
    for (name, at) in &files {
        let mut lost = bytes.clone();
        lost[*at..].fill(0);
        let outcome = target.import(&lost, &Choices::default()).await;
        assert!(matches!(outcome, Err(Error::Archive(_))), "{name}: {outcome:?}");
    }
    let end = files.last().unwrap().1 + 1024;
    let more = [&bytes[..end], &bytes[files[1].1..]].concat();
    let error = target.import(&more, &Choices::default()).await.unwrap_err().to_string();
    assert!(error.contains("goes on after end/sum"), "{error}");
    target.import(&bytes, &Choices::default()).await.unwrap();
}

async fn tasks_that_a_damaged_import_has_left_are_gone_after_a_good_one(store: Store) {
    let (source, target) = (Source::new().await, Target::new(store).await);
    let (bytes, _) = source.archive(&Scope::default()).await.unwrap();
    let mut wrong = of_run("r1", "root/train", TaskState::Running);
    wrong.display_name = "damaged".to_owned();
    let gone = of_run("r1", "root/none", TaskState::Running);
    target.records().write(vec![tasks::save(&wrong), tasks::save(&gone)]).await.unwrap();
    target.import(&bytes, &Choices::default()).await.unwrap();
    let expected = tasks::of_run(&source.opened.records, "r1").await.unwrap();
    assert_eq!(tasks::of_run(target.records(), "r1").await.unwrap(), expected);
    // Those of a run that is there are its own.
    target.records().write(vec![tasks::save(&gone), tasks::remove_leftovers("r1")]).await.unwrap();
    assert_eq!(tasks::of_run(target.records(), "r1").await.unwrap().len(), expected.len() + 1);
}

async fn what_comes_in_pieces_has_a_sum_after_each_and_large_tasks_do_not_wait_for_theirs(store: Store) {
    let (source, target) = (Source::new().await, Target::new(store).await);
    let from = &source.opened.records;
    for id in ["x", "y", "z"] {
        let large = pipelines::Version { spec: format!("\"{}\"", id.repeat(3 << 20)), ..version(id, "1", 2) };
        from.write(pipelines::insert_version(&large)).await.unwrap();
        let mut task = of_run("r1", &format!("root/{id}"), TaskState::Succeeded);
        task.display_name = id.repeat(3 << 20);
        from.write(vec![tasks::save(&task)]).await.unwrap();
    }
    let (bytes, _) = source.archive(&Scope { without_objects: true, ..Scope::default() }).await.unwrap();
    let files = files(&bytes);
    let position = |name: &str| files.iter().position(|(found, _)| found == name).unwrap();
    let first = position("catalogue/pipelines_versions/0/sum");
    assert!(first < position("catalogue/pipelines_versions/1/0.jsonl"));
    // A schedule fires as soon as it is there.
    assert_eq!(files[files.len() - 3].0, "recurring/0/0.jsonl");
    assert!(position("runs/r3/sum") < position("recurring/0/sum"));
    let cut = target.import(&bytes[..files[position("runs/r1/sum")].1], &Choices::default()).await;
    assert!(matches!(cut, Err(Error::Archive(_))), "{cut:?}");
    assert_eq!(count(target.records(), "versions").await, 4);
    assert!(count(target.records(), "tasks").await > 0);
    target.import(&bytes, &Choices::default()).await.unwrap();
    assert_eq!(tasks::of_run(target.records(), "r1").await.unwrap(), tasks::of_run(from, "r1").await.unwrap());
}

async fn another_run_of_the_same_id_is_told_by_its_name(store: Store) {
    let (source, target) = (Source::new().await, Target::new(store).await);
    let (bytes, _) = source.archive(&Scope::default()).await.unwrap();
    // A recurring run that goes on here has made its own of the number.
    let own = RunRow { created_ms: 8, finished_ms: Some(9), ..run("r1", "d") };
    let all = vec![runs::insert_spec("d", &serde_json::json!({})), runs::insert(&own)];
    target.records().write(all).await.unwrap();
    let moved = target.import(&bytes, &Choices::default()).await.unwrap();
    assert_eq!((moved.runs, moved.runs_there, moved.others), (2, 0, vec![format!("{} (r1)", own.display_name)]));
    assert_eq!(runs::get(target.records(), "r1").await.unwrap(), Some(own));
    assert_eq!(target.kept("minio://b/v2/p/r1/train/1/model").await, None);
    assert!(tasks::of_run(target.records(), "r1").await.unwrap().is_empty());
}

async fn what_an_importer_names_is_brought_back_though_its_first_run_is_there(store: Store) {
    let (source, target) = (Source::new().await, Target::new(store).await);
    let (bytes, _) = source.archive(&Scope::default()).await.unwrap();
    target.import(&bytes, &Choices::default()).await.unwrap();
    target.blobs().delete(SHARED).await.unwrap();
    target.blobs().delete("minio://b/v2/p/r1/train/1/model").await.unwrap();
    let moved = target.import(&bytes, &Choices::default()).await.unwrap();
    // And what a removed run has left, of which nobody knows whether it was there.
    assert_eq!(moved, Moved { runs_there: 3, of_runs: 3, objects: 2, bytes: 6, ..Moved::default() });
    assert_eq!(target.kept(SHARED).await, Some(b"1,2".to_vec()));
    assert_eq!(target.kept("minio://b/v2/p/r1/train/1/model").await, None, "what was removed of a run stays so");
    target.blobs().put(SHARED, chunks(b"other".to_vec())).await.unwrap();
    target.import(&bytes, &Choices::default()).await.unwrap();
    assert_eq!(target.kept(SHARED).await, Some(b"other".to_vec()));
}

async fn what_was_imported_is_exported_again(store: Store) {
    let (source, middle, target) = (Source::new().await, Target::new(store).await, Target::new(Store::Sqlite).await);
    let (bytes, _) = source.archive(&Scope::default()).await.unwrap();
    let first = middle.import(&bytes, &Choices::default()).await.unwrap();
    let exported = export(middle.records(), &middle.blobs(), &Scope::default(), 99, Vec::new(), |_| {}).await;
    let (bytes, exported) = exported.unwrap();
    let moved = target.import(&bytes, &Choices::default()).await.unwrap();
    assert_eq!(moved, Moved { unfinished: 0, ..first });
    assert_eq!((exported.runs, exported.objects), (moved.runs, moved.objects));
    assert_eq!(target.counts().await, middle.counts().await);
    for run in ["r1", "r3"] {
        let (here, there) = (tasks::of_run(middle.records(), run), tasks::of_run(target.records(), run));
        assert_eq!(there.await.unwrap(), here.await.unwrap());
    }
}
