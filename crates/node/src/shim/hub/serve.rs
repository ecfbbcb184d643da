//! Serves those who are connected to the hub: the node agent, and the supervisors of pods.

use std::{
    collections::HashMap,
    io,
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    os::unix::net::{UnixListener, UnixStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use ferroflow_platform::task::{Group, Kind as TaskKind};
use tokio::{
    io::unix::AsyncFd,
    net::{TcpListener, TcpSocket, TcpStream, UdpSocket},
    sync::{Notify, mpsc, oneshot},
};
use tokio_util::sync::CancellationToken;

use super::{
    datagrams,
    keeper::Keeper,
    protocol::{Answer, Failure, Hello, Kind, Operation, Reply, Request},
    relay::{self, Claims, Opened},
};
use crate::{
    core::private::GATEWAY,
    shim::wire::{Reading, Wire},
};

/// Ways that one connection may have opened and not claimed.
const OPEN: usize = 512;
/// Associations of datagrams at a time.
const ASSOCIATIONS: usize = 1024;
/// Answers that wait to be written to one connection.
const REPLIES: usize = 1024;
/// Connections that wait at a door.
const BACKLOG: u32 = 1024;

/// What is served, where the network of pods could be laid.
struct Laid {
    keeper: Mutex<Keeper>,
    hello: Hello,
    user: Option<OwnedFd>,
    claims: Arc<Claims>,
}

struct Hub {
    laid: Result<Laid, String>,
    group: Group,
    connections: AtomicUsize,
    associations: AtomicUsize,
    left: Notify,
}

/// Serves until nobody is connected any more. The first one who connects may take its time.
///
/// # Errors
/// When the socket cannot be used.
pub async fn serve(listener: UnixListener, keeper: Result<Keeper, String>) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::UnixListener::from_std(listener)?;
    let group = Group::new();
    let laid = match keeper {
        Ok(keeper) => lay(keeper, &group).map_err(|error| format!("the hub's doors cannot be opened: {error}")),
        Err(reason) => Err(reason),
    };
    let hub = Arc::new(Hub {
        laid,
        group,
        connections: AtomicUsize::new(0),
        associations: AtomicUsize::new(0),
        left: Notify::new(),
    });
    let mut served_any = false;
    loop {
        let is_idle = served_any && hub.connections.load(Ordering::Acquire) == 0;
        tokio::select! {
            biased;
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    served_any = true;
                    // One who cannot be served sees the connection closed.
                    let _ = stream.into_std().and_then(|stream| hub.clone().greet(stream));
                }
            }
            () = std::future::ready(()), if is_idle => return Ok(()),
            () = hub.left.notified() => {}
        }
    }
}

fn lay(mut keeper: Keeper, group: &Group) -> io::Result<Laid> {
    let inside = keeper.socket(Kind::Stream, None).map_err(|failure| io::Error::from_raw_os_error(failure.code))?;
    let inside = TcpSocket::from_std_stream(std::net::TcpStream::from(inside));
    inside.bind(SocketAddrV4::new(GATEWAY, 0).into())?;
    let outside = TcpSocket::new_v4()?;
    outside.bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0).into())?;
    let (inside, outside) = (inside.listen(BACKLOG)?, outside.listen(BACKLOG)?);
    let address = |listener: &TcpListener| match listener.local_addr()? {
        std::net::SocketAddr::V4(address) => Ok(address),
        std::net::SocketAddr::V6(_) => Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT)),
    };
    let (way_out, way_in) = (address(&inside)?, address(&outside)?);
    let hello = Hello { pid: std::process::id(), has_user: keeper.user.is_some(), way_out, way_in };
    let claims = Arc::new(Claims::default());
    for door in [inside, outside] {
        group.spawn("door of the hub", TaskKind::Essential, relay::serve(door, claims.clone(), group.clone()));
    }
    let user = keeper.user.take();
    Ok(Laid { keeper: Mutex::new(keeper), hello, user, claims })
}

impl Hub {
    fn greet(self: Arc<Self>, stream: UnixStream) -> io::Result<()> {
        let group = self.group.clone();
        // SAFETY: the wire owns its socket and never changes or closes it before it is dropped.
        let wire = unsafe { AsyncFd::register(Wire::new(stream)?) }?;
        self.connections.fetch_add(1, Ordering::AcqRel);
        let (replies, answered) = mpsc::channel(REPLIES);
        let guest =
            Guest { hub: self.clone(), replies, pod: None, opened: HashMap::new(), gone: CancellationToken::new() };
        group.spawn("connection to the hub", TaskKind::Transient, async move {
            guest.run(wire, answered).await;
            self.connections.fetch_sub(1, Ordering::AcqRel);
            self.left.notify_one();
            Ok::<(), std::convert::Infallible>(())
        });
        Ok(())
    }
}

