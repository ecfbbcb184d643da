//! Output on its way to someone who joined a container's streams.
//!
//! Never blocks and never grows without end: who does not read for long misses what comes then.

use std::{
    fs::File,
    io::{self, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

/// Bytes that wait for a reader; more are dropped.
const WAITING_LIMIT: usize = 1 << 20;

/// One end that output is copied to.
pub struct Outlet {
    file: File,
    waiting: Vec<u8>,
}

/// Whether an end is still good for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Everything is written.
    Clear,
    /// Something waits until the reader reads.
    Waiting,
    Closed,
}

impl Outlet {
    /// Takes over an end.
    ///
    /// # Errors
    /// When it cannot be made non-blocking.
    pub fn new(end: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&end, true)?;
        Ok(Self { file: File::from(end), waiting: Vec::new() })
    }

    /// The end, to wait on.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Whether something waits.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Writes bytes, now or when the reader is ready for them.
    pub fn write(&mut self, bytes: &[u8]) -> State {
        if self.waiting.len() + bytes.len() <= WAITING_LIMIT {
            self.waiting.extend_from_slice(bytes);
        }
        self.flush()
    }

    /// Writes what waits, as far as it goes.
    pub fn flush(&mut self) -> State {
        while !self.waiting.is_empty() {
            match self.file.write(&self.waiting) {
                Ok(0) => return State::Closed,
                Ok(written) => drop(self.waiting.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return State::Waiting,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return State::Closed,
            }
        }
        State::Clear
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn what_a_reader_is_slow_to_take_waits_for_it() {
        let (mut near, far) = io::pipe().unwrap();
        let mut outlet = Outlet::new(far.into()).unwrap();
        let bytes = vec![b'x'; 300_000];
        assert_eq!(outlet.write(&bytes), State::Waiting);
        let mut read = 0;
        let mut buffer = [0; 40_000];
        while outlet.is_waiting() {
            read += near.read(&mut buffer).unwrap();
            outlet.flush();
        }
        drop(outlet);
        let mut rest = Vec::new();
        near.read_to_end(&mut rest).unwrap();
        assert_eq!(read + rest.len(), 300_000);
    }

    #[test]
    fn a_reader_that_left_is_noticed() {
        let (near, far) = io::pipe().unwrap();
        let mut outlet = Outlet::new(far.into()).unwrap();
        drop(near);
        assert_eq!(outlet.write(b"x"), State::Closed);
    }
}
