//! Serving HTTP/1.1 and HTTP/2 on a listener, with TLS where a configuration is given.
//!
//! Serving moves bytes and knows no routes; what answers finds its own in a table ([`route`]) and makes its bodies in
//! [`body`]. Connections are bounded; each is a transient task of the
//! group that serves, so that stopping the group ends them.

pub mod body;
mod gather;
pub mod route;
mod streams;
pub mod tls;

use std::{convert::Infallible, future::Future, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::Semaphore,
    task::JoinError,
};
use tokio_util::task::AbortOnDropHandle;

use crate::task::{Group, Kind};
use gather::Gathered;
use streams::Begun;

/// Connections served at once; a thousand watchers on connections of their own, and room beside them.
const CONNECTIONS: usize = 16_384;
/// A client that has not sent its request's head by then is gone.
const HEADER_PATIENCE: Duration = Duration::from_secs(30);

/// On a request: the other end of its connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// What a handshake says of the protocol that follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Nothing: the first bytes tell.
    Either,
    /// HTTP/2 was agreed on.
    Http2,
}

/// Turns an accepted TCP stream into the stream that carries HTTP: itself, or TLS over it.
pub trait Handshake: Send + Sync + 'static {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Completes with the inner stream.
    fn accept(
        &self,
        stream: tokio::net::TcpStream,
    ) -> impl Future<Output = std::io::Result<(Self::Stream, Protocol)>> + Send;
}

/// No TLS.
#[derive(Clone, Copy, Debug)]
pub struct Plain;

impl Handshake for Plain {
    type Stream = tokio::net::TcpStream;

    async fn accept(&self, stream: tokio::net::TcpStream) -> std::io::Result<(Self::Stream, Protocol)> {
        Ok((stream, Protocol::Either))
    }
}

/// Accepts connections until the group stops.
///
/// # Errors
/// Never by itself; accept errors (no more file descriptors) are logged and tried again.
pub async fn serve<H, S, F, B>(
    group: Group,
    name: &'static str,
    listener: TcpListener,
    handshake: H,
    service: S,
) -> Result<(), Infallible>
where
    H: Handshake,
    S: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let handshake = Arc::new(handshake);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return Ok(()) };
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::task::yield_now().await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let handshake = handshake.clone();
        let inner = service.clone();
        let service = move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer));
            inner(request)
        };
        group.spawn(name, Kind::Transient, async move {
            let _place = place;
            match tokio::time::timeout(HEADER_PATIENCE, handshake.accept(stream)).await {
                // Only HTTP/1.1 is upgraded, after which nobody would flush twice.
                Ok(Ok((stream, Protocol::Http2))) => connection(Gathered::new(stream), service).await,
                Ok(Ok((stream, Protocol::Either))) => connection(stream, service).await,
                Ok(Err(error)) => tracing::debug!(%error, "no handshake"),
                Err(_) => tracing::debug!("no handshake in time"),
            }
            Ok::<(), Infallible>(())
        });
    }
}

/// Serves one connection to its end; upgrades are allowed.
pub async fn connection<I, S, F, B>(stream: I, service: S)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let service = hyper::service::service_fn(move |request| {
        // The streams of an HTTP/2 connection share its task: one answer that takes long must not hold up the others.
        let is_shared = request.version() == Version::HTTP_2;
        let answer = service(request);
        async move {
            if is_shared {
                AbortOnDropHandle::new(tokio::spawn(answer)).await
            } else {
                Ok::<_, JoinError>(answer.await)
            }
        }
    });
    let begun = Begun::default();
    let mut builder = auto::Builder::new(begun.clone());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_PATIENCE).half_close(true);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(1000).adaptive_window(true);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    if let Err(error) = streams::drive(connection, begun).await {
        tracing::debug!(%error, "connection ended");
    }
}
