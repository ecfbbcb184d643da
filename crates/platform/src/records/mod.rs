//! The record store: what the platform observes, in SQL that SQLite and PostgreSQL both understand.
//!
//! * [`value`]: statements, their values, and rows.
//! * [`sqlite`]: the engine of one machine, a file.
//! * [`postgres`]: the engine of a cluster, a server that several replicas share.
//!
//! A capability owns tables whose names begin with its own name, and changes them by steps that run once
//! ([`Records::migrate`]). One text serves both engines: placeholders are `$1`, `$2` …; types are `BIGINT`,
//! `DOUBLE PRECISION`, `TEXT` (compared by bytes, without U+0000) and `BYTEA`; what is yes or no is 0 or 1. What a
//! statement looks for in lower case is lowered before, for `LOWER` of a value is the database's, of a column ours.
//!
//! A write is whole or not at all, and on disk when it is acknowledged. On SQLite writes come one after another and share
//! commits; on PostgreSQL they run side by side, each statement seeing what was committed before it. So a write that
//! depends on a row which it does not change itself begins with an update of that row that changes nothing: whoever would
//! change or remove it waits.

mod postgres;
mod sqlite;
mod value;

use std::{fmt, path::Path, sync::Arc, time::Duration};

pub use value::{Row, Statement, Value};

use self::{postgres::Postgres, sqlite::Sqlite};
use crate::sql;

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
    /// A text has a character that no record may have; nothing was done.
    #[error(
        "value {value} of statement {statement} holds the character U+0000, which no record may have; leave it out"
    )]
    Nul { statement: usize, value: usize },
    /// A newer epoch has been taken; nothing of the write was done.
    #[error("a write of epoch {epoch} is refused: {holder} leads, in epoch {now}")]
    Fenced { epoch: Epoch, now: Epoch, holder: String },
    /// The store's address cannot be used.
    #[error("the record store's address: {0}")]
    Address(String),
    /// The server could not be reached in time; nothing was done.
    #[error("PostgreSQL was not there for {} s ({reason}); nothing was written, try again", waited.as_secs())]
    Away { waited: Duration, reason: String },
    /// The server was lost while it committed.
    #[error("PostgreSQL was lost while it committed a write ({0}); read whether it stands before it is tried again")]
    InDoubt(String),
    /// The server does not do what a statement says; nothing of the write was done.
    #[error("the record store refuses a statement: {0}")]
    Refused(String),
    #[error("the record store has stopped")]
    Stopped,
}

/// The number of a time in which one replica leads: the next one's is greater. Only [`Records::take_epoch`] gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(i64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a transaction of a write begins with.
#[derive(Clone, Copy, Debug)]
enum Guard {
    /// Nothing: a write of any replica.
    Open,
    /// The epoch must be the one that counts until the write has been committed.
    Within(Epoch),
    /// No write that is [`Within`](Self::Within) an epoch is under way until this one has been committed.
    Alone,
}

/// What a [`Guard`] asks the table of the leader.
const LEADER: &str = "SELECT epoch, holder FROM ferroflow_leader WHERE name = 'leader'";

/// The table of the leader: one row.
const LEADER_STEPS: &[&[&str]] = &[&[
    "CREATE TABLE ferroflow_leader (name TEXT PRIMARY KEY, epoch BIGINT NOT NULL, holder TEXT NOT NULL)",
    "INSERT INTO ferroflow_leader (name, epoch, holder) VALUES ('leader', 0, 'nobody')",
]];

/// Replicas that may take an epoch at the same time before one of them is told to try again.
const TAKERS: usize = 16;

/// The record store. Cheap to clone.
#[derive(Clone)]
pub struct Records {
    engine: Engine,
    guard: Guard,
}

#[derive(Clone)]
enum Engine {
    Sqlite(Arc<Sqlite>),
    Postgres(Arc<Postgres>),
}

impl Records {
    /// Opens the store in the file at `path`, or makes it. `failed` is called when the disk refuses a write.
    ///
    /// # Errors
    /// [`Error::Sql`].
    pub fn open(path: &Path, failed: Box<dyn FnOnce(sql::Error) + Send>) -> Result<Self, Error> {
        let engine = Engine::Sqlite(Arc::new(Sqlite::open(path, failed)?));
        Ok(Self { engine, guard: Guard::Open })
    }

