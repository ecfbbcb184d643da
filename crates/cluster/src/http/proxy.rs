//! `proxy` of pods and services: a request that is handed on to a port of a pod.

use ferroflow_platform::{kubelet::Connection, task::Kind as TaskKind, tls};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header, uri::Authority};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::{
    admission::chance,
    body::{self, Body, BoxError},
    connect::{agent, reference},
    hooks, local, pages,
    server::Call,
};
use crate::core::{
    admission::Lookup,
    link::Inside,
    status::{Failure, Outcome},
};

/// Headers that are one connection's business: RFC 9110, 7.6.1.
const HOP: [HeaderName; 5] =
    [header::CONNECTION, header::TRANSFER_ENCODING, header::TE, header::TRAILER, HeaderName::from_static("keep-alive")];
const FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The host that a program is told it is, by TLS too.
const TOLD: &str = "localhost";

/// A port of a pod, and what is spoken there.
struct Place {
    pod: String,
    port: u16,
    secure: bool,
}

/// What a request is handed to.
enum Target {
    Here(local::LocalService),
    Pod(Place),
}

/// Hands a request to a pod, or to a pod behind a service.
///
/// # Errors
/// 503 when nothing answers there.
pub async fn proxy(mut call: Call<'_>, body: Body) -> Outcome<Response<Body>> {
    let target = match local::find(&call) {
        Some(local) => Target::Here(local.clone()),
        None => Target::Pod(place(&call)?),
    };
    let reads = matches!(call.parts.method, Method::GET | Method::HEAD);
    if call.path.rest.is_empty() && reads {
        // Relative links of a page would lead out of `proxy` without the slash.
        return redirect(&call);
    }
    hooks::connect::ask(&call).await?;
    let place = match target {
        Target::Here(local) => return local::answer(local, call, body).await,
        Target::Pod(place) => place,
    };
    let served = call.api.registry.get("", "v1", "pods").ok_or_else(Failure::no_such_path)?;
    let mut request = call.request();
    request.served = served;
    request.name.clone_from(&place.pod);
    let pod = request.parse(&*request.existing()?)?;
    let mut target = reference(&call, &pod, "");
    target.pod.clone_from(&place.pod);
    let unreachable = |error: String| Failure::unavailable(format!("error trying to reach service: {error}"));
    let mut connection =
        agent(&call)?.connect(target, place.port).await.map_err(|error| unreachable(error.to_string()))?;
    if place.secure {
        connection = Box::new(tls::connect(connection, TOLD).await.map_err(unreachable)?);
    }
    exchange(&mut call, connection, body).await.map_err(|error| unreachable(error.to_string()))
}

fn query(call: &Call<'_>) -> String {
    call.parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default()
}

fn redirect(call: &Call<'_>) -> Outcome<Response<Body>> {
    let location = format!("{}/{}", call.parts.uri.path(), query(call));
    let mut response = Response::new(body::full(bytes::Bytes::new()));
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    let value = HeaderValue::from_str(&location).map_err(|error| Failure::bad_request(error.to_string()))?;
    response.headers_mut().insert(header::LOCATION, value);
    Ok(response)
}

async fn exchange(
    call: &mut Call<'_>,
    connection: Box<dyn Connection>,
    body: Body,
) -> Result<Response<Body>, BoxError> {
    let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(connection)).await?;
    call.api.tasks.spawn("proxy", TaskKind::Transient, driver.with_upgrades());
    let path = if call.path.rest.is_empty() { "/" } else { &call.path.rest };
    let own = call.parts.uri.path();
    let before = own.strip_suffix(&call.path.rest).unwrap_or(own).to_owned();
    let mut request = Request::new(body);
    *request.method_mut() = call.parts.method.clone();
    *request.uri_mut() = format!("{path}{}", query(call)).parse()?;
    *request.headers_mut() = headers(call, &before)?;
    let upgrade = call.parts.extensions.remove::<OnUpgrade>();
    let mut response = sender.send_request(request).await?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let there = hyper::upgrade::on(&mut response);
        let here = upgrade.ok_or("this connection cannot be upgraded; use HTTP/1.1")?;
        call.api.tasks.spawn(format!("proxy {}", call.path.name), TaskKind::Transient, async move {
            let (here, there) = futures::try_join!(here, there)?;
            // It ends when one side does.
            let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(here), &mut TokioIo::new(there)).await;
            Ok::<(), hyper::Error>(())
        });
        return Ok(response.map(body::boxed));
    }
    HOP.iter().for_each(|name| drop(response.headers_mut().remove(name)));
    let asked = call.parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let asked = asked.or(call.parts.uri.authority().map(Authority::as_str)).unwrap_or_default().to_owned();
    let inside = Inside { before, told: TOLD.to_owned(), asked };
    Ok(pages::led(response.map(body::boxed), inside))
}

