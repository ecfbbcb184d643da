//! The API server: from a request to a response.

use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
};

use ferroflow_platform::{clock::SharedClock, identity::Identity, kubelet::SharedAgent, task::Group, tls::Credential};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use serde_json::Value;
use tokio::sync::Semaphore;

use super::{
    admission::StoreLookup,
    aggregate::{self, Aggregated},
    body::{self, Body},
    compress::{self, Compression},
    documents::Documents,
    local::{self, LocalService},
    metrics,
    negotiate::{self, Route},
    options::Options,
    read::{self, Selection},
    services::Allocator,
    subresource,
    view::{self, View},
    watch,
    write::{self, Accounting, Written, create, decode, delete, patch, update},
};
use crate::{
    auth::Authenticator,
    core::{
        kinds::{meta::validate_field_manager, names, place::Place},
        path::{self, Discovery, ResourcePath, Target},
        rbac,
        selector::fields,
        status::{Failure, Outcome},
    },
    registry::{Registry, Rules, Served},
    store::Store,
};

/// The state that all requests share.
pub struct Api {
    pub store: Store,
    pub registry: Registry,
    pub lookup: StoreLookup,
    pub clock: SharedClock,
    pub authenticator: Authenticator,
    pub documents: Documents,
    pub services: Allocator,
    /// Set once the node is there; without one, logs and commands answer 503.
    pub agent: OnceLock<SharedAgent>,
    /// Runs what outlives a request: streams of commands and ports.
    pub tasks: Group,
    /// Bounds the questions to webhooks that are under way.
    pub calls: Semaphore,
    /// What other servers have told of their groups.
    pub aggregated: Aggregated,
    /// What this server shows to other servers.
    pub front: Credential,
    /// Services that are answered in this process.
    pub local: OnceLock<Vec<LocalService>>,
}

/// Marks a request that comes from inside the process, with the identity of the component.
#[derive(Clone, Debug)]
pub struct InProcess(pub Identity);

/// A request whose path names a resource.
pub struct Call<'a> {
    pub api: &'a Arc<Api>,
    pub parts: Parts,
    pub path: ResourcePath,
    pub served: Arc<Served>,
    pub options: Options,
    pub identity: Identity,
}

impl Api {
    /// Answers a request.
    pub async fn handle(self: &Arc<Self>, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        match self.route(parts, body).await {
            Ok(response) => response,
            Err(failure) => refusal(&failure),
        }
    }

    async fn route(self: &Arc<Self>, parts: Parts, body: Body) -> Outcome<Response<Body>> {
        let identity = self.identify(&parts)?;
        let target = path::parse(parts.uri.path()).map_err(|error| Failure::bad_request(error.to_string()))?;
        let found = match &target {
            Target::Resource(path) => self.registry.get(&path.group, &path.version, &path.resource),
            Target::Discovery(_) | Target::Other(_) => None,
        };
        if found.is_none()
            && let Some(registration) = aggregate::registration(self, &target, parts.uri.path())
        {
            return aggregate::proxy(self, &registration, &identity, &target, parts, body).await;
        }
        if found.is_none()
            && let Some(service) = local::of_path(self, parts.uri.path())
        {
            return Ok(local::hand(service, parts, identity, body).await);
        }
        match target {
            Target::Resource(path) => {
                let Some(served) = found else {
                    if let Some(answered) = metrics::answer(self, &identity, &path, &parts).await {
                        return answered;
                    }
                    let is_known = self.registry.has_version(&path.group, &path.version);
                    return if is_known { Err(Failure::no_such_path()) } else { self.unknown(&identity, &parts) };
                };
                if !served.resource.namespaced() && !path.namespace.is_empty() {
                    return Err(Failure::no_such_path());
                }
                let options = Options::parse(parts.uri.query().unwrap_or_default())?;
                let deprecation = served.deprecation().map(str::to_owned);
                let call = Call { api: self, parts, path, served, options, identity };
                let mut response = call.answer(body).await?;
                if let Some(text) = deprecation {
                    warn(response.headers_mut(), &text);
                }
                Ok(response)
            }
            Target::Discovery(discovery) => {
                self.may_read_path(&identity, &parts)?;
                self.discovery(&discovery, &parts)
            }
            Target::Other(segments) => {
                self.may_read_path(&identity, &parts)?;
                let words: Vec<&str> = segments.iter().map(String::as_str).collect();
                self.documents.other(self, &words, &parts).ok_or_else(Failure::no_such_path)?
            }
        }
    }

