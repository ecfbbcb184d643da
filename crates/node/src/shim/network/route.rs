//! Requests to the kernel about interfaces and addresses, of rtnetlink(7): the few that a namespace of a pod needs.

use std::{
    io,
    net::Ipv4Addr,
    os::fd::{AsFd, FromRawFd, OwnedFd},
};

use rustix::net::{RecvFlags, SendFlags};

/// As networks of clusters have it: all pods are neighbours.
const PREFIX: u8 = 16;
/// `struct nlmsghdr`.
const HEADER: usize = 16;
/// Bytes of an answer that are read.
const ANSWER: usize = 8 << 10;

const NAME: u16 = 3; // IFLA_IFNAME
pub const LINK_INFO: u16 = 18; // IFLA_LINKINFO
const INFO_KIND: u16 = 1; // IFLA_INFO_KIND
pub const INFO_DATA: u16 = 2; // IFLA_INFO_DATA
pub const PEER: u16 = 1; // VETH_INFO_PEER

pub const LOOPBACK: &str = "lo";
/// The interface that programs see.
pub const ETHERNET: &str = "eth0";
/// A second one with the same address, for programs that take what `/proc/net` says of the host's `eth0` for theirs:
/// no host has an interface of this name.
pub const OWN: &str = "pod0";
/// Their numbers, which no interface of a host has.
const NUMBERS: [(&str, i32); 2] = [(OWN, 0x0f00_0002), (ETHERNET, 0x0f00_0001)];

/// Gives this process's network namespace, which is new, an interface with an address.
///
/// # Errors
/// What the kernel refuses.
pub fn set_up(own: Ipv4Addr) -> io::Result<()> {
    let socket = open()?;
    // Not every kernel has both kinds; where it has none, the loopback interface stands for it.
    let made = ask(&socket, &pair()?).or_else(|_| {
        NUMBERS.into_iter().try_for_each(|(name, number)| ask(&socket, &new_link(name, number, &simple("dummy")?)?))
    });
    ask(&socket, &up(index(LOOPBACK)?)?)?;
    if made.is_err() {
        return ask(&socket, &address(index(LOOPBACK)?, own)?);
    }
    for (_, number) in NUMBERS {
        ask(&socket, &up(number)?)?;
        ask(&socket, &address(number, own)?)?;
    }
    Ok(())
}

/// A socket for requests about this thread's network namespace.
///
/// # Errors
/// Those of socket(2).
pub fn open() -> io::Result<OwnedFd> {
    // SAFETY: socket takes numbers, and the descriptor that it gives is owned by nothing else.
    unsafe {
        let descriptor = libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::NETLINK_ROUTE);
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedFd::from_raw_fd(descriptor))
    }
}

/// The number of an interface of this thread's network namespace.
///
/// # Errors
/// When there is none of this name.
pub fn index(name: &str) -> io::Result<i32> {
    Ok(i32::try_from(rustix::net::netdevice::name_to_index(open_inet()?, name)?).unwrap_or_default())
}

fn open_inet() -> io::Result<OwnedFd> {
    let kind = rustix::net::SocketType::DGRAM;
    Ok(rustix::net::socket_with(rustix::net::AddressFamily::INET, kind, rustix::net::SocketFlags::CLOEXEC, None)?)
}

/// One attribute of a request.
///
/// # Errors
/// When the content is too long.
pub fn attribute(kind: u16, content: &[u8]) -> io::Result<Vec<u8>> {
    let length = u16::try_from(4 + content.len()).map_err(io::Error::other)?;
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    Ok(bytes)
}

/// The name of an interface, as an attribute.
///
/// # Errors
/// When it is too long.
pub fn named(name: &str) -> io::Result<Vec<u8>> {
    attribute(NAME, &[name.as_bytes(), &[0]].concat())
}

/// The kind of an interface, as an attribute of [`LINK_INFO`].
///
/// # Errors
/// When it is too long.
pub fn simple(kind: &str) -> io::Result<Vec<u8>> {
    attribute(INFO_KIND, kind.as_bytes())
}

