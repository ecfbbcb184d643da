//! Lists: order, sums, places, and the sets extension.

use std::cmp::Ordering;

use super::super::value::{Fault, List, Outcome, Val};

/// Calls a list function, if the function is one and the first argument is a list.
pub fn call<'a>(function: &str, args: &[Val<'a>]) -> Option<Outcome<Val<'a>>> {
    let Val::List(list) = args.first()? else { return None };
    if !takes(function, list) {
        return None;
    }
    Some(match (function, &args[1..]) {
        ("isSorted", []) => is_sorted(list),
        ("sum", []) => sum(list),
        ("max", []) => extreme(list, "max", Ordering::Greater),
        ("min", []) => extreme(list, "min", Ordering::Less),
        ("indexOf", [value]) => place(list, value, false),
        ("lastIndexOf", [value]) => place(list, value, true),
        ("sets.contains", [Val::List(other)]) => contains_all(list, other).map(Val::Bool),
        ("sets.equivalent", [Val::List(other)]) => {
            contains_all(list, other).and_then(|all| Ok(Val::Bool(all && contains_all(other, list)?)))
        }
        ("sets.intersects", [Val::List(other)]) => intersects(list, other),
        _ => return None,
    })
}

/// Whether some overload takes a list with such a first item, which alone is looked at.
fn takes(function: &str, list: &List<'_>) -> bool {
    let Ok(first) = list.get(0) else { return true };
    let summable = matches!(first, Val::Int(_) | Val::Uint(_) | Val::Double(_) | Val::Duration(_));
    match function {
        "sum" => summable,
        "isSorted" | "max" | "min" => {
            summable || matches!(first, Val::Bool(_) | Val::Timestamp(_) | Val::Text(_) | Val::Bytes(_))
        }
        _ => true,
    }
}

fn is_sorted<'a>(list: &List<'a>) -> Outcome<Val<'a>> {
    let values = list.values()?;
    for pair in values.windows(2) {
        if pair[0].compare(&pair[1])? == Ordering::Greater {
            return Ok(Val::Bool(false));
        }
    }
    Ok(Val::Bool(true))
}

fn sum<'a>(list: &List<'a>) -> Outcome<Val<'a>> {
    let values = list.values()?;
    let Some(first) = values.first() else { return Ok(Val::Int(0)) };
    let mut total = first.clone();
    for value in &values[1..] {
        total = super::call("_+_", "", &[total, value.clone()], None)?;
    }
    Ok(total)
}

fn extreme<'a>(list: &List<'a>, name: &str, wanted: Ordering) -> Outcome<Val<'a>> {
    let values = list.values()?;
    let mut values = values.into_iter();
    let Some(mut best) = values.next() else {
        return Err(Fault::new(format!("{name} called on empty list")));
    };
    for value in values {
        if value.compare(&best)? == wanted {
            best = value;
        }
    }
    Ok(best)
}

fn place<'a>(list: &List<'a>, value: &Val<'a>, from_end: bool) -> Outcome<Val<'a>> {
    let mut found = -1;
    for index in 0..list.len() {
        if value.equal(&list.get(index)?)? {
            found = i64::try_from(index).unwrap_or(i64::MAX);
            if !from_end {
                break;
            }
        }
    }
    Ok(Val::Int(found))
}

fn contains_all<'a>(list: &List<'a>, other: &List<'a>) -> Outcome<bool> {
    for value in other.values()? {
        if !list.contains(&value).unwrap_or(false) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn intersects<'a>(list: &List<'a>, other: &List<'a>) -> Outcome<Val<'a>> {
    for value in list.values()? {
        if other.contains(&value).unwrap_or(false) {
            return Ok(Val::Bool(true));
        }
    }
    Ok(Val::Bool(false))
}
