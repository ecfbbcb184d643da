//! A bucket of S3, or of a server that speaks as it does: where it is, who may use it, and whether it answers.

use std::time::Duration;

use bytes::Bytes;
use object_store::{
    BackoffConfig, ClientOptions, ObjectStoreExt, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder},
    path::Path,
};

use crate::causes::causes;

/// Where a bucket is and who may use it.
#[derive(Clone, Default)]
pub struct S3 {
    /// `http://127.0.0.1:7070`; empty for Amazon's own.
    pub endpoint: String,
    pub region: String,
    pub bucket: String,
    /// What the names of all objects begin with, without slashes around it; empty for the whole bucket.
    pub prefix: String,
    pub access_key: String,
    pub secret_key: String,
    /// Of credentials that are lent for a time; empty for others.
    pub session_token: String,
}

impl std::fmt::Debug for S3 {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let place = format!("s3://{}/{}", self.bucket, self.prefix);
        formatter.debug_struct("S3").field("endpoint", &self.endpoint).field("place", &place).finish_non_exhaustive()
    }
}

/// Why a bucket cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum S3Fault {
    #[error("there is no bucket \"{0}\"")]
    NoBucket(String),
    #[error("the credentials are refused: {0}")]
    Refused(String),
    #[error("there is no usable answer: {0}")]
    Unreachable(String),
    #[error("what was written is not what is read")]
    Other,
}

/// How long a connection takes at the most.
const CONNECT: Duration = Duration::from_secs(5);
/// How long nothing may come: a part of 8 MiB goes to the server in this time, which is 140 kB a second.
const SILENCE: Duration = Duration::from_secs(60);
/// How long one act is tried again, while a server is away or overloaded. Whoever asked for it (a launcher, a person) is
/// then told, and asks again; the actor of a run that looks into the cache waits no longer than this either.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a server is waited for at start.
const START: Duration = Duration::from_secs(10);
/// More tries than fit into [`PATIENCE`] with the pauses below: the time is what ends them.
const TRIES: usize = 1000;

impl S3 {
    /// The client, which asks for nothing yet.
    pub(super) fn client(&self, patience: Duration) -> object_store::Result<AmazonS3> {
        // The client takes the process's provider, of which there may be one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let pauses =
            BackoffConfig { init_backoff: Duration::from_millis(100), max_backoff: Duration::from_secs(2), base: 2.0 };
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&self.bucket)
            .with_region(&self.region)
            .with_access_key_id(&self.access_key)
            .with_secret_access_key(&self.secret_key)
            .with_retry(RetryConfig { backoff: pauses, max_retries: TRIES, retry_timeout: patience })
            .with_client_options(
                ClientOptions::new().with_timeout_disabled().with_connect_timeout(CONNECT).with_read_timeout(SILENCE),
            )
            .with_allow_http(self.endpoint.starts_with("http://"));
        if !self.session_token.is_empty() {
            builder = builder.with_token(&self.session_token);
        }
        if !self.endpoint.is_empty() {
            builder = builder.with_endpoint(&self.endpoint);
        }
        builder.build()
    }

    /// The client for all that follows.
    pub(super) fn patient(&self) -> object_store::Result<AmazonS3> {
        self.client(PATIENCE)
    }

    /// Writes, reads and removes a small object, within 10 seconds and the time of one answer.
    ///
    /// # Errors
    /// [`S3Fault`].
    pub async fn check(&self) -> Result<(), S3Fault> {
        let asked = tokio::time::timeout(START + SILENCE, self.round());
        asked.await.unwrap_or_else(|_| Err(S3Fault::Unreachable(format!("none for {} s", SILENCE.as_secs()))))
    }

    async fn round(&self) -> Result<(), S3Fault> {
        let fault = |error: object_store::Error| self.fault(&error);
        let client = self.client(START).map_err(fault)?;
        let object = Path::from(format!("{}/own/check", self.prefix));
        let written = Bytes::from_static(b"Ferroflow may write here.");
        client.put(&object, written.clone().into()).await.map_err(fault)?;
        let read = client.get(&object).await.map_err(fault)?.bytes().await.map_err(fault)?;
        client.delete(&object).await.map_err(fault)?;
        if read == written { Ok(()) } else { Err(S3Fault::Other) }
    }

    fn fault(&self, error: &object_store::Error) -> S3Fault {
        let said = told(causes(error));
        match error {
            object_store::Error::NotFound { .. } => S3Fault::NoBucket(self.bucket.clone()),
            object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
                S3Fault::Refused(said)
            }
            _ => S3Fault::Unreachable(said),
        }
    }
}

/// What the server itself says, where its answer in XML is a part of the error; all of the error otherwise.
fn told(error: String) -> String {
    let element = |name: &str| {
        let (_, rest) = error.split_once(&format!("<{name}>"))?;
        rest.split_once("</").map(|(text, _)| text)
    };
    match (element("Code"), element("Message")) {
        (Some(code), Some(message)) => format!("{message} ({code})"),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::told;

    #[test]
    fn a_refusal_is_told_in_the_server_s_words_without_its_xml() {
        let text =
            "PUT failed: 403 Forbidden: <Error><Code>AccessDenied</Code><Message>No such key.</Message><Id/></Error>";
        for (error, expected) in [(text, "No such key. (AccessDenied)"), ("no route <to> host", "no route <to> host")] {
            assert_eq!(told(error.to_owned()), expected);
        }
    }
}
