//! What a pod's `/etc/hosts` and `/etc/resolv.conf` say, and how the pod calls itself.
//!
//! The texts are those of a kubelet with containerd. The host's files are handed in as text.

use std::net::{IpAddr, Ipv4Addr};

use k8s_openapi::api::core::v1::{Pod, PodDNSConfigOption, PodSpec};

use super::{dns::zone::DOMAIN, network};

/// The first line of a file that is made for a pod; programs and the official suite look for it.
const HEADER: &str = "# Kubernetes-managed hosts file.";
const HEADER_OF_HOST: &str = "# Kubernetes-managed hosts file (host network).";
const ALIASES: &str = "# Entries added by HostAliases.";
/// Names of this machine that every file has.
const LOCAL: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\n\
                     fe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n";
/// The most of each that a file has: a kubelet's limits.
const SERVERS: usize = 3;
const SEARCHES: usize = 32;
const SEARCH_BYTES: usize = 2048;
/// A name with fewer dots than this is looked for in the search domains first.
const DOTS: &str = "ndots:5";
/// The longest name that Linux lets a machine have, and the longest part of a name.
const NODENAME_BYTES: usize = 64;
const LABEL_BYTES: usize = 63;

/// How a pod calls itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `spec.hostname`, or the pod's name.
    pub hostname: String,
    /// `SUBDOMAIN.NAMESPACE.svc.cluster.local`; empty without a subdomain.
    pub domain: String,
}

impl Identity {
    /// How a pod calls itself.
    pub fn of(pod: &Pod) -> Self {
        let spec = pod.spec.as_ref();
        let name = spec.and_then(|spec| spec.hostname.as_deref()).filter(|name| !name.is_empty());
        let name = name.or(pod.metadata.name.as_deref()).unwrap_or_default();
        let cut: String = name.chars().take(LABEL_BYTES).collect();
        let hostname = cut.trim_end_matches(['-', '.']).to_owned();
        let subdomain = spec.and_then(|spec| spec.subdomain.as_deref()).filter(|name| !name.is_empty());
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let domain = subdomain.map(|subdomain| format!("{subdomain}.{namespace}.svc.{DOMAIN}")).unwrap_or_default();
        Self { hostname, domain }
    }

    /// The whole name, where there is a domain.
    pub fn whole_name(&self) -> Option<String> {
        (!self.domain.is_empty()).then(|| format!("{}.{}", self.hostname, self.domain))
    }
}

/// What `hostname` says in a pod that does not use the host's network.
///
/// # Errors
/// The message of the event, when `setHostnameAsFQDN` wants a name that Linux has no room for.
pub fn machine_name(pod: &Pod) -> Result<String, String> {
    let identity = Identity::of(pod);
    let wants_all = pod.spec.as_ref().and_then(|spec| spec.set_hostname_as_fqdn) == Some(true);
    match identity.whole_name().filter(|_| wants_all) {
        Some(name) if name.len() > NODENAME_BYTES => Err(format!(
            "failed to construct FQDN from pod hostname and cluster domain, FQDN {name} is too long \
             ({NODENAME_BYTES} characters is the max, {} characters requested)",
            name.len()
        )),
        Some(name) => Ok(name),
        None => Ok(identity.hostname),
    }
}

/// The text of a pod's `/etc/hosts`; `address` is the pod's, and `host` the text of the host's own file.
pub fn hosts(pod: &Pod, address: &str, host: &str) -> String {
    let mut text = if uses_host_network(pod) {
        let end = if host.is_empty() || host.ends_with('\n') { "" } else { "\n" };
        format!("{HEADER_OF_HOST}\n{host}{end}")
    } else {
        let identity = Identity::of(pod);
        let names = identity.whole_name().map(|whole| format!("{whole}\t{}", identity.hostname));
        format!("{HEADER}\n{LOCAL}{address}\t{}\n", names.unwrap_or(identity.hostname))
    };
    let aliases = pod.spec.iter().flat_map(|spec| spec.host_aliases.iter().flatten());
    for (index, alias) in aliases.enumerate() {
        if index == 0 {
            text.push_str(&format!("\n{ALIASES}\n"));
        }
        text.push_str(&format!("{}\t{}\n", alias.ip, alias.hostnames.as_deref().unwrap_or_default().join("\t")));
    }
    text
}

fn uses_host_network(pod: &Pod) -> bool {
    pod.spec.as_ref().is_some_and(|spec| spec.host_network == Some(true))
}

/// Where names are looked up: what `/etc/resolv.conf` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolver {
    pub servers: Vec<String>,
    pub searches: Vec<String>,
    pub options: Vec<String>,
}

impl Resolver {
    /// Reads a file; what is unknown is passed over.
    pub fn parse(text: &str) -> Self {
        let mut found = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let rest = |words: std::str::SplitWhitespace<'_>| words.map(str::to_owned).collect::<Vec<_>>();
            match words.next() {
                Some("nameserver") => found.servers.extend(words.next().map(str::to_owned)),
                // The last of these lines counts.
                Some("search" | "domain") => found.searches = rest(words),
                Some("options") => found.options.extend(rest(words)),
                _ => {}
            }
        }
        found
    }

    /// The text of a file.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if !self.searches.is_empty() {
            text.push_str(&format!("search {}\n", self.searches.join(" ")));
        }
        self.servers.iter().for_each(|server| text.push_str(&format!("nameserver {server}\n")));
        if !self.options.is_empty() {
            text.push_str(&format!("options {}\n", self.options.join(" ")));
        }
        text
    }
}

