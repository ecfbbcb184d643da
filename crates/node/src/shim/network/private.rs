//! The calls of a pod that has a network namespace of its own.
//!
//! Its sockets are bound, listen and are named by the kernel alone. Only where a connection or a datagram leads is asked
//! here: to an endpoint of a service, or out of the cluster by the hub, which opens the far end first, so that a program
//! is told what became of it. A call whose address means itself goes on as it is: whatever a program makes of its memory
//! meanwhile, there is nothing but its own network for it to reach.

use std::{
    collections::HashMap,
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use super::{
    LOOK, Network, Outcome, PENDING, Pending, address,
    calls::{Subject, code},
    notify::{Answer, Call},
    socket::{Connecting, Family, Socket},
    target,
};
use crate::{
    core::{
        network::{DNS, DNS_PORT, Protocol},
        private::{self, Way},
    },
    shim::hub::{
        Line,
        protocol::{Answer as HubAnswer, Operation, Reply},
    },
};

/// A socket that does not wait is told after this time that its connection is under way, though it is not known yet
/// whether there is anyone at the far end.
const AT_ONCE: Duration = Duration::from_millis(100);

/// The connection to the hub, and who waits for it.
pub struct Private {
    line: Line,
    opening: Vec<Opening>,
    associations: Associations,
    /// The hub has gone: the pod has no network any more.
    pub is_cut: bool,
}

/// Associations that are remembered; more are made anew.
const ASSOCIATIONS: usize = 256;
/// The hub keeps an association for longer than this after its last datagram.
const REMEMBERED: Duration = Duration::from_secs(120);

/// The hub's ports by the sockets and addresses that they are for.
#[derive(Default)]
struct Associations(HashMap<(u64, SocketAddrV4), (u16, Instant)>);

impl Associations {
    fn get(&mut self, key: (u64, SocketAddrV4), now: Instant) -> Option<u16> {
        let (port, used) = self.0.get_mut(&key)?;
        if now.duration_since(*used) > REMEMBERED {
            return None;
        }
        *used = now;
        Some(*port)
    }

    fn put(&mut self, key: (u64, SocketAddrV4), port: u16, now: Instant) {
        if self.0.len() >= ASSOCIATIONS {
            self.0.retain(|_, (_, used)| now.duration_since(*used) <= REMEMBERED);
        }
        if self.0.len() < ASSOCIATIONS {
            self.0.insert(key, (port, now));
        }
    }
}

/// Whether it is time to look who still waits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Look {
    Now,
    Later,
}

/// A program that waits for the hub to open a way.
struct Opening {
    /// The request's number.
    id: u64,
    listener: u64,
    call: Call,
    socket: Socket,
    asked: SocketAddr,
    /// When it is told that the connection is under way.
    until: Option<Instant>,
}

impl Private {
    /// Takes over the connection to the hub.
    pub fn new(line: Line) -> Self {
        Self { line, opening: Vec::new(), associations: Associations::default(), is_cut: false }
    }

    /// The user namespace in which that of the pod must be made, where that is not this process's.
    pub fn user(&self) -> Option<BorrowedFd<'_>> {
        self.line.user()
    }

    /// Connects the pod's network namespace.
    ///
    /// # Errors
    /// What the hub says.
    pub fn attach(&mut self, address: Ipv4Addr, namespace: &OwnedFd) -> Result<(), String> {
        let attached = self.line.call(Operation::Attach { address }, &[namespace.as_fd()]);
        attached.map(drop).map_err(|failure| format!("cannot connect the pod's network: {failure}"))
    }

    /// The connection, to wait on.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.line.fd()
    }

    /// When somebody is told that a connection is under way.
    pub fn next_moment(&self) -> Option<Instant> {
        self.opening.iter().filter_map(|one| one.until).min()
    }
}

impl Network {
    /// Carries out a call of a pod with a network of its own.
    pub(super) fn carry_out_privately(&mut self, listener: u64, call: &Call, now: Instant) -> io::Result<Outcome> {
        match call.number {
            libc::SYS_connect => self.connect_privately(listener, call, now),
            libc::SYS_sendto => self.send(listener, call, now),
            libc::SYS_sendmsg => self.send_message(listener, call, now),
            libc::SYS_sendmmsg => self.send_messages(listener, call, now),
            libc::SYS_getpeername => self.peer_privately(listener, call),
            _ => Ok(Outcome::Answer(Answer::Continue)),
        }
    }

