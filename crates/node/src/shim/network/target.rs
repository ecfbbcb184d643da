//! The thread that made a call: its memory and its descriptors.
//!
//! What comes from here belongs to the caller only if it still waits afterwards: ask [`Listener::waits`] after
//! reading, for a number of a thread is given out again.
//!
//! [`Listener::waits`]: super::notify::Listener::waits

use std::{fs, io, os::fd::OwnedFd};

use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags};

/// `PIDFD_THREAD` of linux/pidfd.h (Linux 6.9): a descriptor of any thread, not of a first one alone.
const PIDFD_THREAD: u32 = libc::O_EXCL.unsigned_abs();

/// Reads memory of a thread's process; returns how much could be read.
///
/// # Errors
/// `EFAULT` where nothing is mapped, `EPERM` where the process hides its memory.
pub fn read(thread: i32, address: u64, bytes: &mut [u8]) -> io::Result<usize> {
    let local = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let remote = libc::iovec { iov_base: pointer(address)?, iov_len: bytes.len() };
    // SAFETY: the local part is a slice that outlives the call; the kernel checks the remote one.
    let read = unsafe { libc::process_vm_readv(thread, &raw const local, 1, &raw const remote, 1, 0) };
    usize::try_from(read).map_err(|_| io::Error::last_os_error())
}

/// Writes memory of a thread's process.
///
/// # Errors
/// As [`read`], also when only a part could be written.
pub fn write(thread: i32, address: u64, bytes: &[u8]) -> io::Result<()> {
    let local = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let remote = libc::iovec { iov_base: pointer(address)?, iov_len: bytes.len() };
    // SAFETY: the local part is a slice that outlives the call and is only read; the kernel checks the remote one.
    let written = unsafe { libc::process_vm_writev(thread, &raw const local, 1, &raw const remote, 1, 0) };
    match usize::try_from(written) {
        Ok(written) if written == bytes.len() => Ok(()),
        Ok(_) => Err(io::Error::from_raw_os_error(libc::EFAULT)),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

/// Another descriptor of the file that `descriptor` is in a thread's process.
///
/// # Errors
/// `EBADF` where it has no such descriptor, `EPERM` where it may not be traced.
pub fn descriptor(thread: i32, descriptor: u64) -> io::Result<OwnedFd> {
    // A descriptor is an int: the upper half of the register is not looked at.
    let number = i32::from_ne_bytes(((descriptor & u64::from(u32::MAX)) as u32).to_ne_bytes());
    if number < 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    let process = open(thread)?;
    Ok(rustix::process::pidfd_getfd(&process, number, PidfdGetfdFlags::empty())?)
}

/// Whether a signal waits that the thread would handle if it were not in a call.
pub fn is_interrupted(thread: i32) -> bool {
    fs::read_to_string(format!("/proc/{thread}/status")).is_ok_and(|status| has_signal(&status))
}

/// `proc_pid_status(5)`: signals that are pending for the thread or its process, that it does not block, and
/// for which it has handlers.
fn has_signal(status: &str) -> bool {
    let set = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).unwrap_or(0)
    };
    (set("SigPnd") | set("ShdPnd")) & !set("SigBlk") & set("SigCgt") != 0
}

fn open(thread: i32) -> io::Result<OwnedFd> {
    let id = |number: i32| Pid::from_raw(number).ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH));
    match rustix::process::pidfd_open(id(thread)?, PidfdFlags::from_bits_retain(PIDFD_THREAD)) {
        Ok(opened) => Ok(opened),
        // An older kernel opens first threads only. The others share their descriptors, as a rule.
        Err(rustix::io::Errno::INVAL) => Ok(rustix::process::pidfd_open(id(first(thread)?)?, PidfdFlags::empty())?),
        Err(error) => Err(error.into()),
    }
}

/// The first thread of a thread's process.
fn first(thread: i32) -> io::Result<i32> {
    let status = fs::read_to_string(format!("/proc/{thread}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("Tgid:"));
    line.and_then(|number| number.trim().parse().ok()).ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))
}

fn pointer(address: u64) -> io::Result<*mut libc::c_void> {
    let address = usize::try_from(address).map_err(|_| io::Error::from_raw_os_error(libc::EFAULT))?;
    Ok(std::ptr::without_provenance_mut(address))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn a_signal_counts_that_waits_and_is_handled() {
        let status = |pending: &str, shared: &str, blocked: &str| {
            format!("Name:\ta\nSigPnd:\t{pending}\nShdPnd:\t{shared}\nSigBlk:\t{blocked}\nSigCgt:\t00000000000001a0\n")
        };
        let rows = [("20", "0", "0", true), ("0", "80", "0", true), ("20", "0", "20", false), ("1", "2", "0", false)];
        for (pending, shared, blocked, expected) in rows {
            assert_eq!(has_signal(&status(pending, shared, blocked)), expected, "{pending} {shared} {blocked}");
        }
        assert!(!has_signal(""));
    }

    #[test]
    fn memory_and_descriptors_of_a_thread_are_reached() {
        let thread = rustix::thread::gettid().as_raw_nonzero().get();
        let (mut seen, data) = ([0; 4], *b"data");
        assert_eq!(read(thread, data.as_ptr() as u64, &mut seen).unwrap(), 4);
        assert_eq!(&seen, b"data");
        write(thread, seen.as_mut_ptr() as u64, b"more").unwrap();
        assert_eq!(std::hint::black_box(seen), *b"more");
        assert_eq!(read(thread, 0, &mut seen).unwrap_err().raw_os_error(), Some(libc::EFAULT));

        let (near, _far) = std::os::unix::net::UnixStream::pair().unwrap();
        descriptor(thread, u64::try_from(near.as_raw_fd()).unwrap()).unwrap();
        assert_eq!(descriptor(thread, 0xffff_ffff).unwrap_err().raw_os_error(), Some(libc::EBADF));
        assert_eq!(first(thread).unwrap().unsigned_abs(), std::process::id());
    }
}
