//! The calls one by one: read what the program asks for, decide, do it on the program's socket.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4},
    time::Instant,
};

use super::{
    ASIDE, Network, Outcome, Pending,
    address::{self, Address},
    listeners::Listening,
    notify::{Answer, Call},
    socket::{Connecting, Family, Socket},
    target,
};
use crate::core::network::{self, Binding, Destination, Protocol};

/// No datagram of IPv4 is longer.
pub(super) const DATAGRAM: usize = 65_507;

/// What a call is about, once it is known to be of a socket of the internet.
pub(super) enum Subject {
    Ours(Socket, SocketAddr),
    /// Ends the connection of a datagram socket.
    Disconnect(Socket),
    /// None of ours: the kernel does it.
    Foreign,
}

impl Network {
    /// Carries out a call that has been taken from a listener.
    pub(super) fn carry_out(&mut self, listener: u64, call: &Call, now: Instant) -> Outcome {
        let outcome = match call.number {
            _ if self.private.is_some() => self.carry_out_privately(listener, call, now),
            libc::SYS_bind => self.bind(listener, call),
            libc::SYS_connect => self.connect(listener, call, now),
            libc::SYS_listen => self.listen(listener, call),
            libc::SYS_getsockname => self.local_name(listener, call),
            libc::SYS_getpeername => self.peer_name(listener, call),
            libc::SYS_sendto => self.send(listener, call, now),
            libc::SYS_sendmsg => self.send_message(listener, call, now),
            libc::SYS_sendmmsg => self.send_messages(listener, call, now),
            libc::SYS_socket => self.route_socket(listener, call),
            libc::SYS_ioctl => self.interface(listener, call),
            _ => Ok(Outcome::Answer(Answer::Continue)),
        };
        outcome.unwrap_or_else(|error| Outcome::Answer(Answer::of(Err(seen_from_outside(error)))))
    }

    fn bind(&mut self, listener: u64, call: &Call) -> io::Result<Outcome> {
        let (mut socket, asked) = match self.subject(listener, call, 1)? {
            Subject::Ours(socket, asked) => (socket, asked),
            // The kernel would take this for "any" address of IPv4.
            Subject::Disconnect(_) if self.own.is_some() => return Err(code(libc::EAFNOSUPPORT)),
            Subject::Foreign | Subject::Disconnect(_) => return Ok(Outcome::Answer(Answer::Continue)),
        };
        let is_node = asked.ip() == IpAddr::V4(network::NODE);
        if (self.own.is_none() && !is_node) || asked.is_ipv4() != (socket.family == Family::V4) {
            return Ok(Outcome::Answer(Answer::Continue));
        }
        if let Some(answer) = self.heard(socket.cookie, call.number, asked) {
            return Ok(Outcome::Answer(answer));
        }
        let answer = Answer::of(self.bind_socket(&mut socket, asked).map(|()| 0));
        Ok(Outcome::Done(socket.cookie, asked, answer))
    }

    fn bind_socket(&mut self, socket: &mut Socket, asked: SocketAddr) -> io::Result<()> {
        if self.known.get(socket.cookie).is_deferred {
            return Err(code(libc::EINVAL));
        }
        let to = match address::as_v4(asked) {
            Some(wanted) => network::decide_bind(self.table.current(), self.own, wanted),
            None => Binding::NotAvailable,
        };
        let is_any = asked.ip().is_unspecified();
        match to {
            Binding::NotAvailable => return Err(code(libc::EADDRNOTAVAIL)),
            Binding::InUse => return Err(code(libc::EADDRINUSE)),
            Binding::AsAsked => socket.bind(asked)?,
            Binding::To(_) if is_any && asked.port() == 0 => return self.bind_any(socket, asked),
            Binding::To(_) if socket.is_v6_only() => socket.bind_aside()?,
            Binding::To(to) => match socket.bind(socket.form(to)) {
                Err(error) if self.own.is_some() && error.raw_os_error() == Some(libc::EADDRINUSE) => {
                    self.bind_aside(socket, to, error)?
                }
                bound => bound?,
            },
        }
        if is_any || socket.is_v6_only() {
            self.known.change(socket.cookie, |facts| facts.local = Some(asked));
        }
        Ok(())
    }

