//! TLS to programs that the server calls: to ports of pods, whose certificate is not checked, for neither a kubelet's
//! probes nor an API server's `/proxy` check one; and to webhooks and aggregated servers, whose certificates are.

use std::sync::{Arc, OnceLock};

use rustls::{
    CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Accepts any certificate.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Accepts what a bundle vouches for, and a certificate that is itself in the bundle, as Go does.
#[derive(Debug)]
struct Bundle {
    roots: Arc<WebPkiServerVerifier>,
    own: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Bundle {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verdict = self.roots.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        let is_known = || self.own.iter().any(|own| own.as_ref() == end_entity.as_ref());
        match verdict {
            // The library takes no authority for a server; who signs for himself is one.
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(_))) if is_known() => {
                let parsed = rustls::server::ParsedCertificate::try_from(end_entity)?;
                rustls::client::verify_server_name(&parsed, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.roots.verify_tls12_signature(message, cert, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.roots.verify_tls13_signature(message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.roots.supported_verify_schemes()
    }
}

/// Accepts what a bundle vouches for, whatever name it is for.
#[derive(Debug)]
struct AnyName(Bundle);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // Names are looked at last, when the chain has been found to be good.
        match self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Whose certificates are good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    Anyone,
    /// The authorities of the machine.
    Machine,
    /// PEM.
    Bundle(Vec<u8>),
    /// PEM; a certificate for another name is good too.
    BundleForAnyName(Vec<u8>),
}

/// A certificate that this server shows to another, with its key.
#[derive(Debug)]
pub struct Credential {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

/// Speaks TLS over a connection to a server of this name, whoever it is.
///
/// # Errors
/// Why the two ends do not understand each other.
pub async fn connect<S: AsyncRead + AsyncWrite + Unpin>(stream: S, name: &str) -> Result<TlsStream<S>, String> {
    connect_to(stream, name, &Trust::Anyone, None).await
}

/// Speaks TLS over a connection to a server of this name.
///
/// # Errors
/// Why the two ends do not understand each other; a certificate that is not good in Go's words.
pub async fn connect_to<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    name: &str,
    trust: &Trust,
    credential: Option<&Credential>,
) -> Result<TlsStream<S>, String> {
    let config = config(trust, credential)?;
    let name = ServerName::try_from(name.to_owned()).map_err(|error| error.to_string())?;
    TlsConnector::from(config).connect(name, stream).await.map_err(|error| fault(&error))
}

/// How to speak TLS to servers that are trusted.
///
/// # Errors
/// When the authorities or the credential cannot be used.
pub fn config(trust: &Trust, credential: Option<&Credential>) -> Result<Arc<rustls::ClientConfig>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier(trust, provider)?);
    Ok(Arc::new(match credential {
        None => builder.with_no_client_auth(),
        Some(own) => {
            builder.with_client_auth_cert(own.chain.clone(), own.key.clone_key()).map_err(|error| error.to_string())?
        }
    }))
}

fn verifier(
    trust: &Trust,
    provider: Arc<rustls::crypto::CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, String> {
    let own = match trust {
        Trust::Anyone => return Ok(Arc::new(Anyone)),
        Trust::Machine => machine().to_vec(),
        Trust::Bundle(pem) | Trust::BundleForAnyName(pem) => {
            CertificateDer::pem_slice_iter(pem).filter_map(Result::ok).collect()
        }
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(own.iter().cloned());
    if roots.is_empty() {
        return Err(match trust {
            Trust::Bundle(_) | Trust::BundleForAnyName(_) => {
                "unable to load root certificates: unable to parse bytes as PEM block".to_owned()
            }
            _ => UNKNOWN.to_owned(),
        });
    }
    let roots = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
    let bundle = Bundle { roots: roots.map_err(|error| error.to_string())?, own };
    Ok(if matches!(trust, Trust::BundleForAnyName(_)) { Arc::new(AnyName(bundle)) } else { Arc::new(bundle) })
}

/// The machine's authorities, read once.
fn machine() -> &'static [CertificateDer<'static>] {
    static CERTIFICATES: OnceLock<Vec<CertificateDer<'static>>> = OnceLock::new();
    CERTIFICATES.get_or_init(|| rustls_native_certs::load_native_certs().certs)
}

const UNKNOWN: &str = "tls: failed to verify certificate: x509: certificate signed by unknown authority";

/// Why a handshake failed; a certificate that is not good in Go's words.
pub(crate) fn fault(error: &std::io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        // An authority of the same name with another key vouches for as little as none.
        Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature)) => {
            UNKNOWN.to_owned()
        }
        Some(rustls::Error::InvalidCertificate(reason)) => {
            format!("tls: failed to verify certificate: x509: {reason}")
        }
        _ => error.to_string(),
    }
}
