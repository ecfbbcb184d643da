//! What a server in or beside a cluster shows besides pipelines: TLS, metrics, lines of audit, and how it ends.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use common::{Bench, Server};
use ferroflow_platform::tls::{Trust, connect_to};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// `ferroflow server` beside a cluster.
struct Serving {
    bench: Bench,
    child: Child,
    lines: mpsc::Receiver<String>,
    plain: String,
    tls: String,
    token: String,
}

impl Serving {
    fn start(cluster: &Bench, options: &[&str]) -> Self {
        let bench = Bench::new();
        let kubeconfig = cluster.data.join("kubeconfig");
        let words = ["server", "--listen", "127.0.0.1:0", "--advertise", "http://127.0.0.1:1", "--kubeconfig"];
        let mut command = bench.command(&words);
        command.arg(kubeconfig).args(["--tls-listen", "127.0.0.1:0"]).args(options);
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the binary runs");
        let (sender, lines) = mpsc::channel();
        let read = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        std::thread::spawn(move || read.map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let mut serving = Self { bench, child, lines, plain: String::new(), tls: String::new(), token: String::new() };
        let line = serving.line_with("gateway  ");
        let address = |scheme: &str| line.split(scheme).nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
        (serving.plain, serving.tls) = (address("http://"), address("https://"));
        serving.line_with("ferroflow env");
        serving.token = std::fs::read_to_string(serving.bench.data.join("admin.token")).unwrap();
        serving
    }

    /// The next line of the log that holds a word.
    fn line_with(&self, word: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no line with {word:?}"));
            if line.contains(word) {
                return line;
            }
        }
    }

    async fn asked(&self, method: &str, path: &str, token: &str) -> (u16, String) {
        let stream = TcpStream::connect(&self.plain).await.unwrap();
        ask(stream, &self.plain, method, path, token).await
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn ask<S>(mut stream: S, host: &str, method: &str, path: &str, token: &str) -> (u16, String)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let bearer = if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\n{bearer}Connection: close\r\nContent-Type: application/json\r\n\
         Content-Length: 2\r\n\r\n{{}}"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A server that ends TLS without a farewell has said all the same.
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).unwrap();
    let code = answer.split(' ').nth(1).unwrap_or_else(|| panic!("{answer:?}")).parse().unwrap();
    (code, answer)
}

