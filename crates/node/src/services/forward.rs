//! Asks the name servers of the host for what is not the cluster's. Keeps nothing.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    sync::Semaphore,
    time::timeout,
};

use crate::core::{
    dns::message::{self, Heard, PAYLOAD_BYTES, Query},
    etc,
};

/// Questions that are out at a time; those beyond are answered with a failure, and clients ask again.
const OUTSTANDING: usize = 256;
/// How long one server is waited for; clients ask again after five seconds.
const PATIENCE: Duration = Duration::from_secs(2);
/// Servers that are asked, as many as the C library takes.
const SERVERS: usize = 3;

/// What carries a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    Udp,
    Tcp,
}

/// Asks other servers.
pub struct Forwarder {
    /// The file that names the servers.
    settings: PathBuf,
    /// The block of the cluster, whose own server is never asked.
    block: u8,
    room: Semaphore,
}

impl Forwarder {
    /// A forwarder to the servers that a file in the form of `/etc/resolv.conf` names.
    pub fn new(settings: PathBuf, block: u8) -> Self {
        Self { settings, block, room: Semaphore::new(OUTSTANDING) }
    }

    /// The servers, as the file names them now.
    async fn servers(&self) -> Vec<SocketAddr> {
        let text = tokio::fs::read_to_string(&self.settings).await.unwrap_or_default();
        let servers = etc::Resolver::parse(&text).servers;
        let own = |server: &SocketAddr| match server.ip() {
            IpAddr::V4(address) => address.octets()[..2] == [127, self.block] || address == Ipv4Addr::UNSPECIFIED,
            IpAddr::V6(_) => false,
        };
        servers.iter().filter_map(|text| server(text)).filter(|server| !own(server)).take(SERVERS).collect()
    }

    /// Hands on a question as it came; `None` when nobody answers in time.
    pub async fn pass(&self, question: &[u8], query: &Query, carrier: Carrier) -> Option<Vec<u8>> {
        let _room = self.room.try_acquire().ok()?;
        for server in self.servers().await {
            match timeout(PATIENCE, exchange(server, question, query, carrier)).await {
                Ok(Ok(answer)) => return Some(answer),
                Ok(Err(error)) => tracing::debug!(%server, %error, "a name server cannot be asked"),
                Err(_) => tracing::debug!(%server, "a name server does not answer"),
            }
        }
        None
    }

    /// Asks for the addresses of a name.
    pub async fn ask(&self, query: &Query, carrier: Carrier) -> Option<Heard> {
        let question = message::write_query(&Query { payload: Some(PAYLOAD_BYTES), ..query.clone() });
        let answer = self.pass(&question, query, carrier).await?;
        message::parse_reply(&answer, query)
    }
}

/// A server's address: with a port where a test has put one.
fn server(text: &str) -> Option<SocketAddr> {
    let plain = || text.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, 53));
    plain().or_else(|| text.parse().ok())
}

async fn exchange(server: SocketAddr, question: &[u8], query: &Query, carrier: Carrier) -> std::io::Result<Vec<u8>> {
    match carrier {
        Carrier::Udp => by_udp(server, question, query).await,
        Carrier::Tcp => by_tcp(server, question).await,
    }
}

async fn by_udp(server: SocketAddr, question: &[u8], query: &Query) -> std::io::Result<Vec<u8>> {
    let own: SocketAddr = if server.is_ipv4() { ([0u8; 4], 0).into() } else { ([0u16; 8], 0).into() };
    // A socket of its own has a port that nobody can guess, and hears that one server alone.
    let socket = UdpSocket::bind(own).await?;
    socket.connect(server).await?;
    socket.send(question).await?;
    let mut buffer = vec![0; message::STREAM_BYTES];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if message::parse_reply(&buffer[..length], query).is_some() {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
}

async fn by_tcp(server: SocketAddr, question: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    write_framed(&mut stream, question).await?;
    read_framed(&mut stream).await
}

/// Writes a message with its length before it.
///
/// # Errors
/// Those of the stream, and a message that is too long.
pub async fn write_framed(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    let length = u16::try_from(bytes.len()).map_err(std::io::Error::other)?;
    let mut framed = Vec::with_capacity(bytes.len() + 2);
    framed.extend(length.to_be_bytes());
    framed.extend(bytes);
    stream.write_all(&framed).await
}

/// Reads a message with its length before it.
///
/// # Errors
/// Those of the stream.
pub async fn read_framed(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut bytes = vec![0; usize::from(length)];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}
