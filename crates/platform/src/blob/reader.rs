//! A stream of bytes, read by counts.

use bytes::{Buf, Bytes, BytesMut};
use futures::{Stream, TryStreamExt, stream};
use sha2::{Digest, Sha256};

use super::{StoreError, store::hex};

/// Bytes that are made room for before they come, at the most: who says how many come may be wrong.
const ROOM: usize = 1024 * 1024;

/// Reads a stream by counts of bytes, and knows the sum of what it has read.
pub struct Reader<S> {
    pub bytes: S,
    chunk: Bytes,
    sum: Option<Sha256>,
    /// What is read, for a person: `a directory`.
    what: &'static str,
}

impl<S: Stream<Item = Result<Bytes, StoreError>> + Unpin> Reader<S> {
    pub fn new(bytes: S, what: &'static str) -> Self {
        Self { bytes, chunk: Bytes::new(), sum: None, what }
    }

    /// The same, with the sum of what is read from now on.
    pub fn summing(mut self) -> Self {
        self.sum = Some(Sha256::new());
        self
    }

    /// The sum of what has been read, in hexadecimal digits; empty where none is taken.
    pub fn sum(&self) -> String {
        self.sum.clone().map(|sum| hex(&sum.finalize())).unwrap_or_default()
    }

    pub async fn exactly(&mut self, count: usize) -> Result<Bytes, StoreError> {
        let mut gathered = BytesMut::with_capacity(count.min(ROOM));
        while gathered.len() < count {
            gathered.extend_from_slice(&self.some((count - gathered.len()) as u64).await?);
        }
        Ok(gathered.freeze())
    }

    /// Reads on and forgets.
    pub async fn skip(&mut self, mut count: u64) -> Result<(), StoreError> {
        while count > 0 {
            count -= self.some(count).await?.len() as u64;
        }
        Ok(())
    }

    /// At least one byte and at most `most`.
    pub async fn some(&mut self, most: u64) -> Result<Bytes, StoreError> {
        while self.chunk.is_empty() {
            let cut = || StoreError::Tar(format!("the stream of {} ends within a file", self.what));
            self.chunk = self.bytes.try_next().await?.ok_or_else(cut)?;
        }
        let count = most.min(self.chunk.len() as u64) as usize;
        let some = self.chunk.slice(..count);
        self.chunk.advance(count);
        if let Some(sum) = &mut self.sum {
            sum.update(&some);
        }
        Ok(some)
    }

    pub fn file(&mut self, size: u64) -> impl Stream<Item = Result<Bytes, StoreError>> {
        stream::try_unfold((self, size), |(reader, left)| async move {
            if left == 0 {
                return Ok(None);
            }
            let some = reader.some(left).await?;
            let left = left - some.len() as u64;
            Ok::<_, StoreError>(Some((some, (reader, left))))
        })
    }
}
