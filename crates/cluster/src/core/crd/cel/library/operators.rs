//! Arithmetic, comparison, membership and size.

use std::cmp::Ordering;

use super::super::value::{Fault, Found, Outcome, Val};
use super::time::{MAX_SECONDS, MIN_SECONDS};
use crate::core::crd::go_time::Moment;

/// Calls an operator, if the function is one and the arguments have a left side that knows it.
pub fn call<'a>(function: &str, args: &[Val<'a>]) -> Option<Outcome<Val<'a>>> {
    Some(match (function, args) {
        ("!_", [Val::Bool(flag)]) => Ok(Val::Bool(!flag)),
        ("!_", [_]) => Err(Fault::no_overload()),
        ("-_", [value]) => negate(value),
        ("_+_", [left, right]) => add(left, right),
        ("_-_", [left, right]) => subtract(left, right),
        ("_*_", [left, right]) => numbers(function, left, right),
        ("_/_", [left, right]) => numbers(function, left, right),
        ("_%_", [left, right]) => numbers(function, left, right),
        ("_<_", [left, right]) => compare(function, left, right, |order| order == Ordering::Less),
        ("_<=_", [left, right]) => compare(function, left, right, |order| order != Ordering::Greater),
        ("_>_", [left, right]) => compare(function, left, right, |order| order == Ordering::Greater),
        ("_>=_", [left, right]) => compare(function, left, right, |order| order != Ordering::Less),
        ("@in", [value, Val::List(list)]) => list.contains(value).map(Val::Bool),
        ("@in", [key, Val::Map(map)]) => map.find(key).map(|found| Val::Bool(matches!(found, Found::Value(_)))),
        ("@in", [_, _]) => Err(Fault::no_overload()),
        ("size", [value @ (Val::Text(_) | Val::Bytes(_) | Val::List(_) | Val::Map(_))]) => {
            Ok(Val::Int(i64::try_from(value.size()).unwrap_or(i64::MAX)))
        }
        ("size", [Val::Duration(_) | Val::Timestamp(_)]) => Err(Fault::no_overload()),
        ("size", [_]) => Err(Fault::new("no such overload: size")),
        _ => return None,
    })
}

fn overflow() -> Fault {
    Fault::new("integer overflow")
}

fn unsigned_overflow() -> Fault {
    Fault::new("unsigned integer overflow")
}

fn duration_overflow() -> Fault {
    Fault::new("duration overflow")
}

fn negate<'a>(value: &Val<'a>) -> Outcome<Val<'a>> {
    match value {
        Val::Int(number) => number.checked_neg().map(Val::Int).ok_or_else(overflow),
        Val::Double(number) => Ok(Val::Double(-number)),
        Val::Duration(number) => number.checked_neg().map(Val::Duration).ok_or_else(duration_overflow),
        Val::Bool(_) | Val::Text(_) | Val::Timestamp(_) => Err(Fault::no_overload()),
        _ => Err(Fault::new("no such overload: -_")),
    }
}

fn add<'a>(left: &Val<'a>, right: &Val<'a>) -> Outcome<Val<'a>> {
    match (left, right) {
        (Val::Int(left), Val::Int(right)) => left.checked_add(*right).map(Val::Int).ok_or_else(overflow),
        (Val::Uint(left), Val::Uint(right)) => left.checked_add(*right).map(Val::Uint).ok_or_else(unsigned_overflow),
        (Val::Double(left), Val::Double(right)) => Ok(Val::Double(left + right)),
        (Val::Text(left), Val::Text(right)) => Ok(Val::text(format!("{left}{right}"))),
        (Val::Bytes(left), Val::Bytes(right)) => Ok(Val::Bytes([&**left, &**right].concat().into())),
        (Val::List(left), Val::List(right)) => left.add(right).map(Val::List),
        (Val::Duration(left), Val::Duration(right)) => {
            left.checked_add(*right).map(Val::Duration).ok_or_else(duration_overflow)
        }
        (Val::Timestamp(moment), Val::Duration(nanoseconds)) | (Val::Duration(nanoseconds), Val::Timestamp(moment)) => {
            shift(moment, i128::from(*nanoseconds))
        }
        _ => Err(no_operator("_+_", left)),
    }
}

