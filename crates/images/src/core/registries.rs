//! Which servers are asked for the images of a registry, and how: the `[[registry]]` rules of a configuration.

use serde::{Deserialize, Serialize};

use super::reference::DEFAULT_REGISTRY;

/// The server behind the default registry.
const DEFAULT_SERVER: &str = "registry-1.docker.io";

/// One registry's rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The registry as names of images say it: host and port; `*` stands for all that have no rule.
    pub host: String,
    /// Servers that are asked first, in this order: `host[:port][/path]`, with `http://` before it where plain.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mirrors: Vec<String>,
    /// Whether the registry itself is spoken to without TLS.
    #[serde(default)]
    pub plain_http: bool,
}

/// The rules, in the order in which they were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registries {
    rules: Vec<Rule>,
}

/// A rule that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistriesError {
    #[error("registry {0:?}: `host` is a host with an optional port, as registry.example.com:5000, or *")]
    Host(String),
    #[error("registry {0:?} has two rules; write one")]
    Twice(String),
    #[error("registry {host:?}: mirror {mirror:?} is not written [http://]host[:port][/path]")]
    Mirror { host: String, mirror: String },
}

/// A server that has images of a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `http` or `https`.
    pub scheme: &'static str,
    /// Host and port.
    pub host: String,
    /// Comes before the repository: empty, or `folder/`.
    pub prefix: String,
    /// The registry that a mirror answers for, which it is told.
    pub mirrors: Option<String>,
}

impl Endpoint {
    /// The address of something of a repository: `manifests/latest`, `blobs/sha256:…`.
    pub fn address(&self, repository: &str, what: &str) -> String {
        let told = self.mirrors.as_ref().map(|registry| format!("?ns={registry}")).unwrap_or_default();
        format!("{}://{}/v2/{}{repository}/{what}{told}", self.scheme, self.host, self.prefix)
    }
}

impl Registries {
    /// Checks rules.
    ///
    /// # Errors
    /// [`RegistriesError`] for the first rule that cannot be.
    pub fn new(rules: Vec<Rule>) -> Result<Self, RegistriesError> {
        for (index, rule) in rules.iter().enumerate() {
            let is_host = !rule.host.is_empty() && !rule.host.contains('/') && !rule.host.contains(char::is_whitespace);
            if !is_host {
                return Err(RegistriesError::Host(rule.host.clone()));
            }
            if rules[..index].iter().any(|other| other.host == rule.host) {
                return Err(RegistriesError::Twice(rule.host.clone()));
            }
            for mirror in &rule.mirrors {
                if endpoint(mirror, &rule.host).is_none() {
                    return Err(RegistriesError::Mirror { host: rule.host.clone(), mirror: mirror.clone() });
                }
            }
        }
        Ok(Self { rules })
    }

    /// The same rules, and one more registry that is spoken to without TLS.
    #[must_use]
    pub fn with_plain_http(mut self, host: &str) -> Self {
        let rule = self.rules.iter().position(|rule| rule.host == host);
        match rule.and_then(|index| self.rules.get_mut(index)) {
            Some(rule) => rule.plain_http = true,
            None => self.rules.push(Rule { host: host.to_owned(), plain_http: true, ..Rule::default() }),
        }
        self
    }

    /// The servers to ask for images of a registry, the first first; the registry itself is the last.
    pub fn endpoints(&self, registry: &str) -> Vec<Endpoint> {
        let own = self.rules.iter().find(|rule| rule.host == registry);
        let rule = own.or_else(|| self.rules.iter().find(|rule| rule.host == "*"));
        let mirrors = rule.map(|rule| rule.mirrors.as_slice()).unwrap_or_default();
        let plain = rule.is_some_and(|rule| rule.plain_http);
        let server = if registry == DEFAULT_REGISTRY { DEFAULT_SERVER } else { registry };
        let scheme = if plain { "http" } else { "https" };
        let itself = Endpoint { scheme, host: server.to_owned(), prefix: String::new(), mirrors: None };
        mirrors.iter().filter_map(|mirror| endpoint(mirror, registry)).chain([itself]).collect()
    }
}

/// A mirror's server; `None` when the text names none.
fn endpoint(mirror: &str, registry: &str) -> Option<Endpoint> {
    let (scheme, rest) = match mirror.split_once("://") {
        Some(("http", rest)) => ("http", rest),
        Some(("https", rest)) => ("https", rest),
        Some(_) => return None,
        None => ("https", mirror),
    };
    let rest = rest.trim_end_matches('/');
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let is_good = |character: char| character.is_ascii_alphanumeric() || ".:-_/[]".contains(character);
    let is_path = path.is_empty() || path.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    if host.is_empty() || !rest.chars().all(is_good) || !is_path {
        return None;
    }
    let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
    Some(Endpoint { scheme, host: host.to_owned(), prefix, mirrors: Some(registry.to_owned()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(host: &str, mirrors: &[&str], plain_http: bool) -> Rule {
        let mirrors = mirrors.iter().map(|mirror| (*mirror).to_owned()).collect();
        Rule { host: host.to_owned(), mirrors, plain_http }
    }

    fn addresses(registries: &Registries, registry: &str) -> Vec<String> {
        registries.endpoints(registry).iter().map(|one| one.address("a/b", "manifests/1")).collect()
    }

    #[test]
    fn a_registry_without_a_rule_is_asked_itself_with_tls() {
        let none = Registries::default();
        assert_eq!(addresses(&none, "ghcr.io"), ["https://ghcr.io/v2/a/b/manifests/1"]);
        assert_eq!(addresses(&none, "docker.io"), ["https://registry-1.docker.io/v2/a/b/manifests/1"]);
    }

    #[test]
    fn mirrors_come_first_and_are_told_for_whom_they_answer() {
        let rules = vec![
            rule("docker.io", &["http://127.0.0.1:5000", "mirror.example.com/hub/"], false),
            rule("localhost:5000", &[], true),
            rule("*", &["http://cache:1"], false),
        ];
        let registries = Registries::new(rules).unwrap();
        assert_eq!(
            addresses(&registries, "docker.io"),
            [
                "http://127.0.0.1:5000/v2/a/b/manifests/1?ns=docker.io",
                "https://mirror.example.com/v2/hub/a/b/manifests/1?ns=docker.io",
                "https://registry-1.docker.io/v2/a/b/manifests/1",
            ]
        );
        assert_eq!(addresses(&registries, "localhost:5000"), ["http://localhost:5000/v2/a/b/manifests/1"]);
        assert_eq!(addresses(&registries, "quay.io")[0], "http://cache:1/v2/a/b/manifests/1?ns=quay.io");
        let plain = registries.with_plain_http("quay.io");
        assert_eq!(addresses(&plain, "quay.io"), ["http://quay.io/v2/a/b/manifests/1"]);
    }

    #[test]
    fn rules_that_cannot_be_are_refused() {
        for (rules, part) in [
            (vec![rule("", &[], false)], "`host` is a host"),
            (vec![rule("https://a", &[], false)], "`host` is a host"),
            (vec![rule("a", &[], false), rule("a", &[], true)], "two rules"),
            (vec![rule("a", &["ftp://b"], false)], "mirror \"ftp://b\""),
            (vec![rule("a", &["b/../c"], false)], "mirror \"b/../c\""),
            (vec![rule("a", &["user@b"], false)], "mirror \"user@b\""),
        ] {
            let error = Registries::new(rules).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
