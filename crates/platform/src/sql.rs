//! SQLite behind one writer that commits in groups.
//!
//! Acts of many callers that wait at the same time share one transaction and one fsync; each caller
//! is told after that commit. The engine's own speed matters little beside the fsync (about 3 ms on
//! an ordinary disk), so the group is what makes durable writes fast.
//!
//! A disk that is full stops nothing that waits: a group is written again until there is space, and whoever comes meanwhile
//! is refused at once. Any other failure of a write ends the writer.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, Transaction, config::DbConfig};
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
    #[error("a write to the database failed; this process ends, so that nothing unwritten is acknowledged")]
    Write(#[from] rusqlite::Error),
    /// Nothing was written of what was asked for.
    #[error("the disk is full, so nothing can be written; free space on it, and ask again")]
    Full,
    #[error("the database writer has stopped")]
    Stopped,
}

/// Acts that may wait for a commit; when all places are taken callers wait for one, which bounds memory.
const QUEUE: usize = 4096;
/// Acts in one commit: enough that the fsync costs each little, few enough that a reply is not late.
const GROUP: usize = 1024;

/// A group that the full disk refused is written again after this.
const PAUSE: Duration = Duration::from_millis(500);

/// One act inside a group's transaction.
pub trait Act: Send + 'static {
    /// Writes into the open transaction; again into another one, where the disk was full.
    ///
    /// # Errors
    /// What SQLite refused. But for a full disk it stops the writer.
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
    is_full: Arc<AtomicBool>,
}

impl<A> Clone for Writer<A> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), places: self.places.clone(), is_full: self.is_full.clone() }
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
        keep_plans(&connection)?;
        Ok(connection)
    };
    open().map_err(|source| Error::Open { path: path.display().to_string(), source })
}

/// Lets a prepared statement be planned once. Without this SQLite plans it anew for each value of a column that it has
/// statistics of, which takes longer than most statements.
///
/// # Errors
/// What SQLite says.
pub fn keep_plans(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
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
        let is_full = Arc::new(AtomicBool::new(false));
        let full = is_full.clone();
        let thread = thread::Builder::new()
            .name("ferroflow-sql".to_owned())
            .spawn(move || {
                if let Err(error) = run(connection, &receiver, publish, &full) {
                    failed(error);
                }
            })
            .map_err(|_| Error::Stopped)?;
        Ok((Self { sender, places: Arc::new(Semaphore::new(QUEUE)), is_full }, thread))
    }

    /// Waits for a place in the queue.
    ///
    /// # Errors
    /// [`Error::Full`] while there is no space on the disk, [`Error::Stopped`] after a failed write.
    pub async fn place(&self) -> Result<Place, Error> {
        if self.is_full.load(Ordering::Relaxed) {
            return Err(Error::Full);
        }
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
    is_full: &AtomicBool,
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
        insist(&mut connection, &mut group, is_full)?;
        publish(group);
        drop(places);
    }
    Ok(())
}

/// Writes a group, as often as the disk is full.
fn insist<A: Act>(connection: &mut Connection, group: &mut [A], is_full: &AtomicBool) -> rusqlite::Result<()> {
    loop {
        match commit(connection, group) {
            Err(error) if is_out_of_space(&error) => {
                if !is_full.swap(true, Ordering::Relaxed) {
                    let path = connection.path().unwrap_or_default();
                    tracing::error!(path, %error, "the disk is full; nothing is written or acknowledged until there is space");
                }
                thread::sleep(PAUSE);
            }
            outcome => {
                if is_full.swap(false, Ordering::Relaxed) && outcome.is_ok() {
                    tracing::info!("there is space on the disk again; writing goes on");
                }
                return outcome;
            }
        }
    }
}

fn commit<A: Act>(connection: &mut Connection, group: &mut [A]) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    for act in group {
        act.write(&transaction)?;
    }
    transaction.commit()
}

/// Whether SQLite has found no space, for its files or for the memory that its connections share, which is a file as well.
/// Where it cannot say whether what it wrote is on disk (a failed fsync), it is no such thing.
fn is_out_of_space(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| {
        error.code == ErrorCode::DiskFull || error.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{atomic::AtomicU32, mpsc::RecvTimeoutError};

    use super::*;

    /// Inserts so many bytes into a database that may have so many pages, as on a disk of that size.
    struct Insert(u32, Arc<AtomicU32>);

    impl Act for Insert {
        fn write(&mut self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
            transaction.pragma_update(None, "max_page_count", self.1.load(Ordering::Relaxed))?;
            transaction.execute("INSERT INTO rows VALUES (zeroblob(?1))", [self.0]).map(drop)
        }

        fn durable(&self) -> bool {
            true
        }
    }

    #[tokio::test]
    async fn a_full_disk_stops_nothing_but_for_a_while() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("db");
        let connection = open(&path).unwrap();
        connection.execute_batch("CREATE TABLE rows (bytes BLOB)").unwrap();
        let pages = Arc::new(AtomicU32::new(20));
        let (told, hears) = channel();
        let publish: Publish<Insert> = Box::new(move |group| told.send(group.len()).unwrap());
        let failed = Box::new(|error| panic!("{error}"));
        let (writer, _thread) = Writer::start(connection, publish, failed).unwrap();
        let place = writer.place().await.unwrap();
        writer.send(Insert(100, pages.clone()), place).unwrap();
        assert_eq!(hears.recv().unwrap(), 1);
        let place = writer.place().await.unwrap();
        writer.send(Insert(1 << 20, pages.clone()), place).unwrap();
        let refused = async {
            while !matches!(writer.place().await, Err(Error::Full)) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), refused).await.unwrap();
        assert_eq!(hears.recv_timeout(Duration::ZERO), Err(RecvTimeoutError::Timeout), "nothing is acknowledged");
        pages.store(1 << 20, Ordering::Relaxed);
        assert_eq!(hears.recv_timeout(Duration::from_secs(10)), Ok(1));
        let goes_on = async {
            while writer.place().await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), goes_on).await.unwrap();
        let rows: i64 = open(&path).unwrap().query_row("SELECT COUNT(*) FROM rows", [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 2, "once each");
    }
}
