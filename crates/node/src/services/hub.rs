//! The node's end of the hub of pods' networks: starts it or finds it again, and has sockets of it.

use std::{
    fmt, fs, io,
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::OwnedFd,
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
};

use ferroflow_platform::task::{Group, Kind};
use tokio::{
    io::{Interest, unix::AsyncFd},
    net::{TcpListener, TcpSocket, TcpStream, UdpSocket},
    sync::watch,
};

use crate::{
    core::network::Protocol,
    runtime::{link, process::ShimCommand},
    shim::hub::{
        ARGUMENT, Line, SOCKET, dial,
        protocol::{Hello, Operation},
    },
};

/// Connections that wait at a server in the network of pods.
const BACKLOG: i32 = 1024;

/// The network of pods, for those who speak with pods. Cheap to clone.
#[derive(Clone)]
pub struct Hub {
    path: PathBuf,
    line: Arc<Mutex<Line>>,
    /// Grows by one with each hub that takes the place of one that ended.
    generation: watch::Receiver<u64>,
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("path", &self.path).finish_non_exhaustive()
    }
}

impl PartialEq for Hub {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.line, &other.line)
    }
}

impl Eq for Hub {}

impl Hub {
    /// Finds the hub that an earlier server has left in `directory`, or starts one.
    ///
    /// # Errors
    /// A sentence: why there can be no network of pods here.
    pub async fn open(directory: &Path, shim: &ShimCommand, group: &Group) -> Result<Self, String> {
        let (line, watched) = reach(directory, shim, group).await?;
        let (sender, generation) = watch::channel(0);
        let hub = Self { path: directory.join(SOCKET), line: Arc::new(Mutex::new(line)), generation };
        let (stays, directory, shim, own) = (hub.clone(), directory.to_owned(), shim.clone(), group.clone());
        group.spawn("hub of pods' networks", Kind::Essential, async move {
            stays.stay(watched, &directory, &shim, &own, &sender).await.map(drop)
        });
        Ok(hub)
    }

    /// Starts another hub when this one has ended. Pods end with theirs: their supervisors see to that.
    async fn stay(
        self,
        mut watched: Line,
        directory: &Path,
        shim: &ShimCommand,
        group: &Group,
        generation: &watch::Sender<u64>,
    ) -> Result<std::convert::Infallible, String> {
        loop {
            ended(&watched).await.map_err(|error| error.to_string())?;
            tracing::error!("the hub of pods' networks has ended: pods end with it, and start again with a new one");
            let line;
            (line, watched) = reach(directory, shim, group).await?;
            *self.line.lock().unwrap_or_else(PoisonError::into_inner) = line;
            generation.send_modify(|number| *number += 1);
        }
    }

    /// Changes with each hub that takes the place of one that ended, in which nobody listens yet.
    pub fn generation(&self) -> watch::Receiver<u64> {
        self.generation.clone()
    }

    /// Its socket, for supervisors of pods.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it says of itself.
    pub fn hello(&self) -> Hello {
        self.line.lock().unwrap_or_else(PoisonError::into_inner).hello()
    }

    /// A socket in the namespace of a pod, or in the one between pods.
    ///
    /// # Errors
    /// When there is no such pod, or the hub has gone.
    async fn socket(&self, protocol: Protocol, pod: Option<Ipv4Addr>) -> io::Result<OwnedFd> {
        let line = self.line.clone();
        let asked = on_thread(move || {
            let operation = Operation::Socket { protocol: protocol.into(), pod };
            line.lock().unwrap_or_else(PoisonError::into_inner).call(operation, &[])
        });
        let (_, socket) = asked.await?.map_err(|failure| io::Error::from_raw_os_error(failure.code))?;
        socket.ok_or_else(|| io::Error::from_raw_os_error(libc::EPROTO))
    }

    /// Connects to an address in the network of pods.
    ///
    /// # Errors
    /// Those of `connect(2)`.
    pub async fn connect(&self, to: SocketAddrV4) -> io::Result<TcpStream> {
        self.stream(None).await?.connect(to.into()).await
    }

