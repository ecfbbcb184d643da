//! Containers as processes of the host, each pod under a supervisor of its own.
//!
//! A pod's directory holds everything about it: `pod.json`, the supervisor's socket, a record of each
//! run, logs, volumes, and a directory that each container calls home. Nothing is mounted: the paths of
//! mounts are rewritten where they occur in a command, its arguments and its variables.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs, io,
    os::fd::OwnedFd,
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ferroflow_platform::{
    clock::{BoxFuture, SharedClock},
    kubelet::{ContainerUsage, ExecOptions, ExecSession, ExitStatus},
    task::{Group, Kind},
};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::{
    Error, Event, Isolation, Launch, PodRecord, PodRuntime, Sandbox,
    link::{self, Link},
    logs, session, termination,
};
use crate::{
    core::{
        record::{Attempt, Exit, ExitReason},
        rewrite::{Mapping, Rewriter},
    },
    shim::{
        self, Durability,
        protocol::{self, Answer, Live, Operation},
        tree,
    },
};

const SOCKET: &str = "s";
const POD_FILE: &str = "pod.json";
/// Where programs are looked for in a container that sets no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Runs of a container of which log and record are kept: the last one, the one before, and one to spare.
const RUNS_KEPT: u32 = 3;
/// `/proc` counts time in hundredths of a second on every Linux: proc_pid_stat(5), `USER_HZ`.
const TICK_NANOSECONDS: u64 = 1_000_000_000 / 100;

/// How to run a supervisor: a program and the arguments before the pod's directory.
#[derive(Clone, Debug)]
pub struct ShimCommand {
    pub program: PathBuf,
    pub arguments: Vec<OsString>,
}

impl Default for ShimCommand {
    /// This program again, even where its file has been replaced since it was started.
    fn default() -> Self {
        Self { program: PathBuf::from("/proc/self/exe"), arguments: vec![OsString::from(shim::SUBCOMMAND)] }
    }
}

/// Runs pods as processes below one directory.
pub struct ProcessRuntime {
    shared: Arc<Shared>,
}

struct Shared {
    directory: PathBuf,
    shim: ShimCommand,
    clock: SharedClock,
    group: Group,
}

impl ProcessRuntime {
    /// A runtime whose pods live in `directory`, which is made.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn new(directory: PathBuf, shim: ShimCommand, clock: SharedClock, group: Group) -> Result<Self, Error> {
        make_directory(&directory, 0o711)?;
        Ok(Self { shared: Arc::new(Shared { directory, shim, clock, group }) })
    }
}

impl PodRuntime for ProcessRuntime {
    fn isolation(&self) -> Isolation {
        Isolation::Bare
    }

    fn open(&self, pod: PodRecord, events: mpsc::Sender<Event>) -> BoxFuture<'_, Result<Arc<dyn Sandbox>, Error>> {
        Box::pin(async move {
            let directory = self.shared.directory.join(&pod.uid);
            for (part, mode) in [("", 0o711), ("run", 0o700), ("logs", 0o700), ("volumes", 0o711), ("root", 0o711)] {
                make_directory(&directory.join(part), mode)?;
            }
            let sandbox = ProcessSandbox {
                shared: self.shared.clone(),
                uid: pod.uid.clone(),
                directory,
                link: Mutex::new(None),
                events,
            };
            sandbox.remember(&pod)?;
            sandbox.reconnect().await;
            Ok(Arc::new(sandbox) as Arc<dyn Sandbox>)
        })
    }

    fn stored(&self) -> BoxFuture<'_, Result<Vec<PodRecord>, Error>> {
        Box::pin(async move {
            let directory = &self.shared.directory;
            let entries = fs::read_dir(directory).map_err(|error| Error::file("list", directory, error))?;
            let files = entries.flatten().map(|entry| entry.path().join(POD_FILE));
            let read = files.filter_map(|file| serde_json::from_slice(&fs::read(file).ok()?).ok());
            Ok(read.collect())
        })
    }
}

/// The sandbox of one pod.
struct ProcessSandbox {
    shared: Arc<Shared>,
    uid: String,
    directory: PathBuf,
    link: Mutex<Option<Link>>,
    events: mpsc::Sender<Event>,
}

