//! Pods that take more than they may end with the right reason, and others go on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::{fmt::Debug, time::Duration};

use common::{Bench, Server};
use ferroflow_testkit::{cluster::client_of, objects::from};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{
    Api, Client,
    api::{ListParams, PostParams},
    runtime::wait::await_condition,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// A node looks every ten seconds, and less often where a look takes long.
const PATIENCE: Duration = Duration::from_secs(120);

/// Programs of the host stand for images, so that none has to be pulled.
const PROGRAMS: [&str; 2] = ["--isolation", "bare"];
const FOREVER: &str = "while :; do sleep 600 & wait $!; done";

fn pod(name: &str, script: &str, resources: &Value, volumes: &Value) -> Pod {
    let mounts: Vec<Value> = volumes
        .as_array()
        .into_iter()
        .flatten()
        .map(|volume| json!({"name": volume["name"], "mountPath": format!("/{}", volume["name"].as_str().unwrap())}))
        .collect();
    let tolerations = json!([{"key": "node.kubernetes.io/disk-pressure", "operator": "Exists"}]);
    from(json!({"metadata": {"name": name}, "spec": {
        "restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "tolerations": tolerations, "volumes": volumes,
        "containers": [{"name": "main", "image": "busybox:1.36", "command": ["sh", "-c", script],
            "resources": resources, "volumeMounts": mounts}]}}))
}

async fn eventually<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within {PATIENCE:?}"),
    }
}

/// Watches the object `name` until `holds` is true of it, and returns it.
async fn until<K>(api: &Api<K>, name: &str, what: &str, holds: impl Fn(&K) -> bool) -> K
where
    K: kube::Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let condition = |object: Option<&K>| object.is_some_and(&holds);
    let found = eventually(&format!("{name}: {what}"), await_condition(api.clone(), name, condition)).await;
    found.unwrap().unwrap()
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// The pod's end: reason and message, or those of its container.
fn end(pod: &Pod) -> (String, String) {
    let status = pod.status.clone().unwrap();
    let container = status.container_statuses.unwrap_or_default().remove(0);
    let terminated = container.state.and_then(|state| state.terminated);
    let reason = status.reason.or_else(|| terminated.and_then(|end| end.reason));
    (reason.unwrap_or_default(), status.message.unwrap_or_default())
}

async fn make(pods: &Api<Pod>, pod: Pod) {
    pods.create(&PostParams::default(), &pod).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_too_much_ends_and_the_rest_goes_on() {
    let bench = Bench::new();
    let server = Server::start_with(&bench, "all", &PROGRAMS);
    let client = client_of(server.address, &server.token);
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let none = json!({});
    make(&pods, pod("beside", FOREVER, &none, &json!([]))).await;
    let volume = json!([{"name": "data", "emptyDir": {"sizeLimit": "1Mi"}}]);
    let script = format!("head -c 3m /dev/zero > /data/f; {FOREVER}");
    make(&pods, pod("volume", &script, &none, &volume)).await;
    let script = format!("head -c 3m /dev/zero > $HOME/f; {FOREVER}");
    make(&pods, pod("layer", &script, &json!({"limits": {"ephemeral-storage": "1Mi"}}), &json!([]))).await;
    let script = "head -c 400m /dev/zero | tail | wc -c; exit 137";
    make(&pods, pod("memory", script, &json!({"limits": {"memory": "32Mi"}}), &json!([]))).await;

    let failed = |pod: &Pod| phase(pod) == "Failed";
    let memory = until(&pods, "memory", "ends", failed).await;
    assert_eq!(end(&memory).0, "OOMKilled");
    let volume = until(&pods, "volume", "ends", failed).await;
    let message = "Usage of EmptyDir volume \"data\" exceeds the limit \"1Mi\". ";
    assert_eq!(end(&volume), ("Evicted".to_owned(), message.to_owned()));
    let layer = until(&pods, "layer", "ends", failed).await;
    let message = "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. ";
    assert_eq!(end(&layer), ("Evicted".to_owned(), message.to_owned()));
    let conditions = layer.status.unwrap().conditions.unwrap();
    assert!(conditions.iter().any(|one| one.type_ == "DisruptionTarget" && one.status == "True"));
    until(&pods, "beside", "goes on", |pod| phase(pod) == "Running").await;
    usage_is_told(&client).await;
    assert_eq!(bench.run(&["down"]).code, 0);
}

/// Two looks make a rate.
async fn usage_is_told(client: &Client) {
    let read = async |path: &str| {
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        client.request::<Value>(request).await
    };
    let found = eventually("figures of the pod", async {
        loop {
            let path = "/apis/metrics.k8s.io/v1beta1/namespaces/default/pods/beside";
            match read(path).await {
                Ok(found) => break found,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    });
    let found = found.await;
    assert_eq!(found["containers"][0]["name"], "main");
    let nodes = read("/apis/metrics.k8s.io/v1beta1/nodes").await.unwrap();
    assert!(nodes["items"][0]["usage"]["memory"].as_str().unwrap().ends_with("Ki"), "{nodes}");
    let groups = read("/apis").await.unwrap();
    assert!(groups["groups"].as_array().unwrap().iter().any(|group| group["name"] == "metrics.k8s.io"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_disk_is_full_says_so_and_ends_the_largest_pod_first() {
    let bench = Bench::new();
    let options = ["--eviction-hard", "nodefs.available<100%", "--eviction-pressure-transition-period", "1"];
    let server = Server::start_with(&bench, "all", &[&PROGRAMS[..], &options[..]].concat());
    let client = client_of(server.address, &server.token);
    let (nodes, pods): (Api<Node>, Api<Pod>) = (Api::all(client.clone()), Api::default_namespaced(client));
    let name = nodes.list(&ListParams::default()).await.unwrap().items.remove(0).metadata.name.unwrap();
    let tainted = |node: &Node| {
        let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref());
        taints.into_iter().flatten().any(|taint| taint.key == "node.kubernetes.io/disk-pressure")
    };
    until(&nodes, &name, "is under pressure", tainted).await;
    let none = json!({});
    let script = format!("head -c 3m /dev/zero > $HOME/f; {FOREVER}");
    make(&pods, pod("large", &script, &none, &json!([]))).await;
    until(&pods, "large", "begins", |pod| phase(pod) != "Pending").await;
    make(&pods, pod("small", FOREVER, &none, &json!([]))).await;
    let large = until(&pods, "large", "is evicted", |pod| phase(pod) == "Failed").await;
    let (reason, message) = end(&large);
    assert_eq!(reason, "Evicted");
    assert!(message.starts_with("The node was low on resource: ephemeral-storage. Threshold quantity: "), "{message}");
    assert!(message.contains("Container main was using "), "{message}");
    until(&pods, "small", "goes on", |pod| phase(pod) == "Running").await;
    assert_eq!(bench.run(&["down"]).code, 0);
}
