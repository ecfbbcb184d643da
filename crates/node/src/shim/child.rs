//! Starts processes for the supervisor: in a session of their own, ended when the supervisor ends.
//!
//! Must run in a process with one thread. Waits for nothing.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd},
    os::unix::{net::UnixStream, process::CommandExt},
    path::Path,
    process::{Command, Stdio},
};

use rustix::process::Signal;

use super::{
    jail::sys,
    network::filter::{self, Asks},
};

/// What a container runtime says before the reason.
pub const PREFIX: &str = "unable to start container process: error during container init";

/// The command, where it runs and as whom.
pub struct Program<'a> {
    pub argv: &'a [String],
    pub env: &'a BTreeMap<String, String>,
    pub working_dir: &'a str,
    pub user: Option<u32>,
    pub group: Option<u32>,
    /// What its supervisor answers for, if anything.
    pub asks: Option<Asks>,
    /// How early it is killed when the machine's memory is at its end.
    pub oom_score_adj: i32,
    /// The way into its control group, from [`Join`](super::cgroup::Join).
    pub join: &'a [RawFd],
}

/// A process that has been started.
pub struct Started {
    pub pid: i32,
    /// Where the filter before its system calls asks.
    pub listener: Option<OwnedFd>,
}

/// Where the three standard streams go.
pub enum Streams {
    /// Where there is none it is `/dev/null`.
    Separate { stdin: Option<OwnedFd>, stdout: Option<OwnedFd>, stderr: Option<OwnedFd> },
    /// The near end of a terminal, which becomes the session's own.
    Terminal(OwnedFd),
}

/// Starts a program.
///
/// # Errors
/// A sentence in the words of a container runtime when it cannot be executed.
pub fn spawn(program: &Program<'_>, streams: Streams) -> Result<Started, String> {
    let Some(name) = program.argv.first() else { return Err("no command specified".to_owned()) };
    let mut command = Command::new(name);
    command.args(&program.argv[1..]).env_clear().envs(program.env).current_dir(program.working_dir);
    let is_terminal = matches!(streams, Streams::Terminal(_));
    match streams {
        Streams::Separate { stdin, stdout, stderr } => {
            let [stdin, stdout, stderr] = [stdin, stdout, stderr].map(|end| end.map_or_else(Stdio::null, Stdio::from));
            command.stdin(stdin).stdout(stdout).stderr(stderr);
        }
        Streams::Terminal(end) => {
            let copy = |end: &OwnedFd| end.try_clone().map(Stdio::from).map_err(|error| error.to_string());
            command.stdin(copy(&end)?).stdout(copy(&end)?).stderr(Stdio::from(end));
        }
    }
    if let Some(group) = program.group {
        command.gid(group);
    }
    if let Some(user) = program.user {
        command.uid(user);
    }
    let supervisor = std::process::id();
    let ends = program.asks.map(|_| UnixStream::pair()).transpose().map_err(|error| error.to_string())?;
    let (near, far) = ends.unzip();
    let (join, asks, score) = (program.join.to_vec(), program.asks, program.oom_score_adj.to_string());
    // SAFETY: between fork and exec only system calls are made: no allocation, no lock.
    unsafe {
        command.pre_exec(move || {
            super::cgroup::enter(&join)?;
            super::oom::adjust_own(score.as_bytes());
            rustix::process::setsid()?;
            sys::unblock_signals()?;
            if is_terminal && libc::ioctl(0, libc::TIOCSCTTY, 0) < 0 {
                return Err(io::Error::last_os_error());
            }
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
            // The supervisor may have died before that took effect.
            let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
            if parent != Some(supervisor) {
                return Err(io::Error::from_raw_os_error(libc::ECHILD));
            }
            // The last act before the program: from here on, calls wait for the supervisor.
            match (&far, asks) {
                (Some(supervisor), Some(asks)) => filter::install(supervisor.as_fd(), asks),
                _ => Ok(()),
            }
        });
    }
    let child = command.spawn().map_err(|error| describe(name, program.working_dir, &error))?;
    let pid = i32::try_from(child.id()).map_err(|error| error.to_string())?;
    let listener = near.map(|child| filter::receive(child.as_fd())).transpose();
    listener.map(|listener| Started { pid, listener }).map_err(|error| {
        // Without anyone who answers for it, it would have no network: it must not run at all.
        if let Some(pid) = rustix::process::Pid::from_raw(pid) {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
        format!("the filter before its system calls is lost: {error}")
    })
}

fn describe(name: &str, working_dir: &str, error: &io::Error) -> String {
    if !Path::new(working_dir).is_dir() {
        return format!(
            "{PREFIX}: chdir to cwd ({working_dir:?}) set in config.json failed: no such file or directory"
        );
    }
    match error.kind() {
        io::ErrorKind::NotFound if name.contains('/') => {
            format!("{PREFIX}: exec: {name:?}: stat {name}: no such file or directory")
        }
        io::ErrorKind::NotFound => format!("{PREFIX}: exec: {name:?}: executable file not found in $PATH"),
        io::ErrorKind::PermissionDenied => format!("{PREFIX}: exec: {name:?}: permission denied"),
        _ => format!("{PREFIX}: exec: {name:?}: {error}"),
    }
}

/// Opens a new terminal: the supervisor's end and the process's end.
///
/// # Errors
/// When the system has no terminal left.
pub fn open_terminal() -> io::Result<(File, OwnedFd)> {
    let master = File::options().read(true).write(true).open("/dev/ptmx")?;
    let unlock: libc::c_int = 0;
    // SAFETY: TIOCSPTLCK reads one int from a pointer that is valid for the call.
    if unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlock) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: TIOCGPTPEER takes flags and returns a descriptor that nothing else owns.
    let peer = unsafe {
        let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
        let descriptor = libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags);
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        OwnedFd::from_raw_fd(descriptor)
    };
    Ok((master, peer))
}