/// One who is connected.
struct Guest {
    hub: Arc<Hub>,
    replies: mpsc::Sender<Reply>,
    /// The address of its pod, once it has attached one.
    pod: Option<Ipv4Addr>,
    opened: HashMap<u64, oneshot::Receiver<TcpStream>>,
    gone: CancellationToken,
}

impl Guest {
    async fn run(mut self, mut wire: AsyncFd<Wire>, mut replies: mpsc::Receiver<Reply>) {
        loop {
            let waiting = wire.get_ref().is_waiting();
            let alive = tokio::select! {
                reply = replies.recv() => reply.is_some_and(|reply| wire.get_mut().send(&reply).is_ok()),
                ready = wire.readable() => match ready {
                    Ok(mut ready) => {
                        ready.retain_ready();
                        drop(ready);
                        self.read(&mut wire).await
                    }
                    Err(_) => false,
                },
                ready = wire.writable(), if waiting => match ready {
                    Ok(mut ready) => {
                        ready.clear_ready();
                        drop(ready);
                        wire.get_mut().flush().is_ok()
                    }
                    Err(_) => false,
                },
            };
            if !alive {
                break;
            }
        }
        self.gone.cancel();
        if let Ok(laid) = &self.hub.laid {
            laid.claims.sweep();
            if let Some(address) = self.pod {
                let mut keeper = laid.keeper.lock().unwrap_or_else(PoisonError::into_inner);
                let _ = keeper.detach(address);
            }
        }
    }

    /// Whether the other end is still there.
    async fn read(&mut self, wire: &mut AsyncFd<Wire>) -> bool {
        let reading = {
            let Ok(mut ready) = wire.readable_mut().await else { return false };
            let reading = ready.get_inner_mut().read();
            if matches!(reading, Ok(Reading::Nothing)) {
                ready.clear_ready();
            }
            reading
        };
        loop {
            match wire.get_mut().take_message::<Request>() {
                Ok(Some(request)) => {
                    if !self.serve(request, wire.get_mut()) {
                        return false;
                    }
                }
                Ok(None) => break,
                Err(_) => return false,
            }
        }
        matches!(reading, Ok(Reading::More | Reading::Nothing))
    }

