//! Bodies of requests and responses, whatever they are made of; a request's is read whole only within a bound.

use bytes::Bytes;
use futures::{Stream, StreamExt};
use http_body::Frame;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited, StreamBody, combinators::UnsyncBoxBody};

/// What any body may fail with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A body broke while it was sent or read. It is a type of its own since the compiler cannot tell of a box that it becomes
/// another box in every lifetime.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BodyError(#[source] pub BoxError);

/// A body.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("the body is longer than {0} bytes; send less")]
    TooLong(usize),
    #[error("the body could not be read: {0}")]
    Broken(#[source] BoxError),
}

/// A body of known bytes.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// Any body of bytes as a [`Body`].
pub fn boxed<B>(body: B) -> Body
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    body.map_err(|error| BodyError(error.into())).boxed_unsync()
}

/// A body that is sent as its pieces come.
pub fn stream<S, E>(pieces: S) -> Body
where
    S: Stream<Item = Result<Bytes, E>> + Send + 'static,
    E: Into<BoxError> + 'static,
{
    StreamBody::new(pieces.map(|piece| piece.map(Frame::data).map_err(|error| BodyError(error.into())))).boxed_unsync()
}

/// Reads a body whole.
///
/// # Errors
/// [`ReadError::TooLong`] beyond `limit_bytes`, [`ReadError::Broken`] when the connection breaks.
pub async fn read(body: Body, limit_bytes: usize) -> Result<Bytes, ReadError> {
    match Limited::new(body, limit_bytes).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ReadError::TooLong(limit_bytes)),
        Err(error) => Err(ReadError::Broken(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_is_read_up_to_its_bound() {
        assert_eq!(read(full("four"), 4).await.unwrap(), "four");
        assert!(matches!(read(full("fives"), 4).await, Err(ReadError::TooLong(4))));
        let pieces = futures::stream::iter([Ok(Bytes::from("a")), Err(std::io::Error::other("gone"))]);
        let error = read(stream(pieces), 4).await.unwrap_err();
        assert_eq!(error.to_string(), "the body could not be read: gone");
    }
}
