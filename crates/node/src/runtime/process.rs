//! The runtime of all levels of isolation: containers under a supervisor for each pod.
//!
//! A pod's directory holds everything about it: `pod.json`, the supervisor's socket, a record of each
//! run, logs, volumes, and a directory for what each container writes. At level `bare` nothing is mounted: the paths of
//! mounts are rewritten where they occur in a command, its arguments and its variables ([`start`]). At the others a
//! container has a root and mounts of its own ([`jail`]).

use std::{
    fs, io,
    os::fd::OwnedFd,
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use ferroflow_platform::{
    clock::{BoxFuture, SharedClock},
    kubelet::{ContainerUsage, ExecOptions, ExecSession, ExitStatus},
    task::{Group, Kind},
};
use tokio::sync::mpsc;

pub use super::command::ShimCommand;
use super::{
    Error, Event, Isolation, Launch, PodRecord, PodRuntime, Sandbox,
    forkserver::ForkServer,
    groups, jail,
    link::{self, Link},
    logs, records,
    remains::Remains,
    session,
    start::{self, make_directory},
};
use crate::{
    core::{
        address,
        cgroup::Place,
        network,
        record::{Attempt, Exit, ExitReason},
    },
    shim::{
        self, Durability, cgroup,
        protocol::{self, Answer, Hello, Live, Operation},
    },
};

const SOCKET: &str = "s";
/// A supervisor that was told to end stays while someone reads the last output of its containers; nobody waits longer
/// for it than this.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Runs pods as processes below one directory.
pub struct ProcessRuntime {
    shared: Arc<Shared>,
}

struct Shared {
    directory: PathBuf,
    isolation: Isolation,
    /// A directory that no environment shows, though it may lie in one that it does.
    hidden: Option<PathBuf>,
    fork_server: ForkServer,
    remains: Arc<Remains>,
    clock: SharedClock,
    group: Group,
    /// The table of the cluster's network; `None` where pods share the host's.
    network: Option<PathBuf>,
    /// The socket of the hub, where pods have networks of their own.
    hub: Option<PathBuf>,
    /// The control group that holds those of pods, where there is one.
    tree: OnceLock<Place>,
}

impl ProcessRuntime {
    /// A runtime whose pods live in `directory`, which is made.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn new(
        directory: PathBuf,
        isolation: Isolation,
        shim: ShimCommand,
        clock: SharedClock,
        group: Group,
    ) -> Result<Self, Error> {
        // Processes of the host go to their volumes by path, whoever they are. Others have them mounted, and what
        // they leave there is nobody else's business: a program may run as whom it belongs to.
        let mode = if isolation == Isolation::Bare { 0o711 } else { 0o700 };
        make_directory(&directory, mode)?;
        fs::set_permissions(&directory, fs::Permissions::from_mode(mode))
            .map_err(|error| Error::file("change", &directory, error))?;
        start::spread(&directory);
        let (hidden, network, hub, tree) = (None, None, None, OnceLock::new());
        let fork_server = ForkServer::new(shim.clone(), &directory, group.clone());
        let remains = Arc::new(Remains::at_once(&directory, shim, clock.clone()));
        let shared = Shared { directory, isolation, hidden, fork_server, remains, clock, group, network, hub, tree };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The same, which removes what pods leave when there is nothing else to do; at once where it has no place to wait in.
    #[must_use]
    pub fn removing_later(mut self) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            if let Some(Err(error)) = Arc::get_mut(&mut shared.remains).map(Remains::later) {
                tracing::warn!(%error, "what pods leave is removed at once");
            }
            shared.remains.start(&shared.group);
        }
        self
    }

    /// The same, whose environments do not show a directory: that of the server.
    #[must_use]
    pub fn hiding(mut self, directory: PathBuf) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.hidden = Some(directory);
        }
        self
    }

    /// The same runtime, whose pods have addresses of their own: `table` is that of the cluster's network, and `hub` the
    /// socket of what connects pods' networks, where they have such.
    #[must_use]
    pub fn with_network(mut self, table: PathBuf, hub: Option<PathBuf>) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            (shared.network, shared.hub) = (Some(table), hub);
        }
        self
    }

    /// Whether the supervisor of any pod runs, which an earlier agent has left.
    ///
    /// # Errors
    /// When the pods' directory cannot be read.
    pub fn has_supervisors(&self) -> Result<bool, Error> {
        let directory = &self.shared.directory;
        let entries = fs::read_dir(directory).map_err(|error| Error::file("list", directory, error))?;
        Ok(entries.flatten().any(|entry| link::connect(&entry.path(), SOCKET).is_ok()))
    }

    /// Bounds the pods that start from here on by groups in this one; ends what is left in groups of pods that are not
    /// here any more. Called once, before the first pod.
    pub fn bound_by(&self, tree: Place) {
        let entries = fs::read_dir(&self.shared.directory).into_iter().flatten().flatten();
        let here = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        cgroup::sweep(&tree, &here);
        // A second tree would leave the first one's groups behind.
        let _ = self.shared.tree.set(tree);
    }
}

