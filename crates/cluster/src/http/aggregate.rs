//! Requests for groups that another server answers for: handed on to the service of their APIService, in the name of
//! whoever sent them.
//!
//! Whoever asks is authenticated and authorized here first. The other server is shown this server's own certificate and,
//! in headers, who asks; it never sees a credential of the client's.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use base64::Engine as _;
use bytes::Bytes;
use ferroflow_platform::{
    identity::Identity,
    kubelet::Connection,
    task::Kind as TaskKind,
    tls::{self, Trust},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header, request::Parts};
use http_body_util::{BodyExt, Limited};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio_rustls::client::TlsStream;

use super::{
    body::{self, Body, BoxError},
    reach,
    server::{self, Api},
};
use crate::core::{
    admission::Lookup,
    aggregation::{self, GROUP, Health, Registration},
    path::{Discovery, Target},
    rbac,
    resource::ResourceRef,
    status::{Failure, Outcome},
};

/// How long the other server has to show that it is there.
const PROBE_PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of a discovery document.
const DOCUMENT_BYTES: usize = 4 << 20;
/// Headers that say who asks, and those of one connection only.
const WITHHELD: [HeaderName; 6] = [
    header::AUTHORIZATION,
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::TE,
    header::TRAILER,
    HeaderName::from_static("keep-alive"),
];

/// What other servers have told of their groups.
#[derive(Default)]
pub struct Aggregated {
    told: RwLock<Told>,
}

#[derive(Default)]
struct Told {
    generation: u64,
    rows: HashMap<(String, String), Vec<ResourceRef>>,
}

impl Aggregated {
    /// A number that grows with each change of the rows.
    pub fn generation(&self) -> u64 {
        self.told.read().unwrap_or_else(PoisonError::into_inner).generation
    }

    /// The rows of all groups, in the order of their names.
    pub fn rows(&self) -> Vec<ResourceRef> {
        let told = self.told.read().unwrap_or_else(PoisonError::into_inner);
        let mut rows: Vec<ResourceRef> = told.rows.values().flatten().cloned().collect();
        rows.sort_by(|a, b| (&a.group, &a.version, &a.plural).cmp(&(&b.group, &b.version, &b.plural)));
        rows
    }

    /// Keeps the rows of these group versions only.
    pub fn keep(&self, rows: HashMap<(String, String), Vec<ResourceRef>>) {
        let same = |a: &[ResourceRef], b: &[ResourceRef]| format!("{a:?}") == format!("{b:?}");
        let mut told = self.told.write().unwrap_or_else(PoisonError::into_inner);
        let is_same = told.rows.len() == rows.len()
            && rows.iter().all(|(name, rows)| told.rows.get(name).is_some_and(|known| same(known, rows)));
        if !is_same {
            told.rows = rows;
            told.generation += 1;
        }
    }
}

/// The registration of a path that names no resource of this server, and is none of its own otherwise.
pub fn registration(api: &Api, target: &Target, path: &str) -> Option<Registration> {
    let is_own = match target {
        Target::Discovery(Discovery::Resources { group, version }) => api.registry.has_version(group, version),
        Target::Discovery(_) => true,
        Target::Resource(_) | Target::Other(_) => false,
    };
    if is_own {
        return None;
    }
    let mut words = path.strip_prefix("/apis/")?.split('/');
    let (group, version) = (words.next()?, words.next().filter(|version| !version.is_empty())?);
    let object = api.lookup.get(GROUP, "apiservices", "", &format!("{version}.{group}"))?;
    Registration::of(&object)
}

/// Hands a request on.
///
/// # Errors
/// 403 for what the identity may not do, 503 where the other server does not answer.
pub async fn proxy(
    api: &Arc<Api>,
    registration: &Registration,
    identity: &Identity,
    target: &Target,
    parts: Parts,
    body: Body,
) -> Outcome<Response<Body>> {
    authorize(api, identity, target, &parts)?;
    if !registration.available {
        return Ok(plain(StatusCode::SERVICE_UNAVAILABLE, "service unavailable\n"));
    }
    let unreachable = |fault: String| Failure::unavailable(format!("error trying to reach service: {fault}"));
    let connection = connect(api, registration).await.map_err(unreachable)?;
    exchange(api, registration, identity, connection, parts, body).await.map_err(|error| unreachable(error.to_string()))
}

fn authorize(api: &Api, identity: &Identity, target: &Target, parts: &Parts) -> Outcome<()> {
    let Target::Resource(path) = target else {
        let verb = parts.method.as_str().to_ascii_lowercase();
        return api.may(identity, &rbac::Attributes::Path { verb: &verb, path: parts.uri.path() });
    };
    let is_collection = path.name.is_empty();
    let watches = path.watch_prefix
        || parts.uri.query().unwrap_or_default().split('&').any(|pair| matches!(pair, "watch=true" | "watch=1"));
    let verb = match parts.method {
        Method::GET | Method::HEAD if is_collection && watches => "watch",
        Method::GET | Method::HEAD if is_collection => "list",
        Method::GET | Method::HEAD => "get",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if is_collection => "deletecollection",
        Method::DELETE => "delete",
        _ => "",
    };
    api.may(
        identity,
        &rbac::Attributes::Resource {
            verb,
            group: &path.group,
            resource: &path.resource,
            subresource: &path.subresource,
            namespace: &path.namespace,
            name: &path.name,
        },
    )
}

async fn connect(api: &Api, registration: &Registration) -> Result<TlsStream<Box<dyn Connection>>, String> {
    let connection = reach::service(api, &registration.namespace, &registration.service, registration.port).await?;
    let trust = if registration.insecure {
        Trust::Anyone
    } else if registration.bundle.is_empty() {
        Trust::Machine
    } else {
        let pem = base64::engine::general_purpose::STANDARD.decode(&registration.bundle);
        Trust::Bundle(pem.map_err(|error| format!("caBundle is no base64: {error}"))?)
    };
    tls::connect_to(connection, &registration.host(), &trust, Some(&api.front)).await
}

