//! The certificate authority of an embedded cluster, and the certificate that its server shows.

use std::path::Path;

use ferroflow_platform::{blob, http::tls::Tls, tls::Credential};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use super::{Error, secret};

/// Names that the server is reached by, inside and outside of pods.
const NAMES: [&str; 5] =
    ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"];
/// Addresses that the server is reached by; the last is the `kubernetes` service's.
const ADDRESSES: [&str; 3] = ["127.0.0.1", "::1", "10.96.0.1"];

/// The authority's certificate and a TLS configuration with a certificate of it.
pub struct Certificates {
    /// PEM.
    pub authority: String,
    pub acceptor: Tls,
    /// What the server shows where it speaks for somebody else to an aggregated server.
    pub front: Credential,
}

impl Certificates {
    /// Reads the authority, or makes one, and issues a server certificate.
    ///
    /// # Errors
    /// [`Error`].
    pub fn open(directory: &Path) -> Result<Self, Error> {
        let files = blob::Directory::new(directory);
        let key = secret(&files, "ca.key", || new_key().map(|key| key.serialize_pem().into_bytes()))?;
        let key = String::from_utf8(key).map_err(|_| Error::Damaged("ca.key"))?;
        let key = KeyPair::from_pem(&key).map_err(|_| Error::Damaged("ca.key"))?;
        let authority = match files.get("ca.crt")? {
            Some(pem) => String::from_utf8(pem).map_err(|_| Error::Damaged("ca.crt"))?,
            None => {
                let pem = authority_params().self_signed(&key).map_err(make)?.pem();
                files.put("ca.crt", pem.as_bytes())?;
                pem
            }
        };
        let issuer = Issuer::new(authority_params(), key);
        let acceptor = acceptor(&issuer)?;
        let front = front(&issuer)?;
        Ok(Self { authority, acceptor, front })
    }
}

fn make(error: impl std::fmt::Display) -> Error {
    Error::Make(error.to_string())
}

fn new_key() -> Result<KeyPair, Error> {
    KeyPair::generate().map_err(make)
}

fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "ferroflow");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2060, 1, 1);
    params
}

/// The name under which aggregated servers know this one.
pub const FRONT: &str = "front-proxy-client";

fn front(issuer: &Issuer<'_, KeyPair>) -> Result<Credential, Error> {
    let key = new_key()?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, FRONT);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2060, 1, 1);
    let certificate = params.signed_by(&key, issuer).map_err(make)?;
    let chain = vec![CertificateDer::from(certificate.der().to_vec())];
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).map_err(make)?;
    Ok(Credential { chain, key })
}

fn acceptor(issuer: &Issuer<'_, KeyPair>) -> Result<Tls, Error> {
    let key = new_key()?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "kube-apiserver");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2060, 1, 1);
    for name in NAMES {
        params.subject_alt_names.push(SanType::DnsName(name.try_into().map_err(make)?));
    }
    for address in ADDRESSES {
        params.subject_alt_names.push(SanType::IpAddress(address.parse().map_err(make)?));
    }
    let certificate = params.signed_by(&key, issuer).map_err(make)?;
    let chain = vec![CertificateDer::from(certificate.der().to_vec())];
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).map_err(make)?;
    Tls::new(Credential { chain, key }).map_err(make)
}
