//! What the standard library has no word for: signals as a file, children of children, polling.

use std::{
    fs, io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    ptr,
    sync::atomic::{AtomicI32, Ordering},
    time::Duration,
};

/// A process.
pub type Pid = libc::pid_t;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Code(i32),
    Signal(i32),
}

fn check(outcome: libc::c_int) -> io::Result<libc::c_int> {
    if outcome < 0 { Err(io::Error::last_os_error()) } else { Ok(outcome) }
}

/// Makes this process the parent of whatever its descendants leave behind.
pub fn adopt_orphans() -> io::Result<()> {
    // SAFETY: the call takes numbers only.
    check(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }).map(drop)
}

/// Hides this process's environment, with the step's token, from others of the same user.
pub fn hide() -> io::Result<()> {
    // SAFETY: the call takes numbers only.
    check(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) }).map(drop)
}

/// Sends a signal to a process, or to a group where `pid` is negative. That it has ended is no error.
pub fn kill(pid: Pid, signal: i32) {
    // SAFETY: the call takes numbers only.
    let _ = unsafe { libc::kill(pid, signal) };
}

/// One ended child, if there is one; the error `ECHILD` says that there are no children at all.
pub fn reap() -> io::Result<Option<(Pid, Ended)>> {
    let mut status = 0;
    // SAFETY: `status` outlives the call.
    let pid = check(unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) })?;
    let ended = if libc::WIFSIGNALED(status) {
        Ended::Signal(libc::WTERMSIG(status))
    } else {
        Ended::Code(libc::WEXITSTATUS(status))
    };
    Ok((pid > 0).then_some((pid, ended)))
}

/// The children of this process's one thread.
pub fn children() -> Vec<Pid> {
    match fs::read_to_string("/proc/thread-self/children") {
        Ok(text) => text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect(),
        // A kernel without that file.
        Err(_) => children_by_parent(),
    }
}

fn children_by_parent() -> Vec<Pid> {
    let own = std::process::id().to_string();
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<Pid>().ok());
    pids.filter(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // `pid (name) state parent …`, where a name may hold anything.
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1));
        parent == Some(own.as_str())
    })
    .collect()
}

/// Signals that wait to be read.
pub struct Signals(OwnedFd);

/// A signal to end that came while none was held back; 0 for none.
static CAME: AtomicI32 = AtomicI32::new(0);

extern "C" fn note(signal: libc::c_int) {
    CAME.store(signal, Ordering::Relaxed);
}

impl Signals {
    /// Keeps SIGTERM, SIGINT and SIGCHLD from acting by themselves.
    pub fn take() -> io::Result<Self> {
        // SAFETY: the structures are made by the first calls and outlive the others; the handler stores a number only.
        let fd = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = note as *const () as libc::sighandler_t;
            action.sa_flags = libc::SA_RESTART;
            for signal in [libc::SIGTERM, libc::SIGINT] {
                check(libc::sigaction(signal, &raw const action, ptr::null_mut()))?;
            }
            let mut set = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGCHLD] {
                libc::sigaddset(&raw mut set, signal);
            }
            check(libc::sigprocmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut()))?;
            check(libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK))?
        };
        // SAFETY: the descriptor is new and ours.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Starts a program that acts on signals by itself, for it inherits the mask of the moment, and no handler. A signal to end
    /// that comes in that moment is noted; that a child has ended is seen by [`reap`] anyhow.
    pub fn start(program: &mut std::process::Command) -> io::Result<std::process::Child> {
        // SAFETY: the sets are made by the first calls and outlive the last one.
        unsafe {
            let (mut none, mut own) = (std::mem::zeroed(), std::mem::zeroed());
            libc::sigemptyset(&raw mut none);
            check(libc::sigprocmask(libc::SIG_SETMASK, &raw const none, &raw mut own))?;
            let started = program.spawn();
            check(libc::sigprocmask(libc::SIG_SETMASK, &raw const own, ptr::null_mut()))?;
            started
        }
    }

    /// The next signal that has come, if any.
    pub fn next(&self) -> Option<i32> {
        let came = CAME.swap(0, Ordering::Relaxed);
        if came != 0 {
            return Some(came);
        }
        // SAFETY: a zeroed structure of numbers is valid, and the buffer has its size.
        let (count, signal) = unsafe {
            let mut info: libc::signalfd_siginfo = std::mem::zeroed();
            let size = size_of::<libc::signalfd_siginfo>();
            (libc::read(self.0.as_raw_fd(), (&raw mut info).cast(), size), info.ssi_signo)
        };
        (count > 0).then(|| signal.cast_signed())
    }

    /// Waits, and says whether there was an end to it: SIGTERM or SIGINT.
    pub fn sleep(&self, time: Duration) -> bool {
        let until = std::time::Instant::now() + time;
        loop {
            while let Some(signal) = self.next() {
                if signal != libc::SIGCHLD {
                    return true;
                }
            }
            let left = until.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() {
                return false;
            }
            poll(&[self.fd()], Some(left));
        }
    }

    /// What [`poll`] waits for.
    pub fn fd(&self) -> BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&self.0)
    }
}

/// Waits until one of up to two descriptors can be read (or will never be again), and says which.
pub fn poll(fds: &[BorrowedFd<'_>], time: Option<Duration>) -> [bool; 2] {
    let blank = libc::pollfd { fd: -1, events: libc::POLLIN, revents: 0 };
    let mut polled = [blank; 2];
    for (slot, fd) in polled.iter_mut().zip(fds) {
        slot.fd = fd.as_raw_fd();
    }
    // A started millisecond is a whole one: poll must not return before its time, or callers would spin.
    let wait = time.map_or(-1, |time| i32::try_from(time.as_millis()).unwrap_or(i32::MAX - 1) + 1);
    let wait = if time.is_some_and(|time| time.is_zero()) { 0 } else { wait };
    // SAFETY: the array outlives the call, and has the length that is given.
    let ready = unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, wait) };
    if ready <= 0 { [false; 2] } else { polled.map(|slot| slot.revents != 0) }
}

/// Reads that find nothing return at once.
pub fn never_wait(fd: BorrowedFd<'_>) {
    // SAFETY: the calls take numbers only.
    unsafe {
        let flags = libc::fcntl(fd.as_raw_fd(), libc::F_GETFL);
        libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK);
    }
}
