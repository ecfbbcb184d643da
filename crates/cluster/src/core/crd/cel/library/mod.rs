//! The functions behind calls: operators, conversions, and the libraries of Kubernetes.
//!
//! Answers the result of one call with ready arguments, and what the call costs. Which overloads there
//! are is in `functions`.

mod convert;
pub(super) mod format;
mod kube;
mod lists;
mod operators;
mod strings;
mod time;

use std::sync::Arc;

use super::opaque::Opaque;
use super::value::{Fault, Found, List, Map, Outcome, Val};
use crate::core::crd::pattern::Pattern;

pub use convert::{parse_duration, parse_timestamp};

/// Calls a function.
///
/// # Errors
/// The fault of the function, or arguments that none of its overloads takes.
pub fn call<'a>(function: &str, overload: &str, args: &[Val<'a>], pattern: Option<&Pattern>) -> Outcome<Val<'a>> {
    if pattern.is_some() && !matches!(args.first(), Some(Val::Text(_))) {
        return Err(Fault::no_overload());
    }
    let result = operators::call(function, args)
        .or_else(|| convert::call(function, args))
        .or_else(|| strings::call(function, args, pattern))
        .or_else(|| lists::call(function, args))
        .or_else(|| time::call(function, args))
        .or_else(|| kube::call(function, overload, args))
        .or_else(|| optionals(function, args));
    result.unwrap_or_else(|| Err(refused(function, args)))
}

/// The fault of a call whose arguments fit no overload.
fn refused(function: &str, args: &[Val<'_>]) -> Fault {
    let names: Vec<&str> = args.iter().map(Val::type_name).collect();
    Fault::new(format!("no such overload: {function}({})", names.join(", ")))
}

fn optionals<'a>(function: &str, args: &[Val<'a>]) -> Option<Outcome<Val<'a>>> {
    Some(match (function, args) {
        ("optional.of", [value]) => Ok(Val::some(value.clone())),
        ("optional.ofNonZeroValue", [value]) => {
            Ok(if is_zero(value) { Val::Optional(None) } else { Val::some(value.clone()) })
        }
        ("optional.none", []) => Ok(Val::Optional(None)),
        ("value", [Val::Optional(inner)]) => match inner {
            Some(inner) => Ok((**inner).clone()),
            None => Err(Fault::new("optional.none() dereference")),
        },
        ("hasValue", [Val::Optional(inner)]) => Ok(Val::Bool(inner.is_some())),
        ("first" | "last", [Val::List(list)]) => {
            let index = if function == "first" { 0 } else { list.len().saturating_sub(1) };
            if list.is_empty() { Ok(Val::Optional(None)) } else { list.get(index).map(Val::some) }
        }
        ("optional.unwrap" | "unwrapOpt", [Val::List(list)]) => unwrap_all(list),
        ("cel.@mapInsert", [Val::Map(map), key, value]) => insert(map, vec![(key.clone(), value.clone())]),
        ("cel.@mapInsert", [Val::Map(map), Val::Map(other)]) => {
            let pairs: Outcome<Vec<(Val<'a>, Val<'a>)>> = other
                .keys()
                .into_iter()
                .map(|key| match other.find(&key)? {
                    Found::Value(value) => Ok((key, value)),
                    Found::Missing => Err(Fault::no_overload()),
                })
                .collect();
            pairs.and_then(|pairs| insert(map, pairs))
        }
        _ => return None,
    })
}

fn unwrap_all<'a>(list: &List<'a>) -> Outcome<Val<'a>> {
    let mut values = Vec::new();
    for value in list.values()? {
        match value {
            Val::Optional(inner) => values.extend(inner.map(|inner| (*inner).clone())),
            other => return Err(Fault::new(format!("value {} is not optional", other.shown()))),
        }
    }
    Ok(Val::list(values))
}

fn insert<'a>(map: &Map<'a>, added: Vec<(Val<'a>, Val<'a>)>) -> Outcome<Val<'a>> {
    let mut entries = match map {
        Map::Built(entries) => entries.as_ref().clone(),
        Map::Data { .. } => return Err(Fault::no_overload()),
    };
    for (key, value) in added {
        if entries.iter().any(|(known, _)| known.equal(&key).unwrap_or(false)) {
            return Err(Fault::new(format!("insert failed: key {} already exists", key.shown())));
        }
        entries.push((key, value));
    }
    Ok(Val::Map(Map::Built(Arc::new(entries))))
}

