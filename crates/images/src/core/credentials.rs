//! Which credentials go with an image: Docker's own configuration, and the secrets of pods in the same form.
//!
//! Lookup: <https://kubernetes.io/docs/concepts/containers/images/#config-json>. Keys may name a registry, a registry
//! with a path, or hosts with `*`. It runs no helper and reads no file.

use std::{collections::BTreeMap, fmt};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;

use super::reference::{DEFAULT_REGISTRY, Reference};

/// What a helper gives as the user when its secret is an identity token.
const TOKEN_USER: &str = "<token>";
/// The key that `docker login` writes for the default registry.
const DEFAULT_KEY: &str = "https://index.docker.io/v1/";

/// What a registry is told of who asks. It shows in no log.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    Password {
        user: String,
        password: String,
    },
    /// A token that the token server takes for another.
    Identity {
        token: String,
    },
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}

/// A configuration that cannot be read. It repeats nothing of the text, which holds secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    #[error("it is not the JSON that docker writes (line {line}, column {column})")]
    Json { line: usize, column: usize },
    #[error("`auth` of {0:?} is not base64 of user:password")]
    Auth(String),
}

/// Docker's configuration, as far as it says how to log in.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct DockerConfig {
    auths: BTreeMap<String, Credentials>,
    /// Programs that know the credentials of one registry.
    helpers: BTreeMap<String, String>,
    /// The program that knows those of all others.
    store: Option<String>,
}

/// Where credentials are to be had from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Here they are.
    Given(Credentials),
    /// `docker-credential-PROGRAM` knows those of `server`.
    Helper { program: String, server: String },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    #[serde(default)]
    auths: BTreeMap<String, RawAuth>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Deserialize)]
struct RawAuth {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawHelped {
    username: String,
    secret: String,
}

impl DockerConfig {
    /// Reads `config.json`, or the value of a secret of type `kubernetes.io/dockerconfigjson`.
    ///
    /// # Errors
    /// [`CredentialsError`] with the place.
    pub fn read(text: &[u8]) -> Result<Self, CredentialsError> {
        let raw: Raw = serde_json::from_slice(text).map_err(|error| at(&error))?;
        Self::from_auths(raw.auths, raw.cred_helpers, raw.creds_store)
    }

    /// Reads the older form, of type `kubernetes.io/dockercfg`: the logins alone.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_old(text: &[u8]) -> Result<Self, CredentialsError> {
        let auths = serde_json::from_slice(text).map_err(|error| at(&error))?;
        Self::from_auths(auths, BTreeMap::new(), None)
    }

    fn from_auths(
        raw: BTreeMap<String, RawAuth>,
        helpers: BTreeMap<String, String>,
        store: Option<String>,
    ) -> Result<Self, CredentialsError> {
        let mut auths = BTreeMap::new();
        for (key, auth) in raw {
            if let Some(found) = auth.credentials(&key)? {
                auths.insert(key, found);
            }
        }
        let store = store.filter(|program| !program.is_empty());
        Ok(Self { auths, helpers, store })
    }

    /// The logins that are written in it alone; no program is asked.
    #[must_use]
    pub fn without_programs(self) -> Self {
        Self { auths: self.auths, ..Self::default() }
    }

    /// Where the credentials for an image are, the most fitting first. A registry is asked with each until it answers.
    pub fn sources(&self, image: &Reference) -> Vec<Source> {
        let server = if image.registry == DEFAULT_REGISTRY { DEFAULT_KEY } else { &image.registry };
        let helper = self.helpers.get(server).or_else(|| self.helpers.get(&image.registry)).or(self.store.as_ref());
        let helper = helper.map(|program| Source::Helper { program: program.clone(), server: server.to_owned() });
        let mut fitting: Vec<(usize, &str, &Credentials)> = self
            .auths
            .iter()
            .filter_map(|(key, credentials)| Some((fit(key, image)?, key.as_str(), credentials)))
            .collect();
        fitting.sort_by(|one, other| (other.0, other.1).cmp(&(one.0, one.1)));
        let given = fitting.into_iter().map(|(_, _, credentials)| Source::Given(credentials.clone()));
        helper.into_iter().chain(given).collect()
    }
}

impl RawAuth {
    fn credentials(self, key: &str) -> Result<Option<Credentials>, CredentialsError> {
        if let Some(token) = self.identitytoken.filter(|token| !token.is_empty()) {
            return Ok(Some(Credentials::Identity { token }));
        }
        if let Some(auth) = self.auth.filter(|auth| !auth.is_empty()) {
            let fault = || CredentialsError::Auth(key.to_owned());
            let text = STANDARD.decode(auth.trim()).map_err(|_| fault())?;
            let text = String::from_utf8(text).map_err(|_| fault())?;
            let (user, password) = text.split_once(':').ok_or_else(fault)?;
            let password = password.trim_matches('\0').to_owned();
            return Ok(Some(Credentials::Password { user: user.to_owned(), password }));
        }
        match (self.username, self.password) {
            (Some(user), Some(password)) if !user.is_empty() => Ok(Some(Credentials::Password { user, password })),
            _ => Ok(None),
        }
    }
}

/// Reads what a helper prints.
///
/// # Errors
/// [`CredentialsError::Json`] when it is something else.
pub fn read_helped(text: &[u8]) -> Result<Credentials, CredentialsError> {
    let raw: RawHelped = serde_json::from_slice(text).map_err(|error| at(&error))?;
    Ok(match raw.username.as_str() {
        TOKEN_USER => Credentials::Identity { token: raw.secret },
        _ => Credentials::Password { user: raw.username, password: raw.secret },
    })
}