/// Both as the two ends of a cable.
fn pair() -> io::Result<Vec<u8>> {
    let [(name, number), (other, its)] = NUMBERS;
    let other = attribute(PEER, &[link(its, 0, 0), named(other)?].concat())?;
    new_link(name, number, &[simple("veth")?, attribute(INFO_DATA, &other)?].concat())
}

/// `struct ifinfomsg`: family, type, index, flags, which flags are meant.
pub fn link(index: i32, flags: u32, mask: u32) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    bytes.extend(index.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(mask.to_ne_bytes());
    bytes
}

fn new_link(name: &str, number: i32, info: &[u8]) -> io::Result<Vec<u8>> {
    let body = [link(number, 0, 0), named(name)?, attribute(LINK_INFO, info)?].concat();
    message(libc::RTM_NEWLINK, libc::NLM_F_CREATE | libc::NLM_F_EXCL, &body)
}

/// The request that an interface be up.
///
/// # Errors
/// None.
pub fn up(index: i32) -> io::Result<Vec<u8>> {
    let flag = libc::IFF_UP.unsigned_abs();
    message(libc::RTM_NEWLINK, 0, &link(index, flag, flag))
}

fn address(index: i32, own: Ipv4Addr) -> io::Result<Vec<u8>> {
    // struct ifaddrmsg: family, prefix, flags, scope, index.
    let mut body = vec![u8::try_from(libc::AF_INET).unwrap_or_default(), PREFIX, 0, 0];
    body.extend(index.to_ne_bytes());
    body.extend(attribute(libc::IFA_LOCAL, &own.octets())?);
    body.extend(attribute(libc::IFA_ADDRESS, &own.octets())?);
    message(libc::RTM_NEWADDR, libc::NLM_F_CREATE | libc::NLM_F_REPLACE, &body)
}

/// A request that is acknowledged.
///
/// # Errors
/// When it is too long.
pub fn message(kind: u16, flags: i32, body: &[u8]) -> io::Result<Vec<u8>> {
    let flags = u16::try_from(flags | libc::NLM_F_REQUEST | libc::NLM_F_ACK).map_err(io::Error::other)?;
    let length = u32::try_from(HEADER + body.len()).map_err(io::Error::other)?;
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend_from_slice(body);
    Ok(bytes)
}

/// Sends a request and waits for its acknowledgement, which the kernel gives before `send` returns.
///
/// # Errors
/// What the kernel refuses.
pub fn ask(socket: &OwnedFd, request: &[u8]) -> io::Result<()> {
    rustix::net::send(socket, request, SendFlags::empty())?;
    let mut answer = [0; ANSWER];
    let (length, _) = rustix::net::recv(socket.as_fd(), &mut answer, RecvFlags::DONTWAIT)?;
    // After the header comes the code, which is negative.
    let code = answer[..length].get(HEADER..HEADER + 4).and_then(|bytes| bytes.first_chunk::<4>().copied());
    match code.map(i32::from_ne_bytes) {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(-code)),
        None => Err(io::Error::other("the kernel's answer is too short")),
    }
}

/// The addresses of version 4 that a socket's namespace has.
#[cfg(test)]
pub fn addresses(socket: &OwnedFd) -> io::Result<Vec<Ipv4Addr>> {
    let mut request = message(libc::RTM_GETADDR, libc::NLM_F_DUMP, &[2, 0, 0, 0, 0, 0, 0, 0])?;
    // A dump is not acknowledged.
    request[6..8].copy_from_slice(&u16::try_from(libc::NLM_F_DUMP | libc::NLM_F_REQUEST).unwrap().to_ne_bytes());
    rustix::net::send(socket, &request, SendFlags::empty())?;
    let mut answer = [0; ANSWER];
    let (length, _) = rustix::net::recv(socket.as_fd(), &mut answer, RecvFlags::empty())?;
    let words = answer[..length].windows(8);
    let local = words.filter(|word| word[..4] == [8, 0, 2, 0]);
    Ok(local.map(|word| Ipv4Addr::new(word[4], word[5], word[6], word[7])).collect())
}
