//! SQLite behind one writer that commits in groups.
//!
//! Acts of many callers that wait at the same time share one transaction and one fsync; each caller
//! is told after that commit. The engine's own speed matters little beside the fsync (about 3 ms on
//! an ordinary disk), so the group is what makes durable writes fast.

use std::{
    path::Path,
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

use rusqlite::{Connection, Transaction};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The database cannot be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("database \"{path}\" cannot be opened; is the disk full, or another ferroflow using it?")]
    Open {
        path: String,
        #[source]
        source: rusqlite::Error,
    },
    #[error("database write failed; the server stops so that nothing unwritten is acknowledged")]
    Write(#[from] rusqlite::Error),
    #[error("the database writer has stopped")]
    Stopped,
}

/// Acts that may wait for a commit; when all places are taken callers wait for one, which bounds memory.
const QUEUE: usize = 4096;
/// Acts in one commit: enough that the fsync costs each little, few enough that a reply is not late.
const GROUP: usize = 1024;

/// One act inside a group's transaction.
pub trait Act: Send + 'static {
    /// Writes into the open transaction.
    ///
    /// # Errors
    /// What SQLite refused; it fails the whole group and stops the writer.
    fn write(&mut self, transaction: &Transaction<'_>) -> rusqlite::Result<()>;

    /// Whether the caller waits for the disk. A group of acts that nobody waits for is still written
    /// at once, but its fsync comes with the next group that is waited for.
    fn durable(&self) -> bool;
}

/// What happens to a group once it is on disk; called on the writer's thread, in order.
pub type Publish<A> = Box<dyn FnMut(Vec<A>) + Send>;

/// The right to queue one act.
pub struct Place {
    _permit: OwnedSemaphorePermit,
}

/// The sending side of the writer's thread. Cheap to clone.
pub struct Writer<A> {
    sender: Sender<(A, Place)>,
    places: Arc<Semaphore>,
}

impl<A> Clone for Writer<A> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), places: self.places.clone() }
    }
}

/// Opens a database in WAL mode with `synchronous=FULL`.
///
/// # Errors
/// [`Error::Open`].
pub fn open(path: &Path) -> Result<Connection, Error> {
    let open = || -> rusqlite::Result<Connection> {
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.set_prepared_statement_cache_capacity(32);
        Ok(connection)
    };
    open().map_err(|source| Error::Open { path: path.display().to_string(), source })
}

impl<A: Act> Writer<A> {
    /// Starts the writer's thread. `failed` is called once if a group cannot be written; after that
    /// nothing is acknowledged any more.
    ///
    /// # Errors
    /// [`Error::Stopped`] when no thread can be made.
    pub fn start(
        connection: Connection,
        publish: Publish<A>,
        failed: Box<dyn FnOnce(Error) + Send>,
    ) -> Result<(Self, thread::JoinHandle<()>), Error> {
        let (sender, receiver) = channel();
        let thread = thread::Builder::new()
            .name("ferroflow-sql".to_owned())
            .spawn(move || {
                if let Err(error) = run(connection, &receiver, publish) {
                    failed(error);
                }
            })
            .map_err(|_| Error::Stopped)?;
        Ok((Self { sender, places: Arc::new(Semaphore::new(QUEUE)) }, thread))
    }

    /// Waits for a place in the queue.
    ///
    /// # Errors
    /// [`Error::Stopped`] after a failed write.
    pub async fn place(&self) -> Result<Place, Error> {
        self.places.clone().acquire_owned().await.map(|permit| Place { _permit: permit }).map_err(|_| Error::Stopped)
    }

    /// Queues an act without waiting, so that it may be called under a lock. The order of acts is the
    /// order of these calls.
    ///
    /// # Errors
    /// [`Error::Stopped`] after a failed write.
    pub fn send(&self, act: A, place: Place) -> Result<(), Error> {
        self.sender.send((act, place)).map_err(|_| Error::Stopped)
    }
}

fn run<A: Act>(
    mut connection: Connection,
    receiver: &Receiver<(A, Place)>,
    mut publish: Publish<A>,
) -> Result<(), Error> {
    let mut synced = true;
    while let Ok(first) = receiver.recv() {
        let waiting = std::iter::once(first).chain(receiver.try_iter()).take(GROUP);
        let (mut group, places): (Vec<A>, Vec<Place>) = waiting.unzip();
        let durable = group.iter().any(Act::durable);
        if durable != synced {
            connection.pragma_update(None, "synchronous", if durable { "FULL" } else { "NORMAL" })?;
            synced = durable;
        }
        let transaction = connection.transaction()?;
        for act in &mut group {
            act.write(&transaction)?;
        }
        transaction.commit()?;
        publish(group);
        drop(places);
    }
    Ok(())
}