impl ProcessSandbox {
    /// Connects to the supervisor that an earlier agent left, if there is one.
    async fn reconnect(&self) {
        let Ok(stream) = link::connect(&self.directory, SOCKET) else { return };
        if let Ok(link) = self.speak(stream) {
            // An answer proves that it is alive; a failed one shows in the link.
            let _ = link.call(Operation::Subscribe, Vec::new()).await;
            if !link.is_closed() {
                *self.link.lock().unwrap_or_else(PoisonError::into_inner) = Some(link);
            }
        }
    }

    /// Speaks over a connection whose events become the sandbox's.
    fn speak(&self, stream: std::os::unix::net::UnixStream) -> io::Result<Link> {
        let (sender, mut receiver) = mpsc::channel(16);
        let events = self.events.clone();
        let directory = self.directory.clone();
        self.shared.group.spawn("events of a pod's supervisor", Kind::Transient, async move {
            while let Some(event) = receiver.recv().await {
                let protocol::Event::Exited(mut attempt) = event else { continue };
                fill_message(&directory, &mut attempt);
                if events.send(Event::Exited(attempt)).await.is_err() {
                    return Ok(());
                }
            }
            let _ = events.send(Event::SupervisorLost).await;
            Ok::<(), std::convert::Infallible>(())
        });
        Link::start(stream, &self.shared.group, sender)
    }

    fn current_link(&self) -> Option<Link> {
        let link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        link.clone().filter(|link| !link.is_closed())
    }

    /// The link to the supervisor; starts one when there is none.
    async fn link(&self) -> Result<Link, Error> {
        if let Some(link) = self.current_link() {
            return Ok(link);
        }
        let failed = |source| Error::Supervisor { uid: self.uid.clone(), source };
        let stream = self.spawn_supervisor().map_err(failed)?;
        let link = self.speak(stream).map_err(failed)?;
        *self.link.lock().unwrap_or_else(PoisonError::into_inner) = Some(link.clone());
        self.call(&link, Operation::Subscribe, Vec::new()).await?;
        Ok(link)
    }

