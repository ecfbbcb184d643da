//! Lays the network of pods: what the hub's namespace has, and the cable between it and a pod's.
//!
//! Each pod has a cable of its own, and the hub's namespace leads between them: no bridge, so that a pod hears only what
//! is sent to it, and cannot speak under another's address (`rp_filter`). All functions act on the network namespace of
//! the calling thread.

use std::{
    fs, io,
    net::Ipv4Addr,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd},
};

use crate::{
    core::{
        network::{DNS, NODE},
        private::{API, GATEWAY, PREFIX, hardware},
    },
    shim::network::route::{self, ETHERNET, INFO_DATA, LINK_INFO, LOOPBACK, PEER},
};

// linux/if_link.h, linux/if_addr.h and linux/rtnetlink.h.
const ADDRESS: u16 = 1; // IFLA_ADDRESS
const UNIT: u16 = 4; // IFLA_MTU
const NAMESPACE: u16 = 28; // IFLA_NET_NS_FD
const ADDRESS_FLAGS: u16 = 8; // IFA_FLAGS
const NO_PREFIX_ROUTE: u32 = 0x200; // IFA_F_NOPREFIXROUTE
const TO: u16 = 1; // RTA_DST
const BY: u16 = 4; // RTA_OIF
const NEXT: u16 = 5; // RTA_GATEWAY
const FROM: u16 = 7; // RTA_PREFSRC
const MAIN_TABLE: u8 = 254;
const STATIC: u8 = 4; // RTPROT_STATIC
const ON_LINK: u8 = 253; // RT_SCOPE_LINK
const UNICAST: u8 = 1; // RTN_UNICAST
const PROHIBITED: u8 = 8; // RTN_PROHIBIT
/// The most that a cable takes: no packet of a pod ever leaves the machine, so large ones cost less.
const UNIT_BYTES: u32 = 65_535;

/// Settings of the hub's namespace: it leads packets on, takes none whose sender's address is not the cable's, and tells
/// senders at once that nothing is beyond.
const HUB_SETTINGS: [(&str, &str); 6] = [
    ("ipv4/ip_forward", "1"),
    ("ipv4/conf/all/rp_filter", "1"),
    ("ipv4/conf/default/rp_filter", "1"),
    ("ipv4/conf/all/send_redirects", "0"),
    ("ipv4/conf/default/send_redirects", "0"),
    ("ipv4/ip_unprivileged_port_start", "0"),
];
/// Which groups may send echo requests without a privilege: all that there are, where the user namespace has so many.
const PING_GROUPS: [&str; 3] = ["0 2147483647", "0 65535", "0 0"];

/// Gives the hub's new namespace its addresses: the pods' next hop, the cluster's DNS and API servers, and the node.
///
/// # Errors
/// A sentence that says what the kernel refuses.
pub fn hub() -> Result<(), String> {
    let failed = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
    let socket = route::open().map_err(failed("no socket of rtnetlink can be made"))?;
    let lay = || -> io::Result<()> {
        let number = route::index(LOOPBACK)?;
        route::ask(&socket, &route::up(number)?)?;
        for own in [GATEWAY, DNS, API, NODE] {
            route::ask(&socket, &address(number, own, 32)?)?;
        }
        // Senders are told so that sockets of datagrams hear it too, which do not of a network that is not there.
        route::ask(&socket, &way(PROHIBITED, 0, 0, &[])?)
    };
    lay().map_err(failed("the hub's addresses cannot be set"))?;
    for (name, value) in HUB_SETTINGS {
        set(name, value).map_err(|error| format!("the setting net/{name} of a network namespace: {error}"))?;
    }
    // Pods have no addresses of IPv6 but loopback: less to say on cables. A kernel without IPv6 has no such setting.
    let _ = set("ipv6/conf/default/disable_ipv6", "1");
    let trial = "trial";
    cable(&socket, trial, Ipv4Addr::UNSPECIFIED, None)
        .map_err(failed("the kernel makes no cable between network namespaces (a device of type veth, CONFIG_VETH)"))?;
    let removed = route::index(trial).and_then(|number| remove(&socket, number));
    removed.map_err(failed("a cable cannot be removed"))
}

/// Makes the hub's end of a pod's cable, and moves the other one to the pod's namespace; gives the number of the hub's.
///
/// # Errors
/// What the kernel refuses.
pub fn near_end(name: &str, pod: Ipv4Addr, namespace: BorrowedFd<'_>) -> io::Result<i32> {
    let socket = route::open()?;
    cable(&socket, name, pod, Some(namespace))?;
    let number = route::index(name)?;
    route::ask(&socket, &route::up(number)?)?;
    let parts = [
        route::attribute(TO, &pod.octets())?,
        route::attribute(BY, &number.to_ne_bytes())?,
        route::attribute(FROM, &GATEWAY.octets())?,
    ];
    route::ask(&socket, &way(UNICAST, 32, ON_LINK, &parts.concat())?)?;
    Ok(number)
}