    /// Does what is asked for; false when the other end cannot be answered.
    fn serve(&mut self, request: Request, wire: &mut Wire) -> bool {
        let id = request.id;
        let hub = self.hub.clone();
        let laid = match &hub.laid {
            Ok(laid) => laid,
            Err(reason) => {
                let failure = Failure { code: libc::EOPNOTSUPP, message: reason.clone() };
                return wire.send(&Reply { id, result: Err(failure) }).is_ok();
            }
        };
        let (result, descriptor) = match request.operation {
            Operation::Hello => (Ok(Answer::Hello(laid.hello)), laid.user.as_ref().map(|user| user.try_clone())),
            Operation::Attach { address } => (self.attach(laid, address, wire.take_descriptor()), None),
            Operation::Socket { protocol, pod } => {
                let made = laid.keeper.lock().unwrap_or_else(PoisonError::into_inner).socket(protocol, pod);
                match made {
                    Ok(socket) => (Ok(Answer::Done), Some(Ok(socket))),
                    Err(failure) => (Err(failure), None),
                }
            }
            Operation::Open { to } => {
                self.open(id, to);
                return true;
            }
            Operation::Datagrams { to, port } => (self.datagrams(laid, to, port), None),
            Operation::Claim { open, port } => {
                let address = self.pod.unwrap_or(Ipv4Addr::LOCALHOST);
                if let Some(stream) = self.opened.remove(&open) {
                    let opened = Opened { stream, gone: self.gone.clone() };
                    laid.claims.put(SocketAddrV4::new(address, port), opened);
                }
                return true;
            }
            Operation::Forget { open } => {
                self.opened.remove(&open);
                return true;
            }
        };
        let reply = Reply { id, result };
        match descriptor {
            None => wire.send(&reply).is_ok(),
            Some(Ok(descriptor)) => {
                let descriptors: [BorrowedFd<'_>; 1] = [descriptor.as_fd()];
                wire.send_with(&reply, &descriptors).is_ok()
            }
            Some(Err(_)) => false,
        }
    }

    fn attach(&mut self, laid: &Laid, address: Ipv4Addr, namespace: Option<OwnedFd>) -> Result<Answer, Failure> {
        let refused = |message: &str| Failure { code: libc::EINVAL, message: message.to_owned() };
        let namespace = namespace.ok_or_else(|| refused("no network namespace came along"))?;
        if self.pod.is_some_and(|own| own != address) {
            return Err(refused("a connection has one pod"));
        }
        laid.keeper.lock().unwrap_or_else(PoisonError::into_inner).attach(address, namespace.as_fd())?;
        self.pod = Some(address);
        Ok(Answer::Done)
    }

    /// Carries the datagrams of one socket to one address.
    fn datagrams(&self, laid: &Laid, to: SocketAddrV4, port: u16) -> Result<Answer, Failure> {
        if self.hub.associations.load(Ordering::Acquire) >= ASSOCIATIONS {
            return Err(Failure { code: libc::EAGAIN, message: "too many datagrams are carried".to_owned() });
        }
        let failed = |error: io::Error| Failure::of("datagrams cannot be carried", &error);
        let inside = laid.keeper.lock().unwrap_or_else(PoisonError::into_inner).socket(Kind::Datagram, None)?;
        let inside = std::net::UdpSocket::from(inside);
        let make = |at: SocketAddrV4| {
            let socket = std::net::UdpSocket::bind(at)?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        };
        let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
        let (near, far, from) = match self.pod {
            Some(pod) => {
                rustix::net::bind(&inside, &SocketAddrV4::new(GATEWAY, 0)).map_err(|error| failed(error.into()))?;
                (inside, make(any).map_err(failed)?, SocketAddrV4::new(pod, port))
            }
            None => {
                let near = make(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
                (near, inside, SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))
            }
        };
        // A socket of datagrams does not wait to be connected.
        far.connect(to).map_err(failed)?;
        let door = near.local_addr().map_err(failed)?.port();
        let (near, far) = (UdpSocket::from_std(near).map_err(failed)?, UdpSocket::from_std(far).map_err(failed)?);
        let (hub, gone) = (self.hub.clone(), self.gone.clone());
        hub.associations.fetch_add(1, Ordering::AcqRel);
        self.hub.group.spawn("datagrams between a pod and the host", TaskKind::Transient, async move {
            let carried = datagrams::carry(near, from, far, gone).await;
            hub.associations.fetch_sub(1, Ordering::AcqRel);
            carried
        });
        Ok(Answer::Port(door))
    }

    /// Opens the far end of a way: for a pod on the host's side, else on the pods'.
    fn open(&mut self, id: u64, to: SocketAddrV4) {
        let (hub, replies, gone) = (self.hub.clone(), self.replies.clone(), self.gone.clone());
        let outwards = self.pod.is_some();
        let too_many = self.opened.len() >= OPEN;
        let (sender, receiver) = oneshot::channel();
        self.opened.insert(id, receiver);
        self.hub.group.spawn("way between a pod and the host that is opened", TaskKind::Transient, async move {
            let connected = async {
                if too_many {
                    return Err(io::Error::from_raw_os_error(libc::EAGAIN));
                }
                let socket = if outwards { TcpSocket::new_v4()? } else { hub.inside()? };
                socket.connect(to.into()).await
            };
            let connected = tokio::select! {
                connected = connected => connected,
                () = gone.cancelled() => return Ok(()),
            };
            let result = match connected {
                Ok(stream) => {
                    // Whoever wanted it may have given it up.
                    let _ = sender.send(stream);
                    Ok(Answer::Done)
                }
                Err(error) => {
                    drop(sender);
                    Err(Failure::of("connect", &error))
                }
            };
            let _ = replies.send(Reply { id, result }).await;
            Ok::<(), std::convert::Infallible>(())
        });
    }
}

impl Hub {
    /// A socket in the network of pods.
    fn inside(&self) -> io::Result<TcpSocket> {
        let laid = self.laid.as_ref().map_err(|reason| io::Error::other(reason.clone()))?;
        let made = laid.keeper.lock().unwrap_or_else(PoisonError::into_inner).socket(Kind::Stream, None);
        let made = made.map_err(|failure| io::Error::from_raw_os_error(failure.code))?;
        Ok(TcpSocket::from_std_stream(std::net::TcpStream::from(made)))
    }
}
