//! TLS of a server: with a certificate that it is given, or one that it makes.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType, date_time_ymd,
};
use rustls::{
    CipherSuite, ServerConfig,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use super::{Handshake, Protocol};
use crate::{clock::SharedClock, tls::Credential};

/// HTTP/2 as a TLS handshake names it: RFC 7301.
const HTTP2: &[u8] = b"h2";
/// What a connection encrypts ahead of a socket that takes no more: room for all that HTTP/2 gathers at once.
const BUFFER_BYTES: usize = 128 << 10;
/// How often it is looked whether the files of a certificate have changed.
const LOOK: Duration = Duration::from_secs(10);

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("\"{path}\" cannot be read: {source}")]
    File { path: PathBuf, source: std::io::Error },
    #[error("\"{path}\" holds no {what} in PEM form")]
    Empty { path: PathBuf, what: &'static str },
    #[error("the certificate and its key cannot be used: {0}")]
    Unusable(String),
}

/// Accepts TLS connections.
pub struct Tls(TlsAcceptor);

impl Tls {
    /// Shows one certificate.
    ///
    /// # Errors
    /// [`Fault::Unusable`].
    pub fn new(credential: Credential) -> Result<Self, Fault> {
        let provider = provider();
        let key = certified(credential, &provider)?;
        Self::showing(Arc::new(Fixed(Arc::new(key))), provider)
    }

    /// Shows the certificate of a file, and a newer one within [`LOOK`] after it has taken its place.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn of_files(certificate: &Path, key: &Path, clock: SharedClock) -> Result<Self, Fault> {
        let provider = provider();
        let files = Files { certificate: certificate.to_owned(), key: key.to_owned() };
        let stamp = files.stamp();
        let shown = Arc::new(certified(files.read()?, &provider)?);
        let now = Mutex::new(Shown { shown, stamp, looked: clock.instant() });
        Self::showing(Arc::new(Renewed { files, clock, provider: provider.clone(), now }), provider)
    }

    fn showing(resolver: Arc<dyn ResolvesServerCert>, provider: Arc<CryptoProvider>) -> Result<Self, Fault> {
        let unusable = |error: rustls::Error| Fault::Unusable(error.to_string());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let mut config = config.map_err(unusable)?.with_no_client_auth().with_cert_resolver(resolver);
        config.ignore_client_order = true;
        config.alpn_protocols = vec![HTTP2.to_vec(), b"http/1.1".to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }
}

impl Handshake for Tls {
    type Stream = tokio_rustls::server::TlsStream<tokio::net::TcpStream>;

    async fn accept(&self, stream: tokio::net::TcpStream) -> std::io::Result<(Self::Stream, Protocol)> {
        let mut stream = self.0.accept(stream).await?;
        stream.get_mut().1.set_buffer_limit(Some(BUFFER_BYTES));
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(HTTP2);
        Ok((stream, if is_http2 { Protocol::Http2 } else { Protocol::Either }))
    }
}

fn provider() -> Arc<CryptoProvider> {
    let mut provider = rustls::crypto::ring::default_provider();
    // As Go's servers choose: the longer key costs a third more for each byte and saves nobody.
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    Arc::new(provider)
}

fn certified(credential: Credential, provider: &CryptoProvider) -> Result<CertifiedKey, Fault> {
    CertifiedKey::from_der(credential.chain, credential.key, provider)
        .map_err(|error| Fault::Unusable(error.to_string()))
}

#[derive(Debug)]
struct Fixed(Arc<CertifiedKey>);

impl ResolvesServerCert for Fixed {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

#[derive(Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

impl Files {
    /// What changes with the files; as a kubelet renews a Secret, both change at once.
    fn stamp(&self) -> [Option<SystemTime>; 2] {
        [&self.certificate, &self.key].map(|path| fs::metadata(path).and_then(|meta| meta.modified()).ok())
    }

    fn read(&self) -> Result<Credential, Fault> {
        let bytes = |path: &Path| fs::read(path).map_err(|source| Fault::File { path: path.to_owned(), source });
        let empty = |path: &Path, what| Fault::Empty { path: path.to_owned(), what };
        let chain: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(&bytes(&self.certificate)?).filter_map(Result::ok).collect();
        if chain.is_empty() {
            return Err(empty(&self.certificate, "certificate"));
        }
        let key = PrivateKeyDer::from_pem_slice(&bytes(&self.key)?).map_err(|_| empty(&self.key, "private key"))?;
        Ok(Credential { chain, key })
    }
}

#[derive(Debug)]
struct Shown {
    shown: Arc<CertifiedKey>,
    stamp: [Option<SystemTime>; 2],
    looked: Instant,
}

#[derive(Debug)]
struct Renewed {
    files: Files,
    clock: SharedClock,
    provider: Arc<CryptoProvider>,
    now: Mutex<Shown>,
}

impl ResolvesServerCert for Renewed {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if self.clock.instant() >= now.looked + LOOK {
            now.looked = self.clock.instant();
            let stamp = self.files.stamp();
            if stamp != now.stamp {
                match self.files.read().and_then(|credential| certified(credential, &self.provider)) {
                    Ok(key) => (now.shown, now.stamp) = (Arc::new(key), stamp),
                    Err(error) => tracing::warn!(%error, "the certificate was changed; the one before is shown still"),
                }
            }
        }
        Some(now.shown.clone())
    }
}

/// A certificate that was made, with the authority that vouches for it: PEM.
#[derive(Debug)]
pub struct Issued {
    pub authority: String,
    pub certificate: String,
    pub key: String,
}

/// Makes a certificate for names and addresses, of an authority that vouches for nothing else: its key is not kept.
///
/// # Errors
/// When a name is none.
pub fn issue(names: &[String]) -> Result<Issued, String> {
    let told = |error: rcgen::Error| error.to_string();
    let mut authority = CertificateParams::default();
    authority.distinguished_name.push(DnType::CommonName, "ferroflow");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let mut own = CertificateParams::default();
    own.distinguished_name.push(DnType::CommonName, "ferroflow gateway");
    own.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    own.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    own.use_authority_key_identifier_extension = true;
    for params in [&mut authority, &mut own] {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2060, 1, 1);
    }
    for name in names {
        let fault = || format!("{name:?} is no host name");
        ServerName::try_from(name.as_str()).map_err(|_| fault())?;
        own.subject_alt_names.push(match name.parse() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(name.as_str().try_into().map_err(|_| fault())?),
        });
    }
    let (issuing, key) = (KeyPair::generate().map_err(told)?, KeyPair::generate().map_err(told)?);
    let pem = authority.self_signed(&issuing).map_err(told)?.pem();
    let issuer = Issuer::new(authority, issuing);
    let certificate = own.signed_by(&key, &issuer).map_err(told)?.pem();
    Ok(Issued { authority: pem, certificate, key: key.serialize_pem() })
}
