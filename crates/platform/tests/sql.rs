//! The group-commit writer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    path::PathBuf,
    sync::mpsc::{Receiver, Sender, channel},
    time::Duration,
};

use ferroflow_platform::sql::{self, Act, Error, Writer};
use ferroflow_testkit::wait::eventually;
use rusqlite::{Connection, Transaction};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);

/// What an act does when it is written.
enum Step {
    Insert,
    /// Waits for a word first, so that others queue up behind it.
    Wait(Receiver<()>),
    Fail,
}

struct Insert {
    number: i64,
    step: Step,
    durable: bool,
}

impl Act for Insert {
    fn write(&mut self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        match &self.step {
            Step::Insert => {}
            Step::Wait(word) => word.recv_timeout(PATIENCE).expect("the test says go"),
            Step::Fail => return transaction.execute("INSERT INTO none VALUES (1)", []).map(drop),
        }
        transaction.execute("INSERT INTO numbers VALUES (?1)", [self.number]).map(drop)
    }

    fn durable(&self) -> bool {
        self.durable
    }
}

struct Bench {
    _directory: TempDir,
    path: PathBuf,
    writer: Writer<Insert>,
    groups: Receiver<Vec<i64>>,
    failed: Receiver<Error>,
}

fn rows(path: &PathBuf) -> Vec<i64> {
    let connection = Connection::open(path).unwrap();
    let mut statement = connection.prepare("SELECT number FROM numbers ORDER BY rowid").unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().collect::<rusqlite::Result<_>>().unwrap()
}

fn bench() -> Bench {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("test.db");
    let connection = sql::open(&path).unwrap();
    connection.execute_batch("CREATE TABLE numbers (number INTEGER NOT NULL)").unwrap();
    let (group_sender, groups): (Sender<Vec<i64>>, _) = channel();
    let (failed_sender, failed) = channel();
    let published = path.clone();
    let publish = move |acts: Vec<Insert>| {
        let numbers: Vec<i64> = acts.iter().map(|act| act.number).collect();
        assert!(rows(&published).ends_with(&numbers), "a group is published when it is in the database");
        let _ = group_sender.send(numbers);
    };
    let failed_once = Box::new(move |error| drop(failed_sender.send(error)));
    let (writer, _thread) = Writer::start(connection, Box::new(publish), failed_once).unwrap();
    Bench { _directory: directory, path, writer, groups, failed }
}

impl Bench {
    async fn send(&self, number: i64, step: Step) -> Result<(), Error> {
        let place = self.writer.place().await?;
        self.writer.send(Insert { number, step, durable: true }, place)
    }
}

#[tokio::test]
async fn all_that_waits_shares_one_commit_in_the_order_of_sending() {
    let bench = bench();
    let (go, word) = channel();
    bench.send(0, Step::Wait(word)).await.unwrap();
    for number in 1..=100 {
        bench.send(number, Step::Insert).await.unwrap();
    }
    go.send(()).unwrap();
    let mut numbers = Vec::new();
    let mut groups = 0;
    while numbers.len() < 101 {
        numbers.extend(bench.groups.recv_timeout(PATIENCE).unwrap());
        groups += 1;
    }
    assert_eq!(numbers, (0..=100).collect::<Vec<_>>());
    assert!(groups <= 2, "{groups} commits for 101 acts of which 100 waited");
    assert_eq!(rows(&bench.path), numbers);
}

#[tokio::test]
async fn acts_that_nobody_waits_for_are_published_too() {
    let bench = bench();
    for (number, durable) in [(1, false), (2, true), (3, false)] {
        let place = bench.writer.place().await.unwrap();
        bench.writer.send(Insert { number, step: Step::Insert, durable }, place).unwrap();
        assert_eq!(bench.groups.recv_timeout(PATIENCE).unwrap(), [number]);
    }
}

#[tokio::test]
async fn a_write_that_fails_stops_the_writer_and_acknowledges_nothing_after() {
    let bench = bench();
    bench.send(1, Step::Insert).await.unwrap();
    assert_eq!(bench.groups.recv_timeout(PATIENCE).unwrap(), [1]);
    let (go, word) = channel();
    bench.send(2, Step::Wait(word)).await.unwrap();
    bench.send(3, Step::Insert).await.unwrap();
    bench.send(4, Step::Fail).await.unwrap();
    go.send(()).unwrap();
    let error = bench.failed.recv_timeout(PATIENCE).unwrap();
    assert!(matches!(error, Error::Write(_)), "{error}");
    let published: Vec<i64> = bench.groups.iter().flatten().collect();
    assert!(published.is_empty() || published == [2], "the group of the failure is not published: {published:?}");
    assert_eq!(rows(&bench.path), [vec![1], published.clone()].concat(), "nothing of it is in the database");
    // The thread ends a moment after it has said why; what is sent until then is dropped unwritten.
    let refused = eventually("the writer ends", async {
        loop {
            match bench.send(5, Step::Insert).await {
                Ok(()) => tokio::task::yield_now().await,
                Err(error) => return error,
            }
        }
    });
    assert!(matches!(refused.await, Error::Stopped));
    assert_eq!(rows(&bench.path).last(), published.last().or(Some(&1)));
}

#[tokio::test]
async fn places_bound_what_waits() {
    let bench = bench();
    let (go, word) = channel();
    bench.send(0, Step::Wait(word)).await.unwrap();
    let mut places = Vec::new();
    let full = async {
        loop {
            places.push(bench.writer.place().await.unwrap());
        }
    };
    tokio::select! {
        biased;
        // All places that are free are taken without waiting.
        () = tokio::task::unconstrained(full) => {}
        () = std::future::ready(()) => {}
    }
    assert!((100..100_000).contains(&places.len()), "there were {} places", places.len());
    go.send(()).unwrap();
    assert_eq!(bench.groups.recv_timeout(PATIENCE).unwrap(), [0]);
}

#[test]
fn a_database_that_cannot_be_opened_is_named() {
    let error = sql::open(std::path::Path::new("/proc/none/test.db")).unwrap_err();
    assert!(error.to_string().contains("/proc/none/test.db"), "{error}");
}
