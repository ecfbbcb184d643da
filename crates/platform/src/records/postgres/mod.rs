//! Records in a database of PostgreSQL, which several replicas share.
//!
//! * [`address`]: what a URL asks for, and TLS.
//! * [`pool`]: connections, and the statements that each has prepared.
//! * [`attempt`]: one try at a read or a write, and what its failure means.
//! * [`migrate`]: steps, under a lock of all replicas.
//! * [`value`]: values in the server's binary format.
//!
//! What fails before its commit was asked for is tried again, until it has waited for [`PATIENCE`]: a server that starts
//! again, fails over, or ends a transaction in favour of another one is waited out.

mod address;
mod attempt;
mod migrate;
mod pool;
mod value;

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use self::{
    address::Address,
    attempt::Failure,
    pool::{Access, Pool},
};
use super::{Error, Guard, Row, Statement};

/// How long a read or a write waits for the server: longer than it takes to be started again or replaced (10 s), shorter
/// than clients wait for an answer (30 s and more).
const PATIENCE: Duration = Duration::from_secs(20);
/// The first pause before another try; it doubles up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// Connections that write at the same time. Each has a process of the server, which has 100 for all by default: two
/// replicas with these and [`READERS`] take 32.
const WRITERS: usize = 8;
/// Connections that read at the same time.
const READERS: usize = 8;

/// The engine.
pub(super) struct Postgres {
    readers: Pool,
    writers: Pool,
}

/// Tries that have failed, and until when others follow.
struct Tries {
    deadline: Instant,
    pause: Duration,
    reason: String,
}

impl Tries {
    fn new(patience: Duration) -> Self {
        Self { deadline: Instant::now() + patience, pause: PAUSE, reason: "it did not answer".to_owned() }
    }

    /// Waits before the next try.
    ///
    /// # Errors
    /// [`Error::Away`] when there is no time for one.
    async fn again(&mut self, reason: String) -> Result<(), Error> {
        tracing::debug!(reason, "PostgreSQL is asked again");
        self.reason = reason;
        if Instant::now() + self.pause >= self.deadline {
            return Err(self.given_up());
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }

    fn given_up(&self) -> Error {
        Error::Away { waited: PATIENCE, reason: self.reason.clone() }
    }

    /// Waits no longer for a connection than there is time.
    async fn connection(&mut self, pool: &Pool) -> Result<pool::Lent, Error> {
        loop {
            match tokio::time::timeout_at(self.deadline, pool.take()).await {
                Err(_) => return Err(self.given_up()),
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(Failure::Final(error))) => return Err(error),
                Ok(Err(Failure::Again(reason) | Failure::Lost(reason) | Failure::InDoubt(reason))) => {
                    self.again(reason).await?;
                }
            }
        }
    }
}

impl Postgres {
    /// Opens the database of a URL.
    ///
    /// # Errors
    /// [`Error::Address`], [`Error::Away`].
    pub(super) async fn connect(url: &str) -> Result<Self, Error> {
        let address = Arc::new(Address::read(url)?);
        let readers = Pool::new(address.clone(), Access::Read, READERS);
        let writers = Pool::new(address, Access::Write, WRITERS);
        Tries::new(PATIENCE).connection(&writers).await?.give_back();
        Ok(Self { readers, writers })
    }

    /// Runs reading statements on one state.
    ///
    /// # Errors
    /// [`Error::Away`], [`Error::Refused`].
    pub(super) async fn read(&self, statements: &[Statement]) -> Result<Vec<Vec<Row>>, Error> {
        let mut tries = Tries::new(PATIENCE);
        loop {
            let mut connection = tries.connection(&self.readers).await?;
            match tokio::time::timeout_at(tries.deadline, attempt::read(&mut connection, statements)).await {
                Err(_) => return Err(tries.given_up()),
                Ok(Ok(rows)) => {
                    connection.give_back();
                    return Ok(rows);
                }
                Ok(Err(Failure::Final(error))) => {
                    connection.give_back();
                    return Err(error);
                }
                Ok(Err(Failure::Again(reason))) => {
                    connection.give_back();
                    tries.again(reason).await?;
                }
                Ok(Err(Failure::Lost(reason) | Failure::InDoubt(reason))) => {
                    drop(connection);
                    tries.again(reason).await?;
                }
            }
        }
    }

    /// Runs statements in one transaction.
    ///
    /// # Errors
    /// [`Error::InDoubt`], or another one, after which nothing of it was done.
    pub(super) async fn write(&self, statements: &[Statement], guard: Guard) -> Result<Vec<usize>, Error> {
        let mut tries = Tries::new(PATIENCE);
        loop {
            let mut connection = tries.connection(&self.writers).await?;
            let mut stage = attempt::Stage::Open;
            let write = attempt::write(&mut connection, statements, guard, &mut stage);
            let outcome = tokio::time::timeout_at(tries.deadline, write).await;
            match outcome {
                Err(_) if stage == attempt::Stage::Committing => {
                    return Err(Error::InDoubt(format!("it did not answer within {} s", PATIENCE.as_secs())));
                }
                Err(_) => return Err(tries.given_up()),
                Ok(Ok(changed)) => {
                    connection.give_back();
                    return Ok(changed);
                }
                Ok(Err(Failure::Final(error))) => {
                    connection.give_back();
                    return Err(error);
                }
                Ok(Err(Failure::Again(reason))) => {
                    connection.give_back();
                    tries.again(reason).await?;
                }
                Ok(Err(Failure::Lost(reason))) => {
                    drop(connection);
                    tries.again(reason).await?;
                }
                Ok(Err(Failure::InDoubt(reason))) => return Err(Error::InDoubt(reason)),
            }
        }
    }
}