    /// Opens another port where a program of the host has this one at all addresses, as it may: in a real cluster it
    /// would not be in the way.
    fn bind_aside(&mut self, socket: &mut Socket, to: SocketAddrV4, taken: io::Error) -> io::Result<()> {
        let is_taken = self.others.at(socket.protocol, to) == Listening::Everywhere;
        if !is_taken || self.aside.len() >= ASIDE {
            return Err(taken);
        }
        let aside = network::aside(to.port());
        socket.bind(socket.form(SocketAddrV4::new(*to.ip(), aside)))?;
        self.aside.insert(aside, to.port());
        Ok(())
    }

    /// "Any" address and a port of the system's choice. Clients ask for it too, and speak with the world
    /// afterwards: what such a socket is for shows later.
    fn bind_any(&mut self, socket: &mut Socket, asked: SocketAddr) -> io::Result<()> {
        if socket.protocol == Protocol::Udp {
            // Datagrams to the cluster are given the pod's address one by one.
            return socket.bind(asked);
        }
        if !socket.is_unbound() {
            return Err(code(libc::EINVAL));
        }
        self.known.change(socket.cookie, |facts| {
            facts.local = Some(asked);
            facts.is_deferred = true;
        });
        Ok(())
    }

    /// Binds a socket that listens, or whose port is asked for, without an address of its own.
    pub(super) fn bind_now(&mut self, socket: &mut Socket) -> io::Result<()> {
        let Some(own) = self.own.filter(|_| socket.is_unbound()) else { return Ok(()) };
        let host = network::host_address(self.table.current().block, own);
        if socket.is_v6_only() {
            socket.bind_aside()?;
        } else {
            socket.bind(socket.form(SocketAddrV4::new(host, 0)))?;
        }
        let any: IpAddr = match socket.family {
            Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
        };
        self.known.change(socket.cookie, |facts| {
            facts.local = Some(SocketAddr::new(any, 0));
            facts.is_deferred = false;
        });
        Ok(())
    }

    fn listen(&mut self, listener: u64, call: &Call) -> io::Result<Outcome> {
        let socket = self.socket(listener, call)?;
        let Some(mut socket) = socket.filter(|_| self.own.is_some()) else {
            return Ok(Outcome::Answer(Answer::Continue));
        };
        self.bind_now(&mut socket)?;
        socket.listen(low(call.arguments[1]))?;
        Ok(Outcome::Answer(Answer::Value(0)))
    }

    fn connect(&mut self, listener: u64, call: &Call, now: Instant) -> io::Result<Outcome> {
        let (mut socket, asked) = match self.subject(listener, call, 1)? {
            Subject::Ours(socket, asked) => (socket, asked),
            Subject::Foreign => return Ok(Outcome::Answer(Answer::Continue)),
            Subject::Disconnect(socket) => {
                self.known.change(socket.cookie, |facts| facts.peer = None);
                return Ok(Outcome::Answer(Answer::of(socket.disconnect().map(|()| 0))));
            }
        };
        if asked.is_ipv6() && socket.family == Family::V4 {
            return Err(code(libc::EAFNOSUPPORT));
        }
        if let Some(answer) = self.heard(socket.cookie, call.number, asked) {
            return Ok(Outcome::Answer(answer));
        }
        let to = self.destination(&mut socket, asked, now)?;
        let shown = self.shown(&socket, to);
        let told = (shown != asked).then_some(asked);
        self.known.change(socket.cookie, |facts| facts.peer = told);
        match socket.connect(to) {
            Connecting::Done(result) => Ok(Outcome::Done(socket.cookie, asked, Answer::of(result.map(|()| 0)))),
            Connecting::Waits(time) => {
                let until = time.and_then(|time| now.checked_add(time));
                Ok(Outcome::Waits(Pending { listener, call: *call, socket, asked, to, until }))
            }
        }
    }

