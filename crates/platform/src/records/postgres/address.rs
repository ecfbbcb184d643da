//! What the URL of a server asks for, and TLS to that server.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use rustls::{ClientConfig, pki_types::ServerName};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::{
    Config, Socket,
    config::{Host, SslMode, TargetSessionAttrs},
    tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream},
};
use tokio_rustls::TlsConnector;

use crate::{
    causes::causes,
    records::Error,
    tls::{self, Trust},
};

/// How long one connection is waited for.
pub(super) const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// A peer that has not acknowledged anything for so long is gone; its machine may have been, without a word.
const SILENCE: Duration = Duration::from_secs(15);
/// A connection that is idle asks after so long whether the other end is there.
const IDLE: Duration = Duration::from_secs(10);
const IDLE_INTERVAL: Duration = Duration::from_secs(3);
const IDLE_RETRIES: u32 = 3;

/// Where a server is and how it is spoken to.
pub(super) struct Address {
    pub(super) config: Config,
    pub(super) tls: Tls,
}

impl Address {
    /// Reads a URL. Its words are those of libpq, of which this client takes `sslmode` and `sslrootcert` itself.
    ///
    /// # Errors
    /// [`Error::Address`], which never repeats the URL: it holds a password.
    pub(super) fn read(url: &str) -> Result<Self, Error> {
        if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
            return Err(Error::Address("it begins with neither postgres:// nor postgresql://".to_owned()));
        }
        let (place, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut mode, mut authority, mut others) = ("prefer".to_owned(), None, Vec::new());
        for word in query.split('&').filter(|word| !word.is_empty()) {
            match word.split_once('=') {
                Some(("sslmode", value)) => mode = decoded(value)?,
                Some(("sslrootcert", value)) => authority = Some(decoded(value)?).filter(|path| !path.is_empty()),
                _ => others.push(word),
            }
        }
        let rest = if others.is_empty() { place.to_owned() } else { format!("{place}?{}", others.join("&")) };
        let mut config: Config = rest.parse().map_err(|error| Error::Address(causes(&error)))?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(Error::Address("it names no host".to_owned()));
        }
        let (mode, trust) = security(&mode, authority.as_deref())?;
        let is_local = |host: &Host| matches!(host, Host::Unix(_));
        if mode == SslMode::Require && config.get_hosts().iter().any(is_local) {
            return Err(Error::Address(
                "sslmode asks for TLS, which a server does not speak on a Unix socket".to_owned(),
            ));
        }
        config.ssl_mode(mode);
        defaults(&mut config);
        Ok(Self { config, tls: Tls { config: tls::config(&trust, None).map_err(Error::Address)? } })
    }
}

/// What `sslmode` and `sslrootcert` mean together, as for libpq.
fn security(mode: &str, authority: Option<&str>) -> Result<(SslMode, Trust), Error> {
    let bundle = |path: &str| {
        let why = |error: io::Error| Error::Address(format!("sslrootcert={path}: {error}"));
        std::fs::read(path).map_err(why)
    };
    let of_machine = authority.is_none_or(|path| path == "system");
    Ok(match mode {
        "disable" => (SslMode::Disable, Trust::Anyone),
        // Whoever may be answered without TLS may be answered by anyone with it.
        "allow" | "prefer" => (SslMode::Prefer, Trust::Anyone),
        "require" | "verify-ca" => match authority {
            Some(path) if !of_machine => (SslMode::Require, Trust::BundleForAnyName(bundle(path)?)),
            None if mode == "require" => (SslMode::Require, Trust::Anyone),
            _ => {
                let text = "anybody has a certificate of some name from an authority of the machine";
                return Err(Error::Address(format!(
                    "sslmode={mode} needs sslrootcert=FILE, the authority that the server's certificate is from, for \
                     {text}; or give sslmode=verify-full"
                )));
            }
        },
        "verify-full" => match authority {
            Some(path) if !of_machine => (SslMode::Require, Trust::Bundle(bundle(path)?)),
            _ => (SslMode::Require, Trust::Machine),
        },
        other => {
            return Err(Error::Address(format!(
                "sslmode={other} is none of disable, prefer, require, verify-ca and verify-full"
            )));
        }
    })
}

