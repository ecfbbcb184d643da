//! The API of pipelines at the gateway, over plain HTTP on this machine.

use std::{path::Path, time::Duration};

use anyhow::Context;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpStream, task::JoinHandle, time::timeout};

use crate::{paths, pipeline_args::Place, problem::Problem, record};

/// The most that one answer may take. A page of 200 tasks with outputs of 100 KiB each fits.
const ANSWER_BYTES: usize = 64 << 20;
/// How long the gateway may take to answer, and to be reached.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a multipart body's parts are told apart by; it must not be in what is sent, which is checked.
const BOUNDARY: &str = "ferroflow-7f1d0b8e5c2a4963";
const BASE: &str = "/pipeline/apis/v2beta1";

/// The gateway, and who asks.
pub struct Api {
    /// `127.0.0.1:8800`
    address: String,
    token: String,
    pub namespace: String,
}

impl Api {
    /// The API that `place` names, or that of the server on the data directory.
    ///
    /// # Errors
    /// When none runs, or it has no gateway.
    pub fn find(data: &Path, place: &Place) -> anyhow::Result<Self> {
        let namespace = place.namespace.clone();
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        if let Some(gateway) = &place.gateway {
            let token = place.token.clone().or_else(|| variable("FERROFLOW_TOKEN"));
            let hint = "give --token, or set FERROFLOW_TOKEN";
            let token = token.ok_or_else(|| Problem::new("there is no token for the gateway", hint))?;
            return Ok(Self { address: address(gateway)?, token, namespace });
        }
        let found = record::find(data);
        if let (Err(_), Some(gateway), Some(token)) =
            (&found, variable("FERROFLOW_GATEWAY"), variable("FERROFLOW_TOKEN"))
        {
            return Ok(Self { address: address(&gateway)?, token, namespace });
        }
        let hint = "pipelines are not there with --parts api; start it without";
        let gateway = found?.record.gateway.ok_or_else(|| Problem::new("the server has no gateway", hint))?;
        let token = std::fs::read_to_string(paths::token(data)).context("the administrator's token cannot be read")?;
        Ok(Self { address: address(&gateway)?, token: token.trim().to_owned(), namespace })
    }

    /// Asks for `path` below `/apis/v2beta1`.
    ///
    /// # Errors
    /// What the server says, or that it does not.
    pub async fn get(&self, path: &str, query: &[(&str, &str)]) -> anyhow::Result<Value> {
        self.json(Method::GET, &format!("{path}{}", written(query)), None).await
    }

    /// Posts JSON to `path`.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.json(Method::POST, path, Some(("application/json".to_owned(), body.to_string().into()))).await
    }

    /// Deletes what is at `path`.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn delete(&self, path: &str) -> anyhow::Result<Value> {
        self.json(Method::DELETE, path, None).await
    }

    /// Uploads a file in the form that the client of upstream uses.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn upload(&self, path: &str, query: &[(&str, &str)], content: &str) -> anyhow::Result<Value> {
        anyhow::ensure!(
            !content.contains(BOUNDARY),
            "the pipeline holds {BOUNDARY}, by which parts of an upload are told apart"
        );
        let head = "Content-Disposition: form-data; name=\"uploadfile\"; filename=\"pipeline.yaml\"\r\n\
                    Content-Type: application/octet-stream";
        let body = format!("--{BOUNDARY}\r\n{head}\r\n\r\n{content}\r\n--{BOUNDARY}--\r\n");
        let kind = format!("multipart/form-data; boundary={BOUNDARY}");
        self.json(Method::POST, &format!("{path}{}", written(query)), Some((kind, body.into()))).await
    }

    /// Hands on the bytes of `path` as they come, until the server ends it.
    ///
    /// # Errors
    /// As [`Self::get`], and those of `write`.
    pub async fn stream(&self, path: &str, mut write: impl FnMut(&[u8]) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let (response, _connection) = self.send(Method::GET, path, None).await?;
        let mut body = succeeded(response).await?;
        while let Some(frame) = body.frame().await {
            if let Some(bytes) = frame.context("the answer broke off")?.data_ref() {
                write(bytes)?;
            }
        }
        Ok(())
    }

    async fn json(&self, method: Method, path: &str, content: Option<(String, Bytes)>) -> anyhow::Result<Value> {
        let (response, _connection) = self.send(method, path, content).await?;
        let bytes = whole(succeeded(response).await?).await?;
        serde_json::from_slice(&bytes).with_context(|| format!("the server's answer to {path} is no JSON"))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        content: Option<(String, Bytes)>,
    ) -> anyhow::Result<(Response<Incoming>, Connection)> {
        let (kind, body) = content.unwrap_or_default();
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{BASE}{path}"))
            .header(header::HOST, &self.address)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token));
        if !kind.is_empty() {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        let request = request.body(Full::new(body)).context("the request cannot be written")?;
        let unreachable = || {
            let what = format!("the gateway at {} does not answer", self.address);
            Problem::new(what, "see `ferroflow status`")
        };
        let stream = timeout(PATIENCE, TcpStream::connect(&self.address)).await.with_context(unreachable)?;
        let stream = TokioIo::new(stream.with_context(unreachable)?);
        let (mut sender, connection) = http1::handshake(stream).await.with_context(unreachable)?;
        let connection = Connection(tokio::spawn(async move {
            // What fails here fails at whoever reads the answer too.
            let _ = connection.await;
        }));
        let response = timeout(PATIENCE, sender.send_request(request)).await.with_context(unreachable)?;
        Ok((response.with_context(unreachable)?, connection))
    }
}

