//! Packages that a container's command installs are there before it runs, and what it installs itself is its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::net::{TcpStream, ToSocketAddrs};

use common::{Bench, Server};
use ferroflow_testkit::{cluster::client_of, objects::from, wait::until};
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::{
    Api,
    api::{ListParams, LogParams, PostParams},
};
use serde_json::json;

fn pod(name: &str, line: &str, script: &str) -> Pod {
    let words: Vec<&str> = line.split(' ').collect();
    let installs = json!({"main": [words]}).to_string();
    from(json!({"metadata": {"name": name, "annotations": {"ferroflow.dev/python-installs": installs}}, "spec": {
        "restartPolicy": "Never",
        "containers": [{"name": "main", "image": "python:3.11", "command": ["sh", "-c", script]}]}}))
}

fn is_over(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// Whether packages can be had here.
fn has_index() -> bool {
    let addresses = ("pypi.org", 443).to_socket_addrs();
    addresses
        .is_ok_and(|mut all| all.any(|one| TcpStream::connect_timeout(&one, std::time::Duration::from_secs(5)).is_ok()))
}

#[tokio::test(flavor = "multi_thread")]
async fn packages_are_installed_once_for_all_who_ask_for_the_same() {
    if !has_index() {
        return eprintln!("skipped: no index of Python packages can be reached from here");
    }
    let bench = Bench::new();
    let server = Server::start_with(&bench, "all", &["--isolation", "bare"]);
    let client = client_of(server.address, &server.token);
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let version = "python3 -c 'import six; print(six.__version__)'";
    let script = format!(
        "set -e; {version}; python3 -m pip install --quiet six==1.16.0; python3 -m pip install --quiet six==1.15.0; {version}"
    );
    let unknown = "ferroflow-has-no-such-package==1";
    for pod in [
        pod("one", "--quiet six==1.16.0", &script),
        pod("two", "--quiet six==1.16.0", &script),
        pod("none", unknown, &format!("python3 -m pip install {unknown}")),
    ] {
        pods.create(&PostParams::default(), &pod).await.unwrap();
    }
    for name in ["one", "two"] {
        until(&pods, name, "ends", is_over).await;
        let log = pods.logs(name, &LogParams::default()).await.unwrap();
        assert_eq!(
            log.lines().filter(|line| line.starts_with("1.")).collect::<Vec<_>>(),
            ["1.16.0", "1.15.0"],
            "{log}"
        );
    }
    until(&pods, "none", "ends", is_over).await;
    let log = pods.logs("none", &LogParams::default()).await.unwrap();
    assert!(log.contains("No matching distribution found for"), "pip itself says it: {log}");
    let events: Api<Event> = Api::default_namespaced(client);
    let told = events.list(&ListParams::default()).await.unwrap().items;
    let told: Vec<(String, String)> =
        told.into_iter().filter_map(|event| Some((event.reason?, event.involved_object.name?))).collect();
    let has = |reason: &str, name: &str| told.iter().any(|(told, about)| told == reason && about == name);
    assert!(has("RequirementsInstalled", "one") && has("RequirementsInstalled", "two"), "{told:?}");
    assert!(has("RequirementsLeft", "none") && !has("Failed", "none"), "{told:?}");
    let sets = std::fs::read_dir(bench.data.join("node/environments/sets")).unwrap().flatten();
    let sets = sets.filter(|entry| entry.path().join(".ferroflow-complete").is_file()).count();
    assert_eq!(sets, 1, "both have the same one");
}
