//! The supervisor of one pod: a small program with one thread that owns the pod's processes.
//!
//! It starts them when it is asked to over a socket in the pod's directory, writes their logs,
//! remembers how they ended in files, and outlives the agent that had it started: the next agent connects
//! to the same socket. It decides nothing: it never restarts a container, knows no image, no volume
//! and no Kubernetes object. It ends when nothing runs and nobody is connected, or when it is told to.

pub mod cgroup;
mod child;
mod container;
mod ending;
pub mod forkserver;
pub mod hub;
pub mod jail;
mod journal;
pub mod network;
mod oom;
mod outlet;
pub mod protocol;
mod signals;
mod supervisor;
mod title;
pub mod tree;
pub mod wire;

use std::{
    ffi::OsString,
    os::fd::{AsFd, FromRawFd, OwnedFd},
    os::unix::net::UnixListener,
    path::PathBuf,
    process::ExitCode,
};

use crate::core::oom::SANDBOX;
pub use child::open_terminal;
pub use container::{Durability, log_path, read_record, record_path, write_record};
pub use journal::rotated;

/// The subcommand by which the binary runs as a supervisor.
pub const SUBCOMMAND: &str = "pod-shim";
/// Every process of a container has this variable; its value is the container's id.
pub const CONTAINER_ID_VARIABLE: &str = "FERROFLOW_CONTAINER_ID";

/// A supervisor has little to do for days: the binary's allocator gives back at once what it frees, not after a while that
/// never comes (a variable of mimalloc).
pub const RETURNS_MEMORY: (&str, &str) = ("MIMALLOC_PURGE_DELAY", "0");

/// Runs as what `args`, those after the subcommand, say. Call it before any thread exists.
///
/// That is the process that supervisors are forked off ([`forkserver`]), in which this returns as it does in each of
/// them, or what another argument of this kind stands for; or else the supervisor of the pod whose directory it is, with
/// the listening socket as standard input.
pub fn shim_main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    shim_main_of(protocol::OWN, args)
}

/// The same, of a program whose supervisors say that they speak these versions.
pub fn shim_main_of(hello: protocol::Hello, args: impl IntoIterator<Item = OsString>) -> ExitCode {
    match run(hello, args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{SUBCOMMAND}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A supervisor is there for days with nothing to do: what it used for a start or a burst of lines goes back when it is
/// freed, and not only when there is much of it.
fn give_memory_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt takes two numbers; a value that the library does not take changes nothing.
    unsafe {
        const KEPT_BYTES: libc::c_int = 16 << 10;
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT_BYTES);
        libc::mallopt(libc::M_TOP_PAD, 0);
    }
}

fn run(hello: protocol::Hello, args: impl IntoIterator<Item = OsString>) -> Result<(), String> {
    let mut args = args.into_iter();
    let Some(directory) = args.next().map(PathBuf::from) else {
        return Err("the pod's directory is missing".to_owned());
    };
    if directory.as_os_str() == jail::removal::ARGUMENT {
        let what = args.next().map(PathBuf::from).ok_or("what is to be removed is missing")?;
        return jail::removal::remove(&what);
    }
    if directory.as_os_str() == network::TRIAL_ARGUMENT {
        return network::trial_main();
    }
    if directory.as_os_str() == hub::ARGUMENT {
        return hub::main(take_listener()?);
    }
    if directory.as_os_str() != forkserver::ARGUMENT {
        return supervise(hello, directory, take_listener()?);
    }
    match forkserver::serve()? {
        forkserver::Role::Server => Ok(()),
        forkserver::Role::Supervisor(directory) => supervise(hello, directory, take_listener()?),
    }
}

/// Takes the listening socket off standard input, in whose place `/dev/null` comes.
fn take_listener() -> Result<UnixListener, String> {
    // SAFETY: descriptor 0 is open, and nothing else in this process uses it from here on.
    let socket = unsafe { OwnedFd::from_raw_fd(0) };
    let listener = UnixListener::from(socket.try_clone().map_err(|error| format!("standard input: {error}"))?);
    let null = std::fs::File::open("/dev/null").map_err(|error| format!("/dev/null: {error}"))?;
    let mut zero = socket;
    rustix::io::dup2(null.as_fd(), &mut zero).map_err(|error| format!("dup2: {error}"))?;
    // Descriptor 0 stays open for the life of the process.
    std::mem::forget(zero);
    Ok(listener)
}

/// Runs as the supervisor of the pod in `directory`.
fn supervise(hello: protocol::Hello, directory: PathBuf, listener: UnixListener) -> Result<(), String> {
    // Containers are given figures of their own; whoever is killed before this takes them all along.
    oom::adjust_own(SANDBOX.to_string().as_bytes());
    // An own session: a signal to the agent's terminal or group does not reach the pod.
    rustix::process::setsid().map_err(|error| format!("setsid: {error}"))?;
    // Processes whose parents end come here, and are ended with their container.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(|error| format!("subreaper: {error}"))?;
    give_memory_back();
    supervisor::Supervisor::new(hello, directory, listener)?.run()
}
