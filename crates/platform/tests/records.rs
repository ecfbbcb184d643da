//! The record store: one suite on each engine, and what only a server has to do with.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "records/both.rs"]
mod both;
#[path = "records/concurrency.rs"]
mod concurrency;
#[path = "records/crash.rs"]
mod crash;
#[path = "records/security.rs"]
mod security;

use ferroflow_platform::records::{Records, Statement, Value};
use ferroflow_testkit::records::{Store, TestRecords};

/// The first step of the tests' capability.
const CREATE: &[&str] = &["CREATE TABLE test_rows (id TEXT PRIMARY KEY, state BIGINT NOT NULL)"];

async fn opened(store: Store) -> TestRecords {
    let opened = store.open().await;
    opened.records.migrate("test", &[CREATE]).await.unwrap();
    opened
}

fn insert(id: &str) -> Statement {
    Statement::new("INSERT INTO test_rows (id, state) VALUES ($1, $2)", [id.into(), 1_i64.into()])
}

async fn ids(records: &Records) -> Vec<String> {
    let rows = records.read(Statement::new("SELECT id FROM test_rows ORDER BY id", [])).await.unwrap();
    rows.iter().map(|row| row.text(0).unwrap().to_owned()).collect()
}

/// The only value of the only row of an answer.
async fn value(records: &Records, sql: &'static str) -> Value {
    let rows = records.read(Statement::new(sql, [])).await.unwrap();
    rows[0].value(0).unwrap().clone()
}