/// Whether a text can be the name of a helper: no path, no option.
pub fn is_helper(program: &str) -> bool {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !program.is_empty() && !program.starts_with(['-', '.']) && program.bytes().all(is_good)
}

fn at(error: &serde_json::Error) -> CredentialsError {
    CredentialsError::Json { line: error.line(), column: error.column() }
}

/// How closely a key names the place of an image: the longer its path the closer; `None` when it is another's.
fn fit(key: &str, image: &Reference) -> Option<usize> {
    let bare = key.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
    let (host, path) = bare.split_once('/').unwrap_or((bare, ""));
    // What `docker login` wrote in its early versions: the version of the API, no path of images.
    let path = if matches!(path, "v1" | "v2") { "" } else { path };
    let is_default = image.registry == DEFAULT_REGISTRY && matches!(host, "index.docker.io" | "registry-1.docker.io");
    if !is_default && !is_host(host, &image.registry) {
        return None;
    }
    let below = image.repository.strip_prefix(path)?;
    let is_below = path.is_empty() || below.is_empty() || below.starts_with('/');
    is_below.then_some(path.len() * 2 + usize::from(!host.contains('*')))
}

/// Whether a host is meant: part by part, `*` for any text within a part; ports must be the same.
fn is_host(pattern: &str, host: &str) -> bool {
    if pattern == host {
        return true;
    }
    let split = |text: &str| -> (Vec<String>, String) {
        let (name, port) = text.rsplit_once(':').unwrap_or((text, ""));
        (name.split('.').map(str::to_owned).collect(), port.to_owned())
    };
    let ((patterns, port), (parts, other)) = (split(pattern), split(host));
    let is_part = |(pattern, part): (&String, &String)| match pattern.split_once('*') {
        None => pattern == part,
        Some((before, after)) => {
            part.len() >= before.len() + after.len() && part.starts_with(before) && part.ends_with(after)
        }
    };
    port == other && patterns.len() == parts.len() && patterns.iter().zip(&parts).all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> DockerConfig {
        DockerConfig::read(text.as_bytes()).unwrap()
    }

    fn users(config: &DockerConfig, image: &str) -> Vec<String> {
        let found = config.sources(&image.parse().unwrap());
        found
            .into_iter()
            .map(|source| match source {
                Source::Given(Credentials::Password { user, .. }) => user,
                Source::Given(Credentials::Identity { token }) => format!("token {token}"),
                Source::Helper { program, server } => format!("{program} for {server}"),
            })
            .collect()
    }

    #[test]
    fn the_closest_key_comes_first() {
        let config = config(
            r#"{"auths": {
                "https://index.docker.io/v1/": {"auth": "aHViOnA6cQ=="},
                "ghcr.io": {"username": "all", "password": "p"},
                "ghcr.io/team": {"username": "team", "password": "p"},
                "*.example.com": {"username": "star", "password": "p"},
                "reg.example.com:5000": {"identitytoken": "t"},
                "empty.example.com": {}
            }}"#,
        );
        for (image, found) in [
            ("busybox", vec!["hub"]),
            ("ghcr.io/team/a", vec!["team", "all"]),
            ("ghcr.io/teams/a", vec!["all"]),
            ("a.example.com/x", vec!["star"]),
            ("a.b.example.com/x", vec![]),
            ("empty.example.com/x", vec!["star"]),
            ("reg.example.com:5000/x", vec!["token t"]),
            ("reg.example.com:5001/x", vec![]),
            ("quay.io/x", vec![]),
        ] {
            assert_eq!(users(&config, image), found, "{image}");
        }
        let Some(Source::Given(Credentials::Password { password, .. })) =
            config.sources(&"busybox".parse().unwrap()).pop()
        else {
            panic!("a password")
        };
        assert_eq!(password, "p:q", "a password may hold a colon");
    }

    #[test]
    fn helpers_are_asked_before_what_is_written() {
        let config = config(
            r#"{"credHelpers": {"gcr.io": "gcloud"}, "credsStore": "pass", "auths": {"gcr.io": {"username": "u", "password": "p"}}}"#,
        );
        assert_eq!(users(&config, "gcr.io/a"), ["gcloud for gcr.io", "u"]);
        assert_eq!(users(&config, "busybox"), ["pass for https://index.docker.io/v1/"]);
        assert_eq!(users(&config.without_programs(), "gcr.io/a"), ["u"]);
        assert!(is_helper("ecr-login") && !is_helper("../x") && !is_helper("-x") && !is_helper(""));
        let token = read_helped(br#"{"ServerURL":"x","Username":"<token>","Secret":"s"}"#).unwrap();
        assert_eq!(token, Credentials::Identity { token: "s".into() });
    }

    #[test]
    fn the_older_form_of_a_secret_is_read() {
        let config = DockerConfig::read_old(br#"{"quay.io": {"auth": "dTpw"}}"#).unwrap();
        assert_eq!(users(&config, "quay.io/a"), ["u"]);
    }

    #[test]
    fn what_cannot_be_read_is_told_without_secrets() {
        let error = DockerConfig::read(br#"{"auths": {"a": {"auth": "c2VjcmV0"}}}"#).err().unwrap();
        assert_eq!(error, CredentialsError::Auth("a".into()));
        let error = DockerConfig::read(b"{secret").err().unwrap().to_string();
        assert!(!error.contains("secret"), "{error}");
        let shown = format!("{:?}", Credentials::Identity { token: "secret".into() });
        assert!(!shown.contains("secret"));
    }
}
