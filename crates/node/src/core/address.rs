//! Addresses for pods, out of 10.244.0.0/16.

use std::{collections::BTreeSet, net::Ipv4Addr};

/// The network that pods' addresses come from.
pub const POD_NETWORK: &str = "10.244.0.0/16";
const FIRST: u32 = u32::from_be_bytes([10, 244, 0, 2]);
/// 10.244.254.0/23 is left out: what stands for it on the host belongs to the cluster's own servers.
const LAST: u32 = u32::from_be_bytes([10, 244, 253, 254]);

/// The next free address after the one given out last, so that an address is not used again at once.
pub fn next(last: Option<Ipv4Addr>, used: &BTreeSet<Ipv4Addr>) -> Option<Ipv4Addr> {
    let start = last.map(|last| u32::from(last).saturating_add(1)).filter(|next| (FIRST..=LAST).contains(next));
    let start = start.unwrap_or(FIRST);
    (start..=LAST).chain(FIRST..start).map(Ipv4Addr::from).find(|address| !used.contains(address))
}

/// A number that pods of one node tell each other apart by: that of the address, or, where a pod has the node's, one
/// that comes from its uid.
pub fn number(address: &str, uid: &str) -> u32 {
    let own = address.parse::<Ipv4Addr>().map(u32::from).ok().filter(|own| (FIRST..=LAST).contains(own));
    let of_uid = || uid.bytes().fold(0, |sum: u32, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    own.unwrap_or_else(of_uid) & 0xffff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_number() {
        assert_eq!(number("10.244.3.7", "x"), 3 * 256 + 7);
        assert_eq!(number("10.200.0.1", "ab"), 97 * 31 + 98);
    }

    #[test]
    fn addresses_go_round_and_are_unique() {
        let used = BTreeSet::from([Ipv4Addr::new(10, 244, 0, 3)]);
        assert_eq!(next(None, &used), Some(Ipv4Addr::new(10, 244, 0, 2)));
        assert_eq!(next(Some(Ipv4Addr::new(10, 244, 0, 2)), &used), Some(Ipv4Addr::new(10, 244, 0, 4)));
        assert_eq!(next(Some(Ipv4Addr::new(10, 244, 253, 254)), &used), Some(Ipv4Addr::new(10, 244, 0, 2)));
    }
}
