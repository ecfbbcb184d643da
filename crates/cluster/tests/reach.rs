//! What leads from a client to a port of a pod: `portforward` by SPDY, and `proxy`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::net::{Ipv4Addr, SocketAddr};

use ferroflow_cluster::core::spdy::{Decoder, Frame, data, pong};
use ferroflow_platform::{
    clock::BoxFuture,
    kubelet::{
        AgentError, Connection, ContainerRef, ContainerUsage, ExecOptions, ExecSession, Figures, LogOptions, LogStream,
        NodeAgent,
    },
};
use ferroflow_testkit::{cluster::TestCluster, raw::Request, wait::eventually};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::PostParams};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// A node whose pods' ports are those of loopback.
struct Agent;

fn nothing<T>() -> BoxFuture<'static, Result<T, AgentError>> {
    Box::pin(async { Err(AgentError::NotFound("nothing".to_owned())) })
}

impl NodeAgent for Agent {
    fn logs(&self, _: ContainerRef, _: LogOptions) -> BoxFuture<'_, Result<LogStream, AgentError>> {
        nothing()
    }

    fn exec(&self, _: ContainerRef, _: ExecOptions) -> BoxFuture<'_, Result<ExecSession, AgentError>> {
        nothing()
    }

    fn attach(&self, _: ContainerRef, _: ExecOptions) -> BoxFuture<'_, Result<ExecSession, AgentError>> {
        nothing()
    }

    fn connect(&self, _: ContainerRef, port: u16) -> BoxFuture<'_, Result<Box<dyn Connection>, AgentError>> {
        Box::pin(async move {
            match TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
                Ok(stream) => Ok(Box::new(stream) as Box<dyn Connection>),
                Err(_) => Err(AgentError::Internal(format!("nobody listens on {port}"))),
            }
        })
    }

    fn figures(&self) -> BoxFuture<'_, Figures> {
        Box::pin(async { Figures::default() })
    }

    fn usage(&self, _: ContainerRef) -> BoxFuture<'_, Result<Vec<ContainerUsage>, AgentError>> {
        nothing()
    }
}

async fn cluster() -> TestCluster {
    let cluster = TestCluster::server_only().await;
    cluster.cluster.set_agent(std::sync::Arc::new(Agent));
    let pods: Api<Pod> = Api::namespaced(cluster.client(), "default");
    let account = json!({"metadata": {"name": "default", "namespace": "default"}});
    let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> = Api::namespaced(cluster.client(), "default");
    accounts.create(&PostParams::default(), &serde_json::from_value(account).unwrap()).await.unwrap();
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    cluster
}

/// The beginning of a stream, as a client sends it: headers in a stored block of the one zlib stream.
fn open(stream: u32, kind: &str, port: u16, first: bool) -> Vec<u8> {
    let port = port.to_string();
    let mut pairs = 3u32.to_be_bytes().to_vec();
    for text in ["streamtype", kind, "port", port.as_str(), "requestid", "0"] {
        pairs.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
        pairs.extend(text.as_bytes());
    }
    let length = u16::try_from(pairs.len()).unwrap();
    let mut body = stream.to_be_bytes().to_vec();
    body.extend([0; 6]);
    body.extend_from_slice(if first { &[0x78, 0x01] } else { &[] });
    body.push(0);
    body.extend([length.to_le_bytes(), (!length).to_le_bytes()].concat());
    body.extend(pairs);
    let mut frame = vec![0x80, 3, 0, 1];
    frame.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
    frame.extend(body);
    frame
}

async fn connect(to: SocketAddr, token: &str) -> TcpStream {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let request = format!(
        "POST /api/v1/namespaces/default/pods/p/portforward HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\n\
         Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: portforward.k8s.io\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    assert!(head.starts_with("http/1.1 101") && head.contains("upgrade: spdy/3.1"), "{head}");
    stream
}

/// Reads frames until both streams have ended; returns what came in each.
async fn both(stream: &mut TcpStream) -> (String, String) {
    let (mut decoder, mut ended) = (Decoder::default(), 0);
    let (mut errors, mut answer) = (Vec::new(), Vec::new());
    let mut buffer = [0; 4096];
    while ended < 2 {
        let count = eventually("frames come", stream.read(&mut buffer)).await.unwrap();
        assert!(count > 0, "the connection is closed");
        decoder.push(&buffer[..count]);
        while let Some(frame) = decoder.next_frame().unwrap() {
            if let Frame::Data { stream, last, bytes } = frame {
                if stream == 1 {
                    errors.extend(bytes)
                } else {
                    answer.extend(bytes)
                }
                ended += usize::from(last);
            }
        }
    }
    (String::from_utf8(errors).unwrap(), String::from_utf8(answer).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_is_forwarded_by_spdy_with_ends_of_its_own() {
    let cluster = cluster().await;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        stream.write_all(format!("heard {text}").as_bytes()).await.unwrap();
    });
    let mut stream = connect(cluster.http(), &cluster.token()).await;
    stream.write_all(&open(1, "error", port, true)).await.unwrap();
    stream.write_all(&data(1, b"", true)).await.unwrap();
    stream.write_all(&[open(3, "data", port, false), pong(9), data(3, b"hel", false)].concat()).await.unwrap();
    stream.write_all(&data(3, b"lo", true)).await.unwrap();
    assert_eq!(both(&mut stream).await, (String::new(), "heard hello".to_owned()));
    serving.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_nobody_listens_on_is_told_in_the_stream_of_errors() {
    let cluster = cluster().await;
    let mut stream = connect(cluster.http(), &cluster.token()).await;
    stream.write_all(&[open(1, "error", 1, true), open(3, "data", 1, false)].concat()).await.unwrap();
    let (errors, answer) = both(&mut stream).await;
    assert_eq!((errors.as_str(), answer.as_str()), ("error forwarding port 1 to pod p: nobody listens on 1", ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_a_pod_is_asked_for_with_a_slash_and_redirects_inside() {
    let cluster = cluster().await;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let path = format!("/api/v1/namespaces/default/pods/p:{}/proxy", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            assert!(!String::from_utf8(head).unwrap().to_lowercase().contains("authorization"));
            let answer = "HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let get = async |path: String| Request::new("GET", &path).token(&cluster.token()).send(cluster.http()).await;
    let bare = get(format!("{path}?a=b")).await;
    assert_eq!(bare.code, 301);
    assert!(bare.head.contains(&format!("location: {path}/?a=b")), "{}", bare.head);
    let page = get(format!("{path}/x")).await;
    assert_eq!(page.code, 302);
    assert!(page.head.contains(&format!("location: {path}/login")), "{}", page.head);
}
