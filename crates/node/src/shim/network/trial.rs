//! Whether this host lets a supervisor answer for its processes: found out by doing it.

use std::{
    ffi::OsString,
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    os::fd::{AsFd, BorrowedFd},
    os::unix::net::UnixStream,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec},
    net::{AddressFamily, SocketType},
    process::{Pid, WaitOptions},
};

use super::{
    address::{self, Address},
    filter,
    notify::{Answer, Listener},
    socket::Socket,
    target,
};

/// What the supervisor's program is given in place of a pod's directory.
pub const TRIAL_ARGUMENT: &str = "--network-trial";
/// A trial takes a millisecond; a host that is busy gets this long.
const PATIENCE: Duration = Duration::from_secs(10);
const ASKED: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(10, 96, 0, 1)), 443);
/// The trial's answer: one that no `connect` gives.
const SIGN: i32 = libc::EXDEV;
const YAMA: &str = "/proc/sys/kernel/yama/ptrace_scope";

/// Tries in a process of its own: `program` is that of the supervisor, with its `arguments`.
///
/// # Errors
/// Why pods cannot have addresses of their own here, in words for a user.
pub fn trial(program: &Path, arguments: &[OsString]) -> Result<(), String> {
    let mut command = Command::new(program);
    command.args(arguments).arg(TRIAL_ARGUMENT).stdin(Stdio::null()).stdout(Stdio::null());
    let output = command.output().map_err(|error| format!("cannot try: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().last().filter(|line| !line.is_empty());
    Err(last.map_or_else(|| format!("the trial ended with {}", output.status), str::to_owned))
}

/// The trial itself; call it before any thread exists.
///
/// # Errors
/// As [`trial`].
pub fn trial_main() -> Result<(), String> {
    let said = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
    let (near, far) = UnixStream::pair().map_err(said("cannot make a pair of sockets"))?;
    // SAFETY: this process has one thread; the child makes system calls only and ends without returning.
    let child = unsafe { libc::fork() };
    match child {
        -1 => Err(said("cannot start a process")(io::Error::last_os_error())),
        0 => {
            let code = match be_asked(far.as_fd()) {
                Ok(()) => 0,
                Err(error) => error.raw_os_error().unwrap_or(libc::EIO),
            };
            // SAFETY: ends the process; nothing of this program runs any more.
            unsafe { libc::_exit(code) }
        }
        child => {
            drop(far);
            let answered = answer(&near);
            // It waits for an answer where none came.
            if let (Err(_), Some(pid)) = (&answered, Pid::from_raw(child)) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
            let status = rustix::process::waitpid(Pid::from_raw(child), WaitOptions::empty())
                .map_err(|error| format!("cannot wait for a process: {error}"))?;
            match status.and_then(|(_, status)| status.exit_status()) {
                Some(0) => answered,
                Some(code) => Err(refused(&io::Error::from_raw_os_error(code))),
                None => answered.and(Err("the process of the trial was killed".to_owned())),
            }
        }
    }
}

fn refused(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EBUSY) => "the kernel refuses a filter for system calls: another supervisor answers for this \
             process already (a container engine, or a pod of another cluster)"
            .to_owned(),
        _ => format!("the kernel refuses a filter for system calls that asks (Linux 5.9 or later has it): {error}"),
    }
}

/// The child: asks once, and expects the sign.
fn be_asked(supervisor: BorrowedFd<'_>) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    filter::install(supervisor, filter::Asks::Addresses)?;
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
    match rustix::net::connect(&socket, &ASKED) {
        Err(error) if error.raw_os_error() == SIGN => Ok(()),
        Err(error) => Err(error.into()),
        Ok(()) => Err(io::Error::from_raw_os_error(libc::EPROTO)),
    }
}

fn answer(child: &UnixStream) -> Result<(), String> {
    wait(child.as_fd(), "a process does not start")?;
    let listener = filter::receive(child.as_fd()).map_err(|error| format!("no filter was made: {error}"))?;
    let listener = Listener::new(listener);
    wait(listener.fd(), "a call does not reach its supervisor")?;
    let call = listener.take().ok_or("a call has gone before it was answered")?;
    let mut bytes = [0; address::LONGEST];
    let read = target::read(call.thread, call.arguments[1], &mut bytes[..16]).map_err(|error| denied(&error))?;
    if address::parse(&bytes[..read]) != Address::Internet(ASKED) {
        return Err("the memory of a process is not what it says".to_owned());
    }
    let socket = target::descriptor(call.thread, call.arguments[0]).and_then(Socket::new);
    let socket = socket.map_err(|error| denied(&error))?;
    let mut socket = socket.ok_or("the socket of a process is not what it says")?;
    let address = Ipv4Addr::new(127, *crate::core::network::BLOCKS.start(), 0, 1);
    socket.bind_source(address).map_err(|error| format!("{address} cannot be used on this host: {error}"))?;
    listener.answer(call.id, Answer::Failure(SIGN));
    Ok(())
}

fn wait(descriptor: BorrowedFd<'_>, otherwise: &str) -> Result<(), String> {
    let mut set = [PollFd::from_borrowed_fd(descriptor, PollFlags::IN)];
    let patience = Timespec::try_from(PATIENCE).ok();
    match rustix::event::poll(&mut set, patience.as_ref()) {
        Ok(0) => Err(otherwise.to_owned()),
        Ok(_) if !set[0].revents().contains(PollFlags::IN) => Err(otherwise.to_owned()),
        Ok(_) => Ok(()),
        Err(error) => Err(format!("{otherwise}: {error}")),
    }
}

fn denied(error: &io::Error) -> String {
    let scope = fs::read_to_string(YAMA).unwrap_or_default();
    match scope.trim() {
        scope @ ("2" | "3") => {
            format!("a supervisor may not look at its own processes: {YAMA} is {scope}, and has to be 0 or 1 ({error})")
        }
        _ => format!("a supervisor may not look at its own processes: {error}"),
    }
}
