//! What an image is, without touching the world: the same input makes the same bytes.

pub mod bundle;
pub mod challenge;
pub mod collect;
pub mod credentials;
pub mod digest;
pub mod document;
pub mod layer;
pub mod limits;
pub mod manifest;
pub mod member;
pub mod name;
pub mod pax;
pub mod platform;
pub mod record;
pub mod reference;
pub mod registries;
pub mod retry;
pub mod run;

/// What cannot be part of an image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("path {0:?} of a layer must be relative, without . and .. and empty parts")]
    Path(String),
    #[error("path {0:?} is in the layer already; a layer holds a path once")]
    Twice(String),
    #[error("path {0:?} lies below {1:?}, which is no directory in this layer")]
    BelowFile(String, String),
}
