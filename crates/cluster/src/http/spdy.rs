//! Connections that become SPDY's, as Go's clients ask for them where they do not use WebSockets.

use std::{convert::Infallible, future::Future, io, pin::pin, time::Duration};

use bytes::Bytes;
use ferroflow_platform::task::Kind as TaskKind;
use futures::{Stream, StreamExt};
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadHalf},
    sync::mpsc,
};
use tokio_util::io::ReaderStream;

use super::{
    body::{self, Body},
    server::{self, Call},
};
use crate::core::{
    spdy::{self, Decoder, Frame},
    status::{Failure, Outcome},
};

const SPDY: &str = "SPDY/3.1";
const STREAM_PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");
/// Bytes of a stream in one frame.
const CHUNK_BYTES: usize = 32 << 10;
/// Frames that wait for a slow client; then what fills them waits.
pub(super) const FRAMES: usize = 32;
/// What is left to say when all is done, to a client that does not listen.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Bytes as the client sends them.
pub(super) type Received = ReaderStream<ReadHalf<TokioIo<Upgraded>>>;
/// Frames that are to be sent.
pub(super) type Frames = mpsc::Sender<Vec<u8>>;

/// Whether a request asks for SPDY on its own connection.
pub(super) fn is_asked(call: &Call<'_>) -> bool {
    let upgrade = call.parts.headers.get(header::UPGRADE).and_then(|value| value.to_str().ok());
    upgrade.is_some_and(|upgrade| upgrade.eq_ignore_ascii_case(SPDY))
}

/// The first protocol of `known`, the best first, that the request offers.
///
/// # Errors
/// 400 where there is none; a request that offers nothing means `without`.
pub(super) fn protocol(
    call: &Call<'_>,
    known: &[&'static str],
    without: Option<&'static str>,
) -> Outcome<&'static str> {
    let offered = call.parts.headers.get_all(&STREAM_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    let offered: Vec<&str> = offered.flat_map(|line| line.split(',')).map(str::trim).collect();
    let chosen = known.iter().copied().find(|known| offered.contains(known));
    let chosen = chosen.or(without.filter(|_| offered.is_empty()));
    chosen.ok_or_else(|| {
        Failure::bad_request(format!("unable to upgrade: the stream protocols here are {}", known.join(", ")))
    })
}

/// Answers 101, and runs `serve` on the connection, as a task of the server's, until it is done or the client is gone.
///
/// # Errors
/// 400 for a connection that cannot be taken over.
pub(super) fn accept<F>(
    call: &mut Call<'_>,
    protocol: &'static str,
    serve: impl FnOnce(Received, Frames) -> F + Send + 'static,
) -> Outcome<Response<Body>>
where
    F: Future<Output = ()> + Send + 'static,
{
    let pending = call.parts.extensions.remove::<OnUpgrade>();
    let pending = pending.ok_or_else(|| Failure::bad_request("this connection cannot be upgraded; use HTTP/1.1"))?;
    let name = format!("{} {}", call.path.subresource, call.path.name);
    call.api.tasks.spawn(name, TaskKind::Transient, async move {
        let upgraded = pending.await?;
        let (read, mut write) = tokio::io::split(TokioIo::new(upgraded));
        let (frames, mut waiting) = mpsc::channel::<Vec<u8>>(FRAMES);
        let sending = async {
            while let Some(frame) = waiting.recv().await {
                if write.write_all(&frame).await.is_err() || write.flush().await.is_err() {
                    break;
                }
            }
            let _ = write.shutdown().await;
        };
        let mut sending = pin!(sending);
        let is_done = tokio::select! {
            () = serve(ReaderStream::new(read), frames) => true,
            () = &mut sending => false,
        };
        if is_done {
            let _ = tokio::time::timeout(LAST_WORDS, sending).await;
        }
        Ok::<(), hyper::Error>(())
    });
    let mut response = Response::new(body::full(Bytes::new()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    server::set(headers, header::UPGRADE, SPDY);
    server::set(headers, STREAM_PROTOCOL, protocol);
    Ok(response)
}

/// What the client says, frame by frame.
pub(super) struct Reader<S> {
    bytes: S,
    decoder: Decoder,
}

impl<S: Stream<Item = io::Result<Bytes>> + Unpin> Reader<S> {
    pub(super) fn new(bytes: S) -> Self {
        Self { bytes, decoder: Decoder::default() }
    }

    /// The next frame; `None` when the client is gone, says so, or does not speak SPDY.
    pub(super) async fn next(&mut self) -> Option<Frame> {
        loop {
            match self.decoder.next_frame() {
                Ok(None) => self.decoder.push(&self.bytes.next().await?.ok()?),
                Ok(Some(Frame::GoAway)) => return None,
                Ok(Some(frame)) => return Some(frame),
                Err(fault) => {
                    tracing::debug!(%fault, "a client does not speak SPDY");
                    return None;
                }
            }
        }
    }
}

/// Sends all that is read as data of a stream, and then that it ends; `None` when the client is gone.
pub(super) async fn pump(mut from: impl AsyncRead + Unpin, stream: u32, to: &Frames) -> Option<()> {
    let mut buffer = vec![0; CHUNK_BYTES];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        to.send(spdy::data(stream, &buffer[..count], false)).await.ok()?;
    }
    to.send(spdy::data(stream, &[], true)).await.ok()
}

/// The value of a header of a stream.
pub(super) fn value<'a>(headers: &'a [(String, String)], wanted: &str) -> Option<&'a str> {
    let mut found = headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
    found.next().map(|(_, value)| value.as_str())
}

/// The result of a task that cannot fail.
pub(super) const DONE: Result<(), Infallible> = Ok(());
