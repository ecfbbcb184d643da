//! Certificates of a server: made, given, and changed under it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::{fs, path::Path, sync::Arc, time::Duration};

use ferroflow_platform::{
    clock::SharedClock,
    http::{
        Handshake,
        tls::{Issued, Tls, issue},
    },
    tls::{Trust, connect_to},
};
use ferroflow_testkit::SimulatedClock;
use jiff::Timestamp;

/// How long a server may go on showing what has been replaced.
const LOOK: Duration = Duration::from_secs(10);

async fn greets(tls: Arc<Tls>, authority: &str, name: &str) -> Result<(), String> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepted = async { tls.accept(listener.accept().await.unwrap().0).await.map(drop) };
    let trust = Trust::Bundle(authority.as_bytes().to_vec());
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (_, asked) = tokio::join!(accepted, connect_to(stream, name, &trust, None));
    asked.map(drop)
}

fn write(dir: &Path, issued: &Issued) {
    for (name, text) in [("tls.crt", &issued.certificate), ("tls.key", &issued.key)] {
        fs::write(dir.join("new"), text).unwrap();
        fs::rename(dir.join("new"), dir.join(name)).unwrap();
    }
}

#[tokio::test]
async fn a_made_certificate_is_good_for_its_names_and_for_no_others() {
    let issued = issue(&["ferroflow.ferroflow.svc".to_owned(), "10.96.0.7".to_owned()]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &issued);
    let clock = Arc::new(SimulatedClock::new(Timestamp::UNIX_EPOCH));
    let tls = Tls::of_files(&dir.path().join("tls.crt"), &dir.path().join("tls.key"), clock).unwrap();
    let tls = Arc::new(tls);
    for name in ["ferroflow.ferroflow.svc", "10.96.0.7"] {
        greets(tls.clone(), &issued.authority, name).await.unwrap();
    }
    assert!(greets(tls.clone(), &issued.authority, "elsewhere").await.is_err());
    let other = issue(&["ferroflow.ferroflow.svc".to_owned()]).unwrap();
    assert!(greets(tls, &other.authority, "ferroflow.ferroflow.svc").await.is_err());
    assert!(issue(&["no name".to_owned()]).is_err());
}

#[tokio::test]
async fn a_certificate_that_takes_the_place_of_another_is_shown_soon_and_a_damaged_one_is_not() {
    let names = ["localhost".to_owned()];
    let (first, second) = (issue(&names).unwrap(), issue(&names).unwrap());
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &first);
    let clock = SimulatedClock::new(Timestamp::UNIX_EPOCH);
    let (certificate, key) = (dir.path().join("tls.crt"), dir.path().join("tls.key"));
    let tls = Arc::new(Tls::of_files(&certificate, &key, Arc::new(clock.clone())).unwrap());
    write(dir.path(), &second);
    greets(tls.clone(), &first.authority, "localhost").await.unwrap();
    clock.advance(LOOK);
    greets(tls.clone(), &second.authority, "localhost").await.unwrap();
    fs::write(&key, "no key").unwrap();
    clock.advance(LOOK);
    greets(tls, &second.authority, "localhost").await.unwrap();
    let clock: SharedClock = Arc::new(clock);
    let fault = Tls::of_files(&certificate, &key, clock.clone()).err().unwrap().to_string();
    assert!(fault.contains("tls.key") && fault.contains("no private key"), "{fault}");
    let fault = Tls::of_files(&dir.path().join("gone"), &key, clock).err().unwrap().to_string();
    assert!(fault.contains("gone") && fault.contains("cannot be read"), "{fault}");
}
