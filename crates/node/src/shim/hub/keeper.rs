//! The process that is in the hub's namespaces, and does there what the hub asks for: one thing after the other, each in
//! microseconds.
//!
//! As an ordinary user it has a user namespace of its own, in which it may make network devices, and in which those of
//! pods are made. It ends with the hub.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    net::Ipv4Addr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
        SendFlags, SocketFlags, SocketType, sockopt,
    },
    process::Signal,
};
use serde::{Deserialize, Serialize};

use super::{
    lay,
    protocol::{Failure, Kind},
};
use crate::shim::{
    jail::{
        Ids, is_root_of_host,
        sys::{self, Side},
    },
    network::route,
};

/// Bytes of a request or an answer.
const MESSAGE: usize = 4096;

/// What the hub asks of its keeper.
#[derive(Debug, Serialize, Deserialize)]
enum Ask {
    /// A namespace comes along, and the pod's address.
    Attach(Ipv4Addr),
    Detach(Ipv4Addr),
    Socket(Kind, Option<Ipv4Addr>),
}

/// The hub's end.
pub struct Keeper {
    channel: OwnedFd,
    /// The user namespace, where there is one of its own.
    pub user: Option<OwnedFd>,
}

impl Keeper {
    /// Starts the process, and waits until the namespaces are there. Call it before any thread exists.
    ///
    /// # Errors
    /// A sentence that says what the system refuses.
    pub fn start() -> Result<Self, String> {
        let failed = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
        let pair = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
        let (channel, far) = pair.map_err(|error| failed("cannot make a pair of sockets")(error.into()))?;
        let is_root = is_root_of_host();
        let flags = if is_root { libc::CLONE_NEWNET } else { libc::CLONE_NEWNET | libc::CLONE_NEWUSER };
        // SAFETY: the hub has one thread here.
        match unsafe { sys::fork(flags) }.map_err(failed("namespaces cannot be made"))? {
            Side::Child => {
                drop(channel);
                keep(far)
            }
            Side::Parent(pid) => {
                drop(far);
                if !is_root {
                    Ids::of_pod(0).give(pid)?;
                }
                let user = (!is_root).then(|| File::open(format!("/proc/{pid}/ns/user"))).transpose();
                let user = user.map_err(failed("the hub's user namespace cannot be opened"))?.map(OwnedFd::from);
                let mut keeper = Self { channel, user };
                // The first word lets it go on, and its answer says how that went.
                keeper.ask(&Ask::Detach(Ipv4Addr::UNSPECIFIED), &[]).map_err(|failure| failure.message)?;
                Ok(keeper)
            }
        }
    }

    /// Connects a pod's network namespace under an address; one that had the address before is cut off.
    ///
    /// # Errors
    /// What the kernel refuses.
    pub fn attach(&mut self, address: Ipv4Addr, namespace: BorrowedFd<'_>) -> Result<(), Failure> {
        self.ask(&Ask::Attach(address), &[namespace]).map(drop)
    }

    /// Cuts a pod off.
    ///
    /// # Errors
    /// When the keeper has ended.
    pub fn detach(&mut self, address: Ipv4Addr) -> Result<(), Failure> {
        self.ask(&Ask::Detach(address), &[]).map(drop)
    }

    /// A socket in a pod's namespace, or in the hub's.
    ///
    /// # Errors
    /// When there is no such pod.
    pub fn socket(&mut self, kind: Kind, pod: Option<Ipv4Addr>) -> Result<OwnedFd, Failure> {
        let made = self.ask(&Ask::Socket(kind, pod), &[])?;
        made.ok_or_else(|| Failure { code: libc::EPROTO, message: "no socket came".to_owned() })
    }

    fn ask(&mut self, ask: &Ask, descriptors: &[BorrowedFd<'_>]) -> Result<Option<OwnedFd>, Failure> {
        let lost = |error: io::Error| Failure::of("the network of pods has ended", &error);
        send(&self.channel, ask, descriptors).map_err(lost)?;
        let (answer, descriptor): (Result<(), Failure>, _) = receive(&self.channel).map_err(lost)?;
        answer.map(|()| descriptor)
    }
}

/// Becomes the keeper.
fn keep(channel: OwnedFd) -> ! {
    let first = receive::<Ask>(&channel);
    let laid = first.map_err(|error| error.to_string()).and_then(|_| {
        // The hub may have ended before this took effect: then the channel is closed.
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| error.to_string())?;
        lay::hub()
    });
    let answer = laid.as_ref().map(drop).map_err(|message| Failure { code: libc::EPERM, message: message.clone() });
    if send(&channel, &answer, &[]).is_err() {
        sys::leave(1);
    }
    let place = laid.and_then(|()| Place::here().map_err(|error| error.to_string()));
    let Ok(mut place) = place else { sys::leave(1) };
    while let Ok((ask, descriptor)) = receive::<Ask>(&channel) {
        let result = place.act(ask, descriptor);
        let (answer, descriptor) = match result {
            Ok(descriptor) => (Ok(()), descriptor),
            Err(failure) => (Err(failure), None),
        };
        let descriptors: Vec<BorrowedFd<'_>> = descriptor.iter().map(AsFd::as_fd).collect();
        if send(&channel, &answer, &descriptors).is_err() {
            break;
        }
    }
    sys::leave(0)
}

