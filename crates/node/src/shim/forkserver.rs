//! The process that the supervisors of pods are forked off: this program, started once for all pods, and not once for
//! each.
//!
//! It has one thread and does nothing but wait for requests: a pod's directory, with the socket that its supervisor
//! listens on and the file for what goes wrong with it. It answers nothing: how a supervisor fares shows in its socket.
//! It ends when the agent's end of its own socket closes, and supervisors go on without it.

use std::{
    ffi::{CStr, OsStr, OsString},
    fs::File,
    io::{self, Write},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use rustix::net::RecvFlags;

use super::{SUBCOMMAND, signals, title::Room, wire};

/// What the supervisor's program is given in place of a pod's directory, before an argument that is as long as the
/// longest of them. Standard input is one of a pair of sockets that keep packets apart.
pub const ARGUMENT: &str = "--fork-server";

/// Bytes that a path has at most, with the null at its end (`PATH_MAX` of `linux/limits.h`).
const PATH_BYTES: usize = 4096;
/// The process's own name, of 15 bytes at most.
const NAME: &CStr = c"pod-fork-server";
/// That of a supervisor.
const SUPERVISOR: &CStr = c"pod-shim";

/// What a process comes out of [`serve`] as.
pub enum Role {
    /// The fork server, at its end.
    Server,
    /// The supervisor of the pod in this directory, as if it had been executed: standard input is its socket.
    Supervisor(PathBuf),
}

/// Asks for a supervisor of the pod in `directory`, with the socket that it listens on and the file for its errors.
///
/// # Errors
/// When the path is too long, and those of sendmsg(2): `EPIPE` or `ECONNRESET` when the fork server has ended.
pub fn ask(channel: impl AsFd, directory: &Path, listener: BorrowedFd<'_>, errors: BorrowedFd<'_>) -> io::Result<()> {
    let path = directory.as_os_str().as_bytes();
    if path.len() >= PATH_BYTES {
        return Err(io::ErrorKind::InvalidFilename.into());
    }
    loop {
        // A packet goes whole or not at all.
        match wire::send_descriptors(&channel, path, &[listener, errors]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            sent => return sent.map(drop),
        }
    }
}

/// Forks a supervisor for each request, until the agent closes its end. Must be called in a process with one thread.
///
/// Returns in each of the processes: a supervisor goes on where one does that has been executed.
///
/// # Errors
/// A sentence for the agent's log, or of a supervisor for its own.
pub fn serve() -> Result<Role, String> {
    let failed = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
    // What the server was started with is no supervisor's. Before Linux 5.9 this is refused, and it stays open.
    // SAFETY: nothing in this process uses a descriptor above the standard ones yet.
    unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
    // An own session: a signal to the agent's terminal or group does not reach it.
    rustix::process::setsid().map_err(|error| format!("setsid: {error}"))?;
    rustix::thread::set_name(NAME).map_err(|error| format!("the name of the process: {error}"))?;
    let title = Room::from(ARGUMENT).map_err(failed("the arguments of the process"))?;
    // Nobody waits for a supervisor: the kernel does away with it.
    signals::set_children(libc::SIG_IGN).map_err(failed("signals"))?;
    super::give_memory_back();
    loop {
        let Some((bytes, descriptors)) = receive().map_err(failed("standard input"))? else { return Ok(Role::Server) };
        let Some(request) = Request::of(bytes, descriptors) else {
            complain(&mut io::stderr(), "a request that is none");
            continue;
        };
        // SAFETY: this process has one thread.
        match unsafe { libc::fork() } {
            0 => return request.become_supervisor(&title).map(Role::Supervisor),
            -1 => complain(&mut File::from(request.errors), &format!("fork: {}", io::Error::last_os_error())),
            _ => {}
        }
    }
}

/// The next packet with what came along; `None` when there will be none.
fn receive() -> io::Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
    // SAFETY: standard input stays open for as long as this process is the fork server.
    let socket = unsafe { BorrowedFd::borrow_raw(0) };
    let (mut bytes, mut descriptors) = ([0; PATH_BYTES], Vec::new());
    loop {
        match wire::receive(socket, &mut bytes, RecvFlags::empty(), &mut descriptors) {
            Ok(0) => return Ok(None),
            Ok(length) => return Ok(Some((bytes[..length].to_vec(), descriptors))),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn complain(to: &mut impl Write, what: &str) {
    // Nobody may be there to read it, which is no reason to end.
    let _ = writeln!(to, "{SUBCOMMAND}: {what}");
}

struct Request {
    directory: PathBuf,
    listener: OwnedFd,
    errors: OwnedFd,
}

impl Request {
    /// `None` when it is not a whole one.
    fn of(bytes: Vec<u8>, descriptors: Vec<OwnedFd>) -> Option<Self> {
        let [listener, errors] = <[OwnedFd; 2]>::try_from(descriptors).ok()?;
        let is_whole = bytes.len() < PATH_BYTES;
        is_whole.then(|| Self { directory: PathBuf::from(OsString::from_vec(bytes)), listener, errors })
    }

    /// Makes this process what one that has been executed is: with these descriptors and no others, with signals as a
    /// program finds them, and under a name of its own.
    fn become_supervisor(self, title: &Room) -> Result<PathBuf, String> {
        let failed = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
        let Self { directory, listener, errors } = self;
        // Standard output is /dev/null already, and nothing else is open: the server keeps nothing of earlier requests.
        put(listener, 0).and_then(|()| put(errors, 2)).map_err(failed("dup2"))?;
        signals::set_children(libc::SIG_DFL).map_err(failed("signals"))?;
        rustix::thread::set_name(SUPERVISOR).map_err(|error| format!("the name of the process: {error}"))?;
        title.write(OsStr::as_bytes(directory.as_os_str()));
        Ok(directory)
    }
}

/// Makes a descriptor a standard one, in place of what that was.
fn put(descriptor: OwnedFd, number: libc::c_int) -> io::Result<()> {
    // SAFETY: dup2 takes two numbers; what the standard one was is not used any more.
    if unsafe { libc::dup2(descriptor.as_raw_fd(), number) } < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
