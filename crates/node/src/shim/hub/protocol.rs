//! The words between the hub and those who use it: supervisors of pods, and the node agent.
//!
//! Frames are those of the [pod's own protocol](crate::shim::protocol). Descriptors travel beside a frame's first byte.

use std::net::{Ipv4Addr, SocketAddrV4};

use serde::{Deserialize, Serialize};

use crate::core::network::Protocol;

/// What is asked; every request is answered by one [`Reply`] with the same id, but [`Operation::Claim`] and
/// [`Operation::Forget`], which are not answered.
#[derive(Debug, Serialize, Deserialize)]
pub struct Request {
    pub id: u64,
    pub operation: Operation,
}

/// The requests.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Operation {
    /// What the hub is like.
    Hello,
    /// Connects a pod's network namespace, whose descriptor comes along, under this address. The address belongs to this
    /// connection, and the pod's interface goes when the connection closes.
    Attach { address: Ipv4Addr },
    /// A socket: in the namespace of the pod with this address, else in the hub's own.
    Socket { protocol: Kind, pod: Option<Ipv4Addr> },
    /// Connects to an address on the other side: one of the host for a connection that has attached a pod, one of the
    /// network of pods for others. Answered when the connection stands or has failed.
    Open { to: SocketAddrV4 },
    /// A port of the hub on the asking side, whose datagrams go to an address on the other side, and answers back. It
    /// hears this port of the pod, or of the host's loopback, alone.
    Datagrams { to: SocketAddrV4, port: u16 },
    /// The connection that comes to the hub's door from this port is the end of what was opened by the request with this
    /// id.
    Claim { open: u64, port: u16 },
    /// What was opened by the request with this id is not wanted any more.
    Forget { open: u64 },
}

/// Kinds of sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    Stream,
    Datagram,
}

impl From<Protocol> for Kind {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Tcp => Self::Stream,
            Protocol::Udp => Self::Datagram,
        }
    }
}

/// What the hub is like. Where it has a user namespace of its own, in which those of pods must be made, its descriptor
/// comes along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The hub's number as a process.
    pub pid: u32,
    pub has_user: bool,
    /// Where pods knock to get out, and where programs of the host knock to get in.
    pub way_out: SocketAddrV4,
    pub way_in: SocketAddrV4,
}

/// The answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    Done,
    Hello(Hello),
    Port(u16),
}

/// The answer to the request with this id.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reply {
    pub id: u64,
    pub result: Result<Answer, Failure>,
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct Failure {
    /// Of errno(3).
    pub code: i32,
    pub message: String,
}

impl Failure {
    /// A failure of a call.
    pub fn of(what: &str, error: &std::io::Error) -> Self {
        Self { code: error.raw_os_error().unwrap_or(libc::EIO), message: format!("{what}: {error}") }
    }
}
