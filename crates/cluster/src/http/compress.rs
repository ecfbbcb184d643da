//! Compressed answers: big ones, to clients that ask for them, as upstream does.
//!
//! Never holds a whole list: a frame is compressed when it is sent. Streams of unknown length stay as they are.

use std::{
    io::Write,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use flate2::write::GzEncoder;
use http::HeaderMap;
use http_body::{Body as _, Frame};

use super::{
    body::{Body, BodyError},
    negotiate,
};

/// Answers up to this size are sent as they are, for compressing costs more than it saves: `defaultGzipThresholdBytes`
/// of `apiserver/pkg/endpoints/handlers/responsewriters`.
const THRESHOLD_BYTES: u64 = 128 << 10;

/// Whether answers may be compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    Never,
    /// Those that are big enough.
    Big,
}

impl Compression {
    /// What a client takes.
    pub fn of(headers: &HeaderMap) -> Self {
        if negotiate::takes_gzip(headers) { Self::Big } else { Self::Never }
    }
}

/// The body to send, and whether it is compressed.
pub fn compress(body: Body, compression: Compression) -> (Body, bool) {
    let is_big = body.size_hint().exact().is_some_and(|bytes| bytes > THRESHOLD_BYTES);
    if compression == Compression::Never || !is_big {
        return (body, false);
    }
    let encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    (Body::new(Zipped { body, encoder: Some(encoder) }), true)
}

/// A body that is compressed as it is sent.
struct Zipped {
    body: Body,
    /// `None` once the last frame has been made.
    encoder: Option<GzEncoder<Vec<u8>>>,
}

impl http_body::Body for Zipped {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let failed = |error: std::io::Error| Poll::Ready(Some(Err(BodyError(Box::new(error)))));
        loop {
            let Some(encoder) = &mut self.encoder else { return Poll::Ready(None) };
            // A frame that the encoder only takes in makes no frame of its own.
            if !encoder.get_ref().is_empty() {
                let ready = std::mem::take(encoder.get_mut());
                return Poll::Ready(Some(Ok(Frame::data(ready.into()))));
            }
            match ready!(Pin::new(&mut self.body).poll_frame(ctx)) {
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else { continue };
                    if let Some(Err(error)) = self.encoder.as_mut().map(|encoder| encoder.write_all(&data)) {
                        return failed(error);
                    }
                }
                None => {
                    return match self.encoder.take().map(GzEncoder::finish) {
                        None => Poll::Ready(None),
                        Some(Ok(last)) => Poll::Ready(Some(Ok(Frame::data(last.into())))),
                        Some(Err(error)) => failed(error),
                    };
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.encoder.is_none()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use http_body_util::BodyExt;

    use super::{super::body, *};

    #[tokio::test]
    async fn big_answers_are_compressed_for_those_who_ask() {
        let big = "abcdefgh".repeat(1 << 16);
        let rows =
            [(big.as_str(), Compression::Big, true), (&big, Compression::Never, false), ("s", Compression::Big, false)];
        for (text, compression, expect) in rows {
            let (body, is_compressed) = compress(body::full(text.to_owned()), compression);
            assert_eq!(is_compressed, expect);
            let sent = body.collect().await.unwrap().to_bytes();
            let mut read = String::new();
            if is_compressed {
                assert!(sent.len() < text.len() / 10, "{} bytes", sent.len());
                flate2::read::GzDecoder::new(&*sent).read_to_string(&mut read).unwrap();
            } else {
                read = String::from_utf8(sent.to_vec()).unwrap();
            }
            assert!(read == text, "what was sent is what was there");
        }
    }
}
