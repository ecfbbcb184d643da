//! String formats of schemas (`format: date-time`), as kube-openapi's `strfmt` checks them.
//!
//! Answers whether a text has a format and which formats a served schema honours. It never decides
//! what to do with a text that has not.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::OnceLock;

use regex::Regex;

use super::go_time;
use super::go_url;

type Check = fn(&str) -> bool;

/// Names without dashes, as upstream normalizes them.
const FORMATS: [(&str, Check); 24] = [
    ("bsonobjectid", is_bson_object_id),
    ("uri", go_url::is_request_uri),
    ("email", is_email),
    ("hostname", is_hostname),
    ("ipv4", is_ipv4),
    ("ipv6", is_ipv6),
    ("cidr", is_cidr),
    ("mac", is_mac),
    ("uuid", |text| matches("uuid", text)),
    ("uuid3", |text| matches("uuid3", text)),
    ("uuid4", |text| matches("uuid4", text)),
    ("uuid5", |text| matches("uuid5", text)),
    ("isbn", |text| is_isbn10(text) || is_isbn13(text)),
    ("isbn10", is_isbn10),
    ("isbn13", is_isbn13),
    ("creditcard", is_credit_card),
    ("ssn", |text| text.len() == 11 && matches("ssn", text)),
    ("hexcolor", |text| matches("hexcolor", text)),
    ("rgbcolor", |text| matches("rgbcolor", text)),
    ("byte", |text| matches("byte", text)),
    ("password", |_| true),
    ("date", go_time::is_date),
    ("duration", |text| go_time::parse_loose_duration(text).is_some()),
    ("datetime", go_time::is_date_time),
];

