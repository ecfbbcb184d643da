//! Runs the step's program: its output is passed on and kept, signals are forwarded, and nothing of it outlives it.

use std::{
    env, fs,
    io::{self, Read, Write},
    os::{fd::AsFd, unix::process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    client::PIECE,
    log::Log,
    oom,
    report::{Failure, exit_code, signal_name},
    sys::{self, Ended, Pid, Signals},
};

/// How long a program has between SIGTERM and SIGKILL where nothing else is said: five seconds less than a pod has, in
/// which its end is reported.
const GRACE: Duration = Duration::from_secs(25);
/// The variable that says it otherwise, in seconds.
const GRACE_VARIABLE: &str = "FERROFLOW_GRACE_SECONDS";
/// How long processes that were killed may take to go. One that hangs in the kernel is left to whoever ends the container.
const STUBBORN: Duration = Duration::from_secs(10);
/// Exit codes of who was told to end, and of who was killed, as shells have them.
const TERMINATED: u8 = 128 + libc::SIGTERM as u8;
const KILLED: u8 = 128 + libc::SIGKILL as u8;
/// Variables that are the launcher's alone.
const OWN: [&str; 2] = ["FERROFLOW_STEP_TOKEN", GRACE_VARIABLE];

/// How it went.
pub struct Outcome {
    pub exit_code: Option<i32>,
    pub failure: Option<Failure>,
    pub log: Log,
    /// The exit code to end with where the program was ended from outside: what for is known to the pod's node, and not here.
    pub foreign: Option<u8>,
}

/// Runs `command` to its end.
pub fn run(command: &[String], signals: &Signals) -> Outcome {
    let mut log = Log::new(crate::log::PART);
    let mut foreign = None;
    let (exit_code, failure) = match start(command) {
        Ok((pid, reader)) => {
            let kills = oom::kills();
            let mut watched = Watched { pid, reader: Some(reader), log: &mut log, told: None, killed: None };
            let ended = watched.watch(signals);
            let told = watched.told;
            log.settle();
            let failure = failure(ended, told, kills, &log);
            let is_killed = matches!(ended, Ended::Signal(libc::SIGKILL));
            let is_known = failure.as_ref().is_none_or(|failure| failure.reason == "OOMKilled");
            foreign = match told {
                _ if is_known => None,
                Some(_) => Some(TERMINATED),
                None => is_killed.then_some(KILLED),
            };
            (Some(exit_code(ended)), failure)
        }
        Err(failure) => {
            let exit_code = if failure.message.starts_with("executable not found") { 127 } else { 126 };
            let line = format!("{}\n", failure.message);
            pass_on(line.as_bytes());
            log.add(line.as_bytes());
            (Some(exit_code), Some(failure))
        }
    };
    Outcome { exit_code, failure, log, foreign }
}

fn failure(ended: Ended, told: Option<i32>, kills: oom::Kills, log: &Log) -> Option<Failure> {
    let (reason, what) = match ended {
        Ended::Code(0) => return None,
        _ if kills.explain(ended) => {
            ("OOMKilled", "the container's memory limit was reached, and the kernel ended a process".to_owned())
        }
        Ended::Code(code) => ("Error", format!("exit code {code}")),
        Ended::Signal(signal) => match told {
            Some(told) => {
                ("Signal", format!("ended by {}, after the pod was sent {}", signal_name(signal), signal_name(told)))
            }
            None => ("Signal", format!("ended by {}", signal_name(signal))),
        },
    };
    let lines = log.last_lines();
    let message = if lines.is_empty() { what } else { format!("{what}; the last lines of its log:\n{lines}") };
    Some(Failure::new(reason, message))
}

fn start(command: &[String]) -> Result<(Pid, io::PipeReader), Failure> {
    let (program, arguments) = command
        .split_first()
        .ok_or_else(|| Failure::new("NotFound", "executable not found: the step has no command"))?;
    let pipe = || {
        let (reader, writer) = io::pipe()?;
        sys::never_wait(reader.as_fd());
        Ok((reader, writer.try_clone()?, writer))
    };
    let (reader, out, errors) =
        pipe().map_err(|error: io::Error| Failure::new("Error", format!("no pipe for the program: {error}")))?;
    let mut child = Command::new(program);
    child.args(arguments).stdout(Stdio::from(out)).stderr(Stdio::from(errors)).process_group(0);
    for name in OWN {
        child.env_remove(name);
    }
    let child = Signals::start(&mut child).map_err(|error| cannot_start(program, arguments, &error))?;
    // Process ids are positive and fit.
    Ok((child.id().cast_signed(), reader))
}

fn cannot_start(program: &str, arguments: &[String], error: &io::Error) -> Failure {
    let found = find(program);
    let message = match (error.raw_os_error(), &found) {
        (Some(libc::ENOENT), Some(path)) => {
            format!(
                "executable not found: the interpreter or loader that {} asks for is not in this image",
                path.display()
            )
        }
        (Some(libc::ENOENT), None) => format!("executable not found: \"{program}\" is not in this image"),
        (Some(libc::ENOTDIR), _) => format!("executable not found: \"{program}\" leads through a file"),
        (Some(libc::ENOEXEC), _) => {
            format!("executable not found: \"{program}\" is no program for this machine (exec format error)")
        }
        (Some(libc::EACCES), _) => format!("\"{program}\" cannot be executed: permission denied"),
        (Some(libc::E2BIG), _) => {
            let largest = arguments.iter().map(String::len).max().unwrap_or_default();
            format!(
                "\"{program}\" cannot be executed: its arguments are too long for Linux (the longest has {largest} bytes, \
                 131071 are allowed)"
            )
        }
        _ => format!("\"{program}\" cannot be executed: {error}"),
    };
    Failure::new("NotFound", message)
}

/// Where a program lies, as far as that can be told.
fn find(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return fs::metadata(program).is_ok().then(|| PathBuf::from(program));
    }
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|directory| directory.join(program)).find(|path| is_executable(path))
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

