//! Groups of tasks.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::{convert::Infallible, time::Duration};

use ferroflow_platform::task::{Group, Kind, State};
use tokio::sync::oneshot;

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn the_list_names_what_runs_and_how_essential_tasks_ended() {
    let group = Group::new();
    let (end, ended) = oneshot::channel::<()>();
    group.spawn("loop", Kind::Essential, std::future::pending::<Result<(), Infallible>>());
    group.spawn("short", Kind::Essential, async move { ended.await.map_err(|error| error.to_string()) });
    group.spawn("request", Kind::Transient, async { Ok::<(), Infallible>(()) });
    end.send(()).unwrap();
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
    let rows: Vec<(String, State)> = group.list().into_iter().map(|row| (row.name, row.state)).collect();
    assert_eq!(rows, [("loop".to_owned(), State::Running), ("short".to_owned(), State::Done)]);
    group.stop(PATIENCE).await.unwrap();
    assert!(group.list().iter().all(|row| row.state == State::Done));
}

#[tokio::test]
async fn an_essential_failure_stops_the_group_and_a_transient_one_does_not() {
    let group = Group::new();
    group.spawn("request", Kind::Transient, async { Err("broken pipe") });
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
    assert!(!group.stopping().is_cancelled());
    group.spawn("other", Kind::Essential, std::future::pending::<Result<(), Infallible>>());
    group.spawn("loop", Kind::Essential, async { Err("no disk") });
    tokio::time::timeout(PATIENCE, group.stopping().cancelled_owned()).await.unwrap();
    group.stop(PATIENCE).await.unwrap();
    let failed: Vec<_> =
        group.list().into_iter().filter(|row| row.state == State::Failed("no disk".to_owned())).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].name, "loop");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_end_in_time_is_named() {
    let group = Group::new();
    let (let_go, held) = std::sync::mpsc::channel::<()>();
    let (started, running) = oneshot::channel();
    group.spawn("stubborn", Kind::Essential, async move {
        started.send(()).unwrap();
        // Blocks its thread, so that it never comes to an await.
        let _ = held.recv();
        Ok::<(), Infallible>(())
    });
    running.await.unwrap();
    assert_eq!(group.stop(Duration::from_millis(20)).await, Err(vec!["stubborn".to_owned()]));
    let_go.send(()).unwrap();
    group.stop(PATIENCE).await.unwrap();
}
