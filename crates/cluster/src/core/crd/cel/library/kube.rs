//! The libraries of Kubernetes: URLs, quantities, addresses, versions, formats.

use std::cmp::Ordering;
use std::net::IpAddr;
use std::sync::Arc;

use super::super::authorizer::{Check, Decision};
use super::super::opaque::{self, Opaque, Semver};
use super::super::value::{Fault, Outcome, Val};
use crate::core::quantity::{Format, Quantity};

/// Calls a library function, if the function is one and the arguments fit it.
pub fn call<'a>(function: &str, overload: &str, args: &[Val<'a>]) -> Option<Outcome<Val<'a>>> {
    if let Some(name) = function.strip_prefix("format.") {
        return format_call(name, args);
    }
    match args {
        [Val::Text(text)] => parse(function, text),
        [Val::Text(text), Val::Bool(normalize)] => semver(function, text, *normalize),
        [Val::Opaque(value), rest @ ..] => match value.as_ref() {
            Opaque::Url { url, text } => url_part(function, url, text),
            Opaque::Quantity(quantity) => quantity_call(function, quantity, rest),
            Opaque::Ip(address) => ip_part(function, *address),
            Opaque::Cidr(cidr) => cidr_call(function, *cidr, rest),
            Opaque::Semver(version) => semver_call(function, version, rest),
            Opaque::Authorizer(check) => authorizer_call(function, check, rest),
            Opaque::Decision(decision) => decision_part(function, decision, rest),
            Opaque::Format(format) => match (function, rest) {
                ("validate", [Val::Text(text)]) => {
                    let faults = (format.check)(text);
                    let list = || Val::list(faults.iter().map(|fault| Val::text(fault.clone())).collect());
                    Some(Ok(if faults.is_empty() { Val::Optional(None) } else { Val::some(list()) }))
                }
                _ => None,
            },
        },
        _ => {
            let _ = overload;
            None
        }
    }
}

/// Narrows a question to the authorizer, or asks it.
fn authorizer_call<'a>(function: &str, check: &Check, args: &[Val<'a>]) -> Option<Outcome<Val<'a>>> {
    let texts: Option<Vec<&str>> =
        args.iter().map(|arg| if let Val::Text(text) = arg { Some(&**text) } else { None }).collect();
    if function == "check" {
        let [verb] = texts?[..] else { return None };
        return Some(Ok(opaque(Opaque::Decision(check.ask(verb)))));
    }
    check.narrowed(function, &texts?).map(|check| Ok(opaque(Opaque::Authorizer(check))))
}

fn decision_part<'a>(function: &str, decision: &Decision, args: &[Val<'a>]) -> Option<Outcome<Val<'a>>> {
    match (function, args) {
        ("allowed", []) => Some(Ok(Val::Bool(decision.allowed))),
        ("reason", []) => Some(Ok(Val::text(decision.reason.clone()))),
        // Roles are always there to be read.
        ("errored", []) => Some(Ok(Val::Bool(false))),
        ("error", []) => Some(Ok(Val::text(String::new()))),
        _ => None,
    }
}

fn opaque<'a>(value: Opaque) -> Val<'a> {
    Val::Opaque(Arc::new(value))
}

fn format_call<'a>(name: &str, args: &[Val<'a>]) -> Option<Outcome<Val<'a>>> {
    match (name, args) {
        ("named", [Val::Text(name)]) => Some(Ok(match opaque::format(name) {
            Some(format) => Val::some(opaque(Opaque::Format(format))),
            None => Val::Optional(None),
        })),
        (name, []) => opaque::format(name).map(|format| Ok(opaque(Opaque::Format(format)))),
        _ => None,
    }
}

fn parse<'a>(function: &str, text: &str) -> Option<Outcome<Val<'a>>> {
    Some(match function {
        "url" => opaque::url(text).map(opaque),
        "isURL" => Ok(Val::Bool(opaque::url(text).is_ok())),
        "quantity" => match Quantity::parse(text) {
            Ok(quantity) => Ok(opaque(Opaque::Quantity(quantity))),
            Err(error) => Err(Fault::new(error.to_string())),
        },
        "isQuantity" => Ok(Val::Bool(Quantity::parse(text).is_ok())),
        "ip" => opaque::ip(text).map(|address| opaque(Opaque::Ip(address))),
        "isIP" => Ok(Val::Bool(opaque::ip(text).is_ok())),
        "ip.isCanonical" => opaque::ip(text).map(|address| Val::Bool(address.to_string() == text)),
        "cidr" => opaque::cidr(text).map(|cidr| opaque(Opaque::Cidr(cidr))),
        "isCIDR" => Ok(Val::Bool(opaque::cidr(text).is_ok())),
        "semver" | "isSemver" => return semver(function, text, false),
        _ => return None,
    })
}

fn semver<'a>(function: &str, text: &str, normalize: bool) -> Option<Outcome<Val<'a>>> {
    let text = if normalize { Semver::normalize(text) } else { text.to_owned() };
    let parsed = Semver::parse(&text);
    match function {
        "semver" => Some(parsed.map(|version| opaque(Opaque::Semver(version))).map_err(Fault::new)),
        "isSemver" => Some(Ok(Val::Bool(parsed.is_ok()))),
        _ => None,
    }
}

