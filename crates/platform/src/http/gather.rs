//! Gathers what many HTTP/2 streams write into few writes.
//!
//! h2 flushes after each frame, so that a change that a hundred watchers of a connection are told would cost a hundred
//! TLS records and as many system calls. Here a flush waits until the task that writes has been polled once more:
//! what its streams had ready by then goes out together. Nothing waits for a clock.
//!
//! Only for a writer that asks for a flush at every poll, as an HTTP/2 connection does: one that asks once and goes on
//! would leave its last words here.

use std::{
    cell::Cell,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is gathered before it is written without being asked: six TLS records, and at most one more frame.
const LIMIT_BYTES: usize = 96 << 10;

/// A buffer that grew beyond this, for a peer that wants large frames, is given back.
const SPARE_BYTES: usize = 4 * LIMIT_BYTES;

thread_local! {
    /// A buffer that no connection needs: getting one from the system and giving it back costs more than filling it.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A stream whose writes are gathered.
pub struct Gathered<S> {
    inner: S,
    buffer: Vec<u8>,
    /// Where in the buffer what has not been written begins.
    written: usize,
    /// Something was written since a flush was put off.
    is_fresh: bool,
}

impl<S: AsyncWrite + Unpin> Gathered<S> {
    /// Gathers what is written to `inner`.
    pub fn new(inner: S) -> Self {
        Self { inner, buffer: Vec::new(), written: 0, is_fresh: false }
    }

    fn poll_drain(&mut self, ctx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.buffer.get(self.written..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut self.inner).poll_write(ctx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                length => self.written += length,
            }
        }
        // A connection that is idle, as a watch mostly is, holds no buffer.
        let mut spare = std::mem::take(&mut self.buffer);
        spare.clear();
        if (1..=SPARE_BYTES).contains(&spare.capacity()) {
            SPARE.set(spare);
        }
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    fn poll_room(&mut self, ctx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.buffer.len() >= LIMIT_BYTES {
            ready!(self.poll_drain(ctx))?;
        }
        if self.buffer.capacity() == 0 {
            self.buffer = SPARE.take();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gathered<S> {
    fn poll_write(mut self: Pin<&mut Self>, ctx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_room(ctx))?;
        self.buffer.extend_from_slice(bytes);
        self.is_fresh = true;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        ctx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_room(ctx))?;
        for slice in slices {
            self.buffer.extend_from_slice(slice);
        }
        self.is_fresh = true;
        Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.is_fresh) {
            ctx.waker().wake_by_ref();
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_drain(ctx))?;
        Pin::new(&mut self.inner).poll_flush(ctx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(ctx))?;
        Pin::new(&mut self.inner).poll_shutdown(ctx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gathered<S> {
    fn poll_read(mut self: Pin<&mut Self>, ctx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(ctx, buffer)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Flushes at every poll, as an HTTP/2 connection does, until it is flushed with nothing new.
    async fn flush(stream: &mut Gathered<tokio::io::DuplexStream>) {
        for _ in 0..2 {
            poll_fn(|ctx| Pin::new(&mut *stream).poll_flush(ctx)).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_flush_waits_for_one_more_poll_and_then_sends_everything() {
        let (near, mut far) = tokio::io::duplex(1 << 20);
        let mut stream = Gathered::new(near);
        stream.write_all(b"one ").await.unwrap();
        poll_fn(|ctx| Pin::new(&mut stream).poll_flush(ctx)).await.unwrap();
        stream.write_all(b"two").await.unwrap();
        let mut read = [0; 16];
        let nothing = poll_fn(|ctx| {
            let mut buffer = ReadBuf::new(&mut read);
            Poll::Ready(Pin::new(&mut far).poll_read(ctx, &mut buffer).is_pending())
        });
        assert!(nothing.await, "nothing is sent before the second poll");
        flush(&mut stream).await;
        assert_eq!(far.read(&mut read).await.unwrap(), 7);
        assert_eq!(&read[..7], b"one two");
    }

    #[tokio::test]
    async fn a_full_buffer_is_written_without_being_asked_and_nothing_is_lost() {
        let (near, mut far) = tokio::io::duplex(1000);
        let sent: Vec<u8> = (0..LIMIT_BYTES * 3).map(|byte| u8::try_from(byte % 251).unwrap()).collect();
        let expect = sent.clone();
        let writing = async move {
            let mut stream = Gathered::new(near);
            for piece in sent.chunks(1900) {
                stream.write_all(piece).await.unwrap();
                assert!(stream.buffer.len() <= LIMIT_BYTES + 1900);
            }
            stream.shutdown().await.unwrap();
        };
        let reading = async move {
            let mut read = Vec::new();
            far.read_to_end(&mut read).await.unwrap();
            read
        };
        let ((), read) = tokio::join!(writing, reading);
        assert_eq!(read, expect);
    }
}
