//! The door to the outside: what a request from a socket must show before the server looks at it.
//!
//! The server runs whatever it is told, so a page of another origin that a browser has open must not
//! reach it: the `Host` must be one of the server's own names, and an `Origin` its own too.

use http::{HeaderMap, Uri, header};

use crate::core::status::{Failure, Outcome};

/// Names that the server answers to; the port does not matter.
const NAMES: [&str; 8] = [
    "127.0.0.1",
    "localhost",
    "[::1]",
    "10.96.0.1",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
];

/// Checks `Host` and `Origin`.
///
/// # Errors
/// 403 that names the header.
pub fn check(uri: &Uri, headers: &HeaderMap) -> Outcome<()> {
    let host = match headers.get(header::HOST) {
        Some(host) => host.to_str().unwrap_or_default(),
        None => uri.authority().map(http::uri::Authority::as_str).unwrap_or_default(),
    };
    if !is_own(host) {
        return Err(Failure::forbidden_path(format!(
            "forbidden: the Host header {host:?} is not a name of this server; use 127.0.0.1 or localhost"
        )));
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().unwrap_or_default();
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    if authority.is_some_and(is_own) {
        return Ok(());
    }
    Err(Failure::forbidden_path(format!("forbidden: pages of origin {origin:?} may not call this server")))
}

fn is_own(authority: &str) -> bool {
    let name = match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => authority,
    };
    NAMES.iter().any(|own| own.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_names_and_own_pages_pass() {
        let rows = [
            ("127.0.0.1:6443", None, true),
            ("localhost", Some("http://localhost:8800"), true),
            ("[::1]:6443", None, true),
            ("evil.example:6443", None, false),
            ("127.0.0.1:6443", Some("https://evil.example"), false),
            ("127.0.0.1:6443", Some("null"), false),
            ("", None, false),
        ];
        for (host, origin, expect) in rows {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().unwrap());
            }
            assert_eq!(check(&Uri::from_static("/version"), &headers).is_ok(), expect, "{host} {origin:?}");
        }
    }
}
