//! One running container as its supervisor sees it: process, streams, log, and who listens.
//!
//! Reads without blocking; a listener that does not keep up misses output, the container never waits
//! for it.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    time::Instant,
};

use jiff::Timestamp;

use super::{
    cgroup::{Group, Join},
    child::{self, PREFIX, Program, Started, Streams},
    jail::{self, Ids, Pod, Task},
    journal::{Journal, Limits, Source},
    network,
    outlet::{Outlet, State},
    protocol::{Network, Start},
};
use crate::core::{
    cgroup::Controller,
    record::{Attempt, Exit, ExitReason},
};

/// Bytes that are read at once; they lie on the stack, which never gives memory back.
const READ_SIZE: usize = 16 << 10;
/// Reads of one source before the others have their turn: together what a pipe holds.
const READS: usize = 4;
/// What a container wrote before it ended is read to its end, but no more than this: a process that
/// escaped and still writes must not hold up the exit.
const DRAIN_LIMIT: usize = 64 << 20;

/// How a process ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    pub code: i32,
}

/// A container that runs.
pub struct Container {
    pub start: Start,
    pub pid: i32,
    /// Its first process, where it has namespaces of its own.
    pub handle: Option<OwnedFd>,
    /// When its group is killed, if it has not ended before.
    pub kill_at: Option<Instant>,
    pub out_of_memory: bool,
    /// Its control group, where it has one.
    pub group: Option<Group>,
    /// A source that has ended is `None`, so that the numbers of the others stay.
    sources: Vec<(Source, Option<File>)>,
    journal: Journal,
    /// Those who joined the streams.
    outlets: Vec<(Source, Outlet)>,
    stdin: Option<OwnedFd>,
    terminal: Option<File>,
    listener: Option<OwnedFd>,
}

impl Container {
    /// Starts the process; `pod` is the pod's directory, `spaces` its namespaces where they are made already. The
    /// record of the run is on disk before it.
    ///
    /// # Errors
    /// A sentence for the container's status.
    pub fn start(
        pod: &Path,
        mut start: Start,
        spaces: &mut Option<Pod>,
        network: Option<&mut network::Network>,
        now: Timestamp,
    ) -> Result<Self, String> {
        start.attempt.started_at = now;
        write_record(pod, &start.attempt, Durability::Memory).map_err(|error| format!("cannot write: {error}"))?;
        let log = log_path(pod, &start.attempt);
        let journal = Journal::open(&log, Limits::default())
            .map_err(|error| format!("cannot open {}: {error}", log.display()))?;
        let mut sources = Vec::new();
        let mut terminal = None;
        let (stdin, streams) = if start.tty {
            let (master, near) = child::open_terminal().map_err(|error| format!("cannot open a terminal: {error}"))?;
            sources.push((Source::Stdout, Some(master.try_clone().map_err(|error| error.to_string())?)));
            terminal = Some(master);
            (None, Streams::Terminal(near))
        } else {
            separate_streams(&mut sources, start.stdin).map_err(|error| format!("cannot make a pipe: {error}"))?
        };
        for source in sources.iter().filter_map(|(_, source)| source.as_ref()) {
            rustix::io::ioctl_fionbio(source, true).map_err(|error| error.to_string())?;
        }
        let group =
            start.cgroup.as_ref().map(|pod| Group::make(pod, &start.group_name(), start.bounds())).transpose()?;
        let process = run(&start, spaces, network, group.as_ref(), streams).inspect_err(|_| {
            group.as_ref().map(Group::remove);
        });
        let jail::Process { pid, handle, listener } = process?;
        Ok(Self {
            start,
            pid,
            handle,
            kill_at: None,
            out_of_memory: false,
            group,
            sources,
            journal,
            outlets: Vec::new(),
            stdin,
            terminal,
            listener,
        })
    }

    /// Where the filter before its system calls asks; given out once.
    pub fn take_listener(&mut self) -> Option<OwnedFd> {
        self.listener.take()
    }

    /// Whether the supervisor has to look how much memory it holds.
    pub fn is_watched(&self) -> bool {
        let bound = self.group.as_ref().is_some_and(|group| group.bounds(Controller::Memory));
        self.start.memory_limit_bytes.is_some() && !bound
    }

