//! Kills at random: what was acknowledged is there afterwards, and revisions never go back.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use common::{Bench, Server};
use ferroflow_testkit::ledger::Ledger;
use serde_json::{Value, json};

const KILLS: usize = 100;
const WRITERS: usize = 4;
const KEYS: u64 = 6;
const PATH: &str = "/api/v1/namespaces/default/configmaps";
/// A server that answers nothing for so long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection that sends one request after the other; any failure ends it.
struct Connection {
    stream: BufReader<TcpStream>,
    token: String,
}

impl Connection {
    fn open(server: &Server) -> Option<Self> {
        let stream = TcpStream::connect(server.address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.set_nodelay(true).ok()?;
        Some(Self { stream: BufReader::new(stream), token: server.token.clone() })
    }

    fn send(&mut self, method: &str, path: &str, body: &str) -> Option<(u16, Value)> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.token,
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes()).ok()?;
        let mut code = 0;
        let mut length = 0;
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(status) = line.strip_prefix("http/1.1 ") {
                code = status.get(..3)?.parse().ok()?;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).ok()?;
        Some((code, serde_json::from_slice(&body).ok()?))
    }
}

/// Creates, replaces and deletes objects of its own until the connection breaks.
fn write(mut connection: Connection, ledger: &Ledger, acknowledged: &mpsc::Sender<usize>, writer: usize, round: usize) {
    for step in 0_u64.. {
        let key = format!("w{writer}-{}", step.wrapping_mul(7).wrapping_add(round as u64) % KEYS);
        let state = (round as u64) << 32 | step << 4 | writer as u64;
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": key},
            "data": {"state": state.to_string(), "filler": "x".repeat(1000)}});
        let (method, path, next) = match ledger.last(&key) {
            None => ("POST", PATH.to_owned(), Some(state)),
            Some(_) if step % 5 == 4 => ("DELETE", format!("{PATH}/{key}"), None),
            Some(_) => ("PUT", format!("{PATH}/{key}"), Some(state)),
        };
        let body = if method == "DELETE" { String::new() } else { object.to_string() };
        ledger.intend(&key, next);
        let Some((code, answer)) = connection.send(method, &path, &body) else { return };
        assert!(code < 300, "{method} {path}: {code} {answer}");
        // The answer to a deletion carries no revision.
        let revision = answer["metadata"]["resourceVersion"].as_str().and_then(|text| text.parse().ok()).unwrap_or(0);
        if acknowledged.send(ledger.acknowledge(&key, revision)).is_err() {
            return;
        }
    }
}

/// The states of all objects, and the revision of the list.
fn states(server: &Server) -> (BTreeMap<String, u64>, u64) {
    let (code, list) = Connection::open(server).unwrap().send("GET", PATH, "").unwrap();
    assert_eq!(code, 200, "{list}");
    let revision = list["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
    let states = list["items"].as_array().unwrap().iter().filter_map(|item| {
        let state = item["data"]["state"].as_str()?.parse().ok()?;
        Some((item["metadata"]["name"].as_str()?.to_owned(), state))
    });
    (states.collect(), revision)
}

#[test]
fn every_acknowledged_write_survives_a_kill() {
    let bench = Bench::new();
    let mut ledger = Arc::new(Ledger::default());
    let mut writes = 0;
    for round in 0..KILLS {
        let mut server = Server::start(&bench, "api");
        let (found, revision) = states(&server);
        let promise = ledger.promise();
        assert_eq!(ledger.broken(&promise, &found), Vec::<String>::new(), "after kill {round}");
        assert!(revision >= promise.revision, "revision {revision} after {} was acknowledged", promise.revision);
        ledger = Arc::new(Ledger::starting_with(found, revision));
        let (sender, acknowledged) = mpsc::channel();
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let connection = Connection::open(&server).unwrap();
                let (ledger, sender) = (ledger.clone(), sender.clone());
                thread::spawn(move || write(connection, &ledger, &sender, writer, round))
            })
            .collect();
        drop(sender);
        // Somewhere between the first write and a few hundred, different in each round.
        let goal = 1 + round * 37 % 120;
        while acknowledged.recv_timeout(PATIENCE).expect("the server acknowledges") < goal {}
        server.kill();
        for writer in writers {
            writer.join().unwrap();
        }
        writes += goal;
    }
    eprintln!("{KILLS} kills, at least {writes} acknowledged writes");
}
