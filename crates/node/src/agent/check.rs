//! One look at a container: a command, an HTTP request, a connection, or a gRPC health check.
//!
//! Used by probes and lifecycle hooks. Answers what a kubelet says when it fails.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use ferroflow_platform::{
    kubelet::{ExecOptions, ExitStatus},
    tls,
};
use http_body_util::{BodyExt, Empty, Full, Limited};
use hyper_util::rt::{TokioExecutor, TokioIo};
use k8s_openapi::{
    api::core::v1::{Container, ExecAction, GRPCAction, HTTPGetAction, TCPSocketAction},
    apimachinery::pkg::util::intstr::IntOrString,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite},
    net::TcpStream,
};

use super::dial::{self, PodNetwork};
use crate::runtime::Sandbox;

/// Output of a command that goes into a message.
const OUTPUT_LIMIT: u64 = 10 << 10;
/// Bytes of an answer that are read.
const BODY_LIMIT: usize = 10 << 10;
/// The name of a server on this host, for TLS and gRPC. It stands in no object and no message.
const HOST: &str = "127.0.0.1";

/// What to look at.
#[derive(Clone)]
pub struct Target {
    pub sandbox: Arc<dyn Sandbox>,
    pub container: Container,
    /// The pod's address.
    pub address: String,
    /// How it is reached.
    pub network: Option<PodNetwork>,
}

/// How to look.
#[derive(Clone, Debug)]
pub enum Check {
    Exec(ExecAction),
    Http(HTTPGetAction),
    Tcp(TCPSocketAction),
    Grpc(GRPCAction),
}

impl Target {
    /// Looks once.
    ///
    /// # Errors
    /// Why it is not well, in a kubelet's words.
    pub async fn check(&self, check: &Check, timeout: Duration) -> Result<(), String> {
        match check {
            Check::Exec(action) => self.exec(action, timeout).await,
            Check::Http(action) => self.http(action, timeout).await,
            Check::Tcp(action) => {
                let port = self.port(&action.port)?;
                let host = action.host.as_deref().filter(|host| !host.is_empty());
                tokio::time::timeout(timeout, self.connect(host, port))
                    .await
                    .unwrap_or_else(|_| Err(format!("dial tcp {}:{port}: i/o timeout", self.shown(host))))
                    .map(drop)
            }
            Check::Grpc(action) => {
                let port = u16::try_from(action.port).map_err(|_| format!("invalid port number: {}", action.port))?;
                let service = action.service.as_deref().unwrap_or_default();
                tokio::time::timeout(timeout, self.grpc(port, service)).await.unwrap_or_else(|_| {
                    Err(format!("timeout: failed to connect service \"{}:{port}\" within {timeout:?}", self.address))
                })
            }
        }
    }

    async fn exec(&self, action: &ExecAction, timeout: Duration) -> Result<(), String> {
        let command = action.command.clone().unwrap_or_default();
        let shown = command.join(" ");
        let options = ExecOptions { command, stdin: false, stdout: true, stderr: true, tty: false };
        let run = async {
            let session = self.sandbox.exec(self.container.name.clone(), options).await;
            let mut session = session.map_err(|error| error.to_string())?;
            let (stdout, stderr) = (session.stdout.take(), session.stderr.take());
            let (out, err, exit) = tokio::join!(collect(stdout), collect(stderr), session.exit);
            match exit {
                ExitStatus::Code(0) => Ok(()),
                ExitStatus::Code(_) => Err(format!("{out}{err}")),
                ExitStatus::Failed(message) => Err(message),
            }
        };
        // Dropping the session ends the command.
        tokio::time::timeout(timeout, run)
            .await
            .unwrap_or_else(|_| Err(format!("command timed out: {shown:?} timed out after {}", go_seconds(timeout))))
    }

    async fn http(&self, action: &HTTPGetAction, timeout: Duration) -> Result<(), String> {
        let port = self.port(&action.port)?;
        let scheme = action.scheme.as_deref().unwrap_or("HTTP").to_lowercase();
        let path = action.path.as_deref().unwrap_or("/");
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let host = action.host.as_deref().filter(|host| !host.is_empty());
        let url = format!("{scheme}://{}:{port}{path}", self.shown(host));
        let request = async {
            let stream = self.connect(host, port).await?;
            let headers = action.http_headers.iter().flatten().map(|header| (&*header.name, &*header.value));
            let request = http_request(&path, &format!("{}:{port}", self.shown(host)), headers)?;
            if scheme == "https" {
                return status_of(tls::connect(stream, host.unwrap_or(HOST)).await?, request).await;
            }
            status_of(stream, request).await
        };
        let timed = tokio::time::timeout(timeout, request).await.unwrap_or_else(|_| {
            Err("context deadline exceeded (Client.Timeout exceeded while awaiting headers)".to_owned())
        });
        match timed {
            Ok(status) if (200..400).contains(&status) => Ok(()),
            Ok(status) => Err(format!("HTTP probe failed with statuscode: {status}")),
            Err(message) => Err(format!("Get {url:?}: {message}")),
        }
    }

