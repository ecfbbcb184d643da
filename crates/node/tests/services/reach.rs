use std::{
    net::{Ipv4Addr, SocketAddrV4},
    sync::Arc,
    time::Duration,
};

use ferroflow_testkit::wait::{eventually, until};
use k8s_openapi::api::core::v1::{LoadBalancerIngress, Service};
use kube::{
    ResourceExt,
    api::{DeleteParams, ListParams},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
};

use crate::bed::{Bed, holds, loopback, pod};

/// A pod that reads to the end, and then says what it has read behind its name.
async fn echo(address: Ipv4Addr, name: &'static str) -> u16 {
    let listener = TcpListener::bind((address, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut text = String::new();
                stream.read_to_string(&mut text).await.unwrap();
                stream.write_all(format!("{name}: {text}").as_bytes()).await.unwrap();
            });
        }
    });
    port
}

/// Says something, says that it has said all, and listens; `None` when nobody answers.
async fn talk(to: SocketAddrV4, text: &str) -> Option<String> {
    let mut stream = TcpStream::connect(to).await.ok()?;
    stream.write_all(text.as_bytes()).await.ok()?;
    stream.shutdown().await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    (!answer.is_empty()).then_some(answer)
}

fn node_port(service: &Service) -> SocketAddrV4 {
    loopback(service.spec.as_ref().unwrap().ports.as_ref().unwrap()[0].node_port.unwrap())
}

fn ingress(service: &Service) -> Option<LoadBalancerIngress> {
    service.status.clone()?.load_balancer?.ingress?.into_iter().next()
}

/// A datagram that has not been answered by then is sent again.
const ANSWER: Duration = Duration::from_millis(200);