/// What the pod is told: what the client says, but for what is for this server.
fn headers(call: &Call<'_>, before: &str) -> Result<HeaderMap, BoxError> {
    let upgrades = call.parts.headers.contains_key(header::UPGRADE);
    let mut headers = call.parts.headers.clone();
    headers.remove(header::AUTHORIZATION);
    HOP.iter().for_each(|name| drop(headers.remove(name)));
    if upgrades {
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    }
    let host = headers.insert(header::HOST, HeaderValue::from_static(TOLD));
    headers.extend(host.map(|host| (FORWARDED_HOST, host)));
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static("https"));
    headers.insert(FORWARDED_URI, HeaderValue::from_str(&format!("{before}{}", call.path.rest))?);
    Ok(headers)
}

/// The pod and port of `pods/NAME:PORT/proxy` or `services/SCHEME:NAME:PORT/proxy`.
fn place(call: &Call<'_>) -> Outcome<Place> {
    let words: Vec<&str> = call.path.name.split(':').collect();
    let (scheme, name, port) = match words[..] {
        [name] => ("", name, ""),
        [name, port] => ("", name, port),
        [scheme @ ("" | "http" | "https"), name, port] => (scheme, name, port),
        _ => return Err(Failure::bad_request(format!("invalid proxy target {:?}", call.path.name))),
    };
    let lookup = |plural: &str, name: &str| Lookup::get(&call.api.lookup, "", plural, &call.path.namespace, name);
    let secure = scheme == "https";
    if call.served.resource.plural == "pods" {
        let pod = lookup("pods", name).ok_or_else(|| Failure::not_found_in("", "pods", name))?;
        let declared = pod["spec"]["containers"][0]["ports"][0]["containerPort"].as_u64();
        let port = port.parse().ok().or(declared.and_then(|port| u16::try_from(port).ok())).unwrap_or(80);
        return Ok(Place { pod: name.to_owned(), port, secure });
    }
    let service = lookup("services", name).ok_or_else(|| Failure::not_found_in("", "services", name))?;
    let ports = service["spec"]["ports"].as_array().map(Vec::as_slice).unwrap_or_default();
    let wanted = ports.iter().find(|row| {
        port.is_empty() || row["name"] == port || row["port"].as_u64().is_some_and(|number| number.to_string() == port)
    });
    let Some(wanted) = wanted else {
        return Err(Failure::unavailable(format!("no service port {port:?} found for service {name:?}")));
    };
    let endpoints = lookup("endpoints", name);
    let subsets = endpoints.as_ref().and_then(|endpoints| endpoints["subsets"].as_array()).into_iter().flatten();
    let mut found = Vec::new();
    for subset in subsets {
        let rows = subset["ports"].as_array().into_iter().flatten();
        let port =
            rows.filter(|row| row["name"] == wanted["name"] || ports.len() == 1).find_map(|row| row["port"].as_u64());
        let Some(port) = port.and_then(|port| u16::try_from(port).ok()) else { continue };
        let addresses = subset["addresses"].as_array().into_iter().flatten();
        let pods = addresses.filter_map(|one| one["targetRef"]["name"].as_str());
        found.extend(pods.map(|pod| Place { pod: pod.to_owned(), port, secure }));
    }
    // Any of them, as upstream.
    let count = u64::try_from(found.len()).unwrap_or(1).max(1);
    let chosen = usize::try_from(chance() % count).unwrap_or(0);
    if found.is_empty() {
        return Err(Failure::unavailable(format!("no endpoints available for service {name:?}")));
    }
    Ok(found.swap_remove(chosen))
}
