//! One server's view of one repository: requests with the login that the server asks for.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use serde::Deserialize;
use tokio::{sync::Mutex, time::timeout};

use super::{Http, RegistryError, SILENCE};
use crate::core::{
    challenge::{self, Challenge},
    credentials::Credentials,
    document::ACCEPTED,
    registries::Endpoint,
    retry,
};

/// Redirects that are followed: to an object store, and once more within it.
const MOST_REDIRECTS: usize = 5;
/// Bytes of a token server's answer, and of what is told of an error.
const MOST_TOKEN_BYTES: u64 = 1 << 20;

/// A server and a repository there.
pub struct Session {
    http: Http,
    pub endpoint: Endpoint,
    repository: String,
    login: Mutex<Login>,
}

/// What the server is told, and what else it can be told.
struct Login {
    candidates: Vec<Credentials>,
    next: usize,
    header: Option<String>,
    /// Whether the server has taken the header, so that a refusal means that it is too old.
    is_proven: bool,
}

/// An answer that is still being read.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    body: Incoming,
    server: String,
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

#[derive(Deserialize)]
struct Errors {
    errors: Vec<OneError>,
}

#[derive(Deserialize)]
struct OneError {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

impl Session {
    /// A session that logs in with each of these in turn when it is asked to.
    pub fn new(http: Http, endpoint: Endpoint, repository: &str, candidates: Vec<Credentials>) -> Self {
        let login = Login { candidates, next: 0, header: None, is_proven: false };
        Self { http, endpoint, repository: repository.to_owned(), login: Mutex::new(login) }
    }

    /// Asks for something of the repository until there is an answer, a refusal, or enough attempts.
    ///
    /// # Errors
    /// [`RegistryError`] of the last attempt.
    pub async fn get(&self, what: &str, offset: u64) -> Result<Answer, RegistryError> {
        let mut failures = 0;
        loop {
            let (error, asked) = match self.attempt(what, offset).await {
                Ok(answer) if !retry::is_passing(answer.status.as_u16()) => return self.judged(what, answer).await,
                Ok(answer) => {
                    let asked =
                        answer.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
                    (self.refusal(what, answer).await, asked.map(Duration::from_secs))
                }
                Err(error) => (error, None),
            };
            failures += 1;
            if failures >= retry::ATTEMPTS || !error.is_passing() {
                return Err(error);
            }
            tracing::debug!(server = %self.endpoint.host, what, %error, failures, "a registry is asked again");
            tokio::time::sleep(retry::wait(failures, asked)).await;
        }
    }

    /// Asks once, and logs in where that is asked for.
    async fn attempt(&self, what: &str, offset: u64) -> Result<Answer, RegistryError> {
        let address = self.endpoint.address(&self.repository, what);
        loop {
            let header = self.login.lock().await.header.clone();
            let answer = self.follow(&address, header.as_deref(), offset).await?;
            if answer.status != StatusCode::UNAUTHORIZED {
                let mut login = self.login.lock().await;
                login.is_proven = login.is_proven || header.is_some() && login.header == header;
                return Ok(answer);
            }
            if !self.log_in(&answer, header.as_deref()).await? {
                return Ok(answer);
            }
        }
    }

    /// Gets an address and those it leads to. Other servers are not told the login.
    async fn follow(&self, address: &str, login: Option<&str>, offset: u64) -> Result<Answer, RegistryError> {
        let server = &self.endpoint.host;
        let mut at: Uri = address.parse().map_err(|_| RegistryError::Address(address.to_owned()))?;
        for _ in 0..=MOST_REDIRECTS {
            let mut request = Request::builder().method(Method::GET).uri(at.clone());
            request = request.header(header::USER_AGENT, concat!("ferroflow/", env!("CARGO_PKG_VERSION")));
            if let Some(login) = login.filter(|_| at.authority().is_some_and(|authority| authority.as_str() == server))
            {
                request = request.header(header::AUTHORIZATION, login);
            }
            request = request.header(header::ACCEPT, format!("{}, */*", ACCEPTED.join(", ")));
            if offset > 0 {
                request = request.header(header::RANGE, format!("bytes={offset}-"));
            }
            let request = request.body(Full::default()).map_err(|_| RegistryError::Address(at.to_string()))?;
            let answer = self.http.send(server, request).await?;
            if !answer.status().is_redirection() || answer.status() == StatusCode::NOT_MODIFIED {
                return Ok(Answer::new(answer, server));
            }
            let location = answer.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
            let location = location.unwrap_or_default();
            at = lead(&at, location)
                .ok_or_else(|| RegistryError::Redirect { server: server.clone(), location: shown(location) })?;
        }
        Err(RegistryError::Redirect { server: server.clone(), location: shown(&at.to_string()) })
    }