/// Drives a connection as long as it is held.
struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// `127.0.0.1:8800` of `http://127.0.0.1:8800/pipeline` and the like.
fn address(gateway: &str) -> anyhow::Result<String> {
    let address = gateway.strip_prefix("http://").unwrap_or(gateway);
    let address = address.split('/').next().unwrap_or_default();
    if address.contains(':') && !gateway.starts_with("https:") {
        return Ok(address.to_owned());
    }
    let what = format!("{gateway:?} is no address of a gateway");
    Err(Problem::new(what, "give one as http://127.0.0.1:8800; this program speaks no TLS to it").into())
}

/// `?a=b&c=d`, percent-encoded.
fn written(query: &[(&str, &str)]) -> String {
    let encoded = |text: &str| {
        let mut written = String::with_capacity(text.len());
        for byte in text.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => written.push(byte.into()),
                _ => written.push_str(&format!("%{byte:02X}")),
            }
        }
        written
    };
    let pairs: Vec<String> = query.iter().map(|(key, value)| format!("{key}={}", encoded(value))).collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

async fn whole(body: Incoming) -> anyhow::Result<Bytes> {
    let collected = Limited::new(body, ANSWER_BYTES).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            return anyhow::anyhow!("the server's answer is longer than {ANSWER_BYTES} bytes");
        }
        anyhow::anyhow!("the server's answer broke off: {error}")
    })?;
    Ok(collected.to_bytes())
}

/// The body of an answer that is none of a failure.
async fn succeeded(response: Response<Incoming>) -> anyhow::Result<Incoming> {
    let status = response.status();
    if status.is_success() {
        return Ok(response.into_body());
    }
    let bytes = whole(response.into_body()).await?;
    Err(failure(status, &bytes).into())
}

/// What a failure's body says, in either of its two shapes.
fn failure(status: StatusCode, body: &[u8]) -> Problem {
    let said: Value = serde_json::from_slice(body).unwrap_or_default();
    let message = said["message"].as_str().or_else(|| said["error_message"].as_str());
    let message = message.map_or_else(|| String::from_utf8_lossy(body).trim().to_owned(), str::to_owned);
    let what = if message.is_empty() { format!("the server answered {status}") } else { message };
    let hint = match status {
        StatusCode::UNAUTHORIZED => Some("the token is not the server's: look at --gateway and --token"),
        StatusCode::FORBIDDEN => Some("ask for a RoleBinding to kubeflow-pipelines-edit in the namespace"),
        _ => None,
    };
    Problem { what, hint: hint.map(str::to_owned), code: 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_is_an_address_with_a_port() {
        for given in ["127.0.0.1:8800", "http://127.0.0.1:8800", "http://127.0.0.1:8800/pipeline/"] {
            assert_eq!(address(given).unwrap(), "127.0.0.1:8800", "{given}");
        }
        for bad in ["", "localhost", "https://127.0.0.1:8800"] {
            assert!(address(bad).unwrap_err().to_string().contains("no address"), "{bad}");
        }
    }

    #[test]
    fn queries_are_encoded() {
        assert_eq!(written(&[]), "");
        assert_eq!(
            written(&[("filter", r#"{"a": "ü&="}"#), ("n", "1")]),
            "?filter=%7B%22a%22%3A%20%22%C3%BC%26%3D%22%7D&n=1"
        );
    }

    #[test]
    fn a_failure_says_what_the_server_said() {
        for (body, said) in [
            (r#"{"code": 5, "message": "run x is not there"}"#, "run x is not there"),
            (r#"{"error_message": "no pipeline spec", "error_details": "x"}"#, "no pipeline spec"),
            ("plain", "plain"),
            ("", "the server answered 404 Not Found"),
        ] {
            assert_eq!(failure(StatusCode::NOT_FOUND, body.as_bytes()).what, said);
        }
    }
}
