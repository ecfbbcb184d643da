//! What programs of a pod see of the machine's network: an interface with the pod's address, which has
//! two names: `eth0`, as in any cluster, and `pod0`.
//!
//! Their sockets of the internet are the host's. Those by which interfaces are listed are made in a network namespace
//! that has nothing but that interface: the library of MPI, gloo and others tell their peers the addresses that they
//! find so. The namespace is made when a program of the pod asks for the first time.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    net::Ipv4Addr,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

use rustix::{
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
        SendFlags, SocketFlags, SocketType,
    },
    process::WaitOptions,
};

use super::route;

/// A struct ifreq of netdevice(7): a name of 16 bytes and a union of 24.
pub const REQUEST: usize = 40;
/// Bytes of interfaces that one call can list: far more than there are.
const LISTED: usize = 16 * REQUEST;

/// The namespace in which a pod's interfaces are.
pub struct Interfaces {
    /// The user namespace that it belongs to, where this process may not enter it as it is.
    user: Option<OwnedFd>,
    network: OwnedFd,
    /// A socket in it, for requests by `ioctl`.
    control: OwnedFd,
}

impl Interfaces {
    /// Makes the namespace of a pod with this address.
    ///
    /// # Errors
    /// When the system allows no such namespace.
    pub fn make(own: Ipv4Addr) -> io::Result<Self> {
        let apart = !rustix::process::geteuid().is_root();
        let mut made = in_child(|| {
            let user = if apart { libc::CLONE_NEWUSER } else { 0 };
            // SAFETY: unshare takes a number; files and memory stay shared with nobody.
            check(unsafe { libc::unshare(libc::CLONE_NEWNET | user) }.into())?;
            route::set_up(own)?;
            let mut ends = vec![open("/proc/self/ns/net")?, inet_socket()?];
            if apart {
                ends.push(open("/proc/self/ns/user")?);
            }
            Ok(ends)
        })?
        .into_iter();
        match (made.next(), made.next(), made.next()) {
            (Some(network), Some(control), user) => Ok(Self { user, network, control }),
            _ => Err(io::Error::other("too few descriptors came")),
        }
    }

    /// A socket that lists interfaces, addresses and routes.
    ///
    /// # Errors
    /// Those of socket(2).
    pub fn route_socket(&self, kind: i32) -> io::Result<OwnedFd> {
        let kind = kind | libc::SOCK_CLOEXEC;
        let Some(user) = &self.user else {
            let before = open("/proc/thread-self/ns/net")?;
            join(&self.network, libc::CLONE_NEWNET)?;
            let made = socket(libc::AF_NETLINK, kind);
            join(&before, libc::CLONE_NEWNET)?;
            return made;
        };
        let made = in_child(|| {
            join(user, libc::CLONE_NEWUSER)?;
            join(&self.network, libc::CLONE_NEWNET)?;
            Ok(vec![socket(libc::AF_NETLINK, kind)?])
        });
        made?.pop().ok_or_else(|| io::Error::other("no descriptor came"))
    }

    /// Answers a request of netdevice(7) about one interface.
    ///
    /// # Errors
    /// Those of the request.
    pub fn ask(&self, request: u64, about: &mut [u8; REQUEST]) -> io::Result<()> {
        self.control(request, about.as_mut_ptr().cast())
    }

    /// The interfaces that have addresses, each a struct ifreq; as many as fit into `room` bytes.
    ///
    /// # Errors
    /// Those of `SIOCGIFCONF`.
    pub fn list(&self, room: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; room.min(LISTED)];
        // SAFETY: all zeros is a value of this structure; the buffer outlives the call, and its length is given.
        let mut list: libc::ifconf = unsafe { std::mem::zeroed() };
        list.ifc_len = libc::c_int::try_from(bytes.len()).unwrap_or_default();
        list.ifc_ifcu.ifcu_buf = bytes.as_mut_ptr().cast();
        self.control(u64::from(super::entries::CONFIGURATION), (&raw mut list).cast())?;
        bytes.truncate(usize::try_from(list.ifc_len).unwrap_or_default());
        Ok(bytes)
    }

    fn control(&self, request: u64, argument: *mut libc::c_void) -> io::Result<()> {
        // SAFETY: each request comes with a pointer to the structure that it names.
        check(unsafe { libc::ioctl(self.control.as_raw_fd(), request as libc::Ioctl, argument) }.into())
    }
}

