//! Records in a file: SQLite behind one writer that commits in groups, and connections that read beside it.

use std::{
    borrow::Cow,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::{
    Connection, ErrorCode, OpenFlags, Transaction, ffi,
    types::{ToSqlOutput, ValueRef},
};
use tokio::sync::{Semaphore, oneshot};

use super::{Error, Guard, LEADER, Row, Statement, Value, value::Must, within};
use crate::sql::{self, Act, Writer};

/// Connections that read at the same time; more would only wait for processors.
const READERS: usize = 4;
/// Statements that a connection keeps prepared.
const PREPARED: usize = 64;

/// The engine.
pub(super) struct Sqlite {
    readers: Arc<Readers>,
    writer: Writer<Write>,
    places: Semaphore,
    /// Held while steps run, one capability's after another's.
    steps: tokio::sync::Mutex<()>,
}

struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Sqlite {
    /// Opens the store at `path`, or makes it. `failed` is called when the disk refuses a write.
    ///
    /// # Errors
    /// [`Error::Sql`].
    pub(super) fn open(path: &Path, failed: Box<dyn FnOnce(sql::Error) + Send>) -> Result<Self, Error> {
        let connection = sql::open(path)?;
        let publish = Box::new(|group: Vec<Write>| group.into_iter().for_each(Write::answer));
        let (writer, _thread) = Writer::start(connection, publish, failed)?;
        let readers = Arc::new(Readers { path: path.to_owned(), idle: Mutex::default() });
        Ok(Self { readers, writer, places: Semaphore::new(READERS), steps: tokio::sync::Mutex::default() })
    }

    /// Runs those of `steps` that have not run yet.
    ///
    /// # Errors
    /// [`Error`].
    pub(super) async fn migrate(&self, capability: &'static str, steps: &[&[&'static str]]) -> Result<(), Error> {
        let _steps = self.steps.lock().await;
        let table = "CREATE TABLE IF NOT EXISTS ferroflow_steps (capability TEXT PRIMARY KEY, done BIGINT NOT NULL)";
        self.write(vec![Statement::new(table, [])], Guard::Open).await?;
        let done = "SELECT done FROM ferroflow_steps WHERE capability = $1";
        let found = self.read(vec![Statement::new(done, [capability.into()])]).await?;
        let done = found.iter().flatten().next().map(|row| row.integer(0)).transpose()?.unwrap_or_default();
        for (number, step) in (1_i64..).zip(steps).skip_while(|(number, _)| *number <= done) {
            let mut write: Vec<Statement> = step.iter().map(|sql| Statement::new(*sql, [])).collect();
            let mark = "INSERT INTO ferroflow_steps (capability, done) VALUES ($1, $2) \
                        ON CONFLICT (capability) DO UPDATE SET done = excluded.done";
            write.push(Statement::new(mark, [capability.into(), number.into()]));
            self.write(write, Guard::Open).await?;
        }
        Ok(())
    }

    /// Runs reading statements on one state.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub(super) async fn read(&self, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>, Error> {
        let _place = self.places.acquire().await.map_err(|_| Error::Stopped)?;
        let readers = self.readers.clone();
        // The way to another thread and back costs as much as a statement, so that all of them go at once.
        let reading = tokio::task::spawn_blocking(move || readers.read(&statements));
        reading.await.map_err(|_| Error::Stopped)?
    }

    /// Runs statements in one transaction.
    ///
    /// # Errors
    /// [`Error`], after which nothing of it was done.
    pub(super) async fn write(&self, statements: Vec<Statement>, guard: Guard) -> Result<Vec<usize>, Error> {
        let (reply, answer) = oneshot::channel();
        let place = self.writer.place().await?;
        self.writer.send(Write { statements, guard, outcome: None, reply }, place)?;
        answer.await.map_err(|_| Error::Stopped)?
    }
}

impl Readers {
    fn read(&self, statements: &[Statement]) -> Result<Vec<Vec<Row>>, Error> {
        let spare = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match spare {
            Some(connection) => connection,
            None => reader(&self.path).map_err(Error::Read)?,
        };
        let found = together(&connection, statements).map_err(Error::Read)?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        Ok(found)
    }
}

