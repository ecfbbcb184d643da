//! A `kube::Client` that calls the server without a socket.
//!
//! An upgrade (exec, attach, port-forward) needs a connection that hyper owns on both ends, so such
//! a request goes through an in-memory pipe with HTTP/1.1 on it; everything else is a function call.

use std::sync::Arc;

use ferroflow_platform::{http as http_kit, identity::Identity, task::Kind as TaskKind};
use http::{Request, Response, header};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;

use crate::http::{
    body::{self, Body, BodyError, BoxError},
    server::{Api, InProcess},
};

/// Bytes in flight on the pipe of an upgraded request, each way.
const PIPE_BYTES: usize = 64 << 10;

/// A client that acts as `identity`.
pub fn client(api: &Arc<Api>, identity: Identity) -> kube::Client {
    let api = api.clone();
    let service = tower::service_fn(move |request: Request<kube::client::Body>| {
        let api = api.clone();
        let identity = identity.clone();
        async move { call(api, identity, request).await }
    });
    kube::Client::new(service, "default")
}

async fn call(
    api: Arc<Api>,
    identity: Identity,
    request: Request<kube::client::Body>,
) -> Result<Response<Body>, BoxError> {
    let request = request.map(|body| Body::new(body.map_err(|error| BodyError(error.into()))));
    if request.headers().contains_key(header::UPGRADE) {
        return upgraded(api, identity, request).await;
    }
    Ok(api.handle(as_component(request, &identity)).await)
}

fn as_component(mut request: Request<Body>, identity: &Identity) -> Request<Body> {
    request.extensions_mut().insert(InProcess(identity.clone()));
    request
}

async fn upgraded(api: Arc<Api>, identity: Identity, request: Request<Body>) -> Result<Response<Body>, BoxError> {
    let (near, far) = tokio::io::duplex(PIPE_BYTES);
    let serving = api.clone();
    api.tasks.spawn("in-process stream", TaskKind::Transient, async move {
        http_kit::connection(far, move |request: Request<hyper::body::Incoming>| {
            let api = serving.clone();
            let request = as_component(request.map(body::boxed), &identity);
            async move { api.handle(request).await }
        })
        .await;
        Ok::<(), BoxError>(())
    });
    let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(near)).await?;
    api.tasks.spawn("in-process connection", TaskKind::Transient, driver.with_upgrades());
    let (mut parts, body) = request.into_parts();
    if let Some(path) = parts.uri.path_and_query().cloned() {
        parts.uri = path.as_str().parse()?;
    }
    parts.headers.insert(header::HOST, header::HeaderValue::from_static("localhost"));
    let response = sender.send_request(Request::from_parts(parts, body)).await?;
    Ok(response.map(body::boxed))
}
