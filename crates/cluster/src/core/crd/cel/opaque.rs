//! Kubernetes value types in expressions: URLs, quantities, IP addresses, CIDRs, versions, formats.
//!
//! Answers how a text becomes one of them and how two compare; the functions that rules call are in
//! `library`.

use std::cmp::Ordering;
use std::net::IpAddr;

use super::authorizer::{Check, Decision};
use super::value::{Fault, Outcome};
use crate::core::crd::go::quote;
use crate::core::crd::go_url::{self, Url};
use crate::core::kinds::names;
use crate::core::quantity::Quantity;

#[derive(Clone, Debug)]
pub enum Opaque {
    Url { url: Url, text: String },
    Quantity(Quantity),
    Ip(IpAddr),
    Cidr(Cidr),
    Semver(Semver),
    Format(Format),
    Authorizer(Check),
    Decision(Decision),
}

/// An address with the length of its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    pub address: IpAddr,
    pub prefix: u8,
}

/// A semantic version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Semver {
    pub major: u64,
    pub minor: u64,
    pub patch: u64,
    pub pre: Vec<String>,
    pub build: Vec<String>,
}

/// A named format with the length of its longest pattern, by which its cost is counted.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    pub name: &'static str,
    pub pattern_length: u64,
    pub check: fn(&str) -> Vec<String>,
}

impl Opaque {
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Url { .. } => "kubernetes.URL",
            Self::Quantity(_) => "kubernetes.Quantity",
            Self::Ip(_) => "net.IP",
            Self::Cidr(_) => "net.CIDR",
            Self::Semver(_) => "kubernetes.Semver",
            Self::Format(_) => "kubernetes.NamedFormat",
            Self::Authorizer(check) => check.type_name(),
            Self::Decision(_) => "kubernetes.authorization.Decision",
        }
    }

    /// What costs count.
    pub fn size(&self) -> usize {
        match self {
            Self::Ip(IpAddr::V4(_)) => 4,
            Self::Ip(IpAddr::V6(_)) => 16,
            Self::Cidr(cidr) => usize::from(cidr.prefix.div_ceil(8)),
            _ => 1,
        }
    }

    pub fn equal(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Url { text: left, .. }, Self::Url { text: right, .. }) => left == right,
            (Self::Quantity(left), Self::Quantity(right)) => left.cmp(right) == Ordering::Equal,
            (Self::Ip(left), Self::Ip(right)) => left == right,
            (Self::Cidr(left), Self::Cidr(right)) => left == right,
            (Self::Semver(left), Self::Semver(right)) => left.compare(right) == Ordering::Equal,
            (Self::Format(left), Self::Format(right)) => left.name == right.name,
            _ => false,
        }
    }
}

/// Parses a URL.
///
/// # Errors
/// Why it is none.
pub fn url(text: &str) -> Outcome<Opaque> {
    match go_url::parse(text) {
        Ok(url) => Ok(Opaque::Url { url, text: text.to_owned() }),
        Err(error) => {
            Err(Fault::new(format!("URL parse error during conversion from string: parse {}: {error}", quote(text))))
        }
    }
}

/// Parses an IP address; zones and IPv4 in IPv6 are refused.
///
/// # Errors
/// Why it is none.
pub fn ip(text: &str) -> Outcome<IpAddr> {
    if text.contains('%') && text.split('%').next().is_some_and(|head| head.parse::<std::net::Ipv6Addr>().is_ok()) {
        return Err(Fault::new(format!("IP address with zone value is not allowed: {}", quote(text))));
    }
    let address: IpAddr = text.parse().map_err(|_| {
        Fault::new(format!(
            "IP Address {} parse error during conversion from string: ParseAddr({}): {}",
            quote(text),
            quote(text),
            ip_error(text)
        ))
    })?;
    match address {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
            Err(Fault::new(format!("IPv4-mapped IPv6 address is not allowed: {}", quote(text))))
        }
        address => Ok(address),
    }
}

/// The reason in the words of Go's `netip.ParseAddr`.
fn ip_error(text: &str) -> String {
    let separator = text.chars().find(|char| matches!(char, '.' | ':' | '%'));
    match separator {
        None => "unable to parse IP".to_owned(),
        Some('%') => "missing IPv6 address".to_owned(),
        Some('.') => ipv4_error(text),
        Some(_) => ipv6_error(text),
    }
}