    /// The socket listens before the supervisor runs, so nobody has to wait for it.
    fn spawn_supervisor(&self) -> io::Result<std::os::unix::net::UnixStream> {
        match fs::remove_file(self.directory.join(SOCKET)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = link::with_short_path(&self.directory, SOCKET, |path| UnixListener::bind(path))?;
        fs::set_permissions(self.directory.join(SOCKET), fs::Permissions::from_mode(0o600))?;
        let errors = fs::OpenOptions::new().create(true).append(true).open(self.directory.join("supervisor.log"))?;
        let mut command = Command::new(&self.shared.shim.program);
        command
            .args(&self.shared.shim.arguments)
            .arg(&self.directory)
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(listener)))
            .stdout(Stdio::null())
            .stderr(Stdio::from(errors));
        let mut child = tokio::process::Command::from(command).spawn()?;
        self.shared.group.spawn("wait for a pod's supervisor", Kind::Transient, async move {
            // Only so that it does not stay a zombie; how it ended shows in its socket.
            let _ = child.wait().await;
            Ok::<(), std::convert::Infallible>(())
        });
        link::connect(&self.directory, SOCKET)
    }

    async fn call(&self, link: &Link, operation: Operation, descriptors: Vec<OwnedFd>) -> Result<Answer, Error> {
        self.call_for(link, operation, descriptors).await.map(|(answer, _)| answer)
    }

    async fn call_for(
        &self,
        link: &Link,
        operation: Operation,
        descriptors: Vec<OwnedFd>,
    ) -> Result<(Answer, Option<OwnedFd>), Error> {
        match link.call(operation, descriptors).await {
            Ok(outcome) => Ok(outcome),
            Err(message) if link.is_closed() => Err(Error::Link { uid: self.uid.clone(), message }),
            Err(message) => Err(Error::Refused(message)),
        }
    }

    fn home(&self, container: &str) -> PathBuf {
        self.directory.join("root").join(container)
    }

    /// Makes the directories of a container and says how to start it.
    fn prepare(&self, launch: Launch) -> Result<protocol::Start, Error> {
        let home = self.home(&launch.container);
        make_directory(&self.directory.join("run").join(&launch.container), 0o700)?;
        make_directory(&self.directory.join("logs").join(&launch.container), 0o700)?;
        let world = if launch.user.is_some() { 0o777 } else { 0o755 };
        make_directory(&home, world)?;
        make_directory(&home.join("tmp"), 0o777)?;
        let message = message_file(&self.directory, &launch.container, launch.number);
        fs::File::create(&message).map_err(|error| Error::file("create", &message, error))?;
        let _ = fs::set_permissions(&message, fs::Permissions::from_mode(0o666));

        self.forget_old_runs(&launch.container, launch.number);
        let text = |path: &Path| path.display().to_string();
        let mounts = launch.mounts.iter().map(|mount| Mapping { from: mount.target.clone(), to: text(&mount.source) });
        let termination = Mapping { from: launch.termination_path.clone(), to: text(&message) };
        let rewriter = Rewriter::new(mounts.chain([termination]));
        let working_dir = working_dir(launch.working_dir.as_deref(), &rewriter, &home);
        let id = container_id(&self.uid, &launch.container, launch.number);
        let env = self.environment(&launch, &rewriter, &home, &id);
        Ok(protocol::Start {
            attempt: Attempt {
                version: 1,
                container: launch.container,
                number: launch.number,
                id,
                image: launch.image,
                image_id: launch.image_id,
                backoff_s: launch.backoff_s,
                message_from_log: launch.message_from_log,
                started_at: self.shared.clock.now(),
                exit: None,
            },
            argv: launch.argv.iter().map(|argument| rewriter.apply(argument)).collect(),
            env,
            working_dir,
            tty: launch.tty,
            stdin: launch.stdin,
            stdin_once: launch.stdin_once,
            memory_limit_bytes: launch.memory_limit_bytes,
            user: launch.user,
            group: launch.group,
        })
    }

    /// Removes what is left of runs that nobody can ask for any more.
    fn forget_old_runs(&self, container: &str, number: u32) {
        let Some(old) = number.checked_sub(RUNS_KEPT) else { return };
        let log = self.log(container, old);
        let rotated = (1..16).map(|number| shim::rotated(&log.log, number));
        let message = message_file(&self.directory, container, old);
        for path in [log.record, log.log.clone(), message].into_iter().chain(rotated) {
            // Most of the older files of a log were never there.
            let _ = fs::remove_file(path);
        }
    }

    fn environment(&self, launch: &Launch, rewriter: &Rewriter, home: &Path, id: &str) -> BTreeMap<String, String> {
        let mut env = BTreeMap::from([
            ("HOME".to_owned(), home.display().to_string()),
            ("TMPDIR".to_owned(), home.join("tmp").display().to_string()),
            ("LANG".to_owned(), "C.UTF-8".to_owned()),
        ]);
        env.extend(launch.env.iter().map(|(name, value)| (name.clone(), rewriter.apply(value))));
        let path = env.get("PATH").cloned().unwrap_or_else(|| DEFAULT_PATH.to_owned());
        let first = launch.path_first.iter().map(|directory| directory.display().to_string());
        let path: Vec<String> = first.chain([path]).collect();
        env.insert("PATH".to_owned(), path.join(":"));
        if launch.tty {
            env.entry("TERM".to_owned()).or_insert_with(|| "xterm".to_owned());
        }
        env.insert(shim::CONTAINER_ID_VARIABLE.to_owned(), id.to_owned());
        env
    }

    /// Runs of which there is a record; one that is not alive and has no end was lost.
    fn read_records(&self, live: &[Live]) -> Result<Vec<Attempt>, Error> {
        let run = self.directory.join("run");
        let mut attempts = Vec::new();
        let containers = fs::read_dir(&run).map_err(|error| Error::file("list", &run, error))?;
        for directory in containers.flatten() {
            let files = fs::read_dir(directory.path()).map_err(|error| Error::file("list", directory.path(), error))?;
            for file in files.flatten().map(|entry| entry.path()) {
                if file.extension().is_some_and(|extension| extension == "json") {
                    let bytes = fs::read(&file).map_err(|error| Error::file("read", &file, error))?;
                    // A record that the power cut in half is one of a run that was lost.
                    attempts.extend(serde_json::from_slice::<Attempt>(&bytes));
                }
            }
        }
        attempts.sort_by(|a, b| (&a.container, a.number).cmp(&(&b.container, b.number)));
        for attempt in &mut attempts {
            let alive = live.iter().any(|live| live.container == attempt.container && live.number == attempt.number);
            if attempt.exit.is_none() && !alive {
                self.mark_lost(attempt);
            }
            fill_message(&self.directory, attempt);
        }
        Ok(attempts)
    }

    fn mark_lost(&self, attempt: &mut Attempt) {
        attempt.exit = Some(Exit {
            code: 137,
            reason: ExitReason::ContainerStatusUnknown,
            message: "The container could not be located: the supervisor of its pod has ended".to_owned(),
            finished_at: self.shared.clock.now(),
        });
        // The next agent comes to the same conclusion if this cannot be stored.
        let _ = shim::write_record(&self.directory, attempt, Durability::Disk);
    }

    async fn live(&self) -> Vec<Live> {
        let Some(link) = self.current_link() else { return Vec::new() };
        match link.call(Operation::Status, Vec::new()).await {
            Ok((Answer::Running(live), _)) => live,
            _ => Vec::new(),
        }
    }

    /// A connection for one command: it ends with it.
    fn command_link(&self, events: mpsc::Sender<protocol::Event>) -> Result<Link, Error> {
        let failed = |error: io::Error| Error::Link { uid: self.uid.clone(), message: error.to_string() };
        let stream = link::connect(&self.directory, SOCKET).map_err(failed)?;
        Link::start(stream, &self.shared.group, events).map_err(failed)
    }
}