    /// Connects to a port of a pod's own loopback.
    ///
    /// # Errors
    /// Those of `connect(2)`.
    pub async fn enter(&self, pod: Ipv4Addr, port: u16) -> io::Result<TcpStream> {
        let to = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        self.stream(Some(pod)).await?.connect(to.into()).await
    }

    async fn stream(&self, pod: Option<Ipv4Addr>) -> io::Result<TcpSocket> {
        let socket = self.socket(Protocol::Tcp, pod).await?;
        Ok(TcpSocket::from_std_stream(std::net::TcpStream::from(socket)))
    }

    /// A socket for datagrams, not bound yet.
    ///
    /// # Errors
    /// When the hub has gone.
    pub async fn datagrams(&self) -> io::Result<UdpSocket> {
        UdpSocket::from_std(std::net::UdpSocket::from(self.socket(Protocol::Udp, None).await?))
    }

    /// Listens at an address of the hub.
    ///
    /// # Errors
    /// Those of `bind(2)` and `listen(2)`.
    pub async fn listen(&self, at: SocketAddrV4) -> io::Result<TcpListener> {
        let socket = self.socket(Protocol::Tcp, None).await?;
        rustix::net::bind(&socket, &at)?;
        rustix::net::listen(&socket, BACKLOG)?;
        TcpListener::from_std(std::net::TcpListener::from(socket))
    }

    /// Takes datagrams at an address of the hub.
    ///
    /// # Errors
    /// Those of `bind(2)`.
    pub async fn listen_for_datagrams(&self, at: SocketAddrV4) -> io::Result<UdpSocket> {
        let socket = self.socket(Protocol::Udp, None).await?;
        rustix::net::bind(&socket, &at)?;
        UdpSocket::from_std(std::net::UdpSocket::from(socket))
    }
}

/// A living hub; `None` where there is none, or one that is about to end.
async fn find(path: &Path) -> Option<Line> {
    if path.exists() { greet(path.to_owned()).await.ok() } else { None }
}

/// Waits on a thread for what the hub does in microseconds.
async fn on_thread<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(act).await.map_err(io::Error::other)
}

async fn greet(path: PathBuf) -> Result<Line, String> {
    on_thread(move || dial(&path)).await.map_err(|error| error.to_string())?
}

/// Two connections to the hub that an earlier server has left, or to a new one: one to ask on, one that tells its end.
async fn reach(directory: &Path, shim: &ShimCommand, group: &Group) -> Result<(Line, Line), String> {
    let path = directory.join(SOCKET);
    let line = match find(&path).await {
        Some(line) => line,
        None => {
            start(directory, shim, group).map_err(|error| format!("the hub cannot be started: {error}"))?;
            greet(path.clone()).await?
        }
    };
    Ok((line, greet(path).await?))
}

/// Completes when the hub has ended.
async fn ended(line: &Line) -> io::Result<()> {
    let descriptor = line.fd().try_clone_to_owned()?;
    // SAFETY: the descriptor is owned, and neither changed nor closed before it is dropped.
    let watched = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) }?;
    // It says nothing on this connection.
    let _ended = watched.readable().await?;
    Ok(())
}

/// The socket listens before the hub runs: nobody has to wait for it.
fn start(directory: &Path, shim: &ShimCommand, group: &Group) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    match fs::remove_file(directory.join(SOCKET)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = link::with_short_path(directory, SOCKET, |path| UnixListener::bind(path))?;
    fs::set_permissions(directory.join(SOCKET), fs::Permissions::from_mode(0o600))?;
    let errors = fs::OpenOptions::new().create(true).append(true).open(directory.join("hub.log"))?;
    let mut command = Command::new(&shim.program);
    command
        .args(&shim.arguments)
        .arg(ARGUMENT)
        .env_clear()
        .stdin(Stdio::from(OwnedFd::from(listener)))
        .stdout(Stdio::null())
        .stderr(Stdio::from(errors));
    let mut child = tokio::process::Command::from(command).spawn()?;
    group.spawn("wait for the hub of pods' networks", Kind::Transient, async move {
        // Only so that it does not stay a zombie; how it ended shows in its socket.
        let _ = child.wait().await;
        Ok::<(), std::convert::Infallible>(())
    });
    Ok(())
}
