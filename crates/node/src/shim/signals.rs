//! Signals to the supervisor, as a descriptor to wait on.

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

/// Blocks the signals that matter and opens a descriptor that reports them.
///
/// # Errors
/// When the kernel has no room for one.
pub fn receive() -> io::Result<OwnedFd> {
    // SAFETY: the set is initialised by sigemptyset before it is read; all pointers are to locals, and
    // the descriptor that signalfd returns is owned by nothing else.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in [libc::SIGCHLD, libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
            libc::sigaddset(&raw mut set, signal);
        }
        if libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
        let descriptor = libc::signalfd(-1, &raw const set, libc::SFD_NONBLOCK | libc::SFD_CLOEXEC);
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        let owned = OwnedFd::from_raw_fd(descriptor);
        debug_assert!(owned.as_raw_fd() >= 0);
        Ok(owned)
    }
}

/// Sets what becomes of children that end: with `SIG_IGN` nothing stays of them, with `SIG_DFL` they are waited for.
///
/// # Errors
/// Those of sigaction(2).
pub fn set_children(disposition: libc::sighandler_t) -> io::Result<()> {
    // SAFETY: both values stand for no function of this program.
    if unsafe { libc::signal(libc::SIGCHLD, disposition) } == libc::SIG_ERR {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The next signal that has come; `None` when there is none.
pub fn next(signals: &OwnedFd) -> Option<u32> {
    let mut buffer = [0_u8; size_of::<libc::signalfd_siginfo>()];
    let length = rustix::io::read(signals, &mut buffer).ok()?;
    // struct signalfd_siginfo begins with the number.
    buffer[..length].first_chunk::<4>().map(|bytes| u32::from_ne_bytes(*bytes))
}