async fn exchange(
    api: &Api,
    registration: &Registration,
    identity: &Identity,
    connection: TlsStream<Box<dyn Connection>>,
    mut parts: Parts,
    body: Body,
) -> Result<Response<Body>, BoxError> {
    let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(connection)).await?;
    api.tasks.spawn("aggregated request", TaskKind::Transient, driver.with_upgrades());
    let mut request = Request::new(body);
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() = parts.uri.path_and_query().map_or("/", |path| path.as_str()).parse::<Uri>()?;
    *request.headers_mut() = headers(&parts.headers, registration, identity)?;
    let upgrade = parts.extensions.remove::<OnUpgrade>();
    let mut response = sender.send_request(request).await?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let there = hyper::upgrade::on(&mut response);
        let here = upgrade.ok_or("this connection cannot be upgraded; use HTTP/1.1")?;
        api.tasks.spawn("aggregated stream", TaskKind::Transient, async move {
            let (here, there) = futures::try_join!(here, there)?;
            // It ends when one side does.
            let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(here), &mut TokioIo::new(there)).await;
            Ok::<(), hyper::Error>(())
        });
        return Ok(response.map(body::boxed));
    }
    WITHHELD.iter().skip(1).for_each(|name| drop(response.headers_mut().remove(name)));
    Ok(response.map(body::boxed))
}

/// What the other server is told: what the client says, and who the client is.
fn headers(sent: &HeaderMap, registration: &Registration, identity: &Identity) -> Result<HeaderMap, BoxError> {
    let upgrades = sent.contains_key(header::UPGRADE);
    let mut headers = sent.clone();
    let is_ours =
        |name: &HeaderName| name.as_str().starts_with("x-remote-") || name.as_str().starts_with("impersonate-");
    let names: Vec<HeaderName> = headers.keys().filter(|name| is_ours(name)).cloned().collect();
    names.iter().chain(&WITHHELD).for_each(|name| drop(headers.remove(name)));
    if upgrades {
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    }
    headers.insert(header::HOST, HeaderValue::from_str(&format!("{}:{}", registration.host(), registration.port))?);
    headers.insert("x-remote-user", HeaderValue::from_str(&identity.name)?);
    if !identity.uid.is_empty() {
        headers.insert("x-remote-uid", HeaderValue::from_str(&identity.uid)?);
    }
    for group in &identity.groups {
        headers.append("x-remote-group", HeaderValue::from_str(group)?);
    }
    for (key, values) in &identity.extra {
        let name = HeaderName::try_from(format!("x-remote-extra-{}", aggregation::header_name(key)))?;
        for value in values {
            headers.append(name.clone(), HeaderValue::from_str(value)?);
        }
    }
    Ok(headers)
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(body::full(text));
    *response.status_mut() = status;
    server::set(response.headers_mut(), header::CONTENT_TYPE, "text/plain; charset=utf-8");
    response
}

/// Asks another server for its resources: whether it is there, and what it has.
pub async fn probe(api: &Api, registration: &Registration) -> (Health, Vec<ResourceRef>) {
    let failed = |reason: &'static str, message: String| (Health::Failed { reason, message }, Vec::new());
    let (namespace, name) = (&registration.namespace, &registration.service);
    if api.lookup.get("", "services", namespace, name).is_none() {
        return failed("ServiceNotFound", format!("service/{name} in {namespace:?} is not present"));
    }
    let asked = tokio::time::timeout(PROBE_PATIENCE, discovery(api, registration)).await;
    let url = format!("https://{}:{}{}", registration.host(), registration.port, registration.path());
    match asked.unwrap_or_else(|_| Err("context deadline exceeded".to_owned())) {
        Ok(document) => {
            let rows = aggregation::rows(&registration.group, &registration.version, &document);
            (Health::Passed, rows)
        }
        Err(fault) if fault.starts_with("no endpoints available") => {
            failed("MissingEndpoints", format!("endpoints for service/{name} in {namespace:?} have no addresses"))
        }
        Err(fault) => {
            failed("FailedDiscoveryCheck", format!("failing or missing response from {url}: Get {url:?}: {fault}"))
        }
    }
}

async fn discovery(api: &Api, registration: &Registration) -> Result<Value, String> {
    let connection = connect(api, registration).await?;
    let line = |error: &dyn std::fmt::Display| error.to_string();
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(connection)).await;
    let (mut sender, driver) = handshake.map_err(|error| line(&error))?;
    let identity = Identity::user("system:kube-aggregator", &[rbac::MASTERS]);
    let mut request = Request::get(registration.path()).body(body::full(Bytes::new())).map_err(|error| line(&error))?;
    let mut sent = HeaderMap::new();
    sent.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    *request.headers_mut() = headers(&sent, registration, &identity).map_err(|error| line(&error))?;
    let asking = async {
        let response = sender.send_request(request).await.map_err(|error| line(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), DOCUMENT_BYTES).collect().await;
        let body = body.map_err(|error| line(&error))?.to_bytes();
        if !status.is_success() {
            return Err(format!("bad status from the server: {}", status.as_u16()));
        }
        serde_json::from_slice(&body).map_err(|error| line(&error))
    };
    let (mut asking, mut driver) = (std::pin::pin!(asking), std::pin::pin!(driver));
    tokio::select! {
        answered = &mut asking => answered,
        // The connection is done before the answer has been looked at.
        _ = &mut driver => asking.await,
    }
}
