//! What a registry asks for before it answers, and the request for a token that follows from it.
//!
//! Rules: RFC 9110 section 11, and <https://distribution.github.io/distribution/spec/auth/token/>.

/// How a registry wants to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// Name and password with each request.
    Basic,
    /// A token from a server.
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

/// Why no token is asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChallengeError {
    #[error("the registry asks for {0:?}; Basic and Bearer are known here")]
    Unknown(String),
    #[error("the registry's token server {0:?} is no address of http or https")]
    Realm(String),
    #[error("the registry speaks TLS and sends credentials on to {0:?} without it; they are not sent")]
    Downgrade(String),
}

/// The first challenge of a `WWW-Authenticate` header that is known.
///
/// # Errors
/// [`ChallengeError::Unknown`] when there is none.
pub fn read(header: &str) -> Result<Challenge, ChallengeError> {
    for (scheme, parameters) in schemes(header) {
        let parameter = |name: &str| {
            let found = parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
        };
        if scheme.eq_ignore_ascii_case("bearer")
            && let Some(realm) = parameter("realm")
        {
            return Ok(Challenge::Bearer { realm, service: parameter("service"), scope: parameter("scope") });
        }
        if scheme.eq_ignore_ascii_case("basic") {
            return Ok(Challenge::Basic);
        }
    }
    Err(ChallengeError::Unknown(header.chars().take(200).collect()))
}

/// The address that gives a token for pulling.
///
/// # Errors
/// When it is no address, or would send credentials in the clear where the registry itself does not.
pub fn token_address(
    realm: &str,
    service: Option<&str>,
    scope: Option<&str>,
    is_tls: bool,
) -> Result<String, ChallengeError> {
    let is_secure = realm.starts_with("https://");
    if !is_secure && !realm.starts_with("http://") || realm.contains(['#', ' ']) {
        return Err(ChallengeError::Realm(realm.to_owned()));
    }
    if is_tls && !is_secure {
        return Err(ChallengeError::Downgrade(realm.to_owned()));
    }
    let parameters = [("service", service), ("scope", scope)];
    let mut address = realm.to_owned();
    for (name, value) in parameters.into_iter().filter_map(|(name, value)| Some((name, value?))) {
        let separator = if address.contains('?') { '&' } else { '?' };
        address.push_str(&format!("{separator}{name}={}", encoded(value)));
    }
    Ok(address)
}

/// A text as a part of a query or a form.
pub fn encoded(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/,".contains(&byte);
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if is_plain(byte) {
            encoded.push(char::from(byte))
        } else {
            encoded.push_str(&format!("%{byte:02X}"))
        }
        encoded
    })
}

/// Schemes with their parameters, as `Bearer realm="…",service="…", Basic realm="…"`.
fn schemes(header: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut schemes: Vec<(String, Vec<(String, String)>)> = Vec::new();
    for piece in pieces(header) {
        let (name, value) = piece.split_once('=').unwrap_or((piece.as_str(), ""));
        let (scheme, key) = match name.trim().split_once(' ') {
            Some((scheme, key)) => (Some(scheme), key.trim()),
            None if piece.contains('=') => (None, name.trim()),
            None => (Some(name.trim()), ""),
        };
        if let Some(scheme) = scheme {
            schemes.push((scheme.to_owned(), Vec::new()));
        }
        if let Some((_, parameters)) = schemes.last_mut().filter(|_| !key.is_empty()) {
            parameters.push((key.to_owned(), unquoted(value.trim())));
        }
    }
    schemes
}

/// The header cut at the commas that are in no quotes.
fn pieces(header: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let (mut quoted, mut escaped) = (false, false);
    for character in header.chars() {
        match character {
            ',' if !quoted => {
                pieces.push(String::new());
                continue;
            }
            '"' if !escaped => quoted = !quoted,
            _ => {}
        }
        escaped = character == '\\' && !escaped;
        if let Some(last) = pieces.last_mut() {
            last.push(character);
        }
    }
    pieces.iter().map(|piece| piece.trim().to_owned()).filter(|piece| !piece.is_empty()).collect()
}

fn unquoted(value: &str) -> String {
    match value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) => inner.replace("\\\"", "\"").replace("\\\\", "\\"),
        None => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        let bearer = |realm: &str, service: Option<&str>, scope: Option<&str>| Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
            scope: scope.map(str::to_owned),
        };
        for (header, challenge) in [
            (
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#,
                bearer("https://auth.docker.io/token", Some("registry.docker.io"), Some("repository:a/b:pull,push")),
            ),
            (r#"bearer realm="https://a/t""#, bearer("https://a/t", None, None)),
            (r#"Basic realm="Registry Realm""#, Challenge::Basic),
            (r#"Negotiate, Basic realm="x""#, Challenge::Basic),
            ("Basic", Challenge::Basic),
        ] {
            assert_eq!(read(header), Ok(challenge), "{header}");
        }
        assert!(matches!(read("Digest realm=\"x\""), Err(ChallengeError::Unknown(_))));
    }

    #[test]
    fn credentials_are_not_sent_on_without_tls_where_the_registry_has_it() {
        assert!(matches!(token_address("http://a/t", None, None, true), Err(ChallengeError::Downgrade(_))));
        assert!(matches!(token_address("file:///etc", None, None, false), Err(ChallengeError::Realm(_))));
        let address = token_address("https://a/t?x=1", Some("a b"), Some("repository:a/b:pull"), true).unwrap();
        assert_eq!(address, "https://a/t?x=1&service=a%20b&scope=repository:a/b:pull");
    }

    proptest! {
        #[test]
        fn no_header_makes_the_reader_fail(header in any::<String>()) {
            let _ = read(&header);
        }
    }
}
