//! The names of a cluster, and what each is answered with.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
};

use k8s_openapi::api::core::v1::Service;

use super::{
    Name, code, kind,
    message::{Data, Record, Reply},
};
use crate::core::services::{Slices, cluster_addresses, is_ready, name_of, port_number, protocol};

/// The domain of a cluster.
pub const DOMAIN: &str = "cluster.local";
const DOMAIN_LABELS: [&str; 2] = ["cluster", "local"];
const REVERSE_LABELS: [&str; 2] = ["in-addr", "arpa"];
/// How long an answer may be kept: short, since endpoints come and go. kubeadm's clusters say 30 s.
const TTL_S: u32 = 5;
/// The version of the rules, and how long its record may be kept.
const SCHEMA: (&str, u32) = ("1.1.0", 28_800);
/// Aliases of aliases that are followed.
const ALIASES: usize = 8;
/// The networks whose addresses nobody else has names for: pods, services, and the node.
const OWN: [(Ipv4Addr, u32); 3] =
    [(Ipv4Addr::new(10, 244, 0, 0), 16), (Ipv4Addr::new(10, 96, 0, 0), 16), (Ipv4Addr::new(10, 200, 0, 1), 32)];

#[derive(Clone, Debug)]
struct Port {
    name: String,
    protocol: String,
    number: u16,
}

#[derive(Clone, Debug)]
struct Endpoint {
    host: String,
    addresses: Vec<IpAddr>,
    ports: Vec<Port>,
}

#[derive(Clone, Debug, Default)]
struct Entry {
    addresses: Vec<IpAddr>,
    ports: Vec<Port>,
    endpoints: Vec<Endpoint>,
    alias: Option<String>,
}

/// All names of a cluster at one moment.
#[derive(Clone, Debug, Default)]
pub struct Zone {
    services: BTreeMap<(String, String), Entry>,
    namespaces: BTreeSet<String>,
    pointers: BTreeMap<IpAddr, Vec<Name>>,
    serial: u32,
}

/// What is known about a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Whole(Reply),
    /// An alias of a name outside of the cluster: the answer so far, and the name that others are asked for.
    Follow(Reply, Name),
    /// The name is not one of the cluster's.
    Elsewhere,
}

/// What a name stands for.
enum Found<'a> {
    /// The name does not exist.
    Nothing,
    /// It exists, and has no records.
    Branch,
    Alias(&'a str),
    /// A name with an address for each of these; ports and targets are for SRV.
    Hosts(Vec<Host>),
    Text,
}

struct Host {
    address: IpAddr,
    port: u16,
    target: Option<Name>,
}

