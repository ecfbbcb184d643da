//! Label and field selectors: parsing, printing, matching, with the messages of Kubernetes.
//!
//! Nothing here knows where objects come from; a selector is asked about one object at a time.

pub mod fields;
pub mod labels;
mod quote;

pub use quote::go_quote;

/// Why a selector is not one; the text is what a Kubernetes API server answers with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub String);