fn ipv6_error(text: &str) -> String {
    let (mut rest, zone) = text.split_once('%').map_or((text, None), |(head, zone)| (head, Some(zone)));
    if zone == Some("") {
        return "zone must be a non-empty string".to_owned();
    }
    let at = |reason: &str, rest: &str| format!("{reason} (at {})", quote(rest));
    let mut ellipsis = rest.starts_with("::");
    if ellipsis {
        rest = &rest[2..];
    }
    let mut fields = 0;
    while fields < 8 {
        let digits = rest.bytes().take_while(u8::is_ascii_hexdigit).count();
        if digits > 4 {
            return at("each group must have 4 or less digits", rest);
        }
        if digits == 0 {
            return at("each colon-separated field must have at least one digit", rest);
        }
        if rest[digits..].starts_with('.') {
            if !ellipsis && fields != 6 {
                return at("embedded IPv4 address must replace the final 2 fields of the address", rest);
            }
            if fields > 6 {
                return at("too many hex fields to fit an embedded IPv4 at the end of the address", rest);
            }
            return ipv4_error(rest);
        }
        fields += 1;
        rest = &rest[digits..];
        let Some(after) = rest.strip_prefix(':') else {
            if rest.is_empty() {
                break;
            }
            return at("unexpected character, want colon", rest);
        };
        if after.is_empty() {
            return at("colon must be followed by more characters", rest);
        }
        rest = after;
        if let Some(after) = rest.strip_prefix(':') {
            if ellipsis {
                return at("multiple :: in address", rest);
            }
            ellipsis = true;
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
    }
    match (rest.is_empty(), fields < 8) {
        (false, _) => at("trailing garbage after address", rest),
        (true, true) => "address string too short".to_owned(),
        (true, false) => "the :: must expand to at least one field of zeros".to_owned(),
    }
}

fn ipv4_error(text: &str) -> String {
    let mut digits = 0;
    let mut value: u32 = 0;
    let mut fields = 0;
    for (at, char) in text.char_indices() {
        match char {
            '0'..='9' => {
                if digits == 1 && value == 0 {
                    return "IPv4 field has octet with leading zero".to_owned();
                }
                value = value * 10 + char.to_digit(10).unwrap_or_default();
                digits += 1;
                if value > 255 {
                    return "IPv4 field has value >255".to_owned();
                }
            }
            '.' => {
                if digits == 0 || at == text.len() - 1 {
                    return format!("IPv4 field must have at least one digit (at {})", quote(&text[at..]));
                }
                if fields == 3 {
                    return "IPv4 address too long".to_owned();
                }
                fields += 1;
                value = 0;
                digits = 0;
            }
            _ => return format!("unexpected character (at {})", quote(&text[at..])),
        }
    }
    "IPv4 address too short".to_owned()
}

/// Parses a CIDR.
///
/// # Errors
/// Why it is none.
pub fn cidr(text: &str) -> Outcome<Cidr> {
    let refused = |reason: &str| {
        Fault::new(format!(
            "network address parse error during conversion from string: netip.ParsePrefix({}): {reason}",
            quote(text)
        ))
    };
    let Some((head, bits)) = text.rsplit_once('/') else { return Err(refused("no '/'")) };
    if head.contains('%') {
        return Err(refused("IPv6 zones cannot be present in a prefix"));
    }
    let address: IpAddr = head.parse().map_err(|_| {
        Fault::new(format!(
            "network address parse error during conversion from string: netip.ParsePrefix({}): ParseAddr({}): {}",
            quote(text),
            quote(head),
            ip_error(head)
        ))
    })?;
    if let IpAddr::V6(v6) = address
        && v6.to_ipv4_mapped().is_some()
    {
        return Err(Fault::new(format!("IPv4-mapped IPv6 address is not allowed: {}", quote(text))));
    }
    let canonical = bits.len() <= 1 || (bits.starts_with(|char: char| ('1'..='9').contains(&char)));
    let prefix = bits.parse::<u8>().ok().filter(|_| canonical && bits.bytes().all(|byte| byte.is_ascii_digit()));
    let Some(prefix) = prefix else { return Err(refused(&format!("bad bits after slash: {}", quote(bits)))) };
    let width = if address.is_ipv4() { 32 } else { 128 };
    if prefix > width {
        return Err(refused("prefix length out of range"));
    }
    Ok(Cidr { address, prefix })
}

impl Cidr {
    fn bits(address: IpAddr) -> (u128, u32) {
        match address {
            IpAddr::V4(v4) => (u128::from(v4.to_bits()) << 96, 32),
            IpAddr::V6(v6) => (v6.to_bits(), 128),
        }
    }

    fn mask(self) -> u128 {
        if self.prefix == 0 { 0 } else { u128::MAX << (128 - u32::from(self.prefix)) }
    }

    /// Whether an address lies inside.
    pub fn contains(self, address: IpAddr) -> bool {
        let (own, own_width) = Self::bits(self.address);
        let (other, width) = Self::bits(address);
        own_width == width && own & self.mask() == other & self.mask()
    }

    /// Whether another block lies inside.
    pub fn contains_block(self, other: Self) -> bool {
        other.prefix >= self.prefix && self.contains(other.address)
    }

    /// The same block with the bits behind the prefix zero.
    pub fn masked(self) -> Self {
        let (bits, width) = Self::bits(self.address);
        let bits = bits & self.mask();
        let address = if width == 32 {
            IpAddr::V4(u32::try_from(bits >> 96).unwrap_or_default().into())
        } else {
            IpAddr::V6(bits.into())
        };
        Self { address, prefix: self.prefix }
    }

    pub fn text(self) -> String {
        format!("{}/{}", self.address, self.prefix)
    }
}

impl Semver {
    /// Parses a version as `blang/semver` does.
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("Version string empty".to_owned());
        }
        let parts: Vec<&str> = text.splitn(3, '.').collect();
        let &[major, minor, rest] = parts.as_slice() else {
            return Err("No Major.Minor.Patch elements found".to_owned());
        };
        let (rest, build) = match rest.split_once('+') {
            Some((rest, build)) => (rest, Some(build)),
            None => (rest, None),
        };
        let (patch, pre) = match rest.split_once('-') {
            Some((patch, pre)) => (patch, Some(pre)),
            None => (rest, None),
        };
        let number = |name: &str, text: &str| -> Result<u64, String> {
            if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(format!("Invalid character(s) found in {name} number {}", quote(text)));
            }
            if text.len() > 1 && text.starts_with('0') {
                return Err(format!("{} number must not contain leading zeroes {}", capital(name), quote(text)));
            }
            text.parse().map_err(|_| format!("strconv.ParseUint: parsing {}: value out of range", quote(text)))
        };
        let (major, minor) = (number("major", major)?, number("minor", minor)?);
        let patch = number("patch", patch)?;
        let valid =
            |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let pre: Vec<&str> = pre.map(|pre| pre.split('.').collect()).unwrap_or_default();
        for part in &pre {
            if part.is_empty() {
                return Err("Prerelease is empty".to_owned());
            }
            let digits = part.bytes().all(|byte| byte.is_ascii_digit());
            if digits && part.len() > 1 && part.starts_with('0') {
                return Err(format!("Numeric PreRelease version must not contain leading zeroes {}", quote(part)));
            }
            if !valid(part) {
                return Err(format!("Invalid character(s) found in prerelease {}", quote(part)));
            }
        }
        let build: Vec<&str> = build.map(|build| build.split('.').collect()).unwrap_or_default();
        for part in &build {
            if part.is_empty() {
                return Err("Build meta data is empty".to_owned());
            }
            if !valid(part) {
                return Err(format!("Invalid character(s) found in build meta data {}", quote(part)));
            }
        }
        let owned = |parts: Vec<&str>| parts.into_iter().map(str::to_owned).collect();
        Ok(Self { major, minor, patch, pre: owned(pre), build: owned(build) })
    }

    /// A version with a `v` in front, missing parts or leading zeros made into a plain one.
    pub fn normalize(text: &str) -> String {
        let text = text.trim();
        let text = text.strip_prefix('v').unwrap_or(text);
        let mut parts: Vec<String> = text.splitn(3, '.').map(str::to_owned).collect();
        for part in &mut parts {
            if part.len() > 1 {
                let trimmed = part.trim_start_matches('0');
                let kept = if trimmed.is_empty() || !trimmed.starts_with(|char: char| char.is_ascii_digit()) {
                    format!("0{trimmed}")
                } else {
                    trimmed.to_owned()
                };
                *part = kept;
            }
        }
        if parts.len() < 3 && parts.last().is_some_and(|last| last.contains(['+', '-'])) {
            return parts.join(".");
        }
        while parts.len() < 3 {
            parts.push("0".to_owned());
        }
        parts.join(".")
    }

    /// Precedence; build metadata does not count.
    pub fn compare(&self, other: &Self) -> Ordering {
        let numbers = (self.major, self.minor, self.patch).cmp(&(other.major, other.minor, other.patch));
        if numbers != Ordering::Equal {
            return numbers;
        }
        match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, true) => return Ordering::Equal,
            (true, false) => return Ordering::Greater,
            (false, true) => return Ordering::Less,
            (false, false) => {}
        }
        let parts =
            self.pre.iter().zip(&other.pre).map(|(left, right)| match (left.parse::<u64>(), right.parse::<u64>()) {
                (Ok(left), Ok(right)) => left.cmp(&right),
                (Ok(_), Err(_)) => Ordering::Less,
                (Err(_), Ok(_)) => Ordering::Greater,
                (Err(_), Err(_)) => left.cmp(right),
            });
        parts
            .into_iter()
            .find(|order| *order != Ordering::Equal)
            .unwrap_or_else(|| self.pre.len().cmp(&other.pre.len()))
    }
}