    fn connect_privately(&mut self, listener: u64, call: &Call, now: Instant) -> io::Result<Outcome> {
        let as_asked = Ok(Outcome::Answer(Answer::Continue));
        let (mut socket, asked) = match self.subject(listener, call, 1)? {
            Subject::Ours(socket, asked) => (socket, asked),
            Subject::Disconnect(socket) => {
                self.known.change(socket.cookie, |facts| facts.peer = None);
                return as_asked;
            }
            Subject::Foreign => return as_asked,
        };
        let fits = asked.is_ipv4() || socket.family == Family::V6;
        let Some(wanted) = address::as_v4(asked).filter(|_| fits && !socket.is_v6_only()) else { return as_asked };
        if let Some(answer) = self.heard(socket.cookie, call.number, asked) {
            return Ok(Outcome::Answer(answer));
        }
        self.turn = self.turn.wrapping_add(1);
        let turn = self.turn_at(wanted, socket.protocol, self.turn, now);
        let way = private::decide(self.table.current(), self.own, wanted, socket.protocol, turn);
        let is_stream = socket.protocol == Protocol::Tcp;
        let to = match (way, self.own) {
            // The far end is on the other side of the hub.
            (Way::Host(to), Some(_)) | (Way::Pod(to), None) if is_stream => {
                return self.open(listener, call, socket, asked, to, now);
            }
            // The cluster's server passes such questions on.
            (Way::Host(to), Some(_)) if to.port() == DNS_PORT => SocketAddrV4::new(DNS, DNS_PORT),
            (Way::Pod(to), Some(_)) | (Way::Host(to), None) if to != wanted => to,
            (Way::Host(to), Some(_)) | (Way::Pod(to), None) => self.associate(&mut socket, to, now)?,
            (Way::Refused, _) if is_stream => return Err(code(libc::ECONNREFUSED)),
            (Way::Unreachable, _) if is_stream => return Err(code(libc::EHOSTUNREACH)),
            // A datagram socket is not refused before it sends: the kernel tells it then.
            _ => {
                self.known.change(socket.cookie, |facts| facts.peer = None);
                return as_asked;
            }
        };
        self.known.change(socket.cookie, |facts| facts.peer = Some(asked));
        let to = socket.form(to);
        match socket.connect(to) {
            Connecting::Done(result) => Ok(Outcome::Done(socket.cookie, asked, Answer::of(result.map(|()| 0)))),
            Connecting::Waits(time) => {
                let until = time.and_then(|time| now.checked_add(time));
                Ok(Outcome::Waits(Pending { listener, call: *call, socket, asked, to, until }))
            }
        }
    }

    /// Where a datagram to this address really goes; `None` where it goes as it is.
    pub(super) fn datagram_privately(
        &mut self,
        socket: &mut Socket,
        asked: SocketAddr,
        now: Instant,
    ) -> io::Result<Option<SocketAddrV4>> {
        let Some(wanted) = address::as_v4(asked).filter(|_| !socket.is_v6_only()) else { return Ok(None) };
        // The datagrams of one socket go to one backend, as connection tracking has it.
        let turn = self.turn_at(wanted, Protocol::Udp, socket.cookie, now);
        match (private::decide(self.table.current(), self.own, wanted, Protocol::Udp, turn), self.own) {
            (Way::Host(to), Some(_)) if to.port() == DNS_PORT => Ok(Some(SocketAddrV4::new(DNS, DNS_PORT))),
            (Way::Pod(to), Some(_)) | (Way::Host(to), None) if to != wanted => Ok(Some(to)),
            (Way::Host(to), Some(_)) | (Way::Pod(to), None) => self.associate(socket, to, now).map(Some),
            (Way::Refused, _) => Err(code(libc::ECONNREFUSED)),
            (Way::Unreachable, _) => Err(code(libc::EHOSTUNREACH)),
            _ => Ok(None),
        }
    }

    fn peer_privately(&mut self, listener: u64, call: &Call) -> io::Result<Outcome> {
        let as_asked = Ok(Outcome::Answer(Answer::Continue));
        let Some(socket) = self.socket(listener, call)? else { return as_asked };
        let Some(asked) = self.known.get(socket.cookie).peer else { return as_asked };
        if socket.peer().is_err() {
            // The kernel says why.
            return as_asked;
        }
        self.tell(listener, call, asked)
    }