/// Types without an operator name it; types with one just do not fit.
fn no_operator(function: &str, left: &Val<'_>) -> Fault {
    let known = match left {
        Val::Int(_) | Val::Uint(_) | Val::Double(_) | Val::Text(_) | Val::Duration(_) | Val::Timestamp(_) => true,
        Val::Bytes(_) | Val::List(_) => function == "_+_",
        _ => false,
    };
    if known { Fault::no_overload() } else { Fault::new(format!("no such overload: {function}")) }
}

fn shift<'a>(moment: &Moment, nanoseconds: i128) -> Outcome<Val<'a>> {
    let total = i128::from(moment.seconds) * 1_000_000_000 + i128::from(moment.nanoseconds) + nanoseconds;
    let seconds = i64::try_from(total.div_euclid(1_000_000_000)).unwrap_or(i64::MAX);
    if !(MIN_SECONDS..=MAX_SECONDS).contains(&seconds) {
        return Err(Fault::new("timestamp overflow"));
    }
    let nanoseconds = u32::try_from(total.rem_euclid(1_000_000_000)).unwrap_or_default();
    Ok(Val::Timestamp(Moment { seconds, nanoseconds, offset_seconds: moment.offset_seconds }))
}

fn subtract<'a>(left: &Val<'a>, right: &Val<'a>) -> Outcome<Val<'a>> {
    match (left, right) {
        (Val::Int(left), Val::Int(right)) => left.checked_sub(*right).map(Val::Int).ok_or_else(overflow),
        (Val::Uint(left), Val::Uint(right)) => left.checked_sub(*right).map(Val::Uint).ok_or_else(unsigned_overflow),
        (Val::Double(left), Val::Double(right)) => Ok(Val::Double(left - right)),
        (Val::Duration(left), Val::Duration(right)) => {
            left.checked_sub(*right).map(Val::Duration).ok_or_else(duration_overflow)
        }
        (Val::Timestamp(moment), Val::Duration(nanoseconds)) => shift(moment, -i128::from(*nanoseconds)),
        (Val::Timestamp(left), Val::Timestamp(right)) => {
            let total = |moment: &Moment| i128::from(moment.seconds) * 1_000_000_000 + i128::from(moment.nanoseconds);
            i64::try_from(total(left) - total(right)).map(Val::Duration).map_err(|_| duration_overflow())
        }
        _ => Err(no_operator("_-_", left)),
    }
}

fn numbers<'a>(function: &str, left: &Val<'a>, right: &Val<'a>) -> Outcome<Val<'a>> {
    let by_zero = || Fault::new(if function == "_%_" { "modulus by zero" } else { "division by zero" });
    match (left, right) {
        (Val::Int(left), Val::Int(right)) => {
            if *right == 0 && function != "_*_" {
                return Err(by_zero());
            }
            let result = match function {
                "_*_" => left.checked_mul(*right),
                "_/_" => left.checked_div(*right),
                _ => left.checked_rem(*right),
            };
            result.map(Val::Int).ok_or_else(overflow)
        }
        (Val::Uint(left), Val::Uint(right)) => {
            if *right == 0 && function != "_*_" {
                return Err(by_zero());
            }
            let result = match function {
                "_*_" => left.checked_mul(*right),
                "_/_" => left.checked_div(*right),
                _ => left.checked_rem(*right),
            };
            result.map(Val::Uint).ok_or_else(unsigned_overflow)
        }
        (Val::Double(left), Val::Double(right)) if function == "_*_" => Ok(Val::Double(left * right)),
        (Val::Double(left), Val::Double(right)) if function == "_/_" => Ok(Val::Double(left / right)),
        (Val::Double(_), _) if function == "_%_" => Err(Fault::new("no such overload: _%_")),
        _ => Err(no_operator(function, left)),
    }
}

fn compare<'a>(function: &str, left: &Val<'a>, right: &Val<'a>, holds: fn(Ordering) -> bool) -> Outcome<Val<'a>> {
    let ordered = matches!(
        left,
        Val::Bool(_)
            | Val::Int(_)
            | Val::Uint(_)
            | Val::Double(_)
            | Val::Text(_)
            | Val::Bytes(_)
            | Val::Timestamp(_)
            | Val::Duration(_)
    );
    if !ordered {
        return Err(Fault::new(format!("no such overload: {function}")));
    }
    left.compare(right).map(|order| Val::Bool(holds(order)))
}
