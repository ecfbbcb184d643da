//! Steps of capabilities on a server that several replicas bring up to date at the same time.

use std::{borrow::Cow, time::Duration};

use tokio::time::Instant;
use tokio_postgres::SimpleQueryMessage;

use super::{
    Postgres, Tries,
    attempt::{self, Failure},
    pool::Connection,
};
use crate::records::Error;

/// The lock under which steps run, one replica after another: `ferrofl` and a number.
const LOCK: i64 = 0x6665_7272_6f66_6c02;
/// How long steps may take, those of others included: some rewrite a table.
const PATIENCE: Duration = Duration::from_secs(600);

/// How far a capability has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    UpToDate,
    /// One step has been done; there may be more.
    Stepped,
}

impl Postgres {
    /// Runs those of `steps` that have not run yet, each in a transaction of its own with the mark that it was run.
    ///
    /// # Errors
    /// [`Error`].
    pub(in crate::records) async fn migrate(
        &self,
        capability: &'static str,
        steps: &[&[&'static str]],
    ) -> Result<(), Error> {
        let mut tries = Tries::new(super::PATIENCE);
        loop {
            let mut connection = tries.connection(&self.writers).await?;
            let deadline = Instant::now() + PATIENCE;
            let outcome = tokio::time::timeout_at(deadline, advance(&mut connection, capability, steps)).await;
            match outcome {
                Err(_) => return Err(tries.given_up()),
                Ok(Ok(Standing::UpToDate)) => {
                    connection.give_back();
                    return Ok(());
                }
                Ok(Ok(Standing::Stepped)) => {
                    connection.give_back();
                    tries = Tries::new(super::PATIENCE);
                }
                Ok(Err(Failure::Final(error))) => return Err(error),
                // The mark tells whether a step that was being committed stands.
                Ok(Err(Failure::Again(reason) | Failure::Lost(reason) | Failure::InDoubt(reason))) => {
                    drop(connection);
                    tries.again(reason).await?;
                }
            }
        }
    }
}

/// Runs the next step. A connection on which this fails has a transaction open, and is closed.
async fn advance(connection: &mut Connection, capability: &str, steps: &[&[&str]]) -> Result<Standing, Failure> {
    if reached(connection, capability).await? >= steps.len() {
        return Ok(Standing::UpToDate);
    }
    let begin = format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL statement_timeout = {}; \
         SELECT pg_advisory_xact_lock({LOCK})",
        PATIENCE.as_millis()
    );
    execute(connection, &begin).await?;
    execute(
        connection,
        &ddl("CREATE TABLE IF NOT EXISTS ferroflow_steps (capability TEXT PRIMARY KEY, done BIGINT NOT NULL)"),
    )
    .await?;
    // Somebody else may have been here while the lock was waited for.
    let done = reached(connection, capability).await?;
    let Some(step) = steps.get(done) else {
        execute(connection, "ROLLBACK").await?;
        return Ok(Standing::UpToDate);
    };
    for sql in *step {
        execute(connection, &ddl(sql)).await?;
    }
    let mark = format!(
        "INSERT INTO ferroflow_steps (capability, done) VALUES ('{capability}', {}) \
         ON CONFLICT (capability) DO UPDATE SET done = excluded.done",
        done + 1
    );
    execute(connection, &mark).await?;
    execute(connection, "COMMIT").await?;
    Ok(Standing::Stepped)
}

/// How many steps of a capability have been done. Needs no right to make tables where there is nothing to make.
async fn reached(connection: &mut Connection, capability: &str) -> Result<usize, Failure> {
    let table = number(connection, "SELECT COUNT(to_regclass('ferroflow_steps'))").await?;
    if table == 0 {
        return Ok(0);
    }
    number(connection, &format!("SELECT COALESCE(MAX(done), 0) FROM ferroflow_steps WHERE capability = '{capability}'"))
        .await
}

async fn number(connection: &mut Connection, sql: &str) -> Result<usize, Failure> {
    let outcome = connection.client.simple_query(sql).await;
    let messages = outcome.map_err(|error| attempt::meaning(connection, &error))?;
    let found = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
        _ => None,
    });
    found.ok_or(Failure::Final(Error::Column { column: 0, wanted: "a count" }))
}

async fn execute(connection: &mut Connection, sql: &str) -> Result<(), Failure> {
    connection.client.batch_execute(sql).await.map_err(|error| attempt::meaning(connection, &error))
}

/// A statement whose columns of text compare by bytes, as SQLite's do, whatever the database's language is.
fn ddl(sql: &str) -> Cow<'_, str> {
    if !(sql.starts_with("CREATE TABLE") || sql.starts_with("ALTER TABLE")) {
        return Cow::Borrowed(sql);
    }
    let mut out = String::with_capacity(sql.len() + 200);
    for (number, part) in sql.split(" TEXT").enumerate() {
        if number > 0 {
            out.push_str(if part.starts_with(|next: char| next.is_alphanumeric() || next == '_') {
                " TEXT"
            } else {
                " TEXT COLLATE \"C\""
            });
        }
        out.push_str(part);
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_text_and_nothing_else_compare_by_bytes() {
        for (given, wanted) in [
            (
                "CREATE TABLE a (b TEXT PRIMARY KEY, c BIGINT)",
                "CREATE TABLE a (b TEXT COLLATE \"C\" PRIMARY KEY, c BIGINT)",
            ),
            ("ALTER TABLE a ADD COLUMN b TEXT", "ALTER TABLE a ADD COLUMN b TEXT COLLATE \"C\""),
            ("CREATE TABLE a (b TEXT, TEXTURE BIGINT)", "CREATE TABLE a (b TEXT COLLATE \"C\", TEXTURE BIGINT)"),
            ("UPDATE a SET b = CAST(c AS TEXT)", "UPDATE a SET b = CAST(c AS TEXT)"),
        ] {
            assert_eq!(ddl(given), wanted);
        }
    }
}
