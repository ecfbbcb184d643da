//! The store's rows in SQLite: one per live object, and the revision.

use std::{fs, path::Path, sync::Arc};

use bytes::Bytes;
use ferroflow_platform::sql;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use tokio::sync::oneshot;

use super::{ChangeKind, Entry, ObjectKey};

/// The store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("data directory \"{path}\" cannot be made")]
    Directory {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error(transparent)]
    Sql(#[from] sql::Error),
    #[error("the store cannot be read")]
    Read(#[from] rusqlite::Error),
    #[error("the store has format {found}, this program knows {known}; use the program that wrote it, or a newer one")]
    Format { found: i64, known: i64 },
}

/// The layout of the tables below. A change of it comes with a migration and a test on old data.
const FORMAT: i64 = 1;

/// Revisions that a store can hand out a second without overtaking one that is made later: a new store
/// starts at `unix seconds << 14`, 16,384 writes a second, which stays below 2^53 until the year 19,000.
const REVISIONS_A_SECOND_BITS: u32 = 14;

/// An object as it is read at the start.
pub struct Row {
    pub resource: String,
    pub key: ObjectKey,
    pub revision: u64,
    pub json: Bytes,
}

/// One write in a group.
pub struct Act {
    pub resource: Arc<str>,
    pub kind: ChangeKind,
    pub entry: Arc<Entry>,
    pub durable: bool,
    pub done: Option<oneshot::Sender<Arc<Entry>>>,
}

/// Opens the database and reads everything in it.
pub fn open(directory: &Path, now: Timestamp) -> Result<(Connection, u64, Vec<Row>), Error> {
    let made = fs::create_dir_all(directory);
    made.map_err(|source| Error::Directory { path: directory.display().to_string(), source })?;
    let connection = sql::open(&directory.join("cluster.db"))?;
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
         CREATE TABLE IF NOT EXISTS objects (
             id INTEGER PRIMARY KEY, resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
             revision INTEGER NOT NULL, json BLOB NOT NULL, UNIQUE (resource, namespace, name));",
    )?;
    let format = meta(&connection, "format")?;
    if let Some(found) = format.filter(|found| *found != FORMAT) {
        return Err(Error::Format { found, known: FORMAT });
    }
    let revision = match meta(&connection, "revision")? {
        Some(revision) => u64::try_from(revision).unwrap_or(0),
        None => {
            let first = u64::try_from(now.as_second()).unwrap_or(1) << REVISIONS_A_SECOND_BITS;
            set_meta(&connection, "format", FORMAT)?;
            set_meta(&connection, "revision", i64::try_from(first).unwrap_or(i64::MAX))?;
            first
        }
    };
    let rows = rows(&connection)?;
    Ok((connection, revision, rows))
}

fn meta(connection: &Connection, name: &str) -> rusqlite::Result<Option<i64>> {
    let mut statement = connection.prepare_cached("SELECT value FROM meta WHERE name = ?1")?;
    statement.query_row([name], |row| row.get(0)).optional()
}

fn set_meta(connection: &Connection, name: &str, value: i64) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("INSERT OR REPLACE INTO meta VALUES (?1, ?2)")?;
    statement.execute(params![name, value]).map(drop)
}

fn rows(connection: &Connection) -> rusqlite::Result<Vec<Row>> {
    let mut statement = connection.prepare("SELECT resource, namespace, name, revision, json FROM objects")?;
    let rows = statement.query_map([], |row| {
        let namespace: String = row.get(1)?;
        let name: String = row.get(2)?;
        let json: Vec<u8> = row.get(4)?;
        Ok(Row {
            resource: row.get(0)?,
            key: ObjectKey::new(&namespace, &name),
            revision: u64::try_from(row.get::<_, i64>(3)?).unwrap_or(0),
            json: json.into(),
        })
    })?;
    rows.collect()
}

impl sql::Act for Act {
    fn write(&mut self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        let key = &self.entry.key;
        let revision = i64::try_from(self.entry.revision).unwrap_or(i64::MAX);
        match self.kind {
            ChangeKind::Put => {
                let mut statement = transaction.prepare_cached(
                    "INSERT INTO objects (resource, namespace, name, revision, json) VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT (resource, namespace, name)
                     DO UPDATE SET revision = excluded.revision, json = excluded.json",
                )?;
                statement.execute(params![
                    &*self.resource,
                    &*key.namespace,
                    &*key.name,
                    revision,
                    &*self.entry.json
                ])?;
            }
            ChangeKind::Delete => {
                let mut statement = transaction
                    .prepare_cached("DELETE FROM objects WHERE resource = ?1 AND namespace = ?2 AND name = ?3")?;
                statement.execute(params![&*self.resource, &*key.namespace, &*key.name])?;
            }
        }
        set_meta(transaction, "revision", revision)
    }

    fn durable(&self) -> bool {
        self.durable
    }
}
