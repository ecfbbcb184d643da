//! Responses.

use bytes::Bytes;
use ferroflow_platform::http::body::{self, Body};
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use super::failure::{Code, Failure, Outcome};

/// JSON that is written already.
pub fn written(status: StatusCode, json: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(body::full(json));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// An object as JSON.
///
/// # Errors
/// Code 13 for what cannot be written as JSON.
pub fn object(value: &impl Serialize) -> Outcome<Response<Body>> {
    let json = serde_json::to_vec(value).map_err(|error| Failure::new(Code::Internal, error.to_string()))?;
    Ok(written(StatusCode::OK, json))
}

/// `{}`: what calls that return nothing return.
pub fn empty() -> Response<Body> {
    written(StatusCode::OK, "{}")
}

/// A refusal.
pub fn failure(failure: &Failure) -> Response<Body> {
    written(failure.code.status(), failure.body().to_string())
}

/// Sets a header; text that no header can carry is left out.
pub fn set(response: &mut Response<Body>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
