//! One try at a read or a write, and what its failure means for the next.

use std::{future::poll_fn, io, pin::Pin, task::Poll};

use futures::{TryStreamExt, future::BoxFuture};
use tokio_postgres::{
    Client,
    error::{DbError, Severity, SqlState},
};

use super::pool::Connection;
use crate::{
    causes::causes,
    records::{Error, Guard, LEADER, Row, Statement, Value, value::Must, within},
    tls,
};

/// Whom a leader's writes share a lock of the database with, and who takes an epoch has alone: `ferrofl` and a number.
const LEADER_LOCK: i64 = 0x6665_7272_6f66_6c01;
/// The first statement of a leader's write. It is a lock of its own and not one of the row: who waits for such a lock gets
/// it before those who ask later, and holding it writes nothing.
const SHARE: &str = "SELECT pg_advisory_xact_lock_shared($1)";
const EXCLUDE: &str = "SELECT pg_advisory_xact_lock($1)";

/// Begins a write.
const CHANGE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
/// Begins a reading of several statements, which see one state.
const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// Why a try has failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// It fails again if it is tried again. Nothing was done; the connection stands.
    Final(Error),
    /// Others were in its way. Nothing was done; the connection stands.
    Again(String),
    /// The connection is of no more use. Nothing was done.
    Lost(String),
    /// The connection is of no more use, and the server had been asked to commit.
    InDoubt(String),
}

/// How far a write has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Open,
    Committing,
}

/// What a statement has found and changed.
struct Answer {
    rows: Vec<Row>,
    changed: usize,
}

/// Reads: all of it goes to the server at once, in one transaction, which one statement is by itself.
///
/// # Errors
/// [`Failure`].
pub(super) async fn read(connection: &mut Connection, statements: &[Statement]) -> Result<Vec<Vec<Row>>, Failure> {
    let outcome = async {
        let mut prepared = Vec::with_capacity(statements.len());
        for statement in statements {
            prepared.push((connection.prepare(statement).await?, statement));
        }
        if let [(prepared, statement)] = prepared.as_slice() {
            return Ok(vec![run(&connection.client, prepared, &statement.values).await?]);
        }
        match pipeline(&connection.client, SNAPSHOT, &prepared, Some("COMMIT")).await {
            (answers, None) => Ok(answers),
            // What fails ends the transaction, and the commit that was sent behind it rolls it back.
            (_, Some(error)) => Err(error),
        }
    };
    match outcome.await {
        Ok(answers) => Ok(answers.into_iter().map(|answer| answer.rows).collect()),
        Err(error) => Err(meaning(connection, &error)),
    }
}

/// Writes: everything up to the commit goes to the server at once, the commit when all of it was done.
///
/// # Errors
/// [`Failure`]; `stage` says how far it has come where this is given up.
pub(super) async fn write(
    connection: &mut Connection,
    statements: &[Statement],
    guard: Guard,
    stage: &mut Stage,
) -> Result<Vec<usize>, Failure> {
    let first = match guard {
        Guard::Open => vec![],
        Guard::Within(_) => vec![Statement::new(SHARE, [LEADER_LOCK.into()]), Statement::new(LEADER, [])],
        Guard::Alone => vec![Statement::new(EXCLUDE, [LEADER_LOCK.into()])],
    };
    let mut prepared = Vec::with_capacity(first.len() + statements.len());
    for statement in first.iter().chain(statements) {
        match connection.prepare(statement).await {
            Ok(known) => prepared.push((known, statement)),
            Err(error) => return Err(meaning(connection, &error)),
        }
    }
    let (answers, error) = pipeline(&connection.client, CHANGE, &prepared, None).await;
    let guarded = match (guard, answers.get(1)) {
        (Guard::Within(epoch), Some(leader)) => within(epoch, &leader.rows),
        _ => Ok(()),
    };
    let outcome = match (guarded, error) {
        (Err(fenced), _) => Err(Failure::Final(fenced)),
        (Ok(()), Some(error)) => Err(meaning(connection, &error)),
        (Ok(()), None) => judge(&answers[first.len()..], statements).map_err(Failure::Final),
    };
    match outcome {
        Ok(changed) => {
            *stage = Stage::Committing;
            commit(connection).await.map(|()| changed)
        }
        Err(lost @ (Failure::Lost(_) | Failure::InDoubt(_))) => Err(lost),
        Err(failure) => match connection.client.batch_execute("ROLLBACK").await {
            Ok(()) => Err(failure),
            Err(error) => Err(Failure::Lost(causes(&error))),
        },
    }
}

async fn commit(connection: &mut Connection) -> Result<(), Failure> {
    let Err(error) = connection.client.batch_execute("COMMIT").await else { return Ok(()) };
    // The server refuses to commit only what it has undone. With any other word it may have committed and then gone.
    let is_refused = error.as_db_error().is_some_and(|error| error.parsed_severity() == Some(Severity::Error));
    Err(if is_refused { meaning(connection, &error) } else { Failure::InDoubt(causes(&error)) })
}

