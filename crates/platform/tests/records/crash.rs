//! A server that is killed, started again, and paused.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use ferroflow_platform::records::{Error, Records};
use ferroflow_testkit::{
    postgres::{self, Disk, Postgres},
    wait::eventually,
};

use super::{CREATE, ids, insert};

/// What a write has come to.
#[derive(Default)]
struct Told {
    acknowledged: Vec<String>,
    refused: Vec<String>,
    in_doubt: Vec<String>,
}

/// Writes rows one after another until it is told to stop, and keeps what it was told of each.
async fn write(records: Records, task: usize, stop: Arc<AtomicUsize>, progress: Arc<AtomicUsize>) -> Told {
    let mut told = Told::default();
    for number in 0.. {
        if stop.load(Ordering::Relaxed) > 0 {
            break;
        }
        let id = format!("{task:02}-{number:06}");
        match records.write(vec![insert(&id)]).await {
            Ok(_) => told.acknowledged.push(id),
            Err(Error::InDoubt(_)) => told.in_doubt.push(id),
            Err(Error::Away { .. }) => told.refused.push(id),
            Err(error) => panic!("{error}"),
        }
        progress.fetch_add(1, Ordering::Relaxed);
    }
    told
}

async fn until(progress: &AtomicUsize, more: usize) {
    let wanted = progress.load(Ordering::Relaxed) + more;
    eventually("writers go on", async {
        while progress.load(Ordering::Relaxed) < wanted {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

async fn store(server: &Postgres) -> Records {
    let records = Records::connect(&server.database()).await.unwrap();
    records.migrate("test", &[CREATE]).await.unwrap();
    records
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_loses_nothing_that_was_acknowledged() {
    if !postgres::is_there("a_server_that_is_killed_loses_nothing_that_was_acknowledged") {
        return;
    }
    let server = Postgres::start(Disk::Waits).unwrap();
    let records = store(&server).await;
    let (stop, progress) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let begin = |task| tokio::spawn(write(records.clone(), task, stop.clone(), progress.clone()));
    let writers: Vec<_> = (0..12).map(begin).collect();
    for _ in 0..3 {
        until(&progress, 200).await;
        tokio::task::block_in_place(|| {
            server.kill();
            server.run();
        });
    }
    until(&progress, 200).await;
    stop.store(1, Ordering::Relaxed);
    let mut told = Told::default();
    for writer in writers {
        let one = eventually("a writer ends", writer).await.unwrap();
        told.acknowledged.extend(one.acknowledged);
        told.refused.extend(one.refused);
        told.in_doubt.extend(one.in_doubt);
    }
    let found = ids(&records).await;
    let is_there = |id: &String| found.binary_search(id).is_ok();
    assert!(told.acknowledged.len() >= 600, "{}", told.acknowledged.len());
    assert!(told.acknowledged.iter().all(is_there), "something that was acknowledged is lost");
    assert!(!told.refused.iter().any(is_there), "something that was said not to be written is there");
    assert!(told.in_doubt.len() <= 3 * 8, "no more than one a connection that was committing: {:?}", told.in_doubt);
    let doubtful = told.in_doubt.iter().filter(|id| is_there(id)).count();
    assert_eq!(found.len(), told.acknowledged.len() + doubtful, "nothing else is there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_away_for_ten_seconds_is_waited_for() {
    if !postgres::is_there("a_server_that_is_away_for_ten_seconds_is_waited_for") {
        return;
    }
    let server = Postgres::start(Disk::Ignores).unwrap();
    let records = store(&server).await;
    records.write(vec![insert("before")]).await.unwrap();
    let away = Duration::from_secs(10);
    tokio::task::block_in_place(|| server.kill());
    let began = Instant::now();
    let asked = (0..20).map(|number| {
        let records = records.clone();
        tokio::spawn(async move {
            let wrote = records.write(vec![insert(&format!("meanwhile-{number}"))]).await;
            (wrote.map(drop), ids(&records).await.len())
        })
    });
    let asked: Vec<_> = asked.collect();
    tokio::time::sleep(away).await;
    tokio::task::block_in_place(|| server.run());
    for one in asked {
        let (wrote, seen) = one.await.unwrap();
        wrote.unwrap();
        assert!(seen >= 2, "{seen}");
    }
    assert!(began.elapsed() >= away);
    assert_eq!(ids(&records).await.len(), 21);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stays_away_is_given_up_with_a_reason() {
    if !postgres::is_there("a_server_that_stays_away_is_given_up_with_a_reason") {
        return;
    }
    let server = Postgres::start(Disk::Ignores).unwrap();
    let records = store(&server).await;
    // Its processes stand still: connections stand, and nobody answers.
    records.write(vec![insert("before")]).await.unwrap();
    server.pause();
    let began = Instant::now();
    // More than there are connections: who waits for one waits no longer than the others.
    let writes = (0..40).map(|number| records.write(vec![insert(&format!("lost-{number}"))]));
    let reads = futures::future::join_all((0..40).map(|_| {
        let records = records.clone();
        async move { records.read(ferroflow_platform::records::Statement::new("SELECT 1", [])).await.map(drop) }
    }));
    let (writes, reads) = tokio::join!(futures::future::join_all(writes), reads);
    let took = began.elapsed();
    for outcome in writes.into_iter().map(|outcome| outcome.map(drop)).chain(reads) {
        let error = outcome.unwrap_err();
        assert!(matches!(error, Error::Away { .. }), "{error}");
        assert!(error.to_string().starts_with("PostgreSQL was not there for 20 s ("), "{error}");
    }
    assert!(took < Duration::from_secs(30), "{took:?}");
    server.go_on();
    eventually("the pool recovers", records.write(vec![insert("after")])).await.unwrap();
    assert_eq!(ids(&records).await, ["after", "before"]);
}