    /// Takes the next login; whether there is one that the server was not told yet.
    async fn log_in(&self, answer: &Answer, told: Option<&str>) -> Result<bool, RegistryError> {
        let server = self.endpoint.host.clone();
        let mut login = self.login.lock().await;
        if login.header.as_deref() != told {
            // Another request has logged in meanwhile.
            return Ok(true);
        }
        let asked = answer.headers.get(header::WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
        let challenge = challenge::read(asked.unwrap_or_default());
        let challenge = challenge.map_err(|source| RegistryError::Challenge { server: server.clone(), source })?;
        if told.is_some() && !login.is_proven {
            login.next += 1;
        }
        // A token that was good is had anew once; one that was just made is not.
        login.is_proven = false;
        loop {
            let candidate = login.candidates.get(login.next).cloned();
            if candidate.is_none() && login.next > 0 {
                return Ok(false);
            }
            let header = match (&challenge, &candidate) {
                (Challenge::Basic, Some(Credentials::Password { user, password })) => Some(basic(user, password)),
                (Challenge::Basic, _) => None,
                (Challenge::Bearer { realm, service, scope }, _) => {
                    let own_scope = format!("repository:{}:pull", self.repository);
                    let scope = scope.as_deref().unwrap_or(&own_scope);
                    self.token(realm, service.as_deref(), scope, candidate.as_ref()).await?
                }
            };
            if header.is_some() {
                login.header = header;
                return Ok(true);
            }
            if candidate.is_none() {
                return Ok(false);
            }
            login.next += 1;
        }
    }

    /// A token from the token server; `None` when it refuses.
    async fn token(
        &self,
        realm: &str,
        service: Option<&str>,
        scope: &str,
        who: Option<&Credentials>,
    ) -> Result<Option<String>, RegistryError> {
        let server = self.endpoint.host.clone();
        let is_tls = self.endpoint.scheme == "https";
        let address = challenge::token_address(realm, service, Some(scope), is_tls);
        let address = address.map_err(|source| RegistryError::Challenge { server: server.clone(), source })?;
        let request = match who {
            Some(Credentials::Identity { token }) => {
                let form =
                    [("grant_type", "refresh_token"), ("service", service.unwrap_or_default()), ("scope", scope)];
                let mut form: Vec<(&str, &str)> = form.to_vec();
                form.extend([("client_id", "ferroflow"), ("refresh_token", token)]);
                let form: Vec<String> =
                    form.iter().map(|(name, value)| format!("{name}={}", challenge::encoded(value))).collect();
                let request = Request::builder().method(Method::POST).uri(realm);
                let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
                request.body(Full::from(form.join("&")))
            }
            Some(Credentials::Password { user, password }) => Request::builder()
                .uri(&address)
                .header(header::AUTHORIZATION, basic(user, password))
                .body(Full::default()),
            None => Request::builder().uri(&address).body(Full::default()),
        };
        let request = request.map_err(|_| RegistryError::Address(shown(&address)))?;
        let answer = Answer::new(self.http.send(&server, request).await?, &server);
        if matches!(answer.status.as_u16(), 400 | 401 | 403) {
            return Ok(None);
        }
        if !answer.status.is_success() {
            return Err(self.refusal("a token", answer).await);
        }
        let text = answer.bytes("a token", MOST_TOKEN_BYTES).await?;
        let token: Token =
            serde_json::from_slice(&text).map_err(|_| RegistryError::Token { server: server.clone() })?;
        let token = token.token.or(token.access_token).filter(|token| !token.is_empty());
        token.map(|token| Some(format!("Bearer {token}"))).ok_or(RegistryError::Token { server })
    }

    async fn judged(&self, what: &str, answer: Answer) -> Result<Answer, RegistryError> {
        let is_good = answer.status.is_success() || answer.status == StatusCode::RANGE_NOT_SATISFIABLE;
        if is_good { Ok(answer) } else { Err(self.refusal(what, answer).await) }
    }

    /// What an answer that is none says.
    async fn refusal(&self, what: &str, answer: Answer) -> RegistryError {
        let (server, status) = (self.endpoint.host.clone(), answer.status);
        let what = format!("{what} of {}", self.repository);
        let text = answer.bytes("an error", MOST_TOKEN_BYTES).await.unwrap_or_default();
        let told = serde_json::from_slice::<Errors>(&text).ok().and_then(|all| all.errors.into_iter().next());
        let message = match told {
            Some(OneError { code, message }) if !message.is_empty() => shown(&format!("{message} ({code})")),
            Some(OneError { code, .. }) => shown(&code),
            None => status.canonical_reason().unwrap_or("no reason").to_lowercase(),
        };
        match status {
            StatusCode::NOT_FOUND => RegistryError::Missing { server, what },
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let has_login = !self.login.lock().await.candidates.is_empty();
                let who = if has_login { "the credentials that there are" } else { "everyone" };
                RegistryError::Denied { server, what, who, message }
            }
            status => RegistryError::Status { server, what, status: status.as_u16(), message },
        }
    }
}

impl Answer {
    fn new(response: Response<Incoming>, server: &str) -> Self {
        let (parts, body) = response.into_parts();
        Self { status: parts.status, headers: parts.headers, body, server: server.to_owned() }
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// When the connection breaks or is silent for too long.
    pub async fn next(&mut self) -> Result<Option<Bytes>, RegistryError> {
        loop {
            let server = || self.server.clone();
            match timeout(SILENCE, self.body.frame()).await {
                Err(_) => return Err(RegistryError::Silent { server: server() }),
                Ok(None) => return Ok(None),
                Ok(Some(Err(error))) => {
                    return Err(RegistryError::Broken { server: server(), source: error.into() });
                }
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => return Ok(Some(data)),
                    // Trailers say nothing that is needed.
                    Err(_) => continue,
                },
            }
        }
    }

