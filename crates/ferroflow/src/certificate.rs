//! What `server` shows to those who speak TLS with it.

use std::{net::SocketAddr, path::Path, path::PathBuf};

use anyhow::Context;
use clap::Args as ClapArgs;
use ferroflow_platform::{
    blob::Directory,
    clock::SharedClock,
    http::tls::{self, Tls},
};

use crate::problem::Problem;

/// What the command line says of TLS.
#[derive(ClapArgs, Debug, Clone, Default)]
pub struct TlsPlace {
    /// Where the gateway listens with TLS as well. Steps' launchers and other replicas speak without.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub tls_listen: Option<SocketAddr>,

    /// The certificate and those that vouch for it, in PEM form. A newer one is shown soon after it has taken its place.
    /// Without it one is made, which gateway-ca.crt of the data directory vouches for.
    #[arg(long, value_name = "FILE", requires = "tls_key", requires = "tls_listen")]
    pub tls_certificate: Option<PathBuf>,

    /// Its private key, in PEM form.
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    pub tls_key: Option<PathBuf>,
}

const AUTHORITY: &str = "gateway-ca.crt";
const CERTIFICATE: &str = "gateway.crt";
const KEY: &str = "gateway.key";
/// The names that the certificate is good for, a line each.
const NAMES: &str = "gateway.names";

/// Opens the certificate of the command line, or the one of the data directory, which is made for `names` where it is not
/// there or lacks one of them.
///
/// # Errors
/// What is wrong with it, with what to do.
pub fn open(data: &Path, place: &TlsPlace, names: &[String], clock: SharedClock) -> anyhow::Result<Tls> {
    let given = place.tls_certificate.as_ref().zip(place.tls_key.as_ref());
    let (certificate, key) = match given {
        Some((certificate, key)) => (certificate.clone(), key.clone()),
        None => made(data, names)?,
    };
    Tls::of_files(&certificate, &key, clock).map_err(|fault| {
        let hint = match given {
            Some(_) => "give the certificate with --tls-certificate and its own key with --tls-key".to_owned(),
            None => format!("remove {} to have a new one made", certificate.display()),
        };
        Problem::new(fault.to_string(), hint).into()
    })
}

fn made(data: &Path, names: &[String]) -> anyhow::Result<(PathBuf, PathBuf)> {
    let files = Directory::new(data);
    let text = |file: &str| -> anyhow::Result<Option<String>> {
        Ok(files.get(file)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    };
    let (is_there, known) = (files.get(CERTIFICATE)?.is_some(), text(NAMES)?);
    let lacking = names.iter().find(|name| known.iter().all(|known| !known.lines().any(|line| line == **name)));
    if is_there && lacking.is_none() {
        return Ok((data.join(CERTIFICATE), data.join(KEY)));
    }
    if let Some(lacking) = lacking.filter(|_| is_there) {
        tracing::warn!(
            name = lacking,
            "the certificate is made anew, as it lacks a name; clients need the new {AUTHORITY}"
        );
    }
    let issued = tls::issue(names).map_err(|fault| Problem::new(fault, "give other names with --name"))?;
    let failed = "the gateway's certificate cannot be written";
    files.put_private(KEY, issued.key.as_bytes()).context(failed)?;
    files.put(AUTHORITY, issued.authority.as_bytes()).context(failed)?;
    files.put(CERTIFICATE, issued.certificate.as_bytes()).context(failed)?;
    files.put(NAMES, names.join("\n").as_bytes()).context(failed)?;
    Ok((data.join(CERTIFICATE), data.join(KEY)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_stays_until_it_lacks_a_name() {
        let directory = tempfile::tempdir().unwrap();
        let certificate = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            std::fs::read(made(directory.path(), &names).unwrap().0).unwrap()
        };
        let first = certificate(&["localhost", "a.example.com"]);
        assert_eq!(certificate(&["localhost"]), first);
        let second = certificate(&["localhost", "b.example.com"]);
        assert_ne!(second, first);
        assert_eq!(certificate(&["b.example.com"]), second);
    }
}
