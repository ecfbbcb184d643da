//! Ways to a registry: TLS with a private authority, and a proxy that wants a login.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
#[path = "common/registry.rs"]
mod registry;

use std::{
    io::{BufRead, BufReader, Write, copy},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use common::{Bench, Ended};
use registry::{Registry, has_busybox};
use serde_json::json;

/// A proxy that leads to one address whatever it is asked for, and remembers the heads of what it was asked.
fn proxy(to: String) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let kept = asked.clone();
    thread::spawn(move || {
        for near in listener.incoming().map_while(Result::ok) {
            let (to, kept) = (to.clone(), kept.clone());
            thread::spawn(move || lead(near, &to, &kept));
        }
    });
    (address, asked)
}

fn lead(mut near: TcpStream, to: &str, kept: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(near.try_clone().unwrap());
    let mut head = String::new();
    while reader.read_line(&mut head).unwrap_or(0) > 2 {}
    kept.lock().unwrap().push(head);
    let Ok(mut far) = TcpStream::connect(to) else { return };
    near.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
    let mut back = (far.try_clone().unwrap(), near.try_clone().unwrap());
    thread::spawn(move || {
        let _ = copy(&mut back.0, &mut back.1);
        let _ = back.1.shutdown(Shutdown::Write);
    });
    let _ = copy(&mut reader, &mut far);
    let _ = far.shutdown(Shutdown::Write);
}

fn pull(bench: &Bench, image: &str, variables: &[(&str, &str)]) -> Ended {
    let mut command = bench.command(&["images", "pull", image]);
    for name in ["HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "https_proxy", "http_proxy", "no_proxy", "SSL_CERT_FILE"] {
        command.env_remove(name);
    }
    let output = command.envs(variables.iter().copied()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[test]
fn a_registry_with_a_private_authority_is_reached_also_through_a_proxy_with_a_login() {
    if !has_busybox() {
        return;
    }
    let Some(plain) = Registry::start(false) else { return };
    let (_, digest) = plain.push("app", "1", &json!({}));
    let (secure, authority) = plain.with_tls("registry.example");
    let (address, asked) = proxy(secure.address.clone());
    let bench = Bench::new();
    let authority = authority.to_str().unwrap();
    let proxy = format!("http://someone:pass@{address}");
    let image = "registry.example:5000/app:1";

    let strange = pull(&bench, image, &[("HTTPS_PROXY", &proxy)]);
    assert_eq!(strange.code, 1, "an authority that nobody trusts: {strange:?}");
    assert!(strange.stderr.contains("certificate"), "{strange:?}");

    let done = pull(&bench, image, &[("HTTPS_PROXY", &proxy), ("SSL_CERT_FILE", authority)]);
    assert_eq!((done.code, done.stdout), (0, format!("{image}@{digest}\n")), "{}", done.stderr);
    let heads = asked.lock().unwrap().clone();
    assert!(heads.iter().all(|head| head.starts_with("CONNECT registry.example:5000 ")), "{heads:?}");
    assert!(heads[0].to_lowercase().contains("proxy-authorization: basic c29tzw9uztpwyxnz"), "{heads:?}");

    // No proxy stands between a machine and itself; and a name that the certificate has not is refused.
    let before = heads.len();
    let other =
        pull(&bench, &format!("{}/app:1", secure.address), &[("HTTPS_PROXY", &proxy), ("SSL_CERT_FILE", authority)]);
    assert_eq!((other.code, asked.lock().unwrap().len()), (1, before), "{other:?}");
}
