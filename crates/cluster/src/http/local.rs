//! Services that this process answers itself: `proxy` of one leads to no pod, but to a [`Service`] with the identity of who
//! asks.
//!
//! Such a service may have paths of its own at the API server too. `kfp.Client()` needs that: it builds the URL of the
//! proxy, and then the Python client of Kubernetes, which renews the token before each call, takes the URL back to that of
//! the server, so that the call arrives at `/apis/v2beta1/…` (kubernetes 30.1.0, `config/kube_config.py`, `_set_config`).

use std::sync::Arc;

use ferroflow_platform::{gateway, gateway::Service, http::body as kit, identity::Identity};
use http::{Request, Response, StatusCode, header, request::Parts};

use super::{
    body::{Body, boxed},
    server::{Api, Call},
};
use crate::core::{
    admission::Lookup,
    status::{Failure, Outcome},
};

/// A Service object that stands for something in this process.
#[derive(Clone)]
pub struct LocalService {
    pub namespace: &'static str,
    pub name: &'static str,
    /// The name of its one port.
    pub port: &'static str,
    /// Paths at the API server that lead to it too, as `/apis/v2beta1/`, where no group has them.
    pub paths: &'static [&'static str],
    pub service: Arc<dyn Service>,
}

/// The service that a request for `proxy` names, where it is answered here and its object is there.
pub fn find<'a>(call: &'a Call<'_>) -> Option<&'a LocalService> {
    if call.served.resource.plural != "services" {
        return None;
    }
    let words: Vec<&str> = call.path.name.split(':').collect();
    let (name, port) = match words[..] {
        [name] => (name, ""),
        [name, port] | ["" | "http", name, port] => (name, port),
        _ => return None,
    };
    let all = call.api.local.get()?;
    let found = all.iter().find(|one| one.namespace == call.path.namespace && one.name == name)?;
    let object = Lookup::get(&call.api.lookup, "", "services", found.namespace, found.name)?;
    let number = object["spec"]["ports"][0]["port"].to_string();
    (port.is_empty() || port == found.port || port == number).then_some(found)
}

/// The service that has a path of its own.
pub fn of_path<'a>(api: &'a Api, path: &str) -> Option<&'a LocalService> {
    api.local.get()?.iter().find(|one| one.paths.iter().any(|own| path.starts_with(own)))
}

/// Hands a request for `proxy` over.
///
/// # Errors
/// 400 for a path that is none.
pub async fn answer(local: LocalService, call: Call<'_>, body: Body) -> Outcome<Response<Body>> {
    // Clients join `…/proxy/` and `/apis/…` to two slashes.
    let path = format!("/{}", call.path.rest.trim_start_matches('/'));
    let uri = gateway::rewritten(&call.parts.uri, &path);
    let mut parts = call.parts;
    parts.uri = uri.ok_or_else(|| Failure::bad_request(format!("{path:?} is not a path")))?;
    Ok(hand(&local, parts, call.identity, body).await)
}

/// Hands a request with a path of the service over.
pub async fn hand(local: &LocalService, mut parts: Parts, identity: Identity, body: Body) -> Response<Body> {
    parts.headers.remove(header::AUTHORIZATION);
    // What runs without an identity is asked with a token of its own, and that has been taken off.
    if local.service.is_open(parts.uri.path()) {
        let refused = local.service.refuse(StatusCode::FORBIDDEN, "this path is not reached through the API server");
        return converted(refused);
    }
    let request = Request::from_parts(parts, kit::boxed(body));
    converted(local.service.clone().answer(request, identity).await)
}

fn converted(response: Response<kit::Body>) -> Response<Body> {
    response.map(boxed)
}
