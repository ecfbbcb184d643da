//! What launchers ask, below `launcher/v1/`: a token of one attempt of one task is all that is taken for an identity.
//!
//! | request | is |
//! |---|---|
//! | `POST begin` | [`Begin`](crate::core::step::Begin), answered by a [`WorkOrder`](crate::core::step::WorkOrder) |
//! | `GET artifacts/{id}` | the bytes of an input, or the files of a directory as `application/x-tar`; 404 where nothing is stored |
//! | `PUT outputs/{name}[?at=PATH]` | the bytes of an output, or a directory as `application/x-tar`; answered by [`Uploaded`](crate::core::step::Uploaded). With `at`, they are stored there instead, relative to the directory of outputs |
//! | `PUT log` | the log of the attempt |
//! | `POST finish` | [`Report`](crate::core::step::Report), answered by a [`Verdict`](crate::core::step::Verdict) |
//!
//! 401, 403, 409 and 422 are final. 429 and 503 ask the launcher to come again. Bytes are never gathered but in the
//! places of [`Places`], which bound them.

mod answer;
mod places;

use std::time::Duration;

use bytes::Bytes;
use ferroflow_platform::{
    blob::{Blobs, Content, StoreError},
    causes::causes,
    clock::SharedClock,
    http::{
        body::{Body, BoxError},
        route::{decoded, query},
    },
};
use futures::{Stream, StreamExt, stream};
use http::{HeaderMap, Method, Request, Response, header};
use http_body_util::{BodyExt, Limited};
use serde::de::DeserializeOwned;

use crate::{
    controller::Steps,
    core::{
        step::{StepClaims, Uploaded},
        token::TokenKey,
        uri,
    },
};
use answer::{Refusal, json, streamed};
use places::{Place, Places};

/// The content type of a directory.
pub const TAR: &str = "application/x-tar";

/// Bytes of a [`Begin`](crate::core::step::Begin): one path.
const BEGIN_BYTES: usize = 64 * 1024;
/// Bytes of a report: an executor output of 64 MiB, parameters of 16 MiB, and 2 MiB for the rest. The launcher has the
/// same bounds for its parts.
const FINISH_BYTES: usize = 82 * 1024 * 1024;
/// Bytes of a log: 16 MiB, of which the launcher keeps to, and the mark between its parts.
const LOG_BYTES: usize = 17 * 1024 * 1024;
/// A sender that has sent nothing for so long has gone; it would hold a place that others wait for.
const SILENCE: Duration = Duration::from_secs(60);

/// Answers launchers. Cheap to clone.
#[derive(Clone)]
pub struct Launchers<S> {
    steps: S,
    blobs: Blobs,
    key: TokenKey,
    clock: SharedClock,
    places: Places,
}

impl<S: Steps> Launchers<S> {
    /// Answers by what `steps` says, to whoever has a token that was signed with `key`.
    pub fn new(steps: S, blobs: Blobs, key: TokenKey, clock: SharedClock) -> Self {
        Self { steps, blobs, key, clock, places: Places::default() }
    }

    /// Answers a request whose path contains `launcher/v1/`, whatever stands before it.
    pub async fn answer<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send,
        B::Error: Into<BoxError>,
    {
        self.route(request).await.unwrap_or_else(Refusal::response)
    }

    async fn route<B>(&self, request: Request<B>) -> Result<Response<Body>, Refusal>
    where
        B: http_body::Body<Data = Bytes> + Send,
        B::Error: Into<BoxError>,
    {
        let (head, body) = request.into_parts();
        let claims = self.claims(&head.headers)?;
        let path = head.uri.path().split_once("launcher/v1/").map_or("", |(_, path)| path).to_owned();
        let (place, name) = path.split_once('/').map_or((path.as_str(), None), |(place, name)| (place, Some(name)));
        let name = name.map(|name| decoded(name).ok_or_else(|| Refusal::bad("the path is no UTF-8"))).transpose()?;
        match (&head.method, place, name) {
            (&Method::POST, "begin", None) => {
                let begin = read(body, BEGIN_BYTES).await?;
                Ok(json(&self.steps.begin(&claims, begin).await?))
            }
            (&Method::GET, "artifacts", Some(id)) => self.input(&claims, &id).await,
            (&Method::PUT, "outputs", Some(name)) => {
                let pairs = query(head.uri.query().unwrap_or_default());
                let at = pairs.into_iter().find_map(|(name, value)| (name == "at").then_some(value));
                self.output(&claims, &name, at, is_tar(&head.headers), body).await
            }
            (&Method::PUT, "log", None) => self.log(&claims, body).await,
            (&Method::POST, "finish", None) => {
                let _place = self.places.report(announced(&head.headers)).await?;
                let report = read(body, FINISH_BYTES).await?;
                Ok(json(&self.steps.finish(&claims, report).await?))
            }
            _ => Err(Refusal::unknown(&head.method, head.uri.path())),
        }
    }

