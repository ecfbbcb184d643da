//! Who is at an address of the host, as the kernel tells it over `sock_diag(7)`.
//!
//! A program of the host that listens at all addresses would answer at those of pods too, and keeps them from
//! its port: pods have another one then, and are looked for there.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddrV4},
    os::fd::OwnedFd,
};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};

use crate::core::network::{self, Protocol};

/// linux/sock_diag.h.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// `struct nlmsghdr` and `struct inet_diag_req_v2` of linux/inet_diag.h.
const HEADER: usize = 16;
const REQUEST: usize = HEADER + 56;
/// Where the request has `idiag_sport` and `idiag_src`; those of the destination follow each.
const SOURCE_PORT: usize = HEADER + 8;
const SOURCE: usize = HEADER + 12;
/// Where `struct inet_diag_msg` has its family and its own address.
const FAMILY: usize = HEADER;
const OWN_ADDRESS: usize = HEADER + 8;

/// The first port that Linux chooses by itself, unless told otherwise. A pod's datagram socket without an address
/// has such a port at all addresses, for it may speak with the world.
const FIRST_CHOSEN_PORT: u16 = 32768;

/// Who is at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listening {
    /// A socket that is bound to it.
    There,
    /// A socket that is bound to all addresses of the host.
    Everywhere,
    /// None, or the kernel does not tell.
    Nowhere,
}

/// A way to ask the kernel.
#[derive(Default)]
pub struct Listeners {
    socket: Option<OwnedFd>,
}

impl Listeners {
    /// Where what a pod serves at an address of its own is found: aside where a program of the host has the port.
    /// `None` where that program would answer, which is no pod.
    pub fn locate(&mut self, protocol: Protocol, to: SocketAddrV4) -> Option<SocketAddrV4> {
        let there = self.at(protocol, to);
        if there == Listening::There {
            return Some(to);
        }
        let aside = SocketAddrV4::new(*to.ip(), network::aside(to.port()));
        match self.at(protocol, aside) {
            Listening::There => Some(aside),
            _ if protocol == Protocol::Udp && to.port() >= FIRST_CHOSEN_PORT => Some(to),
            _ => (there == Listening::Nowhere).then_some(to),
        }
    }

    /// Who takes connections or datagrams that come to an address.
    pub fn at(&mut self, protocol: Protocol, to: SocketAddrV4) -> Listening {
        self.ask(protocol, to).unwrap_or_else(|_| {
            // What is left of an answer must not be taken for the next one.
            self.socket = None;
            Listening::Nowhere
        })
    }

    fn ask(&mut self, protocol: Protocol, to: SocketAddrV4) -> rustix::io::Result<Listening> {
        let socket = match &self.socket {
            Some(socket) => socket,
            None => {
                let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
                let made =
                    rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(netlink::SOCK_DIAG))?;
                self.socket.insert(made)
            }
        };
        rustix::net::send(socket, &request(protocol, to), SendFlags::DONTWAIT)?;
        let mut answer = [0; 1024];
        // The kernel has answered before the call above returned.
        let (_, length) = rustix::net::recv(socket, &mut answer[..], RecvFlags::DONTWAIT)?;
        Ok(read(&answer[..length.min(1024)], to))
    }
}