/// Whether every statement has done what it must.
fn judge(answers: &[Answer], statements: &[Statement]) -> Result<Vec<usize>, Error> {
    let idle = |(statement, answer): (&Statement, &Answer)| statement.must == Must::Change && answer.changed == 0;
    match statements.iter().zip(answers).position(idle) {
        Some(number) => Err(Error::Unchanged(number)),
        None => Ok(answers.iter().map(|answer| answer.changed).collect()),
    }
}

/// Sends the beginning of a transaction, all its statements and perhaps its end without waiting, and collects the
/// statements' answers up to the first error, from which the others follow.
async fn pipeline(
    client: &Client,
    begin: &'static str,
    statements: &[(tokio_postgres::Statement, &Statement)],
    end: Option<&'static str>,
) -> (Vec<Answer>, Option<tokio_postgres::Error>) {
    let bare = |sql: &'static str| async move {
        client.batch_execute(sql).await?;
        Ok(Answer { rows: Vec::new(), changed: 0 })
    };
    let mut waiting: Vec<BoxFuture<'_, Result<Answer, tokio_postgres::Error>>> = vec![Box::pin(bare(begin))];
    for (prepared, statement) in statements {
        waiting.push(Box::pin(run(client, prepared, &statement.values)));
    }
    if let Some(end) = end {
        waiting.push(Box::pin(bare(end)));
    }
    // A request is sent when it is looked at for the first time.
    let mut sent = Vec::with_capacity(waiting.len());
    for mut answer in waiting {
        let first = poll_fn(|context| Poll::Ready(Pin::new(&mut answer).poll(context))).await;
        sent.push((answer, first));
    }
    let mut answers = Vec::with_capacity(sent.len());
    for (number, (answer, first)) in sent.into_iter().enumerate() {
        let outcome = match first {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => answer.await,
        };
        match outcome {
            Ok(_) if number == 0 || number > statements.len() => {}
            Ok(answer) => answers.push(answer),
            Err(error) => return (answers, Some(error)),
        }
    }
    (answers, None)
}

async fn run(
    client: &Client,
    prepared: &tokio_postgres::Statement,
    values: &[Value],
) -> Result<Answer, tokio_postgres::Error> {
    let mut answer = std::pin::pin!(client.query_raw(prepared, values).await?);
    let mut rows = Vec::new();
    while let Some(row) = answer.try_next().await? {
        let values: Result<Vec<Value>, _> = (0..row.len()).map(|column| row.try_get(column)).collect();
        rows.push(Row(values?));
    }
    let changed = answer.rows_affected().unwrap_or_default();
    Ok(Answer { rows, changed: usize::try_from(changed).unwrap_or(usize::MAX) })
}

/// What the failure of a statement means, before the commit.
pub(super) fn meaning(connection: &mut Connection, error: &tokio_postgres::Error) -> Failure {
    let Some(told) = error.as_db_error() else { return broken(error) };
    let text = words(told);
    let code = told.code();
    if *code == SqlState::UNIQUE_VIOLATION {
        return Failure::Final(Error::Duplicate(text));
    }
    let is_stale = told.message().contains("cached plan must not change result type");
    if is_stale || *code == SqlState::INVALID_SQL_STATEMENT_NAME {
        connection.forget();
        return Failure::Again(text);
    }
    let in_the_way =
        [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED, SqlState::LOCK_NOT_AVAILABLE];
    if in_the_way.contains(code) {
        return Failure::Again(text);
    }
    if is_passing(told) { Failure::Lost(text) } else { Failure::Final(Error::Refused(text)) }
}

/// What it means that a server does not let us in.
pub(super) fn refusal(error: &tokio_postgres::Error) -> Failure {
    match error.as_db_error() {
        // The class of authentication comes with the severity of a server that goes.
        Some(told)
            if !is_passing(told) || told.code().code().starts_with("28") || told.code().code().starts_with("3D") =>
        {
            Failure::Final(Error::Address(words(told)))
        }
        Some(told) => Failure::Lost(words(told)),
        None => match broken(error) {
            Failure::Final(Error::Refused(text)) => Failure::Final(Error::Address(text)),
            failure => failure,
        },
    }
}

/// Whether a server says that it goes, comes, or has no room.
fn is_passing(told: &DbError) -> bool {
    let code = told.code().code();
    let ends_session = matches!(told.parsed_severity(), Some(Severity::Fatal | Severity::Panic));
    ends_session || code.starts_with("08") || code.starts_with("57P") || *told.code() == SqlState::TOO_MANY_CONNECTIONS
}

/// Tells a connection that broke from one on which the two ends do not understand each other.
fn broken(error: &tokio_postgres::Error) -> Failure {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = next {
        if let Some(cause) = cause.downcast_ref::<io::Error>() {
            let is_distrust = cause.get_ref().is_some_and(|inner| inner.is::<rustls::Error>());
            let text = tls::fault(cause);
            return if is_distrust { Failure::Final(Error::Refused(text)) } else { Failure::Lost(text) };
        }
        next = cause.source();
    }
    if error.is_closed() { Failure::Lost(causes(error)) } else { Failure::Final(Error::Refused(causes(error))) }
}

fn words(told: &DbError) -> String {
    let detail = told.detail().map(|detail| format!("; {detail}")).unwrap_or_default();
    format!("{}{detail} ({})", told.message(), told.code().code())
}
