//! Answers to launchers, and refusals as `{"message": …}`.

use std::error::Error;

use ferroflow_platform::{
    blob::{Flow, StoreError},
    causes::causes,
    http::body::{self, Body},
};
use futures::TryStreamExt;
use http::{Method, Response, StatusCode, header};
use http_body_util::LengthLimitError;
use serde::Serialize;
use serde_json::json;

use super::places::Place;
use crate::{controller::StepError, core::token::TokenError};

/// An answer of JSON.
pub fn json<T: Serialize>(value: &T) -> Response<Body> {
    match serde_json::to_vec(value) {
        Ok(bytes) => with(StatusCode::OK, bytes),
        Err(error) => Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).response(),
    }
}

/// An answer that streams; the place is free again when it is over.
pub fn streamed(kind: &'static str, size: Option<u64>, flow: Flow, place: Place) -> Response<Body> {
    let pieces = flow.map_ok(move |bytes| {
        let _held = &place;
        bytes
    });
    let mut response = Response::new(body::stream(pieces));
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    if let Some(size) = size {
        response.headers_mut().insert(header::CONTENT_LENGTH, size.into());
    }
    response
}

fn with(status: StatusCode, bytes: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(body::full(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

/// Why a launcher does not get what it asks.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    message: String,
}

impl Refusal {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// 400.
    pub fn bad(message: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 413 for a body over `limit` bytes, 400 for one that broke.
    pub fn unread(error: &(dyn Error + Send + Sync + 'static), limit: usize) -> Self {
        if error.is::<LengthLimitError>() {
            Self::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body has more than {limit} bytes"))
        } else {
            Self::bad(&format!("the body could not be read: {error}"))
        }
    }

    /// 401.
    pub fn no_token() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "there is no step token; send it as \"Authorization: Bearer\"")
    }

    /// 404 with a path that is none of a launcher's.
    pub fn unknown(method: &Method, path: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("launchers have no {method} {path}"))
    }

    /// 404 for an input that nothing is stored of.
    pub fn missing(name: &str, uri: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("nothing is stored of artifact \"{name}\", at {uri}"))
    }

    /// 422 for an output beside the step's own.
    pub fn outside(name: &str, at: &str) -> Self {
        let message = format!("output \"{name}\": \"{at}\" leads out of the step's outputs");
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, message)
    }

    /// 429.
    pub fn too_many(most: usize) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, format!("a step has at most {most} transfers at once"))
    }

    /// 503: all places are taken.
    pub fn busy() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "other transfers come first; ask again")
    }

    /// The status on the wire.
    #[cfg(test)]
    pub fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// As a response.
    pub fn response(self) -> Response<Body> {
        let message = json!({"message": self.message}).to_string();
        let mut response = with(self.status, message.into_bytes());
        // What follows in the connection may be the rest of a body that nobody reads.
        response.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
        response
    }
}

impl From<TokenError> for Refusal {
    fn from(error: TokenError) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, error.to_string())
    }
}

impl From<StepError> for Refusal {
    fn from(error: StepError) -> Self {
        let status = match &error {
            StepError::Stale { .. } => StatusCode::CONFLICT,
            StepError::Fault(_) => StatusCode::UNPROCESSABLE_ENTITY,
            StepError::Foreign { .. } => StatusCode::FORBIDDEN,
            StepError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, error.to_string())
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        let status = match &error {
            StoreError::Place { .. } | StoreError::Member { .. } | StoreError::Tar(_) => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            StoreError::Source(source) if is_too_long(&**source) => StatusCode::PAYLOAD_TOO_LARGE,
            StoreError::Source(_) => StatusCode::BAD_REQUEST,
            StoreError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            StoreError::Store(_) | StoreError::Io(_) | StoreError::Archive(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, causes(&error))
    }
}

fn is_too_long(error: &(dyn Error + Send + Sync + 'static)) -> bool {
    error.is::<LengthLimitError>()
}