fn is_zero(value: &Val<'_>) -> bool {
    match value {
        Val::Null => true,
        Val::Bool(flag) => !flag,
        Val::Int(number) => *number == 0,
        Val::Uint(number) => *number == 0,
        Val::Double(number) => *number == 0.0,
        Val::Text(text) => text.is_empty(),
        Val::Bytes(bytes) => bytes.is_empty(),
        Val::List(list) => list.kind == super::value::ListKind::Plain && list.is_empty(),
        Val::Map(map) => matches!(map, Map::Built(_)) && map.is_empty(),
        Val::Duration(nanoseconds) => *nanoseconds == 0,
        Val::Timestamp(moment) => moment.seconds == -62_135_596_800 && moment.nanoseconds == 0,
        Val::Type(_) | Val::Optional(_) | Val::Opaque(_) | Val::Preserved(_) => false,
    }
}

/// A map from entries; a later entry replaces an earlier one with the same key.
pub fn build_map<'a>(entries: Vec<(Val<'a>, Val<'a>)>) -> Val<'a> {
    let mut built: Vec<(Val<'a>, Val<'a>)> = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let same_key = |(known, _): &&mut (Val<'a>, Val<'a>)| {
            std::mem::discriminant(known) == std::mem::discriminant(&key) && known.equal(&key).unwrap_or(false)
        };
        match built.iter_mut().find(same_key) {
            Some(entry) => entry.1 = value,
            None => built.push((key, value)),
        }
    }
    Val::Map(Map::Built(Arc::new(built)))
}

/// The index that a key stands for in a list.
///
/// # Errors
/// A key that is no whole number.
pub fn list_index(key: &Val<'_>) -> Outcome<i64> {
    match key {
        Val::Int(index) => Ok(*index),
        Val::Uint(index) => {
            i64::try_from(*index).map_err(|_| Fault::new(format!("unsupported index value {index} in list")))
        }
        Val::Double(index) if index.fract() == 0.0 && index.abs() < 9.2e18 => Ok(*index as i64),
        Val::Double(_) => Err(Fault::new(format!("unsupported index value {} in list", key.shown()))),
        other => Err(Fault::new(format!("unsupported index type '{}' in list", other.type_name()))),
    }
}

/// What walking text once costs for each character.
const TRAVERSAL: f64 = 0.1;
/// What a character of a pattern costs.
const REGEX: f64 = 0.25;

fn scaled(size: u64, factor: f64) -> u64 {
    (size as f64 * factor).ceil() as u64
}

/// The cost of `==` and `!=`.
pub fn equality_cost(left: &Val<'_>, right: &Val<'_>, negated: bool) -> u64 {
    if !negated && matches!(left, Val::Opaque(_)) {
        return 1;
    }
    scaled(left.size().min(right.size()), TRAVERSAL)
}

/// How often a function of sets compares each pair of items.
pub fn sets_factor(overload: &str) -> Option<u64> {
    match overload {
        "list_sets_contains_list" | "list_sets_intersects_list" => Some(1),
        "list_sets_equivalent_list" => Some(2),
        _ => None,
    }
}

/// What a question to the authorizer costs, as upstream.
const AUTHORIZER_COST: u64 = 350_000;