/// Sets what the URL leaves open.
fn defaults(config: &mut Config) {
    if config.get_application_name().is_none() {
        config.application_name("ferroflow");
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_PATIENCE);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(SILENCE);
    }
    if config.get_keepalives_interval().is_none() {
        config.keepalives_idle(IDLE).keepalives_interval(IDLE_INTERVAL).keepalives_retries(IDLE_RETRIES);
    }
    // Of several hosts the one that leads, and none that only follows.
    config.target_session_attrs(TargetSessionAttrs::ReadWrite);
}

/// A word of a URL's query.
fn decoded(word: &str) -> Result<String, Error> {
    let unfit = || Error::Address(format!("\"{word}\" is not encoded as the words of a URL are"));
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word.as_bytes().iter();
    while let Some(byte) = rest.next() {
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let digits = [rest.next().copied().unwrap_or_default(), rest.next().copied().unwrap_or_default()];
        let digits = std::str::from_utf8(&digits).map_err(|_| unfit())?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| unfit())?);
    }
    String::from_utf8(bytes).map_err(|_| unfit())
}

/// Makes TLS of connections, as a URL asks for.
#[derive(Clone)]
pub(super) struct Tls {
    config: Arc<ClientConfig>,
}

impl MakeTlsConnect<Socket> for Tls {
    type Stream = Encrypted;
    type TlsConnect = Handshake;
    type Error = rustls::pki_types::InvalidDnsNameError;

    fn make_tls_connect(&mut self, host: &str) -> Result<Handshake, Self::Error> {
        // A Unix socket has no host, and no TLS.
        let host = if host.is_empty() { "localhost" } else { host };
        let name = ServerName::try_from(host.to_owned())?;
        Ok(Handshake { name, connector: TlsConnector::from(self.config.clone()) })
    }
}

/// A handshake that is to be made.
pub(super) struct Handshake {
    name: ServerName<'static>,
    connector: TlsConnector,
}

impl TlsConnect<Socket> for Handshake {
    type Stream = Encrypted;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Encrypted>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move { Ok(Encrypted(self.connector.connect(self.name, socket).await?)) })
    }
}

/// A connection in TLS. It offers no data for channel binding.
pub(super) struct Encrypted(tokio_rustls::client::TlsStream<Socket>);

impl TlsStream for Encrypted {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, into)
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(url: &str) -> String {
        match Address::read(url) {
            Err(error) => error.to_string(),
            Ok(_) => String::new(),
        }
    }

    #[test]
    fn an_address_that_cannot_be_used_says_which_word_is_wrong_and_never_the_password() {
        for (url, part) in [
            ("mysql://u:geheim@h/d", "neither postgres:// nor postgresql://"),
            ("postgres://u:geheim@/d", "names no host"),
            ("postgres://u:geheim@h:x/d", "invalid"),
            ("postgres://u:geheim@h/d?sslmode=always", "sslmode=always is none of"),
            ("postgres://u:geheim@h/d?sslmode=verify-ca", "needs sslrootcert=FILE"),
            ("postgres://u:geheim@h/d?sslmode=verify-ca&sslrootcert=system", "needs sslrootcert=FILE"),
            ("postgres://u:geheim@h/d?sslmode=verify-full&sslrootcert=/none/%72oot.pem", "sslrootcert=/none/root.pem"),
            ("postgres://u:geheim@h/d?sslmode=verify-full&sslrootcert=/dev/null", "unable to load root certificates"),
            ("postgres://u:geheim@%2Frun/d?sslmode=require", "on a Unix socket"),
            ("postgres://u:geheim@h/d?sslrootcert=%2", "not encoded"),
            ("postgres://u:geheim@h/d?sslcert=a", "sslcert"),
        ] {
            let told = refusal(url);
            assert!(told.contains(part) && !told.contains("geheim"), "{url}: {told}");
        }
    }

    #[test]
    fn words_of_other_clients_are_understood() {
        for (url, mode) in [
            ("postgres://u@h", SslMode::Prefer),
            ("postgresql://u:p@h:5433,i:5434/d?application_name=x&sslmode=disable", SslMode::Disable),
            ("postgres://u@h/d?sslmode=require&connect_timeout=3", SslMode::Require),
            ("postgres://u@%2Frun%2Fpostgresql/d", SslMode::Prefer),
        ] {
            let address = Address::read(url).unwrap();
            assert_eq!(address.config.get_ssl_mode(), mode, "{url}");
        }
        let address = Address::read("postgres://u@h/d?connect_timeout=3").unwrap();
        assert_eq!(address.config.get_connect_timeout(), Some(&Duration::from_secs(3)));
    }
}
