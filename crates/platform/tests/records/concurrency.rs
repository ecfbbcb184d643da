//! Replicas that write at the same time.

use ferroflow_platform::records::{Error, Records, Statement};
use ferroflow_testkit::{on_each_store, records::Store, wait::eventually};
use futures::future::join_all;

use super::{CREATE, ids, insert, opened, value};

on_each_store!(
    replicas_that_start_at_once_run_each_step_once,
    of_writers_that_count_none_is_lost,
    writers_that_are_in_each_others_way_all_get_through,
    nothing_of_an_old_epoch_is_written_once_a_new_one_was_taken,
    replicas_that_take_epochs_at_once_have_different_ones,
);

async fn replicas_that_start_at_once_run_each_step_once(store: Store) {
    let opened = store.open().await;
    let fill: &[&str] = &["INSERT INTO test_rows (id, state) VALUES ('made', 1)"];
    let count: &[&str] = &["UPDATE test_rows SET state = state + 1"];
    let starts = (0..6).map(|_| async {
        // One process alone has a file.
        let records = if store == Store::Postgres { opened.again().await } else { opened.records.clone() };
        records.migrate("test", &[CREATE, fill, count, count]).await.unwrap();
        records.migrate("test_other", &[&["CREATE TABLE test_other (id TEXT PRIMARY KEY)"]]).await.unwrap();
    });
    join_all(starts).await;
    assert_eq!(value(&opened.records, "SELECT state FROM test_rows").await, 3_i64.into());
}

async fn of_writers_that_count_none_is_lost(store: Store) {
    let opened = opened(store).await;
    opened.records.write(vec![insert("a")]).await.unwrap();
    let count = || {
        let update = "UPDATE test_rows SET state = state + 1 WHERE id = 'a'";
        opened.records.write(vec![Statement::new(update, []).must_change()])
    };
    for outcome in join_all((0..100).map(|_| count())).await {
        outcome.unwrap();
    }
    assert_eq!(value(&opened.records, "SELECT state FROM test_rows").await, 101_i64.into());
}

async fn writers_that_are_in_each_others_way_all_get_through(store: Store) {
    let opened = opened(store).await;
    opened.records.write(vec![insert("a"), insert("b"), insert("c")]).await.unwrap();
    let update = |id: &str| Statement::new("UPDATE test_rows SET state = state + 1 WHERE id = $1", [id.into()]);
    // In circles: the server ends one transaction of each, which is tried again.
    let orders = [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"]];
    let write = |number: usize| opened.records.write(orders[number % 3].iter().map(|id| update(id)).collect());
    for outcome in eventually("writers get through", join_all((0..24).map(write))).await {
        outcome.unwrap();
    }
    let rows = opened.records.read(Statement::new("SELECT state FROM test_rows", [])).await.unwrap();
    assert!(rows.iter().all(|row| row.integer(0).unwrap() == 25), "{rows:?}");
}

/// Writes rows until it is refused, and says how many were acknowledged.
async fn lead(leader: Records, name: String) -> usize {
    for number in 0.. {
        match leader.write(vec![insert(&format!("{name}-{number}"))]).await {
            Ok(_) => {}
            Err(Error::Fenced { .. }) => return number,
            Err(error) => panic!("{error}"),
        }
    }
    0
}

async fn nothing_of_an_old_epoch_is_written_once_a_new_one_was_taken(store: Store) {
    let opened = opened(store).await;
    let records = &opened.records;
    let mut epoch = records.take_epoch("0").await.unwrap();
    for change in 1..=5 {
        let leader = records.fenced(epoch);
        // 16 tasks of the leader never stop writing: the next one must not wait for a pause between them.
        let begin = |task| tokio::spawn(lead(leader.clone(), format!("{change}-{task}")));
        let writers: Vec<_> = (0..16).map(begin).collect();
        eventually("the leader is busy", async { while ids(records).await.len() < change * 40 {} }).await;
        epoch = eventually("an epoch is taken", records.take_epoch(&change.to_string())).await.unwrap();
        let then = ids(records).await;
        let mut acknowledged = 0;
        for writer in writers {
            acknowledged += writer.await.unwrap();
        }
        assert_eq!(ids(records).await, then, "nothing is written behind the new leader's back");
        let of_change = then.iter().filter(|id| id.starts_with(&format!("{change}-"))).count();
        assert_eq!(of_change, acknowledged, "what was acknowledged is there, and nothing else");
    }
}

async fn replicas_that_take_epochs_at_once_have_different_ones(store: Store) {
    let opened = opened(store).await;
    let takers = join_all((0..8).map(|number| {
        let records = opened.records.clone();
        async move { records.take_epoch(&format!("replica-{number}")).await.unwrap() }
    }));
    let mut taken = takers.await;
    taken.sort();
    let last = opened.records.fenced(taken[7]);
    taken.dedup();
    assert_eq!(taken.len(), 8);
    last.write(vec![insert("of the last")]).await.unwrap();
    for old in &taken[..7] {
        let outcome = opened.records.fenced(*old).write(vec![insert("of an old one")]).await;
        assert!(matches!(outcome, Err(Error::Fenced { .. })), "{outcome:?}");
    }
}