impl PodRuntime for ProcessRuntime {
    fn isolation(&self) -> Isolation {
        self.shared.isolation
    }

    fn open(&self, pod: PodRecord, events: mpsc::Sender<Event>) -> BoxFuture<'_, Result<Arc<dyn Sandbox>, Error>> {
        Box::pin(async move {
            self.shared.remains.busy();
            let directory = self.shared.directory.join(&pod.uid);
            for (part, mode) in [("", 0o711), ("run", 0o700), ("logs", 0o700), ("volumes", 0o711), ("root", 0o711)] {
                make_directory(&directory.join(part), mode)?;
            }
            let sandbox = ProcessSandbox {
                shared: self.shared.clone(),
                uid: pod.uid.clone(),
                network: self.shared.network_of(&pod.address),
                directory,
                ids: address::number(&pod.address, &pod.uid),
                link: Mutex::new(None),
                stranger: OnceLock::new(),
                events,
                closed: tokio::sync::Mutex::new(false),
            };
            sandbox.remember(&pod)?;
            sandbox.reconnect().await;
            if sandbox.current_link().is_none() {
                groups::end(&sandbox.directory);
            }
            Ok(Arc::new(sandbox) as Arc<dyn Sandbox>)
        })
    }

    fn stored(&self) -> BoxFuture<'_, Result<Vec<PodRecord>, Error>> {
        Box::pin(async move { records::pods(&self.shared.directory) })
    }

    fn make_room(&self) -> BoxFuture<'_, bool> {
        Box::pin(async move {
            let remains = self.shared.remains.clone();
            tokio::task::spawn_blocking(move || remains.remove_now()).await.unwrap_or(false)
        })
    }
}

impl Shared {
    /// How the sockets of a pod with this address get theirs.
    fn network_of(&self, address: &str) -> Option<protocol::Network> {
        let (address, hub) = (address.parse().ok()?, self.hub.clone());
        Some(protocol::Network { table: self.network.clone()?, address, host: address == network::NODE, hub })
    }
}

/// The sandbox of one pod.
struct ProcessSandbox {
    shared: Arc<Shared>,
    uid: String,
    network: Option<protocol::Network>,
    directory: PathBuf,
    /// The number that its user ids come from.
    ids: u32,
    link: Mutex<Option<Link>>,
    /// What the supervisor speaks that an earlier agent left, where this one does not understand it.
    stranger: OnceLock<Hello>,
    events: mpsc::Sender<Event>,
    /// Whether the pod's end has begun. Held while a container starts: none starts behind the back of an end.
    closed: tokio::sync::Mutex<bool>,
}