/// The cost of a call.
pub fn call_cost(function: &str, overload: &str, args: &[Val<'_>], result: Option<&Val<'_>>) -> u64 {
    if let (Some(factor), [left, right]) = (sets_factor(overload), args) {
        return 1 + factor * left.size() * right.size();
    }
    kubernetes_cost(function, overload, args, result).unwrap_or_else(|| standard_cost(overload, args))
}

fn kubernetes_cost(function: &str, overload: &str, args: &[Val<'_>], result: Option<&Val<'_>>) -> Option<u64> {
    let size = |index: usize| args.get(index).map(Val::size);
    Some(match function {
        "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" => args.first().map_or(0, traversal_cost),
        "url" | "lowerAscii" | "upperAscii" | "substring" | "trim" | "cidr" | "isIP" | "isCIDR" | "quantity"
        | "isQuantity" | "semver" | "isSemver" => scaled(size(0)?, TRAVERSAL),
        "replace" | "split" | "ip.isCanonical" => scaled(size(0)?, 2.0 * TRAVERSAL),
        "join" => scaled(result.map_or(1, Val::size), 2.0 * TRAVERSAL),
        "find" | "findAll" => ((1.0 + size(0)? as f64) * TRAVERSAL).ceil() as u64 * scaled(size(1)?, REGEX),
        "ip" if overload == "cidr_ip" => 1,
        "ip" => scaled(size(0)?, TRAVERSAL),
        "masked"
        | "prefixLength"
        | "family"
        | "isUnspecified"
        | "isLoopback"
        | "isLinkLocalMulticast"
        | "isLinkLocalUnicast"
        | "isGlobalUnicast"
        | "format.named"
        | "sign"
        | "asInteger"
        | "isInteger"
        | "asApproximateFloat"
        | "isGreaterThan"
        | "isLessThan"
        | "compareTo"
        | "add"
        | "sub"
        | "major"
        | "minor"
        | "patch"
        | "getScheme"
        | "getHostname"
        | "getHost"
        | "getPort"
        | "getEscapedPath"
        | "getQuery" => 1,
        "containsIP" => {
            let text = if overload == "cidr_contains_ip_string" { scaled(size(1)?, TRAVERSAL) } else { 0 };
            scaled(2 * size(0)?, TRAVERSAL) + text
        }
        "containsCIDR" => {
            let text = if overload == "cidr_contains_cidr_string" { scaled(size(1)?, TRAVERSAL) } else { 0 };
            scaled(2 * size(0)?, TRAVERSAL) + scaled(size(0)?, TRAVERSAL) + 1 + text
        }
        "validate" => {
            let Some(Val::Opaque(opaque)) = args.first() else { return None };
            let Opaque::Format(format) = opaque.as_ref() else { return None };
            ((1.0 + size(1)? as f64) * TRAVERSAL).ceil() as u64 * scaled(format.pattern_length, REGEX)
        }
        "check" if matches!(args.first(), Some(Val::Opaque(_))) => AUTHORIZER_COST,
        _ => return None,
    })
}

fn standard_cost(overload: &str, args: &[Val<'_>]) -> u64 {
    let size = |index: usize| args.get(index).map_or(1, Val::size);
    let compares = ["less_string", "greater_string", "less_equals_string", "greater_equals_string"];
    let compares_bytes = ["less_bytes", "greater_bytes", "less_equals_bytes", "greater_equals_bytes"];
    match overload {
        "starts_with_string" | "ends_with_string" | "string_to_bytes" | "bytes_to_string" | "strings_quote"
        | "string_format" => scaled(size(0), TRAVERSAL),
        "in_list" => size(1),
        "add_string" | "add_bytes" => scaled(size(0) + size(1), TRAVERSAL),
        "matches_string" => ((1.0 + size(0) as f64) * TRAVERSAL).ceil() as u64 * scaled(size(1), REGEX),
        "contains_string" => scaled(size(0), TRAVERSAL) * scaled(size(1), TRAVERSAL),
        id if compares.contains(&id) || compares_bytes.contains(&id) => scaled(size(0).min(size(1)), TRAVERSAL),
        _ => 1,
    }
}

fn traversal_cost(value: &Val<'_>) -> u64 {
    match value {
        Val::Text(text) => (text.len() as f64 * TRAVERSAL) as u64,
        Val::Bytes(bytes) => (bytes.len() as f64 * TRAVERSAL) as u64,
        Val::List(list) => list.values().unwrap_or_default().iter().map(traversal_cost).sum(),
        Val::Map(map) => {
            let of = |key: Val<'_>| {
                let value = match map.find(&key) {
                    Ok(Found::Value(value)) => traversal_cost(&value),
                    _ => 1,
                };
                traversal_cost(&key) + value
            };
            map.keys().into_iter().map(of).sum()
        }
        _ => 1,
    }
}
