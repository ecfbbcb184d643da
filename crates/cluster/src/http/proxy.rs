//! `proxy` of pods and services: a request that is handed on to a port of a pod.

use ferroflow_platform::{kubelet::Connection, task::Kind as TaskKind};
use http::{Request, Response, header};
use hyper_util::rt::TokioIo;

use super::{
    body::{self, Body, BoxError},
    connect::{agent, reference},
    server::Call,
};
use crate::core::status::{Failure, Outcome};

/// Hands a request to a pod, or to a pod behind a service.
///
/// # Errors
/// 503 when nothing answers there.
pub async fn proxy(call: Call<'_>, body: Body) -> Outcome<Response<Body>> {
    let (pod_name, port) = proxy_target(&call)?;
    let served = call.api.registry.get("", "v1", "pods").ok_or_else(Failure::no_such_path)?;
    let mut request = call.request();
    request.served = served;
    request.name.clone_from(&pod_name);
    let pod = request.parse(&*request.existing()?)?;
    let mut target = reference(&call, &pod, "");
    target.pod = pod_name;
    let connection = agent(&call)?
        .connect(target, port)
        .await
        .map_err(|error| Failure::unavailable(format!("error trying to reach service: {error}")))?;
    exchange(&call, connection, body)
        .await
        .map_err(|error| Failure::unavailable(format!("error trying to reach service: {error}")))
}

async fn exchange(call: &Call<'_>, connection: Box<dyn Connection>, body: Body) -> Result<Response<Body>, BoxError> {
    let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(connection)).await?;
    call.api.tasks.spawn("proxy", TaskKind::Transient, driver);
    let path = if call.path.rest.is_empty() { "/" } else { &call.path.rest };
    let query = call.parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut request = Request::builder().method(call.parts.method.clone()).uri(format!("{path}{query}"));
    for (name, value) in &call.parts.headers {
        // The caller's credentials are for this server, not for the pod.
        if name != header::AUTHORIZATION && name != header::CONNECTION && name != header::HOST {
            request = request.header(name, value);
        }
    }
    let request = request.header(header::HOST, "localhost").body(body)?;
    let response = sender.send_request(request).await?;
    Ok(response.map(body::boxed))
}

/// The pod and port of `pods/NAME:PORT/proxy` or `services/SCHEME:NAME:PORT/proxy`.
fn proxy_target(call: &Call<'_>) -> Outcome<(String, u16)> {
    let words: Vec<&str> = call.path.name.split(':').collect();
    let (name, port) = match words[..] {
        [name] => (name, ""),
        [name, port] | [_, name, port] => (name, port),
        _ => return Err(Failure::bad_request(format!("invalid proxy target {:?}", call.path.name))),
    };
    let lookup = |plural: &str, name: &str| {
        crate::core::admission::Lookup::get(&call.api.lookup, "", plural, &call.path.namespace, name)
    };
    if call.served.resource.plural == "pods" {
        let pod = lookup("pods", name).ok_or_else(|| Failure::not_found_in("", "pods", name))?;
        let declared = pod["spec"]["containers"][0]["ports"][0]["containerPort"].as_u64();
        let port = port.parse().ok().or(declared.and_then(|port| u16::try_from(port).ok())).unwrap_or(80);
        return Ok((name.to_owned(), port));
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
    for subset in subsets {
        let pod =
            subset["addresses"].as_array().into_iter().flatten().find_map(|one| one["targetRef"]["name"].as_str());
        let rows = subset["ports"].as_array().into_iter().flatten();
        let port =
            rows.filter(|row| row["name"] == wanted["name"] || ports.len() == 1).find_map(|row| row["port"].as_u64());
        if let (Some(pod), Some(port)) = (pod, port.and_then(|port| u16::try_from(port).ok())) {
            return Ok((pod.to_owned(), port));
        }
    }
    Err(Failure::unavailable(format!("no endpoints available for service {name:?}")))
}