fn capital(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map(|first| first.to_ascii_uppercase().to_string() + chars.as_str()).unwrap_or_default()
}

fn without_dash(text: &str, check: fn(&str) -> Vec<String>) -> Vec<String> {
    match text.strip_suffix('-') {
        Some(head) if !head.is_empty() => check(&format!("{head}a")),
        _ => check(text),
    }
}

fn failing(valid: bool, message: &str) -> Vec<String> {
    if valid { Vec::new() } else { vec![message.to_owned()] }
}

/// `format.dns1123Label` and its like.
pub fn format(name: &str) -> Option<Format> {
    use crate::core::crd::{formats, go_time};
    type Row = (&'static str, &'static str, u64, fn(&str) -> Vec<String>);
    let table: [Row; 13] = [
        ("dns1123Label", "DNS1123Label", 30, names::dns_label),
        ("dns1123Subdomain", "DNS1123Subdomain", 60, names::dns_subdomain),
        ("dns1035Label", "DNS1035Label", 30, names::dns1035_label),
        ("qualifiedName", "QualifiedName", 60, names::qualified_name),
        ("dns1123LabelPrefix", "DNS1123LabelPrefix", 30, |text| without_dash(text, names::dns_label)),
        ("dns1123SubdomainPrefix", "DNS1123SubdomainPrefix", 60, |text| without_dash(text, names::dns_subdomain)),
        ("dns1035LabelPrefix", "DNS1035LabelPrefix", 30, |text| without_dash(text, names::dns1035_label)),
        ("labelValue", "LabelValue", 40, names::label_value),
        ("uri", "URI", 1103, |text| {
            go_url::parse(text).err().map(|error| format!("parse {}: {error}", quote(text))).into_iter().collect()
        }),
        ("uuid", "uuid", 70, |text| {
            failing(formats::check("uuid").is_some_and(|check| check(text)), "does not match the UUID format")
        }),
        ("byte", "byte", 84, |text| failing(formats::check("byte").is_some_and(|check| check(text)), "invalid base64")),
        ("date", "date", 71, |text| failing(go_time::is_date(text), "invalid date")),
        ("datetime", "datetime", 71, |text| failing(go_time::is_date_time(text), "invalid datetime")),
    ];
    let found = table.into_iter().find(|(key, ..)| *key == name)?;
    Some(Format { name: found.1, pattern_length: found.2, check: found.3 })
}
