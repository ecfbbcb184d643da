//! The one client that both sides are measured with: raw HTTPS, or HTTP where there is no more, nothing decoded.
//!
//! It knows bytes and status codes. A connection carries HTTP/1.1; watches share one of HTTP/2, see [`Watches`].

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{Method, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{io::BufReader, net::TcpStream};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::watches::Watches;

/// A request that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(120);

/// Read from the system at a time, at the most; TLS by itself would ask for 4 KiB at a time.
const READ_BYTES: usize = 256 << 10;

/// What both protocols are spoken on.
pub type Stream = TlsStream<BufReader<TcpStream>>;

/// Where a server is, and what it wants to be shown.
#[derive(Clone)]
pub struct Endpoint {
    pub address: SocketAddr,
    token: Arc<str>,
    /// `None` without TLS.
    tls: Option<Protocols>,
}

#[derive(Clone)]
struct Protocols {
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
}

impl Endpoint {
    /// An endpoint from the authority's certificate (PEM) and the administrator's token.
    ///
    /// # Errors
    /// When the certificate is none.
    pub fn new(address: SocketAddr, authority: &str, token: &str) -> anyhow::Result<Self> {
        let (http1, http2) = (Arc::new(tls(authority, b"http/1.1")?), Arc::new(tls(authority, b"h2")?));
        Ok(Self { address, token: token.into(), tls: Some(Protocols { http1, http2 }) })
    }

    /// An endpoint without TLS.
    pub fn plain(address: SocketAddr, token: &str) -> Self {
        Self { address, token: token.into(), tls: None }
    }

    async fn reach(&self) -> anyhow::Result<TcpStream> {
        let stream = TcpStream::connect(self.address).await.context("cannot connect")?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn open(&self, config: &Arc<ClientConfig>) -> anyhow::Result<Stream> {
        let stream = BufReader::with_capacity(READ_BYTES, self.reach().await?);
        let name = ServerName::IpAddress(self.address.ip().into());
        TlsConnector::from(config.clone()).connect(name, stream).await.context("no TLS")
    }

    /// A connection for one request at a time.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub async fn connect(&self) -> anyhow::Result<Connection> {
        let sender = match &self.tls {
            Some(protocols) => {
                let stream = TokioIo::new(self.open(&protocols.http1).await?);
                let (sender, connection) = conn::http1::handshake(stream).await?;
                tokio::spawn(connection);
                sender
            }
            None => {
                let (sender, connection) = conn::http1::handshake(TokioIo::new(self.reach().await?)).await?;
                tokio::spawn(connection);
                sender
            }
        };
        Ok(Connection { sender, endpoint: self.clone() })
    }

    /// A connection with `count` watches of a path.
    ///
    /// # Errors
    /// When the server cannot be reached, or refuses one.
    pub async fn watch(&self, path: &str, count: usize) -> anyhow::Result<Watches> {
        let protocols = self.tls.as_ref().context("watches want TLS")?;
        let stream = self.open(&protocols.http2).await?;
        Watches::open(stream, &self.address.to_string(), &self.token, path, count).await
    }

    fn request(&self, method: Method, uri: String, body: Bytes) -> anyhow::Result<Request<Full<Bytes>>> {
        let request = Request::builder().method(method).uri(uri).header(header::ACCEPT, "application/json");
        let request = request.header(header::AUTHORIZATION, format!("Bearer {}", self.token));
        let request = request.header(header::USER_AGENT, "ferroflow-bench/1");
        Ok(request.header(header::CONTENT_TYPE, "application/json").body(Full::new(body))?)
    }
}

fn tls(authority: &str, protocol: &[u8]) -> anyhow::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority.as_bytes()) {
        roots.add(certificate?)?;
    }
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(config)
}

/// A connection of its own.
pub struct Connection {
    sender: conn::http1::SendRequest<Full<Bytes>>,
    endpoint: Endpoint,
}

impl Connection {
    /// Sends a request and drains the answer, undecoded: its length.
    ///
    /// # Errors
    /// When the server does not answer with 2xx.
    pub async fn drained(&mut self, method: Method, path: &str, body: Bytes) -> anyhow::Result<usize> {
        let mut length = 0;
        let mut response = self.send(method, path, body).await?;
        while let Some(frame) = response.body_mut().frame().await {
            length += frame?.data_ref().map_or(0, Bytes::len);
        }
        Ok(length)
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// As [`drained`](Self::drained).
    pub async fn answer(&mut self, method: Method, path: &str, body: Bytes) -> anyhow::Result<Bytes> {
        let response = self.send(method, path, body).await?;
        Ok(response.into_body().collect().await?.to_bytes())
    }

    /// Changes a part of an object: a merge patch, whose answer is drained.
    ///
    /// # Errors
    /// As [`drained`](Self::drained).
    pub async fn merge(&mut self, path: &str, body: Bytes) -> anyhow::Result<()> {
        let mut request = self.endpoint.request(Method::PATCH, path.to_owned(), body)?;
        let kind = header::HeaderValue::from_static("application/merge-patch+json");
        request.headers_mut().insert(header::CONTENT_TYPE, kind);
        let mut response = self.sent(request, &format!("PATCH {path}")).await?;
        while let Some(frame) = response.body_mut().frame().await {
            frame?;
        }
        Ok(())
    }

    /// Sends a request; its body is the caller's to read.
    ///
    /// # Errors
    /// As [`drained`](Self::drained).
    pub async fn send(&mut self, method: Method, path: &str, body: Bytes) -> anyhow::Result<Response<Incoming>> {
        let shown = format!("{method} {path}");
        let request = self.endpoint.request(method, path.to_owned(), body)?;
        self.sent(request, &shown).await
    }

    async fn sent(&mut self, mut request: Request<Full<Bytes>>, shown: &str) -> anyhow::Result<Response<Incoming>> {
        let host = self.endpoint.address.to_string().parse()?;
        request.headers_mut().insert(header::HOST, host);
        self.sender.ready().await?;
        let response = tokio::time::timeout(PATIENCE, self.sender.send_request(request)).await??;
        checked(response, shown).await
    }
}

async fn checked(response: Response<Incoming>, shown: &str) -> anyhow::Result<Response<Incoming>> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let body = response.into_body().collect().await?.to_bytes();
    let body = String::from_utf8_lossy(body.get(..body.len().min(400)).unwrap_or_default()).into_owned();
    bail!("{shown}: {status}: {body}")
}
