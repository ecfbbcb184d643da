//! Ports of the host that pods ask for: one pod for each address, protocol and number.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::net::{Ipv4Addr, TcpListener};

use common::{Bench, Server};
use ferroflow_testkit::{
    cluster::client_of,
    objects::from,
    wait::{eventually, until, until_gone},
};
use k8s_openapi::api::core::v1::{Event, Node, Pod};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, PostParams},
};
use serde_json::json;
use tokio::{io::AsyncReadExt, net::TcpStream};

/// A pod that says its name to whoever connects to its port 80.
fn pod(name: &str, host_ip: &str, host_port: u16, node: Option<&str>) -> Pod {
    let script = format!(
        "import socket\ns = socket.create_server(('', 80))\nwhile True:\n c, _ = s.accept(); c.sendall(b'{name}'); c.close()"
    );
    let port = json!({"containerPort": 80, "hostPort": host_port, "hostIP": host_ip});
    from(
        json!({"metadata": {"name": name}, "spec": {"terminationGracePeriodSeconds": 0, "nodeName": node, "containers": [
        {"name": "main", "image": "busybox:1.36", "command": ["/usr/bin/python3", "-c", script], "ports": [port]}]}}),
    )
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// Who answers there, as soon as anybody does.
async fn answer(address: [u8; 4], port: u16) -> String {
    let asking = async {
        loop {
            let mut text = String::new();
            if let Ok(mut stream) = TcpStream::connect((Ipv4Addr::from(address), port)).await
                && stream.read_to_string(&mut text).await.is_ok()
                && !text.is_empty()
            {
                return text;
            }
            tokio::task::yield_now().await;
        }
    };
    eventually("somebody answers", asking).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_port_is_one_pods_for_each_address() {
    if !std::path::Path::new("/usr/bin/python3").exists() {
        return eprintln!("skipped: no /usr/bin/python3 on this host");
    }
    let bench = Bench::new();
    let server = Server::start_with(&bench, "all", &["--isolation", "environment"]);
    let client = client_of(server.address, &server.token);
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let nodes: Api<Node> = Api::all(client.clone());
    let node = nodes.list(&ListParams::default()).await.unwrap().items.remove(0).name_any();
    let port = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap().local_addr().unwrap().port();
    let make = async |pod: Pod| drop(pods.create(&PostParams::default(), &pod).await.unwrap());
    make(pod("one", "127.0.0.1", port, None)).await;
    make(pod("two", "127.0.0.2", port, None)).await;
    assert_eq!(answer([127, 0, 0, 1], port).await, "one");
    assert_eq!(answer([127, 0, 0, 2], port).await, "two");

    // The scheduler waits for all addresses to be free.
    make(pod("everywhere", "", port, None)).await;
    let waits = until(&pods, "everywhere", "is not scheduled", |pod| {
        let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
        conditions.into_iter().any(|one| one.type_ == "PodScheduled" && one.status == "False")
    })
    .await;
    let conditions = waits.status.unwrap().conditions.unwrap();
    let message = conditions.iter().find_map(|one| one.message.clone()).unwrap();
    assert!(message.contains("1 node(s) didn't have free ports for the requested pod ports"), "{message}");

    // Who is bound to the node past the scheduler is turned away there.
    make(pod("bound", "127.0.0.2", port, Some(node.as_str()))).await;
    let bound = until(&pods, "bound", "has failed", |pod| phase(pod) == "Failed").await.status.unwrap();
    assert_eq!(bound.reason.as_deref(), Some("NodePorts"));
    assert_eq!(bound.message.as_deref(), Some("Pod was rejected: Predicate NodePorts failed"));
    let events: Api<Event> = Api::default_namespaced(client);
    let reasons = async |pod: &str| -> Vec<String> {
        let found = events.list(&ListParams::default().fields(&format!("involvedObject.name={pod}"))).await.unwrap();
        found.items.into_iter().filter_map(|event| event.reason).collect()
    };
    for (pod, reason) in [("everywhere", "FailedScheduling"), ("bound", "NodePorts")] {
        eventually("the event is there", async {
            while !reasons(pod).await.iter().any(|found| found == reason) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    // It has taken nobody's port, and has none to give back.
    assert_eq!(answer([127, 0, 0, 2], port).await, "two");
    for name in ["one", "two"] {
        pods.delete(name, &DeleteParams::default()).await.unwrap();
        until_gone(&pods, name).await;
    }
    assert_eq!(answer([127, 0, 0, 1], port).await, "everywhere");
    // Its program heeds no signal, for which the end of the server would wait.
    pods.delete("everywhere", &DeleteParams::default()).await.unwrap();
    until_gone(&pods, "everywhere").await;
}