    /// Where the hub takes datagrams of this socket for an address on its other side. The socket has a port afterwards.
    fn associate(&mut self, socket: &mut Socket, to: SocketAddrV4, now: Instant) -> io::Result<SocketAddrV4> {
        let Some(private) = &mut self.private else { return Err(code(libc::ENETUNREACH)) };
        let hello = private.line.hello();
        let door = if self.own.is_some() { *hello.way_out.ip() } else { *hello.way_in.ip() };
        let key = (socket.cookie, to);
        if let Some(port) = private.associations.get(key, now) {
            return Ok(SocketAddrV4::new(door, port));
        }
        if socket.port().is_none() {
            socket.bind(socket.form(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0)))?;
        }
        let port = socket.port().ok_or_else(|| code(libc::ENETUNREACH))?;
        let made = private.line.call(Operation::Datagrams { to, port }, &[]);
        match made.map_err(|failure| code(failure.code))? {
            (HubAnswer::Port(port), _) => {
                private.associations.put(key, port, now);
                Ok(SocketAddrV4::new(door, port))
            }
            _ => Err(code(libc::EPROTO)),
        }
    }

    /// Has the hub open the far end of a connection.
    fn open(
        &mut self,
        listener: u64,
        call: &Call,
        socket: Socket,
        asked: SocketAddr,
        to: SocketAddrV4,
        now: Instant,
    ) -> io::Result<Outcome> {
        let Some(private) = &mut self.private else { return Err(code(libc::ENETUNREACH)) };
        if private.opening.len() >= PENDING {
            return Err(code(libc::EAGAIN));
        }
        let Ok(id) = private.line.send(Operation::Open { to }, &[]) else { return Err(code(libc::ENETDOWN)) };
        // A caller that asks again takes the place of its former self.
        private.opening.retain(|one| one.socket.cookie != socket.cookie);
        let until = socket.patience(AT_ONCE).and_then(|patience| now.checked_add(patience));
        private.opening.push(Opening { id, listener, call: *call, socket, asked, until });
        self.look_at.get_or_insert(now + LOOK);
        Ok(Outcome::Answered)
    }

    /// Takes what the hub says.
    pub(super) fn hear(&mut self, now: Instant) {
        let Some(private) = &mut self.private else { return };
        private.is_cut |= private.line.read().is_err();
        self.settle(now);
    }

    /// Acts on what the hub has said, also while another answer was waited for.
    fn settle(&mut self, now: Instant) {
        while let Some(Reply { id, result }) = self.private.as_mut().and_then(|private| private.line.take()) {
            let Some(private) = &mut self.private else { return };
            let Some(at) = private.opening.iter().position(|one| one.id == id) else {
                // Whoever wanted it has gone, or knocks already.
                let _ = private.line.send(Operation::Forget { open: id }, &[]);
                continue;
            };
            let opening = private.opening.swap_remove(at);
            match result {
                Ok(_) => self.knock(opening, now),
                Err(failure) => {
                    let _ = private.line.send(Operation::Forget { open: id }, &[]);
                    let answer = Answer::Failure(failure.code);
                    self.finish(
                        opening.listener,
                        &opening.call,
                        Outcome::Done(opening.socket.cookie, opening.asked, answer),
                    );
                }
            }
        }
    }

    /// Connects the program's own socket to the hub's door, and says so to the hub.
    fn knock(&mut self, opening: Opening, now: Instant) {
        let Opening { id, listener, call, socket, asked, .. } = opening;
        let Some(private) = &mut self.private else { return };
        let hello = private.line.hello();
        let door = if self.own.is_some() { hello.way_out } else { hello.way_in };
        let to = socket.form(door);
        let connecting = socket.connect(to);
        let port = socket.port();
        let claim = port.map_or(Operation::Forget { open: id }, |port| Operation::Claim { open: id, port });
        let _ = private.line.send(claim, &[]);
        self.known.change(socket.cookie, |facts| facts.peer = Some(asked));
        let outcome = match connecting {
            Connecting::Done(result) => Outcome::Done(socket.cookie, asked, Answer::of(result.map(|()| 0))),
            Connecting::Waits(time) => {
                let until = time.and_then(|time| now.checked_add(time));
                Outcome::Waits(Pending { listener, call, socket, asked, to, until })
            }
        };
        self.finish(listener, &call, outcome);
    }

    /// Goes on where the time is over, and forgets those who have gone or have a signal to handle.
    pub(super) fn tick_openings(&mut self, now: Instant, look: Look) {
        let looks = look == Look::Now;
        self.settle(now);
        let Some(private) = &mut self.private else { return };
        for one in std::mem::take(&mut private.opening) {
            let Some(private) = &mut self.private else { return };
            let waits = || self.listeners.get(&one.listener).is_some_and(|listener| listener.waits(one.call.id));
            if one.until.is_some_and(|until| until <= now) {
                self.knock(one, now);
            } else if looks && target::is_interrupted(one.call.thread) {
                let _ = private.line.send(Operation::Forget { open: one.id }, &[]);
                self.finish(one.listener, &one.call, Outcome::Answer(Answer::Failure(libc::EINTR)));
            } else if !looks || waits() {
                private.opening.push(one);
            } else {
                let _ = private.line.send(Operation::Forget { open: one.id }, &[]);
            }
        }
    }

    /// Whether somebody waits for the hub.
    pub(super) fn has_openings(&self) -> bool {
        self.private.as_ref().is_some_and(|private| !private.opening.is_empty())
    }
}