/// What a pod's names are looked up by, and what of its wishes found no room: messages of events whose reason is
/// `DNSConfigForming`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    pub text: String,
    pub omitted: Vec<String>,
}

/// The address that a pod's `/etc/resolv.conf` names.
///
/// Where the server listens on port 53, it is the server's real address: answers then come from the address
/// that was asked, which programs check that do not connect their socket (musl's, and so all of Alpine). Else
/// it is the service's address, and only programs that connect their socket find the port.
pub fn name_server(block: u8, dns_port: u16) -> Ipv4Addr {
    if dns_port == network::DNS_PORT { network::dns_address(block) } else { network::DNS }
}

/// The text of a pod's `/etc/resolv.conf`; `server` is the cluster's, and `host` the text of the host's own file.
pub fn resolv_conf(pod: &Pod, server: Ipv4Addr, host: &str) -> Resolved {
    let spec = pod.spec.clone().unwrap_or_default();
    let mut resolver = by_policy(pod, &spec, server, Resolver::parse(host));
    if let Some(config) = &spec.dns_config {
        resolver.servers.extend(config.nameservers.iter().flatten().cloned());
        resolver.searches.extend(config.searches.iter().flatten().cloned());
        resolver.options = merge_options(&resolver.options, config.options.as_deref().unwrap_or_default());
    }
    without_repeats(&mut resolver.servers);
    without_repeats(&mut resolver.searches);
    let mut omitted = Vec::new();
    if resolver.servers.len() > SERVERS {
        resolver.servers.truncate(SERVERS);
        omitted.push(format!(
            "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: {}",
            resolver.servers.join(" ")
        ));
    }
    let fitting = fitting(&resolver.searches);
    if fitting < resolver.searches.len() {
        resolver.searches.truncate(fitting);
        omitted.push(format!(
            "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: {}",
            resolver.searches.join(" ")
        ));
    }
    Resolved { text: resolver.text(), omitted }
}

fn by_policy(pod: &Pod, spec: &PodSpec, server: Ipv4Addr, host: Resolver) -> Resolver {
    let own_network = spec.host_network != Some(true);
    match spec.dns_policy.as_deref() {
        Some("None") => Resolver::default(),
        Some("Default") => of_host(host, server, own_network),
        Some("ClusterFirst") | None if !own_network => of_host(host, server, own_network),
        _ => {
            let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
            let mut searches = vec![format!("{namespace}.svc.{DOMAIN}"), format!("svc.{DOMAIN}"), DOMAIN.to_owned()];
            searches.extend(host.searches);
            Resolver { servers: vec![server.to_string()], searches, options: vec![DOTS.to_owned()] }
        }
    }
}

/// Variables by which programs of the C library look names up as the pod's `/etc/resolv.conf` would say, where a pod
/// has the host's file. Servers have no variable: the table leads to the cluster's.
pub fn variables(pod: &Pod, host: &str) -> Vec<(&'static str, String)> {
    let resolver = Resolver::parse(&resolv_conf(pod, network::DNS, host).text);
    let rows = [("LOCALDOMAIN", resolver.searches), ("RES_OPTIONS", resolver.options)];
    rows.into_iter().filter(|(_, words)| !words.is_empty()).map(|(name, words)| (name, words.join(" "))).collect()
}

/// The host's own servers. One on the host's loopback is out of a pod's reach, whose loopback is its own: the
/// cluster's server asks it in the pod's place.
fn of_host(mut host: Resolver, server: Ipv4Addr, own_network: bool) -> Resolver {
    let is_local = |text: &String| text.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    if own_network {
        for own in host.servers.iter_mut().filter(|own| is_local(own)) {
            *own = server.to_string();
        }
    }
    host
}

/// Options by name: a pod's own replace those that it has already.
fn merge_options(standing: &[String], own: &[PodDNSConfigOption]) -> Vec<String> {
    let mut merged: Vec<(String, Option<String>)> = Vec::new();
    let split = |option: &String| match option.split_once(':') {
        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
        None => (option.clone(), None),
    };
    let own = own.iter().map(|option| (option.name.clone().unwrap_or_default(), option.value.clone()));
    for (name, value) in standing.iter().map(split).chain(own) {
        match merged.iter_mut().find(|(known, _)| *known == name) {
            Some(known) => known.1 = value,
            None => merged.push((name, value)),
        }
    }
    let text = |(name, value): (String, Option<String>)| match value {
        Some(value) if !value.is_empty() => format!("{name}:{value}"),
        _ => name,
    };
    merged.into_iter().map(text).collect()
}

fn without_repeats(words: &mut Vec<String>) {
    let mut seen = std::collections::BTreeSet::new();
    words.retain(|word| seen.insert(word.clone()));
}

/// How many search domains have room, in number and in the length of their line.
fn fitting(searches: &[String]) -> usize {
    let mut length = 0;
    let fits = |search: &&String| {
        length += search.len() + 1;
        length <= SEARCH_BYTES + 1
    };
    searches.iter().take(SEARCHES).take_while(fits).count()
}

#[cfg(test)]
#[path = "etc_tests.rs"]
mod tests;
