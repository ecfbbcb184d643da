//! What is recorded and kept, as an archive that another store takes: see [`core::moving`](crate::core::moving).
//!
//! * [`line`]: rows as lines of JSON.
//! * [`export`]: the archive is written.
//! * [`import`]: it is read, and what is new of it recorded.
//! * [`adding`]: what becomes of each row of it.
//! * [`standing`]: what there is, as a manifest has it.

mod adding;
pub mod export;
pub mod import;
mod line;
#[cfg(test)]
mod live_tests;
mod standing;
#[cfg(test)]
mod tests;

use ferroflow_platform::{blob::StoreError, records};

pub use export::{Scope, export};
pub use import::{Choices, import};

/// Why something cannot be moved.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("records cannot be moved")]
    Records(#[from] records::Error),
    #[error("objects cannot be moved")]
    Store(#[from] StoreError),
    /// The archive is none, is damaged, or is of another program.
    #[error("the archive cannot be read: {0}")]
    Archive(String),
    /// What is in the way of an import; nothing was changed.
    #[error("{}", .0.join("\n"))]
    InTheWay(Vec<String>),
    /// Somebody else has changed the store during an import, or is about to; it can be begun again.
    #[error("the store has changed during the import: {0}")]
    Meanwhile(String),
    /// Nothing has this namespace.
    #[error("nothing is recorded in namespace {0}")]
    NoNamespace(String),
}

/// What was moved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    pub experiments: u64,
    pub pipelines: u64,
    pub versions: u64,
    pub recurring_runs: u64,
    pub runs: u64,
    /// Of an import: runs that were there already.
    pub runs_there: u64,
    /// Of an import: `NAME (ID)` of runs that were not added since another one has their id, or the same one is there in
    /// another namespace. A recurring run that goes on in two stores gives the same ids in both.
    pub others: Vec<String>,
    /// Of an import: runs that had not ended.
    pub unfinished: u64,
    pub objects: u64,
    /// Of objects.
    pub bytes: u64,
    /// Runs that the manifest announces.
    pub of_runs: u64,
}

/// The directory of the last sum of an archive.
const END: &str = "end";
/// Bytes of the manifest that are read: names of some hundred thousand things.
const MANIFEST_BYTES: u64 = 256 * 1024 * 1024;