impl Zone {
    /// The names of these services. `serial` grows with each change.
    pub fn new<'a>(
        services: impl IntoIterator<Item = &'a Service>,
        slices: &Slices<'_>,
        namespaces: impl IntoIterator<Item = String>,
        serial: u32,
    ) -> Self {
        let mut zone = Self { namespaces: namespaces.into_iter().collect(), serial, ..Self::default() };
        for service in services {
            let (namespace, name) = name_of(service);
            let entry = entry(service, slices);
            zone.point(namespace, name, &entry);
            zone.services.insert((namespace.to_owned(), name.to_owned()), entry);
        }
        zone
    }

    fn point(&mut self, namespace: &str, name: &str, entry: &Entry) {
        let own = service_name(None, name, namespace);
        let mut add = |address: IpAddr, name: Option<Name>| {
            let names = self.pointers.entry(address).or_default();
            names.extend(name.filter(|name| !names.contains(name)));
        };
        for address in &entry.addresses {
            add(*address, own.clone());
        }
        for endpoint in &entry.endpoints {
            for address in &endpoint.addresses {
                add(*address, service_name(Some(&endpoint.host), name, namespace));
            }
        }
    }

    /// Answers a question.
    pub fn answer(&self, name: &Name, kind: u16) -> Answer {
        if let Some(labels) = name.before(&DOMAIN_LABELS) {
            return self.answer_own(name, &labels, kind);
        }
        match name.before(&REVERSE_LABELS) {
            Some(labels) => self.answer_reverse(name, &labels, kind),
            None => Answer::Elsewhere,
        }
    }

    fn answer_own(&self, name: &Name, labels: &[String], kind: u16) -> Answer {
        let mut reply = Reply { authoritative: true, ..Reply::default() };
        let (mut current, mut labels) = (name.clone(), labels.to_vec());
        for _ in 0..ALIASES {
            let texts: Vec<&str> = labels.iter().map(String::as_str).collect();
            match self.find(&texts) {
                Found::Nothing if reply.answers.is_empty() => reply.code = code::NO_SUCH_NAME,
                Found::Nothing => {}
                Found::Branch => self.add_apex(&mut reply, &current, &texts, kind),
                Found::Text if kind == kind::TXT => {
                    let data = Data::Txt(SCHEMA.0.to_owned());
                    reply.answers.push(Record { name: current, ttl_s: SCHEMA.1, data });
                }
                Found::Text => {}
                Found::Hosts(hosts) => add_hosts(&mut reply, &current, &hosts, kind),
                Found::Alias(target) => {
                    let Some(target) = Name::parse(target).filter(|_| follows(kind)) else { break };
                    reply.answers.push(record(current, Data::Cname(target.clone())));
                    if kind == kind::CNAME {
                        break;
                    }
                    let Some(next) = target.before(&DOMAIN_LABELS) else { return Answer::Follow(reply, target) };
                    (current, labels) = (target, next);
                    continue;
                }
            }
            break;
        }
        if reply.answers.is_empty() {
            reply.authority.push(self.authority(&DOMAIN_LABELS));
        }
        Answer::Whole(reply)
    }

    /// The records that the domain itself has.
    fn add_apex(&self, reply: &mut Reply, name: &Name, labels: &[&str], kind: u16) {
        let server = Name::parse(&format!("ns.dns.{DOMAIN}"));
        match (labels, kind, server) {
            ([], kind::SOA, _) => reply.answers.push(self.authority(&DOMAIN_LABELS)),
            ([], kind::NS, Some(server)) => reply.answers.push(record(name.clone(), Data::Ns(server))),
            _ => {}
        }
    }

    fn answer_reverse(&self, name: &Name, labels: &[String], kind: u16) -> Answer {
        let mut octets = labels.iter().rev().map(|label| label.parse::<u8>().ok());
        let mut next = || octets.next().flatten();
        let address = match (labels.len(), next(), next(), next(), next()) {
            (4, Some(a), Some(b), Some(c), Some(d)) => Ipv4Addr::new(a, b, c, d),
            _ => return Answer::Elsewhere,
        };
        let mut reply = Reply { authoritative: true, ..Reply::default() };
        match self.pointers.get(&IpAddr::V4(address)) {
            Some(names) if kind == kind::PTR => {
                reply.answers.extend(names.iter().map(|target| record(name.clone(), Data::Ptr(target.clone()))));
            }
            Some(_) => {}
            None if OWN.iter().any(|(network, bits)| is_in(address, *network, *bits)) => {
                reply.code = code::NO_SUCH_NAME;
            }
            None => return Answer::Elsewhere,
        }
        if reply.answers.is_empty() {
            reply.authority.push(self.authority(&REVERSE_LABELS));
        }
        Answer::Whole(reply)
    }

    fn find(&self, labels: &[&str]) -> Found<'_> {
        match labels {
            [] | ["svc" | "pod"] => Found::Branch,
            ["ns", "dns"] => self.server(),
            ["dns-version"] => Found::Text,
            [namespace, "svc" | "pod"] => {
                if self.namespaces.contains(*namespace) {
                    Found::Branch
                } else {
                    Found::Nothing
                }
            }
            [pod, namespace, "pod"] => match dashed(pod) {
                Some(address) if self.namespaces.contains(*namespace) => {
                    Found::Hosts(vec![Host { address, port: 0, target: None }])
                }
                _ => Found::Nothing,
            },
            [before @ .., service, namespace, "svc"] => {
                let key = ((*namespace).to_owned(), (*service).to_owned());
                match self.services.get(&key) {
                    Some(entry) => find_service(entry, before, service, namespace),
                    None => Found::Nothing,
                }
            }
            _ => Found::Nothing,
        }
    }

    /// The server of the domain: it is asked at the address of its service.
    fn server(&self) -> Found<'_> {
        let service = self.services.get(&("kube-system".to_owned(), "kube-dns".to_owned()));
        let addresses = service.iter().flat_map(|service| service.addresses.iter());
        let hosts: Vec<Host> = addresses.map(|address| Host { address: *address, port: 0, target: None }).collect();
        if hosts.is_empty() { Found::Nothing } else { Found::Hosts(hosts) }
    }

    /// The record that says how long an empty answer may be kept.
    fn authority(&self, zone: &[&str]) -> Record {
        let name = |text: String| Name::parse(&text).unwrap_or_default();
        let data = Data::Soa {
            server: name(format!("ns.dns.{DOMAIN}")),
            mailbox: name(format!("hostmaster.{DOMAIN}")),
            serial: self.serial,
            refresh: 7200,
            retry: 1800,
            expire: 86_400,
            minimum: TTL_S,
        };
        record(name(zone.join(".")), data)
    }
}

