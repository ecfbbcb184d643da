//! Bodies: of requests, read whole and bounded; of responses, whole or streamed.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, Full, Limited, combinators::UnsyncBoxBody};

use crate::{
    core::status::{Failure, Outcome},
    store::Entry,
};

/// What any body may fail with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A body broke while it was sent or read.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BodyError(#[source] pub BoxError);

/// The body of a request or response, whatever it is made of.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// The longest body that is read: etcd's limit of 1.5 MiB an object, doubled for the encoding, as upstream.
pub const LIMIT_BYTES: usize = 3 << 20;

/// A body of known bytes.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// Any body of bytes as a [`Body`].
pub fn boxed<B>(body: B) -> Body
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    body.map_err(|error| BodyError(Box::new(error))).boxed_unsync()
}

/// Reads a request's body.
///
/// # Errors
/// 413 when it is longer than [`LIMIT_BYTES`], 400 when the connection breaks.
pub async fn read(body: Body) -> Outcome<Bytes> {
    match Limited::new(body, LIMIT_BYTES).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(Failure::too_large(LIMIT_BYTES)),
        Err(error) => Err(Failure::bad_request(format!("the body could not be read: {error}"))),
    }
}

/// Bytes of a list that are copied into one frame.
const FRAME_BYTES: usize = 256 << 10;

/// A list of stored objects, joined as it is sent; nothing is parsed or written again.
pub struct ListBody {
    head: Option<Bytes>,
    entries: VecDeque<Arc<Entry>>,
    first: bool,
    tail: Option<Bytes>,
    left: u64,
    items: Items,
}

/// How objects stand in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Items {
    Whole,
    /// Without `kind` and `apiVersion`, which the list's own tell; so upstream lists built-in kinds.
    WithoutType,
}

impl Items {
    fn of(self, entry: &Entry) -> (&'static [u8], &[u8]) {
        match (self, entry.type_length) {
            (Self::WithoutType, length @ 1..) => (b"{", &entry.json[length..]),
            _ => (b"", &entry.json),
        }
    }

    fn length(self, entry: &Entry) -> usize {
        let (open, rest) = self.of(entry);
        open.len() + rest.len()
    }
}

impl ListBody {
    /// A body of `head`, the objects with commas between them, and `tail`.
    pub fn new(head: Bytes, entries: Vec<Arc<Entry>>, tail: Bytes, items: Items) -> Self {
        let objects: usize = entries.iter().map(|entry| items.length(entry)).sum();
        let left = head.len() + objects + entries.len().saturating_sub(1) + tail.len();
        let left = u64::try_from(left).unwrap_or(u64::MAX);
        Self { head: Some(head), entries: entries.into(), first: true, tail: Some(tail), left, items }
    }
}

impl http_body::Body for ListBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, _ctx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let capacity = usize::try_from(self.left).unwrap_or(FRAME_BYTES).min(FRAME_BYTES + (FRAME_BYTES >> 2));
        let mut frame = BytesMut::with_capacity(capacity);
        if let Some(head) = self.head.take() {
            frame.extend_from_slice(&head);
        }
        while frame.len() < FRAME_BYTES {
            let Some(entry) = self.entries.pop_front() else { break };
            if !std::mem::take(&mut self.first) {
                frame.extend_from_slice(b",");
            }
            let (open, rest) = self.items.of(&entry);
            frame.extend_from_slice(open);
            frame.extend_from_slice(rest);
        }
        if self.entries.is_empty()
            && let Some(tail) = self.tail.take()
        {
            frame.extend_from_slice(&tail);
        }
        self.left = self.left.saturating_sub(u64::try_from(frame.len()).unwrap_or(u64::MAX));
        Poll::Ready(Some(Ok(Frame::data(frame.freeze()))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