    /// An unknown path is a 404 only to those who may see which paths there are.
    fn unknown(&self, identity: &Identity, parts: &Parts) -> Outcome<Response<Body>> {
        self.may_read_path(identity, parts)?;
        let mut response = Response::new(body::full("404 page not found\n"));
        *response.status_mut() = StatusCode::NOT_FOUND;
        set(response.headers_mut(), header::CONTENT_TYPE, "text/plain; charset=utf-8");
        Ok(response)
    }

    fn discovery(&self, discovery: &Discovery, parts: &Parts) -> Outcome<Response<Body>> {
        if parts.method != Method::GET && parts.method != Method::HEAD {
            return Err(Failure::method_not_allowed_here());
        }
        self.documents.discovery(self, discovery, parts).ok_or_else(Failure::no_such_path)
    }
}

impl Call<'_> {
    fn verb(&self) -> Outcome<&'static str> {
        let is_collection = self.path.name.is_empty();
        let is_watch = (self.options.watch && is_collection) || self.path.watch_prefix;
        Ok(match self.parts.method {
            Method::GET | Method::HEAD if is_watch => "watch",
            Method::GET | Method::HEAD if is_collection => "list",
            Method::GET | Method::HEAD => "get",
            Method::POST => "create",
            Method::PUT | Method::PATCH if is_collection => return Err(Failure::method_not_allowed_here()),
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE if is_collection => "deletecollection",
            Method::DELETE => "delete",
            // Whom requests are handed on to, decides; upstream's authorization knows no verb for it either.
            Method::OPTIONS if self.path.subresource.split('/').next() == Some("proxy") => "",
            _ => return Err(Failure::method_not_allowed_here()),
        })
    }

    /// The name that authorization is asked for: the path's, or the one that a list or watch selects, so that whoever may
    /// see one object may watch it (upstream's `RequestInfo`).
    fn named(&self) -> Cow<'_, str> {
        let own = Cow::Borrowed(self.path.name.as_str());
        if !own.is_empty() || !matches!(self.parts.method, Method::GET | Method::HEAD) {
            return own;
        }
        let selector = fields::Selector::parse(&self.options.field_selector).ok();
        let name = selector.as_ref().and_then(|selector| selector.exact_match("metadata.name"));
        name.filter(|name| !name.is_empty() && names::path_segment(name).is_empty())
            .map_or(own, |name| Cow::Owned(name.to_owned()))
    }

    /// The attributes that authorization is asked for.
    pub fn attributes<'a>(&'a self, verb: &'a str, name: &'a str) -> rbac::Attributes<'a> {
        rbac::Attributes::Resource {
            verb,
            group: &self.path.group,
            resource: &self.path.resource,
            subresource: &self.path.subresource,
            namespace: if self.path.resource == "namespaces" && self.path.group.is_empty() {
                &self.path.name
            } else {
                &self.path.namespace
            },
            name,
        }
    }

    /// The name of a field manager is checked before anything is done in it.
    fn check_options(&self) -> Outcome<()> {
        let own = &self.options;
        let mut errors = Vec::new();
        let options = match self.parts.method {
            Method::POST => "CreateOptions",
            Method::PUT => "UpdateOptions",
            Method::PATCH => "PatchOptions",
            Method::DELETE => "DeleteOptions",
            _ => return Ok(()),
        };
        errors.extend(own.bad_dry_run.clone());
        if self.parts.method != Method::DELETE {
            if let Some(manager) = &own.field_manager {
                validate_field_manager(manager, &Place::root("fieldManager"), &mut errors);
            }
            errors.extend(own.bad_validation.clone());
        }
        if errors.is_empty() { Ok(()) } else { Err(Failure::invalid("meta.k8s.io", options, "", &errors)) }
    }

    async fn answer(self, body: Body) -> Outcome<Response<Body>> {
        let verb = self.verb()?;
        self.check_options()?;
        self.api.may(&self.identity, &self.attributes(verb, &self.named()))?;
        if self.served.resource.namespaced() && self.path.namespace.is_empty() && !self.path.name.is_empty() {
            return Err(Failure::bad_request("an empty namespace may not be set during this request"));
        }
        if !self.path.subresource.is_empty() {
            return subresource::answer(self, body).await;
        }
        let known = &self.served.resource.verbs;
        if !known.iter().any(|own| own == verb) {
            return Err(Failure::method_not_allowed(&self.served.resource, verb));
        }
        match (verb, &self.options.bad_version) {
            ("get" | "watch", Some(failure)) => return Err(failure.uninterpreted()),
            ("list" | "deletecollection", Some(failure)) => {
                return Err(Failure::bad_request(format!("invalid resource version: {}", failure.message)));
            }
            _ => {}
        }
        match verb {
            "get" => self.get().await,
            "list" => self.list().await,
            "watch" => self.watch().await,
            "create" if known.len() == 1 => subresource::review(self, body).await,
            "create" => self.create(body).await,
            "update" => self.update(body).await,
            "patch" => self.patch(body).await,
            "delete" => self.delete(body).await,
            _ => self.delete_collection(body).await,
        }
    }

    /// How the answer is to look.
    pub fn view(&self) -> Outcome<View> {
        let accept = self.parts.headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
        let is_listed = matches!(self.parts.method, Method::GET | Method::HEAD) && self.path.name.is_empty();
        let route = match (is_custom(&self.served), is_listed) {
            (true, _) => Route::Custom,
            (false, true) => Route::Collection,
            (false, false) => Route::Object,
        };
        let representation = negotiate::choose(accept, route)?;
        let compression = Compression::of(&self.parts.headers);
        View::new(self.served.clone(), representation, compression, &self.options, self.api.clock.now())
    }

    /// The write request of this call.
    pub fn request(&self) -> write::Request<'_> {
        let agent = self.parts.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        let agent = agent.unwrap_or("unknown").split('/').next().unwrap_or_default();
        write::Request {
            api: self.api,
            served: self.served.clone(),
            namespace: self.path.namespace.clone(),
            name: self.path.name.clone(),
            subresource: self.path.subresource.clone(),
            options: self.options.clone(),
            identity: self.identity.clone(),
            agent: agent.chars().take(128).collect(),
            now: self.api.clock.now(),
            accounting: Accounting::Update,
            has_generated_name: false,
        }
    }

    /// A header's text.
    pub fn header(&self, name: header::HeaderName) -> Option<&str> {
        self.parts.headers.get(name).and_then(|value| value.to_str().ok())
    }

    async fn get(&self) -> Outcome<Response<Body>> {
        let view = self.view()?;
        let request = self.request();
        let entry = request.shown(request.existing()?).await?;
        Ok(respond(&view, view.object(&entry)?, StatusCode::OK, &[]))
    }

    async fn list(&self) -> Outcome<Response<Body>> {
        let view = self.view()?;
        let selection = Selection::new(self.served.clone(), &self.path.namespace, "", &self.options)?;
        let body = read::list(self.api, &view, &selection, &self.options).await?;
        Ok(respond(&view, body, StatusCode::OK, &[]))
    }

    async fn watch(&self) -> Outcome<Response<Body>> {
        let view = self.view()?;
        let selection = Selection::new(self.served.clone(), &self.path.namespace, &self.path.name, &self.options)?;
        let body = watch::watch(self.api, view.clone(), selection, &self.options).await?;
        Ok(respond(&view, body, StatusCode::OK, &[]))
    }

    async fn create(&self, body: Body) -> Outcome<Response<Body>> {
        if !self.path.name.is_empty() {
            return Err(Failure::method_not_allowed_here());
        }
        if self.served.resource.namespaced() && self.path.namespace.is_empty() {
            return Err(Failure::bad_request("an empty namespace may not be set during creation"));
        }
        let view = self.view()?;
        let format = decode::format(self.header(header::CONTENT_TYPE))?;
        let body = body::read(body).await?;
        let mut warnings = Vec::new();
        let mut request = self.request();
        let written = create::create(&mut request, &body, format, &mut warnings).await?;
        self.written(&view, &written, &warnings).await
    }

    async fn update(&self, body: Body) -> Outcome<Response<Body>> {
        let view = self.view()?;
        let format = decode::format(self.header(header::CONTENT_TYPE))?;
        let body = body::read(body).await?;
        let mut warnings = Vec::new();
        let mut request = self.request();
        let written = update::update(&mut request, &body, format, &mut warnings).await?;
        self.written(&view, &written, &warnings).await
    }

    async fn patch(&self, body: Body) -> Outcome<Response<Body>> {
        let view = self.view()?;
        let kind = patch::PatchType::of(self.header(header::CONTENT_TYPE), &self.served.rules)?;
        let body = body::read(body).await?;
        let mut warnings = Vec::new();
        let mut request = self.request();
        let written = patch::patch(&mut request, &body, kind, &mut warnings).await?;
        self.written(&view, &written, &warnings).await
    }

    /// The answer to a write.
    pub async fn written(&self, view: &View, written: &Written, warnings: &[String]) -> Outcome<Response<Body>> {
        let status = if written.is_new { StatusCode::CREATED } else { StatusCode::OK };
        let entry = self.request().shown(written.entry.clone()).await?;
        Ok(respond(view, view.object(&entry)?, status, warnings))
    }

    async fn delete(&self, body: Body) -> Outcome<Response<Body>> {
        let view = self.view()?;
        let body = body::read(body).await?;
        let options = delete::options(&self.options, &body, self.header(header::CONTENT_TYPE))?;
        let mut request = self.request();
        request.options.dry_run |= options.dry_run;
        let mut warnings = Vec::new();
        match delete::delete(&request, &options, &mut warnings).await? {
            delete::Deleted::Gone(status) => {
                let body = body::full(view::write(&status, view.representation.encoding)?);
                Ok(respond(&view, body, StatusCode::OK, &warnings))
            }
            delete::Deleted::Marked(entry) | delete::Deleted::Last(entry) => {
                let is_async = options.orphan_dependents == Some(false);
                let status = if is_async { StatusCode::ACCEPTED } else { StatusCode::OK };
                let entry = request.shown(entry).await?;
                Ok(respond(&view, view.object(&entry)?, status, &warnings))
            }
        }
    }

    async fn delete_collection(&self, body: Body) -> Outcome<Response<Body>> {
        let view = self.view()?;
        let body = body::read(body).await?;
        let options = delete::options(&self.options, &body, self.header(header::CONTENT_TYPE))?;
        let selection = Selection::new(self.served.clone(), &self.path.namespace, "", &self.options)?;
        let (entries, meta) = read::select(self.api, &selection, &self.options).await?;
        let mut request = self.request();
        request.options.dry_run |= options.dry_run;
        let mut warnings = Vec::new();
        let deleted = delete::collection(&mut request, entries, &options, &mut warnings).await?;
        Ok(respond(&view, view.list(deleted, &meta)?, StatusCode::OK, &warnings))
    }
}

