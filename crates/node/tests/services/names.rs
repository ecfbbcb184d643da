use std::net::{Ipv4Addr, SocketAddr};

use ferroflow_node::{
    core::dns::{
        Name, code, kind,
        message::{self, Data, Heard, Query, Record, Reply, STREAM_BYTES},
    },
    services::PodPlace,
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
};

use crate::bed::{Bed, holds, pod};

fn query(name: &str, kind: u16) -> Query {
    Query { id: 77, recursion_desired: true, name: Name::parse(name).unwrap(), kind, payload: None }
}

/// Asks as musl does: by a socket that is not connected, whose answers must come from where it asked.
async fn ask(bed: &Bed, query: &Query) -> Heard {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    socket.send_to(&message::write_query(query), bed.network.dns()).await.unwrap();
    let mut buffer = vec![0; STREAM_BYTES];
    let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
    assert_eq!(from, SocketAddr::V4(bed.network.dns()));
    message::parse_reply(&buffer[..length], query).unwrap()
}

async fn ask_by_tcp(bed: &Bed, query: &Query) -> Heard {
    let mut stream = TcpStream::connect(bed.network.dns()).await.unwrap();
    let question = message::write_query(query);
    stream.write_u16(u16::try_from(question.len()).unwrap()).await.unwrap();
    stream.write_all(&question).await.unwrap();
    let mut answer = vec![0; usize::from(stream.read_u16().await.unwrap())];
    stream.read_exact(&mut answer).await.unwrap();
    message::parse_reply(&answer, query).unwrap()
}

fn addresses(heard: &Heard) -> Vec<Ipv4Addr> {
    let address = |record: &Record| match record.data {
        Data::A(address) => Some(address),
        _ => None,
    };
    heard.answers.iter().filter_map(address).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn services_and_pods_have_names() {
    let bed = Bed::start().await;
    let api = ask(&bed, &query("kubernetes.default.svc.cluster.local", kind::A)).await;
    assert_eq!(addresses(&api), [Ipv4Addr::new(10, 96, 0, 1)]);
    bed.service("mpi", json!({"clusterIP": "None"})).await;
    bed.slice("mpi", "TCP", 80, json!([{"addresses": [pod(5)], "hostname": "worker-0"}])).await;
    let worker = query("worker-0.mpi.default.svc.cluster.local", kind::A);
    holds("the worker has a name", || async { addresses(&ask(&bed, &worker).await) == [pod(5)] }).await;
    let none = ask(&bed, &query("worker-1.mpi.default.svc.cluster.local", kind::A)).await;
    assert_eq!(none.code, code::NO_SUCH_NAME);
    let server = bed.network.name_server(PodPlace::OwnNetwork);
    assert_eq!(server == *bed.network.dns().ip(), bed.network.dns().port() == 53);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_long_for_udp_is_asked_by_tcp() {
    let bed = Bed::start().await;
    bed.service("many", json!({"clusterIP": "None"})).await;
    let endpoints: Vec<_> = (1..=100).map(|last| json!({"addresses": [pod(last)]})).collect();
    bed.slice("many", "TCP", 80, json!(endpoints)).await;
    let many = query("many.default.svc.cluster.local", kind::A);
    holds("the answer is cut", || async { ask(&bed, &many).await.truncated }).await;
    let whole = ask_by_tcp(&bed, &many).await;
    assert_eq!((whole.truncated, addresses(&whole).len()), (false, 100));
}

/// A name server of the host: knows one name, and counts what it is asked.
async fn upstream() -> (String, tokio::sync::mpsc::Receiver<String>) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    let (sender, asked) = tokio::sync::mpsc::channel(16);
    tokio::spawn(async move {
        let mut buffer = vec![0; STREAM_BYTES];
        while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
            let query = message::parse_query(&buffer[..length]).unwrap();
            let _ = sender.try_send(query.name.to_string());
            let data = Data::A(Ipv4Addr::new(192, 0, 2, 1));
            let reply = if query.name.to_string() == "db.example." {
                Reply { answers: vec![Record { name: query.name.clone(), ttl_s: 9, data }], ..Reply::default() }
            } else {
                Reply::bare(code::NO_SUCH_NAME)
            };
            let _ = socket.send_to(&message::write_reply(&query, &reply, STREAM_BYTES), client).await;
        }
    });
    (address.to_string(), asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn other_names_are_asked_of_the_hosts_servers_and_our_own_never() {
    let (server, mut asked) = upstream().await;
    // One that nobody is at comes first.
    let bed = Bed::with_servers(&format!("nameserver 127.0.0.1:1\nnameserver {server}\n")).await;
    let found = ask(&bed, &query("db.example", kind::A)).await;
    assert_eq!(addresses(&found), [Ipv4Addr::new(192, 0, 2, 1)]);
    assert_eq!(ask(&bed, &query("other.example", kind::A)).await.code, code::NO_SUCH_NAME);
    let own = ask(&bed, &query("none.default.svc.cluster.local", kind::A)).await;
    assert_eq!(own.code, code::NO_SUCH_NAME);
    bed.service("db", json!({"type": "ExternalName", "externalName": "db.example"})).await;
    let alias = query("db.default.svc.cluster.local", kind::A);
    holds("the alias is followed", || async { addresses(&ask(&bed, &alias).await).len() == 1 }).await;
    let followed = ask(&bed, &alias).await;
    assert_eq!(followed.answers[0].data, Data::Cname(Name::parse("db.example").unwrap()));
    drop(bed);
    let mut names = Vec::new();
    while let Ok(name) = asked.try_recv() {
        names.push(name);
    }
    assert!(names.iter().all(|name| name.ends_with(".example.")), "{names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_without_name_servers_answers_with_a_failure_at_once() {
    let bed = Bed::start().await;
    assert_eq!(ask(&bed, &query("db.example", kind::A)).await.code, code::SERVER_FAILURE);
    assert_eq!(ask_by_tcp(&bed, &query("db.example", kind::A)).await.code, code::SERVER_FAILURE);
}
