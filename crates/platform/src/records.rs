//! The record store: what the platform observes, in SQL that SQLite and PostgreSQL both understand.
//!
//! A capability owns tables whose names begin with its own name, and changes them by steps that run once
//! ([`Records::migrate`]). Placeholders are `$1`, `$2` …; types are `BIGINT`, `DOUBLE PRECISION`, `TEXT` and `BYTEA`.
//! Writes of many callers share a commit; each is whole or not at all, and on disk when it is acknowledged.

use std::{
    borrow::Cow,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::{
    Connection, ErrorCode, OpenFlags, Transaction,
    types::{ToSqlOutput, ValueRef},
};
use tokio::sync::{Semaphore, oneshot};

use crate::sql::{self, Act, Writer};

/// Why something could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Sql(#[from] sql::Error),
    #[error("records cannot be read")]
    Read(#[source] rusqlite::Error),
    /// Another row has the same key; nothing of the write was done.
    #[error("a record with the same key exists ({0})")]
    Duplicate(String),
    /// A statement that must change something found nothing to change; nothing of the write was done.
    #[error("statement {0} of a write found nothing to change")]
    Unchanged(usize),
    /// A column holds something else than it should.
    #[error("column {column} of a record is not {wanted}")]
    Column { column: usize, wanted: &'static str },
    #[error("the record store has stopped")]
    Stopped,
}

/// A value of a column.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
    Bytes(Vec<u8>),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Integer(value.into())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Integer(value.into())
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<&String> for Value {
    fn from(value: &String) -> Self {
        Self::Text(value.clone())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::Bytes(value)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
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

/// A row of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Row(Vec<Value>);

impl Row {
    /// The text in a column.
    ///
    /// # Errors
    /// [`Error::Column`] where there is none.
    pub fn text(&self, column: usize) -> Result<&str, Error> {
        self.optional_text(column)?.ok_or(Error::Column { column, wanted: "text" })
    }

    /// The text in a column, or `None` for NULL.
    ///
    /// # Errors
    /// [`Error::Column`] where something else is there.
    pub fn optional_text(&self, column: usize) -> Result<Option<&str>, Error> {
        match self.0.get(column) {
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(Value::Null) => Ok(None),
            _ => Err(Error::Column { column, wanted: "text" }),
        }
    }

    /// The integer in a column.
    ///
    /// # Errors
    /// [`Error::Column`] where there is none.
    pub fn integer(&self, column: usize) -> Result<i64, Error> {
        self.optional_integer(column)?.ok_or(Error::Column { column, wanted: "an integer" })
    }

    /// The integer in a column, or `None` for NULL.
    ///
    /// # Errors
    /// [`Error::Column`] where something else is there.
    pub fn optional_integer(&self, column: usize) -> Result<Option<i64>, Error> {
        match self.0.get(column) {
            Some(Value::Integer(value)) => Ok(Some(*value)),
            Some(Value::Null) => Ok(None),
            _ => Err(Error::Column { column, wanted: "an integer" }),
        }
    }

    /// The columns from `first` on, as a row of their own.
    #[must_use]
    pub fn from(&self, first: usize) -> Self {
        Self(self.0.get(first..).unwrap_or_default().to_vec())
    }

    /// What a column holds.
    ///
    /// # Errors
    /// [`Error::Column`] where the row is shorter.
    pub fn value(&self, column: usize) -> Result<&Value, Error> {
        self.0.get(column).ok_or(Error::Column { column, wanted: "there" })
    }
}

/// What a statement must do for its write to stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Must {
    Run,
    Change,
}

/// One statement and its values.
#[derive(Clone, Debug)]
pub struct Statement {
    sql: Cow<'static, str>,
    values: Vec<Value>,
    must: Must,
}

impl Statement {
    /// A statement with `values` for `$1`, `$2` …
    pub fn new(sql: impl Into<Cow<'static, str>>, values: impl Into<Vec<Value>>) -> Self {
        Self { sql: sql.into(), values: values.into(), must: Must::Run }
    }

    /// Lets the write fail as a whole, with [`Error::Unchanged`], when this changes no row: for updates that hold only in
    /// a certain state.
    #[must_use]
    pub fn must_change(mut self) -> Self {
        self.must = Must::Change;
        self
    }
}

/// Connections that read at the same time; more would only wait for processors.
const READERS: usize = 4;

/// The record store. Cheap to clone.
#[derive(Clone)]
pub struct Records {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    writer: Writer<Write>,
    idle: Mutex<Vec<Connection>>,
    places: Semaphore,
}

impl Records {
    /// Opens the store at `path`, or makes it. `failed` is called when the disk refuses a write.
    ///
    /// # Errors
    /// [`Error::Sql`].
    pub fn open(path: &Path, failed: Box<dyn FnOnce(sql::Error) + Send>) -> Result<Self, Error> {
        let connection = sql::open(path)?;
        let publish = Box::new(|group: Vec<Write>| group.into_iter().for_each(Write::answer));
        let (writer, _thread) = Writer::start(connection, publish, failed)?;
        let places = Semaphore::new(READERS);
        Ok(Self { inner: Arc::new(Inner { path: path.to_owned(), writer, idle: Mutex::default(), places }) })
    }

    /// Brings a capability's tables up to date: each of `steps` runs once in the life of the store, in order. A step is
    /// never changed after a release; a new one is added.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn migrate(&self, capability: &'static str, steps: &[&[&'static str]]) -> Result<(), Error> {
        let table = "CREATE TABLE IF NOT EXISTS ferroflow_steps (capability TEXT PRIMARY KEY, done BIGINT NOT NULL)";
        self.write(vec![Statement::new(table, [])]).await?;
        let done = "SELECT done FROM ferroflow_steps WHERE capability = $1";
        let rows = self.read(Statement::new(done, [capability.into()])).await?;
        let done = rows.first().map(|row| row.integer(0)).transpose()?.unwrap_or_default();
        for (number, step) in (1_i64..).zip(steps).skip_while(|(number, _)| *number <= done) {
            let mut write: Vec<Statement> = step.iter().map(|sql| Statement::new(*sql, [])).collect();
            let mark = "INSERT INTO ferroflow_steps (capability, done) VALUES ($1, $2) \
                        ON CONFLICT (capability) DO UPDATE SET done = excluded.done";
            write.push(Statement::new(mark, [capability.into(), number.into()]));
            self.write(write).await?;
        }
        Ok(())
    }

    /// Runs one reading statement. It sees every write that was acknowledged before.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub async fn read(&self, statement: Statement) -> Result<Vec<Row>, Error> {
        let _place = self.inner.places.acquire().await.map_err(|_| Error::Stopped)?;
        let inner = self.inner.clone();
        let reading = tokio::task::spawn_blocking(move || inner.read(&statement));
        reading.await.map_err(|_| Error::Stopped)?
    }

    /// Runs statements in one transaction, and completes when it is on disk. Returns the rows that each has changed.
    ///
    /// # Errors
    /// [`Error::Duplicate`] and [`Error::Unchanged`], after which nothing of it was done.
    pub async fn write(&self, statements: Vec<Statement>) -> Result<Vec<usize>, Error> {
        let (reply, answer) = oneshot::channel();
        let place = self.inner.writer.place().await?;
        self.inner.writer.send(Write { statements, outcome: None, reply }, place)?;
        answer.await.map_err(|_| Error::Stopped)?
    }
}

impl Inner {
    fn read(&self, statement: &Statement) -> Result<Vec<Row>, Error> {
        let spare = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match spare {
            Some(connection) => connection,
            None => reader(&self.path).map_err(Error::Read)?,
        };
        let rows = rows(&connection, statement).map_err(Error::Read)?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        Ok(rows)
    }
}

/// Statements that a connection keeps prepared.
const PREPARED: usize = 64;

fn reader(path: &Path) -> rusqlite::Result<Connection> {
    // One thread at a time has a connection, so that it needs no lock of its own.
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.set_prepared_statement_cache_capacity(PREPARED);
    sql::keep_plans(&connection)?;
    Ok(connection)
}

fn rows(connection: &Connection, statement: &Statement) -> rusqlite::Result<Vec<Row>> {
    let mut prepared = connection.prepare_cached(&numbered(&statement.sql))?;
    let columns = prepared.column_count();
    let mut rows = prepared.query(rusqlite::params_from_iter(&statement.values))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let values: rusqlite::Result<Vec<Value>> = (0..columns).map(|column| row.get_ref(column).map(value)).collect();
        found.push(Row(values?));
    }
    Ok(found)
}