    /// Where a connection really goes; the socket has the pod's address afterwards where it needs one.
    fn destination(&mut self, socket: &mut Socket, asked: SocketAddr, now: Instant) -> io::Result<SocketAddr> {
        let Some(wanted) = address::as_v4(asked) else { return Ok(asked) };
        self.turn = self.turn.wrapping_add(1);
        let turn = self.turn_at(wanted, socket.protocol, self.turn, now);
        match network::decide_connect(self.table.current(), self.own, wanted, socket.protocol, turn) {
            Destination::Outside => Ok(asked),
            // A datagram socket is not refused before it sends: programs ask it for their own address, and send nothing.
            Destination::Refused | Destination::Unreachable if socket.protocol == Protocol::Udp => {
                if socket.is_unbound() {
                    socket.bind_source(self.speaker())?;
                }
                let nowhere = network::nowhere_address(self.table.last().block);
                Ok(socket.form(SocketAddrV4::new(nowhere, wanted.port())))
            }
            Destination::Refused => Err(code(libc::ECONNREFUSED)),
            Destination::Unreachable => Err(code(libc::EHOSTUNREACH)),
            Destination::Cluster(_) if socket.is_v6_only() => Err(code(libc::ECONNREFUSED)),
            Destination::Cluster(to) => {
                let to = self.locate(socket.protocol, to)?;
                if to.ip().is_loopback() && socket.is_unbound() {
                    // So that the peer sees who it is.
                    socket.bind_source(self.speaker())?;
                }
                Ok(socket.form(to))
            }
        }
    }

    /// Whose turn it is: at a service whose clients stay, that of the backend that this pod stays with.
    pub(super) fn turn_at(&mut self, to: SocketAddrV4, protocol: Protocol, turn: u64, now: Instant) -> u64 {
        let Some((name, target)) = network::named(self.table.current(), to, protocol) else { return turn };
        let (Some(seconds), Ok(count)) = (target.affinity_s, u64::try_from(target.backends.len())) else { return turn };
        let place = match self.kept.place(&name, &target.backends, seconds, now) {
            Some(place) => place,
            None if self.kept.knows(&name) => usize::try_from(turn % count.max(1)).unwrap_or_default(),
            None => network::first_place(target, self.own),
        };
        if let Some(backend) = target.backends.get(place) {
            self.kept.keep(name, *backend, seconds, now);
        }
        u64::try_from(place).unwrap_or(turn)
    }

    /// Where a socket of the cluster is found. A program of the host that answers there, because it listens at all
    /// addresses, is no pod: a pod's loopback is not the host's.
    fn locate(&mut self, protocol: Protocol, to: SocketAddrV4) -> io::Result<SocketAddrV4> {
        if !matches!(to.ip().octets(), [127, block, ..] if block == self.table.last().block) {
            return Ok(to);
        }
        self.others.locate(protocol, to).ok_or_else(|| code(libc::ECONNREFUSED))
    }

    pub(super) fn send(&mut self, listener: u64, call: &Call, now: Instant) -> io::Result<Outcome> {
        let (mut socket, asked) = match self.subject(listener, call, 4)? {
            Subject::Ours(socket, asked) if socket.protocol == Protocol::Udp => (socket, asked),
            _ => return Ok(Outcome::Answer(Answer::Continue)),
        };
        let Some(to) = self.datagram_to(&mut socket, asked, now)? else { return Ok(Outcome::Answer(Answer::Continue)) };
        let bytes = self.datagram(call)?;
        self.expect_waiting(listener, call)?;
        let source = self.datagram_from(&mut socket, to)?;
        let sent = socket.send(&bytes, low(call.arguments[3]), socket.form(to), source)?;
        Ok(Outcome::Answer(Answer::Value(i64::try_from(sent).unwrap_or(i64::MAX))))
    }

    /// Where a datagram to this address really goes; `None` where it is not the cluster's.
    pub(super) fn datagram_to(
        &mut self,
        socket: &mut Socket,
        asked: SocketAddr,
        now: Instant,
    ) -> io::Result<Option<SocketAddrV4>> {
        if self.private.is_some() {
            return self.datagram_privately(socket, asked, now);
        }
        let Some(wanted) = address::as_v4(asked) else { return Ok(None) };
        // The datagrams of one socket go to one backend, as connection tracking has it.
        let turn = self.turn_at(wanted, Protocol::Udp, socket.cookie, now);
        match network::decide_connect(self.table.current(), self.own, wanted, Protocol::Udp, turn) {
            Destination::Outside => Ok(None),
            Destination::Refused => Err(code(libc::ECONNREFUSED)),
            Destination::Unreachable => Err(code(libc::EHOSTUNREACH)),
            Destination::Cluster(_) if socket.is_v6_only() => Err(code(libc::ENETUNREACH)),
            Destination::Cluster(to) => self.locate(Protocol::Udp, to).map(Some),
        }
    }

