//! Who a request comes from: the local administrator, a service account, or nobody known.
//!
//! Keys and tokens lie in the data directory, readable by their owner only. What an identity may do
//! is `core::rbac`'s to say.

pub mod certificates;
pub mod token;

use std::path::Path;

use ferroflow_platform::{blob, identity::Identity};
use jiff::Timestamp;
use rand::RngExt;
use serde_json::Value;

use crate::{core::admission::Lookup, http::admission::StoreLookup};
pub use token::{Claims, TokenKey};

/// The keys of a data directory cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Blob(#[from] blob::Error),
    #[error(
        "file \"{0}\" in the data directory is damaged; remove it to have a new one made, and let clients read the new kubeconfig"
    )]
    Damaged(&'static str),
    #[error("a key or certificate cannot be made: {0}")]
    Make(String),
}

/// A secret file: its name, and how it is made when there is none.
fn secret(
    files: &blob::Directory,
    name: &'static str,
    make: impl FnOnce() -> Result<Vec<u8>, Error>,
) -> Result<Vec<u8>, Error> {
    if let Some(bytes) = files.get(name)? {
        return Ok(bytes);
    }
    let bytes = make()?;
    files.put_private(name, &bytes)?;
    Ok(bytes)
}

/// Knows tokens.
pub struct Authenticator {
    administrator: String,
    pub key: TokenKey,
    lookup: StoreLookup,
}

impl Authenticator {
    /// Reads the administrator's token and the key of service-account tokens, or makes them.
    ///
    /// # Errors
    /// [`Error`].
    pub fn open(directory: &Path, lookup: StoreLookup) -> Result<Self, Error> {
        let files = blob::Directory::new(directory);
        let token = secret(&files, "admin.token", || Ok(random_hex().into_bytes()))?;
        let administrator = String::from_utf8(token).map_err(|_| Error::Damaged("admin.token"))?;
        let key = TokenKey::from_pkcs8(&secret(&files, "service-account.key", TokenKey::generate)?)?;
        Ok(Self { administrator, key, lookup })
    }

    /// The administrator's token, for the kubeconfig.
    pub fn administrator_token(&self) -> &str {
        &self.administrator
    }

    /// Who holds a token; `None` when it is not, or no longer, good.
    pub fn token(&self, token: &str, now: Timestamp) -> Option<Identity> {
        if constant_time_eq(token.as_bytes(), self.administrator.as_bytes()) {
            return Some(Identity::administrator());
        }
        let claims = self.key.verify(token, now)?;
        let is_ours = claims.audiences.iter().any(|audience| audience == token::ISSUER);
        (is_ours && self.is_bound(&claims)).then(|| claims.identity())
    }

    /// A token is good while its account is the one it was made for, and its pod or secret too.
    fn is_bound(&self, claims: &Claims) -> bool {
        let uid_of = |plural: &str, name: &str| {
            let object = self.lookup.get("", plural, &claims.namespace, name);
            object.and_then(|object| object["metadata"]["uid"].as_str().map(str::to_owned))
        };
        let account = uid_of("serviceaccounts", &claims.account);
        let bound = claims.bound.as_ref().is_none_or(|bound| {
            let plural = if bound.kind == "Pod" { "pods" } else { "secrets" };
            uid_of(plural, &bound.name).as_deref() == Some(bound.uid.as_str())
        });
        account.as_deref() == Some(claims.account_uid.as_str()) && bound
    }

    /// The `status` of a TokenReview.
    pub fn review(&self, token: &str, audiences: &[String], now: Timestamp) -> Value {
        let claims = self.key.verify(token, now).filter(|claims| self.is_bound(claims));
        let identity = claims.as_ref().map(Claims::identity).or_else(|| self.token(token, now));
        let accepted = claims.map(|claims| claims.audiences);
        let audiences: Vec<String> = match (&accepted, audiences.is_empty()) {
            (Some(own), true) => own.iter().filter(|own| *own == token::ISSUER).cloned().collect(),
            (Some(own), false) => own.iter().filter(|own| audiences.contains(own)).cloned().collect(),
            (None, true) => vec![token::ISSUER.to_owned()],
            (None, false) => audiences.to_vec(),
        };
        match identity.filter(|_| !audiences.is_empty()) {
            None => serde_json::json!({"user": {}, "error": "invalid bearer token"}),
            Some(identity) => serde_json::json!({
                "authenticated": true,
                "user": {
                    "username": identity.name, "uid": identity.uid, "groups": identity.groups, "extra": identity.extra
                },
                "audiences": audiences,
            }),
        }
    }
}

fn random_hex() -> String {
    let bytes: [u8; 32] = rand::rng().random();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Compares without telling by its duration where the difference is.
fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}