fn value(column: ValueRef<'_>) -> Value {
    match column {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(value) => Value::Integer(value),
        ValueRef::Real(value) => Value::Real(value),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_owned()),
    }
}

/// `$1` of PostgreSQL as `?1` of SQLite, where `$1` would be a name. No literal of ours holds a dollar sign.
fn numbered(sql: &str) -> Cow<'_, str> {
    if sql.contains('$') { Cow::Owned(sql.replace('$', "?")) } else { Cow::Borrowed(sql) }
}

/// A write that waits for its group.
struct Write {
    statements: Vec<Statement>,
    outcome: Option<Result<Vec<usize>, Error>>,
    reply: oneshot::Sender<Result<Vec<usize>, Error>>,
}

impl Write {
    fn answer(self) {
        // A caller that no longer waits does not want to know.
        let _ = self.reply.send(self.outcome.unwrap_or(Err(Error::Stopped)));
    }

    fn run(&self, transaction: &Transaction<'_>) -> rusqlite::Result<Result<Vec<usize>, Error>> {
        let mut changed = Vec::with_capacity(self.statements.len());
        for (number, statement) in self.statements.iter().enumerate() {
            let mut prepared = transaction.prepare_cached(&numbered(&statement.sql))?;
            match prepared.execute(rusqlite::params_from_iter(&statement.values)) {
                Ok(0) if statement.must == Must::Change => return Ok(Err(Error::Unchanged(number))),
                Ok(count) => changed.push(count),
                Err(rusqlite::Error::SqliteFailure(code, text)) if code.code == ErrorCode::ConstraintViolation => {
                    return Ok(Err(Error::Duplicate(text.unwrap_or_else(|| code.to_string()))));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Ok(changed))
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

#[cfg(test)]
mod tests {
    use super::*;

    async fn store() -> (tempfile::TempDir, Records) {
        let directory = tempfile::tempdir().unwrap();
        let records = Records::open(&directory.path().join("records.db"), Box::new(|_| {})).unwrap();
        let steps: [&[&str]; 1] = [&["CREATE TABLE test_rows (id TEXT PRIMARY KEY, state BIGINT NOT NULL)"]];
        records.migrate("test", &steps).await.unwrap();
        (directory, records)
    }

    fn insert(id: &str) -> Statement {
        Statement::new("INSERT INTO test_rows (id, state) VALUES ($1, $2)", [id.into(), 1_i64.into()])
    }

    async fn ids(records: &Records) -> Vec<String> {
        let rows = records.read(Statement::new("SELECT id FROM test_rows ORDER BY id", [])).await.unwrap();
        rows.iter().map(|row| row.text(0).unwrap().to_owned()).collect()
    }

    #[tokio::test]
    async fn a_write_is_whole_or_not_at_all_and_leaves_others_of_its_group_alone() {
        let (_directory, records) = store().await;
        let duplicate = records.write(vec![insert("b"), insert("b")]);
        let (good, duplicate, other) =
            tokio::join!(records.write(vec![insert("a")]), duplicate, records.write(vec![insert("c")]));
        assert_eq!(good.unwrap(), [1]);
        assert!(matches!(duplicate, Err(Error::Duplicate(_))));
        other.unwrap();
        assert_eq!(ids(&records).await, ["a", "c"]);
    }

    #[tokio::test]
    async fn an_update_that_must_change_something_undoes_the_write_where_it_does_not() {
        let (_directory, records) = store().await;
        records.write(vec![insert("a")]).await.unwrap();
        let from = |from: i64| {
            let sql = "UPDATE test_rows SET state = state + 1 WHERE state = $1";
            Statement::new(sql, [from.into()]).must_change()
        };
        records.write(vec![from(1)]).await.unwrap();
        let outcome = records.write(vec![insert("b"), from(7)]).await;
        assert!(matches!(outcome, Err(Error::Unchanged(1))));
        assert_eq!(ids(&records).await, ["a"]);
    }

    #[tokio::test]
    async fn steps_run_once_in_the_life_of_a_store() {
        let (directory, records) = store().await;
        records.write(vec![insert("a")]).await.unwrap();
        drop(records);
        let records = Records::open(&directory.path().join("records.db"), Box::new(|_| {})).unwrap();
        let create: &[&str] = &["CREATE TABLE test_rows (id TEXT PRIMARY KEY, state BIGINT NOT NULL)"];
        let add: &[&str] = &["ALTER TABLE test_rows ADD COLUMN note TEXT"];
        records.migrate("test", &[create, add]).await.unwrap();
        records.migrate("test", &[create, add]).await.unwrap();
        assert_eq!(ids(&records).await, ["a"]);
    }
}