fn url_part<'a>(function: &str, url: &crate::core::crd::go_url::Url, text: &str) -> Option<Outcome<Val<'a>>> {
    let _ = text;
    Some(Ok(match function {
        "getScheme" => Val::text(url.scheme.clone()),
        "getHost" => Val::text(url.host.clone()),
        "getHostname" => Val::text(url.hostname()),
        "getPort" => Val::text(url.port()),
        "getEscapedPath" => Val::text(url.escaped_path()),
        "getQuery" => {
            let entries = url.query_values().into_iter();
            let list = |values: Vec<String>| Val::list(values.into_iter().map(Val::text).collect());
            super::build_map(entries.map(|(key, values)| (Val::text(key), list(values))).collect())
        }
        _ => return None,
    }))
}

fn ordering<'a>(order: Ordering) -> Val<'a> {
    Val::Int(match order {
        Ordering::Less => -1,
        Ordering::Equal => 0,
        Ordering::Greater => 1,
    })
}

fn quantity_call<'a>(function: &str, quantity: &Quantity, rest: &[Val<'a>]) -> Option<Outcome<Val<'a>>> {
    let other = match rest {
        [Val::Opaque(other)] => match other.as_ref() {
            Opaque::Quantity(other) => Some(other.clone()),
            _ => return None,
        },
        [Val::Int(number)] if matches!(function, "add" | "sub") => {
            Some(Quantity::from_value(*number, Format::DecimalExponent))
        }
        [] => None,
        _ => return None,
    };
    Some(match (function, other) {
        ("isGreaterThan", Some(other)) => Ok(Val::Bool(*quantity > other)),
        ("isLessThan", Some(other)) => Ok(Val::Bool(*quantity < other)),
        ("compareTo", Some(other)) => Ok(ordering(quantity.cmp(&other))),
        ("add" | "sub", Some(other)) => {
            let mut result = quantity.clone();
            if function == "add" {
                result.add(&other)
            } else {
                result.sub(&other)
            }
            Ok(opaque(Opaque::Quantity(result)))
        }
        ("sign", None) => Ok(Val::Int(i64::from(quantity.sign()))),
        ("asApproximateFloat", None) => Ok(Val::Double(quantity.as_f64())),
        ("isInteger", None) => Ok(Val::Bool(quantity.as_i64().is_some())),
        ("asInteger", None) => match quantity.as_i64() {
            Some(number) => Ok(Val::Int(number)),
            None => Err(Fault::new("cannot convert value to integer")),
        },
        _ => return None,
    })
}

fn ip_part<'a>(function: &str, address: IpAddr) -> Option<Outcome<Val<'a>>> {
    let link_local_multicast = match address {
        IpAddr::V4(v4) => v4.octets()[..3] == [224, 0, 0],
        IpAddr::V6(v6) => v6.segments()[0] & 0xff0f == 0xff02,
    };
    let link_local_unicast = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.segments()[0] & 0xffc0 == 0xfe80,
    };
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    Some(Ok(match function {
        "family" => Val::Int(if address.is_ipv4() { 4 } else { 6 }),
        "isUnspecified" => Val::Bool(address.is_unspecified()),
        "isLoopback" => Val::Bool(address.is_loopback()),
        "isLinkLocalMulticast" => Val::Bool(link_local_multicast),
        "isLinkLocalUnicast" => Val::Bool(link_local_unicast),
        "isGlobalUnicast" => Val::Bool(
            !(broadcast
                || address.is_unspecified()
                || address.is_loopback()
                || address.is_multicast()
                || link_local_unicast),
        ),
        _ => return None,
    }))
}

fn cidr_call<'a>(function: &str, cidr: opaque::Cidr, rest: &[Val<'a>]) -> Option<Outcome<Val<'a>>> {
    Some(match (function, rest) {
        ("containsIP", [Val::Text(text)]) => opaque::ip(text).map(|address| Val::Bool(cidr.contains(address))),
        ("containsCIDR", [Val::Text(text)]) => opaque::cidr(text).map(|other| Val::Bool(cidr.contains_block(other))),
        ("containsIP" | "containsCIDR", [Val::Opaque(other)]) => match (function, other.as_ref()) {
            ("containsIP", Opaque::Ip(address)) => Ok(Val::Bool(cidr.contains(*address))),
            ("containsCIDR", Opaque::Cidr(other)) => Ok(Val::Bool(cidr.contains_block(*other))),
            _ => return None,
        },
        ("ip", []) => Ok(opaque(Opaque::Ip(cidr.address))),
        ("prefixLength", []) => Ok(Val::Int(i64::from(cidr.prefix))),
        ("masked", []) => Ok(opaque(Opaque::Cidr(cidr.masked()))),
        _ => return None,
    })
}

fn semver_call<'a>(function: &str, version: &Semver, rest: &[Val<'a>]) -> Option<Outcome<Val<'a>>> {
    let order = match rest {
        [] => None,
        [Val::Opaque(other)] => match other.as_ref() {
            Opaque::Semver(other) => Some(version.compare(other)),
            _ => return None,
        },
        _ => return None,
    };
    let number = |value: u64| Val::Int(i64::try_from(value).unwrap_or(i64::MAX));
    Some(Ok(match (function, order) {
        ("isGreaterThan", Some(order)) => Val::Bool(order == Ordering::Greater),
        ("isLessThan", Some(order)) => Val::Bool(order == Ordering::Less),
        ("compareTo", Some(order)) => ordering(order),
        ("major", None) => number(version.major),
        ("minor", None) => number(version.minor),
        ("patch", None) => number(version.patch),
        _ => return None,
    }))
}

/// The text of an address or block, which `string` converts to.
pub fn address_text(value: &Opaque) -> Option<String> {
    match value {
        Opaque::Ip(address) => Some(address.to_string()),
        Opaque::Cidr(cidr) => Some(cidr.text()),
        _ => None,
    }
}