impl Sandbox for ProcessSandbox {
    fn directory(&self) -> PathBuf {
        self.directory.clone()
    }

    fn remember(&self, pod: &PodRecord) -> Result<(), Error> {
        let path = self.directory.join(POD_FILE);
        let temporary = path.with_extension("new");
        let bytes = serde_json::to_vec(pod).map_err(|error| Error::file("write", &path, error.into()))?;
        fs::write(&temporary, bytes)
            .and_then(|()| fs::rename(&temporary, &path))
            .map_err(|error| Error::file("write", &path, error))
    }

    fn start(&self, launch: Launch) -> BoxFuture<'_, Result<Attempt, Error>> {
        Box::pin(async move {
            let start = self.prepare(launch)?;
            let link = self.link().await?;
            let attempt = start.attempt.clone();
            match self.call(&link, Operation::Start(Box::new(start)), Vec::new()).await {
                Ok(Answer::Started(attempt)) => Ok(attempt),
                Ok(_) => Err(Error::Link { uid: self.uid.clone(), message: "unexpected answer".to_owned() }),
                Err(Error::Refused(message)) => {
                    let now = self.shared.clock.now();
                    let exit = Exit { code: 128, reason: ExitReason::StartError, message, finished_at: now };
                    let attempt = Attempt { exit: Some(exit), started_at: now, ..attempt };
                    shim::write_record(&self.directory, &attempt, Durability::Memory)
                        .map_err(|error| Error::file("write", &self.directory, error))?;
                    Ok(attempt)
                }
                Err(error) => Err(error),
            }
        })
    }

    fn stop(&self, container: String, signal: i32, grace: Duration) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            let Some(link) = self.current_link() else { return Ok(()) };
            let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
            self.call(&link, Operation::Stop { container, signal, grace_ms }, Vec::new()).await.map(drop)
        })
    }

    fn attempts(&self) -> BoxFuture<'_, Result<Vec<Attempt>, Error>> {
        Box::pin(async move {
            let live = self.live().await;
            self.read_records(&live)
        })
    }

    fn exec(&self, container: String, options: ExecOptions) -> BoxFuture<'_, Result<ExecSession, Error>> {
        Box::pin(async move {
            let (sender, mut events) = mpsc::channel(1);
            let link = self.command_link(sender)?;
            let ends =
                session::open(&options, &self.shared.group).map_err(|error| Error::file("open", "pipe", error))?;
            let exec = protocol::Exec {
                container,
                argv: options.command,
                stdin: options.stdin,
                stdout: options.stdout,
                stderr: options.stderr,
                tty: options.tty,
            };
            self.call(&link, Operation::Exec(exec), ends.far).await?;
            let mut near = ends.near;
            near.exit = Box::pin(async move {
                let event = events.recv().await;
                // The command lives as long as its connection.
                drop(link);
                match event {
                    Some(protocol::Event::ExecExited { code }) => ExitStatus::Code(code),
                    _ => ExitStatus::Failed("the supervisor of the pod has ended".to_owned()),
                }
            });
            Ok(near)
        })
    }

    fn attach(&self, container: String, options: ExecOptions) -> BoxFuture<'_, Result<ExecSession, Error>> {
        Box::pin(async move {
            let (sender, mut events) = mpsc::channel(1);
            let link = self.command_link(sender)?;
            let wanted = ExecOptions { stdin: false, tty: false, ..options.clone() };
            let ends =
                session::open(&wanted, &self.shared.group).map_err(|error| Error::file("open", "pipe", error))?;
            let operation = Operation::Attach {
                container: container.clone(),
                stdin: options.stdin,
                stdout: options.stdout,
                stderr: options.stderr,
            };
            let (_, input) = self.call_for(&link, operation, ends.far).await?;
            let mut near = ends.near;
            if let Some(input) = input {
                let copy = input.try_clone().map_err(|error| Error::file("open", "terminal", error))?;
                if options.tty {
                    near.resize = Some(session::resizer(copy, &self.shared.group));
                }
                if options.stdin {
                    near.stdin = Some(session::input(input).map_err(|error| Error::file("open", "input", error))?);
                }
            }
            self.call(&link, Operation::Subscribe, Vec::new()).await?;
            near.exit = Box::pin(async move {
                loop {
                    match events.recv().await {
                        Some(protocol::Event::Exited(attempt)) if attempt.container == container => {
                            drop(link);
                            return ExitStatus::Code(attempt.exit.map_or(0, |exit| exit.code));
                        }
                        Some(_) => {}
                        None => return ExitStatus::Failed("the supervisor of the pod has ended".to_owned()),
                    }
                }
            });
            Ok(near)
        })
    }

    fn log(&self, container: &str, number: u32) -> logs::Location {
        logs::Location {
            log: self.directory.join("logs").join(container).join(format!("{number}.log")),
            record: shim::record_path(&self.directory, container, number),
        }
    }

    fn usage(&self) -> BoxFuture<'_, Result<Vec<ContainerUsage>, Error>> {
        Box::pin(async move {
            let usage = |live: &Live| {
                let pids = tree::descendants(live.pid);
                let ticks: u64 = pids.iter().map(|pid| tree::processor_ticks(*pid)).sum();
                ContainerUsage {
                    name: live.container.clone(),
                    cpu_nanoseconds_total: ticks * TICK_NANOSECONDS,
                    memory_bytes: pids.iter().map(|pid| tree::resident_bytes(*pid)).sum(),
                }
            };
            Ok(self.live().await.iter().map(usage).collect())
        })
    }

    fn rest(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            if let Some(link) = self.current_link() {
                // A supervisor that is gone has done what it is asked for.
                let _ = link.call(Operation::Shutdown, Vec::new()).await;
            }
            Ok(())
        })
    }

    fn destroy(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            self.rest().await?;
            let directory = self.directory.clone();
            let removed = tokio::task::spawn_blocking(move || match fs::remove_dir_all(&directory) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::file("remove", directory, error)),
                _ => Ok(()),
            });
            removed.await.unwrap_or_else(|error| Err(Error::file("remove", &self.directory, io::Error::other(error))))
        })
    }
}

fn make_directory(path: &Path, mode: u32) -> Result<(), Error> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)))
        .map_err(|error| Error::file("make", path, error))
}

fn working_dir(wanted: Option<&str>, rewriter: &Rewriter, home: &Path) -> String {
    let rewritten = wanted.map(|path| rewriter.apply(path));
    rewritten.filter(|path| Path::new(path).is_dir()).unwrap_or_else(|| home.display().to_string())
}

fn message_file(pod: &Path, container: &str, number: u32) -> PathBuf {
    pod.join("root").join(container).join(format!("termination-log-{number}"))
}

fn fill_message(pod: &Path, attempt: &mut Attempt) {
    let message = message_file(pod, &attempt.container, attempt.number);
    termination::fill(attempt, &message, &shim::log_path(pod, attempt));
}

/// The id of a run: the same for the same run, and no other.
fn container_id(uid: &str, container: &str, number: u32) -> String {
    let digest = Sha256::digest(format!("{uid}/{container}/{number}"));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
