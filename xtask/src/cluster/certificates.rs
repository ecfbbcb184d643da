//! The keys and certificates of a cluster, and a kubeconfig for each of its parts.

use std::fs;

use anyhow::Context;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType, date_time_ymd,
};
use serde_json::{Value, json};

use super::layout::{API_PORT, Layout, Node};

/// Names that the API server is reached by inside of the cluster.
const SERVER_NAMES: [&str; 5] =
    ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"];

/// What a certificate is for.
struct Subject<'a> {
    name: String,
    organization: Option<&'a str>,
    names: &'a [&'a str],
    addresses: &'a [String],
}

/// A client of the API server.
struct Client {
    /// Names its files.
    file: String,
    name: String,
    organization: Option<&'static str>,
}

/// A certificate and its key, as PEM, that nobody vouches for.
///
/// # Errors
/// When the name is none.
pub fn self_signed(name: &str) -> anyhow::Result<(String, String)> {
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new([name.to_owned()])?.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

/// Writes everything to `pki/`, and kubeconfigs to `pki/NAME.kubeconfig`; the administrator's is `kubeconfig` too.
///
/// # Errors
/// When a file cannot be written.
pub fn write(layout: &Layout, nodes: u8) -> anyhow::Result<()> {
    fs::create_dir_all(layout.path("pki"))?;
    let key = KeyPair::generate()?;
    let authority = authority().self_signed(&key)?.pem();
    fs::write(layout.path("pki/ca.crt"), &authority)?;
    fs::write(layout.path("pki/ca.key"), key.serialize_pem())?;
    let issuer = Issuer::new(self::authority(), key);

    let addresses = ["127.0.0.1".to_owned(), "10.96.0.1".to_owned(), Node { number: 1 }.address()];
    let server =
        Subject { name: "kube-apiserver".into(), organization: None, names: &SERVER_NAMES, addresses: &addresses };
    issue(layout, &issuer, "apiserver", &server)?;
    for node in Node::all(nodes) {
        let addresses = [node.address()];
        let subject = Subject { name: node.name(), organization: None, names: &[], addresses: &addresses };
        issue(layout, &issuer, &format!("{}-serving", node.name()), &subject)?;
    }
    for client in clients(nodes) {
        let subject = Subject { name: client.name, organization: client.organization, names: &[], addresses: &[] };
        let (certificate, key) = issue(layout, &issuer, &client.file, &subject)?;
        let text = kubeconfig(&authority, &certificate, &key).to_string();
        fs::write(layout.path(&format!("pki/{}.kubeconfig", client.file)), &text)?;
        if client.file == "admin" {
            fs::write(layout.kubeconfig(), &text)?;
        }
    }
    let accounts = KeyPair::generate()?;
    fs::write(layout.path("pki/accounts.key"), accounts.serialize_pem())?;
    fs::write(layout.path("pki/accounts.pub"), accounts.public_key_pem())?;
    Ok(())
}

fn clients(nodes: u8) -> Vec<Client> {
    let client = |file: &str, name: &str, organization| Client { file: file.into(), name: name.into(), organization };
    let mut clients = vec![
        client("admin", "kubernetes-admin", Some("system:masters")),
        client("apiserver-kubelet", "kube-apiserver-kubelet-client", Some("system:masters")),
        client("front-proxy", "front-proxy-client", None),
        client("controller-manager", "system:kube-controller-manager", None),
        client("scheduler", "system:kube-scheduler", None),
        client("proxy", "system:kube-proxy", None),
    ];
    clients.extend(Node::all(nodes).map(|node| {
        let name = format!("system:node:{}", node.name());
        Client { file: node.name(), name, organization: Some("system:nodes") }
    }));
    clients
}

fn authority() -> CertificateParams {
    let mut params = dated();
    params.distinguished_name.push(DnType::CommonName, "ferroflow-cluster");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    params
}

fn dated() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2060, 1, 1);
    params
}

/// Writes `pki/FILE.crt` and `pki/FILE.key`, and returns them as PEM.
fn issue(
    layout: &Layout,
    issuer: &Issuer<'_, KeyPair>,
    file: &str,
    subject: &Subject,
) -> anyhow::Result<(String, String)> {
    let mut params = dated();
    params.distinguished_name.push(DnType::CommonName, subject.name.as_str());
    if let Some(organization) = subject.organization {
        params.distinguished_name.push(DnType::OrganizationName, organization);
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    for name in subject.names {
        params.subject_alt_names.push(SanType::DnsName((*name).try_into()?));
    }
    for address in subject.addresses {
        params.subject_alt_names.push(SanType::IpAddress(address.parse().context("an address")?));
    }
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, issuer)?.pem();
    fs::write(layout.path(&format!("pki/{file}.crt")), &certificate)?;
    fs::write(layout.path(&format!("pki/{file}.key")), key.serialize_pem())?;
    Ok((certificate, key.serialize_pem()))
}

/// A kubeconfig; it is JSON, which every reader of YAML reads.
fn kubeconfig(authority: &str, certificate: &str, key: &str) -> Value {
    let server = format!("https://{}:{API_PORT}", Node { number: 1 }.address());
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "real",
        "contexts": [{"name": "real", "context": {"cluster": "real", "user": "real"}}],
        "clusters": [{
            "name": "real",
            "cluster": {"server": server, "certificate-authority-data": STANDARD.encode(authority)},
        }],
        "users": [{
            "name": "real",
            "user": {
                "client-certificate-data": STANDARD.encode(certificate),
                "client-key-data": STANDARD.encode(key),
            },
        }],
    })
}