    /// Opens the store in the database of a PostgreSQL server, version 12 or newer, at
    /// `postgres://USER:PASSWORD@HOST[:PORT]/DATABASE[?sslmode=…&sslrootcert=…]`. `sslmode` is `disable`, `prefer` (the
    /// default), `require`, `verify-ca` or `verify-full`, and means what it means to other clients of PostgreSQL.
    ///
    /// # Errors
    /// [`Error::Address`], also when the server does not let this user in; [`Error::Away`].
    pub async fn connect(url: &str) -> Result<Self, Error> {
        let engine = Engine::Postgres(Arc::new(Postgres::connect(url).await?));
        Ok(Self { engine, guard: Guard::Open })
    }

    /// Brings a capability's tables up to date: each of `steps` runs once in the life of the store, in order, whoever else
    /// starts at the same time. A step is never changed after a release; a new one is added.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn migrate(&self, capability: &'static str, steps: &[&[&'static str]]) -> Result<(), Error> {
        match &self.engine {
            Engine::Sqlite(engine) => engine.migrate(capability, steps).await,
            Engine::Postgres(engine) => engine.migrate(capability, steps).await,
        }
    }

    /// Runs one reading statement. It sees every write that was acknowledged before.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Refused`], [`Error::Away`], [`Error::Nul`].
    pub async fn read(&self, statement: Statement) -> Result<Vec<Row>, Error> {
        Ok(self.read_all(vec![statement]).await?.pop().unwrap_or_default())
    }

    /// Runs reading statements on one state of the store, which holds every write that was acknowledged before. Returns the
    /// rows of each.
    ///
    /// # Errors
    /// Those of [`read`](Self::read).
    pub async fn read_all(&self, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>, Error> {
        check(&statements)?;
        match &self.engine {
            Engine::Sqlite(engine) => engine.read(statements).await,
            Engine::Postgres(engine) => engine.read(&statements).await,
        }
    }

    /// Runs statements in one transaction, and completes when it is on disk. Returns the rows that each has changed.
    ///
    /// # Errors
    /// [`Error::InDoubt`]; after any other, [`Error::Duplicate`] and [`Error::Unchanged`] among them, nothing of it was
    /// done.
    pub async fn write(&self, statements: Vec<Statement>) -> Result<Vec<usize>, Error> {
        self.run(statements, self.guard).await
    }

    async fn run(&self, statements: Vec<Statement>, guard: Guard) -> Result<Vec<usize>, Error> {
        check(&statements)?;
        match &self.engine {
            Engine::Sqlite(engine) => engine.write(statements, guard).await,
            Engine::Postgres(engine) => engine.write(&statements, guard).await,
        }
    }

    /// Begins an epoch that `holder` leads. Waits for writes of the last one that are under way; when it returns, none of
    /// them can be committed any more.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn take_epoch(&self, holder: &str) -> Result<Epoch, Error> {
        self.migrate("ferroflow_leader", LEADER_STEPS).await?;
        for _ in 0..TAKERS {
            let rows = self.read(Statement::new(LEADER, [])).await?;
            let now = rows.first().map_or(Ok(0), |row| row.integer(0))?;
            let sql = "UPDATE ferroflow_leader SET epoch = $2, holder = $3 WHERE name = 'leader' AND epoch = $1";
            let take = Statement::new(sql, [now.into(), (now + 1).into(), holder.into()]).must_change();
            match self.run(vec![take], Guard::Alone).await {
                Ok(_) => return Ok(Epoch(now + 1)),
                // Somebody was quicker, or we do not know whether it was us: a number that nobody has does no harm.
                Err(Error::Unchanged(_) | Error::InDoubt(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::Refused(format!("{holder} could not take an epoch: others took {TAKERS} meanwhile; try again")))
    }

    /// The same store for a leader: every write through it is refused as a whole, with [`Error::Fenced`], once a newer
    /// epoch has been taken. What is read through it is not.
    #[must_use]
    pub fn fenced(&self, epoch: Epoch) -> Self {
        Self { engine: self.engine.clone(), guard: Guard::Within(epoch) }
    }
}

/// Refuses what only one of the engines would take.
fn check(statements: &[Statement]) -> Result<(), Error> {
    let unfit = |(number, one): (usize, &Statement)| {
        one.unfit().map(|value| Error::Nul { statement: number, value: value + 1 })
    };
    statements.iter().enumerate().find_map(unfit).map_or(Ok(()), Err)
}

/// Whether a row of [`LEADER`] lets a write of an epoch pass.
fn within(epoch: Epoch, rows: &[Row]) -> Result<(), Error> {
    let Some(row) = rows.first() else {
        return Err(Error::Fenced { epoch, now: Epoch(0), holder: "nobody".to_owned() });
    };
    let now = Epoch(row.integer(0)?);
    if now == epoch { Ok(()) } else { Err(Error::Fenced { epoch, now, holder: row.text(1)?.to_owned() }) }
}