/// Where the keeper is, and what it has laid.
struct Place {
    own: OwnedFd,
    pods: HashMap<Ipv4Addr, Pod>,
    /// Names of cables are never given out again: one may still be going.
    cables: u64,
}

struct Pod {
    namespace: OwnedFd,
    /// The number of the cable's end in the hub's namespace.
    cable: i32,
}

impl Place {
    fn here() -> io::Result<Self> {
        Ok(Self { own: File::open("/proc/self/ns/net")?.into(), pods: HashMap::new(), cables: 0 })
    }

    fn act(&mut self, ask: Ask, descriptor: Option<OwnedFd>) -> Result<Option<OwnedFd>, Failure> {
        match (ask, descriptor) {
            (Ask::Attach(address), Some(namespace)) => {
                self.detach(address);
                self.attach(address, namespace).map_err(|error| Failure::of("the pod's interface", &error))?;
                Ok(None)
            }
            (Ask::Attach(_), None) => {
                Err(Failure { code: libc::EINVAL, message: "no network namespace came along".to_owned() })
            }
            (Ask::Detach(address), _) => {
                self.detach(address);
                Ok(None)
            }
            (Ask::Socket(kind, None), _) => {
                socket(kind).map(Some).map_err(|error| Failure::of("a socket for pods", &error))
            }
            (Ask::Socket(kind, Some(address)), _) => {
                let absent = || Failure { code: libc::EHOSTUNREACH, message: format!("no pod has address {address}") };
                let pod = self.pods.get(&address).ok_or_else(absent)?;
                let made = self.within(&pod.namespace, || socket(kind));
                made.map(Some).map_err(|error| Failure::of("a socket of the pod", &error))
            }
        }
    }

    fn attach(&mut self, address: Ipv4Addr, namespace: OwnedFd) -> io::Result<()> {
        self.cables += 1;
        let cable = lay::near_end(&format!("pod{:x}", self.cables), address, namespace.as_fd())?;
        let laid = self.within(&namespace, || lay::far_end(address));
        self.pods.insert(address, Pod { namespace, cable });
        laid.inspect_err(|_| self.detach(address))
    }

    fn detach(&mut self, address: Ipv4Addr) {
        let Some(pod) = self.pods.remove(&address) else { return };
        // It goes with the pod's namespace anyway.
        let _ = route::open().and_then(|socket| lay::remove(&socket, pod.cable));
    }

    /// Acts in another network namespace.
    fn within<T>(&self, namespace: &OwnedFd, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        sys::join(namespace, libc::CLONE_NEWNET)?;
        let done = act();
        if sys::join(&self.own, libc::CLONE_NEWNET).is_err() {
            // Nothing that it does in the wrong place could be right.
            sys::leave(1);
        }
        done
    }
}

fn socket(kind: Kind) -> io::Result<OwnedFd> {
    let kind = match kind {
        Kind::Stream => SocketType::STREAM,
        Kind::Datagram => SocketType::DGRAM,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let made = rustix::net::socket_with(AddressFamily::INET, kind, flags, None)?;
    if kind == SocketType::STREAM {
        // A server that starts again listens at once where the one before did.
        sockopt::set_socket_reuseaddr(&made, true)?;
    }
    Ok(made)
}

fn send<T: Serialize>(channel: &OwnedFd, value: &T, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let bytes = serde_json::to_vec(value)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
    }
    rustix::net::sendmsg(channel, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn receive<T: serde::de::DeserializeOwned>(channel: &OwnedFd) -> io::Result<(T, Option<OwnedFd>)> {
    let mut bytes = [0; MESSAGE];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        match rustix::net::recvmsg(channel, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            received => break received?,
        }
    };
    let descriptor = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((serde_json::from_slice(&bytes[..received.bytes])?, descriptor))
}