impl ProcessSandbox {
    /// Connects to the supervisor that an earlier agent left, if there is one.
    async fn reconnect(&self) {
        let Ok(greeted) = self.command_link(mpsc::channel(1).0) else { return };
        // One that closes is of the first version, or ends.
        let hello = link::greet(&greeted).await.unwrap_or(Hello { version: 0, oldest: 0 });
        if protocol::common(protocol::OWN, hello).is_none() {
            let _ = self.stranger.set(hello);
        }
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
                records::fill_message(&directory, &mut attempt);
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

    /// The socket listens, and is connected to, before the supervisor runs: nobody has to wait for it, and one whose
    /// agent is killed or fails from here on finds the connection closed and ends.
    fn spawn_supervisor(&self) -> io::Result<std::os::unix::net::UnixStream> {
        match fs::remove_file(self.directory.join(SOCKET)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = link::with_short_path(&self.directory, SOCKET, |path| UnixListener::bind(path))?;
        fs::set_permissions(self.directory.join(SOCKET), fs::Permissions::from_mode(0o600))?;
        let stream = link::connect(&self.directory, SOCKET)?;
        let errors = fs::OpenOptions::new().create(true).append(true).open(self.directory.join("supervisor.log"))?;
        self.shared.fork_server.start_supervisor(&self.directory, &listener, &errors)?;
        Ok(stream)
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

    async fn live(&self) -> Vec<Live> {
        let Some(link) = self.current_link().filter(|_| self.check().is_ok()) else { return Vec::new() };
        match link.call(Operation::Status, Vec::new()).await {
            Ok((Answer::Running(live), _)) => live,
            _ => Vec::new(),
        }
    }

    /// A connection for one command: it ends with it.
    fn command_link(&self, events: mpsc::Sender<protocol::Event>) -> Result<Link, Error> {
        let failed = |error: io::Error| Error::Link { uid: self.uid.clone(), message: error.to_string() };
        self.check()?;
        let stream = link::connect(&self.directory, SOCKET).map_err(failed)?;
        Link::start(stream, &self.shared.group, events).map_err(failed)
    }
}

impl Sandbox for ProcessSandbox {
    fn directory(&self) -> PathBuf {
        self.directory.clone()
    }

    fn check(&self) -> Result<(), Error> {
        let Some(theirs) = self.stranger.get().filter(|_| self.current_link().is_some()) else { return Ok(()) };
        Err(Error::Version { uid: self.uid.clone(), theirs: *theirs, ours: protocol::OWN })
    }

    fn remember(&self, pod: &PodRecord) -> Result<(), Error> {
        records::remember(&self.directory, pod)
    }

    fn start(&self, launch: Launch) -> BoxFuture<'_, Result<Attempt, Error>> {
        Box::pin(async move {
            let closed = self.closed.lock().await;
            if *closed {
                return Err(Error::Closed { uid: self.uid.clone() });
            }
            self.check()?;
            records::forget_old(&self.directory, &launch.container, launch.number);
            jail::forget_scratch(&self.directory, &launch.container, launch.number);
            let (uid, directory, hidden) = (&self.uid, &self.directory, self.shared.hidden.as_deref());
            let network = self.network.clone();
            let pod = start::Pod { uid, directory, hidden, ids: self.ids, network };
            let mut start = start::prepare(&pod, launch, self.shared.clock.now())?;
            start.cgroup = groups::of_pod(&self.directory, &self.uid, self.shared.tree.get())?;
            let link = self.link().await?;
            let attempt = start.attempt.clone();
            match self.call(&link, Operation::Start(Box::new(start)), Vec::new()).await {
                Ok(Answer::Started(mut attempt)) => {
                    records::fill_message(&self.directory, &mut attempt);
                    Ok(attempt)
                }
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
            self.check()?;
            let found = records::read(&self.directory)?;
            // In this order: a run that starts meanwhile is not in the records yet.
            let live = self.live().await;
            Ok(records::settle(&self.directory, found, &live, self.shared.clock.now()))
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
        records::location(&self.directory, container, number)
    }

    fn usage(&self) -> BoxFuture<'_, Result<Vec<ContainerUsage>, Error>> {
        Box::pin(async move { Ok(self.live().await.iter().map(|live| groups::usage(&self.directory, live)).collect()) })
    }

    fn rest(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            *self.closed.lock().await = true;
            if let Some(link) = self.current_link() {
                // A supervisor that is gone has done what it is asked for.
                let _ = link.call(Operation::Shutdown, Vec::new()).await;
                tokio::select! {
                    () = link.closed() => {}
                    () = self.shared.clock.sleep(LAST_WORDS) => {}
                }
            }
            Ok(())
        })
    }

    fn destroy(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            self.rest().await?;
            let (directory, remains) = (self.directory.clone(), self.shared.remains.clone());
            let removed = tokio::task::spawn_blocking(move || {
                groups::end(&directory);
                remains.take(&directory).map_err(|error| Error::file("remove", directory, error))
            });
            removed.await.unwrap_or_else(|error| Err(Error::file("remove", &self.directory, io::Error::other(error))))
        })
    }
}