    /// The address that such a datagram must be given, where its socket has none.
    pub(super) fn datagram_from(&self, socket: &mut Socket, to: SocketAddrV4) -> io::Result<Option<Ipv4Addr>> {
        if self.private.is_some() || !to.ip().is_loopback() {
            return Ok(None);
        }
        let host = self.speaker();
        if socket.is_unbound() {
            socket.bind_source(host)?;
        }
        Ok(socket.local.ip().is_unspecified().then_some(host))
    }

    /// What a call sends.
    pub(super) fn datagram(&self, call: &Call) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(call.arguments[2]).unwrap_or(usize::MAX).min(DATAGRAM + 1)];
        if bytes.len() > DATAGRAM {
            return Err(code(libc::EMSGSIZE));
        }
        if target::read(call.thread, call.arguments[1], &mut bytes)? != bytes.len() {
            return Err(code(libc::EFAULT));
        }
        Ok(bytes)
    }

    /// The address from which the pod speaks within the cluster.
    pub(super) fn speaker(&self) -> Ipv4Addr {
        let block = self.table.last().block;
        self.own.map_or_else(|| network::node_address(block), |own| network::host_address(block, own))
    }

    /// What objects show for an address of the host, in the form of the socket.
    pub(super) fn shown(&self, socket: &Socket, host: SocketAddr) -> SocketAddr {
        let v4 = match host {
            SocketAddr::V4(host) => Some(host),
            SocketAddr::V6(host) => host.ip().to_ipv4_mapped().map(|ip| SocketAddrV4::new(ip, host.port())),
        };
        let own = self.own.map(|own| network::host_address(self.table.last().block, own));
        v4.map_or(host, |mut host| {
            if let Some(port) = self.aside.get(&host.port()).filter(|_| Some(*host.ip()) == own) {
                host.set_port(*port);
            }
            socket.form(network::shown_socket(self.table.last(), host))
        })
    }

    /// The socket of a call and the address in its arguments `at` and `at + 1`.
    pub(super) fn subject(&self, listener: u64, call: &Call, at: usize) -> io::Result<Subject> {
        let (Some(place), Some(length)) = (call.arguments.get(at), call.arguments.get(at + 1)) else {
            return Ok(Subject::Foreign);
        };
        let length = usize::try_from(low(*length)).unwrap_or(usize::MAX);
        if length > address::LONGEST {
            return Ok(Subject::Foreign);
        }
        let mut bytes = [0; address::LONGEST];
        let bytes = &mut bytes[..length];
        let read = if length == 0 { 0 } else { target::read(call.thread, *place, bytes)? };
        let asked = match address::parse(&bytes[..read]) {
            Address::Other => return Ok(Subject::Foreign),
            asked => asked,
        };
        let socket = Socket::new(target::descriptor(call.thread, call.arguments[0])?)?;
        self.expect_waiting(listener, call)?;
        Ok(match (socket, asked) {
            (Some(socket), Address::Internet(asked)) => Subject::Ours(socket, asked),
            (Some(socket), Address::Unspecified) => Subject::Disconnect(socket),
            _ => Subject::Foreign,
        })
    }

    /// The socket of a call that names no address; `None` when it is not one of the internet.
    pub(super) fn socket(&self, listener: u64, call: &Call) -> io::Result<Option<Socket>> {
        let socket = Socket::new(target::descriptor(call.thread, call.arguments[0])?)?;
        self.expect_waiting(listener, call)?;
        Ok(socket)
    }

    /// # Errors
    /// When the caller has gone: what was read may be another's, and nobody hears the answer.
    pub(super) fn expect_waiting(&self, listener: u64, call: &Call) -> io::Result<()> {
        let waits = self.listeners.get(&listener).is_some_and(|listener| listener.waits(call.id));
        if waits { Ok(()) } else { Err(code(libc::ESRCH)) }
    }
}

/// The int in a register.
pub(super) fn low(argument: u64) -> i32 {
    let bytes = argument.to_le_bytes();
    i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

pub(super) fn code(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

/// A process that hides its memory cannot be served. `EPERM` would say that it lacks a privilege.
fn seen_from_outside(error: io::Error) -> io::Error {
    if error.raw_os_error() == Some(libc::EPERM) { code(libc::EACCES) } else { error }
}
