//! The conversation with the kernel about one call that waits: what it is, whether it still waits, the answer.
//!
//! Asks without waiting, as long as it is asked once each time that the descriptor is readable.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

/// `seccomp_unotify(2)`, since Linux 6.6: an answer wakes the caller on the same processor.
const SYNC_WAKE_UP: u64 = 1;

/// `SECCOMP_ADDFD_FLAG_SEND` of linux/seccomp.h, since Linux 5.14.
const ADD_AND_ANSWER: u32 = 2;

/// A call that waits for an answer.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    pub id: u64,
    /// The thread that made it, as this process numbers it.
    pub thread: i32,
    pub number: i64,
    pub arguments: [u64; 6],
}

/// The answer to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The kernel carries the call out as it stands.
    Continue,
    /// The call returns this.
    Value(i64),
    /// The call fails with this code.
    Failure(i32),
}

impl Answer {
    /// What a call that was carried out here returns.
    pub fn of(result: io::Result<i64>) -> Self {
        result.map_or_else(|error| Self::Failure(error.raw_os_error().unwrap_or(libc::EIO)), Self::Value)
    }
}

/// Whether an answer reached its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    Done,
    /// A signal took the caller out of the call, or it has ended.
    Gone,
}

/// The end on which a filter asks.
pub struct Listener(OwnedFd);

impl Listener {
    /// Takes over the descriptor that came from a filter.
    pub fn new(descriptor: OwnedFd) -> Self {
        // A wish: older kernels do not know it.
        let _ = control(&descriptor, libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS, SYNC_WAKE_UP as *mut libc::c_void);
        Self(descriptor)
    }

    /// The descriptor, to wait on.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Takes the next call; `None` when its caller went away meanwhile. Only to be called when the descriptor
    /// is readable: it would wait otherwise.
    pub fn take(&self) -> Option<Call> {
        let mut raw = std::mem::MaybeUninit::<libc::seccomp_notif>::zeroed();
        control(&self.0, libc::SECCOMP_IOCTL_NOTIF_RECV, raw.as_mut_ptr().cast()).ok()?;
        // SAFETY: all bits zero is a value of this structure of numbers, and the kernel has filled it in.
        let raw = unsafe { raw.assume_init() };
        Some(Call {
            id: raw.id,
            thread: i32::try_from(raw.pid).ok().filter(|thread| *thread > 0)?,
            number: i64::from(raw.data.nr),
            arguments: raw.data.args,
        })
    }

    /// Whether the caller still waits. What was read of it before this answer was its own.
    pub fn waits(&self, id: u64) -> bool {
        let mut id = id;
        control(&self.0, libc::SECCOMP_IOCTL_NOTIF_ID_VALID, (&raw mut id).cast()).is_ok()
    }

    /// Gives the caller a descriptor of its own, whose number its call returns.
    ///
    /// # Errors
    /// When the kernel is older than 5.14, or the caller has gone or has no room.
    pub fn give(&self, id: u64, descriptor: BorrowedFd<'_>, closes_on_exec: bool) -> io::Result<()> {
        let number = descriptor.as_raw_fd().unsigned_abs();
        let flags = if closes_on_exec { libc::O_CLOEXEC.unsigned_abs() } else { 0 };
        let mut addition =
            libc::seccomp_notif_addfd { id, flags: ADD_AND_ANSWER, srcfd: number, newfd: 0, newfd_flags: flags };
        control(&self.0, libc::SECCOMP_IOCTL_NOTIF_ADDFD, (&raw mut addition).cast())
    }

    /// Answers a call.
    pub fn answer(&self, id: u64, answer: Answer) -> Delivery {
        let (val, error, flags) = match answer {
            Answer::Continue => (0, 0, u32::try_from(libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE).unwrap_or(1)),
            Answer::Value(value) => (value, 0, 0),
            Answer::Failure(code) => (0, -code.abs(), 0),
        };
        let mut response = libc::seccomp_notif_resp { id, val, error, flags };
        match control(&self.0, libc::SECCOMP_IOCTL_NOTIF_SEND, (&raw mut response).cast()) {
            Ok(()) => Delivery::Done,
            Err(_) => Delivery::Gone,
        }
    }
}

fn control(descriptor: &OwnedFd, request: libc::Ioctl, argument: *mut libc::c_void) -> io::Result<()> {
    loop {
        // SAFETY: each request comes with a pointer to the structure that it names, or with a number.
        if unsafe { libc::ioctl(descriptor.as_raw_fd(), request, argument) } >= 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}