/// A response of the view's type.
pub fn respond(view: &View, body: Body, status: StatusCode, warnings: &[String]) -> Response<Body> {
    let (body, is_compressed) = compress::compress(body, view.compression);
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if is_compressed {
        set(headers, header::CONTENT_ENCODING, "gzip");
        set(headers, header::VARY, "Accept-Encoding");
    }
    set(headers, header::CONTENT_TYPE, view.content_type());
    set(headers, header::CACHE_CONTROL, "no-cache, private");
    for warning in warnings {
        warn(headers, warning);
    }
    response
}

/// A JSON response.
pub fn json(value: &Value, status: StatusCode) -> Response<Body> {
    let mut response = Response::new(body::full(value.to_string()));
    *response.status_mut() = status;
    set(response.headers_mut(), header::CONTENT_TYPE, "application/json");
    set(response.headers_mut(), header::CACHE_CONTROL, "no-cache, private");
    response
}

/// The response of a failure.
pub fn refusal(failure: &Failure) -> Response<Body> {
    let status = StatusCode::from_u16(failure.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json(&failure.status(), status);
    let retry = failure.details.as_ref().and_then(|details| details["retryAfterSeconds"].as_i64());
    if let Some(seconds) = retry {
        set(response.headers_mut(), header::RETRY_AFTER, &seconds.to_string());
    }
    if failure.code == 401 {
        set(response.headers_mut(), header::WWW_AUTHENTICATE, "Bearer");
    }
    response
}

/// Sets a header; text that no header can carry is left out.
pub fn set(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn warn(headers: &mut HeaderMap, text: &str) {
    let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
    if let Ok(value) = HeaderValue::from_bytes(format!("299 - \"{quoted}\"").as_bytes()) {
        headers.append(header::WARNING, value);
    }
}

/// Whether a kind's rules come from a CustomResourceDefinition.
pub fn is_custom(served: &Served) -> bool {
    matches!(served.rules, Rules::Custom(_))
}
