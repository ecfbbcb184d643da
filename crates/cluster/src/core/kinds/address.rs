//! IP addresses and CIDRs as Kubernetes reads them: legacy fields take leading zeros.
//!
//! After `k8s.io/apimachinery/pkg/util/validation/ip.go` and `k8s.io/utils/net`. Pure parsing, no lookups.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::names::Faults;
use super::place::Place;
use crate::core::field::{ErrorList, FieldError};

/// Parses an address, tolerating leading zeros in IPv4 parts.
pub fn parse_sloppy(text: &str) -> Option<IpAddr> {
    if text.contains(':') {
        return parse_v6(text).map(IpAddr::V6);
    }
    parse_v4(text).map(IpAddr::V4)
}

fn parse_v4(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0u8; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let part = parts.next()?;
        if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let trimmed = part.trim_start_matches('0');
        *octet = if trimmed.is_empty() { 0 } else { trimmed.parse().ok()? };
    }
    parts.next().is_none().then(|| Ipv4Addr::from(octets))
}

fn parse_v6(text: &str) -> Option<Ipv6Addr> {
    match text.rsplit_once(':') {
        Some((head, tail)) if tail.contains('.') => {
            let octets = parse_v4(tail)?.octets();
            let words = format!("{:x}{:02x}:{:x}{:02x}", octets[0], octets[1], octets[2], octets[3]);
            format!("{head}:{words}").parse().ok()
        }
        _ => text.parse().ok(),
    }
}

/// Checks an address in a field that has always taken sloppy forms.
pub fn validate_legacy(text: &str, place: &Place, errors: &mut ErrorList) {
    if parse_sloppy(text).is_none() {
        errors.push(FieldError::invalid(place, text, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"));
    }
}

/// Checks an address that must be in its one canonical form.
pub fn validate_canonical(text: &str, place: &Place, errors: &mut ErrorList) {
    for fault in canonical_ip_faults(text) {
        errors.push(FieldError::invalid(place, text, fault));
    }
}

/// The faults of an address that must be canonical.
pub fn canonical_ip_faults(text: &str) -> Faults {
    let Some(address) = parse_sloppy(text) else {
        return vec!["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".to_owned()];
    };
    let mut faults = Faults::new();
    let strict: Result<IpAddr, _> = text.parse();
    match strict {
        Err(_) => faults.push("must not have leading 0s".to_owned()),
        Ok(IpAddr::V6(address)) if address.to_ipv4_mapped().is_some() => {
            faults.push("must not be an IPv4-mapped IPv6 address".to_owned());
        }
        Ok(_) => {}
    }
    if faults.is_empty() && canonical(address) != text {
        faults.push(format!("must be in canonical form (\"{}\")", canonical(address)));
    }
    faults
}

/// The canonical form; an IPv4-mapped address prints as IPv4, as Go prints it.
pub fn canonical(address: IpAddr) -> String {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or_else(|| v6.to_string(), |v4| v4.to_string()),
        IpAddr::V4(v4) => v4.to_string(),
    }
}

/// Whether the text is an IPv6 address.
pub fn is_ipv6(text: &str) -> bool {
    matches!(parse_sloppy(text), Some(IpAddr::V6(address)) if address.to_ipv4_mapped().is_none())
}

/// Whether two addresses are one of each family.
pub fn is_dual_stack(addresses: &[&str]) -> bool {
    addresses.iter().any(|address| is_ipv6(address)) && addresses.iter().any(|address| !is_ipv6(address))
}

/// Checks an address that traffic is sent to: not unspecified, loopback or link-local.
pub fn validate_endpoint(text: &str, place: &Place, errors: &mut ErrorList) {
    let Some(address) = parse_sloppy(text) else {
        errors.push(FieldError::invalid(place, text, "must be a valid IP address"));
        return;
    };
    let (link_local, link_local_multicast) = match address {
        IpAddr::V4(v4) => (v4.is_link_local(), v4.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(v6) => (v6.segments()[0] & 0xffc0 == 0xfe80, v6.segments()[0] & 0xff0f == 0xff02),
    };
    if address.is_unspecified() {
        errors.push(FieldError::invalid(place, text, format!("may not be unspecified ({text})")));
    }
    if address.is_loopback() {
        errors.push(FieldError::invalid(place, text, "may not be in the loopback range (127.0.0.0/8, ::1/128)"));
    }
    if link_local {
        errors.push(FieldError::invalid(place, text, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"));
    }
    if link_local_multicast {
        errors.push(FieldError::invalid(
            place,
            text,
            "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)",
        ));
    }
}

/// An address and the length of its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    pub address: IpAddr,
    pub prefix: u8,
}

impl Cidr {
    /// Parses `address/length`, tolerating leading zeros.
    pub fn parse_sloppy(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let address = parse_sloppy(address)?;
        if prefix.is_empty() || !prefix.bytes().all(|byte| byte.is_ascii_digit()) || prefix.len() > 5 {
            return None;
        }
        let prefix: u16 = prefix.parse().ok()?;
        let widest = if address.is_ipv4() { 32 } else { 128 };
        (prefix <= widest).then_some(Self { address, prefix: u8::try_from(prefix).unwrap_or(u8::MAX) })
    }

    fn bits(address: IpAddr) -> (u128, u32) {
        match address {
            IpAddr::V4(v4) => (u128::from(u32::from(v4)) << 96, 32),
            IpAddr::V6(v6) => (u128::from(v6), 128),
        }
    }

    fn mask(self) -> u128 {
        if self.prefix == 0 { 0 } else { u128::MAX << (128 - u32::from(self.prefix)) }
    }

    /// Whether an address of the same family lies inside.
    pub fn contains(self, address: IpAddr) -> bool {
        let ((own, width), (other, other_width)) = (Self::bits(self.address), Self::bits(address));
        width == other_width && (own & self.mask()) == (other & self.mask())
    }

    /// The network: host bits cleared.
    pub fn network(self) -> Self {
        let (bits, width) = Self::bits(self.address);
        let bits = bits & self.mask();
        let address = if width == 32 {
            IpAddr::V4(Ipv4Addr::from(u32::try_from(bits >> 96).unwrap_or(0)))
        } else {
            IpAddr::V6(Ipv6Addr::from(bits))
        };
        Self { address, prefix: self.prefix }
    }
}

impl std::fmt::Display for Cidr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", canonical(self.address), self.prefix)
    }
}

/// Checks a CIDR in a field that has always taken sloppy forms.
pub fn validate_legacy_cidr(text: &str, place: &Place, errors: &mut ErrorList) {
    if Cidr::parse_sloppy(text).is_none() {
        errors.push(FieldError::invalid(
            place,
            text,
            "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
        ));
    }
}

/// Checks a CIDR that must be in its one canonical form.
pub fn validate_canonical_cidr(text: &str, place: &Place, errors: &mut ErrorList) {
    let Some(cidr) = Cidr::parse_sloppy(text) else {
        validate_legacy_cidr(text, place, errors);
        return;
    };
    let strict = text.split_once('/').is_some_and(|(address, prefix)| {
        address.parse::<IpAddr>().is_ok() && (prefix == "0" || !prefix.starts_with('0'))
    });
    if !strict {
        errors.push(FieldError::invalid(place, text, "must not have leading 0s in IP or prefix length"));
    } else if matches!(cidr.address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some()) {
        errors.push(FieldError::invalid(place, text, "must not have an IPv4-mapped IPv6 address"));
    } else if cidr.network() != cidr {
        errors.push(FieldError::invalid(place, text, "must not have bits set beyond the prefix length"));
    } else if cidr.to_string() != text {
        errors.push(FieldError::invalid(place, text, format!("must be in canonical form (\"{cidr}\")")));
    }
}

/// Warns of an address that later versions will not take.
pub fn warn(text: &str, place: &Place, warnings: &mut Vec<String>) {
    let Some(address) = parse_sloppy(text) else { return };
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_none() => {
            if v6.to_string() != text {
                warnings.push(format!(
                    "{place}: IPv6 address \"{text}\" should be in RFC 5952 canonical format (\"{v6}\")"
                ));
            }
        }
        Ok(IpAddr::V4(_)) => {}
        _ => warnings.push(format!(
            "{place}: non-standard IP address \"{text}\" will be considered invalid in a future Kubernetes release: use \"{}\"",
            canonical(address)
        )),
    }
}

