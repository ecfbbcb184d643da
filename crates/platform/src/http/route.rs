//! A table of routes: methods and patterns of paths to whatever stands for a handler.
//!
//! A pattern's segments are words or `{name}`, which takes one segment, percent-decoded; its last one may end in a verb as
//! `{run_id}:archive`. Words are tried before names, so that `/pipelines/upload` is not a pipeline with that id, and verbs
//! before names that would take them along.

use std::borrow::Cow;

use http::Method;

/// One route: `GET`, `/apis/v2beta1/runs/{run_id}` and what answers it.
pub type Row<H> = (&'static str, &'static str, H);

/// A table of routes.
pub struct Routes<H: 'static> {
    rows: &'static [Row<H>],
}

/// What a request leads to.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'a, H> {
    Handler(&'a H, Arguments),
    /// The path is there, with these methods.
    Method(Vec<&'static str>),
    Nothing,
}

/// What stands in a path for the names of its pattern.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments(Vec<(&'static str, String)>);

impl Arguments {
    /// The segment for a name; empty where the pattern has no such name.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(own, _)| *own == name).map_or("", |(_, value)| value)
    }
}

impl<H> Routes<H> {
    /// Routes of a table.
    pub const fn new(rows: &'static [Row<H>]) -> Self {
        Self { rows }
    }

    /// Finds the route of a request.
    pub fn find(&self, method: &Method, path: &str) -> Found<'_, H> {
        let mut best: Option<((usize, usize), &H, Matched<'_>)> = None;
        for (_, pattern, handler) in self.rows.iter().filter(|(own, ..)| takes(own, method)) {
            let Some(matched) = matches(pattern, path) else { continue };
            let taken = (matched.len(), matched.iter().map(|(_, value)| value.len()).sum());
            if best.as_ref().is_none_or(|(least, ..)| taken < *least) {
                best = Some((taken, handler, matched));
            }
        }
        if let Some((_, handler, matched)) = best {
            let owned = matched.into_iter().map(|(name, value)| (name, value.into_owned()));
            return Found::Handler(handler, Arguments(owned.collect()));
        }
        let others = self.rows.iter().filter(|(_, pattern, _)| matches(pattern, path).is_some());
        let others: Vec<&'static str> = others.map(|(own, ..)| *own).collect();
        if others.is_empty() { Found::Nothing } else { Found::Method(others) }
    }
}

/// Whether a route of a method answers a request of another.
fn takes(own: &str, method: &Method) -> bool {
    own == method.as_str() || (own == "GET" && *method == Method::HEAD)
}

/// What stands in a path for the names of a pattern.
type Matched<'a> = Vec<(&'static str, Cow<'a, str>)>;

fn matches<'a>(pattern: &'static str, path: &'a str) -> Option<Matched<'a>> {
    // Most patterns of a table are told from the path by what stands before their first name.
    let same = pattern.bytes().zip(path.bytes()).take_while(|(wanted, given)| wanted == given && *wanted != b'{');
    match pattern.as_bytes().get(same.count()) {
        None => return (pattern.len() == path.len()).then(Vec::new),
        Some(b'{') => {}
        Some(_) => return None,
    }
    let (mut wanted, mut given) = (pattern.split('/'), path.split('/'));
    let mut matched = Vec::new();
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(matched),
            (Some(wanted), Some(given)) => segment(wanted, given, &mut matched)?,
            _ => return None,
        }
    }
}

fn segment<'a>(wanted: &'static str, given: &'a str, matched: &mut Matched<'a>) -> Option<()> {
    let Some(rest) = wanted.strip_prefix('{') else { return (wanted == given).then_some(()) };
    let (name, verb) = rest.split_once('}')?;
    let value = match plain(given)? {
        Cow::Borrowed(value) => Cow::Borrowed(value.strip_suffix(verb)?),
        Cow::Owned(value) => Cow::Owned(value.strip_suffix(verb)?.to_owned()),
    };
    if value.is_empty() {
        return None;
    }
    matched.push((name, value));
    Some(())
}

/// Text with `%41` as `A`; `None` where that is no UTF-8.
pub fn decoded(text: &str) -> Option<String> {
    plain(text).map(Cow::into_owned)
}

fn plain(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let code = (*byte == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(code) => {
                out.push(code);
                at += 3;
            }
            None => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

/// The pairs of a query string, decoded, with `+` as a space; pairs that are no UTF-8 are left out.
pub fn query(text: &str) -> Vec<(String, String)> {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((decoded(&name.replace('+', " "))?, decoded(&value.replace('+', " "))?))
    };
    text.split('&').filter(|pair| !pair.is_empty()).filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTES: Routes<u8> = Routes::new(&[
        ("GET", "/runs/{id}", 1),
        ("POST", "/runs/{id}:archive", 2),
        ("DELETE", "/runs/{id}", 3),
        ("GET", "/runs/all", 4),
        ("GET", "/runs/{id}/tasks/{task}", 5),
        ("GET", "/runs/{id}:download", 6),
    ]);

    fn check(method: &str, path: &str) -> Option<(u8, Vec<String>)> {
        match ROUTES.find(&Method::from_bytes(method.as_bytes()).unwrap(), path) {
            Found::Handler(handler, arguments) => {
                Some((*handler, arguments.0.into_iter().map(|(_, value)| value).collect()))
            }
            Found::Method(_) | Found::Nothing => None,
        }
    }

    #[test]
    fn routes_are_found_by_words_names_and_verbs() {
        let found = |handler: u8, values: &[&str]| Some((handler, values.iter().map(|v| (*v).to_owned()).collect()));
        let rows = [
            ("GET", "/runs/a", found(1, &["a"])),
            ("HEAD", "/runs/a", found(1, &["a"])),
            ("GET", "/runs/a%20b%2Fc", found(1, &["a b/c"])),
            ("POST", "/runs/a:archive", found(2, &["a"])),
            ("POST", "/runs/a%3Aarchive", found(2, &["a"])),
            ("GET", "/runs/all", found(4, &[])),
            ("GET", "/runs/a:download", found(6, &["a"])),
            ("GET", "/runs/a:archive", found(1, &["a:archive"])),
            ("GET", "/runs/a/tasks/b", found(5, &["a", "b"])),
            ("GET", "/runs/", None),
            ("GET", "/runs", None),
            ("GET", "/runs/{id}", found(1, &["{id}"])),
            ("GET", "/runs/all/", None),
            ("GET", "/runs/a/", None),
            ("POST", "/runs/:archive", None),
            ("POST", "/runs/a", None),
        ];
        for (method, path, expect) in rows {
            assert_eq!(check(method, path), expect, "{method} {path}");
        }
        assert_eq!(ROUTES.find(&Method::PUT, "/runs/a"), Found::Method(vec!["GET", "DELETE"]));
        assert_eq!(ROUTES.find(&Method::PUT, "/walks/a"), Found::Nothing);
    }

    #[test]
    fn queries_are_decoded() {
        let pairs = query("a=1+2&b=%7B%22x%22%3A%20%C3%A9%7D&c&=&d=%ff");
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(pairs, [("a", "1 2"), ("b", r#"{"x": é}"#), ("c", ""), ("", "")]);
    }
}