    /// All bytes, of which there may be so many.
    ///
    /// # Errors
    /// As [`Self::next`], and when there are more.
    pub async fn bytes(mut self, what: &str, most_bytes: u64) -> Result<Vec<u8>, RegistryError> {
        let mut bytes = Vec::new();
        while let Some(piece) = self.next().await? {
            if (bytes.len() + piece.len()) as u64 > most_bytes {
                return Err(RegistryError::Large { server: self.server, what: what.to_owned(), most_bytes });
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// Where a redirect leads; `None` when that is no address, or one without TLS from one with it.
fn lead(from: &Uri, location: &str) -> Option<Uri> {
    let absolute = if location.starts_with('/') && !location.starts_with("//") {
        format!("{}://{}{location}", from.scheme_str()?, from.authority()?)
    } else {
        location.to_owned()
    };
    let to: Uri = absolute.parse().ok()?;
    let is_good = match to.scheme_str() {
        Some("https") => true,
        Some("http") => from.scheme_str() == Some("http"),
        _ => false,
    };
    is_good.then_some(to)
}

/// A stranger's text, as far as it is shown: without what comes after a question mark, which may be a key.
fn shown(text: &str) -> String {
    let text = text.split('?').next().unwrap_or_default();
    text.chars().filter(|character| !character.is_control()).take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_lead_to_addresses_and_never_out_of_tls() {
        let from: Uri = "https://a/v2/x".parse().unwrap();
        for (location, to) in [
            ("/y", Some("https://a/y")),
            ("https://b/z?k=1", Some("https://b/z?k=1")),
            ("http://b/z", None),
            ("file:///etc/passwd", None),
            ("", None),
        ] {
            assert_eq!(lead(&from, location).map(|to| to.to_string()).as_deref(), to, "{location}");
        }
        let plain: Uri = "http://a/v2/x".parse().unwrap();
        assert!(lead(&plain, "http://b/z").is_some());
        assert_eq!(shown("https://b/z?key=secret"), "https://b/z");
    }
}
