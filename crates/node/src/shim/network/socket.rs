//! A socket of a container's process, as its supervisor holds it for one call.
//!
//! It is the same socket as the program's, not a copy: what is set here is set there. No function waits for a
//! peer.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    time::Duration,
};

use rustix::net::{SocketAddrAny, SocketType, sockopt};

use super::{address, messages};
use crate::core::network::Protocol;

/// `SO_SNDTIMEO` that lets `connect` wait for one tick of the kernel's clock at most.
const NO_WAIT: Duration = Duration::from_micros(1);

/// Versions of the internet protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

/// A socket of the internet.
pub struct Socket {
    descriptor: OwnedFd,
    pub family: Family,
    /// Its name for as long as it exists; no other socket ever has it.
    pub cookie: u64,
    pub protocol: Protocol,
    /// Where it is bound now.
    pub local: SocketAddr,
}

/// What came of a `connect`.
#[derive(Debug)]
pub enum Connecting {
    Done(io::Result<()>),
    /// The program waits: it is to be told when the connection stands, or after this time.
    Waits(Option<Duration>),
}

impl Socket {
    /// Looks what a descriptor is; `None` when it is no socket of the internet.
    ///
    /// # Errors
    /// `ENOTSOCK`, and what the kernel says else.
    pub fn new(descriptor: OwnedFd) -> io::Result<Option<Self>> {
        let Some(local) = internet(rustix::net::getsockname(&descriptor)?) else { return Ok(None) };
        let protocol = match sockopt::socket_type(&descriptor)? {
            SocketType::STREAM => Protocol::Tcp,
            _ => Protocol::Udp,
        };
        let cookie = sockopt::socket_cookie(&descriptor)?;
        let family = if local.is_ipv4() { Family::V4 } else { Family::V6 };
        Ok(Some(Self { descriptor, family, cookie, protocol, local }))
    }

    /// The descriptor, to wait on.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }

    /// The port that it has now.
    pub fn port(&self) -> Option<u16> {
        internet(rustix::net::getsockname(&self.descriptor).ok()?).map(|local| local.port()).filter(|port| *port != 0)
    }

    /// How long its program waits for a connection: `at_once` where it does not wait, `None` for as long as it takes.
    pub fn patience(&self, at_once: Duration) -> Option<Duration> {
        let flags = rustix::fs::fcntl_getfl(&self.descriptor);
        match flags.is_ok_and(|flags| flags.contains(rustix::fs::OFlags::NONBLOCK)) {
            true => Some(at_once),
            false => sockopt::socket_timeout(&self.descriptor, sockopt::Timeout::Send).unwrap_or_default(),
        }
    }

    /// Whether it is bound to no port yet.
    pub fn is_unbound(&self) -> bool {
        self.local.port() == 0 && self.local.ip().is_unspecified()
    }

    /// Whether it takes addresses of IPv6 alone.
    pub fn is_v6_only(&self) -> bool {
        self.family == Family::V6 && sockopt::ipv6_v6only(&self.descriptor).unwrap_or(false)
    }

    /// An address in the form that this socket takes.
    pub fn form(&self, to: SocketAddrV4) -> SocketAddr {
        match self.family {
            Family::V4 => to.into(),
            Family::V6 => address::mapped(to),
        }
    }

    /// # Errors
    /// `ENOTCONN`.
    pub fn peer(&self) -> io::Result<Option<SocketAddr>> {
        Ok(rustix::net::getpeername(&self.descriptor)?.and_then(internet))
    }

    /// # Errors
    /// Those of `bind(2)`.
    pub fn bind(&mut self, to: SocketAddr) -> io::Result<()> {
        rustix::net::bind(&self.descriptor, &to)?;
        if let Some(local) = internet(rustix::net::getsockname(&self.descriptor)?) {
            self.local = local;
        }
        Ok(())
    }

    /// Gives a socket that is bound to nothing the address from which it will speak, and leaves the choice of a
    /// port to the moment when it connects: so that as many connections can be made as without.
    ///
    /// # Errors
    /// Those of `bind(2)`.
    pub fn bind_source(&mut self, ip: Ipv4Addr) -> io::Result<()> {
        self.set_late_port(1);
        let bound = self.bind(self.form(SocketAddrV4::new(ip, 0)));
        self.set_late_port(0);
        bound
    }

    fn set_late_port(&self, value: libc::c_int) {
        let length = libc::socklen_t::try_from(size_of_val(&value)).unwrap_or_default();
        let option = (&raw const value).cast();
        // SAFETY: the option is an int that outlives the call. A kernel without it chooses a port at once.
        let _ = unsafe {
            libc::setsockopt(
                self.descriptor.as_raw_fd(),
                libc::IPPROTO_IP,
                libc::IP_BIND_ADDRESS_NO_PORT,
                option,
                length,
            )
        };
    }