/// Runs `act` in a child, and takes the descriptors that it gives back. The child lives for microseconds; it is waited
/// for.
fn in_child(act: impl FnOnce() -> io::Result<Vec<OwnedFd>>) -> io::Result<Vec<OwnedFd>> {
    let flags = SocketFlags::CLOEXEC;
    let (near, far) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    // SAFETY: a supervisor has one thread.
    let child = unsafe { libc::fork() };
    if child == 0 {
        drop(near);
        let sent = act().and_then(|descriptors| send(far.as_fd(), &descriptors));
        let code = sent.err().map_or(0, |error| error.raw_os_error().unwrap_or(libc::EIO));
        // SAFETY: _exit takes a number and never returns.
        unsafe { libc::_exit(code) }
    }
    drop(far);
    let child = rustix::process::Pid::from_raw(child).ok_or_else(io::Error::last_os_error)?;
    let received = receive(near.as_fd());
    let ended = loop {
        match rustix::process::waitpid(Some(child), WaitOptions::empty()) {
            Err(rustix::io::Errno::INTR) => {}
            ended => break ended?,
        }
    };
    match ended.and_then(|(_, status)| status.exit_status()) {
        Some(0) => received,
        Some(code) => Err(io::Error::from_raw_os_error(code)),
        None => Err(io::Error::other("the process that makes a network namespace was killed")),
    }
}

/// Descriptors that come from a child at a time.
const DESCRIPTORS: usize = 3;

fn send(to: BorrowedFd<'_>, descriptors: &[OwnedFd]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
    if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
    }
    rustix::net::sendmsg(to, &[IoSlice::new(&[0])], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn receive(from: BorrowedFd<'_>) -> io::Result<Vec<OwnedFd>> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    rustix::net::recvmsg(from, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let received = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors.collect::<Vec<_>>()),
        _ => None,
    });
    Ok(received.flatten().collect())
}

fn open(path: &str) -> io::Result<OwnedFd> {
    Ok(std::fs::File::open(path)?.into())
}

fn join(namespace: &OwnedFd, kind: i32) -> io::Result<()> {
    // SAFETY: setns takes two numbers.
    check(unsafe { libc::setns(namespace.as_raw_fd(), kind) }.into())
}

fn inet_socket() -> io::Result<OwnedFd> {
    socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC)
}

fn socket(family: i32, kind: i32) -> io::Result<OwnedFd> {
    // SAFETY: socket takes numbers, and the descriptor that it gives is owned by nothing else.
    unsafe {
        let descriptor = libc::socket(family, kind, 0);
        check(descriptor.into())?;
        Ok(OwnedFd::from_raw_fd(descriptor))
    }
}

fn check(result: libc::c_long) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_has_one_interface_with_its_address() {
        let own = Ipv4Addr::new(10, 244, 3, 7);
        // In a process with one thread, as a supervisor is.
        let listed = in_child(|| {
            let interfaces = Interfaces::make(own)?;
            let list = interfaces.list(4096)?;
            let names: Vec<&[u8]> = list.chunks(REQUEST).map(|one| &one[..5]).collect();
            let addresses: Vec<&[u8]> = list.chunks(REQUEST).map(|one| &one[20..24]).collect();
            if names != [b"lo\0\0\0", b"eth0\0", b"pod0\0"] || addresses != [[127, 0, 0, 1], own.octets(), own.octets()]
            {
                return Err(io::Error::from_raw_os_error(libc::EBADMSG));
            }
            let mut about = [0; REQUEST];
            about[..4].copy_from_slice(b"eth0");
            interfaces.ask(0x8913, &mut about)?;
            if i32::from(about[16]) & libc::IFF_UP == 0 {
                return Err(io::Error::from_raw_os_error(libc::ENETDOWN));
            }
            Ok(vec![interfaces.route_socket(libc::SOCK_RAW)?])
        });
        match listed {
            Ok(sockets) => assert!(route::addresses(&sockets[0]).unwrap().contains(&own)),
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
                eprintln!("skipped: no network namespaces here: {error}");
            }
            Err(error) => panic!("{error}"),
        }
    }
}
