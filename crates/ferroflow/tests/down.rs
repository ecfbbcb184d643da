//! After `down` no process of the pods is left, in whatever state the server was.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use common::{Bench, Server};
use ferroflow_testkit::{cluster::client_of, objects::from, wait::until};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use serde_json::json;

/// Pods of one round.
const PODS: usize = 8;
/// A process whose parent has just ended may take a moment to be gone.
const PATIENCE: Duration = Duration::from_secs(20);

/// Processes of which a part of the command line names the data directory.
fn processes(bench: &Bench) -> Vec<String> {
    let data = bench.data.to_str().unwrap();
    let lines = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&line).replace('\0', " "))
    });
    lines.filter(|line| line.contains(data)).collect()
}

fn assert_nothing_left(bench: &Bench) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = processes(bench);
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "left behind: {left:?}");
        thread::yield_now();
    }
}

/// A pod whose process has the data directory in its command line, and ends when it is asked to.
fn pod(bench: &Bench, name: &str) -> Pod {
    let script = format!("trap 'exit 0' TERM; : {}; while :; do sleep 600 & wait $!; done", bench.data.display());
    from(json!({"metadata": {"name": name}, "spec": {"containers":
        [{"name": "main", "image": "busybox:1.36", "command": ["sh", "-c", script]}]}}))
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_begin_or_are_being_removed_are_gone_after_down() {
    let bench = Bench::new();
    for round in 0..4 {
        let server = Server::start_with(&bench, "all", &["--isolation", "environment"]);
        let pods: Api<Pod> = Api::default_namespaced(client_of(server.address, &server.token));
        for number in 0..PODS {
            pods.create(&PostParams::default(), &pod(&bench, &format!("pod-{round}-{number}"))).await.unwrap();
        }
        if round % 2 == 1 {
            let runs = |pod: &Pod| pod.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Running"));
            until(&pods, &format!("pod-{round}-{}", PODS / 2), "runs", runs).await;
        }
        for number in 0..PODS / 2 {
            let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
            pods.delete(&format!("pod-{round}-{number}"), &now).await.unwrap();
        }
        let ended = bench.run(&["down"]);
        assert_eq!(ended.code, 0, "{ended:?}");
        assert_nothing_left(&bench);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_of_a_killed_server_are_gone_after_the_next_one_came_and_went() {
    let bench = Bench::new();
    let mut server = Server::start_with(&bench, "all", &["--isolation", "environment"]);
    let pods: Api<Pod> = Api::default_namespaced(client_of(server.address, &server.token));
    for number in 0..PODS {
        pods.create(&PostParams::default(), &pod(&bench, &format!("pod-{number}"))).await.unwrap();
    }
    for number in 0..PODS {
        let runs = |pod: &Pod| pod.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Running"));
        until(&pods, &format!("pod-{number}"), "runs", runs).await;
    }
    server.kill();
    assert!(processes(&bench).len() >= 2 * PODS, "{:?}", processes(&bench));
    let _server = Server::start_with(&bench, "all", &["--isolation", "environment"]);
    let ended = bench.run(&["down"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_nothing_left(&bench);
}