    /// Binds a socket of IPv6 alone where nobody looks for it: the cluster has no IPv6, so its own pod is all that
    /// could reach it, and that is led to IPv4.
    ///
    /// # Errors
    /// Those of `bind(2)`.
    pub fn bind_aside(&mut self) -> io::Result<()> {
        self.bind(SocketAddr::from((Ipv6Addr::LOCALHOST, 0)))
    }

    /// # Errors
    /// Those of `listen(2)`.
    pub fn listen(&self, backlog: i32) -> io::Result<()> {
        Ok(rustix::net::listen(&self.descriptor, backlog)?)
    }

    /// Ends the association of a datagram socket.
    ///
    /// # Errors
    /// Those of `connect(2)`.
    pub fn disconnect(&self) -> io::Result<()> {
        Ok(rustix::net::connect_unspec(&self.descriptor)?)
    }

    /// Connects, and never waits for the peer. A program whose socket waits is one to be told later. How the
    /// socket waits is a flag that it shares with other descriptors, so it is its time-out that is changed for
    /// the moment: `connect(2)` ends with `EINPROGRESS` when `SO_SNDTIMEO` has passed.
    pub fn connect(&self, to: SocketAddr) -> Connecting {
        let is_waiting =
            rustix::fs::fcntl_getfl(&self.descriptor).is_ok_and(|flags| !flags.contains(rustix::fs::OFlags::NONBLOCK));
        if !is_waiting || self.protocol == Protocol::Udp {
            return Connecting::Done(rustix::net::connect(&self.descriptor, &to).map_err(io::Error::from));
        }
        let before = sockopt::socket_timeout(&self.descriptor, sockopt::Timeout::Send).unwrap_or_default();
        if let Err(error) = sockopt::set_socket_timeout(&self.descriptor, sockopt::Timeout::Send, Some(NO_WAIT)) {
            return Connecting::Done(Err(error.into()));
        }
        let result = rustix::net::connect(&self.descriptor, &to);
        // It was taken a moment ago.
        let _ = sockopt::set_socket_timeout(&self.descriptor, sockopt::Timeout::Send, before);
        match result {
            Err(rustix::io::Errno::INPROGRESS | rustix::io::Errno::ALREADY) => Connecting::Waits(before),
            result => Connecting::Done(result.map_err(io::Error::from)),
        }
    }

    /// Sends one datagram, from `source` where the socket has no address of its own.
    ///
    /// # Errors
    /// Those of `sendto(2)`; `ENOBUFS` where it would wait and the program's socket waits.
    pub fn send(&self, bytes: &[u8], flags: i32, to: SocketAddr, source: Option<Ipv4Addr>) -> io::Result<usize> {
        let mut control = Vec::new();
        if let Some(source) = source {
            from(&mut control, source);
        }
        self.send_with(bytes, flags, Some(to), &control)
    }

    /// Sends one datagram with ancillary data; without an address, where the socket is connected to.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_with(&self, bytes: &[u8], flags: i32, to: Option<SocketAddr>, control: &[u8]) -> io::Result<usize> {
        let mut name = to.map(address::encode).unwrap_or_default();
        let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        // SAFETY: it is a structure of numbers and pointers, for which zero is a value. It is filled with pointers to
        // what outlives the call and is only read.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        if !name.is_empty() {
            message.msg_name = name.as_mut_ptr().cast();
            message.msg_namelen = u32::try_from(name.len()).unwrap_or_default();
        }
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        if !control.is_empty() {
            message.msg_control = control.as_ptr().cast_mut().cast();
            message.msg_controllen = control.len() as _;
        }
        // SAFETY: the message points to what outlives the call.
        let sent = unsafe {
            libc::sendmsg(
                self.descriptor.as_raw_fd(),
                &raw const message,
                flags | libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
            )
        };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }
}

/// Adds to ancillary data the address that a datagram comes from: `struct in_pktinfo`, an interface of the kernel's choice
/// before the address, and one that only receivers are told after it.
pub fn from(control: &mut Vec<u8>, source: Ipv4Addr) {
    let content = [[0; 4].as_slice(), source.octets().as_slice(), &[0; 4]].concat();
    messages::item(control, libc::IPPROTO_IP, libc::IP_PKTINFO, &content);
}

fn internet(address: SocketAddrAny) -> Option<SocketAddr> {
    SocketAddr::try_from(address).ok()
}
