//! Connections that are kept: as many as may be used at the same time, each with the statements that it has prepared.

use std::{
    collections::HashMap,
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_postgres::{Client, SimpleQueryMessage};
use tokio_util::task::AbortOnDropHandle;

use super::{
    address::{Address, CONNECT_PATIENCE},
    attempt::{self, Failure},
};
use crate::records::{Error, Statement, Value};

/// Statements that a connection keeps prepared: those of all capabilities, and the lists that clients ask for most.
const PREPARED: usize = 128;

/// How a connection is set up, in one statement, which also tells the database's encoding.
///
/// * A statement that runs longer than anybody waits for it ends.
/// * A transaction whose client says nothing for 5 s ends: a replica that was paused does not hold up the next one.
/// * A server that is told not to wait for the disk waits for it.
const SET_UP: &str = "SELECT current_setting('server_encoding'), current_setting('server_version_num'), \
    set_config('statement_timeout', '20000', false), \
    set_config('idle_in_transaction_session_timeout', '5000', false), \
    set_config('synchronous_commit', replace(current_setting('synchronous_commit'), 'off', 'on'), false), \
    set_config('default_transaction_isolation', 'read committed', false), \
    set_config('default_transaction_read_only', '";

/// The oldest server whose answers are known to be right.
const OLDEST: u32 = 12;

/// What connections of a pool are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

/// Connections to one server. Cheap to clone.
#[derive(Clone)]
pub(super) struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    address: Arc<Address>,
    access: Access,
    places: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
}

impl Pool {
    /// A pool that has no connections yet, and makes up to `places`.
    pub(super) fn new(address: Arc<Address>, access: Access, places: usize) -> Self {
        let places = Arc::new(Semaphore::new(places));
        Self { shared: Arc::new(Shared { address, access, places, idle: Mutex::default() }) }
    }

    /// A connection that nobody else uses, once there is one. It is closed when it is dropped.
    ///
    /// # Errors
    /// [`Failure`].
    pub(super) async fn take(&self) -> Result<Lent, Failure> {
        let Ok(place) = self.shared.places.clone().acquire_owned().await else {
            return Err(Failure::Final(Error::Stopped));
        };
        let connection = loop {
            let spare = self.shared.idle().pop();
            match spare {
                Some(connection) if connection.client.is_closed() => {}
                Some(connection) => break connection,
                None => break Connection::open(&self.shared.address, self.shared.access).await?,
            }
        };
        Ok(Lent { connection, pool: self.clone(), _place: place })
    }
}

impl Shared {
    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that is in use.
pub(super) struct Lent {
    connection: Connection,
    pool: Pool,
    // Behind the connection, so that no more are open than there are places.
    _place: OwnedSemaphorePermit,
}

impl Lent {
    /// Keeps the connection for the next one: it stands, and no transaction is open on it.
    pub(super) fn give_back(self) {
        if !self.connection.client.is_closed() {
            self.pool.shared.idle().push(self.connection);
        }
    }
}

impl Deref for Lent {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

/// A connection and what it has prepared.
pub(super) struct Connection {
    pub(super) client: Client,
    prepared: HashMap<String, Prepared>,
    uses: u64,
    /// Carries bytes; it ends with the connection.
    _driver: AbortOnDropHandle<()>,
}

struct Prepared {
    statement: tokio_postgres::Statement,
    last_use: u64,
}

impl Connection {
    async fn open(address: &Address, access: Access) -> Result<Self, Failure> {
        let opening = tokio::time::timeout(CONNECT_PATIENCE, Self::set_up(address, access)).await;
        opening.unwrap_or_else(|_| Err(Failure::Lost("it takes no clients".to_owned())))
    }

    async fn set_up(address: &Address, access: Access) -> Result<Self, Failure> {
        let connecting = address.config.connect(address.tls.clone()).await;
        let (client, driver) = connecting.map_err(|error| attempt::refusal(&error))?;
        let driver = tokio::spawn(async move {
            // Whoever uses the client is told.
            if let Err(error) = driver.await {
                tracing::debug!(%error, "a connection to PostgreSQL ended");
            }
        });
        let driver = AbortOnDropHandle::new(driver);
        let read_only = if access == Access::Read { "on" } else { "off" };
        let rows = client.simple_query(&format!("{SET_UP}{read_only}', false)")).await;
        let rows = rows.map_err(|error| attempt::refusal(&error))?;
        let found = rows.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some((row.get(0).unwrap_or_default(), row.get(1).unwrap_or_default())),
            _ => None,
        });
        let (encoding, version) = found.unwrap_or_default();
        if encoding != "UTF8" {
            let text = format!("the database's encoding is {encoding}; make one with ENCODING 'UTF8'");
            return Err(Failure::Final(Error::Address(text)));
        }
        let version = version.parse::<u32>().unwrap_or_default() / 10_000;
        if version < OLDEST {
            let text = format!("the server is PostgreSQL {version}; {OLDEST} is the oldest that is understood");
            return Err(Failure::Final(Error::Address(text)));
        }
        Ok(Self { client, prepared: HashMap::new(), uses: 0, _driver: driver })
    }

    /// A statement as the server knows it.
    ///
    /// # Errors
    /// What the server says.
    pub(super) async fn prepare(
        &mut self,
        statement: &Statement,
    ) -> Result<tokio_postgres::Statement, tokio_postgres::Error> {
        self.uses += 1;
        if let Some(known) = self.prepared.get_mut(statement.sql.as_ref()) {
            known.last_use = self.uses;
            return Ok(known.statement.clone());
        }
        let kinds: Vec<_> = statement.values.iter().map(Value::kind).collect();
        let prepared = self.client.prepare_typed(&statement.sql, &kinds).await?;
        if self.prepared.len() >= PREPARED {
            let oldest = self.prepared.iter().min_by_key(|(_, known)| known.last_use).map(|(sql, _)| sql.clone());
            oldest.and_then(|sql| self.prepared.remove(&sql));
        }
        let known = Prepared { statement: prepared.clone(), last_use: self.uses };
        self.prepared.insert(statement.sql.clone().into_owned(), known);
        Ok(prepared)
    }

    /// Forgets what is prepared: tables have changed.
    pub(super) fn forget(&mut self) {
        self.prepared.clear();
    }
}