/// A running program.
struct Watched<'a> {
    pid: Pid,
    /// What it prints; `None` once nobody can print any more.
    reader: Option<io::PipeReader>,
    log: &'a mut Log,
    /// The signal that it was told to end by.
    told: Option<i32>,
    /// When it is killed after that.
    killed: Option<Instant>,
}

impl Watched<'_> {
    fn watch(&mut self, signals: &Signals) -> Ended {
        let mut piece = vec![0; PIECE];
        let ended = loop {
            while let Some(signal) = signals.next() {
                if signal != libc::SIGCHLD {
                    self.tell(signal);
                }
            }
            if let Some(ended) = self.reap() {
                break ended;
            }
            let left = self.killed.map(|at| at.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                sys::kill(-self.pid, libc::SIGKILL);
                self.killed = None;
            }
            let fds: Vec<_> = [signals.fd()].into_iter().chain(self.reader.as_ref().map(AsFd::as_fd)).collect();
            let [_, can_read] = sys::poll(&fds, self.killed.and(left));
            if can_read {
                self.read(&mut piece);
            }
        };
        self.clear(signals);
        // What was printed before the end; bounded by what a pipe holds.
        while self.read(&mut piece) {}
        ended
    }

    fn tell(&mut self, signal: i32) {
        if self.told.is_none() {
            let grace =
                env::var(GRACE_VARIABLE).ok().and_then(|text| text.parse().ok()).map_or(GRACE, Duration::from_secs);
            self.killed = Some(Instant::now() + grace);
            self.told = Some(signal);
        }
        sys::kill(-self.pid, signal);
    }

    /// Takes the ends of all children that have ended, and returns that of the program if it is among them.
    fn reap(&mut self) -> Option<Ended> {
        let mut own = None;
        while let Ok(Some((pid, ended))) = sys::reap() {
            if pid == self.pid {
                own = Some(ended);
            }
        }
        own
    }

    /// Kills what the program has left behind, until nothing of it is left.
    fn clear(&mut self, signals: &Signals) {
        let until = Instant::now() + STUBBORN;
        sys::kill(-self.pid, libc::SIGKILL);
        loop {
            let left = sys::children();
            left.iter().for_each(|pid| sys::kill(*pid, libc::SIGKILL));
            loop {
                match sys::reap() {
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    // There are no children.
                    Err(_) => return,
                }
            }
            if Instant::now() >= until {
                eprintln!("ferroflow-launcher: {} processes of the step could not be ended", left.len());
                return;
            }
            // What they leave behind in turn comes to this process. Signals that are taken here were for the program.
            sys::poll(&[signals.fd()], Some(Duration::from_millis(5)));
            while signals.next().is_some() {}
        }
    }

    /// Reads once, and says whether there may be more.
    fn read(&mut self, piece: &mut [u8]) -> bool {
        let Some(reader) = &mut self.reader else { return false };
        match reader.read(piece) {
            Ok(0) => {
                self.reader = None;
                false
            }
            Ok(count) => {
                pass_on(&piece[..count]);
                self.log.add(&piece[..count]);
                true
            }
            Err(error) => {
                if !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) {
                    self.reader = None;
                }
                error.kind() == io::ErrorKind::Interrupted
            }
        }
    }
}

/// Prints what the program printed. Where nobody takes it any more, the log still has it.
fn pass_on(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(bytes).and_then(|()| out.flush());
}
