//! Text: the standard functions, the strings extension, and regular expressions.

use super::super::value::{Fault, Outcome, Val};
use crate::core::crd::go::quote;
use crate::core::crd::pattern::Pattern;

/// Calls a text function, if the function is one and the arguments are text.
pub fn call<'a>(function: &str, args: &[Val<'a>], pattern: Option<&Pattern>) -> Option<Outcome<Val<'a>>> {
    if function == "join" {
        return join(args);
    }
    let Val::Text(text) = args.first()? else { return None };
    Some(match (function, &args[1..]) {
        ("contains", [Val::Text(part)]) => Ok(Val::Bool(text.contains(part.as_ref()))),
        ("startsWith", [Val::Text(part)]) => Ok(Val::Bool(text.starts_with(part.as_ref()))),
        ("endsWith", [Val::Text(part)]) => Ok(Val::Bool(text.ends_with(part.as_ref()))),
        ("contains" | "startsWith" | "endsWith" | "matches", [_]) if !matches!(args[1], Val::Text(_)) => {
            Err(Fault::no_overload())
        }
        ("matches", [Val::Text(source)]) => matches(text, source, pattern),
        ("find", [Val::Text(source)]) => find(text, source, pattern),
        ("findAll", [Val::Text(source)]) => find_all(text, source, -1, pattern),
        ("findAll", [Val::Text(source), Val::Int(limit)]) => find_all(text, source, *limit, pattern),
        ("charAt", [Val::Int(index)]) => char_at(text, *index),
        ("indexOf", [Val::Text(part)]) => Ok(index_of(text, part, 0)),
        ("indexOf", [Val::Text(part), Val::Int(from)]) => index_from(text, part, *from),
        ("lastIndexOf", [Val::Text(part)]) => Ok(last_index_of(text, part, None)),
        ("lastIndexOf", [Val::Text(part), Val::Int(from)]) => last_index_from(text, part, *from),
        ("lowerAscii", []) => Ok(Val::text(text.to_ascii_lowercase())),
        ("upperAscii", []) => Ok(Val::text(text.to_ascii_uppercase())),
        ("replace", [Val::Text(from), Val::Text(to)]) => Ok(Val::text(replace(text, from, to, -1))),
        ("replace", [Val::Text(from), Val::Text(to), Val::Int(limit)]) => {
            Ok(Val::text(replace(text, from, to, *limit)))
        }
        ("split", [Val::Text(separator)]) => Ok(split(text, separator, -1)),
        ("split", [Val::Text(separator), Val::Int(limit)]) => Ok(split(text, separator, *limit)),
        ("substring", [Val::Int(start)]) => substring(text, *start, None),
        ("substring", [Val::Int(start), Val::Int(end)]) => substring(text, *start, Some(*end)),
        ("trim", []) => Ok(Val::text(text.trim())),
        ("format", [Val::List(values)]) => super::format::format(text, values),
        ("strings.quote", []) => Ok(Val::text(cel_quote(text))),
        _ => return None,
    })
}

fn with_regex<T>(
    source: &str,
    pattern: Option<&Pattern>,
    prefix: &str,
    run: impl Fn(&regex::Regex) -> T,
) -> Outcome<T> {
    let fault = |error: &str| Fault::new(format!("{prefix}{error}"));
    match pattern {
        Some(pattern) => pattern.regex().map(run).map_err(fault),
        None => Pattern::compile(source).regex().map(run).map_err(fault),
    }
}

fn matches<'a>(text: &str, source: &str, pattern: Option<&Pattern>) -> Outcome<Val<'a>> {
    with_regex(source, pattern, "", |regex| Val::Bool(regex.is_match(text)))
}

fn find<'a>(text: &str, source: &str, pattern: Option<&Pattern>) -> Outcome<Val<'a>> {
    with_regex(source, pattern, "Illegal regex: ", |regex| {
        Val::text(regex.find(text).map_or("", |found| found.as_str()))
    })
}

fn find_all<'a>(text: &str, source: &str, limit: i64, pattern: Option<&Pattern>) -> Outcome<Val<'a>> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    with_regex(source, pattern, "Illegal regex: ", |regex| {
        Val::list(regex.find_iter(text).take(limit).map(|found| Val::text(found.as_str())).collect())
    })
}

fn out_of_range(index: i64) -> Fault {
    Fault::new(format!("index out of range: {index}"))
}

fn char_at<'a>(text: &str, index: i64) -> Outcome<Val<'a>> {
    let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    if index < 0 || index > length {
        return Err(out_of_range(index));
    }
    let char = usize::try_from(index).ok().and_then(|index| text.chars().nth(index));
    Ok(Val::text(char.map(String::from).unwrap_or_default()))
}

fn number<'a>(index: Option<usize>) -> Val<'a> {
    Val::Int(index.and_then(|index| i64::try_from(index).ok()).unwrap_or(-1))
}

