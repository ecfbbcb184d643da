//! Who takes connections at an address of the host, as the kernel tells it over `sock_diag(7)`.
//!
//! A program of the host that listens on all its addresses would answer at those of pods too.

use std::{
    net::{Ipv6Addr, SocketAddrV4},
    os::fd::OwnedFd,
};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};

/// linux/sock_diag.h.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// `struct nlmsghdr` and `struct inet_diag_req_v2` of linux/inet_diag.h.
const HEADER: usize = 16;
const REQUEST: usize = HEADER + 56;
/// Where `struct inet_diag_msg` has its family, its state and its own address.
const FAMILY: usize = HEADER;
const STATE: usize = HEADER + 1;
const OWN_ADDRESS: usize = HEADER + 8;
/// net/tcp_states.h.
const TCP_LISTEN: u8 = 10;

/// Who listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listening {
    /// A socket that listens at all addresses of the host.
    Everywhere,
    /// A socket that listens there, or none, or the kernel does not tell.
    ThereOrNowhere,
}

/// A way to ask the kernel.
#[derive(Default)]
pub struct Listeners {
    socket: Option<OwnedFd>,
}

impl Listeners {
    /// Who takes TCP connections to an address.
    pub fn at(&mut self, to: SocketAddrV4) -> Listening {
        match self.ask(to) {
            Ok(listening) => listening,
            Err(_) => {
                // What is left of an answer must not be taken for the next one.
                self.socket = None;
                Listening::ThereOrNowhere
            }
        }
    }

    fn ask(&mut self, to: SocketAddrV4) -> rustix::io::Result<Listening> {
        let socket = match &self.socket {
            Some(socket) => socket,
            None => {
                let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
                let made =
                    rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(netlink::SOCK_DIAG))?;
                self.socket.insert(made)
            }
        };
        rustix::net::send(socket, &request(to), SendFlags::DONTWAIT)?;
        let mut answer = [0; 1024];
        // The kernel has answered before the call above returned.
        let (_, length) = rustix::net::recv(socket, &mut answer[..], RecvFlags::DONTWAIT)?;
        Ok(read(&answer[..length.min(1024)]))
    }
}

fn request(to: SocketAddrV4) -> [u8; REQUEST] {
    let mut bytes = [0; REQUEST];
    let mut put = |at: usize, part: &[u8]| bytes[at..at + part.len()].copy_from_slice(part);
    put(0, &u32::try_from(REQUEST).unwrap_or_default().to_ne_bytes());
    put(4, &SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    // NLM_F_REQUEST.
    put(6, &1_u16.to_ne_bytes());
    put(HEADER, &[2, 6]);
    put(HEADER + 4, &u32::MAX.to_ne_bytes());
    // As a packet that comes to `to` would find its socket.
    put(HEADER + 8, &to.port().to_be_bytes());
    put(HEADER + 12, &to.ip().octets());
    // INET_DIAG_NOCOOKIE.
    put(HEADER + 48, &[0xff; 8]);
    bytes
}

fn read(answer: &[u8]) -> Listening {
    let is_listener =
        answer.get(4..6) == Some(&SOCK_DIAG_BY_FAMILY.to_ne_bytes()) && answer.get(STATE) == Some(&TCP_LISTEN);
    let address = answer.get(OWN_ADDRESS..OWN_ADDRESS + 16).and_then(|part| <[u8; 16]>::try_from(part).ok());
    let family = answer.get(FAMILY).copied().map(i32::from);
    let is_any = match (family, address) {
        (Some(libc::AF_INET), Some(address)) => address[..4] == [0; 4],
        (Some(libc::AF_INET6), Some(address)) => Ipv6Addr::from(address).is_unspecified(),
        _ => false,
    };
    if is_listener && is_any { Listening::Everywhere } else { Listening::ThereOrNowhere }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    #[test]
    fn a_listener_at_all_addresses_is_told_from_one_at_an_address() {
        let address = Ipv4Addr::new(127, 15, 0, 9);
        let everywhere = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        let six = TcpListener::bind("[::]:0").unwrap();
        let there = TcpListener::bind((address, 0)).unwrap();
        let mut listeners = Listeners::default();
        let mut at = |port: u16| listeners.at(SocketAddrV4::new(address, port));
        assert_eq!(at(everywhere.local_addr().unwrap().port()), Listening::Everywhere);
        assert_eq!(at(six.local_addr().unwrap().port()), Listening::Everywhere);
        assert_eq!(at(there.local_addr().unwrap().port()), Listening::ThereOrNowhere);
        let free = there.local_addr().unwrap().port();
        drop(there);
        assert_eq!(at(free), Listening::ThereOrNowhere);
        assert_eq!(at(six.local_addr().unwrap().port()), Listening::Everywhere);
    }
}
