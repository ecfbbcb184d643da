//! Looks at real servers on the host, and at commands in a real sandbox.

use std::convert::Infallible;

use hyper::service::service_fn;
use k8s_openapi::api::core::v1::Probe;
use serde_json::json;
use tokio::net::TcpListener;

use super::*;
use crate::runtime::tests::{open, shell};

/// For what ends by itself, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// For what never ends: a message tells it in whole seconds.
const SHORT: Duration = Duration::from_millis(700);

/// What a probe says, given as its JSON; `PORT` stands for a port where the test's server listens.
async fn look(probe: serde_json::Value, timeout: Duration) -> Result<(), String> {
    let dir = tempfile::tempdir().unwrap();
    let (_node, sandbox, _events) = open(dir.path()).await;
    sandbox.start(shell("main", "exec sleep 600")).await.unwrap();
    let listener = TcpListener::bind((HOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(serve(listener));
    let probe = serde_json::from_str(&probe.to_string().replace("\"PORT\"", &port.to_string())).unwrap();
    let Probe { exec, http_get, tcp_socket, grpc, .. } = probe;
    let check = exec.map(Check::Exec).or(http_get.map(Check::Http)).or(tcp_socket.map(Check::Tcp));
    let check = check.or(grpc.map(Check::Grpc)).unwrap();
    let container = serde_json::from_value(json!({"name": "main", "ports": [{"name": "web", "containerPort": port}]}));
    let target = Target {
        sandbox: sandbox.clone(),
        container: container.unwrap(),
        address: "10.244.0.2".to_owned(),
        network: None,
    };
    let result = target.check(&check, timeout).await;
    server.abort();
    sandbox.destroy().await.unwrap();
    result.map_err(|message| message.replace(&port.to_string(), "PORT"))
}

/// HTTP in both versions: `/slow` never answers, `/bad` is an error, gRPC health knows one good service.
async fn serve(listener: TcpListener) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| async move {
            let path = request.uri().path().to_owned();
            if path == "/slow" {
                std::future::pending::<()>().await;
            }
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let serving = body.windows(4).any(|part| part == b"good");
            let answer: &[u8] = if serving { &[0, 0, 0, 0, 2, 8, 1] } else { &[0, 0, 0, 0, 2, 8, 2] };
            let status = if path == "/bad" { 500 } else { 200 };
            let response = hyper::Response::builder().status(status).body(Full::new(Bytes::copy_from_slice(answer)));
            Ok::<_, Infallible>(response.unwrap())
        });
        tokio::spawn(async move {
            let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn check(probe: serde_json::Value, expect: Result<(), &str>) {
    assert_eq!(look(probe.clone(), PATIENCE).await, expect.map_err(str::to_owned), "{probe}");
}

async fn is_late(probe: serde_json::Value, message: &str) {
    assert_eq!(look(probe.clone(), SHORT).await, Err(message.to_owned()), "{probe}");
}

#[tokio::test]
async fn an_http_probe_wants_an_answer_between_200_and_399_in_time() {
    check(json!({"httpGet": {"port": "PORT", "path": "/"}}), Ok(())).await;
    check(json!({"httpGet": {"port": "web", "path": "good", "httpHeaders": [{"name": "Host", "value": "x"}]}}), Ok(()))
        .await;
    check(json!({"httpGet": {"port": "PORT", "path": "/bad"}}), Err("HTTP probe failed with statuscode: 500")).await;
    let slow = "Get \"http://10.244.0.2:PORT/slow\": context deadline exceeded \
                (Client.Timeout exceeded while awaiting headers)";
    is_late(json!({"httpGet": {"port": "PORT", "path": "/slow"}}), slow).await;
    let refused = "Get \"http://10.244.0.2:1/\": dial tcp 10.244.0.2:1: connect: connection refused";
    check(json!({"httpGet": {"port": 1}}), Err(refused)).await;
}

#[tokio::test]
async fn a_tcp_probe_wants_a_connection() {
    check(json!({"tcpSocket": {"port": "PORT"}}), Ok(())).await;
    check(json!({"tcpSocket": {"port": 1}}), Err("dial tcp 10.244.0.2:1: connect: connection refused")).await;
    check(json!({"tcpSocket": {"port": "none"}}), Err("couldn't find port: none")).await;
}

#[tokio::test]
async fn a_grpc_probe_wants_serving() {
    check(json!({"grpc": {"port": "PORT", "service": "good"}}), Ok(())).await;
    let unwell = "service unhealthy (responded with \"NOT_SERVING\")";
    check(json!({"grpc": {"port": "PORT"}}), Err(unwell)).await;
}

#[tokio::test]
async fn an_exec_probe_wants_the_code_zero_in_time() {
    let run = |script: &str| json!({"exec": {"command": ["sh", "-c", script]}});
    check(run("exit 0"), Ok(())).await;
    check(run("echo no; exit 1"), Err("no\n")).await;
    let late = "command timed out: \"sh -c sleep 600\" timed out after 0s";
    is_late(run("sleep 600"), late).await;
}