fn index_of<'a>(text: &str, part: &str, from: usize) -> Val<'a> {
    let chars: Vec<char> = text.chars().collect();
    let part: Vec<char> = part.chars().collect();
    if part.is_empty() {
        return number(Some(from));
    }
    number((from..chars.len()).find(|start| chars[*start..].starts_with(&part)))
}

fn index_from<'a>(text: &str, part: &str, from: i64) -> Outcome<Val<'a>> {
    if part.is_empty() {
        return Ok(Val::Int(from));
    }
    let length = text.chars().count();
    if from < 0 {
        return Err(out_of_range(from));
    }
    match usize::try_from(from).ok().filter(|from| *from < length) {
        Some(from) => Ok(index_of(text, part, from)),
        None => Ok(Val::Int(-1)),
    }
}

fn last_index_of<'a>(text: &str, part: &str, from: Option<usize>) -> Val<'a> {
    let chars: Vec<char> = text.chars().collect();
    let part: Vec<char> = part.chars().collect();
    if part.is_empty() {
        return number(Some(from.unwrap_or(chars.len())));
    }
    let Some(last) = chars.len().checked_sub(part.len()) else { return Val::Int(-1) };
    let start = from.map_or(last, |from| from.min(last));
    number((0..=start).rev().find(|start| chars[*start..].starts_with(&part)))
}

fn last_index_from<'a>(text: &str, part: &str, from: i64) -> Outcome<Val<'a>> {
    if part.is_empty() {
        return Ok(Val::Int(from));
    }
    if from < 0 {
        return Err(out_of_range(from));
    }
    match usize::try_from(from).ok().filter(|from| *from < text.chars().count()) {
        Some(from) => Ok(last_index_of(text, part, Some(from))),
        None => Ok(Val::Int(-1)),
    }
}

/// `strings.Replace`: an empty pattern stands between all characters.
fn replace(text: &str, from: &str, to: &str, limit: i64) -> String {
    match usize::try_from(limit) {
        Ok(limit) => text.replacen(from, to, limit),
        Err(_) => text.replace(from, to),
    }
}

/// `strings.SplitN`.
fn split<'a>(text: &str, separator: &str, limit: i64) -> Val<'a> {
    let parts: Vec<String> = match usize::try_from(limit) {
        Ok(0) => Vec::new(),
        Ok(limit) if separator.is_empty() => {
            let chars: Vec<char> = text.chars().collect();
            let single = limit.saturating_sub(1).min(chars.len().saturating_sub(1));
            let mut parts: Vec<String> = chars[..single].iter().map(char::to_string).collect();
            if !chars.is_empty() {
                parts.push(chars[single..].iter().collect());
            }
            parts
        }
        Ok(limit) => text.splitn(limit, separator).map(str::to_owned).collect(),
        Err(_) if separator.is_empty() => text.chars().map(String::from).collect(),
        Err(_) => text.split(separator).map(str::to_owned).collect(),
    };
    Val::list(parts.into_iter().map(Val::text).collect())
}

fn substring<'a>(text: &str, start: i64, end: Option<i64>) -> Outcome<Val<'a>> {
    let chars: Vec<char> = text.chars().collect();
    let length = i64::try_from(chars.len()).unwrap_or(i64::MAX);
    let stop = end.unwrap_or(length);
    if end.is_some() && start > stop {
        return Err(Fault::new(format!("invalid substring range. start: {start}, end: {stop}")));
    }
    if start < 0 || start > length {
        return Err(out_of_range(start));
    }
    if stop < 0 || stop > length {
        return Err(out_of_range(stop));
    }
    let (start, stop) = (usize::try_from(start).unwrap_or_default(), usize::try_from(stop).unwrap_or_default());
    Ok(Val::text(chars[start..stop].iter().collect::<String>()))
}

fn join<'a>(args: &[Val<'a>]) -> Option<Outcome<Val<'a>>> {
    let (list, separator) = match args {
        [Val::List(list)] => (list, ""),
        [Val::List(list), Val::Text(separator)] => (list, separator.as_ref()),
        _ => return None,
    };
    let values = match list.values() {
        Ok(values) => values,
        Err(fault) => return Some(Err(fault)),
    };
    let mut parts = Vec::with_capacity(values.len());
    for value in &values {
        match value {
            Val::Text(text) => parts.push(text.as_ref()),
            other => return Some(Err(Fault::new(format!("join: invalid input: {}", other.shown())))),
        }
    }
    Some(Ok(Val::text(parts.join(separator))))
}

/// The text as a CEL literal.
fn cel_quote(text: &str) -> String {
    let mut out = String::from("\"");
    for char in text.chars() {
        match char {
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            _ => out.push(char),
        }
    }
    out.push('"');
    out
}

/// Go's `%q`, for faults that name a text.
pub fn go_quote(text: &str) -> String {
    quote(text)
}
