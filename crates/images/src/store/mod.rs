//! Reads trees of files, writes layers and archives, and keeps images on disk. What is in them and what goes is
//! decided in [`crate::core`].

mod archive;
mod layer;
mod local;
mod section;
mod tree;
mod unpack;
mod uses;

use std::{io, path::PathBuf};

pub use archive::{Image, write_archive};
pub use layer::{LayerFile, write_layer};
pub use local::{Guard, Store, StoreError, Work, remove_tree};
pub use section::{ArchiveError, ArchiveFile, Section};
pub use tree::add_tree;
pub use unpack::{Error as UnpackError, Packed};

/// Why an image could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("read {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("write {path}")]
    Write { path: PathBuf, source: io::Error },
    #[error("{path} has another size than when it was found ({size_bytes} bytes); nothing may write to it meanwhile")]
    Changed { path: PathBuf, size_bytes: u64 },
    #[error(transparent)]
    Content(#[from] crate::core::Error),
    #[error("the JSON of an image")]
    Json(#[from] serde_json::Error),
}