#[tokio::test(flavor = "multi_thread")]
async fn a_node_port_leads_to_the_pods_in_turn_and_to_nobody_without_them() {
    let bed = Bed::start().await;
    let port = echo(bed.host(5), "five").await;
    let web = bed.service("web", json!({"type": "NodePort", "ports": [{"port": 80}]})).await;
    let at = node_port(&web);
    holds("the port is open", || async { TcpStream::connect(at).await.is_ok() }).await;
    assert_eq!(talk(at, "hello").await, None);
    bed.slice("web", "TCP", port, json!([{"addresses": [pod(5)]}, {"addresses": [pod(6)]}])).await;
    // Nobody listens at the second one, so the next is tried.
    holds("the pod answers", || async { talk(at, "hello").await.as_deref() == Some("five: hello") }).await;
    for _ in 0..4 {
        assert_eq!(talk(at, "again").await.as_deref(), Some("five: again"));
    }
    bed.services().delete("web", &DeleteParams::default()).await.unwrap();
    holds("the port is closed", || async { TcpStream::connect(at).await.is_err() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_outlives_its_endpoint_in_the_service() {
    let bed = Bed::start().await;
    let port = echo(bed.host(5), "five").await;
    let web = bed.service("web", json!({"type": "NodePort", "ports": [{"port": 80}]})).await;
    bed.slice("web", "TCP", port, json!([{"addresses": [pod(5)]}])).await;
    let at = node_port(&web);
    holds("the pod answers", || async { talk(at, "x").await.is_some() }).await;
    let mut begun = TcpStream::connect(at).await.unwrap();
    begun.write_all(b"begun").await.unwrap();
    bed.slices().delete("web", &DeleteParams::default()).await.unwrap();
    holds("new ones find nobody", || async { talk(at, "x").await.is_none() }).await;
    begun.shutdown().await.unwrap();
    let mut answer = String::new();
    begun.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "five: begun");
}

#[tokio::test(flavor = "multi_thread")]
async fn datagrams_find_their_way_there_and_back() {
    let bed = Bed::start().await;
    let pod_socket = UdpSocket::bind((bed.host(5), 0)).await.unwrap();
    let port = pod_socket.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut buffer = [0; 64];
        while let Ok((length, client)) = pod_socket.recv_from(&mut buffer).await {
            buffer[..length].reverse();
            pod_socket.send_to(&buffer[..length], client).await.unwrap();
        }
    });
    let ports = json!([{"port": 80, "protocol": "UDP"}]);
    let web = bed.service("web", json!({"type": "NodePort", "ports": ports})).await;
    bed.slice("web", "UDP", port, json!([{"addresses": [pod(5)]}])).await;
    let client = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap());
    let at = node_port(&web);
    client.connect(at).await.unwrap();
    let asking = async {
        let mut buffer = [0; 64];
        loop {
            // Until the port is open, datagrams are refused.
            if client.send(b"abc").await.is_err() {
                tokio::task::yield_now().await;
                continue;
            }
            // One that came before the endpoint was known to the door is lost, as datagrams may be.
            match tokio::time::timeout(ANSWER, client.recv(&mut buffer)).await {
                Ok(Ok(length)) => return buffer[..length].to_vec(),
                Ok(Err(_)) | Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    let table = format!("10.200.0.1:{}/UDP", at.port());
    holds("the endpoint is known", || async {
        bed.table().node.get(&table).is_some_and(|target| !target.backends.is_empty())
    })
    .await;
    assert_eq!(eventually("the pod answers", asking).await, b"cba");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_balancer_has_an_address_of_its_own() {
    let bed = Bed::start().await;
    let port = echo(bed.host(5), "five").await;
    bed.slice("web", "TCP", port, json!([{"addresses": [pod(5)]}])).await;
    bed.service("web", json!({"type": "LoadBalancer", "ports": [{"port": port}]})).await;
    let service = until(&bed.services(), "web", "has an address", |web| ingress(web).is_some()).await;
    let found = ingress(&service).unwrap();
    let address = Ipv4Addr::new(127, bed.network.block(), 254, 1);
    assert_eq!((found.ip, found.ip_mode.as_deref()), (Some(address.to_string()), Some("VIP")));
    let at = SocketAddrV4::new(address, port);
    holds("the pod answers", || async { talk(at, "hello").await.as_deref() == Some("five: hello") }).await;
    bed.service("next", json!({"type": "LoadBalancer", "ports": [{"port": port}]})).await;
    let next = until(&bed.services(), "next", "has an address", |next| ingress(next).is_some()).await;
    assert_eq!(ingress(&next).unwrap().ip, Some(Ipv4Addr::new(127, bed.network.block(), 254, 2).to_string()));
    let plain = kube::api::Patch::Merge(json!({"spec": {"type": "ClusterIP"}}));
    bed.services().patch("web", &kube::api::PatchParams::default(), &plain).await.unwrap();
    until(&bed.services(), "web", "has none", |web| ingress(web).is_none()).await;
    holds("the address is closed", || async { TcpStream::connect(at).await.is_err() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_another_has_is_told() {
    let bed = Bed::start().await;
    let address = Ipv4Addr::new(127, bed.network.block(), 254, 1);
    let foreign = TcpListener::bind((address, 0)).await.unwrap();
    let port = foreign.local_addr().unwrap().port();
    bed.service("web", json!({"type": "LoadBalancer", "ports": [{"port": port}]})).await;
    let error = |web: &Service| ingress(web)?.ports?.into_iter().next()?.error;
    let service = until(&bed.services(), "web", "tells of its port", |web| error(web).is_some()).await;
    assert_eq!(error(&service).as_deref(), Some("ferroflow.dev/PortInUse"));
    let told = || async {
        let events = bed.events().list(&ListParams::default()).await.unwrap();
        let about = events.items.iter().filter(|event| event.involved_object.name.as_deref() == Some("web"));
        let mut messages = about.filter_map(|event| event.message.clone());
        messages.any(|message| message.contains(&format!("{address}:{port}/TCP is taken by another program")))
    };
    holds("an event tells of the port", told).await;
    assert_eq!(service.name_any(), "web");
}
