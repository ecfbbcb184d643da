//! The webhook, and a server that asks it.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use ferroflow_testkit::{TestCluster, raw};
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, KeyPair, SanType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_rustls::TlsAcceptor;

/// What a webhook says to a request of a path: the whole answer, or nothing, ever.
pub type Judge = dyn Fn(&str, &Value) -> Option<Value> + Send + Sync;

/// A webhook that listens until it is dropped.
pub struct Webhook {
    pub port: u16,
    pub bundle: String,
    /// Requests in the order in which they came: path and `request`.
    pub asked: Arc<Mutex<Vec<(String, Value)>>>,
    serving: JoinHandle<()>,
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Webhook {
    /// A webhook that answers by `judge`.
    pub async fn start(judge: impl Fn(&str, &Value) -> Option<Value> + Send + Sync + 'static) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names.push(SanType::IpAddress("127.0.0.1".parse().unwrap()));
        let certificate = params.self_signed(&key).unwrap();
        let chain = vec![CertificateDer::from(certificate.der().to_vec())];
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.unwrap().with_no_client_auth().with_single_cert(chain, key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (heard, judge): (_, Arc<Judge>) = (asked.clone(), Arc::new(judge));
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, judge, heard) = (acceptor.clone(), judge.clone(), heard.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let answer = service_fn(move |request| answer(request, judge.clone(), heard.clone()));
                    let _ =
                        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
                });
            }
        });
        Self { port, bundle: STANDARD.encode(certificate.pem()), asked, serving }
    }

    /// The client configuration of a path.
    pub fn client(&self, path: &str) -> Value {
        json!({"url": format!("https://127.0.0.1:{}/{path}", self.port), "caBundle": self.bundle})
    }

    /// A webhook of a configuration, with `more` in it.
    pub fn hook(&self, path: &str, rules: Value, more: Value) -> Value {
        let mut hook = json!({"name": format!("{path}.hook.dev"), "clientConfig": self.client(path), "rules": rules,
            "sideEffects": "None", "admissionReviewVersions": ["v1"]});
        hook.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        hook
    }

    /// The paths that were asked.
    pub fn paths(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|(path, _)| path.clone()).collect()
    }
}

async fn answer(
    request: Request<Incoming>,
    judge: Arc<Judge>,
    heard: Arc<Mutex<Vec<(String, Value)>>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().trim_start_matches('/').to_owned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let review: Value = serde_json::from_slice(&body).unwrap();
    heard.lock().unwrap().push((path.clone(), review["request"].clone()));
    let said = judge(&path, &review);
    let Some(mut said) = said else { return std::future::pending().await };
    said["uid"] = review["request"]["uid"].clone();
    let review = json!({"kind": review["kind"], "apiVersion": review["apiVersion"], "response": said});
    Ok(Response::new(Full::from(review.to_string())))
}

/// A yes.
pub fn allowed() -> Value {
    json!({"allowed": true})
}

/// A yes with a JSON patch.
pub fn patched(steps: Value) -> Value {
    json!({"allowed": true, "patchType": "JSONPatch", "patch": STANDARD.encode(steps.to_string())})
}

/// A rule about resources of any group and version.
pub fn rules(operations: &[&str], resources: &[&str]) -> Value {
    json!([{"operations": operations, "apiGroups": ["*"], "apiVersions": ["*"], "resources": resources}])
}

/// A server, spoken to by HTTP.
pub struct Bed(pub TestCluster);

pub const HOOKS: &str = "/apis/admissionregistration.k8s.io/v1";

impl Bed {
    /// A server without controllers.
    pub async fn start() -> Self {
        Self(TestCluster::server_only().await)
    }

    /// Sends a request and gives what comes back.
    pub async fn send(&self, method: &str, path: &str, body: Value) -> raw::Answer {
        let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let request = raw::Request::new(method, path).token(&self.0.token());
        let request = if body.is_null() { request } else { request.body(kind, body.to_string()) };
        request.send(self.0.http()).await
    }

    /// Sends a request that must be accepted.
    pub async fn done(&self, method: &str, path: &str, body: Value) -> Value {
        let answer = self.send(method, path, body).await;
        assert!(answer.code < 300, "{method} {path}: {} {}", answer.code, answer.text());
        answer.json()
    }

    /// Sends a request that must be refused: code and message.
    pub async fn refused(&self, method: &str, path: &str, body: Value) -> (u16, String) {
        let answer = self.send(method, path, body).await;
        assert!(answer.code >= 300, "{method} {path} was accepted: {}", answer.text());
        (answer.code, answer.json()["message"].as_str().unwrap_or_default().to_owned())
    }

    /// Registers webhooks of a sort (`Mutating` or `Validating`).
    pub async fn register(&self, sort: &str, name: &str, hooks: Value) {
        let kind = format!("{sort}WebhookConfiguration");
        let plural = format!("{}s", kind.to_lowercase());
        let body = json!({"kind": kind, "apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": name},
            "webhooks": hooks});
        self.done("POST", &format!("{HOOKS}/{plural}"), body).await;
    }
}

pub const MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// A ConfigMap.
pub fn map(name: &str, data: Value) -> Value {
    json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name}, "data": data})
}
