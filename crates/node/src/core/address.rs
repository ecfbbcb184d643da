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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_go_round_and_are_unique() {
        let used = BTreeSet::from([Ipv4Addr::new(10, 244, 0, 3)]);
        assert_eq!(next(None, &used), Some(Ipv4Addr::new(10, 244, 0, 2)));
        assert_eq!(next(Some(Ipv4Addr::new(10, 244, 0, 2)), &used), Some(Ipv4Addr::new(10, 244, 0, 4)));
        assert_eq!(next(Some(Ipv4Addr::new(10, 244, 253, 254)), &used), Some(Ipv4Addr::new(10, 244, 0, 2)));
    }
}