/// The patterns behind some formats.
const PATTERNS: [(&str, &str); 14] = [
    (
        "hostname",
        r"^([a-zA-Z0-9\p{S}\p{L}]((-?[a-zA-Z0-9\p{S}\p{L}]{0,62})?)|([a-zA-Z0-9\p{S}\p{L}](([a-zA-Z0-9\-\p{S}\p{L}]{0,61}[a-zA-Z0-9\p{S}\p{L}])?)(\.)){1,}([a-zA-Z\p{L}]){2,63})$",
    ),
    ("uuid", r"^[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}$"),
    ("uuid3", r"^[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?3[0-9a-fA-F]{3}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}$"),
    ("uuid4", r"^[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?4[0-9a-fA-F]{3}-?[89abAB][0-9a-fA-F]{3}-?[0-9a-fA-F]{12}$"),
    ("uuid5", r"^[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?5[0-9a-fA-F]{3}-?[89abAB][0-9a-fA-F]{3}-?[0-9a-fA-F]{12}$"),
    ("isbn10", r"^(?:[0-9]{9}X|[0-9]{10})$"),
    ("isbn13", r"^(?:[0-9]{13})$"),
    (
        "creditcard",
        r"^(?:4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}|3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:2131|1800|35[0-9]{3})[0-9]{11})$",
    ),
    ("ssn", r"^[0-9]{3}[- ]?[0-9]{2}[- ]?[0-9]{4}$"),
    ("hexcolor", r"^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$"),
    (
        "rgbcolor",
        r"^rgb\([\t\n\f\r ]*(0|[1-9][0-9]?|1[0-9][0-9]?|2[0-4][0-9]|25[0-5])[\t\n\f\r ]*,[\t\n\f\r ]*(0|[1-9][0-9]?|1[0-9][0-9]?|2[0-4][0-9]|25[0-5])[\t\n\f\r ]*,[\t\n\f\r ]*(0|[1-9][0-9]?|1[0-9][0-9]?|2[0-4][0-9]|25[0-5])[\t\n\f\r ]*\)$",
    ),
    ("byte", r"^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})$"),
    ("k8sshortname", r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"),
    ("k8slongname", r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"),
];

/// The format's check, if served schemas honour the format at compatibility version 1.33.
pub fn check(format: &str) -> Option<Check> {
    if format.is_empty() {
        return None;
    }
    let normalized = format.replace('-', "");
    FORMATS.iter().find(|(name, _)| *name == normalized).map(|(_, check)| *check)
}

/// The format's check among all that kube-openapi registers, which is more than served schemas honour.
pub fn registered(format: &str) -> Option<Check> {
    match format.replace('-', "").as_str() {
        "k8sshortname" => Some(|text| text.len() <= 63 && matches("k8sshortname", text)),
        "k8slongname" => Some(|text| text.len() <= 253 && matches("k8slongname", text)),
        _ => check(format),
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    static COMPILED: OnceLock<HashMap<&'static str, Regex>> = OnceLock::new();
    let compiled = COMPILED.get_or_init(|| {
        PATTERNS.iter().filter_map(|(name, source)| Regex::new(source).ok().map(|regex| (*name, regex))).collect()
    });
    compiled.get(pattern).is_some_and(|regex| regex.is_match(text))
}

fn is_bson_object_id(text: &str) -> bool {
    text.len() == 24 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_hostname(text: &str) -> bool {
    matches("hostname", text) && text.len() <= 255 && text.split('.').all(|label| label.len() <= 63)
}

/// `netutils.ParseIPSloppy` of a dotted quad: leading zeros are decimal.
fn sloppy_ipv4(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0_u8; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let part = parts.next()?;
        if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let significant = part.trim_start_matches('0');
        *octet = if significant.is_empty() { 0 } else { significant.parse().ok()? };
    }
    parts.next().is_none().then_some(Ipv4Addr::from(octets))
}

/// Go's `net.ParseIP` for the colon form, without a zone.
fn sloppy_ipv6(text: &str) -> Option<Ipv6Addr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let (head, quad) = text.rsplit_once(':')?;
    let quad = sloppy_ipv4(quad)?;
    format!("{head}:{quad}").parse().ok()
}

fn is_ipv4(text: &str) -> bool {
    sloppy_ipv4(text).is_some() || (text.contains('.') && text.contains(':') && sloppy_ipv6(text).is_some())
}

fn is_ipv6(text: &str) -> bool {
    text.contains(':') && text.parse::<Ipv6Addr>().is_ok()
}

fn is_cidr(text: &str) -> bool {
    let Some((address, mask)) = text.split_once('/') else { return false };
    if mask.is_empty() || mask.len() > 8 || !mask.bytes().all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    let bits: u32 = mask.parse().unwrap_or(u32::MAX);
    if sloppy_ipv4(address).is_some() { bits <= 32 } else { bits <= 128 && sloppy_ipv6(address).is_some() }
}

fn is_mac(text: &str) -> bool {
    let groups = |separator: char, width: usize, counts: &[usize]| {
        let parts: Vec<&str> = text.split(separator).collect();
        counts.contains(&parts.len())
            && parts.iter().all(|part| part.len() == width && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    groups(':', 2, &[6, 8, 20]) || groups('-', 2, &[6, 8, 20]) || groups('.', 4, &[3, 4, 10])
}

fn is_isbn10(text: &str) -> bool {
    let digits = strip_spaces(text);
    if !matches("isbn10", &digits) {
        return false;
    }
    let value = |byte: u8| if byte == b'X' { 10 } else { u32::from(byte - b'0') };
    let sum: u32 = digits.bytes().zip(1..).map(|(byte, weight)| value(byte) * weight).sum();
    sum.is_multiple_of(11)
}

fn is_isbn13(text: &str) -> bool {
    let digits = strip_spaces(text);
    if !matches("isbn13", &digits) {
        return false;
    }
    let values: Vec<i32> = digits.bytes().map(|byte| i32::from(byte - b'0')).collect();
    let sum: i32 = values[..12].iter().zip([1, 3].into_iter().cycle()).map(|(value, weight)| value * weight).sum();
    values[12] == (10 - sum % 10) % 10
}

fn strip_spaces(text: &str) -> String {
    text.chars().filter(|char| !matches!(char, '\t' | '\n' | '\x0c' | '\r' | ' ' | '-')).collect()
}

fn is_credit_card(text: &str) -> bool {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    if !matches("creditcard", &digits) {
        return false;
    }
    let doubled = |(place, byte): (usize, u8)| {
        let value = u32::from(byte - b'0') * if place % 2 == 1 { 2 } else { 1 };
        if value >= 10 { value % 10 + 1 } else { value }
    };
    digits.bytes().rev().enumerate().map(doubled).sum::<u32>().is_multiple_of(10)
}

/// `net/mail.ParseAddress`: `name <local@domain>` or `local@domain`, without comments and groups.
fn is_email(text: &str) -> bool {
    let text = text.trim_matches([' ', '\t']);
    match text.strip_suffix('>').and_then(|text| text.split_once('<')) {
        Some((name, address)) => is_display_name(name.trim_matches([' ', '\t'])) && is_address(address),
        None => is_address(text),
    }
}

fn is_display_name(name: &str) -> bool {
    let quoted = name.len() >= 2 && name.starts_with('"') && name.ends_with('"');
    quoted || name.split([' ', '\t']).filter(|word| !word.is_empty()).all(|word| is_dot_atom(word, true))
}

fn is_address(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let quoted = local.len() > 2 && local.starts_with('"') && local.ends_with('"');
    let literal = domain.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
    let domain_valid = match literal {
        Some(inner) => inner.parse::<std::net::IpAddr>().is_ok(),
        None => is_dot_atom(domain, false),
    };
    (quoted || is_dot_atom(local, false)) && domain_valid
}

fn is_dot_atom(text: &str, loose: bool) -> bool {
    let atom_char = |char: char| {
        char.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(char) || (!char.is_ascii() && char != '\u{fffd}')
    };
    let dots = loose || (!text.starts_with('.') && !text.ends_with('.') && !text.contains(".."));
    !text.is_empty() && dots && text.chars().all(|char| char == '.' || atom_char(char))
}
