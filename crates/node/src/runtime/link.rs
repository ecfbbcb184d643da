//! The agent's end of a connection to a pod's supervisor.
//!
//! One task owns the socket; requests go to it through a channel and are answered in any order. The
//! link ends when the supervisor does, and tells so once.

use std::{
    collections::HashMap,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    os::unix::net::UnixStream,
    path::Path,
};

use ferroflow_platform::task::{Group, Kind};
use tokio::{
    io::unix::AsyncFd,
    sync::{mpsc, oneshot},
};

use crate::shim::{
    protocol::{self, Answer, Event, Hello, Message, Operation, Request},
    wire::{Reading, Wire},
};

/// The answer to a request, with the descriptor that may come along.
pub type Outcome = Result<(Answer, Option<OwnedFd>), String>;

/// Requests that wait for the task; each caller waits for its own answer.
const QUEUE: usize = 64;

struct Call {
    operation: Operation,
    descriptors: Vec<OwnedFd>,
    reply: oneshot::Sender<Outcome>,
}

/// A connection. Cheap to clone; it closes when the last clone is gone.
#[derive(Clone)]
pub struct Link {
    calls: mpsc::Sender<Call>,
}

impl Link {
    /// Speaks over a connected socket in a task of `group`; events go to `events`.
    ///
    /// # Errors
    /// When the socket cannot be watched.
    pub fn start(stream: UnixStream, group: &Group, events: mpsc::Sender<Event>) -> io::Result<Self> {
        // SAFETY: the wire owns its socket and never changes or closes it before it is dropped.
        let socket = unsafe { AsyncFd::register(Wire::new(stream)?) }?;
        let (calls, receiver) = mpsc::channel(QUEUE);
        let task = LinkTask { socket, pending: HashMap::new(), next_id: 0, events };
        group.spawn("link to a pod's supervisor", Kind::Transient, async move {
            task.run(receiver).await;
            Ok::<(), std::convert::Infallible>(())
        });
        Ok(Self { calls })
    }

    /// Asks and waits for the answer.
    ///
    /// # Errors
    /// What the supervisor says, or that it is gone.
    pub async fn call(&self, operation: Operation, descriptors: Vec<OwnedFd>) -> Outcome {
        let (reply, answer) = oneshot::channel();
        let gone = || "the supervisor is gone".to_owned();
        self.calls.send(Call { operation, descriptors, reply }).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Completes when the supervisor has ended.
    pub async fn closed(&self) {
        self.calls.closed().await;
    }

    /// Whether the supervisor has ended.
    pub fn is_closed(&self) -> bool {
        self.calls.is_closed()
    }
}

/// Asks which versions a supervisor speaks; `None` where it is of the first one, or ends.
pub async fn greet(link: &Link) -> Option<Hello> {
    match link.call(Operation::Hello(protocol::OWN), Vec::new()).await {
        Ok((Answer::Hello(hello), _)) => Some(hello),
        _ => None,
    }
}

struct LinkTask {
    socket: AsyncFd<Wire>,
    pending: HashMap<u64, oneshot::Sender<Outcome>>,
    next_id: u64,
    events: mpsc::Sender<Event>,
}

enum Turn {
    Call(Option<Call>),
    Readable,
    Writable,
    Failed,
}

impl LinkTask {
    async fn run(mut self, mut calls: mpsc::Receiver<Call>) {
        loop {
            let waiting = self.socket.get_ref().is_waiting();
            let turn = tokio::select! {
                call = calls.recv() => Turn::Call(call),
                ready = self.socket.readable() => ready.map_or(Turn::Failed, |mut ready| {
                    ready.retain_ready();
                    Turn::Readable
                }),
                ready = self.socket.writable(), if waiting => ready.map_or(Turn::Failed, |mut ready| {
                    ready.clear_ready();
                    Turn::Writable
                }),
            };
            let alive = match turn {
                Turn::Call(Some(call)) => self.send(call).is_ok(),
                Turn::Call(None) | Turn::Failed => false,
                Turn::Readable => self.read().await,
                Turn::Writable => self.socket.get_mut().flush().is_ok(),
            };
            if !alive {
                return;
            }
        }
    }

    fn send(&mut self, call: Call) -> io::Result<()> {
        self.next_id += 1;
        let request = Request { id: self.next_id, operation: call.operation };
        self.pending.insert(self.next_id, call.reply);
        let descriptors: Vec<BorrowedFd<'_>> = call.descriptors.iter().map(AsFd::as_fd).collect();
        let wire = self.socket.get_mut();
        if descriptors.is_empty() { wire.send(&request) } else { wire.send_with(&request, &descriptors) }
    }

    /// Whether the supervisor is still there.
    async fn read(&mut self) -> bool {
        let reading = {
            let Ok(mut ready) = self.socket.readable_mut().await else { return false };
            let reading = ready.get_inner_mut().read();
            if matches!(reading, Ok(Reading::Nothing)) {
                ready.clear_ready();
            }
            reading
        };
        loop {
            match self.socket.get_mut().take_message::<Message>() {
                Ok(Some(Message::Reply(reply))) => {
                    let descriptor = self.socket.get_mut().take_descriptor();
                    if let Some(waiting) = self.pending.remove(&reply.id) {
                        // Whoever asked may have gone away.
                        let _ = waiting.send(reply.result.map(|answer| (answer, descriptor)));
                    }
                }
                Ok(Some(Message::Event(event))) => {
                    if self.events.send(event).await.is_err() {
                        return false;
                    }
                }
                Ok(None) => break,
                Err(_) => return false,
            }
        }
        matches!(reading, Ok(Reading::More | Reading::Nothing))
    }
}

/// Connects to a socket file; a path of any length is good, while a socket's name is at most 108 bytes.
///
/// # Errors
/// When nobody listens there.
pub fn connect(directory: &Path, name: &str) -> io::Result<UnixStream> {
    with_short_path(directory, name, |path| UnixStream::connect(path))
}

/// Calls `act` with a short path to `name` in `directory`.
///
/// # Errors
/// When the directory cannot be opened, and those of `act`.
pub fn with_short_path<T>(directory: &Path, name: &str, act: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    use std::os::fd::AsRawFd;
    let opened = rustix::fs::open(
        directory,
        rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )?;
    act(Path::new(&format!("/proc/self/fd/{}/{name}", opened.as_raw_fd())))
}
