//! A user's end of a connection to the hub. Waits where it says so, and no longer than [`PATIENCE`].

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec};

use super::protocol::{Answer, Failure, Hello, Operation, Reply, Request};
use crate::shim::wire::{Reading, Wire};

/// How long an answer is waited for: the hub answers in microseconds, or milliseconds for a pod's interface.
const PATIENCE: Duration = Duration::from_secs(10);

/// The connection.
pub struct Line {
    wire: Wire,
    next_id: u64,
    /// Answers that came while another was waited for.
    replies: VecDeque<Reply>,
    hello: Hello,
    user: Option<OwnedFd>,
}

impl Line {
    /// Greets the hub at the other end.
    ///
    /// # Errors
    /// Why there is no network of pods; or that the hub has gone.
    pub fn new(stream: UnixStream) -> Result<Self, Failure> {
        let wire = Wire::new(stream).map_err(|error| Failure::of("cannot speak with the hub", &error))?;
        let nowhere = std::net::SocketAddrV4::new(std::net::Ipv4Addr::UNSPECIFIED, 0);
        let hello = Hello { pid: 0, has_user: false, way_out: nowhere, way_in: nowhere };
        let mut line = Self { wire, next_id: 0, replies: VecDeque::new(), hello, user: None };
        match line.call(Operation::Hello, &[])? {
            (Answer::Hello(hello), user) if hello.has_user == user.is_some() => Ok(Self { hello, user, ..line }),
            _ => Err(Failure { code: libc::EPROTO, message: "the hub does not say what it is".to_owned() }),
        }
    }

    /// What the hub has said of itself.
    pub fn hello(&self) -> Hello {
        self.hello
    }

    /// The hub's user namespace, where it has one.
    pub fn user(&self) -> Option<BorrowedFd<'_>> {
        self.user.as_ref().map(AsFd::as_fd)
    }

    /// The socket, to wait on.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.wire.fd()
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// What the hub says, or that it has gone.
    pub fn call(
        &mut self,
        operation: Operation,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(Answer, Option<OwnedFd>), Failure> {
        let lost = |error: io::Error| Failure::of("the hub does not answer", &error);
        let id = self.send(operation, descriptors).map_err(lost)?;
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = self.replies.iter().position(|reply| reply.id == id)
                && let Some(reply) = self.replies.remove(found)
            {
                let descriptor = self.wire.take_descriptor();
                return reply.result.map(|answer| (answer, descriptor));
            }
            self.wait(until).and_then(|()| self.read()).map_err(lost)?;
        }
    }

    /// Asks, and does not wait; the answer has the id that is given back.
    ///
    /// # Errors
    /// When the hub has gone.
    pub fn send(&mut self, operation: Operation, descriptors: &[BorrowedFd<'_>]) -> io::Result<u64> {
        self.next_id += 1;
        let request = Request { id: self.next_id, operation };
        if descriptors.is_empty() { self.wire.send(&request) } else { self.wire.send_with(&request, descriptors) }?;
        Ok(self.next_id)
    }

    /// Takes what has come.
    ///
    /// # Errors
    /// When the hub has gone.
    pub fn read(&mut self) -> io::Result<()> {
        self.wire.flush()?;
        loop {
            let reading = self.wire.read()?;
            while let Some(reply) = self.wire.take_message().map_err(io::Error::other)? {
                self.replies.push_back(reply);
            }
            match reading {
                Reading::More => {}
                Reading::Nothing => return Ok(()),
                Reading::Closed => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
    }

    /// The next answer to what was only [sent](Self::send).
    pub fn take(&mut self) -> Option<Reply> {
        self.replies.pop_front()
    }

    fn wait(&self, until: Instant) -> io::Result<()> {
        let left = until.saturating_duration_since(Instant::now());
        let flags = if self.wire.is_waiting() { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        let mut set = [PollFd::from_borrowed_fd(self.wire.fd(), flags)];
        match rustix::event::poll(&mut set, Timespec::try_from(left).ok().as_ref()) {
            Ok(0) => Err(io::ErrorKind::TimedOut.into()),
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