async fn over_tls(serving: &Serving, authority: &Path, host: &str) -> Result<(u16, String), String> {
    let trust = Trust::Bundle(std::fs::read(authority).unwrap());
    let stream = TcpStream::connect(&serving.tls).await.unwrap();
    let stream = connect_to(stream, host, &trust, None).await?;
    Ok(ask(stream, host, "GET", "/healthz", "").await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_speaks_tls_counts_what_it_answers_and_says_who_changed_what() {
    let cluster = Bench::new();
    let _running = Server::start(&cluster, "control");
    let serving = Serving::start(&cluster, &["--name", "pipelines.example.com"]);

    let authority = serving.bench.data.join("gateway-ca.crt");
    for host in ["localhost", "pipelines.example.com"] {
        assert_eq!(over_tls(&serving, &authority, host).await.unwrap().0, 200, "{host}");
    }
    assert!(over_tls(&serving, &authority, "elsewhere.example.com").await.is_err());

    let (code, answer) = serving.asked("GET", "/metrics", "").await;
    assert!(code == 401 && answer.contains("no bearer token"), "{answer}");
    let (code, answer) = serving.asked("POST", "/pipeline/apis/v2beta1/experiments", &serving.token).await;
    assert_eq!(code, 400, "{answer}");
    let line = serving.line_with("/pipeline/apis/v2beta1/experiments");
    for word in ["ferroflow::audit", "method=\"POST\"", "code=400", "peer=\"127.0.0.1:"] {
        assert!(line.contains(word), "{word}: {line}");
    }
    assert!(!line.contains(serving.token.trim()), "{line}");
    let (code, _) = serving.asked("GET", "/pipeline/apis/v2beta1/runs", "nobody").await;
    assert_eq!(code, 401);
    let line = serving.line_with("/pipeline/apis/v2beta1/runs");
    assert!(line.contains("code=401") && line.contains("user=\"\""), "{line}");

    let (code, answer) = serving.asked("GET", "/metrics", &serving.token).await;
    assert_eq!(code, 200, "{answer}");
    assert!(answer.contains("content-type: application/openmetrics-text"), "{answer}");
    for line in [
        "ferroflow_http_requests_total{mount=\"/pipeline\",method=\"POST\",code=\"400\"} 1",
        "ferroflow_http_requests_total{mount=\"/pipeline\",method=\"GET\",code=\"401\"} 1",
        "ferroflow_pipeline_runs 0",
        "# EOF",
    ] {
        assert!(answer.contains(line), "{line}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_told_to_stop_answers_until_nobody_sends_it_any_more() {
    let cluster = Bench::new();
    let _running = Server::start(&cluster, "control");
    // More than the questions take.
    let serving = Serving::start(&cluster, &["--drain", "600"]);
    for path in ["/readyz", "/leaderz"] {
        assert_eq!(serving.asked("GET", path, "").await.0, 200, "{path}");
    }
    kill_process(Pid::from_child(&serving.child), Signal::TERM).unwrap();
    serving.line_with("is told to stop");
    let (code, answer) = serving.asked("GET", "/readyz", "").await;
    assert!(code == 503 && answer.contains("was told to stop"), "{answer}");
    assert_eq!(serving.asked("GET", "/healthz", "").await.0, 200);
    assert_eq!(serving.asked("GET", "/pipeline/apis/v2beta1/runs", &serving.token).await.0, 200);
    drop(serving);
    let mut serving = Serving::start(&cluster, &["--drain", "1"]);
    let told = Instant::now();
    kill_process(Pid::from_child(&serving.child), Signal::TERM).unwrap();
    assert_eq!(serving.child.wait().unwrap().code(), Some(0));
    assert!(told.elapsed() >= Duration::from_secs(1), "{:?}", told.elapsed());
}

#[test]
fn a_certificate_that_cannot_be_used_is_named() {
    let cluster = Bench::new();
    let _running = Server::start(&cluster, "control");
    let bench = Bench::new();
    let kubeconfig = cluster.data.join("kubeconfig").display().to_string();
    let words = ["server", "--listen", "127.0.0.1:0", "--advertise", "http://127.0.0.1:1", "--kubeconfig", &kubeconfig];
    let tls = ["--tls-listen", "127.0.0.1:0", "--tls-certificate", "/nonexistent.crt", "--tls-key", "/nonexistent.key"];
    let ended = bench.run(&[&words[..], &tls].concat());
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stderr.contains("\"/nonexistent.crt\" cannot be read"), "{ended:?}");
    assert!(ended.stderr.contains("hint: give the certificate with --tls-certificate"), "{ended:?}");
    let ended = bench.run(&[&words[..], &["--tls-certificate", "/nonexistent.crt"]].concat());
    assert_eq!(ended.code, 2, "{ended:?}");
}

#[test]
fn what_cannot_be_installed_together_is_refused_with_a_way_out() {
    let bench = Bench::new();
    for (words, told) in [
        (&["--records", "mysql://db"][..], "--records is no URL of PostgreSQL"),
        (&["--records", "postgres://u:p@h/d"], "leaves artifacts without a place"),
        (&["--replicas", "2"], "2 replicas cannot share one volume"),
        (&["--artifacts", "bucket"], "does not begin with s3://"),
        (&["--artifacts", "s3:///prefix"], "names no bucket"),
        (
            &["--artifacts", "s3://b", "--s3-credentials", "/nonexistent"],
            "credentials of S3, \"/nonexistent\", cannot be read",
        ),
    ] {
        let ended = bench.run(&[&["install", "--print"][..], words].concat());
        assert!(ended.code == 1 && ended.stderr.contains(told) && ended.stderr.contains("hint: "), "{ended:?}");
        assert!(ended.stdout.is_empty() && !ended.stderr.contains("u:p@h"), "{ended:?}");
    }
}
