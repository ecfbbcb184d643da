//! Asks registries for manifests and blobs: logins, redirects, tries and bounds.
//!
//! What is asked of whom, and when again, is decided in [`crate::core`]. Nothing is pushed.

mod dial;
mod keyring;
mod session;

use std::{io, path::PathBuf, time::Duration};

pub use dial::Http;
pub use keyring::{Keyring, KeyringError};
pub use session::{Answer, Session};

use crate::core::{
    challenge::ChallengeError,
    digest::{Digest, DigestError},
};

/// A connection stands in this time or not at all.
const CONNECT: Duration = Duration::from_secs(10);
/// The longest silence of a registry: registries behind object stores think for some seconds.
const SILENCE: Duration = Duration::from_secs(60);

/// Why a registry did not give what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error("registry {server} has no {what}")]
    Missing { server: String, what: String },
    #[error("registry {server} does not give {what} to {who}: {message}")]
    Denied { server: String, what: String, who: &'static str, message: String },
    #[error("registry {server} answers {what} with {status}: {message}")]
    Status { server: String, what: String, status: u16, message: String },
    #[error("registry {server} cannot be reached")]
    Connect { server: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("registry {server} said nothing for {} seconds", SILENCE.as_secs())]
    Silent { server: String },
    #[error("registry {server}: the connection broke")]
    Broken { server: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("registry {server}: {what} has more than {most_bytes} bytes")]
    Large { server: String, what: String, most_bytes: u64 },
    #[error("registry {server}: {what} has the digest {found}, and not {expected}; it is not taken")]
    Digest { server: String, what: String, expected: Digest, found: Digest },
    #[error("registry {server}: {what} ended after {found_bytes} of {expected_bytes} bytes")]
    Short { server: String, what: String, found_bytes: u64, expected_bytes: u64 },
    #[error("registry {server} leads to {location:?}, which is not followed")]
    Redirect { server: String, location: String },
    #[error("registry {server} wants a login that cannot be had")]
    Challenge { server: String, source: ChallengeError },
    #[error("registry {server}: the token server's answer is no token")]
    Token { server: String },
    #[error("registry {server}: a digest that it names")]
    Name { server: String, source: DigestError },
    #[error("{0:?} is no address")]
    Address(String),
    #[error("\"{path}\" cannot be written")]
    File { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    #[error("the certificates of this machine cannot be read; set SSL_CERT_FILE to a file that has them")]
    Certificates(#[source] io::Error),
}

impl RegistryError {
    /// Whether the same request may succeed in a moment.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Status { status, .. } => crate::core::retry::is_passing(*status),
            Self::Connect { .. } | Self::Silent { .. } | Self::Broken { .. } | Self::Short { .. } => true,
            _ => false,
        }
    }
}
