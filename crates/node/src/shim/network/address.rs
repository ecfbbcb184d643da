//! Socket addresses between the bytes of a program's memory and Rust's types.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// `sizeof(struct sockaddr_storage)`: no address is longer.
pub const LONGEST: usize = 128;
const V4_LENGTH: usize = size_of::<libc::sockaddr_in>();
const V6_LENGTH: usize = size_of::<libc::sockaddr_in6>();
/// RFC 2133 had no scope: addresses of this length are taken by the kernel too.
const V6_SHORT: usize = 24;

/// An address as a program gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    Internet(SocketAddr),
    /// `AF_UNSPEC`: ends a datagram socket's connection.
    Unspecified,
    /// Of another family, or cut short: the kernel's to judge.
    Other,
}

/// Reads an address.
pub fn parse(bytes: &[u8]) -> Address {
    let Some(family) = bytes.first_chunk::<2>() else { return Address::Other };
    let family = i32::from(u16::from_ne_bytes(*family));
    let port = |at: usize| bytes.get(at..at + 2).and_then(|port| Some(u16::from_be_bytes(port.try_into().ok()?)));
    let part = |at: usize| bytes.get(at..at + 4).and_then(|part| <[u8; 4]>::try_from(part).ok());
    match family {
        libc::AF_UNSPEC => Address::Unspecified,
        libc::AF_INET if bytes.len() >= V4_LENGTH => match (part(4), port(2)) {
            (Some(ip), Some(port)) => Address::Internet(SocketAddr::from((ip, port))),
            _ => Address::Other,
        },
        libc::AF_INET6 if bytes.len() >= V6_SHORT => {
            let ip = bytes.get(8..24).and_then(|ip| <[u8; 16]>::try_from(ip).ok());
            let (Some(ip), Some(port)) = (ip, port(2)) else { return Address::Other };
            let flow = part(4).map_or(0, u32::from_ne_bytes);
            let scope = part(24).map_or(0, u32::from_ne_bytes);
            Address::Internet(SocketAddrV6::new(Ipv6Addr::from(ip), port, flow, scope).into())
        }
        _ => Address::Other,
    }
}

/// The bytes of an address.
pub fn encode(address: SocketAddr) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(V6_LENGTH);
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    bytes.extend(u16::try_from(family).unwrap_or_default().to_ne_bytes());
    bytes.extend(address.port().to_be_bytes());
    match address {
        SocketAddr::V4(address) => {
            bytes.extend(address.ip().octets());
            bytes.resize(V4_LENGTH, 0);
        }
        SocketAddr::V6(address) => {
            bytes.extend(address.flowinfo().to_ne_bytes());
            bytes.extend(address.ip().octets());
            bytes.extend(address.scope_id().to_ne_bytes());
        }
    }
    bytes
}

/// The IPv4 address that an address means here: loopback and "any" of IPv6 mean those of IPv4, for the cluster
/// has no IPv6. `None` for all other addresses of IPv6.
pub fn as_v4(address: SocketAddr) -> Option<SocketAddrV4> {
    let ip = match address.ip() {
        IpAddr::V4(ip) => ip,
        IpAddr::V6(ip) if ip.is_loopback() => Ipv4Addr::LOCALHOST,
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv4Addr::UNSPECIFIED,
        IpAddr::V6(ip) => ip.to_ipv4_mapped()?,
    };
    Some(SocketAddrV4::new(ip, address.port()))
}

/// An address in the form that a socket of IPv6 takes.
pub fn mapped(address: SocketAddrV4) -> SocketAddr {
    SocketAddr::from((address.ip().to_ipv6_mapped(), address.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_written() {
        for text in ["10.96.0.1:443", "[::]:8080", "[::ffff:10.244.0.2]:80", "[fe80::1%3]:1"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(parse(&encode(address)), Address::Internet(address), "{text}");
        }
    }

    #[test]
    fn what_is_no_internet_address_is_the_kernels_to_judge() {
        let v4 = encode("10.96.0.1:443".parse().unwrap());
        assert_eq!(parse(&v4[..15]), Address::Other);
        assert_eq!(parse(&[]), Address::Other);
        assert_eq!(parse(&[1, 0, b'/', b't']), Address::Other);
        assert_eq!(parse(&[0; 16]), Address::Unspecified);
    }

    #[test]
    fn addresses_of_ipv6_that_mean_the_same_machine_are_those_of_ipv4() {
        let rows = [
            ("[::1]:80", Some("127.0.0.1:80")),
            ("[::]:80", Some("0.0.0.0:80")),
            ("[::ffff:10.96.0.1]:80", Some("10.96.0.1:80")),
            ("10.96.0.1:80", Some("10.96.0.1:80")),
            ("[2001:db8::1]:80", None),
        ];
        for (text, expected) in rows {
            assert_eq!(as_v4(text.parse().unwrap()), expected.map(|text| text.parse().unwrap()), "{text}");
        }
    }
}
