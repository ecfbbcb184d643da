//! The DNS server of the cluster: sockets around [`core::dns`](crate::core::dns).

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ferroflow_platform::{
    clock::SharedClock,
    task::{Group, Kind},
};
use tokio::{
    net::{TcpListener, TcpStream, UdpSocket},
    sync::{Semaphore, watch},
    time::timeout,
};

use super::{
    forward::{Carrier, Forwarder, read_framed, write_framed},
    hub::Hub,
};
use crate::core::{
    dns::{
        Name, code,
        message::{self, Query, Reply, STREAM_BYTES, Unreadable},
        zone::{Answer, Zone},
    },
    network,
};

/// Connections at a time: few programs ask by TCP.
const CONNECTIONS: usize = 128;
/// Questions of one connection.
const QUESTIONS: usize = 1000;
/// A connection on which nothing is asked for so long is closed: RFC 7766 wants a few seconds.
const IDLE: Duration = Duration::from_secs(10);
/// A socket that takes no connections now takes some later.
const PAUSE: Duration = Duration::from_millis(50);
/// Questions by UDP that wait for another server; those beyond are dropped, and clients ask again.
const WAITING: usize = 512;

/// The sockets of the server.
pub struct Sockets {
    udp: UdpSocket,
    tcp: TcpListener,
    /// The port of both.
    pub port: u16,
}

/// How often another high port is tried, when the one that the system has chosen for UDP is taken for TCP.
const TRIES: usize = 16;

impl Sockets {
    /// Binds port 53 of `address`, or another one where that is not allowed.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn bind(address: Ipv4Addr) -> io::Result<Self> {
        let mut result = Self::bind_at(address, 53).await;
        for _ in 0..TRIES {
            if result.is_ok() {
                break;
            }
            result = Self::bind_at(address, 0).await;
        }
        result
    }

    /// Binds the port and the address of the cluster's server in the network of pods.
    ///
    /// # Errors
    /// When they cannot be bound.
    pub async fn bind_inside(hub: &Hub) -> io::Result<Self> {
        let at = SocketAddrV4::new(network::DNS, network::DNS_PORT);
        Ok(Self { udp: hub.listen_for_datagrams(at).await?, tcp: hub.listen(at).await?, port: at.port() })
    }

    async fn bind_at(address: Ipv4Addr, port: u16) -> io::Result<Self> {
        let udp = UdpSocket::bind((address, port)).await?;
        let port = udp.local_addr()?.port();
        let tcp = TcpListener::bind((address, port)).await?;
        Ok(Self { udp, tcp, port })
    }
}

/// Answers questions.
pub struct Server {
    zone: watch::Receiver<Arc<Zone>>,
    forwarder: Forwarder,
    turn: AtomicUsize,
    clock: SharedClock,
    group: Group,
}

impl Server {
    /// Serves on these sockets in `group`.
    pub fn start(
        sockets: impl IntoIterator<Item = Sockets>,
        zone: watch::Receiver<Arc<Zone>>,
        forwarder: Forwarder,
        clock: SharedClock,
        group: &Group,
    ) -> Arc<Self> {
        let server = Arc::new(Self { zone, forwarder, turn: AtomicUsize::new(0), clock, group: group.clone() });
        sockets.into_iter().for_each(|sockets| server.serve(sockets));
        server
    }

    /// Serves on these sockets too.
    fn serve(self: &Arc<Self>, sockets: Sockets) {
        self.group.spawn("DNS by UDP", Kind::Essential, self.clone().serve_udp(Arc::new(sockets.udp)));
        self.group.spawn("DNS by TCP", Kind::Essential, self.clone().serve_tcp(sockets.tcp));
    }

    /// Serves in the network of pods, in each that takes the place of one that has ended.
    pub fn serve_inside(self: Arc<Self>, hub: Hub) {
        let group = self.group.clone();
        group.spawn("DNS in the network of pods", Kind::Essential, async move {
            let mut generation = hub.generation();
            while generation.changed().await.is_ok() {
                let sockets = Sockets::bind_inside(&hub).await?;
                self.serve(sockets);
            }
            Ok::<(), io::Error>(())
        });
    }