/// Warns of a CIDR that later versions will not take, or whose meaning is not clear.
pub fn warn_cidr(text: &str, place: &Place, warnings: &mut Vec<String>) {
    let Some(cidr) = Cidr::parse_sloppy(text) else { return };
    let (network, mut clean) = (cidr.network(), true);
    if network.address != cidr.address {
        clean = false;
        warnings.push(format!(
            "{place}: CIDR value \"{text}\" is ambiguous in this context (should be \"{network}\" or \"{}/{}\"?)",
            canonical(cidr.address),
            if cidr.address.is_ipv4() { 32 } else { 128 }
        ));
    }
    let strict = text.split_once('/').is_some_and(|(address, prefix)| {
        address.parse::<IpAddr>().is_ok() && (prefix == "0" || !prefix.starts_with('0'))
    });
    let mapped = matches!(cidr.address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
    if !strict || mapped {
        clean = false;
        warnings.push(format!(
            "{place}: non-standard CIDR value \"{text}\" will be considered invalid in a future Kubernetes release: use \"{network}\""
        ));
    }
    if clean && cidr.address.is_ipv6() && cidr.to_string() != text {
        warnings
            .push(format!("{place}: IPv6 CIDR value \"{text}\" should be in RFC 5952 canonical format (\"{cidr}\")"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_upstream_reads_them() {
        assert_eq!(parse_sloppy("010.002.0.1").map(canonical), Some("10.2.0.1".to_owned()));
        assert_eq!(parse_sloppy("::ffff:1.2.3.4").map(canonical), Some("1.2.3.4".to_owned()));
        assert!(parse_sloppy("1.2.3").is_none() && parse_sloppy("1.2.3.256").is_none());
        assert!(canonical_ip_faults("10.0.0.1").is_empty());
        assert_eq!(canonical_ip_faults("2001:DB8::1"), ["must be in canonical form (\"2001:db8::1\")"]);
    }

    #[test]
    fn a_cidr_contains_its_subnets() {
        let wide = Cidr::parse_sloppy("10.0.0.0/8").unwrap();
        assert!(wide.contains(parse_sloppy("10.9.8.7").unwrap()));
        assert!(!wide.contains(parse_sloppy("11.0.0.0").unwrap()));
        assert!(Cidr::parse_sloppy("10.0.0.0/33").is_none());
    }
}