    fn claims(&self, headers: &HeaderMap) -> Result<StepClaims, Refusal> {
        let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = value.and_then(|value| value.strip_prefix("Bearer ")).ok_or_else(Refusal::no_token)?;
        Ok(self.key.verify(token.trim(), self.clock.now().as_second())?)
    }

    async fn input(&self, claims: &StepClaims, id: &str) -> Result<Response<Body>, Refusal> {
        let artifact = self.steps.input(claims, id).await?;
        let place = self.places.download(claims).await?;
        match self.blobs.open(&artifact.uri).await? {
            Some(Content::File(blob)) => Ok(streamed("application/octet-stream", Some(blob.size), blob.flow, place)),
            Some(Content::Directory(flow)) => Ok(streamed(TAR, None, flow, place)),
            None => Err(Refusal::missing(&artifact.name, &artifact.uri)),
        }
    }

    async fn output<B>(
        &self,
        claims: &StepClaims,
        name: &str,
        at: Option<String>,
        kind: Kind,
        body: B,
    ) -> Result<Response<Body>, Refusal>
    where
        B: http_body::Body<Data = Bytes> + Send,
        B::Error: Into<BoxError>,
    {
        let declared = self.steps.output(claims, name).await?;
        let place = match at {
            Some(at) => uri::beside(&declared, &at).ok_or_else(|| Refusal::outside(name, &at))?,
            None => declared,
        };
        let _place: Place = self.places.upload(claims).await?;
        let bytes = heard(body.into_data_stream());
        let stored = match kind {
            Kind::Directory => self.blobs.put_tar(&place, bytes).await,
            Kind::File => self.blobs.put(&place, bytes).await,
        };
        let stored = stored.inspect_err(|error| told(claims, &place, error))?;
        let is_directory = kind == Kind::Directory;
        Ok(json(&Uploaded { size_bytes: stored.size, is_directory, digest: stored.digest }))
    }

    async fn log<B>(&self, claims: &StepClaims, body: B) -> Result<Response<Body>, Refusal>
    where
        B: http_body::Body<Data = Bytes> + Send,
        B::Error: Into<BoxError>,
    {
        let log = self.steps.log(claims).await?;
        let _place: Place = self.places.upload(claims).await?;
        self.blobs.put(&log, heard(Limited::new(body, LOG_BYTES).into_data_stream())).await?;
        Ok(json(&serde_json::json!({})))
    }
}

/// Tells of a store that refuses, which the launcher asks again until it takes what it has: its log has nothing of it yet.
fn told(claims: &StepClaims, place: &str, error: &StoreError) {
    if matches!(error, StoreError::Store(_) | StoreError::Io(_)) {
        let (run, task, error) = (&claims.run, &claims.task, causes(error));
        tracing::warn!(run, task, place, error, "an output cannot be stored; its launcher tries again");
    }
}

/// Whether an output is one file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Directory,
}

fn is_tar(headers: &HeaderMap) -> Kind {
    if headers.get(header::CONTENT_TYPE).is_some_and(|value| value == TAR) { Kind::Directory } else { Kind::File }
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads a small body of JSON.
async fn read<B, T>(body: B, limit: usize) -> Result<T, Refusal>
where
    B: http_body::Body<Data = Bytes> + Send,
    B::Error: Into<BoxError>,
    T: DeserializeOwned,
{
    let pieces = heard(Limited::new(body, limit).into_data_stream());
    let bytes = pieces
        .fold(Ok(Vec::new()), |gathered: Result<Vec<u8>, BoxError>, piece| async move {
            let mut gathered = gathered?;
            gathered.extend_from_slice(&piece?);
            Ok(gathered)
        })
        .await
        .map_err(|error| Refusal::unread(&*error, limit))?;
    serde_json::from_slice(&bytes).map_err(|error| Refusal::bad(&format!("the body is not what was expected: {error}")))
}

/// The pieces of a body, which end with an error when none comes for long.
fn heard<E: Into<BoxError>>(
    pieces: impl Stream<Item = Result<Bytes, E>> + Send,
) -> impl Stream<Item = Result<Bytes, BoxError>> + Send {
    let pieces = Box::pin(pieces);
    stream::unfold(Some(pieces), |pieces| async move {
        let mut pieces = pieces?;
        match tokio::time::timeout(SILENCE, pieces.next()).await {
            Ok(None) => None,
            Ok(Some(Ok(piece))) => Some((Ok(piece), Some(pieces))),
            Ok(Some(Err(error))) => Some((Err(error.into()), None)),
            Err(_) => Some((Err(format!("nothing came for {} s", SILENCE.as_secs()).into()), None)),
        }
    })
}
