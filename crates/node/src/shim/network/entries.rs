//! The interfaces that a pod's programs see when they ask a socket for them, where the system makes no network
//! namespace for them: `lo`, and `eth0` with the pod's address.
//!
//! For those that tell others their interfaces' addresses, as Open MPI does. Programs that ask by netlink see the
//! host's interfaces then: see `netdevice(7)` for what is answered here.

use std::net::Ipv4Addr;

use super::route::ETHERNET as INTERFACE;

/// `struct ifreq`: a name and a value.
pub const ENTRY: usize = 40;
const NAME: usize = 16;
/// Requests of linux/sockios.h that are answered here.
pub const CONFIGURATION: u32 = 0x8912;
const INDEX_TO_NAME: u32 = 0x8910;
const FLAGS: u32 = 0x8913;
const ADDRESS: u32 = 0x8915;
const BROADCAST: u32 = 0x8919;
const MASK: u32 = 0x891b;
const MTU: u32 = 0x8921;
const HARDWARE: u32 = 0x8927;
const INDEX: u32 = 0x8933;
/// All of them.
pub const REQUESTS: [u32; 9] = [CONFIGURATION, INDEX_TO_NAME, FLAGS, ADDRESS, BROADCAST, MASK, MTU, HARDWARE, INDEX];

struct Interface {
    name: &'static str,
    index: i32,
    address: Ipv4Addr,
    mask: Ipv4Addr,
    broadcast: Ipv4Addr,
    flags: i32,
    /// Of linux/if_arp.h.
    kind: u16,
    hardware: [u8; 6],
}

fn interfaces(own: Ipv4Addr) -> [Interface; 2] {
    let [a, b, c, d] = own.octets();
    let up = libc::IFF_UP | libc::IFF_RUNNING;
    [
        Interface {
            name: "lo",
            index: 1,
            address: Ipv4Addr::LOCALHOST,
            mask: Ipv4Addr::new(255, 0, 0, 0),
            broadcast: Ipv4Addr::UNSPECIFIED,
            flags: up | libc::IFF_LOOPBACK,
            kind: libc::ARPHRD_LOOPBACK,
            hardware: [0; 6],
        },
        Interface {
            name: INTERFACE,
            index: 2,
            address: own,
            mask: Ipv4Addr::new(255, 255, 0, 0),
            broadcast: Ipv4Addr::new(a, b, 255, 255),
            flags: up | libc::IFF_BROADCAST | libc::IFF_MULTICAST,
            kind: libc::ARPHRD_ETHER,
            // As container networks have it: 0a:58 and the address.
            hardware: [0x0a, 0x58, a, b, c, d],
        },
    ]
}

/// Answers a request about one interface: the entry as the program gave it, filled in.
///
/// # Errors
/// `ENODEV` for an interface that the pod does not have.
pub fn answer(own: Ipv4Addr, request: u32, mut entry: [u8; ENTRY]) -> Result<[u8; ENTRY], i32> {
    let [lo, eth] = interfaces(own);
    let name = entry[..NAME].split(|byte| *byte == 0).next().unwrap_or_default();
    let index = i32::from_ne_bytes([entry[NAME], entry[NAME + 1], entry[NAME + 2], entry[NAME + 3]]);
    let is_asked = |one: &Interface| match request {
        INDEX_TO_NAME => one.index == index,
        _ => one.name.as_bytes() == name,
    };
    let one = [lo, eth].into_iter().find(is_asked).ok_or(libc::ENODEV)?;
    let value: Vec<u8> = match request {
        INDEX_TO_NAME => {
            entry[..NAME].fill(0);
            entry[..one.name.len()].copy_from_slice(one.name.as_bytes());
            return Ok(entry);
        }
        FLAGS => i16::try_from(one.flags).unwrap_or_default().to_ne_bytes().to_vec(),
        ADDRESS => of_internet(one.address),
        BROADCAST => of_internet(one.broadcast),
        MASK => of_internet(one.mask),
        // That of loopback, which it is.
        MTU => 65536_i32.to_ne_bytes().to_vec(),
        HARDWARE => one.kind.to_ne_bytes().into_iter().chain(one.hardware).collect(),
        _ => one.index.to_ne_bytes().to_vec(),
    };
    entry[NAME..].fill(0);
    entry[NAME..NAME + value.len()].copy_from_slice(&value);
    Ok(entry)
}

/// The entries of all interfaces, with their addresses.
pub fn configuration(own: Ipv4Addr) -> Vec<u8> {
    let named = interfaces(own).into_iter().filter_map(|one| {
        let mut entry = [0; ENTRY];
        entry[..one.name.len()].copy_from_slice(one.name.as_bytes());
        answer(own, ADDRESS, entry).ok()
    });
    named.flatten().collect()
}

/// `struct sockaddr_in` without a port.
fn of_internet(address: Ipv4Addr) -> Vec<u8> {
    let family = u16::try_from(libc::AF_INET).unwrap_or_default().to_ne_bytes();
    family.into_iter().chain([0, 0]).chain(address.octets()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Ipv4Addr = Ipv4Addr::new(10, 244, 1, 7);

    fn ask(request: u32, name: &str) -> Result<Vec<u8>, i32> {
        let mut entry = [0; ENTRY];
        entry[..name.len()].copy_from_slice(name.as_bytes());
        answer(OWN, request, entry).map(|entry| entry[NAME..NAME + 8].to_vec())
    }

    #[test]
    fn a_pod_has_loopback_and_an_interface_with_its_address() {
        assert_eq!(ask(ADDRESS, INTERFACE), Ok(vec![2, 0, 0, 0, 10, 244, 1, 7]));
        assert_eq!(ask(MASK, "lo"), Ok(vec![2, 0, 0, 0, 255, 0, 0, 0]));
        assert_eq!(ask(INDEX, INTERFACE), Ok(vec![2, 0, 0, 0, 0, 0, 0, 0]));
        assert_eq!(ask(HARDWARE, INTERFACE), Ok(vec![1, 0, 0x0a, 0x58, 10, 244, 1, 7]));
        assert_eq!(ask(FLAGS, "lo").unwrap()[0] & 8, 8);
        assert_eq!(ask(ADDRESS, "eth1"), Err(libc::ENODEV));
    }

    #[test]
    fn all_interfaces_are_listed_and_named_by_number() {
        let all = configuration(OWN);
        assert_eq!(all.len(), 2 * ENTRY);
        assert_eq!((&all[..2], &all[20..24]), (&b"lo"[..], &[127, 0, 0, 1][..]));
        assert_eq!((&all[40..44], &all[60..64]), (&b"eth0"[..], &[10, 244, 1, 7][..]));
        let mut entry = [0; ENTRY];
        entry[NAME] = 2;
        assert!(answer(OWN, INDEX_TO_NAME, entry).unwrap().starts_with(b"eth0\0"));
    }
}
