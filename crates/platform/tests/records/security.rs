//! Who a server must be, and who it lets in.

use ferroflow_platform::records::{Error, Records};
use ferroflow_testkit::postgres::{self, Certificate, Postgres};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

/// An authority in a file, and a certificate of its for `name`.
fn certificate(name: &str) -> (tempfile::NamedTempFile, Certificate) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&authority_key).unwrap();
    let issuer = Issuer::new(params, authority_key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), authority.pem()).unwrap();
    (file, Certificate { chain: leaf.pem(), key: key.serialize_pem() })
}

#[tokio::test]
async fn a_connection_is_as_safe_as_its_url_asks_for() {
    if !postgres::is_there("a_connection_is_as_safe_as_its_url_asks_for") {
        return;
    }
    let (good, own) = certificate("localhost");
    let (other, elsewhere) = certificate("database.example");
    let server = Postgres::start_with(&own).unwrap();
    let misnamed = Postgres::start_with(&elsewhere).unwrap();
    let (url, misnamed_url) = (server.database(), misnamed.database());
    let full = |file: &tempfile::NamedTempFile| format!("verify-full&sslrootcert={}", file.path().display());
    let authority = |file: &tempfile::NamedTempFile| format!("verify-ca&sslrootcert={}", file.path().display());
    let required = |file: &tempfile::NamedTempFile| format!("require&sslrootcert={}", file.path().display());
    let untrusted = Some("signed by unknown authority");
    for (url, mode, refused) in [
        (&url, "disable".to_owned(), None),
        (&url, "prefer".to_owned(), None),
        (&url, "require".to_owned(), None),
        (&url, full(&good), None),
        (&url, authority(&good), None),
        (&url, full(&other), untrusted),
        (&url, authority(&other), untrusted),
        (&url, required(&other), untrusted),
        (&url, "verify-full".to_owned(), untrusted),
        (&misnamed_url, "require".to_owned(), None),
        (&misnamed_url, authority(&other), None),
        (&misnamed_url, full(&other), Some("not valid for name")),
    ] {
        let outcome = Records::connect(&format!("{url}?sslmode={mode}")).await;
        match (outcome, refused) {
            (Ok(_), None) => {}
            (Err(Error::Address(text)), Some(part)) => assert!(text.contains(part), "{mode}: {text}"),
            (outcome, _) => panic!("{mode}: {:?}", outcome.map(drop)),
        }
    }
}

#[tokio::test]
async fn a_server_that_lets_nobody_in_is_told_at_once() {
    let Ok(server) = postgres::shared() else {
        assert!(!postgres::is_there("a_server_that_lets_nobody_in_is_told_at_once"));
        return;
    };
    let url = server.database();
    let (place, _) = url.rsplit_once('/').unwrap();
    for (url, part) in [
        (format!("{place}/none"), "database \"none\" does not exist"),
        (url.replace("ferroflow@", "nobody@"), "role \"nobody\" does not exist"),
    ] {
        let Err(Error::Address(text)) = Records::connect(&url).await.map(drop) else { panic!("{url}") };
        assert!(text.contains(part), "{text}");
    }
}
