//! How a process that is being made speaks with the supervisor: one word to go on, one when it is there, and what
//! went wrong. The channel closes by itself when the program is executed.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::OwnedFd,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec},
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendFlags,
        SocketFlags, SocketType,
    },
};

/// Bytes of a reason.
const REASON_BYTES: usize = 4096;
/// Seconds that a start may take: a mount from a host that does not answer must not hold up the pod for ever.
const PATIENCE_S: i64 = 60;

const GO: u8 = b'g';
const HERE: u8 = b'h';
const FAILED: u8 = b'f';

/// The supervisor's end.
pub struct Near(OwnedFd);

/// The end of the process that is being made.
pub struct Far(OwnedFd);

/// Makes the two ends.
///
/// # Errors
/// When there is no socket left.
pub fn pair() -> io::Result<(Near, Far)> {
    let (near, far) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    // Whoever says that it is there is told to us by its number as we know it, whatever namespace it is in.
    rustix::net::sockopt::set_socket_passcred(&near, true)?;
    Ok((Near(near), Far(far)))
}

impl Near {
    /// Lets the process go on.
    ///
    /// # Errors
    /// When it is gone.
    pub fn go(&self) -> io::Result<()> {
        rustix::net::send(&self.0, &[GO], SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Waits until the process says that it is there.
    ///
    /// # Errors
    /// What it says went wrong.
    pub fn here(&self) -> Result<i32, String> {
        match self.next()? {
            Some(pid) => Ok(pid),
            None => Err("the process ended before it was made".to_owned()),
        }
    }

    /// Waits until the process has become what it was to become: its number.
    ///
    /// # Errors
    /// What it says went wrong, and the number of the process if it is known.
    pub fn done(&self) -> Result<i32, (Option<i32>, String)> {
        let mut known = None;
        loop {
            match (self.next(), known) {
                (Ok(Some(pid)), _) => known = Some(pid),
                (Ok(None), Some(pid)) => return Ok(pid),
                (Ok(None), None) => return Err((None, "the process ended before it was made".to_owned())),
                (Err(reason), _) => return Err((known, reason)),
            }
        }
    }

    /// The number of a process that is there; `None` when the channel is closed.
    fn next(&self) -> Result<Option<i32>, String> {
        let patience = Timespec { tv_sec: PATIENCE_S, tv_nsec: 0 };
        let mut set = [PollFd::new(&self.0, PollFlags::IN)];
        let ready = loop {
            match rustix::event::poll(&mut set, Some(&patience)) {
                Err(rustix::io::Errno::INTR) => {}
                result => break result.map_err(|error| error.to_string())?,
            }
        };
        if ready == 0 {
            return Err(format!("the start took longer than {PATIENCE_S}s"));
        }
        let mut bytes = [0_u8; REASON_BYTES];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let slices = &mut [IoSliceMut::new(&mut bytes)];
        let received = rustix::net::recvmsg(&self.0, slices, &mut control, RecvFlags::CMSG_CLOEXEC);
        let length = received.map_err(|error| error.to_string())?.bytes;
        let pid = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmCredentials(from) => Some(from.pid.as_raw_nonzero().get()),
            _ => None,
        });
        match bytes[..length].split_first() {
            None => Ok(None),
            Some((&HERE, _)) => Ok(pid),
            Some((_, reason)) => Err(String::from_utf8_lossy(reason).into_owned()),
        }
    }
}

impl Far {
    /// Waits for the word to go on.
    ///
    /// # Errors
    /// When the supervisor is gone.
    pub fn wait(&self) -> io::Result<()> {
        let mut word = [0];
        loop {
            match rustix::net::recv(&self.0, &mut word, RecvFlags::empty()) {
                Ok((1, _)) => return Ok(()),
                Ok(_) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Says that this process is there.
    ///
    /// # Errors
    /// When the supervisor is gone.
    pub fn here(&self) -> io::Result<()> {
        self.send(&[HERE])
    }

    /// Says what went wrong, and ends this process.
    pub fn fail(&self, reason: &str) -> ! {
        let mut message = vec![FAILED];
        message.extend(reason.as_bytes().iter().take(REASON_BYTES - 1));
        // Whoever would hear it may be gone.
        let _ = self.send(&message);
        super::sys::leave(127)
    }

    fn send(&self, message: &[u8]) -> io::Result<()> {
        let mut none = SendAncillaryBuffer::default();
        rustix::net::sendmsg(&self.0, &[IoSlice::new(message)], &mut none, SendFlags::NOSIGNAL)?;
        Ok(())
    }
}
