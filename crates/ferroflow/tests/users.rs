//! What an ordinary user's pods are told who want more users than there are.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Bench, Server};
use ferroflow_testkit::{
    cluster::client_of,
    objects::from,
    wait::{eventually, until, until_gone},
};
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::{
    Api,
    api::{DeleteParams, ListParams, PostParams},
};
use serde_json::json;

/// An ordinary user without a range of ids, where this test is root.
const USER: u32 = 54_321;

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_wants_several_users_is_told_which_fields_have_no_effect() {
    let bench = Bench::new();
    let folder = bench.data.parent().unwrap();
    let options = ["--isolation", "environment"];
    let server = if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(folder, Some(USER), Some(USER)).unwrap();
        Server::start_as(&bench, USER, "all", &options)
    } else {
        Server::start_with(&bench, "all", &options)
    };
    let client = client_of(server.address, &server.token);
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let container = |name: &str, user: u32| json!({"name": name, "image": "busybox:1.36", "command": ["sleep", "600"], "securityContext": {"runAsUser": user}});
    let spec = json!({"terminationGracePeriodSeconds": 0, "securityContext": {"supplementalGroups": [7]},
        "containers": [container("one", 1000), container("two", 2000)]});
    let pod: Pod = from(json!({"metadata": {"name": "several"}, "spec": spec}));
    pods.create(&PostParams::default(), &pod).await.unwrap();
    // It runs as far as it can.
    until(&pods, "several", "runs", |pod| {
        pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running")
    })
    .await;
    let events: Api<Event> = Api::default_namespaced(client);
    let message = eventually("an event tells of it", async {
        loop {
            let list = events.list(&ListParams::default().fields("reason=NotHonoured")).await.unwrap();
            match list.items.into_iter().find_map(|event| event.message) {
                Some(message) => return message,
                None => tokio::task::yield_now().await,
            }
        }
    })
    .await;
    let way_out = "(one user id only: install newuidmap (package uidmap) and give this user a range in /etc/subuid)";
    for field in ["spec.securityContext.supplementalGroups", "securityContext.runAsUser of more than one container"] {
        assert!(message.contains(&format!("{field} {way_out}")), "{message}");
    }
    pods.delete("several", &DeleteParams::default()).await.unwrap();
    until_gone(&pods, "several").await;
}
