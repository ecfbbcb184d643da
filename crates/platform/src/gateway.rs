//! The one port for what people open and clients call: services mounted below a path, behind bearer tokens.
//!
//! A request must name this server as its `Host` (or an IP address, which no page of another name can fake), and a page
//! that sends it must come from that same `Host`. Then its token says who asks; what they may do is the service's to ask.

use std::{convert::Infallible, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use tokio::net::TcpListener;

use crate::{
    access::{Access, Asked},
    forward::{FORWARDED, LEADS},
    http::{
        self as kit, Handshake, Peer,
        body::{self, Body},
    },
    identity::Identity,
    metrics::{self, Metrics},
    task::Group,
};

/// Something that answers requests below a path.
pub trait Service: Send + Sync + 'static {
    /// Answers a request of `identity`; the path of its URI begins below the place where the service is mounted.
    fn answer(self: Arc<Self>, request: Request<Body>, identity: Identity) -> BoxFuture<'static, Response<Body>>;

    /// Whether a path finds out by itself who asks; its requests come as [`Identity::anonymous`].
    fn is_open(&self, path: &str) -> bool;

    /// A refusal in the service's own form.
    fn refuse(&self, status: StatusCode, message: &str) -> Response<Body>;
}

struct Mount {
    at: &'static str,
    below: &'static str,
    service: Arc<dyn Service>,
}

/// Services behind one port.
pub struct Gateway {
    access: Access,
    names: Vec<String>,
    mounts: Vec<Mount>,
    ready: Ready,
    leads: Leads,
    metrics: Metrics,
}

/// Whether this replica leads.
type Leads = Box<dyn Fn() -> bool + Send + Sync>;
/// Whether requests can be answered, or why not.
type Ready = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// Where a kubelet asks whether the process lives, and whether it can answer; nobody has to say who he is.
const LIVE: &str = "/healthz";
const READY: &str = "/readyz";
/// The target of lines of audit in the log.
const AUDIT: &str = "ferroflow::audit";
/// What the server tells of itself to whoever may read this path, as a kube-apiserver's.
const METRICS: &str = "/metrics";
/// What requests are counted under that are no service's.
const ELSEWHERE: &str = "";

/// Names that every gateway answers to, beside IP addresses.
const LOCALHOST: &str = "localhost";

impl Gateway {
    /// A gateway without services that answers to `names`, `localhost` and IP addresses.
    pub fn new(access: Access, names: Vec<String>) -> Self {
        let metrics = Metrics::new(access.clock().now().as_second());
        Self { access, names, mounts: Vec::new(), ready: Box::new(|| Ok(())), leads: Box::new(|| true), metrics }
    }

    /// What the gateway tells under `/metrics`; others add theirs.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Says under `/readyz` what `ready` says; without it, that all is well.
    #[must_use]
    pub fn ready_when(mut self, ready: impl Fn() -> Result<(), String> + Send + Sync + 'static) -> Self {
        self.ready = Box::new(ready);
        self
    }

    /// Says under [`LEADS`] what `leads` says; without it, that this replica does.
    #[must_use]
    pub fn leads_when(mut self, leads: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        self.leads = Box::new(leads);
        self
    }

    /// Lets `service` answer what is below `at`; it sees `below` in place of that.
    #[must_use]
    pub fn mount(mut self, at: &'static str, below: &'static str, service: Arc<dyn Service>) -> Self {
        self.mounts.push(Mount { at, below, service });
        self
    }

    /// Answers until the group stops.
    ///
    /// # Errors
    /// Never by itself.
    pub async fn serve<H: Handshake>(
        self: Arc<Self>,
        group: Group,
        listener: TcpListener,
        handshake: H,
    ) -> Result<(), Infallible> {
        let answer = move |request: Request<hyper::body::Incoming>| {
            let gateway = self.clone();
            async move { gateway.answer(request.map(body::boxed)).await }
        };
        kit::serve(group, "gateway", listener, handshake, answer).await
    }