fn record(name: Name, data: Data) -> Record {
    Record { name, ttl_s: TTL_S, data }
}

/// Whether an alias answers questions of a type.
fn follows(kind: u16) -> bool {
    matches!(kind, kind::A | kind::AAAA | kind::CNAME)
}

/// `[host.]service.namespace.svc.cluster.local`
fn service_name(host: Option<&str>, service: &str, namespace: &str) -> Option<Name> {
    let host = host.map(|host| format!("{host}.")).unwrap_or_default();
    Name::parse(&format!("{host}{service}.{namespace}.svc.{DOMAIN}"))
}

fn is_in(address: Ipv4Addr, network: Ipv4Addr, bits: u32) -> bool {
    let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
    u32::from(address) & mask == u32::from(network)
}

/// The address that a pod's name is made of: `10-244-0-5`.
fn dashed(label: &str) -> Option<IpAddr> {
    let four = label.bytes().filter(|byte| *byte == b'-').count() == 3 && !label.contains("--");
    label.replace('-', if four { "." } else { ":" }).parse().ok()
}

fn find_service<'a>(entry: &'a Entry, before: &[&str], service: &str, namespace: &str) -> Found<'a> {
    if let Some(alias) = &entry.alias {
        return if before.is_empty() && !alias.is_empty() { Found::Alias(alias) } else { Found::Nothing };
    }
    // `_http._tcp`: upstream takes both words without their lines too.
    let bare = |word: &'_ str| word.strip_prefix('_').unwrap_or(word).to_owned();
    let (host, port, of) = match before {
        [] => (None, None, None),
        [host] => (Some(*host), None, None),
        [port, of] => (None, Some(bare(port)), Some(bare(of))),
        _ => return Found::Nothing,
    };
    let wanted = |own: &&Port| {
        port.as_ref().is_none_or(|port| own.name.eq_ignore_ascii_case(port))
            && of.as_ref().is_none_or(|of| own.protocol.eq_ignore_ascii_case(of))
    };
    let mut hosts = Vec::new();
    if host.is_none() && !entry.addresses.is_empty() {
        let target = service_name(None, service, namespace);
        for port in entry.ports.iter().filter(wanted) {
            let at = |address: &IpAddr| Host { address: *address, port: port.number, target: target.clone() };
            hosts.extend(entry.addresses.iter().map(at));
        }
    } else {
        let endpoints = entry.endpoints.iter();
        for endpoint in endpoints.filter(|one| host.is_none_or(|host| one.host.eq_ignore_ascii_case(host))) {
            let target = service_name(Some(&endpoint.host), service, namespace);
            let at = |address: &IpAddr, port| Host { address: *address, port, target: target.clone() };
            // An endpoint has its name and address without any port too.
            if endpoint.ports.is_empty() && port.is_none() {
                hosts.extend(endpoint.addresses.iter().map(|address| at(address, 0)));
            }
            for port in endpoint.ports.iter().filter(wanted) {
                hosts.extend(endpoint.addresses.iter().map(|address| at(address, port.number)));
            }
        }
    }
    if hosts.is_empty() { Found::Nothing } else { Found::Hosts(hosts) }
}