fn request(protocol: Protocol, to: SocketAddrV4) -> [u8; REQUEST] {
    let mut bytes = [0; REQUEST];
    let mut put = |at: usize, part: &[u8]| bytes[at..at + part.len()].copy_from_slice(part);
    put(0, &u32::try_from(REQUEST).unwrap_or_default().to_ne_bytes());
    put(4, &SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    // NLM_F_REQUEST.
    put(6, &1_u16.to_ne_bytes());
    // As a packet that comes to `to` would find its socket. "Source" is the socket's own address for TCP, and
    // the packet's for UDP: net/ipv4/udp_diag.c has it so for historical reasons.
    let (number, port, address) = match protocol {
        Protocol::Tcp => (libc::IPPROTO_TCP, SOURCE_PORT, SOURCE),
        Protocol::Udp => (libc::IPPROTO_UDP, SOURCE_PORT + 2, SOURCE + 16),
    };
    put(HEADER, &[u8::try_from(libc::AF_INET).unwrap_or_default(), u8::try_from(number).unwrap_or_default()]);
    put(HEADER + 4, &u32::MAX.to_ne_bytes());
    put(port, &to.port().to_be_bytes());
    put(address, &to.ip().octets());
    // INET_DIAG_NOCOOKIE.
    put(HEADER + 48, &[0xff; 8]);
    bytes
}

fn read(answer: &[u8], to: SocketAddrV4) -> Listening {
    let address = answer.get(OWN_ADDRESS..OWN_ADDRESS + 16).and_then(|part| <[u8; 16]>::try_from(part).ok());
    let (Some(address), Some(family)) = (address, answer.get(FAMILY)) else { return Listening::Nowhere };
    if answer.get(4..6) != Some(&SOCK_DIAG_BY_FAMILY.to_ne_bytes()) {
        return Listening::Nowhere;
    }
    let [a, b, c, d, ..] = address;
    let six = Ipv6Addr::from(address);
    let bound = match i32::from(*family) {
        libc::AF_INET => Some(Ipv4Addr::new(a, b, c, d)),
        _ if six.is_unspecified() => Some(Ipv4Addr::UNSPECIFIED),
        _ => six.to_ipv4_mapped(),
    };
    match bound {
        Some(bound) if bound == *to.ip() => Listening::There,
        Some(Ipv4Addr::UNSPECIFIED) => Listening::Everywhere,
        _ => Listening::Nowhere,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    #[test]
    fn a_listener_at_all_addresses_is_told_from_one_at_an_address() {
        let address = Ipv4Addr::new(127, 15, 0, 9);
        let four = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap().into_port();
        let six = TcpListener::bind("[::]:0").unwrap().into_port();
        let there = TcpListener::bind((address, 0)).unwrap().into_port();
        let datagrams = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap().into_port();
        let own = UdpSocket::bind((address, 0)).unwrap().into_port();
        let free = TcpListener::bind((address, 0)).unwrap().local_addr().unwrap().port();
        let rows = [
            (Protocol::Tcp, four.1, Listening::Everywhere),
            (Protocol::Tcp, six.1, Listening::Everywhere),
            (Protocol::Tcp, there.1, Listening::There),
            (Protocol::Tcp, free, Listening::Nowhere),
            (Protocol::Udp, datagrams.1, Listening::Everywhere),
            (Protocol::Udp, own.1, Listening::There),
            (Protocol::Udp, free, Listening::Nowhere),
        ];
        let mut listeners = Listeners::default();
        for (protocol, port, expected) in rows {
            let found = listeners.at(protocol, SocketAddrV4::new(address, port));
            assert_eq!(found, expected, "{protocol:?} {port}");
        }
    }

    #[test]
    fn a_pod_is_found_aside_while_a_program_of_the_host_has_its_port() {
        let address = Ipv4Addr::new(127, 15, 0, 10);
        let (stranger, port) = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap().into_port();
        let to = SocketAddrV4::new(address, port);
        let mut listeners = Listeners::default();
        assert_eq!(listeners.locate(Protocol::Tcp, to), None);
        let aside = SocketAddrV4::new(address, network::aside(port));
        let _pod = TcpListener::bind(aside).unwrap();
        assert_eq!(listeners.locate(Protocol::Tcp, to), Some(aside));
        drop(stranger);
        assert_eq!(listeners.locate(Protocol::Tcp, to), Some(aside));
        let _there = TcpListener::bind(to).unwrap();
        assert_eq!(listeners.locate(Protocol::Tcp, to), Some(to));
    }

    /// A socket with its port.
    trait IntoPort: Sized {
        fn into_port(self) -> (Self, u16);
    }

    impl IntoPort for TcpListener {
        fn into_port(self) -> (Self, u16) {
            let port = self.local_addr().unwrap().port();
            (self, port)
        }
    }

    impl IntoPort for UdpSocket {
        fn into_port(self) -> (Self, u16) {
            let port = self.local_addr().unwrap().port();
            (self, port)
        }
    }
}