/// Gives a pod's end its address, in the pod's namespace, and the pod its settings.
///
/// # Errors
/// What the kernel refuses.
pub fn far_end(pod: Ipv4Addr) -> io::Result<()> {
    let socket = route::open()?;
    route::ask(&socket, &route::up(route::index(LOOPBACK)?)?)?;
    let number = route::index(ETHERNET)?;
    let _ = set(&format!("ipv6/conf/{ETHERNET}/disable_ipv6"), "1");
    route::ask(&socket, &address(number, pod, PREFIX)?)?;
    route::ask(&socket, &route::up(number)?)?;
    let by = route::attribute(BY, &number.to_ne_bytes())?;
    let next_hop = [route::attribute(TO, &GATEWAY.octets())?, by.clone()].concat();
    route::ask(&socket, &way(UNICAST, 32, ON_LINK, &next_hop)?)?;
    let all = [route::attribute(NEXT, &GATEWAY.octets())?, by].concat();
    route::ask(&socket, &way(UNICAST, 0, 0, &all)?)?;
    // As containerd has it: every port, and echo requests, without a privilege.
    set("ipv4/ip_unprivileged_port_start", "0")?;
    let mut groups = PING_GROUPS.iter().map(|groups| set("ipv4/ping_group_range", groups));
    groups.find(Result::is_ok).unwrap_or(Ok(()))
}

/// Removes a cable by the number of one of its ends.
///
/// # Errors
/// What the kernel refuses; it may be gone already.
pub fn remove(socket: &OwnedFd, number: i32) -> io::Result<()> {
    route::ask(socket, &route::message(libc::RTM_DELLINK, 0, &route::link(number, 0, 0))?)
}

fn cable(socket: &OwnedFd, name: &str, pod: Ipv4Addr, namespace: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let unit = route::attribute(UNIT, &UNIT_BYTES.to_ne_bytes())?;
    let far_name = if namespace.is_some() { ETHERNET } else { "trial1" };
    let mut far = vec![route::link(0, 0, 0), route::named(far_name)?, unit.clone()];
    far.push(route::attribute(ADDRESS, &hardware(pod))?);
    if let Some(namespace) = namespace {
        far.push(route::attribute(NAMESPACE, &namespace.as_raw_fd().to_ne_bytes())?);
    }
    let peer = route::attribute(PEER, &far.concat())?;
    let info = [route::simple("veth")?, route::attribute(INFO_DATA, &peer)?].concat();
    let body = [
        route::link(0, 0, 0),
        route::named(name)?,
        unit,
        route::attribute(ADDRESS, &hardware(GATEWAY))?,
        route::attribute(LINK_INFO, &info)?,
    ];
    route::ask(socket, &route::message(libc::RTM_NEWLINK, libc::NLM_F_CREATE | libc::NLM_F_EXCL, &body.concat())?)
}

fn address(number: i32, own: Ipv4Addr, prefix: u8) -> io::Result<Vec<u8>> {
    // struct ifaddrmsg: family, prefix, flags, scope, index.
    let mut body = vec![u8::try_from(libc::AF_INET).unwrap_or_default(), prefix, 0, 0];
    body.extend(number.to_ne_bytes());
    body.extend(route::attribute(libc::IFA_LOCAL, &own.octets())?);
    body.extend(route::attribute(libc::IFA_ADDRESS, &own.octets())?);
    body.extend(route::attribute(ADDRESS_FLAGS, &NO_PREFIX_ROUTE.to_ne_bytes())?);
    route::message(libc::RTM_NEWADDR, libc::NLM_F_CREATE | libc::NLM_F_REPLACE, &body)
}

/// A way to a network with so many bits, or that there is none. `struct rtmsg`: family, bits to and from, service, table, protocol, scope, type,
/// flags.
fn way(kind: u8, bits: u8, scope: u8, attributes: &[u8]) -> io::Result<Vec<u8>> {
    let family = u8::try_from(libc::AF_INET).unwrap_or_default();
    let head = [family, bits, 0, 0, MAIN_TABLE, STATIC, scope, kind, 0, 0, 0, 0];
    let body = [&head[..], attributes].concat();
    route::message(libc::RTM_NEWROUTE, libc::NLM_F_CREATE | libc::NLM_F_REPLACE, &body)
}

fn set(name: &str, value: &str) -> io::Result<()> {
    fs::write(format!("/proc/sys/net/{name}"), value)
}