/// Reads in one transaction, which one statement is by itself. A connection on which this fails is of no more use.
fn together(connection: &Connection, statements: &[Statement]) -> rusqlite::Result<Vec<Vec<Row>>> {
    let is_one = statements.len() == 1;
    if !is_one {
        connection.prepare_cached("BEGIN")?.execute([])?;
    }
    let found = statements.iter().map(|one| rows(connection, &one.sql, &one.values)).collect::<Result<_, _>>()?;
    if !is_one {
        connection.prepare_cached("COMMIT")?.execute([])?;
    }
    Ok(found)
}

fn reader(path: &Path) -> rusqlite::Result<Connection> {
    // One thread at a time has a connection, so that it needs no lock of its own.
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.set_prepared_statement_cache_capacity(PREPARED);
    sql::keep_plans(&connection)?;
    Ok(connection)
}

fn rows(connection: &Connection, sql: &str, values: &[Value]) -> rusqlite::Result<Vec<Row>> {
    let mut prepared = connection.prepare_cached(&numbered(sql))?;
    let columns = prepared.column_count();
    let mut rows = prepared.query(rusqlite::params_from_iter(values))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let mut values = Vec::with_capacity(columns);
        for column in 0..columns {
            values.push(value(row.get_ref(column)?));
        }
        found.push(Row(values));
    }
    Ok(found)
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(value) => ValueRef::Integer(*value),
            Self::Real(value) => ValueRef::Real(*value),
            Self::Text(value) => ValueRef::Text(value.as_bytes()),
            Self::Bytes(value) => ValueRef::Blob(value),
        }))
    }
}

fn value(column: ValueRef<'_>) -> Value {
    match column {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(value) => Value::Integer(value),
        ValueRef::Real(value) => Value::Real(value),
        ValueRef::Text(text) => Value::Text(match std::str::from_utf8(text) {
            Ok(text) => text.to_owned(),
            Err(_) => String::from_utf8_lossy(text).into_owned(),
        }),
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_owned()),
    }
}

/// `$1` of PostgreSQL as `?1` of SQLite, where `$1` would be a name. No literal of ours holds a dollar sign.
fn numbered(sql: &str) -> Cow<'_, str> {
    let bytes = sql.bytes().map(|byte| if byte == b'$' { b'?' } else { byte }).collect();
    // One letter of ASCII in place of another leaves UTF-8.
    String::from_utf8(bytes).map_or(Cow::Borrowed(sql), Cow::Owned)
}

/// A write that waits for its group.
struct Write {
    statements: Vec<Statement>,
    guard: Guard,
    outcome: Option<Result<Vec<usize>, Error>>,
    reply: oneshot::Sender<Result<Vec<usize>, Error>>,
}

impl Write {
    fn answer(self) {
        // A caller that no longer waits does not want to know.
        let _ = self.reply.send(self.outcome.unwrap_or(Err(Error::Stopped)));
    }

    fn run(&self, transaction: &Transaction<'_>) -> rusqlite::Result<Result<Vec<usize>, Error>> {
        if let Guard::Within(epoch) = self.guard
            && let Err(fenced) = within(epoch, &rows(transaction, LEADER, &[])?)
        {
            return Ok(Err(fenced));
        }
        let mut changed = Vec::with_capacity(self.statements.len());
        for (number, statement) in self.statements.iter().enumerate() {
            let mut prepared = transaction.prepare_cached(&numbered(&statement.sql))?;
            match prepared.execute(rusqlite::params_from_iter(&statement.values)) {
                Ok(0) if statement.must == Must::Change => return Ok(Err(Error::Unchanged(number))),
                Ok(count) => changed.push(count),
                Err(rusqlite::Error::SqliteFailure(code, text)) if code.code == ErrorCode::ConstraintViolation => {
                    return Ok(Err(violation(code, text)));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Ok(changed))
    }
}

fn violation(code: ffi::Error, text: Option<String>) -> Error {
    let text = text.unwrap_or_else(|| code.to_string());
    match code.extended_code {
        ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY => Error::Duplicate(text),
        _ => Error::Refused(text),
    }
}

impl Act for Write {
    fn write(&mut self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        transaction.execute_batch("SAVEPOINT one")?;
        let outcome = self.run(transaction)?;
        if outcome.is_err() {
            transaction.execute_batch("ROLLBACK TO one")?;
        }
        transaction.execute_batch("RELEASE one")?;
        self.outcome = Some(outcome);
        Ok(())
    }

    fn durable(&self) -> bool {
        true
    }
}