    /// The descriptors to wait on, with the numbers that [`read`](Self::read) knows them by.
    pub fn sources(&self) -> impl Iterator<Item = (usize, BorrowedFd<'_>)> {
        self.sources.iter().enumerate().filter_map(|(index, (_, file))| Some((index, file.as_ref()?.as_fd())))
    }

    /// Reads what the source with this number has; a source that has ended is forgotten.
    pub fn read(&mut self, index: usize, now: Timestamp) {
        let mut buffer = [0_u8; READ_SIZE];
        for _ in 0..READS {
            match self.read_into(index, &mut buffer, now) {
                Progress::Some(READ_SIZE) => {}
                Progress::Some(_) | Progress::Nothing => return,
                Progress::Ended => return self.sources[index].1 = None,
            }
        }
    }

    fn read_into(&mut self, index: usize, buffer: &mut [u8], now: Timestamp) -> Progress {
        let Some((source, Some(file))) = self.sources.get_mut(index) else { return Progress::Nothing };
        let source = *source;
        match file.read(buffer) {
            // A terminal whose other end is closed answers EIO.
            Ok(0) => Progress::Ended,
            Ok(length) => {
                let bytes = &buffer[..length];
                // A full disk costs the log its lines; it must not cost the container its life.
                let _ = self.journal.append(source, bytes, now);
                self.outlets.retain_mut(|(wanted, outlet)| *wanted != source || outlet.write(bytes) != State::Closed);
                Progress::Some(length)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Progress::Nothing,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Progress::Nothing,
            Err(_) => Progress::Ended,
        }
    }

    /// Joins the streams; returns the descriptor to write input to, where the container takes any.
    ///
    /// # Errors
    /// When the container's input cannot be shared.
    pub fn attach(
        &mut self,
        stdout: Option<OwnedFd>,
        stderr: Option<OwnedFd>,
        wants_stdin: bool,
    ) -> io::Result<Option<OwnedFd>> {
        for (source, end) in [(Source::Stdout, stdout), (Source::Stderr, stderr)] {
            if let Some(end) = end {
                self.outlets.push((source, Outlet::new(end)?));
            }
        }
        if let Some(terminal) = &self.terminal {
            return Ok(Some(OwnedFd::from(terminal.try_clone()?)));
        }
        if !wants_stdin {
            return Ok(None);
        }
        if self.start.stdin_once {
            return Ok(self.stdin.take());
        }
        self.stdin.as_ref().map(OwnedFd::try_clone).transpose()
    }

    /// Ends whose reader is not done with what was written.
    pub fn waiting_outlets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.outlets.iter().filter(|(_, outlet)| outlet.is_waiting()).map(|(_, outlet)| outlet.fd())
    }

    /// Writes on to those who joined and were slow.
    pub fn flush(&mut self) {
        self.outlets.retain_mut(|(_, outlet)| outlet.flush() != State::Closed);
    }

    /// Reads what is left, closes the log and stores the exit; the process has been waited for. Gives
    /// back the ends that still have something to write.
    pub fn finish(mut self, pod: &Path, ended: Ended, now: Timestamp) -> (Attempt, Vec<Outlet>) {
        let mut buffer = vec![0_u8; READ_SIZE];
        for index in 0..self.sources.len() {
            let mut total = 0;
            while let Progress::Some(length) = self.read_into(index, &mut buffer, now) {
                total += length;
                if total > DRAIN_LIMIT {
                    break;
                }
            }
        }
        let _ = self.journal.finish(now);
        let reason = match ended {
            _ if self.out_of_memory => ExitReason::OomKilled,
            Ended { code: 0 } => ExitReason::Completed,
            Ended { .. } => ExitReason::Error,
        };
        let mut attempt = self.start.attempt;
        attempt.exit = Some(Exit { code: ended.code, reason, message: String::new(), finished_at: now });
        // What cannot be stored is still told to the agent.
        let _ = write_record(pod, &attempt, Durability::Disk);
        let outlets = self.outlets.into_iter().map(|(_, outlet)| outlet).filter(Outlet::is_waiting);
        (attempt, outlets.collect())
    }
}

