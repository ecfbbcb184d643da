//! One question to a program that a `clientConfig` names: a POST of JSON over TLS, within a time.

use std::{pin::pin, time::Duration};

use base64::Engine as _;
use bytes::Bytes;
use ferroflow_platform::tls::{self, Trust};
use http::{HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use serde_json::Value;

use crate::http::{reach, server::Api};

/// Bytes of an answer: an object of the largest size, and a patch of as much, in base64.
pub const ANSWER_BYTES: usize = 8 << 20;

/// Questions that are under way at a time; further ones wait, within their own time.
pub const CALLS: usize = 512;

/// Whom a `clientConfig` names.
struct Called {
    /// `https://svc.ns.svc:443/path`, as faults show it.
    url: String,
    /// The name that the certificate must be of.
    name: String,
    host: String,
    port: u16,
    path: String,
    /// Namespace and name.
    service: Option<(String, String)>,
    trust: Trust,
}

/// Reads a `clientConfig`.
fn called(config: &Value) -> Result<Called, String> {
    let trust = match config["caBundle"].as_str().filter(|bundle| !bundle.is_empty()) {
        None => Trust::Machine,
        Some(bundle) => {
            let pem = base64::engine::general_purpose::STANDARD.decode(bundle);
            Trust::Bundle(pem.map_err(|error| format!("could not get REST client: caBundle is no base64: {error}"))?)
        }
    };
    if config["service"].is_object() {
        let service = &config["service"];
        let text = |name: &str| service[name].as_str().unwrap_or_default().to_owned();
        let (namespace, name) = (text("namespace"), text("name"));
        let port = service["port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or(443);
        let host = format!("{name}.{namespace}.svc");
        let path = format!("/{}", text("path").trim_start_matches('/'));
        let url = format!("https://{host}:{port}{path}");
        return Ok(Called { url, name: host.clone(), host, port, path, service: Some((namespace, name)), trust });
    }
    let url = config["url"].as_str().unwrap_or_default();
    let uri: Uri = url.parse().map_err(|error| format!("Unparsable URL: {error}"))?;
    let host = uri.host().ok_or("Unparsable URL: it names no host")?.to_owned();
    let path = format!("/{}", uri.path().trim_start_matches('/'));
    let url = format!("https://{}{path}", uri.authority().map(ToString::to_string).unwrap_or_default());
    let name = host.trim_matches(['[', ']']).to_owned();
    Ok(Called { url, name, host, port: uri.port_u16().unwrap_or(443), path, service: None, trust })
}

/// Asks, and gives the answer's body.
///
/// # Errors
/// Why there is none, in the words of upstream's client.
pub async fn post(api: &Api, config: &Value, wait: Duration, body: Vec<u8>, limit: usize) -> Result<Bytes, String> {
    let called = called(config)?;
    let asked = format!("{}?timeout={}s", called.path, wait.as_secs());
    let fault = |fault: String| format!("Post \"{}?timeout={}s\": {fault}", called.url, wait.as_secs());
    let exchange = async {
        let _slot = api.calls.acquire().await.map_err(|_| fault("the server is stopping".to_owned()))?;
        let connection = match &called.service {
            Some((namespace, name)) => reach::service(api, namespace, name, called.port).await,
            None => reach::address(&called.host, called.port).await,
        };
        let connection = connection.map_err(fault)?;
        let stream = tls::connect_to(connection, &called.name, &called.trust, None).await.map_err(fault)?;
        let request = request(&called, &asked, body).map_err(|error| fault(error.to_string()))?;
        exchange(stream, request, limit).await.map_err(|broken| match broken {
            Broken::Line(text) => fault(text),
            Broken::Refused(text) => text,
        })
    };
    match tokio::time::timeout(wait, exchange).await {
        Ok(answered) => answered,
        Err(_) => Err(fault("context deadline exceeded".to_owned())),
    }
}

fn request(called: &Called, path: &str, body: Vec<u8>) -> Result<Request<Full<Bytes>>, http::Error> {
    Request::post(path)
        .header(header::HOST, format!("{}:{}", called.host, called.port))
        .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
        .header(header::ACCEPT, HeaderValue::from_static("application/json, */*"))
        .header(header::USER_AGENT, HeaderValue::from_static("kube-apiserver-admission"))
        .body(Full::from(body))
}

enum Broken {
    /// Nothing, or nothing whole, came back.
    Line(String),
    /// What came back is a refusal.
    Refused(String),
}

async fn exchange(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
    limit: usize,
) -> Result<Bytes, Broken> {
    let line = |error: &dyn std::fmt::Display| Broken::Line(error.to_string());
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, driver) = handshake.map_err(|error| line(&error))?;
    let asking = async {
        let response = sender.send_request(request).await.map_err(|error| line(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), limit).collect().await.map_err(|error| line(&error))?;
        Ok((status, body.to_bytes()))
    };
    let (mut asking, mut driver) = (pin!(asking), pin!(driver));
    let answered = tokio::select! {
        answered = &mut asking => answered,
        // The connection is done before the answer has been looked at.
        _ = &mut driver => asking.await,
    };
    let (status, body) = answered?;
    if status.is_success() { Ok(body) } else { Err(Broken::Refused(refused(status, &body))) }
}

/// A refusal in the words of upstream's client, which reads a `Status` where the body is one.
fn refused(status: StatusCode, body: &Bytes) -> String {
    let told = serde_json::from_slice::<Value>(body).unwrap_or_default();
    if told["kind"] == "Status"
        && let Some(message) = told["message"].as_str()
    {
        return message.to_owned();
    }
    let text = String::from_utf8_lossy(body).trim().to_owned();
    match status.as_u16() {
        400 => "the server rejected our request for an unknown reason".to_owned(),
        401 => "the server has asked for the client to provide credentials".to_owned(),
        403 if text.is_empty() => "forbidden: unknown".to_owned(),
        403 => text,
        404 => "the server could not find the requested resource".to_owned(),
        405 => "the server does not allow this method on the requested resource".to_owned(),
        503 => "the server is currently unable to handle the request".to_owned(),
        504 => {
            "the server was unable to return a response in the time allotted, but may still be processing the request"
                .to_owned()
        }
        500..600 if text.is_empty() => "an error on the server has prevented the request from succeeding".to_owned(),
        500..600 => format!("an error on the server ({text:?}) has prevented the request from succeeding"),
        code => format!("the server responded with the status code {code} but did not return more information"),
    }
}
