//! The addresses and node ports that services are given, and what of them is free.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};

use serde_json::Value;

use super::super::address::{Cidr, parse_sloppy};
use super::super::place::Place;
use super::super::value::{get, integer, items, strings};
use crate::core::field::{ErrorList, FieldError};

/// The network of cluster addresses.
pub const CLUSTER_NETWORK: Cidr = Cidr { address: IpAddr::V4(Ipv4Addr::new(10, 96, 0, 0)), prefix: 16 };
/// The first address, that of the API itself.
pub const API_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);
/// Addresses of the network but its first and its last: 2^16 - 2.
const ADDRESSES: u32 = (1 << 16) - 2;
const FIRST_PORT: u32 = 30000;
const LAST_PORT: u32 = 32767;

/// What other services hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    pub addresses: HashSet<String>,
    /// Node ports and health check node ports.
    pub ports: HashSet<i64>,
}

impl Held {
    /// Adds what a service holds.
    pub fn add(&mut self, service: &Value) {
        let spec = get(service, "spec");
        let addresses = strings(spec, "clusterIPs").filter(|ip| !matches!(*ip, "" | "None"));
        self.addresses.extend(addresses.map(str::to_owned));
        self.ports.extend(ports_of(service));
    }
}

/// The node ports of a service.
pub(super) fn ports_of(service: &Value) -> HashSet<i64> {
    let spec = get(service, "spec");
    items(spec, "ports")
        .iter()
        .map(|port| integer(port, "nodePort"))
        .chain([integer(spec, "healthCheckNodePort")])
        .filter(|port| *port != 0)
        .collect()
}

/// Why nothing was given out.
#[derive(Clone, Debug, PartialEq)]
pub enum Refused {
    /// 422 with these faults.
    Invalid(ErrorList),
    /// 500: all addresses or ports are taken.
    Exhausted(String),
}

/// What is given out to one service, beside what others hold.
pub(super) struct Pool<'a> {
    pub(super) held: &'a Held,
    pub(super) taken: Held,
    /// Where the search for something free begins.
    pub(super) random: u64,
}

impl Pool<'_> {
    fn next_random(&mut self) -> u64 {
        // SplitMix64: one number in, a sequence out.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn has_address(&self, address: &str) -> bool {
        self.held.addresses.contains(address) || self.taken.addresses.contains(address)
    }

    fn has_port(&self, port: i64) -> bool {
        self.held.ports.contains(&port) || self.taken.ports.contains(&port)
    }

    pub(super) fn next_address(&mut self) -> Result<String, Refused> {
        let start = u32::try_from(self.next_random() % u64::from(ADDRESSES)).unwrap_or(0);
        let base = u32::from(Ipv4Addr::new(10, 96, 0, 0));
        (0..ADDRESSES)
            .map(|step| Ipv4Addr::from(base + 1 + (start + step) % ADDRESSES).to_string())
            .find(|address| *address != API_ADDRESS.to_string() && !self.has_address(address))
            .inspect(|address| {
                self.taken.addresses.insert(address.clone());
            })
            .ok_or_else(|| Refused::Exhausted("failed to allocate a serviceIP: range is full".to_owned()))
    }

    pub(super) fn next_port(&mut self) -> Result<i64, Refused> {
        let count = LAST_PORT - FIRST_PORT + 1;
        let start = u32::try_from(self.next_random() % u64::from(count)).unwrap_or(0);
        (0..count)
            .map(|step| i64::from(FIRST_PORT + (start + step) % count))
            .find(|port| !self.has_port(*port))
            .inspect(|port| {
                self.taken.ports.insert(*port);
            })
            .ok_or_else(|| Refused::Exhausted("failed to allocate a nodePort: range is full".to_owned()))
    }

    pub(super) fn take_port(&mut self, port: i64, place: &Place) -> Result<(), Refused> {
        let fault = if !(i64::from(FIRST_PORT)..=i64::from(LAST_PORT)).contains(&port) {
            format!("provided port is not in the valid range. The range of valid ports is {FIRST_PORT}-{LAST_PORT}")
        } else if self.has_port(port) {
            "provided port is already allocated".to_owned()
        } else {
            self.taken.ports.insert(port);
            return Ok(());
        };
        Err(Refused::Invalid(vec![FieldError::invalid(place, port, fault)]))
    }

    pub(super) fn take_address(&mut self, ip: &str, all: &Value) -> Result<(), Refused> {
        let parsed = parse_sloppy(ip);
        let fault = match parsed {
            Some(address) if !CLUSTER_NETWORK.contains(address) => {
                format!("the provided IP ({ip}) is not in the valid range. The range of valid IPs is {CLUSTER_NETWORK}")
            }
            Some(_) if !self.has_address(ip) => {
                self.taken.addresses.insert(ip.to_owned());
                return Ok(());
            }
            Some(_) => "provided IP is already allocated".to_owned(),
            None => return Err(Refused::Exhausted(format!("failed to parse service IP {ip:?}"))),
        };
        let place = Place::root("spec");
        let detail = format!("failed to allocate IP {ip}: {fault}");
        Err(Refused::Invalid(vec![FieldError::invalid(place.child("clusterIPs"), all.clone(), detail)]))
    }
}
