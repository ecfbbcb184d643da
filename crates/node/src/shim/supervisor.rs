//! The supervisor's loop: wait for a socket, a pipe, a child or a moment; do what it asks for.

use std::{
    collections::BTreeMap,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    os::unix::net::UnixListener,
    path::PathBuf,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use rustix::{
    event::{PollFd, PollFlags, Timespec},
    process::{Signal, WaitOptions},
};

use super::{
    cgroup::{self, Group, Join},
    child::Streams,
    container::{self, Container, Ended, read_record, record_path},
    ending::{self, how, kill, kill_group},
    jail::{self, Pod},
    network::{self, Network},
    outlet::{Outlet, State},
    protocol::{Answer, Event, Exec, Hello, Live, Message, Operation, Reply, Request, Start},
    signals, tree,
    wire::{Reading, Wire},
};
use crate::core::{cgroup::Place, rewrite::Rewriter};

/// How often memory limits are looked at, where there are any.
const WATCHDOG: Duration = Duration::from_millis(500);
/// Connections at a time; an agent holds one, and one for each command that it runs.
const CONNECTIONS: usize = 512;

struct Connection {
    wire: Wire,
    subscribed: bool,
}

/// What a descriptor in the poll set stands for.
enum Source {
    Listener,
    Signals,
    Connection(u64),
    Container(String, usize),
    Outlets,
    Network(network::Source, PollFlags),
}

/// The state of the supervisor.
pub struct Supervisor {
    hello: Hello,
    directory: PathBuf,
    listener: UnixListener,
    signals: OwnedFd,
    connections: BTreeMap<u64, Connection>,
    next_connection: u64,
    containers: BTreeMap<String, Container>,
    /// What the containers share, once one of them has needed it.
    spaces: Option<Pod>,
    /// Further processes, and the connection that asked for each.
    commands: BTreeMap<i32, u64>,
    /// Output of ended containers that someone is still reading.
    outlets: Vec<Outlet>,
    /// Ids of containers that ended; processes that escaped them are ended too.
    ended: Vec<String>,
    /// Control groups of ended containers whose last processes are not gone yet.
    groups: Vec<Group>,
    /// The pod's control group, once a container was started in it.
    pod_group: Option<Place>,
    watchdog_at: Option<Instant>,
    /// Answers for the sockets of all processes, where the pod has an address of its own.
    network: Option<Network>,
    served_any: bool,
    leaving: bool,
}

impl Supervisor {
    /// A supervisor of the pod in `directory`, which speaks the versions of `hello`.
    ///
    /// # Errors
    /// When signals cannot be received, or the socket cannot be used.
    pub fn new(hello: Hello, directory: PathBuf, listener: UnixListener) -> Result<Self, String> {
        listener.set_nonblocking(true).map_err(|error| format!("socket: {error}"))?;
        let signals = signals::receive().map_err(|error| format!("signals: {error}"))?;
        Ok(Self {
            hello,
            directory,
            listener,
            signals,
            connections: BTreeMap::new(),
            next_connection: 0,
            containers: BTreeMap::new(),
            spaces: None,
            commands: BTreeMap::new(),
            outlets: Vec::new(),
            ended: Vec::new(),
            groups: Vec::new(),
            pod_group: None,
            watchdog_at: None,
            network: None,
            served_any: false,
            leaving: false,
        })
    }

    /// Serves until nothing is left to serve.
    ///
    /// # Errors
    /// When waiting fails.
    pub fn run(mut self) -> Result<(), String> {
        while !self.is_done() {
            for source in self.wait()? {
                match source {
                    Source::Listener => self.accept(),
                    Source::Signals => self.drain_signals(),
                    Source::Connection(number) => self.serve(number),
                    Source::Outlets => self.flush(),
                    Source::Network(source, ready) => {
                        if let Some(network) = &mut self.network {
                            network.serve(source, ready, Instant::now());
                        }
                    }
                    Source::Container(name, index) => {
                        if let Some(container) = self.containers.get_mut(&name) {
                            container.read(index, Timestamp::now());
                        }
                    }
                }
            }
            self.reap();
            self.tick(Instant::now());
        }
        ending::end_stragglers();
        if let Some(pod) = &self.pod_group {
            cgroup::end(pod);
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        let idle = self.containers.is_empty() && self.commands.is_empty() && self.outlets.is_empty();
        (self.leaving && idle) || (idle && self.served_any && self.connections.is_empty())
    }

    fn wait(&self) -> Result<Vec<Source>, String> {
        let mut names = vec![Source::Listener, Source::Signals];
        let mut set: Vec<PollFd<'_>> = vec![readable(self.listener.as_fd()), readable(self.signals.as_fd())];
        for (number, connection) in &self.connections {
            let mut flags = PollFlags::IN;
            if connection.wire.is_waiting() {
                flags |= PollFlags::OUT;
            }
            set.push(PollFd::from_borrowed_fd(connection.wire.fd(), flags));
            names.push(Source::Connection(*number));
        }
        for (name, container) in &self.containers {
            for (index, source) in container.sources() {
                set.push(readable(source));
                names.push(Source::Container(name.clone(), index));
            }
        }
        let ended = self.outlets.iter().map(Outlet::fd);
        for outlet in self.containers.values().flat_map(Container::waiting_outlets).chain(ended) {
            set.push(PollFd::from_borrowed_fd(outlet, PollFlags::OUT));
            names.push(Source::Outlets);
        }
        for (source, descriptor, flags) in self.network.iter().flat_map(Network::sources) {
            set.push(PollFd::from_borrowed_fd(descriptor, flags));
            names.push(Source::Network(source, flags));
        }
        match rustix::event::poll(&mut set, self.timeout(Instant::now()).as_ref()) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(Vec::new()),
            Err(error) => return Err(format!("poll: {error}")),
        }
        let ready = names.into_iter().zip(set.iter().map(PollFd::revents)).filter(|(_, ready)| !ready.is_empty());
        Ok(ready
            .map(|(name, ready)| match name {
                Source::Network(source, _) => Source::Network(source, ready),
                name => name,
            })
            .collect())
    }

    fn flush(&mut self) {
        self.containers.values_mut().for_each(Container::flush);
        self.outlets.retain_mut(|outlet| outlet.flush() == State::Waiting);
    }

    fn timeout(&self, now: Instant) -> Option<Timespec> {
        let kills = self.containers.values().filter_map(|container| container.kill_at);
        let network = self.network.as_ref().and_then(Network::next_moment);
        let next = kills.chain(self.watchdog_at).chain(network).min()?;
        let left = next.saturating_duration_since(now);
        Timespec::try_from(left).ok()
    }

    fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            if self.connections.len() >= CONNECTIONS {
                continue;
            }
            if let Ok(wire) = Wire::new(stream) {
                self.served_any = true;
                self.next_connection += 1;
                self.connections.insert(self.next_connection, Connection { wire, subscribed: false });
            }
        }
    }

    fn serve(&mut self, number: u64) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        let read = connection.wire.flush().and_then(|()| connection.wire.read());
        loop {
            let Some(connection) = self.connections.get_mut(&number) else { return };
            match connection.wire.take_message::<Request>() {
                Ok(Some(request)) => self.answer(number, request),
                Ok(None) => break,
                Err(reason) => match connection.wire.skip_message() {
                    Some(id) => self.reply(number, id, Err(self.hello.unknown(&reason)), None),
                    None => return self.drop_connection(number),
                },
            }
        }
        if matches!(read, Ok(Reading::Closed) | Err(_)) {
            self.drop_connection(number);
        }
    }

    /// Forgets a connection; a command that it asked for ends with it.
    fn drop_connection(&mut self, number: u64) {
        self.connections.remove(&number);
        for (pid, owner) in &self.commands {
            if *owner == number {
                kill_group(*pid, Signal::KILL);
            }
        }
    }

    fn answer(&mut self, number: u64, request: Request) {
        let id = request.id;
        let mut extra = None;
        let result = match request.operation {
            // The first ones knew no greeting, and closed where they did not understand.
            Operation::Hello(_) if self.hello.version == 0 => return self.drop_connection(number),
            Operation::Hello(_) => Ok(Answer::Hello(self.hello)),
            Operation::Start(start) => self.start(*start),
            Operation::Stop { container, signal, grace_ms } => self.stop(&container, signal, grace_ms),
            Operation::Exec(exec) => self.exec(number, &exec),
            Operation::Attach { container, stdin, stdout, stderr } => {
                self.attach(number, &container, [stdin, stdout, stderr]).map(|input| {
                    extra = input;
                    Answer::Done
                })
            }
            Operation::Status => Ok(Answer::Running(self.live())),
            Operation::Subscribe => {
                if let Some(connection) = self.connections.get_mut(&number) {
                    connection.subscribed = true;
                }
                Ok(Answer::Running(self.live()))
            }
            Operation::Shutdown => {
                self.leave();
                Ok(Answer::Done)
            }
        };
        self.reply(number, id, result, extra);
    }

    fn reply(&mut self, number: u64, id: u64, result: Result<Answer, String>, extra: Option<OwnedFd>) {
        let reply = Message::Reply(Reply { id, result });
        let Some(connection) = self.connections.get_mut(&number) else { return };
        let sent = match extra {
            Some(input) => connection.wire.send_with(&reply, &[input.as_fd()]),
            None => connection.wire.send(&reply),
        };
        if sent.is_err() {
            self.drop_connection(number);
        }
    }

    fn live(&self) -> Vec<Live> {
        let row = |container: &Container| Live {
            container: container.start.attempt.container.clone(),
            number: container.start.attempt.number,
            pid: container.pid,
        };
        self.containers.values().map(row).collect()
    }

    fn start(&mut self, start: Start) -> Result<Answer, String> {
        let name = start.attempt.container.clone();
        if let Some(running) = self.containers.get(&name) {
            // An agent that was killed may have asked for the same: once is enough.
            let attempt = running.start.attempt.clone();
            let same = attempt.number == start.attempt.number;
            return if same { Ok(Answer::Started(attempt)) } else { Err(format!("container {name:?} runs already")) };
        }
        // The last words of an agent that was killed may have come to their end since the next one looked.
        let record = read_record(&record_path(&self.directory, &name, start.attempt.number));
        if let Some(attempt) = record.filter(|attempt| attempt.exit.is_some()) {
            return Ok(Answer::Started(attempt));
        }
        if let (Some(settings), None) = (&start.network, &self.network) {
            self.network = Some(Network::new(settings)?);
        }
        self.pod_group = start.cgroup.clone().or(self.pod_group.take());
        let network = self.network.as_mut();
        let mut container = Container::start(&self.directory, start, &mut self.spaces, network, Timestamp::now())?;
        self.listen(container.take_listener());
        let attempt = container.start.attempt.clone();
        let watched = container.is_watched();
        self.containers.insert(name, container);
        if watched && self.watchdog_at.is_none() {
            self.watchdog_at = Some(Instant::now() + WATCHDOG);
        }
        Ok(Answer::Started(attempt))
    }

    fn listen(&mut self, listener: Option<OwnedFd>) {
        if let (Some(network), Some(listener)) = (&mut self.network, listener) {
            network.add(listener);
        }
    }

    fn stop(&mut self, name: &str, signal: i32, grace_ms: u64) -> Result<Answer, String> {
        // A container that is not there has ended already, which is what was asked for.
        let Some(container) = self.containers.get_mut(name) else { return Ok(Answer::Done) };
        let kill_at = Instant::now() + Duration::from_millis(grace_ms);
        container.kill_at = Some(container.kill_at.map_or(kill_at, |earlier| earlier.min(kill_at)));
        ending::send(container.pid, signal);
        Ok(Answer::Done)
    }

    fn exec(&mut self, number: u64, exec: &Exec) -> Result<Answer, String> {
        let connection = self.connections.get_mut(&number).ok_or("the connection is gone")?;
        let mut take = |wanted: bool| if wanted { connection.wire.take_descriptor() } else { None };
        let streams = if exec.tty {
            Streams::Terminal(take(true).ok_or("the terminal did not come along")?)
        } else {
            Streams::Separate { stdin: take(exec.stdin), stdout: take(exec.stdout), stderr: take(exec.stderr) }
        };
        let container = self
            .containers
            .get(&exec.container)
            .ok_or_else(|| format!("container {:?} does not run", exec.container))?;
        let (start, group) = (&container.start, container.group.as_ref());
        let process = match (&container.handle, &self.spaces) {
            (Some(handle), Some(spaces)) => {
                let task = container::task(start, &exec.argv);
                jail::enter(spaces, handle, &task, streams, &Join::of(group)?)?
            }
            _ => {
                let rewriter = Rewriter::new(start.paths.iter().cloned());
                let argv: Vec<String> = exec.argv.iter().map(|argument| rewriter.apply(argument)).collect();
                container::spawn(start, &argv, group, streams)?
            }
        };
        self.listen(process.listener);
        self.commands.insert(process.pid, number);
        Ok(Answer::Done)
    }

    fn attach(&mut self, number: u64, name: &str, wanted: [bool; 3]) -> Result<Option<OwnedFd>, String> {
        let connection = self.connections.get_mut(&number).ok_or("the connection is gone")?;
        let [wants_stdin, wants_stdout, wants_stderr] = wanted;
        let mut take = |wanted: bool| if wanted { connection.wire.take_descriptor() } else { None };
        let (stdout, stderr) = (take(wants_stdout), take(wants_stderr));
        let container = self.containers.get_mut(name).ok_or_else(|| format!("container {name:?} does not run"))?;
        container.attach(stdout, stderr, wants_stdin).map_err(|error| error.to_string())
    }

    fn drain_signals(&mut self) {
        while let Some(signal) = signals::next(&self.signals) {
            if signal == libc::SIGTERM.unsigned_abs() {
                self.leave();
            }
        }
    }

    /// Kills everything; the supervisor ends when that is done.
    fn leave(&mut self) {
        self.leaving = true;
        self.containers.values().for_each(|container| kill_group(container.pid, Signal::KILL));
    }

    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            let pid = pid.as_raw_nonzero().get();
            let ended = how(status);
            let name = self.containers.iter().find(|(_, one)| one.pid == pid).map(|(name, _)| name.clone());
            if let Some(container) = name.and_then(|name| self.containers.remove(&name)) {
                self.finish(container, ended);
            } else if let Some(number) = self.commands.remove(&pid) {
                self.tell(number, &Event::ExecExited { code: ended.code });
            } else {
                // The next container makes the pod's namespaces again.
                self.spaces.take_if(|spaces| spaces.pid == pid);
            }
            self.sweep();
            self.groups.retain(|group| !group.remove());
        }
    }

    fn finish(&mut self, mut container: Container, ended: Ended) {
        // As in a container, whose first process takes all others with it.
        kill_group(container.pid, Signal::KILL);
        if let Some(group) = &container.group {
            container.out_of_memory |= ended.code != 0 && group.ran_out_of_memory();
            group.kill();
        }
        self.groups.extend(container.group.take());
        self.ended.push(container.start.attempt.id.clone());
        self.sweep();
        let (attempt, outlets) = container.finish(&self.directory, ended, Timestamp::now());
        self.outlets.extend(outlets);
        let listeners: Vec<u64> =
            self.connections.iter().filter(|(_, one)| one.subscribed).map(|(number, _)| *number).collect();
        for number in listeners {
            self.tell(number, &Event::Exited(attempt.clone()));
        }
    }

    fn tell(&mut self, number: u64, event: &Event) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        if connection.wire.send(&Message::Event(event.clone())).is_err() {
            self.drop_connection(number);
        }
    }

    /// Kills processes that left their container's group and outlived it, and commands that ran in it.
    fn sweep(&mut self) {
        if self.ended.is_empty() {
            return;
        }
        let own = i32::try_from(std::process::id()).unwrap_or(0);
        // In a pod whose containers share one process namespace they come to its first process.
        let shared = self.spaces.as_ref().map(|spaces| tree::descendants(spaces.pid)).unwrap_or_default();
        let strangers: Vec<i32> = tree::children(own)
            .into_iter()
            .chain(shared)
            .filter(|pid| !self.containers.values().any(|one| one.pid == *pid))
            .collect();
        for pid in strangers {
            if self.ended.iter().any(|id| tree::belongs_to(pid, id)) {
                kill(pid, Signal::KILL);
            }
        }
    }

    fn tick(&mut self, now: Instant) {
        for container in self.containers.values_mut() {
            if container.kill_at.is_some_and(|at| at <= now) {
                container.kill_at = None;
                kill_group(container.pid, Signal::KILL);
            }
        }
        if let Some(network) = &mut self.network {
            network.tick(now);
        }
        if self.network.as_ref().is_some_and(Network::is_cut) {
            self.leave();
        }
        if self.watchdog_at.is_some_and(|at| at <= now) {
            let watched = self.watch_memory();
            self.watchdog_at = watched.then(|| now + WATCHDOG);
        }
    }

    fn watch_memory(&mut self) -> bool {
        let mut watched = false;
        for container in self.containers.values_mut() {
            let Some(limit) = container.start.memory_limit_bytes.filter(|_| container.is_watched()) else { continue };
            watched = true;
            let used: u64 = tree::descendants(container.pid).into_iter().map(tree::resident_bytes).sum();
            if used > limit {
                container.out_of_memory = true;
                kill_group(container.pid, Signal::KILL);
            }
        }
        watched
    }
}

fn readable(fd: BorrowedFd<'_>) -> PollFd<'_> {
    PollFd::from_borrowed_fd(fd, PollFlags::IN)
}