    async fn serve_udp(self: Arc<Self>, socket: Arc<UdpSocket>) -> Result<(), std::convert::Infallible> {
        let room = Arc::new(Semaphore::new(WAITING));
        let mut buffer = vec![0; STREAM_BYTES];
        loop {
            let (length, client) = match socket.recv_from(&mut buffer).await {
                Ok(received) => received,
                // A client that is gone is told of by an error on the next receive.
                Err(error) => {
                    tracing::debug!(%error, "a question could not be received");
                    continue;
                }
            };
            let question = &buffer[..length];
            match self.at_once(question, Carrier::Udp) {
                Step::Done(answer) => send(&socket, &answer, client).await,
                Step::Nothing => {}
                Step::Elsewhere(query, answer) => {
                    let Ok(permit) = room.clone().try_acquire_owned() else { continue };
                    let (server, socket, question) = (self.clone(), socket.clone(), question.to_vec());
                    self.group.spawn("DNS question", Kind::Transient, async move {
                        let answer = server.elsewhere(&question, query, answer, Carrier::Udp).await;
                        send(&socket, &answer, client).await;
                        drop(permit);
                        Ok::<(), std::convert::Infallible>(())
                    });
                }
            }
        }
    }

    async fn serve_tcp(self: Arc<Self>, listener: TcpListener) -> Result<(), std::convert::Infallible> {
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let Ok(permit) = room.clone().acquire_owned().await else { return Ok(()) };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let server = self.clone();
                    self.group.spawn("DNS connection", Kind::Transient, async move {
                        let served = server.converse(stream).await;
                        drop(permit);
                        served
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a DNS connection cannot be accepted");
                    self.clock.sleep(PAUSE).await;
                }
            }
        }
    }

    async fn converse(&self, mut stream: TcpStream) -> io::Result<()> {
        for _ in 0..QUESTIONS {
            let Ok(Ok(question)) = timeout(IDLE, read_framed(&mut stream)).await else { return Ok(()) };
            let answer = match self.at_once(&question, Carrier::Tcp) {
                Step::Done(answer) => answer,
                Step::Nothing => return Ok(()),
                Step::Elsewhere(query, answer) => self.elsewhere(&question, query, answer, Carrier::Tcp).await,
            };
            timeout(IDLE, write_framed(&mut stream, &answer)).await??;
        }
        Ok(())
    }

    /// What can be answered without asking others.
    fn at_once(&self, question: &[u8], carrier: Carrier) -> Step {
        let query = match message::parse_query(question) {
            Ok(query) => query,
            Err(Unreadable::Silent) => return Step::Nothing,
            Err(Unreadable::Code { id, code }) => return Step::Done(message::write_refusal(id, code)),
        };
        let zone = self.zone.borrow().clone();
        match zone.answer(&query.name, query.kind) {
            Answer::Whole(reply) => Step::Done(self.write(&query, reply, carrier)),
            Answer::Follow(reply, target) => Step::Elsewhere(query, Some((reply, target))),
            Answer::Elsewhere => Step::Elsewhere(query, None),
        }
    }

    fn write(&self, query: &Query, mut reply: Reply, carrier: Carrier) -> Vec<u8> {
        reply.rotate(self.turn.fetch_add(1, Ordering::Relaxed));
        let limit = if carrier == Carrier::Udp { query.limit() } else { STREAM_BYTES };
        message::write_reply(query, &reply, limit)
    }

    async fn elsewhere(
        &self,
        question: &[u8],
        query: Query,
        alias: Option<(Reply, Name)>,
        carrier: Carrier,
    ) -> Vec<u8> {
        let Some((mut reply, target)) = alias else {
            let passed = self.forwarder.pass(question, &query, carrier).await;
            let failed = || self.write(&query, Reply::bare(code::SERVER_FAILURE), carrier);
            return passed.unwrap_or_else(failed);
        };
        let asked = Query { id: query.id, name: target, ..query.clone() };
        match self.forwarder.ask(&asked, Carrier::Udp).await {
            // An alias is an answer, even where its name has no address or nobody knows.
            Some(heard) => reply.answers.extend(heard.answers),
            None => reply.code = code::SERVER_FAILURE,
        }
        self.write(&query, reply, carrier)
    }
}

enum Step {
    Done(Vec<u8>),
    Nothing,
    Elsewhere(Query, Option<(Reply, Name)>),
}

async fn send(socket: &UdpSocket, answer: &[u8], client: SocketAddr) {
    if let Err(error) = socket.send_to(answer, client).await {
        tracing::debug!(%client, %error, "an answer could not be sent");
    }
}