/// Starts the process as a host's or in a jail.
fn run(
    start: &Start,
    spaces: &mut Option<Pod>,
    network: Option<&mut network::Network>,
    group: Option<&Group>,
    streams: Streams,
) -> Result<jail::Process, String> {
    let Some(jail) = &start.jail else {
        return spawn(start, &start.argv, group, streams);
    };
    let pod = match spaces {
        Some(pod) => pod,
        None => {
            let made = {
                let own = network.and_then(network::Network::own);
                Pod::make(Ids::of_pod(jail.ids), &jail.hostname, &jail.sysctls, own)
            };
            spaces.insert(made.map_err(|reason| format!("{PREFIX}: {reason}"))?)
        }
    };
    jail::start(pod, jail, &task(start, &start.argv), streams, &Join::of(group)?)
}

/// Starts a process of the host in a container that is not kept apart.
///
/// # Errors
/// A sentence in the words of a container runtime.
pub fn spawn(start: &Start, argv: &[String], group: Option<&Group>, streams: Streams) -> Result<jail::Process, String> {
    let join = Join::of(group)?;
    let program = Program {
        argv,
        env: &start.env,
        working_dir: &start.working_dir,
        user: start.security.user,
        group: start.security.group,
        asks: start.network.as_ref().map(Network::asks),
        oom_score_adj: start.oom_score_adj,
        join: &join.descriptors(),
    };
    let Started { pid, listener } = child::spawn(&program, streams)?;
    Ok(jail::Process { pid, handle: None, listener })
}

/// What runs in a container that is kept apart.
pub fn task<'a>(start: &'a Start, argv: &'a [String]) -> Task<'a> {
    let is_bound = start.cgroup.as_ref().is_some_and(|pod| pod.has(Controller::Pids));
    Task {
        argv,
        env: &start.env,
        working_dir: &start.working_dir,
        security: &start.security,
        processes: start.pids_limit.filter(|_| !is_bound),
        asks: start.network.as_ref().map(Network::asks),
        oom_score_adj: start.oom_score_adj,
    }
}

#[derive(PartialEq, Eq)]
enum Progress {
    Some(usize),
    Nothing,
    Ended,
}

fn separate_streams(
    sources: &mut Vec<(Source, Option<File>)>,
    wants_stdin: bool,
) -> io::Result<(Option<OwnedFd>, Streams)> {
    let (stdout, stdout_end) = io::pipe()?;
    let (stderr, stderr_end) = io::pipe()?;
    sources.push((Source::Stdout, Some(File::from(OwnedFd::from(stdout)))));
    sources.push((Source::Stderr, Some(File::from(OwnedFd::from(stderr)))));
    let (stdin, stdin_end) = if wants_stdin {
        let (near, far) = io::pipe()?;
        (Some(OwnedFd::from(near)), Some(OwnedFd::from(far)))
    } else {
        (None, None)
    };
    let streams = Streams::Separate { stdin, stdout: Some(stdout_end.into()), stderr: Some(stderr_end.into()) };
    Ok((stdin_end, streams))
}

/// Whether a record must survive a power cut.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    Memory,
    Disk,
}

/// Where the record of a run is kept, below a pod's directory.
pub fn record_path(pod: &Path, container: &str, number: u32) -> PathBuf {
    pod.join("run").join(container).join(format!("{number}.json"))
}

/// Where the log of a run is kept, below a pod's directory.
pub fn log_path(pod: &Path, attempt: &Attempt) -> PathBuf {
    pod.join("logs").join(&attempt.container).join(format!("{}.log", attempt.number))
}

/// The record of a run; `None` where there is none, or the power cut it in half.
pub fn read_record(path: &Path) -> Option<Attempt> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// Stores the record of a run, whole or not at all.
///
/// # Errors
/// When it cannot be written.
pub fn write_record(pod: &Path, attempt: &Attempt, durability: Durability) -> io::Result<()> {
    let path = record_path(pod, &attempt.container, attempt.number);
    let temporary = path.with_extension("new");
    let mut file = File::create(&temporary)?;
    file.write_all(&serde_json::to_vec(attempt)?)?;
    if durability == Durability::Disk {
        file.sync_data()?;
    }
    std::fs::rename(temporary, path)
}
