//! One connection to the supervisor: frames in and out, and the descriptors that come with them.
//!
//! Never blocks: what does not fit into the socket waits in a bounded buffer, and a peer that lets it
//! overflow is dropped.

use std::{
    collections::VecDeque,
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    os::unix::net::UnixStream,
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};
use serde::Serialize;

use super::protocol;

/// Descriptors in one message: standard input, output and error.
pub const DESCRIPTORS: usize = 3;
/// A peer that lets this much wait is not reading at all.
const OUTGOING_LIMIT: usize = 1 << 20;
const READ_SIZE: usize = 16 << 10;

/// A connection with its buffers.
pub struct Wire {
    stream: UnixStream,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    descriptors: VecDeque<OwnedFd>,
}

/// What reading found.
#[derive(Debug, PartialEq, Eq)]
pub enum Reading {
    /// Bytes came; there may be more.
    More,
    /// Nothing is there now.
    Nothing,
    Closed,
}

impl Wire {
    /// Takes over a connected socket.
    ///
    /// # Errors
    /// When the socket cannot be made non-blocking.
    pub fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream, incoming: Vec::new(), outgoing: Vec::new(), descriptors: VecDeque::new() })
    }

    /// The socket, to wait on.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// Whether something waits to be written.
    pub fn is_waiting(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Reads once what is there.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn read(&mut self) -> io::Result<Reading> {
        let mut bytes = [0_u8; READ_SIZE];
        let length = match receive(&self.stream, &mut bytes, RecvFlags::DONTWAIT, &mut self.descriptors) {
            Ok(length) => length,
            Err(error) if error == rustix::io::Errno::AGAIN || error == rustix::io::Errno::INTR => {
                return Ok(Reading::Nothing);
            }
            Err(error) => return Err(error.into()),
        };
        if length == 0 {
            return Ok(Reading::Closed);
        }
        self.incoming.extend_from_slice(&bytes[..length]);
        Ok(Reading::More)
    }

    /// The next whole message.
    ///
    /// # Errors
    /// When the bytes are no message.
    pub fn take_message<T: serde::de::DeserializeOwned>(&mut self) -> Result<Option<T>, String> {
        protocol::decode(&mut self.incoming)
    }

    /// Takes a message off that could not be read; the number of the request in it.
    pub fn skip_message(&mut self) -> Option<u64> {
        protocol::skip(&mut self.incoming)
    }

    /// The next descriptor that came along.
    pub fn take_descriptor(&mut self) -> Option<OwnedFd> {
        self.descriptors.pop_front()
    }

    /// Queues a message and writes what the socket takes.
    ///
    /// # Errors
    /// When the peer is gone or does not read.
    pub fn send<T: Serialize>(&mut self, value: &T) -> io::Result<()> {
        let frame = protocol::encode(value).map_err(io::Error::other)?;
        if self.outgoing.len() + frame.len() > OUTGOING_LIMIT {
            return Err(io::Error::other("the peer does not read"));
        }
        self.outgoing.extend_from_slice(&frame);
        self.flush()
    }

    /// Sends a message with descriptors beside it; what waits before it is written first.
    ///
    /// # Errors
    /// When the peer is gone or does not read.
    pub fn send_with<T: Serialize>(&mut self, value: &T, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.flush()?;
        if !self.outgoing.is_empty() {
            return Err(io::Error::other("the peer does not read"));
        }
        let frame = protocol::encode(value).map_err(io::Error::other)?;
        let sent = send_descriptors(&self.stream, &frame, descriptors)?;
        self.outgoing.extend_from_slice(&frame[sent..]);
        Ok(())
    }

    /// Writes what waits, as far as the socket takes it.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn flush(&mut self) -> io::Result<()> {
        while !self.outgoing.is_empty() {
            match rustix::net::send(&self.stream, &self.outgoing, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(sent) => drop(self.outgoing.drain(..sent)),
                Err(error) if error == rustix::io::Errno::AGAIN => return Ok(()),
                Err(error) if error == rustix::io::Errno::INTR => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl AsRawFd for Wire {
    fn as_raw_fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }
}

/// Reads once into `bytes`, and adds the descriptors that came along; returns how much was read.
///
/// # Errors
/// Those of recvmsg(2).
pub(super) fn receive(
    socket: impl AsFd,
    bytes: &mut [u8],
    flags: RecvFlags,
    descriptors: &mut impl Extend<OwnedFd>,
) -> rustix::io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = flags | RecvFlags::CMSG_CLOEXEC;
    let received = rustix::net::recvmsg(socket, &mut [IoSliceMut::new(bytes)], &mut control, flags)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(came) = message {
            descriptors.extend(came);
        }
    }
    Ok(received.bytes)
}

/// Writes `frame` once with descriptors beside its first byte; returns how much was written.
///
/// # Errors
/// When the socket fails, or there are more than [`DESCRIPTORS`].
pub(super) fn send_descriptors(socket: impl AsFd, frame: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other("too many descriptors for one message"));
    }
    Ok(rustix::net::sendmsg(socket, &[IoSlice::new(frame)], &mut control, SendFlags::NOSIGNAL)?)
}