    /// Answers one request, counts it, and tells of what it changes who wanted that.
    pub async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let began = self.access.clock().instant();
        let mut account = Account::of(&request);
        let response = self.respond(request, &mut account).await;
        let took = self.access.clock().instant() - began;
        self.metrics.answered(account.mount, account.method.as_str(), response.status().as_u16(), took);
        account.tell(response.status(), took);
        response
    }

    async fn respond(&self, mut request: Request<Body>, account: &mut Account) -> Response<Body> {
        let path = request.uri().path();
        match path {
            LIVE => return health(Ok(())),
            READY => return health((self.ready)()),
            LEADS if (self.leads)() => return health(Ok(())),
            LEADS => return health(Err("this replica does not lead".to_owned())),
            METRICS => return self.tell(request.uri(), request.headers(), account).await,
            _ => {}
        }
        let Some((mount, inner)) = self.mounts.iter().find_map(|mount| mount.inner(path).map(|inner| (mount, inner)))
        else {
            let known: Vec<&str> = self.mounts.iter().map(|mount| mount.at).collect();
            return text(StatusCode::NOT_FOUND, format!("nothing is at {path}; there is {}\n", known.join(", ")));
        };
        account.mount = mount.at;
        let service = mount.service.clone();
        // Who gives no token is told so, by whatever name an API server hands on.
        let identity = if service.is_open(&inner) {
            account.is_open = true;
            Identity::anonymous()
        } else {
            match self.identify(request.headers()).await {
                Ok(identity) => identity,
                Err((status, message)) => return unauthorized(service.refuse(status, &message)),
            }
        };
        if let Err(message) = self.check(request.uri(), request.headers()) {
            return service.refuse(StatusCode::FORBIDDEN, &message);
        }
        account.user.clone_from(&identity.name);
        match rewritten(request.uri(), &inner) {
            Some(uri) => *request.uri_mut() = uri,
            None => return service.refuse(StatusCode::BAD_REQUEST, "the path is no path"),
        }
        service.answer(request, identity).await
    }

    /// Metrics, for those who may read them.
    async fn tell(&self, uri: &Uri, headers: &HeaderMap, account: &mut Account) -> Response<Body> {
        let refused = |status, message: String| unauthorized(text(status, format!("{message}\n")));
        if let Err(message) = self.check(uri, headers) {
            return refused(StatusCode::FORBIDDEN, message);
        }
        let identity = match self.identify(headers).await {
            Ok(identity) => identity,
            Err((status, message)) => return refused(status, message),
        };
        account.user.clone_from(&identity.name);
        match self.access.may(&identity, Asked::path(METRICS)).await {
            Err(error) => refused(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
            Ok(false) => {
                let who = identity.name;
                let message =
                    format!("{who:?} may not get {METRICS}; a ClusterRole with nonResourceURLs gives the right");
                refused(StatusCode::FORBIDDEN, message)
            }
            Ok(true) => {
                let mut response = text(StatusCode::OK, self.metrics.text());
                let kind = HeaderValue::from_static(metrics::CONTENT_TYPE);
                response.headers_mut().insert(header::CONTENT_TYPE, kind);
                response
            }
        }
    }

    async fn identify(&self, headers: &HeaderMap) -> Result<Identity, (StatusCode, String)> {
        let Some(token) = bearer(headers) else {
            let message = "no bearer token in the Authorization header; give one (`ferroflow env` prints it), as \
                           kfp.Client(existing_token=...)";
            return Err((StatusCode::UNAUTHORIZED, message.to_owned()));
        };
        match self.access.identify(token).await {
            Ok(Some(identity)) => Ok(identity),
            Ok(None) => {
                let message = "the bearer token is not, or no longer, good; get a new one (`ferroflow env` prints it)";
                Err((StatusCode::UNAUTHORIZED, message.to_owned()))
            }
            Err(error) => {
                tracing::warn!(error = %error.0, "a token could not be reviewed");
                Err((StatusCode::SERVICE_UNAVAILABLE, error.to_string()))
            }
        }
    }

    fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), String> {
        let host = match headers.get(header::HOST) {
            Some(host) => host.to_str().unwrap_or_default(),
            None => uri.authority().map(http::uri::Authority::as_str).unwrap_or_default(),
        };
        if !self.is_own(host) {
            return Err(format!(
                "the Host header {host:?} is not a name of this server; use 127.0.0.1 or localhost, or tell the server its \
                 name with --name"
            ));
        }
        let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
        let origin = origin.to_str().unwrap_or_default();
        let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        if authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host)) {
            return Ok(());
        }
        Err(format!("pages of origin {origin:?} may not call this server"))
    }

    fn is_own(&self, authority: &str) -> bool {
        let name = host_of(authority);
        let address = name.trim_start_matches('[').trim_end_matches(']');
        address.parse::<std::net::IpAddr>().is_ok()
            || name.eq_ignore_ascii_case(LOCALHOST)
            || self.names.iter().any(|own| own.eq_ignore_ascii_case(name))
    }
}

/// A request as it is counted and told of.
struct Account {
    mount: &'static str,
    method: Method,
    path: String,
    peer: String,
    user: String,
    /// The path finds out by itself who asks.
    is_open: bool,
    is_handed_on: bool,
}

impl Account {
    fn of(request: &Request<Body>) -> Self {
        Self {
            mount: ELSEWHERE,
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            peer: request.extensions().get::<Peer>().map(|peer| peer.0.to_string()).unwrap_or_default(),
            user: String::new(),
            is_open: false,
            is_handed_on: request.headers().contains_key(FORWARDED),
        }
    }

    /// Writes a line of audit: who changed or tried to change what, and who was turned away.
    fn tell(&self, status: StatusCode, took: Duration) {
        let is_turned_away = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        let is_change = !matches!(self.method, Method::GET | Method::HEAD | Method::OPTIONS);
        // What steps report of themselves is recorded with their runs.
        if !is_turned_away && (!is_change || self.is_open) {
            return;
        }
        tracing::info!(
            target: AUDIT,
            user = self.user,
            method = self.method.as_str(),
            path = self.path,
            code = status.as_u16(),
            peer = self.peer,
            handed_on = self.is_handed_on,
            took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            "request"
        );
    }
}

impl Mount {
    fn inner(&self, path: &str) -> Option<String> {
        let rest = path.strip_prefix(self.at)?;
        (rest.is_empty() || rest.starts_with('/')).then(|| format!("{}{rest}", self.below))
    }
}

/// An authority without its port.
fn host_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => authority,
    }
}

/// The token of an `Authorization: Bearer …` header.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The same URI with another path.
pub fn rewritten(uri: &Uri, path: &str) -> Option<Uri> {
    let path = if path.is_empty() { "/" } else { path };
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    format!("{path}{query}").parse().ok()
}

fn unauthorized(mut response: Response<Body>) -> Response<Body> {
    if response.status() == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

fn health(verdict: Result<(), String>) -> Response<Body> {
    match verdict {
        Ok(()) => text(StatusCode::OK, "ok\n".to_owned()),
        Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

fn text(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(body::full(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
