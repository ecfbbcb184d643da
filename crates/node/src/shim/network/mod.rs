//! The network of a pod's processes: their calls that name an address wait here, and are carried out on the
//! addresses of the host that stand for those of the cluster.
//!
//! Each process tree (a container, a command in one) has a filter with a listener of its own. A call is taken
//! when its listener is readable, and answered before the next is taken; a connection that cannot stand at once
//! waits in a list, as the supervisor's other work goes on. Data never comes through here: a connection that
//! stands is the kernel's alone.
//!
//! Not covered: `sendmsg` with an address and `MSG_NOSIGNAL` ([`messages`] says why), the address that `accept` and
//! `recvfrom` give (it is the peer's on the host; `getpeername` gives the cluster's).

mod address;
mod calls;
mod entries;
pub mod filter;
mod inquiries;
mod interfaces;
mod known;
pub mod listeners;
mod listing;
mod messages;
mod notify;
pub mod private;
pub mod route;
mod socket;
mod table;
mod target;
mod trial;

use std::{
    collections::{BTreeMap, VecDeque},
    net::{Ipv4Addr, SocketAddr},
    os::fd::{BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use rustix::event::PollFlags;

use super::{hub, protocol};
use crate::core::affinity::Kept;
use interfaces::Interfaces;
use known::Known;
use listeners::Listeners;
use notify::{Answer, Call, Delivery, Listener};
use private::{Look, Private};
pub use route::{ETHERNET, OWN as INTERFACE};
use socket::{Connecting, Socket};
use table::TableFile;
pub use trial::{TRIAL_ARGUMENT, trial, trial_main};

/// Connections that programs wait for at a time; one more is told to try again.
const PENDING: usize = 256;
/// How often it is looked whether those who wait for a connection are still there, or have a signal to handle: the
/// kernel does not tell.
const LOOK: Duration = Duration::from_millis(250);
/// Ports that are opened aside.
const ASIDE: usize = 256;
/// Answers that did not reach their caller and are kept for when it asks again.
const UNHEARD: usize = 64;

/// Services that it is remembered of which of their backends the pod stays with.
const STAYS: usize = 1024;

/// What a descriptor of the network stands for in a set of descriptors to wait on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Listener(u64),
    /// The socket of the call with this id.
    Pending(u64),
    /// The hub of a pod that has a network of its own.
    Hub,
}

/// The network of one pod.
pub struct Network {
    table: TableFile,
    /// The pod's address; `None` in the host's network.
    own: Option<Ipv4Addr>,
    listeners: BTreeMap<u64, Listener>,
    next_listener: u64,
    pending: Vec<Pending>,
    look_at: Option<Instant>,
    known: Known,
    /// Made when a program asks for interfaces for the first time; `Err` where the system makes none.
    interfaces: Option<std::io::Result<Interfaces>>,
    others: Listeners,
    /// Ports that were opened aside, and what they stand for.
    aside: BTreeMap<u16, u16>,
    unheard: VecDeque<Unheard>,
    /// Counts choices of a backend. Pods begin at different ones.
    turn: u64,
    /// The backends that the pod stays with, by the names of services in the table.
    kept: Kept<String>,
    /// Where each pod has a network of its own.
    private: Option<Private>,
}

/// A program that waits for a connection.
struct Pending {
    listener: u64,
    call: Call,
    socket: Socket,
    /// As the program asked, and where it goes.
    asked: SocketAddr,
    to: SocketAddr,
    until: Option<Instant>,
}

/// A call that was carried out, whose caller was taken out of it by a signal before it heard so. It makes the
/// same call again, which must not be carried out twice.
struct Unheard {
    cookie: u64,
    number: i64,
    asked: SocketAddr,
    answer: Answer,
}

/// What becomes of a call.
enum Outcome {
    Answer(Answer),
    /// Carried out: the answer must reach the caller, now or when it asks again.
    Done(u64, SocketAddr, Answer),
    /// The answer has reached the caller, or there is none any more.
    Answered,
    Waits(Pending),
}

impl Network {
    /// The network of a pod.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub fn new(settings: &protocol::Network) -> Result<Self, String> {
        let private = settings.hub.as_deref().map(hub::dial).transpose()?.map(Private::new);
        Ok(Self {
            private,
            table: TableFile::open(settings.table.clone())?,
            own: (!settings.host).then_some(settings.address),
            listeners: BTreeMap::new(),
            next_listener: 0,
            pending: Vec::new(),
            look_at: None,
            known: Known::default(),
            interfaces: None,
            others: Listeners::default(),
            aside: BTreeMap::new(),
            unheard: VecDeque::new(),
            turn: u64::from(std::process::id()),
            kept: Kept::new(STAYS),
        })
    }

    /// Serves one more process tree.
    pub fn add(&mut self, listener: OwnedFd) {
        self.next_listener += 1;
        self.listeners.insert(self.next_listener, Listener::new(listener));
    }

    /// What to wait on.
    pub fn sources(&self) -> impl Iterator<Item = (Source, BorrowedFd<'_>, PollFlags)> {
        let listeners = self.listeners.iter();
        let listeners = listeners.map(|(number, one)| (Source::Listener(*number), one.fd(), PollFlags::IN));
        let pending = self.pending.iter();
        let pending = pending.map(|one| (Source::Pending(one.call.id), one.socket.fd(), PollFlags::OUT));
        let hub = self.private.iter().filter(|private| !private.is_cut);
        listeners.chain(pending).chain(hub.map(|private| (Source::Hub, private.fd(), PollFlags::IN)))
    }

    /// When [`tick`](Self::tick) has something to do.
    pub fn next_moment(&self) -> Option<Instant> {
        let opening = self.private.as_ref().and_then(Private::next_moment);
        self.pending.iter().filter_map(|one| one.until).chain(self.look_at).chain(opening).min()
    }

    /// Does what a descriptor is ready for.
    pub fn serve(&mut self, source: Source, ready: PollFlags, now: Instant) {
        match source {
            Source::Listener(number) if ready.contains(PollFlags::IN) => self.take(number, now),
            // The last process behind the filter has ended.
            Source::Listener(number) => drop(self.listeners.remove(&number)),
            Source::Pending(id) => {
                let found = self.pending.iter().position(|one| one.call.id == id);
                if let Some(pending) = found.map(|index| self.pending.swap_remove(index)) {
                    self.resume(pending);
                }
            }
            Source::Hub => self.hear(now),
        }
    }

    /// The connection to the hub, and the pod's address, of a pod that has a network of its own.
    pub fn own(&mut self) -> Option<(&mut Private, Ipv4Addr)> {
        Some((self.private.as_mut()?, self.own?))
    }

    /// Whether the pod has lost its network, which only a new sandbox gets again.
    pub fn is_cut(&self) -> bool {
        self.private.as_ref().is_some_and(|private| private.is_cut)
    }

    /// Ends waits whose time is over, and those of callers that have gone or have a signal to handle.
    pub fn tick(&mut self, now: Instant) {
        let looks = self.look_at.is_some_and(|at| at <= now);
        self.tick_openings(now, if looks { Look::Now } else { Look::Later });
        if !looks && self.pending.iter().all(|one| one.until.is_none_or(|until| until > now)) {
            return;
        }
        for one in std::mem::take(&mut self.pending) {
            let Some(listener) = self.listeners.get(&one.listener) else { continue };
            if one.until.is_some_and(|until| until <= now) {
                self.finish(one.listener, &one.call, Outcome::Answer(Answer::Failure(libc::EINPROGRESS)));
            } else if looks && target::is_interrupted(one.call.thread) {
                self.finish(one.listener, &one.call, Outcome::Answer(Answer::Failure(libc::EINTR)));
            } else if !looks || listener.waits(one.call.id) {
                self.pending.push(one);
            }
        }
        if looks {
            self.look_at = (!self.pending.is_empty() || self.has_openings()).then(|| now + LOOK);
        }
    }

    fn take(&mut self, number: u64, now: Instant) {
        let Some(call) = self.listeners.get(&number).and_then(Listener::take) else { return };
        let outcome = self.carry_out(number, &call, now);
        self.finish(number, &call, outcome);
        if !self.pending.is_empty() && self.look_at.is_none() {
            self.look_at = Some(now + LOOK);
        }
    }

    /// A connection stands, or has failed: the kernel tells which when it is asked for once more.
    fn resume(&mut self, pending: Pending) {
        let result = match pending.socket.connect(pending.to) {
            Connecting::Waits(_) => return self.pending.push(pending),
            Connecting::Done(Err(error)) if error.raw_os_error() == Some(libc::EISCONN) => Ok(()),
            Connecting::Done(result) => result,
        };
        let answer = Answer::of(result.map(|()| 0));
        self.finish(pending.listener, &pending.call, Outcome::Done(pending.socket.cookie, pending.asked, answer));
    }

    fn finish(&mut self, number: u64, call: &Call, outcome: Outcome) {
        let Some(listener) = self.listeners.get(&number) else { return };
        match outcome {
            Outcome::Answer(answer) => drop(listener.answer(call.id, answer)),
            Outcome::Answered => {}
            Outcome::Done(cookie, asked, answer) => {
                if listener.answer(call.id, answer) == Delivery::Gone {
                    self.unheard.truncate(UNHEARD - 1);
                    self.unheard.push_front(Unheard { cookie, number: call.number, asked, answer });
                }
            }
            Outcome::Waits(pending) if self.pending.len() < PENDING => {
                // A caller that asks again takes the place of its former self.
                self.pending.retain(|one| one.socket.cookie != pending.socket.cookie);
                self.pending.push(pending);
            }
            Outcome::Waits(_) => drop(listener.answer(call.id, Answer::Failure(libc::EAGAIN))),
        }
    }

    /// The answer that a caller did not hear, for the same call.
    fn heard(&mut self, cookie: u64, number: i64, asked: SocketAddr) -> Option<Answer> {
        let same = |one: &Unheard| (one.cookie, one.number, one.asked) == (cookie, number, asked);
        let found = self.unheard.iter().position(same)?;
        self.unheard.remove(found).map(|one| one.answer)
    }
}
