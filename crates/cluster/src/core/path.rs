//! What a request's path and method ask for.
//!
//! Nine shapes of path instead of a router. Whether the resource exists is for the registry to say.

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Objects of a resource, one of them, or a subresource of one.
    Resource(ResourcePath),
    /// `/api`, `/apis`, `/apis/G`, `/api/v1`, `/apis/G/V`.
    Discovery(Discovery),
    /// Anything else, with its decoded segments: `/version`, `/healthz`, `/openapi/v3/…`.
    Other(Vec<String>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Discovery {
    CoreVersions,
    Groups,
    Group(String),
    Resources { group: String, version: String },
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourcePath {
    pub group: String,
    pub version: String,
    /// Empty for cluster-scoped resources and for lists over all namespaces.
    pub namespace: String,
    pub resource: String,
    /// Empty for the collection.
    pub name: String,
    pub subresource: String,
    /// What follows `/proxy/`, still encoded.
    pub rest: String,
    /// The old form `/api/v1/watch/…`.
    pub watch_prefix: bool,
}

/// A path that no server can answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("the path is not valid percent-encoded UTF-8")]
    Encoding,
    #[error("path segment {0:?} may not be \".\", \"..\" or contain \"/\" or \"%\"")]
    Segment(String),
}

/// More segments than any resource has; a longer path can only be a proxy's.
const SEGMENTS: usize = 64;

/// Reads a path.
///
/// # Errors
/// [`Error`] for a path whose segments cannot be names.
pub fn parse(path: &str) -> Result<Target, Error> {
    let raw: Vec<&str> = path.split('/').skip(1).take(SEGMENTS).collect();
    let raw = match raw.split_last() {
        Some((&"", rest)) => rest,
        _ => &raw[..],
    };
    let mut segments = Vec::with_capacity(raw.len());
    for segment in raw {
        segments.push(decode(segment)?);
    }
    let words: Vec<&str> = segments.iter().map(String::as_str).collect();
    match words[..] {
        ["api"] => Ok(Target::Discovery(Discovery::CoreVersions)),
        ["apis"] => Ok(Target::Discovery(Discovery::Groups)),
        ["api", version] => Ok(resources("", version)),
        ["apis", group] => Ok(Target::Discovery(Discovery::Group(group.to_owned()))),
        ["apis", group, version] => Ok(resources(group, version)),
        ["api", version, ref rest @ ..] => objects("", version, rest, path, segments.len()),
        ["apis", group, version, ref rest @ ..] => objects(group, version, rest, path, segments.len()),
        _ => Ok(Target::Other(segments)),
    }
}

fn resources(group: &str, version: &str) -> Target {
    Target::Discovery(Discovery::Resources { group: group.to_owned(), version: version.to_owned() })
}

/// `words` are what follows the version, the last ones of the `count` segments of `path`.
fn objects(group: &str, version: &str, words: &[&str], path: &str, count: usize) -> Result<Target, Error> {
    let mut found = ResourcePath { group: group.to_owned(), version: version.to_owned(), ..ResourcePath::default() };
    let mut words = words;
    if let ["watch", rest @ ..] = words
        && !rest.is_empty()
    {
        found.watch_prefix = true;
        words = rest;
    }
    if let ["namespaces", namespace, rest @ ..] = words
        && !rest.is_empty()
        && !matches!(rest, ["status" | "finalize"])
    {
        found.namespace = checked(namespace)?;
        words = rest;
    }
    let (head, tail) = words.split_at(words.len().min(3));
    if let Some(resource) = head.first() {
        // No resource has such a name, and no other segment may have it either.
        let Ok(resource) = checked(resource) else { return Ok(other(path)) };
        found.resource = resource;
    }
    if let Some(name) = head.get(1) {
        found.name = checked(name)?;
    }
    if let Some(subresource) = head.get(2) {
        found.subresource = checked(subresource)?;
    }
    if found.subresource == "proxy" {
        // Behind the empty piece before the first slash and the segments that were used.
        let used = count - tail.len() + 1;
        found.rest = path.splitn(used + 1, '/').nth(used).map(|rest| format!("/{rest}")).unwrap_or_default();
    } else if !tail.is_empty() {
        return Ok(other(path));
    }
    Ok(Target::Resource(found))
}

/// A path that names no resource.
fn other(path: &str) -> Target {
    Target::Other(path.split('/').skip(1).map(str::to_owned).collect())
}

/// A name in a path may be anything that is one segment; whether the kind allows it shows when it is
/// looked up or created.
fn checked(segment: &str) -> Result<String, Error> {
    if segment == "." || segment == ".." || segment.contains(['/', '%']) {
        return Err(Error::Segment(segment.to_owned()));
    }
    Ok(segment.to_owned())
}

/// Percent-decodes one segment or one query word.
///
/// # Errors
/// [`Error::Encoding`] when the result is not UTF-8 or an escape is cut.
pub fn decode(text: &str) -> Result<String, Error> {
    if !text.contains('%') {
        return Ok(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let high = rest.next().and_then(hex).ok_or(Error::Encoding)?;
        let low = rest.next().and_then(hex).ok_or(Error::Encoding)?;
        bytes.push(high << 4 | low);
    }
    String::from_utf8(bytes).map_err(|_| Error::Encoding)
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// The pairs of a query string, decoded; empty pairs are skipped, `+` is a space.
///
/// # Errors
/// [`Error::Encoding`].
pub fn query(text: &str) -> Result<Vec<(String, String)>, Error> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(&name.replace('+', " "))?, decode(&value.replace('+', " "))?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(path: &str) -> ResourcePath {
        match parse(path) {
            Ok(Target::Resource(found)) => found,
            other => panic!("{path}: {other:?}"),
        }
    }

    #[test]
    fn every_shape_of_a_resource_path_is_read() {
        let rows = [
            ("/api/v1/pods", "", "pods", "", ""),
            ("/api/v1/namespaces/a/pods", "a", "pods", "", ""),
            ("/api/v1/namespaces/a/pods/b", "a", "pods", "b", ""),
            ("/api/v1/namespaces/a/pods/b/log", "a", "pods", "b", "log"),
            ("/api/v1/namespaces/a", "", "namespaces", "a", ""),
            ("/api/v1/namespaces/a/status", "", "namespaces", "a", "status"),
            ("/api/v1/namespaces/a/finalize", "", "namespaces", "a", "finalize"),
            ("/api/v1/nodes/n/status", "", "nodes", "n", "status"),
            ("/api/v1/namespaces/a/pods/", "a", "pods", "", ""),
        ];
        for (path, namespace, name, object, subresource) in rows {
            let found = resource(path);
            assert_eq!(
                (&*found.namespace, &*found.resource, &*found.name, &*found.subresource),
                (namespace, name, object, subresource),
                "{path}"
            );
        }
    }

    #[test]
    fn a_name_that_climbs_is_refused() {
        for path in ["/api/v1/namespaces/a/pods/..", "/api/v1/namespaces/%2e%2e/pods/b", "/api/v1/nodes/a%2Fb"] {
            assert!(matches!(parse(path), Err(Error::Segment(_))), "{path}");
        }
    }

    #[test]
    fn a_resource_that_climbs_is_none() {
        for path in ["/api/v1/namespaces/a/%2e%2e/b", "/api/v1/..", "/apis/g/v1/a%2Fb/c"] {
            assert!(matches!(parse(path), Ok(Target::Other(_))), "{path}");
        }
    }

    #[test]
    fn what_follows_proxy_stays_as_it_was_sent() {
        let found = resource("/api/v1/namespaces/a/services/http:b:80/proxy/x/y%20z");
        assert_eq!((&*found.name, &*found.rest), ("http:b:80", "/x/y%20z"));
        for (path, rest) in
            [("/api/v1/nodes/n/proxy", ""), ("/api/v1/nodes/n/proxy/", "/"), ("/api/v1/nodes/n/proxy/a//b/", "/a//b/")]
        {
            assert_eq!(resource(path).rest, rest, "{path}");
        }
    }

    #[test]
    fn a_namespace_or_an_object_may_be_called_proxy() {
        let found = resource("/api/v1/namespaces/proxy/services/proxy/proxy/x");
        assert_eq!((&*found.namespace, &*found.name, &*found.rest), ("proxy", "proxy", "/x"));
        for path in ["/api/v1/namespaces/proxy/pods/a/log/more", "/apis/g/v1/proxy/a/b/c"] {
            assert!(matches!(parse(path), Ok(Target::Other(_))), "{path}");
        }
        assert!(matches!(parse("/apis/g/v1/proxy/a/%2e%2e/b"), Err(Error::Segment(_))));
    }

    #[test]
    fn empty_query_pairs_are_skipped() {
        let expect = vec![("limit".to_owned(), "5".to_owned()), ("labelSelector".to_owned(), "a in (b)".to_owned())];
        assert_eq!(query("&limit=5&labelSelector=a+in+%28b%29"), Ok(expect));
    }
}
