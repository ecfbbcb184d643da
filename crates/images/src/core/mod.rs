//! What an image is, without touching the world: the same input makes the same bytes.

pub mod digest;
pub mod layer;
pub mod manifest;
pub mod name;

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