    async fn connect(&self, host: Option<&str>, port: u16) -> Result<TcpStream, String> {
        let named = host.filter(|host| !dial::is_pod(host));
        let connected = match named {
            Some(host) => TcpStream::connect((host, port)).await,
            None => dial::connect(self.network.as_ref(), self.shown(host), port).await,
        };
        connected.map_err(|error| {
            let why = match error.kind() {
                std::io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
                _ => error.to_string(),
            };
            format!("dial tcp {}:{port}: {why}", self.shown(host))
        })
    }

    /// The health service of gRPC, spoken by hand: one message of one field each way.
    async fn grpc(&self, port: u16, service: &str) -> Result<(), String> {
        let unwell = |error: &dyn std::fmt::Display| format!("error: health rpc failed: {error}");
        let stream = self.connect(None, port).await?;
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .map_err(|error| unwell(&error))?;
        let exchange = async {
            let mut message = vec![0x0a, u8::try_from(service.len().min(127)).unwrap_or(0)];
            message.extend_from_slice(&service.as_bytes()[..service.len().min(127)]);
            let message = if service.is_empty() { Vec::new() } else { message };
            let mut frame = vec![0];
            frame.extend_from_slice(&u32::try_from(message.len()).unwrap_or(0).to_be_bytes());
            frame.extend_from_slice(&message);
            let request = hyper::Request::post(format!("http://{HOST}:{port}/grpc.health.v1.Health/Check"))
                .header("content-type", "application/grpc")
                .header("te", "trailers")
                .body(Full::new(Bytes::from(frame)))
                .map_err(|error| unwell(&error))?;
            let response = sender.send_request(request).await.map_err(|error| unwell(&error))?;
            let body = Limited::new(response.into_body(), BODY_LIMIT).collect().await;
            let body = body.map_err(|error| unwell(&error))?.to_bytes();
            // A length-prefixed HealthCheckResponse { status = 1 }: SERVING is 1.
            if body.get(5..7) == Some(&[0x08, 0x01]) {
                return Ok(());
            }
            Err("service unhealthy (responded with \"NOT_SERVING\")".to_owned())
        };
        tokio::select! {
            result = exchange => result,
            ended = connection => Err(unwell(&ended.err().map_or_else(|| "closed".to_owned(), |error| error.to_string()))),
        }
    }

    /// The number of a port that is given by number or by name.
    fn port(&self, port: &IntOrString) -> Result<u16, String> {
        match port {
            IntOrString::Int(number) => u16::try_from(*number).map_err(|_| format!("invalid port number: {number}")),
            IntOrString::String(name) => {
                let mut ports = self.container.ports.iter().flatten();
                let named = ports.find(|port| port.name.as_deref() == Some(name.as_str()));
                let number = named.and_then(|port| u16::try_from(port.container_port).ok());
                number.or_else(|| name.parse().ok()).ok_or_else(|| format!("couldn't find port: {name}"))
            }
        }
    }

    fn shown<'a>(&'a self, host: Option<&'a str>) -> &'a str {
        host.unwrap_or(&self.address)
    }
}

fn http_request<'a>(
    path: &str,
    host: &str,
    headers: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<hyper::Request<Empty<Bytes>>, String> {
    let mut builder = hyper::Request::get(path).header("user-agent", "kube-probe/1.34").header("accept", "*/*");
    let mut named_host = false;
    for (name, value) in headers {
        named_host |= name.eq_ignore_ascii_case("host");
        builder = builder.header(name, value);
    }
    if !named_host {
        builder = builder.header("host", host);
    }
    builder.header("connection", "close").body(Empty::new()).map_err(|error| error.to_string())
}

async fn status_of(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: hyper::Request<Empty<Bytes>>,
) -> Result<u16, String> {
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| error.to_string())?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        Ok(response.status().as_u16())
    };
    tokio::pin!(connection, exchange);
    // The connection only moves bytes; when it ends first, the answer is there or will never be.
    tokio::select! {
        biased;
        result = &mut exchange => result,
        ended = &mut connection => {
            ended.map_err(|error| error.to_string())?;
            exchange.await
        }
    }
}

async fn collect(stream: Option<Box<dyn AsyncRead + Send + Unpin>>) -> String {
    let Some(stream) = stream else { return String::new() };
    let mut bytes = Vec::new();
    let _ = stream.take(OUTPUT_LIMIT).read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

fn go_seconds(duration: Duration) -> String {
    crate::core::plan::go_duration(u32::try_from(duration.as_secs()).unwrap_or(u32::MAX))
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