fn add_hosts(reply: &mut Reply, name: &Name, hosts: &[Host], kind: u16) {
    let push = |section: &mut Vec<Record>, record: Record| {
        if !section.contains(&record) {
            section.push(record);
        }
    };
    match kind {
        kind::A | kind::AAAA => {
            for host in hosts {
                match address(host.address) {
                    data if data.kind() == kind => push(&mut reply.answers, record(name.clone(), data)),
                    _ => {}
                }
            }
        }
        kind::SRV => {
            let named: Vec<(&Host, &Name)> =
                hosts.iter().filter_map(|host| Some((host, host.target.as_ref().filter(|_| host.port > 0)?))).collect();
            let weight = u16::try_from(100 / named.len().max(1)).unwrap_or(1).max(1);
            for (host, target) in named {
                let data = Data::Srv { priority: 0, weight, port: host.port, target: target.clone() };
                push(&mut reply.answers, record(name.clone(), data));
                push(&mut reply.additional, record(target.clone(), address(host.address)));
            }
        }
        _ => {}
    }
}

fn address(address: IpAddr) -> Data {
    match address {
        IpAddr::V4(address) => Data::A(address),
        IpAddr::V6(address) => Data::Aaaa(address),
    }
}

fn entry(service: &Service, slices: &Slices<'_>) -> Entry {
    let Some(spec) = &service.spec else { return Entry::default() };
    if spec.type_.as_deref() == Some("ExternalName") {
        // An address in place of a name stands for nothing, as upstream.
        let name = spec.external_name.clone().filter(|name| name.parse::<IpAddr>().is_err());
        return Entry { alias: Some(name.unwrap_or_default()), ..Entry::default() };
    }
    let port = |port: &k8s_openapi::api::core::v1::ServicePort| {
        let name = port.name.clone().unwrap_or_default();
        Some(Port { name, protocol: protocol(port).to_owned(), number: port_number(port.port)? })
    };
    let mut entry = Entry {
        addresses: cluster_addresses(spec),
        ports: spec.ports.iter().flatten().filter_map(port).collect(),
        ..Entry::default()
    };
    for slice in slices.of(service) {
        let port = |port: &k8s_openapi::api::discovery::v1::EndpointPort| {
            let (name, protocol) = (port.name.clone().unwrap_or_default(), port.protocol.clone());
            let protocol = protocol.unwrap_or_else(|| "TCP".to_owned());
            Some(Port { name, protocol, number: port.port.and_then(port_number)? })
        };
        let ports: Vec<Port> = slice.ports.iter().flatten().filter_map(port).collect();
        for endpoint in slice.endpoints.iter().filter(|endpoint| is_ready(endpoint)) {
            let addresses: Vec<IpAddr> = endpoint.addresses.iter().filter_map(|text| text.parse().ok()).collect();
            let Some(first) = addresses.first() else { continue };
            let host = endpoint.hostname.clone().filter(|host| !host.is_empty());
            let host = host.unwrap_or_else(|| first.to_string().replace(['.', ':'], "-"));
            entry.endpoints.push(Endpoint { host, addresses, ports: ports.clone() });
        }
    }
    entry
}
