//! Connections to registries: TLS with the machine's certificates, and proxies that the environment names.

use std::{
    future::Future,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::{
        legacy::{
            Client,
            connect::{HttpConnector, proxy::Tunnel},
        },
        proxy::matcher::Matcher,
    },
    rt::{TokioExecutor, TokioIo},
};
use tokio::{net::TcpStream, time::timeout};
use tower::Service;

use super::{CONNECT, RegistryError, SILENCE};

type Fault = Box<dyn std::error::Error + Send + Sync>;

/// An HTTP client that several pulls share.
#[derive(Clone)]
pub struct Http {
    client: Client<HttpsConnector<Dial>, Full<Bytes>>,
}

impl Http {
    /// A client with the certificates that this machine trusts, or those of `SSL_CERT_FILE`.
    ///
    /// # Errors
    /// When there are none.
    pub fn new() -> Result<Self, RegistryError> {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_connect_timeout(Some(CONNECT));
        let dial = Dial { connector, proxies: Arc::new(Matcher::from_env()) };
        let provider = rustls::crypto::ring::default_provider();
        let builder = HttpsConnectorBuilder::new().with_provider_and_native_roots(provider);
        let builder = builder.map_err(RegistryError::Certificates)?;
        let connector = builder.https_or_http().enable_http1().wrap_connector(dial);
        Ok(Self { client: Client::builder(TokioExecutor::new()).build(connector) })
    }

    /// Sends a request and waits for the head of the answer.
    ///
    /// # Errors
    /// When there is none.
    pub async fn send(&self, server: &str, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, RegistryError> {
        match timeout(SILENCE, self.client.request(request)).await {
            Err(_) => Err(RegistryError::Silent { server: server.to_owned() }),
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) if error.is_connect() => {
                Err(RegistryError::Connect { server: server.to_owned(), source: error.into() })
            }
            Ok(Err(error)) => Err(RegistryError::Broken { server: server.to_owned(), source: error.into() }),
        }
    }
}

/// Connects to a server, through a proxy where the environment names one.
#[derive(Clone)]
struct Dial {
    connector: HttpConnector,
    proxies: Arc<Matcher>,
}

impl Service<Uri> for Dial {
    type Response = TokioIo<TcpStream>;
    type Error = Fault;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Fault>> + Send>>;

    fn poll_ready(&mut self, ctx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.connector.poll_ready(ctx).map_err(Fault::from)
    }

    fn call(&mut self, server: Uri) -> Self::Future {
        let mut connector = self.connector.clone();
        match self.proxies.intercept(&server).filter(|_| !is_local(&server)) {
            None => Box::pin(async move { connector.call(server).await.map_err(Fault::from) }),
            Some(proxy) => {
                let mut tunnel = Tunnel::new(proxy.uri().clone(), connector);
                if let Some(login) = proxy.basic_auth() {
                    tunnel = tunnel.with_auth(login.clone());
                }
                Box::pin(async move { tunnel.call(server).await.map_err(Fault::from) })
            }
        }
    }
}

/// Whether a server is this machine, which no proxy can stand between.
fn is_local(server: &Uri) -> bool {
    let host = server.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
